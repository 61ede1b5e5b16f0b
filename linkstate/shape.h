/* linkstate/shape.h — topologies to try things on: ring, hub and spoke, random, tree of rings. Same seed,
 * same topology. Groups are named g00000, g00001, ...; every topology is connected. */
#pragma once
#include "common/rng.h"
#include "linkstate/sim.h"

enum shape { SHAPE_RING, SHAPE_HUB, SHAPE_RANDOM, SHAPE_TREE_OF_RINGS, SHAPE__COUNT };
const char *shape_name(enum shape s); /* "ring" "hub" "random" "tree-of-rings" */
bool shape_find(struct span name, enum shape *ret);
/* random: `links` links in all, at least a spanning tree. Costs 1..10. ERR_TOOBIG: more than the table takes.
 */
enum err shape_build(struct sim *s, enum shape shape, uint32_t groups, uint32_t links,
                     struct rng *rng) MUST_USE;
