/* worker/link_grow.c — how many lanes a link has (L3). One lane tries first; when it works the number may
 * double with every look, and a lane that ended in order is replaced at once, as far as the waiting mail
 * needs it and the cluster's caps grant slots. */
#include "common/log.h"
#include "worker/core.h"

enum {
    GROW_STEP_MAX = 32,
    DENIED_MS = 100,
    DENIED_DOUBLINGS = 5,
    HANDOVER_MS = 50,
    HIDE_MS = 1000,
    WORK_WINDOW_MS = 500
};

static uint64_t waiting(const struct link *link)
{
    uint64_t n = link->npending + link->nsending;
    const struct due *d = link->due;

    for (size_t i = 0; i < link->ndue && n < 1000000; i++, d = d->next)
        n += d->depth;
    return n;
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* Enough to send a connection's worth each, and enough to be done in half a second. */
static unsigned needed(const struct link *link, unsigned cap)
{
    uint64_t work = waiting(link);
    uint64_t by_count = ceil_div(work, link->messages_per_connection > 0 ? link->messages_per_connection : 1);
    uint64_t by_time = ceil_div(work * (link->transaction_ms / 8), WORK_WINDOW_MS);
    uint64_t n = by_count > by_time ? by_count : by_time;

    n = n > work ? work : n;
    return n > cap ? cap : (unsigned)n;
}

static unsigned working(const struct link *link)
{
    unsigned n = 0;

    for (const struct lane *lane = link->lanes; lane != NULL; lane = lane->next)
        n += lane->was_ready && (lane->state == LANE_IDLE || lane->state == LANE_SENDING) ? 1 : 0;
    return n;
}

static unsigned alive(const struct link *link)
{
    return link->nconnecting + link->nidle + link->nsending;
}

/* Lanes that begin together would end together, and their successors be missing at the same moment: of a
 * crowd each lives as long as it would if they had begun one after the other. */
static unsigned life(struct link *link)
{
    unsigned full = link->messages_per_connection;

    if (link->proven > 0 || alive(link) == 0 || full == 0)
        return full;
    return full - link->stagger++ % full;
}

static bool add_lane(struct link *link, bool slot)
{
    struct lane *lane = slot ? smtp_lane_new(link) : local_lane_new(link);

    if (lane == NULL)
        return false;
    lane->messages_limit = life(link);
    lane->slot = slot;
    lane->epoch = link->w->epoch;
    lane->state = LANE_CONNECTING; /* counted below */
    lane->next = link->lanes;
    link->lanes = lane;
    link->nlanes++;
    link->w->nlanes++;
    link->nconnecting++;
    link->proven -= link->proven > 0 ? 1 : 0;
    metric_inc(&link->w->m.connections_now);
    lane->ops->start(lane);
    return true;
}

struct asking {
    struct link *link;
    uint64_t epoch;
    unsigned want;
};

/* --- Waiting for a slot: in line, so that a link with much mail never keeps one with little from its first
 * connection. Whoever gives a slot back lets the first in line ask for it before asking again. ------- */

static void starve(struct link *link)
{
    struct worker *w = link->w;

    if (link->starving)
        return;
    link->starving = true;
    link->next_starving = NULL;
    *w->starving_tail = link;
    w->starving_tail = &link->next_starving;
}

void link_fed(struct link *link)
{
    struct link **at = &link->w->starving;

    if (!link->starving)
        return;
    while (*at != link)
        at = &(*at)->next_starving;
    *at = link->next_starving;
    if (*at == NULL)
        link->w->starving_tail = at;
    link->starving = false;
}

/* Who waits is sent to ask for one that was given back. */
static void feed_first(struct link *giver)
{
    struct link *first = giver->w->starving;
    ms_t now = loop_now(giver->w->loop);

    if (first == NULL) {
        giver->grow_at_ms = 0;
        return;
    }
    link_fed(first);
    first->grow_at_ms = 0;
    link_wake(first);
    if (giver->grow_at_ms < ms_after(now, HANDOVER_MS))
        giver->grow_at_ms = ms_after(now, HANDOVER_MS);
}

void link_slots_over(struct link *link)
{
    if (link->spare == 0)
        return;
    store_slots_put(link->w->store, span_cstr(link->name), link->spare);
    link->freed = link->slots_asked;
    for (; link->spare > 0; link->spare--)
        feed_first(link);
}

static void denied(struct link *link)
{
    struct worker *w = link->w;
    ms_t delay = (ms_t)DENIED_MS << (link->denials < DENIED_DOUBLINGS ? link->denials : DENIED_DOUBLINGS);

    link->denials++;
    link->grow_at_ms = ms_after(loop_now(w->loop), delay + rng_below(&w->rng, delay));
    metric_inc(&w->m.slots_denied);
    if (link->nlanes > 0) /* also one that is leaving: its slot comes back in a moment */
        return;
    starve(link);
    link_hide_dues(link, HIDE_MS); /* others' queues come to the front of what is discovered */
}

static void on_slots(void *arg, enum err e, unsigned granted)
{
    struct asking *a = arg;
    struct link *link = a->link;
    unsigned used = 0;

    link->requests--;
    link->slots_asked = false;
    if (e == ERR_OK && a->epoch == link->w->epoch) {
        if (link->phase == LINK_OPEN && link->plan != NULL && !link->stale && !link->w->draining)
            while (used < granted && add_lane(link, true))
                used++;
        if (used < granted)
            store_slots_put(link->w->store, span_cstr(link->name), granted - used);
        if (granted >= a->want)
            link->denials = 0;
        else if (link->freed) /* since then */
            link->grow_at_ms = 0;
        else
            denied(link);
    } else if (e != ERR_OK) {
        link->grow_at_ms = ms_after(loop_now(link->w->loop), DENIED_MS);
    }
    free(a);
    link_wake(link);
}

static void ask_slots(struct link *link, unsigned want)
{
    const struct conf_delivery *d = &link->set->root->delivery;
    struct asking *a = malloc(sizeof *a);

    if (a == NULL)
        return;
    *a = (struct asking){.link = link, .epoch = link->w->epoch, .want = want};
    if (store_slots_get(link->w->store, span_cstr(link->name), want, (unsigned)d->max_connections_per_domain,
                        (unsigned)d->max_connections, on_slots, a) != ERR_OK) {
        free(a);
        return;
    }
    link->slots_asked = true;
    link->freed = false;
    link->requests++;
}

static void grow_local(struct link *link)
{
    unsigned want = needed(link, LOCAL_LANES);

    if (want == 0 && waiting(link) > 0)
        want = 1;
    while (alive(link) < want && add_lane(link, false))
        continue;
}

/* L3. Returns how many. */
static unsigned pass_on(struct link *link, unsigned want)
{
    unsigned n = 0;

    while (n < want && link->spare > 0 && link->w->starving == NULL && add_lane(link, true)) {
        link->spare--;
        n++;
    }
    return n;
}

void link_grow(struct link *link)
{
    unsigned works = working(link), limit = works * 2 + link->proven, want, have = alive(link);
    ms_t now = loop_now(link->w->loop);

    if (link->phase != LINK_OPEN || link->stale || link->w->draining)
        return;
    if (link->kind == LINK_MAILDIR) {
        grow_local(link);
        return;
    }
    if (!link_has_plan(link))
        return;
    if (have > 0 && now < link->pause_until_ms) /* the last one may always be replaced */
        return;
    want = needed(link, (unsigned)link->set->root->delivery.max_connections_per_domain);
    limit = limit == 0 ? 1 : limit;
    want = want < limit ? want : limit;
    if (want <= have)
        return;
    want -= have;
    want -= pass_on(link, want);
    if (want > 0 && !link->slots_asked && now >= link->grow_at_ms)
        ask_slots(link, want < GROW_STEP_MAX ? want : GROW_STEP_MAX);
}
