#include "queue/msgid.h"
#include "tests/unit/check.h"

#include <string.h>

static void ids_sort_by_time_and_never_repeat(void **state)
{
    (void)state;
    struct msgid_source s;
    msgid_source_init(&s, 42);
    s.counter = 0xfffff0; /* wraps within the test */
    struct msgid last, m;
    msgid_next(&s, 1000, &last);
    for (int i = 0; i < 100; i++) {
        msgid_next(&s, i == 50 ? 900 : 1000, &m); /* the clock steps back once */
        assert_true(msgid_valid(span_cstr(m.id)));
        assert_true(strcmp(m.id, last.id) > 0);
        last = m;
    }
    msgid_next(&s, 2000, &m);
    assert_true(strcmp(m.id, last.id) > 0);
}

static void the_time_comes_back(void **state)
{
    (void)state;
    static const ms_t times[] = {0, 1, 1000, 1795476587123, (UINT64_C(1) << 42) - 1};
    CHECK_EACH (times, t) {
        struct msgid_source s;
        msgid_source_init(&s, 7);
        s.counter = 5;
        struct msgid m;
        msgid_next(&s, *t, &m);
        assert_int_equal(msgid_time_ms(&m), *t);
    }
}

static void bits_have_their_place(void **state)
{
    (void)state;
    struct msgid_source s = {.front = 0x2aaa, .counter = 0x123455, .last_ms = 0};
    struct msgid m;
    msgid_next(&s, 0x3ffffffffff, &m); /* 42 ones, 10101010101010, 0x123456 */
    assert_string_equal(m.id, "ZZZZZZZZXAN14D2P");
}

static void fronts_keep_ids_apart(void **state)
{
    (void)state;
    struct msgid_source a = {.front = 1, .counter = 9}, b = {.front = 2, .counter = 9};
    struct msgid x, y;
    msgid_next(&a, 5, &x);
    msgid_next(&b, 5, &y);
    assert_string_not_equal(x.id, y.id);
}

static void text_round_trips(void **state)
{
    (void)state;
    struct msgid_source s;
    msgid_source_init(&s, 99);
    static const uint16_t partitions[] = {0, 7, 15, 100, PARTITIONS_MAX - 1};
    CHECK_EACH (partitions, p) {
        struct msgid m, back;
        char text[MSGID_TEXT_MAX];
        msgid_next(&s, 1795476587123, &m);
        m.partition = *p;
        msgid_text(&m, text);
        assert_int_equal(msgid_parse(span_cstr(text), &back), ERR_OK);
        assert_string_equal(back.id, m.id);
        assert_int_equal(back.partition, m.partition);
    }
}

static void parse_knows_what_people_type(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* NULL: refused */
    } cases[] = {
        {"07-01JD0M3V8ZQK4T2A", "01JD0M3V8ZQK4T2A"},
        {"7-01jd0m3v8zqk4t2a", "01JD0M3V8ZQK4T2A"},
        {"07-OIJDOM3V8ZQK4T2L", "01JD0M3V8ZQK4T21"},
        {"4095-01JD0M3V8ZQK4T2A", "01JD0M3V8ZQK4T2A"},
        {"4096-01JD0M3V8ZQK4T2A", NULL},
        {"07-01JD0M3V8ZQK4T2", NULL},
        {"07-01JD0M3V8ZQK4T2AA", NULL},
        {"07-01JD0M3V8ZQK4T2U", NULL},
        {"-01JD0M3V8ZQK4T2A", NULL},
        {"+7-01JD0M3V8ZQK4T2A", NULL},
        {"01JD0M3V8ZQK4T2A", NULL},
        {"07-01JD0M3V8ZQK4T\x01"
         "A",
         NULL},
        {"", NULL},
    };
    CHECK_EACH (cases, c) {
        struct msgid m;
        enum err e = msgid_parse(span_cstr(c->text), &m);
        assert_int_equal(e, c->want == NULL ? ERR_PARSE : ERR_OK);
        if (c->want != NULL)
            assert_string_equal(m.id, c->want);
    }
}

static void only_canonical_ids_are_valid(void **state)
{
    (void)state;
    assert_true(msgid_valid(SPAN("01JD0M3V8ZQK4T2A")));
    assert_false(msgid_valid(SPAN("01jd0m3v8zqk4t2a")));
    assert_false(msgid_valid(SPAN("01JD0M3V8ZQK4T2")));
    assert_false(msgid_valid(SPAN("01JD0M3V8ZQK4T2}")));
    assert_false(msgid_valid(SPAN("01JD0M3V8ZQK4T2\0")));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(ids_sort_by_time_and_never_repeat),
                     cmocka_unit_test(the_time_comes_back), cmocka_unit_test(bits_have_their_place),
                     cmocka_unit_test(fronts_keep_ids_apart), cmocka_unit_test(text_round_trips),
                     cmocka_unit_test(parse_knows_what_people_type),
                     cmocka_unit_test(only_canonical_ids_are_valid));
}
