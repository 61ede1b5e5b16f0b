/* tests/unit/common/test_clock.c — mirrors common/clock.c */
#include "tests/unit/check.h"

#include "common/clock.h"

static void test_clock__dates(void **state)
{
    static const struct {
        ms_t wall_ms;
        const char *rfc5322, *rfc3339;
    } cases[] = {
        {0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.000Z"},
        {951782399999, "Mon, 28 Feb 2000 23:59:59 +0000", "2000-02-28T23:59:59.999Z"},
        {951782400000, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00.000Z"},
        {1795429230123, "Mon, 23 Nov 2026 10:20:30 +0000", "2026-11-23T10:20:30.123Z"},
        {253402300799000, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59.000Z"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        char out[32];
        clock_rfc5322(c->wall_ms, out);
        assert_string_equal(out, c->rfc5322);
        clock_rfc3339(c->wall_ms, out);
        assert_string_equal(out, c->rfc3339);
    }
}

/* A time from the network may be anything: the text stays in its 32 bytes. */
static void test_clock__absurd_dates_fit(void **state)
{
    static const ms_t cases[] = {UINT64_MAX, UINT64_MAX / 2, 253402300800000, (ms_t)1 << 60};
    (void)state;
    CHECK_EACH (cases, c) {
        char out[33];
        out[32] = '#';
        clock_rfc5322(*c, out);
        assert_int_equal(out[32], '#');
        clock_rfc3339(*c, out);
        assert_int_equal(out[32], '#');
    }
}

static void test_clock__deadlines_saturate(void **state)
{
    (void)state;
    assert_true(ms_after(5, 7) == 12);
    assert_true(ms_after(5, UINT64_MAX) == UINT64_MAX);
    assert_true(ms_after(UINT64_MAX, 0) == UINT64_MAX);
    assert_true(ms_after(UINT64_MAX - 1, 1) == UINT64_MAX);
}

static void test_clock__runs(void **state)
{
    (void)state;
    ms_t before = clock_mono(&clock_system);
    assert_true(clock_mono(&clock_system) >= before);
    assert_true(clock_wall(&clock_system) > 1700000000000);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_clock__dates), cmocka_unit_test(test_clock__absurd_dates_fit),
                     cmocka_unit_test(test_clock__deadlines_saturate), cmocka_unit_test(test_clock__runs));
}
