/* tests/unit/linkstate/test_damping.c — a day in the life of a connector, told in reports. */
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

/* Announcements of the last hour, both ends included. */
struct hour {
    ms_t at[4096];
    size_t first, n;
};

static void announced(struct hour *h, ms_t now, unsigned most)
{
    assert_true(h->n < ARRAY_LEN(h->at));
    h->at[h->n++] = now;
    while (now - h->at[h->first] > 60 * MIN)
        h->first++;
    if (h->n - h->first > most)
        fail_msg("%zu announcements in the hour before %llu", h->n - h->first, (unsigned long long)now);
}

static const struct damping_options flapping[] = {
    {0, MIN, MIN, 1000, 2000, 750, (ms_t)15 * MIN, 14},
    {0, MIN, MIN, 1657, 7810, 1672, (ms_t)2 * MIN, 14},
    {0, 100, 100, 1, 100000000, 1, (ms_t)15 * MIN, 14},
    {0, 100, 100, 1000, 2000, 750, 0, 14},
    {0, 100, 100, 1000, 2000, 750, 0, 4},
    {0, 100, 100, 1000, 2000, 750, 0, 5},
    {1, 100, 100, 1000, 2000, 750, 0, 60},
};

/* Fails, answers, and has something else to tell: as fast as it can, in turn, or as chance has it; after
 * pauses of an hour, too, which leave all the room there is. In no hour is more announced than was promised,
 * a DOWN never has to wait, and it is UP in the end. */
static void test_damping__no_hour_has_more_than_its_number(void **state)
{
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(flapping); row++) {
        const struct damping_options *o = &flapping[row];
        size_t in_all = 0;
        for (unsigned way = 0; way < 4; way++) {
            struct hour *h = calloc(1, sizeof *h);
            struct damping d;
            uint64_t seed = 1 + way;
            ms_t now = 0;
            assert_non_null(h);
            damping_init(&d);
            for (unsigned i = 0; i < 20000; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                unsigned chance = (unsigned)(seed >> 33);
                now += way == 0 ? 1 * S : way == 1 ? 7 * S : chance % 997 == 0 ? 60 * MIN : chance % (9 * S);
                if (damping_report(&d, o, way < 2 ? i % 2 != 0 : chance % 3 != 0, now))
                    announced(h, now, o->floods_per_hour);
                if (damping_tick(&d, o, now))
                    announced(h, now, o->floods_per_hour);
                if (way % 2 != 0 && damping_up(&d) && damping_room(&d, o, now)) {
                    damping_told(&d, o, now);
                    announced(h, now, o->floods_per_hour);
                }
            }
            in_all += h->n;
            free(h);
            ms_t end = now + 24u * 60 * MIN;
            (void)damping_report(&d, o, true, now);
            while (!damping_up(&d) && now < end) {
                assert_true(damping_next(&d) > now);
                assert_true(damping_held_until(&d, o) > now);
                now = damping_next(&d);
                if (!damping_tick(&d, o, now))
                    (void)damping_report(&d, o, true, now);
            }
            assert_true(damping_up(&d));
        }
        assert_true(in_all > o->floods_per_hour);
    }
}

/* At each moment all that is allowed, then straight to the next moment at which anything is. */
static void test_damping__not_even_at_the_edges_of_an_hour(void **state)
{
    (void)state;
    for (unsigned floods = 4; floods < 40; floods++) {
        struct damping_options o = {0, MIN, (ms_t)24 * 60 * MIN, 1000, 2000, 750, 0, floods};
        for (int others = 0; others < 2; others++) {
            struct hour *h = calloc(1, sizeof *h);
            struct damping d;
            ms_t now = 0;
            assert_non_null(h);
            damping_init(&d);
            for (int i = 0; i < 300; i++) {
                for (;;) {
                    if (others != 0 && damping_up(&d) && damping_room(&d, &o, now)) {
                        damping_told(&d, &o, now);
                        announced(h, now, floods);
                    }
                    if (damping_report(&d, &o, false, now))
                        announced(h, now, floods);
                    if (!damping_report(&d, &o, true, now))
                        break;
                    announced(h, now, floods);
                }
                assert_true(damping_held_until(&d, &o) > now);
                now = damping_held_until(&d, &o);
                if (damping_tick(&d, &o, now))
                    announced(h, now, floods);
            }
            free(h);
        }
    }
}

static void test_damping__flapping_is_held_until_the_penalty_has_decayed(void **state)
{
    (void)state;
    struct damping d;
    struct damping_options o = damping_defaults;
    o.glitch_attempts = 0;
    damping_init(&d);
    ms_t now = 0;
    for (int i = 0; i < 2; i++, now += S) {
        assert_true(damping_report(&d, &o, false, now));
        assert_true(damping_report(&d, &o, true, now));
    }
    assert_true(damping_report(&d, &o, false, now));
    assert_false(damping_report(&d, &o, true, now));
    assert_int_equal(d.state, DAMPING_HELD);
    ms_t until = damping_held_until(&d, &o);
    assert_true(until > now + 29 * MIN && until < now + 30 * MIN); /* 3000 to 750: two half-lives */
    assert_false(damping_tick(&d, &o, until - S));
    assert_true(damping_tick(&d, &o, until));
    assert_true(damping_penalty(&d, &o, until) <= o.reuse_below);
}

/* The penalty below the reuse mark ends the hold, and what is left of it does not hold the next one. */
static void test_damping__one_failure_after_a_hold_is_forgiven(void **state)
{
    (void)state;
    struct damping d;
    struct damping_options o = damping_defaults;
    o.glitch_attempts = 0;
    damping_init(&d);
    ms_t now = 0;
    for (int i = 0; i < 3; i++, now += S) {
        (void)damping_report(&d, &o, false, now);
        (void)damping_report(&d, &o, true, now);
    }
    assert_int_equal(d.state, DAMPING_HELD);
    now = damping_held_until(&d, &o);
    assert_true(damping_tick(&d, &o, now));
    assert_int_equal(d.state, DAMPING_UP);
    assert_int_equal(damping_held_until(&d, &o), 0);
    assert_true(damping_report(&d, &o, false, now));
    assert_true(damping_penalty(&d, &o, now) < o.suppress_above);
    assert_true(damping_report(&d, &o, true, now));
    assert_int_equal(d.state, DAMPING_UP);
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
                     cmocka_unit_test(test_damping__no_hour_has_more_than_its_number),
                     cmocka_unit_test(test_damping__not_even_at_the_edges_of_an_hour),
                     cmocka_unit_test(test_damping__flapping_is_held_until_the_penalty_has_decayed),
                     cmocka_unit_test(test_damping__one_failure_after_a_hold_is_forgiven),
                     cmocka_unit_test(test_damping__a_clock_that_steps_back_changes_nothing));
}
