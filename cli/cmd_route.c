/* cli/cmd_route.c — where mail goes and why: the routes of the published table, as every worker computes
 * them. */
#include "cli/alive.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "common/address.h"
#include "common/config/table.h"
#include "linkstate/route.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

struct asking {
    struct remote r;
    struct route_table *routes;
    uint64_t version; /* of the published table; 0: the configuration alone */
    struct table *table;
    struct route_ask ask;
    struct buf domain;
    struct alive alive; /* workers that connectors of this group list; not --offline */
};

static const struct conf_root *root_of(const struct asking *a)
{
    return config_root(a->r.cli->conf);
}

/* Routes from what routers have published, or with --offline from the configuration alone. */
static int begin(struct asking *a, struct cli *cli)
{
    struct errctx ec = {""};
    *a = (struct asking){.r = {.cli = cli}};
    buf_init(&a->domain, ADDRESS_PATH_MAX);
    if (cli_opt(cli, "offline") == NULL) {
        int code = remote_open_routing(&a->r, cli);
        if (code == CLI_OK)
            code = remote_routes(&a->r, &a->routes, &a->version);
        return code == CLI_OK ? alive_read(&a->alive, &a->r) : code;
    }
    struct config *conf = cli_config(cli);
    if (conf == NULL)
        return CLI_CONFIG;
    return route_table_new(conf, &a->routes, &ec) == ERR_OK ? CLI_OK
                                                            : cli_fail(cli, CLI_CONFIG, "%s", ec.msg);
}

static int end(struct asking *a, int code)
{
    route_table_unref(a->routes);
    table_free(a->table);
    buf_done(&a->domain);
    alive_done(&a->alive);
    remote_close(&a->r);
    return code;
}

static int no_memory(struct cli *cli)
{
    return cli_fail(cli, CLI_FAILED, "out of memory");
}

/* --- route table
 * -------------------------------------------------------------------------------------------- */

enum { T_SPACE, T_COST, T_CONNECTOR, T_GROUP, T_PATH, T_TOTAL, T_STATE, T_UP, T_LOCAL };
static const struct column table_columns[] = {
    [T_SPACE] = {"space", "ADDRESS SPACE", COLUMN_TEXT, 60},
    [T_COST] = {"cost", "COST", COLUMN_COUNT, 0},
    [T_CONNECTOR] = {"connector", "CONNECTOR", COLUMN_TEXT, 40},
    [T_GROUP] = {"group", "GROUP", COLUMN_TEXT, 40},
    [T_PATH] = {"path_cost", "PATH", COLUMN_COUNT, 0},
    [T_TOTAL] = {"total_cost", "TOTAL", COLUMN_COUNT, 0},
    [T_STATE] = {"state", "STATE", COLUMN_TEXT, 0},
    [T_UP] = {"usable", NULL, COLUMN_BOOL, 0},
    [T_LOCAL] = {"local", NULL, COLUMN_BOOL, 0},
};

static bool add_entry(struct table *t, const struct route_entry *e)
{
    const char *state = e->no_source   ? "no source"
                        : !e->up       ? "DOWN"
                        : !e->has_path ? "no path"
                        : e->usable    ? "UP"
                                       : "closed to it";
    if (table_row(t) != ERR_OK || table_text(t, T_SPACE, e->space) != ERR_OK ||
        table_text(t, T_CONNECTOR, e->local ? SPAN("(delivered there)") : e->connector) != ERR_OK ||
        table_text(t, T_GROUP, e->group) != ERR_OK || table_text(t, T_STATE, span_cstr(state)) != ERR_OK)
        return false;
    table_number(t, T_COST, e->space_cost);
    if (e->has_path) {
        table_number(t, T_PATH, e->path_cost);
        table_number(t, T_TOTAL, e->cost);
    }
    table_number(t, T_UP, e->usable);
    table_number(t, T_LOCAL, e->local);
    return true;
}

int cmd_route_table(struct cli *cli)
{
    struct asking a;
    struct route_entry e;
    int code = begin(&a, cli);
    if (code == CLI_OK && (a.table = table_new(table_columns, ARRAY_LEN(table_columns))) == NULL)
        code = no_memory(cli);
    size_t n = code == CLI_OK ? route_entries(a.routes) : 0;
    for (size_t i = 0; code == CLI_OK && i < n; i++)
        if (!route_entry_at(a.routes, i, &e) || !add_entry(a.table, &e))
            code = no_memory(cli);
    if (code == CLI_OK)
        code = table_print(a.table, cli->output, "There are no routes: no connectors and no local domains.");
    return end(&a, code);
}

/* --- route explain: what is asked
 * ------------------------------------------------------------------------------ */

static int read_address(struct asking *a, const char *text)
{
    struct cli *cli = a->r.cli;
    struct errctx ec = {""};
    struct address address;
    struct span domain = span_cstr(text);
    size_t at;
    if (span_rfind(domain, '@', &at)) {
        if (address_parse(domain, true, &address, &ec) != ERR_OK)
            return cli_fail(cli, CLI_USAGE, "'%s' is no address: %s", text, ec.msg);
        domain = address.domain;
    }
    if (domain_normalize(domain, &a->domain) != ERR_OK)
        return cli_fail(cli, CLI_USAGE, "'%s' is neither an address nor a domain", text);
    a->ask.domain = buf_span(&a->domain);
    return CLI_OK;
}

/* As an envelope has it: without brackets, "" for the null sender. */
static int read_sender(struct asking *a, const char *text)
{
    struct errctx ec = {""};
    struct address address;
    struct span rest = SPAN(""), s = span_cstr(text);
    bool path = s.len > 0 && s.ptr[0] == '<';
    if (s.len == 0)
        return CLI_OK;
    enum err e =
        path ? address_parse_path(s, true, &address, &rest, &ec) : address_parse(s, true, &address, &ec);
    if (e == ERR_OK && (rest.len > 0 || (!address.null && address.domain.len == 0)))
        e = err_set(&ec, ERR_PARSE, "write local@domain, or <>");
    if (e != ERR_OK)
        return cli_fail(a->r.cli, CLI_USAGE, "--sender '%s' is no address: %s", text, ec.msg);
    a->ask.message.sender = address.text;
    return CLI_OK;
}

static int read_question(struct asking *a)
{
    static const char *const priorities[] = {
        [PRIORITY_NORMAL] = "normal", [PRIORITY_LOW] = "low", [PRIORITY_HIGH] = "high"};
    struct cli *cli = a->r.cli;
    struct route_message *m = &a->ask.message;
    const char *size = cli_opt(cli, "size"), *priority = cli_opt(cli, "priority");
    size_t p = 0;
    m->system = cli_opt(cli, "system") != NULL;
    m->in_transit = cli_opt(cli, "in-transit") != NULL;
    a->ask.from_group = span_cstr(cli_opt(cli, "from-group"));
    if (size != NULL && !conf_parse_size(span_cstr(size), &m->size_bytes))
        return cli_fail(cli, CLI_USAGE, "--size takes bytes, or 64K or 10M, not '%s'", size);
    while (priority != NULL && p < ARRAY_LEN(priorities) &&
           !span_eq(span_cstr(priority), span_cstr(priorities[p])))
        p++;
    if (p == ARRAY_LEN(priorities))
        return cli_fail(cli, CLI_USAGE, "--priority takes low, normal or high, not '%s'", priority);
    m->priority = (enum priority)p;
    int code = read_sender(a, cli_opt(cli, "sender"));
    return code == CLI_OK ? read_address(a, cli->args[0]) : code;
}

/* --- route explain: what is answered
 * --------------------------------------------------------------------------- */

enum { C_SPACE, C_CONNECTOR, C_GROUP, C_COST, C_PATH, C_TOTAL, C_STATE, C_FATE, C_VERDICT };
static const struct column candidate_columns[] = {
    [C_SPACE] = {"space", "ADDRESS SPACE", COLUMN_TEXT, 60},
    [C_CONNECTOR] = {"connector", "CONNECTOR", COLUMN_TEXT, 40},
    [C_GROUP] = {"group", "GROUP", COLUMN_TEXT, 40},
    [C_COST] = {"cost", "COST", COLUMN_COUNT, 0},
    [C_PATH] = {"path_cost", "PATH", COLUMN_COUNT, 0},
    [C_TOTAL] = {"total_cost", "TOTAL", COLUMN_COUNT, 0},
    [C_STATE] = {"state", "STATE", COLUMN_TEXT, 0},
    [C_FATE] = {"chosen", NULL, COLUMN_BOOL, 0},
    [C_VERDICT] = {"verdict", "VERDICT", COLUMN_TEXT, 0},
};

static bool add_candidate(struct table *t, const struct route_candidate *c)
{
    char verdict[160];
    (void)snprintf(verdict, sizeof verdict, "%s%s%s", route_fate_text(c->fate),
                   c->restriction != NULL ? ": " : "", c->restriction != NULL ? c->restriction : "");
    if (table_row(t) != ERR_OK || table_text(t, C_SPACE, c->space) != ERR_OK ||
        table_text(t, C_CONNECTOR, c->local ? SPAN("(delivered there)") : c->connector) != ERR_OK ||
        table_text(t, C_GROUP, c->group) != ERR_OK ||
        table_text(t, C_STATE, c->up ? SPAN("UP") : SPAN("DOWN")) != ERR_OK ||
        table_text(t, C_VERDICT, span_cstr(verdict)) != ERR_OK)
        return false;
    table_number(t, C_COST, c->space_cost);
    if (c->has_path) {
        table_number(t, C_PATH, c->path_cost);
        table_number(t, C_TOTAL, c->cost);
    }
    table_number(t, C_FATE, c->fate == ROUTE_CHOSEN);
    return true;
}

static const char *kind_name(enum route_kind k)
{
    static const char *const names[] = {[ROUTE_LOCAL] = "local",
                                        [ROUTE_NEXT_HOP] = "next hop",
                                        [ROUTE_UNREACHABLE] = "unreachable",
                                        [ROUTE_NONE] = "no route"};
    return names[k];
}

static void print_steps(const struct route_explanation *x, const char *indent)
{
    const struct route_candidate *c = x->ncandidates > 0 ? &x->candidates[x->chosen] : NULL;
    if (x->nsteps > 0)
        (void)printf("%spath        " SPAN_FMT, indent, SPAN_ARG(x->steps[0].from));
    for (size_t i = 0; i < x->nsteps; i++)
        (void)printf(" --" SPAN_FMT " (%" PRIu32 ")--> " SPAN_FMT, SPAN_ARG(x->steps[i].connector),
                     x->steps[i].cost, SPAN_ARG(x->steps[i].to));
    if (x->nsteps > 0)
        (void)printf("\n");
    if (c != NULL && c->local)
        (void)printf("%sthen        delivered in group " SPAN_FMT "; cost %" PRIu32 " in all\n", indent,
                     SPAN_ARG(c->group), x->cost);
    else if (c != NULL)
        (void)printf("%sthen        connector " SPAN_FMT " of group " SPAN_FMT ", address space " SPAN_FMT
                     " (%" PRIu32 "); cost %" PRIu32 " in all\n",
                     indent, SPAN_ARG(c->connector), SPAN_ARG(c->group), SPAN_ARG(c->space), c->space_cost,
                     x->cost);
}

static void print_targets(const struct route_explanation *x, const char *indent)
{
    if (x->dns)
        (void)printf("%stargets     those that DNS names\n", indent);
    for (size_t i = 0; i < x->ntargets; i++)
        (void)printf("%s%s" SPAN_FMT "%s\n", indent, i == 0 ? "targets     " : "            ",
                     SPAN_ARG(x->targets[i].name), x->targets[i].up ? "" : " (DOWN)");
}

static bool of_this_group(const struct asking *a, const struct route_link *k)
{
    return span_eq(k->group, span_cstr(root_of(a)->routing_group.name));
}

/* What is found out now counts more than what is published: without a router nothing is. */
static bool is_alive(const struct asking *a, const struct route_link *k, const struct route_target *source)
{
    char name[CONF_NAME_MAX + 1];
    (void)snprintf(name, sizeof name, SPAN_FMT, SPAN_ARG(source->name));
    return of_this_group(a, k) && a->alive.asked ? alive_has(&a->alive, name) : source->up;
}

/* Of the first connector, or of the one that is waited for. */
static void print_sources(const struct asking *a, const struct route_explanation *x, const char *indent)
{
    const struct route_link *k = x->waits_for.connector.len > 0 ? &x->waits_for : &x->first;
    bool any = x->nsources == 0;
    for (size_t i = 0; i < x->nsources; i++) {
        bool alive = is_alive(a, k, &x->sources[i]);
        any = any || alive;
        (void)printf("%s%s" SPAN_FMT "%s\n", indent, i == 0 ? "sources     " : "            ",
                     SPAN_ARG(x->sources[i].name), alive ? "" : " (not alive)");
    }
    if (!any)
        (void)printf("%swaits       until one of the source bridgeheads of connector " SPAN_FMT
                     " of group " SPAN_FMT " is alive\n",
                     indent, SPAN_ARG(k->connector), SPAN_ARG(k->group));
}

static void print_result(const struct asking *a, const struct route_explanation *x, const char *indent)
{
    switch (x->kind) {
    case ROUTE_LOCAL:
        (void)printf("%sresult      delivered here\n", indent);
        return;
    case ROUTE_UNREACHABLE:
        (void)printf("%sresult      every way is DOWN or unknown: the message waits, and goes on when link "
                     "state changes\n",
                     indent);
        print_sources(a, x, indent);
        return;
    case ROUTE_NONE:
        (void)printf("%sresult      no way by configuration: returned with 5.4.4\n", indent);
        return;
    case ROUTE_NEXT_HOP:
        break;
    }
    (void)printf("%sresult      leaves by connector " SPAN_FMT "\n", indent, SPAN_ARG(x->first.connector));
    print_steps(x, indent);
    print_targets(x, indent);
    print_sources(a, x, indent);
}

static int print_text(const struct asking *a, const struct route_explanation *x,
                      const struct route_explanation *next)
{
    struct route_table_facts facts;
    struct span from = a->ask.from_group;
    route_table_facts(a->routes, &facts);
    if (from.len == 0)
        from = span_cstr(root_of(a)->routing_group.name);
    (void)printf("%s from group " SPAN_FMT ", message class %" PRIx32 "\n", buf_cstr(&a->domain),
                 SPAN_ARG(from), x->klass);
    if (a->version == 0)
        (void)printf("from the configuration alone%s\n\n",
                     cli_opt(a->r.cli, "offline") == NULL ? ": no link state is published" : "");
    else
        (void)printf("table %" PRIu64 ": %" PRIu32 " groups, %" PRIu32 " connectors, generation %" PRIu64
                     "\n\n",
                     a->version, facts.groups, facts.connectors, facts.generation);
    int code = x->ncandidates == 0 ? CLI_OK : table_print(a->table, CLI_TABLE, "");
    if (x->ncandidates > 0)
        (void)printf("\n");
    print_result(a, x, "");
    if (x->kind == ROUTE_NEXT_HOP) {
        (void)printf("\nif " SPAN_FMT " failed\n", SPAN_ARG(x->first.connector));
        print_result(a, next, "  ");
    }
    return code;
}

static json_t *text(struct span s)
{
    return json_stringn(s.len > 0 ? s.ptr : "", s.len);
}

static json_t *result_json(const struct asking *a, const struct route_explanation *x)
{
    json_t *j = json_pack("{s:s}", "result", kind_name(x->kind)), *path = json_array(),
           *targets = json_array(), *sources = json_array();
    bool waits = x->waits_for.connector.len > 0;
    for (size_t i = 0; i < x->nsources; i++)
        (void)json_array_append_new(
            sources, json_pack("{s:o, s:b}", "source", text(x->sources[i].name), "alive",
                               (int)is_alive(a, waits ? &x->waits_for : &x->first, &x->sources[i])));
    for (size_t i = 0; i < x->nsteps; i++)
        (void)json_array_append_new(path,
                                    json_pack("{s:o, s:o, s:o, s:I}", "from", text(x->steps[i].from),
                                              "connector", text(x->steps[i].connector), "to",
                                              text(x->steps[i].to), "cost", (json_int_t)x->steps[i].cost));
    for (size_t i = 0; i < x->ntargets; i++)
        (void)json_array_append_new(targets, json_pack("{s:o, s:b}", "target", text(x->targets[i].name), "up",
                                                       (int)x->targets[i].up));
    if (x->kind == ROUTE_NEXT_HOP) {
        (void)json_object_set_new(j, "connector", text(x->first.connector));
        (void)json_object_set_new(j, "cost", json_integer(x->cost));
        (void)json_object_set_new(j, "dns", json_boolean(x->dns));
    }
    (void)json_object_set_new(j, "path", path);
    (void)json_object_set_new(j, "targets", targets);
    (void)json_object_set_new(j, "sources", sources);
    (void)json_object_set_new(j, "waits_for",
                              waits ? json_pack("{s:o, s:o}", "group", text(x->waits_for.group), "connector",
                                                text(x->waits_for.connector))
                                    : json_null());
    return j;
}

static int print_json(const struct asking *a, const struct route_explanation *x,
                      const struct route_explanation *next)
{
    struct route_table_facts facts;
    route_table_facts(a->routes, &facts);
    json_t *j = result_json(a, x);
    struct span from = a->ask.from_group;
    (void)json_object_set_new(j, "domain", text(buf_span(&a->domain)));
    (void)json_object_set_new(j, "from_group",
                              text(from.len > 0 ? from : span_cstr(root_of(a)->routing_group.name)));
    (void)json_object_set_new(j, "class", json_integer(x->klass));
    (void)json_object_set_new(j, "table", json_integer((json_int_t)a->version));
    (void)json_object_set_new(j, "generation", json_integer((json_int_t)facts.generation));
    (void)json_object_set_new(j, "candidates", table_json(a->table));
    (void)json_object_set_new(j, "if_first_failed",
                              x->kind == ROUTE_NEXT_HOP ? result_json(a, next) : json_null());
    return json_print(j);
}

static int explain(struct asking *a)
{
    struct cli *cli = a->r.cli;
    struct route_explanation x, next = {.kind = ROUTE_NONE};
    enum err e = route_explain(a->routes, &a->ask, &x);
    if (e == ERR_NOTFOUND)
        return cli_fail(cli, CLI_NOTFOUND, "there is no group '%s'; `bridgehead group list` shows them",
                        cli_opt(cli, "from-group"));
    if (e != ERR_OK)
        return no_memory(cli);
    int code = CLI_OK;
    for (size_t i = 0; code == CLI_OK && i < x.ncandidates; i++)
        if (!add_candidate(a->table, &x.candidates[i]))
            code = no_memory(cli);
    if (code == CLI_OK && x.kind == ROUTE_NEXT_HOP) {
        struct route_ask again = a->ask;
        again.down = &x.first;
        again.ndown = 1;
        if (route_explain(a->routes, &again, &next) != ERR_OK)
            code = no_memory(cli);
    }
    if (code == CLI_OK)
        code = cli->output == CLI_JSON ? print_json(a, &x, &next) : print_text(a, &x, &next);
    route_explanation_done(&x);
    route_explanation_done(&next);
    return code;
}

int cmd_route_explain(struct cli *cli)
{
    struct asking a;
    int code = begin(&a, cli);
    if (code == CLI_OK)
        code = read_question(&a);
    if (code == CLI_OK && (a.table = table_new(candidate_columns, ARRAY_LEN(candidate_columns))) == NULL)
        code = no_memory(cli);
    if (code == CLI_OK)
        code = explain(&a);
    return end(&a, code);
}
