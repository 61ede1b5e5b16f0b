#include "queue/names.h"

#include <stdlib.h>

void names_init(struct names *n)
{
    *n = (struct names){.ends = NULL};
    buf_init(&n->bytes, NAMES_BYTES_MAX);
}

void names_done(struct names *n)
{
    buf_done(&n->bytes);
    free(n->ends);
    n->ends = NULL;
    n->count = n->room = 0;
}

void names_clear(struct names *n)
{
    buf_clear(&n->bytes);
    n->count = 0;
}

enum err names_add(struct names *n, struct span s)
{
    if (n->count == n->room) {
        size_t room = n->room == 0 ? 64 : 2 * n->room;
        size_t *ends = realloc(n->ends, room * sizeof ends[0]);
        if (ends == NULL)
            return ERR_NOMEM;
        n->ends = ends;
        n->room = room;
    }
    enum err e = buf_add(&n->bytes, s);
    if (e == ERR_OK)
        n->ends[n->count++] = n->bytes.len;
    return e;
}

struct span names_at(const struct names *n, size_t i)
{
    size_t start = i == 0 ? 0 : n->ends[i - 1];
    return span_of(n->bytes.ptr + start, n->ends[i] - start);
}

static int by_name(const void *a, const void *b)
{
    return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

enum err names_sort(struct names *n)
{
    struct names sorted;
    if (n->count < 2)
        return ERR_OK;
    struct span *all = calloc(n->count, sizeof all[0]);
    if (all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n->count; i++)
        all[i] = names_at(n, i);
    qsort(all, n->count, sizeof all[0], by_name);
    names_init(&sorted);
    enum err e = ERR_OK;
    for (size_t i = 0; i < n->count && e == ERR_OK; i++) {
        if (i == 0 || !span_eq(all[i], all[i - 1]))
            e = names_add(&sorted, all[i]);
    }
    free(all);
    if (e != ERR_OK) {
        names_done(&sorted);
        return e;
    }
    names_done(n);
    *n = sorted;
    return ERR_OK;
}
