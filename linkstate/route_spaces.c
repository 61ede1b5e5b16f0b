/* linkstate/route_spaces.c — address spaces of all connectors, by level; see route_int.h. */
#include "linkstate/record.h"
#include "linkstate/route_int.h"

#include <stdlib.h>
#include <string.h>

static struct span without_final_dot(struct span s)
{
    return s.len > 0 && s.ptr[s.len - 1] == '.' ? span_first(s, s.len - 1) : s;
}

/* An address space taken apart; sorted, those of one level come together. */
struct entry {
    struct span name;
    bool below;
    struct rt_candidate candidate;
};

static bool parse_space(struct span space, struct entry *ret)
{
    struct span name = without_final_dot(space);
    size_t at;
    ret->below = true;
    if (span_eq(name, SPAN("*")))
        name = SPAN("");
    else if (span_has_prefix(name, SPAN("*.")) && name.len > 2)
        name = span_from(name, 2);
    else
        ret->below = false;
    ret->name = name;
    ret->candidate.space = space;
    return (name.len > 0 || ret->below) && !span_find(name, '*', &at);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->name.len != y->name.len)
        return x->name.len < y->name.len ? -1 : 1;
    int order = x->name.len == 0 ? 0 : strncasecmp(x->name.ptr, y->name.ptr, x->name.len);
    if (order != 0)
        return order;
    if (x->below != y->below)
        return x->below ? 1 : -1;
    if (x->candidate.connector != y->candidate.connector)
        return x->candidate.connector < y->candidate.connector ? -1 : 1;
    return (x->candidate.cost > y->candidate.cost) - (x->candidate.cost < y->candidate.cost);
}

static enum err own_entries(const struct route_table *t, struct entry *entries, size_t *n, struct errctx *ec)
{
    for (uint32_t i = 0; i < t->nown; i++) {
        const struct rt_connector *c = &t->connectors[i];
        for (size_t k = 0; k < c->conf->address_spaces.count; k++) {
            const struct conf_address_space *space = &c->conf->address_spaces.items[k];
            struct entry *entry = &entries[(*n)++];
            if (!parse_space(span_cstr(space->space), entry))
                return err_set(ec, ERR_CONFIG,
                               "connector %s: '%s' is no address space; use *, *.example.com or example.com",
                               c->conf->name, space->space);
            entry->candidate.connector = i;
            entry->candidate.cost = c->cost + (uint32_t)space->cost;
        }
    }
    return ERR_OK;
}

/* What another group writes wrongly is no space; its connectors follow in the order they were made. */
static void foreign_entries(const struct route_table *t, const struct record_connector *const *foreign,
                            struct entry *entries, size_t *n)
{
    for (uint32_t i = t->nown; i < t->nconnectors; i++) {
        const struct record_connector *k = foreign[i - t->nown];
        for (size_t at = 0; at < k->nspaces; at++) {
            struct entry *entry = &entries[*n];
            if (!parse_space(k->spaces[at].space, entry))
                continue;
            entry->candidate.connector = i;
            entry->candidate.cost = t->connectors[i].cost + k->spaces[at].cost;
            (*n)++;
        }
    }
}

static unsigned label_count(struct span name)
{
    unsigned labels = name.len == 0 ? 0 : 1;
    for (size_t i = 0; i < name.len; i++)
        labels += name.ptr[i] == '.';
    return labels;
}

/* The row of a name, made when it is new. Rows are allocated for the worst case. */
static enum err row_of(struct route_table *t, struct span name, struct rt_row **ret)
{
    uint32_t *number;
    enum err e = namemap_add(&t->names, name, &number);
    if (e != ERR_OK)
        return e;
    if (*number == 0) {
        *number = (uint32_t)++t->nrows;
        if (label_count(name) > t->deepest)
            t->deepest = label_count(name);
    }
    *ret = &t->rows[*number - 1];
    return ERR_OK;
}

static enum err fill_rows(struct route_table *t, const struct entry *entries, size_t n)
{
    struct rt_row *row;
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && e == ERR_OK; i++) {
        t->candidates[i] = entries[i].candidate;
        e = row_of(t, entries[i].name, &row);
        if (e != ERR_OK)
            break;
        struct rt_level *level = entries[i].below ? &row->below : &row->exact;
        if (level->n++ == 0)
            level->at = (uint32_t)i;
    }
    t->ncandidates = (uint32_t)n;
    t->own_local = (struct rt_level){t->ncandidates, 1};
    t->candidates[n] = (struct rt_candidate){.connector = t->nconnectors, .cost = 1};
    for (size_t i = 0; i < t->root->local_domains.count && e == ERR_OK; i++) {
        const struct conf_local_domain *local = &t->root->local_domains.items[i];
        e = row_of(t, without_final_dot(span_cstr(local->domain)), &row);
        if (e == ERR_OK && row->local == NULL)
            row->local = local;
    }
    return e;
}

enum err rt_add_spaces(struct route_table *t, const struct record_connector *const *foreign, size_t nspaces,
                       struct errctx *ec)
{
    size_t n = 0;
    enum err e = ERR_NOMEM;
    struct entry *entries = calloc(nspaces + 1, sizeof *entries);
    t->rows = calloc(nspaces + t->root->local_domains.count + 1, sizeof *t->rows);
    t->candidates = calloc(nspaces + 1, sizeof *t->candidates);
    if (entries != NULL && t->rows != NULL && t->candidates != NULL)
        e = own_entries(t, entries, &n, ec);
    if (e == ERR_OK) {
        foreign_entries(t, foreign, entries, &n);
        qsort(entries, n, sizeof *entries, compare_entries);
        e = fill_rows(t, entries, n);
    }
    free(entries);
    return e;
}
