/* common/io/tls_internal.h — one end of a TLS connection as a filter: it does no I/O.
 *
 * Bytes from the peer are handed in as a span that is consumed as a whole; records for the peer are
 * appended to `wire`. After ERR_TLS only tls_free() may follow; an alert may be in `wire`. */
#pragma once
#include "common/io/conn.h"
#include "common/io/tls.h"

struct evbuffer;
struct tls;

/* name: SNI and name to verify of a client, or NULL or "". NULL: out of memory, or the name is no name. */
struct tls *tls_open(struct tls_context *ctx, bool server, const char *name);
void tls_free(struct tls *t);

/* ERR_OK: established; ERR_AGAIN: needs more from the peer; ERR_TLS. May leave cipher bytes over when
 * established: hand them to tls_decrypt(). */
enum err tls_handshake(struct tls *t, struct span *cipher, struct evbuffer *wire, struct errctx *ec) MUST_USE;
/* ERR_AGAIN: needs more from the peer; ERR_OK: the peer ended the stream in order; ERR_TLS, ERR_NOMEM. In all
 * cases ret_n bytes are in out, whose size must suffice for all of cipher and one record. */
enum err tls_decrypt(struct tls *t, struct span cipher, char *out, size_t size, size_t *ret_n,
                     struct evbuffer *wire, struct errctx *ec) MUST_USE;
/* How much to read, so that it is at most `step` bytes with what is held of a record begun; but enough to
 * complete that. */
size_t tls_read_size(const struct tls *t, size_t step);
enum err tls_encrypt(struct tls *t, struct span plain, struct evbuffer *wire, struct errctx *ec) MUST_USE;
void tls_finish(struct tls *t, struct evbuffer *wire); /* close_notify */
void tls_describe(const struct tls *t, struct conn_tls_info *ret);
