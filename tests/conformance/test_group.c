/* Commits of all sessions of a loop share round trips: what is ready in one turn leaves in one write a
 * connection, and with replicas what becomes ready while a WAIT is under way shares the next one.
 *
 * Counted are the writes of this process (sendmsg() is wrapped by the linker) and Redis's own WAITs. */
#include "queue/redis_store_int.h"
#include "tests/conformance/real.h"
#include "tests/conformance/steps.h"
#include "tests/fakes/redis_proxy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SESSIONS = 200, TURNS = 4 };

static struct redis_server replica;
static struct redis_proxy proxy;
static unsigned writes;

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    writes++;
    return __real_sendmsg(fd, msg, flags);
}

static int setup_with(void **state, const char *durability)
{
    static const struct backend backend = {"group",    real_setup, real_teardown,
                                           real_close, real_turn,  real_freeze};
    static char url[128];
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->backend = &backend;
    *state = w;
    redis_proxy_start(&proxy, real_server.socket);
    (void)snprintf(url, sizeof url, "unix://%s", proxy.socket);
    return real_setup_with(w, url, durability, 30000);
}

static int setup_alone(void **state)
{
    redis_server_start(&real_server, NULL, false);
    return setup_with(state, "fsync");
}

static int setup_replicated(void **state)
{
    static char port[16];
    static const char *const options[] = {"--appendonly", "yes", "--appendfsync", "always",
                                          "--save",       "",    "--replicaof",   "127.0.0.1",
                                          port,           NULL};
    char out[64] = "";
    redis_server_start(&real_server, NULL, true);
    (void)snprintf(port, sizeof port, "%u", real_server.port);
    redis_server_start(&replica, options, true);
    for (int i = 0; strcmp(out, "1") != 0; i++) { /* WAIT itself waits */
        assert_true(i < 100);
        REDIS_ASK(&real_server, out, "WAIT", "1", "200");
    }
    return setup_with(state, "replicas:1");
}

static int teardown(void **state)
{
    struct world *w = *state;
    int result = real_teardown(w);
    redis_proxy_stop(&proxy);
    redis_server_stop(&replica);
    redis_server_stop(&real_server);
    free(w);
    return result;
}

static void start(struct world *w, struct answer *a, size_t n)
{
    static const char *const domain[] = {"example.net"};
    struct answer ready;
    struct mail m;
    answer_init(&ready);
    for (size_t i = 0; i < n; i++) {
        answer_init(&a[i]);
        mail_to(&m, domain, 1);
        struct upload *u = store_upload(w->store[0], NULL, on_event, &ready);
        write_all(w, u, SPAN("one of many"), &ready);
        assert_int_equal(upload_commit(u, &m.env, m.jobs, 1, on_commit, &a[i]), ERR_OK);
    }
}

static void all_committed(struct world *w, struct answer *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        until(w, &a[i], 1);
        if (a[i].e != ERR_OK)
            fail_msg("commit: %s: %s", err_text(a[i].e), buf_cstr(&a[i].why));
        answer_done(&a[i]);
    }
}

/* Every connection that carries commits is up. */
static struct redis_store *warm_up(struct world *w, struct answer *a)
{
    struct redis_store *st = (struct redis_store *)w->store[0];
    start(w, a, 1);
    all_committed(w, a, 1);
    for (size_t i = 0; i < st->nlanes; i++)
        REAL_UNTIL(w, redis_link_is_up(st->lanes[i].link));
    return st;
}

static void commits_of_a_turn_share_writes(void **state)
{
    struct world *w = *state;
    static struct answer a[SESSIONS];
    struct redis_store *st = warm_up(w, a);
    uint64_t before = st->metrics.commits;
    writes = 0;
    start(w, a, SESSIONS);
    assert_int_equal(writes, 0); /* they leave at the end of the turn */
    real_turn(w);
    print_message("%d commits left in %u writes\n", SESSIONS, writes);
    assert_in_range(writes, 1, SESSIONS / 10); /* a full socket takes more than one; and hints to workers */
    all_committed(w, a, SESSIONS);
    assert_int_equal(st->metrics.commits - before, SESSIONS);
}

static uint64_t waits(void)
{
    static char info[1 << 16];
    uint64_t n = 0;
    REDIS_ASK(&real_server, info, "INFO", "commandstats");
    const char *at = strstr(info, "cmdstat_wait:calls=");
    assert_non_null(at);
    at += strlen("cmdstat_wait:calls=");
    assert_true(span_to_u64(span_of(at, strcspn(at, ",")), UINT64_MAX, &n));
    return n;
}

static void what_comes_meanwhile_shares_the_next_wait(void **state)
{
    struct world *w = *state;
    static struct answer first[LANES_MAX], a[SESSIONS];
    struct redis_store *st = warm_up(w, a);
    uint64_t before = waits();
    redis_proxy_silence(&proxy, true); /* the answer of the first is held */
    start(w, first, st->nlanes);
    real_turn(w);
    writes = 0;
    for (size_t i = 0; i < TURNS; i++) {
        start(w, a + i * (SESSIONS / TURNS), SESSIONS / TURNS);
        real_turn(w);
    }
    assert_in_range(writes, 0, 2); /* hints to workers */
    redis_proxy_silence(&proxy, false);
    all_committed(w, first, st->nlanes);
    all_committed(w, a, SESSIONS);
    uint64_t shared = waits() - before, again = st->metrics.commits_short;
    print_message("%zu commits, then %d: %llu WAITs, %llu commits too late for theirs\n", st->nlanes,
                  SESSIONS, (unsigned long long)shared, (unsigned long long)again);
    assert_in_range(shared, 2 * st->nlanes, 2 * st->nlanes + again);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test_setup_teardown(commits_of_a_turn_share_writes, setup_alone, teardown),
                     cmocka_unit_test_setup_teardown(what_comes_meanwhile_shares_the_next_wait,
                                                     setup_replicated, teardown));
}
