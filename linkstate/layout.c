#include "linkstate/layout.h"

#include <math.h>
#include <stdlib.h>

enum { STARTS = 3, SWEEPS_MIN = 60, SWEEPS_MAX = 500, SEPARATE_ROUNDS = 200 };
static const double WORK = 3e7; /* steps spent on one start */

struct graph {
    uint32_t n;
    uint32_t *first, *next_to; /* neighbours of a node: next_to[first[i]..first[i + 1]) */
    double *distance;          /* n * n */
    uint32_t *order;           /* scratch: a walk */
    uint32_t *part;            /* which connected part a node belongs to */
    double *span;              /* of a part, the longest distance in it */
    struct layout_point *trial;
};

static void graph_done(struct graph *g)
{
    free(g->first);
    free(g->next_to);
    free(g->distance);
    free(g->order);
    free(g->part);
    free(g->span);
    free(g->trial);
}

static enum err graph_init(struct graph *g, uint32_t n, const uint32_t (*edges)[2], size_t nedges)
{
    *g = (struct graph){.n = n,
                        .first = calloc((size_t)n + 2, sizeof *g->first),
                        .next_to = calloc(2 * nedges + 1, sizeof *g->next_to),
                        .distance = calloc((size_t)n * n, sizeof *g->distance),
                        .order = calloc(n, sizeof *g->order),
                        .part = calloc(n, sizeof *g->part),
                        .span = calloc(n, sizeof *g->span),
                        .trial = calloc(n, sizeof *g->trial)};
    if (g->first == NULL || g->next_to == NULL || g->distance == NULL || g->order == NULL ||
        g->part == NULL || g->span == NULL || g->trial == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < nedges; i++)
        for (int side = 0; side < 2; side++)
            g->first[edges[i][side] + 2]++;
    for (uint32_t i = 2; i < n + 2; i++)
        g->first[i] += g->first[i - 1];
    for (size_t i = 0; i < nedges; i++)
        for (int side = 0; side < 2; side++)
            g->next_to[g->first[edges[i][side] + 1]++] = edges[i][1 - side];
    return ERR_OK;
}

/* --- Distances ---------------------------------------------------------------------------------------- */

/* Everything that can be reached from here, nearest first, into order; returns how many. */
static uint32_t spread(struct graph *g, uint32_t from)
{
    double *d = &g->distance[(size_t)from * g->n];
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++)
        d[i] = -1;
    d[from] = 0;
    g->order[n++] = from;
    for (uint32_t at = 0; at < n; at++) {
        uint32_t here = g->order[at];
        for (uint32_t k = g->first[here]; k < g->first[here + 1]; k++) {
            uint32_t there = g->next_to[k];
            if (d[there] >= 0)
                continue;
            d[there] = d[here] + 1;
            g->order[n++] = there;
        }
    }
    return n;
}

static void measure(struct graph *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        g->part[i] = UINT32_MAX;
    for (uint32_t i = 0; i < g->n; i++) {
        uint32_t reached = spread(g, i);
        double longest = g->distance[(size_t)i * g->n + g->order[reached - 1]];
        for (uint32_t k = 0; k < reached && g->part[i] == UINT32_MAX; k++)
            if (g->part[g->order[k]] != UINT32_MAX)
                g->part[i] = g->part[g->order[k]];
        if (g->part[i] == UINT32_MAX)
            g->part[i] = i;
        if (longest > g->span[g->part[i]])
            g->span[g->part[i]] = longest;
    }
    for (uint32_t i = 0; i < g->n; i++)
        for (uint32_t k = 0; k < g->n; k++)
            if (g->distance[(size_t)i * g->n + k] < 0)
                g->distance[(size_t)i * g->n + k] = (g->span[g->part[i]] + g->span[g->part[k]]) / 2 + 1.5;
}

/* --- Where to start: around a diamond, in an order that keeps neighbours together ------------------------
 */

static void order_by_depth(struct graph *g)
{
    uint32_t done = 0;
    uint32_t *stack = calloc((size_t)g->first[g->n] + g->n + 1, sizeof *stack);
    bool *seen = calloc(g->n, sizeof *seen);
    for (uint32_t root = 0; stack != NULL && seen != NULL && root < g->n; root++) {
        size_t deep = 0;
        if (!seen[root])
            stack[deep++] = root;
        while (deep > 0) {
            uint32_t here = stack[--deep];
            if (seen[here])
                continue;
            seen[here] = true;
            g->order[done++] = here;
            for (uint32_t k = g->first[here + 1]; k > g->first[here]; k--)
                if (!seen[g->next_to[k - 1]])
                    stack[deep++] = g->next_to[k - 1];
        }
    }
    free(stack);
    free(seen);
    for (uint32_t i = 0; done < g->n; i++) /* out of memory: any order will do */
        g->order[done++] = i;
}

static void order_by_name(struct graph *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        g->order[i] = i;
}

static void order_by_breadth(struct graph *g)
{
    uint32_t done = 0;
    bool *seen = calloc(g->n, sizeof *seen);
    for (uint32_t i = 0; seen != NULL && i < g->n; i++) {
        if (seen[i])
            continue;
        seen[i] = true;
        g->order[done++] = i;
        for (uint32_t at = done - 1; at < done; at++)
            for (uint32_t k = g->first[g->order[at]]; k < g->first[g->order[at] + 1]; k++)
                if (!seen[g->next_to[k]]) {
                    seen[g->next_to[k]] = true;
                    g->order[done++] = g->next_to[k];
                }
    }
    if (seen == NULL)
        order_by_name(g);
    free(seen);
}

static void place_around(struct graph *g)
{
    double side = (double)g->n / 4 + 0.5;
    for (uint32_t i = 0; i < g->n; i++) {
        double at = 4.0 * i / g->n, along = at - floor(at);
        struct layout_point *p = &g->trial[g->order[i]];
        switch ((int)at) {
        case 0:
            *p = (struct layout_point){along, along - 1};
            break;
        case 1:
            *p = (struct layout_point){1 - along, along};
            break;
        case 2:
            *p = (struct layout_point){-along, 1 - along};
            break;
        default:
            *p = (struct layout_point){along - 1, -along};
            break;
        }
        p->x *= side;
        p->y *= side;
    }
}

/* --- Stress: sum of (distance drawn - distance wanted)^2 / wanted^2 ---------------------------------------
 */

static double far(struct layout_point a, struct layout_point b)
{
    return sqrt((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y));
}

/* One node to the place that the others want it at; how far it moved. */
static double settle(struct graph *g, uint32_t i)
{
    struct layout_point here = g->trial[i], sum = {0, 0};
    double weights = 0;
    const double *want = &g->distance[(size_t)i * g->n];
    for (uint32_t k = 0; k < g->n; k++) {
        if (k == i)
            continue;
        struct layout_point there = g->trial[k];
        double is = far(here, there), w = 1 / (want[k] * want[k]);
        double pull = is > 1e-6 ? want[k] / is : 0;
        sum.x += w * (there.x + pull * (here.x - there.x));
        sum.y += w * (there.y + pull * (here.y - there.y));
        weights += w;
    }
    if (weights <= 0)
        return 0;
    g->trial[i] = (struct layout_point){sum.x / weights, sum.y / weights};
    return far(here, g->trial[i]);
}

static double stress(const struct graph *g)
{
    double sum = 0;
    for (uint32_t i = 0; i < g->n; i++)
        for (uint32_t k = i + 1; k < g->n; k++) {
            double want = g->distance[(size_t)i * g->n + k];
            double off = far(g->trial[i], g->trial[k]) / want - 1;
            sum += off * off;
        }
    return sum;
}

static void relax(struct graph *g)
{
    double sweeps = WORK / ((double)g->n * g->n), most = 1;
    if (sweeps > SWEEPS_MAX)
        sweeps = SWEEPS_MAX;
    if (sweeps < SWEEPS_MIN)
        sweeps = SWEEPS_MIN;
    for (int s = 0; s < (int)sweeps && most > 1e-4; s++) {
        most = 0;
        for (uint32_t i = 0; i < g->n; i++) {
            double moved = settle(g, i);
            most = moved > most ? moved : most;
        }
    }
}

/* --- Turned to be wide, the first node at the top left -------------------------------------------------- */

static void turn(uint32_t n, struct layout_point *p)
{
    struct layout_point mid = {0, 0};
    double xx = 0, xy = 0, yy = 0;
    for (uint32_t i = 0; i < n; i++) {
        mid.x += p[i].x / n;
        mid.y += p[i].y / n;
    }
    for (uint32_t i = 0; i < n; i++) {
        p[i].x -= mid.x;
        p[i].y -= mid.y;
        xx += p[i].x * p[i].x;
        xy += p[i].x * p[i].y;
        yy += p[i].y * p[i].y;
    }
    double half = (xx - yy) / 2, root = sqrt(half * half + xy * xy);
    double ax = half + root, ay = xy, len = sqrt(ax * ax + ay * ay);
    if (len < 1e-9 && root > 1e-9) { /* exactly upright */
        ax = 0;
        ay = len = 1;
    }
    if (root > 0.02 * (xx + yy) && len > 1e-9)
        for (uint32_t i = 0; i < n; i++)
            p[i] =
                (struct layout_point){(ax * p[i].x + ay * p[i].y) / len, (ax * p[i].y - ay * p[i].x) / len};
    double flip_x = p[0].x > 1e-6 ? -1 : 1, flip_y = p[0].y > 1e-6 ? -1 : 1;
    for (uint32_t i = 0; i < n; i++) {
        p[i].x *= flip_x;
        p[i].y *= flip_y;
    }
}

enum err layout_run(uint32_t n, const uint32_t (*edges)[2], size_t nedges, struct layout_point *ret)
{
    static void (*const orders[STARTS])(struct graph *) = {order_by_depth, order_by_breadth, order_by_name};
    struct graph g;
    double best = 0;
    if (n > LAYOUT_NODES_MAX)
        return ERR_TOOBIG;
    if (n == 0)
        return ERR_OK;
    enum err e = graph_init(&g, n, edges, nedges);
    if (e == ERR_OK)
        measure(&g);
    for (int s = 0; e == ERR_OK && s < STARTS; s++) {
        orders[s](&g);
        place_around(&g);
        relax(&g);
        double got = stress(&g);
        if (s > 0 && got >= best - 1e-6)
            continue;
        best = got;
        for (uint32_t i = 0; i < n; i++)
            ret[i] = g.trial[i];
    }
    if (e == ERR_OK)
        turn(n, ret);
    graph_done(&g);
    return e;
}

/* --- Boxes ------------------------------------------------------------------------------------------ */

static bool push(const struct layout_size *sizes, double gap, struct layout_point *p, uint32_t a, uint32_t b)
{
    double dx = p[b].x - p[a].x, dy = p[b].y - p[a].y;
    double over_x = (sizes[a].w + sizes[b].w) / 2 + gap - fabs(dx);
    double over_y = (sizes[a].h + sizes[b].h) / 2 + gap - fabs(dy);
    if (over_x <= 1e-6 || over_y <= 1e-6)
        return false;
    if (over_x < over_y) {
        double by = dx < 0 ? -over_x / 2 : over_x / 2;
        p[a].x -= by;
        p[b].x += by;
    } else {
        double by = dy < 0 ? -over_y / 2 : over_y / 2;
        p[a].y -= by;
        p[b].y += by;
    }
    return true;
}

/* Box c and the line between a and b: apart, if c is beside the line and not beyond its ends. */
static bool clear(const struct layout_size *sizes, double gap, struct layout_point *p, uint32_t a, uint32_t b,
                  uint32_t c)
{
    double dx = p[b].x - p[a].x, dy = p[b].y - p[a].y, len = sqrt(dx * dx + dy * dy);
    if (len < 1e-6)
        return false;
    double nx = -dy / len, ny = dx / len, ox = p[c].x - p[a].x, oy = p[c].y - p[a].y;
    double beside = ox * nx + oy * ny, at = (ox * dx + oy * dy) / (len * len);
    double need = sizes[c].w / 2 * fabs(nx) + sizes[c].h / 2 * fabs(ny) + gap / 2;
    if (at <= 0 || at >= 1 || fabs(beside) >= need - 1e-6)
        return false;
    double by = (need - fabs(beside)) / 2 * (beside < 0 ? -1 : 1);
    p[c].x += by * nx;
    p[c].y += by * ny;
    p[a].x -= by / 2 * nx;
    p[a].y -= by / 2 * ny;
    p[b].x -= by / 2 * nx;
    p[b].y -= by / 2 * ny;
    return true;
}

void layout_separate(uint32_t n, const struct layout_size *sizes, const uint32_t (*edges)[2], size_t nedges,
                     double gap, struct layout_point *points)
{
    bool moved = true;
    double rounds = WORK / (((double)n + 1) * ((double)n + (double)nedges + 1));
    for (int round = 0; moved && round < SEPARATE_ROUNDS && round < (int)rounds; round++) {
        moved = false;
        for (size_t i = 0; i < nedges; i++)
            for (uint32_t c = 0; c < n; c++)
                if (c != edges[i][0] && c != edges[i][1])
                    moved = clear(sizes, gap, points, edges[i][0], edges[i][1], c) || moved;
        for (uint32_t a = 0; a < n; a++)
            for (uint32_t b = a + 1; b < n; b++)
                moved = push(sizes, gap, points, a, b) || moved;
    }
}
