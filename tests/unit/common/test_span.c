/* tests/unit/common/test_span.c — mirrors common/span.c */
#include "tests/unit/check.h"

static void test_span__cut_returns_head_and_tail(void **state)
{
    static const struct {
        struct span in, head, tail;
        bool found;
    } cases[] = {
        {SPAN_INIT("a:b"), SPAN_INIT("a"), SPAN_INIT("b"), true},
        {SPAN_INIT("a:"), SPAN_INIT("a"), SPAN_INIT(""), true},
        {SPAN_INIT(":b:c"), SPAN_INIT(""), SPAN_INIT("b:c"), true},
        {SPAN_INIT("abc"), SPAN_INIT("abc"), SPAN_INIT(""), false},
        {SPAN_INIT(""), SPAN_INIT(""), SPAN_INIT(""), false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct span head = SPAN("?"), tail = SPAN("?");
        assert_int_equal(span_cut(c->in, ':', &head, &tail), c->found);
        check_span(head, c->head);
        check_span(tail, c->tail);
    }
}

static void test_span__numbers_are_bounded_and_bare(void **state)
{
    static const struct {
        struct span in;
        uint64_t max, value;
        bool ok;
    } cases[] = {
        {SPAN_INIT("0"), 10, 0, true},
        {SPAN_INIT("010"), 10, 10, true},
        {SPAN_INIT("11"), 10, 0, false},
        {SPAN_INIT(""), 10, 0, false},
        {SPAN_INIT("+1"), 10, 0, false},
        {SPAN_INIT(" 1"), 10, 0, false},
        {SPAN_INIT("18446744073709551615"), UINT64_MAX, UINT64_MAX, true},
        {SPAN_INIT("18446744073709551616"), UINT64_MAX, 0, false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        uint64_t v = 0;
        assert_int_equal(span_to_u64(c->in, c->max, &v), c->ok);
        assert_int_equal(v, c->ok ? c->value : 0);
    }
}

static void test_span__case_is_ascii_only(void **state)
{
    (void)state;
    assert_true(span_ieq(SPAN("Mail"), SPAN("mAIL")));
    assert_false(span_ieq(SPAN("\xc3\x84"), SPAN("\xc3\xa4")));
    assert_true(span_has_isuffix(SPAN("a.EXAMPLE"), SPAN(".example")));
    assert_false(span_has_isuffix(SPAN("ample"), SPAN("example")));
    check_span(span_trim(SPAN(" \tx y\t ")), SPAN("x y"));
}

static void test_span__utf8_is_strict(void **state)
{
    static const struct {
        struct span in;
        size_t len;
    } cases[] = {
        {SPAN_INIT(""), 0},
        {SPAN_INIT("a"), 0},
        {SPAN_INIT("\xc3\xbcx"), 2},
        {SPAN_INIT("\xe2\x82\xac"), 3},
        {SPAN_INIT("\xf0\x9f\x93\xa7"), 4},
        {SPAN_INIT("\xc3"), 0},             /* cut */
        {SPAN_INIT("\xc3x"), 0},            /* not a continuation */
        {SPAN_INIT("\xbc"), 0},             /* begins with one */
        {SPAN_INIT("\xc0\xaf"), 0},         /* overlong */
        {SPAN_INIT("\xe0\x9f\xbf"), 0},     /* overlong */
        {SPAN_INIT("\xed\xa0\x80"), 0},     /* surrogate */
        {SPAN_INIT("\xf4\x90\x80\x80"), 0}, /* beyond U+10FFFF */
        {SPAN_INIT("\xc2\x9b"), 0},         /* CSI */
    };
    (void)state;
    CHECK_EACH (cases, c)
        assert_int_equal(span_utf8(c->in), c->len);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_span__cut_returns_head_and_tail),
                     cmocka_unit_test(test_span__numbers_are_bounded_and_bare),
                     cmocka_unit_test(test_span__case_is_ascii_only),
                     cmocka_unit_test(test_span__utf8_is_strict));
}
