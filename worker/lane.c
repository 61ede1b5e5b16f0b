/* worker/lane.c — what lanes tell their link. */
#include "common/log.h"
#include "worker/core.h"

enum { FAILED_LANE_PAUSE_MS = 5000, TRANSACTION_MS_MAX = 600000, RETURNING_MS = 60000 };

bool lane_may_send(const struct lane *lane)
{
    return worker_may_claim(lane->link->w) && !lane->link->w->draining && lane->epoch == lane->link->w->epoch;
}

bool lane_may_end(const struct lane *lane)
{
    const struct worker *w = lane->link->w;

    return lane->epoch == w->epoch && store_worker_valid(w->store) > worker_lease(w) / 6;
}

static unsigned *counter_of(struct link *link, enum lane_state state)
{
    switch (state) {
    case LANE_CONNECTING:
        return &link->nconnecting;
    case LANE_IDLE:
        return &link->nidle;
    case LANE_SENDING:
        return &link->nsending;
    case LANE_QUITTING:
    case LANE_ENDED:
        return &link->nleaving;
    }
    return &link->nleaving;
}

void lane_enter(struct lane *lane, enum lane_state next)
{
    --*counter_of(lane->link, lane->state);
    ++*counter_of(lane->link, next);
    lane->state = next;
}

void lane_idle(struct lane *lane)
{
    lane_enter(lane, LANE_IDLE);
    lane->idle_since_ms = loop_now(lane->link->w->loop);
    link_wake(lane->link);
}

/* An exponential mean over about eight transactions: how much work one lane can take. */
static void note_time(struct link *link, ms_t ms)
{
    uint32_t sample = ms > TRANSACTION_MS_MAX ? TRANSACTION_MS_MAX : (uint32_t)ms;

    metric_observe_ms(&link->w->m.transaction_ms, ms);
    link->transaction_ms = link->transaction_ms * 7 / 8 + sample;
}

void lane_settled(struct lane *lane, bool usable)
{
    struct parcel *p = lane->parcel;
    struct link *link = lane->link;

    lane->parcel = NULL;
    if (usable) {
        note_time(link, loop_now(link->w->loop) - lane->sent_at_ms);
        link_works(link);
    }
    parcel_settle(p);
    link_wake(link);
}

void lane_ended(struct lane *lane)
{
    struct link *link = lane->link;

    lane_enter(lane, LANE_ENDED);
    if (lane->slot && lane->was_ready && lane->epoch == link->w->epoch)
        link->proven++;
    link_wake(link);
}

void lane_failed(struct lane *lane, const struct verdict *v, const char *why)
{
    struct link *link = lane->link;
    bool others = false;

    lane->was_ready = false;
    link->proven = 0;
    for (struct lane *other = link->lanes; other != NULL; other = other->next)
        others = others || (other != lane && other->state != LANE_ENDED && other->state != LANE_QUITTING &&
                            other->was_ready);
    if (others) { /* the server has had enough of us, or one address of many is down */
        link->pause_until_ms = ms_after(loop_now(link->w->loop), FAILED_LANE_PAUSE_MS);
        return;
    }
    if (link->phase != LINK_OPEN)
        return;
    if (v->action == VERDICT_BOUNCE) /* every target said 5xx to us */
        link_return(link, v, FAILURE_NONE, 0, why, RETURNING_MS);
    else
        link_fail(link, why);
}
