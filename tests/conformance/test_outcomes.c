/* What became of a job, told to a Redis that refuses it, or has lost what goes with it: nobody who is settled
 * comes back, and nothing stays in hand. The name of a test (with * and ?) can be given as an argument. */
#include "queue/redis_worker.h"
#include "tests/conformance/faults.h"

#include <string.h>

/* --- Memory of our own --------------------------------------------------------------------------- */

static bool no_memory;
static unsigned calls_left; /* until one call, and no other, has none; 0: all have */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    bool fails = no_memory || calls_left == 1;
    calls_left -= calls_left > 0 ? 1 : 0;
    return fails ? NULL : __real_calloc(n, size);
}

/* False, and as before: the call that had none was made. */
static bool memory_lasted(void)
{
    bool lasted = calls_left > 0;
    calls_left = 0;
    return lasted;
}

/* --- Reports ------------------------------------------------------------------------------------- */

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

/* Redis has no room for the report of a job that is over: both wait, and nobody who was delivered comes back.
 */
static void full_memory_keeps_a_report_and_its_job(void **state)
{
    static const char *const domain[] = {"sender.example"};
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer expired, ready, a;
    struct mail report;
    char out[64], before[64];
    answer_init(&expired);
    answer_init(&ready);
    answer_init(&a);
    work(w, 0, &expired);
    struct claim *c = claim_of_two(w);
    struct msgid id = c->id;
    counted(w, &id, "delivered", before);
    struct finish f = {.claim = c, .event = SPAN("bounced"), .delivered = 1, .bounced = 1};
    f.without = &(struct finish){.verb = FINISH_RETRY, .event = SPAN("deferred"), .delivered = 1};
    mail_to(&report, domain, 1);
    f.report = store_upload(w->store[0], &id, on_event, &ready);
    write_all(w, f.report, SPAN("a report"), &ready);
    f.report_env = &report.env;
    f.report_jobs = report.jobs;
    f.nreport_jobs = 1;
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "maxmemory", "1");
    uint64_t refused = metric_get(&st->metrics.errors);
    assert_int_equal(store_finish(w->store[0], &f, on_done, &a), ERR_OK);
    REAL_UNTIL(w, metric_get(&st->metrics.errors) >= refused + 2); /* told again */
    assert_int_equal(a.calls, 0);
    assert_false(in_queue(w, &id));
    REDIS_ASK(&real_server, out, "CONFIG", "SET", "maxmemory", "0");
    until(w, &a, 1);
    assert_int_equal(a.e, ERR_OK);
    counted(w, &id, "delivered", out);
    assert_int_equal(strtoull(out, NULL, 10), strtoull(before, NULL, 10) + 1);
    c = claim_surely(w, &id, "sender.example");
    check_body(w, 0, c, SPAN("a report"));
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
    nothing_is_left(w);
    assert_int_equal(expired.calls, 0);
    answer_done(&a);
}

/* We have no memory to tell what is over: it is told when there is some, and not done again meanwhile. */
static void what_finds_no_memory_is_told_later(void **state)
{
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer expired, a;
    answer_init(&expired);
    answer_init(&a);
    work(w, 0, &expired);
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct finish f = {
        .claim = claim_surely(w, &id, "example.net"), .event = SPAN("delivered"), .delivered = 1};
    assert_int_equal(store_finish(w->store[0], &f, on_done, &a), ERR_OK);
    no_memory = true;
    redis_finishes_flush(st);
    no_memory = false;
    assert_int_equal(metric_get(&st->metrics.finishes_held), 1);
    until(w, &a, 1);
    assert_int_equal(a.e, ERR_OK);
    id = put(w, "example.net", SPAN("x"));
    assert_int_equal(store_release(w->store[0], claim_surely(w, &id, "example.net"), 0), ERR_OK);
    no_memory = true;
    redis_finishes_flush(st);
    no_memory = false;
    assert_false(in_queue(w, &id));
    REAL_UNTIL(w, in_queue(w, &id));
    assert_int_equal(finish_done(w, 0, claim_surely(w, &id, "example.net")), ERR_OK);
    nothing_is_left(w);
    assert_int_equal(expired.calls, 0);
    answer_done(&a);
}

/* A commit of one chunk or more, whose jobs fit into its script or do not, for which there is no memory at
 * each place in turn: it ends, and what was not accepted can be sent again. */
static void a_commit_without_memory_ends(void **state)
{
    enum { JOBS = 501 };
    static const struct {
        size_t size, jobs;
    } mails[] = {{100, 1}, {100, JOBS}, {2 * CHUNK_BYTES + 100, 1}, {2 * CHUNK_BYTES + 100, JOBS}};
    struct world *w = *state;
    struct recipient rcpt = {.address = SPAN_INIT("r@example.net")};
    struct job job = {.domain = SPAN("example.net"), .expire_ms = 99999, .rcpts = &rcpt, .nrcpts = 1};
    struct commit_job jobs[JOBS];
    struct envelope env = {.sender = SPAN("sender@example.org"), .client = SPAN("192.0.2.1")};
    for (size_t i = 0; i < JOBS; i++)
        jobs[i] = (struct commit_job){.job = &job};
    CHECK_EACH (mails, mail) {
        struct buf text = body_of(mail->size, false);
        bool lasted = false;
        for (unsigned call = 1; !lasted; call++) {
            struct answer ready, a;
            answer_init(&ready);
            answer_init(&a);
            struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
            write_all(w, u, buf_span(&text), &ready);
            REAL_UNTIL(w, ((struct redis_upload *)u)->acked == mail->size / CHUNK_BYTES);
            calls_left = call;
            enum err e = upload_commit(u, &env, jobs, mail->jobs, on_commit, &a);
            assert_int_equal(a.calls, 0);
            if (e == ERR_OK)
                until(w, &a, 1);
            else
                upload_abort(u);
            lasted = memory_lasted();
            assert_true(e == ERR_OK ? a.e == ERR_OK || a.e == ERR_AGAIN : e == ERR_NOMEM || e == ERR_AGAIN);
            assert_true(!lasted || (e == ERR_OK && a.e == ERR_OK));
            answer_done(&a);
        }
        buf_done(&text);
    }
}

/* The same of a report: its job ends, with it or without it, or comes back. */
static void a_report_without_memory_ends(void **state)
{
    static const size_t sizes[] = {100, 2 * CHUNK_BYTES + 100};
    static const char *const domain[] = {"sender.example"};
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer expired;
    answer_init(&expired);
    work(w, 0, &expired);
    for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
        struct buf text = body_of(sizes[i / 2], false);
        struct finish without = {.verb = FINISH_DONE, .event = SPAN("delivered"), .delivered = 1};
        bool lasted = false;
        for (unsigned call = 1; !lasted; call++) {
            struct answer ready, a;
            struct mail report;
            answer_init(&ready);
            answer_init(&a);
            struct msgid id = put(w, "example.net", SPAN("x"));
            struct finish f = {.claim = claim_surely(w, &id, "example.net"),
                               .event = SPAN("bounced"),
                               .bounced = 1,
                               .without = i % 2 == 0 ? NULL : &without};
            mail_to(&report, domain, 1);
            f.report = store_upload(w->store[0], &id, on_event, &ready);
            write_all(w, f.report, buf_span(&text), &ready);
            REAL_UNTIL(w, ((struct redis_upload *)f.report)->acked == sizes[i / 2] / CHUNK_BYTES);
            f.report_env = &report.env;
            f.report_jobs = report.jobs;
            f.nreport_jobs = 1;
            calls_left = call;
            enum err e = store_finish(w->store[0], &f, on_done, &a);
            assert_int_equal(a.calls, 0);
            if (e == ERR_OK) {
                for (int turn = 0; a.calls == 0 && turn < TURNS_MAX; turn++) {
                    st->worker->held_until_ms = 0; /* no pause */
                    real_turn(w);
                }
                assert_int_equal(a.calls, 1);
            } else {
                upload_abort(f.report);
                assert_int_equal(store_release(w->store[0], f.claim, 0), ERR_OK);
                REAL_UNTIL(w, in_queue(w, &id));
            }
            lasted = memory_lasted();
            assert_true(!lasted || (e == ERR_OK && a.e == ERR_OK));
            answer_done(&a);
        }
        buf_done(&text);
    }
    assert_int_equal(expired.calls, 0);
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

/* --- Refusals ------------------------------------------------------------------------------------ */

/* What weakens the store, for the log. */
static bool warns(const struct world *w, const char *text)
{
    struct buf out;
    buf_init(&out, 8192);
    assert_int_equal(store_warnings(w->store[0], &out), ERR_OK);
    bool found = strstr(buf_cstr(&out), text) != NULL;
    buf_done(&out);
    return found;
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
        assert_int_equal(warns(w, "is kept and told again"), r->e != ERR_OK);
        assert_true(r->e == ERR_OK || warns(w, r->remedy));
        redis_proxy_refuse_script(&proxy, word, NULL);
        until(w, &a, 1);
        assert_false(warns(w, "is kept and told again"));
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

/* --- Leases -------------------------------------------------------------------------------------- */

/* A worker whose lease Redis does not renew says why, and what to do about it, until it is renewed. */
static void a_refused_lease_says_why(void **state)
{
    struct world *w = *state;
    struct answer expired;
    char word[2][41];
    answer_init(&expired);
    work(w, 0, &expired);
    digest(SCRIPT_RENEW, word[0]);
    digest(SCRIPT_SEM, word[1]);
    for (size_t script = 0; script < 2; script++) {
        CHECK_EACH (refusals, r) {
            if (r->e == ERR_OK)
                continue; /* waited for by the connection, which is not ready meanwhile */
            assert_string_equal(store_worker_why(w->store[0]), "");
            redis_proxy_refuse_script(&proxy, word[script], r->error);
            REAL_UNTIL(w, strstr(store_worker_why(w->store[0]), r->remedy) != NULL);
            redis_proxy_refuse_script(&proxy, word[script], NULL);
            REAL_UNTIL(w, store_worker_why(w->store[0])[0] == '\0');
            real_wait_ready(w);
            REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
        }
    }
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, faults_setup, faults_teardown)
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    redis_server_start(&real_server, NULL, false);
    int failed = CHECK_RUN(
        T(refused_finishes_are_told_again), T(refused_releases_are_told_again),
        T(full_memory_keeps_a_report_and_its_job), T(what_finds_no_memory_is_told_later),
        T(what_cannot_be_kept_is_found_again), T(a_refused_finish_outlives_its_lease),
        T(a_refused_batch_is_told_one_by_one), T(a_report_without_body_ends),
        T(a_lost_report_brings_nobody_back_who_is_settled), T(a_chunked_report_without_body_ends),
        T(a_commit_without_memory_ends), T(a_report_without_memory_ends),
        cmocka_unit_test_setup_teardown(a_refused_lease_says_why, faults_setup_short, faults_teardown));
    redis_server_stop(&real_server);
    return failed;
#undef T
}
