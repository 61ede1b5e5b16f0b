/* Who is cut off: what mail can do with the connectors as they are, whatever routers know of them. */
#include "linkstate/sim_int.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    const struct sim *s;
    uint32_t *set;   /* number of the set that a group is in; 0: none yet */
    uint32_t *there; /* last walk that came by, forwards and backwards */
    uint32_t *back;
    uint32_t *queue;
};

/* A connector of g leads over the link, and it is UP. */
static bool usable(const struct sim *s, const struct group *g, const struct link *l)
{
    if (l->cost == 0 || !l->up || g->conf == NULL)
        return l->cost != 0 && l->up;
    for (size_t i = 0; i < g->conf->connectors.count; i++) {
        const struct conf_connector *c = &g->conf->connectors.items[i];
        if (c->type == CONF_CONNECTOR_ROUTING_GROUP && !g->connector_down[i] &&
            strcmp(c->to_group, s->groups[l->to].name) == 0)
            return true;
    }
    return false;
}

/* Marks with `walk` what the group leads to, or what leads to it, among groups that are in no set. */
static void spread(struct walk *w, uint32_t from, bool backwards, uint32_t walk, uint32_t *mark)
{
    size_t n = 1;
    w->queue[0] = from;
    mark[from] = walk;
    for (size_t at = 0; at < n; at++) {
        const struct group *g = &w->s->groups[w->queue[at]];
        for (size_t i = 0; i < g->nlinks; i++) {
            uint32_t to = g->links[i].to;
            const struct group *o = &w->s->groups[to];
            if (mark[to] == walk || w->set[to] != 0 ||
                !(backwards ? usable(w->s, o, sim_link_to(w->s, to, g->number))
                            : usable(w->s, g, &g->links[i])))
                continue;
            mark[to] = walk;
            w->queue[n++] = to;
        }
    }
}

/* The groups that reach `from` and are reached by it. */
static size_t take_set(struct walk *w, uint32_t from, uint32_t set)
{
    size_t n = 0;
    spread(w, from, false, set, w->there);
    spread(w, from, true, set, w->back);
    for (uint32_t i = 0; i < w->s->ngroups; i++) {
        if (w->there[i] != set || w->back[i] != set || w->set[i] != 0)
            continue;
        w->set[i] = set;
        n++;
    }
    return n;
}

enum err sim_cut_off(const struct sim *s, size_t *ret)
{
    struct walk w = {.s = s,
                     .set = calloc(s->ngroups + 1, sizeof *w.set),
                     .there = calloc(s->ngroups + 1, sizeof *w.there),
                     .back = calloc(s->ngroups + 1, sizeof *w.back),
                     .queue = calloc(s->ngroups + 1, sizeof *w.queue)};
    enum err e = w.set == NULL || w.there == NULL || w.back == NULL || w.queue == NULL ? ERR_NOMEM : ERR_OK;
    size_t largest = 0;
    uint32_t sets = 0;
    for (uint32_t i = 0; e == ERR_OK && i < s->ngroups; i++) {
        size_t n = w.set[i] != 0 ? 0 : take_set(&w, i, ++sets);
        if (n > largest)
            largest = n;
    }
    if (e == ERR_OK)
        *ret = s->ngroups - largest;
    free(w.set);
    free(w.there);
    free(w.back);
    free(w.queue);
    return e;
}
