/* tests/unit/router/test_table.c — a published table is checked a part at a time, others have their turn
 * between. */
#include "linkstate/sim.h"
#include "router/core.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>

enum { GROUPS = 1000 };

struct look { /* another timer of the loop, always due */
    struct router *r;
    struct timer *timer;
    uint64_t checked, most;
    unsigned times;
};

static void on_look(void *arg)
{
    struct look *l = arg;
    uint64_t now = metric_get(&l->r->m.checked);
    if (now - l->checked > l->most)
        l->most = now - l->checked;
    l->checked = now;
    l->times++;
    if (l->r->restoring)
        timer_set(l->timer, 0);
    else
        loop_stop(l->r->loop);
}

static void published(struct buf *out)
{
    struct sim_options o = {.seed = 1, .latency_min_ms = 1, .latency_max_ms = 1};
    struct sim *s = sim_new(&o);
    char name[16];
    for (int i = 0; i < GROUPS; i++) {
        (void)snprintf(name, sizeof name, "g%04d", i);
        (void)sim_group(s, name);
    }
    for (uint32_t i = 1; i < GROUPS; i++)
        assert_int_equal(sim_link(s, i - 1, i, 1, 1), ERR_OK);
    assert_int_equal(sim_start_converged(s), ERR_OK);
    buf_init(out, LS_SNAPSHOT_MAX);
    assert_int_equal(ls_snapshot_emit(ls_table(sim_engine(s, 0)), sim_now(s), out, NULL), ERR_OK);
    sim_free(s);
}

static void test_table__is_checked_a_part_at_a_time_and_timers_fire_between(void **state)
{
    struct router *r = calloc(1, sizeof *r);
    struct config *conf;
    struct errctx ec;
    struct buf bytes;
    struct look look = {.r = r};
    (void)state;
    published(&bytes);
    assert_int_equal(config_parse(SPAN("organization: sim\n"), "test.yaml", "/", NULL, &conf, NULL, &ec),
                     ERR_OK);
    r->root = config_root(conf);
    r->loop = loop_new();
    assert_int_equal(table_start(r), ERR_OK);
    look.timer = timer_new(r->loop, on_look, &look);
    table_begin(r, &(struct routing_table){.version = 1, .bytes = buf_span(&bytes)});
    timer_set(look.timer, 0);
    loop_run(r->loop);
    assert_int_equal(metric_get(&r->m.checked), GROUPS);
    assert_int_equal(look.checked, GROUPS);
    assert_in_range(look.most, 1, TABLE_CHECKS);
    assert_true(look.times >= GROUPS / TABLE_CHECKS);
    assert_int_equal(r->trusted.records, 0); /* signed with keys of a simulation: none of them is believed */
    timer_free(look.timer);
    table_stop(r);
    loop_free(r->loop);
    config_unref(conf);
    buf_done(&bytes);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__is_checked_a_part_at_a_time_and_timers_fire_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
