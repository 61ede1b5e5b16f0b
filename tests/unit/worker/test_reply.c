/* tests/unit/worker/test_reply.c — mirrors worker/reply.c */
#include "tests/unit/check.h"
#include "worker/reply.h"

struct lines {
    unsigned n;
    size_t bytes;
};
static void count_line(void *arg, uint16_t code, unsigned line, struct span text)
{
    struct lines *l = arg;
    (void)code;
    assert_int_equal(line, l->n);
    l->n++;
    l->bytes += text.len;
}

static void test_reply__texts_and_codes(void **state)
{
    static const struct {
        struct span in;
        uint16_t code;
        const char *enhanced;
        struct span text;
        unsigned lines;
    } cases[] = {
        {SPAN_INIT("220 mx.example ESMTP\r\n"), 220, "", SPAN_INIT("mx.example ESMTP"), 1},
        {SPAN_INIT("250\r\n"), 250, "", SPAN_INIT(""), 1},
        {SPAN_INIT("250 \r\n"), 250, "", SPAN_INIT(""), 1},
        {SPAN_INIT("250 bare\n"), 250, "", SPAN_INIT("bare"), 1},
        {SPAN_INIT("250-a\r\n250-b\r\n250 c\r\n"), 250, "", SPAN_INIT("a b c"), 3},
        {SPAN_INIT("250-a\r\n250\r\n"), 250, "", SPAN_INIT("a "), 2},
        {SPAN_INIT("550 5.1.1 no such user\r\n"), 550, "5.1.1", SPAN_INIT("5.1.1 no such user"), 1},
        {SPAN_INIT("550-5.1.1 no\r\n550 5.1.1 such user\r\n"), 550, "5.1.1", SPAN_INIT("5.1.1 no such user"),
         2},
        {SPAN_INIT("550 5.1.1\r\n"), 550, "5.1.1", SPAN_INIT("5.1.1"), 1},
        {SPAN_INIT("250 5.1.1 odd\r\n"), 250, "", SPAN_INIT("5.1.1 odd"), 1},
        {SPAN_INIT("550 5.1.1000 odd\r\n"), 550, "", SPAN_INIT("5.1.1000 odd"), 1},
        {SPAN_INIT("550 5.1.1odd\r\n"), 550, "", SPAN_INIT("5.1.1odd"), 1},
        {SPAN_INIT("550 5..1 odd\r\n"), 550, "", SPAN_INIT("5..1 odd"), 1},
        {SPAN_INIT("571 \xc3\xa9 \x01\r\n"), 571, "", SPAN_INIT("\xc3\xa9 \x01"), 1},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        for (size_t cut = 0; cut <= c->in.len; cut++) { /* in one piece and in two, everywhere */
            struct reply_parser p;
            struct reply r = {0};
            struct lines l = {0};
            size_t taken;
            reply_init(&p);
            enum err e = reply_feed(&p, span_first(c->in, cut), &taken, &r, count_line, &l);
            assert_int_equal(e, cut == c->in.len ? ERR_OK : ERR_AGAIN);
            assert_int_equal(taken, cut);
            assert_int_equal(reply_partial(&p), cut > 0 && cut < c->in.len);
            if (e == ERR_AGAIN)
                assert_int_equal(reply_feed(&p, span_from(c->in, cut), &taken, &r, count_line, &l), ERR_OK);
            assert_int_equal(r.code, c->code);
            assert_string_equal(r.enhanced, c->enhanced);
            check_span(r.text, c->text);
            assert_int_equal(l.n, c->lines);
            reply_done(&p);
        }
    }
}

static void test_reply__takes_one_at_a_time(void **state)
{
    struct reply_parser p;
    struct reply r;
    size_t taken;
    (void)state;
    reply_init(&p);
    struct span in = SPAN("250 one\r\n250-two\r\n250 2\r\n354 thr");
    assert_int_equal(reply_feed(&p, in, &taken, &r, NULL, NULL), ERR_OK);
    check_span(r.text, SPAN("one"));
    in = span_from(in, taken);
    assert_int_equal(reply_feed(&p, in, &taken, &r, NULL, NULL), ERR_OK);
    check_span(r.text, SPAN("two 2"));
    in = span_from(in, taken);
    assert_int_equal(reply_feed(&p, in, &taken, &r, NULL, NULL), ERR_AGAIN);
    assert_int_equal(taken, in.len);
    assert_int_equal(reply_feed(&p, SPAN("ee\r\n"), &taken, &r, NULL, NULL), ERR_OK);
    assert_int_equal(r.code, 354);
    check_span(r.text, SPAN("three"));
    reply_done(&p);
}

static void test_reply__garbage_is_refused_for_good(void **state)
{
    static const struct span cases[] = {
        SPAN_INIT("hello\r\n"),          SPAN_INIT("\r\n"),       SPAN_INIT("25\r\n"),
        SPAN_INIT("2500 x\r\n"),         SPAN_INIT("250x\r\n"),   SPAN_INIT("150 x\r\n"),
        SPAN_INIT("600 x\r\n"),          SPAN_INIT("-50 x\r\n"),  SPAN_INIT("250-a\r\n251 b\r\n"),
        SPAN_INIT("250-a\r\nhello\r\n"), SPAN_INIT(" 250 a\r\n"),
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct reply_parser p;
        struct reply r;
        size_t taken;
        reply_init(&p);
        assert_int_equal(reply_feed(&p, *c, &taken, &r, NULL, NULL), ERR_PARSE);
        assert_int_equal(reply_feed(&p, SPAN("250 fine\r\n"), &taken, &r, NULL, NULL), ERR_PARSE);
        reply_done(&p);
    }
}

static void test_reply__is_bounded(void **state)
{
    struct reply_parser p;
    struct reply r;
    size_t taken;
    char line[REPLY_LINE_MAX + 1];
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "250 ", 4);
    reply_init(&p);
    assert_int_equal(reply_feed(&p, span_of(line, REPLY_LINE_MAX), &taken, &r, NULL, NULL), ERR_AGAIN);
    assert_int_equal(reply_feed(&p, SPAN("\r\n"), &taken, &r, NULL, NULL), ERR_TOOBIG);
    reply_done(&p);

    char whole[REPLY_LINE_MAX + 3];
    memcpy(whole, line, sizeof(line));
    memcpy(whole + sizeof(line), "\r\n", 2);
    reply_init(&p); /* in one piece with its end, too */
    assert_int_equal(reply_feed(&p, span_of(whole, sizeof(whole)), &taken, &r, NULL, NULL), ERR_TOOBIG);
    reply_done(&p);

    reply_init(&p);
    assert_int_equal(reply_feed(&p, span_of(line, REPLY_LINE_MAX - 1), &taken, &r, NULL, NULL), ERR_AGAIN);
    assert_int_equal(reply_feed(&p, SPAN("\r\n"), &taken, &r, NULL, NULL), ERR_OK);
    assert_int_equal(r.text.len, REPLY_KEPT_MAX); /* the rest is not kept */
    reply_done(&p);

    reply_init(&p);
    enum err e = ERR_AGAIN;
    for (unsigned i = 0; i < REPLY_LINES_MAX; i++) {
        assert_int_equal(e, ERR_AGAIN);
        e = reply_feed(&p, SPAN("250-abcdefghijkl\r\n"), &taken, &r, NULL, NULL);
    }
    assert_int_equal(e, ERR_AGAIN);
    assert_int_equal(reply_feed(&p, SPAN("250 end\r\n"), &taken, &r, NULL, NULL), ERR_TOOBIG);
    reply_done(&p);
}

int main(void)
{
    return CHECK_RUN(
        cmocka_unit_test(test_reply__texts_and_codes), cmocka_unit_test(test_reply__takes_one_at_a_time),
        cmocka_unit_test(test_reply__garbage_is_refused_for_good), cmocka_unit_test(test_reply__is_bounded));
}
