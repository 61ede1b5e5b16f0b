/* tests/unit/queue/test_admin_job.c — a job as Redis shows it, decoded; what is damaged says so. */
#include "queue/admin_int.h"
#include "tests/unit/check.h"

#include <string.h>

#define BAND (UINT64_C(1) << 43)
#define ICE  (UINT64_C(1) << 44)

struct stored { /* what a store would hold */
    struct buf envelope, descriptor, job;
    struct admin_raw raw;
};

static void store(struct stored *s)
{
    struct recipient to = {.address = SPAN("b@a.example")};
    struct job job = {.domain = SPAN("a.example"), .rcpts = &to, .nrcpts = 1, .attempts = 2};
    struct envelope env = {.sender = SPAN("s@b.example"), .subject = SPAN("hello")};
    buf_init(&s->envelope, ENVELOPE_MAX);
    buf_init(&s->descriptor, 256);
    buf_init(&s->job, JOB_MAX);
    assert_int_equal(envelope_encode(&env, &s->envelope), ERR_OK);
    assert_int_equal(job_encode(&job, &s->job), ERR_OK);
    assert_int_equal(
        body_describe(&(struct body_desc){.size_bytes = 1234, .chunks = 1}, 1000, &s->descriptor), ERR_OK);
    s->raw = (struct admin_raw){.id = SPAN("01JD0M3V8ZQK4T2A"),
                                .index = 3,
                                .partition = 7,
                                .place = SPAN("q"),
                                .queue = SPAN("a.example!1a"),
                                .score = 5000,
                                .arrival_ms = 4000,
                                .now_ms = 6000,
                                .envelope = buf_span(&s->envelope),
                                .descriptor = buf_span(&s->descriptor),
                                .job = buf_span(&s->job)};
}

static void discard(struct stored *s)
{
    buf_done(&s->envelope);
    buf_done(&s->descriptor);
    buf_done(&s->job);
}

static void test_admin_job__reads_where_it_is_and_when_it_is_due(void **state)
{
    static const struct {
        const char *place;
        uint64_t score;
        enum admin_place where;
        ms_t due_ms;
        bool problem, frozen;
    } cases[] = {
        {"q", 5000, ADMIN_QUEUED, 5000, false, false},
        {"q", 5000 + BAND, ADMIN_QUEUED, 5000, true, false},
        {"q", 5000 + ICE, ADMIN_QUEUED, 5000, false, true},
        {"q", 5000 + ICE + BAND, ADMIN_QUEUED, 5000, true, true},
        {"c", 17 + ICE, ADMIN_IN_HAND, 0, false, false}, /* a token */
        {"sp", 1, ADMIN_STAGED, 0, false, false},
        {"bad", 5000, ADMIN_BADMAIL, 5000, false, false},
        {"qz", 5000, ADMIN_QUARANTINE, 5000, false, false},
    };
    struct stored s;
    (void)state;
    store(&s);
    CHECK_EACH (cases, c) {
        struct admin_job j;
        s.raw.place = span_cstr(c->place);
        s.raw.score = c->score;
        admin_job_read(&s.raw, &j);
        assert_int_equal(j.place, c->where);
        assert_int_equal(j.due_ms, c->due_ms);
        assert_int_equal(j.problem, c->problem);
        assert_int_equal(j.frozen, c->frozen);
        admin_job_done(&j);
    }
    discard(&s);
}

static void test_admin_job__the_queue_that_it_is_in_counts(void **state)
{
    struct stored s;
    struct admin_job j;
    (void)state;
    store(&s);
    admin_job_read(&s.raw, &j);
    check_span(j.job.domain, SPAN("a.example"));
    assert_int_equal(j.job.klass, 0x1a);
    assert_int_equal(j.index, 3);
    assert_int_equal(j.id.partition, 7);
    assert_int_equal(j.job.attempts, 2);
    assert_int_equal(j.body.size_bytes, 1234);
    check_span(j.env.sender, SPAN("s@b.example"));
    check_span(j.job.rcpts[0].address, SPAN("b@a.example"));
    check_span(j.reason, SPAN(""));
    admin_job_done(&j);
    discard(&s);
}

static void test_admin_job__a_job_to_be_returned_says_why(void **state)
{
    struct stored s;
    struct admin_job j;
    (void)state;
    store(&s);
    s.raw.flags = SPAN("bno longer wanted");
    admin_job_read(&s.raw, &j);
    assert_true(j.returning);
    check_span(j.reason, SPAN("no longer wanted"));
    admin_job_done(&j);
    discard(&s);
}

static void test_admin_job__what_is_damaged_is_empty_and_says_so(void **state)
{
    (void)state;
    for (int part = 0; part < 3; part++) {
        struct stored s;
        struct admin_job j;
        store(&s);
        struct span *const parts[] = {&s.raw.envelope, &s.raw.job, &s.raw.descriptor};
        *parts[part] = SPAN("\xff\xff\xff");
        admin_job_read(&s.raw, &j);
        static const char *const why[] = {"envelope", "job", "descriptor"};
        char text[256];
        (void)snprintf(text, sizeof text, SPAN_FMT, SPAN_ARG(j.reason));
        assert_non_null(strstr(text, why[part]));
        assert_non_null(strstr(text, "damaged"));
        assert_int_equal(j.job.nrcpts, part == 1 ? 0 : 1);
        check_span(j.job.domain, SPAN("a.example"));
        admin_job_done(&j);
        discard(&s);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_admin_job__reads_where_it_is_and_when_it_is_due),
                     cmocka_unit_test(test_admin_job__the_queue_that_it_is_in_counts),
                     cmocka_unit_test(test_admin_job__a_job_to_be_returned_says_why),
                     cmocka_unit_test(test_admin_job__what_is_damaged_is_empty_and_says_so));
}
