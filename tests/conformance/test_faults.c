/* The store on Redis when things break: the connection at any byte, Redis itself at any moment, Redis
 * refusing.
 *
 * Client 0 accepts and delivers; its connections go through a proxy that cuts them. The seed is printed and
 * can be given as an argument, and the name of a test (with * and ?) behind it. */
#include "common/rng.h"
#include "queue/redis_commit.h"
#include "queue/redis_worker.h"
#include "queue/script.h"
#include "tests/conformance/real.h"
#include "tests/conformance/steps.h"
#include "tests/fakes/redis_proxy.h"

#include <stdlib.h>
#include <string.h>

enum { CUTS = 40, KILLS = 10 };

static struct redis_proxy proxy;
static struct rng rng;
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

static int setup(void **state)
{
    return setup_lease(state, 30000); /* longer than any machine is slow */
}

static int setup_short(void **state)
{
    return setup_lease(state, 1500);
}

static int teardown(void **state)
{
    struct world *w = *state;
    int result = real_teardown(w);
    redis_proxy_stop(&proxy);
    free(w);
    return result;
}

/* --- A life of a message that survives what happens to its connections ----------------------------- */

struct life {
    size_t size;
    bool report;
};

/* Begins a commit to example.net; the answer comes into *a. */
static enum err start_commit(struct world *w, struct span body, struct answer *a)
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

static void committed(struct world *w, struct answer *a)
{
    until(w, a, 1);
    if (a->e != ERR_OK)
        fail_msg("commit: %s: %s", err_text(a->e), buf_cstr(&a->why));
}

static struct claim *claim_surely(struct world *w, const struct msgid *id, const char *domain)
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

static void live(struct world *w, const struct life *life)
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

static void nothing_is_left(struct world *w)
{
    real_wait_ready(w);
    assert_int_equal(total_depth(w), 0);
    assert_int_equal(reap_all(w, 0), 0);
}

/* --- Connections --------------------------------------------------------------------------------- */

static void cut_everywhere(struct world *w, const struct life *life, enum redis_proxy_way way)
{
    live(w, life); /* connects what is not connected yet */
    uint64_t before = redis_proxy_passed(&proxy, way);
    unsigned cuts = redis_proxy_cuts(&proxy);
    live(w, life);
    uint64_t all = redis_proxy_passed(&proxy, way) - before;
    for (unsigned i = 0; i < CUTS; i++) {
        /* Bodies are most of the bytes: every other cut falls on what goes before them. */
        uint64_t anywhere = 1 + all * i / CUTS + rng_below(&rng, all / CUTS + 1);
        redis_proxy_cut(&proxy, way, i % 2 == 0 ? anywhere : 1 + i);
        live(w, life);
    }
    redis_proxy_cut(&proxy, way, UINT64_MAX / 2);
    nothing_is_left(w);
    assert_true(redis_proxy_cuts(&proxy) - cuts > CUTS / 2);
}

static void cut_lives(void **state, const struct life *life)
{
    struct world *w = *state;
    struct answer expired;
    answer_init(&expired);
    work(w, 0, &expired);
    cut_everywhere(w, life, TO_SERVER);
    cut_everywhere(w, life, TO_CLIENT);
    assert_int_equal(expired.calls, 0);
}

static void cut_small_messages(void **state)
{
    cut_lives(state, &(struct life){2000, false});
}

static void cut_small_reports(void **state)
{
    cut_lives(state, &(struct life){500, true});
}

static void cut_large_bodies_and_reports(void **state)
{
    cut_lives(state, &(struct life){3 * CHUNK_BYTES + 77, true});
}

/* Slots survive lost replies: what Redis counts is what is held. */
static void cut_slots(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 0, &expired);
    work(w, 1, &expired);
    unsigned held = 0;
    for (unsigned i = 0; i < 3 * CUTS; i++) {
        redis_proxy_cut(&proxy, rng_below(&rng, 2) == 0 ? TO_SERVER : TO_CLIENT, 1 + rng_below(&rng, 400));
        if (held > 0 && rng_below(&rng, 2) == 0) {
            store_slots_put(w->store[0], SPAN("mx.example"), 1);
            held--;
        }
        answer_init(&a);
        if (store_slots_get(w->store[0], SPAN("mx.example"), 2, 50, 1000, on_slots, &a) == ERR_OK) {
            until(w, &a, 1);
            held += (unsigned)a.number;
            assert_true(held <= 50);
        }
        answer_done(&a);
    }
    redis_proxy_cut(&proxy, TO_SERVER, UINT64_MAX / 2);
    redis_proxy_cut(&proxy, TO_CLIENT, UINT64_MAX / 2);
    real_wait_ready(w);
    store_slots_put(w->store[0], SPAN("mx.example"), held);
    for (int i = 0;; i++) { /* nobody but us has any: all can be had again */
        answer_init(&a);
        if (store_slots_get(w->store[1], SPAN("mx.example"), 50, 50, 1000, on_slots, &a) == ERR_OK)
            until(w, &a, 1);
        unsigned got = (unsigned)a.number;
        answer_done(&a);
        if (got == 50)
            break;
        store_slots_put(w->store[1], SPAN("mx.example"), got);
        assert_true(i < 2000);
        real_turn(w);
    }
}

/* --- Every script -------------------------------------------------------------------------------- */

static void digest(enum script_id id, char out[41])
{
    (void)snprintf(out, 41, "%.40s", scripts[id].sha1);
}

/* A message to more domains than one commit takes, with a link and a slot. */
static void wide_life(struct world *w)
{
    enum { WIDE = 501 };
    static struct recipient rcpt = {.address = SPAN_INIT("user@example.net")};
    static struct job job[WIDE];
    static struct commit_job list[WIDE];
    struct envelope env = {.sender = SPAN("sender@example.org"), .client = SPAN("192.0.2.1")};
    struct answer ready, a;
    answer_init(&ready);
    answer_init(&a);
    for (size_t i = 0; i < WIDE; i++) {
        job[i] =
            (struct job){.domain = SPAN("wide.example"), .expire_ms = 99999, .rcpts = &rcpt, .nrcpts = 1};
        list[i].job = &job[i];
    }
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    write_all(w, u, SPAN("x"), &ready);
    assert_int_equal(upload_commit(u, &env, list, WIDE, on_commit, &a), ERR_OK);
    committed(w, &a);
    for (unsigned done = 0; done < WIDE;) {
        struct answer got;
        (void)reap_all(w, 0); /* it queues what was staged */
        (void)claim(w, 0, a.id.partition, "wide.example", 100, &got);
        for (size_t i = 0; i < got.n; i++, done++)
            assert_int_equal(store_finish(w->store[0], &(struct finish){.claim = got.claims[i]}, NULL, NULL),
                             ERR_OK);
        answer_done(&got);
    }
    answer_done(&a);
}

static void ask_about(struct world *w)
{
    struct answer a;
    answer_init(&a);
    assert_int_equal(store_discover(w->store[0], 0, 10, on_discover, &a), ERR_OK);
    until(w, &a, 1);
    assert_int_equal(store_hold(w->store[0], 0, SPAN("held.example"), 0, 1, 0), ERR_OK);
    assert_int_equal(store_link_failed(w->store[0], SPAN("mx.example"), 1, 1, SPAN("421")), ERR_OK);
    if (store_slots_get(w->store[0], SPAN("mx.example"), 1, 10, 10, on_slots, &a) == ERR_OK) {
        until(w, &a, 2);
        store_slots_put(w->store[0], SPAN("mx.example"), (unsigned)a.number);
    }
    answer_done(&a);
}

static void give_back(struct world *w)
{
    struct msgid id = put(w, "example.net", SPAN("x"));
    struct claim *c = claim_surely(w, &id, "example.net");
    assert_int_equal(store_release(w->store[0], c, 0), ERR_OK);
    c = claim_surely(w, &id, "example.net");
    redis_reassert((struct redis_store *)w->store[0]); /* as after a failover */
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
}

static void leave_and_return(struct world *w)
{
    static struct answer expired;
    struct answer a;
    answer_init(&a);
    redis_audit((struct redis_store *)w->store[0], 0); /* jobs.lua */
    store_worker_close(w->store[0], on_done, &a);
    until(w, &a, 1);
    work(w, 0, &expired);
    answer_done(&a);
}

/* A commit whose reply is lost when its time is over is taken back: the client is told 451. */
static void commit_too_late(struct world *w)
{
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer a;
    char word[41];
    digest(SCRIPT_COMMIT, word);
    enum redis_proxy_phase phase = proxy.phase; /* of cancel: armed when the commit is cut */
    char armed[sizeof proxy.word];
    (void)snprintf(armed, sizeof armed, "%s", proxy.word);
    redis_proxy_cut_word(&proxy, word, CUT_BEFORE_REPLY);
    unsigned cuts = redis_proxy_cuts(&proxy);
    assert_int_equal(start_commit(w, SPAN("x"), &a), ERR_OK);
    st->commits->started_ms -= COMMIT_TIMEOUT_MS;
    REAL_UNTIL(w, redis_proxy_cuts(&proxy) > cuts);
    redis_proxy_cut_word(&proxy, armed, phase);
    until(w, &a, 1);
    assert_int_equal(a.e, ERR_AGAIN);
    answer_done(&a);
}

static void small_life(struct world *w)
{
    live(w, &(struct life){100, true});
}

/* What makes the client use the script; whatever is cut, it ends well, and the invariants hold. */
static const struct {
    enum script_id script;
    void (*story)(struct world *w);
} script_stories[] = {
    {SCRIPT_COMMIT, small_life},    {SCRIPT_CLAIM, small_life},       {SCRIPT_FINISH, small_life},
    {SCRIPT_STAGE, wide_life},      {SCRIPT_REAP, wide_life},         {SCRIPT_DISCOVER, ask_about},
    {SCRIPT_HOLD, ask_about},       {SCRIPT_LINK, ask_about},         {SCRIPT_SEM, ask_about},
    {SCRIPT_RELEASE, give_back},    {SCRIPT_REASSERT, give_back},     {SCRIPT_JOBS, leave_and_return},
    {SCRIPT_BYE, leave_and_return}, {SCRIPT_RENEW, leave_and_return}, {SCRIPT_CANCEL, commit_too_late},
};

static void every_script_is_cut(void **state)
{
    struct world *w = *state;
    struct answer expired;
    answer_init(&expired);
    work(w, 0, &expired);
    CHECK_EACH (script_stories, s) {
        for (enum redis_proxy_phase phase = CUT_IN_REQUEST; phase <= RUBBISH_FOR_REPLY; phase++) {
            char word[41];
            digest(s->script, word);
            unsigned cuts = redis_proxy_cuts(&proxy);
            redis_proxy_cut_word(&proxy, word, phase);
            s->story(w);
            for (int i = 0; redis_proxy_cuts(&proxy) == cuts + (s->script == SCRIPT_CANCEL); i++) {
                if (i == REAL_TURNS_MAX)
                    fail_msg("script %d was not used", (int)s->script);
                real_turn(w);
            }
            real_wait_ready(w);
            REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
            nothing_is_left(w);
            if (!real_prove(w))
                fail_msg("script %d, phase %d: see above", (int)s->script, (int)phase);
        }
    }
    assert_int_equal(expired.calls, 0);
}

/* --- Redis --------------------------------------------------------------------------------------- */

/* Nobody can renew while Redis is down, and leases end all the same: those who come back late lose nothing.
 */
static void an_outage_beyond_the_lease_is_nobody_s_death(void **state)
{
    struct world *w = *state;
    struct answer expired, other;
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &expired);
    work(w, 1, &other);
    struct answer commit;
    assert_int_equal(start_commit(w, SPAN("x"), &commit), ERR_OK);
    committed(w, &commit);
    struct claim *c = claim_surely(w, &commit.id, "example.net");
    real_freeze(w, 0, true); /* it comes back later than the other */
    redis_server_kill(&real_server);
    REAL_UNTIL(w, other.calls > 0);
    redis_server_restart(&real_server);
    REAL_UNTIL(w, store_worker_valid(w->store[1]) > 0);
    assert_int_equal(reap_all(w, 1), 0);
    real_freeze(w, 0, false);
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
    nothing_is_left(w);
    answer_done(&commit);
}

/* Client 0 has connections that wait for the answer to their final dot when Redis goes, for longer than its
 * lease. Whoever comes back first, no more are open at any time than the cap allows. */
struct sessions {
    unsigned open, lost;
};
enum { CAP = 5 };

static void close_all(void *arg)
{
    struct sessions *s = arg;
    s->open = 0;
    s->lost++;
}

static unsigned ask_slots(struct world *w, size_t client, unsigned want)
{
    struct answer a;
    answer_init(&a);
    if (store_slots_get(w->store[client], SPAN("mx.example"), want, CAP, CAP, on_slots, &a) == ERR_OK)
        until(w, &a, 1);
    answer_done(&a);
    real_turn(w);
    return (unsigned)a.number;
}

/* All there are, as soon as nobody has any. */
static void take_all(struct world *w, size_t client)
{
    unsigned got = 0;
    for (int i = 0; got < CAP; i++) {
        assert_true(i < REAL_TURNS_MAX);
        got += ask_slots(w, client, CAP);
    }
}

static void open_sessions(struct world *w, struct sessions *s)
{
    store_on_slots_lost(w->store[0], close_all, s);
    take_all(w, 0);
    s->open = CAP;
}

/* Client 1 wants them all; client 0 is in no hurry to close its own. */
static void exchange_sessions(struct world *w, struct sessions *s)
{
    enum { ANSWERS = 20 };
    for (unsigned mine = 0, answers = 0; mine < CAP;) {
        mine += ask_slots(w, 1, CAP);
        assert_true(mine + s->open <= CAP);
        answers += store_worker_valid(w->store[0]) > 0 && store_worker_valid(w->store[1]) > 0;
        if (s->open > 0 && answers > ANSWERS) {
            store_slots_put(w->store[0], SPAN("mx.example"), s->open);
            s->open = 0;
        }
    }
}

static void an_outage(void **state, bool until_slots_end)
{
    struct world *w = *state;
    struct sessions s = {0};
    struct answer expired, other;
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &expired);
    work(w, 1, &other);
    open_sessions(w, &s);
    redis_server_kill(&real_server);
    REAL_UNTIL(w, expired.calls > 0 && other.calls > 0 && (s.lost > 0 || !until_slots_end));
    redis_server_restart(&real_server);
    exchange_sessions(w, &s);
    nothing_is_left(w);
}

static void an_outage_keeps_the_caps(void **state)
{
    an_outage(state, false);
}

static void a_long_outage_keeps_the_caps(void **state)
{
    an_outage(state, true);
}

/* The next incarnation takes over what the connections of the last one hold, also when the answer is lost. */
static void slots_are_taken_over(void **state)
{
    struct world *w = *state;
    struct sessions s = {0};
    struct answer expired, other;
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &expired);
    work(w, 1, &other);
    for (enum redis_proxy_phase phase = CUT_NOT; phase <= CUT_IN_REPLY; phase++) {
        char word[41];
        digest(SCRIPT_SEM, word);
        open_sessions(w, &s);
        if (phase != CUT_NOT)
            redis_proxy_cut_word(&proxy, word, phase);
        redis_worker_expire((struct redis_store *)w->store[0]);
        store_slots_put(w->store[0], SPAN("mx.example"), 1); /* one ends meanwhile */
        s.open--;
        REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
        assert_int_equal(s.open, CAP - 1);
        exchange_sessions(w, &s);
        store_slots_put(w->store[1], SPAN("mx.example"), CAP);
    }
    assert_int_equal(s.lost, 0);
}

/* Somebody has begun to give them away: what is left is closed at once. */
static void slots_that_others_have_are_lost(void **state)
{
    struct world *w = *state;
    struct sessions s = {0};
    struct answer expired, other;
    char w_key[128], out[64];
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &expired);
    work(w, 1, &other);
    for (unsigned named = 0; named < 2; named++) { /* under its own name, or under its next one */
        struct redis_store *st = (struct redis_store *)w->store[0];
        open_sessions(w, &s);
        (void)snprintf(w_key, sizeof w_key, "%s:w", st->sem_tag);
        REDIS_ASK(&real_server, out, "ZADD", w_key, "1", st->worker->name); /* its time is long over */
        take_all(w, 1);
        if (named == 0)
            store_slots_put(w->store[0], SPAN("mx.example"), 1);
        else
            redis_worker_expire(st);
        REAL_UNTIL(w, s.lost > named);
        assert_int_equal(s.open, 0);
        store_slots_put(w->store[1], SPAN("mx.example"), CAP);
        REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
    }
}

static void kill_redis(void)
{
    redis_server_kill(&real_server);
    redis_server_restart(&real_server);
}

static void kill_redis_at_any_moment(void **state)
{
    struct world *w = *state;
    struct answer expired;
    answer_init(&expired);
    work(w, 0, &expired);
    for (int i = 0; i < KILLS; i++) {
        struct answer commit[20];
        unsigned seen = 0;
        for (size_t k = 0; k < ARRAY_LEN(commit); k++)
            assert_int_equal(start_commit(w, SPAN("some body that is stored"), &commit[k]), ERR_OK);
        for (uint64_t turns = rng_below(&rng, 4); turns > 0; turns--)
            real_turn(w);
        kill_redis();
        for (size_t k = 0; k < ARRAY_LEN(commit); k++)
            committed(w, &commit[k]);
        for (size_t k = 0; k < ARRAY_LEN(commit); k++) { /* each is there, once */
            struct claim *c = claim_surely(w, &commit[k].id, "example.net");
            size_t which = 0;
            while (which < ARRAY_LEN(commit) && strcmp(commit[which].id.id, c->id.id) != 0)
                which++;
            assert_true(which < ARRAY_LEN(commit));
            assert_int_equal(seen & 1u << which, 0);
            seen |= 1u << which;
            if (k % 7 == 3)
                kill_redis();
            check_body(w, 0, c, SPAN("some body that is stored"));
            assert_int_equal(finish_done(w, 0, c), ERR_OK);
        }
        for (size_t k = 0; k < ARRAY_LEN(commit); k++)
            answer_done(&commit[k]);
        nothing_is_left(w);
    }
}

static void scripts_that_vanish_are_loaded_again(void **state)
{
    struct world *w = *state;
    struct answer expired;
    char out[64];
    answer_init(&expired);
    work(w, 0, &expired);
    for (int i = 0; i < 5; i++) {
        live(w, &(struct life){100, true});
        REDIS_ASK(&real_server, out, "SCRIPT", "FLUSH");
    }
    live(w, &(struct life){100, true});
    nothing_is_left(w);
}

/* Silence: nothing is promised, workers stop before their leases end, all recover. */
static void silence_is_survived(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 0, &expired);
    live(w, &(struct life){100, false});
    redis_proxy_silence(&proxy, true);
    assert_int_equal(start_commit(w, SPAN("x"), &a), ERR_OK);
    REAL_UNTIL(w, expired.calls > 0);
    assert_int_equal(store_worker_valid(w->store[0]), 0);
    REAL_UNTIL(w, !store_ready(w->store[0], NULL));
    assert_int_equal(a.calls, 0); /* it may have been executed: only Redis knows */
    redis_proxy_silence(&proxy, false);
    committed(w, &a);
    real_wait_ready(w);
    REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
    struct claim *c = claim_surely(w, &a.id, "example.net");
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
    nothing_is_left(w);
    answer_done(&a);
}

static void unreachable_is_said_and_mended(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    struct buf why;
    answer_init(&expired);
    buf_init(&why, 4096);
    work(w, 0, &expired);
    redis_proxy_refuse(&proxy, true);
    REAL_UNTIL(w, !store_ready(w->store[0], NULL));
    assert_false(store_ready(w->store[0], &why));
    assert_true(why.len > 0);
    if (start_commit(w, SPAN("x"), &a) == ERR_OK) {
        until(w, &a, 1); /* within its patience: it was never sent */
        assert_int_equal(a.e, ERR_AGAIN);
        assert_true(a.why.len > 0);
    }
    redis_proxy_refuse(&proxy, false);
    real_wait_ready(w);
    REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
    live(w, &(struct life){100, false});
    nothing_is_left(w);
    answer_done(&a);
    buf_done(&why);
}

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

/* A job whose finish is refused stays in hand, or comes back: it is never lost. */
static void refused_finishes_lose_nothing(void **state)
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
        REAL_UNTIL(w, a.calls > 0 || (r->e == ERR_OK && redis_proxy_refusals(&proxy) > before + 1));
        assert_int_equal(a.calls, r->e != ERR_OK);
        redis_proxy_refuse_script(&proxy, word, NULL);
        until(w, &a, 1);
        assert_int_equal(a.e, r->e);
        real_wait_ready(w);
        REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
        if (r->e != ERR_OK) {
            REAL_UNTIL(w, in_queue(w, &id)); /* given back, due later */
            assert_int_equal(store_rouse(w->store[0], id.partition, SPAN("example.net"), 0), ERR_OK);
            assert_int_equal(finish_done(w, 0, claim_surely(w, &id, "example.net")), ERR_OK);
        }
        nothing_is_left(w);
        answer_done(&a);
    }
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
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    uint64_t seed = 0;
    if (argc < 2 || !span_to_u64(span_cstr(argv[1]), UINT64_MAX, &seed))
        seed = rng_system_seed();
    (void)printf("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    redis_server_start(&real_server, NULL, false);
    int failed = CHECK_RUN(
        T(cut_small_messages), T(cut_small_reports), T(cut_large_bodies_and_reports),
        cmocka_unit_test_setup_teardown(an_outage_beyond_the_lease_is_nobody_s_death, setup_short, teardown),
        cmocka_unit_test_setup_teardown(an_outage_keeps_the_caps, setup_short, teardown),
        cmocka_unit_test_setup_teardown(a_long_outage_keeps_the_caps, setup_short, teardown),
        T(slots_are_taken_over), T(slots_that_others_have_are_lost), T(cut_slots), T(every_script_is_cut),
        T(kill_redis_at_any_moment), T(scripts_that_vanish_are_loaded_again),
        cmocka_unit_test_setup_teardown(silence_is_survived, setup_short, teardown),
        T(unreachable_is_said_and_mended), T(full_memory_is_452_and_still_drains),
        T(a_replica_is_not_written_to), T(a_refusal_that_passes_is_forgotten),
        T(refused_commits_are_said_or_waited_for), T(refused_finishes_lose_nothing),
        T(refusals_say_what_to_do), T(keys_of_the_wrong_type_are_reported),
        T(badmail_keeps_the_state_of_its_job), T(a_report_without_body_ends), T(a_slow_upload_keeps_its_body),
        T(half_written_bodies_expire), T(a_body_that_expires_is_not_committed_in_part),
        T(a_weak_redis_is_refused_by_name));
    redis_server_stop(&real_server);
    return failed;
#undef T
}
