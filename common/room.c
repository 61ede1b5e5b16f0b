#include "common/room.h"

#include <stdlib.h>

enum { FIRST = 4 };

enum err room_for_one(void **list, size_t *cap, size_t n, size_t each, size_t most)
{
    if (n >= most)
        return ERR_TOOBIG;
    if (n < *cap)
        return ERR_OK;
    size_t more = *cap == 0 ? FIRST : *cap * 2;
    void *p = reallocarray(*list, more, each);
    if (p == NULL)
        return ERR_NOMEM;
    *list = p;
    *cap = more;
    return ERR_OK;
}
