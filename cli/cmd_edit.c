/* cli/cmd_edit.c — changing what waits: retry, bounce, delete, requeue. */
#include "cli/commands.h"
#include "cli/edit.h"
#include "cli/failing.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "linkstate/route.h"
#include "queue/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BY_MAX = 128 };
enum { E_WHAT, E_MATCHED, E_CHANGED, E_HAND, E_REFUSED, E_DRY };
static const struct column edit_columns[] = {
    [E_WHAT] = {"what", "what", COLUMN_TEXT, 0},
    [E_MATCHED] = {"matched", "matched", COLUMN_COUNT, 0},
    [E_CHANGED] = {"changed", "changed", COLUMN_COUNT, 0},
    [E_HAND] = {"in_hand", "left alone, in the hands of a worker", COLUMN_COUNT, 0},
    [E_REFUSED] = {"refused", "left alone, not in a state for that", COLUMN_COUNT, 0},
    [E_DRY] = {"dry_run", NULL, COLUMN_BOOL, 0},
};

static void on_result(void *arg, enum err e, const struct admin_result *res, const char *why)
{
    struct remote *r = arg;
    if (e == ERR_OK)
        *(struct admin_result *)r->user = *res;
    remote_ended(r, e, why);
}

int edit_print(const struct cli *cli, const char *what, const struct admin_result *res)
{
    bool dry_run = cli_opt(cli, "dry-run") != NULL;
    struct column columns[ARRAY_LEN(edit_columns)];
    memcpy(columns, edit_columns, sizeof columns);
    if (dry_run)
        columns[E_CHANGED].title = "would change";
    struct table *t = table_new(columns, ARRAY_LEN(columns));
    int code = t != NULL && table_row(t) == ERR_OK && table_text(t, E_WHAT, span_cstr(what)) == ERR_OK
                   ? CLI_OK
                   : cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK) {
        table_number(t, E_MATCHED, res->matched);
        table_number(t, E_CHANGED, res->changed);
        if (res->in_hand > 0 || cli->output == CLI_JSON)
            table_number(t, E_HAND, res->in_hand);
        if (res->refused > 0 || cli->output == CLI_JSON)
            table_number(t, E_REFUSED, res->refused);
        table_number(t, E_DRY, dry_run);
        code = table_print_one(t, cli->output);
    }
    table_free(t);
    return code;
}

/* --- retry: the links that failed are forgiven first ------------------------------------------------------
 * Of those that Redis knows to fail: all, when everything is tried again; else the ones that the mail takes
 * by the published table, or that are named after its domains, as another configuration may have had it. */

struct forgiving {
    struct route_table *routes;
    struct failing failing;
    struct names wanted;
    char last[ROUTE_LINK_MAX]; /* jobs come queue by queue */
    bool nomem;
};

static bool on_retried(void *arg, const struct admin_job *j)
{
    struct forgiving *g = ((struct remote *)arg)->user;
    static const char *const kinds[] = {"domain", "local"};
    struct route route;
    char name[ROUTE_LINK_MAX];
    (void)snprintf(name, sizeof name, SPAN_FMT "!%" PRIx32, SPAN_ARG(j->job.domain), j->job.klass);
    if (strcmp(name, g->last) == 0)
        return true;
    memcpy(g->last, name, sizeof name);
    route_lookup(g->routes, j->job.domain, j->job.klass, &route);
    route_link_name(&route, j->job.domain, name);
    g->nomem = names_add(&g->wanted, span_cstr(name)) != ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(kinds) && !g->nomem; i++) {
        (void)snprintf(name, sizeof name, "%s:" SPAN_FMT, kinds[i], SPAN_ARG(j->job.domain));
        g->nomem = names_add(&g->wanted, span_cstr(name)) != ERR_OK;
    }
    return !g->nomem;
}

static int find_wanted(struct remote *r, const struct admin_filter *f, struct forgiving *g)
{
    uint64_t version;
    if (remote_routes(r, &g->routes, &version) != CLI_OK)
        return r->code;
    if (remote_asked(r, admin_jobs(r->admin, f, on_retried, remote_done, r)))
        (void)remote_wait(r);
    if (r->code == CLI_OK && (g->nomem || names_sort(&g->wanted) != ERR_OK))
        return cli_fail(r->cli, CLI_FAILED, "out of memory");
    return r->code;
}

static bool is_wanted(const struct names *wanted, struct span name)
{
    size_t low = 0, high = wanted->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = span_cmp(names_at(wanted, mid), name);
        if (order == 0)
            return true;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

/* A job that is due is no use while everybody waits for its link to be tried again. */
static int forgive(struct remote *r, const struct admin_filter *f, struct forgiving *g)
{
    bool all = f->domain.len == 0 && !remote_finds_messages(f);
    int code = failing_read(&g->failing, r);
    r->user = g;
    if (code == CLI_OK && !all && g->failing.count > 0)
        code = find_wanted(r, f, g);
    for (size_t i = 0; code == CLI_OK && i < g->failing.count; i++) {
        struct span name = span_cstr(g->failing.links[i].name);
        if ((all || is_wanted(&g->wanted, name)) &&
            remote_asked(r, admin_link_reset(r->admin, name, remote_count, r)))
            (void)remote_wait(r);
        code = r->code;
    }
    return code;
}

static int forgive_links(struct remote *r, const struct admin_filter *f)
{
    struct forgiving g = {.nomem = false};
    names_init(&g.wanted);
    int code = forgive(r, f, &g);
    failing_done(&g.failing);
    names_done(&g.wanted);
    route_table_unref(g.routes);
    r->user = NULL;
    return code;
}

/* The history tells whose wish it was. What is returned is told the sender why, and only that. */
static struct span text_of(const struct cli *cli, enum admin_verb verb, char by[BY_MAX])
{
    struct span reason = span_cstr(cli_opt(cli, "reason")), user = remote_user();
    if (reason.len > 0 || verb == ADMIN_RETURN)
        return reason;
    (void)snprintf(by, BY_MAX, "by " SPAN_FMT, SPAN_ARG(user));
    return span_cstr(by);
}

/* --- all of them ------------------------------------------------------------------------------------------
 */

static int ask_edit(struct cli *cli, enum admin_verb verb, const struct admin_filter *f,
                    struct admin_result *res)
{
    struct remote r;
    char by[BY_MAX];
    bool dry_run = cli_opt(cli, "dry-run") != NULL;
    int code = remote_open(&r, cli);
    if (code == CLI_OK && verb == ADMIN_RETRY_NOW && !dry_run)
        code = forgive_links(&r, f);
    r.user = res;
    if (code == CLI_OK &&
        remote_asked(&r, admin_edit(r.admin, verb, f, text_of(cli, verb, by), dry_run, NULL, on_result, &r)))
        (void)remote_wait(&r);
    if (code == CLI_OK)
        code = r.code;
    if (code == CLI_OK && res->matched == 0 && cli->nargs > 0)
        code = remote_queue_known(&r, f);
    remote_close(&r);
    return code;
}

int edit_messages(struct cli *cli, enum admin_verb verb, unsigned places)
{
    struct admin_filter f = {.places = places};
    struct admin_result res = {0};
    struct buf domain;
    buf_init(&domain, 512);
    int code = remote_filter(cli, true, &domain, &f);
    if (code == CLI_OK)
        code = ask_edit(cli, verb, &f, &res);
    if (code == CLI_OK)
        code = edit_print(cli, "messages", &res);
    buf_done(&domain);
    return code;
}

/* What a worker has in hand is tried again with the rest of its queue; of the others it is left alone, and
 * counted. */
enum { WAITING = ADMIN_QUEUED | ADMIN_IN_HAND | ADMIN_STAGED, KEPT = ADMIN_BADMAIL | ADMIN_QUARANTINE };

int cmd_queue_retry(struct cli *cli)
{
    return edit_messages(cli, ADMIN_RETRY_NOW, ADMIN_QUEUED);
}

int cmd_queue_bounce(struct cli *cli)
{
    return edit_messages(cli, ADMIN_RETURN, WAITING);
}

int cmd_queue_delete(struct cli *cli)
{
    return edit_messages(cli, ADMIN_DELETE, WAITING);
}

int cmd_badmail_requeue(struct cli *cli)
{
    return edit_messages(cli, ADMIN_REQUEUE, KEPT);
}

int cmd_badmail_delete(struct cli *cli)
{
    return edit_messages(cli, ADMIN_DELETE, KEPT);
}
