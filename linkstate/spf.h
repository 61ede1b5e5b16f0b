/* linkstate/spf.h — shortest paths over the routing groups from one of them.
 *
 * Costs are small (1..100 an edge), so the queue is a ring of 101 buckets: O(groups + connectors), fast
 * enough to run anew after each change. Ties are settled by the order of the edges handed in: equal
 * inputs give equal paths on every router. Pure; not thread-safe. */
#pragma once
#include "common/err.h"

enum { SPF_COST_MAX = 100 };
#define SPF_UNREACHABLE UINT32_MAX /* a cost */
#define SPF_NONE        UINT32_MAX /* an edge */

struct spf_edge {
    uint32_t from, to; /* group numbers */
    uint8_t cost;      /* 1..SPF_COST_MAX */
};
struct spf_graph { /* edges by source, in the order handed in */
    uint32_t nodes, nedges;
    uint32_t *first;              /* nodes + 1 */
    uint32_t *edge;               /* numbers of edges, grouped by source */
    const struct spf_edge *edges; /* borrowed */
};
struct spf_result {
    uint32_t nodes;
    uint32_t *cost;       /* SPF_UNREACHABLE */
    uint32_t *first_edge; /* out of the source; SPF_NONE for the source itself and what is unreachable */
    uint32_t *last_edge;  /* into the node: walk back for the whole path */
    /* The edges out of the source that paths of least cost begin with: bit i is the i-th in the graph, of
     * 64. NULL unless spf_result_firsts() was called. */
    uint64_t *firsts;
};
/* ERR_PARSE: an edge names no node or costs nothing; ERR_NOMEM. */
enum err spf_graph_init(struct spf_graph *g, uint32_t nodes, const struct spf_edge *edges,
                        uint32_t nedges) MUST_USE;
void spf_graph_done(struct spf_graph *g);
enum err spf_result_init(struct spf_result *r, uint32_t nodes) MUST_USE;
enum err spf_result_firsts(struct spf_result *r) MUST_USE; /* before spf_run(). ERR_NOMEM */
void spf_result_done(struct spf_result *r);
/* usable: one byte an edge, zero leaves it out (down, out of scope, restricted); NULL uses all. */
enum err spf_run(const struct spf_graph *g, uint32_t source, const uint8_t *usable,
                 struct spf_result *ret) MUST_USE;
