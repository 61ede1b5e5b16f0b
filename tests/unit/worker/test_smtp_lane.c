/* mirrors worker/smtp_lane.c: TLS policies, LMTP, and a lease that is lost with mail in hand */
#include "tests/unit/check.h"

#include "tests/unit/common/io/certs.h"
#include "tests/unit/worker/bench.h"
#include "worker/smtp_lane.h"

#define PATIENT                                                                                              \
    "organization: test\n"                                                                                   \
    "virtual_servers: [{name: default, listen: [\"127.0.0.1:2525\"], hostname: mx.own.example}]\n"           \
    "worker: {poll: 20ms}\n"                                                                                 \
    "delivery:\n"                                                                                            \
    "  idle_timeout: 50ms\n"                                                                                 \
    "  retry: {glitch: [200ms, 200ms], schedule: [500ms], jitter_percent: 0}\n"
#define COMMON                                                                                               \
    PATIENT                                                                                                  \
    "  timeouts: {connect: 1s, greeting: 1s, helo: 1s, mail: 1s, rcpt: 1s, data: 1s, end_of_data: 3s}\n"
#define LAB(tls)                                                                                             \
    "connectors: [{name: lab, address_spaces: [{space: \"*\"}], smart_hosts: [\"@a@\"], tls: " tls "}]\n"
#define TWO_HOSTS                                                                                            \
    "connectors: [{name: lab, address_spaces: [{space: \"*\"}], smart_hosts: [\"@a@\", \"@b@\"]}]\n"

static struct certs certs;
static struct tls_context *server_tls;

static int setup(void **state)
{
    (void)state;
    certs_init(&certs);
    return tls_server_new(certs.mx, certs.mx_key, TLS_MIN_12, &server_tls, NULL) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    tls_unref(server_tls);
    certs_done(&certs);
    return 0;
}

static const struct bench_mail plain = {
    .from = "s@src.example", .domain = "x.example", .rcpts = {"a@x.example"}};

static bool done(struct bench *b)
{
    return fake_store_messages(b->db) == 0;
}

static bool failed_once(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->link_failures) >= 1;
}

static bool failed_twice(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->link_failures) >= 2;
}

static void test_smtp_lane__follows_the_tls_policy(void **state)
{
    static const struct {
        const char *yaml;
        bool offered, broken, delivered;
        unsigned secured;
    } cases[] = {
        {LAB("opportunistic"), true, false, true, 1}, {LAB("opportunistic"), false, false, true, 0},
        {LAB("opportunistic"), true, true, true, 0}, /* once more in the clear */
        {LAB("none"), true, false, true, 0},          {LAB("required"), true, false, true, 1},
        {LAB("required"), false, false, false, 0},    {LAB("required"), true, true, false, 0},
        {LAB("verified"), true, false, false, 0}, /* signed by nobody the system knows */
    };
    (void)state;
    CHECK_EACH (cases, c) {
        char yaml[2048];
        struct bench *b;

        (void)snprintf(yaml, sizeof yaml, "%s%s", COMMON, c->yaml);
        b = bench_new(yaml);
        b->peer[0]->tls = c->offered ? server_tls : NULL;
        b->peer[0]->tls_broken = c->broken;
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, c->delivered ? done : failed_twice);
        assert_int_equal(b->peer[0]->mails, c->delivered ? 1 : 0);
        assert_int_equal(b->peer[0]->secured, c->secured);
        bench_end(b);
    }
}

static void test_smtp_lane__verifies_with_the_configured_authority(void **state)
{
    char yaml[4096];
    struct bench *b;
    (void)state;
    (void)snprintf(yaml, sizeof yaml, "%s  ca_file: %s\n%s", COMMON, certs.ca, LAB("verified"));
    b = bench_new(yaml);
    b->peer[0]->tls = server_tls;
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, done);
    assert_int_equal(b->peer[0]->secured, 1);
    bench_end(b);
}

/* What is wrong with a certificate matters to whoever asked for verification, and to nobody else. Then the
 * message waits: it neither goes in the clear nor comes back. */
static void test_smtp_lane__judges_certificates(void **state)
{
    const struct {
        const char *file;
        bool good;
    } servers[] = {{certs.mx, true},
                   {certs.address, true},
                   {certs.old, false},
                   {certs.self, false},
                   {certs.other, false}};
    static const char *const policies[] = {LAB("verified"), LAB("required"), LAB("opportunistic")};
    (void)state;
    CHECK_EACH (servers, server) {
        struct tls_context *tls;

        assert_int_equal(tls_server_new(server->file, certs.mx_key, TLS_MIN_12, &tls, NULL), ERR_OK);
        for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
            bool works = server->good || i > 0;
            char yaml[4096];
            struct bench *b;

            (void)snprintf(yaml, sizeof yaml, "%s  ca_file: %s\n%s", COMMON, certs.ca, policies[i]);
            b = bench_new(yaml);
            b->peer[0]->tls = tls;
            (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
            bench_until(b, works ? done : failed_twice);
            assert_int_equal(b->peer[0]->mails, works ? 1 : 0);
            assert_int_equal(b->peer[0]->secured, works ? 1 : 0);
            assert_int_equal(fake_store_counts(b->db)->bounced, 0);
            bench_end(b);
        }
        tls_unref(tls);
    }
}

/* The clear is tried with the target whose handshake failed, and with no other. */
static void test_smtp_lane__falls_back_for_one_target_alone(void **state)
{
    struct bench *b = bench_new(COMMON TWO_HOSTS);
    (void)state;
    b->peer[0]->tls = b->peer[1]->tls = server_tls;
    b->peer[0]->tls_broken = true;
    peer_add_rule(b->peer[0], "MAIL", NULL, "421 4.3.2 not today", 0);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, done);
    assert_int_equal(b->peer[0]->accepted, 2);
    assert_int_equal(b->peer[1]->secured, 1);
    assert_int_equal(b->peer[1]->mails, 1);
    bench_end(b);
}

static bool got_goal(struct bench *b)
{
    return b->peer[0]->mails + b->peer[1]->mails >= b->goal;
}

/* The clear is for a handshake that fails. Encryption that breaks with mail under way, or after some was
 * taken, brings nothing into the clear. */
static void test_smtp_lane__nothing_falls_back_once_mail_was_sent(void **state)
{
    static const struct {
        unsigned before, secured[2];
    } cases[] = {
        {0, {1, 1}}, /* it is no good: the next one */
        {1, {2, 0}}, /* it works: once more */
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b =
            bench_new(PATIENT "  timeouts: {connect: 20s, greeting: 20s, helo: 20s}\n" TWO_HOSTS);

        b->peer[0]->tls = b->peer[1]->tls = server_tls;
        for (unsigned i = 0; i < c->before; i++)
            (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        b->goal = c->before;
        bench_until(b, got_goal);
        peer_add_rule(b->peer[0], "MAIL", NULL, "garble", 1);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, done);
        for (size_t i = 0; i < ARRAY_LEN(b->peer); i++) {
            assert_int_equal(b->peer[i]->secured, c->secured[i]);
            assert_int_equal(b->peer[i]->accepted, c->secured[i]);
        }
        bench_end(b);
    }
}

static void test_smtp_lane__speaks_lmtp(void **state)
{
    static const struct bench_mail local = {.from = "s@src.example",
                                            .domain = "example.org",
                                            .rcpts = {"a@example.org", "no@example.org", "b@example.org"}};
    struct bench *b = bench_new(COMMON "local_domains: [{domain: example.org, deliver: \"lmtp://@a@\"}]\n"
                                       "connectors: [{name: lab, address_spaces: [{space: \"*\"}], "
                                       "smart_hosts: [\"@b@\"]}]\n");
    (void)state;
    b->peer[0]->lmtp = true;
    peer_add_rule(b->peer[0], "RCPT", "no@", "550 5.1.1 unknown", 0);
    (void)bench_put(b, &local, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, done);
    check_span(span_cstr(b->peer[0]->mail[0].rcpts), SPAN("a@example.org,b@example.org"));
    assert_int_equal(b->peer[1]->mails, 1); /* the report */
    assert_int_equal(fake_store_counts(b->db)->delivered, 3);
    bench_end(b);
}

/* After the data every recipient has an answer of his own: the one that waits is tried again alone, and
 * nobody gets the message twice. */
static void test_smtp_lane__lmtp_answers_for_each_recipient(void **state)
{
    static const struct bench_mail local = {
        .from = "s@src.example",
        .domain = "example.org",
        .rcpts = {"yes@example.org", "full@example.org", "no@example.org"}};
    struct bench *b = bench_new(COMMON "local_domains: [{domain: example.org, deliver: \"lmtp://@a@\"}]\n"
                                       "connectors: [{name: lab, address_spaces: [{space: \"*\"}], "
                                       "smart_hosts: [\"@b@\"]}]\n");
    (void)state;
    b->peer[0]->lmtp = true;
    peer_add_rule(b->peer[0], "END", "full@", "452 4.2.2 mailbox full", 1);
    peer_add_rule(b->peer[0], "END", "no@", "550 5.2.1 disabled", 0);
    (void)bench_put(b, &local, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, done);
    assert_int_equal(b->peer[0]->mails, 2);
    check_span(span_cstr(b->peer[0]->mail[0].taken), SPAN("yes@example.org"));
    check_span(span_cstr(b->peer[0]->mail[1].rcpts), SPAN("full@example.org"));
    check_span(span_cstr(b->peer[0]->mail[1].taken), SPAN("full@example.org"));
    assert_int_equal(b->peer[1]->mails, 1); /* the report, about one of them */
    assert_int_equal(fake_store_counts(b->db)->delivered, 3);
    assert_int_equal(fake_store_counts(b->db)->bounced, 1);
    assert_int_equal(fake_store_counts(b->db)->retried, 1);
    bench_end(b);
}

/* A lost connection between two of these answers: who had his is done, the others wait. */
static void test_smtp_lane__lmtp_is_cut_between_the_answers(void **state)
{
    static const struct bench_mail local = {
        .from = "s@src.example",
        .domain = "example.org",
        .rcpts = {"yes@example.org", "cut@example.org", "last@example.org"}};
    static const char *const answers[] = {"leave", "421 4.3.2 going down", "nonsense", "hang"};
    (void)state;
    CHECK_EACH (answers, answer) {
        struct bench *b =
            bench_new(COMMON "local_domains: [{domain: example.org, deliver: \"lmtp://@a@\"}]\n");

        b->peer[0]->lmtp = true;
        peer_add_rule(b->peer[0], "END", "cut@", *answer, 1);
        (void)bench_put(b, &local, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, done);
        check_span(span_cstr(b->peer[0]->mail[b->peer[0]->mails - 1].rcpts),
                   SPAN("cut@example.org,last@example.org"));
        assert_int_equal(fake_store_counts(b->db)->delivered, 3);
        assert_int_equal(fake_store_counts(b->db)->bounced, 0);
        bench_end(b);
    }
}

/* A server that ends its sessions early works all the same: no backoff, nothing twice, no other target. */
static void test_smtp_lane__an_early_end_of_a_session_is_no_failure(void **state)
{
    static const struct {
        unsigned max;
        bool rude;
    } cases[] = {{1, false}, {1, true}, {3, false}, {3, true}};
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(COMMON TWO_HOSTS);

        b->peer[0]->session_max = c->max;
        b->peer[0]->session_rude = c->rude;
        for (unsigned i = 0; i < 60; i++)
            (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, done);
        assert_int_equal(b->peer[0]->mails, 60);
        assert_int_equal(b->peer[0]->session_peak, c->max);
        assert_int_equal(b->peer[1]->accepted, 0);
        assert_int_equal(metric_get(&worker_counters(b->worker)->link_failures), 0);
        assert_int_equal(fake_store_counts(b->db)->retried, 0);
        bench_end(b);
    }
}

/* ... but one that says goodbye before it took anything is a failure, and is not asked again at once. */
static void test_smtp_lane__a_goodbye_at_once_is_a_failure(void **state)
{
    struct bench *b = bench_new(COMMON LAB("none"));
    (void)state;
    peer_add_rule(b->peer[0], "EHLO", NULL, "250 peer\r\n421 4.3.2 and goodbye", 0);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, failed_twice);
    assert_true(b->peer[0]->accepted <= 6);
    peer_forget_rules(b->peer[0]);
    bench_until(b, done);
    assert_int_equal(b->peer[0]->mails, 1);
    bench_end(b);
}

static bool one_more(struct bench *b)
{
    return done(b) && b->peer[0]->open == 0;
}

/* The message goes at once over another connection, and later ones never try again what is no command there.
 */
static void test_smtp_lane__changes_to_data_where_bdat_is_unknown(void **state)
{
    struct bench *b = bench_new(COMMON TWO_HOSTS);
    (void)state;
    peer_add_rule(b->peer[0], "EHLO", NULL, "250-peer\r\n250 CHUNKING", 0);
    peer_add_rule(b->peer[0], "RSET", "BDAT", "502 5.5.1 what", 0);
    for (unsigned i = 0; i < 3; i++) {
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, one_more);
    }
    assert_int_equal(b->peer[0]->mails, 3);
    assert_int_equal(b->peer[0]->rules[1].used, 1);
    assert_int_equal(b->peer[1]->accepted, 0);
    assert_int_equal(fake_store_counts(b->db)->retried, 0);
    assert_int_equal(fake_store_counts(b->db)->bounced, 0);
    bench_end(b);
}

static bool second_stalls(struct bench *b)
{
    return b->peer[0]->accepted == 2;
}

/* Targets that stall, one behind the other, hold a slot only so long: then the link fails as if all had been
 * tried, and nobody is returned. */
static void test_smtp_lane__a_search_of_ten_minutes_is_given_up(void **state)
{
    struct bench *b = bench_new(COMMON "connectors: [{name: lab, address_spaces: [{space: \"*\"}], "
                                       "smart_hosts: [\"@a@\", \"@a@\", \"@b@\"]}]\n");
    (void)state;
    peer_add_rule(b->peer[0], "CONNECT", NULL, "hang", 0);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, second_stalls);
    assert_non_null(b->worker->links->lanes);
    ((struct smtp_lane *)b->worker->links->lanes)->search.since_ms -= TARGETS_SEARCH_MS; /* time passes */
    bench_until(b, failed_once);
    assert_int_equal(b->peer[1]->accepted, 0);
    assert_int_equal(fake_store_counts(b->db)->bounced, 0);
    bench_until(b, done); /* by the third, with the next attempt */
    assert_int_equal(b->peer[1]->mails, 1);
    bench_end(b);
}

static bool first_hangs(struct bench *b)
{
    return b->peer[0]->sessions != NULL && b->peer[0]->sessions->hung;
}

/* A server that answers each command just in time does not hold its slot for as long as there are recipients.
 */
static void test_smtp_lane__a_transaction_has_an_end(void **state)
{
    struct bench *b = bench_new(COMMON LAB("none"));
    (void)state;
    peer_add_rule(b->peer[0], "MAIL", NULL, "hang", 1);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, first_hangs);
    assert_non_null(b->worker->links->lanes);
    ((struct smtp_lane *)b->worker->links->lanes)->stage_ms -= 3600000; /* time passes */
    b->peer[0]->sessions->hung = false;                                 /* from now on it answers at once */
    b->peer[0]->sessions->mail_ok = true;
    assert_int_equal(conn_write(b->peer[0]->sessions->c, SPAN("250 ok\r\n")), ERR_OK);
    bench_until(b, failed_once);
    assert_int_equal(b->peer[0]->mails, 0);
    bench_until(b, done);
    assert_int_equal(b->peer[0]->mails, 1);
    bench_end(b);
}

static bool first_taken(struct bench *b)
{
    return b->peer[0]->mails == 1;
}

/* A lane that failed beside one that works stops the growth, not the delivery: the last one is replaced. */
static void test_smtp_lane__the_last_lane_is_replaced_during_a_pause(void **state)
{
    struct bench *b = bench_new(COMMON "  messages_per_connection: 1\n" LAB("none"));
    (void)state;
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, first_taken);
    assert_non_null(b->worker->links);
    b->worker->links->pause_until_ms = UINT64_MAX;
    for (unsigned i = 0; i < 5; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, done);
    assert_int_equal(b->peer[0]->mails, 6);
    assert_int_equal(b->peer[0]->accepted, 6);
    bench_end(b);
}

/* A server that takes a connection and refuses more works: its mail goes over the one that it took, and waits
 * for nothing. */
static void test_smtp_lane__a_refused_connection_beside_one_that_works(void **state)
{
    struct bench *b = bench_new(COMMON LAB("none"));
    (void)state;
    peer_add_rule(b->peer[0], "CONNECT", NULL, "220 peer ready", 1);
    peer_add_rule(b->peer[0], "CONNECT", NULL, "421 4.7.0 too many connections", 0);
    b->peer[0]->delay_ms = 40;
    for (unsigned i = 0; i < 15; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, done);
    assert_int_equal(b->peer[0]->mails, 15);
    assert_true(b->peer[0]->accepted > 1 && b->peer[0]->accepted < 100); /* thousands without a pause */
    assert_int_equal(metric_get(&worker_counters(b->worker)->link_failures), 0);
    bench_end(b);
}

/* delivery.source_addresses: the one of the target's family. */
static void test_smtp_lane__connects_from_the_configured_address(void **state)
{
    struct bench *b = bench_new(COMMON "  source_addresses: [\"::1\", 127.0.0.7]\n" LAB("none"));
    struct ip_addr want;
    (void)state;
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, done);
    assert_int_equal(ip_parse(SPAN("127.0.0.7"), &want), ERR_OK);
    assert_true(ip_eq(&b->peer[0]->from, &want));
    bench_end(b);
}

/* The rest of one message, transaction by transaction, keeps to messages_per_connection as well. */
static void test_smtp_lane__counts_transactions_as_messages(void **state)
{
    static const struct bench_mail many = {
        .from = "s@src.example",
        .domain = "x.example",
        .rcpts = {"a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example"}};
    struct bench *b = bench_new(COMMON "  messages_per_connection: 2\n" LAB("none"));
    (void)state;
    b->peer[0]->rcpt_max = 1;
    (void)bench_put(b, &many, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, done);
    assert_int_equal(b->peer[0]->mails, 5);
    assert_int_equal(b->peer[0]->session_peak, 2);
    assert_int_equal(fake_store_counts(b->db)->retried, 0);
    bench_end(b);
}

static bool hanging(struct bench *b)
{
    return b->peer[0]->ends > 0;
}

static bool lease_over(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->lease_lost) == 1;
}

static bool queue_went_on(struct bench *b)
{
    return fake_store_messages(b->db) == 0 && fake_store_open_claims(b->db) == 0;
}

/* L4: a worker that was frozen beyond its lease changes nothing any more, and recovers. */
static void test_smtp_lane__a_lost_lease_stops_what_it_holds(void **state)
{
    struct bench *b = bench_new(COMMON LAB("none"));
    (void)state;
    b->peer[0]->delay_ms = 50;
    for (unsigned i = 0; i < 30; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, hanging);
    fake_store_expire(b->store);
    bench_until(b, lease_over);
    bench_until(b, queue_went_on);
    assert_true(b->peer[0]->mails >= 30);
    assert_true(fake_store_counts(b->db)->stale <= b->peer[0]->peak);
    assert_true(b->peer[0]->mails <= 30 + b->peer[0]->peak); /* at most what was past its final dot */
    bench_end(b);
}

static bool claim_asked(struct bench *b)
{
    return b->worker->links != NULL && b->worker->links->claiming > 0;
}

/* Claims that come after the lease under which they were asked for are somebody else's. */
static void test_smtp_lane__sends_nothing_claimed_under_a_lost_lease(void **state)
{
    struct bench *b = bench_new(COMMON LAB("none"));
    (void)state;
    fake_store_delay(b->db, FAKE_CLAIM, 100);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, claim_asked);
    fake_store_expire(b->store);
    bench_until(b, queue_went_on);
    const struct fake_store_counts *n = fake_store_counts(b->db);
    assert_true(n->released + n->reaped > 0); /* it waited again before it was sent */
    assert_int_equal(n->stale, 0);
    assert_int_equal(b->peer[0]->mails, 1);
    bench_end(b);
}

static bool first_asked(struct bench *b)
{
    return b->peer[0]->rules[0].used == 1;
}

/* L4: a process that was stopped and goes on may find its lease over before any timer says so. Between two
 * targets no transaction begins then, and a body that was under way is not ended. */
static void test_smtp_lane__begins_and_ends_nothing_beyond_the_lease(void **state)
{
    static const struct {
        const char *verb, *answer;
        ms_t chunk_ms;
        unsigned transactions;
    } cases[] = {
        {"MAIL", "hang", 0, 2}, /* to the first host, and once more with the new lease; none to the second */
        {"DATA", "354 go", 100, 2},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(COMMON TWO_HOSTS);

        fake_store_delay(b->db, FAKE_CHUNK, c->chunk_ms);
        peer_add_rule(b->peer[0], c->verb, NULL, c->answer, 1);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, first_asked);
        assert_int_equal(b->peer[0]->ends, 0);
        b->worker->epoch++;
        bench_until(b, done);
        assert_int_equal(metric_get(&worker_counters(b->worker)->transactions), c->transactions);
        assert_int_equal(b->peer[0]->mails, 1);
        assert_int_equal(b->peer[1]->mails, 0);
        bench_end(b);
    }
}

static bool one_waits(struct bench *b)
{
    return b->peer[0]->held == 1;
}

static bool all_closed(struct bench *b)
{
    return b->peer[0]->open == 0;
}

/* L3: what waits for the answer to its final dot keeps its slot beyond the claims, and no longer than that.
 */
static void test_smtp_lane__no_connection_outlives_its_slot(void **state)
{
    struct bench *b = bench_new(PATIENT LAB("none"));
    (void)state;
    b->peer[0]->delay_ms = 3600000;
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, one_waits);
    fake_store_fail(b->db, FAKE_CLAIM, ERR_AGAIN, "", UINT_MAX);
    fake_store_expire(b->store);
    bench_until(b, lease_over);
    assert_int_equal(b->peer[0]->open, 1);
    assert_int_equal(fake_store_slots(b->db, span_cstr(b->worker->links->name)), 1);
    fake_store_lose_slots(b->store);
    bench_until(b, all_closed);
    b->peer[0]->delay_ms = 0;
    fake_store_fail(b->db, FAKE_CLAIM, ERR_OK, "", 0);
    bench_until(b, queue_went_on);
    assert_int_equal(b->peer[0]->mails, 1); /* the first never had its answer */
    bench_end(b);
}

int main(void)
{
    return check_run(
        __FILE__,
        (const struct CMUnitTest[]){
            cmocka_unit_test_setup_teardown(test_smtp_lane__follows_the_tls_policy, setup, teardown),
            cmocka_unit_test_setup_teardown(test_smtp_lane__verifies_with_the_configured_authority, setup,
                                            teardown),
            cmocka_unit_test_setup_teardown(test_smtp_lane__judges_certificates, setup, teardown),
            cmocka_unit_test_setup_teardown(test_smtp_lane__falls_back_for_one_target_alone, setup, teardown),
            cmocka_unit_test_setup_teardown(test_smtp_lane__nothing_falls_back_once_mail_was_sent, setup,
                                            teardown),
            cmocka_unit_test(test_smtp_lane__speaks_lmtp),
            cmocka_unit_test(test_smtp_lane__lmtp_answers_for_each_recipient),
            cmocka_unit_test(test_smtp_lane__lmtp_is_cut_between_the_answers),
            cmocka_unit_test(test_smtp_lane__an_early_end_of_a_session_is_no_failure),
            cmocka_unit_test(test_smtp_lane__a_goodbye_at_once_is_a_failure),
            cmocka_unit_test(test_smtp_lane__changes_to_data_where_bdat_is_unknown),
            cmocka_unit_test(test_smtp_lane__a_search_of_ten_minutes_is_given_up),
            cmocka_unit_test(test_smtp_lane__a_transaction_has_an_end),
            cmocka_unit_test(test_smtp_lane__the_last_lane_is_replaced_during_a_pause),
            cmocka_unit_test(test_smtp_lane__a_refused_connection_beside_one_that_works),
            cmocka_unit_test(test_smtp_lane__connects_from_the_configured_address),
            cmocka_unit_test(test_smtp_lane__counts_transactions_as_messages),
            cmocka_unit_test(test_smtp_lane__a_lost_lease_stops_what_it_holds),
            cmocka_unit_test(test_smtp_lane__sends_nothing_claimed_under_a_lost_lease),
            cmocka_unit_test(test_smtp_lane__begins_and_ends_nothing_beyond_the_lease),
            cmocka_unit_test(test_smtp_lane__no_connection_outlives_its_slot),
        },
        20);
}
