/* common/io/conn.h — one byte stream: TCP or unix socket, plain or TLS; SMTP and Redis alike.
 *
 * Lifetimes: callbacks may call conn_free() on their own connection; nothing is called afterwards.
 * `closed` is called at most once, never from inside a call made by the owner, and leaves the
 * connection to be freed by the owner. Memory: an idle connection owns no input or output buffer;
 * reading goes through a scratch buffer of the loop, what the owner did not consume is kept (at most
 * CONN_INPUT_MAX). Everything written in a turn leaves with one system call at the end of the turn. */
#pragma once
#include "common/io/loop.h"
#include "common/io/tls.h"
#include "common/ip.h"
#include "common/span.h"

struct conn;
enum { CONN_INPUT_MAX = 65536 };

struct conn_ops {
    /* Connected (and TLS established if asked for at connect). */
    void (*opened)(void *arg);
    /* Bytes have arrived (older unconsumed ones first); returns how many were consumed. Called again
     * only when more bytes arrive or after conn_resume(). Consuming nothing of CONN_INPUT_MAX bytes
     * pauses reading. */
    size_t (*received)(void *arg, struct span bytes);
    /* Output fell below the low-water mark after conn_output() was above `high` (may be NULL). */
    void (*drained)(void *arg);
    /* TLS established after conn_start_tls() (may be NULL). */
    void (*secured)(void *arg);
    /* e: ERR_OK the peer closed in order, ERR_TIMEOUT, ERR_TLS, ERR_IO; why is for people. */
    void (*closed)(void *arg, enum err e, const char *why);
};

/* Takes over an accepted, non-blocking descriptor. tls NULL: plain. NULL: out of memory (fd closed). */
struct conn *conn_accept(struct loop *l, int fd, struct tls_context *tls, const struct conn_ops *ops,
                         void *arg);
struct conn_target {
    const char *unix_path;        /* or NULL */
    struct ip_endpoint endpoint;  /* when unix_path is NULL */
    const struct ip_addr *source; /* local address to bind, or NULL */
    struct tls_context *tls;      /* NULL: plain */
    const char *tls_name;         /* SNI and name to verify; NULL: none */
    ms_t timeout_ms;              /* for connecting and the handshake together */
};
/* Never calls back before returning. ERR_NOMEM, ERR_IO (no descriptor: nothing is called). */
enum err conn_connect(struct loop *l, const struct conn_target *target, const struct conn_ops *ops, void *arg,
                      struct conn **ret, struct errctx *ec) MUST_USE;
void conn_free(struct conn *c); /* closes at once, drops unsent output; NULL is a no-op */
/* Sends what is buffered, then closes and calls `closed` with ERR_OK (or after timeout_ms). */
void conn_finish(struct conn *c, ms_t timeout_ms);

/* Output. Copies, or borrows until release() (called exactly once, also on error and free). */
enum err conn_write(struct conn *c, struct span bytes) MUST_USE;
typedef void conn_release_fn(const void *ptr, size_t len, void *arg);
enum err conn_write_ref(struct conn *c, struct span bytes, conn_release_fn *release, void *arg) MUST_USE;
size_t conn_output(const struct conn *c);                    /* bytes not yet taken by the kernel */
void conn_set_high_water(struct conn *c, size_t high_bytes); /* default 256 KiB: see drained */

void conn_pause(struct conn *c);  /* stop reading: back-pressure reaches the peer */
void conn_resume(struct conn *c); /* also offers unconsumed bytes again, from the loop */

/* One deadline a connection: `closed` with ERR_TIMEOUT when it passes; 0 turns it off. */
void conn_set_timeout(struct conn *c, ms_t after_ms);

/* Server or client handshake on a plain connection. Unconsumed input is dropped (RFC 3207 4.2).
 * Output written before leaves in the clear first. */
enum err conn_start_tls(struct conn *c, struct tls_context *tls, bool server, const char *name) MUST_USE;
struct conn_tls_info {
    bool active, verified;
    char version[16], cipher[64], peer[128];
};
void conn_tls_info(const struct conn *c, struct conn_tls_info *ret);
bool conn_peer(const struct conn *c, struct ip_endpoint *ret); /* false: unix socket */
bool conn_local(const struct conn *c, struct ip_endpoint *ret);

/* Listeners. `accepted` owns fd. reuse_port lets every loop have its own (SO_REUSEPORT). */
struct listener;
typedef void listener_fn(void *arg, int fd, const struct ip_endpoint *peer);
enum err listener_open(struct loop *l, const struct ip_endpoint *at, bool reuse_port, listener_fn *accepted,
                       void *arg, struct listener **ret, struct errctx *ec) MUST_USE;
bool listener_address(const struct listener *ln, struct ip_endpoint *ret); /* real port when bound to 0 */
void listener_pause(struct listener *ln, bool paused);
void listener_close(struct listener *ln); /* NULL is a no-op */
