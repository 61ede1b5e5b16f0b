/* tests/unit/linkstate/test_damping.c — a day in the life of a connector, told in reports. */
#include "common/rng.h"
#include "linkstate/damping.h"
#include "tests/unit/check.h"

enum { S = 1000, MIN = 60 * S };

static void test_damping__goes_down_after_the_glitch_retries_and_up_at_once(void **state)
{
    (void)state;
    struct damping d;
    const struct damping_options *o = &damping_defaults;
    damping_init(&d);
    ms_t now = 10 * MIN;
    assert_false(damping_report(&d, o, false, now));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(d.state, DAMPING_GLITCH);
        assert_int_equal(damping_next(&d), now + MIN);
        now += MIN;
        assert_false(damping_report(&d, o, false, now));
    }
    now += MIN;
    assert_true(damping_report(&d, o, false, now));
    assert_int_equal(d.state, DAMPING_DOWN);
    assert_int_equal(damping_next(&d), now + MIN);
    now += MIN;
    assert_false(damping_report(&d, o, false, now));
    now += MIN;
    assert_true(damping_report(&d, o, true, now));
    assert_int_equal(d.state, DAMPING_UP);
    assert_int_equal(damping_next(&d), UINT64_MAX);
}

static void test_damping__a_success_within_the_glitch_is_never_announced(void **state)
{
    (void)state;
    struct damping d;
    damping_init(&d);
    for (int i = 0; i < 50; i++) {
        assert_false(damping_report(&d, &damping_defaults, false, (ms_t)i * 2 * MIN));
        assert_false(damping_report(&d, &damping_defaults, true, ((ms_t)i * 2 + 1) * MIN));
    }
    assert_int_equal(d.penalty, 0);
}

/* Flaps as fast as it can: the announcements of any hour stay below the promise, and it is free again in the
 * end. */
static void test_damping__flapping_is_held_and_bounded(void **state)
{
    (void)state;
    struct damping_options o = damping_defaults;
    o.glitch_attempts = 0;
    struct damping d;
    damping_init(&d);
    unsigned changes = 0, most = damping_most_per_hour(&o);
    bool held = false;
    ms_t hour = 0;
    for (ms_t now = 0; now < 12u * 60 * MIN; now += 10 * S) {
        if (now - hour >= 60 * MIN) {
            assert_true(changes <= most);
            changes = 0;
            hour = now;
        }
        changes += damping_report(&d, &o, now / (10 * S) % 2 == 0 ? false : true, now);
        changes += damping_tick(&d, &o, now);
        held = held || d.state == DAMPING_HELD;
    }
    assert_true(held);
    ms_t now = 12u * 60 * MIN;
    (void)damping_report(&d, &o, true, now);
    while (!damping_up(&d) && now < 24u * 60 * MIN) {
        assert_true(damping_next(&d) > now);
        now = damping_next(&d);
        if (!damping_tick(&d, &o, now))
            (void)damping_report(&d, &o, true, now);
    }
    assert_true(damping_up(&d));
    assert_true(damping_penalty(&d, &o, now) <= o.reuse_below);
}

static void test_damping__a_clock_that_steps_back_changes_nothing(void **state)
{
    (void)state;
    struct damping_options o = damping_defaults;
    o.glitch_attempts = 0;
    struct damping d;
    damping_init(&d);
    assert_true(damping_report(&d, &o, false, 100 * MIN));
    double p = damping_penalty(&d, &o, 100 * MIN);
    assert_true(damping_penalty(&d, &o, 1) == p);
    assert_false(damping_tick(&d, &o, 1));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_damping__goes_down_after_the_glitch_retries_and_up_at_once),
                     cmocka_unit_test(test_damping__a_success_within_the_glitch_is_never_announced),
                     cmocka_unit_test(test_damping__flapping_is_held_and_bounded),
                     cmocka_unit_test(test_damping__a_clock_that_steps_back_changes_nothing));
}
