/* linkstate/graphml.h — published topologies: GraphML as groups, and links with costs.
 *
 * A node is named by its label (attr.name "label" or "name"), else by its id, with what a group's name cannot
 * have as hyphens; where two nodes would have one name, their ids are added. Costs come from the first of
 * these that any edge has: cost, weight, metric, length, distance, dist (beyond 1..100 all of them are scaled
 * so that the largest is 100); LinkSpeedRaw, LinkSpeed with LinkSpeedUnits, bandwidth, capacity (the fastest
 * costs 1, half of it 2, at most 100). An edge without one is as dear as the dearest; when none has one, all
 * cost 1. Of parallel edges the cheapest counts; loops do not. Refused, with the line: entity declarations,
 * hyperedges, a second graph or one within a node, and what is too large. Pure: no I/O. Standard:
 * http://graphml.graphdrawing.org/specification.html */
#pragma once
#include "common/err.h"
#include "common/span.h"
#include "linkstate/lsdb.h"

enum { GRAPHML_MAX = 64 << 20 /* bytes */ };
struct graphml_node {
    char name[RECORD_NAME_MAX + 1];
};
struct graphml_link { /* a < b; every two nodes at most once, in rising order */
    uint32_t a, b;
    uint8_t cost_ab, cost_ba; /* 0: a directed edge, the other way */
};
struct graphml {
    struct graphml_node *nodes;
    size_t nnodes;
    struct graphml_link *links;
    size_t nlinks;
    const char *measure;    /* where costs come from, static; NULL: nowhere */
    bool scaled;            /* and they were beyond 1..100 */
    size_t loops, parallel; /* edges that were left out */
};
/* ret is written only on success, then graphml_done() frees it. ERR_PARSE, ERR_TOOBIG with the line;
 * ERR_NOMEM. */
enum err graphml_parse(struct span bytes, struct graphml *ret, struct errctx *ec) MUST_USE;
void graphml_done(struct graphml *g); /* idempotent */
