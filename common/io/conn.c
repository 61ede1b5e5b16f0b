#include "common/io/conn_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HIGH_WATER = 256 * 1024 };

/* --- state ----------------------------------------------------------------------------------- */

void conn_set_state(struct conn *c, enum conn_state next)
{
    c->state = next;
}

void conn_enter(struct conn *c)
{
    c->calls++;
}

bool conn_leave(struct conn *c)
{
    c->calls--;
    if (!c->freed)
        return true;
    if (c->calls == 0)
        free(c);
    return false;
}

/* Everything but the struct itself; borrowed output is released. */
static void dispose(struct conn *c)
{
    conn_set_state(c, CONN_CLOSED);
    (void)event_del(&c->io);
    timer_done(&c->deadline);
    deferred_disarm(&c->later);
    deferred_disarm(&c->flush);
    if (c->wire != NULL)
        evbuffer_free(c->wire);
    if (c->plain != NULL)
        evbuffer_free(c->plain);
    c->wire = c->plain = NULL;
    buf_done(&c->input);
    tls_free(c->tls);
    c->tls = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void conn_close(struct conn *c, enum err e, const char *why)
{
    if (c->state == CONN_CLOSED)
        return;
    dispose(c);
    conn_enter(c);
    c->ops->closed(c->arg, e, why);
    (void)conn_leave(c);
}

void conn_free(struct conn *c)
{
    if (c == NULL)
        return;
    if (c->state == CONN_OPEN)
        conn_say_goodbye(c);
    if (c->state != CONN_CLOSED)
        dispose(c);
    c->freed = true;
    if (c->calls == 0)
        free(c);
}

void conn_established(struct conn *c)
{
    void (*tell)(void *) = c->opened ? c->ops->secured : c->ops->opened;
    if (c->finishing) {
        conn_set_state(c, CONN_FINISHING);
        deferred_arm_flush(c->loop, &c->flush);
        return;
    }
    conn_set_state(c, CONN_OPEN);
    c->opened = true;
    if (c->connect_deadline)
        timer_cancel(&c->deadline);
    c->connect_deadline = false;
    if (conn_output(c) > 0)
        deferred_arm_flush(c->loop, &c->flush);
    if (tell != NULL)
        tell(c->arg);
}

static void deadline_passed(void *arg)
{
    static const char *const why[] = {
        [CONN_CONNECTING] = "connecting took too long",
        [CONN_SHAKING] = "the TLS handshake took too long",
        [CONN_OPEN] = "the peer was silent for too long",
        [CONN_FINISHING] = "the peer did not take the output in time",
        [CONN_LINGERING] = "closed",
        [CONN_CLOSED] = "closed",
    };
    struct conn *c = arg;
    conn_close(c, c->state == CONN_LINGERING ? ERR_OK : ERR_TIMEOUT, why[c->state]);
}

/* --- making ---------------------------------------------------------------------------------- */

/* What was promised not to happen inside a call of the owner. */
static void run_later(void *arg)
{
    struct conn *c = arg;
    conn_enter(c);
    if (c->state == CONN_CONNECTING)
        conn_connected(c, c->send_errno);
    else if (c->state == CONN_SHAKING)
        conn_tls_kick(c);
    else if (c->state == CONN_OPEN && !c->opened)
        conn_established(c);
    if (c->offer && !c->freed && c->state == CONN_OPEN)
        conn_offer_kept(c);
    if (conn_leave(c))
        conn_watch(c);
}

static struct conn *conn_new(struct loop *l, int fd, enum conn_state state, const struct conn_ops *ops,
                             void *arg)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->loop = l;
    c->ops = ops;
    c->arg = arg;
    c->fd = fd;
    c->state = state;
    c->high_water = HIGH_WATER;
    c->read_size = CONN_INPUT_MAX;
    buf_init(&c->input, LOOP_SCRATCH);
    timer_init(&c->deadline, l, deadline_passed, c);
    deferred_init(&c->later, run_later, c);
    deferred_init(&c->flush, conn_flush, c);
    c->interest = state == CONN_CONNECTING ? EV_WRITE : EV_READ;
    if (event_assign(&c->io, l->base, fd, (short)(c->interest | EV_PERSIST), conn_io, c) != 0 ||
        event_add(&c->io, NULL) != 0) {
        free(c);
        return NULL;
    }
    return c;
}

struct conn *conn_accept(struct loop *l, int fd, struct tls_context *tls, const struct conn_ops *ops,
                         void *arg)
{
    struct conn *c = conn_new(l, fd, tls == NULL ? CONN_OPEN : CONN_SHAKING, ops, arg);
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    if (tls != NULL && (c->tls = tls_open(tls, true, NULL)) == NULL) {
        conn_free(c);
        return NULL;
    }
    deferred_arm(l, &c->later);
    return c;
}

/* The address to connect to; 0: the path does not fit. */
static socklen_t target_address(const struct conn_target *t, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (t->unix_path == NULL)
        return (socklen_t)ip_to_sockaddr(&t->endpoint, (struct sockaddr *)ss);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(t->unix_path);
    if (len == 0 || len >= sizeof un.sun_path)
        return 0;
    memcpy(un.sun_path, t->unix_path, len);
    memcpy(ss, &un, sizeof un);
    return sizeof un;
}

static enum err bind_source(int fd, const struct ip_addr *source, struct errctx *ec)
{
    struct ip_endpoint local = {.addr = *source, .port = 0};
    struct sockaddr_storage ss;
    char text[IP_TEXT_MAX];
    int on = 1;
    /* The port is chosen at connect(), by the whole four-tuple: many more connections fit. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    socklen_t len = (socklen_t)ip_to_sockaddr(&local, (struct sockaddr *)&ss);
    if (bind(fd, (struct sockaddr *)&ss, len) == 0)
        return ERR_OK;
    ip_text(source, text);
    return err_set(ec, ERR_IO, "cannot connect from %s: %s", text, strerrordesc_np(errno));
}

/* ret_errno: 0, EINPROGRESS, or why the connection failed at once. */
static enum err start_connecting(const struct conn_target *t, int *ret_fd, int *ret_errno, struct errctx *ec)
{
    struct sockaddr_storage ss;
    socklen_t len = target_address(t, &ss);
    if (len == 0)
        return err_set(ec, ERR_IO, "socket path is empty or longer than %zu bytes",
                       sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(ec, ERR_IO, "cannot open a socket: %s", strerrordesc_np(errno));
    if (t->unix_path == NULL) {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (t->source != NULL && bind_source(fd, t->source, ec) != ERR_OK) {
            close(fd);
            return ERR_IO;
        }
    }
    *ret_errno = connect(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : errno;
    *ret_fd = fd;
    return ERR_OK;
}

enum err conn_connect(struct loop *l, const struct conn_target *t, const struct conn_ops *ops, void *arg,
                      struct conn **ret, struct errctx *ec)
{
    int fd = -1, outcome = 0;
    enum err e = start_connecting(t, &fd, &outcome, ec);
    if (e != ERR_OK)
        return e;
    struct conn *c = conn_new(l, fd, CONN_CONNECTING, ops, arg);
    if (c == NULL) {
        close(fd);
        return err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    }
    if (t->tls != NULL && (c->tls = tls_open(t->tls, false, t->tls_name)) == NULL) {
        conn_free(c);
        return err_set(ec, ERR_NOMEM, "cannot set up TLS");
    }
    if (outcome != EINPROGRESS) {
        c->send_errno = outcome;
        deferred_arm(l, &c->later);
    }
    if (t->timeout_ms > 0) {
        timer_set(&c->deadline, t->timeout_ms);
        c->connect_deadline = true;
    }
    *ret = c;
    return ERR_OK;
}

/* --- output ---------------------------------------------------------------------------------- */

/* Where the next byte goes, and whether there is any use in it. */
static enum err output_buffer(struct conn *c, struct evbuffer **ret)
{
    struct evbuffer **b = c->tls == NULL ? &c->wire : &c->plain;
    *ret = NULL;
    if (c->finishing || c->state == CONN_CLOSED)
        return ERR_STATE;
    if (c->send_errno != 0)
        return ERR_OK; /* the input will tell, see conn_flush() */
    if (*b == NULL)
        *b = evbuffer_new();
    *ret = *b;
    return *b == NULL ? ERR_NOMEM : ERR_OK;
}

static void output_added(struct conn *c)
{
    if (conn_output(c) > c->high_water)
        c->above_high = true;
    if (c->state == CONN_OPEN && !c->want_write)
        deferred_arm_flush(c->loop, &c->flush);
}

/* evbuffer_add() behind a borrowed block allocates one as large as that, however little is added. */
static bool add_small(struct evbuffer *b, struct span bytes)
{
    struct evbuffer_iovec room;
    if (bytes.len == 0)
        return true;
    if (evbuffer_reserve_space(b, (ev_ssize_t)bytes.len, &room, 1) != 1)
        return false;
    memcpy(room.iov_base, bytes.ptr, bytes.len);
    room.iov_len = bytes.len;
    return evbuffer_commit_space(b, &room, 1) == 0;
}

enum err conn_write(struct conn *c, struct span bytes)
{
    struct evbuffer *b;
    enum err e = output_buffer(c, &b);
    if (e != ERR_OK || b == NULL)
        return e;
    if (c->ref_last ? !add_small(b, bytes) : evbuffer_add(b, bytes.ptr, bytes.len) != 0)
        return ERR_NOMEM;
    c->ref_last = false;
    output_added(c);
    return ERR_OK;
}

enum err conn_write_ref(struct conn *c, struct span bytes, conn_release_fn *release, void *arg)
{
    struct evbuffer *b;
    enum err e = output_buffer(c, &b);
    if (e == ERR_OK && b != NULL && bytes.len > 0) {
        if (evbuffer_add_reference(b, bytes.ptr, bytes.len, release, arg) == 0) {
            c->ref_last = true;
            output_added(c);
            return ERR_OK;
        }
        e = ERR_NOMEM;
    }
    release(bytes.ptr, bytes.len, arg);
    return e;
}

size_t conn_output(const struct conn *c)
{
    return (c->wire == NULL ? 0 : evbuffer_get_length(c->wire)) +
           (c->plain == NULL ? 0 : evbuffer_get_length(c->plain));
}

void conn_set_high_water(struct conn *c, size_t high_bytes)
{
    c->high_water = high_bytes;
}

/* --- what the owner asks for ----------------------------------------------------------------- */

void conn_pause(struct conn *c)
{
    c->paused = true; /* the registration goes when there is something to read, see conn_io.c */
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    if ((c->input.len > 0 || c->tls_ended) && c->state == CONN_OPEN) {
        c->offer = true;
        deferred_arm(c->loop, &c->later);
    }
    conn_watch(c);
}

void conn_set_read_size(struct conn *c, size_t bytes)
{
    c->read_size = bytes;
}

void conn_set_timeout(struct conn *c, ms_t after_ms)
{
    if (c->finishing || c->state == CONN_CLOSED)
        return;
    c->connect_deadline = false;
    if (after_ms == 0)
        timer_cancel(&c->deadline);
    else
        timer_set(&c->deadline, after_ms);
}

void conn_drop_input(struct conn *c)
{
    c->input_drops++;
    c->paused = c->offer = false;
    buf_done(&c->input);
}

void conn_finish(struct conn *c, ms_t timeout_ms)
{
    if (c->finishing || c->state == CONN_CLOSED)
        return;
    conn_drop_input(c);
    c->finishing = true;
    c->connect_deadline = false;
    timer_set(&c->deadline, timeout_ms);
    if (c->state == CONN_CONNECTING) {
        /* Nothing can be sent: over as soon as the loop runs. */
        conn_set_state(c, CONN_LINGERING);
        c->peer_ended = true;
        timer_set(&c->deadline, 0);
        return;
    }
    if (c->state == CONN_OPEN)
        conn_set_state(c, CONN_FINISHING);
    conn_watch(c);
    if (!c->want_write)
        deferred_arm_flush(c->loop, &c->flush);
}

bool conn_peer(const struct conn *c, struct ip_endpoint *ret)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof ss;
    return getpeername(c->fd, (struct sockaddr *)&ss, &len) == 0 &&
           ip_from_sockaddr((struct sockaddr *)&ss, ret);
}

bool conn_local(const struct conn *c, struct ip_endpoint *ret)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof ss;
    return getsockname(c->fd, (struct sockaddr *)&ss, &len) == 0 &&
           ip_from_sockaddr((struct sockaddr *)&ss, ret);
}
