#include "linkstate/drawing_int.h"

#include "common/room.h"

#include <stdlib.h>
#include <string.h>

struct drawing *drawing_new(struct span title, struct span own)
{
    struct drawing *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->title = span_dup(title);
    d->own = span_dup(own);
    if (d->title != NULL && d->own != NULL)
        return d;
    drawing_free(d);
    return NULL;
}

static void free_link(struct drawn_link *l)
{
    free(l->from_name);
    free(l->to_name);
    free(l->connector);
}

static void free_exit(struct drawn_exit *x)
{
    free(x->group_name);
    free(x->space);
    free(x->connector);
}

void drawing_free(struct drawing *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->ngroups; i++)
        free(d->groups[i].name);
    for (size_t i = 0; i < d->nlinks; i++)
        free_link(&d->links[i]);
    for (size_t i = 0; i < d->nexits; i++)
        free_exit(&d->exits[i]);
    free(d->groups);
    free(d->links);
    free(d->exits);
    free(d->title);
    free(d->own);
    free(d);
}

/* --- Adding ------------------------------------------------------------------------------------------- */

static enum err copy(struct span s, char **ret)
{
    *ret = span_dup(s);
    return *ret != NULL ? ERR_OK : s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL ? ERR_PARSE : ERR_NOMEM;
}

static enum err add_group(struct drawing *d, struct span name, bool known)
{
    void *list = d->groups;
    enum err e = room_for_one(&list, &d->groups_cap, d->ngroups, sizeof *d->groups,
                              LSDB_GROUPS_MAX + 2 * (size_t)LSDB_CONNECTORS_MAX);
    d->groups = list;
    if (e == ERR_OK)
        e = copy(name, &d->groups[d->ngroups].name);
    if (e == ERR_OK)
        d->groups[d->ngroups++].known = known;
    return e;
}

enum err drawing_group(struct drawing *d, struct span name)
{
    return add_group(d, name, true);
}

enum err drawing_link(struct drawing *d, struct span from, struct span to, uint8_t cost, bool up,
                      struct span connector)
{
    void *list = d->links;
    enum err e = room_for_one(&list, &d->links_cap, d->nlinks, sizeof *d->links, LSDB_CONNECTORS_MAX);
    struct drawn_link l = {.cost = cost, .up = up};
    d->links = list;
    if (e == ERR_OK)
        e = add_group(d, from, false);
    if (e == ERR_OK)
        e = add_group(d, to, false);
    if (e == ERR_OK)
        e = copy(from, &l.from_name);
    if (e == ERR_OK)
        e = copy(to, &l.to_name);
    if (e == ERR_OK)
        e = copy(connector, &l.connector);
    if (e == ERR_OK)
        d->links[d->nlinks++] = l;
    else
        free_link(&l);
    return e;
}

enum err drawing_exit(struct drawing *d, struct span group, struct span space, uint8_t cost, bool up,
                      struct span connector)
{
    void *list = d->exits;
    enum err e =
        room_for_one(&list, &d->exits_cap, d->nexits, sizeof *d->exits, 4 * (size_t)LSDB_CONNECTORS_MAX);
    struct drawn_exit x = {.cost = cost, .up = up};
    d->exits = list;
    if (e == ERR_OK)
        e = add_group(d, group, false);
    if (e == ERR_OK)
        e = copy(group, &x.group_name);
    if (e == ERR_OK)
        e = copy(space, &x.space);
    if (e == ERR_OK)
        e = copy(connector, &x.connector);
    if (e == ERR_OK)
        d->exits[d->nexits++] = x;
    else
        free_exit(&x);
    return e;
}

enum err drawing_record(struct drawing *d, struct span group, const struct record *r)
{
    enum err e = drawing_group(d, group);
    for (size_t i = 0; e == ERR_OK && i < r->nconnectors; i++) {
        const struct record_connector *c = &r->connectors[i];
        if (c->type == RECORD_ROUTING_GROUP)
            e = drawing_link(d, group, c->to_group, c->cost, c->up, c->name);
        for (size_t k = 0; e == ERR_OK && c->type == RECORD_SMTP && k < c->nspaces; k++)
            e = drawing_exit(d, group, c->spaces[k].space, c->spaces[k].cost, c->up, c->name);
    }
    return e;
}

enum err drawing_table(struct drawing *d, const struct lsdb *db)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < db->nslots; i++) {
        const struct lsdb_slot *slot = lsdb_at(db, i);
        struct record r;
        if (slot->record == NULL)
            continue;
        e = record_parse(slot->record->body, &r, NULL);
        if (e == ERR_OK) {
            e = drawing_record(d, lsdb_group(slot), &r);
            record_done(&r);
        }
    }
    return e;
}

/* --- Order -------------------------------------------------------------------------------------------- */

static int by_group(const void *a, const void *b)
{
    return strcmp(((const struct drawn_group *)a)->name, ((const struct drawn_group *)b)->name);
}

static int by_ends(const void *a, const void *b)
{
    const struct drawn_link *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    return x->cost != y->cost ? (int)x->cost - (int)y->cost : strcmp(x->connector, y->connector);
}

static int by_space(const void *a, const void *b)
{
    const struct drawn_exit *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    int c = strcmp(x->space, y->space);
    if (c == 0)
        c = (int)x->cost - (int)y->cost;
    return c != 0 ? c : strcmp(x->connector, y->connector);
}

static uint32_t number_of(const struct drawing *d, char *name)
{
    struct drawn_group key = {.name = name};
    const struct drawn_group *g = bsearch(&key, d->groups, d->ngroups, sizeof *d->groups, by_group);
    return (uint32_t)(g - d->groups); /* every name was added as a group */
}

enum err drawing_arrange(struct drawing *d)
{
    size_t n = 0;
    if (d->ngroups > 0)
        qsort(d->groups, d->ngroups, sizeof *d->groups, by_group);
    for (size_t i = 0; i < d->ngroups; i++) {
        if (n > 0 && strcmp(d->groups[n - 1].name, d->groups[i].name) == 0) {
            d->groups[n - 1].known = d->groups[n - 1].known || d->groups[i].known;
            free(d->groups[i].name);
        } else {
            d->groups[n++] = d->groups[i];
        }
    }
    d->ngroups = n;
    for (size_t i = 0; i < d->nlinks; i++) {
        d->links[i].from = number_of(d, d->links[i].from_name);
        d->links[i].to = number_of(d, d->links[i].to_name);
    }
    for (size_t i = 0; i < d->nexits; i++)
        d->exits[i].group = number_of(d, d->exits[i].group_name);
    if (d->nlinks > 0)
        qsort(d->links, d->nlinks, sizeof *d->links, by_ends);
    if (d->nexits > 0)
        qsort(d->exits, d->nexits, sizeof *d->exits, by_space);
    return n > LSDB_GROUPS_MAX ? ERR_TOOBIG : ERR_OK;
}

bool drawing_is_own(const struct drawing *d, const struct drawn_group *g)
{
    return d->own[0] != '\0' && strcmp(g->name, d->own) == 0;
}

bool drawing_is_local(const struct drawn_exit *x)
{
    return strcmp(x->connector, RECORD_LOCAL_CONNECTOR) == 0;
}
