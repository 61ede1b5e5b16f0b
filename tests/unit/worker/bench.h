/* tests/unit/worker/bench.h — a worker between a queue in memory and servers inside the test's loop. */
#pragma once
#include "common/config/config.h"
#include "tests/fakes/fake_store.h"
#include "tests/unit/worker/peer.h"
#include "worker/worker.h"

#include <unistd.h>

struct bench {
    struct loop *loop;
    struct fake_store *db;
    struct store *store;
    struct worker *worker;
    struct config *conf;
    struct peer *peer[2];
    char dir[64];
    struct timer *poll;
    bool (*until)(struct bench *b);
    ms_t give_up_ms;
    unsigned goal;
};

static inline void bench_poll(void *arg)
{
    struct bench *b = arg;

    if (b->until(b) || loop_now(b->loop) > b->give_up_ms) {
        loop_stop(b->loop);
        return;
    }
    timer_set(b->poll, 2);
}

/* Runs until the condition holds; fails the test when it does not within 20 seconds. */
#define bench_until(b, cond) bench_until_at((b), (cond), __FILE__, __LINE__)
static inline void bench_until_at(struct bench *b, bool (*until)(struct bench *b), const char *file, int line)
{
    b->until = until;
    b->give_up_ms = loop_now(b->loop) + 20000;
    timer_set(b->poll, 0);
    loop_run(b->loop);
    if (!until(b)) {
        print_error("the condition did not come true\n");
        _fail(file, line);
    }
}

/* %a, %b in the YAML: addresses of the two servers; %d: a directory of the test's own. */
static inline void bench_config(struct bench *b, const char *yaml, struct config **ret)
{
    struct buf text, problems;
    struct errctx ec = {""};
    enum err e;

    buf_init(&text, 65536);
    buf_init(&problems, 65536);
    for (const char *p = yaml; *p != '\0'; p++) {
        char at[ENDPOINT_TEXT_MAX];

        if (*p == '@' && (p[1] == 'a' || p[1] == 'b') && p[2] == '@') {
            ip_endpoint_text(&b->peer[p[1] - 'a']->at, at);
            assert_int_equal(buf_add(&text, span_cstr(at)), ERR_OK);
            p += 2;
        } else if (*p == '@' && p[1] == 'd' && p[2] == '@') {
            assert_int_equal(buf_add(&text, span_cstr(b->dir)), ERR_OK);
            p += 2;
        } else {
            assert_int_equal(buf_addc(&text, *p), ERR_OK);
        }
    }
    e = config_parse(buf_span(&text), "test.yaml", b->dir, NULL, ret, &problems, &ec);
    if (e != ERR_OK)
        fail_msg("%s\n%s", ec.msg, buf_cstr(&problems));
    buf_done(&text);
    buf_done(&problems);
}

static inline struct bench *bench_new(const char *yaml)
{
    struct bench *b = calloc(1, sizeof *b);
    struct errctx ec = {""};
    struct worker_deps deps;

    assert_non_null(b);
    b->loop = loop_new();
    assert_non_null(b->loop);
    (void)snprintf(b->dir, sizeof b->dir, "/tmp/worker-test-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    b->poll = timer_new(b->loop, bench_poll, b);
    b->peer[0] = peer_new(b->loop);
    b->peer[1] = peer_new(b->loop);
    b->db = fake_store_new(loop_clock(b->loop), 4);
    assert_int_equal(fake_store_attach(b->db, b->loop), ERR_OK);
    b->store = fake_store_open(b->db);
    bench_config(b, yaml, &b->conf);
    deps = (struct worker_deps){.loop = b->loop, .store = b->store};
    if (worker_new(&deps, b->conf, &b->worker, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    return b;
}

static inline bool bench_drained(struct bench *b)
{
    return worker_drained(b->worker);
}

static inline void bench_free(struct bench *b)
{
    char command[128];

    worker_stop(b->worker);
    store_free(b->store);
    worker_free(b->worker);
    fake_store_free(b->db);
    peer_free(b->peer[0]);
    peer_free(b->peer[1]);
    timer_free(b->poll);
    config_unref(b->conf);
    loop_free(b->loop);
    (void)snprintf(command, sizeof command, "rm -rf %s", b->dir);
    assert_int_equal(system(command), 0);
    free(b);
}

/* Ends as a program does: everything goes back, then it is freed. */
static inline void bench_end(struct bench *b)
{
    worker_drain(b->worker);
    bench_until(b, bench_drained);
    assert_int_equal(fake_store_open_claims(b->db), 0);
    assert_int_equal(fake_store_open_uploads(b->db), 0);
    assert_int_equal(fake_store_slots(b->db, SPAN("connector:lab")), 0);
    bench_free(b);
}

struct bench_mail {
    const char *from, *domain, *rcpts[8];
    ms_t age_ms;
    uint8_t notify;
    bool eight, utf8; /* it is declared to be of 8 bits, and for SMTPUTF8 */
};
static inline struct msgid bench_put(struct bench *b, const struct bench_mail *m, struct span body)
{
    ms_t now = clock_wall(loop_clock(b->loop));
    struct envelope env = {.sender = span_cstr(m->from), .arrival_ms = now - m->age_ms, .smtputf8 = m->utf8};
    struct recipient rcpts[8] = {0};
    struct job job = {.domain = span_cstr(m->domain), .rcpts = rcpts};
    struct commit_job commit = {.job = &job};
    struct msgid id;

    env.body = m->eight ? BODY_8BITMIME : BODY_7BIT;
    for (size_t i = 0; i < 8 && m->rcpts[i] != NULL; i++)
        rcpts[job.nrcpts++] = (struct recipient){.address = span_cstr(m->rcpts[i]), .notify = m->notify};
    fake_store_put(b->db, &env, &commit, 1, body, m->age_ms, &id);
    return id;
}
