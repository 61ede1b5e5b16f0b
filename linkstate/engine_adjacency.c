#include "linkstate/engine_internal.h"

#include <stdlib.h>
#include <string.h>

struct adj_row {
    enum adj_state next; /* ADJ_IGNORE (0): the event has no meaning here and is counted */
    void (*act)(struct ls *ls, uint32_t peer);
};

static void reset(struct ls *ls, uint32_t peer)
{
    struct adjacency *a = &ls->adj[peer];
    free(a->pending);
    a->pending = NULL;
    a->npending = a->cap_pending = 0;
    a->differs = 0;
    a->instance = 0;
    a->sum = (struct ls_sum){0, 0};
}

static void say_hello(struct ls *ls, uint32_t peer)
{
    adj_hello(ls, peer, false);
}

static void expel(struct ls *ls, uint32_t peer)
{
    struct ls_message bye = {.type = LS_MSG_BYE, .code = 1, .text = SPAN("protocol violation")};
    ls_say(ls, peer, &bye);
    ls->adj[peer].pause_until_ms = ms_after(ls->now_ms, ls->opts.violation_pause_ms);
    reset(ls, peer);
}

#define ON(st, ev, nx, action) [ADJ_##st][AEV_##ev] = {ADJ_##nx, action}
/* clang-format off */
static const struct adj_row adj_fsm[ADJ__COUNT][AEV__COUNT] = {
    ON(DOWN, CARRIER_UP,   INIT, say_hello),  ON(DOWN, HELLO,     SYNC, sync_start),
    ON(DOWN, CARRIER_DOWN, DOWN, NULL),       ON(DOWN, VIOLATION, DOWN, expel),
    ON(DOWN, BYE,          DOWN, NULL),

    ON(INIT, CARRIER_UP,   INIT, say_hello),  ON(INIT, HELLO,     SYNC, sync_start),
    ON(INIT, CARRIER_DOWN, DOWN, reset),      ON(INIT, VIOLATION, DOWN, expel),
    ON(INIT, BYE,          DOWN, reset),      ON(INIT, SILENCE,   INIT, say_hello),

    ON(SYNC, CARRIER_UP,   SYNC, NULL),       ON(SYNC, HELLO,     SYNC, sync_start),
    ON(SYNC, CARRIER_DOWN, DOWN, reset),      ON(SYNC, VIOLATION, DOWN, expel),
    ON(SYNC, BYE,          DOWN, reset),      ON(SYNC, SILENCE,   DOWN, reset),
    ON(SYNC, EQUAL,        FULL, NULL),       ON(SYNC, DIFFER,    SYNC, sync_start),

    ON(FULL, CARRIER_UP,   FULL, NULL),       ON(FULL, HELLO,     SYNC, sync_start),
    ON(FULL, CARRIER_DOWN, DOWN, reset),      ON(FULL, VIOLATION, DOWN, expel),
    ON(FULL, BYE,          DOWN, reset),      ON(FULL, SILENCE,   DOWN, reset),
    ON(FULL, EQUAL,        FULL, NULL),       ON(FULL, DIFFER,    SYNC, sync_start),
};
/* clang-format on */

const char *adj_state_name(enum adj_state s)
{
    static const char *const names[] = {"IGNORE", "DOWN", "INIT", "SYNC", "FULL"};
    return (unsigned)s < ADJ__COUNT ? names[s] : "?";
}

const char *adj_event_name(enum adj_event ev)
{
    static const char *const names[] = {
        [AEV_CARRIER_UP] = "carrier up",     [AEV_HELLO] = "HELLO",        [AEV_EQUAL] = "equal tables",
        [AEV_DIFFER] = "tables that differ", [AEV_SILENCE] = "silence",    [AEV_BYE] = "BYE",
        [AEV_CARRIER_DOWN] = "carrier down", [AEV_VIOLATION] = "violation"};
    return (unsigned)ev < AEV__COUNT ? names[ev] : "?";
}

/* The only writer of state after ls_peer_add(). */
void adj_event(struct ls *ls, uint32_t peer, enum adj_event ev)
{
    struct adjacency *a = &ls->adj[peer];
    const struct adj_row *row = &adj_fsm[a->state][ev];
    if (row->next == ADJ_IGNORE) {
        ls_count(ls, LS_C_IGNORED);
        return;
    }
    if (a->state != row->next) {
        a->since_ms = ls->now_ms;
        a->why = ev;
    }
    a->state = row->next;
    if (row->act != NULL)
        row->act(ls, peer);
}

bool adj_open(const struct adjacency *a)
{
    return a->state == ADJ_SYNC || a->state == ADJ_FULL;
}

void adj_hello(struct ls *ls, uint32_t peer, bool answer)
{
    struct ls_message m = {.type = LS_MSG_HELLO,
                           .min_version = LS_PROTOCOL_MIN,
                           .max_version = LS_PROTOCOL_MAX,
                           .organization = span_cstr(ls->organization),
                           .group = span_cstr(ls->group),
                           .router = span_cstr(ls->router),
                           .instance = ls->opts.instance,
                           .answer = answer,
                           .sum = ls->db.sum,
                           .records = ls->db.records};
    ls_say(ls, peer, &m);
}

static bool acceptable(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    const struct adjacency *a = &ls->adj[peer];
    const char *why = NULL;
    if (!span_eq(m->organization, span_cstr(ls->organization)))
        why = "another organization";
    else if (a->expected[0] != '\0' && !span_eq(m->group, span_cstr(a->expected)))
        why = "not the group that the configuration names";
    else if (span_eq(m->group, span_cstr(ls->group)))
        why = "says that it is this group";
    else if (m->min_version > LS_PROTOCOL_MAX || m->max_version < LS_PROTOCOL_MIN)
        why = "no protocol version in common";
    if (why != NULL)
        ls_notice(ls, LS_C_MISPLACED, peer, m->group, "%s", why);
    return why == NULL;
}

void adj_recv_hello(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    struct adjacency *a = &ls->adj[peer];
    if (!acceptable(ls, peer, m)) {
        adj_event(ls, peer, AEV_VIOLATION);
        return;
    }
    bool restarted = a->instance != m->instance;
    if (restarted)
        reset(ls, peer);
    a->instance = m->instance;
    a->sum = m->sum;
    a->records = m->records;
    memcpy(a->group, m->group.ptr, m->group.len);
    a->group[m->group.len] = '\0';
    memcpy(a->router, m->router.ptr, m->router.len);
    a->router[m->router.len] = '\0';
    if (!m->answer)
        adj_hello(ls, peer, true);
    if (restarted || !adj_open(a))
        adj_event(ls, peer, AEV_HELLO);
}

/* Equal tables end the comparison. A difference that lasts longer than a flood does starts one. */
void adj_compare(struct ls *ls, uint32_t peer)
{
    struct adjacency *a = &ls->adj[peer];
    if (ls_sum_eq(a->sum, ls->db.sum)) {
        a->differs = 0;
        if (a->state == ADJ_SYNC)
            adj_event(ls, peer, AEV_EQUAL);
    }
}

void adj_recv_digest(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    struct adjacency *a = &ls->adj[peer];
    a->sum = m->sum;
    a->records = m->records;
    adj_compare(ls, peer);
    if (ls_sum_eq(a->sum, ls->db.sum))
        return;
    if (++a->differs >= 2) {
        a->differs = 0;
        adj_event(ls, peer, AEV_DIFFER);
    }
}

void adj_tick(struct ls *ls, uint32_t peer)
{
    struct adjacency *a = &ls->adj[peer];
    if (!a->carrier || a->pause_until_ms > ls->now_ms)
        return;
    if (a->state == ADJ_DOWN) {
        adj_event(ls, peer, AEV_CARRIER_UP); /* after silence, BYE or a pause: begin again */
        return;
    }
    ms_t dead = adj_open(a) ? ls->opts.hello_ms * 3 : ls->opts.hello_ms;
    ms_t reference = adj_open(a) ? a->heard_ms : a->said_ms;
    if (ls->now_ms - reference >= dead) {
        adj_event(ls, peer, AEV_SILENCE);
        return;
    }
    if (adj_open(a) && ls->now_ms - a->said_ms >= ls->opts.hello_ms) {
        struct ls_message m = {.type = LS_MSG_DIGEST, .sum = ls->db.sum, .records = ls->db.records};
        ls_say(ls, peer, &m);
    }
}

ms_t adj_wake(const struct ls *ls, const struct adjacency *a)
{
    if (!a->carrier)
        return UINT64_MAX;
    if (a->pause_until_ms > ls->now_ms)
        return a->pause_until_ms;
    if (a->state == ADJ_DOWN)
        return ms_after(ls->now_ms, ls->opts.retransmit_ms);
    ms_t at = ms_after(a->said_ms, ls->opts.hello_ms);
    if (adj_open(a) && ms_after(a->heard_ms, ls->opts.hello_ms * 3) < at)
        at = ms_after(a->heard_ms, ls->opts.hello_ms * 3);
    for (size_t i = 0; i < a->npending; i++)
        if (a->pending[i].due_ms < at)
            at = a->pending[i].due_ms;
    return at;
}
