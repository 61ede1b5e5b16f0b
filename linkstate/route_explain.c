#include "linkstate/record.h"
#include "linkstate/route_int.h"

#include <stdlib.h>
#include <string.h>

const char *route_fate_text(enum route_fate fate)
{
    static const char *const texts[] = {
#define X(name, text) text,
        ROUTE_FATE_MAP(X)
#undef X
    };
    return texts[fate];
}

/* --- Candidates ------------------------------------------------------------------------------------- */

struct explaining {
    struct rt_view v, open; /* open: the same without a trace */
    struct span domain;
    struct rt_chain chain;
    struct rt_pick pick;
    struct route_explanation *x;
};

static void describe(const struct explaining *e, const struct rt_candidate *c, struct route_candidate *ret)
{
    const struct route_table *t = e->v.t;
    const struct rt_connector *k = &t->connectors[c->connector];
    uint32_t path_cost;
    enum route_fate fate = rt_judge(&e->v, c, &path_cost);
    *ret = (struct route_candidate){.space = k->local && k->group == 0 ? e->domain : c->space,
                                    .group = t->groups[k->group],
                                    .connector = k->name,
                                    .up = rt_is_up(&e->v, k),
                                    .dns = k->dns,
                                    .local = k->local,
                                    .has_path = path_cost != SPF_UNREACHABLE,
                                    .space_cost = c->cost,
                                    .fate = fate};
    if (ret->has_path) {
        ret->path_cost = path_cost;
        ret->cost = path_cost + c->cost;
    }
    if (fate == ROUTE_RESTRICTED)
        ret->restriction = class_obstacle(e->v.klass, &k->rule);
    if (fate == ROUTE_CUT_OFF && rt_judge(&e->open, c, &path_cost) == ROUTE_CHOSEN)
        ret->fate = ROUTE_VISITED;
}

/* What would do by itself, beside what was chosen. */
static enum route_fate compared(const struct explaining *e, const struct rt_level *level,
                                const struct rt_candidate *c, uint32_t cost)
{
    if (c == e->pick.best)
        return ROUTE_CHOSEN;
    if (level != e->pick.level)
        return ROUTE_LESS_SPECIFIC;
    if (cost > e->pick.cost)
        return ROUTE_DEARER;
    return e->v.t->spread && rt_equal(&e->v, &e->pick, c) ? ROUTE_SHARES : ROUTE_TIE;
}

static enum err list_candidates(struct explaining *e)
{
    struct route_explanation *x = e->x;
    size_t n = 0;
    for (size_t i = 0; i < e->chain.n; i++)
        n += e->chain.levels[i]->n;
    x->candidates = calloc(n + 1, sizeof *x->candidates);
    if (x->candidates == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < e->chain.n; i++) {
        const struct rt_level *level = e->chain.levels[i];
        for (uint32_t k = level->at; k < level->at + level->n; k++) {
            const struct rt_candidate *c = &e->v.t->candidates[k];
            struct route_candidate *out = &x->candidates[x->ncandidates];
            describe(e, c, out);
            if (out->fate == ROUTE_CHOSEN)
                out->fate = compared(e, level, c, out->cost);
            if (out->fate == ROUTE_CHOSEN)
                x->chosen = x->ncandidates;
            x->ncandidates++;
        }
    }
    return ERR_OK;
}

/* --- The way ---------------------------------------------------------------------------------------- */

static enum err list_steps(struct explaining *e, uint32_t group)
{
    const struct route_table *t = e->v.t;
    const struct spf_result *spf = &e->v.now->spf;
    struct route_explanation *x = e->x;
    for (uint32_t g = group; g != e->v.from; g = t->edges[spf->last_edge[g]].from)
        x->nsteps++;
    x->steps = calloc(x->nsteps + 1, sizeof *x->steps);
    if (x->steps == NULL)
        return ERR_NOMEM;
    size_t at = x->nsteps;
    for (uint32_t g = group; g != e->v.from;) {
        uint32_t edge = spf->last_edge[g];
        const struct rt_connector *c = &t->connectors[t->edge_connectors[edge]];
        x->steps[--at] = (struct route_step){t->groups[c->group], c->name, t->groups[g], t->edges[edge].cost};
        g = t->edges[edge].from;
    }
    return ERR_OK;
}

static enum err copy_sources(const struct route_table *t, const struct rt_connector *c,
                             struct route_explanation *x)
{
    x->sources = calloc((size_t)c->nsources + 1, sizeof *x->sources);
    if (x->sources == NULL)
        return ERR_NOMEM;
    x->nsources = c->nsources;
    if (c->nsources > 0)
        memcpy(x->sources, &t->sources[c->sources_at], c->nsources * sizeof *x->sources);
    return ERR_OK;
}

/* Were all source bridgeheads alive, would there be a way? The first connector on it that has none is waited
 * for. */
static enum err find_wait(struct explaining *e)
{
    const struct route_table *t = e->v.t;
    const struct rt_connector *wait = NULL;
    struct rt_view v = e->v;
    struct rt_pick pick;
    v.any_source = true;
    enum err err = rt_view_open(&v);
    if (err != ERR_OK)
        return err;
    rt_pick(&v, &e->chain, &pick);
    if (pick.best != NULL) {
        const struct rt_connector *winner = &t->connectors[pick.best->connector];
        wait = winner->no_source ? winner : NULL;
        for (uint32_t g = winner->group; g != v.from; g = t->edges[v.now->spf.last_edge[g]].from) {
            const struct rt_connector *c = &t->connectors[t->edge_connectors[v.now->spf.last_edge[g]]];
            wait = c->no_source ? c : wait;
        }
    }
    rt_view_close(&v);
    if (wait == NULL)
        return ERR_OK;
    e->x->waits_for = (struct route_link){t->groups[wait->group], wait->name};
    return copy_sources(t, wait, e->x);
}

static enum err show_choice(struct explaining *e)
{
    const struct route_table *t = e->v.t;
    struct route_explanation *x = e->x;
    const struct rt_connector *winner = &t->connectors[e->pick.best->connector],
                              *first = &t->connectors[rt_first(&e->v, e->pick.best->connector)];
    x->cost = e->pick.cost;
    enum err err = list_steps(e, winner->group);
    if (err != ERR_OK)
        return err;
    if (winner->local && winner->group == e->v.from) {
        x->kind = ROUTE_LOCAL;
        return ERR_OK;
    }
    x->first = (struct route_link){t->groups[first->group], first->name};
    x->dns = first->dns;
    x->ntargets = first->dns ? 0 : first->ntargets;
    x->targets = calloc(x->ntargets + 1, sizeof *x->targets);
    if (x->targets == NULL)
        return ERR_NOMEM;
    if (x->ntargets > 0)
        memcpy(x->targets, &t->targets[first->targets_at], x->ntargets * sizeof *x->targets);
    return copy_sources(t, first, x);
}

static enum err explain(struct explaining *e)
{
    rt_pick(&e->v, &e->chain, &e->pick);
    e->x->kind = e->pick.kind;
    enum err err = list_candidates(e);
    if (err == ERR_OK && e->pick.best != NULL)
        return show_choice(e);
    return err == ERR_OK && e->pick.kind == ROUTE_UNREACHABLE ? find_wait(e) : err;
}

static bool find_group(const struct route_table *t, struct span name, uint32_t *ret)
{
    uint32_t number;
    *ret = 0;
    if (name.len == 0)
        return true;
    if (!namemap_find(&t->group_numbers, name, namemap_hash(name), &number))
        return false;
    *ret = number - 1;
    return true;
}

enum err route_explain(const struct route_table *t, const struct route_ask *ask,
                       struct route_explanation *ret)
{
    struct route_explanation x = {.kind = ROUTE_NONE};
    struct explaining e = {
        .v = {.t = t, .down = ask->down, .ndown = ask->ndown}, .domain = ask->domain, .x = &x};
    if (!find_group(t, ask->from_group, &e.v.from))
        return ERR_NOTFOUND;
    x.klass = route_class(t, &ask->message);
    if (ask->message.in_transit && t->scope_all_way)
        x.klass |= CLASS_IN_TRANSIT;
    e.v.klass = x.klass;
    e.open = e.v;
    e.v.trace = ask->trace;
    rt_chain_of(t, ask->domain, &e.chain);
    if (e.v.from == 0 && e.chain.row != NULL && e.chain.row->local != NULL) {
        x.kind = ROUTE_LOCAL;
        x.local = e.chain.row->local;
        *ret = x;
        return ERR_OK;
    }
    if (e.chain.row != NULL &&
        e.chain.row->local != NULL) { /* asked for another group: delivered in this one */
        memmove(&e.chain.levels[1], &e.chain.levels[0], e.chain.n * sizeof e.chain.levels[0]);
        e.chain.levels[0] = &t->own_local;
        e.chain.n++;
    }
    enum err err = rt_view_open(&e.v);
    if (err != ERR_OK)
        return err;
    err = rt_view_open(&e.open);
    if (err == ERR_OK) {
        err = explain(&e);
        rt_view_close(&e.open);
    }
    rt_view_close(&e.v);
    if (err == ERR_OK)
        *ret = x;
    else
        route_explanation_done(&x);
    return err;
}

void route_explanation_done(struct route_explanation *x)
{
    free(x->candidates);
    free(x->steps);
    free(x->targets);
    free(x->sources);
    *x = (struct route_explanation){.kind = ROUTE_NONE};
}

/* --- The whole table -------------------------------------------------------------------------------- */

size_t route_entries(const struct route_table *t)
{
    return t->root->local_domains.count + t->ncandidates;
}

bool route_entry_at(const struct route_table *t, size_t n, struct route_entry *ret)
{
    size_t locals = t->root->local_domains.count;
    struct rt_view v = {.t = t};
    uint32_t path_cost;
    if (n >= route_entries(t))
        return false;
    if (n < locals) {
        *ret = (struct route_entry){.space = span_cstr(t->root->local_domains.items[n].domain),
                                    .group = t->groups[0],
                                    .connector = SPAN(RECORD_LOCAL_CONNECTOR),
                                    .up = true,
                                    .has_path = true,
                                    .local = true,
                                    .usable = true};
        return true;
    }
    if (rt_view_open(&v) != ERR_OK)
        return false;
    const struct rt_candidate *c = &t->candidates[n - locals];
    const struct rt_connector *k = &t->connectors[c->connector];
    enum route_fate fate = rt_judge(&v, c, &path_cost);
    *ret = (struct route_entry){.space = c->space,
                                .group = t->groups[k->group],
                                .connector = k->name,
                                .space_cost = c->cost,
                                .path_cost = path_cost,
                                .cost = path_cost == SPF_UNREACHABLE ? path_cost : path_cost + c->cost,
                                .up = k->up,
                                .no_source = k->no_source,
                                .has_path = path_cost != SPF_UNREACHABLE,
                                .local = k->local,
                                .usable = fate == ROUTE_CHOSEN};
    rt_view_close(&v);
    return true;
}
