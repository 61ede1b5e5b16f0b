/* tests/unit/linkstate/test_trace.c — mirrors linkstate/trace.c */
#include "linkstate/trace.h"
#include "tests/unit/check.h"

static void test_trace__reads_and_writes_the_same_text(void **state)
{
    static const struct {
        struct span text;
        enum err e;
    } cases[] = {
        {SPAN_INIT(""), ERR_OK},
        {SPAN_INIT("hq:17"), ERR_OK},
        {SPAN_INIT("hq:17,branch-2.x_y:18446744073709551615"), ERR_OK},
        {SPAN_INIT("hq"), ERR_PARSE},
        {SPAN_INIT("hq:"), ERR_PARSE},
        {SPAN_INIT(":1"), ERR_PARSE},
        {SPAN_INIT("hq:1,"), ERR_PARSE},
        {SPAN_INIT(",hq:1"), ERR_PARSE},
        {SPAN_INIT("hq:1,,b:1"), ERR_PARSE},
        {SPAN_INIT("hq:1:2"), ERR_PARSE},
        {SPAN_INIT("hq:-1"), ERR_PARSE},
        {SPAN_INIT("hq:18446744073709551616"), ERR_PARSE},
        {SPAN_INIT("h q:1"), ERR_PARSE},
        {SPAN_INIT("h\0q:1"), ERR_PARSE},
        {SPAN_INIT("hq:1\n"), ERR_PARSE},
        {SPAN_INIT("hq:1,HQ:2"), ERR_PARSE},
        {SPAN_INIT("a123456789012345678901234567890123456789012345678901234567890123:1"), ERR_PARSE},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct trace t;
        struct buf b;
        buf_init(&b, TRACE_TEXT_MAX);
        assert_int_equal(trace_parse(c->text, &t), c->e);
        if (c->e == ERR_OK) {
            assert_int_equal(trace_emit(&t, &b), ERR_OK);
            check_span(buf_span(&b), c->text);
        }
        buf_done(&b);
    }
}

static void test_trace__holds_a_group_once_and_thirty_of_them(void **state)
{
    char names[TRACE_MAX + 1][8];
    struct trace t = {.n = 0}, again;
    struct buf b;
    (void)state;
    buf_init(&b, 2 * TRACE_TEXT_MAX);
    for (size_t i = 0; i < TRACE_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "g%zu", i);
        assert_int_equal(trace_leave(&t, span_cstr(names[i]), i), ERR_OK);
    }
    assert_int_equal(trace_leave(&t, SPAN("one-more"), 99), ERR_TOOBIG);
    assert_int_equal(trace_leave(&t, SPAN("G0"), 50), ERR_OK); /* known: the newest counts, and is last */
    assert_int_equal(t.n, TRACE_MAX);
    check_span(t.items[0].group, SPAN("g1"));
    assert_int_equal(t.items[TRACE_MAX - 1].generation, 50);
    assert_int_equal(trace_emit(&t, &b), ERR_OK);
    assert_int_equal(trace_parse(buf_span(&b), &again), ERR_OK);
    assert_int_equal(buf_add(&b, SPAN(",one-more:1")), ERR_OK);
    assert_int_equal(trace_parse(buf_span(&b), &again), ERR_TOOBIG);
    buf_done(&b);
}

static void test_trace__a_group_is_entered_again_by_newer_link_state_alone(void **state)
{
    struct trace t;
    (void)state;
    assert_int_equal(trace_parse(SPAN("a:5,b:9"), &t), ERR_OK);
    assert_true(trace_admits(&t, SPAN("c"), 0));
    assert_false(trace_admits(&t, SPAN("a"), 5));
    assert_false(trace_admits(&t, SPAN("a"), 9)); /* newer than at a, not than at b */
    assert_true(trace_admits(&t, SPAN("A"), 10));
    t.n = 0;
    assert_true(trace_admits(&t, SPAN("a"), 0));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_trace__reads_and_writes_the_same_text),
                     cmocka_unit_test(test_trace__holds_a_group_once_and_thirty_of_them),
                     cmocka_unit_test(test_trace__a_group_is_entered_again_by_newer_link_state_alone));
}
