#include "queue/redis_slot.h"

#include <stdio.h>

static uint16_t crc16(struct span s)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < s.len; i++) {
        crc = (uint16_t)(crc ^ (uint8_t)s.ptr[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

unsigned redis_slot(struct span key)
{
    size_t open, close;
    if (span_find(key, '{', &open) && span_find(span_from(key, open + 1), '}', &close) && close > 0)
        key = span_first(span_from(key, open + 1), close);
    return crc16(key) % REDIS_SLOTS;
}

void redis_tag(const char *ns, unsigned n, unsigned partitions, char out[REDIS_TAG_MAX])
{
    for (unsigned s = 0;; s++) { /* ends: on average after `partitions` tries */
        (void)snprintf(out, REDIS_TAG_MAX, "{%.32s.p%02u.%u}", ns, n, s);
        if (redis_slot(span_cstr(out)) * partitions / REDIS_SLOTS == n)
            return;
    }
}

bool redis_tag_valid(struct span tag)
{
    if (tag.len < 3 || tag.len >= REDIS_TAG_MAX || tag.ptr[0] != '{' || tag.ptr[tag.len - 1] != '}')
        return false;
    for (size_t i = 1; i < tag.len - 1; i++) {
        char c = tag.ptr[i];
        if (c <= ' ' || c == 0x7f || c == '{' || c == '}')
            return false;
    }
    return true;
}
