/* mirrors worker/worker.c and everything below it: mail in a queue in memory, servers that misbehave */
#include "tests/unit/check.h"

#include "tests/unit/worker/bench.h"
#include "tests/unit/worker/sites.h"
#include "worker/core.h"

#include <dirent.h>

static void test_worker__delivers_byte_for_byte(void **state)
{
    struct bench *b = bench_new(ONE_HOST);
    struct buf big;
    (void)state;
    buf_init(&big, 1u << 20);
    for (unsigned i = 0; i < 4000; i++)
        assert_int_equal(buf_addf(&big, "%sline %u \xff of a large body\r\n", i % 7 == 0 ? "." : "", i),
                         ERR_OK);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\n.dot\r\n..\r\nhello\r\n"));
    (void)bench_put(b, &plain, buf_span(&big));
    b->goal = 2;
    bench_until(b, got_goal_and_empty);
    for (unsigned i = 0; i < 2; i++) {
        struct peer_mail *m = &b->peer[0]->mail[i];
        bool large = m->body_len > 1000;

        check_span(span_cstr(m->from), SPAN("s@src.example"));
        check_span(span_cstr(m->rcpts), SPAN("a@x.example"));
        check_span(span_of(m->body, m->body_len),
                   large ? buf_span(&big) : SPAN("Subject: x\r\n\r\n.dot\r\n..\r\nhello\r\n"));
    }
    assert_int_equal(fake_store_counts(b->db)->delivered, 2);
    buf_done(&big);
    bench_end(b);
}

static bool cap_kept(struct bench *b)
{
    assert_true(b->peer[0]->open <= 5);
    assert_true(fake_store_slots(b->db, SPAN("connector:lab")) <= 5);
    return got_goal_and_empty(b);
}

static void test_worker__keeps_the_cap_and_closes_after_so_many_messages(void **state)
{
    struct bench *b = bench_new(COMMON DELIVERY("  max_connections_per_domain: 5\n"
                                                "  messages_per_connection: 20\n") LAB("\"@a@\""));
    (void)state;
    b->peer[0]->delay_ms = 2;
    for (unsigned i = 0; i < 600; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 600;
    bench_until(b, cap_kept);
    assert_int_equal(b->peer[0]->mails, 600);
    assert_int_equal(b->peer[0]->peak, 5);
    assert_true(b->peer[0]->accepted >= 600 / 20);
    bench_end(b);
}

static bool seen_failure(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->link_failures) >= b->goal;
}

static void test_worker__claims_nothing_for_a_link_that_does_not_work(void **state)
{
    struct bench *b = bench_new(ONE_HOST);
    struct fake_job_view v;
    (void)state;
    listener_close(b->peer[0]->listener); /* refuses */
    b->peer[0]->listener = NULL;
    (void)bench_put(b, &plain, SPAN("x\r\n"));
    b->goal = 2;
    bench_until(b, seen_failure);
    assert_int_equal(fake_store_jobs(b->db), 1);
    assert_true(fake_store_job(b->db, 0, &v));
    assert_int_equal(fake_store_counts(b->db)->retried, 0);
    assert_int_equal(fake_store_slots(b->db, SPAN("connector:lab")), 0);
    bench_end(b);
}

static bool hidden(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->released) >= b->goal;
}

/* What `bridgehead queue retry` does: the store forgets the failures of the link, and its queue is shown
 * again. */
static void test_worker__tries_a_held_link_when_an_operator_says_so(void **state)
{
    struct bench *b = bench_new(
        COMMON "delivery: {retry: {glitch: [1h], schedule: [1h], jitter_percent: 0}}\n" LAB("\"@a@\""));
    struct fake_job_view v;
    (void)state;
    peer_add_rule(b->peer[0], "CONNECT", NULL, "421 busy", 1);
    (void)bench_put(b, &plain, SPAN("x\r\n"));
    b->goal = 1;
    bench_until(b, hidden);
    assert_true(seen_failure(b));
    assert_int_equal(metric_get(&worker_counters(b->worker)->links_held), 1);
    assert_true(fake_store_job(b->db, 0, &v));
    assert_int_equal(store_link_ok(b->store, SPAN("connector:lab")), ERR_OK);
    assert_int_equal(store_rouse(b->store, v.id.partition, SPAN("x.example"), 0), ERR_OK);
    (void)bench_put(b, &plain, SPAN("y\r\n")); /* due, as `retry` makes what waits */
    bench_until(b, got_goal);
    bench_end(b);
}

static bool sweeping(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->links_held) == 1 && fake_store_open_claims(b->db) > 0;
}

/* What a sweep has in hand when the operator asks, or a failure that is recorded after he asked: neither
 * keeps anything from being tried. */
static void test_worker__a_wish_is_not_undone_by_a_sweep(void **state)
{
    for (unsigned forgotten = 0; forgotten < 2; forgotten++) {
        struct bench *b = bench_new(
            COMMON "delivery: {retry: {glitch: [1h], schedule: [1h], jitter_percent: 0}}\n" LAB("\"@a@\""));
        (void)state;
        fake_store_delay(b->db, FAKE_CLAIM, 20);
        peer_add_rule(b->peer[0], "CONNECT", NULL, "421 busy", 1);
        for (unsigned i = 0; i < 200; i++)
            (void)bench_put(b, &plain, SPAN("x\r\n"));
        bench_until(b, sweeping);
        if (forgotten != 0)
            assert_int_equal(store_link_ok(b->store, SPAN("connector:lab")), ERR_OK);
        fake_store_retry(b->db);
        b->goal = 200;
        bench_until(b, got_goal_and_empty);
        bench_end(b);
    }
}

static bool contains(const struct peer_mail *m, const char *text)
{
    struct span body = span_of(m->body, m->body_len);

    for (; body.len > 0; body = span_from(body, 1))
        if (span_has_prefix(body, span_cstr(text)))
            return true;
    return false;
}

static void test_worker__returns_what_is_refused_for_good(void **state)
{
    static const struct {
        const char *verb, *answer, *in_report;
    } cases[] = {
        {"RCPT", "550 5.1.1 no such user", "Status: 5.1.1"},
        {"MAIL", "550 5.7.1 not you", "Status: 5.7.1"},
        {"END", "554 5.6.0 spam", "554 5.6.0 spam"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(ONE_HOST);

        peer_add_rule(b->peer[0], c->verb, "a@x.example", c->answer, 0);
        if (strcmp(c->verb, "RCPT") != 0) {
            peer_forget_rules(b->peer[0]);
            peer_add_rule(b->peer[0], c->verb, "s@src.example", c->answer, 0);
        }
        (void)bench_put(b, &plain, SPAN("Subject: original\r\n\r\nbody\r\n"));
        b->goal = 1;
        bench_until(b, got_goal_and_empty); /* the report goes to the sender, over the same connector */
        check_span(span_cstr(b->peer[0]->mail[0].from), SPAN(""));
        check_span(span_cstr(b->peer[0]->mail[0].rcpts), SPAN("s@src.example"));
        assert_true(contains(&b->peer[0]->mail[0], c->in_report));
        assert_true(contains(&b->peer[0]->mail[0], "Subject: original"));
        assert_true(contains(&b->peer[0]->mail[0], "postmaster@mx.own.example"));
        assert_int_equal(fake_store_counts(b->db)->bounced, 1);
        bench_end(b);
    }
}

static bool has_badmail(struct bench *b)
{
    return fake_store_counts(b->db)->badmail == 1;
}

static void test_worker__never_reports_about_a_report(void **state)
{
    static const struct bench_mail report = {.from = "", .domain = "x.example", .rcpts = {"a@x.example"}};
    struct bench *b = bench_new(ONE_HOST);
    struct fake_job_view v;
    (void)state;
    peer_add_rule(b->peer[0], "RCPT", NULL, "550 5.1.1 no such user", 0);
    (void)bench_put(b, &report, SPAN("Subject: report\r\n\r\nbody\r\n"));
    bench_until(b, has_badmail);
    assert_true(fake_store_job(b->db, 0, &v));
    check_span(v.reason, SPAN("550 5.1.1 no such user"));
    bench_end(b);
}

static void test_worker__settles_each_recipient_alone(void **state)
{
    static const struct bench_mail three = {.from = "s@src.example",
                                            .domain = "x.example",
                                            .rcpts = {"a@x.example", "no@x.example", "slow@x.example"}};
    struct bench *b = bench_new(ONE_HOST);
    (void)state;
    peer_add_rule(b->peer[0], "RCPT", "no@x.example", "550 5.1.1 no such user", 0);
    peer_add_rule(b->peer[0], "RCPT", "slow@x.example", "450 4.2.1 later", 1);
    (void)bench_put(b, &three, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 3; /* a; the report; slow */
    bench_until(b, got_goal_and_empty);
    check_span(span_cstr(b->peer[0]->mail[0].rcpts), SPAN("a@x.example"));
    check_span(span_cstr(b->peer[0]->mail[1].rcpts), SPAN("s@src.example"));
    check_span(span_cstr(b->peer[0]->mail[2].rcpts), SPAN("slow@x.example"));
    assert_int_equal(fake_store_counts(b->db)->delivered, 3);
    assert_int_equal(fake_store_counts(b->db)->bounced, 1);
    assert_int_equal(fake_store_counts(b->db)->retried, 1);
    bench_end(b);
}

static void test_worker__sends_the_rest_after_too_many_recipients(void **state)
{
    static const struct bench_mail many = {.from = "s@src.example",
                                           .domain = "x.example",
                                           .rcpts = {"a@x.example", "b@x.example", "c@x.example"}};
    struct bench *b = bench_new(ONE_HOST);
    (void)state;
    peer_add_rule(b->peer[0], "RCPT", "c@x.example", "452 4.5.3 too many", 1);
    (void)bench_put(b, &many, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 2;
    bench_until(b, got_goal_and_empty);
    check_span(span_cstr(b->peer[0]->mail[0].rcpts), SPAN("a@x.example,b@x.example"));
    check_span(span_cstr(b->peer[0]->mail[1].rcpts), SPAN("c@x.example"));
    assert_int_equal(b->peer[0]->accepted, 1);
    assert_int_equal(fake_store_counts(b->db)->retried, 0);
    bench_end(b);
}

static void test_worker__returns_old_mail_of_a_dead_link(void **state)
{
    static const struct bench_mail old = {.from = "s@alive.example",
                                          .domain = "dead.example",
                                          .rcpts = {"a@dead.example"},
                                          .age_ms = 3 * UINT64_C(86400000)};
    struct bench *b = bench_new(
        COMMON DELIVERY("") "connectors: [{name: dead, address_spaces: [{space: dead.example}], "
                            "smart_hosts: [\"@a@\"]},\n"
                            "  {name: lab, address_spaces: [{space: \"*\"}], smart_hosts: [\"@b@\"]}]\n");
    (void)state;
    listener_close(b->peer[0]->listener);
    b->peer[0]->listener = NULL;
    (void)bench_put(b, &old, SPAN("Subject: old\r\n\r\nbody\r\n"));
    b->goal = 1;
    bench_until(b, got_goal_and_empty);
    check_span(span_cstr(b->peer[1]->mail[0].rcpts), SPAN("s@alive.example"));
    assert_true(contains(&b->peer[1]->mail[0], "Status: 4.4.7"));
    bench_end(b);
}

static bool only_young_left(struct bench *b)
{
    return got_goal(b) && fake_store_messages(b->db) == 400;
}

/* ... wherever it stands in its queue, and long before the link is tried again. */
static void test_worker__finds_old_mail_behind_young(void **state)
{
    struct bench_mail mail = {
        .from = "s@alive.example", .domain = "dead.example", .rcpts = {"a@dead.example"}};
    struct bench *b = bench_new(
        COMMON "delivery: {retry: {glitch: [1h], schedule: [1h], jitter_percent: 0}}\n"
               "connectors: [{name: dead, address_spaces: [{space: dead.example}], smart_hosts: [\"@a@\"]},\n"
               "  {name: lab, address_spaces: [{space: \"*\"}], smart_hosts: [\"@b@\"]}]\n");
    (void)state;
    listener_close(b->peer[0]->listener);
    b->peer[0]->listener = NULL;
    for (unsigned i = 0; i < 400; i++)
        (void)bench_put(b, &mail, SPAN("Subject: young\r\n\r\nbody\r\n"));
    mail.age_ms = 3 * UINT64_C(86400000);
    for (unsigned i = 0; i < 4; i++)
        (void)bench_put(b, &mail, SPAN("Subject: old\r\n\r\nbody\r\n"));
    b->goal = 4;
    bench_until(b, only_young_left);
    bench_end(b);
}

static bool looked_at_all(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->claimed) >= 400 && b->worker->ndues == 0;
}

static bool failed_again(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->link_failures) >= b->goal && b->worker->ndues == 0;
}

/* ... but not at every try of a link that is tried often. How long it is held is of no matter: an hour, and
 * an operator who does not want to wait. */
static void test_worker__looks_at_a_whole_queue_now_and_then(void **state)
{
    struct bench *b = bench_new(
        COMMON "delivery: {retry: {glitch: [1h], schedule: [1h], jitter_percent: 0}}\n" LAB("\"@a@\""));
    (void)state;
    listener_close(b->peer[0]->listener);
    b->peer[0]->listener = NULL;
    for (unsigned i = 0; i < 400; i++)
        (void)bench_put(b, &plain, SPAN("Subject: young\r\n\r\nbody\r\n"));
    bench_until(b, looked_at_all);
    uint64_t all = metric_get(&worker_counters(b->worker)->claimed);
    for (b->goal = 2; b->goal <= 5; b->goal++) {
        fake_store_retry(b->db);
        bench_until(b, failed_again);
    }
    assert_true(metric_get(&worker_counters(b->worker)->claimed) < all + 400);
    bench_end(b);
}

static void test_worker__tells_of_a_delay_once(void **state)
{
    static const struct bench_mail late = {.from = "s@alive.example",
                                           .domain = "dead.example",
                                           .rcpts = {"a@dead.example"},
                                           .age_ms = UINT64_C(13) * 3600000};
    struct bench *b = bench_new(
        COMMON DELIVERY("") "connectors: [{name: dead, address_spaces: [{space: dead.example}], "
                            "smart_hosts: [\"@a@\"]},\n"
                            "  {name: lab, address_spaces: [{space: \"*\"}], smart_hosts: [\"@b@\"]}]\n");
    (void)state;
    peer_add_rule(b->peer[0], "CONNECT", NULL, "421 not now", 3);
    (void)bench_put(b, &late, SPAN("Subject: late\r\n\r\nbody\r\n"));
    b->goal = 2;
    bench_until(b, got_goal_and_empty); /* the notice, and in the end the message */
    assert_int_equal(b->peer[1]->mails, 1);
    assert_true(contains(&b->peer[1]->mail[0], "Action: delayed"));
    assert_int_equal(b->peer[0]->mails, 1);
    bench_end(b);
}

static bool queue_known(struct bench *b)
{
    return b->worker->ndues > 0;
}

static bool seen_release(struct bench *b)
{
    return fake_store_counts(b->db)->released >= 2;
}

/* A message that has another way than its queue waits when no more next hops can be remembered: it never goes
 * the way of the queue. */
static void test_worker__never_takes_a_way_for_want_of_another(void **state)
{
    struct bench *b = bench_new(COMMON DELIVERY(
        "") "connectors: [{name: small, address_spaces: [{space: \"*\", cost: 1}], "
            "max_message_size: 4K, smart_hosts: [\"@a@\"]},\n"
            "  {name: any, address_spaces: [{space: \"*\", cost: 10}], smart_hosts: [\"@b@\"]}]\n");
    static char large[8192];
    size_t missing;
    (void)state;
    memset(large, 'x', sizeof large);
    fake_store_delay(b->db, FAKE_CLAIM, 50);
    (void)bench_put(b, &plain, span_of(large, sizeof large)); /* into a queue of class 0 */
    bench_until(b, queue_known);
    missing = LINKS_MAX - b->worker->nlinks;
    b->worker->nlinks += missing;
    bench_until(b, seen_release);
    b->worker->nlinks -= missing;
    bench_until(b, queue_empty);
    assert_int_equal(b->peer[0]->mails, 0);
    assert_int_equal(b->peer[1]->mails, 1);
    bench_end(b);
}

static void test_worker__returns_what_has_no_route(void **state)
{
    struct bench *b =
        bench_new(COMMON DELIVERY("") "connectors: [{name: lab, address_spaces: [{space: src.example}], "
                                      "smart_hosts: [\"@a@\"]}]\n");
    (void)state;
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 1;
    bench_until(b, got_goal_and_empty);
    assert_true(contains(&b->peer[0]->mail[0], "Status: 5.4.4"));
    bench_end(b);
}

static void test_worker__returns_what_an_operator_wants_returned(void **state)
{
    struct bench *b = bench_new(ONE_HOST);
    struct msgid id = bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    (void)state;
    assert_true(fake_store_bounce(b->db, &id, 1, "not wanted here"));
    b->goal = 1;
    bench_until(b, got_goal_and_empty);
    check_span(span_cstr(b->peer[0]->mail[0].rcpts), SPAN("s@src.example"));
    assert_true(contains(&b->peer[0]->mail[0], "not wanted here"));
    bench_end(b);
}

/* --- Maildirs ---------------------------------------------------------------------------------------- */

static void read_only_file(const char *dir, struct buf *out)
{
    char path[512] = "", bytes[4096];
    DIR *d = opendir(dir);
    size_t n;
    FILE *f;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        assert_string_equal(path, ""); /* one file alone */
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    }
    (void)closedir(d);
    f = fopen(path, "re");
    assert_non_null(f);
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0)
        assert_int_equal(buf_add(out, span_of(bytes, n)), ERR_OK);
    (void)fclose(f);
}

static void test_worker__delivers_into_maildirs(void **state)
{
    static const struct bench_mail local = {
        .from = "s@src.example", .domain = "example.org", .rcpts = {"Bob@example.org", "al@example.org"}};
    struct bench *b = bench_new(COMMON DELIVERY("") "local_domains: [{domain: example.org, "
                                                    "deliver: \"maildir:@d@/mail/%d/%u\"}]\n");
    struct buf body, want, got;
    char dir[256];
    (void)state;
    buf_init(&body, 1u << 20);
    buf_init(&want, 1u << 20);
    buf_init(&got, 1u << 20);
    for (unsigned i = 0; i < 9000; i++)
        assert_int_equal(buf_addf(&body, "line %u\r\n", i), ERR_OK);
    (void)bench_put(b, &local, buf_span(&body));
    bench_until(b, queue_empty);
    assert_int_equal(buf_addf(&want,
                              "Return-Path: <s@src.example>\r\nDelivered-To: Bob@example.org\r\n" SPAN_FMT,
                              SPAN_ARG(buf_span(&body))),
                     ERR_OK);
    (void)snprintf(dir, sizeof dir, "%s/mail/example.org/bob/new", b->dir);
    read_only_file(dir, &got);
    assert_true(span_eq(buf_span(&got), buf_span(&want)));
    (void)snprintf(dir, sizeof dir, "%s/mail/example.org/al/new", b->dir);
    read_only_file(dir, &want);
    assert_int_equal(fake_store_counts(b->db)->delivered, 2);
    buf_done(&body);
    buf_done(&want);
    buf_done(&got);
    bench_end(b);
}

static void test_worker__waits_when_a_mailbox_cannot_be_written(void **state)
{
    static const struct bench_mail local = {
        .from = "s@src.example", .domain = "example.org", .rcpts = {"bob@example.org"}};
    struct bench *b = bench_new(COMMON DELIVERY("") "local_domains: [{domain: example.org, "
                                                    "deliver: \"maildir:@d@/file/%u\"}]\n");
    char path[256];
    FILE *f;
    (void)state;
    (void)snprintf(path, sizeof path, "%s/file", b->dir);
    f = fopen(path, "we"); /* a file where a directory should be */
    assert_non_null(f);
    (void)fclose(f);
    (void)bench_put(b, &local, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 1;
    while (fake_store_counts(b->db)->retried == 0) {
        b->goal = 0;
        bench_until(b, got_goal);
    }
    assert_int_equal(unlink(path), 0);
    bench_until(b, queue_empty);
    assert_int_equal(fake_store_counts(b->db)->delivered, 1);
    bench_end(b);
}

/* --- Caps --------------------------------------------------------------------------------------------- */

enum { CROWD = 4, CROWD_CAP = 10, CROWD_MAIL = 1000 };
static struct {
    unsigned samples, full;
} crowd;

static bool crowd_done(struct bench *b)
{
    assert_true(b->peer[0]->open <= CROWD_CAP);
    if (b->peer[0]->mails > CROWD_MAIL / 4 && b->peer[0]->mails < CROWD_MAIL * 3 / 4) {
        crowd.samples++;
        crowd.full += b->peer[0]->open >= CROWD_CAP - 1 ? 1 : 0;
    }
    return queue_empty(b);
}

static void test_worker__many_workers_share_one_cap_and_use_it(void **state)
{
    struct bench *b = bench_new(COMMON DELIVERY("  max_connections_per_domain: 10\n") LAB("\"@a@\""));
    struct store *stores[CROWD] = {NULL};
    struct worker *workers[CROWD] = {NULL};
    (void)state;
    crowd.samples = crowd.full = 0;
    b->peer[0]->delay_ms = 4;
    for (unsigned i = 0; i < CROWD_MAIL; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    for (size_t i = 1; i < CROWD; i++) {
        struct worker_deps deps = {.loop = b->loop, .store = stores[i] = fake_store_open(b->db)};

        assert_int_equal(worker_new(&deps, b->conf, &workers[i], NULL), ERR_OK);
    }
    bench_until(b, crowd_done);
    assert_int_equal(b->peer[0]->mails, CROWD_MAIL); /* nothing twice */
    assert_int_equal(b->peer[0]->peak, CROWD_CAP);
    assert_true(crowd.samples > 0);
    assert_true(crowd.full * 10 >= crowd.samples * 8);
    for (size_t i = 1; i < CROWD; i++) {
        worker_stop(workers[i]);
        store_free(stores[i]);
        worker_free(workers[i]);
    }
    bench_free(b);
}

static bool second_got_one(struct bench *b)
{
    return b->peer[1]->mails == 1;
}

/* A connection that is kept for mail that may come is no reason to keep waiting what is there. */
static void test_worker__an_idle_connection_gives_way_at_the_total_cap(void **state)
{
    struct bench *b =
        bench_new(COMMON "delivery: {max_connections: 1, idle_timeout: 1h}\n"
                         "connectors: [{name: a, address_spaces: [{space: a.example}], "
                         "smart_hosts: [\"@a@\"]},\n"
                         "  {name: b, address_spaces: [{space: \"*\"}], smart_hosts: [\"@b@\"]}]\n");
    struct bench_mail first = plain;
    (void)state;
    first.domain = "a.example";
    first.rcpts[0] = "a@a.example";
    (void)bench_put(b, &first, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, queue_empty);
    assert_int_equal(b->peer[0]->open, 1);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, second_got_one);
    bench_end(b);
}

static void test_worker__a_busy_link_gives_way_at_the_total_cap(void **state)
{
    struct bench *b = bench_new(COMMON DELIVERY(
        "  max_connections: 2\n") "connectors: [{name: a, address_spaces: [{space: a.example}], "
                                  "smart_hosts: [\"@a@\"]},\n"
                                  "  {name: b, address_spaces: [{space: \"*\"}], smart_hosts: [\"@b@\"]}]\n");
    struct bench_mail busy = plain;
    (void)state;
    busy.domain = "a.example";
    busy.rcpts[0] = "a@a.example";
    b->peer[0]->delay_ms = 3;
    for (unsigned i = 0; i < 600; i++)
        (void)bench_put(b, &busy, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 50;
    bench_until(b, got_goal);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, second_got_one);
    assert_true(b->peer[0]->mails < 400);
    bench_end(b);
}

/* The other worker holds every slot, and passes them on as long as nobody whom it knows of waits. */
static void test_worker__a_busy_link_gives_way_to_what_another_worker_found(void **state)
{
    struct bench *b = bench_new(COMMON DELIVERY(
        "  max_connections: 2\n") "connectors: [{name: a, address_spaces: [{space: a.example}], "
                                  "smart_hosts: [\"@a@\"]},\n"
                                  "  {name: b, address_spaces: [{space: \"*\"}], smart_hosts: [\"@b@\"]}]\n");
    struct bench_mail busy = plain;
    struct worker_deps deps = {.loop = b->loop};
    struct worker *other;
    (void)state;
    busy.domain = "a.example";
    busy.rcpts[0] = "a@a.example";
    b->peer[0]->delay_ms = 4;
    for (unsigned i = 0; i < 2000; i++)
        (void)bench_put(b, &busy, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 50;
    bench_until(b, got_goal);
    deps.store = fake_store_open(b->db);
    assert_int_equal(worker_new(&deps, b->conf, &other, NULL), ERR_OK);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, second_got_one);
    assert_true(b->peer[0]->mails < 2000);
    worker_stop(other);
    store_free(deps.store);
    worker_free(other);
    bench_free(b);
}

/* --- Slots that stay ------------------------------------------------------------------------------------ */

enum { STAY_MAIL = 300, STAY_CAP = 5 };

static bool all_slots(struct bench *b)
{
    return fake_store_slots(b->db, SPAN("connector:lab")) == STAY_CAP;
}

static bool all_slots_until_the_end(struct bench *b)
{
    if (b->peer[0]->mails < STAY_MAIL * 2 / 3)
        assert_true(all_slots(b));
    return got_goal_and_empty(b);
}

static void test_worker__passes_slots_on_while_there_is_mail(void **state)
{
    struct bench *b = bench_new(COMMON DELIVERY("  max_connections_per_domain: 5\n"
                                                "  messages_per_connection: 4\n") LAB("\"@a@\""));
    unsigned lives[5] = {0};
    (void)state;
    b->peer[0]->delay_ms = 2;
    for (unsigned i = 0; i < STAY_MAIL; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, all_slots);
    for (const struct lane *lane = b->worker->links->lanes; lane != NULL; lane = lane->next) {
        assert_true(lane->messages_limit >= 1 && lane->messages_limit <= 4);
        lives[lane->messages_limit]++;
    }
    for (unsigned i = 1; i <= 4; i++) /* they do not end together */
        assert_true(lives[i] <= 2);
    b->goal = STAY_MAIL;
    bench_until(b, all_slots_until_the_end);
    assert_true(b->peer[0]->accepted >= STAY_MAIL / 4);
    bench_end(b);
}

/* --- A queue that is not well --------------------------------------------------------------------------- */

static void test_worker__loses_nothing_when_the_queue_is_not_well(void **state)
{
    static const struct {
        enum fake_store_op op;
        enum err err;
        unsigned times;
    } cases[] = {
        {FAKE_DISCOVER, ERR_AGAIN, 6}, {FAKE_CLAIM, ERR_AGAIN, 3}, {FAKE_CLAIM, ERR_BACKEND, 2},
        {FAKE_CHUNK, ERR_AGAIN, 1},    {FAKE_SLOTS, ERR_AGAIN, 3}, {FAKE_LINK, ERR_AGAIN, 1},
        {FAKE_UPLOAD, ERR_FULL, 1},    {FAKE_REAP, ERR_AGAIN, 4},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(ONE_HOST);
        struct bench_mail bad = plain;

        bad.rcpts[0] = "bad@x.example";
        peer_add_rule(b->peer[0], "RCPT", "bad@", "550 5.1.1 no", 0);
        fake_store_fail(b->db, c->op, c->err, "on order", c->times);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        if (c->op == FAKE_UPLOAD)
            (void)bench_put(b, &bad, SPAN("Subject: y\r\n\r\nbody\r\n"));
        b->goal = 1;
        bench_until(b, got_goal);
        if (c->op != FAKE_UPLOAD) {
            bench_until(b, queue_empty);
            assert_int_equal(b->peer[0]->mails, 1);
        } else { /* the report is made later: the message is still there */
            assert_int_equal(fake_store_counts(b->db)->badmail, 0);
            assert_true(fake_store_messages(b->db) > 0);
        }
        bench_end(b);
    }
}

/* What can never be reported is not tried again and again: badmail, without those it was delivered to. */
static void test_worker__keeps_what_nobody_can_be_told_as_badmail(void **state)
{
    static const struct bench_mail mail = {
        .from = "s@src.example", .domain = "x.example", .rcpts = {"a@x.example", "bad@x.example"}};
    struct bench *b = bench_new(ONE_HOST);
    struct fake_job_view v;
    struct job job;
    (void)state;
    peer_add_rule(b->peer[0], "RCPT", "bad@", "550 5.1.1 no", 0);
    fake_store_fail(b->db, FAKE_UPLOAD, ERR_TOOBIG, "on order", 1000);
    (void)bench_put(b, &mail, SPAN("Subject: y\r\n\r\nbody\r\n"));
    bench_until(b, has_badmail);
    assert_int_equal(b->peer[0]->mails, 1);
    assert_int_equal(fake_store_counts(b->db)->retried, 0);
    assert_true(fake_store_job(b->db, 0, &v));
    check_span(v.reason, SPAN("550 5.1.1 no"));
    assert_int_equal(job_decode(v.blob, &job), ERR_OK);
    assert_int_equal(job.nrcpts, 1);
    check_span(job.rcpts[0].address, SPAN("bad@x.example"));
    job_done(&job);
    bench_end(b);
}

static void test_worker__keeps_what_has_no_body_as_badmail(void **state)
{
    static const char *const ways[] = {
        ONE_HOST, COMMON DELIVERY("") "local_domains: [{domain: x.example, deliver: \"maildir:@d@/%u\"}]\n"};
    (void)state;
    CHECK_EACH (ways, way) {
        struct bench *b = bench_new(*way);
        struct fake_job_view v;

        fake_store_fail(b->db, FAKE_CHUNK, ERR_NOTFOUND, "gone", 8);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, has_badmail);
        assert_true(fake_store_job(b->db, 0, &v));
        assert_int_equal(v.state, FAKE_JOB_BADMAIL);
        bench_end(b);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_worker__delivers_byte_for_byte),
                     cmocka_unit_test(test_worker__keeps_the_cap_and_closes_after_so_many_messages),
                     cmocka_unit_test(test_worker__passes_slots_on_while_there_is_mail),
                     cmocka_unit_test(test_worker__a_busy_link_gives_way_to_what_another_worker_found),
                     cmocka_unit_test(test_worker__claims_nothing_for_a_link_that_does_not_work),
                     cmocka_unit_test(test_worker__tries_a_held_link_when_an_operator_says_so),
                     cmocka_unit_test(test_worker__a_wish_is_not_undone_by_a_sweep),
                     cmocka_unit_test(test_worker__returns_what_is_refused_for_good),
                     cmocka_unit_test(test_worker__never_reports_about_a_report),
                     cmocka_unit_test(test_worker__settles_each_recipient_alone),
                     cmocka_unit_test(test_worker__sends_the_rest_after_too_many_recipients),
                     cmocka_unit_test(test_worker__returns_old_mail_of_a_dead_link),
                     cmocka_unit_test(test_worker__finds_old_mail_behind_young),
                     cmocka_unit_test(test_worker__looks_at_a_whole_queue_now_and_then),
                     cmocka_unit_test(test_worker__tells_of_a_delay_once),
                     cmocka_unit_test(test_worker__never_takes_a_way_for_want_of_another),
                     cmocka_unit_test(test_worker__returns_what_has_no_route),
                     cmocka_unit_test(test_worker__returns_what_an_operator_wants_returned),
                     cmocka_unit_test(test_worker__delivers_into_maildirs),
                     cmocka_unit_test(test_worker__waits_when_a_mailbox_cannot_be_written),
                     cmocka_unit_test(test_worker__many_workers_share_one_cap_and_use_it),
                     cmocka_unit_test(test_worker__a_busy_link_gives_way_at_the_total_cap),
                     cmocka_unit_test(test_worker__an_idle_connection_gives_way_at_the_total_cap),
                     cmocka_unit_test(test_worker__loses_nothing_when_the_queue_is_not_well),
                     cmocka_unit_test(test_worker__keeps_what_nobody_can_be_told_as_badmail),
                     cmocka_unit_test(test_worker__keeps_what_has_no_body_as_badmail));
}
