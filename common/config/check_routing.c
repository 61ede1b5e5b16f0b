/* Routing groups: neighbours that cannot be admitted, connectors that lead where nobody is, targets that are
 * this machine itself, address spaces that mail for a local domain never gets to. */
#include "common/config/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- neighbours ---------------------------------------------------------------------------------- */

static void check_keys(struct loader *l, const struct conf_root *r)
{
    const struct conf_routing_group *g = &r->routing_group;
    bool routed = g->key_file[0] != '\0';
    if (routed && g->organization_key[0] == '\0')
        conf_problem(l, conf_mark(l, &g->key_file), "routing_group",
                     "key_file without organization_key: no other group's record could be believed; add what "
                     "`bridgehead keys show` prints of the organization's key");
    if (!routed && g->neighbours.count > 0)
        conf_problem(l, conf_mark(l, &g->neighbours), "routing_group",
                     "neighbours without key_file; make a key with `bridgehead keys make group`");
    if (routed && g->neighbours.count > 0 && g->transport_key_file[0] == '\0')
        conf_problem(
            l, conf_mark(l, &g->neighbours), "routing_group",
            "neighbours without transport_key_file; make a key with `bridgehead keys make transport`");
    if (r->router.lifetime_ms < 3 * r->router.refresh_ms)
        conf_problem(l, conf_mark(l, &r->router.lifetime_ms), "router.lifetime",
                     "shorter than three times refresh: one lost record would drop a group; lengthen it");
    if (r->router.damping.release_below >= r->router.damping.hold_above)
        conf_problem(l, conf_mark(l, &r->router.damping.hold_above), "router.damping",
                     "release_below is not below hold_above: a connector would never be held");
}

/* A key says who is speaking: one key, one neighbour. */
static void check_shared_keys(struct loader *l, const struct conf_routing_group *g)
{
    size_t n = 0, room = 0;
    for (size_t i = 0; i < g->neighbours.count; i++)
        room += g->neighbours.items[i].keys.count;
    struct conf_name *all = malloc((room + 1) * sizeof *all);
    if (all == NULL) {
        l->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < g->neighbours.count; i++)
        for (size_t k = 0; k < g->neighbours.items[i].keys.count; k++)
            all[n++] = (struct conf_name){g->neighbours.items[i].keys.items[k], i};
    conf_sort_names(all, n);
    for (size_t i = 1; i < n && l->nproblems <= PROBLEMS_MAX; i++) {
        const struct conf_neighbour *b = &g->neighbours.items[all[i].index];
        char where[64];
        if (strcmp(all[i].text, all[i - 1].text) != 0)
            continue;
        (void)snprintf(where, sizeof where, "routing_group.neighbours[%zu].keys", all[i].index);
        conf_problem(l, conf_mark(l, &b->keys), where,
                     "%.8s... is also a key of neighbour '%s'; each needs its own", all[i].text,
                     g->neighbours.items[all[i - 1].index].group);
    }
    free(all);
}

static void check_neighbours(struct loader *l, const struct conf_routing_group *g)
{
    for (size_t i = 0; i < g->neighbours.count && l->nproblems <= PROBLEMS_MAX; i++) {
        const struct conf_neighbour *n = &g->neighbours.items[i];
        char key[64];
        (void)snprintf(key, sizeof key, "routing_group.neighbours[%zu]", i);
        if (!conf_bad(l, n, sizeof *n) && strcmp(n->group, g->name) == 0)
            conf_problem(l, conf_mark(l, &n->group), key,
                         "'%s' is this routing group itself; name another one", n->group);
    }
    check_shared_keys(l, g);
}

/* --- connectors ---------------------------------------------------------------------------------- */

static bool is_neighbour(const struct conf_routing_group *g, const char *group)
{
    for (size_t i = 0; i < g->neighbours.count; i++)
        if (strcmp(g->neighbours.items[i].group, group) == 0)
            return true;
    return false;
}

static bool listens_at(const struct conf_root *r, const struct ip_endpoint *at)
{
    for (size_t i = 0; i < r->virtual_servers.count; i++) {
        const struct conf_strs *list = &r->virtual_servers.items[i].listen;
        for (size_t k = 0; k < list->count; k++) {
            struct span s = span_cstr(list->items[k]);
            struct ip_endpoint own;
            if (span_has_prefix(s, SPAN("tls://")))
                s = span_from(s, 6);
            if (ip_endpoint_parse(s, 0, &own) == ERR_OK && own.port == at->port &&
                ip_eq(&own.addr, &at->addr))
                return true;
        }
    }
    return false;
}

static bool is_nowhere(const struct ip_addr *a)
{
    static const uint8_t zero[16];
    bool multicast = a->v6 ? a->bytes[0] == 0xff : a->bytes[0] >= 224;
    return multicast || memcmp(a->bytes, zero, a->v6 ? 16 : 4) == 0;
}

static void check_targets(struct loader *l, const struct conf_root *r, const struct conf_connector *c,
                          const char *key)
{
    uint16_t port = (uint16_t)(c->port != 0 ? c->port : r->delivery.port);
    for (size_t i = 0; i < c->smart_hosts.count; i++) {
        struct ip_endpoint at;
        if (ip_endpoint_parse(span_cstr(c->smart_hosts.items[i]), port, &at) != ERR_OK)
            continue; /* a name */
        if (is_nowhere(&at.addr))
            conf_problem(l, conf_mark(l, &c->smart_hosts), key,
                         "target '%s' can never be reached; write the address of a mail server",
                         c->smart_hosts.items[i]);
        else if (listens_at(r, &at))
            conf_problem(l, conf_mark(l, &c->smart_hosts), key,
                         "target '%s' is this server itself: mail would go in a circle; name another one",
                         c->smart_hosts.items[i]);
    }
}

static void check_local_spaces(struct loader *l, const struct conf_root *r, const struct conf_connector *c,
                               const char *key)
{
    for (size_t i = 0; i < c->address_spaces.count; i++) {
        const struct conf_address_space *s = &c->address_spaces.items[i];
        for (size_t k = 0; k < r->local_domains.count; k++)
            if (strcmp(s->space, r->local_domains.items[k].domain) == 0)
                conf_problem(
                    l, conf_mark(l, &s->space), key,
                    "'%s' is delivered here (local_domains): the connector would never get it; leave "
                    "out one of them",
                    s->space);
    }
}

static void check_connector(struct loader *l, const struct conf_root *r, size_t i)
{
    const struct conf_connector *c = &r->connectors.items[i];
    char key[48];
    (void)snprintf(key, sizeof key, "connectors[%zu]", i);
    if (conf_bad(l, c, sizeof *c))
        return;
    check_targets(l, r, c, key);
    if (r->local_domains.count <= 1000) /* beyond, a table would be needed for what is a hint */
        check_local_spaces(l, r, c, key);
    if (c->type == CONF_CONNECTOR_ROUTING_GROUP && r->routing_group.neighbours.count > 0 &&
        c->to_group[0] != '\0' && !is_neighbour(&r->routing_group, c->to_group))
        conf_problem(
            l, conf_mark(l, &c->to_group), key,
            "'%s' is not among routing_group.neighbours: nothing would be known of it; add it there, or "
            "mend the name",
            c->to_group);
}

void conf_check_routing(struct loader *l)
{
    const struct conf_root *r = &l->c->root;
    if (!conf_bad(l, &r->routing_group, sizeof r->routing_group) &&
        !conf_bad(l, &r->router, sizeof r->router))
        check_keys(l, r);
    check_neighbours(l, &r->routing_group);
    for (size_t i = 0; i < r->connectors.count && l->nproblems <= PROBLEMS_MAX; i++)
        check_connector(l, r, i);
}
