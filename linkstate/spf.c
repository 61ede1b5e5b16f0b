#include "linkstate/spf.h"

#include <stdlib.h>

enum { RING = SPF_COST_MAX + 1 };

enum err spf_graph_init(struct spf_graph *g, uint32_t nodes, const struct spf_edge *edges, uint32_t nedges)
{
    for (uint32_t i = 0; i < nedges; i++)
        if (edges[i].from >= nodes || edges[i].to >= nodes || edges[i].cost < 1 ||
            edges[i].cost > SPF_COST_MAX)
            return ERR_PARSE;
    *g = (struct spf_graph){.nodes = nodes, .nedges = nedges, .edges = edges};
    g->first = calloc((size_t)nodes + 2, sizeof *g->first);
    g->edge = calloc((size_t)nedges + 1, sizeof *g->edge);
    if (g->first == NULL || g->edge == NULL) {
        spf_graph_done(g);
        return ERR_NOMEM;
    }
    /* Counting sort, one place to the right: filling in moves every start to where it must be. */
    for (uint32_t i = 0; i < nedges; i++)
        g->first[edges[i].from + 2]++;
    for (uint32_t n = 2; n <= nodes + 1; n++)
        g->first[n] += g->first[n - 1];
    for (uint32_t i = 0; i < nedges; i++)
        g->edge[g->first[edges[i].from + 1]++] = i;
    return ERR_OK;
}

void spf_graph_done(struct spf_graph *g)
{
    free(g->first);
    free(g->edge);
    *g = (struct spf_graph){0};
}

enum err spf_result_init(struct spf_result *r, uint32_t nodes)
{
    *r = (struct spf_result){.nodes = nodes};
    r->cost = calloc((size_t)nodes + 1, sizeof *r->cost);
    r->first_edge = calloc((size_t)nodes + 1, sizeof *r->first_edge);
    r->last_edge = calloc((size_t)nodes + 1, sizeof *r->last_edge);
    if (r->cost == NULL || r->first_edge == NULL || r->last_edge == NULL) {
        spf_result_done(r);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

enum err spf_result_firsts(struct spf_result *r)
{
    r->firsts = calloc((size_t)r->nodes + 1, sizeof *r->firsts);
    return r->firsts == NULL ? ERR_NOMEM : ERR_OK;
}

void spf_result_done(struct spf_result *r)
{
    free(r->firsts);
    free(r->cost);
    free(r->first_edge);
    free(r->last_edge);
    *r = (struct spf_result){0};
}

/* Buckets of nodes by cost modulo RING. A node that gets cheaper is listed again; the entry of its former
 * cost is passed over. Every edge lists its end at most once, which bounds the entries. */
struct entry {
    uint32_t node, cost, next; /* next: entry number + 1; 0 ends the bucket */
};
struct queue {
    uint32_t head[RING];
    struct entry *entries;
    uint32_t n, waiting;
};

static void put(struct queue *q, uint32_t node, uint32_t cost)
{
    q->entries[q->n++] = (struct entry){node, cost, q->head[cost % RING]};
    q->head[cost % RING] = q->n;
    q->waiting++;
}

/* bit: of the edge, when it leaves the source and has one. */
static void relax(const struct spf_graph *g, uint32_t edge, uint64_t bit, uint32_t source,
                  struct spf_result *r, struct queue *q)
{
    const struct spf_edge *e = &g->edges[edge];
    uint32_t cost = r->cost[e->from] + e->cost;
    uint32_t first = e->from == source ? edge : r->first_edge[e->from];
    if (cost > r->cost[e->to])
        return;
    if (r->firsts != NULL) { /* what leads to e->from is complete: it was cheaper */
        uint64_t firsts = e->from == source ? bit : r->firsts[e->from];
        r->firsts[e->to] = cost < r->cost[e->to] ? firsts : r->firsts[e->to] | firsts;
    }
    /* A tie: the lower first edge, then the lower last one, whichever was found first. */
    if (cost == r->cost[e->to] &&
        (first > r->first_edge[e->to] || (first == r->first_edge[e->to] && edge >= r->last_edge[e->to])))
        return;
    if (cost < r->cost[e->to])
        put(q, e->to, cost);
    r->cost[e->to] = cost;
    r->first_edge[e->to] = first;
    r->last_edge[e->to] = edge;
}

static void visit(const struct spf_graph *g, uint32_t node, uint32_t source, const uint8_t *usable,
                  struct spf_result *r, struct queue *q)
{
    for (uint32_t i = g->first[node]; i < g->first[node + 1]; i++)
        if (usable == NULL || usable[g->edge[i]] != 0)
            relax(g, g->edge[i], i - g->first[node] < 64 ? (uint64_t)1 << (i - g->first[node]) : 0, source, r,
                  q);
}

enum err spf_run(const struct spf_graph *g, uint32_t source, const uint8_t *usable, struct spf_result *ret)
{
    struct queue q = {.waiting = 0};
    if (source >= g->nodes || ret->nodes != g->nodes)
        return ERR_PARSE;
    q.entries = calloc((size_t)g->nedges + 1, sizeof *q.entries);
    if (q.entries == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < g->nodes; i++)
        ret->cost[i] = ret->first_edge[i] = ret->last_edge[i] = SPF_UNREACHABLE;
    ret->cost[source] = 0;
    put(&q, source, 0);
    for (uint32_t cost = 0; q.waiting > 0; cost++) {
        /* Costs of at least 1 put nothing into the bucket that is being emptied. */
        uint32_t at = q.head[cost % RING];
        q.head[cost % RING] = 0;
        for (; at != 0; at = q.entries[at - 1].next) {
            q.waiting--;
            if (q.entries[at - 1].cost == ret->cost[q.entries[at - 1].node])
                visit(g, q.entries[at - 1].node, source, usable, ret, &q);
        }
    }
    free(q.entries);
    return ERR_OK;
}
