/* cli/cmd_queue.c — the destination queues: list, show. */
#include "cli/alive.h"
#include "cli/commands.h"
#include "cli/failing.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "linkstate/route.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- list --------------------------------------------------------------------------------------------- */

enum {
    Q_NAME,
    Q_STATE,
    Q_HOP,
    Q_WAITING,
    Q_HAND,
    Q_ICE,
    Q_OLDEST,
    Q_ABOUT,
    Q_NEXT,
    Q_ERROR,
    Q_SINCE,
    Q_BY,
    Q_WHY
};
static const struct column queue_columns[] = {
    [Q_NAME] = {"queue", "QUEUE", COLUMN_TEXT, 40},
    [Q_STATE] = {"state", "STATE", COLUMN_TEXT, 0},
    [Q_HOP] = {"next_hop", "NEXT HOP", COLUMN_TEXT, 24},
    [Q_WAITING] = {"waiting", "WAITING", COLUMN_COUNT, 0},
    [Q_HAND] = {"in_hand", "IN HAND", COLUMN_COUNT, 0},
    [Q_ICE] = {"frozen", "FROZEN", COLUMN_COUNT, COLUMN_RARE}, /* one by one, of those that wait */
    [Q_OLDEST] = {"oldest_ms", "OLDEST", COLUMN_AGE, 0},
    [Q_ABOUT] = {"oldest_about", NULL, COLUMN_BOOL, 0},
    [Q_NEXT] = {"next_try_ms", "NEXT TRY", COLUMN_WAIT, 0},
    [Q_ERROR] = {"last_error", "LAST ERROR", COLUMN_TEXT, 80},
    [Q_SINCE] = {"frozen_ms", "FROZEN FOR", COLUMN_AGE, COLUMN_RARE},
    [Q_BY] = {"frozen_by", "BY", COLUMN_TEXT, 20 | COLUMN_RARE},
    [Q_WHY] = {"frozen_reason", "WHY", COLUMN_TEXT, 40 | COLUMN_RARE},
};
struct listing {
    struct remote r;
    struct table *table;
    struct route_table *routes;
    struct failing failing;
    struct alive alive;
};

static struct span link_error(const struct listing *l, struct span domain, uint32_t klass)
{
    struct route route;
    char name[ROUTE_LINK_MAX];
    route_lookup(l->routes, domain, klass, &route);
    route_link_name(&route, domain, name);
    const struct failing_link *f = failing_find(&l->failing, name);
    return f == NULL ? SPAN("") : span_cstr(f->error);
}

/* The connector that mail of the queue waits for because nobody is there who sends over it, and who might: of
 * this group by who is alive now, of others by what is published. False: it waits for nothing of that kind.
 */
static bool waits_for_source(const struct listing *l, struct span domain, uint32_t klass, struct buf *out)
{
    struct route route;
    struct route_ask ask = {.domain = domain};
    struct route_explanation x;
    route_lookup(l->routes, domain, klass, &route);
    if (route.kind == ROUTE_NEXT_HOP && alive_none(&l->alive, route.connector))
        return buf_addf(out,
                        "none of the source bridgeheads of connector %s is alive: ", route.connector->name) ==
                   ERR_OK &&
               alive_list(route.connector, out) == ERR_OK;
    if (route.kind != ROUTE_UNREACHABLE || route_explain(l->routes, &ask, &x) != ERR_OK)
        return false;
    bool waits = x.waits_for.connector.len > 0 &&
                 buf_addf(out, "none of the source bridgeheads of connector " SPAN_FMT " is alive:",
                          SPAN_ARG(x.waits_for.connector)) == ERR_OK;
    for (size_t i = 0; waits && i < x.nsources; i++)
        waits = buf_addf(out, "%s " SPAN_FMT, i > 0 ? "," : "", SPAN_ARG(x.sources[i].name)) == ERR_OK;
    route_explanation_done(&x);
    return waits;
}

static struct span next_hop(const struct route_table *routes, struct span domain, uint32_t klass)
{
    struct route route;
    route_lookup(routes, domain, klass, &route);
    switch (route.kind) {
    case ROUTE_LOCAL:
        return SPAN("local");
    case ROUTE_NEXT_HOP:
        return span_cstr(route.connector->name);
    case ROUTE_UNREACHABLE:
        return SPAN("waits: DOWN");
    case ROUTE_NONE:
        break;
    }
    return SPAN("no route");
}

static ms_t since(ms_t now_ms, ms_t then_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static bool list_row(struct listing *l, const struct admin_queue *q)
{
    struct buf name, why;
    struct table *t = l->table;
    struct span failing = link_error(l, q->domain, q->klass);
    enum admin_queue_state state = q->state;
    if (state == ADMIN_SCHEDULED && failing.len > 0)
        state = ADMIN_RETRY; /* that its link failed says no queue */
    buf_init(&name, 512);
    buf_init(&why, 8192);
    bool waits = waits_for_source(l, q->domain, q->klass, &why);
    bool ok =
        table_row(t) == ERR_OK && queue_name(q->domain, q->klass, &name) == ERR_OK &&
        table_text(t, Q_NAME, buf_span(&name)) == ERR_OK &&
        table_text(t, Q_STATE, span_cstr(admin_queue_state_name(state))) == ERR_OK &&
        table_text(t, Q_HOP, waits ? SPAN("waits: no source") : next_hop(l->routes, q->domain, q->klass)) ==
            ERR_OK &&
        table_text(t, Q_ERROR,
                   waits                   ? buf_span(&why)
                   : q->last_error.len > 0 ? q->last_error
                                           : failing) == ERR_OK;
    if (ok && q->frozen_ms != 0) {
        ok = table_text(t, Q_BY, q->frozen_by) == ERR_OK && table_text(t, Q_WHY, q->frozen_reason) == ERR_OK;
        table_number(t, Q_SINCE, since(q->now_ms, q->frozen_ms));
    }
    table_number(t, Q_WAITING, q->waiting);
    table_number(t, Q_HAND, q->in_hand);
    table_number(t, Q_ICE, q->frozen_jobs);
    if (q->oldest_ms != 0) {
        table_number(t, Q_OLDEST, since(q->now_ms, q->oldest_ms));
        table_number(t, Q_ABOUT, q->oldest_about);
        if (q->oldest_about)
            table_about(t, Q_OLDEST);
    }
    ms_t next = q->due_ms > q->hold_ms ? q->due_ms : q->hold_ms;
    if (q->due_ms != 0 && q->frozen_ms == 0)
        table_number(t, Q_NEXT, since(next, q->now_ms));
    buf_done(&name);
    buf_done(&why);
    return ok;
}

static bool on_queue(void *arg, const struct admin_queue *q)
{
    struct listing *l = ((struct remote *)arg)->user;
    if (list_row(l, q))
        return true;
    l->r.code = cli_fail(l->r.cli, CLI_FAILED, "out of memory");
    return false;
}

int cmd_queue_list(struct cli *cli)
{
    struct listing l = {.table = NULL};
    uint64_t version;
    int code = remote_open(&l.r, cli);
    l.r.user = &l;
    if (code == CLI_OK)
        code = remote_routes(&l.r, &l.routes, &version);
    if (code == CLI_OK && (l.table = table_new(queue_columns, ARRAY_LEN(queue_columns))) == NULL)
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK)
        code = failing_read(&l.failing, &l.r);
    if (code == CLI_OK)
        code = alive_read(&l.alive, &l.r);
    if (code == CLI_OK && remote_asked(&l.r, admin_queues(l.r.admin, on_queue, remote_done, &l.r)))
        (void)remote_wait(&l.r);
    if (code == CLI_OK)
        code = l.r.code;
    if (code == CLI_OK)
        code = table_print(l.table, cli->output, "No mail is queued.");
    table_free(l.table);
    failing_done(&l.failing);
    alive_done(&l.alive);
    route_table_unref(l.routes);
    remote_close(&l.r);
    return code;
}

/* --- jobs --------------------------------------------------------------------------------------------- */

enum {
    J_ID,
    J_QUEUE,
    J_PLACE,
    J_AGE,
    J_SIZE,
    J_SENDER,
    J_RCPT,
    J_RCPTS,
    J_TRIES,
    J_NEXT,
    J_ERROR,
    J_SUBJECT
};
static const struct column job_columns[] = {
    [J_ID] = {"id", "ID", COLUMN_TEXT, 0},
    [J_QUEUE] = {"queue", NULL, COLUMN_TEXT, 0},
    [J_PLACE] = {"place", "PLACE", COLUMN_TEXT, 0},
    [J_AGE] = {"age_ms", "AGE", COLUMN_AGE, 0},
    [J_SIZE] = {"bytes", "SIZE", COLUMN_BYTES, 0},
    [J_SENDER] = {"sender", "SENDER", COLUMN_TEXT, 28},
    [J_RCPT] = {"recipient", "RECIPIENT", COLUMN_TEXT, 28},
    [J_RCPTS] = {"recipients", "RCPTS", COLUMN_COUNT, 0},
    [J_TRIES] = {"attempts", "TRIES", COLUMN_COUNT, 0},
    [J_NEXT] = {"next_try_ms", "NEXT TRY", COLUMN_WAIT, 0},
    [J_ERROR] = {"last_error", "LAST ERROR", COLUMN_TEXT, 80},
    [J_SUBJECT] = {"subject", NULL, COLUMN_TEXT, 0},
};

static bool job_row(struct table *t, const struct admin_job *j)
{
    char id[MSGID_TEXT_MAX];
    struct buf name;
    buf_init(&name, 512);
    msgid_text(&j->id, id);
    struct span rcpt = j->job.nrcpts > 0 ? j->job.rcpts[0].address : SPAN("");
    struct span error = j->reason.len > 0 ? j->reason : j->job.last_error;
    bool ok = table_row(t) == ERR_OK && table_text(t, J_ID, span_cstr(id)) == ERR_OK &&
              queue_name(j->job.domain, j->job.klass, &name) == ERR_OK &&
              table_text(t, J_QUEUE, buf_span(&name)) == ERR_OK &&
              table_text(t, J_PLACE, span_cstr(remote_place(j))) == ERR_OK &&
              table_text(t, J_SENDER, remote_sender(j->env.sender)) == ERR_OK &&
              table_text(t, J_RCPT, rcpt) == ERR_OK && table_text(t, J_ERROR, error) == ERR_OK &&
              table_text(t, J_SUBJECT, j->env.subject) == ERR_OK;
    table_number(t, J_AGE, since(j->now_ms, j->arrival_ms));
    table_number(t, J_SIZE, j->body.size_bytes);
    table_number(t, J_RCPTS, j->job.nrcpts);
    table_number(t, J_TRIES, j->job.attempts);
    if (remote_has_next(j))
        table_number(t, J_NEXT, since(j->due_ms, j->now_ms));
    buf_done(&name);
    return ok;
}

static bool on_job(void *arg, const struct admin_job *j)
{
    struct listing *l = ((struct remote *)arg)->user;
    if (job_row(l->table, j))
        return true;
    l->r.code = cli_fail(l->r.cli, CLI_FAILED, "out of memory");
    return false;
}

static int list_jobs(struct cli *cli, struct admin_filter *f, const char *empty)
{
    struct listing l = {.table = NULL};
    struct buf domain;
    buf_init(&domain, 512);
    int code = remote_filter(cli, false, &domain, f);
    if (code == CLI_OK)
        code = remote_open(&l.r, cli);
    l.r.user = &l;
    if (code == CLI_OK && (l.table = table_new(job_columns, ARRAY_LEN(job_columns))) == NULL)
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK && remote_asked(&l.r, admin_jobs(l.r.admin, f, on_job, remote_done, &l.r)))
        (void)remote_wait(&l.r);
    if (code == CLI_OK)
        code = l.r.code;
    if (code == CLI_OK && table_rows(l.table) == 0 && cli->nargs > 0)
        code = remote_queue_known(&l.r, f);
    if (code == CLI_OK)
        code = table_print(l.table, cli->output, empty);
    table_free(l.table);
    remote_close(&l.r);
    buf_done(&domain);
    return code;
}

int cmd_queue_show(struct cli *cli)
{
    struct admin_filter f = {.places = ADMIN_QUEUED | ADMIN_IN_HAND | ADMIN_STAGED};
    return list_jobs(cli, &f, "Nothing in the queue is like that.");
}

int cmd_badmail_list(struct cli *cli)
{
    struct admin_filter f = {.places = ADMIN_BADMAIL | ADMIN_QUARANTINE};
    return list_jobs(cli, &f, "There is no badmail.");
}
