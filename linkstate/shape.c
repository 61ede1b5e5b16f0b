#include "linkstate/shape.h"

#include <inttypes.h>
#include <stdio.h>

enum { RING_OF_TREE = 8, COST_MAX = 10 };

static const char *const names[SHAPE__COUNT] = {"ring", "hub", "random", "tree-of-rings"};

const char *shape_name(enum shape s)
{
    return (unsigned)s < SHAPE__COUNT ? names[s] : "?";
}

bool shape_find(struct span name, enum shape *ret)
{
    for (unsigned i = 0; i < SHAPE__COUNT; i++) {
        if (!span_eq(name, span_cstr(names[i])))
            continue;
        *ret = (enum shape)i;
        return true;
    }
    return false;
}

static enum err link_with_cost(struct sim *s, uint32_t a, uint32_t b, struct rng *rng)
{
    uint8_t cost = (uint8_t)(1 + rng_below(rng, COST_MAX));
    enum err e = sim_link(s, a, b, cost, cost);
    return e == ERR_EXISTS ? ERR_OK : e;
}

static enum err build_ring(struct sim *s, uint32_t first, uint32_t n, struct rng *rng)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && n > 1 && i < n; i++)
        e = link_with_cost(s, first + i, first + (i + 1) % n, rng);
    return e;
}

/* Rings of eight; the first of each hangs on a member of the ring above it. */
static enum err build_tree_of_rings(struct sim *s, uint32_t groups, struct rng *rng)
{
    enum err e = ERR_OK;
    for (uint32_t first = 0, ring = 0; e == ERR_OK && first < groups; first += RING_OF_TREE, ring++) {
        uint32_t n = groups - first < RING_OF_TREE ? groups - first : RING_OF_TREE;
        e = build_ring(s, first, n, rng);
        if (e == ERR_OK && ring > 0)
            e = link_with_cost(s, (ring - 1) / 4 * RING_OF_TREE + (ring - 1) % 4 * 2 + 1, first, rng);
    }
    return e;
}

static enum err build_random(struct sim *s, uint32_t groups, uint32_t links, struct rng *rng)
{
    enum err e = ERR_OK;
    uint32_t made = 0;
    for (uint32_t i = 1; e == ERR_OK && i < groups; i++, made++)
        e = link_with_cost(s, i, (uint32_t)rng_below(rng, i), rng);
    for (; e == ERR_OK && groups > 2 && made < links; made++) {
        uint32_t a = (uint32_t)rng_below(rng, groups), b = (uint32_t)rng_below(rng, groups);
        if (a != b)
            e = link_with_cost(s, a, b, rng);
    }
    return e;
}

enum err shape_build(struct sim *s, enum shape shape, uint32_t groups, uint32_t links, struct rng *rng)
{
    if (groups > LSDB_GROUPS_MAX || links > LSDB_CONNECTORS_MAX / 2)
        return ERR_TOOBIG;
    for (uint32_t i = 0; i < groups; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "g%05" PRIu32, i);
        if (sim_group(s, name) == UINT32_MAX)
            return ERR_NOMEM;
    }
    enum err e = ERR_OK;
    switch (shape) {
    case SHAPE_RING:
        return build_ring(s, 0, groups, rng);
    case SHAPE_HUB:
        for (uint32_t i = 1; e == ERR_OK && i < groups; i++)
            e = link_with_cost(s, 0, i, rng);
        return e;
    case SHAPE_RANDOM:
        return build_random(s, groups, links, rng);
    case SHAPE_TREE_OF_RINGS:
        return build_tree_of_rings(s, groups, rng);
    case SHAPE__COUNT:
        break;
    }
    return ERR_NOTFOUND;
}
