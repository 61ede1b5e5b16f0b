/* Groups, links and records of a simulation, and what happens to them. */
#include "linkstate/sim_int.h"

#include <stdio.h>
#include <stdlib.h>

uint32_t sim_group(struct sim *s, const char *name)
{
    if (s->ngroups == s->cap_groups) {
        size_t cap = s->cap_groups == 0 ? 16 : s->cap_groups * 2;
        struct group *p = realloc(s->groups, cap * sizeof *p);
        if (p == NULL)
            return UINT32_MAX;
        s->groups = p;
        s->cap_groups = cap;
    }
    struct group *g = &s->groups[s->ngroups];
    *g = (struct group){.number = (uint32_t)s->ngroups};
    (void)snprintf(g->name, sizeof g->name, "%s", name);
    buf_init(&g->cert, CERT_MAX);
    sim_cert(g->number, span_cstr(g->name), &g->cert);
    return (uint32_t)s->ngroups++;
}

static enum err link_one(struct sim *s, uint32_t from, uint32_t to, uint8_t cost)
{
    struct group *g = &s->groups[from];
    if (g->nlinks == g->cap_links) {
        size_t cap = g->cap_links == 0 ? 4 : g->cap_links * 2;
        struct link *p = realloc(g->links, cap * sizeof *p);
        if (p == NULL)
            return ERR_NOMEM;
        g->links = p;
        g->cap_links = cap;
    }
    g->links[g->nlinks] =
        (struct link){.to = to, .peer = (uint32_t)g->nlinks, .cost = cost, .up = true, .carrier = true};
    g->nlinks++;
    return ERR_OK;
}

enum err sim_link(struct sim *s, uint32_t a, uint32_t b, uint8_t cost_ab, uint8_t cost_ba)
{
    if (a == b || sim_link_to(s, a, b) != NULL)
        return ERR_EXISTS;
    enum err e = link_one(s, a, b, cost_ab);
    return e == ERR_OK ? link_one(s, b, a, cost_ba) : e;
}

static int by_connector_name(const void *a, const void *b)
{
    return span_cmp(((const struct record_connector *)a)->name, ((const struct record_connector *)b)->name);
}

/* The record of a group: one routing group connector a link, named after its end; one address space. */
static enum err emit_record(const struct sim *s, const struct group *g, struct buf *out)
{
    struct record_connector *list = calloc(g->nlinks + 1, sizeof *list);
    struct record_host *hosts = calloc(g->nlinks + 1, sizeof *hosts);
    char domain[RECORD_NAME_MAX + 16];
    int n = snprintf(domain, sizeof domain, "%s.example", g->name);
    struct record_space own = {span_of(domain, (size_t)n), 1};
    enum err e = list == NULL || hosts == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < g->nlinks; i++) {
        struct span name = span_cstr(s->groups[g->links[i].to].name);
        hosts[i] = (struct record_host){name, g->links[i].up};
        list[i] = (struct record_connector){.name = name,
                                            .type = RECORD_ROUTING_GROUP,
                                            .to_group = name,
                                            .cost = g->links[i].cost,
                                            .up = g->links[i].up,
                                            .weight = 1,
                                            .priorities = RECORD_PRIORITY_ALL,
                                            .targets = &hosts[i],
                                            .ntargets = 1};
    }
    if (e == ERR_OK) {
        list[g->nlinks] = (struct record_connector){.name = SPAN(RECORD_LOCAL_CONNECTOR),
                                                    .type = RECORD_SMTP,
                                                    .cost = 1,
                                                    .up = true,
                                                    .dns = true,
                                                    .weight = 1,
                                                    .priorities = RECORD_PRIORITY_ALL,
                                                    .spaces = &own,
                                                    .nspaces = 1};
        qsort(list, g->nlinks + 1, sizeof *list, by_connector_name);
        struct record r = {.master = SPAN("r1"), .connectors = list, .nconnectors = g->nlinks + 1};
        e = record_emit(&r, out);
    }
    free(list);
    free(hosts);
    return e;
}

static enum err publish(struct sim *s, uint32_t n, enum ls_level level)
{
    struct buf body;
    buf_init(&body, RECORD_MAX);
    enum err e = emit_record(s, &s->groups[n], &body);
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

enum err sim_start_converged(struct sim *s)
{
    struct lsdb all;
    enum err e = ERR_OK;
    lsdb_init(&all);
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++) {
        e = engine_new(s, n);
        if (e == ERR_OK)
            e = publish(s, n, LS_LEVEL_MAJOR);
        if (e != ERR_OK)
            break;
        const struct lsdb_slot *own = lsdb_find(ls_table(s->groups[n].ls), span_cstr(s->groups[n].name));
        struct lsdb_slot *put;
        struct ls_crypto crypto;
        sim_crypto(&crypto, &s->groups[n].number);
        e = lsdb_put(&all, &own->record->lsa, own->record->body, s->now_ms, &crypto, &put, NULL);
    }
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = ls_adopt(s->groups[n].ls, &all, s->now_ms);
    lsdb_done(&all);
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = carriers_up(s, n);
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
        if (l->carrier != carrier) {
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
