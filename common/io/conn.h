/* common/io/conn.h — one byte stream: TCP or unix socket, plain or TLS; SMTP and Redis alike.
 *
 * Lifetimes: callbacks may call conn_free() on their own connection; nothing is called afterwards.
 * No callback is ever called from inside a call made by the owner, and `closed` at most once; it leaves
 * the connection to be freed by the owner (its descriptor is closed by then, what is written goes
 * nowhere). Memory: an idle connection owns no input or output buffer; reading goes through a scratch
 * buffer of the loop, what the owner did not consume is kept (at most CONN_INPUT_MAX and one TLS
 * record). Everything written in a turn leaves with one system call at the end of the turn. */
#pragma once
#include "common/io/loop.h"
#include "common/io/tls.h"
#include "common/ip.h"
#include "common/span.h"

struct conn;
enum { CONN_INPUT_MAX = 65536 };

/* All but received and closed may be NULL. */
struct conn_ops {
    /* Connected or accepted, and TLS established if asked for there. Once, before all others but closed. */
    void (*opened)(void *arg);
    /* Bytes have arrived (older unconsumed ones first); returns how many were consumed. Called again
     * only when more bytes arrive or after conn_resume(). Consuming nothing of CONN_INPUT_MAX bytes
     * pauses reading. The bytes stay valid for the call, also after conn_free(). */
    size_t (*received)(void *arg, struct span bytes);
    /* Output fell to half of `high` after conn_output() was above it: see conn_set_high_water(). */
    void (*drained)(void *arg);
    /* TLS established after conn_start_tls(). */
    void (*secured)(void *arg);
    /* e: ERR_OK the peer closed in order (or conn_finish() is done), ERR_TIMEOUT, ERR_TLS (also an end
     * without close_notify), ERR_IO, ERR_NOMEM; why is for people. */
    void (*closed)(void *arg, enum err e, const char *why);
};

/* Takes over an accepted, non-blocking descriptor. tls NULL: plain. NULL: out of memory (fd closed). */
struct conn *conn_accept(struct loop *l, int fd, struct tls_context *tls, const struct conn_ops *ops,
                         void *arg);
/* Borrowed for the call, but for tls, of which the connection takes its own reference. */
struct conn_target {
    const char *unix_path;        /* or NULL */
    struct ip_endpoint endpoint;  /* when unix_path is NULL */
    const struct ip_addr *source; /* local address to bind, or NULL */
    struct tls_context *tls;      /* NULL: plain */
    const char *tls_name;         /* SNI and name to verify; NULL: none */
    ms_t timeout_ms;              /* for connecting and the handshake together */
};
/* ERR_NOMEM, ERR_IO (no descriptor, source not ours): nothing is called. A refused connection is
 * reported by `closed`. What is written before `opened` is sent then. */
enum err conn_connect(struct loop *l, const struct conn_target *target, const struct conn_ops *ops, void *arg,
                      struct conn **ret, struct errctx *ec) MUST_USE;
void conn_free(struct conn *c); /* closes at once, drops unsent output; NULL is a no-op */
/* Sends what is buffered and ends the output, then waits briefly for the peer's end, so that unread
 * input does not destroy what is on its way; `closed` with ERR_OK follows, or ERR_TIMEOUT when the
 * output was not taken in timeout_ms. Input that comes meanwhile is dropped. */
void conn_finish(struct conn *c, ms_t timeout_ms);

/* Output. Copies, or borrows until release() (called exactly once, also on error and free; it must not
 * call back into the connection). ERR_NOMEM, ERR_STATE: finished or closed. */
enum err conn_write(struct conn *c, struct span bytes) MUST_USE;
typedef void conn_release_fn(const void *ptr, size_t len, void *arg);
enum err conn_write_ref(struct conn *c, struct span bytes, conn_release_fn *release, void *arg) MUST_USE;
size_t conn_output(const struct conn *c);                    /* bytes not yet taken by the kernel */
void conn_set_high_water(struct conn *c, size_t high_bytes); /* default 256 KiB: see drained */

/* While paused nothing is read, so the end of the peer is not noticed either. */
void conn_pause(struct conn *c);  /* stop reading: back-pressure reaches the peer */
void conn_resume(struct conn *c); /* also offers unconsumed bytes again, from the loop */
/* At most so many bytes are read at a time (CONN_INPUT_MAX): what an owner that pauses at once may have to
 * keep. With TLS, the rest of a record if that is more. */
void conn_set_read_size(struct conn *c, size_t bytes);

/* One deadline a connection: `closed` with ERR_TIMEOUT when it passes; 0 turns it off. Cheap: call it
 * as often as something moves. Replaces the time-out of conn_connect(). */
void conn_set_timeout(struct conn *c, ms_t after_ms);

/* Server or client handshake on a plain connection. Unconsumed input is dropped (RFC 3207 4.2).
 * Output written before leaves in the clear first. Ends a pause. The deadline stays as it is. */
enum err conn_start_tls(struct conn *c, struct tls_context *tls, bool server, const char *name) MUST_USE;
struct conn_tls_info {
    bool active, verified;
    char version[16], cipher[64], peer[128];
};
void conn_tls_info(const struct conn *c, struct conn_tls_info *ret);
bool conn_peer(const struct conn *c, struct ip_endpoint *ret); /* false: unix socket, or closed */
bool conn_local(const struct conn *c, struct ip_endpoint *ret);

/* Listeners. `accepted` owns fd. reuse_port lets every loop have its own (SO_REUSEPORT). */
struct listener;
typedef void listener_fn(void *arg, int fd, const struct ip_endpoint *peer);
enum err listener_open(struct loop *l, const struct ip_endpoint *at, bool reuse_port, listener_fn *accepted,
                       void *arg, struct listener **ret, struct errctx *ec) MUST_USE;
/* ERR_IO: somebody listens at that address, even if he lets others in (SO_REUSEPORT). */
enum err listener_probe(const struct ip_endpoint *at, struct errctx *ec) MUST_USE;
bool listener_address(const struct listener *ln, struct ip_endpoint *ret); /* real port when bound to 0 */
void listener_pause(struct listener *ln, bool paused);
void listener_close(struct listener *ln);  /* NULL is a no-op */
void listener_finish(struct listener *ln); /* the same, after accepting those who have connected already */
