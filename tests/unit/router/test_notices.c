/* tests/unit/router/test_notices.c — lines about neighbours: one each, of a flood so many and the number of
 * the others, none of them uncounted. */
#include "router/core.h"
#include "tests/unit/check.h"

static void test_notices__each_is_written_while_there_are_few(void **state)
{
    struct notice_limit l = {.since_ms = 0};
    (void)state;
    for (ms_t now = 5; now < 100 * NOTICES_MS; now += NOTICES_MS / NOTICES_LOGGED)
        assert_true(notice_allowed(&l, now));
    assert_int_equal(notice_left_out(&l, UINT64_MAX), 0);
}

static void test_notices__of_a_flood_the_rest_is_counted(void **state)
{
    struct notice_limit l = {.since_ms = 0};
    unsigned written = 0, counted = 0, lines = 0, all = 0;
    (void)state;
    for (ms_t now = 1000; now < 1000 + 10 * NOTICES_MS; now += 10, all++) {
        unsigned n = notice_left_out(&l, now);
        counted += n;
        lines += n > 0;
        if (notice_allowed(&l, now))
            written++;
        else
            l.left_out++;
    }
    assert_int_equal(lines, 9);
    assert_int_equal(written, 10 * NOTICES_LOGGED);
    counted += notice_left_out(&l, UINT64_MAX);
    assert_int_equal(written + counted, all);
    assert_int_equal(notice_left_out(&l, UINT64_MAX), 0); /* told once */
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_notices__each_is_written_while_there_are_few),
                     cmocka_unit_test(test_notices__of_a_flood_the_rest_is_counted));
}
