#include "cli/status_view.h"

#include "queue/member.h"

#include <stdio.h>

enum {
    W_ROLE,
    W_NAME,
    W_HOST,
    W_PID,
    W_VERSION,
    W_UP,
    W_LEASE,
    W_OPEN,
    W_SLOTS,
    W_JOBS,
    W_RATE,
    W_TOTAL,
    W_MASTER
};
static const struct column member_columns[] = {
    [W_ROLE] = {"role", "ROLE", COLUMN_TEXT, 8},
    [W_NAME] = {"name", NULL, COLUMN_TEXT, 0},
    [W_HOST] = {"host", "HOST", COLUMN_TEXT, 32},
    [W_PID] = {"pid", "PID", COLUMN_COUNT, 0},
    [W_VERSION] = {"version", "VERSION", COLUMN_TEXT, 16},
    [W_UP] = {"up_ms", "UP", COLUMN_AGE, 0},
    [W_LEASE] = {"lease_ms", "LEASE", COLUMN_AGE, 0}, /* what is left of it; 0: dead, soon forgotten */
    [W_OPEN] = {"open", "CONNECTIONS", COLUMN_COUNT, 0},
    [W_SLOTS] = {"slots", "SLOTS", COLUMN_COUNT, 0},
    [W_JOBS] = {"jobs", "IN HAND", COLUMN_COUNT, 0},
    [W_RATE] = {"per_minute", "A MINUTE", COLUMN_COUNT, 0}, /* messages accepted, recipients delivered */
    [W_TOTAL] = {"total", "SINCE START", COLUMN_COUNT, 0},
    [W_MASTER] = {"master", NULL, COLUMN_BOOL, 0},
};
enum { L_LINK, L_SLOTS, L_FAILURES, L_NEXT, L_ERROR };
static const struct column link_columns[] = {
    [L_LINK] = {"link", "LINK", COLUMN_TEXT, 36},
    [L_SLOTS] = {"slots", "CONNECTIONS", COLUMN_COUNT, 0},
    [L_FAILURES] = {"failures", "FAILURES", COLUMN_COUNT, 0},
    [L_NEXT] = {"next_try_ms", "NEXT TRY", COLUMN_WAIT, 0},
    [L_ERROR] = {"last_error", "LAST ERROR", COLUMN_TEXT, 80},
};

enum err status_view_init(struct status_view *v)
{
    *v = (struct status_view){.members = table_new(member_columns, ARRAY_LEN(member_columns)),
                              .links = table_new(link_columns, ARRAY_LEN(link_columns))};
    return v->members == NULL || v->links == NULL ? ERR_NOMEM : ERR_OK;
}

void status_view_done(struct status_view *v)
{
    table_free(v->members);
    table_free(v->links);
    *v = (struct status_view){.members = NULL};
}

enum err status_view_link(struct status_view *v, const struct admin_link *k)
{
    struct table *t = v->links;
    enum err e = table_row(t);
    if (e == ERR_OK)
        e = table_text(t, L_LINK, k->link);
    if (e == ERR_OK)
        e = table_text(t, L_ERROR, k->state.last_error);
    if (e != ERR_OK)
        return e;
    table_number(t, L_SLOTS, k->slots);
    table_number(t, L_FAILURES, k->state.failures);
    if (k->state.until_ms > k->now_ms)
        table_number(t, L_NEXT, k->state.until_ms - k->now_ms);
    return ERR_OK;
}

static void join(struct status_party *p, uint64_t per_minute)
{
    p->n++;
    p->per_minute += per_minute;
}

enum err status_view_member(struct status_view *v, const struct admin_member *m)
{
    struct table *t = v->members;
    struct member_facts f;
    member_read(m->info, &f);
    bool alive = m->lease_ms > m->now_ms;
    bool node = span_eq(f.role, SPAN("node")), router = span_eq(f.role, SPAN("router"));
    enum err e = table_row(t);
    if (e == ERR_OK)
        e = table_text(t, W_ROLE, f.role);
    if (e == ERR_OK)
        e = table_text(t, W_NAME, m->name);
    if (e == ERR_OK)
        e = table_text(t, W_HOST, f.host);
    if (e == ERR_OK)
        e = table_text(t, W_VERSION, f.version);
    if (e != ERR_OK)
        return e;
    table_number(t, W_PID, f.pid);
    table_number(t, W_UP, m->now_ms > f.since_ms && f.since_ms > 0 ? m->now_ms - f.since_ms : 0);
    table_number(t, W_LEASE, alive ? m->lease_ms - m->now_ms : 0);
    table_number(t, W_OPEN, f.open);
    if (!node && !router) {
        table_number(t, W_SLOTS, m->slots);
        table_number(t, W_JOBS, m->jobs);
    }
    if (router)
        table_number(t, W_MASTER, m->master);
    else
        table_number(t, W_RATE, f.per_minute);
    table_number(t, W_TOTAL, f.total);
    if (alive)
        join(node ? &v->nodes : router ? &v->routers : &v->workers, f.per_minute);
    if (alive && m->master)
        (void)snprintf(v->master, sizeof v->master, SPAN_FMT,
                       SPAN_ARG(span_first(f.host, sizeof v->master - 1)));
    return ERR_OK;
}
