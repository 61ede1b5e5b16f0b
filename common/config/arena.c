#include "common/config/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};
enum { BLOCK_BYTES = 16384 };

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

void arena_done(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    a->used = 0;
}

static struct arena_block *block_new(size_t size)
{
    struct arena_block *b = calloc(1, sizeof *b + size);
    if (b != NULL)
        b->size = size;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t align = alignof(max_align_t);
    if (size > a->max - a->used)
        return NULL;
    size = size == 0 ? align : (size + align - 1) / align * align;
    if (a->blocks == NULL || size > a->blocks->size - a->blocks->used) {
        struct arena_block *b = block_new(size > BLOCK_BYTES ? size : BLOCK_BYTES);
        if (b == NULL)
            return NULL;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = a->blocks->bytes + a->blocks->used;
    a->blocks->used += size;
    a->used = size > a->max - a->used ? a->max : a->used + size;
    return p;
}

char *arena_dup(struct arena *a, struct span s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (copy != NULL && s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}
