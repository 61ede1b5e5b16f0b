/* mirrors worker/settle.c. A case is one line of words, a letter a recipient:
 *
 *   outcomes   d delivered  D delivered, reports are the server's duty now  b bounced  r retry (own failure)
 *              l retry (link)  n next target, nobody left  p the same, permanent  c canceled here  . not
 * tried want       verb, event, delivered/bounced/deferred, reports (f failed, y delayed, s relayed, S
 * delivered) */
#include "tests/unit/check.h"

#include "worker/settle.h"

static ms_t glitch[] = {60000, 60000}, schedule[] = {600000};
static const struct conf_retry retry = {.glitch = {glitch, 2},
                                        .schedule = {schedule, 1},
                                        .expire_ms = UINT64_C(172800000),
                                        .delay_notice_ms = UINT64_C(43200000),
                                        .local_expire_ms = UINT64_C(172800000),
                                        .local_delay_notice_ms = UINT64_C(43200000),
                                        .problem_after = 2};
enum { NOW = 1000000000 };

struct fixture {
    struct claim claim;
    struct recipient rcpts[8];
    struct attempt attempt;
    struct settle_input in;
    struct rng rng;
};

static void begin(struct fixture *f, const char *sender, size_t nrcpts, ms_t age_ms)
{
    *f = (struct fixture){.claim.env.sender = span_cstr(sender)};
    f->claim.job = (struct job){.rcpts = f->rcpts, .nrcpts = nrcpts, .first_ms = NOW - age_ms, .attempts = 4};
    for (size_t i = 0; i < nrcpts; i++)
        f->rcpts[i].address = SPAN("a@x.example");
    f->in =
        (struct settle_input){.attempt = &f->attempt, .retry = &retry, .link_delay_ms = 5000, .now_ms = NOW};
    rng_seed(&f->rng, 1);
}

static void record(struct fixture *f, size_t i, char how)
{
    struct attempt_result r = {.step = STEP_END, .text = SPAN("x.1.1 text"), .remote = SPAN("mx.example")};

    switch (how) {
    case 'd':
    case 'D':
        r.verdict = (struct verdict){.action = VERDICT_DONE, .scope = VERDICT_MESSAGE, .status = "2.0.0"};
        r.code = 250;
        r.dsn_passed = how == 'D';
        break;
    case 'b':
        r.verdict = (struct verdict){.action = VERDICT_BOUNCE, .scope = VERDICT_RECIPIENT, .status = "5.1.1"};
        r.code = 550;
        break;
    case 'r':
        r.verdict =
            (struct verdict){.action = VERDICT_RETRY_LATER, .scope = VERDICT_RECIPIENT, .status = "4.2.1"};
        r.code = 450;
        break;
    case 'l':
        r.verdict = (struct verdict){.action = VERDICT_RETRY_LATER, .scope = VERDICT_LINK, .status = "4.4.2"};
        r.failure = FAILURE_LOST;
        break;
    case 'n':
    case 'p':
        r.verdict = (struct verdict){
            .action = VERDICT_NEXT_TARGET, .scope = VERDICT_LINK, .permanent = how == 'p', .status = "5.7.1"};
        r.code = 554;
        break;
    case 'c':
        r.verdict = (struct verdict){.action = VERDICT_RETRY_LATER, .scope = VERDICT_LINK, .status = "4.3.2"};
        r.failure = FAILURE_CANCELED;
        break;
    default:
        return;
    }
    attempt_record(&f->attempt, i, &r);
}

static const char *describe(const struct settlement *s, char *out, size_t size)
{
    static const char letters[] = {
        [DSN_FAILED] = 'f', [DSN_DELAYED] = 'y', [DSN_DELIVERED] = 'S', [DSN_RELAYED] = 's'};
    static const char *const verbs[] = {
        [FINISH_DONE] = "done", [FINISH_RETRY] = "retry", [FINISH_BADMAIL] = "badmail"};
    char reports[16] = "";

    if (s->untouched)
        return "untouched";
    for (size_t i = 0; i < s->ndsn && i < sizeof reports - 1; i++)
        reports[i] = letters[s->dsn[i].action];
    (void)snprintf(out, size, "%s %s %u/%u/%u %s", verbs[s->verb], s->event, (unsigned)s->delivered,
                   (unsigned)s->bounced, (unsigned)s->deferred, reports);
    return out;
}

static void test_settle__decides_for_the_job(void **state)
{
    enum { HOUR = 3600000 };
    /* clang-format off */
    static const struct {
        const char *sender, *outcomes;
        unsigned age_hours;
        uint8_t notify;
        const char *want;
    } cases[] = {
        {"s@y", "d",    0,  0,              "done delivered 1/0/0 "},
        {"s@y", "dd",   0,  NOTIFY_SUCCESS, "done delivered 2/0/0 ss"},
        {"s@y", "D",    0,  NOTIFY_SUCCESS, "done delivered 1/0/0 "},
        {"s@y", "b",    0,  0,              "done bounced 0/1/0 f"},
        {"s@y", "b",    0,  NOTIFY_NEVER,   "done bounced 0/1/0 "},
        {"s@y", "b",    0,  NOTIFY_SUCCESS, "done bounced 0/1/0 "},
        {"s@y", "db",   0,  0,              "done bounced 1/1/0 f"},
        {"s@y", "dbr",  0,  0,              "retry deferred 1/1/1 f"},
        {"s@y", "r",    0,  0,              "retry deferred 0/0/1 "},
        {"s@y", "r",    13, 0,              "retry deferred 0/0/1 y"},
        {"s@y", "r",    13, NOTIFY_FAILURE, "retry deferred 0/0/1 "},
        {"s@y", "r",    13, NOTIFY_DELAY,   "retry deferred 0/0/1 y"},
        {"s@y", "rd",   49, 0,              "done bounced 1/1/0 f"},
        {"s@y", "l",    49, 0,              "done bounced 0/1/0 f"},
        {"s@y", "n",    0,  0,              "retry deferred 0/0/1 "},
        {"s@y", "p",    0,  0,              "done bounced 0/1/0 f"},
        {"s@y", ".",    0,  0,              "untouched"},
        {"s@y", "c",    0,  0,              "untouched"},
        {"s@y", "cc",   13, 0,              "retry deferred 0/0/2 yy"},
        {"s@y", ".",    49, 0,              "done bounced 0/1/0 f"},
        {"s@y", "dc",   0,  0,              "retry deferred 1/0/1 "},
        {"",    "d",    0,  NOTIFY_SUCCESS, "done delivered 1/0/0 "},
        {"",    "b",    0,  0,              "badmail badmail 0/1/0 "},
        {"",    "db",   0,  0,              "badmail badmail 1/1/0 "},
        {"",    "br",   0,  0,              "retry deferred 0/1/1 "},
        {"",    "r",    13, 0,              "retry deferred 0/0/1 "},
        {"",    "r",    49, 0,              "badmail badmail 0/1/0 "},
    };
    /* clang-format on */
    (void)state;
    CHECK_EACH (cases, c) {
        struct fixture f;
        struct settlement s;
        char text[128];

        begin(&f, c->sender, strlen(c->outcomes), (ms_t)c->age_hours * HOUR);
        for (size_t i = 0; i < f.claim.job.nrcpts; i++)
            f.rcpts[i].notify = c->notify;
        assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
        for (size_t i = 0; i < f.claim.job.nrcpts; i++)
            record(&f, i, c->outcomes[i]);
        attempt_exhausted(&f.attempt);
        assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
        check_span(span_cstr(describe(&s, text, sizeof text)), span_cstr(c->want));
        settlement_done(&s);
        attempt_done(&f.attempt);
    }
}

static void test_settle__keeps_who_waits_and_says_why(void **state)
{
    struct fixture f;
    struct settlement s;
    (void)state;
    begin(&f, "s@y", 3, 0);
    f.rcpts[1].address = SPAN("slow@x.example");
    f.rcpts[2].orcpt = SPAN("rfc822;old@y.example");
    f.rcpts[2].notify = NOTIFY_FAILURE;
    assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
    record(&f, 0, 'd');
    record(&f, 1, 'r');
    record(&f, 2, 'b');
    assert_int_equal(f.attempt.nopen, 0);
    assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
    assert_int_equal(s.job.nrcpts, 1);
    check_span(s.job.rcpts[0].address, SPAN("slow@x.example"));
    check_span(s.job.rcpts[0].reply, SPAN("450 x.1.1 text"));
    assert_int_equal(s.job.rcpts[0].code, 450);
    check_span(s.job.last_error, SPAN("450 x.1.1 text"));
    assert_int_equal(s.job.attempts, 5);
    assert_int_equal(s.job.failures, 1);
    assert_int_equal(s.delay_ms, 60000);
    assert_int_equal(s.job.next_ms, NOW + 60000);
    check_span(s.dsn[0].diagnostic, SPAN("550 x.1.1 text"));
    check_span(s.dsn[0].remote, SPAN("mx.example"));
    check_span(s.dsn[0].orcpt, SPAN("rfc822;old@y.example"));
    assert_int_equal(s.dsn[0].notify, NOTIFY_FAILURE);
    assert_int_equal(s.dsn[0].last_attempt_ms, NOW);
    check_span(s.dsn[0].status, SPAN("5.1.1"));
    settlement_done(&s);
    attempt_done(&f.attempt);
}

/* One target that may recover keeps the message waiting, in whatever order they were asked; an answer about
 * the recipient is final. */
static void test_settle__weighs_one_target_against_another(void **state)
{
    static const struct {
        const char *said, *want;
    } cases[] = {
        {"np", "retry deferred 0/0/1 "}, {"pn", "retry deferred 0/0/1 "},   {"pp", "done bounced 0/1/0 f"},
        {"nd", "done delivered 1/0/0 "}, {"pd", "done delivered 1/0/0 "},   {"nb", "done bounced 0/1/0 f"},
        {"pr", "retry deferred 0/0/1 "}, {"ppnp", "retry deferred 0/0/1 "}, {"db", "done delivered 1/0/0 "},
        {"rb", "retry deferred 0/0/1 "}, {"bd", "done bounced 0/1/0 f"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct fixture f;
        struct settlement s;
        char text[128];

        begin(&f, "s@y", 1, 0);
        assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
        for (const char *how = c->said; *how != '\0'; how++)
            record(&f, 0, *how);
        attempt_exhausted(&f.attempt);
        assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
        check_span(span_cstr(describe(&s, text, sizeof text)), span_cstr(c->want));
        settlement_done(&s);
        attempt_done(&f.attempt);
    }
}

/* While targets are left that nobody asked, those that were asked return nobody: the worker is being stopped,
 * or the search took too long. */
static void test_settle__a_stopped_attempt_returns_nobody_for_its_targets(void **state)
{
    static const struct {
        const char *said, *want;
    } cases[] = {
        {"p", "retry deferred 0/0/1 "}, {"pp", "retry deferred 0/0/1 "}, {"n", "retry deferred 0/0/1 "},
        {"pb", "done bounced 0/1/0 f"}, {"pd", "done delivered 1/0/0 "}, {".", "untouched"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct fixture f;
        struct settlement s;
        char text[128];

        begin(&f, "s@y", 1, 0);
        assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
        for (const char *how = c->said; *how != '\0'; how++)
            record(&f, 0, *how);
        attempt_stopped(&f.attempt);
        assert_int_equal(f.attempt.nopen, 0);
        assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
        check_span(span_cstr(describe(&s, text, sizeof text)), span_cstr(c->want));
        settlement_done(&s);
        attempt_done(&f.attempt);
    }
}

static void test_settle__a_failing_link_is_no_fault_of_the_message(void **state)
{
    struct fixture f;
    struct settlement s;
    (void)state;
    begin(&f, "s@y", 1, 0);
    assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
    record(&f, 0, 'l');
    assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
    assert_int_equal(s.job.failures, 0);
    assert_int_equal(s.delay_ms, 5000);
    settlement_done(&s);
    attempt_done(&f.attempt);
}

/* S4: who was returned from a message with a null sender is not tried again, and is in the badmail. */
static void test_settle__carries_the_returned_of_a_null_sender(void **state)
{
    struct fixture f;
    struct settlement s;
    (void)state;
    begin(&f, "", 2, 0);
    f.rcpts[0].code = 550;
    f.rcpts[0].reply = SPAN("550 never");
    assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
    assert_int_equal(f.attempt.nopen, 1);
    assert_false(f.attempt.outcomes[0].open);
    record(&f, 1, 'd');
    assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
    assert_int_equal(s.verb, FINISH_BADMAIL);
    assert_int_equal(s.bounced, 0); /* counted then */
    assert_int_equal(s.job.nrcpts, 1);
    check_span(s.job.rcpts[0].reply, SPAN("550 never"));
    check_span(s.reason, SPAN("550 never"));
    settlement_done(&s);
    attempt_done(&f.attempt);
    f.rcpts[1].code = 550; /* put back by an operator: all are tried */
    assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
    assert_int_equal(f.attempt.nopen, 2);
    attempt_done(&f.attempt);
}

/* S4: a 5xx that did not return the recipient is no such mark: the next attempt tries him. */
static void test_settle__a_5xx_of_who_waits_returns_nobody(void **state)
{
    struct fixture f;
    struct settlement s;
    struct claim next;
    (void)state;
    begin(&f, "", 2, 0);
    assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
    record(&f, 0, 'b');
    record(&f, 1, 'n');
    attempt_exhausted(&f.attempt);
    assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
    assert_int_equal(s.verb, FINISH_RETRY);
    assert_int_equal(s.job.nrcpts, 2);
    assert_int_equal(s.job.rcpts[0].code, 550);
    assert_int_equal(s.job.rcpts[1].code, 0);
    check_span(s.job.rcpts[1].reply, SPAN("554 x.1.1 text"));
    attempt_done(&f.attempt);
    next = (struct claim){.job = s.job};
    assert_int_equal(attempt_init(&f.attempt, &next), ERR_OK);
    assert_false(f.attempt.outcomes[0].open);
    assert_true(f.attempt.outcomes[1].open);
    attempt_done(&f.attempt);
    settlement_done(&s);
}

/* S4: who is returned without an answer of a server is marked all the same. */
static void test_settle__marks_who_is_returned_without_a_code(void **state)
{
    struct attempt_result r = {
        .verdict = {.action = VERDICT_BOUNCE, .scope = VERDICT_RECIPIENT, .status = "5.1.3"},
        .failure = FAILURE_BAD_ADDRESS};
    struct fixture f;
    struct settlement s;
    struct claim next;
    (void)state;
    begin(&f, "", 2, 0);
    assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
    attempt_record(&f.attempt, 0, &r);
    record(&f, 1, 'r');
    assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
    assert_int_equal(s.verb, FINISH_RETRY);
    attempt_done(&f.attempt);
    next = (struct claim){.job = s.job};
    assert_int_equal(attempt_init(&f.attempt, &next), ERR_OK);
    assert_false(f.attempt.outcomes[0].open);
    assert_true(f.attempt.outcomes[1].open);
    attempt_done(&f.attempt);
    settlement_done(&s);
}

/* Once for a job, whatever happens afterwards; a notice that could not be made is no notice. */
static void test_settle__remembers_that_a_delay_was_told(void **state)
{
    struct fixture f;
    struct settlement s;
    (void)state;
    for (unsigned noticed = 0; noticed < 2; noticed++) {
        begin(&f, "s@y", 1, UINT64_C(13) * 3600000);
        f.claim.job.delay_noticed = noticed != 0;
        assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
        record(&f, 0, 'r');
        assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
        assert_int_equal(s.ndsn, noticed != 0 ? 0 : 1);
        if (s.ndsn > 0)
            assert_int_equal(s.dsn[0].will_retry_until_ms, f.claim.job.first_ms + retry.expire_ms);
        assert_true(s.job.delay_noticed);
        settle_without_report(&f.in, &s, 0);
        assert_int_equal(s.job.delay_noticed, noticed != 0);
        settlement_done(&s);
        attempt_done(&f.attempt);
    }
}

static void test_settle__without_its_report_nobody_is_forgotten(void **state)
{
    struct fixture f;
    struct settlement s;
    (void)state;
    begin(&f, "s@y", 3, 0);
    assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
    record(&f, 0, 'd');
    record(&f, 1, 'b');
    record(&f, 2, 'b');
    assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
    assert_int_equal(s.verb, FINISH_DONE);
    settle_without_report(&f.in, &s, 70000);
    assert_int_equal(s.verb, FINISH_RETRY);
    assert_int_equal(s.job.nrcpts, 2);
    assert_int_equal(s.delivered, 1);
    assert_int_equal(s.bounced, 0);
    assert_int_equal(s.delay_ms, 70000);
    assert_int_equal(s.ndsn, 0);
    settlement_done(&s);
    attempt_done(&f.attempt);
}

/* What is recorded when the report is lost stands beside what is recorded with it. */
static void test_settle__apart_changes_nothing(void **state)
{
    static const struct {
        const char *outcomes, *want, *apart;
        size_t left;
    } cases[] = {
        {"db", "done bounced 1/1/0 sf", "retry deferred 1/0/0 ", 2},
        {"dbr", "retry deferred 1/1/1 sf", "retry deferred 1/0/1 ", 3},
        {"dd", "done delivered 2/0/0 ss", "retry deferred 2/0/0 ", 2},
        {"Dd", "done delivered 2/0/0 s", "retry deferred 2/0/0 ", 1},
        {"DD", "done delivered 2/0/0 ", "done delivered 2/0/0 ", 0},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct fixture f;
        struct settlement s, apart;
        char text[128];

        begin(&f, "s@y", strlen(c->outcomes), 0);
        assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
        for (size_t i = 0; i < f.claim.job.nrcpts; i++) {
            f.rcpts[i].notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
            record(&f, i, c->outcomes[i]);
        }
        assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
        size_t left = s.job.nrcpts;
        assert_int_equal(settle_apart(&f.in, &s, 70000, &apart), ERR_OK);
        check_span(span_cstr(describe(&apart, text, sizeof text)), span_cstr(c->apart));
        assert_int_equal(apart.job.nrcpts, c->left);
        settlement_done(&apart);
        check_span(span_cstr(describe(&s, text, sizeof text)), span_cstr(c->want));
        assert_int_equal(s.job.nrcpts, left);
        settlement_done(&s);
        attempt_done(&f.attempt);
    }
}

/* S6: it is told with the next attempt, in which nobody who has the message gets it; for so long as messages
 * are kept. */
static void test_settle__tells_the_news_of_a_lost_report_again(void **state)
{
    enum { HOUR = 3600000 };
    static const struct {
        const char *outcomes;
        uint8_t notify;
        unsigned age_hours;
        size_t kept;
        const char *next, *want; /* what follows for those that wait, and what becomes of the job then */
    } cases[] = {
        {"d", NOTIFY_SUCCESS, 0, 1, "", "done reported 0/0/0 s"},
        {"dd", NOTIFY_SUCCESS | NOTIFY_FAILURE, 0, 2, "", "done reported 0/0/0 ss"},
        {"db", NOTIFY_SUCCESS | NOTIFY_FAILURE, 0, 2, "b", "done bounced 0/1/0 fs"},
        {"db", NOTIFY_SUCCESS | NOTIFY_FAILURE, 0, 2, "d", "done delivered 1/0/0 ss"},
        {"db", NOTIFY_SUCCESS | NOTIFY_FAILURE, 0, 2, "r", "retry deferred 0/0/1 s"},
        {"db", NOTIFY_SUCCESS | NOTIFY_FAILURE, 0, 2, ".", "retry deferred 0/0/1 s"},
        {"db", NOTIFY_FAILURE, 0, 1, "b", "done bounced 0/1/0 f"},
        {"d", NOTIFY_SUCCESS, 49, 0, NULL, NULL}, /* too old */
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct fixture f;
        struct settlement s, told;
        struct claim next;
        char text[128];

        begin(&f, "s@y", strlen(c->outcomes), (ms_t)c->age_hours * HOUR);
        assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
        for (size_t i = 0; i < f.claim.job.nrcpts; i++) {
            f.rcpts[i].notify = c->notify;
            record(&f, i, c->outcomes[i]);
        }
        assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
        settle_without_report(&f.in, &s, 70000);
        assert_int_equal(s.job.nrcpts, c->kept);
        assert_int_equal(s.verb, c->kept > 0 ? FINISH_RETRY : FINISH_DONE);
        attempt_done(&f.attempt);
        next = (struct claim){.env = f.claim.env, .job = s.job};
        if (c->next != NULL) {
            assert_int_equal(attempt_init(&f.attempt, &next), ERR_OK);
            assert_int_equal(f.attempt.nopen, strlen(c->next));
            for (size_t i = 0; i < strlen(c->next); i++)
                record(&f, i, c->next[i]); /* those that wait come first */
            attempt_exhausted(&f.attempt);
            assert_int_equal(settle(&f.in, &f.rng, &told), ERR_OK);
            check_span(span_cstr(describe(&told, text, sizeof text)), span_cstr(c->want));
            settlement_done(&told);
            attempt_done(&f.attempt);
        }
        settlement_done(&s);
    }
}

static void test_settle__what_cannot_be_reported_is_badmail_in_the_end(void **state)
{
    static const struct {
        const char *outcomes, *want;
        size_t left;
    } cases[] = {
        {"db", "badmail badmail 1/1/0 ", 1},
        {"dbr", "retry deferred 1/0/1 ", 2}, /* first everybody has his fate */
        {"dr", "retry deferred 1/0/1 ", 1},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct fixture f;
        struct settlement s;
        char text[128];

        begin(&f, "s", strlen(c->outcomes), UINT64_C(13) * 3600000);
        assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
        for (size_t i = 0; i < f.claim.job.nrcpts; i++)
            record(&f, i, c->outcomes[i]);
        assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
        settle_unreportable(&f.in, &s);
        check_span(span_cstr(describe(&s, text, sizeof text)), span_cstr(c->want));
        assert_int_equal(s.job.nrcpts, c->left);
        settlement_done(&s);
        attempt_done(&f.attempt);
    }
}

/* Who was refused in the attempt that found the body missing cannot be reported: he stays with the others. */
static void test_settle__of_a_damaged_message_all_undelivered_are_badmail(void **state)
{
    static const struct {
        const char *sender, *outcomes, *want;
        size_t left;
    } cases[] = {
        {"s@y", "dbr", "badmail badmail 1/1/1 ", 2}, {"s@y", "rr", "badmail badmail 0/0/2 ", 2},
        {"s@y", "b", "badmail badmail 0/1/0 ", 1},   {"", "dbr", "badmail badmail 1/1/1 ", 2},
        {"s@y", "dd", "done delivered 2/0/0 ", 0}, /* nobody needs it any more */
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct fixture f;
        struct settlement s;
        char text[128];

        begin(&f, c->sender, strlen(c->outcomes), 0);
        assert_int_equal(attempt_init(&f.attempt, &f.claim), ERR_OK);
        for (size_t i = 0; i < f.claim.job.nrcpts; i++)
            record(&f, i, c->outcomes[i]);
        assert_int_equal(settle(&f.in, &f.rng, &s), ERR_OK);
        settle_damaged(&f.in, &s);
        check_span(span_cstr(describe(&s, text, sizeof text)), span_cstr(c->want));
        assert_int_equal(s.job.nrcpts, c->left);
        settlement_done(&s);
        attempt_done(&f.attempt);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_settle__decides_for_the_job),
                     cmocka_unit_test(test_settle__keeps_who_waits_and_says_why),
                     cmocka_unit_test(test_settle__weighs_one_target_against_another),
                     cmocka_unit_test(test_settle__a_stopped_attempt_returns_nobody_for_its_targets),
                     cmocka_unit_test(test_settle__a_failing_link_is_no_fault_of_the_message),
                     cmocka_unit_test(test_settle__carries_the_returned_of_a_null_sender),
                     cmocka_unit_test(test_settle__a_5xx_of_who_waits_returns_nobody),
                     cmocka_unit_test(test_settle__marks_who_is_returned_without_a_code),
                     cmocka_unit_test(test_settle__remembers_that_a_delay_was_told),
                     cmocka_unit_test(test_settle__without_its_report_nobody_is_forgotten),
                     cmocka_unit_test(test_settle__apart_changes_nothing),
                     cmocka_unit_test(test_settle__tells_the_news_of_a_lost_report_again),
                     cmocka_unit_test(test_settle__what_cannot_be_reported_is_badmail_in_the_end),
                     cmocka_unit_test(test_settle__of_a_damaged_message_all_undelivered_are_badmail));
}
