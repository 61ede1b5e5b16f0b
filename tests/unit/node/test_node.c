/* tests/unit/node/test_node.c — mirrors node/node.c, shard.c, caller.c: real sockets, several loops, stores
 * of the fakes. Clients are threads of their own that speak blocking SMTP; the node's main loop is ours. */
#include "node/node.h"

#include "tests/fakes/fake_store.h"
#include "tests/unit/check.h"

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHARDS = 2, CLIENTS_MAX = 16, PATIENCE_MS = 20000 };

struct stage;
typedef void client_fn(struct stage *st, int index);
struct stage {
    struct loop *loop;
    struct node *node;
    struct config *conf;
    struct fake_store *db[SHARDS];
    size_t ndb, window, threads; /* 0: SHARDS */
    int early;
    struct ip_endpoint at;
    client_fn *client;
    unsigned clients;
    atomic_uint left;
    atomic_uint accepted, refused;
};

/* A descriptor that one loop closed may be accepted by another one before the first has told epoll(7) to
 * forget it: then it asks for the removal of a descriptor that it does not watch, and is told so (ENOENT).
 * ThreadSanitizer takes that for a race on the descriptor. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:epoll_ctl\n";
}

/* The linker gives us the allocations of the program: the one counted down to is refused. */
static atomic_int until_refused = -1;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    if (atomic_load(&until_refused) >= 0 && atomic_fetch_sub(&until_refused, 1) == 0)
        return NULL;
    return __real_calloc(n, size);
}

/* --- the node ------------------------------------------------------------------------------------------- */

static enum err open_store(void *arg, struct loop *l, const struct config *conf, struct store **ret,
                           struct errctx *ec)
{
    struct stage *st = arg;
    struct fake_store *db = fake_store_new(loop_clock(l), 4);
    (void)conf, (void)ec;
    fake_store_window(db, st->window);
    st->db[st->ndb++] = db;
    *ret = fake_store_open(db);
    return fake_store_attach(db, l);
}

static struct config *configure(const char *settings)
{
    struct config *conf = NULL;
    struct errctx ec = {""};
    struct buf yaml;
    buf_init(&yaml, 65536);
    assert_int_equal(buf_addf(&yaml,
                              "local_domains: [{domain: example.org, deliver: 'maildir:./%%d/%%u'}]\n"
                              "virtual_servers:\n"
                              "  - {name: default, listen: ['127.0.0.1:0'], hostname: mx.test%s}\n",
                              settings),
                     ERR_OK);
    enum err e = config_parse(buf_span(&yaml), "test", "/nonexistent", NULL, &conf, NULL, &ec);
    if (e != ERR_OK)
        print_error("%s\n", ec.msg);
    assert_int_equal(e, ERR_OK);
    buf_done(&yaml);
    return conf;
}

static void stage_init(struct stage *st, const char *settings)
{
    struct errctx ec = {""};
    st->loop = loop_new();
    assert_non_null(st->loop);
    st->conf = configure(settings);
    struct node_deps deps = {.loop = st->loop, .open_store = open_store, .arg = st};
    deps.threads = st->threads > 0 ? st->threads : SHARDS;
    enum err e = node_new(&deps, st->conf, &st->node, &ec);
    if (e != ERR_OK)
        print_error("%s\n", ec.msg);
    assert_int_equal(e, ERR_OK);
    assert_true(node_address(st->node, 0, &st->at));
}

static void stage_done(struct stage *st)
{
    for (size_t i = 0; i < st->ndb; i++)
        assert_int_equal(fake_store_open_uploads(st->db[i]), 0);
    node_free(st->node);
    for (size_t i = 0; i < st->ndb; i++)
        fake_store_free(st->db[i]);
    config_unref(st->conf);
    loop_free(st->loop);
}

/* --- clients -------------------------------------------------------------------------------------------- */

struct role {
    struct stage *st;
    int index;
};

static void stop(void *arg)
{
    loop_stop(((struct stage *)arg)->loop);
}

static void *run_client(void *arg)
{
    struct role *role = arg;
    struct stage *st = role->st;
    st->client(st, role->index);
    if (atomic_fetch_sub(&st->left, 1) == 1)
        assert_int_equal(loop_post(st->loop, stop, st), ERR_OK);
    return NULL;
}

static void play(struct stage *st, unsigned clients, client_fn *fn)
{
    pthread_t threads[CLIENTS_MAX];
    struct role roles[CLIENTS_MAX];
    st->client = fn;
    atomic_store(&st->left, clients);
    for (unsigned i = 0; i < clients; i++) {
        roles[i] = (struct role){st, (int)i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_client, &roles[i]), 0);
    }
    loop_run(st->loop);
    for (unsigned i = 0; i < clients; i++)
        (void)pthread_join(threads[i], NULL);
}

/* Clients are gone before the loops have heard of it. */
static void run_until_drained(struct stage *st)
{
    while (!node_drained(st->node)) {
        assert_int_equal(loop_post(st->loop, stop, st), ERR_OK);
        loop_run(st->loop);
        (void)poll(NULL, 0, 1);
    }
}

/* window: what the kernel keeps for a client that does not read; 0: its default. */
static int dial_with(const struct stage *st, int window)
{
    struct sockaddr_storage ss;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    if (window > 0)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window), 0);
    socklen_t len = (socklen_t)ip_to_sockaddr(&st->at, (struct sockaddr *)&ss);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

static int dial(const struct stage *st)
{
    return dial_with(st, 0);
}

static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += (size_t)n;
    }
}

/* The last line of the next reply, without CRLF; "" at the end of the connection. */
static const char *hear(int fd, char line[1024])
{
    size_t n = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        if (recv(fd, line + n, 1, 0) <= 0)
            return line[0] = '\0', line;
        n += line[n] != '\r';
        assert_true(n < 1023);
        if (line[n - 1] != '\n')
            continue;
        line[n - 1] = '\0';
        if (n > 4 && line[3] == ' ')
            return line;
        n = 0;
    }
}

static void expect(int fd, const char *code)
{
    char line[1024];
    hear(fd, line);
    if (strncmp(line, code, strlen(code)) != 0)
        print_error("expected %s, heard '%s'\n", code, line);
    assert_int_equal(strncmp(line, code, strlen(code)), 0);
}

static void greet(int fd)
{
    expect(fd, "220 mx.test");
    say(fd, "EHLO client.test\r\n");
    expect(fd, "250 HELP");
}

static void send_message(int fd, size_t size)
{
    char *body = malloc(size + 1);
    assert_non_null(body);
    for (size_t i = 0; i < size; i++)
        body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    body[size] = '\0';
    say(fd, "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
    expect(fd, "250 2.1.0");
    expect(fd, "250 2.1.5");
    expect(fd, "354");
    say(fd, body);
    say(fd, ".\r\n");
    free(body);
}

static size_t stored(const struct stage *st)
{
    size_t n = 0;
    for (size_t i = 0; i < st->ndb; i++)
        n += fake_store_messages(st->db[i]);
    return n;
}

/* --- tests ------------------------------------------------------------------------------------------------
 */

static void client_mail(struct stage *st, int index)
{
    for (int session = 0; session < 5; session++) {
        int fd = dial(st);
        greet(fd);
        for (int i = 0; i < 4; i++) {
            send_message(fd, 64 * (size_t)(1 + 40 * i * index));
            expect(fd, "250 2.6.0");
        }
        say(fd, "QUIT\r\n");
        expect(fd, "221");
        expect(fd, "");
        (void)close(fd);
    }
}

static void test_node__takes_mail_on_all_loops(void **state)
{
    struct stage st = {.window = 3000};
    (void)state;
    stage_init(&st, "");
    play(&st, 8, client_mail);
    assert_int_equal(stored(&st), 8 * 5 * 4);
    for (size_t i = 0; i < SHARDS; i++) /* 40 connections: none of the loops is left out */
        assert_true(fake_store_messages(st.db[i]) > 0);
    run_until_drained(&st);
    stage_done(&st);
}

/* All of them stay until everybody was answered. */
static void client_limited(struct stage *st, int index)
{
    char line[1024];
    int fd[2];
    (void)index;
    for (int i = 0; i < 2; i++) {
        fd[i] = dial(st);
        hear(fd[i], line);
        if (strncmp(line, "220", 3) == 0) {
            atomic_fetch_add(&st->accepted, 1);
            continue;
        }
        assert_int_equal(strncmp(line, "421 4.7.0 too many connections", 30), 0);
        atomic_fetch_add(&st->refused, 1);
        expect(fd[i], "");
    }
    while (atomic_load(&st->accepted) + atomic_load(&st->refused) < 2 * st->clients)
        (void)poll(NULL, 0, 1);
    for (int i = 0; i < 2; i++)
        (void)close(fd[i]);
}

static void test_node__limits_are_exact_over_all_loops(void **state)
{
    struct stage st = {.clients = 8};
    (void)state;
    stage_init(&st, ", max_connections_per_client: 5");
    play(&st, st.clients, client_limited);
    assert_int_equal(st.accepted, 5);
    assert_int_equal(st.refused, 11);
    stage_done(&st);
}

static void client_early(struct stage *st, int index)
{
    (void)index;
    expect(st->early, "554 5.5.0 client spoke before the greeting");
    expect(st->early, "");
    (void)close(st->early);
}

/* The kernel accepts for us: what is sent before the loop runs is there when it looks. */
static void test_node__an_early_talker_is_shown_the_door(void **state)
{
    struct stage st = {.threads = 1};
    (void)state;
    stage_init(&st, "");
    st.early = dial(&st);
    say(st.early, "EHLO client.test\r\n");
    play(&st, 1, client_early);
    stage_done(&st);
}

static void client_drained(struct stage *st, int index)
{
    int idle = dial(st), busy = dial(st);
    greet(idle);
    greet(busy);
    say(busy, "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.org>\r\n");
    expect(busy, "250 2.1.0");
    expect(busy, "250 2.1.5");
    atomic_fetch_add(&st->accepted, 1);
    expect(idle, "421 4.3.2 service shutting down");
    expect(idle, "");
    say(busy, "DATA\r\n");
    expect(busy, "354");
    say(busy, "text\r\n.\r\n");
    expect(busy, "250 2.6.0");
    expect(busy, "421 4.3.2");
    (void)index;
    (void)close(idle);
    (void)close(busy);
}

struct drainer {
    struct stage *st;
    struct timer *timer;
    bool draining;
};

static void drain_when_all_are_there(void *arg)
{
    struct drainer *d = arg;
    if (!d->draining && atomic_load(&d->st->accepted) == d->st->clients) {
        d->draining = true;
        node_drain(d->st->node);
    }
    timer_set(d->timer, 2);
}

static void test_node__drains(void **state)
{
    struct stage st = {.clients = 6};
    struct drainer d = {.st = &st};
    (void)state;
    stage_init(&st, "");
    d.timer = timer_new(st.loop, drain_when_all_are_there, &d);
    assert_non_null(d.timer);
    timer_set(d.timer, 2);
    play(&st, st.clients, client_drained);
    timer_free(d.timer);
    assert_int_equal(stored(&st), st.clients);
    struct sockaddr_storage ss;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_not_equal(
        connect(fd, (struct sockaddr *)&ss, (socklen_t)ip_to_sockaddr(&st.at, (struct sockaddr *)&ss)), 0);
    (void)close(fd);
    stage_done(&st);
}

/* Listeners let others in for the loops of one node, not for another node. */
static void test_node__two_nodes_do_not_share_an_address(void **state)
{
    struct stage st = {.clients = 0}, other = {.clients = 0};
    struct errctx ec = {""};
    char more[128], why[128];
    (void)state;
    stage_init(&st, "");
    (void)snprintf(more, sizeof more, "}\n  - {name: second, listen: ['127.0.0.1:%u']", (unsigned)st.at.port);
    other.loop = loop_new();
    other.conf = configure(more);
    struct node_deps deps = {.loop = other.loop, .open_store = open_store, .arg = &other, .threads = SHARDS};
    assert_int_equal(node_new(&deps, other.conf, &other.node, &ec), ERR_IO);
    (void)snprintf(why, sizeof why, "cannot listen on 127.0.0.1:%u: Address already in use",
                   (unsigned)st.at.port);
    assert_string_equal(ec.msg, why);
    stage_done(&other);
    stage_done(&st);
}

/* Neither does a reload; one's own address, or all of them where one had one, is nobody else's. */
static void test_node__a_reload_does_not_share_an_address(void **state)
{
    struct stage st = {.threads = 1}, other = {.threads = 1};
    static const char *const taken[] = {"127.0.0.1", "0.0.0.0"};
    char more[128], why[128];
    (void)state;
    stage_init(&st, "");
    stage_init(&other, "");
    CHECK_EACH (taken, host) {
        struct errctx ec = {""};
        (void)snprintf(more, sizeof more, "}\n  - {name: second, listen: ['%s:%u']", *host,
                       (unsigned)st.at.port);
        (void)snprintf(why, sizeof why, "cannot listen on %s:%u: Address already in use", *host,
                       (unsigned)st.at.port);
        struct config *next = configure(more);
        assert_int_equal(node_reload(other.node, next, &ec), ERR_IO);
        assert_string_equal(ec.msg, why);
        config_unref(next);
        (void)snprintf(more, sizeof more, ", banner: x}\n  - {name: second, listen: ['%s:%u']", *host,
                       (unsigned)other.at.port);
        next = configure(more);
        assert_int_equal(node_reload(other.node, next, NULL), ERR_OK);
        config_unref(next);
        next = configure("");
        assert_int_equal(node_reload(other.node, next, NULL), ERR_OK);
        config_unref(next);
    }
    stage_done(&other);
    stage_done(&st);
}

static void reload(void *arg)
{
    struct stage *st = arg;
    struct config *next = configure(", max_message_size: 2K");
    assert_int_equal(node_reload(st->node, next, NULL), ERR_OK);
    config_unref(next);
    struct config *more = configure(", max_message_size: 2K}\n  - {name: second, listen: ['127.0.0.1:0']");
    assert_int_equal(node_reload(st->node, more, NULL), ERR_OK);
    config_unref(more);
}

static void client_reloaded(struct stage *st, int index)
{
    char line[1024];
    int fd = dial(st);
    (void)index;
    greet(fd);
    send_message(fd, 64 * 50);
    expect(fd, "250 2.6.0");
    if (index == 0)
        assert_int_equal(loop_post(st->loop, reload, st), ERR_OK);
    for (;;) { /* orders to the other loop arrive when they arrive */
        send_message(fd, 64 * 50);
        hear(fd, line);
        if (strncmp(line, "552", 3) == 0)
            break;
        assert_int_equal(strncmp(line, "250 2.6.0", 9), 0);
    }
    (void)close(fd);
}

static void test_node__a_reload_reaches_open_sessions(void **state)
{
    struct stage st = {.clients = 4};
    (void)state;
    stage_init(&st, ", max_errors: 100");
    play(&st, st.clients, client_reloaded);
    stage_done(&st);
}

/* Leaves in the middle of everything. */
static void client_rude(struct stage *st, int index)
{
    static const char *const last[] = {"", "MAIL FROM:<a@client.test>\r\n", "DATA\r\nhalf",
                                       "BDAT 1000\r\nhalf", "NOOP\r\nNOO"};
    for (size_t i = 0; i < 4 * ARRAY_LEN(last); i++) {
        int fd = dial(st);
        greet(fd);
        say(fd, "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.org>\r\n");
        expect(fd, "250 2.1.0");
        expect(fd, "250 2.1.5");
        say(fd, last[(i + (size_t)index) % ARRAY_LEN(last)]);
        (void)close(fd);
    }
}

static void test_node__survives_clients_that_just_leave(void **state)
{
    struct stage st = {.window = 3};
    (void)state;
    stage_init(&st, "");
    play(&st, 8, client_rude);
    assert_int_equal(stored(&st), 0);
    node_free(st.node); /* with sessions still open */
    st.node = NULL;
    stage_done(&st);
}

/* Eight rounds in which each allocation of a beginning session is refused in turn. Clients that got none are
 * not counted: the five that are allowed would be used up by the sixth round. Two that have left may still be
 * on their way to shard 0. */
static void client_without_memory(struct stage *st, int index)
{
    enum { ROUNDS = 8, ALLOCATIONS = 12 };
    char line[1024];
    (void)st, (void)index;
    for (int i = 0; i < ROUNDS * ALLOCATIONS; i++) {
        atomic_store(&until_refused, i % ALLOCATIONS);
        int fd = dial(st);
        hear(fd, line);
        (void)close(fd);
        atomic_store(&until_refused, -1);
        fd = dial(st);
        expect(fd, "220 mx.test");
        say(fd, "QUIT\r\n");
        expect(fd, "221");
        expect(fd, "");
        (void)close(fd);
    }
}

static void test_node__who_finds_no_memory_is_not_counted(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= SHARDS; threads++) {
        struct stage st = {.threads = threads};
        stage_init(&st, ", max_connections_per_client: 5");
        play(&st, 1, client_without_memory);
        stage_done(&st);
    }
}

/* --- memory ----------------------------------------------------------------------------------------------
 */

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* Of the whole process: clients hold nothing on the heap, the store of the fakes no body in these tests. */
static size_t allocated(void)
{
    if (__sanitizer_get_current_allocated_bytes != NULL)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

enum { MANY = 32, FEW = 4, KIB = 1024, IDLE_MAX = 16 * KIB, BUSY_MAX = 128 * KIB };

/* What is made once, at the first session, is there. */
static size_t after_first_session(struct stage *st)
{
    int fd = dial(st);
    greet(fd);
    say(fd, "QUIT\r\n");
    expect(fd, "221");
    expect(fd, "");
    (void)close(fd);
    return allocated();
}

static void begin_mail(int fd)
{
    say(fd, "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.org>\r\n");
    expect(fd, "250 2.1.0");
    expect(fd, "250 2.1.5");
}

static void client_idle(struct stage *st, int index)
{
    static char chunk[100 * KIB + 1];
    int fd[MANY];
    (void)index;
    memset(chunk, 'x', sizeof chunk - 1);
    size_t before = after_first_session(st);
    for (int i = 0; i < MANY; i++) { /* not fresh: a body went through it and was dropped */
        fd[i] = dial(st);
        greet(fd[i]);
        begin_mail(fd[i]);
        say(fd[i], "BDAT 102400\r\n");
        say(fd[i], chunk);
        expect(fd[i], "250 2.0.0");
        say(fd[i], "RSET\r\n");
        expect(fd[i], "250 2.0.0");
    }
    size_t each = (allocated() - before) / MANY;
    print_message("an idle session holds %zu octets\n", each);
    assert_in_range(each, 1, IDLE_MAX);
    for (int i = 0; i < MANY; i++)
        (void)close(fd[i]);
}

static void test_node__an_idle_session_is_small(void **state)
{
    struct stage st = {.threads = 1};
    (void)state;
    stage_init(&st, "");
    play(&st, 1, client_idle);
    stage_done(&st);
}

/* Sends from all of them whatever the node takes, until it takes no more; returns the most that was
 * allocated meanwhile. */
static size_t fill(const int *fd, struct span piece, size_t *ret_sent)
{
    size_t most = 0, at[FEW] = {0};
    *ret_sent = 0;
    for (int quiet = 0; quiet < 100; quiet++) {
        for (int i = 0; i < FEW; i++) {
            struct span rest = span_from(piece, at[i]);
            ssize_t n = send(fd[i], rest.ptr, rest.len, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n <= 0)
                continue;
            *ret_sent += (size_t)n;
            at[i] = (at[i] + (size_t)n) % piece.len;
            quiet = 0;
        }
        size_t now = allocated();
        most = now > most ? now : most;
        (void)poll(NULL, 0, 1);
    }
    return most;
}

/* The store of the fakes takes 1,000 octets and no more: what else a client sends piles up in the session,
 * until the node reads no more and the sockets are full. The two chunks that an upload into Redis holds come
 * on top of that. */
static void client_busy(struct stage *st, int index)
{
    static const char body[16 * KIB];
    int fd[FEW];
    size_t sent, before = after_first_session(st);
    (void)index;
    for (int i = 0; i < FEW; i++) {
        fd[i] = dial(st);
        greet(fd[i]);
        begin_mail(fd[i]);
        say(fd[i], "BDAT 50000000\r\n");
    }
    size_t most = fill(fd, span_of(body, sizeof body), &sent) - before;
    print_message("a busy session holds %zu octets besides its upload\n", most / FEW);
    assert_in_range(most / FEW, 1000, BUSY_MAX - 2 * CHUNK_BYTES);
    for (int i = 0; i < FEW; i++)
        (void)close(fd[i]);
}

static void test_node__a_busy_session_is_bounded(void **state)
{
    struct stage st = {.threads = 1, .window = 1000};
    (void)state;
    stage_init(&st, "");
    fake_store_stall(st.db[0], true);
    play(&st, 1, client_busy);
    fake_store_window(st.db[0], 0);
    fake_store_stall(st.db[0], false);
    run_until_drained(&st);
    stage_done(&st);
}

/* They ask and ask, with an upload open, and never read an answer: the node stops reading them, and holds
 * little of what they said and of what it answered. */
static void client_deaf(struct stage *st, int index)
{
    static const struct span questions[] = {SPAN_INIT("HELP\r\n"), SPAN_INIT("BDAT 0\r\n"),
                                            SPAN_INIT("x\r\n")};
    (void)index;
    size_t before = after_first_session(st);
    CHECK_EACH (questions, question) {
        struct buf many;
        int fd[FEW];
        size_t sent;
        buf_init(&many, 16 * KIB);
        while (buf_add(&many, *question) == ERR_OK)
            ;
        for (int i = 0; i < FEW; i++) {
            fd[i] = dial_with(st, 4096);
            greet(fd[i]);
            begin_mail(fd[i]);
            say(fd[i], "BDAT 0\r\n");
        }
        size_t most = fill(fd, buf_span(&many), &sent) - before - many.cap;
        print_message("a session that hears nothing holds %zu octets besides its upload\n", most / FEW);
        assert_in_range(most / FEW, 1000, BUSY_MAX - 2 * CHUNK_BYTES);
        for (int i = 0; i < FEW; i++)
            (void)close(fd[i]);
        buf_done(&many);
    }
}

static void test_node__a_session_that_hears_nothing_is_bounded(void **state)
{
    struct stage st = {.threads = 1};
    (void)state;
    stage_init(&st, ", max_errors: 100000");
    play(&st, 1, client_deaf);
    run_until_drained(&st);
    stage_done(&st);
}

/* Blocks that glibc keeps for each thread after free() would count as held. */
static void without_free_lists(void)
{
    if (__sanitizer_get_current_allocated_bytes == NULL && getenv("GLIBC_TUNABLES") == NULL &&
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1) == 0)
        (void)execl("/proc/self/exe", "test_node", (char *)NULL);
}

int main(void)
{
    without_free_lists();
    return CHECK_RUN(cmocka_unit_test(test_node__takes_mail_on_all_loops),
                     cmocka_unit_test(test_node__limits_are_exact_over_all_loops),
                     cmocka_unit_test(test_node__an_early_talker_is_shown_the_door),
                     cmocka_unit_test(test_node__drains),
                     cmocka_unit_test(test_node__two_nodes_do_not_share_an_address),
                     cmocka_unit_test(test_node__a_reload_does_not_share_an_address),
                     cmocka_unit_test(test_node__a_reload_reaches_open_sessions),
                     cmocka_unit_test(test_node__survives_clients_that_just_leave),
                     cmocka_unit_test(test_node__who_finds_no_memory_is_not_counted),
                     cmocka_unit_test(test_node__an_idle_session_is_small),
                     cmocka_unit_test(test_node__a_busy_session_is_bounded),
                     cmocka_unit_test(test_node__a_session_that_hears_nothing_is_bounded));
}
