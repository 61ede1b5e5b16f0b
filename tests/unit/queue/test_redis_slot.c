#include "queue/redis_slot.h"
#include "tests/unit/check.h"

/* As CLUSTER KEYSLOT answers. */
static void slots_are_those_of_redis(void **state)
{
    (void)state;
    static const struct {
        struct span key;
        unsigned slot;
    } cases[] = {
        {SPAN_INIT("123456789"), 0x31c3},   {SPAN_INIT("foo"), 12182},        {SPAN_INIT("{foo}bar"), 12182},
        {SPAN_INIT("{mq.p00.22}:g"), 13},   {SPAN_INIT("{mq.p01.158}"), 325}, {SPAN_INIT(""), 0},
        {SPAN_INIT("{user}{other}"), 5474}, {SPAN_INIT("foo{}{bar}"), 8363},
    };
    CHECK_EACH (cases, c)
        assert_int_equal(redis_slot(c->key), c->slot);
}

static void tags_spread_evenly(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 3, 16, 64, 1000};
    CHECK_EACH (counts, n) {
        for (unsigned i = 0; i < *n; i++) {
            char tag[REDIS_TAG_MAX];
            redis_tag("mq", i, *n, tag);
            assert_true(redis_tag_valid(span_cstr(tag)));
            assert_int_equal(redis_slot(span_cstr(tag)) * *n / REDIS_SLOTS, i);
        }
    }
    char tag[REDIS_TAG_MAX];
    redis_tag("mq", 1, 64, tag);
    assert_string_equal(tag, "{mq.p01.158}");
}

static void odd_tags_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "{}", "mq", "{mq", "mq}", "{m q}", "{m{q}", "{m}q}", "{m\nq}"};
    CHECK_EACH (cases, c)
        assert_false(redis_tag_valid(span_cstr(*c)));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(slots_are_those_of_redis), cmocka_unit_test(tags_spread_evenly),
                     cmocka_unit_test(odd_tags_are_refused));
}
