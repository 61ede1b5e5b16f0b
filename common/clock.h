/* common/clock.h — the one way to learn the time; tests hand in a virtual one.
 *
 * Pure modules do not even take a clock: they take `now_ms` as an argument. */
#pragma once
#include "common/attr.h"

typedef uint64_t ms_t; /* milliseconds; the unit is in the type and in the name */

struct clock {
    ms_t (*mono_ms)(void *self); /* never steps back; origin unspecified */
    ms_t (*wall_ms)(void *self); /* since 1970-01-01 UTC; may step */
    void *self;
};
extern const struct clock clock_system;

static inline ms_t clock_mono(const struct clock *c)
{
    return c->mono_ms(c->self);
}
static inline ms_t clock_wall(const struct clock *c)
{
    return c->wall_ms(c->self);
}

/* Deadline arithmetic saturates: it never wraps into the past. */
static inline ms_t ms_after(ms_t now_ms, ms_t delay_ms)
{
    return now_ms + delay_ms < now_ms ? UINT64_MAX : now_ms + delay_ms;
}

/* "Mon, 23 Nov 2026 10:20:30 +0000" (RFC 5322 3.3), always in UTC. out holds at least 32 bytes. */
void clock_rfc5322(ms_t wall_ms, char out[32]);
/* "2026-11-23T10:20:30.123Z" (RFC 3339). */
void clock_rfc3339(ms_t wall_ms, char out[32]);
