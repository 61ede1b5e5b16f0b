/* tests/unit/node/test_trace.c — mirrors node/trace.c */
#include "node/trace.h"

#include "tests/unit/check.h"

static struct trace plain(const struct ip_addr *client)
{
    return (struct trace){
        .helo = SPAN("client.test"),
        .rdns = SPAN(""),
        .client = client,
        .hostname = SPAN("mx.test"),
        .esmtp = true,
        .tls_version = SPAN(""),
        .tls_cipher = SPAN(""),
        .id = SPAN("07-01JD0M3V8ZQK4T2A"),
        .recipient = SPAN("b@example.org"),
        .wall_ms = UINT64_C(1795429230000),
    };
}

static void check_trace(const struct trace *t, struct span want)
{
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(trace_received(&out, t), ERR_OK);
    check_span(buf_span(&out), want);
    buf_done(&out);
}

static void test_trace__is_one_folded_field(void **state)
{
    struct ip_addr v4;
    (void)state;
    assert_int_equal(ip_parse(SPAN("192.0.2.9"), &v4), ERR_OK);
    struct trace t = plain(&v4);
    check_trace(&t, SPAN("Received: from client.test ([192.0.2.9])\r\n"
                         "\tby mx.test (Bridgehead) with ESMTP\r\n"
                         "\tid 07-01JD0M3V8ZQK4T2A\r\n"
                         "\tfor <b@example.org>;\r\n"
                         "\tMon, 23 Nov 2026 10:20:30 +0000\r\n"));
}

static void test_trace__foreign_text_forges_nothing(void **state)
{
    (void)state;
    struct trace t = plain(NULL);
    t.helo = SPAN("a)\r\nX-Forged: yes (\0\xc3\xa4");
    t.rdns = SPAN("b c;d");
    t.recipient = SPAN("");
    t.esmtp = false;
    check_trace(&t, SPAN("Received: from a???X-Forged:?yes????? (b?c?d local)\r\n"
                         "\tby mx.test (Bridgehead) with SMTP\r\n"
                         "\tid 07-01JD0M3V8ZQK4T2A;\r\n"
                         "\tMon, 23 Nov 2026 10:20:30 +0000\r\n"));
}

/* RFC 5322 2.1.1: no line above 998 octets, whatever the client says. */
static void test_trace__lines_are_short(void **state)
{
    static char helo[100000], path[320];
    struct buf out;
    struct span line, rest;
    (void)state;
    memset(helo, 'h', sizeof helo);
    memset(path, 'p', sizeof path);
    struct trace t = plain(NULL);
    t.helo = span_of(helo, sizeof helo);
    t.rdns = span_of(helo, sizeof helo);
    t.hostname = span_of(helo, sizeof helo);
    t.recipient = span_of(path, sizeof path);
    buf_init(&out, 8192);
    assert_int_equal(trace_received(&out, &t), ERR_OK);
    for (rest = buf_span(&out); rest.len > 0;) {
        (void)span_cut(rest, '\n', &line, &rest);
        assert_true(line.len < 998);
    }
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_trace__is_one_folded_field),
                     cmocka_unit_test(test_trace__foreign_text_forges_nothing),
                     cmocka_unit_test(test_trace__lines_are_short));
}
