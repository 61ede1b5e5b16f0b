/* tests/unit/queue/test_dsn_seven.c — mirrors queue/dsn_seven.c; what becomes of a whole report is in
 * tests/golden/dsn */
#include "queue/dsn.h"
#include "queue/dsn_seven.h"
#include "tests/unit/golden.h"

static enum err convert(struct span in, size_t piece, struct buf *out)
{
    struct dsn_seven s;
    enum err e = ERR_OK;

    buf_clear(out);
    dsn_seven_init(&s);
    for (size_t at = 0; at < in.len && e == ERR_OK; at += piece)
        e = dsn_seven_feed(&s, span_first(span_from(in, at), piece), out);
    if (e == ERR_OK)
        e = dsn_seven_end(&s, out);
    dsn_seven_done(&s);
    return e;
}

/* However it is cut; nothing above 0x7f is left, and no line is too long. */
static void convert_surely(struct span in, struct buf *out)
{
    struct buf cut;
    size_t line = 0;

    buf_init(&cut, GOLDEN_MAX);
    assert_int_equal(convert(in, in.len, out), ERR_OK);
    for (size_t piece = 1; piece < 90; piece += 7) {
        assert_int_equal(convert(in, piece, &cut), ERR_OK);
        check_span(buf_span(&cut), buf_span(out));
    }
    for (size_t i = 0; i < out->len; i++) {
        line = out->ptr[i] == '\n' ? 0 : line + 1;
        assert_true((unsigned char)out->ptr[i] < 0x80);
        assert_true(line <= 998);
    }
    assert_int_equal(convert(buf_span(out), 50, &cut), ERR_OK); /* once more changes nothing that matters */
    buf_done(&cut);
}

static void make(const struct envelope *env, struct span original, struct buf *out)
{
    static const struct dsn_recipient rcpt = {
        .address = SPAN_INIT("\xd0\xb6@example.net"),
        .action = DSN_FAILED,
        .status = SPAN_INIT("5.1.1"),
        .remote = SPAN_INIT("mx.example.net"),
        .diagnostic = SPAN_INIT("550 5.1.1 \xd0\xb6 unknown, a=b"),
    };
    struct dsn_report r = {.env = env,
                           .rcpts = &rcpt,
                           .nrcpts = 1,
                           .reporting_mta = SPAN("mx.example.org"),
                           .from = SPAN("postmaster@example.org"),
                           .boundary = SPAN("0123456789abcdefBOUNDARY"),
                           .queue_id = SPAN("07-01JD0M3V8ZQK4T2A"),
                           .message_id = SPAN("01JD0M3V8ZQK4T2B@mx.example.org"),
                           .now_ms = 1700003600000,
                           .original_bytes = original.len,
                           .max_bytes = 1 << 20};
    struct dsn_writer w;
    bool more;

    buf_clear(out);
    assert_int_equal(dsn_begin(&w, &r, out), ERR_OK);
    assert_int_equal(buf_add(out, dsn_original(&w, original, &more)), ERR_OK);
    assert_int_equal(dsn_end(&w, out), ERR_OK);
}

static void check_converted(const char *golden, const struct envelope *env, struct span original)
{
    struct buf report, seven, lines;

    buf_init(&report, GOLDEN_MAX);
    buf_init(&seven, GOLDEN_MAX);
    buf_init(&lines, GOLDEN_MAX);
    make(env, original, &report);
    convert_surely(buf_span(&report), &seven);
    for (size_t i = 0; i < seven.len; i++)
        if (seven.ptr[i] != '\r')
            assert_int_equal(buf_addc(&lines, seven.ptr[i]), ERR_OK);
    check_golden(golden, buf_span(&lines));
    buf_done(&report);
    buf_done(&seven);
    buf_done(&lines);
}

static void test_dsn_seven__of_our_own_reports(void **state)
{
    struct envelope env = {.sender = SPAN("alice@example.org"),
                           .arrival_ms = 1700000000000,
                           .subject = SPAN("Gr\xc3\xbc\xc3\x9f\x65"),
                           .body = BODY_8BITMIME};
    struct span original = SPAN("From: alice@example.org\r\n"
                                "Subject: Gr\xc3\xbc\xc3\x9f\x65 = \r\n"
                                "X-Long: 1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 "
                                "1234567890 1234567890\r\n"
                                "\r\n"
                                "\xe4\xf6\xfc, --0123456789abcdefBOUNDARY\r\n");
    (void)state;
    check_converted("golden/dsn/seven.txt", &env, original);
    env.smtputf8 = true;
    check_converted("golden/dsn/seven-smtputf8.txt", &env, original);
    env.ret = DSN_RET_HDRS;
    check_converted("golden/dsn/seven-headers.txt", &env, original);
}

/* Another server's: another order of fields, other ways to write a boundary, parts that are fine as they are.
 */
static void test_dsn_seven__of_reports_of_others(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"Content-Transfer-Encoding: 8bit\r\n"
         "content-type: Multipart/Report;\r\n boundary=b1; report-type=delivery-status\r\n\r\n"
         "--b1 \r\n\r\nplain \xe4\r\n--b1\r\n"
         "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n5A==\r\n--b1\r\n"
         "Content-Transfer-Encoding:\r\n 8BIT\r\nContent-Type: message/delivery-status\r\n\r\n"
         "a\xe4 \r\n\r\n--b1\r\n"
         "Content-Type: message/RFC822\r\n\r\nX: 1\r\n\r\nbody\r\n--b1--\r\nmore",
         "content-type: Multipart/Report;\r\n boundary=b1; report-type=delivery-status\r\n\r\n"
         "--b1\r\n\r\nplain \\xe4\r\n--b1\r\n"
         "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n5A==\r\n--b1\r\n"
         "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
         "a=E4=20\r\n\r\n--b1\r\n"
         "Content-Type: text/rfc822-headers\r\nContent-Description: Headers of the message\r\n"
         "Content-Transfer-Encoding: quoted-printable\r\n\r\nX: 1\r\n\r\n--b1--\r\n"},
        /* a message without a body, or encoded already; a line that only begins as a boundary does */
        {"Content-Type: multipart/report; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: message/global\r\n"
         "Content-Transfer-Encoding: base64\r\n\r\nWDogMQ==\r\n--bb\r\n--b\r\n"
         "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\nX: \xff\r\n--b--\r\n",
         "Content-Type: multipart/report; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: message/global\r\n"
         "Content-Transfer-Encoding: base64\r\n\r\nWDogMQ==\r\n--bb\r\n--b\r\n"
         "Content-Type: message/global-headers\r\nContent-Description: Headers of the message\r\n"
         "Content-Transfer-Encoding: quoted-printable\r\n\r\nX: =FF\r\n--b--\r\n"},
    };
    struct buf out;
    (void)state;
    buf_init(&out, GOLDEN_MAX);
    CHECK_EACH (cases, c) {
        convert_surely(span_cstr(c->in), &out);
        check_span(buf_span(&out), span_cstr(c->out));
    }
    buf_done(&out);
}

static void test_dsn_seven__refuses_what_it_cannot_change(void **state)
{
    static const char *const cases[] = {
        "",
        "no head",
        "Subject: x\r\n\r\nbody \xe4\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n",
        "Content-Type: multipart/report\r\n\r\n--b\r\n\r\n--b--\r\n",
        "Content-Type: multipart/report; boundary=\"\"\r\n\r\n----\r\n",
        "Content-Type: multipart/report; boundary=\"b\r\n\r\n--b--\r\n",
        "Content-Type: multipart/report; boundary="
        "b234567890123456789012345678901234567890123456789012345678901234567890123\r\n\r\n",
        "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\ncut off",
        "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nX: a head alone\r\n--b--\r\n",
        "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; "
        "boundary=c\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n--c--\r\n--b--\r\n",
    };
    static char large[DSN_SEVEN_HEAD_MAX + 4096];
    struct buf out, in;
    (void)state;
    buf_init(&out, GOLDEN_MAX);
    buf_init(&in, GOLDEN_MAX);
    CHECK_EACH (cases, c)
        assert_int_equal(convert(span_cstr(*c), 7, &out), ERR_PARSE);
    for (size_t i = 0; i + 4 < sizeof large; i += 4)
        memcpy(large + i, "a:\r\n", 4);
    assert_int_equal(
        buf_addf(&in, "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n%s\r\n--b--\r\n", large),
        ERR_OK);
    assert_int_equal(convert(buf_span(&in), 1000, &out), ERR_PARSE); /* the head of a part */
    buf_done(&in);
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_dsn_seven__of_our_own_reports),
                     cmocka_unit_test(test_dsn_seven__of_reports_of_others),
                     cmocka_unit_test(test_dsn_seven__refuses_what_it_cannot_change));
}
