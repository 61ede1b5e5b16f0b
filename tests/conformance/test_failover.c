/* The store behind Sentinel: the master dies under load, a replica is promoted, nothing acknowledged is lost,
 * and what was finished stays finished. */
#include "queue/redis_store_int.h"
#include "tests/conformance/real.h"
#include "tests/conformance/steps.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUND = 20, MESSAGES = 2 * ROUND, FINISHED = 15, LARGE = 2 * BULK_LINKS };

static struct redis_server replica, sentinel;
static char port[16];

static const char *const options[] = {"--appendonly", "yes", "--appendfsync", "always", "--save", "", NULL};
static const char *const replica_options[] = {
    "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--replicaof", "127.0.0.1", port, NULL};

/* Sentinel cannot make a replica of it: it stays a master that takes whatever it is sent. */
static const char *const stubborn_options[] = {
    "--appendonly",     "yes",     "--appendfsync",     "always", "--save", "",
    "--rename-command", "SLAVEOF", "NOT-TO-BE-DEPOSED", NULL};

static int setup_with(void **state, const char *const *master_options, const char *durability)
{
    struct world *w = calloc(1, sizeof *w);
    static const struct backend backend = {"failover", real_setup, real_teardown,
                                           real_close, real_turn,  real_freeze};
    static char url[128];
    char out[64] = "";
    assert_non_null(w);
    w->backend = &backend;
    redis_server_start(&real_server, master_options, true);
    (void)snprintf(port, sizeof port, "%u", real_server.port);
    redis_server_start(&replica, replica_options, true);
    for (int i = 0; strcmp(out, "1") != 0; i++) { /* WAIT itself waits */
        assert_true(i < 100);
        REDIS_ASK(&real_server, out, "WAIT", "1", "200");
    }
    redis_sentinel_start(&sentinel, &real_server, "mymaster");
    (void)snprintf(url, sizeof url, "redis-sentinel://127.0.0.1:%u/mymaster", sentinel.port);
    *state = w;
    return real_setup_with(w, url, durability, 30000);
}

static int setup(void **state)
{
    return setup_with(state, options, "replicas:1");
}

static int setup_stubborn(void **state)
{
    return setup_with(state, stubborn_options, "fsync"); /* nobody replicates the new master */
}

static int teardown(void **state)
{
    struct world *w = *state;
    int result = real_teardown(w);
    redis_server_stop(&sentinel);
    redis_server_stop(&replica);
    redis_server_stop(&real_server);
    free(w);
    return result;
}

/* The replica is the server that the invariants are proved on from here. */
static void exchange(void)
{
    struct redis_server old = real_server;
    real_server = replica;
    replica = old;
}

static void master_dies(struct world *w)
{
    redis_server_kill(&real_server);
    REAL_UNTIL(w, !store_ready(w->store[0], NULL) && !store_ready(w->store[1], NULL));
    exchange();
}

struct sent {
    struct answer a;
    bool acknowledged, finished, seen;
};

static void start(struct world *w, struct sent *s)
{
    static const char *const domain[] = {"example.net"};
    struct answer ready;
    struct mail m;
    answer_init(&s->a);
    answer_init(&ready);
    mail_to(&m, domain, 1);
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    write_all(w, u, SPAN("kept by two"), &ready);
    if (upload_commit(u, &m.env, m.jobs, 1, on_commit, &s->a) != ERR_OK)
        upload_abort(u);
}

static struct sent *find(struct sent *sent, const struct claim *c)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        if (strcmp(sent[i].a.id.id, c->id.id) == 0)
            return &sent[i];
    }
    return NULL;
}

/* Claims once in each partition and finishes what comes, at most `most`. */
static size_t deliver(struct world *w, struct sent *sent, size_t most)
{
    size_t n = 0;
    for (unsigned p = 0; p < store_partitions(w->store[1]) && n < most; p++) {
        struct answer a;
        answer_init(&a);
        unsigned max = most - n > 100 ? 100 : (unsigned)(most - n);
        if (store_claim(w->store[1], p, SPAN("example.net"), 0, max, on_claim, &a) != ERR_OK)
            continue;
        until(w, &a, 1);
        for (size_t i = 0; i < a.n; i++, n++) {
            struct sent *s = find(sent, a.claims[i]);
            check_body(w, 1, a.claims[i], SPAN("kept by two"));
            if (s != NULL) { /* one that was answered 451 may be there all the same */
                assert_false(s->finished);
                s->seen = true;
            }
            enum err e = finish_done(w, 1, a.claims[i]);
            assert_int_equal(e, ERR_OK);
            if (s != NULL)
                s->finished = true;
        }
        answer_done(&a);
    }
    return n;
}

static void nothing_acknowledged_is_lost(void **state)
{
    struct world *w = *state;
    static struct sent sent[MESSAGES];
    struct answer expired;
    answer_init(&expired);
    work(w, 1, &expired);
    for (size_t i = 0; i < ROUND; i++)
        start(w, &sent[i]);
    for (size_t i = 0; i < ROUND; i++)
        until(w, &sent[i].a, 1);
    assert_int_equal(deliver(w, sent, FINISHED), FINISHED);
    for (size_t i = ROUND; i < MESSAGES; i++) /* under way when it dies */
        start(w, &sent[i]);
    real_turn(w);
    master_dies(w);
    for (size_t i = ROUND; i < MESSAGES; i++)
        until(w, &sent[i].a, 1);
    real_wait_ready(w);
    for (size_t i = 0; i < MESSAGES; i++)
        sent[i].acknowledged = sent[i].a.calls > 0 && sent[i].a.e == ERR_OK;
    for (size_t i = 0; i < ROUND; i++)
        assert_true(sent[i].acknowledged);
    REAL_UNTIL(w, store_worker_valid(w->store[1]) > 0);
    for (int idle = 0; idle < 200;) { /* the repair comes two seconds after the failover */
        idle = deliver(w, sent, MESSAGES) > 0 ? 0 : idle + 1;
        for (int i = 0; i < 10; i++)
            real_turn(w);
    }
    for (size_t i = 0; i < MESSAGES; i++) {
        if (sent[i].acknowledged && !sent[i].finished)
            fail_msg("message %zu was acknowledged and is lost", i);
    }
}

/* Without its replica the master acknowledges nothing. */
static void short_of_replicas_is_451(void **state)
{
    struct world *w = *state;
    static struct sent one;
    start(w, &one);
    until(w, &one.a, 1);
    assert_int_equal(one.a.e, ERR_OK);
    answer_done(&one.a);
    redis_server_kill(&replica);
    start(w, &one);
    until(w, &one.a, 1);
    assert_int_equal(one.a.e, ERR_AGAIN);
    assert_non_null(strstr(buf_cstr(&one.a.why), "replicas"));
    assert_false(store_ready(w->store[0], NULL));
    answer_done(&one.a);
    redis_server_restart(&replica);
    for (int i = 0;; i++) { /* mail tries again by itself */
        start(w, &one);
        if (one.a.calls == 0)
            at_least(w, &one.a, 1);
        enum err e = one.a.e;
        answer_done(&one.a);
        if (e == ERR_OK)
            break;
        assert_true(i < 20);
    }
}

/* A worker takes what no replica confirms: that is no reason to say 250. */
static void short_of_replicas_is_451_also_in_hand(void **state)
{
    struct world *w = *state;
    static struct sent one;
    struct answer expired;
    struct claim *c = NULL;
    answer_init(&expired);
    work(w, 1, &expired);
    redis_server_kill(&replica);
    start(w, &one);
    for (int i = 0; c == NULL; i++) {
        struct answer a;
        answer_init(&a);
        assert_true(i < TURNS_MAX && one.a.calls == 0);
        if (store_claim(w->store[1], (unsigned)i % WORLD_PARTITIONS, SPAN("example.net"), 0, 1, on_claim,
                        &a) == ERR_OK)
            until(w, &a, 1);
        c = a.n > 0 ? a.claims[0] : NULL;
        answer_done(&a);
    }
    until(w, &one.a, 1);
    assert_int_equal(one.a.e, ERR_AGAIN);
    assert_string_equal(c->id.id, one.a.id.id);
    assert_int_equal(finish_done(w, 1, c), ERR_OK);
    answer_done(&one.a);
    redis_server_restart(&replica);
}

/* --- What the new master lacks ------------------------------------------------------------------- */

enum { KINDS = 4, OF_EACH = 3, SENT = KINDS * OF_EACH, WIDE = 600 };

struct lacking {
    struct answer a;
    struct buf body;
    unsigned jobs, seen;
};

static void send_wide(struct world *w, struct lacking *l, size_t size, unsigned jobs)
{
    static struct recipient rcpt = {.address = SPAN_INIT("user@example.net")};
    static struct job job[WIDE];
    static struct commit_job list[WIDE];
    struct envelope env = {.sender = SPAN("sender@example.org"), .client = SPAN("192.0.2.1")};
    struct answer ready;
    answer_init(&ready);
    answer_init(&l->a);
    l->body = body_of(size, false);
    l->jobs = jobs;
    for (unsigned i = 0; i < jobs; i++) {
        job[i] = (struct job){.domain = SPAN("example.net"), .expire_ms = 99999, .rcpts = &rcpt, .nrcpts = 1};
        list[i].job = &job[i];
    }
    struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
    write_all(w, u, buf_span(&l->body), &ready);
    assert_int_equal(upload_commit(u, &env, list, jobs, on_commit, &l->a), ERR_OK);
    until(w, &l->a, 1);
    assert_int_equal(l->a.e, ERR_OK);
}

/* The replica forgets all messages of the store; of every other one a piece of the body stays. */
static void forget_messages(const struct world *w)
{
    static const char script[] =
        "for i, k in ipairs(redis.call('keys', ARGV[1])) do "
        "if string.find(k, ':b:') and i % 2 == 0 and redis.call('type', k).ok == 'list' then "
        "redis.call('ltrim', k, 0, 0) redis.call('pexpire', k, 900000) "
        "elseif string.sub(k, -2) ~= ':g' then redis.call('del', k) end end";
    char out[64], pattern[64];
    (void)snprintf(pattern, sizeof pattern, "{%s.p*", ((const struct real *)w->own)->namespace);
    REDIS_ASK(&replica, out, "CONFIG", "SET", "replica-read-only", "no");
    REDIS_ASK(&replica, out, "EVAL", script, "0", pattern);
    assert_string_equal(out, "");
}

/* Connection slots that client 0 holds, and whose grants are lost, too. */
enum { CAP = 8 };

static void ask_slots(struct world *w, size_t client, struct answer *a)
{
    answer_init(a);
    assert_int_equal(store_slots_get(w->store[client], SPAN("mx.example"), CAP, CAP, CAP, on_slots, a),
                     ERR_OK);
}

static unsigned take_slots(struct world *w, size_t client)
{
    struct answer a;
    ask_slots(w, client, &a);
    until(w, &a, 1);
    assert_int_equal(a.e, ERR_OK);
    answer_done(&a);
    return (unsigned)a.number;
}

static void forget_grants(const struct world *w)
{
    char out[64], pattern[64];
    (void)snprintf(pattern, sizeof pattern, "{%s.sem}:[hdt]*", ((const struct real *)w->own)->namespace);
    REDIS_ASK(&replica, out, "CONFIG", "SET", "replica-read-only", "no");
    REDIS_ASK(&replica, out, "EVAL",
              "for _, k in ipairs(redis.call('keys', ARGV[1])) do redis.call('del', k) end", "0", pattern);
    assert_string_equal(out, "");
}

/* Client 1 is the quicker one after the failover; it is not given what client 0 has open. */
static void ask_before_others_are_back(struct world *w, struct answer *expired, struct answer *asked)
{
    real_freeze(w, 0, true);
    REAL_UNTIL(w, store_ready(w->store[1], NULL));
    work(w, 1, expired);
    ask_slots(w, 1, asked);
    for (int i = 0; i < 20; i++)
        real_turn(w);
    real_freeze(w, 0, false);
    real_wait_ready(w);
}

/* WAIT counted another replica than the one that is promoted: whatever its size, a message comes back once.
 * Slots are not given twice, although the new master knows nothing of them.
 */
static void what_the_new_master_lacks_is_sent_again(void **state)
{
    struct world *w = *state;
    static const struct {
        size_t size;
        unsigned jobs;
    } kinds[KINDS] = {{100, 1}, {3 * CHUNK_BYTES + 77, 1}, {100, WIDE}, {3 * CHUNK_BYTES + 77, WIDE}};
    static struct lacking sent[SENT];
    struct answer expired, other, asked;
    unsigned left = 0;
    answer_init(&expired);
    answer_init(&other);
    work(w, 0, &other);
    assert_int_equal(take_slots(w, 0), CAP);
    for (size_t i = 0; i < SENT; i++) {
        send_wide(w, &sent[i], kinds[i % KINDS].size, kinds[i % KINDS].jobs);
        left += sent[i].jobs;
    }
    forget_messages(w);
    forget_grants(w);
    master_dies(w);
    ask_before_others_are_back(w, &expired, &asked);
    for (unsigned i = 0; left > 0; i++) {
        struct answer a;
        answer_init(&a);
        if (i == REAL_TURNS_MAX)
            fail_msg("%u jobs never came", left);
        if (store_claim(w->store[1], i % WORLD_PARTITIONS, SPAN("example.net"), 0, 100, on_claim, &a) ==
            ERR_OK)
            until(w, &a, 1);
        for (size_t n = 0; n < a.n; n++) {
            struct lacking *l = sent;
            while (l < sent + SENT && strcmp(l->a.id.id, a.claims[n]->id.id) != 0)
                l++;
            assert_true(l < sent + SENT && l->seen < l->jobs);
            if (l->seen++ == 0)
                check_body(w, 1, a.claims[n], buf_span(&l->body));
            assert_int_equal(store_finish(w->store[1], &(struct finish){.claim = a.claims[n]}, NULL, NULL),
                             ERR_OK);
            left--;
        }
        if (a.n == 0)
            (void)reap_all(w, 1); /* it queues staged jobs */
        answer_done(&a);
    }
    until(w, &asked, 1);
    assert_int_equal(asked.e, ERR_OK);
    assert_int_equal(asked.number, 0);
    store_slots_put(w->store[0], SPAN("mx.example"), CAP);
    REAL_UNTIL(w, take_slots(w, 1) == CAP);
    assert_int_equal(other.calls + expired.calls, 0);
    answer_done(&asked);
    for (size_t i = 0; i < SENT; i++) {
        answer_done(&sent[i].a);
        buf_done(&sent[i].body);
    }
}

/* --- A master that lives on ---------------------------------------------------------------------- */

/* How many connections of the stores a server has. */
static unsigned links_at(struct redis_server *s)
{
    static char list[1 << 16];
    unsigned n = 0;
    REDIS_ASK(s, list, "CLIENT", "LIST");
    for (const char *at = list; (at = strstr(at, " name=bridgehead")) != NULL; at++)
        n++;
    return n;
}

static void depose(void)
{
    char out[256] = "";
    for (int i = 0; strcmp(out, "OK") != 0; i++) { /* as soon as Sentinel knows the replica */
        assert_true(i < 1000);
        REDIS_ASK(&sentinel, out, "SENTINEL", "FAILOVER", "mymaster");
        (void)usleep(20000);
    }
}

/* One that lives on and takes what it is sent is left by every connection: by those of bodies half sent, too.
 */
static void nobody_stays_with_a_deposed_master(void **state)
{
    struct world *w = *state;
    static const char *const domain[] = {"example.net"};
    static struct answer a[LARGE], ready[LARGE];
    static struct mail m[LARGE];
    struct upload *u[LARGE];
    struct answer expired, wake, claimed;
    char out[64];
    struct buf half = body_of(CHUNK_BYTES + 1, false), body;
    buf_init(&body, 4 * CHUNK_BYTES);
    assert_int_equal(buf_add(&body, buf_span(&half)), ERR_OK);
    assert_int_equal(buf_add(&body, buf_span(&half)), ERR_OK);
    answer_init(&expired);
    answer_init(&wake);
    store_on_wake(w->store[1], on_wake, &wake);
    work(w, 1, &expired);
    for (size_t i = 0; i < LARGE; i++) {
        answer_init(&a[i]);
        answer_init(&ready[i]);
        mail_to(&m[i], domain, 1);
        u[i] = store_upload(w->store[0], NULL, on_event, &ready[i]);
        write_all(w, u[i], buf_span(&half), &ready[i]);
        REAL_UNTIL(w, ((struct redis_upload *)u[i])->acked == 1);
    }
    REAL_UNTIL(w, links_at(&real_server) > BULK_LINKS + 4); /* of bodies, commits, wake-ups; control */
    depose();
    exchange();
    REAL_UNTIL(w, links_at(&replica) == 0);
    REDIS_ASK(&replica, out, "SET", "still", "a master");
    assert_string_equal(out, "OK");
    real_wait_ready(w);
    for (size_t i = 0; i < LARGE; i++) {
        write_all(w, u[i], buf_span(&half), &ready[i]);
        assert_int_equal(upload_commit(u[i], &m[i].env, m[i].jobs, 1, on_commit, &a[i]), ERR_OK);
    }
    for (size_t i = 0; i < LARGE; i++) {
        until(w, &a[i], 1);
        if (a[i].e != ERR_OK)
            fail_msg("commit %zu: %s: %s", i, err_text(a[i].e), buf_cstr(&a[i].why));
    }
    REAL_UNTIL(w, store_worker_valid(w->store[1]) > 0);
    for (size_t n = 0, i = 0; n < LARGE; i++) {
        assert_true(i < TURNS_MAX);
        answer_init(&claimed);
        unsigned partition = (unsigned)i % store_partitions(w->store[1]);
        if (store_claim(w->store[1], partition, SPAN("example.net"), 0, 100, on_claim, &claimed) == ERR_OK)
            until(w, &claimed, 1);
        for (size_t k = 0; k < claimed.n; k++, n++) {
            check_body(w, 1, claimed.claims[k], buf_span(&body));
            assert_int_equal(finish_done(w, 1, claimed.claims[k]), ERR_OK);
        }
        answer_done(&claimed);
    }
    assert_int_equal(links_at(&replica), 0);
    buf_done(&half);
    buf_done(&body);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    return CHECK_RUN(
        T(nothing_acknowledged_is_lost), T(short_of_replicas_is_451),
        T(short_of_replicas_is_451_also_in_hand), T(what_the_new_master_lacks_is_sent_again),
        cmocka_unit_test_setup_teardown(nobody_stays_with_a_deposed_master, setup_stubborn, teardown));
#undef T
}
