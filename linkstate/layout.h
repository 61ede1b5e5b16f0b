/* linkstate/layout.h — where the nodes of a graph stand in a drawing, so that distance in the drawing is
 * distance in the graph (stress majorization). Pure; the same graph gives the same places on every machine:
 * nothing but + - * / and square roots is used. */
#pragma once
#include "common/err.h"

enum { LAYOUT_NODES_MAX = 1000 };
struct layout_point {
    double x, y;
};
struct layout_size { /* of a node's box */
    double w, h;
};
/* Neighbours stand about 1 apart; the drawing is turned so that it is rather wide than high. Edges name nodes
 * below n, in either direction; parts that are not connected stand beside each other.
 * ERR_TOOBIG: more nodes than LAYOUT_NODES_MAX; ERR_NOMEM. */
enum err layout_run(uint32_t n, const uint32_t (*edges)[2], size_t nedges, struct layout_point *ret) MUST_USE;
/* Moves boxes that overlap or come closer than gap apart from each other, and out of the way of edges that
 * are not theirs; as little as it can. What a crowded drawing does not allow stays as it is. */
void layout_separate(uint32_t n, const struct layout_size *sizes, const uint32_t (*edges)[2], size_t nedges,
                     double gap, struct layout_point *points);
