/* cli/config_warnings.c — what is allowed but perhaps not meant. */
#include "cli/config_review.h"

#include <stdlib.h>
#include <string.h>

struct spaced { /* an address space of a connector */
    const struct conf_address_space *space;
    size_t connector;
};

static int by_space(const void *a, const void *b)
{
    const struct spaced *x = a, *y = b;
    int c = strcmp(x->space->space, y->space->space);
    if (c == 0)
        c = (x->space->cost > y->space->cost) - (x->space->cost < y->space->cost);
    return c != 0 ? c : (x->connector > y->connector) - (x->connector < y->connector);
}

static bool alike(const struct conf_connector *x, const struct conf_connector *y)
{
    return x->max_message_size == y->max_message_size && x->content == y->content &&
           x->priorities.count == 0 && y->priorities.count == 0 && x->accept_from.count == 0 &&
           y->accept_from.count == 0 && x->reject_from.count == 0 && y->reject_from.count == 0;
}

static enum err warn_pair(const struct config *conf, const char *file, const struct spaced *first,
                          const struct spaced *other, struct buf *warnings)
{
    const struct conf_root *root = config_root(conf);
    const struct conf_connector *x = &root->connectors.items[first->connector];
    const struct conf_connector *y = &root->connectors.items[other->connector];
    const char *winner = strcmp(x->name, y->name) < 0 ? x->name : y->name;
    unsigned line = config_line(conf, &other->space->space), before = config_line(conf, &first->space->space);
    enum err e = buf_addf(warnings, "%s:%u: connectors[%zu]: ", file, line, other->connector);
    if (e != ERR_OK)
        return e;
    return buf_addf(
        warnings,
        "'%s' at cost %llu is also an address space of connector '%s' (line %u): '%s' takes all of "
        "it while it is UP; give them different costs, or share with routing_group.spread\n",
        other->space->space, (unsigned long long)other->space->cost, x->name, before, winner);
}

static enum err warn_overlaps(const struct config *conf, const char *file, struct buf *warnings)
{
    const struct conf_root *root = config_root(conf);
    size_t room = 0, n = 0;
    for (size_t i = 0; i < root->connectors.count; i++)
        room += root->connectors.items[i].address_spaces.count;
    struct spaced *all = calloc(room + 1, sizeof *all);
    enum err e = all == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; all != NULL && i < root->connectors.count; i++)
        for (size_t k = 0; k < root->connectors.items[i].address_spaces.count; k++)
            all[n++] = (struct spaced){&root->connectors.items[i].address_spaces.items[k], i};
    if (n > 0)
        qsort(all, n, sizeof *all, by_space);
    for (size_t i = 1; e == ERR_OK && i < n; i++) {
        bool same = strcmp(all[i].space->space, all[i - 1].space->space) == 0;
        bool equal =
            all[i].space->cost == all[i - 1].space->cost && !root->routing_group.spread &&
            alike(&root->connectors.items[all[i].connector], &root->connectors.items[all[i - 1].connector]);
        if (same && equal)
            e = warn_pair(conf, file, &all[i - 1], &all[i], warnings);
    }
    free(all);
    return e;
}

static enum err warn_groups(const struct config *conf, const char *file, struct buf *warnings)
{
    const struct conf_root *root = config_root(conf);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && root->routing_group.neighbours.count == 0 && i < root->connectors.count;
         i++) {
        const struct conf_connector *c = &root->connectors.items[i];
        if (c->type == CONF_CONNECTOR_ROUTING_GROUP)
            e = buf_addf(warnings,
                         "%s:%u: connectors[%zu]: nothing is known of group '%s': there are no "
                         "routing_group.neighbours, so that no mail takes this connector; add them\n",
                         file, config_line(conf, &c->to_group), i, c->to_group);
    }
    return e;
}

enum err config_warnings(const struct config *conf, const char *file, struct buf *warnings)
{
    enum err e = warn_overlaps(conf, file, warnings);
    return e == ERR_OK ? warn_groups(conf, file, warnings) : e;
}
