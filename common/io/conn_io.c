#include "common/io/conn_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    IOV_COUNT = 64,
    FLUSH_ROUNDS = 8, /* then others have their turn */
    LINGER_MS = 2000, /* for the peer's end after ours */
};

/* --- registration ---------------------------------------------------------------------------- */

static void set_interest(struct conn *c, short want)
{
    if (want == c->interest)
        return;
    /* Removing and adding in one turn become at most one epoll_ctl: the loop keeps a change list. */
    (void)event_del(&c->io);
    (void)event_assign(&c->io, c->loop->base, c->fd, (short)(want | EV_PERSIST), conn_io, c);
    if (want != 0 && event_add(&c->io, NULL) != 0)
        abort(); /* out of memory: a connection that nobody looks at would be worse */
    c->interest = want;
}

void conn_watch(struct conn *c)
{
    short want = c->want_write ? EV_WRITE : 0;
    if (c->state == CONN_CLOSED)
        return;
    if (c->state == CONN_CONNECTING)
        want = EV_WRITE;
    else if (!c->peer_ended && (!c->paused || (c->interest & EV_READ) != 0))
        want |= EV_READ; /* a short pause costs nothing: see readable() */
    set_interest(c, want);
}

/* --- output ---------------------------------------------------------------------------------- */

struct evbuffer *conn_wire(struct conn *c)
{
    if (c->wire == NULL)
        c->wire = evbuffer_new();
    return c->wire;
}

void conn_trim(struct evbuffer **b)
{
    if (*b != NULL && evbuffer_get_length(*b) == 0) {
        evbuffer_free(*b);
        *b = NULL;
    }
}

/* Hands `wire` to the kernel. ERR_AGAIN: the kernel takes no more, or others should have a turn. */
static enum err send_wire(struct conn *c)
{
    struct evbuffer_iovec iov[IOV_COUNT];
    for (int round = 0; c->wire != NULL && evbuffer_get_length(c->wire) > 0; round++) {
        if (round == FLUSH_ROUNDS) {
            deferred_arm_flush(c->loop, &c->flush);
            return ERR_AGAIN;
        }
        int n = evbuffer_peek(c->wire, -1, NULL, iov, IOV_COUNT);
        if (n > IOV_COUNT)
            n = IOV_COUNT;
        size_t total = 0;
        for (int i = 0; i < n; i++)
            total += iov[i].iov_len;
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
        /* The last words leave in one segment with the end that end_output() adds at once. */
        int more = c->state == CONN_FINISHING ? MSG_MORE : 0;
        ssize_t sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | more);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return ERR_IO;
        if (sent > 0)
            (void)evbuffer_drain(c->wire, (size_t)sent);
        if (sent < (ssize_t)total) {
            c->want_write = true;
            return ERR_AGAIN;
        }
    }
    return ERR_OK;
}

/* Encrypts and sends until nothing is left, the kernel is full, or something breaks. */
static enum err send_all(struct conn *c, struct errctx *ec)
{
    enum err e;
    bool more;
    c->want_write = false;
    do {
        e = c->plain == NULL || c->state == CONN_SHAKING ? ERR_OK : conn_tls_output(c, ec);
        if (e == ERR_OK)
            e = send_wire(c);
        if (e == ERR_IO)
            (void)err_set(ec, e, "sending failed: %s", strerrordesc_np(c->send_errno = errno));
        conn_trim(&c->wire);
        conn_trim(&c->plain);
        more = c->plain != NULL && c->state != CONN_SHAKING;
    } while (e == ERR_OK && more);
    return e;
}

/* All output is gone: ends ours, and waits for the peer's end. Closing at once, with input unread or
 * on its way, would make the kernel reset the connection and the peer lose our last words. */
static void end_output(struct conn *c)
{
    struct errctx ec;
    if (c->tls != NULL && conn_wire(c) != NULL) {
        tls_finish(c->tls, c->wire);
        (void)send_all(c, &ec); /* the peer may have gone; an alert fits into any buffer */
    }
    (void)shutdown(c->fd, SHUT_WR);
    if (c->peer_ended) {
        conn_close(c, ERR_OK, "closed");
        return;
    }
    conn_set_state(c, CONN_LINGERING);
    c->want_write = false;
    conn_watch(c);
    if (c->deadline.deadline_ms > ms_after(loop_now(c->loop), LINGER_MS))
        timer_set(&c->deadline, LINGER_MS);
}

/* After a failure to send there may be input that tells why ("421 too busy", then a reset): reading
 * goes on to its own end, which comes at once. */
static void output_failed(struct conn *c, enum err e, const struct errctx *ec)
{
    bool peer_gone = e == ERR_IO && (c->send_errno == EPIPE || c->send_errno == ECONNRESET);
    bool reading = c->state == CONN_OPEN || c->state == CONN_SHAKING;
    if (!peer_gone || !reading || c->paused) {
        conn_close(c, e, ec->msg);
        return;
    }
    if (c->wire != NULL)
        evbuffer_free(c->wire);
    if (c->plain != NULL)
        evbuffer_free(c->plain);
    c->wire = c->plain = NULL;
}

void conn_flush(void *arg)
{
    struct conn *c = arg;
    struct errctx ec;
    if (c->state == CONN_CONNECTING || c->state >= CONN_LINGERING)
        return;
    conn_enter(c);
    enum err e = send_all(c, &ec);
    conn_watch(c);
    if (e != ERR_OK && e != ERR_AGAIN) {
        output_failed(c, e, &ec);
    } else if (c->state == CONN_FINISHING && e == ERR_OK) {
        end_output(c);
    } else if (c->above_high && c->state == CONN_OPEN && conn_output(c) <= c->high_water / 2) {
        c->above_high = false;
        if (c->ops->drained != NULL)
            c->ops->drained(c->arg);
    }
    (void)conn_leave(c);
}

void conn_fail(struct conn *c, enum err e, const char *why)
{
    conn_flush(c); /* the alert that tells the peer */
    conn_close(c, e, why);
}

void conn_say_goodbye(struct conn *c)
{
    struct errctx ec;
    if (c->tls == NULL || c->wire != NULL || c->plain != NULL || c->send_errno != 0)
        return;
    if (conn_wire(c) != NULL) {
        tls_finish(c->tls, c->wire);
        (void)send_all(c, &ec);
    }
}

/* --- input ----------------------------------------------------------------------------------- */

/* Keeps what was not consumed, in a block of its own size. */
static bool keep(struct conn *c, struct span rest)
{
    if (rest.len == 0 || c->input.cap < rest.len || c->input.cap > 2 * rest.len + 64)
        buf_done(&c->input);
    buf_clear(&c->input);
    if (rest.len == 0)
        return true;
    if (buf_add(&c->input, rest) != ERR_OK) {
        conn_close(c, ERR_NOMEM, "no memory for input");
        return false;
    }
    if (rest.len >= CONN_INPUT_MAX)
        c->paused = true;
    return true;
}

void conn_offer(struct conn *c, struct span bytes)
{
    size_t used = 0;
    unsigned drops = c->input_drops;
    c->offer = false;
    if (bytes.len > 0 && !c->paused)
        used = c->ops->received(c->arg, bytes);
    if (c->state == CONN_CLOSED || drops != c->input_drops)
        return;
    (void)keep(c, span_from(bytes, used));
}

/* In scratch, the way it would have arrived: the owner may free the connection and still read on. */
size_t conn_kept_to_scratch(struct conn *c)
{
    if (c->input.len > 0)
        memcpy(c->loop->scratch, c->input.ptr, c->input.len);
    return c->input.len;
}

void conn_offer_kept(struct conn *c)
{
    if (!c->paused)
        conn_offer(c, span_of(c->loop->scratch, conn_kept_to_scratch(c)));
    if (c->tls_ended && c->state == CONN_OPEN && !c->paused)
        conn_end_of_input(c);
}

static void ended_by_peer(struct conn *c)
{
    struct errctx ec;
    c->peer_ended = true;
    if (c->state == CONN_SHAKING) {
        conn_close(c, ERR_TLS, "closed by the peer during the TLS handshake");
    } else if (c->send_errno != 0) {
        (void)err_set(&ec, ERR_IO, "sending failed: %s", strerrordesc_np(c->send_errno));
        conn_close(c, ERR_IO, ec.msg);
    } else if (c->tls != NULL) {
        conn_close(c, ERR_TLS, "closed by the peer without close_notify");
    } else {
        conn_end_of_input(c);
    }
}

/* The peer has ended in order; it may still read what we have for it. */
void conn_end_of_input(struct conn *c)
{
    struct errctx ec;
    c->peer_ended = true;
    if (conn_output(c) > 0)
        (void)send_all(c, &ec);
    conn_close(c, ERR_OK, "closed by the peer");
}

static void read_failed(struct conn *c, int why)
{
    struct errctx ec;
    if (why == EAGAIN || why == EWOULDBLOCK || why == EINTR)
        return;
    (void)err_set(&ec, ERR_IO, "receiving failed: %s", strerrordesc_np(why));
    conn_close(c, ERR_IO, ec.msg);
}

/* FINISHING and LINGERING: nobody wants the input, but the peer must get rid of it. */
static void discard(struct conn *c)
{
    ssize_t n = recv(c->fd, c->loop->scratch, CONN_INPUT_MAX, 0);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    c->peer_ended = true;
    if (c->state == CONN_LINGERING)
        conn_close(c, ERR_OK, "closed");
    else if (n < 0)
        read_failed(c, errno);
}

static void readable(struct conn *c)
{
    size_t kept = c->input.len;
    if (c->state >= CONN_FINISHING) {
        discard(c);
        return;
    }
    if (c->paused) {
        set_interest(c, (short)(c->interest & ~EV_READ));
        return;
    }
    if (c->offer)
        return; /* just resumed: what is kept is offered first, and may be much already */
    char *to = c->tls == NULL ? c->loop->scratch + conn_kept_to_scratch(c) : c->loop->cipher;
    size_t room = CONN_INPUT_MAX - kept;
    size_t step = c->tls == NULL ? c->read_size : tls_read_size(c->tls, c->read_size);
    ssize_t n = recv(c->fd, to, room < step ? room : step, 0);
    if (n < 0)
        read_failed(c, errno);
    else if (n == 0)
        ended_by_peer(c);
    else if (c->tls != NULL)
        conn_tls_input(c, span_of(c->loop->cipher, (size_t)n));
    else
        conn_offer(c, span_of(c->loop->scratch, kept + (size_t)n));
}

void conn_connected(struct conn *c, int failure)
{
    struct errctx ec;
    if (failure != 0) {
        (void)err_set(&ec, ERR_IO, "cannot connect: %s", strerrordesc_np(failure));
        conn_close(c, ERR_IO, ec.msg);
    } else if (c->tls != NULL) {
        conn_set_state(c, CONN_SHAKING);
        conn_tls_kick(c);
    } else {
        conn_established(c);
    }
}

void conn_io(int fd, short what, void *arg)
{
    struct conn *c = arg;
    conn_enter(c);
    if (c->state == CONN_CONNECTING) {
        int failure = 0;
        socklen_t len = sizeof failure;
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len);
        conn_connected(c, failure);
    } else {
        if ((what & EV_WRITE) != 0)
            conn_flush(c);
        if ((what & EV_READ) != 0 && c->state != CONN_CLOSED)
            readable(c);
    }
    if (conn_leave(c))
        conn_watch(c);
}
