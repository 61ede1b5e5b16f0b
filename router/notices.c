#include "common/log.h"
#include "router/core.h"

static bool is_over(const struct notice_limit *l, ms_t now_ms)
{
    return now_ms >= ms_after(l->since_ms, NOTICES_MS);
}

unsigned notice_left_out(struct notice_limit *l, ms_t now_ms)
{
    unsigned n = l->left_out;
    if (n == 0 || !is_over(l, now_ms))
        return 0;
    *l = (struct notice_limit){.since_ms = now_ms};
    return n;
}

bool notice_allowed(struct notice_limit *l, ms_t now_ms)
{
    if (l->left_out == 0 && (l->written == 0 || is_over(l, now_ms)))
        *l = (struct notice_limit){.since_ms = now_ms};
    if (l->written == NOTICES_LOGGED)
        return false;
    l->written++;
    return true;
}

static const char *name_of(const struct router *r, uint32_t peer)
{
    return peer < r->npeers ? r->root->routing_group.neighbours.items[peer].group : "-";
}

static size_t place_of(const struct router *r, uint32_t peer)
{
    return peer < r->npeers ? peer : LS_PEERS_MAX;
}

static void tell_left_out(struct router *r, uint32_t peer, ms_t now_ms)
{
    unsigned n = notice_left_out(&r->limits[place_of(r, peer)], now_ms);
    if (n > 0)
        log_warn("router.linkstate", "neighbour=%s more=%u", name_of(r, peer), n);
}

void notices_flush(struct router *r, bool all)
{
    ms_t now = loop_now(r->loop), next = UINT64_MAX;
    if (!all && now < r->notices_due_ms)
        return;
    for (uint32_t p = 0; p <= r->npeers; p++) {
        struct notice_limit *l = &r->limits[place_of(r, p)];
        tell_left_out(r, p, all ? UINT64_MAX : now);
        if (l->left_out > 0 && ms_after(l->since_ms, NOTICES_MS) < next)
            next = ms_after(l->since_ms, NOTICES_MS);
        if (all)
            *l = (struct notice_limit){.since_ms = 0};
    }
    r->notices_due_ms = next;
}

/* n lines about a neighbour that are not written; they are counted in one when the time is over. */
static void leave_out(struct router *r, struct notice_limit *l, unsigned n, ms_t now_ms)
{
    if (l->written + l->left_out == 0)
        l->since_ms = now_ms;
    l->left_out += n;
    if (ms_after(l->since_ms, NOTICES_MS) < r->notices_due_ms)
        r->notices_due_ms = ms_after(l->since_ms, NOTICES_MS);
}

void notices_log(struct router *r, const struct ls_output *out, uint32_t peer)
{
    struct log_scratch scratch;
    ms_t now = loop_now(r->loop);
    notices_flush(r, false);
    for (size_t i = 0; i < out->nnotices; i++) {
        const struct ls_notice *n = &out->notices[i];
        struct notice_limit *l = &r->limits[place_of(r, n->peer)];
        if (notice_allowed(l, now))
            log_warn("router.linkstate", "what=%s neighbour=%s group=%s text=%s", ls_counter_name(n->counter),
                     name_of(r, n->peer), n->group[0] != '\0' ? n->group : "-",
                     log_text(&scratch, span_cstr(n->text)));
        else
            leave_out(r, l, 1, now);
    }
    if (out->notices_dropped > 0)
        leave_out(r, &r->limits[place_of(r, peer)], (unsigned)out->notices_dropped, now);
}
