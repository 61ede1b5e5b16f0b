/* What a session of the node holds, with a real Redis behind it: idle, while a body flows, and while it
 * cannot flow; in the clear, behind STARTTLS and with TLS from the first byte. Counted in allocated octets,
 * in a process of its own: the clients are another one. */
#include "node/node.h"

#include "queue/body.h"
#include "tests/conformance/memory_client.h"
#include "tests/fakes/redis_server.h"
#include "tests/unit/check.h"
/* behind check.h */
#include "tests/unit/common/io/certs.h"

#define ERR_STATE openssl_err_state
#include <openssl/ssl.h>
#undef ERR_STATE
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum {
    MIB = 1024 * 1024,
    FLOWING_MAX = 128 * 1024, /* of a session */
    IDLE_MAX = 16 * 1024,
    LOOP_MAX = 2 * CHUNK_BYTES, /* of the loop: the chunk being packed, and the one just answered */
    LOOP_KEPT = 32 * 1024,      /* of its connections to Redis: buffers of replies */
    BARE_30 = 8704,             /* of OpenSSL 3.0 for a session that has heard nothing */
};

static struct redis_server server;
static struct certs certs;

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
    if (__sanitizer_get_current_allocated_bytes != NULL)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* OpenSSL 3.2 and later have two record layers for each session, of 32 pipelines each that TLS does not use,
 * and give nobody a way to go without them. What a session that has heard nothing takes beyond what it takes
 * with OpenSSL 3.0 is not the node's, and moves the limits; all that the node can keep or let go stays within
 * them. */
static size_t grown_beyond_openssl_30(void)
{
    enum { SOME = 100 };
    SSL *bare[SOME];
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(ctx);
    SSL_free(SSL_new(ctx)); /* what is made once is there then */
    size_t before = allocated();
    for (int i = 0; i < SOME; i++)
        assert_non_null(bare[i] = SSL_new(ctx));
    size_t each = (allocated() - before) / SOME;
    for (int i = 0; i < SOME; i++)
        SSL_free(bare[i]);
    SSL_CTX_free(ctx);
    size_t grown = each > BARE_30 ? each - BARE_30 : 0;
    print_message("%s takes %zu octets for a session that has heard nothing: limits moved by %zu\n",
                  OpenSSL_version(OPENSSL_VERSION), each, grown);
    return grown;
}

/* --- the node ------------------------------------------------------------------------------------------- */

struct stage {
    struct loop *loop;
    struct config *conf;
    struct node *node;
    struct ip_endpoint plain, tls;
    int asked;
    struct held held;
    bool answered;
    atomic_size_t most;
    atomic_bool over;
};

static enum err open_store(void *arg, struct loop *l, const struct config *conf, struct store **ret,
                           struct errctx *ec)
{
    (void)arg;
    return store_redis_open(l, conf, ret, ec);
}

static struct config *configure(void)
{
    char yaml[1024];
    struct config *conf = NULL;
    struct errctx ec = {""};
    (void)snprintf(yaml, sizeof yaml,
                   "redis: {url: \"unix://%s\"}\n"
                   "local_domains: [{domain: example.org, deliver: 'maildir:./%%d/%%u'}]\n"
                   "virtual_servers: [{name: default, listen: ['127.0.0.1:0', 'tls://127.0.0.1:0'],\n"
                   "  hostname: mx.test, tls: {certificate: %s, key: %s}, reverse_dns_lookup: false,\n"
                   "  max_connections_per_client: 1000, max_rate_per_client: 0}]\n",
                   server.socket, certs.mx, certs.mx_key);
    if (config_parse(span_cstr(yaml), "test", "/nonexistent", NULL, &conf, NULL, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    return conf;
}

static void stage_init(struct stage *st)
{
    struct errctx ec = {""};
    struct buf why;
    *st = (struct stage){.loop = loop_new(), .conf = configure()};
    struct node_deps deps = {.loop = st->loop, .open_store = open_store, .threads = 1};
    if (node_new(&deps, st->conf, &st->node, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    struct timer *turn = timer_new(st->loop, (loop_fn *)loop_stop, st->loop);
    buf_init(&why, 4096);
    for (int i = 0; !node_ready(st->node, &why); i++) {
        assert_true(i < 10000);
        buf_clear(&why);
        timer_set(turn, 1);
        loop_run(st->loop);
    }
    buf_done(&why);
    timer_free(turn);
    assert_true(node_address(st->node, 0, &st->plain) && node_address(st->node, 1, &st->tls));
}

static void stage_done(struct stage *st)
{
    node_free(st->node);
    config_unref(st->conf);
    loop_free(st->loop);
}

/* --- what the clients ask ------------------------------------------------------------------------------- */

static void *sample(void *arg)
{
    struct stage *st = arg;
    while (!atomic_load(&st->over)) {
        size_t now = allocated(), most = atomic_load(&st->most);
        while (now > most && !atomic_compare_exchange_weak(&st->most, &most, now))
            ;
        (void)poll(NULL, 0, 1);
    }
    return NULL;
}

static void on_question(void *arg)
{
    struct stage *st = arg;
    size_t answer = allocated();
    char question = 0;
    if (read(st->asked, &question, 1) != 1) { /* it died: the exit code says why */
        loop_stop(st->loop);
        return;
    }
    if (question == ASK_FINISH) {
        st->answered = read(st->asked, &st->held, sizeof st->held) == sizeof st->held;
        loop_stop(st->loop);
        return;
    }
    if (question == ASK_MOST)
        answer = atomic_exchange(&st->most, answer);
    if (question == ASK_STALL || question == ASK_GO_ON)
        redis_server_signal(&server, question == ASK_STALL ? SIGSTOP : SIGCONT);
    assert_int_equal(write(st->asked, &answer, sizeof answer), sizeof answer);
}

static struct held measure(const struct plan *p)
{
    struct stage st;
    pthread_t sampler;
    int status = -1;
    stage_init(&st);
    pid_t pid = memory_client_start(p, &st.plain, &st.tls, &st.asked);
    struct watch *w = watch_fd(st.loop, st.asked, on_question, &st);
    assert_non_null(w);
    assert_int_equal(pthread_create(&sampler, NULL, sample, &st), 0);
    loop_run(st.loop);
    atomic_store(&st.over, true);
    pthread_join(sampler, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(st.answered);
    watch_free(w);
    (void)close(st.asked);
    stage_done(&st);
    return st.held;
}

static const char *const way_name[WAY__COUNT] = {"in the clear", "behind STARTTLS", "with TLS"};

/* --- tests ---------------------------------------------------------------------------------------------- */

static void test_node_memory__of_an_idle_session(void **state)
{
    static const struct {
        enum way way;
        const char *groups;
    } cases[] = {
        {WAY_PLAIN, NULL}, {WAY_STARTTLS, NULL}, {WAY_TLS, NULL}, {WAY_TLS, "P-256"}, {WAY_TLS, "P-521"}};
    (void)state;
    size_t grown = grown_beyond_openssl_30();
    CHECK_EACH (cases, c) {
        struct plan p = {.deed = IDLE, .way = c->way, .sessions = SESSIONS_MAX, .groups = c->groups};
        struct held h = measure(&p);
        size_t each = h.kept / (size_t)p.sessions;
        print_message("%d idle sessions %s hold %zu octets each\n", p.sessions, way_name[c->way], each);
        assert_in_range(each, 500, IDLE_MAX + (c->way == WAY_PLAIN ? 0 : grown));
    }
}

/* Both chunks of an upload are full, what was read meanwhile waits, and a record may have come in part. */
static void test_node_memory__of_a_session_whose_body_cannot_flow(void **state)
{
    static const struct {
        size_t first, record;
    } cuts[] = {
        {0, 0},         /* by chance */
        {16384, 16384}, /* as large as they can be */
        {15900, 16384}, /* the last one begins where the second chunk is nearly full */
        {1000, 8000},   /* more than one at a time */
    };
    (void)state;
    for (enum way way = 0; way < WAY__COUNT; way++)
        CHECK_EACH (cuts, cut) {
            struct plan p = {.deed = STALLED,
                             .way = way,
                             .sessions = 100,
                             .body = 8 * MIB,
                             .first = cut->first,
                             .record = cut->record};
            struct held h = measure(&p);
            size_t each = h.flowing / (size_t)p.sessions;
            print_message("%d stalled sessions %s, records of %zu: %zu octets each\n", p.sessions,
                          way_name[way], cut->record, each);
            assert_in_range(each, CHUNK_BYTES, FLOWING_MAX);
        }
}

static void test_node_memory__of_a_session_whose_body_flows(void **state)
{
    (void)state;
    size_t grown = grown_beyond_openssl_30();
    for (enum way way = 0; way < WAY__COUNT; way++) {
        size_t idle_max = IDLE_MAX + (way == WAY_PLAIN ? 0 : grown);
        struct plan p = {.deed = FLOWING, .way = way, .sessions = 4, .record = 16384};
        p.first = p.record;
        p.body = (way == WAY_PLAIN ? 50 : 16) * MIB;
        struct held h = measure(&p);
        print_message("%d sessions %s whose bodies of %zu octets flow hold at most %zu, and %zu then\n",
                      p.sessions, way_name[way], p.body, h.flowing, h.kept);
        assert_in_range(h.flowing, (size_t)p.sessions * CHUNK_BYTES,
                        (size_t)p.sessions * FLOWING_MAX + LOOP_MAX);
        assert_in_range(h.kept, 0, (size_t)p.sessions * idle_max + LOOP_KEPT);
    }
}

int main(void)
{
    redis_server_start(&server, NULL, false);
    certs_init(&certs);
    int failed = CHECK_RUN(cmocka_unit_test(test_node_memory__of_an_idle_session),
                           cmocka_unit_test(test_node_memory__of_a_session_whose_body_cannot_flow),
                           cmocka_unit_test(test_node_memory__of_a_session_whose_body_flows));
    certs_done(&certs);
    redis_server_stop(&server);
    return failed;
}
