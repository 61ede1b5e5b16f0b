/* tests/unit/common/test_metrics.c — mirrors common/metrics.c */
#include "tests/unit/check.h"

#include "common/metrics.h"

#include <string.h>

#define PAPER_METRICS(X)                                                                                     \
    X(sheets, COUNTER, "sheets_total", "sheets used")                                                        \
    X(trays, GAUGE, "trays", "trays that are full")                                                          \
    X(time, HISTOGRAM, "print_seconds", "time a sheet takes")
METRICS_DECLARE(paper_metrics, PAPER_METRICS)
METRICS_DEFINE(paper_metrics, PAPER_METRICS)

static void test_metrics__numbers_of_threads_are_summed(void **state)
{
    struct paper_metrics a, b;
    const void *structs[] = {&a, &b};
    struct buf out;
    (void)state;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    metric_inc(&a.sheets);
    metric_add(&b.sheets, 41);
    metric_set(&a.trays, 7);
    metric_dec(&a.trays);
    assert_int_equal(metric_get(&a.trays), 6);
    buf_init(&out, 10000);
    assert_int_equal(metrics_write(&out, paper_metrics_desc, 2, structs, 2, ""), ERR_OK);
    assert_string_equal(buf_cstr(&out), "# HELP bridgehead_sheets_total sheets used\n"
                                        "# TYPE bridgehead_sheets_total counter\n"
                                        "bridgehead_sheets_total 42\n"
                                        "# HELP bridgehead_trays trays that are full\n"
                                        "# TYPE bridgehead_trays gauge\n"
                                        "bridgehead_trays 6\n");
    buf_done(&out);
}

static void test_metrics__groups_share_one_announcement(void **state)
{
    struct paper_metrics a, b;
    const void *one[] = {&a}, *two[] = {&b};
    const struct metric_group groups[] = {{"room=\"1\"", one, 1}, {"room=\"2\"", two, 1}};
    struct buf out;
    (void)state;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    metric_add(&a.sheets, 3);
    buf_init(&out, 10000);
    assert_int_equal(metrics_write_groups(&out, paper_metrics_desc, 1, groups, 2), ERR_OK);
    assert_string_equal(buf_cstr(&out), "# HELP bridgehead_sheets_total sheets used\n"
                                        "# TYPE bridgehead_sheets_total counter\n"
                                        "bridgehead_sheets_total{room=\"1\"} 3\n"
                                        "bridgehead_sheets_total{room=\"2\"} 0\n");
    buf_done(&out);
}

static void test_metrics__histograms(void **state)
{
    static const struct {
        uint64_t ms;
        size_t bucket;
    } cases[] = {{0, 0},
                 {1, 0},
                 {2, 1},
                 {3, 2},
                 {4, 2},
                 {5, 3},
                 {1 << 18, 18},
                 {(1 << 18) + 1, 19},
                 {UINT64_MAX / 4, 19}};
    (void)state;
    CHECK_EACH (cases, c) {
        struct metric_histogram h;
        memset(&h, 0, sizeof h);
        metric_observe_ms(&h, c->ms);
        assert_int_equal(h.bucket[c->bucket], 1);
        assert_int_equal(h.count, 1);
        assert_true(h.sum_ms == c->ms);
    }
}

static void test_metrics__histograms_are_cumulative(void **state)
{
    static const char *const want[] = {
        "# TYPE bridgehead_print_seconds histogram\n",
        "bridgehead_print_seconds_bucket{room=\"1\",le=\"0.001\"} 1\n",
        "bridgehead_print_seconds_bucket{room=\"1\",le=\"0.002\"} 1\n",
        "bridgehead_print_seconds_bucket{room=\"1\",le=\"0.004\"} 2\n",
        "bridgehead_print_seconds_bucket{room=\"1\",le=\"262.144\"} 2\n",
        "bridgehead_print_seconds_bucket{room=\"1\",le=\"+Inf\"} 3\n",
        "bridgehead_print_seconds_sum{room=\"1\"} 1000.004\n",
        "bridgehead_print_seconds_count{room=\"1\"} 3\n",
    };
    struct paper_metrics m;
    const void *structs[] = {&m};
    struct buf out;
    (void)state;
    memset(&m, 0, sizeof m);
    metric_observe_ms(&m.time, 0);
    metric_observe_ms(&m.time, 4);
    metric_observe_ms(&m.time, 1000000);
    buf_init(&out, 10000);
    assert_int_equal(metrics_write(&out, paper_metrics_desc, paper_metrics_count, structs, 1, "room=\"1\""),
                     ERR_OK);
    CHECK_EACH (want, w)
        assert_non_null(strstr(buf_cstr(&out), *w));
    buf_done(&out);
}

static void test_metrics__too_much_is_an_error(void **state)
{
    struct paper_metrics m;
    const void *structs[] = {&m};
    struct buf out;
    (void)state;
    memset(&m, 0, sizeof m);
    for (size_t max = 0; max < 1000; max += 50) {
        buf_init(&out, max);
        assert_int_equal(metrics_write(&out, paper_metrics_desc, paper_metrics_count, structs, 1, ""),
                         ERR_TOOBIG);
        buf_done(&out);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_metrics__numbers_of_threads_are_summed),
                     cmocka_unit_test(test_metrics__groups_share_one_announcement),
                     cmocka_unit_test(test_metrics__histograms),
                     cmocka_unit_test(test_metrics__histograms_are_cumulative),
                     cmocka_unit_test(test_metrics__too_much_is_an_error));
}
