#include "tests/conformance/steps.h"

#include <stdlib.h>
#include <string.h>

/* --- Tests --------------------------------------------------------------------------------------- */

static void a_message_goes_through(void **state)
{
    struct world *w = *state;
    struct answer expired;
    answer_init(&expired);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("Subject: x\r\n\r\nbody\r\n"));
    struct claim *c = claim_one(w, 1, id.partition, "example.net");
    assert_string_equal(c->id.id, id.id);
    assert_int_equal(c->id.partition, id.partition);
    assert_int_equal(c->index, 1);
    assert_false(c->bounce);
    assert_int_equal(c->interrupted, 0);
    check_span(c->env.sender, SPAN("sender@example.org"));
    check_span(c->env.client, SPAN("192.0.2.1"));
    check_span(c->job.domain, SPAN("example.net"));
    assert_int_equal(c->job.expire_ms - c->job.first_ms, 99999);
    assert_int_equal(c->job.nrcpts, 1);
    check_span(c->job.rcpts[0].address, SPAN("user@example.net"));
    assert_true(c->now_ms > 0);
    check_body(w, 1, c, SPAN("Subject: x\r\n\r\nbody\r\n"));
    assert_int_equal(total_depth(w), 0);
    assert_int_equal(finish_done(w, 1, c), ERR_OK);
    struct answer a;
    assert_int_equal(claim(w, 1, id.partition, "example.net", 10, &a), 0);
    answer_done(&a);
    assert_int_equal(expired.calls, 0);
    answer_done(&expired);
}

static void bodies_come_back_byte_for_byte(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {0,
                                   1,
                                   4096,
                                   CHUNK_BYTES - 1,
                                   CHUNK_BYTES,
                                   CHUNK_BYTES + 1,
                                   2 * CHUNK_BYTES,
                                   5 * CHUNK_BYTES + 77,
                                   40 * CHUNK_BYTES};
    struct answer expired;
    answer_init(&expired);
    work(w, 1, &expired);
    for (int compressible = 0; compressible < 2; compressible++) {
        CHECK_EACH (sizes, size) {
            struct buf body = body_of(*size, compressible != 0);
            struct msgid id = put(w, "example.net", buf_span(&body));
            struct claim *c = claim_one(w, 1, id.partition, "example.net");
            size_t chunks = *size == 0 ? 1 : (*size + CHUNK_BYTES - 1) / CHUNK_BYTES;
            assert_int_equal(c->body.chunks, chunks);
            check_body(w, 1, c, buf_span(&body));
            assert_int_equal(finish_done(w, 1, c), ERR_OK);
            buf_done(&body);
        }
    }
    answer_done(&expired);
}

static void every_domain_has_its_job(void **state)
{
    struct world *w = *state;
    static const char *const domains[] = {"a.example", "b.example"};
    struct answer expired;
    answer_init(&expired);
    work(w, 1, &expired);
    struct msgid id = put_delayed(w, domains, 2, SPAN("x"), 0);
    struct claim *a = claim_one(w, 1, id.partition, "a.example");
    struct claim *b = claim_one(w, 1, id.partition, "b.example");
    assert_string_equal(a->id.id, b->id.id);
    assert_int_equal(a->index, 1);
    assert_int_equal(b->index, 2);
    assert_int_equal(finish_done(w, 1, a), ERR_OK);
    check_body(w, 1, b, SPAN("x")); /* lives as long as its last job */
    assert_int_equal(finish_done(w, 1, b), ERR_OK);
    answer_done(&expired);
}

static void retry_comes_back_later_with_its_new_state(void **state)
{
    struct world *w = *state;
    struct answer expired;
    answer_init(&expired);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_one(w, 1, id.partition, "example.net");
    struct job next = c->job;
    next.attempts = 5;
    next.last_error = SPAN("451 later");
    struct finish f = {
        .claim = c, .verb = FINISH_RETRY, .job = &next, .delay_ms = 60, .event = SPAN("deferred")};
    ms_t before = c->now_ms;
    assert_int_equal(finish(w, 1, &f), ERR_OK);
    c = claim_one(w, 1, id.partition, "example.net");
    assert_true(c->now_ms >= before + 60);
    assert_int_equal(c->job.attempts, 5);
    check_span(c->job.last_error, SPAN("451 later"));
    check_span(c->job.rcpts[0].address, SPAN("user@example.net"));
    check_body(w, 1, c, SPAN("x"));
    assert_int_equal(finish_done(w, 1, c), ERR_OK);
    answer_done(&expired);
}

/* The clock of whoever took a message makes it expire neither early nor late: the store's does, over every
 * retry. */
static void the_clock_of_the_store_decides(void **state)
{
    static const ms_t hour_ms = 3600000, clocks[] = {0, 1, 946684800000, 4102444800000, UINT64_MAX - hour_ms};
    static const char *const domain[] = {"example.net"};
    struct world *w = *state;
    struct answer expired, ready, a;
    answer_init(&expired);
    answer_init(&ready);
    work(w, 1, &expired);
    CHECK_EACH (clocks, wrong) {
        struct mail m;
        mail_to(&m, domain, 1);
        m.job[0].first_ms = *wrong;
        m.job[0].next_ms = *wrong;
        m.job[0].expire_ms = *wrong + hour_ms;
        struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
        write_all(w, u, SPAN("x"), &ready);
        answer_init(&a);
        assert_int_equal(upload_commit(u, &m.env, m.jobs, 1, on_commit, &a), ERR_OK);
        until(w, &a, 1);
        struct msgid id = a.id;
        answer_done(&a);
        ms_t first_ms = 0;
        for (int attempt = 0; attempt < 3; attempt++) {
            struct claim *c = claim_one(w, 1, id.partition, "example.net");
            if (attempt == 0)
                first_ms = c->job.first_ms;
            assert_true(first_ms <= c->now_ms && c->now_ms - first_ms < hour_ms);
            assert_int_equal(c->job.first_ms, first_ms);
            assert_int_equal(c->job.expire_ms, first_ms + hour_ms);
            struct finish again = {
                .claim = c, .verb = FINISH_RETRY, .job = &c->job, .delay_ms = 20, .event = SPAN("deferred")};
            struct finish over = {.claim = c, .event = SPAN("delivered"), .delivered = 1};
            assert_int_equal(finish(w, 1, attempt < 2 ? &again : &over), ERR_OK);
        }
    }
    answer_done(&expired);
}

static void problem_messages_wait_behind_healthy_ones(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 1, &expired);
    struct msgid ids[3 * WORLD_PARTITIONS];
    struct msgid in0[3 * WORLD_PARTITIONS]; /* those of partition 0 */
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        ids[i] = put(w, "example.net", SPAN("x"));
        if (ids[i].partition == ids[0].partition)
            in0[n++] = ids[i];
    }
    assert_true(n >= 3);
    struct claim *first = claim_one(w, 1, ids[0].partition, "example.net");
    assert_string_equal(first->id.id, in0[0].id); /* oldest first */
    struct finish f = {.claim = first, .verb = FINISH_RETRY, .job = &first->job, .problem = true};
    assert_int_equal(finish(w, 1, &f), ERR_OK);
    for (size_t got = 0; got < n;) {
        claim(w, 1, ids[0].partition, "example.net", CLAIMS_MAX, &a);
        for (size_t i = 0; i < a.n; i++, got++) {
            assert_string_equal(a.claims[i]->id.id, in0[(got + 1) % n].id);
            assert_int_equal(finish_done(w, 1, a.claims[i]), ERR_OK);
        }
        answer_done(&a);
    }
    answer_done(&expired);
}

static void released_jobs_come_back(void **state)
{
    struct world *w = *state;
    struct answer expired;
    answer_init(&expired);
    work(w, 0, &expired);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_one(w, 0, id.partition, "example.net");
    assert_int_equal(store_release(w->store[0], c, 0), ERR_OK);
    c = claim_one(w, 1, id.partition, "example.net");
    assert_int_equal(c->job.attempts, 0);
    assert_int_equal(c->interrupted, 0);
    assert_int_equal(finish_done(w, 1, c), ERR_OK);
    answer_done(&expired);
}

static void one_job_has_one_holder(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 0, &expired);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_one(w, 0, id.partition, "example.net");
    assert_int_equal(claim(w, 1, id.partition, "example.net", 10, &a), 0);
    assert_int_equal(a.e, ERR_OK);
    answer_done(&a);
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
    answer_done(&expired);
}

static void a_closed_worker_gives_its_jobs_back(void **state)
{
    struct world *w = *state;
    struct answer expired, closed;
    answer_init(&expired);
    answer_init(&closed);
    work(w, 0, &expired);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_one(w, 0, id.partition, "example.net");
    store_worker_close(w->store[0], on_done, &closed);
    until(w, &closed, 1);
    assert_int_equal(closed.e, ERR_OK);
    struct claim *again = claim_one(w, 1, id.partition, "example.net");
    assert_int_equal(again->interrupted, 0);
    assert_int_equal(finish_done(w, 1, again), ERR_OK);
    assert_int_equal(store_release(w->store[0], c, 0), ERR_OK); /* still its own to end */
    answer_done(&expired);
    answer_done(&closed);
}

static void a_frozen_worker_loses_its_jobs(void **state)
{
    struct world *w = *state;
    struct answer expired, other;
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &expired);
    work(w, 1, &other);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *mine = claim_one(w, 0, id.partition, "example.net");
    w->backend->freeze(w, 0, true);
    uint64_t reaped = 0;
    for (int i = 0; reaped == 0; i++) {
        assert_true(i < TURNS_MAX);
        w->backend->turn(w);
        struct answer a;
        answer_init(&a);
        assert_int_equal(store_reap(w->store[1], id.partition, on_count, &a), ERR_OK);
        until(w, &a, 1);
        reaped = a.number;
        answer_done(&a);
    }
    struct claim *c = claim_one(w, 1, id.partition, "example.net");
    assert_string_equal(c->id.id, id.id);
    assert_int_equal(c->interrupted, 1);
    w->backend->freeze(w, 0, false);
    assert_int_equal(store_worker_valid(w->store[0]), 0);
    until(w, &expired, 1);
    assert_int_equal(finish_done(w, 0, mine), ERR_STALE); /* and nothing changed: */
    check_body(w, 1, c, SPAN("x"));
    assert_int_equal(finish_done(w, 1, c), ERR_OK);
    assert_int_equal(other.calls, 0);
    for (int i = 0; store_worker_valid(w->store[0]) == 0; i++) { /* a new incarnation comes by itself */
        assert_true(i < TURNS_MAX);
        w->backend->turn(w);
    }
    assert_int_equal(reap_all(w, 1), 0);
    answer_done(&expired);
    answer_done(&other);
}

/* What it had sent to the end is not sent again, unless somebody has begun to. */
static void a_late_word_ends_what_waits_again(void **state)
{
    struct world *w = *state;
    struct answer expired, other;
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &expired);
    work(w, 1, &other);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *mine = claim_one(w, 0, id.partition, "example.net");
    w->backend->freeze(w, 0, true);
    for (int i = 0; reap_all(w, 1) == 0; i++) {
        assert_true(i < TURNS_MAX);
        w->backend->turn(w);
    }
    w->backend->freeze(w, 0, false);
    until(w, &expired, 1);
    assert_int_equal(total_depth(w), 1);
    assert_int_equal(finish_done(w, 0, mine), ERR_OK);
    assert_int_equal(total_depth(w), 0);
    answer_done(&expired);
    answer_done(&other);
}

/* Who is settled of a job that goes on waiting is not sent it again either, unless somebody has had it since:
 * he knows better. The job keeps its place in the queue. */
static void a_late_word_settles_a_part_of_what_waits_again(void **state)
{
    static const bool changed[] = {false, true};
    struct world *w = *state;
    struct answer expired, other;
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &expired);
    work(w, 1, &other);
    CHECK_EACH (changed, c) {
        unsigned before = expired.calls;
        struct msgid id = put(w, "example.net", SPAN("x"));
        struct claim *mine = claim_one(w, 0, id.partition, "example.net"), *theirs;
        struct job next = mine->job, newer = mine->job;
        next.attempts = 5;
        newer.attempts = 6;
        struct finish f = {.claim = mine,
                           .verb = FINISH_RETRY,
                           .job = &next,
                           .delay_ms = 3600000,
                           .event = SPAN("deferred"),
                           .delivered = 1};
        w->backend->freeze(w, 0, true);
        for (int i = 0; reap_all(w, 1) == 0; i++) {
            assert_true(i < TURNS_MAX);
            w->backend->turn(w);
        }
        if (*c) {
            theirs = claim_one(w, 1, id.partition, "example.net");
            struct finish g = {.claim = theirs,
                               .verb = FINISH_RETRY,
                               .job = &newer,
                               .event = SPAN("deferred"),
                               .delivered = 1};
            assert_int_equal(finish(w, 1, &g), ERR_OK);
        }
        w->backend->freeze(w, 0, false);
        until(w, &expired, before + 1);
        assert_int_equal(finish(w, 0, &f), *c ? ERR_STALE : ERR_OK);
        theirs = claim_one(w, 1, id.partition, "example.net");
        assert_int_equal(theirs->job.attempts, *c ? 6 : 5);
        check_body(w, 1, theirs, SPAN("x"));
        assert_int_equal(finish_done(w, 1, theirs), ERR_OK);
        for (int i = 0; store_worker_valid(w->store[0]) == 0; i++) {
            assert_true(i < TURNS_MAX);
            w->backend->turn(w);
        }
    }
    assert_int_equal(other.calls, 0);
    answer_done(&expired);
    answer_done(&other);
}

static void discover_names_due_queues(void **state)
{
    struct world *w = *state;
    static const char *const later[] = {"later.example"};
    struct answer expired, a;
    answer_init(&expired);
    work(w, 1, &expired);
    (void)put_delayed(w, later, 1, SPAN("x"), 3600000);
    struct msgid id = put(w, "now.example", SPAN("x"));
    for (int i = 0;; i++) {
        answer_init(&a);
        assert_int_equal(store_discover(w->store[1], id.partition, 0, DMQ_MAX, on_discover, &a), ERR_OK);
        until(w, &a, 1);
        assert_int_equal(a.e, ERR_OK);
        if (a.n > 0)
            break;
        answer_done(&a);
        assert_true(i < TURNS_MAX);
    }
    assert_int_equal(a.n, 1);
    assert_string_equal(a.domains[0], "now.example/0");
    assert_int_equal(a.depths[0], 1);
    answer_done(&a);
    answer_init(&a); /* that one is left out, and there is no other */
    assert_int_equal(store_discover(w->store[1], id.partition, 1, DMQ_MAX, on_discover, &a), ERR_OK);
    until(w, &a, 1);
    assert_int_equal(a.e, ERR_OK);
    assert_int_equal(a.n, 0);
    answer_done(&a);

    assert_int_equal(store_hold(w->store[1], id.partition, SPAN("now.example"), 0, 3600000, 0), ERR_OK);
    answer_init(&a);
    assert_int_equal(store_discover(w->store[1], id.partition, 0, DMQ_MAX, on_discover, &a), ERR_OK);
    until(w, &a, 1);
    assert_int_equal(a.n, 0);
    answer_done(&a);
    answer_done(&expired);
}

static void on_held(void *arg, enum err e, const struct dmq *list, size_t n, uint64_t next)
{
    assert_int_equal(next, 0); /* so few are one page */
    on_discover(arg, e, list, n);
}

/* A queue that was held, with a job that waits for another try, is due at once when it is roused. */
static void held_queues_are_found_and_roused(void **state)
{
    struct world *w = *state;
    static const char *const later[] = {"later.example"};
    struct answer expired, a;
    answer_init(&expired);
    work(w, 1, &expired);
    struct msgid id = put_delayed(w, later, 1, SPAN("x"), 3600000);
    assert_int_equal(store_hold(w->store[1], id.partition, SPAN("later.example"), 0, 3600000, 0), ERR_OK);
    answer_init(&a);
    assert_int_equal(store_held(w->store[1], id.partition, 0, on_held, &a), ERR_OK);
    until(w, &a, 1);
    assert_int_equal(a.e, ERR_OK);
    assert_int_equal(a.n, 1);
    assert_string_equal(a.domains[0], "later.example/0");
    answer_done(&a);

    assert_int_equal(store_rouse(w->store[1], id.partition, SPAN("later.example"), 0), ERR_OK);
    answer_init(&a);
    assert_int_equal(store_discover(w->store[1], id.partition, 0, DMQ_MAX, on_discover, &a), ERR_OK);
    until(w, &a, 1);
    assert_int_equal(a.n, 1);
    answer_done(&a);
    answer_init(&a);
    assert_int_equal(store_held(w->store[1], id.partition, 0, on_held, &a), ERR_OK);
    until(w, &a, 1);
    assert_int_equal(a.n, 0);
    answer_done(&a);
    answer_done(&expired);
}

static enum err retry_in_an_hour(struct world *w, size_t client, struct claim *c)
{
    struct finish f = {.claim = c, .verb = FINISH_RETRY, .job = &c->job, .delay_ms = 3600000};
    return finish(w, client, &f);
}

/* Whoever had a job in hand when an operator wanted its queue tried knows its link only as it was before. */
static void what_is_known_before_a_wish_delays_nothing(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 0, &expired);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_one(w, 0, id.partition, "example.net");
    assert_int_equal(c->woken_ms, 0);
    assert_int_equal(store_rouse(w->store[0], id.partition, SPAN("example.net"), 0), ERR_OK);
    assert_int_equal(store_release(w->store[0], c, 3600000), ERR_OK);
    c = claim_one(w, 0, id.partition, "example.net");
    assert_true(c->woken_ms > 0 && c->woken_ms <= c->now_ms);
    assert_int_equal(store_rouse(w->store[0], id.partition, SPAN("example.net"), 0), ERR_OK);
    assert_int_equal(store_hold(w->store[0], id.partition, SPAN("example.net"), 0, 3600000, c->token),
                     ERR_OK);
    assert_int_equal(retry_in_an_hour(w, 0, c), ERR_OK);
    for (unsigned n = 0; n == 0; answer_done(&a)) { /* shown: the hold was of before, too */
        answer_init(&a);
        assert_int_equal(store_discover(w->store[1], id.partition, 0, DMQ_MAX, on_discover, &a), ERR_OK);
        until(w, &a, 1);
        n = (unsigned)a.n;
    }
    c = claim_one(w, 1, id.partition, "example.net");
    assert_int_equal(retry_in_an_hour(w, 1, c), ERR_OK); /* found out since */
    assert_int_equal(claim(w, 1, id.partition, "example.net", 10, &a), 0);
    answer_done(&a);
    answer_done(&expired);
}

/* So does what was known before there was another way: the route of then, say. */
static void what_is_known_before_another_way_delays_nothing(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 0, &expired);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_one(w, 0, id.partition, "example.net");
    uint64_t seen = c->token;
    assert_int_equal(store_rouse(w->store[0], id.partition, SPAN("example.net"), 0), ERR_OK);
    assert_int_equal(store_hold(w->store[0], id.partition, SPAN("example.net"), 0, 3600000, seen), ERR_OK);
    assert_int_equal(store_release(w->store[0], c, 3600000), ERR_OK);
    c = claim_one(w, 1, id.partition, "example.net");
    assert_int_equal(retry_in_an_hour(w, 1, c), ERR_OK); /* found out since */
    assert_int_equal(claim(w, 1, id.partition, "example.net", 10, &a), 0);
    answer_done(&a);
    answer_done(&expired);
}

/* What is found out after it does, be it in the same millisecond: the queue is hidden, and found for its way.
 */
static void what_is_known_after_another_way_counts(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 0, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(store_rouse(w->store[0], id.partition, SPAN("example.net"), 0), ERR_OK);
        struct claim *c = claim_one(w, 0, id.partition, "example.net");
        uint64_t seen = c->token;
        assert_int_equal(store_release(w->store[0], c, 3600000), ERR_OK);
        assert_int_equal(store_hold(w->store[0], id.partition, SPAN("example.net"), 0, 3600000, seen),
                         ERR_OK);
        answer_init(&a);
        assert_int_equal(store_held(w->store[0], id.partition, 0, on_held, &a), ERR_OK);
        until(w, &a, 1);
        assert_int_equal(a.n, 1);
        answer_done(&a);
    }
    answer_done(&expired);
}

static void commits_wake_workers(void **state)
{
    struct world *w = *state;
    struct answer woken, expired;
    answer_init(&woken);
    answer_init(&expired);
    store_on_wake(w->store[1], on_wake, &woken);
    work(w, 1, &expired);
    for (int i = 0; woken.calls == 0; i++) { /* a hint: the first may be lost while it subscribes */
        assert_true(i < 100);
        struct msgid id = put(w, "example.net", SPAN("x"));
        for (int turn = 0; turn < 100 && woken.calls == 0; turn++)
            w->backend->turn(w);
        if (woken.calls > 0)
            assert_int_equal(woken.number, id.partition);
        assert_int_equal(finish_done(w, 1, claim_one(w, 1, id.partition, "example.net")), ERR_OK);
    }
    answer_done(&woken);
    answer_done(&expired);
}

static void slots_never_exceed_their_caps(void **state)
{
    struct world *w = *state;
    struct answer expired;
    answer_init(&expired);
    work(w, 0, &expired);
    work(w, 1, &expired);
    static const struct {
        size_t client;
        const char *link;
        int want; /* negative: give back */
        unsigned cap_link, cap_total, granted;
    } steps[] = {
        {0, "a", 3, 5, 10, 3}, {1, "a", 3, 5, 10, 2}, {1, "a", 1, 5, 10, 0}, {1, "b", 9, 9, 10, 5},
        {0, "b", 1, 9, 10, 0}, {0, "a", -1, 0, 0, 0}, {1, "a", 3, 5, 10, 1}, {1, "b", -5, 0, 0, 0},
        {0, "b", 9, 9, 10, 5}, {0, "c", 2, 2, 12, 2},
    };
    CHECK_EACH (steps, s) {
        struct answer a;
        if (s->want < 0) {
            store_slots_put(w->store[s->client], span_cstr(s->link), (unsigned)-s->want);
            for (int i = 0; i < 50; i++) /* nobody answers: let it arrive */
                w->backend->turn(w);
            continue;
        }
        answer_init(&a);
        assert_int_equal(store_slots_get(w->store[s->client], span_cstr(s->link), (unsigned)s->want,
                                         s->cap_link, s->cap_total, on_slots, &a),
                         ERR_OK);
        until(w, &a, 1);
        assert_int_equal(a.e, ERR_OK);
        assert_int_equal(a.number, s->granted);
        answer_done(&a);
    }
    answer_done(&expired);
}

static void slots_of_the_dead_are_free_again(void **state)
{
    struct world *w = *state;
    struct answer expired, other, a;
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &expired);
    work(w, 1, &other);
    answer_init(&a);
    assert_int_equal(store_slots_get(w->store[0], SPAN("a"), 5, 5, 10, on_slots, &a), ERR_OK);
    until(w, &a, 1);
    assert_int_equal(a.number, 5);
    w->backend->freeze(w, 0, true);
    for (int i = 0;; i++) {
        answer_init(&a);
        assert_int_equal(store_slots_get(w->store[1], SPAN("a"), 5, 5, 10, on_slots, &a), ERR_OK);
        until(w, &a, 1);
        if (a.number > 0)
            break;
        assert_true(i < TURNS_MAX);
        w->backend->turn(w);
    }
    assert_int_equal(a.number, 5);
    w->backend->freeze(w, 0, false);
    until(w, &expired, 1);
    answer_done(&expired);
    answer_done(&other);
    answer_done(&a);
}

static void reports_are_committed_with_the_finish(void **state)
{
    struct world *w = *state;
    static const char *const domains[] = {"sender.example"};
    struct answer expired, ready;
    answer_init(&expired);
    answer_init(&ready);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_one(w, 1, id.partition, "example.net");
    struct mail report;
    mail_to(&report, domains, 1);
    report.env.sender = SPAN("");
    report.env.system = true;
    struct upload *u = store_upload(w->store[1], &id, on_event, &ready);
    assert_non_null(u);
    assert_int_equal(upload_id(u)->partition, id.partition);
    write_all(w, u, SPAN("a report"), &ready);
    struct finish f = {.claim = c,
                       .verb = FINISH_DONE,
                       .event = SPAN("bounced"),
                       .bounced = 1,
                       .report = u,
                       .report_env = &report.env,
                       .report_jobs = report.jobs,
                       .nreport_jobs = 1};
    assert_int_equal(finish(w, 1, &f), ERR_OK);
    c = claim_one(w, 1, id.partition, "sender.example");
    assert_true(c->env.system);
    check_span(c->env.sender, SPAN(""));
    check_body(w, 1, c, SPAN("a report"));
    assert_int_equal(finish_done(w, 1, c), ERR_OK);
    answer_done(&expired);
    answer_done(&ready);
}

static void badmail_leaves_the_queue(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 1, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_one(w, 1, id.partition, "example.net");
    struct finish f = {
        .claim = c, .verb = FINISH_BADMAIL, .reason = SPAN("5.1.1 nobody"), .event = SPAN("badmail")};
    assert_int_equal(finish(w, 1, &f), ERR_OK);
    assert_int_equal(claim(w, 1, id.partition, "example.net", 10, &a), 0);
    answer_done(&a);
    assert_int_equal(total_depth(w), 0);
    answer_done(&expired);
}

static void link_state_is_shared(void **state)
{
    struct world *w = *state;
    struct answer a;
    answer_init(&a);
    assert_int_equal(store_link_failed(w->store[0], SPAN("mx.example"), 3, 60000, SPAN("connection refused")),
                     ERR_OK);
    for (int i = 0; a.link.failures == 0; i++) {
        assert_true(i < TURNS_MAX);
        assert_int_equal(store_link_get(w->store[1], SPAN("mx.example"), on_link, &a), ERR_OK);
        until(w, &a, a.calls + 1);
        assert_int_equal(a.e, ERR_OK);
    }
    assert_int_equal(a.link.failures, 3);
    assert_true(a.link.until_ms > a.now_ms && a.link.until_ms <= a.now_ms + 60000);
    check_span(buf_span(&a.why), SPAN("connection refused"));
    assert_int_equal(store_link_ok(w->store[0], SPAN("mx.example")), ERR_OK);
    for (int i = 0; a.link.failures != 0; i++) {
        assert_true(i < TURNS_MAX);
        assert_int_equal(store_link_get(w->store[1], SPAN("mx.example"), on_link, &a), ERR_OK);
        until(w, &a, a.calls + 1);
    }
    assert_int_equal(a.link.until_ms, 0);
    answer_done(&a);
}

/* Who asks for room before he writes is never left with a rest, and is called when there is room again. */
static void an_upload_tells_when_it_has_room(void **state)
{
    enum { STEP = 10000 };
    static const char step[STEP];
    struct world *w = *state;
    struct answer ready;
    unsigned waited = 0;
    answer_init(&ready);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    for (int i = 0; i < 40; i++) {
        size_t taken;
        for (; !upload_has_room(u, STEP); waited++)
            until(w, &ready, ready.calls + 1);
        assert_int_equal(upload_write(u, span_of(step, STEP), &taken), ERR_OK);
        assert_int_equal(taken, STEP);
    }
    assert_true(waited > 1);
    assert_int_equal(ready.calls, waited);
    upload_abort(u);
    answer_done(&ready);
}

static void an_aborted_upload_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct answer ready;
    answer_init(&ready);
    struct buf body = body_of(3 * CHUNK_BYTES, false);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    assert_non_null(u);
    write_all(w, u, buf_span(&body), &ready);
    upload_abort(u);
    upload_abort(NULL);
    u = store_upload(w->store[0], NULL, on_event, &ready);
    assert_non_null(u);
    upload_abort(u);
    assert_int_equal(total_depth(w), 0);
    buf_done(&body);
    answer_done(&ready);
}

static void what_cannot_be_encoded_is_refused_at_once(void **state)
{
    struct world *w = *state;
    struct answer a, ready;
    struct mail m;
    static const char *const domains[] = {"example.net"};
    answer_init(&a);
    answer_init(&ready);
    mail_to(&m, domains, 1);
    m.env.sender = SPAN("a\r\nb@example.org");
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    assert_non_null(u);
    write_all(w, u, SPAN("x"), &ready);
    assert_int_equal(upload_commit(u, &m.env, m.jobs, 1, on_commit, &a), ERR_PARSE);
    assert_int_equal(upload_commit(u, &m.env, m.jobs, 0, on_commit, &a), ERR_TOOBIG);
    m.env.sender = SPAN("");
    assert_int_equal(upload_commit(u, &m.env, m.jobs, 1, on_commit, &a), ERR_OK); /* u was still ours */
    until(w, &a, 1);
    assert_int_equal(a.e, ERR_OK);
    answer_done(&a);
    answer_done(&ready);
}

static void closing_cancels_what_is_pending(void **state)
{
    struct world *w = *state;
    struct answer commit, ready, expired, claimed, discovered;
    struct mail m;
    static const char *const domains[] = {"example.net"};
    answer_init(&commit);
    answer_init(&ready);
    answer_init(&expired);
    answer_init(&claimed);
    answer_init(&discovered);
    mail_to(&m, domains, 1);
    work(w, 0, &expired);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    assert_non_null(u);
    write_all(w, u, SPAN("x"), &ready);
    assert_int_equal(upload_commit(u, &m.env, m.jobs, 1, on_commit, &commit), ERR_OK);
    assert_int_equal(store_claim(w->store[0], 0, SPAN("example.net"), 0, 5, on_claim, &claimed), ERR_OK);
    assert_int_equal(store_discover(w->store[0], 0, 0, 5, on_discover, &discovered), ERR_OK);
    w->backend->close(w, 0);
    assert_int_equal(commit.calls, 1);
    assert_int_equal(commit.e, ERR_CANCELED);
    assert_int_equal(claimed.calls, 1);
    assert_int_equal(claimed.e, ERR_CANCELED);
    assert_int_equal(claimed.n, 0);
    assert_int_equal(discovered.calls, 1);
    assert_int_equal(discovered.e, ERR_CANCELED);
    answer_done(&commit);
    answer_done(&ready);
    answer_done(&expired);
    answer_done(&claimed);
    answer_done(&discovered);
}

/* --- Running ------------------------------------------------------------------------------------- */

static const struct backend *running;

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return -1;
    w->backend = running;
    *state = w;
    return running->setup(w);
}

static int teardown(void **state)
{
    struct world *w = *state;
    int result = w->backend->teardown(w);
    free(w);
    return result;
}

int suite_run(const struct backend *backend)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    running = backend;
    return CHECK_RUN(
        T(a_message_goes_through), T(bodies_come_back_byte_for_byte), T(every_domain_has_its_job),
        T(retry_comes_back_later_with_its_new_state), T(the_clock_of_the_store_decides),
        T(problem_messages_wait_behind_healthy_ones), T(released_jobs_come_back), T(one_job_has_one_holder),
        T(a_closed_worker_gives_its_jobs_back), T(a_frozen_worker_loses_its_jobs),
        T(a_late_word_ends_what_waits_again), T(a_late_word_settles_a_part_of_what_waits_again),
        T(discover_names_due_queues), T(held_queues_are_found_and_roused),
        T(what_is_known_before_a_wish_delays_nothing), T(what_is_known_before_another_way_delays_nothing),
        T(what_is_known_after_another_way_counts), T(commits_wake_workers), T(slots_never_exceed_their_caps),
        T(slots_of_the_dead_are_free_again), T(reports_are_committed_with_the_finish),
        T(badmail_leaves_the_queue), T(link_state_is_shared), T(an_upload_tells_when_it_has_room),
        T(an_aborted_upload_leaves_nothing), T(what_cannot_be_encoded_is_refused_at_once),
        T(closing_cancels_what_is_pending));
#undef T
}
