#include "tests/conformance/memory_client.h"

#include "tests/unit/check.h"

#define ERR_STATE openssl_err_state
#include <openssl/ssl.h>
#undef ERR_STATE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, QUIET_MS = 300, RECORD_MAX = 16384, WASTE = 100 * 1024, WARM = 64 * RECORD_MAX };

struct client {
    int fd;
    SSL *ssl;       /* NULL: plain */
    BIO *in, *out;  /* of ssl */
    size_t sent;    /* of the body */
    size_t waiting; /* octets of `out_at` that the socket did not take */
    char out_at[RECORD_MAX + 512];
};

static const struct plan *plan;
static int ask_fd;
static SSL_CTX *tls;
static struct client clients[SESSIONS_MAX];
static struct rng rng;

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "memory_client: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static size_t ask(enum question q)
{
    size_t answer = 0;
    char octet = (char)q;
    if (write(ask_fd, &octet, 1) != 1 || read(ask_fd, &answer, sizeof answer) != sizeof answer)
        die("the node has gone");
    return answer;
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

static void wait_for(int fd, short what)
{
    struct pollfd p = {.fd = fd, .events = what};
    if (poll(&p, 1, PATIENCE_MS) != 1)
        die("nothing moves");
}

static void send_octets(int fd, const char *p, size_t len)
{
    while (len > 0) {
        wait_for(fd, POLLOUT);
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            die("send");
        p += n;
        len -= (size_t)n;
    }
}

/* What OpenSSL has for the peer. */
static void pass_on(struct client *c)
{
    char some[4096];
    for (int n; (n = BIO_read(c->out, some, sizeof some)) > 0;)
        send_octets(c->fd, some, (size_t)n);
}

static void take_in(struct client *c)
{
    char some[4096];
    wait_for(c->fd, POLLIN);
    ssize_t n = recv(c->fd, some, sizeof some, 0);
    if (n <= 0 || BIO_write(c->in, some, (int)n) != n)
        die("recv");
}

static void say_octets(struct client *c, struct span octets)
{
    if (c->ssl == NULL) {
        send_octets(c->fd, octets.ptr, octets.len);
        return;
    }
    if (SSL_write(c->ssl, octets.ptr, (int)octets.len) <= 0)
        die("SSL_write");
    pass_on(c);
}

static void say(struct client *c, const char *text)
{
    say_octets(c, span_cstr(text));
}

static char hear_octet(struct client *c)
{
    char octet;
    if (c->ssl == NULL) {
        wait_for(c->fd, POLLIN);
        if (recv(c->fd, &octet, 1, 0) != 1)
            die("recv");
        return octet;
    }
    while (SSL_read(c->ssl, &octet, 1) != 1)
        take_in(c);
    return octet;
}

/* Reads to the end of a reply whose last line begins so. */
static void expect(struct client *c, const char *code)
{
    char line[1024];
    do {
        size_t n = 0;
        do
            line[n++] = hear_octet(c);
        while (line[n - 1] != '\n' && n < sizeof line - 1);
        line[n] = '\0';
    } while (line[3] != ' ');
    if (strncmp(line, code, strlen(code)) != 0) {
        (void)fprintf(stderr, "memory_client: expected %s, heard %s", code, line);
        _exit(1);
    }
}

/* --- a session ------------------------------------------------------------------------------------------ */

static void secure(struct client *c)
{
    c->ssl = SSL_new(tls);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_connect_state(c->ssl);
    while (SSL_do_handshake(c->ssl) != 1) {
        pass_on(c);
        take_in(c);
    }
    pass_on(c);
}

static void begin(struct client *c, const struct ip_endpoint *at)
{
    struct sockaddr_storage ss;
    socklen_t len = (socklen_t)ip_to_sockaddr(at, (struct sockaddr *)&ss);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&ss, len) != 0)
        die("connect");
    if (plan->way == WAY_TLS)
        secure(c);
    expect(c, "220");
    say(c, "EHLO client.test\r\n");
    expect(c, "250");
    if (plan->way != WAY_STARTTLS)
        return;
    say(c, "STARTTLS\r\n");
    expect(c, "220");
    secure(c);
    say(c, "EHLO client.test\r\n");
    expect(c, "250");
}

static void end(struct client *c)
{
    SSL_free(c->ssl);
    (void)close(c->fd);
    *c = (struct client){.fd = -1};
}

static void announce(struct client *c, size_t octets, const char *last)
{
    char line[64];
    say(c, "MAIL FROM:<a@client.test> BODY=BINARYMIME\r\n");
    expect(c, "250");
    say(c, "RCPT TO:<b@example.org>\r\n");
    expect(c, "250");
    (void)snprintf(line, sizeof line, "BDAT %zu%s\r\n", octets, last);
    say(c, line);
}

/* What cannot be compressed: a chunk is stored, and held, as large as it came. */
static void noise(char *out, size_t len)
{
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t x = rng_next(&rng);
        memcpy(out + i, &x, len - i < sizeof x ? len - i : sizeof x);
    }
}

/* The next record, into out_at. */
static void make_record(struct client *c, size_t octets)
{
    static char piece[RECORD_MAX];
    size_t want = c->sent == 0 ? plan->first : plan->record;
    if (want == 0)
        want = 1 + rng_below(&rng, RECORD_MAX);
    if (want > octets - c->sent)
        want = octets - c->sent;
    noise(piece, want);
    c->sent += want;
    if (c->ssl == NULL) {
        memcpy(c->out_at, piece, want);
        c->waiting = want;
        return;
    }
    if (SSL_write(c->ssl, piece, (int)want) <= 0)
        die("SSL_write");
    int n = BIO_read(c->out, c->out_at, sizeof c->out_at);
    if (n <= 0 || BIO_pending(c->out) > 0)
        die("a record is larger than it can be");
    c->waiting = (size_t)n;
}

/* Sends what the socket takes; false: nothing. */
static bool push(struct client *c, size_t octets)
{
    if (c->waiting == 0 && c->sent < octets)
        make_record(c, octets);
    ssize_t n = c->waiting == 0 ? 0 : send(c->fd, c->out_at, c->waiting, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN)
        die("send");
    if (n <= 0)
        return false;
    c->waiting -= (size_t)n;
    memmove(c->out_at, c->out_at + n, c->waiting);
    return true;
}

/* --- deeds ---------------------------------------------------------------------------------------------- */

static void idle(struct held *h, size_t before)
{
    static char waste[WASTE + 1];
    memset(waste, 'x', WASTE);
    for (int i = 0; i < plan->sessions; i++) {
        announce(&clients[i], WASTE, "");
        say(&clients[i], waste);
        expect(&clients[i], "250 2.0.0");
        say(&clients[i], "RSET\r\n");
        expect(&clients[i], "250 2.0.0");
    }
    h->kept = ask(ASK_HELD) - before;
}

/* Until nobody takes anything for a while. */
static void push_all(size_t octets)
{
    for (int quiet = 0; quiet < QUIET_MS; quiet++) {
        for (int i = 0; i < plan->sessions; i++)
            while (push(&clients[i], octets))
                quiet = 0;
        (void)poll(NULL, 0, 1);
    }
}

static void stalled(struct held *h, size_t before)
{
    for (int i = 0; i < plan->sessions; i++)
        announce(&clients[i], plan->body, "");
    (void)ask(ASK_STALL);
    (void)ask(ASK_MOST);
    push_all(plan->body);
    h->flowing = ask(ASK_MOST) - before;
    (void)ask(ASK_GO_ON);
}

static bool all_sent(void)
{
    for (int i = 0; i < plan->sessions; i++)
        if (clients[i].sent < plan->body || clients[i].waiting > 0)
            return false;
    return true;
}

static void flowing(struct held *h, size_t before)
{
    for (int i = 0; i < plan->sessions; i++)
        announce(&clients[i], plan->body, " LAST");
    (void)ask(ASK_MOST);
    while (!all_sent()) {
        struct pollfd polls[SESSIONS_MAX];
        for (int i = 0; i < plan->sessions; i++) {
            bool more = push(&clients[i], plan->body) || clients[i].waiting > 0;
            polls[i] = (struct pollfd){.fd = more ? clients[i].fd : -1, .events = POLLOUT};
        }
        (void)poll(polls, (nfds_t)plan->sessions, 1000);
    }
    for (int i = 0; i < plan->sessions; i++)
        expect(&clients[i], "250 2.6.0");
    h->flowing = ask(ASK_MOST) - before;
    h->kept = ask(ASK_HELD) - before;
}

/* What is made once is there then: the first session of a loop, the first body of several chunks. */
static void warm(const struct ip_endpoint *at)
{
    static char body[WARM];
    struct client *c = &clients[0];
    begin(c, at);
    announce(c, WARM, " LAST");
    noise(body, WARM);
    for (size_t sent = 0; sent < WARM; sent += RECORD_MAX)
        say_octets(c, span_of(body + sent, RECORD_MAX));
    expect(c, "250 2.6.0");
    say(c, "QUIT\r\n");
    expect(c, "221");
    end(c);
}

static _Noreturn void run(const struct ip_endpoint *at)
{
    static void (*const deeds[])(struct held * h,
                                 size_t before) = {[IDLE] = idle, [STALLED] = stalled, [FLOWING] = flowing};
    struct held held = {0};
    char finish = ASK_FINISH;
    rng_seed(&rng, 1);
    tls = SSL_CTX_new(TLS_client_method());
    if (plan->groups != NULL && SSL_CTX_set1_groups_list(tls, plan->groups) != 1)
        die(plan->groups);
    warm(at);
    size_t before = ask(ASK_HELD);
    for (int i = 0; i < plan->sessions; i++)
        begin(&clients[i], at);
    deeds[plan->deed](&held, before);
    if (write(ask_fd, &finish, 1) != 1 || write(ask_fd, &held, sizeof held) != sizeof held)
        die("the node has gone");
    _exit(0);
}

pid_t memory_client_start(const struct plan *p, const struct ip_endpoint *node,
                          const struct ip_endpoint *node_tls, int *ret_fd)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(fds[0]);
        plan = p;
        ask_fd = fds[1];
        run(p->way == WAY_TLS ? node_tls : node);
    }
    (void)close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}
