/* mirrors worker/links.c: what concerns all links of a worker: its end, other settings, a dead one beside
 * others */
#include "tests/unit/check.h"

#include "tests/unit/worker/bench.h"
#include "tests/unit/worker/sites.h"
#include "worker/core.h"

static void test_links__drains_without_losing_or_doubling(void **state)
{
    struct bench *b = bench_new(ONE_HOST);
    size_t left;
    (void)state;
    b->peer[0]->delay_ms = 5;
    for (unsigned i = 0; i < 200; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 20;
    bench_until(b, got_goal);
    worker_drain(b->worker);
    bench_until(b, bench_drained);
    left = fake_store_messages(b->db);
    assert_true(left > 0);
    assert_int_equal(left + b->peer[0]->mails, 200);
    assert_int_equal(fake_store_open_claims(b->db), 0);
    assert_int_equal(fake_store_slots(b->db, SPAN("connector:lab")), 0);
    bench_free(b);
}

static bool first_is_sending(struct bench *b)
{
    return b->peer[0]->open > 0;
}

static bool past_the_dot(struct bench *b)
{
    return b->peer[0]->held == 1;
}

/* A server that does not answer keeps nobody beyond the grace period, and its mail is there for others at
 * once. */
static void test_links__gives_back_what_the_grace_period_cuts(void **state)
{
    static const char *const verbs[] = {"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"};
    (void)state;
    CHECK_EACH (verbs, verb) {
        struct fake_job_view v;
        struct bench *b = bench_new(COMMON "delivery: {grace: 500ms}\n" LAB("\"@a@\", \"@b@\""));

        peer_add_rule(b->peer[0], *verb, NULL, "hang", 0);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, first_is_sending);
        worker_drain(b->worker);
        bench_until(b, bench_drained);
        assert_int_equal(fake_store_messages(b->db) + b->peer[0]->mails, 1);
        assert_int_equal(b->peer[1]->accepted, 0); /* nothing new is begun */
        if (fake_store_job(b->db, 0, &v))          /* due at once */
            assert_true(v.due_ms <= clock_wall(loop_clock(b->loop)));
        assert_int_equal(fake_store_open_claims(b->db), 0);
        assert_int_equal(fake_store_slots(b->db, SPAN("connector:lab")), 0);
        bench_free(b);
    }
}

/* What is past its final dot may have arrived: its answer is waited for as long as there is time. */
static void test_links__waits_for_the_answer_to_a_final_dot_until_the_end(void **state)
{
    struct bench *b = bench_new(COMMON "delivery: {grace: 500ms}\n" LAB("\"@a@\""));
    (void)state;
    b->peer[0]->delay_ms = 1000;
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, past_the_dot);
    worker_drain(b->worker);
    bench_until(b, bench_drained);
    assert_int_equal(b->peer[0]->mails, 1);
    assert_int_equal(fake_store_counts(b->db)->delivered, 1);
    assert_int_equal(fake_store_counts(b->db)->released, 0);
    assert_int_equal(fake_store_messages(b->db), 0);
    bench_free(b);
}

/* Nobody waits for a server that has not even said hello. */
static void test_links__no_new_connection_delays_the_end(void **state)
{
    struct bench *b = bench_new(COMMON "delivery: {grace: 1h}\n" LAB("\"@a@\""));
    (void)state;
    peer_add_rule(b->peer[0], "CONNECT", NULL, "hang", 0);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, first_is_sending);
    worker_drain(b->worker);
    bench_until(b, bench_drained);
    assert_int_equal(fake_store_messages(b->db), 1);
    bench_free(b);
}

static bool only_a_report_is_missing(struct bench *b)
{
    return fake_store_open_uploads(b->db) == 1 && b->worker->nlanes == 0;
}

/* A report that is being made is in flight, too: it is finished with its message. */
static void test_links__a_report_is_finished_before_the_end(void **state)
{
    struct bench *b = bench_new(ONE_HOST);
    (void)state;
    fake_store_window(b->db, 10);
    fake_store_stall(b->db, true);
    peer_add_rule(b->peer[0], "RCPT", "a@x.example", "550 5.1.1 nobody", 0);
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, only_a_report_is_missing); /* the connection was idle for too long by then */
    worker_drain(b->worker);
    assert_false(worker_drained(b->worker));
    fake_store_stall(b->db, false);
    bench_until(b, bench_drained);
    assert_int_equal(fake_store_counts(b->db)->bounced, 1);
    assert_int_equal(fake_store_counts(b->db)->stale, 0);
    assert_int_equal(fake_store_messages(b->db), 1); /* the report */
    bench_free(b);
}

static void test_links__can_be_ended_at_any_moment(void **state)
{
    (void)state;
    for (unsigned goal = 0; goal < 12; goal++) {
        struct bench *b = bench_new(ONE_HOST);

        b->peer[0]->delay_ms = 1;
        peer_add_rule(b->peer[0], "RCPT", "bad@", "550 no", 0);
        for (unsigned i = 0; i < 40; i++) {
            struct bench_mail m = plain;

            m.rcpts[0] = i % 3 == 0 ? "bad@x.example" : "a@x.example";
            (void)bench_put(b, &m, SPAN("Subject: x\r\n\r\nbody\r\n"));
        }
        b->goal = goal;
        bench_until(b, got_goal);
        worker_stop(b->worker);
        store_free(b->store);
        worker_free(b->worker);
        b->worker = NULL;
        b->store = fake_store_open(b->db);
        bench_free(b);
    }
}

static bool goal_not_doubled(struct bench *b)
{
    return got_goal_and_empty(b);
}

static void test_links__takes_new_settings_without_dropping_mail(void **state)
{
    struct bench *b = bench_new(ONE_HOST);
    struct config *next;
    (void)state;
    b->peer[0]->delay_ms = 2;
    for (unsigned i = 0; i < 200; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 20;
    bench_until(b, got_goal);
    bench_config(b, COMMON DELIVERY("") LAB("\"@b@\""), &next);
    assert_int_equal(worker_reload(b->worker, next, NULL), ERR_OK);
    config_unref(next);
    b->goal = 200;
    bench_until(b, goal_not_doubled);
    assert_int_equal(b->peer[0]->mails + b->peer[1]->mails, 200);
    assert_true(b->peer[1]->mails > 0);
    bench_end(b);
}

static void test_links__a_dead_link_does_not_delay_another(void **state)
{
    struct bench *b = bench_new(
        COMMON DELIVERY("") "connectors: [{name: dead, address_spaces: [{space: dead.example}], "
                            "smart_hosts: [\"@a@\"]},\n"
                            "  {name: lab, address_spaces: [{space: \"*\"}], smart_hosts: [\"@b@\"]}]\n");
    struct bench_mail dead = plain;
    (void)state;
    dead.domain = "dead.example";
    dead.rcpts[0] = "a@dead.example";
    peer_add_rule(b->peer[0], "CONNECT", NULL, "hang", 0);
    for (unsigned i = 0; i < 100; i++)
        (void)bench_put(b, &dead, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, first_is_sending);
    for (unsigned i = 0; i < 100; i++)
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 100;
    bench_until(b, got_goal);
    assert_int_equal(b->peer[1]->mails, 100);
    assert_int_equal(b->peer[0]->peak, 1); /* one lane tries, not one a message */
    bench_end(b);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_links__drains_without_losing_or_doubling),
                     cmocka_unit_test(test_links__gives_back_what_the_grace_period_cuts),
                     cmocka_unit_test(test_links__waits_for_the_answer_to_a_final_dot_until_the_end),
                     cmocka_unit_test(test_links__no_new_connection_delays_the_end),
                     cmocka_unit_test(test_links__a_report_is_finished_before_the_end),
                     cmocka_unit_test(test_links__can_be_ended_at_any_moment),
                     cmocka_unit_test(test_links__takes_new_settings_without_dropping_mail),
                     cmocka_unit_test(test_links__a_dead_link_does_not_delay_another));
}
