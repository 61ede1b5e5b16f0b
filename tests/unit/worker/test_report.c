/* mirrors worker/report.c: who is told of what, and how the report travels; its text is in tests/golden/dsn
 */
#include "tests/unit/check.h"

#include "tests/unit/worker/bench.h"
#include "worker/core.h"

#define WORLD(delivery)                                                                                      \
    "organization: test\n"                                                                                   \
    "virtual_servers: [{name: default, listen: [\"127.0.0.1:2525\"], hostname: mx.own.example}]\n"           \
    "worker: {poll: 20ms}\n"                                                                                 \
    "delivery: {retry: {glitch: [100ms], schedule: [100ms], jitter_percent: 0}" delivery "}\n"               \
    "local_domains: [{domain: box.example, deliver: \"lmtp://@a@\"},\n"                                      \
    "  {domain: dir.example, deliver: \"maildir:@d@/%d/%u\"}]\n"                                             \
    "connectors: [{name: lab, address_spaces: [{space: \"*\"}], smart_hosts: [\"@b@\"]}]\n"

static bool queue_empty(struct bench *b)
{
    return fake_store_messages(b->db) == 0;
}

static bool says(const struct peer_mail *m, const char *text)
{
    return memmem(m->body, m->body_len, text, strlen(text)) != NULL;
}

/* What was delivered here is "delivered", by LMTP and into a maildir; what went on to a server that makes no
 * reports is "relayed" (RFC 3464 2.3.3). */
static void test_report__of_success_says_who_has_it_now(void **state)
{
    static const struct {
        const char *domain, *rcpt, *action;
    } cases[] = {
        {"box.example", "a@box.example", "Action: delivered"},
        {"dir.example", "a@dir.example", "Action: delivered"},
        {"far.example", "a@far.example", "Action: relayed"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(WORLD(""));
        struct bench_mail mail = {
            .from = "s@src.example", .domain = c->domain, .rcpts = {c->rcpt}, .notify = NOTIFY_SUCCESS};

        b->peer[0]->lmtp = true;
        (void)bench_put(b, &mail, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, queue_empty);
        assert_true(b->peer[1]->mails > 0);
        assert_true(says(&b->peer[1]->mail[b->peer[1]->mails - 1], c->action));
        bench_end(b);
    }
}

/* A report is never reported about: a null sender, and NOTIFY=NEVER for servers that make reports (RFC 3461
 * 6). */
static void test_report__asks_for_no_report(void **state)
{
    static const struct bench_mail mail = {
        .from = "s@src.example", .domain = "far.example", .rcpts = {"no@far.example"}};
    struct bench *b = bench_new(WORLD(""));
    (void)state;
    peer_add_rule(b->peer[1], "EHLO", NULL, "250-peer\r\n250-PIPELINING\r\n250 DSN", 0);
    peer_add_rule(b->peer[1], "RCPT", "no@far.example", "550 5.1.1 nobody", 0);
    peer_add_rule(b->peer[1], "RCPT", "<s@src.example> NOTIFY=NEVER", "250 2.1.5 ok", 0);
    (void)bench_put(b, &mail, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, queue_empty);
    assert_int_equal(b->peer[1]->mails, 1);
    check_span(span_cstr(b->peer[1]->mail[0].from), SPAN(""));
    assert_int_equal(b->peer[1]->rules[2].used, 1);
    bench_end(b);
}

static unsigned sent_to(const struct peer *p, const char *rcpt)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->mails; i++)
        n += strcmp(p->mail[i].rcpts, rcpt) == 0 ? 1 : 0;
    return n;
}

/* delivery.dsn.copy_to hears of what was not delivered, and of nothing else. */
static void test_report__a_copy_goes_to_who_is_configured(void **state)
{
    static const struct bench_mail refused = {
        .from = "s@src.example", .domain = "far.example", .rcpts = {"no@far.example"}};
    static const struct bench_mail taken = {.from = "t@src.example",
                                            .domain = "far.example",
                                            .rcpts = {"yes@far.example"},
                                            .notify = NOTIFY_SUCCESS};
    struct bench *b = bench_new(WORLD(", dsn: {copy_to: boss@boss.example}"));
    (void)state;
    peer_add_rule(b->peer[1], "RCPT", "no@far.example", "550 5.1.1 nobody", 0);
    (void)bench_put(b, &refused, SPAN("Subject: x\r\n\r\nbody\r\n"));
    (void)bench_put(b, &taken, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, queue_empty);
    assert_int_equal(sent_to(b->peer[1], "s@src.example"), 1);
    assert_int_equal(sent_to(b->peer[1], "t@src.example"), 1);
    assert_int_equal(sent_to(b->peer[1], "boss@boss.example"), 1);
    assert_int_equal(b->peer[1]->mails, 4);
    bench_end(b);
}

static unsigned mailed;

static bool tried_again(struct bench *b)
{
    return fake_store_counts(b->db)->retried > 0;
}

static bool reported(struct bench *b)
{
    fake_store_retry(b->db); /* no minute's wait */
    return b->peer[1]->mails == mailed && fake_store_messages(b->db) == 0;
}

/* A report that the queue loses on its way: whoever was delivered to gets no second message, whoever was
 * refused is asked again, and the sender is told in the end. */
static void test_report__that_is_lost_delivers_nothing_twice(void **state)
{
    static const struct bench_mail mail = {
        .from = "s@src.example", .domain = "far.example", .rcpts = {"yes@far.example", "no@far.example"}};
    struct bench *b = bench_new(WORLD(""));
    (void)state;
    peer_add_rule(b->peer[1], "RCPT", "no@far.example", "550 5.1.1 nobody", 0);
    fake_store_fail(b->db, FAKE_FINISH, ERR_NOTFOUND, "", 1);
    (void)bench_put(b, &mail, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, tried_again);
    assert_int_equal(fake_store_counts(b->db)->delivered, 1);
    mailed = 2;
    bench_until(b, reported);
    assert_int_equal(metric_get(&worker_counters(b->worker)->reports_lost), 1);
    assert_int_equal(sent_to(b->peer[1], "yes@far.example"), 1);
    assert_int_equal(sent_to(b->peer[1], "s@src.example"), 1);
    assert_int_equal(b->peer[1]->rules[0].used, 2);
    bench_end(b);
}

/* Only the news of a success is lost, twice: nothing is delivered again to
 * tell it, and in the end it is told once. */
static void test_report__of_success_that_is_lost_is_made_again(void **state)
{
    static const struct bench_mail mail = {.from = "s@src.example",
                                           .domain = "far.example",
                                           .rcpts = {"yes@far.example", "more@far.example"},
                                           .notify = NOTIFY_SUCCESS};
    struct bench *b = bench_new(WORLD(""));
    (void)state;
    fake_store_fail(b->db, FAKE_FINISH, ERR_NOTFOUND, "", 2);
    (void)bench_put(b, &mail, SPAN("Subject: x\r\n\r\nbody\r\n"));
    mailed = 2;
    bench_until(b, reported);
    assert_int_equal(sent_to(b->peer[1], "yes@far.example,more@far.example"), 1);
    assert_int_equal(sent_to(b->peer[1], "s@src.example"), 1);
    assert_true(says(&b->peer[1]->mail[1], "Final-Recipient: rfc822; yes@far.example"));
    assert_true(says(&b->peer[1]->mail[1], "Final-Recipient: rfc822; more@far.example"));
    assert_true(says(&b->peer[1]->mail[1], "Action: relayed"));
    assert_int_equal(metric_get(&worker_counters(b->worker)->reports_lost), 2);
    assert_int_equal(fake_store_counts(b->db)->delivered, 3); /* each once, and the report */
    bench_end(b);
}

static bool seven_bits(const struct peer_mail *m)
{
    for (size_t i = 0; i < m->body_len; i++)
        if ((unsigned char)m->body[i] >= 0x80)
            return false;
    return true;
}

/* A server that takes no octets of 8 bits, or no SMTPUTF8, takes the report about that all the same: it
 * returns the headers alone. */
static void test_report__is_made_one_of_7_bits_where_8_do_not_pass(void **state)
{
    static const struct {
        const char *offers;
        bool utf8;
        const char *status, *returned;
    } cases[] = {
        {"250-peer\r\n250 PIPELINING", false, "Status: 5.6.3", "Content-Type: text/rfc822-headers"},
        {"250-peer\r\n250 8BITMIME", true, "Status: 5.6.7", "Content-Type: message/global-headers"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(WORLD(""));
        struct bench_mail mail = {.from = "s@src.example",
                                  .domain = "far.example",
                                  .rcpts = {"a@far.example"},
                                  .eight = true,
                                  .utf8 = c->utf8};

        peer_add_rule(b->peer[1], "EHLO", NULL, c->offers, 0);
        (void)bench_put(b, &mail, SPAN("Subject: Gr\xc3\xbc\xc3\x9f\x65\r\n\r\nl\xc3\xa4nger\r\n"));
        bench_until(b, queue_empty);
        assert_int_equal(b->peer[1]->mails, 1);
        check_span(span_cstr(b->peer[1]->mail[0].rcpts), SPAN("s@src.example"));
        assert_true(seven_bits(&b->peer[1]->mail[0]));
        assert_true(says(&b->peer[1]->mail[0], c->status));
        assert_true(says(&b->peer[1]->mail[0], c->returned));
        assert_true(says(&b->peer[1]->mail[0], "Subject: Gr=C3=BC=C3=9Fe"));
        assert_false(says(&b->peer[1]->mail[0], "nger"));
        assert_int_equal(fake_store_counts(b->db)->badmail, 0);
        assert_int_equal(fake_store_counts(b->db)->bounced, 1);
        bench_end(b);
    }
}

static bool badmail(struct bench *b)
{
    return fake_store_counts(b->db)->badmail == 1;
}

/* The smaller report may be lost like any other: then it is made again. What is no report, or has a recipient
 * who cannot be named, is badmail. */
static void test_report__that_is_not_made_smaller_is_not_lost(void **state)
{
#define EIGHT(type)                                                                                          \
    "Content-Type: " type "; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\nContent-Type: message/rfc822\r\n"    \
    "Content-Transfer-Encoding: 8bit\r\n\r\nSubject: x\r\n\r\n\xe4\r\n--b--\r\n"
    static const struct {
        const char *rcpt, *text;
        unsigned lost;
        bool arrives;
    } cases[] = {
        {"s@src.example", EIGHT("multipart/report"), 0, true},
        {"s@src.example", EIGHT("multipart/report"), 1, true},
        {"s@src.example", EIGHT("multipart/mixed"), 0, false},
        {"\xc3\xa4@src.example", EIGHT("multipart/report"), 0, false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(WORLD(""));
        struct bench_mail mail = {
            .from = "", .domain = "src.example", .rcpts = {c->rcpt}, .eight = true, .utf8 = !c->arrives};

        peer_add_rule(b->peer[1], "EHLO", NULL, "250-peer\r\n250 PIPELINING", 0);
        if (c->lost > 0)
            fake_store_fail(b->db, FAKE_FINISH, ERR_NOTFOUND, "", c->lost);
        (void)bench_put(b, &mail, span_cstr(c->text));
        mailed = 1;
        bench_until(b, c->arrives ? reported : badmail);
        assert_int_equal(b->peer[1]->mails, c->arrives ? 1 : 0);
        assert_int_equal(metric_get(&worker_counters(b->worker)->reports_lost), c->lost);
        assert_int_equal(fake_store_counts(b->db)->badmail, c->arrives ? 0 : 1);
        bench_end(b);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_report__of_success_says_who_has_it_now),
                     cmocka_unit_test(test_report__asks_for_no_report),
                     cmocka_unit_test(test_report__a_copy_goes_to_who_is_configured),
                     cmocka_unit_test(test_report__that_is_lost_delivers_nothing_twice),
                     cmocka_unit_test(test_report__of_success_that_is_lost_is_made_again),
                     cmocka_unit_test(test_report__is_made_one_of_7_bits_where_8_do_not_pass),
                     cmocka_unit_test(test_report__that_is_not_made_smaller_is_not_lost));
}
