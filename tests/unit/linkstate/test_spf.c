/* tests/unit/linkstate/test_spf.c — against an independent computation on random graphs. */
#include "common/rng.h"
#include "linkstate/spf.h"
#include "tests/unit/check.h"

#include <stdlib.h>

enum { NODES = 24, EDGES = 90 };

static void floyd_warshall(const struct spf_edge *edges, const uint8_t *usable, uint32_t d[NODES][NODES])
{
    for (int i = 0; i < NODES; i++)
        for (int k = 0; k < NODES; k++)
            d[i][k] = i == k ? 0 : 1000000;
    for (int i = 0; i < EDGES; i++)
        if (usable[i] && edges[i].cost < d[edges[i].from][edges[i].to])
            d[edges[i].from][edges[i].to] = edges[i].cost;
    for (int m = 0; m < NODES; m++)
        for (int i = 0; i < NODES; i++)
            for (int k = 0; k < NODES; k++)
                if (d[i][m] + d[m][k] < d[i][k])
                    d[i][k] = d[i][m] + d[m][k];
}

/* The path exists, costs what is said, and begins with first_edge. */
static void check_path(const struct spf_edge *edges, const uint8_t *usable, const struct spf_result *r,
                       uint32_t source, uint32_t node)
{
    uint32_t total = 0, edge = SPF_NONE, steps = 0;
    for (uint32_t at = node; at != source; at = edges[edge].from) {
        edge = r->last_edge[at];
        assert_int_not_equal(edge, SPF_NONE);
        assert_int_equal(usable[edge], 1);
        total += edges[edge].cost;
        assert_true(++steps <= NODES);
    }
    assert_int_equal(total, r->cost[node]);
    assert_int_equal(edge, r->first_edge[node]);
}

static void test_spf__random_graphs_agree_with_floyd_warshall(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng;
        struct spf_edge edges[EDGES];
        uint8_t usable[EDGES];
        uint32_t d[NODES][NODES];
        struct spf_graph g;
        struct spf_result r;
        rng_seed(&rng, seed);
        for (int i = 0; i < EDGES; i++) {
            edges[i] = (struct spf_edge){(uint32_t)rng_below(&rng, NODES), (uint32_t)rng_below(&rng, NODES),
                                         (uint8_t)(1 + rng_below(&rng, seed % 2 ? 5 : 100))};
            usable[i] = rng_below(&rng, 10) > 1;
        }
        floyd_warshall(edges, usable, d);
        assert_int_equal(spf_graph_init(&g, NODES, edges, EDGES), ERR_OK);
        assert_int_equal(spf_result_init(&r, NODES), ERR_OK);
        for (uint32_t s = 0; s < NODES; s++) {
            assert_int_equal(spf_run(&g, s, usable, &r), ERR_OK);
            for (uint32_t n = 0; n < NODES; n++) {
                uint32_t want = d[s][n] >= 1000000 ? SPF_UNREACHABLE : d[s][n];
                if (r.cost[n] != want)
                    print_error("seed %llu source %u node %u\n", (unsigned long long)seed, s, n);
                assert_int_equal(r.cost[n], want);
                if (want != SPF_UNREACHABLE)
                    check_path(edges, usable, &r, s, n);
            }
        }
        spf_graph_done(&g);
        spf_result_done(&r);
    }
}

static void test_spf__ties_go_to_the_lowest_first_edge(void **state)
{
    /*      1         two ways of cost 2 from 0 to 3; edge 0 leads through 2
     *    0   3  */
    static const struct spf_edge edges[] = {{0, 2, 1}, {0, 1, 1}, {1, 3, 1}, {2, 3, 1}};
    struct spf_graph g;
    struct spf_result r;
    (void)state;
    assert_int_equal(spf_graph_init(&g, 4, edges, 4), ERR_OK);
    assert_int_equal(spf_result_init(&r, 4), ERR_OK);
    assert_int_equal(spf_run(&g, 0, NULL, &r), ERR_OK);
    assert_int_equal(r.cost[3], 2);
    assert_int_equal(r.first_edge[3], 0);
    assert_int_equal(r.last_edge[3], 3);
    assert_int_equal(spf_run(&g, 3, NULL, &r), ERR_OK);
    assert_int_equal(r.cost[0], SPF_UNREACHABLE);
    assert_int_equal(spf_run(&g, 4, NULL, &r), ERR_PARSE);
    spf_graph_done(&g);
    spf_result_done(&r);
}

static void test_spf__bad_edges_are_refused(void **state)
{
    static const struct spf_edge bad[] = {{0, 2, 1}, {2, 0, 1}, {0, 1, 0}, {0, 1, 101}};
    (void)state;
    CHECK_EACH (bad, e) {
        struct spf_graph g;
        assert_int_equal(spf_graph_init(&g, 2, e, 1), ERR_PARSE);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_spf__random_graphs_agree_with_floyd_warshall),
                     cmocka_unit_test(test_spf__ties_go_to_the_lowest_first_edge),
                     cmocka_unit_test(test_spf__bad_edges_are_refused));
}
