/* tests/unit/common/test_buf.c — mirrors common/buf.c */
#include "tests/unit/check.h"

#include "common/buf.h"
#include "common/rng.h"

#include <stdlib.h>
#include <string.h>

static void check_invariant(const struct buf *b)
{
    assert_true(b->len <= b->cap && b->cap <= b->max);
    if (b->ptr != NULL)
        assert_int_equal(b->ptr[b->len], '\0');
}

static void test_buf__grows_up_to_its_limit(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    assert_null(b.ptr);
    check_span(buf_span(&b), SPAN(""));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf_addc(&b, (char)('a' + i % 26)), ERR_OK);
        check_invariant(&b);
    }
    assert_int_equal(buf_addc(&b, '!'), ERR_TOOBIG);
    assert_int_equal(buf_add(&b, SPAN("")), ERR_OK);
    assert_int_equal(b.len, 100);
    assert_int_equal(b.ptr[99], 'a' + 99 % 26);
    buf_done(&b);
    buf_done(&b);
    assert_int_equal(b.max, 100);
    assert_int_equal(buf_add(&b, SPAN("again")), ERR_OK);
    buf_done(&b);
}

static void test_buf__failing_changes_nothing(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 8);
    assert_int_equal(buf_add(&b, SPAN("1234")), ERR_OK);
    assert_int_equal(buf_add(&b, SPAN("56789")), ERR_TOOBIG);
    assert_int_equal(buf_addf(&b, "%s", "56789"), ERR_TOOBIG);
    assert_int_equal(buf_add_escaped(&b, SPAN("ab\n")), ERR_TOOBIG); /* fails in the middle */
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_TOOBIG);
    check_span(buf_span(&b), SPAN("1234"));
    check_invariant(&b);
    assert_int_equal(buf_addf(&b, "%d%s", 56, "78"), ERR_OK);
    assert_string_equal(buf_cstr(&b), "12345678");
    buf_done(&b);
    struct buf none;
    buf_init(&none, 0);
    assert_int_equal(buf_add(&none, SPAN("")), ERR_OK);
    assert_int_equal(buf_addc(&none, 'x'), ERR_TOOBIG);
    buf_done(&none);
}

static void test_buf__escapes_what_could_forge_a_log_line(void **state)
{
    static const struct {
        struct span in, out;
    } cases[] = {
        {SPAN_INIT("plain text ~"), SPAN_INIT("plain text ~")},
        {SPAN_INIT("a\r\nb"), SPAN_INIT("a\\x0d\\x0ab")},
        {SPAN_INIT("it's"), SPAN_INIT("it\\x27s")},
        {SPAN_INIT("\\n"), SPAN_INIT("\\x5cn")},
        {SPAN_INIT("\0\x7f\x80\xff"), SPAN_INIT("\\x00\\x7f\\x80\\xff")},
        {SPAN_INIT(""), SPAN_INIT("")},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct buf b;
        buf_init(&b, 1000);
        assert_int_equal(buf_add_escaped(&b, c->in), ERR_OK);
        check_span(buf_span(&b), c->out);
        buf_done(&b);
    }
}

static void test_buf__gives_up_its_front_and_itself(void **state)
{
    struct buf b;
    size_t len = 99;
    (void)state;
    buf_init(&b, 100);
    assert_null(buf_take(&b, &len));
    assert_int_equal(len, 0);
    buf_drop_front(&b, 1);
    assert_int_equal(buf_add(&b, SPAN("abcdef")), ERR_OK);
    buf_drop_front(&b, 0);
    buf_drop_front(&b, 2);
    check_span(buf_span(&b), SPAN("cdef"));
    check_invariant(&b);
    char *taken = buf_take(&b, &len);
    assert_string_equal(taken, "cdef");
    assert_int_equal(len, 4);
    free(taken);
    assert_null(b.ptr);
    assert_int_equal(buf_add(&b, SPAN("x")), ERR_OK);
    buf_drop_front(&b, 100);
    check_span(buf_span(&b), SPAN(""));
    assert_string_equal(buf_cstr(&b), "");
    buf_done(&b);
}

static void test_buf__reserved_room_is_written_by_the_caller(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_reserve(&b, 500), ERR_OK);
    memset(b.ptr, 'x', 500);
    buf_wrote(&b, 500);
    check_invariant(&b);
    assert_int_equal(b.len, 500);
    buf_clear(&b);
    assert_true(b.cap >= 500);
    assert_string_equal(buf_cstr(&b), "");
    buf_done(&b);
}

/* Against a plain array, at random. */
static void test_buf__behaves_like_an_array(void **state)
{
    struct rng rng;
    struct buf b;
    char model[256];
    size_t len = 0;
    (void)state;
    rng_seed(&rng, 7);
    buf_init(&b, sizeof model);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rng_below(&rng, 40);
        char piece[40];
        memset(piece, (char)('a' + rng_below(&rng, 26)), sizeof piece);
        if (rng_below(&rng, 3) > 0) {
            bool fits = len + n <= sizeof model;
            assert_int_equal(buf_add(&b, span_of(piece, n)), fits ? ERR_OK : ERR_TOOBIG);
            if (fits)
                memcpy(model + len, piece, n);
            len += fits ? n : 0;
        } else {
            buf_drop_front(&b, n);
            n = n < len ? n : len;
            memmove(model, model + n, len - n);
            len -= n;
        }
        check_invariant(&b);
        check_span(buf_span(&b), span_of(model, len));
    }
    buf_done(&b);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_buf__grows_up_to_its_limit),
                     cmocka_unit_test(test_buf__failing_changes_nothing),
                     cmocka_unit_test(test_buf__escapes_what_could_forge_a_log_line),
                     cmocka_unit_test(test_buf__gives_up_its_front_and_itself),
                     cmocka_unit_test(test_buf__reserved_room_is_written_by_the_caller),
                     cmocka_unit_test(test_buf__behaves_like_an_array));
}
