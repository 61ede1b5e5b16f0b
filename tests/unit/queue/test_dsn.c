/* tests/unit/queue/test_dsn.c — mirrors queue/dsn.c; whole reports are in tests/golden/dsn */
#include "queue/dsn.h"
#include "tests/unit/golden.h"

static const struct span original = SPAN_INIT("Received: from client by mx\r\n"
                                              "From: alice@example.org\r\n"
                                              "Subject: lunch\r\n"
                                              "\r\n"
                                              "At noon?\r\n"
                                              ".\r\n");

static const ms_t arrival_ms = 1700000000000; /* 14 Nov 2023 22:13:20 UTC */

static struct envelope usual_envelope(void)
{
    return (struct envelope){.sender = SPAN("alice@example.org"),
                             .arrival_ms = arrival_ms,
                             .envid = SPAN("QQ+3D3141+2B59"),
                             .subject = SPAN("lunch"),
                             .message_id = SPAN("<1@example.org>")};
}

static struct dsn_report usual_report(const struct envelope *env, const struct dsn_recipient *rcpts, size_t n)
{
    return (struct dsn_report){.env = env,
                               .rcpts = rcpts,
                               .nrcpts = n,
                               .reporting_mta = SPAN("mx.example.org"),
                               .from = SPAN("postmaster@example.org"),
                               .boundary = SPAN("0123456789abcdefBOUNDARY"),
                               .queue_id = SPAN("07-01JD0M3V8ZQK4T2A"),
                               .message_id = SPAN("01JD0M3V8ZQK4T2B@mx.example.org"),
                               .now_ms = arrival_ms + 3600000,
                               .original_bytes = original.len,
                               .max_bytes = 1000};
}

static const struct dsn_recipient failed = {
    .address = SPAN_INIT("bob@example.net"),
    .orcpt = SPAN_INIT("rfc822;Bob+2Bx@example.com"),
    .action = DSN_FAILED,
    .status = SPAN_INIT("5.1.1"),
    .remote = SPAN_INIT("mx.example.net"),
    .diagnostic = SPAN_INIT("550 5.1.1 <bob@example.net>: no such user here, please have a look at "
                            "https://example.net/help for the reasons that there may be"),
    .last_attempt_ms = 1700000060000,
};
static const struct dsn_recipient unreachable = {
    .address = SPAN_INIT("carol@example.com"),
    .action = DSN_FAILED,
    .status = SPAN_INIT("4.4.7"),
    .explanation = SPAN_INIT("the message could not be delivered in time"),
    .last_attempt_ms = 1700000060000,
};
static const struct dsn_recipient delayed = {
    .address = SPAN_INIT("dave@example.com"),
    .action = DSN_DELAYED,
    .status = SPAN_INIT("4.4.1"),
    .remote = SPAN_INIT("mx.example.com"),
    .explanation = SPAN_INIT("the connection was refused or could not be made"),
    .last_attempt_ms = 1700000060000,
    .will_retry_until_ms = 1700172800000,
};
static const struct dsn_recipient relayed = {
    .address = SPAN_INIT("erin@example.com"),
    .notify = NOTIFY_SUCCESS,
    .action = DSN_RELAYED,
    .status = SPAN_INIT("2.0.0"),
    .remote = SPAN_INIT("mx.example.com"),
    .diagnostic = SPAN_INIT("250 2.0.0 ok"),
};
static const struct dsn_recipient delivered = {
    .address = SPAN_INIT("frank@example.org"),
    .notify = NOTIFY_SUCCESS,
    .action = DSN_DELIVERED,
    .status = SPAN_INIT("2.0.0"),
};

/* Writes the report with the original cut into pieces; lines end with LF alone in the golden files. */
static void write_report(const struct dsn_report *r, struct span body, size_t piece, struct buf *out)
{
    struct dsn_writer w;
    bool more = true;
    buf_clear(out);
    assert_int_equal(dsn_begin(&w, r, out), ERR_OK);
    for (size_t at = 0; at < body.len && more; at += piece)
        assert_int_equal(buf_add(out, dsn_original(&w, span_first(span_from(body, at), piece), &more)),
                         ERR_OK);
    assert_int_equal(dsn_end(&w, out), ERR_OK);
}

static void without_cr(struct buf *b)
{
    size_t to = 0;
    for (size_t i = 0; i < b->len; i++) {
        if (b->ptr[i] == '\n')
            assert_int_equal(b->ptr[i - 1], '\r');
        if (b->ptr[i] != '\r')
            b->ptr[to++] = b->ptr[i];
        else
            assert_int_equal(b->ptr[i + 1], '\n');
    }
    b->len = to;
    b->ptr[to] = '\0';
}

static void check_report(const char *golden, const struct dsn_report *r)
{
    struct buf whole, cut;
    buf_init(&whole, GOLDEN_MAX);
    buf_init(&cut, GOLDEN_MAX);
    write_report(r, original, original.len, &whole);
    for (size_t piece = 1; piece < original.len; piece++) {
        write_report(r, original, piece, &cut);
        check_span(buf_span(&cut), buf_span(&whole));
    }
    struct span rest = buf_span(&whole), text;
    while (rest.len > 0) {
        (void)span_cut(rest, '\n', &text, &rest);
        assert_in_range(text.len, 0, 999); /* RFC 5322 2.1.1 */
    }
    without_cr(&whole);
    check_golden(golden, buf_span(&whole));
    buf_done(&whole);
    buf_done(&cut);
}

static void test_dsn__reports(void **state)
{
    (void)state;
    struct envelope env = usual_envelope();
    struct dsn_recipient two[] = {failed, unreachable};
    struct dsn_report r = usual_report(&env, two, 2);
    check_report("golden/dsn/failed.txt", &r);
    r.max_bytes = original.len - 1;
    check_report("golden/dsn/failed-large.txt", &r);

    r = usual_report(&env, &delayed, 1);
    env.ret = DSN_RET_FULL; /* speaks of failures alone */
    check_report("golden/dsn/delayed.txt", &r);
    struct dsn_recipient three[] = {delivered, relayed, failed};
    env.ret = DSN_RET_HDRS;
    r = usual_report(&env, three, 3);
    check_report("golden/dsn/mixed.txt", &r);
    r = usual_report(&env, &relayed, 1);
    check_report("golden/dsn/relayed.txt", &r);
    r = usual_report(&env, &delivered, 1);
    check_report("golden/dsn/delivered.txt", &r);
}

static void test_dsn__smtputf8(void **state)
{
    (void)state;
    struct envelope env = usual_envelope();
    struct dsn_recipient rcpt = failed;
    env.sender = SPAN("j\xc3\xbcrgen@example.org");
    env.smtputf8 = true;
    env.subject = SPAN("Gr\xc3\xbc\xc3\x9f"
                       "e");
    rcpt.address = SPAN("\xd0\xb6@example.net");
    rcpt.orcpt = SPAN("utf-8;\xd0\xb6@example.net");
    rcpt.diagnostic = SPAN("550 5.1.1 \xd0\xb6 unknown \xff\xc2\x9b");
    struct dsn_report r = usual_report(&env, &rcpt, 1);
    check_report("golden/dsn/smtputf8.txt", &r);
    env.ret = DSN_RET_HDRS;
    check_report("golden/dsn/smtputf8-headers.txt", &r);
}

/* What others wrote stays inside its field. */
static void test_dsn__nothing_foreign_begins_a_line(void **state)
{
    (void)state;
    static char blanks[900], solid[900];
    memset(blanks, ' ', sizeof(blanks));
    memset(solid, 'x', sizeof(solid));
    struct envelope env = usual_envelope();
    env.body = BODY_8BITMIME;
    env.sender = SPAN("a\r\nBcc: victim@example.org@example.org");
    env.subject = SPAN("x\r\n--0123456789abcdefBOUNDARY--\r\n\x1b[31m");
    env.envid = SPAN("a+0D+0AStatus:+202.0.0");
    env.message_id = SPAN("<a\r\nX: y>");
    struct dsn_recipient rcpts[] = {failed, failed, failed};
    rcpts[0].address = SPAN("b\n\n@example.net");
    rcpts[0].orcpt = SPAN("rfc822;a+0A+0AFinal-Recipient:+20x");
    rcpts[0].status = SPAN("5.1.1\r\nAction: delivered");
    rcpts[0].remote = SPAN("mx\r\n\r\nx");
    rcpts[0].diagnostic = SPAN("550 a\r\nb\tc \xff\0d");
    rcpts[1].orcpt = SPAN("bad\r\ntype;x");
    rcpts[1].diagnostic = span_of(blanks, sizeof(blanks));
    rcpts[2].orcpt = SPAN("rfc822;not+xtext");
    rcpts[2].diagnostic = span_of(solid, sizeof(solid));
    struct dsn_report r = usual_report(&env, rcpts, 3);
    check_report("golden/dsn/hostile.txt", &r);
}

/* Each blank of a quoted local part is a part of the name, also where a line is long. */
static void test_dsn__repeats_names_as_they_are(void **state)
{
    static char long_name[700];
    static const char *const wanted[] = {
        "To: <\"a  b\"@example.org>\r\n",
        "  <\"c  d   so long that a line of text would be folded  \"@example.net>\r\n",
        "Final-Recipient: rfc822; \"c  d   so long that a line of text would be folded  \"@example.net\r\n",
        "Original-Recipient: rfc822; \" e  f\"@example.com\r\n",
        "Original-Envelope-Id: g  h\r\n",
    };
    struct envelope env = usual_envelope();
    struct dsn_recipient rcpts[] = {failed, failed};
    struct dsn_report r = usual_report(&env, rcpts, 2);
    struct dsn_writer w;
    struct buf out;
    size_t line = 0;
    (void)state;
    env.sender = SPAN("\"a  b\"@example.org");
    env.envid = SPAN("g+20+20h");
    rcpts[0].address = SPAN("\"c  d   so long that a line of text would be folded  \"@example.net");
    rcpts[0].orcpt = SPAN("rfc822;\"+20e+20+20f\"@example.com");
    memset(long_name, ' ', sizeof long_name);
    rcpts[1].address = span_of(long_name, sizeof long_name);
    buf_init(&out, DSN_BEGIN_MAX);
    assert_int_equal(dsn_begin(&w, &r, &out), ERR_OK);
    CHECK_EACH (wanted, want)
        if (strstr(buf_cstr(&out), *want) == NULL)
            fail_msg("not there: %s", *want);
    for (const char *c = buf_cstr(&out); *c != '\0'; c++) {
        line = *c == '\n' ? 0 : line + 1;
        assert_true(line <= 998);
    }
    buf_done(&out);
}

static void test_dsn__never_for_a_null_sender(void **state)
{
    (void)state;
    struct envelope env = usual_envelope();
    struct dsn_writer w;
    struct buf out;
    buf_init(&out, GOLDEN_MAX);
    env.sender = SPAN("");
    struct dsn_report r = usual_report(&env, &failed, 1);
    assert_int_equal(dsn_begin(&w, &r, &out), ERR_STATE);
    assert_int_equal(out.len, 0);
    env.sender = SPAN("a@b.example");
    static const struct span boundaries[] = {SPAN_INIT(""), SPAN_INIT("short"),
                                             SPAN_INIT("0123456789abcde\""), SPAN_INIT("0123456789abcde\n")};
    CHECK_EACH (boundaries, b) {
        r.boundary = *b;
        assert_int_equal(dsn_begin(&w, &r, &out), ERR_PARSE);
    }
    r = usual_report(&env, &failed, 0);
    assert_int_equal(dsn_begin(&w, &r, &out), ERR_PARSE);
    r = usual_report(&env, &failed, 1);
    struct buf tiny;
    buf_init(&tiny, 100);
    assert_int_equal(dsn_begin(&w, &r, &tiny), ERR_TOOBIG);
    buf_done(&tiny);
    buf_done(&out);
}

static void test_dsn__who_wants_to_hear_of_what(void **state)
{
    static const struct {
        uint8_t notify;
        bool failed, delayed, delivered;
    } cases[] = {
        {0, true, true, false},
        {NOTIFY_NEVER, false, false, false},
        {NOTIFY_FAILURE, true, false, false},
        {NOTIFY_SUCCESS, false, false, true},
        {NOTIFY_DELAY, false, true, false},
        {NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, true, true, true},
        {NOTIFY_NEVER | NOTIFY_FAILURE, false, false, false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        assert_int_equal(dsn_wanted(c->notify, DSN_FAILED), c->failed);
        assert_int_equal(dsn_wanted(c->notify, DSN_DELAYED), c->delayed);
        assert_int_equal(dsn_wanted(c->notify, DSN_DELIVERED), c->delivered);
        assert_int_equal(dsn_wanted(c->notify, DSN_RELAYED), c->delivered);
    }
}

static void test_dsn__headers_end_where_they_end(void **state)
{
    static const struct {
        struct span in, out;
        bool more;
    } cases[] = {
        {SPAN_INIT("A: b\r\n\r\nbody"), SPAN_INIT("A: b\r\n\r\n"), false},
        {SPAN_INIT("A: b\n\nbody"), SPAN_INIT("A: b\n\n"), false},
        {SPAN_INIT("\r\nbody"), SPAN_INIT("\r\n"), false},
        {SPAN_INIT("A: b\r\n\rbody\r\n"), SPAN_INIT("A: b\r\n\rbody\r\n"), true},
        {SPAN_INIT("A: b"), SPAN_INIT("A: b"), true},
    };
    struct envelope env = usual_envelope();
    struct buf out, all;
    (void)state;
    buf_init(&out, GOLDEN_MAX);
    buf_init(&all, GOLDEN_MAX);
    env.ret = DSN_RET_HDRS;
    struct dsn_report r = usual_report(&env, &failed, 1);
    CHECK_EACH (cases, c) {
        for (size_t piece = 1; piece <= c->in.len; piece++) {
            struct dsn_writer w;
            bool more = true;
            buf_clear(&out);
            buf_clear(&all);
            assert_int_equal(dsn_begin(&w, &r, &out), ERR_OK);
            for (size_t at = 0; at < c->in.len && more; at += piece)
                assert_int_equal(
                    buf_add(&all, dsn_original(&w, span_first(span_from(c->in, at), piece), &more)), ERR_OK);
            check_span(buf_span(&all), c->out);
            assert_int_equal(more, c->more);
        }
    }
    struct dsn_writer w; /* a header section without end is cut */
    static char endless[DSN_HEADERS_MAX + 10];
    bool more;
    memset(endless, 'x', sizeof(endless));
    buf_clear(&out);
    assert_int_equal(dsn_begin(&w, &r, &out), ERR_OK);
    assert_int_equal(dsn_original(&w, span_of(endless, 5), &more).len, 5);
    assert_int_equal(dsn_original(&w, span_of(endless, sizeof(endless)), &more).len, DSN_HEADERS_MAX - 5);
    assert_false(more);
    buf_done(&out);
    buf_done(&all);
}

static void test_dsn__its_envelope(void **state)
{
    (void)state;
    struct envelope env = usual_envelope(), ret;
    env.body = BODY_8BITMIME;
    struct dsn_report r = usual_report(&env, &failed, 1);
    dsn_envelope(&r, &ret);
    assert_int_equal(ret.sender.len, 0);
    assert_true(ret.system);
    assert_int_equal(ret.body, BODY_8BITMIME);
    env.body = BODY_BINARYMIME; /* only headers come back */
    dsn_envelope(&r, &ret);
    assert_int_equal(ret.body, BODY_7BIT);
    struct buf out;
    buf_init(&out, ENVELOPE_MAX);
    assert_int_equal(envelope_encode(&ret, &out), ERR_OK);
    buf_done(&out);
}

/* A report that does not fit could never be made, so DSN_BEGIN_MAX holds the worst one there can be. */
static void test_dsn__the_worst_report_fits(void **state)
{
    enum { REPLY_MAX = 400, HOST_MAX = 256 };
    static char bytes[4096];
    static struct dsn_recipient rcpts[JOB_RCPTS_MAX];
    struct dsn_recipient worst = {.action = DSN_FAILED,
                                  .status = SPAN("5.1.1"),
                                  .address = span_of(bytes, ADDRESS_MAX),
                                  .orcpt = span_of(bytes, 2000),
                                  .remote = span_of(bytes, HOST_MAX),
                                  .diagnostic = span_of(bytes, REPLY_MAX),
                                  .last_attempt_ms = arrival_ms};
    struct envelope env = usual_envelope();
    struct dsn_report r = usual_report(&env, rcpts, JOB_RCPTS_MAX);
    struct dsn_writer w;
    struct buf out;
    (void)state;
    memset(bytes, 0x80, sizeof bytes);
    memcpy(bytes, "rfc822;", 7);
    for (size_t i = 0; i < JOB_RCPTS_MAX; i++)
        rcpts[i] = worst;
    buf_init(&out, DSN_BEGIN_MAX);
    assert_int_equal(dsn_begin(&w, &r, &out), ERR_OK);
    assert_true(out.len > DSN_BEGIN_MAX / 4);
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_dsn__reports), cmocka_unit_test(test_dsn__smtputf8),
                     cmocka_unit_test(test_dsn__nothing_foreign_begins_a_line),
                     cmocka_unit_test(test_dsn__repeats_names_as_they_are),
                     cmocka_unit_test(test_dsn__never_for_a_null_sender),
                     cmocka_unit_test(test_dsn__who_wants_to_hear_of_what),
                     cmocka_unit_test(test_dsn__headers_end_where_they_end),
                     cmocka_unit_test(test_dsn__its_envelope),
                     cmocka_unit_test(test_dsn__the_worst_report_fits));
}
