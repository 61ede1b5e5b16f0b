/* mirrors worker/smtp_end.c: what follows a session that ended as it should not */
#include "tests/unit/check.h"

#include "tests/unit/worker/bench.h"
#include "tests/unit/worker/sites.h"
#include "worker/core.h"

#define BY_DNS "connectors: [{name: lab, type: smtp, address_spaces: [{space: \"*\"}], deliver: dns}]\n"

static void test_smtp_end__tries_the_next_target(void **state)
{
    static const struct {
        const char *verb, *answer;
    } cases[] = {
        {"CONNECT", "close"}, {"CONNECT", "421 busy"}, {"CONNECT", "554 no"}, {"CONNECT", "hang"},
        {"EHLO", "close"},    {"EHLO", "421 no"},      {"MAIL", "421 no"},    {"MAIL", "close"},
        {"MAIL", "hang"},     {"RCPT", "close"},       {"DATA", "close"},     {"DATA", "421 bye"},
        {"CONNECT", "drip"},  {"EHLO", "drip"},        {"MAIL", "drip"},      {"RCPT", "drip"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(COMMON DELIVERY("") LAB("\"@a@\", \"@b@\""));

        peer_add_rule(b->peer[0], c->verb, NULL, c->answer, 0);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        b->goal = 1;
        bench_until(b, got_goal_and_empty);
        assert_int_equal(b->peer[1]->mails, 1);
        bench_end(b);
    }
}

static void test_smtp_end__waits_and_tries_again(void **state)
{
    static const struct {
        const char *verb, *answer;
        bool retried; /* by a job of its own, else by its link */
    } cases[] = {
        {"CONNECT", "554 no", false}, /* of a smart host: somebody's mistake, mended sooner than the mail
                                         expires */
        {"CONNECT", "421 busy", false}, {"CONNECT", "close", false}, {"EHLO", "hang", false},
        {"MAIL", "450 later", true},    {"RCPT", "450 later", true}, {"DATA", "451 later", true},
        {"END", "451 later", true},     {"END", "drop", true},       {"END", "421 bye", true},
        {"END", "hang", true},          {"END", "drip", true},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(ONE_HOST);

        peer_add_rule(b->peer[0], c->verb, NULL, c->answer, 1);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        b->goal = 1;
        bench_until(b, got_goal_and_empty);
        assert_int_equal(b->peer[0]->mails, 1);
        if (c->retried)
            assert_int_equal(fake_store_counts(b->db)->retried, 1);
        assert_int_equal(fake_store_counts(b->db)->delivered, 1);
        assert_int_equal(fake_store_counts(b->db)->bounced, 0);
        bench_end(b);
    }
}

static bool all_closed(struct bench *b)
{
    return b->peer[0]->open == 0 && b->peer[1]->open == 0;
}

/* Whatever a server says: the message arrives by the next one, nobody is told that it did not, and only an
 * answer to the final dot is one. At END nobody knows what became of it, so it waits instead (RFC 1047). */
static void test_smtp_end__no_nonsense_loses_or_delivers_anything(void **state)
{
    static char long_line[3000], many_lines[8 * 300 + 8];
    static const char *const verbs[] = {"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END"};
    static const char *const answers[] = {
        "hello, who is there",
        "",
        "25",
        "2500 what",
        "199 too low",
        "600 too high",
        "250-one\r\n251 another",
        "\x80\xff\x01\x02",
        long_line,
        many_lines,
        "250-never ends\r\nleft",
        "354 go on\r\n354 go on\r\n354 go on\r\n354 go on\r\n250 taken",
    };
    (void)state;
    memset(long_line, 'x', sizeof long_line - 1);
    memcpy(long_line, "250 ", 4);
    for (size_t i = 0; i < 300; i++)
        memcpy(many_lines + 8 * i, "250-ab\r\n", 8);
    memcpy(many_lines + 8 * 300, "250 ok", 6);
    CHECK_EACH (verbs, verb) {
        struct bench *b =
            bench_new(COMMON DELIVERY("  messages_per_connection: 1\n") LAB("\"@a@\", \"@b@\""));

        for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
            bool end = strcmp(*verb, "END") == 0,
                 may_end = strcmp(*verb, "DATA") == 0 && answers[i][0] == '3';

            peer_forget_rules(b->peer[0]);
            peer_add_rule(b->peer[0], *verb, NULL, answers[i], 1);
            (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
            bench_until(b, queue_empty);
            assert_int_equal(fake_store_counts(b->db)->delivered, i + 1);
            assert_int_equal(fake_store_counts(b->db)->retried, end ? i + 1 : 0);
            if (!end && !may_end)
                assert_int_equal(b->peer[1]->mails, i + 1);
            bench_until(b, all_closed);
        }
        assert_int_equal(fake_store_counts(b->db)->bounced, 0);
        bench_end(b);
    }
}

/* Two mail exchangers of x.example, the servers of the bench, as DNS would name them. */
static void know_exchangers(struct bench *b)
{
    struct link *link;
    struct route route;

    route_lookup(b->worker->set->routes, SPAN("x.example"), 0, &route);
    link = links_get(b->worker, &route, SPAN("x.example"));
    assert_non_null(link);
    link->plan = calloc(1, sizeof *link->plan);
    assert_non_null(link->plan);
    *link->plan = (struct targets_plan){.kind = TARGETS_DNS, .nhosts = 2};
    for (size_t i = 0; i < 2; i++) {
        struct targets_host *h = &link->plan->hosts[i];

        *h = (struct targets_host){.preference = (uint16_t)(10 * i), .port = b->peer[i]->at.port, .n = 1};
        (void)snprintf(h->name, sizeof h->name, "mx%zu.x.example", i);
        h->answered = h->exists = true;
        h->addrs[0] = b->peer[i]->at.addr;
    }
    link->plan_until_ms = link->plan_end_ms = UINT64_MAX;
}

static bool decided(struct bench *b)
{
    return fake_store_counts(b->db)->bounced + fake_store_counts(b->db)->delivered > 0 ||
           metric_get(&worker_counters(b->worker)->link_failures) > 0;
}

/* RFC 5321 5.1: an exchanger that turns out to be this server ends the list: worse ones are not for it. A
 * better one that did not answer may recover. */
static void test_smtp_end__nobody_behind_this_server_is_asked(void **state)
{
    static const struct {
        const char *first, *second; /* their answers to EHLO; NULL: they take mail */
        unsigned asked, bounced;
    } cases[] = {
        {"250 mx.own.example", NULL, 0, 1},
        {"421 busy", "250 mx.own.example", 1, 0},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(COMMON DELIVERY("") BY_DNS);

        know_exchangers(b);
        peer_add_rule(b->peer[0], "EHLO", NULL, c->first, 0);
        if (c->second != NULL)
            peer_add_rule(b->peer[1], "EHLO", NULL, c->second, 0);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, decided);
        assert_int_equal(b->peer[1]->accepted, c->asked);
        assert_int_equal(fake_store_counts(b->db)->bounced, c->bounced);
        bench_free(b);
    }
}

static bool retried(struct bench *b)
{
    return fake_store_counts(b->db)->retried + fake_store_counts(b->db)->bounced > 0;
}

/* A handshake that fails once returns nobody: the exchanger that wants TLS had it of us nearly. */
static void test_smtp_end__what_fell_back_waits_for_tls(void **state)
{
    struct bench *b = bench_new(COMMON DELIVERY("") BY_DNS);
    (void)state;
    know_exchangers(b);
    peer_add_rule(b->peer[0], "EHLO", NULL, "250-peer\r\n250 STARTTLS", 0);
    peer_add_rule(b->peer[0], "MAIL", NULL, "530 5.7.0 Must issue a STARTTLS command first", 0);
    b->peer[0]->tls_broken = true;
    (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, retried);
    assert_int_equal(fake_store_counts(b->db)->bounced, 0);
    assert_int_equal(b->peer[0]->accepted, 2);
    assert_int_equal(b->peer[0]->rules[1].used, 1);
    bench_free(b);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_smtp_end__what_fell_back_waits_for_tls),
                     cmocka_unit_test(test_smtp_end__nobody_behind_this_server_is_asked),
                     cmocka_unit_test(test_smtp_end__tries_the_next_target),
                     cmocka_unit_test(test_smtp_end__waits_and_tries_again),
                     cmocka_unit_test(test_smtp_end__no_nonsense_loses_or_delivers_anything));
}
