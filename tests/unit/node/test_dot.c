/* tests/unit/node/test_dot.c — mirrors node/dot.c */
#include "node/dot.h"

#include "tests/unit/check.h"

#include "common/buf.h"

struct seen {
    struct buf body;
    bool bare, end;
    size_t consumed;
};

static void feed(struct dot *d, struct span in, struct seen *seen)
{
    while (in.len > 0 && !seen->end) {
        struct dot_piece p = dot_next(d, in);
        assert_true(p.consumed <= in.len);
        if (!p.inserted && p.body.len > 0)
            assert_ptr_equal(p.body.ptr + p.body.len, in.ptr + p.consumed);
        assert_int_equal(buf_add(&seen->body, p.body), ERR_OK);
        seen->bare = seen->bare || p.bare;
        seen->end = p.end;
        seen->consumed += p.consumed;
        in = span_from(in, p.consumed);
    }
}

static const struct {
    struct span in;
    struct span normalized; /* body with line_endings: normalize */
    size_t rest;            /* octets behind the terminator */
    bool end, bare;
} cases[] = {
    {SPAN_INIT(".\r\n"), SPAN_INIT(""), 0, true, false},
    {SPAN_INIT("a\r\n.\r\nNEXT"), SPAN_INIT("a\r\n"), 4, true, false},
    {SPAN_INIT("..\r\n.\r\n"), SPAN_INIT(".\r\n"), 0, true, false},
    {SPAN_INIT("..a\r\n.b\r\n...\r\n"), SPAN_INIT(".a\r\nb\r\n..\r\n"), 0, false, false},
    {SPAN_INIT("a.\r\nb.c\r\n.\r\n"), SPAN_INIT("a.\r\nb.c\r\n"), 0, true, false},
    {SPAN_INIT("\r\n\r\n.\r\n"), SPAN_INIT("\r\n\r\n"), 0, true, false},
    {SPAN_INIT("a\n.\r\nb"), SPAN_INIT("a\r\n.\r\nb"), 0, false, true},
    {SPAN_INIT("a\n.\nb"), SPAN_INIT("a\r\n.\r\nb"), 0, false, true},
    {SPAN_INIT("a\r.\rb"), SPAN_INIT("a\r\n.\r\nb"), 0, false, true},
    {SPAN_INIT("a\r\n.\nb"), SPAN_INIT("a\r\n\r\nb"), 0, false, true},
    {SPAN_INIT("a\r\n.\rb"), SPAN_INIT("a\r\n\r\nb"), 0, false, true},
    {SPAN_INIT("a\r\n.\r\r\nb"), SPAN_INIT("a\r\n\r\n\r\nb"), 0, false, true},
    {SPAN_INIT("a\r\r\n.\r\n"), SPAN_INIT("a\r\n\r\n"), 0, true, true},
    {SPAN_INIT("\n.\r\n\r\n.\r\n"), SPAN_INIT("\r\n.\r\n\r\n"), 0, true, true},
    {SPAN_INIT("a\0b\r\n\0.\r\n.\r\n"), SPAN_INIT("a\0b\r\n\0.\r\n"), 0, true, false},
    {SPAN_INIT("\n\n\r\r"), SPAN_INIT("\r\n\r\n\r\n\r\n"), 0, false, true},
};

static void run(struct span in, size_t split, bool strict, struct seen *seen)
{
    struct dot d;
    dot_init(&d, true, strict);
    buf_init(&seen->body, 1024);
    feed(&d, span_first(in, split), seen);
    if (seen->end)
        return;
    feed(&d, span_from(in, split), seen);
    if (seen->end)
        return;
    struct dot_piece last = dot_finish(&d);
    seen->bare = seen->bare || last.bare;
    assert_int_equal(buf_add(&seen->body, last.body), ERR_OK);
}

static void test_dot__same_body_wherever_it_is_cut(void **state)
{
    (void)state;
    CHECK_EACH (cases, c)
        for (size_t split = 0; split <= c->in.len; split++)
            for (int strict = 0; strict < 2; strict++) {
                struct seen seen = {.end = false};
                run(c->in, split, strict, &seen);
                assert_int_equal(seen.end, c->end);
                assert_int_equal(seen.bare, c->bare);
                if (seen.end)
                    assert_int_equal(seen.consumed, c->in.len - c->rest);
                if (!strict || !c->bare)
                    check_span(buf_span(&seen.body), c->normalized);
                buf_done(&seen.body);
            }
}

static void test_dot__dots_mean_nothing_in_chunks(void **state)
{
    struct dot d;
    struct seen seen = {.end = false};
    (void)state;
    dot_init(&d, false, true);
    buf_init(&seen.body, 1024);
    feed(&d, SPAN(".\r\n..\r\n.\r\n"), &seen);
    check_span(buf_span(&seen.body), SPAN(".\r\n..\r\n.\r\n"));
    assert_false(seen.end || seen.bare);
    buf_done(&seen.body);
}

/* Whole lines go through in one piece: no copy, no call a line. */
static void test_dot__plain_text_is_one_piece(void **state)
{
    struct dot d;
    (void)state;
    dot_init(&d, true, true);
    struct span in = SPAN("a line\r\nanother\r\n\r\nand half a li");
    struct dot_piece p = dot_next(&d, in);
    assert_int_equal(p.consumed, in.len);
    check_span(p.body, in);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_dot__same_body_wherever_it_is_cut),
                     cmocka_unit_test(test_dot__dots_mean_nothing_in_chunks),
                     cmocka_unit_test(test_dot__plain_text_is_one_piece));
}
