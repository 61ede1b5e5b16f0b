/* cli/cmd_linkstate.c — the organization as this group sees it: groups, the table, its history, its
 * neighbours. */
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/routing_view.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 10000, HISTORY_SHOWN = 50 };

struct asking {
    struct remote r;
    struct view view;
    bool have; /* view */
    struct table *table;
    bool no_memory;
    unsigned unequal; /* neighbours that differ, or do not answer */
    struct span only; /* history: a group */
    uint64_t rows, most;
};

static const struct conf_root *root_of(const struct asking *a)
{
    return config_root(a->r.cli->conf);
}

static int begin(struct asking *a, struct cli *cli, const struct column *columns, size_t n)
{
    *a = (struct asking){.have = false};
    int code = remote_open_routing(&a->r, cli);
    a->r.user = a;
    if (code == CLI_OK && columns != NULL && (a->table = table_new(columns, n)) == NULL)
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    return code;
}

static int end(struct asking *a, int code)
{
    if (code == CLI_OK && a->no_memory)
        code = cli_fail(a->r.cli, CLI_FAILED, "out of memory");
    if (a->have)
        view_done(&a->view);
    table_free(a->table);
    remote_close(&a->r);
    return code;
}

static void on_table(void *arg, enum err e, const struct routing_table *t, const char *why)
{
    struct asking *a = arg;
    struct errctx ec = {""};
    if (e == ERR_OK) {
        e = view_load(t, root_of(a), &a->view, &ec);
        a->have = e == ERR_OK;
        why = ec.msg;
    }
    remote_ended(&a->r, e, e == ERR_OK ? "" : why);
}

static int get_table(struct asking *a)
{
    if (remote_asked(&a->r, routing_table_get(a->r.routing, 0, on_table, a)))
        return remote_wait(&a->r);
    return a->r.code;
}

/* --- linkstate show ----------------------------------------------------------------------------------------
 */

/* --watch: every table as it is published, until the pipe or the terminal ends it. */
static void on_watched(void *arg, const struct routing_table *t)
{
    struct asking *a = arg;
    struct errctx ec = {""};
    struct cli *cli = a->r.cli;
    struct view v;
    if (cli->output == CLI_TABLE && isatty(STDOUT_FILENO) != 0)
        (void)printf("\033[H\033[2J");
    if (view_load(t, root_of(a), &v, &ec) != ERR_OK) {
        (void)fprintf(stderr, "bridgehead %s: %s\n", cli->verb->name, ec.msg);
        return;
    }
    a->r.code = view_print(&v, root_of(a), cli->output, cli_opt(cli, "raw") != NULL);
    view_done(&v);
    if (a->r.code != CLI_OK || fflush(stdout) != 0 || ferror(stdout) != 0)
        loop_stop(a->r.loop);
}

int cmd_linkstate_show(struct cli *cli)
{
    struct asking a;
    int code = begin(&a, cli, NULL, 0);
    if (code == CLI_OK && cli_opt(cli, "watch") != NULL) {
        routing_watch(a.r.routing, on_watched, &a);
        loop_run(a.r.loop);
        return end(&a, a.r.code);
    }
    if (code == CLI_OK)
        code = get_table(&a);
    if (code == CLI_OK)
        code = view_print(&a.view, root_of(&a), cli->output, cli_opt(cli, "raw") != NULL);
    return end(&a, code);
}

/* --- group list --------------------------------------------------------------------------------------------
 */

enum {
    G_NAME,
    G_SELF,
    G_VERSION,
    G_AGE,
    G_MASTER,
    G_MEMBERS,
    G_CONNECTORS,
    G_DOWN,
    G_DOMAINS,
    G_ADJACENCY,
    G_SIGNED
};
static const struct column group_columns[] = {
    [G_NAME] = {"group", "GROUP", COLUMN_TEXT, 40},
    [G_SELF] = {"self", NULL, COLUMN_BOOL, 0},
    [G_VERSION] = {"version", "VERSION", COLUMN_TEXT, 0},
    [G_AGE] = {"age_ms", "REFRESHED", COLUMN_AGE, 0},
    [G_MASTER] = {"master", "MASTER", COLUMN_TEXT, 24},
    [G_MEMBERS] = {"members", "ROUTERS", COLUMN_COUNT, 0},
    [G_CONNECTORS] = {"connectors", "CONNECTORS", COLUMN_COUNT, 0},
    [G_DOWN] = {"down", "DOWN", COLUMN_COUNT, 0},
    [G_DOMAINS] = {"local_domains", "DOMAINS", COLUMN_COUNT, 0},
    [G_ADJACENCY] = {"adjacency", "NEIGHBOUR", COLUMN_TEXT, 0},
    [G_SIGNED] = {"signed", NULL, COLUMN_BOOL, 0},
};
struct neighbour { /* what the master said of it */
    char group[ROUTING_NAME_MAX + 1], state[17];
};
struct group_list {
    struct asking a;
    struct neighbour *neighbours;
    size_t n;
};

static bool on_adjacency(void *arg, const struct routing_adjacency *j)
{
    struct group_list *l = (struct group_list *)((struct remote *)arg)->user;
    struct neighbour *p = realloc(l->neighbours, (l->n + 1) * sizeof *p);
    l->a.no_memory = p == NULL;
    if (p == NULL)
        return false;
    l->neighbours = p;
    struct neighbour *n = &p[l->n++];
    (void)snprintf(n->group, sizeof n->group, SPAN_FMT, SPAN_ARG(span_first(j->neighbour, ROUTING_NAME_MAX)));
    (void)snprintf(n->state, sizeof n->state, SPAN_FMT, SPAN_ARG(span_first(j->state, 16)));
    return true;
}

static const char *adjacency_of(const struct group_list *l, struct span group)
{
    for (size_t i = 0; i < l->n; i++)
        if (span_eq(span_cstr(l->neighbours[i].group), group))
            return l->neighbours[i].state;
    return NULL;
}

static void count_connectors(const struct record *r, uint64_t *n, uint64_t *down, uint64_t *domains)
{
    *n = *down = *domains = 0;
    for (size_t i = 0; i < r->nconnectors; i++) {
        const struct record_connector *c = &r->connectors[i];
        if (span_eq(c->name, SPAN(RECORD_LOCAL_CONNECTOR))) {
            *domains = c->nspaces;
            continue;
        }
        ++*n;
        *down += !c->up;
    }
}

static bool add_group(struct group_list *l, const struct view_group *g)
{
    struct table *t = l->a.table;
    char version[48];
    uint64_t n, down, domains;
    struct span name = g->entry.lsa.group;
    bool self = span_eq(name, span_cstr(root_of(&l->a)->routing_group.name));
    const char *adjacency = self ? "(this group)" : adjacency_of(l, name);
    view_version(&g->entry.lsa.version, version);
    if (table_row(t) != ERR_OK || table_text(t, G_NAME, name) != ERR_OK ||
        table_text(t, G_VERSION, span_cstr(version)) != ERR_OK ||
        (adjacency != NULL && table_text(t, G_ADJACENCY, span_cstr(adjacency)) != ERR_OK))
        return false;
    table_number(t, G_SELF, self);
    table_number(t, G_AGE, g->age_ms);
    if (g->how != VIEW_UNCHECKED)
        table_number(t, G_SIGNED, g->how == VIEW_SIGNED);
    if (!g->parsed)
        return true;
    count_connectors(&g->record, &n, &down, &domains);
    table_number(t, G_MEMBERS, g->record.nmembers);
    table_number(t, G_CONNECTORS, n);
    table_number(t, G_DOWN, down);
    table_number(t, G_DOMAINS, domains);
    return table_text(t, G_MASTER, g->record.master) == ERR_OK;
}

/* A configured neighbour whose record nobody has: it is in no table, and that is worth a row. */
static bool add_absent(struct group_list *l, struct span name)
{
    struct table *t = l->a.table;
    const char *state = adjacency_of(l, name);
    for (size_t i = 0; i < l->a.view.ngroups; i++)
        if (span_eq(l->a.view.groups[i].entry.lsa.group, name))
            return true;
    if (table_row(t) != ERR_OK)
        return false;
    table_number(t, G_SELF, false);
    return table_text(t, G_NAME, name) == ERR_OK &&
           table_text(t, G_VERSION, SPAN("never heard of")) == ERR_OK &&
           table_text(t, G_ADJACENCY, span_cstr(state != NULL ? state : "DOWN")) == ERR_OK;
}

int cmd_group_list(struct cli *cli)
{
    struct group_list l = {.n = 0};
    int code = begin(&l.a, cli, group_columns, ARRAY_LEN(group_columns));
    l.a.r.user = &l;
    if (code == CLI_OK)
        code = get_table(&l.a);
    if (code == CLI_OK &&
        remote_asked(&l.a.r, routing_adjacencies(l.a.r.routing, on_adjacency, remote_done, &l.a.r)))
        code = remote_wait(&l.a.r);
    const struct conf_routing_group *own = code == CLI_OK ? &root_of(&l.a)->routing_group : NULL;
    for (size_t i = 0; code == CLI_OK && i < l.a.view.ngroups; i++)
        l.a.no_memory = l.a.no_memory || !add_group(&l, &l.a.view.groups[i]);
    for (size_t i = 0; code == CLI_OK && i < own->neighbours.count; i++)
        l.a.no_memory = l.a.no_memory || !add_absent(&l, span_cstr(own->neighbours.items[i].group));
    if (code == CLI_OK && !l.a.no_memory)
        code = table_print(l.a.table, cli->output, "No group is known.");
    free(l.neighbours);
    return end(&l.a, code);
}

/* --- linkstate verify
 * ---------------------------------------------------------------------------------------- */

enum { V_GROUP, V_STATE, V_TABLE, V_NAMES };
static const struct column verify_columns[] = {
    [V_GROUP] = {"neighbour", "NEIGHBOUR", COLUMN_TEXT, 40},
    [V_STATE] = {"adjacency", "ADJACENCY", COLUMN_TEXT, 0},
    [V_TABLE] = {"table", "TABLE", COLUMN_TEXT, 0},
    [V_NAMES] = {"differing", "DIFFERING GROUPS", COLUMN_TEXT, 80},
};

static bool add_verdict(struct asking *a, struct span line)
{
    struct span group, state, verdict, names;
    (void)span_cut(line, ' ', &group, &line);
    (void)span_cut(line, ' ', &state, &line);
    (void)span_cut(line, ' ', &verdict, &names);
    a->unequal += !span_eq(verdict, SPAN("equal"));
    return table_row(a->table) == ERR_OK && table_text(a->table, V_GROUP, group) == ERR_OK &&
           table_text(a->table, V_STATE, state) == ERR_OK &&
           table_text(a->table, V_TABLE, verdict) == ERR_OK && table_text(a->table, V_NAMES, names) == ERR_OK;
}

static void on_verified(void *arg, enum err e, struct span answer, const char *why)
{
    struct asking *a = arg;
    while (e == ERR_OK && answer.len > 0) {
        struct span line;
        (void)span_cut(answer, '\n', &line, &answer);
        if (line.len > 0 && !add_verdict(a, line))
            e = ERR_NOMEM;
    }
    remote_ended(&a->r, e, why);
}

int cmd_linkstate_verify(struct cli *cli)
{
    struct asking a;
    int code = begin(&a, cli, verify_columns, ARRAY_LEN(verify_columns));
    if (code == CLI_OK &&
        remote_asked(&a.r, routing_ask(a.r.routing, ROUTING_VERIFY, SPAN(""), ANSWER_MS, on_verified, &a)))
        (void)remote_wait(&a.r);
    if (code == CLI_OK)
        code = a.r.code;
    if (code == CLI_OK)
        code = table_print(a.table, cli->output, "This group has no neighbours.");
    return end(&a, code == CLI_OK && a.unequal > 0 ? CLI_FAILED : code);
}

/* --- linkstate purge
 * ----------------------------------------------------------------------------------------- */

static void on_purged(void *arg, enum err e, struct span answer, const char *why)
{
    (void)answer;
    remote_ended(&((struct asking *)arg)->r, e, why);
}

int cmd_linkstate_purge(struct cli *cli)
{
    struct asking a;
    int code = begin(&a, cli, NULL, 0);
    struct span group = span_cstr(cli->args[0]);
    if (code == CLI_OK && group.len > ROUTING_NAME_MAX)
        code = cli_fail(cli, CLI_USAGE, "'%s' is no name of a routing group", cli->args[0]);
    if (code == CLI_OK &&
        remote_asked(&a.r, routing_ask(a.r.routing, ROUTING_PURGE, group, ANSWER_MS, on_purged, &a)))
        (void)remote_wait(&a.r);
    if (code == CLI_OK)
        code = a.r.code;
    if (code == CLI_OK && cli->output == CLI_TABLE)
        (void)printf(
            "%s: dropped here; when it is alive it comes back by itself. Neighbours drop it when their "
            "copy is not refreshed, or when it is purged there\n",
            cli->args[0]);
    return end(&a, code);
}

/* --- linkstate history
 * --------------------------------------------------------------------------------------- */

enum { H_AT, H_WHAT, H_GROUP, H_CONNECTOR, H_VERSION, H_TEXT };
static const struct column history_columns[] = {
    [H_AT] = {"at", "WHEN", COLUMN_TIME, 0},
    [H_WHAT] = {"what", "WHAT", COLUMN_TEXT, 0},
    [H_GROUP] = {"group", "GROUP", COLUMN_TEXT, 32},
    [H_CONNECTOR] = {"connector", "CONNECTOR", COLUMN_TEXT, 32},
    [H_VERSION] = {"version", "VERSION", COLUMN_TEXT, 0},
    [H_TEXT] = {"why", "WHY", COLUMN_TEXT, 100},
};

static bool on_event(void *arg, const struct routing_event *ev)
{
    struct asking *a = ((struct remote *)arg)->user;
    struct table *t = a->table;
    if (a->only.len > 0 && !span_eq(ev->group, a->only))
        return true;
    if (table_row(t) != ERR_OK || table_text(t, H_WHAT, ev->what) != ERR_OK ||
        table_text(t, H_GROUP, ev->group) != ERR_OK || table_text(t, H_CONNECTOR, ev->connector) != ERR_OK ||
        table_text(t, H_VERSION, ev->version) != ERR_OK || table_text(t, H_TEXT, ev->text) != ERR_OK) {
        a->no_memory = true;
        return false;
    }
    table_number(t, H_AT, ev->at_ms);
    return ++a->rows < a->most;
}

int cmd_linkstate_history(struct cli *cli)
{
    struct asking a;
    const char *most = cli_opt(cli, "max");
    uint64_t n = HISTORY_SHOWN;
    if (most != NULL && (!span_to_u64(span_cstr(most), ROUTING_HISTORY_MAX, &n) || n == 0))
        return cli_fail(cli, CLI_USAGE, "--max takes a number from 1 to %d, not '%s'", ROUTING_HISTORY_MAX,
                        most);
    int code = begin(&a, cli, history_columns, ARRAY_LEN(history_columns));
    a.only = span_cstr(cli_opt(cli, "group"));
    a.most = n;
    if (code == CLI_OK &&
        remote_asked(&a.r, routing_history(a.r.routing, a.only.len > 0 ? ROUTING_HISTORY_MAX : n, on_event,
                                           remote_done, &a.r)))
        (void)remote_wait(&a.r);
    if (code == CLI_OK)
        code = a.r.code;
    if (code == CLI_OK && !a.no_memory)
        code = table_print(a.table, cli->output, "Nothing has happened yet.");
    return end(&a, code);
}
