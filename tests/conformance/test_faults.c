/* The store on Redis when things break: the connection at any byte, Redis itself at any moment.
 *
 * Client 0 accepts and delivers; its connections go through a proxy that cuts them. The seed is printed and
 * can be given as an argument (- is a new one), and behind it the name of a test (with * and ?), or of those
 * to leave out with a ! before it. */
#include "common/rng.h"
#include "queue/redis_commit.h"
#include "queue/redis_worker.h"
#include "tests/conformance/faults.h"

#include <string.h>

enum { CUTS = 40, SLOT_CUTS = 20, KILLS = 10 };

static struct rng rng;

/* --- Connections --------------------------------------------------------------------------------- */

/* What was armed falls, whatever else passes meanwhile: on a slow machine renewals do. */
static void live_until_cut(struct world *w, const struct life *life, unsigned cuts)
{
    enum { LIVES_MAX = 100 };
    for (unsigned lives = 0; redis_proxy_cuts(&proxy) < cuts; lives++) {
        if (lives == LIVES_MAX)
            fail_msg("cut %u did not fall in %d lives", cuts, LIVES_MAX);
        live(w, life);
    }
}

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
        live_until_cut(w, life, cuts + i + 1);
    }
    nothing_is_left(w);
    assert_int_equal(redis_proxy_cuts(&proxy) - cuts, CUTS);
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

/* As soon as there is a connection and a lease to ask with. */
static unsigned slots_surely(struct world *w, unsigned want)
{
    struct answer a;
    answer_init(&a);
    for (int i = 0; store_slots_get(w->store[0], SPAN("mx.example"), want, 50, 1000, on_slots, &a) != ERR_OK;
         i++) {
        assert_true(i < REAL_TURNS_MAX);
        real_turn(w);
    }
    until(w, &a, 1);
    unsigned got = (unsigned)a.number;
    answer_done(&a);
    return got;
}

/* Slots survive lost replies: what Redis counts is what is held. */
static void cut_slots(void **state)
{
    struct world *w = *state;
    struct answer expired, a;
    answer_init(&expired);
    work(w, 0, &expired);
    work(w, 1, &expired);
    unsigned held = 0, before = redis_proxy_cuts(&proxy);
    for (unsigned i = 0; redis_proxy_cuts(&proxy) < before + SLOT_CUTS; i++) {
        if (i == 100 * SLOT_CUTS)
            fail_msg("%u of %d cuts in %u rounds", redis_proxy_cuts(&proxy) - before, SLOT_CUTS, i);
        redis_proxy_cut(&proxy, rng_below(&rng, 2) == 0 ? TO_SERVER : TO_CLIENT, 1 + rng_below(&rng, 400));
        if (held > 0 && rng_below(&rng, 2) == 0) {
            store_slots_put(w->store[0], SPAN("mx.example"), 1);
            held--;
        }
        held += slots_surely(w, 2);
        assert_true(held <= 50);
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
    assert_int_equal(store_discover(w->store[0], 0, 0, 10, on_discover, &a), ERR_OK);
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

static void cut_every_script(void **state)
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
static void late_after_outages(void **state, void (*more)(struct world *w))
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
    more(w);
    assert_int_equal(reap_all(w, 1), 0);
    real_freeze(w, 0, false);
    assert_int_equal(finish_done(w, 0, c), ERR_OK);
    nothing_is_left(w);
    answer_done(&commit);
}

static void no_more(struct world *w)
{
    (void)w;
}

static void an_outage_beyond_the_lease_is_nobody_s_death(void **state)
{
    late_after_outages(state, no_more);
}

static bool is_ready(struct store *store)
{
    struct buf why;
    buf_init(&why, 4096);
    bool ready = store_ready(store, &why);
    buf_done(&why);
    return ready;
}

/* Each too short to be one of its own, all of them longer than a lease. */
static void flicker(struct world *w)
{
    enum { AT_LEAST = 3 };
    ms_t end = clock_mono(&clock_system) + 2 * FAULTS_SHORT_LEASE_MS;
    for (unsigned n = 0; n < AT_LEAST || clock_mono(&clock_system) < end; n++) {
        redis_proxy_refuse(&proxy, true);
        REAL_UNTIL(w, !is_ready(w->store[1]));
        redis_proxy_refuse(&proxy, false);
        REAL_UNTIL(w, is_ready(w->store[1]));
    }
}

/* While nobody can reach Redis the others cannot come back, either. */
static void outages_one_after_the_other_are_nobody_s_death(void **state)
{
    late_after_outages(state, flicker);
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

/* So many, as soon as others have left them. */
static void take(struct world *w, size_t client, unsigned n)
{
    unsigned got = 0;
    for (int i = 0; got < n; i++) {
        assert_true(i < REAL_TURNS_MAX);
        got += ask_slots(w, client, n - got);
    }
}

static void open_sessions(struct world *w, struct sessions *s)
{
    store_on_slots_lost(w->store[0], close_all, s);
    take(w, 0, CAP);
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

/* What was granted to an incarnation that is over by the time the answer comes is nobody's: not handed out,
 * and given back by the next one. */
static void slots_of_an_old_incarnation_are_given_back(void **state)
{
    struct world *w = *state;
    struct redis_store *st = (struct redis_store *)w->store[0];
    struct answer expired, other, a;
    answer_init(&expired);
    answer_init(&other);
    answer_init(&a);
    work(w, 0, &expired);
    work(w, 1, &other);
    for (unsigned held = 0; held < 2; held++) { /* without slots of its own, and with one */
        answer_done(&a);
        answer_init(&a);
        take(w, 0, held);
        assert_int_equal(store_slots_get(w->store[0], SPAN("mx.example"), CAP - held, CAP, CAP, on_slots, &a),
                         ERR_OK);
        redis_worker_expire(st); /* the question is on its way under the old name */
        until(w, &a, 1);
        assert_int_equal(a.e, ERR_STALE);
        assert_int_equal(a.number, 0);
        REAL_UNTIL(w, store_worker_valid(w->store[0]) > 0);
        take(w, 1, CAP - held);
        assert_int_equal(ask_slots(w, 1, 1), 0); /* what it held itself stayed */
        store_slots_put(w->store[1], SPAN("mx.example"), CAP - held);
        store_slots_put(w->store[0], SPAN("mx.example"), held);
    }
    answer_done(&a);
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
        take(w, 1, CAP);
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

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, faults_setup, faults_teardown)
    uint64_t seed = 0;
    if (argc < 2 || !span_to_u64(span_cstr(argv[1]), UINT64_MAX, &seed))
        seed = rng_system_seed();
    (void)printf("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    if (argc > 2 && argv[2][0] == '!')
        cmocka_set_skip_filter(argv[2] + 1);
    else if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    redis_server_start(&real_server, NULL, false);
    int failed = CHECK_RUN(
        T(cut_small_messages), T(cut_small_reports), T(cut_large_bodies_and_reports),
        cmocka_unit_test_setup_teardown(an_outage_beyond_the_lease_is_nobody_s_death, faults_setup_short,
                                        faults_teardown),
        cmocka_unit_test_setup_teardown(outages_one_after_the_other_are_nobody_s_death, faults_setup_short,
                                        faults_teardown),
        cmocka_unit_test_setup_teardown(an_outage_keeps_the_caps, faults_setup_short, faults_teardown),
        cmocka_unit_test_setup_teardown(a_long_outage_keeps_the_caps, faults_setup_short, faults_teardown),
        T(slots_are_taken_over), T(slots_of_an_old_incarnation_are_given_back),
        T(slots_that_others_have_are_lost), T(cut_slots), T(cut_every_script), T(kill_redis_at_any_moment),
        T(scripts_that_vanish_are_loaded_again),
        cmocka_unit_test_setup_teardown(silence_is_survived, faults_setup_short, faults_teardown),
        T(unreachable_is_said_and_mended));
    redis_server_stop(&real_server);
    return failed;
#undef T
}
