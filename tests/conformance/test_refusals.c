/* The store on Redis when Redis refuses, by word or by what it is, and when what it holds is not what it
 * should be. */
#include "queue/redis_worker.h"
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

/* --- What a review found ------------------------------------------------------------------------- */

/* "<tag>:<kind>:<id>" */
static void key_of(const struct world *w, const struct msgid *id, const char *kind, char out[128])
{
    char tag[REDIS_TAG_MAX];
    redis_tag(((const struct real *)w->own)->namespace, id->partition, WORLD_PARTITIONS, tag);
    (void)snprintf(out, 128, "%s:%s%s", tag, kind, kind[0] == 'g' || kind[0] == 'n' ? "" : id->id);
}

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

static bool in_queue(const struct world *w, const struct msgid *id)
{
    char tag[REDIS_TAG_MAX], key[128], job[32], out[64] = "";
    redis_tag(((const struct real *)w->own)->namespace, id->partition, WORLD_PARTITIONS, tag);
    (void)snprintf(key, sizeof key, "%s:q:example.net", tag);
    (void)snprintf(job, sizeof job, "%s.1", id->id);
    REDIS_ASK(&real_server, out, "ZSCORE", key, job);
    return out[0] != '\0';
}

/* A report whose body cannot be stored is not sent for ever, and its job comes back. */
static void a_report_without_body_ends(void **state)
{
    struct world *w = *state;
    static const char *const domain[] = {"sender.example"};
    struct answer expired, ready;
    struct mail report;
    char key[128], out[64];
    answer_init(&expired);
    answer_init(&ready);
    work(w, 0, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct finish f = {.claim = claim_surely(w, &id, "example.net"), .event = SPAN("bounced"), .bounced = 1};
    mail_to(&report, domain, 1);
    f.report = store_upload(w->store[0], &id, on_event, &ready);
    write_all(w, f.report, SPAN("a report"), &ready);
    f.report_env = &report.env;
    f.report_jobs = report.jobs;
    f.nreport_jobs = 1;
    key_of(w, upload_id(f.report), "b:", key);
    REDIS_ASK(&real_server, out, "SET", key, "somebody else's", "PX", "60000"); /* SET NX leaves it */
    assert_int_equal(finish(w, 0, &f), ERR_AGAIN);
    key_of(w, &id, "m:", key);
    REDIS_ASK(&real_server, out, "HGET", key, "n");
    assert_string_equal(out, "1");
    REAL_UNTIL(w, in_queue(w, &id)); /* given back, due later */
}

/* The same of one of several chunks, all or one of which are lost before the finish: nothing is committed
 * without them, and it is not waited for them. */
static void a_chunked_report_without_body_ends(void **state)
{
    static const char *const losses[] = {"DEL", "LPOP"}, *const domain[] = {"sender.example"};
    struct world *w = *state;
    struct answer expired;
    struct buf text = body_of(2 * CHUNK_BYTES + 100, false);
    answer_init(&expired);
    work(w, 0, &expired);
    for (size_t i = 0; i < ARRAY_LEN(losses); i++) {
        struct msgid id = put(w, "example.net", SPAN("x"));
        struct finish f = {
            .claim = claim_surely(w, &id, "example.net"), .event = SPAN("bounced"), .bounced = 1};
        struct answer ready;
        struct mail report;
        char key[128], out[64];
        answer_init(&ready);
        mail_to(&report, domain, 1);
        f.report = store_upload(w->store[0], &id, on_event, &ready);
        write_all(w, f.report, buf_span(&text), &ready);
        f.report_env = &report.env;
        f.report_jobs = report.jobs;
        f.nreport_jobs = 1;
        REAL_UNTIL(w, ((struct redis_upload *)f.report)->acked == 2);
        struct msgid report_id = *upload_id(f.report);
        key_of(w, &report_id, "b:", key);
        REDIS_ASK(&real_server, out, losses[i], key);
        assert_int_equal(finish(w, 0, &f), ERR_AGAIN);
        key_of(w, &report_id, "m:", key);
        REDIS_ASK(&real_server, out, "EXISTS", key);
        assert_string_equal(out, "0");
        key_of(w, &id, "m:", key);
        REDIS_ASK(&real_server, out, "HGET", key, "n");
        assert_string_equal(out, "1");
        REAL_UNTIL(w, in_queue(w, &id));
    }
    buf_done(&text);
}

/* A message to example.net of two recipients, in hand. */
static struct claim *claim_of_two(struct world *w)
{
    struct recipient rcpts[2] = {{.address = SPAN_INIT("yes@example.net")},
                                 {.address = SPAN_INIT("no@example.net")}};
    struct job job = {.domain = SPAN("example.net"), .expire_ms = 99999, .rcpts = rcpts, .nrcpts = 2};
    struct commit_job commit = {.job = &job};
    struct envelope env = {.sender = SPAN("sender@example.org"), .client = SPAN("192.0.2.1")};
    struct answer ready, a;
    answer_init(&ready);
    answer_init(&a);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    write_all(w, u, SPAN("x"), &ready);
    assert_int_equal(upload_commit(u, &env, &commit, 1, on_commit, &a), ERR_OK);
    committed(w, &a);
    struct claim *c = claim_surely(w, &a.id, "example.net");
    answer_done(&a);
    return c;
}

/* Of one of its partitions. */
static void counted(const struct world *w, const struct msgid *id, const char *counter, char out[64])
{
    char tag[REDIS_TAG_MAX], key[128];
    redis_tag(((const struct real *)w->own)->namespace, id->partition, WORLD_PARTITIONS, tag);
    (void)snprintf(key, sizeof key, "%s:st", tag);
    out[0] = '\0';
    redis_server_ask(&real_server, out, 64, (const char *const[]){"HGET", key, counter, NULL});
}

/* How a report can get lost: chunks that Redis had are gone, or it takes no more of them, or what is there is
 * not its body. Whatever it is, who was delivered to does not come back. */
static const struct report_loss {
    size_t size;
    const char *command, *argument; /* done to its body before the finish */
    const char *refuse;             /* what is left of it is refused */
} report_losses[] = {
    {2 * CHUNK_BYTES + 100, "DEL", NULL, NULL},
    {2 * CHUNK_BYTES + 100, "LPOP", NULL, NULL},
    {2 * CHUNK_BYTES + 100, NULL, NULL, "maxmemory"},
    {100, "SET", "somebody else's", NULL},
};

static void lose_a_report(struct world *w, const struct report_loss *loss, bool success_only)
{
    static const char *const domain[] = {"sender.example"};
    struct claim *c = claim_of_two(w);
    struct msgid id = c->id, report_id;
    struct job left = c->job;
    struct recipient no = c->job.rcpts[1];
    struct buf text = body_of(loss->size, false);
    struct answer ready;
    struct mail report;
    char key[128], out[64], before[64];
    left.rcpts = &no;
    left.nrcpts = 1;
    answer_init(&ready);
    counted(w, &id, "delivered", before);
    struct finish without = {
        .verb = FINISH_RETRY, .job = &left, .event = SPAN("deferred"), .reason = SPAN("550"), .delivered = 1};
    if (success_only)
        without = (struct finish){.verb = FINISH_DONE, .event = SPAN("delivered"), .delivered = 2};
    struct finish f = {
        .claim = c, .event = SPAN("bounced"), .delivered = 1, .bounced = 1, .without = &without};
    mail_to(&report, domain, 1);
    f.report = store_upload(w->store[0], &id, on_event, &ready);
    report_id = *upload_id(f.report);
    write_all(w, f.report, buf_span(&text), &ready);
    f.report_env = &report.env;
    f.report_jobs = report.jobs;
    f.nreport_jobs = 1;
    REAL_UNTIL(w, ((struct redis_upload *)f.report)->acked == loss->size / CHUNK_BYTES);
    key_of(w, &report_id, "b:", key);
    if (loss->command != NULL)
        redis_server_ask(&real_server, out, sizeof out,
                         (const char *const[]){loss->command, key, loss->argument, NULL});
    if (loss->refuse != NULL)
        REDIS_ASK(&real_server, out, "CONFIG", "SET", loss->refuse, "1");
    assert_int_equal(finish(w, 0, &f), ERR_NOTFOUND);
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "maxmemory", "0");
    key_of(w, &report_id, "m:", key);
    REDIS_ASK(&real_server, out, "EXISTS", key);
    assert_string_equal(out, "0");
    uint64_t delivered = strtoull(before, NULL, 10);
    counted(w, &id, "delivered", out);
    assert_int_equal(strtoull(out, NULL, 10), delivered + without.delivered);
    if (!success_only) {
        c = claim_surely(w, &id, "example.net");
        assert_string_equal(c->id.id, id.id);
        assert_int_equal(c->job.nrcpts, 1);
        check_span(c->job.rcpts[0].address, SPAN("no@example.net"));
        assert_int_equal(finish_done(w, 0, c), ERR_OK);
    }
    key_of(w, &report_id, "b:", key);
    REDIS_ASK(&real_server, out, "UNLINK", key); /* expires in a while */
    nothing_is_left(w);
    buf_done(&text);
}

static void a_lost_report_brings_nobody_back_who_is_settled(void **state)
{
    struct world *w = *state;
    struct answer expired;
    answer_init(&expired);
    work(w, 0, &expired);
    CHECK_EACH (report_losses, loss) {
        lose_a_report(w, loss, false);
        lose_a_report(w, loss, true);
    }
    assert_int_equal(expired.calls, 0);
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

/* What Redis may answer to a script that it does not run. */
static const struct {
    const char *error;
    enum err e;         /* ERR_OK: waited for, and then done */
    const char *remedy; /* what people are told */
} refusals[] = {
    {"LOADING Redis is loading the dataset in memory", ERR_OK, "wait"},
    {"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", ERR_OK,
     "SCRIPT KILL"},
    {"UNKILLABLE Sorry the script already executed write commands", ERR_OK, "script of somebody else"},
    {"TRYAGAIN Multiple keys request during rehashing of slot", ERR_OK, "slot is being moved"},
    {"CLUSTERDOWN Hash slot not served", ERR_OK, "CLUSTER NODES"},
    {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", ERR_OK, "failover"},
    {"READONLY You can't write against a read only replica.", ERR_OK, "master's address"},
    {"NOREPLICAS Not enough good replicas to write.", ERR_OK, "min-replicas-to-write"},
    {"MISCONF Errors writing to the AOF file: No space left on device", ERR_OK, "free space"},
    {"NOSCRIPT No matching script. Please use EVAL.", ERR_OK, ""},
    {"OOM command not allowed when used memory > 'maxmemory'.", ERR_FULL, "redis.embedded_memory"},
    {"NOAUTH Authentication required.", ERR_BACKEND, "redis.password_file"},
    {"WRONGPASS invalid username-password pair or user is disabled.", ERR_BACKEND, "redis.password_file"},
    {"NOPERM this user has no permissions to run the 'evalsha' command", ERR_BACKEND, "docs/operations.md"},
    {"MOVED 3999 127.0.0.1:6381", ERR_BACKEND, "redis-cluster://"},
    {"ASK 3999 127.0.0.1:6381", ERR_BACKEND, "redis-cluster://"},
    {"CROSSSLOT Keys in request don't hash to the same slot", ERR_BACKEND, "redis-cluster://"},
    {"WRONGTYPE Operation against a key holding the wrong kind of value", ERR_BACKEND, "queue fsck"},
    {"ERR something that nobody has heard of", ERR_BACKEND, "nobody has heard of"},
};

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

/* A job whose finish is refused stays in hand until Redis takes it: neither lost nor done again. */
static void refused_finishes_are_told_again(void **state)
{
    struct world *w = *state;
    struct answer expired;
    char word[41];
    answer_init(&expired);
    work(w, 0, &expired);
    digest(SCRIPT_FINISH, word);
    CHECK_EACH (refusals, r) {
        struct msgid id = put(w, "example.net", SPAN("x"));
        struct finish f = {
            .claim = claim_surely(w, &id, "example.net"), .event = SPAN("delivered"), .delivered = 1};
        struct answer a;
        unsigned before = redis_proxy_refusals(&proxy);
        answer_init(&a);
        redis_proxy_refuse_script(&proxy, word, r->error);
        assert_int_equal(store_finish(w->store[0], &f, on_done, &a), ERR_OK);
        REAL_UNTIL(w, redis_proxy_refusals(&proxy) > before + 1); /* twice at least */
        assert_int_equal(a.calls, 0);
        assert_false(in_queue(w, &id));
        redis_proxy_refuse_script(&proxy, word, NULL);
        until(w, &a, 1);
        assert_int_equal(a.e, ERR_OK);
        real_wait_ready(w);
        REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
        nothing_is_left(w);
        answer_done(&a);
    }
    assert_int_equal(metric_get(&((struct redis_store *)w->store[0])->metrics.finishes_held), 0);
}

/* What was given back and refused comes back all the same: it does not stay in hand while leases are renewed.
 */
static void refused_releases_are_told_again(void **state)
{
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer expired;
    char word[41];
    answer_init(&expired);
    work(w, 0, &expired);
    digest(SCRIPT_RELEASE, word);
    CHECK_EACH (refusals, r) {
        if (r->e == ERR_OK)
            continue; /* waited for by the connection, as of every script */
        struct msgid id = put(w, "example.net", SPAN("x"));
        struct claim *c = claim_surely(w, &id, "example.net");
        unsigned before = redis_proxy_refusals(&proxy);
        redis_proxy_refuse_script(&proxy, word, r->error);
        assert_int_equal(store_release(w->store[0], c, 0), ERR_OK);
        REAL_UNTIL(w, redis_proxy_refusals(&proxy) > before + 1); /* twice at least */
        assert_false(in_queue(w, &id));
        redis_proxy_refuse_script(&proxy, word, NULL);
        st->worker->held_until_ms = 0;     /* no pause ... */
        st->worker->audit_ms = UINT64_MAX; /* ... and nobody else finds it */
        REAL_UNTIL(w, in_queue(w, &id));
        real_wait_ready(w);
        REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
        assert_int_equal(finish_done(w, 0, claim_surely(w, &id, "example.net")), ERR_OK);
        nothing_is_left(w);
    }
    assert_int_equal(metric_get(&st->metrics.finishes_held), 0);
    assert_int_equal(expired.calls, 0);
}

/* There is no room to keep what is refused: it is found in our hand when Redis is itself again. */
static void what_cannot_be_kept_is_found_again(void **state)
{
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer expired;
    char word[41];
    answer_init(&expired);
    work(w, 0, &expired);
    digest(SCRIPT_RELEASE, word);
    for (int times = 0; times < 2; times++) {
        struct msgid id = put(w, "example.net", SPAN("x"));
        struct claim *c = claim_surely(w, &id, "example.net");
        unsigned before = redis_proxy_refusals(&proxy);
        redis_proxy_refuse_script(&proxy, word, "NOPERM this user has no permissions");
        st->worker->nheld = 20000;
        assert_int_equal(store_release(w->store[0], c, 0), ERR_OK);
        REAL_UNTIL(w, redis_proxy_refusals(&proxy) > before);
        REAL_UNTIL(w, st->worker->finishes == NULL);
        assert_false(in_queue(w, &id));
        st->worker->nheld = 0;
        redis_proxy_refuse_script(&proxy, word, NULL);
        real_wait_ready(w);
        st->worker->audit_ms = 0;
        REAL_UNTIL(w, in_queue(w, &id));
        REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
        assert_int_equal(finish_done(w, 0, claim_surely(w, &id, "example.net")), ERR_OK);
        nothing_is_left(w);
    }
    assert_int_equal(expired.calls, 0);
}

/* The lease ends while the finish is refused, and the job is back in its queue: it is not done again. */
static void a_refused_finish_outlives_its_lease(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    char word[41], tag[REDIS_TAG_MAX], key[128], g[128], nx[128], out[64];
    answer_init(&expired);
    answer_init(&a);
    work(w, 0, &expired);
    digest(SCRIPT_FINISH, word);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct finish f = {
        .claim = claim_surely(w, &id, "example.net"), .event = SPAN("delivered"), .delivered = 1};
    unsigned before = redis_proxy_refusals(&proxy);
    redis_proxy_refuse_script(&proxy, word, "NOPERM this user has no permissions");
    assert_int_equal(store_finish(w->store[0], &f, on_done, &a), ERR_OK);
    REAL_UNTIL(w, redis_proxy_refusals(&proxy) > before);
    redis_tag(((const struct real *)w->own)->namespace, id.partition, WORLD_PARTITIONS, tag);
    (void)snprintf(key, sizeof key, "%s:wk", tag);
    REDIS_ASK(
        &real_server, out, "EVAL",
        "for _, w in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do redis.call('zadd', KEYS[1], 1, w) end",
        "1", key);
    key_of(w, &id, "g", g);
    key_of(w, &id, "nx", nx);
    REDIS_ASK(&real_server, out, "EVAL", scripts[SCRIPT_REAP].body, "2", g, nx, "1", "1", "100");
    assert_true(in_queue(w, &id));
    assert_int_equal(a.calls, 0);
    redis_proxy_refuse_script(&proxy, word, NULL);
    until(w, &a, 1);
    assert_int_equal(a.e, ERR_OK);
    nothing_is_left(w);
    answer_done(&a);
}

/* A batch refused for what may be the fault of one of its records is told again one by one. */
static void a_refused_batch_is_told_one_by_one(void **state)
{
    enum { RECORDS = 4 };
    struct world *w = *state;
    struct answer expired, a[RECORDS];
    struct claim *claims[RECORDS];
    unsigned partition = 0, refused;
    char word[41];
    answer_init(&expired);
    work(w, 0, &expired);
    digest(SCRIPT_FINISH, word);
    for (size_t n = 0; n < RECORDS;) {
        struct msgid id = put(w, "example.net", SPAN("x"));
        struct claim *c = claim_surely(w, &id, "example.net");
        if (n > 0 && id.partition != partition) {
            assert_int_equal(finish_done(w, 0, c), ERR_OK);
            continue;
        }
        partition = id.partition;
        claims[n++] = c;
    }
    refused = redis_proxy_refusals(&proxy);
    redis_proxy_refuse_script(&proxy, word,
                              "WRONGTYPE Operation against a key holding the wrong kind of value");
    for (size_t i = 0; i < RECORDS; i++) {
        struct finish f = {.claim = claims[i], .event = SPAN("delivered"), .delivered = 1};
        answer_init(&a[i]);
        assert_int_equal(store_finish(w->store[0], &f, on_done, &a[i]), ERR_OK);
    }
    REAL_UNTIL(w, redis_proxy_refusals(&proxy) > refused);
    assert_int_equal(redis_proxy_refusals(&proxy), refused + 1);
    REAL_UNTIL(w, redis_proxy_refusals(&proxy) >= refused + 1 + RECORDS);
    redis_proxy_refuse_script(&proxy, word, NULL);
    for (size_t i = 0; i < RECORDS; i++) {
        until(w, &a[i], 1);
        assert_int_equal(a[i].e, ERR_OK);
        answer_done(&a[i]);
    }
    nothing_is_left(w);
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

static void a_weak_redis_is_refused_by_name(void **state)
{
    struct world *w = *state;
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
    CHECK_EACH (cases, c) {
        REDIS_ASK(&real_server, out, "CONFIG", "SET", c->setting, c->weak);
        redis_proxy_refuse(&proxy, true);
        REAL_UNTIL(w, !store_ready(w->store[0], NULL));
        redis_proxy_refuse(&proxy, false);
        REAL_UNTIL(w, says(w, &why, c->setting));
        REDIS_ASK(&real_server, out, "CONFIG", "SET", c->setting, c->strong);
        real_wait_ready(w);
    }
    buf_clear(&why);
    assert_int_equal(store_warnings(w->store[0], &why), ERR_OK);
    assert_non_null(strstr(buf_cstr(&why), "maxmemory is not set"));
    buf_done(&why);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, faults_setup, faults_teardown)
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* with * and ? */
    redis_server_start(&real_server, NULL, false);
    int failed = CHECK_RUN(T(full_memory_is_452_and_still_drains), T(a_replica_is_not_written_to),
                           T(a_refusal_that_passes_is_forgotten), T(refused_commits_are_said_or_waited_for),
                           T(refused_finishes_are_told_again), T(refused_releases_are_told_again),
                           T(what_cannot_be_kept_is_found_again), T(a_refused_finish_outlives_its_lease),
                           T(a_refused_batch_is_told_one_by_one), T(refusals_say_what_to_do),
                           T(keys_of_the_wrong_type_are_reported), T(badmail_keeps_the_state_of_its_job),
                           T(a_report_without_body_ends), T(a_lost_report_brings_nobody_back_who_is_settled),
                           T(a_chunked_report_without_body_ends), T(a_slow_upload_keeps_its_body),
                           T(half_written_bodies_expire), T(a_body_that_expires_is_not_committed_in_part),
                           T(a_weak_redis_is_refused_by_name));
    redis_server_stop(&real_server);
    return failed;
#undef T
}
