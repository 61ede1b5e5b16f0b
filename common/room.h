/* common/room.h — room for one more in an array that grows. */
#pragma once
#include "common/attr.h"
#include "common/err.h"

#include <stddef.h>

/* *list has room for *cap items of `each` bytes and holds n: doubles it when it is full. ERR_TOOBIG from
 * `most` items on. *list and *cap are as they were on error. */
enum err room_for_one(void **list, size_t *cap, size_t n, size_t each, size_t most) MUST_USE;
