/* tests/unit/linkstate/test_loop.c — messages among groups whose tables differ on purpose: linkstate/trace.h.
 */
#include "linkstate/route.h"
#include "linkstate/shape.h"
#include "linkstate/snapshot.h"
#include "linkstate/trace.h"
#include "tests/unit/check.h"

enum { GROUPS = 14, LINKS = 26, CONNECTORS = 2 * LINKS, STEPS_MAX = 200, NAME = 80 };

/* A group as a node and worker see it: its configuration, and the table of its own router at this moment. */
struct site {
    char name[NAME], domain[NAME], to[CONNECTORS][NAME];
    struct conf_root root;
    struct conf_connector connectors[CONNECTORS];
    struct conf_local_domain local;
    struct route_table *table;
};
struct journey {
    unsigned steps, again; /* again: entered a group that it had left */
    bool delivered, waits, circles;
};

static void configure(const struct sim *s, uint32_t n, struct site *site)
{
    static char deliver[] = "maildir:x";
    uint32_t a, b;
    bool up;
    *site = (struct site){.root = {.routing_group = {.fall_back = true, .scope_in_transit = true}}};
    (void)snprintf(site->name, NAME, "%s", sim_group_name(s, n));
    (void)snprintf(site->domain, NAME, "%s.example", site->name);
    site->root.routing_group.name = site->name;
    site->local = (struct conf_local_domain){.domain = site->domain, .deliver = deliver};
    site->root.local_domains.items = &site->local;
    site->root.local_domains.count = 1;
    site->root.connectors.items = site->connectors;
    for (size_t i = 0; sim_link_at(s, i, &a, &b, &up); i++) {
        if (a != n && b != n)
            continue;
        size_t at = site->root.connectors.count++;
        (void)snprintf(site->to[at], NAME, "%s", sim_group_name(s, a == n ? b : a));
        site->connectors[at] = (struct conf_connector){.name = site->to[at],
                                                       .type = CONF_CONNECTOR_ROUTING_GROUP,
                                                       .to_group = site->to[at],
                                                       .cost = 1 + (a + b) % 5};
    }
}

static void look(struct sim *s, struct site *sites)
{
    for (uint32_t n = 0; n < GROUPS; n++) {
        struct buf b;
        struct errctx ec = {""};
        buf_init(&b, LS_SNAPSHOT_MAX);
        assert_int_equal(ls_snapshot_emit(ls_table(sim_engine(s, n)), sim_now(s), &b, &ec), ERR_OK);
        route_table_unref(sites[n].table);
        configure(s, n, &sites[n]);
        if (route_table_build(&sites[n].root, buf_span(&b), NULL, NULL, &sites[n].table, &ec) != ERR_OK)
            fail_msg("%s", ec.msg);
        buf_done(&b);
    }
}

static uint32_t site_named(const struct site *sites, const char *name)
{
    uint32_t n = 0;
    while (strcmp(sites[n].name, name) != 0)
        n++;
    return n;
}

/* Hop by hop, each group by its own table; a step into a group that it has left must be one that the rule
 * allows. */
static void travel(const struct site *sites, uint32_t at, const char *domain, bool traced, struct journey *j)
{
    struct trace trace = {.n = 0};
    bool left[GROUPS] = {false};
    *j = (struct journey){.steps = 0};
    for (; j->steps < STEPS_MAX; j->steps++) {
        struct route r;
        route_lookup_message(sites[at].table, span_cstr(domain), 0, traced ? &trace : NULL, 0, &r);
        j->delivered = r.kind == ROUTE_LOCAL;
        j->waits = r.kind == ROUTE_UNREACHABLE || r.kind == ROUTE_NONE;
        if (j->delivered || j->waits)
            return;
        uint32_t to = site_named(sites, r.connector->to_group);
        uint64_t generation = route_generation(sites[at].table);
        for (size_t i = 0; traced && left[to] && i < trace.n; i++)
            assert_true(generation > trace.items[i].generation);
        j->again += left[to];
        left[at] = true;
        if (traced)
            assert_int_equal(trace_leave(&trace, span_cstr(sites[at].name), generation), ERR_OK);
        at = to;
    }
    j->circles = true;
}

/* Some links go DOWN and UP, and some adjacencies are cut so that not everybody learns it. */
static void disturb(struct sim *s, struct rng *rng)
{
    for (int i = 0; i < 6; i++) {
        uint32_t a, b;
        bool up;
        assert_true(sim_link_at(s, rng_below(rng, sim_links(s)), &a, &b, &up));
        assert_int_equal(sim_cut(s, a, b, rng_below(rng, 3) > 0), ERR_OK);
        assert_true(sim_link_at(s, rng_below(rng, sim_links(s)), &a, &b, &up));
        assert_int_equal(sim_link_state(s, a, b, !up, true), ERR_OK);
    }
    sim_run(s, rng_below(rng, 40));
}

static void mend(struct sim *s)
{
    for (size_t i = 0; i < sim_links(s); i++) {
        uint32_t a, b;
        bool up;
        assert_true(sim_link_at(s, i, &a, &b, &up));
        assert_int_equal(sim_cut(s, a, b, false), ERR_OK);
        if (!up)
            assert_int_equal(sim_link_state(s, a, b, true, true), ERR_OK);
    }
}

static void test_loop__no_message_circles_among_tables_that_differ(void **state)
{
    (void)state;
    struct rng rng;
    static struct site sites[GROUPS];
    unsigned circles = 0, waits = 0, delivered = 0;
    rng_seed(&rng, check_seed());
    for (int round = 0; round < 12; round++) {
        struct sim_options o = {.seed = rng_next(&rng), .latency_min_ms = 5, .latency_max_ms = 20};
        struct sim *s = sim_new(&o);
        ms_t took;
        assert_non_null(s);
        assert_int_equal(shape_build(s, SHAPE_RANDOM, GROUPS, LINKS, &rng), ERR_OK);
        assert_int_equal(sim_start_converged(s), ERR_OK);
        sim_run(s, 100);
        for (int stage = 0; stage < 6; stage++) {
            disturb(s, &rng);
            look(s, sites);
            for (uint32_t from = 0; from < GROUPS; from++)
                for (uint32_t to = 0; to < GROUPS; to++) {
                    struct journey bare, traced;
                    travel(sites, from, sites[to].domain, false, &bare);
                    travel(sites, from, sites[to].domain, true, &traced);
                    assert_false(traced.circles);
                    circles += bare.circles;
                    waits += traced.waits;
                    delivered += traced.delivered;
                }
        }
        mend(s);
        assert_true(sim_converge(s, 600000, &took));
        look(s, sites);
        for (uint32_t from = 0; from < GROUPS; from++)
            for (uint32_t to = 0; to < GROUPS; to++) {
                struct journey j;
                travel(sites, from, sites[to].domain, true, &j);
                assert_true(j.delivered);
                assert_int_equal(j.again, 0);
            }
        sim_free(s);
    }
    for (uint32_t n = 0; n < GROUPS; n++) {
        route_table_unref(sites[n].table);
        sites[n].table = NULL;
    }
    print_message("without the rule %u circled; with it %u arrived and %u waited\n", circles, delivered,
                  waits);
    assert_true(circles > 0); /* the disturbance was one */
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_loop__no_message_circles_among_tables_that_differ));
}
