/* tests/unit/common/test_wire.c — mirrors common/wire.c */
#include "tests/unit/check.h"

#include "common/rng.h"
#include "common/wire.h"

static void test_wire__what_is_written_is_read(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    struct wr w = wr_open(&b);
    wr_u8(&w, 0xfe);
    wr_u16(&w, 0x1234);
    wr_u32(&w, 0x89abcdef);
    wr_u64(&w, 0x0123456789abcdef);
    wr_varint(&w, 300);
    wr_bytes(&w, SPAN("xyz"));
    assert_false(w.bad);
    check_span(buf_span(&b), SPAN("\xfe\x12\x34\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\xac\x02xyz"));
    struct rd r = rd_open(buf_span(&b));
    assert_int_equal(rd_u8(&r), 0xfe);
    assert_int_equal(rd_u16(&r), 0x1234);
    assert_int_equal(rd_u32(&r), 0x89abcdef);
    assert_int_equal(rd_u64(&r), 0x0123456789abcdef);
    assert_int_equal(rd_varint(&r), 300);
    assert_int_equal(rd_left(&r), 3);
    check_span(rd_bytes(&r, 3), SPAN("xyz"));
    assert_false(r.bad);
    assert_int_equal(rd_left(&r), 0);
    buf_done(&b);
}

static void test_wire__an_overrun_sticks(void **state)
{
    struct rd r = rd_open(SPAN("ab"));
    (void)state;
    assert_int_equal(rd_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(rd_u8(&r), 0);
    assert_int_equal(rd_left(&r), 0);
    check_span(rd_bytes(&r, 0), SPAN(""));
    struct rd none = rd_open(span_of(NULL, 0));
    assert_int_equal(rd_left(&none), 0);
    check_span(rd_bytes(&none, 0), SPAN(""));
    assert_false(none.bad);
    assert_int_equal(rd_u8(&none), 0);
    assert_true(none.bad);
}

static void test_wire__a_part_ends_where_it_says(void **state)
{
    struct rd r = rd_open(SPAN("abcdef"));
    (void)state;
    struct rd sub = rd_sub(&r, 2);
    assert_int_equal(rd_u8(&sub), 'a');
    assert_int_equal(rd_u16(&sub), 0);
    assert_true(sub.bad && !r.bad);
    assert_int_equal(rd_u8(&r), 'c');
    sub = rd_sub(&r, 4);
    assert_true(sub.bad && r.bad);
    check_span(rd_bytes(&sub, 1), SPAN(""));
}

static void test_wire__varints_have_one_form(void **state)
{
    static const struct {
        struct span bytes;
        uint64_t value;
        bool ok;
    } cases[] = {
        {SPAN_INIT("\x00"), 0, true},
        {SPAN_INIT("\x7f"), 127, true},
        {SPAN_INIT("\x80\x01"), 128, true},
        {SPAN_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), UINT64_MAX, true},
        {SPAN_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), 0, false}, /* more than 64 bits */
        {SPAN_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00"), 0, false},
        {SPAN_INIT("\x80\x00"), 0, false}, /* not the shortest */
        {SPAN_INIT("\x80"), 0, false},
        {SPAN_INIT(""), 0, false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct rd r = rd_open(c->bytes);
        assert_true(rd_varint(&r) == c->value);
        assert_int_equal(!r.bad, c->ok);
    }
}

static void test_wire__varints_round_trip(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 3);
    for (int i = 0; i < 20000; i++) {
        uint64_t v = rng_next(&rng) >> rng_below(&rng, 64);
        struct buf b;
        buf_init(&b, 10);
        struct wr w = wr_open(&b);
        wr_varint(&w, v);
        assert_false(w.bad);
        struct rd r = rd_open(buf_span(&b));
        assert_true(rd_varint(&r) == v && !r.bad && rd_left(&r) == 0);
        buf_done(&b);
    }
}

static void test_wire__a_full_buffer_sticks(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 3);
    struct wr w = wr_open(&b);
    wr_u16(&w, 0x6162);
    wr_u32(&w, 0);
    assert_true(w.bad);
    wr_u8(&w, 'c'); /* would fit, but comes after a gap */
    check_span(buf_span(&b), SPAN("ab"));
    buf_done(&b);
}

int main(void)
{
    return CHECK_RUN(
        cmocka_unit_test(test_wire__what_is_written_is_read), cmocka_unit_test(test_wire__an_overrun_sticks),
        cmocka_unit_test(test_wire__a_part_ends_where_it_says),
        cmocka_unit_test(test_wire__varints_have_one_form), cmocka_unit_test(test_wire__varints_round_trip),
        cmocka_unit_test(test_wire__a_full_buffer_sticks));
}
