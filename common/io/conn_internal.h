/* common/io/conn_internal.h — struct conn, shared by conn.c (life), conn_io.c (bytes) and conn_tls.c. */
#pragma once
#include "common/buf.h"
#include "common/io/conn.h"
#include "common/io/loop_internal.h"
#include "common/io/tls_internal.h"

#include <event2/buffer.h>

/*             connect()                    accept, plain
 *                |                               |
 *                v             plain             v    conn_finish()               all sent
 *   (none) -> CONNECTING ---------------------> OPEN --------------> FINISHING ------------> LINGERING
 *                |  TLS                        |   ^                     ^                        |
 *                v         conn_start_tls()    v   |                     |                        |
 *              SHAKING <-----------------------+   |                     |       peer's end, or   |
 *                |     established                 |                     |       a while          v
 *                +---------------------------------+-- conn_finish() ----+                     CLOSED
 *
 *   CLOSED is reached from everywhere by an error, a time-out, or the end of the peer.
 *
 *   CONNECTING  nothing read or written; output waits.
 *   SHAKING     tls != NULL and not established; `wire` carries the handshake, `plain` waits; it leads
 *               to FINISHING instead when conn_finish() was called meanwhile.
 *   OPEN        received() is called. With TLS, output goes from `plain` through tls to `wire`.
 *   FINISHING   output leaves, input is dropped.
 *   LINGERING   output has been ended, input is dropped until the peer's end.
 *   CLOSED      no descriptor, no buffers, no timer; waits for conn_free(). */
enum conn_state { CONN_CONNECTING, CONN_SHAKING, CONN_OPEN, CONN_FINISHING, CONN_LINGERING, CONN_CLOSED };

struct conn {
    struct loop *loop;
    const struct conn_ops *ops;
    void *arg;
    struct tls *tls;        /* NULL: plain */
    struct evbuffer *wire;  /* for the kernel; NULL when empty */
    struct evbuffer *plain; /* to be encrypted; NULL when empty */
    struct buf input;       /* received but not consumed */
    size_t high_water, read_size;
    struct event io;
    struct timer deadline;
    struct deferred later; /* what must not happen inside a call of the owner */
    struct deferred flush;
    int fd;
    int send_errno;       /* output failed; the input tells the rest */
    unsigned input_drops; /* counts conn_start_tls() and conn_finish(): what they make void */
    short interest;       /* EV_READ, EV_WRITE as registered */
    short calls;          /* callbacks of the owner running: free() waits for them */
    enum conn_state state;
    bool freed;  /* conn_free() inside a callback */
    bool opened; /* ops->opened was called */
    bool paused;
    bool offer;      /* conn_resume(): kept input is to be offered again */
    bool finishing;  /* conn_finish(): in SHAKING the state follows when there are keys */
    bool want_write; /* the kernel's buffer is full */
    bool above_high; /* `drained` is owed */
    bool ref_last;   /* what was written last is borrowed: see conn_write() */
    bool peer_ended;
    bool tls_ended;        /* close_notify came during a pause: the end follows what is kept */
    bool connect_deadline; /* the deadline is that of conn_connect() */
};

/* conn.c. Functions that may call the owner need a conn_enter() around them: c->state tells what came
 * of it, CLOSED also after conn_free(). */
void conn_set_state(struct conn *c, enum conn_state next);
void conn_enter(struct conn *c);
bool conn_leave(struct conn *c);                              /* false: the owner freed it, c is gone */
void conn_close(struct conn *c, enum err e, const char *why); /* to CLOSED, tells the owner */
void conn_established(struct conn *c);                        /* to OPEN, tells the owner */
void conn_drop_input(struct conn *c);

/* conn_io.c */
void conn_io(int fd, short what, void *arg);
void conn_watch(struct conn *c); /* makes the registration fit the state */
void conn_flush(void *arg);
void conn_connected(struct conn *c, int failure); /* failure: an errno, or 0 */
void conn_offer(struct conn *c, struct span bytes);
void conn_offer_kept(struct conn *c);
size_t conn_kept_to_scratch(struct conn *c); /* returns its length */
void conn_end_of_input(struct conn *c);
void conn_fail(struct conn *c, enum err e, const char *why); /* flushes, then closes */
void conn_say_goodbye(struct conn *c);
struct evbuffer *conn_wire(struct conn *c); /* made when missing; NULL: out of memory */
void conn_trim(struct evbuffer **b);        /* frees an empty buffer */

/* conn_tls.c */
void conn_tls_input(struct conn *c, struct span cipher);
void conn_tls_kick(struct conn *c);                                   /* the client's first flight */
enum err conn_tls_output(struct conn *c, struct errctx *ec) MUST_USE; /* plain to wire, bounded */
