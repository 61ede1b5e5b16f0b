/* cli/cmd_simulate.c — plans: how link state spreads over a topology when links fail and heal. */
#include "cli/commands.h"
#include "cli/sim_files.h"
#include "cli/table.h"
#include "common/plural.h"
#include "linkstate/scenario.h"
#include "linkstate/shape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CONVERGE_MS = 600000 };

struct plan {
    enum shape shape;
    uint64_t groups, links, events, loss, latency, seed;
};
struct run {
    struct cli *cli;
    struct plan plan;
    struct rng rng;
    struct sim *s;
    struct sim_files files;
    struct scenario script;
    struct table *t;
    ms_t start_ms, worst_ms;
    uint64_t bytes, full_flood_bytes;
    unsigned apart; /* events that had not spread when the next one came */
};

enum {
    S_AT,
    S_EVENT,
    S_WHAT,
    S_TIME,
    S_MESSAGES,
    S_BYTES,
    S_FULL,
    S_CUT_OFF,
    S_CROSSED,
    S_KEEPALIVES,
    S_KEPT_BYTES,
    S_LOST
};
static const struct column columns[] = {
    [S_AT] = {"at_ms", "AT", COLUMN_MOMENT, 0},
    [S_EVENT] = {"event", "EVENT", COLUMN_TEXT, 0},
    [S_WHAT] = {"what", "WHAT", COLUMN_TEXT, 0},
    [S_TIME] = {"converged_ms", "CONVERGED", COLUMN_AGE, 0},
    [S_MESSAGES] = {"messages", "MESSAGES", COLUMN_COUNT, 0},
    [S_BYTES] = {"bytes", "BYTES", COLUMN_BYTES, 0},
    [S_FULL] = {"full_flood_bytes", "FULL TABLES", COLUMN_BYTES, 0},
    [S_CUT_OFF] = {"cut_off_groups", "CUT OFF", COLUMN_COUNT, 0},
    [S_CROSSED] = {"most_crossings", "MOST CROSSINGS", COLUMN_COUNT, 0},
    [S_KEEPALIVES] = {"keepalives", NULL, COLUMN_COUNT, 0},
    [S_KEPT_BYTES] = {"keepalive_bytes", NULL, COLUMN_BYTES, 0},
    [S_LOST] = {"lost", NULL, COLUMN_COUNT, 0},
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
    *p = (struct plan){.shape = SHAPE_RANDOM, .groups = 100, .latency = 20, .seed = 1};
    p->events = cli_opt(cli, "script") != NULL ? 0 : 10;
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

static enum err add_row(struct run *r, const struct scenario_event *ev, const struct scenario_result *was)
{
    struct table *t = r->t;
    struct buf what;
    buf_init(&what, (size_t)4 * RECORD_NAME_MAX);
    enum err e = table_row(t);
    if (e == ERR_OK)
        e = scenario_subject(r->s, ev, &what);
    if (e == ERR_OK)
        e = table_text(t, S_WHAT, buf_span(&what));
    if (e == ERR_OK)
        e = table_text(t, S_EVENT, span_cstr(scenario_name(ev->kind)));
    buf_done(&what);
    if (e != ERR_OK)
        return e;
    if (was->converged)
        table_number(t, S_TIME, was->took_ms);
    table_number(t, S_AT, was->at_ms);
    table_number(t, S_MESSAGES, was->stats.messages - was->stats.keepalives);
    table_number(t, S_BYTES, was->stats.bytes - was->stats.keepalive_bytes);
    table_number(t, S_FULL, was->full_flood_bytes);
    table_number(t, S_CUT_OFF, was->cut_off);
    table_number(t, S_CROSSED, was->stats.advertised_most);
    table_number(t, S_KEEPALIVES, was->stats.keepalives);
    table_number(t, S_KEPT_BYTES, was->stats.keepalive_bytes);
    table_number(t, S_LOST, was->stats.lost);
    return ERR_OK;
}

/* next: NULL when nothing is known to come. */
static enum err one_event(struct run *r, const struct scenario_event *ev, const struct scenario_event *next)
{
    struct scenario_result was;
    ms_t begin = sim_now(r->s) - r->start_ms;
    if (ev->timed && ev->at_ms > begin)
        begin = ev->at_ms;
    ms_t until = begin + CONVERGE_MS;
    if (next != NULL && next->timed && next->at_ms < until)
        until = next->at_ms > begin ? next->at_ms : begin;
    enum err e = scenario_run(r->s, ev, r->start_ms, until, &was);
    if (e != ERR_OK)
        return e;
    r->apart += !was.converged;
    if (was.took_ms > r->worst_ms)
        r->worst_ms = was.took_ms;
    r->bytes += was.stats.bytes - was.stats.keepalive_bytes;
    r->full_flood_bytes += was.full_flood_bytes;
    return add_row(r, ev, &was);
}

static enum err all_events(struct run *r)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < r->script.n; i++)
        e = one_event(r, &r->script.events[i], i + 1 < r->script.n ? &r->script.events[i + 1] : NULL);
    for (uint64_t i = 0; e == ERR_OK && sim_links(r->s) > 0 && i < r->plan.events; i++) {
        struct scenario_event ev;
        e = scenario_random(r->s, &r->rng, &ev);
        if (e == ERR_OK)
            e = one_event(r, &ev, NULL);
    }
    return e;
}

static int build(struct run *r)
{
    struct cli *cli = r->cli;
    struct errctx ec = {""};
    if (cli->nargs > 0) {
        int code = sim_files_load(cli, cli->args, cli->nargs, r->s, &r->files);
        if (code != CLI_OK)
            return code;
    } else {
        enum err e =
            shape_build(r->s, r->plan.shape, (uint32_t)r->plan.groups, (uint32_t)r->plan.links, &r->rng);
        if (e != ERR_OK)
            return cli_fail(cli, CLI_FAILED, "%s", err_text(e));
    }
    if (sim_groups(r->s) == 0)
        return cli_fail(cli, CLI_CONFIG, "there is no group in %s", cli->args[0]);
    return sim_check(r->s, &ec) == ERR_OK ? CLI_OK : cli_fail(cli, CLI_CONFIG, "%s", ec.msg);
}

static int read_script(struct run *r)
{
    const char *path = cli_opt(r->cli, "script");
    struct errctx ec = {""};
    struct buf text;
    if (path == NULL)
        return CLI_OK;
    buf_init(&text, SCENARIO_TEXT_MAX);
    int code = sim_read_file(r->cli, path, &text);
    if (code == CLI_OK && scenario_parse(buf_span(&text), r->s, &r->script, &ec) != ERR_OK)
        code = cli_fail(r->cli, CLI_CONFIG, "%s: %s", path, ec.msg);
    buf_done(&text);
    return code;
}

static int simulate(struct run *r)
{
    rng_seed(&r->rng, r->plan.seed);
    int code = build(r);
    if (code == CLI_OK)
        code = read_script(r);
    if (code != CLI_OK)
        return code;
    enum err e = sim_start_converged(r->s);
    sim_run(r->s, r->plan.latency * 4); /* the greetings of the adjacencies */
    r->start_ms = sim_now(r->s);
    if (e == ERR_OK)
        e = all_events(r);
    return e == ERR_OK ? CLI_OK : cli_fail(r->cli, CLI_FAILED, "%s", err_text(e));
}

/* --- what became of it ---------------------------------------------------------------------------------- */

static int write_file(struct run *r, const char *path, const struct buf *out)
{
    FILE *f = fopen(path, "we");
    bool ok = f != NULL && fwrite(out->ptr, 1, out->len, f) == out->len;
    if (f != NULL)
        ok = fclose(f) == 0 && ok;
    return ok ? CLI_OK : cli_fail(r->cli, CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
}

/* The file without its folders: the same drawing from wherever it was read. */
static struct span name_topology(const struct run *r, char out[320])
{
    struct span from = r->cli->nargs > 0 ? span_cstr(r->cli->args[0]) : span_cstr(shape_name(r->plan.shape));
    size_t slash;
    if (span_rfind(from, '/', &slash))
        from = span_from(from, slash + 1);
    int n =
        snprintf(out, 320, "simulation of " SPAN_FMT "%s, after %zu event%s", SPAN_ARG(span_first(from, 255)),
                 r->cli->nargs > 1 ? " and others" : "", table_rows(r->t), plural(table_rows(r->t)));
    return span_of(out, (size_t)n);
}

static int draw(struct run *r, const char *option, enum err (*how)(struct drawing *d, struct buf *out))
{
    const char *path = cli_opt(r->cli, option);
    if (path == NULL)
        return CLI_OK;
    struct buf out;
    int code = CLI_OK;
    char title[320];
    struct drawing *d = drawing_new(name_topology(r, title), SPAN(""));
    buf_init(&out, DRAWING_MAX);
    enum err e = d == NULL ? ERR_NOMEM : sim_draw(r->s, d);
    if (e == ERR_OK)
        e = how(d, &out);
    if (e == ERR_TOOBIG && how == drawing_svg)
        code = cli_fail(r->cli, CLI_FAILED, "an SVG of more than %d groups cannot be drawn; use --dot",
                        DRAWING_SVG_GROUPS_MAX);
    else if (e != ERR_OK)
        code = cli_fail(r->cli, CLI_FAILED, "drawing: %s", err_text(e));
    else
        code = write_file(r, path, &out);
    drawing_free(d);
    buf_done(&out);
    return code;
}

static int print_sum(const struct run *r)
{
    char worst[24], bytes[24], full[24];
    if (r->cli->output != CLI_TABLE || table_rows(r->t) == 0)
        return CLI_OK;
    age_text(r->worst_ms, worst);
    bytes_text(r->bytes, bytes);
    bytes_text(r->full_flood_bytes, full);
    (void)printf(
        "%zu group%s, %zu link%s; longest convergence %s; %s sent for all events, %s with full tables\n",
        sim_groups(r->s), plural(sim_groups(r->s)), sim_links(r->s), plural(sim_links(r->s)), worst, bytes,
        full);
    if (r->apart > 0)
        (void)printf("%u event%s had not spread everywhere when the next one came, or the time was over\n",
                     r->apart, plural(r->apart));
    return CLI_OK;
}

int cmd_simulate(struct cli *cli)
{
    struct run r = {.cli = cli};
    int code = read_plan(cli, &r.plan);
    if (code != CLI_OK)
        return code;
    struct sim_options o = {.seed = r.plan.seed,
                            .latency_min_ms = r.plan.latency / 4,
                            .latency_max_ms = r.plan.latency,
                            .loss_permille = (unsigned)r.plan.loss};
    r.s = sim_new(&o);
    r.t = table_new(columns, ARRAY_LEN(columns));
    if (r.s == NULL || r.t == NULL)
        code = cli_fail(cli, CLI_FAILED, "%s", err_text(ERR_NOMEM));
    else
        code = simulate(&r);
    if (code == CLI_OK)
        code = table_print(r.t, cli->output, "Nothing happened; --events says how many links fail.");
    if (code == CLI_OK)
        code = print_sum(&r);
    if (code == CLI_OK)
        code = draw(&r, "svg", drawing_svg);
    if (code == CLI_OK)
        code = draw(&r, "dot", drawing_dot);
    table_free(r.t);
    sim_free(r.s);
    scenario_done(&r.script);
    sim_files_done(&r.files);
    return code;
}
