#include "linkstate/route_int.h"

#include "linkstate/record.h"
#include "linkstate/snapshot.h"

#include <stdlib.h>
#include <string.h>

/* What is read before the table is made of it; freed when it stands. */
struct source { /* a group's record, or what stands in its place */
    uint32_t group;
    bool purged; /* it may come back: nothing of it is UP */
    struct record record;
};
struct making {
    struct route_table *t;
    struct source *sources;
    uint32_t nsources;
    const struct record *own;                /* this group's, as published: states alone count; or NULL */
    const struct record_connector **foreign; /* per connector of another group */
    struct class_limits *limits;             /* per connector */
    struct span *to;                         /* per connector: the group it leads to, or "" */
    struct span *senders;                    /* of this group's connectors */
    struct class_rule *rules;
    uint32_t nplaced,
        sources_up; /* source bridgeheads of all connectors; of the last one, those that are UP */
};

/* --- Groups ----------------------------------------------------------------------------------------- */

/* *ret_new: it was not known. Room is made for every name that can come. */
static enum err group_number(struct route_table *t, struct span name, uint32_t *ret, bool *ret_new)
{
    uint32_t *number;
    enum err e = namemap_add(&t->group_numbers, name, &number);
    if (e != ERR_OK)
        return e;
    *ret_new = *number == 0;
    if (*number == 0) {
        t->groups[t->ngroups++] = name;
        *number = t->ngroups;
    }
    *ret = *number - 1;
    return ERR_OK;
}

/* A record that is damaged, or of a group whose name differs from another's in case alone, is left out. */
static enum err read_record(struct making *m, struct span name, struct span body, bool purged)
{
    struct record r;
    struct route_table *t = m->t;
    uint32_t group;
    bool fresh;
    enum err e = record_parse(body, &r, NULL);
    if (e == ERR_NOMEM)
        return e;
    if (e != ERR_OK) {
        t->damaged++;
        return ERR_OK;
    }
    e = group_number(t, name, &group, &fresh);
    if (e != ERR_OK || (!fresh && (group != 0 || m->own != NULL || purged))) {
        record_done(&r);
        t->damaged += e == ERR_OK;
        return e;
    }
    m->sources[m->nsources] = (struct source){group, purged, r};
    if (group == 0)
        m->own = &m->sources[m->nsources].record;
    m->nsources++;
    return ERR_OK;
}

static enum err read_published(struct making *m, struct span published, struct errctx *ec)
{
    struct route_table *t = m->t;
    struct ls_snapshot s = {.bytes = SPAN("")};
    struct ls_snapshot_entry entry;
    struct ls_snapshot_floor floor;
    enum err e = ls_snapshot_parse(published, &s, ec);
    if (e != ERR_OK)
        return e;
    t->generation = s.generation;
    size_t groups = (size_t)s.records + s.floors;
    t->bytes = malloc(s.bytes.len + s.barred.len + 1);
    m->sources = calloc(groups + 1, sizeof *m->sources);
    t->groups = calloc(groups + 1, sizeof *t->groups);
    if (t->bytes == NULL || m->sources == NULL || t->groups == NULL)
        return ERR_NOMEM;
    if (s.bytes.len > 0)
        memcpy(t->bytes, s.bytes.ptr, s.bytes.len);
    if (s.barred.len > 0)
        memcpy(t->bytes + s.bytes.len, s.barred.ptr, s.barred.len);
    uint32_t group;
    bool fresh;
    const char *name = t->root->routing_group.name;
    e = group_number(t, span_cstr(name == NULL ? "" : name), &group, &fresh);
    struct rd r = rd_open(span_of(t->bytes, s.bytes.len));
    while (e == ERR_OK && ls_snapshot_next(&r, &entry))
        e = read_record(m, entry.lsa.group, entry.body, false);
    r = rd_open(span_of(t->bytes + s.bytes.len, s.barred.len));
    while (e == ERR_OK && ls_snapshot_next_floor(&r, &floor))
        if (floor.body.len > 0)
            e = read_record(m, floor.lsa.group, floor.body, true);
    return e;
}

/* --- Connectors ------------------------------------------------------------------------------------- */

static const struct record_connector *published_state(const struct making *m, const char *name)
{
    for (size_t i = 0; m->own != NULL && i < m->own->nconnectors; i++)
        if (span_eq(m->own->connectors[i].name, span_cstr(name)))
            return &m->own->connectors[i];
    return NULL;
}

static bool target_up(const struct record_connector *state, struct span name)
{
    for (size_t i = 0; state != NULL && i < state->ntargets; i++)
        if (span_eq(state->targets[i].name, name))
            return state->targets[i].up;
    return true;
}

static bool source_up(const struct record_connector *state, struct span name)
{
    for (size_t i = 0; state != NULL && i < state->nsources; i++)
        if (span_eq(state->sources[i].name, name))
            return state->sources[i].up;
    return true;
}

static void add_source(struct making *m, struct rt_connector *c, struct span name, bool up)
{
    m->t->sources[m->nplaced++] = (struct route_target){name, up};
    c->nsources++;
    m->sources_up += up;
}

/* What no living member sends over is not UP; what is by DNS, too. */
static void sources_added(struct making *m, struct rt_connector *c)
{
    c->no_source = c->nsources > 0 && m->sources_up == 0;
    c->up = c->up && !c->no_source;
    m->sources_up = 0;
}

/* In the order given, but what is UP first. */
static void order_targets(struct route_table *t, struct rt_connector *c, size_t n, bool (*up)(void *, size_t),
                          struct span (*name)(void *, size_t), void *arg)
{
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < n; i++) {
            bool is_up = up(arg, i);
            if (is_up != (round == 0))
                continue;
            t->targets[c->targets_at + c->ntargets++] = (struct route_target){name(arg, i), is_up};
            c->ntargets_up += is_up;
        }
}

struct own_targets {
    const struct conf_connector *conf;
    const struct record_connector *state;
};

static struct span own_name(void *arg, size_t i)
{
    return span_cstr(((struct own_targets *)arg)->conf->smart_hosts.items[i]);
}

static bool own_up(void *arg, size_t i)
{
    return target_up(((struct own_targets *)arg)->state, own_name(arg, i));
}

static struct span record_name(void *arg, size_t i)
{
    return ((const struct record_connector *)arg)->targets[i].name;
}

static bool record_up(void *arg, size_t i)
{
    return ((const struct record_connector *)arg)->targets[i].up;
}

static uint32_t edge_cost(uint64_t cost)
{
    return cost < 1 ? 1 : cost > SPF_COST_MAX ? SPF_COST_MAX : (uint32_t)cost;
}

static const struct span *copy_words(struct making *m, const struct conf_strs *words, size_t *used)
{
    const struct span *first = &m->senders[*used];
    for (size_t i = 0; i < words->count; i++)
        m->senders[(*used)++] = span_cstr(words->items[i]);
    return first;
}

static enum err add_own(struct making *m, const struct conf_connector *conf, uint32_t *targets, size_t *words,
                        struct errctx *ec)
{
    struct route_table *t = m->t;
    bool leads = conf->type == CONF_CONNECTOR_ROUTING_GROUP;
    struct own_targets own = {conf, published_state(m, conf->name)};
    struct class_limits *limits = &m->limits[t->nconnectors];
    m->to[t->nconnectors] = leads && conf->to_group != NULL ? span_cstr(conf->to_group) : SPAN("");
    struct rt_connector *c = &t->connectors[t->nconnectors++];
    *c = (struct rt_connector){
        .conf = conf,
        .name = span_cstr(conf->name),
        .to = RT_NOBODY,
        .cost = leads ? edge_cost(conf->cost) : 0,
        .edge = SPF_NONE,
        .targets_at = *targets,
        .weight = conf->weight < 1 ? 1 : (uint8_t)conf->weight,
        .dns = conf->deliver == CONF_DELIVER_DNS ||
               (conf->deliver == CONF_DELIVER_AUTO && conf->smart_hosts.count == 0),
        .relay_open = conf->allow_relay,
        .own_scope = conf->scope == CONF_SCOPE_GROUP,
    };
    c->up = own.state == NULL || own.state->up || (c->dns && !leads);
    c->sources_at = m->nplaced;
    for (size_t i = 0; i < conf->source_bridgeheads.count; i++) {
        struct span name = span_cstr(conf->source_bridgeheads.items[i]);
        add_source(m, c, name, source_up(own.state, name));
    }
    sources_added(m, c);
    order_targets(t, c, conf->smart_hosts.count, own_up, own_name, &own);
    *targets += c->ntargets;
    *limits = (struct class_limits){.max_size = conf->max_message_size,
                                    .content = (uint8_t)conf->content,
                                    .naccept = conf->accept_from.count,
                                    .nreject = conf->reject_from.count};
    limits->accept = copy_words(m, &conf->accept_from, words);
    limits->reject = copy_words(m, &conf->reject_from, words);
    return class_priorities(conf, &limits->priorities, ec);
}

static uint8_t content_of(enum record_content content)
{
    return content == RECORD_CONTENT_SYSTEM       ? CONF_CONTENT_SYSTEM
           : content == RECORD_CONTENT_NON_SYSTEM ? CONF_CONTENT_NON_SYSTEM
                                                  : CONF_CONTENT_ALL;
}

static void add_foreign(struct making *m, const struct source *from, const struct record_connector *k,
                        uint32_t *targets)
{
    struct route_table *t = m->t;
    bool leads = k->type == RECORD_ROUTING_GROUP;
    m->limits[t->nconnectors] = (struct class_limits){
        .max_size = k->max_size,
        .priorities = k->priorities == RECORD_PRIORITY_ALL ? 0 : k->priorities,
        .content = content_of(k->content),
        .foreign = true,
        .accept = k->accept_from,
        .reject = k->reject_from,
        .naccept = k->naccept,
        .nreject = k->nreject,
    };
    m->to[t->nconnectors] = leads ? k->to_group : SPAN("");
    m->foreign[t->nconnectors - t->nown] = k;
    struct rt_connector *c = &t->connectors[t->nconnectors++];
    *c = (struct rt_connector){
        .name = k->name,
        .group = from->group,
        .to = RT_NOBODY,
        .cost = leads ? edge_cost(k->cost) : 0,
        .edge = SPF_NONE,
        .targets_at = *targets,
        .weight = k->weight < 1 ? 1 : k->weight,
        .up = (k->up || k->dns) && !from->purged,
        .dns = k->dns,
        .relay_open = k->relay_open,
        .own_scope = k->scope == RECORD_SCOPE_GROUP,
        .local = span_eq(k->name, SPAN(RECORD_LOCAL_CONNECTOR)),
    };
    c->sources_at = m->nplaced;
    for (size_t i = 0; i < k->nsources; i++)
        add_source(m, c, k->sources[i].name, k->sources[i].up);
    sources_added(m, c);
    order_targets(t, c, k->ntargets, record_up, record_name, (void *)k);
    *targets += c->ntargets;
}

static int by_conf_name(const void *a, const void *b)
{
    const struct conf_connector *x = *(const struct conf_connector *const *)a,
                                *y = *(const struct conf_connector *const *)b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x > y) - (x < y); /* the order of the configuration */
}

static int by_record_name(const void *a, const void *b)
{
    const struct record_connector *x = *(const struct record_connector *const *)a,
                                  *y = *(const struct record_connector *const *)b;
    int order = span_cmp(x->name, y->name);
    return order != 0 ? order : (x > y) - (x < y);
}

static enum err add_all_own(struct making *m, uint32_t *targets, struct errctx *ec)
{
    size_t n = m->t->root->connectors.count, words = 0;
    enum err e = ERR_OK;
    const struct conf_connector **sorted = calloc(n + 1, sizeof *sorted);
    if (sorted == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &m->t->root->connectors.items[i];
    qsort(sorted, n, sizeof *sorted, by_conf_name);
    for (size_t i = 0; i < n && e == ERR_OK; i++)
        e = add_own(m, sorted[i], targets, &words, ec);
    free(sorted);
    m->t->nown = m->t->nconnectors;
    for (uint32_t i = 0; i < *targets; i++) /* spans of NUL-terminated settings */
        m->t->own_targets[i] = (char *)m->t->targets[i].name.ptr;
    return e;
}

static enum err add_all_foreign(struct making *m, uint32_t *targets)
{
    for (uint32_t i = 0; i < m->nsources; i++) {
        const struct record *r = &m->sources[i].record;
        if (m->sources[i].group == 0)
            continue;
        const struct record_connector **sorted = calloc(r->nconnectors + 1, sizeof *sorted);
        if (sorted == NULL)
            return ERR_NOMEM;
        for (size_t k = 0; k < r->nconnectors; k++)
            sorted[k] = &r->connectors[k];
        qsort(sorted, r->nconnectors, sizeof *sorted, by_record_name);
        for (size_t k = 0; k < r->nconnectors; k++)
            add_foreign(m, &m->sources[i], sorted[k], targets);
        free(sorted);
    }
    return ERR_OK;
}

struct room {
    size_t connectors, edges, targets, own_targets, sources, senders, spaces;
};

static struct room room_for(const struct making *m)
{
    const struct conf_root *root = m->t->root;
    struct room n = {.connectors = root->connectors.count};
    for (size_t i = 0; i < root->connectors.count; i++) {
        const struct conf_connector *c = &root->connectors.items[i];
        n.edges += c->type == CONF_CONNECTOR_ROUTING_GROUP;
        n.own_targets += c->smart_hosts.count;
        n.sources += c->source_bridgeheads.count;
        n.senders += c->accept_from.count + c->reject_from.count;
        n.spaces += c->address_spaces.count;
    }
    n.targets = n.own_targets;
    for (uint32_t i = 0; i < m->nsources; i++) {
        const struct record *r = &m->sources[i].record;
        n.connectors += r->nconnectors;
        for (size_t k = 0; k < r->nconnectors; k++) {
            n.edges += r->connectors[k].type == RECORD_ROUTING_GROUP;
            n.targets += r->connectors[k].ntargets;
            n.sources += r->connectors[k].nsources;
            n.spaces += r->connectors[k].nspaces;
        }
    }
    return n;
}

static enum err add_connectors(struct making *m, const struct room *n, struct errctx *ec)
{
    struct route_table *t = m->t;
    uint32_t targets = 0;
    t->connectors = calloc(n->connectors + 1, sizeof *t->connectors);
    t->targets = calloc(n->targets + 1, sizeof *t->targets);
    t->own_targets = calloc(n->own_targets + 1, sizeof *t->own_targets);
    t->sources = calloc(n->sources + 1, sizeof *t->sources);
    m->limits = calloc(n->connectors + 1, sizeof *m->limits);
    m->rules = calloc(n->connectors + 1, sizeof *m->rules);
    m->to = calloc(n->connectors + 1, sizeof *m->to);
    m->foreign = calloc(n->connectors + 1, sizeof *m->foreign);
    m->senders = calloc(n->senders + 1, sizeof *m->senders);
    if (t->connectors == NULL || t->targets == NULL || t->own_targets == NULL || t->sources == NULL ||
        m->limits == NULL || m->rules == NULL || m->to == NULL || m->foreign == NULL || m->senders == NULL)
        return ERR_NOMEM;
    enum err e = add_all_own(m, &targets, ec);
    if (e == ERR_OK)
        e = add_all_foreign(m, &targets);
    if (e == ERR_OK)
        e = class_table_init(&t->classes, m->limits, t->nconnectors, m->rules, ec);
    t->connectors[t->nconnectors] = (struct rt_connector){.name = SPAN(RECORD_LOCAL_CONNECTOR),
                                                          .to = RT_NOBODY,
                                                          .edge = SPF_NONE,
                                                          .weight = 1,
                                                          .up = true,
                                                          .local = true,
                                                          .rule = {.sizes_exceeded = CLASS_SIZES_MAX}};
    for (uint32_t i = 0; e == ERR_OK && i < t->nconnectors; i++) {
        t->connectors[i].rule = m->rules[i];
        t->unnumbered += m->rules[i].never;
        t->by_transit = t->by_transit || (i < t->nown && t->connectors[i].own_scope && t->scope_all_way);
    }
    return e;
}

/* --- Edges ------------------------------------------------------------------------------------------ */

static void number_rule(struct route_table *t, const struct class_rule *rule)
{
    for (uint32_t i = 0; i < t->nrules && i < RT_RULES_MAX; i++)
        if (class_rule_eq(&t->rules[i], rule))
            return;
    if (t->nrules < RT_RULES_MAX)
        t->rules[t->nrules] = *rule;
    if (t->nrules <= RT_RULES_MAX)
        t->nrules++;
}

static enum err add_edge(struct route_table *t, uint32_t connector, struct span to)
{
    struct rt_connector *c = &t->connectors[connector];
    uint32_t group;
    bool fresh;
    enum err e = group_number(t, to, &group, &fresh);
    if (e != ERR_OK || group == c->group)
        return e;
    c->to = group;
    c->edge = t->nedges;
    t->edges[t->nedges] = (struct spf_edge){c->group, group, (uint8_t)c->cost};
    t->edge_connectors[t->nedges++] = connector;
    number_rule(t, &c->rule);
    return ERR_OK;
}

static enum err add_edges(struct making *m, const struct room *n)
{
    struct route_table *t = m->t;
    enum err e = ERR_OK;
    struct span *more = realloc(t->groups, (t->ngroups + n->edges + 1) * sizeof *more);
    if (more == NULL)
        return ERR_NOMEM;
    t->groups = more;
    t->nheard = t->ngroups;
    t->edges = calloc(n->edges + 1, sizeof *t->edges);
    t->edge_connectors = calloc(n->edges + 1, sizeof *t->edge_connectors);
    if (t->edges == NULL || t->edge_connectors == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < t->nconnectors && e == ERR_OK; i++)
        if (m->to[i].len > 0)
            e = add_edge(t, i, m->to[i]);
    return e == ERR_OK ? spf_graph_init(&t->graph, t->ngroups, t->edges, t->nedges) : e;
}

/* Room for a few classes of every address space. */
static enum err add_memory(struct route_table *t)
{
    t->nresults = 64;
    while (t->nresults < t->nrows * 8 && t->nresults < RT_RESULTS_MAX)
        t->nresults *= 2;
    t->results = calloc(t->nresults, sizeof *t->results);
    return t->results == NULL ? ERR_NOMEM : ERR_OK;
}

/* --- The table -------------------------------------------------------------------------------------- */

static void making_done(struct making *m)
{
    for (uint32_t i = 0; i < m->nsources; i++)
        record_done(&m->sources[i].record);
    free(m->sources);
    free(m->foreign);
    free(m->to);
    free(m->limits);
    free(m->senders);
    free(m->rules);
}

static void table_free(struct route_table *t)
{
    for (size_t i = 0; i < RT_PATHS_MAX; i++)
        rt_paths_free(atomic_load_explicit(&t->paths[i], memory_order_acquire));
    for (size_t i = 0; i < t->nresults && t->results != NULL; i++)
        free(atomic_load_explicit(&t->results[i], memory_order_acquire));
    free(t->results);
    class_table_done(&t->classes);
    namemap_done(&t->names);
    namemap_done(&t->group_numbers);
    spf_graph_done(&t->graph);
    free(t->edges);
    free(t->edge_connectors);
    free(t->connectors);
    free(t->targets);
    free(t->own_targets);
    free(t->sources);
    free(t->groups);
    free(t->bytes);
    free(t->rows);
    free(t->candidates);
    free(t);
}

static enum err make(struct making *m, struct span published, struct errctx *ec)
{
    enum err e = read_published(m, published, ec);
    struct room room = room_for(m);
    if (e == ERR_OK)
        e = add_connectors(m, &room, ec);
    if (e == ERR_OK)
        e = add_edges(m, &room);
    if (e == ERR_OK)
        e = rt_add_spaces(m->t, m->foreign, room.spaces, ec);
    return e == ERR_OK ? add_memory(m->t) : e;
}

enum err route_table_build(const struct conf_root *root, struct span published, void (*release)(void *owner),
                           void *owner, struct route_table **ret, struct errctx *ec)
{
    struct making m = {.t = calloc(1, sizeof *m.t)};
    if (m.t == NULL)
        return err_set(ec, ERR_NOMEM, "route table: %s", err_text(ERR_NOMEM));
    m.t->root = root;
    m.t->scope_all_way = root->routing_group.scope_in_transit;
    m.t->fall_back = root->routing_group.fall_back;
    m.t->spread = root->routing_group.spread;
    atomic_init(&m.t->refs, 1);
    enum err e = make(&m, published, ec);
    making_done(&m);
    if (e != ERR_OK) {
        table_free(m.t);
        return e == ERR_NOMEM ? err_set(ec, e, "route table: %s", err_text(e)) : e;
    }
    m.t->release = release;
    m.t->owner = owner;
    *ret = m.t;
    return ERR_OK;
}

struct route_table *route_table_ref(struct route_table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void route_table_unref(struct route_table *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    void (*release)(void *owner) = t->release;
    void *owner = t->owner;
    table_free(t);
    if (release != NULL)
        release(owner);
}

uint64_t route_generation(const struct route_table *t)
{
    return t->generation;
}

void route_table_facts(const struct route_table *t, struct route_table_facts *ret)
{
    *ret = (struct route_table_facts){.generation = t->generation,
                                      .groups = t->ngroups,
                                      .connectors = t->nconnectors,
                                      .spaces = t->ncandidates,
                                      .damaged = t->damaged,
                                      .unnumbered = t->unnumbered};
}
