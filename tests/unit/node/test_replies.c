/* tests/unit/node/test_replies.c — mirrors node/replies.c */
#include "node/replies.h"

#include "tests/unit/check.h"

static void test_replies__codes_and_texts_agree(void **state)
{
    (void)state;
    for (enum reply_id id = 0; id < REPLY__COUNT; id++) {
        const struct reply *r = reply_get(id);
        size_t at;
        assert_true(r->code >= 200 && r->code < 600);
        /* RFC 3463 2: the class is the first digit of the code */
        if (r->enhanced[0] != '\0')
            assert_int_equal(r->enhanced[0], '0' + (char)(r->code / 100));
        bool argument = span_find(span_cstr(r->text), '%', &at);
        if (argument) {
            assert_int_equal(r->text[at + 1], 's');
            assert_false(span_find(span_from(span_cstr(r->text), at + 1), '%', &at));
        }
        assert_true(strlen(r->text) < 200 && strlen(r->meaning) > 0);
    }
}

static void test_replies__lines_are_bounded_and_clean(void **state)
{
    static char longest[5000];
    struct buf out;
    struct span line, rest;
    size_t lines = 0;
    (void)state;
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "one\r\nX: \x01\xff\n", 12);
    buf_init(&out, 65536);
    assert_int_equal(reply_add(&out, REPLY_HELP, true, span_of(longest, sizeof longest)), ERR_OK);
    for (rest = buf_span(&out); rest.len > 0; lines++) {
        assert_true(span_cut(rest, '\n', &line, &rest));
        assert_true(line.len + 1 <= 512 && line.ptr[line.len - 1] == '\r');
        assert_true(span_has_prefix(line, rest.len > 0 ? SPAN("214-2.0.0 ") : SPAN("214 2.0.0 ")));
        assert_null(memchr(line.ptr, '\x01', line.len));
    }
    assert_int_equal(lines, 3);
    buf_done(&out);
}

static void test_replies__a_full_buffer_stays_as_it_was(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 40);
    assert_int_equal(reply_add(&out, REPLY_NOOP_OK, true, SPAN("")), ERR_OK);
    size_t len = out.len;
    assert_int_equal(reply_add(&out, REPLY_VRFY_MAYBE, true, SPAN("")), ERR_TOOBIG);
    assert_int_equal(out.len, len);
    assert_int_equal(reply_add(&out, REPLY_NOOP_OK, false, SPAN("")), ERR_OK);
    check_span(buf_span(&out), SPAN("250 2.0.0 ok\r\n250 ok\r\n"));
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_replies__codes_and_texts_agree),
                     cmocka_unit_test(test_replies__lines_are_bounded_and_clean),
                     cmocka_unit_test(test_replies__a_full_buffer_stays_as_it_was));
}
