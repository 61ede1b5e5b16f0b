/* tests/unit/worker/test_dotstuff.c — mirrors worker/dotstuff.c */
#include "common/buf.h"
#include "tests/unit/check.h"
#include "worker/dotstuff.h"

/* Feeds in as two pieces and collects what is sent. */
static void encode(struct span in, size_t cut, struct buf *out)
{
    struct dotstuff d;
    struct span pieces[] = {span_first(in, cut), span_from(in, cut)}, part;
    buf_clear(out);
    dotstuff_init(&d);
    for (size_t i = 0; i < 2; i++) {
        while (dotstuff_next(&d, &pieces[i], &part)) {
            assert_true(part.len > 0);
            assert_int_equal(buf_add(out, part), ERR_OK);
        }
        assert_int_equal(pieces[i].len, 0);
    }
    assert_int_equal(buf_add(out, dotstuff_end(&d)), ERR_OK);
}

static void test_dotstuff__every_line_arrives_wherever_it_is_cut(void **state)
{
    static const struct {
        struct span in, out;
    } cases[] = {
        {SPAN_INIT(""), SPAN_INIT(".\r\n")},
        {SPAN_INIT("a\r\n"), SPAN_INIT("a\r\n.\r\n")},
        {SPAN_INIT("a"), SPAN_INIT("a\r\n.\r\n")},
        {SPAN_INIT("."), SPAN_INIT("..\r\n.\r\n")},
        {SPAN_INIT(".\r\n"), SPAN_INIT("..\r\n.\r\n")},
        {SPAN_INIT("..\r\n...\r\n"), SPAN_INIT("...\r\n....\r\n.\r\n")},
        {SPAN_INIT("a\r\n.\r\nb\r\n"), SPAN_INIT("a\r\n..\r\nb\r\n.\r\n")},
        {SPAN_INIT("a.\r\nb.c\r\n"), SPAN_INIT("a.\r\nb.c\r\n.\r\n")},
        {SPAN_INIT("\r\n\r\n.a"), SPAN_INIT("\r\n\r\n..a\r\n.\r\n")},
        {SPAN_INIT("a\n.\r\nb"), SPAN_INIT("a\r\n..\r\nb\r\n.\r\n")},
        {SPAN_INIT("a\n.\nb\n"), SPAN_INIT("a\r\n..\r\nb\r\n.\r\n")},
        {SPAN_INIT("a\r.\rb\r"), SPAN_INIT("a\r\n..\r\nb\r\n.\r\n")},
        {SPAN_INIT("a\r\r\nb"), SPAN_INIT("a\r\n\r\nb\r\n.\r\n")},
        {SPAN_INIT("a\r\n\rb\n\r"), SPAN_INIT("a\r\n\r\nb\r\n\r\n.\r\n")},
        {SPAN_INIT("a\0\x80\xff\r\n"), SPAN_INIT("a\0\x80\xff\r\n.\r\n")},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1024);
    CHECK_EACH (cases, c) {
        for (size_t cut = 0; cut <= c->in.len; cut++) {
            encode(c->in, cut, &out);
            check_span(buf_span(&out), c->out);
        }
    }
    buf_done(&out);
}

/* A receiver by the book: CRLF ends a line, a lone dot the body, one leading dot is removed. */
static bool receive(struct span wire, struct buf *body)
{
    buf_clear(body);
    for (;;) {
        size_t end = 0;
        while (end + 1 < wire.len && (wire.ptr[end] != '\r' || wire.ptr[end + 1] != '\n')) {
            if (wire.ptr[end] == '\r' || wire.ptr[end] == '\n')
                return false; /* bare */
            end++;
        }
        if (end + 1 >= wire.len)
            return false;
        struct span line = span_first(wire, end);
        wire = span_from(wire, end + 2);
        if (span_eq(line, SPAN(".")))
            return wire.len == 0;
        if (line.len > 0 && line.ptr[0] == '.')
            line = span_from(line, 1);
        assert_int_equal(buf_add(body, line), ERR_OK);
        assert_int_equal(buf_add(body, SPAN("\r\n")), ERR_OK);
    }
}

static void test_dotstuff__random_bodies_come_back(void **state)
{
    static const char alphabet[] = "..\r\n\r\na";
    struct rng rng;
    struct buf wire, body, want;
    (void)state;
    rng_seed(&rng, check_seed());
    buf_init(&wire, 4096);
    buf_init(&body, 4096);
    buf_init(&want, 4096);
    for (int round = 0; round < 20000; round++) {
        char text[24];
        size_t len = rng_below(&rng, sizeof(text));
        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
        encode(span_of(text, len), rng_below(&rng, len + 1), &wire);
        assert_true(receive(buf_span(&wire), &body));
        buf_clear(&want);
        bool open = false;
        for (size_t i = 0; i < len; i++) {
            bool eol = text[i] == '\r' || text[i] == '\n';
            if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n')
                i++;
            assert_int_equal(eol ? buf_add(&want, SPAN("\r\n")) : buf_addc(&want, text[i]), ERR_OK);
            open = !eol;
        }
        if (open)
            assert_int_equal(buf_add(&want, SPAN("\r\n")), ERR_OK);
        check_span(buf_span(&body), buf_span(&want));
    }
    buf_done(&wire);
    buf_done(&body);
    buf_done(&want);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_dotstuff__every_line_arrives_wherever_it_is_cut),
                     cmocka_unit_test(test_dotstuff__random_bodies_come_back));
}
