#include "linkstate/sim_config.h"

#include "linkstate/record_config.h"

#include <stdlib.h>
#include <string.h>

struct named { /* sorted by name */
    const char *name;
    uint32_t group;
};
struct pair { /* what is said of two groups; a < b */
    uint32_t a, b;
    uint8_t cost_ab, cost_ba; /* 0: no connector */
    bool names_ab, names_ba;  /* as a neighbour */
};
struct plan {
    struct sim *s;
    const struct conf_root *const *confs;
    size_t n;
    struct named *names;
    struct pair *pairs;
    size_t npairs;
    struct buf *notes;
};

static int by_name(const void *x, const void *y)
{
    return strcmp(((const struct named *)x)->name, ((const struct named *)y)->name);
}

static bool find(const struct plan *p, const char *name, uint32_t *ret)
{
    struct named key = {.name = name};
    const struct named *found = bsearch(&key, p->names, p->n, sizeof key, by_name);
    if (found != NULL)
        *ret = found->group;
    return found != NULL;
}

static enum err add_groups(struct plan *p, struct errctx *ec)
{
    struct buf body;
    enum err e = ERR_OK;
    buf_init(&body, RECORD_MAX);
    for (size_t i = 0; e == ERR_OK && i < p->n; i++) {
        const struct conf_root *c = p->confs[i];
        const char *name = c->routing_group.name;
        if (strcmp(c->organization, p->confs[0]->organization) != 0) {
            e = err_set(ec, ERR_CONFIG,
                        "group %s is of organization '%s', group %s of '%s': they would not speak to each "
                        "other; name the same organization in both",
                        p->confs[0]->routing_group.name, p->confs[0]->organization, name, c->organization);
            break;
        }
        buf_clear(&body);
        e = record_from_config(c, SPAN("r1"), NULL, 0, NULL, &body, ec);
        if (e != ERR_OK)
            err_wrap(ec, e, "group %s", name);
        p->names[i] = (struct named){name, sim_group_configured(p->s, c)};
        if (e == ERR_OK && p->names[i].group == UINT32_MAX)
            e = err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    }
    buf_done(&body);
    if (e == ERR_OK)
        qsort(p->names, p->n, sizeof *p->names, by_name);
    for (size_t i = 1; e == ERR_OK && i < p->n; i++)
        if (by_name(&p->names[i - 1], &p->names[i]) == 0)
            e = err_set(ec, ERR_EXISTS,
                        "two configurations are of group %s; give each group a routing_group.name of its own",
                        p->names[i].name);
    return e;
}

static bool is_plan(const struct conf_root *c)
{
    return c->routing_group.neighbours.count == 0;
}

/* forth, back: each has the other for a neighbour. */
static void say(struct plan *p, uint32_t from, uint32_t to, uint8_t cost, bool forth, bool back)
{
    p->pairs[p->npairs++] =
        from < to ? (struct pair){.a = from, .b = to, .cost_ab = cost, .names_ab = forth, .names_ba = back}
                  : (struct pair){.a = to, .b = from, .cost_ba = cost, .names_ba = forth, .names_ab = back};
}

static void read_one(struct plan *p, const struct conf_root *c)
{
    const struct conf_routing_group *g = &c->routing_group;
    uint32_t self = 0, to;
    (void)find(p, g->name, &self);
    for (size_t i = 0; i < c->connectors.count; i++) {
        const struct conf_connector *k = &c->connectors.items[i];
        if (k->type != CONF_CONNECTOR_ROUTING_GROUP)
            continue;
        if (!find(p, k->to_group, &to))
            (void)!buf_addf(p->notes,
                            "group %s: connector %s leads to group %s, whose configuration is not here\n",
                            g->name, k->name, k->to_group);
        else if (to != self)
            say(p, self, to, (uint8_t)k->cost, is_plan(c), is_plan(c) && is_plan(p->confs[to]));
    }
    for (size_t i = 0; i < g->neighbours.count; i++) {
        if (!find(p, g->neighbours.items[i].group, &to))
            (void)!buf_addf(p->notes, "group %s: neighbour %s has no configuration here\n", g->name,
                            g->neighbours.items[i].group);
        else if (to != self)
            say(p, self, to, 0, true, false);
    }
}

static int by_ends(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;
    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    return a->b < b->b ? -1 : a->b > b->b;
}

static uint8_t cheaper(uint8_t a, uint8_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* One pair of everything that is said of the same two groups. */
static void unite(struct plan *p)
{
    size_t n = 0;
    if (p->npairs > 0)
        qsort(p->pairs, p->npairs, sizeof *p->pairs, by_ends);
    for (size_t i = 0; i < p->npairs; i++) {
        const struct pair *x = &p->pairs[i];
        struct pair *last = n > 0 ? &p->pairs[n - 1] : NULL;
        if (last == NULL || by_ends(last, x) != 0) {
            p->pairs[n++] = *x;
            continue;
        }
        last->cost_ab = cheaper(last->cost_ab, x->cost_ab);
        last->cost_ba = cheaper(last->cost_ba, x->cost_ba);
        last->names_ab = last->names_ab || x->names_ab;
        last->names_ba = last->names_ba || x->names_ba;
    }
    p->npairs = n;
}

static enum err join(struct plan *p, struct errctx *ec)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < p->npairs; i++) {
        const struct pair *x = &p->pairs[i];
        const char *a = p->confs[x->a]->routing_group.name, *b = p->confs[x->b]->routing_group.name;
        if (x->names_ab != x->names_ba)
            (void)!buf_addf(p->notes,
                            "group %s has group %s for a neighbour, but not the other way round: their "
                            "routers do not speak to each other\n",
                            x->names_ab ? a : b, x->names_ab ? b : a);
        e = sim_join(p->s, x->a, x->b, x->cost_ab, x->cost_ba, x->names_ab && x->names_ba);
    }
    return e == ERR_OK ? e : err_set(ec, e, "%s", err_text(e));
}

enum err sim_configured(struct sim *s, const struct conf_root *const *confs, size_t n, struct buf *notes,
                        struct errctx *ec)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += confs[i]->connectors.count + confs[i]->routing_group.neighbours.count;
    if (n > LSDB_GROUPS_MAX)
        return err_set(ec, ERR_TOOBIG, "%zu groups; an organization has at most %d", n, LSDB_GROUPS_MAX);
    struct plan p = {.s = s,
                     .confs = confs,
                     .n = n,
                     .names = calloc(n + 1, sizeof *p.names),
                     .pairs = calloc(room + 1, sizeof *p.pairs),
                     .notes = notes};
    enum err e =
        p.names == NULL || p.pairs == NULL ? err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM)) : ERR_OK;
    if (e == ERR_OK)
        e = add_groups(&p, ec);
    for (size_t i = 0; e == ERR_OK && i < n; i++)
        read_one(&p, confs[i]);
    if (e == ERR_OK) {
        unite(&p);
        e = join(&p, ec);
    }
    free(p.names);
    free(p.pairs);
    return e;
}
