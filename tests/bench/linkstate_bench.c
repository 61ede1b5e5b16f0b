/* tests/bench/linkstate_bench.c — link state at the size it promises: paths, memory, bytes of one change.
 *
 *   linkstate_bench [paths] [GROUPS [CONNECTORS]]    default 10000 50000; paths: nothing else
 *
 * Paths are counted in processor time. Prints one line a measure; judges nothing. */
#include "common/clock.h"
#include "common/rng.h"
#include "linkstate/route.h"
#include "linkstate/shape.h"
#include "linkstate/snapshot.h"
#include "linkstate/spf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 21 };

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double used_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A tree that reaches everybody, then random edges. */
static void paths(uint32_t groups, uint32_t connectors)
{
    struct rng rng;
    struct spf_graph g;
    struct spf_result r;
    double took[RUNS];
    uint32_t reached = 0;
    struct spf_edge *edges = calloc(connectors, sizeof *edges);
    if (edges == NULL)
        abort();
    rng_seed(&rng, 1);
    for (uint32_t i = 0; i < connectors; i++) {
        uint32_t to = i + 1 < groups ? i + 1 : (uint32_t)rng_below(&rng, groups);
        uint32_t from = (uint32_t)rng_below(&rng, i + 1 < groups ? to : groups);
        edges[i] = (struct spf_edge){from, to, (uint8_t)(1 + rng_below(&rng, SPF_COST_MAX))};
    }
    if (spf_graph_init(&g, groups, edges, connectors) != ERR_OK || spf_result_init(&r, groups) != ERR_OK)
        abort();
    for (int i = 0; i < RUNS; i++) {
        double begin = used_ms();
        if (spf_run(&g, 0, NULL, &r) != ERR_OK)
            abort();
        took[i] = used_ms() - begin;
    }
    for (uint32_t i = 0; i < groups; i++)
        reached += r.cost[i] != SPF_UNREACHABLE;
    qsort(took, RUNS, sizeof took[0], by_value);
    printf("shortest paths, %" PRIu32 " groups, %" PRIu32 " connectors, %" PRIu32
           " reached: median %.2f ms, worst %.2f ms\n",
           groups, connectors, reached, took[RUNS / 2], took[RUNS - 1]);
    /* A connector that many paths use goes DOWN, or comes back. All of it is computed anew: in less than what
     * is allowed for the part that changed. */
    uint8_t *usable = malloc(connectors);
    if (usable == NULL)
        abort();
    memset(usable, 1, connectors);
    for (int i = 0; i < RUNS; i++) {
        uint32_t one = r.last_edge[1 + (uint32_t)rng_below(&rng, groups - 1)];
        double begin = used_ms();
        usable[one == SPF_NONE ? 0 : one] ^= 1;
        if (spf_run(&g, 0, usable, &r) != ERR_OK)
            abort();
        took[i] = used_ms() - begin;
    }
    qsort(took, RUNS, sizeof took[0], by_value);
    printf("after one change, %" PRIu32 " groups, %" PRIu32 " connectors: median %.2f ms, worst %.2f ms\n",
           groups, connectors, took[RUNS / 2], took[RUNS - 1]);
    free(usable);
    spf_result_done(&r);
    spf_graph_done(&g);
    free(edges);
}

/* One link of a converged random topology goes DOWN. */
static void flood(uint32_t groups, uint32_t links)
{
    struct sim_options o = {.seed = 1, .latency_min_ms = 5, .latency_max_ms = 20};
    struct sim_stats stats;
    struct rng rng;
    uint32_t a, b;
    bool up;
    ms_t took = 0;
    double begin = now_ms();
    struct rusage used;
    struct sim *s = sim_new(&o);
    rng_seed(&rng, 1);
    if (s == NULL || shape_build(s, SHAPE_RANDOM, groups, links, &rng) != ERR_OK ||
        sim_start_converged(s) != ERR_OK)
        abort();
    sim_run(s, 100);
    sim_stats_reset(s);
    if (!sim_link_at(s, links / 2, &a, &b, &up) || sim_link_state(s, a, b, false, true) != ERR_OK ||
        !sim_converge(s, 60000, &took))
        abort();
    sim_stats(s, &stats);
    uint64_t full = sim_full_flood_bytes(s);
    (void)getrusage(RUSAGE_SELF, &used);
    printf("one link DOWN, %" PRIu32 " groups, %zu connectors: %" PRIu64 " bytes, %.3f %% of %" PRIu64
           " for full tables, most crossings %" PRIu64 "; simulated in %.2f s, %ld MiB at most\n",
           groups, sim_links(s) * 2, stats.bytes, 100.0 * (double)stats.bytes / (double)full, full,
           stats.advertised_most, (now_ms() - begin) / 1000, used.ru_maxrss / 1024);
    sim_free(s);
}

enum { LOOKUPS = 10000000, DOMAINS = 4096, DOMAIN_MAX = 64 };

/* A group that sees all others: one address space each, names of two and three labels, one class. Warm: every
 * answer was found before. */
static void lookups(uint32_t groups, uint32_t links)
{
    static char name[DOMAIN_MAX], to[64][DOMAIN_MAX], domains[DOMAINS][DOMAIN_MAX];
    static struct conf_connector connectors[64];
    struct conf_root root = {.routing_group = {.name = name, .fall_back = true, .scope_in_transit = true},
                             .connectors = {.items = connectors}};
    struct sim_options o = {.seed = 1, .latency_min_ms = 5, .latency_max_ms = 20};
    struct route_table *t = NULL;
    struct errctx ec = {""};
    struct buf b;
    struct rng rng;
    struct route r;
    uint64_t sum = 0;
    struct sim *s = sim_new(&o);
    rng_seed(&rng, 1);
    buf_init(&b, LS_SNAPSHOT_MAX);
    if (s == NULL || shape_build(s, SHAPE_RANDOM, groups, links, &rng) != ERR_OK ||
        sim_start_converged(s) != ERR_OK)
        abort();
    (void)snprintf(name, sizeof name, "%s", sim_group_name(s, 0));
    for (size_t i = 0; i < sim_links(s) && root.connectors.count < ARRAY_LEN(connectors); i++) {
        uint32_t from, end;
        bool up;
        size_t n = root.connectors.count;
        if (!sim_link_at(s, i, &from, &end, &up) || (from != 0 && end != 0))
            continue;
        (void)snprintf(to[n], sizeof to[n], "%s", sim_group_name(s, from == 0 ? end : from));
        connectors[n] = (struct conf_connector){
            .name = to[n], .type = CONF_CONNECTOR_ROUTING_GROUP, .to_group = to[n], .cost = 1};
        root.connectors.count++;
    }
    if (ls_snapshot_emit(ls_table(sim_engine(s, 0)), sim_now(s), &b, &ec) != ERR_OK)
        abort();
    double built = now_ms();
    if (route_table_build(&root, buf_span(&b), NULL, NULL, &t, &ec) != ERR_OK)
        abort();
    double done = now_ms();
    for (size_t i = 0; i < DOMAINS; i++) {
        (void)snprintf(domains[i], DOMAIN_MAX, "%s.example",
                       sim_group_name(s, (uint32_t)rng_below(&rng, groups)));
        route_lookup(t, span_cstr(domains[i]), 0, &r);
    }
    double begin = now_ms();
    for (size_t i = 0; i < LOOKUPS; i++) {
        const char *domain = domains[i % DOMAINS];
        route_lookup(t, span_of(domain, 14), 0, &r); /* "g00000.example" */
        sum += r.cost;
    }
    double took = now_ms() - begin;
    printf("route lookup, warm, %" PRIu32 " groups, %zu connectors: %.2f million a second (sum %" PRIu64
           "); the table was built in %.1f ms\n",
           groups, sim_links(s) * 2, (double)LOOKUPS / took / 1000, sum, done - built);
    route_table_unref(t);
    buf_done(&b);
    sim_free(s);
}

int main(int argc, char **argv)
{
    uint64_t n[2] = {LSDB_GROUPS_MAX, 50000};
    bool only_paths = argc > 1 && strcmp(argv[1], "paths") == 0;
    argc -= only_paths;
    argv += only_paths;
    for (int i = 1; i < argc; i++) {
        if (i > 2 || !span_to_u64(span_cstr(argv[i]), 10 * LSDB_CONNECTORS_MAX, &n[i - 1]))
            return 2;
    }
    if (n[0] < 2 || n[1] < n[0])
        return 2;
    paths((uint32_t)n[0], (uint32_t)n[1]);
    if (only_paths)
        return 0;
    lookups((uint32_t)(n[0] / 10 < 2 ? 2 : n[0] / 10), (uint32_t)(n[1] / 20));
    flood((uint32_t)(n[0] / 10 < 2 ? 2 : n[0] / 10), (uint32_t)(n[1] / 20));
    flood((uint32_t)n[0], (uint32_t)(n[1] / 2));
    return 0;
}
