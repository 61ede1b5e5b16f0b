/* tests/unit/queue/test_retry.c — mirrors queue/retry.c */
#include "queue/retry.h"
#include "tests/unit/check.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
static const ms_t day = 24 * (ms_t)HOUR;

static ms_t glitch[] = {60 * SECOND, 61 * SECOND, 62 * SECOND};
static ms_t schedule[] = {10 * MINUTE, 11 * MINUTE, 15 * MINUTE};

static struct conf_retry settings(uint64_t jitter)
{
    return (struct conf_retry){.glitch = {glitch, 3},
                               .schedule = {schedule, 3},
                               .jitter_percent = jitter,
                               .expire_ms = 2 * day,
                               .delay_notice_ms = 12 * HOUR,
                               .local_expire_ms = 1 * day,
                               .local_delay_notice_ms = 0,
                               .problem_after = 2};
}

static void test_retry__glitches_then_schedule_then_its_last(void **state)
{
    static const struct {
        uint32_t failures;
        ms_t delay_ms;
    } cases[] = {
        {0, 60 * SECOND}, {1, 60 * SECOND}, {2, 61 * SECOND}, {3, 62 * SECOND},          {4, 10 * MINUTE},
        {5, 11 * MINUTE}, {6, 15 * MINUTE}, {7, 15 * MINUTE}, {UINT32_MAX, 15 * MINUTE},
    };
    struct conf_retry conf = settings(0);
    struct rng rng;
    (void)state;
    rng_seed(&rng, 1);
    CHECK_EACH (cases, c)
        assert_int_equal(retry_delay(&conf, c->failures, &rng), c->delay_ms);
    conf.glitch.count = 0;
    assert_int_equal(retry_delay(&conf, 1, &rng), 10 * MINUTE);
    conf.schedule.count = 0;
    assert_int_equal(retry_delay(&conf, 1, &rng), 15 * MINUTE);
}

static void test_retry__jitter_spreads_around_the_interval(void **state)
{
    struct conf_retry conf = settings(10);
    struct rng rng;
    ms_t least = UINT64_MAX, most = 0, sum = 0;
    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < 10000; i++) {
        ms_t d = retry_delay(&conf, 4, &rng);
        least = d < least ? d : least;
        most = d > most ? d : most;
        sum += d;
    }
    assert_in_range(least, 570 * SECOND, 571 * SECOND);
    assert_in_range(most, 629 * SECOND, 630 * SECOND);
    assert_in_range(sum / 10000, 598 * SECOND, 602 * SECOND);
}

static void test_retry__decisions(void **state)
{
    static const struct {
        const char *what;
        uint32_t failures;
        bool own, local, noticed;
        ms_t age_ms, link_delay_ms, expire_ms; /* expire_ms: age, 0 not set */
        enum retry_verb verb;
        ms_t delay_ms;
        uint32_t failures_after;
        bool notice, problem;
    } cases[] = {
        {"first failure of its own", 0, true, false, false, 0, 0, 0, RETRY_AGAIN, 60 * SECOND, 1, false,
         false},
        {"second: a problem message", 1, true, false, false, 0, 0, 0, RETRY_AGAIN, 61 * SECOND, 2, false,
         true},
        {"the link failed", 1, false, false, false, 0, 7 * MINUTE, 0, RETRY_AGAIN, 7 * MINUTE, 1, false,
         false},
        {"a problem stays one", 2, false, false, false, 0, 0, 0, RETRY_AGAIN, 0, 2, false, true},
        {"just before the notice", 0, true, false, false, 12 * HOUR - 1, 0, 0, RETRY_AGAIN, 60 * SECOND, 1,
         false, false},
        {"notice", 0, true, false, false, 12 * HOUR, 0, 0, RETRY_AGAIN, 60 * SECOND, 1, true, false},
        {"once", 0, true, false, true, 13 * HOUR, 0, 0, RETRY_AGAIN, 60 * SECOND, 1, false, false},
        {"local: never", 0, true, true, false, 13 * HOUR, 0, 0, RETRY_AGAIN, 60 * SECOND, 1, false, false},
        {"local: expires earlier", 0, true, true, false, 24 * HOUR, 0, 0, RETRY_EXPIRED, 0, 1, false, false},
        {"not later than the expiry", 9, true, false, true, 48 * HOUR - 5, 0, 0, RETRY_AGAIN, 5, 10, false,
         true},
        {"expired", 9, true, false, true, 48 * HOUR, 0, 0, RETRY_EXPIRED, 0, 10, false, true},
        {"expired without a notice: none", 0, false, false, false, 48 * HOUR, 0, 0, RETRY_EXPIRED, 0, 0,
         false, false},
        {"an expiry of its own", 0, true, false, false, 2 * HOUR, 0, 2 * HOUR, RETRY_EXPIRED, 0, 1, false,
         false},
        {"a later one does not count", 0, true, false, true, 48 * HOUR, 0, 96 * HOUR, RETRY_EXPIRED, 0, 1,
         false, false},
        {"failures do not wrap", UINT32_MAX, true, false, false, 0, 0, 0, RETRY_AGAIN, 15 * MINUTE,
         UINT32_MAX, false, true},
    };
    struct conf_retry conf = settings(0);
    struct rng rng;
    const ms_t first_ms = 1000000;
    (void)state;
    rng_seed(&rng, 1);
    CHECK_EACH (cases, c) {
        struct job job = {.failures = c->failures,
                          .first_ms = first_ms,
                          .expire_ms = c->expire_ms > 0 ? first_ms + c->expire_ms : 0,
                          .delay_noticed = c->noticed};
        struct retry_input in = {&job, c->own, c->local, c->link_delay_ms, first_ms + c->age_ms};
        struct retry_decision d = retry_decide(&conf, &in, &rng);
        if (d.verb != c->verb || d.delay_ms != c->delay_ms || d.failures != c->failures_after ||
            d.delay_notice != c->notice || d.problem != c->problem)
            fail_msg("%s: verb %d delay %llu failures %u notice %d problem %d", c->what, d.verb,
                     (unsigned long long)d.delay_ms, d.failures, d.delay_notice, d.problem);
    }
    /* a clock behind the arrival is no reason to give up */
    struct job job = {.first_ms = first_ms};
    struct retry_decision d =
        retry_decide(&conf, &(struct retry_input){&job, true, false, 0, first_ms - 500000}, &rng);
    assert_int_equal(d.verb, RETRY_AGAIN);
    assert_int_equal(d.delay_ms, 60 * SECOND);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_retry__glitches_then_schedule_then_its_last),
                     cmocka_unit_test(test_retry__jitter_spreads_around_the_interval),
                     cmocka_unit_test(test_retry__decisions));
}
