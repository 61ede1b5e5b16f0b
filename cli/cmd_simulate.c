/* cli/cmd_simulate.c — plans: how link state spreads over a topology when links fail and heal. */
#include "cli/commands.h"
#include "cli/sim_files.h"
#include "cli/table.h"
#include "linkstate/shape.h"

#include <stdio.h>

enum { CONVERGE_MS = 600000 };

struct plan {
    enum shape shape;
    uint64_t groups, links, events, loss, latency, seed;
};

enum { S_EVENT, S_LINK, S_TIME, S_MESSAGES, S_BYTES, S_FULL, S_CROSSED };
static const struct column columns[] = {
    [S_EVENT] = {"event", "EVENT", COLUMN_TEXT, 0},
    [S_LINK] = {"link", "LINK", COLUMN_TEXT, 0},
    [S_TIME] = {"converged_ms", "CONVERGED", COLUMN_AGE, 0},
    [S_MESSAGES] = {"messages", "MESSAGES", COLUMN_COUNT, 0},
    [S_BYTES] = {"bytes", "BYTES", COLUMN_BYTES, 0},
    [S_FULL] = {"full_flood_bytes", "FULL TABLES", COLUMN_BYTES, 0},
    [S_CROSSED] = {"most_crossings", "MOST CROSSINGS", COLUMN_COUNT, 0},
};

static int number(struct cli *cli, const char *name, uint64_t max, uint64_t *value)
{
    const char *text = cli_opt(cli, name);
    if (text == NULL || span_to_u64(span_cstr(text), max, value))
        return CLI_OK;
    return cli_fail(cli, CLI_USAGE, "--%s takes a number up to %llu, not '%s'", name, (unsigned long long)max,
                    text);
}

/* Options that describe a topology that is not in files. */
static const char *const made[] = {"shape", "groups", "links"};

static int read_plan(struct cli *cli, struct plan *p)
{
    const char *shape = cli_opt(cli, "shape");
    for (size_t i = 0; cli->nargs > 0 && i < ARRAY_LEN(made); i++)
        if (cli_opt(cli, made[i]) != NULL)
            return cli_fail(cli, CLI_USAGE, "--%s makes a topology; this one comes from %s", made[i],
                            cli->args[0]);
    *p = (struct plan){.shape = SHAPE_RANDOM, .groups = 100, .events = 10, .latency = 20, .seed = 1};
    if (shape != NULL && !shape_find(span_cstr(shape), &p->shape))
        return cli_fail(cli, CLI_USAGE, "no shape '%s'; there are: ring, hub, random, tree-of-rings", shape);
    int code = number(cli, "groups", LSDB_GROUPS_MAX, &p->groups);
    p->links = p->groups * 5 / 2;
    if (code == CLI_OK)
        code = number(cli, "links", LSDB_CONNECTORS_MAX / 2, &p->links);
    if (code == CLI_OK)
        code = number(cli, "events", 100000, &p->events);
    if (code == CLI_OK)
        code = number(cli, "loss", 900, &p->loss);
    if (code == CLI_OK)
        code = number(cli, "latency", 60000, &p->latency);
    if (code == CLI_OK)
        code = number(cli, "seed", UINT64_MAX, &p->seed);
    return code == CLI_OK && p->groups < 2 ? cli_fail(cli, CLI_USAGE, "--groups: at least 2") : code;
}

static enum err one_event(struct sim *s, struct table *t, struct rng *rng)
{
    uint32_t a, b;
    bool up;
    ms_t took;
    char link[2 * RECORD_NAME_MAX + 8];
    struct sim_stats stats;
    if (!sim_link_at(s, (size_t)rng_below(rng, sim_links(s)), &a, &b, &up))
        return ERR_NOTFOUND;
    sim_stats_reset(s);
    /* The adjacency lives on other connections than the mail does: it stays. */
    enum err e = sim_link_state(s, a, b, !up, true);
    bool converged = e == ERR_OK && sim_converge(s, CONVERGE_MS, &took);
    if (e != ERR_OK || (e = table_row(t)) != ERR_OK)
        return e;
    sim_stats(s, &stats);
    (void)snprintf(link, sizeof link, "%s - %s", sim_group_name(s, a), sim_group_name(s, b));
    if (table_text(t, S_EVENT, up ? SPAN("DOWN") : SPAN("UP")) != ERR_OK ||
        table_text(t, S_LINK, span_cstr(link)) != ERR_OK)
        return ERR_NOMEM;
    if (converged)
        table_number(t, S_TIME, took);
    table_number(t, S_MESSAGES, stats.messages);
    table_number(t, S_BYTES, stats.bytes);
    table_number(t, S_FULL, sim_full_flood_bytes(s));
    table_number(t, S_CROSSED, stats.advertised_most);
    return ERR_OK;
}

static int build(struct cli *cli, struct sim *s, const struct plan *p, struct rng *rng,
                 struct sim_files *files)
{
    struct errctx ec = {""};
    if (cli->nargs > 0) {
        int code = sim_files_load(cli, cli->args, cli->nargs, s, files);
        if (code != CLI_OK)
            return code;
    } else {
        enum err e = shape_build(s, p->shape, (uint32_t)p->groups, (uint32_t)p->links, rng);
        if (e != ERR_OK)
            return cli_fail(cli, CLI_FAILED, "%s", err_text(e));
    }
    if (sim_groups(s) == 0)
        return cli_fail(cli, CLI_CONFIG, "there is no group in %s", cli->args[0]);
    return sim_check(s, &ec) == ERR_OK ? CLI_OK : cli_fail(cli, CLI_CONFIG, "%s", ec.msg);
}

static int simulate(struct cli *cli, struct sim *s, const struct plan *p, struct sim_files *files,
                    struct table *t)
{
    struct rng rng;
    rng_seed(&rng, p->seed);
    int code = build(cli, s, p, &rng, files);
    if (code != CLI_OK)
        return code;
    enum err e = sim_start_converged(s);
    sim_run(s, p->latency * 4); /* the greetings of the adjacencies */
    for (uint64_t i = 0; e == ERR_OK && sim_links(s) > 0 && i < p->events; i++)
        e = one_event(s, t, &rng);
    return e == ERR_OK ? CLI_OK : cli_fail(cli, CLI_FAILED, "%s", err_text(e));
}

int cmd_simulate(struct cli *cli)
{
    struct plan p;
    struct sim_files files = {0};
    int code = read_plan(cli, &p);
    if (code != CLI_OK)
        return code;
    struct sim_options o = {.seed = p.seed,
                            .latency_min_ms = p.latency / 4,
                            .latency_max_ms = p.latency,
                            .loss_permille = (unsigned)p.loss};
    struct sim *s = sim_new(&o);
    struct table *t = table_new(columns, ARRAY_LEN(columns));
    if (s == NULL || t == NULL)
        code = cli_fail(cli, CLI_FAILED, "%s", err_text(ERR_NOMEM));
    else
        code = simulate(cli, s, &p, &files, t);
    if (code == CLI_OK)
        code = table_print(t, cli->output, "Nothing happened; --events says how many links fail.");
    table_free(t);
    sim_free(s);
    sim_files_done(&files);
    return code;
}
