/* common/plural.h — "1 message", "2 messages": what people read counts as they do. */
#pragma once
#include <stdint.h>

static inline const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}
