/* common/config/arena.h — memory that is freed as a whole: the parsed file, a snapshot.
 *
 * Bounded: an arena hands out at most its limit. Blocks are zeroed and never move. */
#pragma once
#include "common/span.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t used, max;
};

void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a);                /* idempotent */
void *arena_alloc(struct arena *a, size_t size); /* NULL: out of memory, or beyond the limit */
char *arena_dup(struct arena *a, struct span s); /* NUL-terminated copy */
