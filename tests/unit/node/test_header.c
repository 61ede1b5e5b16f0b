/* tests/unit/node/test_header.c — mirrors node/header.c */
#include "node/header.h"

#include "tests/unit/check.h"

static const struct {
    struct span in;
    uint32_t received;
    size_t size;
    struct span subject;
    enum priority priority;
} cases[] = {
    {SPAN_INIT("\r\nReceived: x\r\n"), 0, 2, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("Received: a\r\nreceived:\r\n b\r\nRECEIVED : c\r\n\r\nReceived: d\r\n"), 3, 44, SPAN_INIT(""),
     PRIORITY_NORMAL},
    {SPAN_INIT("Received \t : a\r\nRe ceived: b\r\nReceived: c\r\n"), 1, 20, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("Received \r\nSubject: body\r\n"), 0, 10, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("X-Received: a\r\nReceivedX: b\r\n"), 0, 29, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("Subject: a\r\n  b\r\n\tc \r\n\r\n"), 0, 24, SPAN_INIT("a b c"), PRIORITY_NORMAL},
    {SPAN_INIT("Subject:\r\nSubject: late\r\n\r\n"), 0, 27, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("X-Subject-of-everything: no\r\nSubject: yes\r\n"), 0, 43, SPAN_INIT("yes"), PRIORITY_NORMAL},
    {SPAN_INIT("Importance:\r\n high\r\n\r\n"), 0, 22, SPAN_INIT(""), PRIORITY_HIGH},
    {SPAN_INIT("X-Priority: 5 (Lowest)\r\n\r\n"), 0, 26, SPAN_INIT(""), PRIORITY_LOW},
    {SPAN_INIT("Priority: highest\r\n\r\n"), 0, 21, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT(" folded at once\r\nSubject: s\r\n\r\n"), 0, 31, SPAN_INIT("s"), PRIORITY_NORMAL},
    {SPAN_INIT("no header at all\r\nSubject: body\r\n"), 0, 4, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("Subject: a\rb\r\r\n\r\n"), 0, 17, SPAN_INIT("ab"), PRIORITY_NORMAL}, /* BINARYMIME */
    {SPAN_INIT("X-Priority: \r1\r\r\n\r\n"), 0, 19, SPAN_INIT(""), PRIORITY_HIGH},
    {SPAN_INIT("Sub\0ject: nul\r\nSubject: body\r\n"), 0, 4, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("S\xc3\xbc"
               "bject: 8-bit\r\nSubject: body\r\n"),
     0, 2, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("Subject: n\0ul\r\n\r\n"), 0, 17, SPAN_INIT("n\0ul"), PRIORITY_NORMAL},
    {SPAN_INIT("Subject: cut"), 0, 12, SPAN_INIT("cut"), PRIORITY_NORMAL},
    {SPAN_INIT("Subject"), 0, 7, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("\r"), 0, 1, SPAN_INIT(""), PRIORITY_NORMAL},
    {SPAN_INIT("X: \r\n\t\r\n \r\nSubject: s\r\n"), 0, 23, SPAN_INIT("s"), PRIORITY_NORMAL},
    {SPAN_INIT(": nameless\r\nSubject: body\r\n"), 0, 1, SPAN_INIT(""), PRIORITY_NORMAL},
};

static void test_header__same_facts_wherever_it_is_cut(void **state)
{
    (void)state;
    CHECK_EACH (cases, c)
        for (size_t split = 0; split <= c->in.len; split++) {
            struct header_scan h;
            header_init(&h);
            header_feed(&h, span_first(c->in, split));
            header_feed(&h, span_from(c->in, split));
            header_finish(&h);
            assert_int_equal(h.received, c->received);
            assert_int_equal(h.size, c->size);
            assert_int_equal(h.priority, c->priority);
            check_span(header_kept(&h, HEADER_SUBJECT), c->subject);
        }
}

static void test_header__excerpts_are_cut_short(void **state)
{
    struct header_scan h;
    (void)state;
    header_init(&h);
    header_feed(&h, SPAN("From: "));
    for (int i = 0; i < 1000; i++)
        header_feed(&h, SPAN("x\r\n "));
    assert_int_equal(header_kept(&h, HEADER_FROM).len, HEADER_EXCERPT_MAX - 1); /* without the last blank */
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_header__same_facts_wherever_it_is_cut),
                     cmocka_unit_test(test_header__excerpts_are_cut_short));
}
