#include "linkstate/damping.h"

#include <math.h>

const struct damping_options damping_defaults = {
    .glitch_attempts = 3,
    .glitch_interval_ms = 60000,
    .probe_interval_ms = 60000,
    .penalty_per_down = 1000,
    .suppress_above = 2000,
    .reuse_below = 750,
    .half_life_ms = (ms_t)15 * 60000,
    .floods_per_hour = 14,
};

void damping_init(struct damping *d)
{
    *d = (struct damping){.state = DAMPING_UP, .next_ms = UINT64_MAX};
}

bool damping_up(const struct damping *d)
{
    return d->state == DAMPING_UP || d->state == DAMPING_GLITCH;
}

double damping_penalty(const struct damping *d, const struct damping_options *o, ms_t now_ms)
{
    if (o->half_life_ms == 0)
        return 0;
    ms_t passed = now_ms > d->updated_ms ? now_ms - d->updated_ms : 0;
    return d->penalty * exp2(-(double)passed / (double)o->half_life_ms);
}

/* When a penalty p at `at` will have decayed to the reuse mark. */
static ms_t reuse_at(double p, const struct damping_options *o, ms_t at)
{
    double halves = log2(p / (double)o->reuse_below);
    return halves <= 0 ? at : ms_after(at, (ms_t)ceil(halves * (double)o->half_life_ms));
}

static void settle(struct damping *d, const struct damping_options *o, ms_t now_ms)
{
    d->penalty = damping_penalty(d, o, now_ms);
    d->updated_ms = now_ms;
}

/* --- Room: a bucket that holds half of an hour's number and gets the other half in an hour ------------ */

static unsigned at_once(const struct damping_options *o)
{
    return o->floods_per_hour / 2;
}

static ms_t spacing(const struct damping_options *o)
{
    enum { HOUR_MS = 3600000 };
    unsigned later = o->floods_per_hour - at_once(o);
    return later == 0 ? HOUR_MS : (HOUR_MS + later - 1) / later;
}

/* When there is room for n. */
static ms_t room_at(const struct damping *d, const struct damping_options *o, unsigned n)
{
    ms_t early = at_once(o) > n ? (at_once(o) - n) * spacing(o) : 0;
    return d->room_ms > early ? d->room_ms - early : 0;
}

bool damping_room(const struct damping *d, const struct damping_options *o, ms_t now_ms)
{
    return now_ms >= room_at(d, o, 2);
}

void damping_told(struct damping *d, const struct damping_options *o, ms_t now_ms)
{
    d->room_ms = ms_after(d->room_ms > now_ms ? d->room_ms : now_ms, spacing(o));
}

/* --- States ------------------------------------------------------------------------------------------- */

static bool penalized(const struct damping *d, const struct damping_options *o, ms_t now_ms)
{
    return d->suppressed && damping_penalty(d, o, now_ms) > o->reuse_below;
}

/* When one that answers may be announced UP. */
static ms_t release_at(const struct damping *d, const struct damping_options *o)
{
    ms_t reuse = d->suppressed ? reuse_at(d->penalty, o, d->updated_ms) : 0, room = room_at(d, o, 2);
    return reuse > room ? reuse : room;
}

/* The only writer of state after damping_init(). */
static bool enter(struct damping *d, const struct damping_options *o, enum damping_state next, ms_t now_ms)
{
    bool was_up = damping_up(d);
    d->state = next;
    switch (next) {
    case DAMPING_UP:
        d->failures = 0;
        d->suppressed = false;
        d->next_ms = UINT64_MAX;
        break;
    case DAMPING_GLITCH:
        d->next_ms = ms_after(now_ms, o->glitch_interval_ms);
        break;
    case DAMPING_DOWN:
        d->next_ms = ms_after(now_ms, o->probe_interval_ms);
        break;
    case DAMPING_HELD:
        d->next_ms = release_at(d, o);
        if (d->next_ms > ms_after(now_ms, o->probe_interval_ms))
            d->next_ms = ms_after(now_ms, o->probe_interval_ms);
        break;
    }
    if (was_up != damping_up(d))
        damping_told(d, o, now_ms);
    return was_up != damping_up(d);
}

static bool failed(struct damping *d, const struct damping_options *o, ms_t now_ms)
{
    d->failures++;
    if (!damping_up(d))
        return enter(d, o, DAMPING_DOWN, now_ms);
    if (d->failures <= o->glitch_attempts)
        return enter(d, o, DAMPING_GLITCH, now_ms);
    settle(d, o, now_ms);
    d->penalty += o->penalty_per_down;
    d->suppressed = d->suppressed || (o->half_life_ms != 0 && d->penalty > o->suppress_above);
    return enter(d, o, DAMPING_DOWN, now_ms);
}

static bool succeeded(struct damping *d, const struct damping_options *o, ms_t now_ms)
{
    d->failures = 0;
    if (damping_up(d))
        return enter(d, o, DAMPING_UP, now_ms);
    settle(d, o, now_ms);
    if (penalized(d, o, now_ms) || !damping_room(d, o, now_ms))
        return enter(d, o, DAMPING_HELD, now_ms);
    return enter(d, o, DAMPING_UP, now_ms);
}

bool damping_report(struct damping *d, const struct damping_options *o, bool success, ms_t now_ms)
{
    return success ? succeeded(d, o, now_ms) : failed(d, o, now_ms);
}

bool damping_tick(struct damping *d, const struct damping_options *o, ms_t now_ms)
{
    if (d->state != DAMPING_HELD || penalized(d, o, now_ms) || !damping_room(d, o, now_ms))
        return false;
    settle(d, o, now_ms);
    return enter(d, o, DAMPING_UP, now_ms);
}

ms_t damping_next(const struct damping *d)
{
    return d->next_ms;
}

ms_t damping_held_until(const struct damping *d, const struct damping_options *o)
{
    return d->state == DAMPING_HELD ? release_at(d, o) : 0;
}
