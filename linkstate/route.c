/* linkstate/route.c — the table of address spaces and the look-up in it.
 *
 * Every name that appears in an address space or as a local domain has one row; rows hold their
 * candidates sorted by cost, then name, so the first one that the message may use is the answer. A
 * look-up visits the row of the domain itself, then those of its suffixes from the longest to the
 * empty one ("*"). One pass from the end of the name gives all their hashes. */
#include "linkstate/route.h"
#include "linkstate/class.h"

#include <stdatomic.h>

enum { LABELS_MAX = 128 }; /* of a domain of 255 octets */

struct candidate {
    uint32_t connector, cost;
};
struct row {
    const struct conf_local_domain *local;
    uint32_t exact_at, exact_n; /* into candidates: "example.com" */
    uint32_t below_at, below_n; /* "*.example.com"; of the empty name: "*" */
};
struct route_table {
    atomic_uint refs;
    const struct conf_root *root;
    void (*release)(void *owner);
    void *owner;
    struct class_table classes;
    struct class_rule *rules; /* per connector */
    struct namemap names;     /* -> row number + 1 */
    struct row *rows;
    size_t nrows;
    struct candidate *candidates;
    unsigned deepest; /* most labels of any name in the table */
};

/* --- Building -------------------------------------------------------------------------------------- */

/* An address space taken apart; sorted, those of one name come together. */
struct entry {
    struct span name;
    bool below;
    const char *connector_name;
    struct candidate candidate;
};

static struct span without_final_dot(struct span s)
{
    return s.len > 0 && s.ptr[s.len - 1] == '.' ? span_first(s, s.len - 1) : s;
}

static enum err parse_space(const struct conf_connector *c, const char *space, struct entry *ret,
                            struct errctx *ec)
{
    struct span name = without_final_dot(span_cstr(space));
    ret->below = true;
    if (span_eq(name, SPAN("*")))
        name = SPAN("");
    else if (span_has_prefix(name, SPAN("*.")) && name.len > 2)
        name = span_from(name, 2);
    else
        ret->below = false;
    size_t at;
    if ((name.len == 0 && !ret->below) || span_find(name, '*', &at))
        return err_set(ec, ERR_CONFIG,
                       "connector %s: '%s' is no address space; use *, *.example.com or example.com", c->name,
                       space);
    ret->name = name;
    return ERR_OK;
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
    if (x->candidate.cost != y->candidate.cost)
        return x->candidate.cost < y->candidate.cost ? -1 : 1;
    order = strcmp(x->connector_name, y->connector_name);
    if (order != 0)
        return order;
    return x->candidate.connector < y->candidate.connector ? -1 : 1;
}

static enum err collect_entries(const struct conf_root *root, struct entry *entries, struct errctx *ec)
{
    size_t n = 0;
    for (size_t i = 0; i < root->connectors.count; i++) {
        const struct conf_connector *c = &root->connectors.items[i];
        uint64_t base = c->type == CONF_CONNECTOR_ROUTING_GROUP ? c->cost : 0;
        for (size_t k = 0; k < c->address_spaces.count; k++) {
            struct entry *entry = &entries[n++];
            enum err e = parse_space(c, c->address_spaces.items[k].space, entry, ec);
            if (e != ERR_OK)
                return e;
            entry->connector_name = c->name;
            entry->candidate = (struct candidate){.connector = (uint32_t)i,
                                                  .cost = (uint32_t)(base + c->address_spaces.items[k].cost)};
        }
    }
    qsort(entries, n, sizeof(*entries), compare_entries);
    return ERR_OK;
}

static unsigned label_count(struct span name)
{
    unsigned labels = name.len == 0 ? 0 : 1;
    for (size_t i = 0; i < name.len; i++)
        labels += name.ptr[i] == '.';
    return labels;
}

/* The row of a name, made when it is new. Rows are allocated for the worst case. */
static enum err row_of(struct route_table *t, struct span name, struct row **ret)
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
    struct row *row;
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && e == ERR_OK; i++) {
        t->candidates[i] = entries[i].candidate;
        e = row_of(t, entries[i].name, &row);
        if (e != ERR_OK)
            break;
        uint32_t *at = entries[i].below ? &row->below_at : &row->exact_at;
        uint32_t *count = entries[i].below ? &row->below_n : &row->exact_n;
        if ((*count)++ == 0)
            *at = (uint32_t)i;
    }
    for (size_t i = 0; i < t->root->local_domains.count && e == ERR_OK; i++) {
        const struct conf_local_domain *local = &t->root->local_domains.items[i];
        e = row_of(t, without_final_dot(span_cstr(local->domain)), &row);
        if (e == ERR_OK && row->local == NULL)
            row->local = local;
    }
    return e;
}

static void table_free(struct route_table *t)
{
    class_table_done(&t->classes);
    namemap_done(&t->names);
    free(t->rules);
    free(t->rows);
    free(t->candidates);
    free(t);
}

enum err route_table_build(const struct conf_root *root, void (*release)(void *owner), void *owner,
                           struct route_table **ret, struct errctx *ec)
{
    size_t nconnectors = root->connectors.count, nspaces = 0;
    for (size_t i = 0; i < nconnectors; i++)
        nspaces += root->connectors.items[i].address_spaces.count;
    enum err e = ERR_NOMEM;
    struct entry *entries = calloc(nspaces + 1, sizeof(*entries));
    struct route_table *t = calloc(1, sizeof(*t));
    if (entries == NULL || t == NULL)
        goto fail;
    *t = (struct route_table){.root = root};
    atomic_init(&t->refs, 1);
    t->rules = calloc(nconnectors + 1, sizeof(*t->rules));
    t->rows = calloc(nspaces + root->local_domains.count + 1, sizeof(*t->rows));
    t->candidates = calloc(nspaces + 1, sizeof(*t->candidates));
    if (t->rules == NULL || t->rows == NULL || t->candidates == NULL)
        goto fail;
    if ((e = class_table_init(&t->classes, root->connectors.items, nconnectors, t->rules, ec)) != ERR_OK ||
        (e = collect_entries(root, entries, ec)) != ERR_OK || (e = fill_rows(t, entries, nspaces)) != ERR_OK)
        goto fail;
    free(entries);
    t->release = release;
    t->owner = owner;
    *ret = t;
    return ERR_OK;
fail:
    free(entries);
    if (t != NULL)
        table_free(t);
    return e == ERR_NOMEM ? err_set(ec, e, "route table: %s", err_text(e)) : e;
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

/* --- Look-up --------------------------------------------------------------------------------------- */

uint32_t route_class(const struct route_table *t, const struct route_message *m)
{
    return class_of(&t->classes, m);
}

static const struct row *row_find(const struct route_table *t, struct span name, uint32_t hash)
{
    uint32_t number;
    return namemap_find(&t->names, name, hash, &number) ? &t->rows[number - 1] : NULL;
}

/* Step 2 before step 3: a connector that the message may not use does not exist for it. */
static bool take_first(const struct route_table *t, uint32_t at, uint32_t n, uint32_t klass,
                       struct route *ret)
{
    for (uint32_t i = at; i < at + n; i++) {
        uint32_t number = t->candidates[i].connector;
        if (!class_passes(klass, &t->rules[number]))
            continue;
        const struct conf_connector *c = &t->root->connectors.items[number];
        *ret = (struct route){.kind = ROUTE_NEXT_HOP,
                              .connector = c,
                              .dns = c->deliver == CONF_DELIVER_DNS ||
                                     (c->deliver == CONF_DELIVER_AUTO && c->smart_hosts.count == 0),
                              .relay_open = c->allow_relay,
                              .cost = t->candidates[i].cost};
        return true;
    }
    return false;
}

void route_lookup(const struct route_table *t, struct span domain, uint32_t klass, struct route *ret)
{
    struct {
        uint32_t hash;
        uint32_t at;
    } suffixes[LABELS_MAX + 1];
    unsigned n = 1;
    uint32_t hash = NAMEMAP_HASH_SEED;
    suffixes[0].hash = hash; /* the empty one: "*" */
    suffixes[0].at = (uint32_t)domain.len;
    for (size_t i = domain.len; i > 0; i--) {
        if (domain.ptr[i - 1] == '.' && n <= t->deepest && n <= LABELS_MAX) {
            suffixes[n].hash = hash;
            suffixes[n++].at = (uint32_t)i;
        }
        hash = namemap_hash_step(hash, domain.ptr[i - 1]);
    }
    const struct row *row = domain.len == 0 ? NULL : row_find(t, domain, hash);
    if (row != NULL && row->local != NULL) {
        *ret = (struct route){.kind = ROUTE_LOCAL, .local = row->local};
        return;
    }
    if (row != NULL && take_first(t, row->exact_at, row->exact_n, klass, ret))
        return;
    while (n-- > 0) {
        row = row_find(t, span_from(domain, suffixes[n].at), suffixes[n].hash);
        if (row != NULL && take_first(t, row->below_at, row->below_n, klass, ret))
            return;
    }
    *ret = (struct route){.kind = ROUTE_NONE};
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
