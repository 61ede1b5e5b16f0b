/* Groups, links and records of a simulation, and what happens to them. */
#include "common/room.h"
#include "linkstate/record_config.h"
#include "linkstate/sim_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t sim_group(struct sim *s, const char *name)
{
    void *list = s->groups;
    if (room_for_one(&list, &s->cap_groups, s->ngroups, sizeof *s->groups, UINT32_MAX) != ERR_OK)
        return UINT32_MAX;
    s->groups = list;
    struct group *g = &s->groups[s->ngroups];
    *g = (struct group){.number = (uint32_t)s->ngroups};
    (void)snprintf(g->name, sizeof g->name, "%s", name);
    buf_init(&g->cert, CERT_MAX);
    sim_cert(g->number, span_cstr(g->name), &g->cert);
    return (uint32_t)s->ngroups++;
}

uint32_t sim_group_configured(struct sim *s, const struct conf_root *conf)
{
    uint32_t n = sim_group(s, conf->routing_group.name);
    size_t connectors = conf->connectors.count;
    if (n == UINT32_MAX)
        return n;
    struct group *g = &s->groups[n];
    g->conf = malloc(sizeof *g->conf);
    g->connector_down = calloc(connectors + 1, sizeof *g->connector_down);
    struct conf_connector *copy = calloc(connectors + 1, sizeof *copy);
    if (g->conf == NULL || g->connector_down == NULL || copy == NULL) {
        free(copy);
        free(g->conf);
        g->conf = NULL;
        return UINT32_MAX;
    }
    for (size_t i = 0; i < connectors; i++)
        copy[i] = conf->connectors.items[i];
    *g->conf = *conf;
    g->conf->connectors.items = copy;
    return n;
}

static enum err link_one(struct sim *s, uint32_t from, uint32_t to, uint8_t cost, bool adjacent)
{
    struct group *g = &s->groups[from];
    void *list = g->links;
    enum err e = room_for_one(&list, &g->cap_links, g->nlinks, sizeof *g->links, UINT32_MAX);
    if (e != ERR_OK)
        return e;
    g->links = list;
    g->links[g->nlinks] = (struct link){.to = to,
                                        .peer = (uint32_t)g->nlinks,
                                        .cost = cost,
                                        .adjacent = adjacent,
                                        .up = true,
                                        .carrier = adjacent};
    g->nlinks++;
    return ERR_OK;
}

enum err sim_join(struct sim *s, uint32_t a, uint32_t b, uint8_t cost_ab, uint8_t cost_ba, bool adjacent)
{
    if (a == b || sim_link_to(s, a, b) != NULL)
        return ERR_EXISTS;
    enum err e = link_one(s, a, b, cost_ab, adjacent);
    return e == ERR_OK ? link_one(s, b, a, cost_ba, adjacent) : e;
}

enum err sim_link(struct sim *s, uint32_t a, uint32_t b, uint8_t cost_ab, uint8_t cost_ba)
{
    return sim_join(s, a, b, cost_ab, cost_ba, true);
}

enum err sim_check(const struct sim *s, struct errctx *ec)
{
    for (size_t i = 0; i < s->ngroups; i++)
        if (s->groups[i].nlinks > LS_PEERS_MAX)
            return err_set(ec, ERR_TOOBIG, "group %s has %zu neighbours; a router takes at most %d",
                           s->groups[i].name, s->groups[i].nlinks, LS_PEERS_MAX);
    return ERR_OK;
}

/* --- records ------------------------------------------------------------------------------------------ */

struct health {
    const struct sim *s;
    const struct group *g;
};

/* A connector of a configured group is as UP as the link that it goes over. */
static bool connector_up(void *arg, struct span name)
{
    const struct health *h = arg;
    const struct conf_root *conf = h->g->conf;
    for (size_t i = 0; i < conf->connectors.count; i++) {
        const struct conf_connector *c = &conf->connectors.items[i];
        if (!span_eq(span_cstr(c->name), name))
            continue;
        bool up = !h->g->connector_down[i];
        for (size_t k = 0; up && c->type == CONF_CONNECTOR_ROUTING_GROUP && k < h->g->nlinks; k++)
            if (strcmp(h->s->groups[h->g->links[k].to].name, c->to_group) == 0)
                up = h->g->links[k].up;
        return up;
    }
    return true;
}

static bool target_up(void *arg, struct span connector, struct span target)
{
    (void)target;
    return connector_up(arg, connector);
}

static enum err emit_configured(const struct sim *s, const struct group *g, struct buf *out)
{
    struct health who = {s, g};
    struct record_health health = {.connector_up = connector_up, .target_up = target_up, .arg = &who};
    return record_from_config(g->conf, SPAN("r1"), NULL, 0, &health, out, NULL);
}

static int by_connector_name(const void *a, const void *b)
{
    return span_cmp(((const struct record_connector *)a)->name, ((const struct record_connector *)b)->name);
}

/* The record of a group: one routing group connector a link, named after its end; one address space. */
static enum err emit_links(const struct sim *s, const struct group *g, struct buf *out)
{
    struct record_connector *list = calloc(g->nlinks + 1, sizeof *list);
    struct record_host *hosts = calloc(g->nlinks + 1, sizeof *hosts);
    char domain[RECORD_NAME_MAX + 16];
    int len = snprintf(domain, sizeof domain, "%s.example", g->name);
    struct record_space own = {span_of(domain, (size_t)len), 1};
    enum err e = list == NULL || hosts == NULL ? ERR_NOMEM : ERR_OK;
    size_t n = 0;
    for (size_t i = 0; e == ERR_OK && i < g->nlinks; i++) {
        const struct link *l = &g->links[i];
        struct span name = span_cstr(s->groups[l->to].name);
        if (l->cost == 0)
            continue;
        hosts[n] = (struct record_host){name, l->up};
        list[n] = (struct record_connector){.name = name,
                                            .type = RECORD_ROUTING_GROUP,
                                            .to_group = name,
                                            .cost = l->cost,
                                            .up = l->up,
                                            .weight = 1,
                                            .priorities = RECORD_PRIORITY_ALL,
                                            .targets = &hosts[n],
                                            .ntargets = 1};
        n++;
    }
    if (e == ERR_OK) {
        list[n++] = (struct record_connector){.name = SPAN(RECORD_LOCAL_CONNECTOR),
                                              .type = RECORD_SMTP,
                                              .cost = 1,
                                              .up = true,
                                              .dns = true,
                                              .weight = 1,
                                              .priorities = RECORD_PRIORITY_ALL,
                                              .spaces = &own,
                                              .nspaces = 1};
        qsort(list, n, sizeof *list, by_connector_name);
        struct record r = {.master = SPAN("r1"), .connectors = list, .nconnectors = n};
        e = record_emit(&r, out);
    }
    free(list);
    free(hosts);
    return e;
}

static enum err emit(const struct sim *s, const struct group *g, struct buf *out)
{
    return g->conf != NULL ? emit_configured(s, g, out) : emit_links(s, g, out);
}

static enum err publish(struct sim *s, uint32_t n, enum ls_level level)
{
    struct buf body;
    buf_init(&body, RECORD_MAX);
    enum err e = emit(s, &s->groups[n], &body);
    if (e == ERR_OK)
        e = sim_step(s, n,
                     (struct ls_event){.type = LS_ORIGINATE,
                                       .bytes = buf_span(&body),
                                       .level = level,
                                       .floor = s->groups[n].persisted});
    buf_done(&body);
    return e;
}

static enum err engine_new(struct sim *s, uint32_t n)
{
    struct group *g = &s->groups[n];
    struct ls_options o = s->opts.engine;
    struct ls_crypto crypto;
    sim_crypto(&crypto, &g->number);
    sim_org_key(o.org_key);
    o.organization = SPAN("sim");
    o.group = span_cstr(g->name);
    o.router = SPAN("r1");
    o.cert = buf_span(&g->cert);
    o.instance = (uint64_t)n << 32 | ++g->instance;
    g->ls = ls_new(&o, &crypto, s->now_ms);
    enum err e = g->ls == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < g->nlinks; i++)
        e = ls_peer_add(g->ls, span_cstr(s->groups[g->links[i].to].name), &g->links[i].peer);
    return e;
}

static enum err carriers_up(struct sim *s, uint32_t n)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->groups[n].nlinks; i++)
        if (s->groups[n].links[i].carrier)
            e = sim_step(s, n, (struct ls_event){.type = LS_CARRIER_UP, .peer = s->groups[n].links[i].peer});
    return e;
}

enum err sim_start(struct sim *s)
{
    enum err e = ERR_OK;
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = engine_new(s, n); /* after sim_group(): engines point into the array */
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = publish(s, n, LS_LEVEL_MAJOR);
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = carriers_up(s, n);
    return e;
}

/* The groups that adjacencies lead to from `first`, itself included; the first `reached` of order. */
static size_t part_of(const struct sim *s, uint32_t first, bool *seen, uint32_t *order)
{
    size_t n = 1;
    order[0] = first;
    seen[first] = true;
    for (size_t at = 0; at < n; at++) {
        const struct group *g = &s->groups[order[at]];
        for (size_t i = 0; i < g->nlinks; i++) {
            uint32_t to = g->links[i].to;
            if (g->links[i].adjacent && !seen[to]) {
                seen[to] = true;
                order[n++] = to;
            }
        }
    }
    return n;
}

/* Gives every group of a part the records of all of them. */
static enum err share(struct sim *s, const uint32_t *part, size_t n)
{
    struct lsdb all;
    enum err e = ERR_OK;
    lsdb_init(&all);
    all.pool = s->pool;
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        struct group *g = &s->groups[part[i]];
        const struct lsdb_slot *own = lsdb_find(ls_table(g->ls), span_cstr(g->name));
        const struct lsdb_slot *put;
        struct ls_crypto crypto;
        sim_crypto(&crypto, &g->number);
        e = lsdb_put(&all, &own->record->lsa, own->record->body, s->now_ms, &crypto, &put, NULL);
    }
    for (size_t i = 0; e == ERR_OK && i < n; i++)
        e = ls_adopt(s->groups[part[i]].ls, &all, s->now_ms);
    lsdb_done(&all);
    return e;
}

enum err sim_start_converged(struct sim *s)
{
    bool *seen = calloc(s->ngroups + 1, sizeof *seen);
    uint32_t *part = calloc(s->ngroups + 1, sizeof *part);
    enum err e = seen == NULL || part == NULL ? ERR_NOMEM : ERR_OK;
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++) {
        e = engine_new(s, n);
        if (e == ERR_OK)
            e = publish(s, n, LS_LEVEL_MAJOR);
    }
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        if (!seen[n])
            e = share(s, part, part_of(s, n, seen, part));
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = carriers_up(s, n);
    free(seen);
    free(part);
    return e;
}

enum err sim_link_state(struct sim *s, uint32_t a, uint32_t b, bool up, bool carrier)
{
    uint32_t ends[2][2] = {{a, b}, {b, a}};
    enum err e = ERR_OK;
    for (int i = 0; i < 2 && e == ERR_OK; i++) {
        struct link *l = sim_link_to(s, ends[i][0], ends[i][1]);
        if (l == NULL)
            return ERR_NOTFOUND;
        l->up = up;
        if (l->adjacent && l->carrier != carrier) {
            l->carrier = carrier;
            e = sim_step(
                s, ends[i][0],
                (struct ls_event){.type = carrier ? LS_CARRIER_UP : LS_CARRIER_DOWN, .peer = l->peer});
        }
        if (e == ERR_OK)
            e = publish(s, ends[i][0], LS_LEVEL_MINOR);
    }
    return e;
}

/* Every connector of a configured group to that one. */
static size_t set_configured_costs(struct group *g, const char *to, uint8_t cost)
{
    size_t n = 0;
    for (size_t i = 0; i < g->conf->connectors.count; i++) {
        struct conf_connector *c = &g->conf->connectors.items[i];
        if (c->type == CONF_CONNECTOR_ROUTING_GROUP && strcmp(c->to_group, to) == 0) {
            c->cost = cost;
            n++;
        }
    }
    return n;
}

enum err sim_cost(struct sim *s, uint32_t a, uint32_t b, uint8_t cost)
{
    struct link *l = sim_link_to(s, a, b);
    struct group *g = &s->groups[a];
    if (l == NULL || l->cost == 0 ||
        (g->conf != NULL && set_configured_costs(g, s->groups[b].name, cost) == 0))
        return ERR_NOTFOUND;
    l->cost = cost;
    return publish(s, a, LS_LEVEL_MAJOR);
}

enum err sim_connector_state(struct sim *s, uint32_t group, struct span connector, bool up)
{
    struct group *g = &s->groups[group];
    for (size_t i = 0; g->conf != NULL && i < g->conf->connectors.count; i++) {
        if (!span_eq(span_cstr(g->conf->connectors.items[i].name), connector))
            continue;
        g->connector_down[i] = !up;
        return publish(s, group, LS_LEVEL_MINOR);
    }
    return ERR_NOTFOUND;
}

enum err sim_cut(struct sim *s, uint32_t a, uint32_t b, bool cut)
{
    struct link *l = sim_link_to(s, a, b), *back = sim_link_to(s, b, a);
    if (l == NULL || back == NULL)
        return ERR_NOTFOUND;
    l->cut = back->cut = cut;
    return ERR_OK;
}

enum err sim_stop(struct sim *s, uint32_t group)
{
    ls_free(s->groups[group].ls);
    s->groups[group].ls = NULL;
    return ERR_OK;
}

enum err sim_restart(struct sim *s, uint32_t group)
{
    enum err e = sim_stop(s, group);
    s->groups[group].wake_ms = 0;
    if (e == ERR_OK)
        e = engine_new(s, group);
    if (e == ERR_OK)
        e = publish(s, group, LS_LEVEL_USER);
    return e == ERR_OK ? carriers_up(s, group) : e;
}

void sim_inject(struct sim *s, uint32_t to, uint32_t from, struct span message)
{
    struct link *l = sim_link_to(s, to, from);
    if (l != NULL &&
        sim_step(s, to, (struct ls_event){.type = LS_RECV, .peer = l->peer, .bytes = message}) == ERR_NOMEM)
        s->nomem = true;
}

/* --- drawing ------------------------------------------------------------------------------------------- */

static enum err draw_links(struct drawing *d, struct span group, const struct record *r)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < r->nconnectors; i++) {
        const struct record_connector *c = &r->connectors[i];
        if (c->type == RECORD_ROUTING_GROUP)
            e = drawing_link(d, group, c->to_group, c->cost, c->up, c->name);
    }
    return e;
}

enum err sim_draw(const struct sim *s, struct drawing *d)
{
    struct buf body;
    enum err e = ERR_OK;
    buf_init(&body, RECORD_MAX);
    for (size_t i = 0; e == ERR_OK && i < s->ngroups; i++) {
        const struct group *g = &s->groups[i];
        struct span name = span_cstr(g->name);
        struct record r;
        buf_clear(&body);
        e = emit(s, g, &body);
        if (e == ERR_OK)
            e = record_parse(buf_span(&body), &r, NULL);
        if (e != ERR_OK)
            break;
        if (g->ls != NULL && g->conf == NULL)
            e = drawing_group(d, name); /* its only address space is made up */
        if (e == ERR_OK)
            e = g->ls != NULL && g->conf != NULL ? drawing_record(d, name, &r) : draw_links(d, name, &r);
        record_done(&r);
    }
    buf_done(&body);
    return e;
}
