/* The store on Redis when Redis refuses, by word or by what it is, and when what it holds is not what it
 * should be. What becomes of jobs that are over then: test_outcomes.c. */
#include "queue/redis_store_int.h"
#include "tests/conformance/faults.h"

#include <string.h>

/* --- Refusals ------------------------------------------------------------------------------------ */

static enum err try_commit(struct world *w, struct buf *why)
{
    struct answer a;
    enum err e = start_commit(w, SPAN("x"), &a);
    if (e == ERR_OK) {
        until(w, &a, 1);
        e = a.e;
    }
    buf_clear(why);
    assert_int_equal(buf_add(why, buf_span(&a.why)), ERR_OK);
    answer_done(&a);
    return e;
}

static bool says(struct world *w, struct buf *why, const char *text)
{
    buf_clear(why);
    return !store_ready(w->store[0], why) && strstr(buf_cstr(why), text) != NULL;
}

/* Runs Lua over the `g` of every partition of this store, whose name ends with the colon before it. */
static void on_partitions(const struct world *w, const char *command)
{
    const struct real *r = w->own;
    char out[256], pattern[128], script[512];
    (void)snprintf(pattern, sizeof pattern, "{%s.p*:g", r->namespace);
    (void)snprintf(script, sizeof script,
                   "for _,k in ipairs(redis.call('keys', ARGV[1])) do local p = string.sub(k, 1, -2) %s end",
                   command);
    REDIS_ASK(&real_server, out, "EVAL", script, "0", pattern);
}

/* A body of several chunks meets full memory before there is anything to commit. */
static void a_chunk_without_room_says_why(struct world *w)
{
    static const char piece[CHUNK_BYTES];
    struct answer ready;
    answer_init(&ready);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    assert_non_null(u);
    assert_string_equal(upload_why(u), "");
    enum err e = ERR_OK;
    for (int i = 0; i < 8 && e == ERR_OK; i++) {
        size_t taken = 0;
        e = upload_write(u, (struct span){piece, sizeof piece}, &taken);
        if (e == ERR_AGAIN) {
            until(w, &ready, ready.calls + 1);
            e = ERR_OK;
        }
    }
    assert_int_equal(e, ERR_FULL);
    assert_non_null(strstr(upload_why(u), "maxmemory"));
    upload_abort(u);
}

static void full_memory_is_452_and_still_drains(void **state)
{
    struct world *w = *state;
    struct answer expired;
    struct buf why;
    char out[64];
    answer_init(&expired);
    buf_init(&why, 4096);
    work(w, 0, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "maxmemory", "1");
    assert_int_equal(try_commit(w, &why), ERR_FULL);
    assert_non_null(strstr(buf_cstr(&why), "maxmemory"));
    a_chunk_without_room_says_why(w);
    struct claim *c = claim_surely(w, &id, "example.net");
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "maxmemory", "0");
    live(w, &(struct life){100, false});
    nothing_is_left(w);
    buf_done(&why);
}

static void a_replica_is_not_written_to(void **state)
{
    struct world *w = *state;
    struct answer expired;
    struct buf why;
    char out[64];
    answer_init(&expired);
    buf_init(&why, 4096);
    work(w, 0, &expired);
    live(w, &(struct life){100, false});
    REDIS_ASK(&real_server, out, "REPLICAOF", "127.0.0.1", "1");
    assert_int_equal(try_commit(w, &why), ERR_AGAIN);
    REAL_UNTIL(w, !store_ready(w->store[0], NULL));
    REDIS_ASK(&real_server, out, "REPLICAOF", "NO", "ONE");
    real_wait_ready(w);
    REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
    live(w, &(struct life){100, false});
    nothing_is_left(w);
    buf_done(&why);
}

/* A refusal that passes, on a connection that stays: what was refused is done as soon as Redis takes it. */
static void a_refusal_that_passes_is_forgotten(void **state)
{
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer expired, committing, finishing;
    struct buf body = body_of(100, false);
    char out[64];
    answer_init(&expired);
    answer_init(&finishing);
    work(w, 0, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_surely(w, &id, "example.net");
    uint64_t lost = metric_get(&st->metrics.disconnects);
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "min-replicas-to-write", "1");
    struct finish f = {.claim = c, .verb = FINISH_DONE, .event = SPAN("delivered"), .delivered = 1};
    assert_int_equal(store_finish(w->store[0], &f, on_done, &finishing), ERR_OK);
    assert_int_equal(start_commit(w, buf_span(&body), &committing), ERR_OK);
    uint64_t refused = metric_get(&st->metrics.errors);
    REAL_UNTIL(w, metric_get(&st->metrics.errors) >= refused + 2);
    assert_int_equal(finishing.calls + committing.calls, 0);
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "min-replicas-to-write", "0");
    until(w, &finishing, 1);
    assert_int_equal(finishing.e, ERR_OK);
    committed(w, &committing);
    assert_int_equal(metric_get(&st->metrics.disconnects), lost);
    c = claim_surely(w, &committing.id, "example.net");
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
    nothing_is_left(w);
    answer_done(&committing);
    answer_done(&finishing);
    buf_done(&body);
}

static void refusals_say_what_to_do(void **state)
{
    struct world *w = *state;
    struct buf why;
    char out[256];
    buf_init(&why, 4096);
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "requirepass", "secret");
    redis_proxy_refuse(&proxy, true); /* new connections, which now want a password */
    REAL_UNTIL(w, !store_ready(w->store[0], NULL));
    redis_proxy_refuse(&proxy, false);
    REAL_UNTIL(w, says(w, &why, "password_file"));
    assert_int_equal(store_refusal(w->store[0]), ERR_BACKEND);
    kill_redis(); /* comes back without it */
    real_wait_ready(w);

    static const struct {
        const char *write, *says; /* newer, older, no version at all */
    } schemas[] = {
        {"redis.call('set', k, '99')", "SCHEMA 99"},
        {"redis.call('set', k, '0')", "SCHEMA 0"},
        {"redis.call('set', k, 'x')", "SCHEMA none"},
    };
    CHECK_EACH (schemas, schema) {
        on_partitions(w, schema->write);
        assert_int_equal(try_commit(w, &why), ERR_BACKEND);
        assert_non_null(strstr(buf_cstr(&why), schema->says));
        assert_non_null(strstr(buf_cstr(&why), "run the version that wrote it"));
        REAL_UNTIL(w, !store_ready(w->store[0], NULL));
        REAL_UNTIL(w, says(w, &why, "bridgehead that wrote the store"));
        on_partitions(w, "redis.call('set', k, '1')");
        real_wait_ready(w);
    }
    assert_int_equal(try_commit(w, &why), ERR_OK);
    buf_done(&why);
}

/* A queue that somebody replaced by a string: that message is refused, and nothing else breaks. */
static void keys_of_the_wrong_type_are_reported(void **state)
{
    struct world *w = *state;
    struct buf why;
    buf_init(&why, 4096);
    on_partitions(w, "redis.call('set', p .. 'q:example.net', 'x')");
    assert_int_equal(try_commit(w, &why), ERR_BACKEND);
    assert_non_null(strstr(buf_cstr(&why), "queue fsck"));
    assert_true(store_ready(w->store[0], NULL));
    on_partitions(w, "redis.call('del', p .. 'q:example.net')");
    buf_done(&why);
}

/* What a program needs to begin with, and somebody else wrote: the key is named, and what to do about it. */
static void a_damaged_description_is_told_by_its_key(void **state)
{
    static const struct {
        const char *key, *write[2], *remedy;
    } damages[] = {
        {"front", {"SET", "garbage"}, "redis-cli DEL"},
        {"front", {"SET", "9223372036854775807"}, "redis-cli DEL"}, /* the next one is none */
        {"front", {"SET", "-2"}, "redis-cli DEL"},
        {"front", {"LPUSH", "x"}, "redis-cli DEL"},
        {"meta", {"SET", "x"}, "backup"},
    };
    struct world *w = *state;
    const struct real *r = w->own;
    struct errctx ec = {""};
    struct buf why;
    char key[128], kept[] = "kept", out[256];
    buf_init(&why, 4096);
    CHECK_EACH (damages, d) {
        (void)snprintf(key, sizeof key, "{%s.cfg}:%s", r->namespace, d->key);
        real_close(w, 0);
        REDIS_ASK(&real_server, out, "RENAME", key, kept);
        redis_server_ask(&real_server, out, sizeof out,
                         (const char *const[]){d->write[0], key, d->write[1], NULL});
        assert_int_equal(store_redis_open(r->loop[0], r->conf, &w->store[0], &ec), ERR_OK);
        REAL_UNTIL(w, says(w, &why, key));
        if (strstr(buf_cstr(&why), d->remedy) == NULL)
            fail_msg("%s %s: %s", key, d->write[1], buf_cstr(&why));
        assert_int_equal(store_refusal(w->store[0]), ERR_BACKEND);
        REDIS_ASK(&real_server, out, "RENAME", kept, key);
    }
    real_wait_ready(w);
    assert_int_equal(try_commit(w, &why), ERR_OK);
    buf_done(&why);
}

/* A Redis that came back without the store, or a part of it: it is told, and no empty store takes its place.
 */
static void a_store_that_is_gone_is_not_begun_anew(void **state)
{
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    char meta[128], g[128], kept[] = "kept", out[64];
    struct buf why;
    (void)snprintf(meta, sizeof meta, "{%s.cfg}:meta", st->ns);
    (void)snprintf(g, sizeof g, SPAN_FMT ":g", SPAN_ARG(st->partitions[1].tag));
    const struct {
        const char *key, *says;
    } parts[] = {{meta, "the store is gone: Redis lost everything"}, {g, "partition 1 of the store is gone"}};
    buf_init(&why, 4096);
    CHECK_EACH (parts, part) {
        redis_proxy_refuse(&proxy, true);
        REAL_UNTIL(w, !store_ready(w->store[0], NULL));
        REDIS_ASK(&real_server, out, "RENAME", part->key, kept);
        redis_proxy_refuse(&proxy, false);
        REAL_UNTIL(w, says(w, &why, part->says));
        assert_int_equal(store_refusal(w->store[0]), ERR_BACKEND);
        REDIS_ASK(&real_server, out, "EXISTS", part->key);
        assert_string_equal(out, "0");
        REDIS_ASK(&real_server, out, "RENAME", kept, part->key);
        real_wait_ready(w);
        assert_int_equal(try_commit(w, &why), ERR_OK);
    }
    buf_done(&why);
}

/* --- What a review found ------------------------------------------------------------------------- */

/* What an operator requeues, or looks at, is the job as the last attempt left it. */
static void badmail_keeps_the_state_of_its_job(void **state)
{
    struct world *w = *state;
    struct answer expired;
    char g[128], nx[128], out[64];
    answer_init(&expired);
    work(w, 0, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_surely(w, &id, "example.net");
    struct job next = c->job;
    next.attempts = 5;
    next.last_error = SPAN("550 nobody");
    struct finish f = {
        .claim = c, .verb = FINISH_BADMAIL, .job = &next, .reason = SPAN("x"), .event = SPAN("badmail")};
    assert_int_equal(finish(w, 0, &f), ERR_OK);
    key_of(w, &id, "g", g);
    key_of(w, &id, "nx", nx);
    REDIS_ASK(&real_server, out, "EVAL", scripts[SCRIPT_EDIT].body, "2", g, nx, "1", "1", "0", "requeue", "",
              id.id, "1");
    c = claim_surely(w, &id, "example.net");
    assert_int_equal(c->job.attempts, 5);
    check_span(c->job.last_error, SPAN("550 nobody"));
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
    nothing_is_left(w);
}

/* The body of a slow upload lives as long as the upload, also while chunks flow. */
static void a_slow_upload_keeps_its_body(void **state)
{
    struct world *w = *state;
    struct answer ready, a;
    struct mail m;
    static const char *const domain[] = {"example.net"};
    char key[128], ttl[64] = "0";
    struct buf chunk = body_of(CHUNK_BYTES + 1, false);
    answer_init(&ready);
    answer_init(&a);
    mail_to(&m, domain, 1);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    struct redis_upload *internal = (struct redis_upload *)u;
    struct msgid id = *upload_id(u);
    write_all(w, u, buf_span(&chunk), &ready);
    REAL_UNTIL(w, internal->acked == 1);
    key_of(w, &id, "b:", key);
    REDIS_ASK(&real_server, ttl, "PEXPIRE", key, "60000"); /* most of its time has passed */
    internal->kept_ms -= KEEP_ALIVE_MS;
    write_all(w, u, buf_span(&chunk), &ready);
    for (int i = 0; strlen(ttl) < 6; i++) { /* 100,000 ms or more */
        assert_true(i < 3000);
        real_turn(w);
        REDIS_ASK(&real_server, ttl, "PTTL", key);
    }
    assert_int_equal(upload_commit(u, &m.env, m.jobs, 1, on_commit, &a), ERR_OK);
    committed(w, &a);
    REDIS_ASK(&real_server, ttl, "PTTL", key);
    assert_string_equal(ttl, "-1");
    answer_done(&a);
    buf_done(&chunk);
}

/* A commit that Redis refuses is answered with what to do, or waits; the message is there once, or not at
 * all. */
static void refused_commits_are_said_or_waited_for(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    char word[41];
    answer_init(&expired);
    work(w, 0, &expired);
    live(w, &(struct life){100, false}); /* connects */
    digest(SCRIPT_COMMIT, word);
    CHECK_EACH (refusals, r) {
        unsigned before = redis_proxy_refusals(&proxy);
        redis_proxy_refuse_script(&proxy, word, r->error);
        assert_int_equal(start_commit(w, SPAN("x"), &a), ERR_OK);
        REAL_UNTIL(w, a.calls > 0 || (r->e == ERR_OK && redis_proxy_refusals(&proxy) > before + 1));
        assert_int_equal(a.calls, r->e != ERR_OK);
        redis_proxy_refuse_script(&proxy, word, NULL);
        until(w, &a, 1);
        if (a.e != r->e || (r->e != ERR_OK && strstr(buf_cstr(&a.why), r->remedy) == NULL))
            fail_msg("%s: %s: %s", r->error, err_text(a.e), buf_cstr(&a.why));
        real_wait_ready(w);
        REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
        if (r->e == ERR_OK)
            assert_int_equal(finish_done(w, 0, claim_surely(w, &a.id, "example.net")), ERR_OK);
        nothing_is_left(w);
        answer_done(&a);
    }
    assert_int_equal(expired.calls, 0);
}

/* "1", or "0" : the body is there. */
static void body_exists(const struct world *w, const struct msgid *id, char out[64])
{
    char key[128];
    key_of(w, id, "b:", key);
    redis_server_ask(&real_server, out, 64, (const char *const[]){"EXISTS", key, NULL});
}

/* Its time to live is what Redis says; the rest of it passes in a moment. */
static void let_body_expire(struct world *w, const struct msgid *id)
{
    char key[128], ttl[64], out[64];
    uint64_t left;
    key_of(w, id, "b:", key);
    REDIS_ASK(&real_server, ttl, "PTTL", key);
    assert_true(span_to_u64(span_cstr(ttl), BODY_TTL_MS, &left) && left > BODY_TTL_MS / 2);
    REDIS_ASK(&real_server, out, "PEXPIRE", key, "1");
    for (int i = 0; strcmp(out, "0") != 0; i++) {
        assert_true(i < REAL_TURNS_MAX);
        real_turn(w);
        body_exists(w, id, out);
    }
}

/* What a node had half written when it died goes by itself, whatever of it Redis has; until then it is no
 * finding. */
static void half_written_bodies_expire(void **state)
{
    struct world *w = *state;
    struct answer ready;
    struct buf body = body_of(3 * CHUNK_BYTES, false);
    char out[64], size[2][64];
    answer_init(&ready);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    struct redis_upload *internal = (struct redis_upload *)u;
    struct msgid id = *upload_id(u);
    REDIS_ASK(&real_server, size[0], "DBSIZE");
    write_all(w, u, buf_span(&body), &ready);
    REAL_UNTIL(w, internal->acked == 2); /* the third is full, and not asked for yet */
    real_close(w, 0);
    body_exists(w, &id, out);
    assert_string_equal(out, "1");
    assert_true(real_prove(w));
    let_body_expire(w, &id);
    REDIS_ASK(&real_server, size[1], "DBSIZE");
    assert_string_equal(size[1], size[0]); /* nothing else was left */
    buf_done(&body);
}

/* A body that went while its message was on its way (a node that slept, a clock that jumped): sent again, or
 * refused for now; never half a message. */
static void a_body_that_expires_is_not_committed_in_part(void **state)
{
    struct world *w = *state;
    struct answer ready, a, expired;
    struct mail m;
    static const char *const domain[] = {"example.net"};
    struct buf body = body_of(3 * CHUNK_BYTES + 5, false);
    answer_init(&ready);
    answer_init(&a);
    answer_init(&expired);
    work(w, 0, &expired);
    mail_to(&m, domain, 1);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    struct redis_upload *internal = (struct redis_upload *)u;
    struct msgid id = *upload_id(u);
    write_all(w, u, span_first(buf_span(&body), 2 * CHUNK_BYTES + 1), &ready);
    REAL_UNTIL(w, internal->acked == 2);
    let_body_expire(w, &id);
    size_t taken = 0;
    enum err e = ERR_OK;
    for (struct span rest = span_from(buf_span(&body), 2 * CHUNK_BYTES + 1); rest.len > 0 && e == ERR_OK;) {
        e = upload_write(u, rest, &taken);
        rest = span_from(rest, taken);
        if (e == ERR_AGAIN) {
            unsigned calls = ready.calls;
            at_least(w, &ready, calls + 1);
            e = ERR_OK;
        }
    }
    if (e == ERR_OK)
        e = upload_commit(u, &m.env, m.jobs, 1, on_commit, &a);
    if (e == ERR_OK) {
        until(w, &a, 1);
        e = a.e;
    } else {
        upload_abort(u);
    }
    assert_int_equal(e, ERR_AGAIN);
    assert_int_equal(total_depth(w), 0);
    nothing_is_left(w);
    answer_done(&a);
    buf_done(&body);
}

/* A message that was begun before. */
static void check_not_committed(struct world *w, struct upload *u)
{
    static const char *const domain[] = {"weak.example"};
    struct mail m;
    struct answer a;
    answer_init(&a);
    mail_to(&m, domain, 1);
    assert_int_equal(upload_commit(u, &m.env, m.jobs, 1, on_commit, &a), ERR_AGAIN);
    upload_abort(u);
    assert_int_equal(total_depth(w), 0);
    answer_done(&a);
}

static void a_weak_redis_is_refused_by_name(void **state)
{
    struct world *w = *state;
    struct answer ready;
    struct buf why;
    char out[64];
    static const struct {
        const char *setting, *weak, *strong;
    } cases[] = {
        {"appendfsync", "everysec", "always"},
        {"maxmemory-policy", "allkeys-lru", "noeviction"},
        {"no-appendfsync-on-rewrite", "yes", "no"},
        {"appendonly", "no", "yes"},
    };
    buf_init(&why, 4096);
    answer_init(&ready);
    CHECK_EACH (cases, c) {
        struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
        write_all(w, u, SPAN("Subject: x\r\n\r\n"), &ready);
        REDIS_ASK(&real_server, out, "CONFIG", "SET", c->setting, c->weak);
        redis_proxy_refuse(&proxy, true);
        REAL_UNTIL(w, !store_ready(w->store[0], NULL));
        redis_proxy_refuse(&proxy, false);
        REAL_UNTIL(w, says(w, &why, c->setting));
        assert_int_equal(store_refusal(w->store[0]), ERR_AGAIN); /* it does not keep its promise */
        check_not_committed(w, u);
        REDIS_ASK(&real_server, out, "CONFIG", "SET", c->setting, c->strong);
        real_wait_ready(w);
    }
    answer_done(&ready);
    buf_clear(&why);
    assert_int_equal(store_warnings(w->store[0], &why), ERR_OK);
    assert_non_null(strstr(buf_cstr(&why), "maxmemory is not set"));
    buf_done(&why);
}

static bool lanes_refuse(const struct redis_store *st, const char *text)
{
    size_t n = 0;
    for (size_t i = 0; i < st->nlanes; i++)
        n += strstr(redis_link_why(st->lanes[i].link), text) != NULL;
    return n == st->nlanes;
}

/* A commit that waits for its connection goes out when that is back, which may be before control has asked
 * this Redis anything: it is asked before it gets the message. */
static void a_weak_redis_gets_no_waiting_commit(void **state)
{
    static const char *const domain[] = {"weak.example"};
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer a;
    struct mail m;
    struct buf why;
    char out[64], pattern[128];
    answer_init(&a);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &a);
    write_all(w, u, SPAN("Subject: x\r\n\r\n"), &a);
    mail_to(&m, domain, 1);
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "appendonly", "no");
    redis_proxy_refuse(&proxy, true);
    REAL_UNTIL(w, !store_ready(w->store[0], NULL));
    assert_int_equal(upload_commit(u, &m.env, m.jobs, 1, on_commit, &a), ERR_OK);
    redis_proxy_refuse_script(&proxy, "-control", "LOADING control comes later");
    redis_proxy_refuse(&proxy, false);
    REAL_UNTIL(w, a.calls > 0 || lanes_refuse(st, "appendonly"));
    assert_int_equal(a.calls, 0);
    (void)snprintf(pattern, sizeof pattern, "{%s.p*:m:*", ((struct real *)w->own)->namespace);
    REDIS_ASK(&real_server, out, "EVAL", "return #redis.call('keys', ARGV[1])", "0", pattern);
    assert_string_equal(out, "0");
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "appendonly", "yes");
    redis_proxy_refuse_script(&proxy, "", NULL);
    real_wait_ready(w);
    REAL_UNTIL(w, a.calls > 0);
    assert_int_equal(a.e, ERR_OK);
    assert_int_equal(total_depth(w), 1);
    answer_done(&a);
    buf_init(&why, 4096);
    assert_int_equal(try_commit(w, &why), ERR_OK); /* and what is new */
    buf_done(&why);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, faults_setup, faults_teardown)
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* with * and ? */
    redis_server_start(&real_server, NULL, false);
    int failed =
        CHECK_RUN(T(full_memory_is_452_and_still_drains), T(a_replica_is_not_written_to),
                  T(a_refusal_that_passes_is_forgotten), T(refused_commits_are_said_or_waited_for),
                  T(refusals_say_what_to_do), T(keys_of_the_wrong_type_are_reported),
                  T(a_damaged_description_is_told_by_its_key), T(badmail_keeps_the_state_of_its_job),
                  T(a_slow_upload_keeps_its_body), T(half_written_bodies_expire),
                  T(a_body_that_expires_is_not_committed_in_part), T(a_weak_redis_is_refused_by_name),
                  T(a_weak_redis_gets_no_waiting_commit), T(a_store_that_is_gone_is_not_begun_anew));
    redis_server_stop(&real_server);
    return failed;
#undef T
}
