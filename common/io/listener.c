#include "common/io/conn.h"
#include "common/io/loop_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,         /* the kernel lowers it to net.core.somaxconn */
    ACCEPTS_A_TURN = 64,    /* then the sessions that exist have their turn */
    EXHAUSTED_WAIT_MS = 100 /* out of descriptors or memory: asking again at once would only spin */
};

struct listener {
    struct event ev;
    struct timer again;
    struct loop *loop;
    listener_fn *accepted;
    void *arg;
    int fd;
    bool paused, waiting;
    bool busy, closed; /* accept_some() is running; it frees what a callback closed */
};

static void watch_listener(struct listener *ln)
{
    if (ln->paused || ln->waiting)
        (void)event_del(&ln->ev);
    else if (event_add(&ln->ev, NULL) != 0)
        timer_set(&ln->again, EXHAUSTED_WAIT_MS);
}

static void try_again(void *arg)
{
    struct listener *ln = arg;
    ln->waiting = false;
    watch_listener(ln);
}

/* accept(2): the errors of the new connection are not ours. */
static bool exhausted(int why)
{
    return why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM;
}

static void accept_some(evutil_socket_t fd, short what, void *arg)
{
    struct listener *ln = arg;
    (void)what;
    ln->busy = true;
    for (int i = 0; i < ACCEPTS_A_TURN && !ln->closed && !ln->paused; i++) {
        struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof ss;
        struct ip_endpoint peer = {.port = 0};
        int conn = accept4(fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (conn < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (conn < 0 && exhausted(errno)) {
            ln->waiting = true;
            timer_set(&ln->again, EXHAUSTED_WAIT_MS);
            watch_listener(ln);
            break;
        }
        if (conn < 0)
            continue;
        (void)ip_from_sockaddr((struct sockaddr *)&ss, &peer);
        ln->accepted(ln->arg, conn, &peer);
    }
    ln->busy = false;
    if (ln->closed)
        free(ln);
}

static void set_options(int fd, const struct ip_endpoint *at, bool reuse_port)
{
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (reuse_port)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (at->addr.v6) /* [::] and 0.0.0.0 are two listeners */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
}

static enum err bind_socket(const struct ip_endpoint *at, bool reuse_port, int *ret_fd, struct errctx *ec)
{
    char text[ENDPOINT_TEXT_MAX];
    struct sockaddr_storage ss;
    ip_endpoint_text(at, text);
    int fd = socket(at->addr.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(ec, ERR_IO, "cannot listen on %s: %s", text, strerrordesc_np(errno));
    set_options(fd, at, reuse_port);
    socklen_t len = (socklen_t)ip_to_sockaddr(at, (struct sockaddr *)&ss);
    if (bind(fd, (struct sockaddr *)&ss, len) != 0) {
        enum err e = err_set(ec, ERR_IO, "cannot listen on %s: %s", text, strerrordesc_np(errno));
        close(fd);
        return e;
    }
    *ret_fd = fd;
    return ERR_OK;
}

enum err listener_probe(const struct ip_endpoint *at, struct errctx *ec)
{
    int fd;
    enum err e = bind_socket(at, false, &fd, ec);
    if (e == ERR_OK)
        close(fd);
    return e;
}

static enum err open_socket(const struct ip_endpoint *at, bool reuse_port, int *ret_fd, struct errctx *ec)
{
    char text[ENDPOINT_TEXT_MAX];
    int fd;
    enum err e = bind_socket(at, reuse_port, &fd, ec);
    if (e != ERR_OK)
        return e;
    if (listen(fd, BACKLOG) != 0) {
        ip_endpoint_text(at, text);
        e = err_set(ec, ERR_IO, "cannot listen on %s: %s", text, strerrordesc_np(errno));
        close(fd);
        return e;
    }
    /* Inherited like the others, but forgotten by listen(). What is said to us is answered at once: the
     * answer acknowledges it, the first words no less than later ones. */
    int off = 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
    *ret_fd = fd;
    return ERR_OK;
}

enum err listener_open(struct loop *l, const struct ip_endpoint *at, bool reuse_port, listener_fn *accepted,
                       void *arg, struct listener **ret, struct errctx *ec)
{
    int fd = -1;
    enum err e = open_socket(at, reuse_port, &fd, ec);
    if (e != ERR_OK)
        return e;
    struct listener *ln = calloc(1, sizeof *ln);
    if (ln == NULL) {
        close(fd);
        return err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    }
    ln->loop = l;
    ln->accepted = accepted;
    ln->arg = arg;
    ln->fd = fd;
    timer_init(&ln->again, l, try_again, ln);
    (void)event_assign(&ln->ev, l->base, fd, EV_READ | EV_PERSIST, accept_some, ln);
    watch_listener(ln);
    *ret = ln;
    return ERR_OK;
}

bool listener_address(const struct listener *ln, struct ip_endpoint *ret)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof ss;
    return getsockname(ln->fd, (struct sockaddr *)&ss, &len) == 0 &&
           ip_from_sockaddr((struct sockaddr *)&ss, ret);
}

void listener_pause(struct listener *ln, bool paused)
{
    ln->paused = paused;
    watch_listener(ln);
}

void listener_finish(struct listener *ln)
{
    if (!ln->paused && !ln->busy)
        accept_some(ln->fd, EV_READ, ln);
    listener_close(ln);
}

void listener_close(struct listener *ln)
{
    if (ln == NULL)
        return;
    (void)event_del(&ln->ev);
    timer_done(&ln->again);
    close(ln->fd);
    ln->closed = true;
    if (!ln->busy)
        free(ln);
}
