/* linkstate/route.c — from a domain and a class to the connector; see route_int.h.
 *
 * A look-up visits the row of the domain itself, then those of its suffixes from the longest to the empty one
 * ("*"). One pass from the end of the name gives all their hashes. */
#include "linkstate/route_int.h"

#include <stdlib.h>
#include <string.h>

/* --- Levels ---------------------------------------------------------------------------------------- */

struct walk {
    const struct route_table *t;
    struct span domain;
    const struct rt_row *row; /* of the domain itself, or NULL */
    bool begun;
    unsigned n; /* suffixes left */
    struct {
        uint32_t hash, at;
    } suffixes[RT_LABELS_MAX + 1];
};

static const struct rt_row *row_find(const struct route_table *t, struct span name, uint32_t hash)
{
    uint32_t number;
    return namemap_find(&t->names, name, hash, &number) ? &t->rows[number - 1] : NULL;
}

static void walk_begin(struct walk *w, const struct route_table *t, struct span domain)
{
    uint32_t hash = NAMEMAP_HASH_SEED;
    w->t = t;
    w->domain = domain;
    w->begun = false;
    w->n = 1;
    w->suffixes[0].hash = hash; /* the empty one: "*" */
    w->suffixes[0].at = (uint32_t)domain.len;
    for (size_t i = domain.len; i > 0; i--) {
        if (domain.ptr[i - 1] == '.' && w->n <= t->deepest && w->n <= RT_LABELS_MAX) {
            w->suffixes[w->n].hash = hash;
            w->suffixes[w->n++].at = (uint32_t)i;
        }
        hash = namemap_hash_step(hash, domain.ptr[i - 1]);
    }
    w->row = domain.len == 0 ? NULL : row_find(t, domain, hash);
}

static const struct rt_level *walk_next(struct walk *w)
{
    if (!w->begun) {
        w->begun = true;
        if (w->row != NULL && w->row->exact.n > 0)
            return &w->row->exact;
    }
    while (w->n > 0) {
        w->n--;
        const struct rt_row *row =
            row_find(w->t, span_from(w->domain, w->suffixes[w->n].at), w->suffixes[w->n].hash);
        if (row != NULL && row->below.n > 0)
            return &row->below;
    }
    return NULL;
}

void rt_chain_of(const struct route_table *t, struct span domain, struct rt_chain *ret)
{
    struct walk w;
    const struct rt_level *level;
    walk_begin(&w, t, domain);
    *ret = (struct rt_chain){.row = w.row};
    while ((level = walk_next(&w)) != NULL)
        ret->levels[ret->n++] = level;
}

/* --- Choosing --------------------------------------------------------------------------------------- */

/* Step 2 before step 3: a connector that the message may not use does not exist for it. */
enum route_fate rt_judge(const struct rt_view *v, const struct rt_candidate *candidate,
                         uint32_t *ret_path_cost)
{
    const struct rt_connector *c = &v->t->connectors[candidate->connector];
    *ret_path_cost = v->now->spf.cost[c->group];
    if (!class_passes(v->klass, &c->rule))
        return ROUTE_RESTRICTED;
    if (!rt_in_scope(v, c))
        return ROUTE_SCOPE;
    if (v->ever->spf.cost[c->group] == SPF_UNREACHABLE)
        return v->ever->open_end ? ROUTE_UNHEARD : ROUTE_NO_PATH;
    if (!rt_is_up(v, c))
        return c->no_source ? ROUTE_NO_SOURCE : ROUTE_DOWN;
    if (*ret_path_cost == SPF_UNREACHABLE)
        return ROUTE_CUT_OFF;
    return c->to == RT_NOBODY || rt_may_enter(v, c->to) ? ROUTE_CHOSEN : ROUTE_VISITED;
}

static bool exists(enum route_fate fate)
{
    return fate != ROUTE_RESTRICTED && fate != ROUTE_SCOPE && fate != ROUTE_NO_PATH;
}

/* Step 5. */
static bool wins_tie(const struct rt_view *v, const struct rt_candidate *a, const struct rt_candidate *b)
{
    const struct rt_connector *x = &v->t->connectors[a->connector], *y = &v->t->connectors[b->connector];
    if ((x->group == v->from) != (y->group == v->from))
        return x->group == v->from;
    int order = span_cmp(x->name, y->name);
    if (order == 0) /* numbers go by the group, too, but for the one that the table is of */
        order = span_cmp(v->t->groups[x->group], v->t->groups[y->group]);
    return order != 0 ? order < 0 : a->connector < b->connector;
}

/* Whether anybody may send to an address space is a matter of configuration, whatever is UP; other groups
 * decide that for their own domains alone. */
static bool open_to_all(const struct rt_view *v, const struct rt_connector *c)
{
    return c->local ? c->group != v->from : c->conf != NULL && c->relay_open;
}

struct findings {
    bool any;      /* something exists for the message */
    bool internal; /* a group that delivers the domain itself */
    bool relay_open;
};

static struct findings pick_level(const struct rt_view *v, const struct rt_level *level, struct rt_pick *p)
{
    struct findings f = {.any = false};
    for (uint32_t i = level->at; i < level->at + level->n; i++) {
        const struct rt_candidate *c = &v->t->candidates[i];
        uint32_t path_cost, cost;
        enum route_fate fate = rt_judge(v, c, &path_cost);
        if (!exists(fate))
            continue;
        f.any = true;
        f.internal = f.internal || v->t->connectors[c->connector].local;
        f.relay_open = f.relay_open || open_to_all(v, &v->t->connectors[c->connector]);
        if (fate != ROUTE_CHOSEN)
            continue;
        cost = path_cost + c->cost;
        if (p->best == NULL || cost < p->cost || (cost == p->cost && wins_tie(v, c, p->best))) {
            p->best = c;
            p->cost = cost;
            p->path_cost = path_cost;
            p->level = level;
        }
    }
    return f;
}

/* Mail for a domain of the organization waits for the way there; it does not leave by a more general space.
 */
void rt_pick(const struct rt_view *v, const struct rt_chain *chain, struct rt_pick *ret)
{
    struct rt_pick p = {.kind = ROUTE_NONE};
    for (size_t i = 0; i < chain->n; i++) {
        struct findings f = pick_level(v, chain->levels[i], &p);
        if (!f.any)
            continue;
        if (p.kind == ROUTE_NONE) /* the most specific one there is */
            p.relay_open = f.relay_open;
        p.kind = p.best != NULL ? ROUTE_NEXT_HOP : ROUTE_UNREACHABLE;
        if (p.best != NULL || f.internal || !v->t->fall_back)
            break;
    }
    *ret = p;
}

bool rt_equal(const struct rt_view *v, const struct rt_pick *p, const struct rt_candidate *c)
{
    uint32_t path_cost, best = v->t->connectors[p->best->connector].group;
    return rt_judge(v, c, &path_cost) == ROUTE_CHOSEN && path_cost + c->cost == p->cost &&
           (v->t->connectors[c->connector].group == v->from) == (best == v->from);
}

uint32_t rt_first(const struct rt_view *v, uint32_t connector)
{
    uint32_t group = v->t->connectors[connector].group;
    return group == v->from ? connector : v->t->edge_connectors[v->now->spf.first_edge[group]];
}

/* --- Spreading -------------------------------------------------------------------------------------- */

struct shares {
    uint32_t n, connectors[RT_SHARES_MAX];
};

static void add_share(struct shares *s, uint32_t connector)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->connectors[i] == connector)
            return;
    if (s->n < RT_SHARES_MAX)
        s->connectors[s->n++] = connector;
}

static void add_shares(const struct rt_view *v, const struct rt_candidate *c, struct shares *s)
{
    const struct route_table *t = v->t;
    uint32_t group = t->connectors[c->connector].group;
    if (group == v->from) {
        add_share(s, c->connector);
        return;
    }
    add_share(s, rt_first(v, c->connector)); /* also one beyond those that have a bit */
    uint64_t firsts = v->now->spf.firsts[group];
    for (uint32_t bit = 0; bit < 64; bit++)
        if ((firsts >> bit & 1) != 0)
            add_share(s, t->edge_connectors[t->graph.edge[t->graph.first[v->from] + bit]]);
}

static void find_shares(const struct rt_view *v, const struct rt_pick *p, struct shares *s)
{
    s->n = 0;
    if (!v->t->spread || p->kind != ROUTE_NEXT_HOP)
        return;
    add_shares(v, p->best, s);
    for (uint32_t i = p->level->at; i < p->level->at + p->level->n; i++)
        if (rt_equal(v, p, &v->t->candidates[i]))
            add_shares(v, &v->t->candidates[i], s);
    if (s->n == 1)
        s->n = 0;
}

/* Numbers that follow each other fall far apart (the finalizer of splitmix64). */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint32_t share_of(const struct rt_result *r, uint64_t share)
{
    if (share == 0 || r->nshares == 0)
        return r->first;
    uint32_t at = (uint32_t)(mixed(share) % r->shares[r->nshares - 1].weights), i = 0;
    while (at >= r->shares[i].weights)
        i++;
    return r->shares[i].connector;
}

/* --- Results ---------------------------------------------------------------------------------------- */

static struct rt_result *result_new(const struct rt_view *v, const struct rt_pick *p)
{
    struct shares s;
    find_shares(v, p, &s);
    struct rt_result *r = calloc(1, sizeof *r + s.n * sizeof r->shares[0]);
    if (r == NULL)
        return NULL;
    r->kind = p->kind;
    r->klass = v->klass;
    r->relay_open = p->relay_open;
    r->cost = p->cost;
    if (p->kind == ROUTE_NEXT_HOP) {
        r->winner = p->best->connector;
        r->first = rt_first(v, r->winner);
    }
    for (uint32_t i = 0, sum = 0; i < s.n; i++) {
        sum += v->t->connectors[s.connectors[i]].weight;
        r->shares[r->nshares++] = (struct rt_share){s.connectors[i], sum};
    }
    return r;
}

static struct rt_result *resolve(struct rt_view *v, struct span domain)
{
    struct rt_chain chain;
    struct rt_pick pick;
    if (rt_view_open(v) != ERR_OK)
        return NULL;
    rt_chain_of(v->t, domain, &chain);
    rt_pick(v, &chain, &pick);
    struct rt_result *r = result_new(v, &pick);
    rt_view_close(v);
    return r;
}

static uint32_t level_number(const struct route_table *t, const struct rt_level *level)
{
    const char *row = (const char *)level;
    size_t at = (size_t)(row - (const char *)t->rows) / sizeof *t->rows;
    return (uint32_t)(at * 2 + (level == &t->rows[at].below));
}

static size_t slot_of(const struct route_table *t, uint32_t level, uint32_t klass)
{
    return (size_t)mixed((uint64_t)level << 32 | klass) & (t->nresults - 1);
}

static const struct rt_result *recall(const struct route_table *t, uint32_t level, uint32_t klass)
{
    size_t at = slot_of(t, level, klass);
    for (size_t i = 0; i < RT_PROBES; i++) {
        const struct rt_result *r =
            atomic_load_explicit(&t->results[(at + i) & (t->nresults - 1)], memory_order_acquire);
        if (r == NULL || (r->level == level && r->klass == klass))
            return r;
    }
    return NULL;
}

/* Takes r; false: there was no room, or somebody else was faster. */
static bool remember(const struct route_table *t, struct rt_result *r)
{
    size_t at = slot_of(t, r->level, r->klass);
    for (size_t i = 0; i < RT_PROBES; i++) {
        struct rt_result *there = NULL;
        if (atomic_compare_exchange_strong_explicit(&t->results[(at + i) & (t->nresults - 1)], &there, r,
                                                    memory_order_acq_rel, memory_order_acquire))
            return true;
        if (there->level == r->level && there->klass == r->klass)
            return false;
    }
    return false;
}

/* --- Look-up ---------------------------------------------------------------------------------------- */

uint32_t route_class(const struct route_table *t, const struct route_message *m)
{
    return class_of(&t->classes, m) | (t->by_transit && m->in_transit ? CLASS_IN_TRANSIT : 0);
}

/* false: *ret is all there is to say. */
static bool begin(const struct route_table *t, struct span domain, struct route *ret,
                  const struct rt_level **ret_level)
{
    struct walk w;
    walk_begin(&w, t, domain);
    if (w.row != NULL && w.row->local != NULL) {
        *ret = (struct route){.kind = ROUTE_LOCAL, .local = w.row->local};
        return false;
    }
    *ret_level = walk_next(&w);
    if (*ret_level == NULL)
        *ret = (struct route){.kind = ROUTE_NONE};
    return *ret_level != NULL;
}

static void fill_connector(const struct route_table *t, const struct rt_connector *c, struct route *ret)
{
    ret->connector = c->conf;
    ret->dns = c->dns;
    ret->targets = &t->own_targets[c->targets_at];
    ret->ntargets = c->ntargets;
    ret->ntargets_up = c->ntargets_up;
}

bool route_from_member(const struct route *route, struct span member)
{
    const struct conf_strs *list = route->connector == NULL ? NULL : &route->connector->source_bridgeheads;
    bool mine = list == NULL || list->count == 0;
    for (size_t i = 0; !mine && i < list->count; i++)
        mine = span_eq(span_cstr(list->items[i]), member);
    return mine;
}

bool route_connector(const struct route_table *t, struct span name, bool *ret_up, struct route *ret)
{
    for (uint32_t i = 0; i < t->nown; i++)
        if (span_eq(t->connectors[i].name, name)) {
            *ret = (struct route){.kind = ROUTE_NEXT_HOP};
            fill_connector(t, &t->connectors[i], ret);
            *ret_up = t->connectors[i].up;
            return true;
        }
    return false;
}

static void fill(const struct route_table *t, const struct rt_result *r, uint64_t share, struct route *ret)
{
    if (r == NULL) {
        *ret = (struct route){.kind = ROUTE_UNREACHABLE}; /* no memory: later */
        return;
    }
    *ret = (struct route){.kind = r->kind, .relay_open = r->relay_open, .cost = r->cost};
    if (r->kind != ROUTE_NEXT_HOP)
        return;
    fill_connector(t, &t->connectors[share_of(r, share)], ret);
}

/* The remembered result, or a new one; *ret_mine: it found no room, and is the caller's to free. */
static const struct rt_result *result_of(const struct route_table *t, struct span domain,
                                         const struct rt_level *level, uint32_t klass,
                                         struct rt_result **ret_mine)
{
    struct rt_view v = {.t = t, .klass = klass};
    uint32_t number = level_number(t, level);
    const struct rt_result *known = recall(t, number, klass);
    *ret_mine = NULL;
    if (known != NULL)
        return known;
    struct rt_result *r = resolve(&v, domain);
    if (r == NULL)
        return NULL;
    r->level = number;
    if (!remember(t, r))
        *ret_mine = r;
    return r;
}

void route_lookup(const struct route_table *t, struct span domain, uint32_t klass, struct route *ret)
{
    route_lookup_message(t, domain, klass, NULL, 0, ret);
}

static bool shuts(const struct route_table *t, const struct trace *trace)
{
    for (size_t i = 0; trace != NULL && i < trace->n; i++)
        if (!trace_admits(trace, trace->items[i].group, t->generation))
            return true;
    return false;
}

/* Whether the usual way enters a group that is not to be entered. It does not while tables agree: each step
 * leads nearer to the end. Only the way of the winner is known; behind another share stands a way, and maybe
 * a candidate, that was not kept: true. */
static bool goes_back(const struct route_table *t, const struct rt_result *r, uint64_t share,
                      const struct trace *trace)
{
    struct rt_view usual = {.t = t, .klass = r->klass}, v = {.t = t, .trace = trace};
    uint32_t chosen = share_of(r, share);
    const struct rt_connector *winner = &t->connectors[r->winner], *first = &t->connectors[chosen];
    if ((winner->group != 0 && chosen != r->first) || rt_view_open(&usual) != ERR_OK)
        return true;
    bool back = (winner->to != RT_NOBODY && !rt_may_enter(&v, winner->to)) ||
                (first->to != RT_NOBODY && !rt_may_enter(&v, first->to));
    for (uint32_t group = winner->group; group != 0 && !back;) {
        back = !rt_may_enter(&v, group);
        group = t->edges[usual.now->spf.last_edge[group]].from;
    }
    rt_view_close(&usual);
    return back;
}

void route_lookup_message(const struct route_table *t, struct span domain, uint32_t klass,
                          const struct trace *trace, uint64_t share, struct route *ret)
{
    const struct rt_level *level;
    struct rt_result *mine;
    if (!begin(t, domain, ret, &level))
        return;
    const struct rt_result *r = result_of(t, domain, level, klass, &mine);
    if (r != NULL && r->kind == ROUTE_NEXT_HOP && shuts(t, trace) && goes_back(t, r, share, trace)) {
        struct rt_view v = {.t = t, .klass = klass, .trace = trace};
        free(mine);
        r = mine = resolve(&v, domain);
    }
    fill(t, r, share, ret);
    free(mine);
}

void route_link_name(const struct route *route, struct span domain, char out[ROUTE_LINK_MAX])
{
    switch (route->kind) {
    case ROUTE_LOCAL:
        (void)snprintf(out, ROUTE_LINK_MAX, "local:" SPAN_FMT, SPAN_ARG(domain));
        return;
    case ROUTE_NEXT_HOP:
        if (route->dns)
            (void)snprintf(out, ROUTE_LINK_MAX, "domain:" SPAN_FMT, SPAN_ARG(domain));
        else
            (void)snprintf(out, ROUTE_LINK_MAX, "connector:%s", route->connector->name);
        return;
    case ROUTE_UNREACHABLE:
        (void)snprintf(out, ROUTE_LINK_MAX, "unreachable:");
        return;
    case ROUTE_NONE:
        (void)snprintf(out, ROUTE_LINK_MAX, "none:");
        return;
    }
}
