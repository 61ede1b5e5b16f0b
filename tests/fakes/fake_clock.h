/* tests/fakes/fake_clock.h — time that moves only when the test says so. */
#pragma once
#include "common/clock.h"

struct fake_clock {
    ms_t now_ms;
    struct clock clock; /* hand out a pointer to this */
};
static inline ms_t fake_clock_mono(void *self)
{
    return ((struct fake_clock *)self)->now_ms;
}
static inline ms_t fake_clock_wall(void *self)
{
    return ((struct fake_clock *)self)->now_ms + UINT64_C(1795476587000);
}
/* c must stay where it is: the clock points at it. */
static inline void fake_clock_init(struct fake_clock *c)
{
    *c = (struct fake_clock){.now_ms = 1000, .clock = {fake_clock_mono, fake_clock_wall, c}};
}
