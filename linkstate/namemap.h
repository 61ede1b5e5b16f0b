/* linkstate/namemap.h — names to small numbers: an open-addressed hash, filled once, then only read.
 *
 * Names are hashed from their end, so one pass over a domain gives the hash of each of its suffixes.
 * ASCII case does not count. Keys are borrowed and must outlive the map. */
#pragma once
#include "common/err.h"
#include "common/span.h"

struct namemap_slot {
    struct span key;
    uint32_t hash, value;
    bool used;
};
struct namemap {
    struct namemap_slot *slots;
    size_t count, mask; /* mask + 1 slots: a power of two, at most half of them used */
};
#define NAMEMAP_HASH_SEED UINT32_C(0x811c9dc5) /* FNV-1a, 32 bits */

void namemap_init(struct namemap *m); /* allocates nothing */
void namemap_done(struct namemap *m); /* idempotent */
/* *ret_value: where the value of key is kept (0 when new); valid until the next namemap_add(). ERR_NOMEM. */
enum err namemap_add(struct namemap *m, struct span key, uint32_t **ret_value) MUST_USE;

static inline uint32_t namemap_hash_step(uint32_t hash, char c)
{
    uint8_t b = (uint8_t)c;
    b = (uint8_t)(b | ((uint8_t)(b - 'A') < 26 ? 0x20 : 0));
    return (hash ^ b) * 0x01000193u;
}
uint32_t namemap_hash(struct span key);
/* hash is namemap_hash(key). */
bool namemap_find(const struct namemap *m, struct span key, uint32_t hash, uint32_t *ret_value);
