#include "tests/fakes/redis_proxy.h"

#include "tests/unit/check.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PAIRS_MAX = 64, PIECE = 65536 };

struct pair {
    int fd[2];                     /* client, server; -1: free */
    enum redis_proxy_phase doomed; /* CUT_BEFORE_REPLY, CUT_IN_REPLY: with the next reply */
};

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    return at;
}

static void close_pair(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        if (pair->fd[i] >= 0)
            (void)close(pair->fd[i]);
        pair->fd[i] = -1;
    }
}

static void accept_one(struct redis_proxy *p, struct pair *pairs, bool refuse)
{
    int client = accept(p->listener, NULL, NULL);
    if (client < 0)
        return;
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = address(p->server);
    bool connected = !refuse && server >= 0 && connect(server, (struct sockaddr *)&at, sizeof at) == 0;
    for (int i = 0; i < PAIRS_MAX && connected; i++) {
        if (pairs[i].fd[0] < 0) {
            pairs[i] = (struct pair){{client, server}, CUT_NOT};
            return;
        }
    }
    (void)close(client);
    if (server >= 0)
        (void)close(server);
}

/* How many of n bytes pass; fewer: the connection ends behind them. */
static size_t allowed(struct redis_proxy *p, enum redis_proxy_way way, size_t n)
{
    (void)pthread_mutex_lock(&p->lock);
    uint64_t cut = p->cut_at[way];
    if (cut != 0 && p->passed[way] + n >= cut) {
        n = (size_t)(cut - 1 - p->passed[way]);
        p->cut_at[way] = 0;
        p->cuts++;
    }
    p->passed[way] += n;
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

/* The same for a connection that carries the word. */
static size_t allowed_by_word(struct redis_proxy *p, struct pair *pair, enum redis_proxy_way way, char *piece,
                              size_t n)
{
    (void)pthread_mutex_lock(&p->lock);
    if (way == TO_CLIENT && pair->doomed == RUBBISH_FOR_REPLY) {
        memset(piece, '?', n);
        pair->doomed = CUT_NOT;
        p->cuts++;
    } else if (way == TO_CLIENT && pair->doomed != CUT_NOT) {
        n = pair->doomed == CUT_IN_REPLY ? 1 : 0;
        p->cuts++;
    }
    const char *at =
        way == TO_CLIENT || p->phase == CUT_NOT ? NULL : memmem(piece, n, p->word, strlen(p->word));
    if (at != NULL && p->phase == CUT_IN_REQUEST) {
        n = (size_t)(at - piece) + strlen(p->word) / 2;
        p->cuts++;
    } else if (at != NULL) {
        pair->doomed = p->phase;
    }
    if (at != NULL)
        p->phase = CUT_NOT;
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

static bool write_all(int fd, const char *at, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* Where the command at `at` ends, which is an array of strings; NULL: not all of it is here. */
static const char *command_end(const char *at, const char *end)
{
    struct span rest = span_of(at, (size_t)(end - at)), line;
    uint64_t n, len;
    if (!span_cut(rest, '\n', &line, &rest) || line.len < 3 ||
        !span_to_u64(span_of(line.ptr + 1, line.len - 2), 100000, &n))
        return NULL;
    for (; n > 0; n--) {
        if (!span_cut(rest, '\n', &line, &rest) || line.len < 3 ||
            !span_to_u64(span_of(line.ptr + 1, line.len - 2), PIECE, &len) || rest.len < len + 2)
            return NULL;
        rest = span_from(rest, (size_t)len + 2);
    }
    return rest.ptr;
}

/* Another command in place of the script's: Redis itself says the error, in its place among the replies. The
 * bytes there are afterwards. */
static size_t refuse_script(struct redis_proxy *p, char *piece, size_t n, size_t room)
{
    char error[200];
    (void)pthread_mutex_lock(&p->lock);
    for (char *from = piece, *at;
         p->refused[0] != '\0' &&
         (at = memmem(from, n - (size_t)(from - piece), p->refused, strlen(p->refused))) != NULL;) {
        int len = snprintf(
            error, sizeof error,
            "*4\r\n$4\r\nEVAL\r\n$33\r\nreturn redis.error_reply(ARGV[1])\r\n$1\r\n0\r\n$%zu\r\n%s\r\n",
            strlen(p->refusal), p->refusal);
        char *start = at;
        while (start > piece && *start != '*')
            start--;
        const char *end = command_end(start, piece + n);
        from = at + 1;
        if (end == NULL || *start != '*' || n + (size_t)len > room)
            continue;
        memmove(start + len, end, (size_t)(piece + n - end));
        memcpy(start, error, (size_t)len);
        n = n + (size_t)len - (size_t)(end - start);
        from = start + len;
        p->refusals++;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

/* Moves what has arrived at one end; false: the pair is to be closed. */
static bool move(struct redis_proxy *p, struct pair *pair, enum redis_proxy_way way)
{
    static char piece[2 * PIECE];
    ssize_t got = recv(pair->fd[way == TO_SERVER ? 0 : 1], piece, PIECE, 0);
    if (got <= 0)
        return false;
    if (way == TO_SERVER)
        got = (ssize_t)refuse_script(p, piece, (size_t)got, sizeof piece);
    size_t n = allowed_by_word(p, pair, way, piece, allowed(p, way, (size_t)got));
    return write_all(pair->fd[way == TO_SERVER ? 1 : 0], piece, n) && n == (size_t)got;
}

static void serve(struct redis_proxy *p, struct pair *pairs, bool silent, bool refuse)
{
    struct pollfd fds[2 + 2 * PAIRS_MAX] = {{p->wake[0], POLLIN, 0}, {p->listener, POLLIN, 0}};
    struct pair *owner[2 + 2 * PAIRS_MAX];
    nfds_t n = 2;
    for (int i = 0; i < PAIRS_MAX && !silent; i++) {
        for (int end = 0; end < 2 && pairs[i].fd[0] >= 0; end++) {
            owner[n] = &pairs[i];
            fds[n++] = (struct pollfd){pairs[i].fd[end], POLLIN, 0};
        }
    }
    if (poll(fds, n, -1) < 0)
        return;
    char drop[64];
    if (fds[0].revents != 0)
        (void)!read(p->wake[0], drop, sizeof drop);
    for (nfds_t i = 2; i < n; i++) {
        if (fds[i].revents == 0 || owner[i]->fd[0] < 0)
            continue;
        if (!move(p, owner[i], fds[i].fd == owner[i]->fd[0] ? TO_SERVER : TO_CLIENT))
            close_pair(owner[i]);
    }
    if (fds[1].revents != 0) /* last: a new descriptor may have an old number */
        accept_one(p, pairs, refuse);
}

static void *proxy_main(void *arg)
{
    struct redis_proxy *p = arg;
    struct pair pairs[PAIRS_MAX];
    for (int i = 0; i < PAIRS_MAX; i++)
        pairs[i] = (struct pair){{-1, -1}, CUT_NOT};
    for (;;) {
        (void)pthread_mutex_lock(&p->lock);
        bool stop = p->stop, refuse = p->refuse, silent = p->silent;
        (void)pthread_mutex_unlock(&p->lock);
        for (int i = 0; i < PAIRS_MAX && (stop || refuse); i++)
            close_pair(&pairs[i]);
        if (stop)
            return NULL;
        serve(p, pairs, silent, refuse);
    }
}

static void wake(struct redis_proxy *p)
{
    (void)!write(p->wake[1], "x", 1);
}

void redis_proxy_start(struct redis_proxy *p, const char *server_socket)
{
    *p = (struct redis_proxy){.stop = false};
    (void)snprintf(p->server, sizeof p->server, "%s", server_socket);
    (void)snprintf(p->socket, sizeof p->socket, "%.80s.proxy", server_socket);
    struct sockaddr_un at = address(p->socket);
    (void)unlink(p->socket);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(p->listener >= 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(p->listener, 64), 0);
    assert_int_equal(pipe2(p->wake, O_CLOEXEC), 0);
    assert_int_equal(pthread_mutex_init(&p->lock, NULL), 0);
    assert_int_equal(pthread_create(&p->thread, NULL, proxy_main, p), 0);
}

static void set(struct redis_proxy *p, bool *what, bool value)
{
    (void)pthread_mutex_lock(&p->lock);
    *what = value;
    (void)pthread_mutex_unlock(&p->lock);
    wake(p);
}

void redis_proxy_stop(struct redis_proxy *p)
{
    set(p, &p->stop, true);
    (void)pthread_join(p->thread, NULL);
    (void)pthread_mutex_destroy(&p->lock);
    (void)close(p->listener);
    (void)close(p->wake[0]);
    (void)close(p->wake[1]);
    (void)unlink(p->socket);
}

void redis_proxy_cut(struct redis_proxy *p, enum redis_proxy_way way, uint64_t nth)
{
    (void)pthread_mutex_lock(&p->lock);
    p->cut_at[way] = p->passed[way] + nth;
    (void)pthread_mutex_unlock(&p->lock);
}

void redis_proxy_cut_word(struct redis_proxy *p, const char *word, enum redis_proxy_phase phase)
{
    (void)pthread_mutex_lock(&p->lock);
    (void)snprintf(p->word, sizeof p->word, "%s", word);
    p->phase = phase;
    (void)pthread_mutex_unlock(&p->lock);
}

void redis_proxy_refuse_script(struct redis_proxy *p, const char *digest, const char *error)
{
    (void)pthread_mutex_lock(&p->lock);
    (void)snprintf(p->refused, sizeof p->refused, "%.40s", error == NULL ? "" : digest);
    (void)snprintf(p->refusal, sizeof p->refusal, "%s", error == NULL ? "" : error);
    (void)pthread_mutex_unlock(&p->lock);
}

unsigned redis_proxy_refusals(struct redis_proxy *p)
{
    (void)pthread_mutex_lock(&p->lock);
    unsigned n = p->refusals;
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

uint64_t redis_proxy_passed(struct redis_proxy *p, enum redis_proxy_way way)
{
    (void)pthread_mutex_lock(&p->lock);
    uint64_t n = p->passed[way];
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

unsigned redis_proxy_cuts(struct redis_proxy *p)
{
    (void)pthread_mutex_lock(&p->lock);
    unsigned n = p->cuts;
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

void redis_proxy_refuse(struct redis_proxy *p, bool refuse)
{
    set(p, &p->refuse, refuse);
}

void redis_proxy_silence(struct redis_proxy *p, bool silent)
{
    set(p, &p->silent, silent);
}
