/* linkstate/namemap.c — open addressing with linear probing; never more than half full. */
#include "linkstate/namemap.h"

void namemap_init(struct namemap *m)
{
    *m = (struct namemap){0};
}

void namemap_done(struct namemap *m)
{
    free(m->slots);
    namemap_init(m);
}

uint32_t namemap_hash(struct span key)
{
    uint32_t hash = NAMEMAP_HASH_SEED;
    for (size_t i = key.len; i > 0; i--)
        hash = namemap_hash_step(hash, key.ptr[i - 1]);
    return hash;
}

/* The slot of key, or the free one where it would go. FNV's low bits are its best. */
static struct namemap_slot *slot_for(const struct namemap *m, struct span key, uint32_t hash)
{
    for (size_t i = hash & m->mask;; i = (i + 1) & m->mask) {
        struct namemap_slot *slot = &m->slots[i];
        if (!slot->used || (slot->hash == hash && span_ieq(slot->key, key)))
            return slot;
    }
}

static enum err grow(struct namemap *m)
{
    struct namemap bigger = {.mask = m->slots == NULL ? 15 : m->mask * 2 + 1};
    bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; m->slots != NULL && i <= m->mask; i++) {
        if (m->slots[i].used)
            *slot_for(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
    }
    bigger.count = m->count;
    free(m->slots);
    *m = bigger;
    return ERR_OK;
}

enum err namemap_add(struct namemap *m, struct span key, uint32_t **ret_value)
{
    if (m->slots == NULL || (m->count + 1) * 2 > m->mask + 1) {
        enum err e = grow(m);
        if (e != ERR_OK)
            return e;
    }
    uint32_t hash = namemap_hash(key);
    struct namemap_slot *slot = slot_for(m, key, hash);
    if (!slot->used) {
        *slot = (struct namemap_slot){.key = key, .hash = hash, .used = true};
        m->count++;
    }
    *ret_value = &slot->value;
    return ERR_OK;
}

bool namemap_find(const struct namemap *m, struct span key, uint32_t hash, uint32_t *ret_value)
{
    if (m->slots == NULL)
        return false;
    const struct namemap_slot *slot = slot_for(m, key, hash);
    if (slot->used)
        *ret_value = slot->value;
    return slot->used;
}
