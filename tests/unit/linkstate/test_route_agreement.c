/* tests/unit/linkstate/test_route_agreement.c — over an organization of some dozens of groups, for each pair
 * of them: what a worker looks up, what `route explain` tells and what `route table` lists are one answer,
 * asked at home or of another group's table. Drawn by lot. */
#include "linkstate/record_config.h"
#include "linkstate/route.h"
#include "linkstate/sim.h"
#include "linkstate/snapshot.h"
#include "tests/unit/check.h"

#include <string.h>

enum { GROUPS = 40, EDGES = 6, OUTS = 3, NAME = 24, ROUNDS = 3 };
struct group {
    struct conf_root root;
    struct conf_connector connectors[EDGES + OUTS];
    struct conf_address_space spaces[OUTS];
    struct conf_local_domain local;
    char name[NAME], domain[NAME], names[EDGES + OUTS][NAME], *listed[EDGES + OUTS];
    bool down[EDGES + OUTS]; /* by connector */
    struct buf body;
};
static struct group all[GROUPS];
static char target[] = "t:25", *targets[] = {target}, alive[] = "alive", dead[] = "dead",
            maildir[] = "maildir:x", nobody[] = "";
static const char *const outside[] = {"*", "*.net", "x.net"};

static bool one_in(struct rng *rng, unsigned n)
{
    return rng_below(rng, n) == 0;
}

static struct conf_connector *add(struct rng *rng, struct group *g)
{
    size_t n = g->root.connectors.count++;
    (void)snprintf(g->names[n], NAME, "c%u-%zu", (unsigned)rng_below(rng, 3),
                   n); /* names that tie in many ways */
    g->down[n] = one_in(rng, 8);
    g->listed[n] = one_in(rng, 2) ? alive : dead;
    g->connectors[n] = (struct conf_connector){
        .name = g->names[n],
        .to_group = nobody,
        .cost = 1 + rng_below(rng, 3),
        .weight = 1,
        .smart_hosts = {targets, 1},
        .source_bridgeheads = {&g->listed[n], one_in(rng, 6)},
        .scope = one_in(rng, 12) ? CONF_SCOPE_GROUP : CONF_SCOPE_ORGANIZATION,
    };
    return &g->connectors[n];
}

static void edge(struct rng *rng, unsigned from, unsigned to)
{
    struct group *g = &all[from];
    if (from == to || g->root.connectors.count == EDGES)
        return;
    struct conf_connector *c = add(rng, g);
    c->type = CONF_CONNECTOR_ROUTING_GROUP;
    c->to_group = all[to].name;
}

static void out(struct rng *rng, struct group *g, size_t n)
{
    struct conf_connector *c = add(rng, g);
    g->spaces[n] = (struct conf_address_space){(char *)(uintptr_t)outside[n], 1 + rng_below(rng, 4)};
    c->address_spaces.items = &g->spaces[n];
    c->address_spaces.count = 1;
    if (one_in(rng, 3))
        c->smart_hosts.count = 0; /* by DNS */
}

static bool connector_up(void *arg, struct span connector)
{
    const struct group *g = arg;
    for (size_t i = 0; i < g->root.connectors.count; i++)
        if (span_eq(connector, span_cstr(g->names[i])))
            return !g->down[i];
    return true;
}

static bool source_up(void *arg, struct span source)
{
    (void)arg;
    return span_eq(source, SPAN("alive"));
}

static void draw(struct rng *rng)
{
    for (unsigned i = 0; i < GROUPS; i++) {
        struct group *g = &all[i];
        *g = (struct group){.local = {.domain = g->domain, .deliver = maildir}};
        (void)snprintf(g->name, NAME, "g%02u", i);
        (void)snprintf(g->domain, NAME, "g%02u.example", i);
        g->root.routing_group.name = g->name;
        g->root.routing_group.fall_back = true;
        g->root.routing_group.scope_in_transit = true;
        g->root.local_domains.items = &g->local;
        g->root.local_domains.count = 1;
        g->root.connectors.items = g->connectors;
    }
    for (unsigned i = 1; i < GROUPS; i++) { /* a tree, both ways, and more */
        unsigned to = (unsigned)rng_below(rng, i);
        edge(rng, i, to);
        edge(rng, to, i);
    }
    for (unsigned i = 0; i < 2 * GROUPS; i++)
        edge(rng, (unsigned)rng_below(rng, GROUPS), (unsigned)rng_below(rng, GROUPS));
    for (unsigned i = 0; i < GROUPS; i++)
        for (size_t n = 0; n < OUTS; n++)
            if (one_in(rng, 8))
                out(rng, &all[i], n);
}

static void publish(struct buf *table)
{
    buf_init(table, LS_SNAPSHOT_MAX);
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct record_health health = {.connector_up = connector_up, .source_up = source_up, .arg = &all[i]};
        struct ls_version version = {.major = 1, .seq = 1};
        struct ls_crypto crypto;
        struct buf body, cert, header;
        struct errctx ec = {""};
        buf_init(&body, RECORD_MAX);
        buf_init(&cert, CERT_MAX);
        buf_init(&header, LSA_HEADER_MAX);
        sim_crypto(&crypto, &i);
        if (record_from_config(&all[i].root, SPAN("r"), NULL, 0, &health, &body, &ec) != ERR_OK)
            fail_msg("%s", ec.msg);
        sim_cert(i, span_cstr(all[i].name), &cert);
        assert_int_equal(
            lsa_seal(span_cstr(all[i].name), &version, buf_span(&body), buf_span(&cert), &crypto, &header),
            ERR_OK);
        struct ls_advert ad = {1, buf_span(&header), buf_span(&body)};
        assert_int_equal(ls_advert_add(table, &ad), ERR_OK);
        buf_done(&body);
        buf_done(&cert);
        buf_done(&header);
    }
}

/* The best usable row of the table among those of one address space. */
struct best {
    bool any;
    uint32_t cost;
};

static struct best listed(const struct route_table *t, struct span space)
{
    struct best b = {.any = false};
    struct route_entry e;
    for (size_t i = 0; i < route_entries(t); i++) {
        assert_true(route_entry_at(t, i, &e));
        if (!e.usable || !span_eq(e.space, space) || (b.any && e.cost >= b.cost))
            continue;
        b = (struct best){true, e.cost};
    }
    return b;
}

static bool row_is(const struct route_table *t, const struct route_candidate *c)
{
    bool found = false;
    struct route_entry e;
    for (size_t i = 0; i < route_entries(t) && !found; i++)
        found = route_entry_at(t, i, &e) && e.usable && span_eq(e.space, c->space) &&
                span_eq(e.group, c->group) && span_eq(e.connector, c->connector) && e.cost == c->cost;
    return found;
}

struct counts {
    unsigned hops, local, waits, none;
};

static void compare(const struct route_table *t, const struct route_table *elsewhere,
                    const struct group *from, struct span domain, struct counts *n)
{
    struct route r;
    struct route_explanation x, y;
    struct route_ask ask = {.domain = domain};
    route_lookup(t, domain, 0, &r);
    assert_int_equal(route_explain(t, &ask, &x), ERR_OK);
    ask.from_group = span_cstr(from->name);
    assert_int_equal(route_explain(elsewhere, &ask, &y), ERR_OK);
    assert_int_equal(x.kind, r.kind);
    assert_int_equal(y.kind, r.kind);
    n->local += r.kind == ROUTE_LOCAL;
    n->waits += r.kind == ROUTE_UNREACHABLE;
    n->none += r.kind == ROUTE_NONE;
    if (r.kind == ROUTE_NEXT_HOP) {
        const struct route_candidate *c = &x.candidates[x.chosen];
        struct best b = listed(t, c->space);
        n->hops++;
        assert_int_equal(c->fate, ROUTE_CHOSEN);
        check_span(x.first.connector, span_cstr(r.connector->name));
        check_span(y.first.connector, span_cstr(r.connector->name));
        check_span(x.first.group, span_cstr(from->name));
        assert_int_equal(x.cost, r.cost);
        assert_int_equal(y.cost, r.cost);
        assert_int_equal(x.ntargets, r.ntargets);
        for (size_t i = 0; i < r.ntargets; i++)
            check_span(x.targets[i].name, span_cstr(r.targets[i]));
        assert_true(b.any && b.cost == r.cost && row_is(t, c));
    } else if (r.kind != ROUTE_LOCAL) {
        /* Nor does a row of the most specific space say that there is a way; mail for a domain of the
         * organization leaves by no other. */
        assert_false(x.ncandidates > 0 && listed(t, x.candidates[0].space).any);
    }
    route_explanation_done(&x);
    route_explanation_done(&y);
}

static void test_route_agreement__of_lookup_explanation_and_table(void **state)
{
    (void)state;
    static const char *const beyond[] = {"x.net", "y.net", "other.org"};
    struct rng rng;
    struct counts n = {0};
    rng_seed(&rng, check_seed());
    for (int round = 0; round < ROUNDS; round++) {
        struct buf published;
        struct route_table *tables[GROUPS];
        draw(&rng);
        publish(&published);
        for (unsigned i = 0; i < GROUPS; i++) {
            struct errctx ec = {""};
            if (route_table_build(&all[i].root, buf_span(&published), NULL, NULL, &tables[i], &ec) != ERR_OK)
                fail_msg("%s", ec.msg);
        }
        for (unsigned i = 0; i < GROUPS; i++) {
            const struct route_table *elsewhere = tables[(i + 1 + rng_below(&rng, GROUPS - 1)) % GROUPS];
            for (unsigned k = 0; k < GROUPS; k++)
                compare(tables[i], elsewhere, &all[i], span_cstr(all[k].domain), &n);
            CHECK_EACH (beyond, b)
                compare(tables[i], elsewhere, &all[i], span_cstr(*b), &n);
        }
        for (unsigned i = 0; i < GROUPS; i++)
            route_table_unref(tables[i]);
        buf_done(&published);
    }
    print_message("next hop %u, local %u, wait %u, none %u\n", n.hops, n.local, n.waits, n.none);
    assert_true(n.hops > 500 && n.local == ROUNDS * GROUPS && n.waits > 0); /* the lots were worth drawing */
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_route_agreement__of_lookup_explanation_and_table));
}
