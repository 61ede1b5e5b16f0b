/* A world whose connections to Redis can be cut, and a message that survives it. */
#include "tests/conformance/faults.h"

#include "queue/redis_slot.h"

#include <stdlib.h>
#include <string.h>

struct redis_proxy proxy;
static char proxy_url[128];

static int setup_lease(void **state, unsigned lease_ms)
{
    struct world *w = calloc(1, sizeof *w);
    static const struct backend backend = {"redis",    real_setup, real_teardown,
                                           real_close, real_turn,  real_freeze};
    if (w == NULL)
        return -1;
    w->backend = &backend;
    *state = w;
    redis_proxy_start(&proxy, real_server.socket);
    (void)snprintf(proxy_url, sizeof proxy_url, "unix://%s", proxy.socket);
    return real_setup_with(w, proxy_url, NULL, lease_ms);
}

int faults_setup(void **state)
{
    return setup_lease(state, 30000); /* longer than any machine is slow */
}

int faults_setup_short(void **state)
{
    return setup_lease(state, FAULTS_SHORT_LEASE_MS);
}

int faults_teardown(void **state)
{
    struct world *w = *state;
    int result = real_teardown(w);
    redis_proxy_stop(&proxy);
    free(w);
    return result;
}

/* --- A life of a message that survives what happens to its connections ----------------------------- */

/* Begins a commit to example.net; the answer comes into *a. */
enum err start_commit(struct world *w, struct span body, struct answer *a)
{
    static const char *const domain[] = {"example.net"};
    struct answer ready;
    struct mail m;
    answer_init(a);
    answer_init(&ready);
    mail_to(&m, domain, 1);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    assert_non_null(u);
    write_all(w, u, body, &ready);
    enum err e = upload_commit(u, &m.env, m.jobs, 1, on_commit, a);
    if (e != ERR_OK)
        upload_abort(u);
    return e;
}

void committed(struct world *w, struct answer *a)
{
    until(w, a, 1);
    if (a->e != ERR_OK)
        fail_msg("commit: %s: %s", err_text(a->e), buf_cstr(&a->why));
}

struct claim *claim_surely(struct world *w, const struct msgid *id, const char *domain)
{
    for (int i = 0;; i++) {
        struct answer a;
        answer_init(&a);
        enum err e = store_claim(w->store[0], id->partition, span_cstr(domain), 0, 1, on_claim, &a);
        assert_true(i < TURNS_MAX);
        if (e == ERR_OK)
            until(w, &a, 1);
        else
            real_turn(w); /* no lease for a moment */
        struct claim *c = a.n > 0 ? a.claims[0] : NULL;
        answer_done(&a);
        if (c != NULL)
            return c;
    }
}

void live(struct world *w, const struct life *life)
{
    static const char *const domain[] = {"sender.example"};
    struct buf body = body_of(life->size, false);
    struct answer a, ready;
    assert_int_equal(start_commit(w, buf_span(&body), &a), ERR_OK);
    committed(w, &a);
    struct msgid id = a.id;
    struct claim *c = claim_surely(w, &id, "example.net");
    assert_string_equal(c->id.id, id.id);
    check_body(w, 0, c, buf_span(&body));
    struct finish f = {.claim = c, .verb = FINISH_DONE, .event = SPAN("delivered"), .delivered = 1};
    struct mail report;
    answer_init(&ready);
    if (life->report) {
        mail_to(&report, domain, 1);
        f.report = store_upload(w->store[0], &id, on_event, &ready);
        write_all(w, f.report, buf_span(&body), &ready);
        f.report_env = &report.env;
        f.report_jobs = report.jobs;
        f.nreport_jobs = 1;
    }
    assert_int_equal(finish(w, 0, &f), ERR_OK);
    if (life->report) {
        c = claim_surely(w, &id, "sender.example");
        check_body(w, 0, c, buf_span(&body));
        assert_int_equal(finish_done(w, 0, c), ERR_OK);
    }
    answer_done(&a);
    answer_done(&ready);
    buf_done(&body);
}

void nothing_is_left(struct world *w)
{
    real_wait_ready(w);
    assert_int_equal(total_depth(w), 0);
    assert_int_equal(reap_all(w, 0), 0);
}

void key_of(const struct world *w, const struct msgid *id, const char *kind, char out[128])
{
    char tag[REDIS_TAG_MAX];
    redis_tag(((const struct real *)w->own)->namespace, id->partition, WORLD_PARTITIONS, tag);
    (void)snprintf(out, 128, "%s:%s%s", tag, kind, kind[0] == 'g' || kind[0] == 'n' ? "" : id->id);
}

bool in_queue(const struct world *w, const struct msgid *id)
{
    char tag[REDIS_TAG_MAX], key[128], job[32], out[64] = "";
    redis_tag(((const struct real *)w->own)->namespace, id->partition, WORLD_PARTITIONS, tag);
    (void)snprintf(key, sizeof key, "%s:q:example.net", tag);
    (void)snprintf(job, sizeof job, "%s.1", id->id);
    REDIS_ASK(&real_server, out, "ZSCORE", key, job);
    return out[0] != '\0';
}

const struct refusal refusals[REFUSALS] = {
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
    {"MOVED 3999 127.0.0.1:6381", ERR_BACKEND, "not supported yet"},
    {"ASK 3999 127.0.0.1:6381", ERR_BACKEND, "not supported yet"},
    {"CROSSSLOT Keys in request don't hash to the same slot", ERR_BACKEND, "not supported yet"},
    {"WRONGTYPE Operation against a key holding the wrong kind of value", ERR_BACKEND, "queue fsck"},
    {"ERR something that nobody has heard of", ERR_BACKEND, "nobody has heard of"},
};

void digest(enum script_id id, char out[41])
{
    (void)snprintf(out, 41, "%.40s", scripts[id].sha1);
}

void kill_redis(void)
{
    redis_server_kill(&real_server);
    redis_server_restart(&real_server);
}
