#include "linkstate/record_config.h"

#include <stdlib.h>
#include <string.h>

/* All lists of a record in one piece of memory each; connectors point into them. */
struct lists {
    struct record_connector *connectors;
    struct record_host *hosts;
    struct record_space *spaces;
    struct span *senders;
    size_t nconnectors, nhosts, nspaces, nsenders;
};

static bool lists_new(const struct conf_root *root, struct lists *l)
{
    size_t hosts = 0, senders = 0, spaces = root->local_domains.count;
    for (size_t i = 0; i < root->connectors.count; i++) {
        const struct conf_connector *c = &root->connectors.items[i];
        hosts += c->smart_hosts.count + c->source_bridgeheads.count;
        spaces += c->address_spaces.count;
        senders += c->accept_from.count + c->reject_from.count;
    }
    *l = (struct lists){.connectors = calloc(root->connectors.count + 2, sizeof *l->connectors),
                        .hosts = calloc(hosts + 1, sizeof *l->hosts),
                        .spaces = calloc(spaces + 1, sizeof *l->spaces),
                        .senders = calloc(senders + 1, sizeof *l->senders)};
    return l->connectors != NULL && l->hosts != NULL && l->spaces != NULL && l->senders != NULL;
}

static void lists_free(struct lists *l)
{
    free(l->connectors);
    free(l->hosts);
    free(l->spaces);
    free(l->senders);
}

static uint8_t priorities_of(const struct conf_connector *c)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } words[] = {
        {"normal", RECORD_PRIORITY_NORMAL}, {"low", RECORD_PRIORITY_LOW}, {"high", RECORD_PRIORITY_HIGH}};
    uint8_t mask = 0;
    for (size_t i = 0; i < c->priorities.count; i++)
        for (size_t k = 0; k < ARRAY_LEN(words); k++)
            if (strcasecmp(c->priorities.items[i], words[k].name) == 0)
                mask |= words[k].bit;
    return mask == 0 ? RECORD_PRIORITY_ALL : mask;
}

static struct span *add_senders(struct lists *l, const struct conf_strs *words)
{
    struct span *first = &l->senders[l->nsenders];
    for (size_t i = 0; i < words->count; i++)
        l->senders[l->nsenders++] = span_cstr(words->items[i]);
    return first;
}

static void add_targets(struct lists *l, const struct conf_connector *c, const struct record_health *health,
                        struct record_connector *k)
{
    k->targets = &l->hosts[l->nhosts];
    k->ntargets = c->smart_hosts.count;
    for (size_t i = 0; i < k->ntargets; i++) {
        struct span name = span_cstr(c->smart_hosts.items[i]);
        bool up =
            health == NULL || health->target_up == NULL || health->target_up(health->arg, k->name, name);
        l->hosts[l->nhosts++] = (struct record_host){name, up};
    }
}

static bool source_up(const struct record_health *health, struct span name)
{
    return health == NULL || health->source_up == NULL || health->source_up(health->arg, name);
}

/* False: there are some, and none of them is UP. */
static bool add_sources(struct lists *l, const struct conf_connector *c, const struct record_health *health,
                        struct record_connector *k)
{
    bool any = c->source_bridgeheads.count == 0;
    k->sources = &l->hosts[l->nhosts];
    k->nsources = c->source_bridgeheads.count;
    for (size_t i = 0; i < k->nsources; i++) {
        struct span name = span_cstr(c->source_bridgeheads.items[i]);
        bool up = source_up(health, name);
        l->hosts[l->nhosts++] = (struct record_host){name, up};
        any = any || up;
    }
    return any;
}

bool connector_by_dns(const struct conf_connector *c)
{
    return c->type == CONF_CONNECTOR_SMTP &&
           (c->deliver == CONF_DELIVER_DNS || (c->deliver == CONF_DELIVER_AUTO && c->smart_hosts.count == 0));
}

static void add_connector(struct lists *l, const struct conf_connector *c, const struct record_health *health)
{
    bool group = c->type == CONF_CONNECTOR_ROUTING_GROUP;
    struct record_connector *k = &l->connectors[l->nconnectors++];
    *k = (struct record_connector){
        .name = span_cstr(c->name),
        .type = group ? RECORD_ROUTING_GROUP : RECORD_SMTP,
        .to_group = group ? span_cstr(c->to_group) : SPAN(""),
        .cost = group ? (uint8_t)c->cost : 1,
        .scope = c->scope == CONF_SCOPE_GROUP ? RECORD_SCOPE_GROUP : RECORD_SCOPE_ORGANIZATION,
        .weight = c->weight == 0 ? 1 : (uint8_t)c->weight,
        .dns = connector_by_dns(c),
        .relay_open = c->allow_relay,
        .max_size = c->max_message_size,
        .priorities = priorities_of(c),
        .content = c->content == CONF_CONTENT_SYSTEM       ? RECORD_CONTENT_SYSTEM
                   : c->content == CONF_CONTENT_NON_SYSTEM ? RECORD_CONTENT_NON_SYSTEM
                                                           : RECORD_CONTENT_ALL,
        .naccept = c->accept_from.count,
        .nreject = c->reject_from.count,
    };
    bool sent = add_sources(l, c, health, k);
    k->up = k->dns || (sent && (health == NULL || health->connector_up == NULL ||
                                health->connector_up(health->arg, k->name)));
    add_targets(l, c, health, k);
    k->accept_from = add_senders(l, &c->accept_from);
    k->reject_from = add_senders(l, &c->reject_from);
    k->spaces = &l->spaces[l->nspaces];
    k->nspaces = c->address_spaces.count;
    for (size_t i = 0; i < k->nspaces; i++)
        l->spaces[l->nspaces++] = (struct record_space){span_cstr(c->address_spaces.items[i].space),
                                                        (uint8_t)c->address_spaces.items[i].cost};
}

static void add_local(struct lists *l, const struct conf_root *root)
{
    struct record_connector *k = &l->connectors[l->nconnectors++];
    *k = (struct record_connector){.name = SPAN(RECORD_LOCAL_CONNECTOR),
                                   .type = RECORD_SMTP,
                                   .cost = 1,
                                   .up = true,
                                   .weight = 1,
                                   .priorities = RECORD_PRIORITY_ALL,
                                   .spaces = &l->spaces[l->nspaces],
                                   .nspaces = root->local_domains.count};
    for (size_t i = 0; i < k->nspaces; i++)
        l->spaces[l->nspaces++] = (struct record_space){span_cstr(root->local_domains.items[i].domain), 1};
}

static int by_name(const void *a, const void *b)
{
    return span_cmp(((const struct record_connector *)a)->name, ((const struct record_connector *)b)->name);
}

static enum err why(const struct conf_root *root, enum err e, struct errctx *ec)
{
    for (size_t i = 0; i < root->connectors.count; i++) {
        const struct conf_connector *c = &root->connectors.items[i];
        if (c->type == CONF_CONNECTOR_ROUTING_GROUP && c->to_group[0] == '\0')
            return err_set(ec, ERR_PARSE, "connector %s: to_group is missing", c->name);
    }
    if (root->local_domains.count > RECORD_ITEMS_MAX)
        return err_set(ec, ERR_TOOBIG,
                       "%zu local domains; a group can announce %d: use address spaces that cover them",
                       root->local_domains.count, RECORD_ITEMS_MAX);
    if (root->connectors.count >= RECORD_CONNECTORS_MAX)
        return err_set(ec, ERR_TOOBIG, "%zu connectors; a group can announce %d", root->connectors.count,
                       RECORD_CONNECTORS_MAX - 1);
    return err_set(
        ec, e,
        "connectors and local domains do not fit into a record of %d bytes; use fewer or shorter address "
        "spaces and sender lists",
        RECORD_MAX);
}

enum err record_from_config(const struct conf_root *root, struct span master,
                            const struct record_member *members, size_t nmembers,
                            const struct record_health *health, struct buf *out, struct errctx *ec)
{
    struct lists l;
    struct record_member *copy = calloc(nmembers + 1, sizeof *copy);
    enum err e = ERR_NOMEM;
    if (!lists_new(root, &l) || copy == NULL)
        goto out;
    for (size_t i = 0; i < nmembers; i++)
        copy[i] = members[i];
    for (size_t i = 0; i < root->connectors.count; i++)
        add_connector(&l, &root->connectors.items[i], health);
    if (root->local_domains.count > 0)
        add_local(&l, root);
    qsort(l.connectors, l.nconnectors, sizeof *l.connectors, by_name);
    struct record r = {.master = master,
                       .members = copy,
                       .nmembers = nmembers,
                       .connectors = l.connectors,
                       .nconnectors = l.nconnectors};
    e = record_emit(&r, out);
    if (e != ERR_OK)
        e = why(root, e, ec);
out:
    lists_free(&l);
    free(copy);
    return e;
}
