/* cli/cmd_link.c — connectors of this group: whether they are UP and why, and an administrator's word. */
#include "cli/alive.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/routing_view.h"
#include "cli/table.h"
#include "common/nearest.h"
#include "linkstate/record_config.h"
#include "queue/routing_master.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum {
    L_NAME,
    L_TYPE,
    L_TO,
    L_COST,
    L_UP,
    L_STATE,
    L_SINCE,
    L_TARGETS,
    L_SOURCES,
    L_FAILURES,
    L_PENALTY,
    L_HELD,
    L_PROBE,
    L_WORD,
    L_UNTIL,
    L_BY,
    L_REASON,
    L_ERROR
};
static const struct column link_columns[] = {
    [L_NAME] = {"connector", "CONNECTOR", COLUMN_TEXT, 32},
    [L_TYPE] = {"type", NULL, COLUMN_TEXT, 0},
    [L_TO] = {"to_group", "TO", COLUMN_TEXT, 32 | COLUMN_RARE},
    [L_COST] = {"cost", "COST", COLUMN_COUNT, COLUMN_RARE},
    [L_UP] = {"up", NULL, COLUMN_BOOL, 0},
    [L_STATE] = {"state", "STATE", COLUMN_TEXT, 0},
    [L_SINCE] = {"since", "SINCE", COLUMN_TIME, COLUMN_RARE},
    [L_TARGETS] = {"targets_up", "TARGETS UP", COLUMN_TEXT, COLUMN_RARE},
    [L_SOURCES] = {"sources_alive", "SOURCES ALIVE", COLUMN_TEXT, COLUMN_RARE},
    [L_FAILURES] = {"failures", "FAILURES", COLUMN_COUNT, COLUMN_RARE},
    [L_PENALTY] = {"penalty", "PENALTY", COLUMN_COUNT, COLUMN_RARE},
    [L_HELD] = {"held_ms", "HELD FOR", COLUMN_AGE, COLUMN_RARE},
    [L_PROBE] = {"next_probe_ms", "NEXT TRY", COLUMN_AGE, COLUMN_RARE},
    [L_WORD] = {"override", "OVERRIDE", COLUMN_TEXT, COLUMN_RARE},
    [L_UNTIL] = {"override_until", "UNTIL", COLUMN_TIME, COLUMN_RARE},
    [L_BY] = {"override_by", "BY", COLUMN_TEXT, 16 | COLUMN_RARE},
    [L_REASON] = {"override_reason", "REASON", COLUMN_TEXT, 40 | COLUMN_RARE},
    [L_ERROR] = {"last_error", "LAST ERROR", COLUMN_TEXT, 60 | COLUMN_RARE},
};
struct links {
    struct remote r;
    struct table *table;
    json_t *targets, *sources; /* of each row, a list */
    struct alive alive;
    bool *seen;      /* configured connectors that a row was made of */
    bool ok, master; /* master: some router is one */
    bool worded;     /* there is a word about the connector that is meant */
};

static const struct conf_root *root_of(const struct links *l)
{
    return config_root(l->r.cli->conf);
}

static const struct conf_connector *find_connector(const struct conf_root *root, struct span name)
{
    for (size_t i = 0; i < root->connectors.count; i++)
        if (span_eq(span_cstr(root->connectors.items[i].name), name))
            return &root->connectors.items[i];
    return NULL;
}

/* --- link list --------------------------------------------------------------------------------------------
 */

static bool add_sources(struct links *l, const struct conf_connector *c)
{
    json_t *list = json_array();
    size_t n = c == NULL ? 0 : c->source_bridgeheads.count, up = 0;
    char text[48];
    for (size_t i = 0; i < n; i++) {
        const char *name = c->source_bridgeheads.items[i];
        bool is = alive_has(&l->alive, name);
        up += is;
        (void)json_array_append_new(list, json_pack("{s:s, s:b}", "source", name, "alive", (int)is));
    }
    (void)json_array_append_new(l->sources, list);
    (void)snprintf(text, sizeof text, "%zu of %zu", up, n);
    return n == 0 || table_text(l->table, L_SOURCES, span_cstr(text)) == ERR_OK;
}

static bool add_configured(struct links *l, struct span name, const struct conf_connector *c)
{
    struct table *t = l->table;
    bool group = c != NULL && c->type == CONF_CONNECTOR_ROUTING_GROUP;
    if (table_row(t) != ERR_OK || table_text(t, L_NAME, name) != ERR_OK || !add_sources(l, c))
        return false;
    if (group)
        table_number(t, L_COST, c->cost);
    return c == NULL || (table_text(t, L_TYPE, group ? SPAN("routing_group") : SPAN("smtp")) == ERR_OK &&
                         (!group || table_text(t, L_TO, span_cstr(c->to_group)) == ERR_OK));
}

static bool add_override(struct table *t, const struct routing_link *k)
{
    if (k->override == ROUTING_AUTO)
        return true;
    if (k->override_until_ms > 0)
        table_number(t, L_UNTIL, k->override_until_ms);
    return table_text(t, L_WORD, k->override == ROUTING_UP ? SPAN("UP") : SPAN("DOWN")) == ERR_OK &&
           table_text(t, L_BY, k->override_by) == ERR_OK &&
           table_text(t, L_REASON, k->override_reason) == ERR_OK;
}

static bool add_targets(struct links *l, const struct routing_link *k)
{
    json_t *list = json_array();
    size_t up = 0;
    char text[48];
    for (size_t i = 0; i < k->ntargets; i++) {
        const struct routing_target *t = &k->targets[i];
        char since[32] = "";
        up += t->up;
        if (t->since_ms > 0)
            clock_rfc3339(t->since_ms, since);
        (void)json_array_append_new(
            list, json_pack("{s:s%, s:b, s:s?, s:s%}", "target", t->name.len > 0 ? t->name.ptr : "",
                            t->name.len, "up", (int)t->up, "since", t->since_ms > 0 ? since : NULL, "error",
                            t->error.len > 0 ? t->error.ptr : "", t->error.len));
    }
    (void)json_array_append_new(l->targets, list);
    (void)snprintf(text, sizeof text, "%zu of %zu", up, k->ntargets);
    return table_text(l->table, L_TARGETS, span_cstr(text)) == ERR_OK;
}

static bool on_link(void *arg, const struct routing_link *k)
{
    struct links *l = ((struct remote *)arg)->user;
    struct table *t = l->table;
    const struct conf_connector *c = find_connector(root_of(l), k->name);
    /* What is announced first; where it differs, what was found out: "DOWN", "UP (GLITCH)". */
    char state[64];
    bool none = c != NULL && alive_none(&l->alive, c), up = k->up && !none;
    struct span found = none ? SPAN("no source") : span_first(k->state, 16);
    bool same = span_eq(found, up ? SPAN("UP") : SPAN("DOWN"));
    (void)snprintf(state, sizeof state, same ? "%s" : "%s (" SPAN_FMT ")", up ? "UP" : "DOWN",
                   SPAN_ARG(found));
    if (c != NULL)
        l->seen[c - root_of(l)->connectors.items] = true;
    l->ok = add_configured(l, k->name, c) && table_text(t, L_STATE, span_cstr(state)) == ERR_OK &&
            add_targets(l, k) && add_override(t, k) && table_text(t, L_ERROR, k->error) == ERR_OK;
    table_number(t, L_UP, up);
    if (k->since_ms > 0)
        table_number(t, L_SINCE, k->since_ms);
    table_number(t, L_FAILURES, k->failures);
    table_number(t, L_PENALTY, k->penalty);
    if (k->held_until_ms > k->now_ms)
        table_number(t, L_HELD, k->held_until_ms - k->now_ms);
    if (k->next_probe_ms > 0)
        table_number(t, L_PROBE, k->next_probe_ms > k->now_ms ? k->next_probe_ms - k->now_ms : 0);
    return l->ok;
}

static bool on_router(void *arg, const struct routing_router *m)
{
    struct links *l = ((struct remote *)arg)->user;
    l->master = l->master || (m->master && m->lease_ms > m->now_ms);
    return true;
}

/* Configured, and nothing told of it yet: what finds its targets by DNS is never DOWN. */
static bool add_others(struct links *l)
{
    const struct conf_root *root = root_of(l);
    for (size_t i = 0; i < root->connectors.count; i++) {
        const struct conf_connector *c = &root->connectors.items[i];
        if (l->seen[i])
            continue;
        if (!add_configured(l, span_cstr(c->name), c) ||
            table_text(l->table, L_STATE,
                       alive_none(&l->alive, c) ? SPAN("DOWN (no source)")
                       : connector_by_dns(c)    ? SPAN("UP (by DNS)")
                       : l->master              ? SPAN("UP (no trouble heard of)")
                                                : SPAN("UP (no router watches it)")) != ERR_OK)
            return false;
        table_number(l->table, L_UP, !alive_none(&l->alive, c));
        (void)json_array_append_new(l->targets, json_array());
    }
    return true;
}

static int print_links(struct links *l)
{
    static const char none[] = "No connectors are configured.";
    if (l->r.cli->output != CLI_JSON)
        return table_print(l->table, CLI_TABLE, none);
    json_t *rows = table_json(l->table);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        (void)json_object_set(json_array_get(rows, i), "targets", json_array_get(l->targets, i));
        (void)json_object_set(json_array_get(rows, i), "sources", json_array_get(l->sources, i));
    }
    return json_print(rows);
}

int cmd_link_list(struct cli *cli)
{
    struct links l = {.ok = true};
    int code = remote_open_routing(&l.r, cli);
    l.r.user = &l;
    if (code == CLI_OK) {
        l.table = table_new(link_columns, ARRAY_LEN(link_columns));
        l.targets = json_array();
        l.sources = json_array();
        l.seen = calloc(root_of(&l)->connectors.count + 1, sizeof *l.seen);
        if (l.table == NULL || l.targets == NULL || l.sources == NULL || l.seen == NULL)
            code = cli_fail(cli, CLI_FAILED, "out of memory");
    }
    if (code == CLI_OK)
        code = alive_read(&l.alive, &l.r);
    if (code == CLI_OK && remote_asked(&l.r, routing_links(l.r.routing, on_link, remote_done, &l.r)))
        code = remote_wait(&l.r);
    if (code == CLI_OK && remote_asked(&l.r, routing_routers(l.r.routing, on_router, remote_done, &l.r)))
        code = remote_wait(&l.r);
    if (code == CLI_OK && (!l.ok || !add_others(&l)))
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK)
        code = print_links(&l);
    table_free(l.table);
    json_decref(l.targets);
    json_decref(l.sources);
    alive_done(&l.alive);
    free(l.seen);
    remote_close(&l.r);
    return code;
}

/* --- link down, up, auto
 * ------------------------------------------------------------------------------------ */

static const char *name_at(void *list, size_t i)
{
    const struct conf_root *root = list;
    return i < root->connectors.count ? root->connectors.items[i].name : NULL;
}

static bool on_word(void *arg, const struct routing_word *w)
{
    struct links *l = ((struct remote *)arg)->user;
    l->worded = l->worded || span_eq(w->connector, span_cstr(l->r.cli->args[0]));
    return true;
}

/* The connector that is meant, or why there is no word about it. */
static int check_connector(struct links *l, enum routing_override word)
{
    struct cli *cli = l->r.cli;
    const struct conf_root *root = config_root(cli->conf);
    const struct conf_connector *c = find_connector(root, span_cstr(cli->args[0]));
    struct conf_root *list = (struct conf_root *)(uintptr_t)root; /* name_at() changes nothing */
    if (word == ROUTING_AUTO && c == NULL) { /* not configured any more, and a word is left of it? */
        if (remote_asked(&l->r, routing_words(l->r.routing, on_word, remote_done, &l->r)))
            (void)remote_wait(&l->r);
        if (l->r.code != CLI_OK || l->worded)
            return l->r.code;
    }
    if (word == ROUTING_AUTO && c != NULL)
        return CLI_OK;
    if (c == NULL) {
        const char *near = nearest_word(span_cstr(cli->args[0]), name_at, list);
        return near != NULL
                   ? cli_fail(cli, CLI_NOTFOUND, "there is no connector '%s'; did you mean '%s'?",
                              cli->args[0], near)
                   : cli_fail(cli, CLI_NOTFOUND,
                              "there is no connector '%s'; `bridgehead link list` shows them", cli->args[0]);
    }
    if (connector_by_dns(c))
        return cli_fail(
            cli, CLI_USAGE,
            "connector '%s' finds its targets by DNS and is never DOWN; `bridgehead queue freeze` "
            "holds the mail of a destination",
            c->name);
    return CLI_OK;
}

static int tell(struct links *l, enum routing_override word, ms_t for_ms)
{
    struct cli *cli = l->r.cli;
    struct span by = remote_user(), reason = span_cstr(cli_opt(cli, "reason"));
    int code = CLI_OK;
    if (reason.len > ROUTING_TEXT_MAX)
        return cli_fail(cli, CLI_USAGE, "--reason: at most %d characters", ROUTING_TEXT_MAX);
    if (remote_asked(&l->r, routing_override_set(l->r.routing, span_cstr(cli->args[0]), word, for_ms, by,
                                                 reason, remote_done, &l->r)))
        (void)remote_wait(&l->r);
    code = l->r.code;
    if (code == CLI_OK && remote_asked(&l->r, routing_routers(l->r.routing, on_router, remote_done, &l->r)))
        (void)remote_wait(&l->r);
    return l->r.code;
}

static int say_word(struct cli *cli, enum routing_override word)
{
    struct links l = {.ok = true};
    const char *text = cli_opt(cli, "for");
    ms_t for_ms = 0;
    if (text != NULL &&
        (duration_parse(span_cstr(text), &for_ms) != ERR_OK || for_ms == 0 || for_ms > ROUTING_WORD_MAX_MS))
        return cli_fail(cli, CLI_USAGE, "--for takes 90s, 10m, 2h or 3d, at most 3650d, not '%s'", text);
    int code = remote_open_routing(&l.r, cli);
    l.r.user = &l;
    if (code == CLI_OK)
        code = check_connector(&l, word);
    if (code == CLI_OK)
        code = tell(&l, word, for_ms);
    remote_close(&l.r);
    if (code != CLI_OK)
        return code;
    if (cli->output == CLI_JSON)
        return json_print(json_pack("{s:s, s:s, s:s?, s:b}", "connector", cli->args[0], "override",
                                    word == ROUTING_AUTO ? "auto"
                                    : word == ROUTING_UP ? "UP"
                                                         : "DOWN",
                                    "for", text, "router_running", (int)l.master));
    if (word == ROUTING_AUTO)
        (void)printf("%s: what workers and probes find out decides again", cli->args[0]);
    else
        (void)printf("%s: %s %s%s, whatever is found out", cli->args[0], word == ROUTING_UP ? "UP" : "DOWN",
                     text == NULL ? "until `bridgehead link auto`" : "for ", text == NULL ? "" : text);
    (void)printf(l.master ? "\n" : "; no router is running: it takes effect when one does\n");
    return CLI_OK;
}

int cmd_link_down(struct cli *cli)
{
    return say_word(cli, ROUTING_DOWN);
}

int cmd_link_up(struct cli *cli)
{
    return say_word(cli, ROUTING_UP);
}

int cmd_link_auto(struct cli *cli)
{
    return say_word(cli, ROUTING_AUTO);
}
