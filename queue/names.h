/* queue/names.h — a list of strings that grows, one after another in one buffer. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

enum { NAMES_BYTES_MAX = 256 << 20 };
struct names {
    struct buf bytes;
    size_t *ends;
    size_t count, room;
};
void names_init(struct names *n);
void names_done(struct names *n);                            /* idempotent */
void names_clear(struct names *n);                           /* keeps the memory */
enum err names_add(struct names *n, struct span s) MUST_USE; /* ERR_NOMEM, ERR_TOOBIG */
struct span names_at(const struct names *n, size_t i);       /* borrowed until the next change */
enum err names_sort(struct names *n) MUST_USE;               /* bytewise; and drops duplicates */
