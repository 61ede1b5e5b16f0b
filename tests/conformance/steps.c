#include "tests/conformance/steps.h"

#include <stdlib.h>
#include <string.h>

/* --- Waiting ------------------------------------------------------------------------------------- */

void answer_init(struct answer *a)
{
    *a = (struct answer){0};
    buf_init(&a->why, 4096);
    buf_init(&a->body, SIZE_MAX / 2);
}

void answer_done(struct answer *a)
{
    buf_done(&a->why);
    buf_done(&a->body);
}

void at_least(struct world *w, const struct answer *a, unsigned calls)
{
    for (int i = 0; a->calls < calls; i++) {
        if (i == TURNS_MAX)
            fail_msg("no callback after %d turns", i);
        w->backend->turn(w);
    }
}

void until(struct world *w, const struct answer *a, unsigned calls)
{
    at_least(w, a, calls);
    assert_int_equal(a->calls, calls);
}

void on_event(void *arg)
{
    ((struct answer *)arg)->calls++;
}

void on_commit(void *arg, enum err e, const struct msgid *id, const char *why)
{
    struct answer *a = arg;
    a->calls++;
    a->e = e;
    a->id = *id;
    assert_int_equal(buf_add(&a->why, span_cstr(why)), ERR_OK);
}

void on_done(void *arg, enum err e)
{
    struct answer *a = arg;
    a->calls++;
    a->e = e;
}

void on_claim(void *arg, enum err e, struct claim *const *claims, size_t n)
{
    struct answer *a = arg;
    a->calls++;
    a->e = e;
    assert_true(n <= CLAIMS_MAX);
    a->n = n;
    for (size_t i = 0; i < n; i++)
        a->claims[i] = claims[i];
}

void on_discover(void *arg, enum err e, const struct dmq *list, size_t n)
{
    struct answer *a = arg;
    a->calls++;
    a->e = e;
    assert_true(n <= DMQ_MAX);
    a->n = n;
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(a->domains[i], sizeof(a->domains[i]), SPAN_FMT "/%u", SPAN_ARG(list[i].domain),
                       (unsigned)list[i].klass);
        a->depths[i] = list[i].depth;
    }
}

void on_chunk(void *arg, enum err e, struct span bytes)
{
    struct answer *a = arg;
    a->calls++;
    a->e = e;
    assert_int_equal(buf_add(&a->body, bytes), ERR_OK);
}

void on_slots(void *arg, enum err e, unsigned granted)
{
    struct answer *a = arg;
    a->calls++;
    a->e = e;
    a->number = granted;
}

void on_count(void *arg, enum err e, uint64_t n)
{
    struct answer *a = arg;
    a->calls++;
    a->e = e;
    a->number = n;
}

void on_wake(void *arg, unsigned partition)
{
    struct answer *a = arg;
    a->calls++;
    a->number = partition;
}

void on_link(void *arg, enum err e, const struct link_state *ls, ms_t now_ms)
{
    struct answer *a = arg;
    a->calls++;
    a->e = e;
    a->link = *ls;
    a->now_ms = now_ms;
    buf_clear(&a->why);
    assert_int_equal(buf_add(&a->why, ls->last_error), ERR_OK);
}

/* --- Doing --------------------------------------------------------------------------------------- */

void mail_to(struct mail *m, const char *const *domains, size_t n)
{
    *m = (struct mail){.env = {.sender = SPAN("sender@example.org"), .client = SPAN("192.0.2.1")}};
    for (size_t i = 0; i < n; i++) {
        m->rcpts[i].address = SPAN("user@example.net");
        m->job[i] = (struct job){
            .domain = span_cstr(domains[i]), .expire_ms = 99999, .rcpts = &m->rcpts[i], .nrcpts = 1};
        m->jobs[i].job = &m->job[i];
    }
}

void write_all(struct world *w, struct upload *u, struct span body, struct answer *ready)
{
    while (body.len > 0) {
        size_t taken = 0;
        enum err e = upload_write(u, body, &taken);
        body = span_from(body, taken);
        if (e == ERR_OK) {
            assert_int_equal(body.len, 0);
        } else {
            assert_int_equal(e, ERR_AGAIN);
            until(w, ready, ready->calls + 1);
        }
    }
}

struct msgid put_delayed(struct world *w, const char *const *domains, size_t n, struct span body,
                         ms_t delay_ms)
{
    struct answer a, ready;
    struct mail m;
    answer_init(&a);
    answer_init(&ready);
    mail_to(&m, domains, n);
    for (size_t i = 0; i < n; i++)
        m.jobs[i].delay_ms = delay_ms;
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    assert_non_null(u);
    struct msgid id = *upload_id(u);
    write_all(w, u, body, &ready);
    assert_int_equal(upload_size(u), body.len);
    assert_int_equal(upload_commit(u, &m.env, m.jobs, n, on_commit, &a), ERR_OK);
    assert_int_equal(a.calls, 0);
    until(w, &a, 1);
    if (a.e != ERR_OK)
        fail_msg("commit: %s: %s", err_text(a.e), buf_cstr(&a.why));
    assert_string_equal(a.id.id, id.id);
    assert_int_equal(a.id.partition, id.partition);
    answer_done(&a);
    answer_done(&ready);
    return id;
}

struct msgid put(struct world *w, const char *domain, struct span body)
{
    return put_delayed(w, &domain, 1, body, 0);
}

void work(struct world *w, size_t client, struct answer *expired)
{
    static const struct worker_info info = {"worker-1", "host-1", "test"};
    assert_int_equal(store_worker_open(w->store[client], &info, on_event, expired), ERR_OK);
    for (int i = 0; store_worker_valid(w->store[client]) == 0; i++) {
        assert_true(i < TURNS_MAX);
        w->backend->turn(w);
    }
}

size_t claim(struct world *w, size_t client, unsigned partition, const char *domain, unsigned max,
             struct answer *a)
{
    answer_init(a);
    assert_int_equal(store_claim(w->store[client], partition, span_cstr(domain), 0, max, on_claim, a),
                     ERR_OK);
    assert_int_equal(a->calls, 0);
    until(w, a, 1);
    return a->n;
}

struct claim *claim_one(struct world *w, size_t client, unsigned partition, const char *domain)
{
    struct answer a;
    for (int i = 0; claim(w, client, partition, domain, 1, &a) == 0; i++) {
        assert_int_equal(a.e, ERR_OK);
        answer_done(&a);
        assert_true(i < TURNS_MAX);
        w->backend->turn(w);
    }
    answer_done(&a);
    return a.claims[0];
}

enum err finish(struct world *w, size_t client, const struct finish *f)
{
    struct answer a;
    answer_init(&a);
    assert_int_equal(store_finish(w->store[client], f, on_done, &a), ERR_OK);
    assert_int_equal(a.calls, 0);
    until(w, &a, 1);
    answer_done(&a);
    return a.e;
}

enum err finish_done(struct world *w, size_t client, struct claim *c)
{
    return finish(
        w, client,
        &(struct finish){.claim = c, .verb = FINISH_DONE, .event = SPAN("delivered"), .delivered = 1});
}

uint64_t total_depth(struct world *w)
{
    uint64_t depth = 0;
    for (unsigned p = 0; p < store_partitions(w->store[0]); p++) {
        struct answer a;
        answer_init(&a);
        assert_int_equal(store_discover(w->store[0], p, 0, DMQ_MAX, on_discover, &a), ERR_OK);
        until(w, &a, 1);
        for (size_t i = 0; i < a.n; i++)
            depth += a.depths[i];
        answer_done(&a);
    }
    return depth;
}

uint64_t reap_all(struct world *w, size_t client)
{
    uint64_t n = 0;
    for (unsigned p = 0; p < store_partitions(w->store[client]); p++) {
        struct answer a;
        answer_init(&a);
        assert_int_equal(store_reap(w->store[client], p, on_count, &a), ERR_OK);
        until(w, &a, 1);
        n += a.number;
        answer_done(&a);
    }
    return n;
}

struct buf body_of(size_t n, bool compressible)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    assert_int_equal(buf_reserve(&b, n + 1), ERR_OK);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b.ptr[i] = compressible ? (char)('a' + i % 7) : (char)x;
    }
    buf_wrote(&b, n);
    return b;
}

void check_body(struct world *w, size_t client, const struct claim *c, struct span want)
{
    struct answer a;
    answer_init(&a);
    assert_int_equal(c->body.size_bytes, want.len);
    for (uint32_t i = 0; i < c->body.chunks; i++) { /* two asked for ahead */
        if (i >= 2)
            at_least(w, &a, i - 1);
        assert_int_equal(store_chunk(w->store[client], c, i, on_chunk, &a), ERR_OK);
    }
    until(w, &a, c->body.chunks);
    assert_int_equal(a.e, ERR_OK);
    assert_true(span_eq(buf_span(&a.body), want));
    answer_done(&a);
}
