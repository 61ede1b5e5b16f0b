#include "common/rng.h"
#include "queue/envelope.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static const struct envelope full = {
    .sender = SPAN_INIT("jos\xc3\xa9@example.org"),
    .arrival_ms = 1795476587123,
    .body = BODY_BINARYMIME,
    .ret = DSN_RET_HDRS,
    .priority = PRIORITY_HIGH,
    .smtputf8 = true,
    .system = true,
    .envid = SPAN_INIT("QQ314159"),
    .client = SPAN_INIT("2001:db8::1"),
    .helo = SPAN_INIT("client.example.org"),
    .auth = SPAN_INIT("jose"),
    .virtual_server = SPAN_INIT("default"),
    .header_from = SPAN_INIT("Jos\xc3\xa9 <jose@example.org>"),
    .subject = SPAN_INIT("a subject\r\nwith a line break"),
    .message_id = SPAN_INIT("<1@example.org>"),
    .hops = 3,
    .visited = SPAN_INIT("hq:17,branch:18"),
};

static void check_envelope(const struct envelope *got, const struct envelope *want)
{
    check_span(got->sender, want->sender);
    assert_int_equal(got->arrival_ms, want->arrival_ms);
    assert_int_equal(got->body, want->body);
    assert_int_equal(got->ret, want->ret);
    assert_int_equal(got->priority, want->priority);
    assert_int_equal(got->smtputf8, want->smtputf8);
    assert_int_equal(got->system, want->system);
    check_span(got->envid, want->envid);
    check_span(got->client, want->client);
    check_span(got->helo, want->helo);
    check_span(got->auth, want->auth);
    check_span(got->virtual_server, want->virtual_server);
    check_span(got->header_from, want->header_from);
    check_span(got->subject, want->subject);
    check_span(got->message_id, want->message_id);
    assert_int_equal(got->hops, want->hops);
    check_span(got->visited, want->visited);
    check_span(got->unknown, want->unknown);
}

static void envelope_round_trips(void **state)
{
    (void)state;
    static const struct envelope empty = {0};
    const struct envelope *cases[] = {&full, &empty};
    CHECK_EACH (cases, c) {
        struct buf b;
        buf_init(&b, ENVELOPE_MAX);
        assert_int_equal(envelope_encode(*c, &b), ERR_OK);
        struct envelope back;
        assert_int_equal(envelope_decode(buf_span(&b), &back), ERR_OK);
        check_envelope(&back, *c);
        buf_done(&b);
    }
}

static void null_sender_costs_one_byte(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, ENVELOPE_MAX);
    assert_int_equal(envelope_encode(&(struct envelope){0}, &b), ERR_OK);
    check_span(buf_span(&b), SPAN("\x01"));
    buf_done(&b);
}

static void newer_fields_survive_an_older_program(void **state)
{
    (void)state;
    /* version, sender "a", then types 40 and 300 that this program does not know */
    struct span newer = SPAN("\x01\x01\x01"
                             "a\x28\x03xyz\xac\x02\x01q");
    struct envelope env;
    assert_int_equal(envelope_decode(newer, &env), ERR_OK);
    check_span(env.sender, SPAN("a"));
    check_span(env.unknown, SPAN("\x28\x03xyz\xac\x02\x01q"));
    struct buf b;
    buf_init(&b, ENVELOPE_MAX);
    assert_int_equal(envelope_encode(&env, &b), ERR_OK);
    check_span(buf_span(&b), newer);
    buf_done(&b);
}

static void corrupt_envelopes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct span bytes;
    } cases[] = {
        {"empty", SPAN_INIT("")},
        {"unknown version", SPAN_INIT("\x02")},
        {"type without length", SPAN_INIT("\x01\x01")},
        {"value cut short", SPAN_INIT("\x01\x01\x05"
                                      "abc")},
        {"type 0", SPAN_INIT("\x01\x00\x00")},
        {"types out of order", SPAN_INIT("\x01\x08\x01"
                                         "a\x01\x01"
                                         "b")},
        {"type twice", SPAN_INIT("\x01\x01\x01"
                                 "a\x01\x01"
                                 "b")},
        {"control byte in sender", SPAN_INIT("\x01\x01\x03"
                                             "a\rb")},
        {"NUL in sender", SPAN_INIT("\x01\x01\x03"
                                    "a\0b")},
        {"DEL in sender", SPAN_INIT("\x01\x01\x03"
                                    "a\x7f"
                                    "b")},
        {"LF outside of a list", SPAN_INIT("\x01\x08\x03"
                                           "a\nb")},
        {"number of no bytes", SPAN_INIT("\x01\x02\x00")},
        {"number of eleven bytes", SPAN_INIT("\x01\x02\x0b\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")},
        {"number shorter than its length", SPAN_INIT("\x01\x02\x02\x01\x01")},
        {"number not in the shortest form", SPAN_INIT("\x01\x02\x02\x81\x00")},
        {"body kind 3", SPAN_INIT("\x01\x03\x01\x03")},
        {"priority 9", SPAN_INIT("\x01\x05\x01\x09")},
        {"flag 2", SPAN_INIT("\x01\x06\x01\x02")},
        {"huge length", SPAN_INIT("\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
        {"unknown types out of order", SPAN_INIT("\x01\x29\x00\x28\x00")},
        {"unknown type cut short", SPAN_INIT("\x01\x29\x04"
                                             "abc")},
        {"known after unknown", SPAN_INIT("\x01\x29\x00\x01\x01"
                                          "a")},
    };
    CHECK_EACH (cases, c) {
        struct envelope env = {.hops = 77};
        char *copy = malloc(c->bytes.len + 1); /* so that the sanitizer sees a read past the end */
        assert_non_null(copy);
        memcpy(copy, c->bytes.ptr, c->bytes.len);
        if (envelope_decode(span_of(copy, c->bytes.len), &env) != ERR_PARSE)
            fail_msg("accepted: %s", c->what);
        assert_int_equal(env.hops, 77);
        free(copy);
    }
}

static void limits_hold(void **state)
{
    (void)state;
    static char big[ENVELOPE_MAX + 1];
    memset(big, 'a', sizeof(big));
    struct envelope env;
    assert_int_equal(envelope_decode(span_of(big, sizeof(big)), &env), ERR_TOOBIG);

    struct buf b;
    buf_init(&b, ENVELOPE_MAX);
    struct envelope too_long = {.sender = {big, ADDRESS_MAX + 1}};
    assert_int_equal(envelope_encode(&too_long, &b), ERR_TOOBIG);
    assert_int_equal(b.len, 0);
    struct envelope control = {.sender = SPAN_INIT("a\r\nRCPT TO:<b>")};
    assert_int_equal(envelope_encode(&control, &b), ERR_PARSE);
    struct envelope text = {.subject = {big, 5000}};
    assert_int_equal(envelope_encode(&text, &b), ERR_OK);
    assert_int_equal(envelope_decode(buf_span(&b), &env), ERR_OK);
    assert_int_equal(env.subject.len, SUMMARY_TEXT_MAX);
    buf_clear(&b); /* somebody else's: a sender of 513 bytes */
    assert_int_equal(buf_add(&b, SPAN("\x01\x01\x81\x04")), ERR_OK);
    assert_int_equal(buf_add(&b, span_of(big, ADDRESS_MAX + 1)), ERR_OK);
    assert_int_equal(envelope_decode(buf_span(&b), &env), ERR_TOOBIG);
    buf_done(&b);

    buf_init(&b, 10);
    assert_int_equal(buf_add(&b, SPAN("keep")), ERR_OK);
    assert_int_equal(envelope_encode(&full, &b), ERR_TOOBIG);
    check_span(buf_span(&b), SPAN("keep"));
    buf_done(&b);
}

static struct job sample_job(struct recipient *rcpts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rcpts[i] = (struct recipient){
            .address = SPAN("user@example.net"),
            .orcpt = SPAN("rfc822;user@example.net"),
            .notify = NOTIFY_FAILURE | NOTIFY_DELAY,
            .code = 451,
            .reply = SPAN("4.3.0 try later"),
        };
    return (struct job){
        .domain = SPAN("example.net"),
        .klass = 3,
        .attempts = 7,
        .failures = 2,
        .first_ms = 1000,
        .next_ms = 2000,
        .expire_ms = UINT64_MAX,
        .delay_noticed = true,
        .last_error = SPAN("451 4.3.0 try later"),
        .rcpts = rcpts,
        .nrcpts = n,
    };
}

static void job_round_trips(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, JOB_RCPTS_MAX};
    CHECK_EACH (counts, n) {
        struct recipient rcpts[JOB_RCPTS_MAX];
        struct job job = sample_job(rcpts, *n), back;
        struct buf b;
        buf_init(&b, JOB_MAX);
        assert_int_equal(job_encode(&job, &b), ERR_OK);
        assert_int_equal(job_decode(buf_span(&b), &back), ERR_OK);
        check_span(back.domain, job.domain);
        assert_int_equal(back.klass, 3);
        assert_int_equal(back.attempts, 7);
        assert_int_equal(back.failures, 2);
        assert_int_equal(back.first_ms, 1000);
        assert_int_equal(back.next_ms, 2000);
        assert_true(back.expire_ms == UINT64_MAX);
        assert_true(back.delay_noticed);
        check_span(back.last_error, job.last_error);
        assert_int_equal(back.nrcpts, *n);
        for (size_t i = 0; i < *n; i++) {
            check_span(back.rcpts[i].address, rcpts[i].address);
            check_span(back.rcpts[i].orcpt, rcpts[i].orcpt);
            check_span(back.rcpts[i].reply, rcpts[i].reply);
            assert_int_equal(back.rcpts[i].notify, rcpts[i].notify);
            assert_int_equal(back.rcpts[i].code, 451);
        }
        job_done(&back);
        job_done(&back);
        buf_done(&b);
    }
}

static void a_job_goes_by_the_clock_of_its_commit(void **state)
{
    static const struct {
        ms_t first_ms, next_ms, expire_ms, committed_ms, next, expire;
    } cases[] = {
        {1000, 1500, 5000, 9000, 9500, 13000},
        {9000, 9500, 13000, 9000, 9500, 13000},   /* a second time */
        {90000, 90500, 95000, 9000, 9500, 14000}, /* the writer was ahead */
        {1000, 0, 0, 9000, 0, 0},                 /* not set */
        {0, 0, 5000, 9000, 0, 14000},
        {5000, 100, 100, 9000, 9000, 9000}, /* nonsense */
        {1000, 1000, UINT64_MAX, 9000, 9000, UINT64_MAX},
        {1000, 1500, 5000, 0, 1500, 5000}, /* unknown when */
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct job job = {.first_ms = c->first_ms, .next_ms = c->next_ms, .expire_ms = c->expire_ms};
        job_committed_at(&job, c->committed_ms);
        assert_int_equal(job.first_ms, c->committed_ms == 0 ? c->first_ms : c->committed_ms);
        assert_true(job.next_ms == c->next);
        assert_true(job.expire_ms == c->expire);
    }
}

static void largest_job_fits(void **state)
{
    (void)state;
    static char big[2000];
    memset(big, 'a', sizeof(big));
    struct recipient rcpts[JOB_RCPTS_MAX + 1];
    struct job job = sample_job(rcpts, JOB_RCPTS_MAX);
    for (size_t i = 0; i < JOB_RCPTS_MAX; i++) {
        rcpts[i].address = span_of(big, ADDRESS_MAX);
        rcpts[i].orcpt = span_of(big, 500); /* RFC 3461 4.2 */
        rcpts[i].reply = span_of(big, sizeof(big));
    }
    struct buf b;
    buf_init(&b, JOB_MAX);
    assert_int_equal(job_encode(&job, &b), ERR_OK);
    buf_done(&b);
    job.nrcpts = JOB_RCPTS_MAX + 1;
    assert_int_equal(job_encode(&job, &b), ERR_TOOBIG);
}

static void corrupt_jobs_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct span bytes;
        enum err want;
    } cases[] = {
        {"empty", SPAN_INIT(""), ERR_PARSE},
        {"version", SPAN_INIT("\x00\x00"), ERR_PARSE},
        {"no count", SPAN_INIT("\x01"), ERR_PARSE},
        {"101 recipients", SPAN_INIT("\x01\x65"), ERR_TOOBIG},
        {"2^63 recipients", SPAN_INIT("\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), ERR_TOOBIG},
        {"fewer recipients than counted",
         SPAN_INIT("\x01\x02\x03\x01\x01"
                   "a"),
         ERR_PARSE},
        {"recipient longer than the rest",
         SPAN_INIT("\x01\x01\x7f\x01\x01"
                   "a"),
         ERR_PARSE},
        {"TLV reads past its recipient",
         SPAN_INIT("\x01\x01\x03\x01\x04"
                   "abcd"),
         ERR_PARSE},
        {"CR LF in an address",
         SPAN_INIT("\x01\x01\x06\x01\x04"
                   "a\r\nb"),
         ERR_PARSE},
        {"notify 16", SPAN_INIT("\x01\x01\x03\x03\x01\x10"), ERR_PARSE},
        {"code 1000", SPAN_INIT("\x01\x01\x04\x04\x02\xe8\x07"), ERR_PARSE},
        {"class above 32 bits", SPAN_INIT("\x01\x00\x02\x05\x80\x80\x80\x80\x10"), ERR_PARSE},
    };
    CHECK_EACH (cases, c) {
        struct job job = {.klass = 5};
        char *copy = malloc(c->bytes.len + 1);
        assert_non_null(copy);
        memcpy(copy, c->bytes.ptr, c->bytes.len);
        if (job_decode(span_of(copy, c->bytes.len), &job) != c->want)
            fail_msg("case: %s", c->what);
        assert_int_equal(job.klass, 5);
        free(copy);
    }
}

/* Every prefix and every flipped bit of a good encoding gives an answer, not a crash. */
static void damage_is_survived(void **state)
{
    (void)state;
    struct recipient rcpts[3];
    struct job job = sample_job(rcpts, 3), back;
    struct buf b;
    buf_init(&b, JOB_MAX);
    assert_int_equal(job_encode(&job, &b), ERR_OK);
    for (size_t n = 0; n < b.len; n++) {
        char *copy = malloc(n + 1);
        assert_non_null(copy);
        memcpy(copy, b.ptr, n);
        if (job_decode(span_of(copy, n), &back) == ERR_OK)
            job_done(&back);
        free(copy);
    }
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        b.ptr[bit / 8] = (char)(b.ptr[bit / 8] ^ 1 << bit % 8);
        if (job_decode(buf_span(&b), &back) == ERR_OK)
            job_done(&back);
        b.ptr[bit / 8] = (char)(b.ptr[bit / 8] ^ 1 << bit % 8);
    }
    buf_done(&b);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(envelope_round_trips), cmocka_unit_test(null_sender_costs_one_byte),
                     cmocka_unit_test(newer_fields_survive_an_older_program),
                     cmocka_unit_test(corrupt_envelopes_are_refused), cmocka_unit_test(limits_hold),
                     cmocka_unit_test(job_round_trips),
                     cmocka_unit_test(a_job_goes_by_the_clock_of_its_commit),
                     cmocka_unit_test(largest_job_fits), cmocka_unit_test(corrupt_jobs_are_refused),
                     cmocka_unit_test(damage_is_survived));
}
