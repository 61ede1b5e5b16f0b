#include "queue/redis_link.h"
#include "tests/unit/check.h"

/* Of a lease that is renewed over it, two pauses of the longest kind take less than a half; without one, or
 * with a long one, they are as long as they may be. */
static void pauses_are_short_for_a_lease(void **state)
{
    (void)state;
    static const struct {
        ms_t lease_ms, most_ms;
    } cases[] = {{0, 2000},   {1, 50},     {500, 62},     {1000, 125},
                 {2500, 312}, {3000, 375}, {30000, 2000}, {UINT64_MAX, 2000}};
    CHECK_EACH (cases, c)
        assert_int_equal(redis_link_backoff_max(c->lease_ms), c->most_ms);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(pauses_are_short_for_a_lease));
}
