/* What a session of the node holds while a body of 50 MB flows through it into a real Redis: a process of
 * its own, so that all that is allocated here is the node's. The client is a thread without a heap. */
#include "node/node.h"

#include "queue/body.h"
#include "tests/fakes/redis_server.h"
#include "tests/unit/check.h"

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SESSIONS = 4,
    MIB = 1024 * 1024,
    BODY = 50 * MIB,
    PIECE = 16384,
    FLOWING_MAX = 128 * 1024, /* of a session */
    KEPT_MAX = 16 * 1024,
    LOOP_MAX = 2 * CHUNK_BYTES, /* of the loop: the chunk being packed, and the one just answered */
};

static struct redis_server server;
static struct ip_endpoint at;

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
    if (__sanitizer_get_current_allocated_bytes != NULL)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

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
                   "virtual_servers: [{name: default, listen: ['127.0.0.1:0'], hostname: mx.test}]\n",
                   server.socket);
    if (config_parse(span_cstr(yaml), "test", "/nonexistent", NULL, &conf, NULL, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    return conf;
}

/* --- the client ----------------------------------------------------------------------------------------- */

struct sender {
    int fd;
    size_t sent;
};

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads to the end of a reply whose last line begins so. */
static void expect(int fd, const char *code)
{
    char line[1024];
    size_t n = 0;
    for (;;) {
        assert_int_equal(recv(fd, line + n, 1, 0), 1);
        if (line[n++] != '\n') {
            assert_true(n < sizeof line);
            continue;
        }
        line[n] = '\0';
        n = 0;
        if (line[3] == ' ')
            break;
    }
    if (strncmp(line, code, strlen(code)) != 0)
        fail_msg("expected %s, heard %s", code, line);
}

static int begin(void)
{
    struct sockaddr_storage ss;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = (socklen_t)ip_to_sockaddr(&at, (struct sockaddr *)&ss);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    expect(fd, "220");
    say(fd, "EHLO client.test\r\n");
    expect(fd, "250 ");
    return fd;
}

static void announce(int fd, size_t octets)
{
    char line[64];
    say(fd, "MAIL FROM:<a@client.test> BODY=BINARYMIME\r\n");
    expect(fd, "250");
    say(fd, "RCPT TO:<b@example.org>\r\n");
    expect(fd, "250");
    (void)snprintf(line, sizeof line, "BDAT %zu LAST\r\n", octets);
    say(fd, line);
}

/* What cannot be compressed: a chunk is stored, and held, as large as it came. */
static void noise(char *out, uint64_t *x)
{
    for (size_t i = 0; i < PIECE; i += sizeof *x) {
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        memcpy(out + i, x, sizeof *x);
    }
}

/* Of all sessions: the most they hold while they send, and what they keep when they are done. */
static atomic_size_t flowing, kept;

static void flow(struct sender *s, int count, size_t before)
{
    static char piece[PIECE];
    struct pollfd polls[SESSIONS];
    uint64_t seed = 88172645463325252;
    for (;;) {
        int left = 0;
        for (int i = 0; i < count; i++) {
            polls[i] = (struct pollfd){.fd = s[i].sent < BODY ? s[i].fd : -1, .events = POLLOUT};
            left += s[i].sent < BODY;
        }
        if (left == 0)
            return;
        assert_true(poll(polls, (nfds_t)count, 20000) > 0);
        for (int i = 0; i < count; i++) {
            if (!(polls[i].revents & POLLOUT))
                continue;
            size_t want = BODY - s[i].sent < PIECE ? BODY - s[i].sent : PIECE;
            noise(piece, &seed);
            ssize_t n = send(s[i].fd, piece, want, MSG_NOSIGNAL | MSG_DONTWAIT);
            s[i].sent += n > 0 ? (size_t)n : 0;
        }
        size_t now = allocated(), most = atomic_load(&flowing);
        if (now > before && now - before > most)
            atomic_store(&flowing, now - before);
    }
}

static void *client(void *arg)
{
    struct sender senders[SESSIONS];
    int first = begin(); /* what is made once is there then */
    struct sender warm = {.fd = first, .sent = BODY - MIB};
    announce(first, MIB);
    flow(&warm, 1, SIZE_MAX);
    expect(first, "250 2.6.0");
    (void)close(first);
    (void)poll(NULL, 0, 100);
    size_t before = allocated();
    for (int i = 0; i < SESSIONS; i++) {
        senders[i] = (struct sender){.fd = begin()};
        announce(senders[i].fd, BODY);
    }
    flow(senders, SESSIONS, before);
    for (int i = 0; i < SESSIONS; i++)
        expect(senders[i].fd, "250 2.6.0");
    atomic_store(&kept, allocated() > before ? allocated() - before : 0);
    for (int i = 0; i < SESSIONS; i++)
        (void)close(senders[i].fd);
    loop_stop(arg);
    return NULL;
}

static void test_node_memory__of_a_session_whose_body_flows(void **state)
{
    struct loop *l = loop_new();
    struct config *conf = configure();
    struct node_deps deps = {.loop = l, .open_store = open_store, .threads = 1};
    struct errctx ec = {""};
    struct node *n = NULL;
    struct buf why;
    pthread_t thread;
    (void)state;
    if (node_new(&deps, conf, &n, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    struct timer *turn = timer_new(l, (loop_fn *)loop_stop, l);
    buf_init(&why, 4096);
    for (int i = 0; !node_ready(n, &why); i++) {
        assert_true(i < 10000);
        buf_clear(&why);
        timer_set(turn, 1);
        loop_run(l);
    }
    buf_done(&why);
    timer_free(turn);
    assert_true(node_address(n, 0, &at));
    assert_int_equal(pthread_create(&thread, NULL, client, l), 0);
    loop_run(l);
    pthread_join(thread, NULL);
    print_message("%d sessions whose bodies of 50 MiB flow hold at most %zu octets, and %zu afterwards\n",
                  SESSIONS, flowing, kept);
    assert_in_range(flowing, SESSIONS * CHUNK_BYTES, SESSIONS * FLOWING_MAX + LOOP_MAX);
    assert_in_range(kept, 0, SESSIONS * KEPT_MAX);
    node_free(n);
    config_unref(conf);
    loop_free(l);
}

int main(void)
{
    redis_server_start(&server, NULL, false);
    int failed = CHECK_RUN(cmocka_unit_test(test_node_memory__of_a_session_whose_body_flows));
    redis_server_stop(&server);
    return failed;
}
