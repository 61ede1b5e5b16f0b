/* worker/body.h — the body of a claimed message as a stream: one chunk in use, one on its way.
 *
 * Memory is bounded to BODY_AHEAD chunks however large the message is; a body of one chunk is kept, so
 * that another recipient or target costs no second read. The claim must live until body_free() has
 * called back (store_chunk() borrows it). */
#pragma once
#include "queue/store.h"

struct body;
enum { BODY_AHEAD = 2 };

typedef void body_fn(void *arg);
/* ready(arg): body_next() may have changed its mind; never called from inside a call made here.
 * Starts to read at once. NULL: out of memory. */
struct body *body_new(struct store *st, const struct claim *c, body_fn *ready, void *arg);
/* Who is to be told from now on (a body moves between connections). */
void body_listen(struct body *b, body_fn *ready, void *arg);
/* The piece that begins at offset: where the last one ended, or 0 to start over. Counted: drop it with
 * body_piece_free(). ERR_AGAIN: not here yet; ERR_STATE: offset is neither; others: the body cannot be read
 * (ERR_NOTFOUND, ERR_PARSE: for good). At the end of the body: an empty piece. */
struct body_piece;
enum err body_next(struct body *b, uint64_t offset, struct body_piece **ret) MUST_USE;
struct span body_piece_span(const struct body_piece *p);
struct body_piece *body_piece_ref(struct body_piece *p);
void body_piece_free(struct body_piece *p);                        /* NULL is a no-op */
void body_piece_release(const void *ptr, size_t len, void *piece); /* a conn_release_fn */
/* No more reading; gone(arg) is called when the store has no use for the claim any more, perhaps at once
 * (before this returns). ready is not called any more. */
void body_free(struct body *b, body_fn *gone, void *arg);
