#include "queue/check_kind.h"
#include "tests/unit/check.h"

static void keys_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        struct span rest;
        const char *part; /* the first; NULL: none */
        size_t names;     /* a call of the script is asked with */
    } cases[] = {
        {SPAN_INIT("m:0000000000000001"), "m", 100},
        {SPAN_INIT("m:"), NULL, 100},
        {SPAN_INIT("a:a.example"), "a", 20}, /* counted again, job by job */
        {SPAN_INIT("q:a.example"), "q", 20},
        {SPAN_INIT("fin:1"), "fin", 100},
        {SPAN_INIT("dom"), NULL, 100},
        {SPAN_INIT("domain"), NULL, 100},
        {SPAN_INIT(""), NULL, 100},
    };
    CHECK_EACH (cases, c) {
        const struct check_kind *kind = check_kind_of(c->rest);
        assert_int_equal(kind->names, c->names);
        if (c->part == NULL)
            assert_null(kind->parts[0]);
        else
            assert_string_equal(kind->parts[0], c->part);
    }
    assert_string_equal(check_kind_of(SPAN("dom"))->walk, "ZSCAN");
    assert_ptr_equal(check_kind_of(SPAN("domain")), &check_kind_other);
}

static void a_key_is_cut_behind_its_tag(void **state)
{
    (void)state;
    static const struct {
        struct span key, tag, rest;
        bool ours;
    } cases[] = {
        {SPAN_INIT("{mq.p00.22}:q:a}b"), SPAN_INIT("{mq.p00.22}"), SPAN_INIT("q:a}b"), true},
        {SPAN_INIT("{mq.sem}:"), SPAN_INIT("{mq.sem}"), SPAN_INIT(""), true},
        {SPAN_INIT("{mq.sem}"), SPAN_INIT(""), SPAN_INIT(""), false},
        {SPAN_INIT("{mq.sem}x:y"), SPAN_INIT(""), SPAN_INIT(""), false},
        {SPAN_INIT("mq"), SPAN_INIT(""), SPAN_INIT(""), false},
    };
    CHECK_EACH (cases, c) {
        struct span tag = SPAN(""), rest = SPAN("");
        assert_int_equal(check_key_cut(c->key, &tag, &rest), c->ours);
        assert_true(span_eq(tag, c->tag) && span_eq(rest, c->rest));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_told_apart),
        cmocka_unit_test(a_key_is_cut_behind_its_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
