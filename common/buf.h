/* common/buf.h — growable bytes that carry their limit.
 *
 * Invariant: len <= cap <= max, and ptr[len] == 0 whenever ptr != NULL (one hidden byte past cap). */
#pragma once
#include "common/err.h"
#include "common/span.h"

struct buf {
    char *ptr;
    size_t len, cap, max;
};

void buf_init(struct buf *b, size_t max); /* allocates nothing, cannot fail */
void buf_done(struct buf *b);             /* idempotent; keeps max */

enum err buf_add(struct buf *b, struct span s) MUST_USE; /* ERR_TOOBIG, ERR_NOMEM: b unchanged */
enum err buf_addc(struct buf *b, char c) MUST_USE;
enum err buf_addf(struct buf *b, const char *fmt, ...) PRINTF(2, 3) MUST_USE;

/* Appends s with every byte outside 0x20..0x7e, and the quotes ' and \, written as \xNN: for logs. */
enum err buf_add_escaped(struct buf *b, struct span s) MUST_USE;

/* Room for n more bytes at b->ptr + b->len; the caller then adds what it wrote to b->len and
 * restores the terminating zero with buf_wrote(). */
enum err buf_reserve(struct buf *b, size_t n) MUST_USE;
void buf_wrote(struct buf *b, size_t n);

void buf_clear(struct buf *b);                  /* keeps the memory */
void buf_drop_front(struct buf *b, size_t n);   /* n > len drops all */
struct span buf_span(const struct buf *b);      /* borrowed until the next change */
char *buf_take(struct buf *b, size_t *ret_len); /* caller frees; b is empty again; NULL if b was empty */
const char *buf_cstr(const struct buf *b);      /* "" when empty; for printing only */
