#include "linkstate/route_int.h"

#include <stdlib.h>

/* --- What an edge asks ------------------------------------------------------------------------------- */

/* Scope "group": mail of that group alone. What comes from another group is not its own, unless the setting
 * says that scope is asked only where mail begins; then it may also pass over another group's edges. */
bool rt_in_scope(const struct rt_view *v, const struct rt_connector *c)
{
    return !c->own_scope || (c->group == v->from && (v->klass & CLASS_IN_TRANSIT) == 0);
}

bool rt_is_up(const struct rt_view *v, const struct rt_connector *c)
{
    for (size_t i = 0; i < v->ndown; i++)
        if (span_ieq(v->down[i].group, v->t->groups[c->group]) && span_eq(v->down[i].connector, c->name))
            return false;
    return c->up || (v->any_source && c->no_source);
}

bool rt_may_enter(const struct rt_view *v, uint32_t group)
{
    return v->trace == NULL || trace_admits(v->trace, v->t->groups[group], v->t->generation);
}

static bool usable(const struct rt_view *v, const struct rt_connector *c, bool any_state)
{
    bool in_scope = rt_in_scope(v, c) || (c->group != v->from && !v->t->scope_all_way);
    return (any_state || (rt_is_up(v, c) && rt_may_enter(v, c->to))) && in_scope &&
           class_passes(v->klass, &c->rule);
}

static struct rt_key key_of(const struct rt_view *v, bool any_state)
{
    const struct route_table *t = v->t;
    struct rt_key key = {.any_state = any_state, .in_transit = (v->klass & CLASS_IN_TRANSIT) != 0};
    if (t->nrules > RT_RULES_MAX)
        key.bits = v->klass;
    for (uint32_t i = 0; i < t->nrules && t->nrules <= RT_RULES_MAX; i++)
        if (!class_passes(v->klass, &t->rules[i]))
            key.bits |= (uint64_t)1 << i;
    return key;
}

static bool same_key(const struct rt_key *a, const struct rt_key *b)
{
    return a->bits == b->bits && a->any_state == b->any_state && a->in_transit == b->in_transit;
}

/* --- Computing ------------------------------------------------------------------------------------------ */

void rt_paths_free(struct rt_paths *p)
{
    if (p != NULL)
        spf_result_done(&p->spf);
    free(p);
}

static struct rt_paths *compute(const struct rt_view *v, const struct rt_key *key)
{
    const struct route_table *t = v->t;
    struct rt_paths *p = calloc(1, sizeof *p);
    uint8_t *open = calloc((size_t)t->nedges + 1, 1);
    enum err e = p == NULL || open == NULL ? ERR_NOMEM : spf_result_init(&p->spf, t->ngroups);
    if (e == ERR_OK && t->spread)
        e = spf_result_firsts(&p->spf);
    if (e == ERR_OK) {
        p->key = *key;
        for (uint32_t i = 0; i < t->nedges; i++)
            open[i] = usable(v, &t->connectors[t->edge_connectors[i]], key->any_state);
        e = spf_run(&t->graph, v->from, open, &p->spf);
    }
    free(open);
    for (uint32_t g = t->nheard; e == ERR_OK && g < t->ngroups; g++)
        p->open_end = p->open_end || p->spf.cost[g] != SPF_UNREACHABLE;
    if (e == ERR_OK)
        return p;
    rt_paths_free(p);
    return NULL;
}

/* The remembered ones, or new ones that are remembered from now on. *ret_kept: the table has them. */
static const struct rt_paths *remembered(const struct rt_view *v, bool any_state, bool *ret_kept)
{
    struct route_table *t = (struct route_table *)v->t;
    struct rt_key key = key_of(v, any_state);
    struct rt_paths *mine = NULL;
    *ret_kept = true;
    for (size_t i = 0; i < RT_PATHS_MAX; i++) {
        struct rt_paths *there = atomic_load_explicit(&t->paths[i], memory_order_acquire);
        if (there == NULL && mine == NULL)
            mine = compute(v, &key);
        if (there == NULL && mine == NULL)
            return NULL;
        if (there == NULL && atomic_compare_exchange_strong_explicit(
                                 &t->paths[i], &there, mine, memory_order_acq_rel, memory_order_acquire))
            return mine;
        if (same_key(&there->key, &key)) { /* was there, or another thread was faster */
            rt_paths_free(mine);
            return there;
        }
    }
    *ret_kept = false;
    return mine != NULL ? mine : compute(v, &key);
}

enum err rt_view_open(struct rt_view *v)
{
    bool kept[2] = {false, false};
    struct rt_key now = key_of(v, false), ever = key_of(v, true);
    bool ordinary = v->from == 0 && v->ndown == 0 && v->trace == NULL && !v->any_source;
    v->now = ordinary ? remembered(v, false, &kept[0]) : compute(v, &now);
    v->ever = ordinary ? remembered(v, true, &kept[1]) : compute(v, &ever);
    v->kept_now = kept[0];
    v->kept_ever = kept[1];
    if (v->now != NULL && v->ever != NULL)
        return ERR_OK;
    rt_view_close(v);
    return ERR_NOMEM;
}

void rt_view_close(struct rt_view *v)
{
    if (!v->kept_now)
        rt_paths_free((struct rt_paths *)v->now);
    if (!v->kept_ever)
        rt_paths_free((struct rt_paths *)v->ever);
    v->now = v->ever = NULL;
}
