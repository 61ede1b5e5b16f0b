/* tests/unit/linkstate/test_sim_config.c — configurations as a simulated organization. */
#include "linkstate/scenario.h"
#include "linkstate/sim_config.h"
#include "tests/unit/check.h"

#include <string.h>

enum { CONFIGS = 4 };
struct world {
    struct config *conf[CONFIGS];
    const struct conf_root *roots[CONFIGS];
    size_t n;
    struct sim *s;
    struct buf notes;
    struct errctx ec;
};

static enum err build(struct world *w, const char *const *yaml)
{
    struct sim_options o = {.seed = 1, .latency_min_ms = 1, .latency_max_ms = 5};
    *w = (struct world){.s = sim_new(&o)};
    buf_init(&w->notes, 4096);
    for (; yaml[w->n] != NULL; w->n++) {
        if (config_parse(span_cstr(yaml[w->n]), "plan", "/base", NULL, &w->conf[w->n], NULL, &w->ec) !=
            ERR_OK)
            fail_msg("%s", w->ec.msg);
        w->roots[w->n] = config_root(w->conf[w->n]);
    }
    return sim_configured(w->s, w->roots, w->n, &w->notes, &w->ec);
}

static void done(struct world *w)
{
    sim_free(w->s);
    for (size_t i = 0; i < w->n; i++)
        config_unref(w->conf[i]);
    buf_done(&w->notes);
}

static void parse_record(struct world *w, uint32_t at, const char *group, struct record *ret)
{
    const struct lsdb_slot *slot = lsdb_find(ls_table(sim_engine(w->s, at)), span_cstr(group));
    assert_non_null(slot);
    assert_int_equal(record_parse(slot->record->body, ret, NULL), ERR_OK);
}

static const struct record_connector *connector(const struct record *r, const char *name)
{
    for (size_t i = 0; i < r->nconnectors; i++)
        if (span_eq(r->connectors[i].name, span_cstr(name)))
            return &r->connectors[i];
    return NULL;
}

#define CONNECTOR(name, group, cost)                                                                         \
    "  - {name: " name ", type: routing_group, to_group: " group ", cost: " cost                             \
    ", smart_hosts: [t.example]}\n"

/* What a group says is its configuration, with the state of the link that a connector goes over. */
static void test_sim_configured__connectors_cost_and_state(void **state)
{
    static const char *const yaml[] = {
        "routing_group: {name: a}\nconnectors:\n" CONNECTOR("ab1", "b", "7") CONNECTOR(
            "ab2", "b",
            "9") "  - {name: out, address_spaces: [{space: \"*\", cost: 3}], smart_hosts: [m.example]}\n",
        "routing_group: {name: b}\nconnectors:\n" CONNECTOR("ba", "a", "5"), NULL};
    struct world w;
    struct record r;
    ms_t took;
    (void)state;
    assert_int_equal(build(&w, yaml), ERR_OK);
    assert_string_equal(buf_cstr(&w.notes), "");
    assert_int_equal(sim_start(w.s), ERR_OK);
    assert_true(sim_converge(w.s, 10000, &took));
    parse_record(&w, 1, "a", &r);
    assert_int_equal(connector(&r, "ab1")->cost, 7);
    assert_int_equal(connector(&r, "out")->spaces[0].cost, 3);
    assert_true(connector(&r, "ab2")->up);
    record_done(&r);

    assert_int_equal(sim_link_state(w.s, 1, 0, false, true), ERR_OK);
    assert_int_equal(sim_connector_state(w.s, 0, SPAN("out"), false), ERR_OK);
    assert_int_equal(sim_connector_state(w.s, 0, SPAN("none"), false), ERR_NOTFOUND);
    assert_int_equal(sim_cost(w.s, 0, 1, 20), ERR_OK);
    assert_true(sim_converge(w.s, 10000, &took));
    parse_record(&w, 1, "a", &r);
    assert_false(connector(&r, "ab1")->up);
    assert_false(connector(&r, "ab1")->targets[0].up);
    assert_false(connector(&r, "out")->up);
    assert_int_equal(connector(&r, "ab2")->cost, 20);
    record_done(&r);
    assert_int_equal(w.roots[0]->connectors.items[0].cost, 7); /* borrowed, not changed */
    done(&w);
}

/* Without neighbours a connector in one direction is enough for an adjacency, but mail goes one way. */
static void test_sim_configured__a_connector_in_one_direction(void **state)
{
    static const char *const yaml[] = {"routing_group: {name: a}\nconnectors:\n" CONNECTOR("ab", "b", "7"),
                                       "routing_group: {name: b}\n", NULL};
    struct world w;
    ms_t took;
    (void)state;
    assert_int_equal(build(&w, yaml), ERR_OK);
    assert_int_equal(sim_start(w.s), ERR_OK);
    assert_true(sim_converge(w.s, 10000, &took));
    assert_int_equal(ls_table(sim_engine(w.s, 1))->records, 2);
    assert_int_equal(sim_cost(w.s, 0, 1, 3), ERR_OK);
    assert_int_equal(sim_cost(w.s, 1, 0, 3), ERR_NOTFOUND);
    done(&w);
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define GROUP(name, neighbours)                                                                              \
    "routing_group:\n  name: " name "\n  key_file: k\n  organization_key: " HEX64                            \
    "f\n  transport_key_file: t\n  neighbours: [" neighbours "]\n"
#define NEIGHBOUR(name, digit) "{group: " name ", keys: [" HEX64 digit "]}"

/* Where neighbours are named, only two groups that name each other are adjacent, and a hint says so. */
static void test_sim_configured__neighbours_decide_who_is_adjacent(void **state)
{
    static const char *const yaml[] = {
        GROUP("a", NEIGHBOUR("b", "1") ", " NEIGHBOUR("c", "2")),
        GROUP("b", NEIGHBOUR("a", "1") ", " NEIGHBOUR("x", "2")) "connectors:\n" CONNECTOR("bx", "x", "2"),
        GROUP("c", NEIGHBOUR("b", "1")), NULL};
    struct world w;
    ms_t took;
    (void)state;
    assert_int_equal(build(&w, yaml), ERR_OK);
    assert_string_equal(
        buf_cstr(&w.notes),
        "group b: connector bx leads to group x, whose configuration is not here\n"
        "group b: neighbour x has no configuration here\n"
        "group a has group c for a neighbour, but not the other way round: their routers do not "
        "speak to each other\n"
        "group c has group b for a neighbour, but not the other way round: their routers do not "
        "speak to each other\n");
    assert_int_equal(sim_start(w.s), ERR_OK);
    assert_true(sim_converge(w.s, 60000, &took));
    assert_int_equal(ls_table(sim_engine(w.s, 0))->records, 2);
    assert_int_equal(ls_table(sim_engine(w.s, 2))->records, 1);
    assert_int_equal(sim_link_state(w.s, 0, 2, false, true), ERR_OK); /* still no adjacency */
    assert_true(sim_converge(w.s, 60000, &took));
    assert_int_equal(ls_table(sim_engine(w.s, 2))->records, 1);
    done(&w);
}

/* Scripts name connectors of configured groups, but not those that are never DOWN. */
static void test_sim_configured__a_script_names_connectors(void **state)
{
    static const char *const yaml[] = {
        "routing_group: {name: a}\nconnectors:\n" CONNECTOR("ab", "b", "7")
            CONNECTOR("ax", "x", "7") "  - {name: dns, address_spaces: [{space: \"*\", cost: 3}]}\n",
        "routing_group: {name: b}\n", NULL};
    struct world w;
    struct scenario sc;
    struct scenario_result was;
    struct record r;
    (void)state;
    assert_int_equal(build(&w, yaml), ERR_OK);
    assert_int_equal(scenario_parse(SPAN("down a dns"), w.s, &sc, &w.ec), ERR_STATE);
    assert_string_equal(w.ec.msg, "line 1: a connector that finds its targets by DNS is never DOWN: 'dns'");
    assert_int_equal(scenario_parse(SPAN("down b ab"), w.s, &sc, &w.ec), ERR_NOTFOUND);
    assert_int_equal(scenario_parse(SPAN("down a ax\ndown a ab"), w.s, &sc, &w.ec), ERR_OK);
    assert_int_equal(sim_start_converged(w.s), ERR_OK);
    for (size_t i = 0; i < sc.n; i++)
        assert_int_equal(scenario_run(w.s, &sc.events[i], sim_now(w.s), 10000, &was), ERR_OK);
    assert_true(was.converged);
    parse_record(&w, 1, "a", &r);
    assert_false(connector(&r, "ax")->up);
    assert_false(connector(&r, "ab")->up);
    record_done(&r);
    scenario_done(&sc);
    done(&w);
}

static void test_sim_configured__what_cannot_be_one_organization(void **state)
{
    static const struct {
        const char *yaml[3];
        enum err e;
        const char *says;
    } cases[] = {
        {{"routing_group: {name: a}\n", "routing_group: {name: a}\n", NULL},
         ERR_EXISTS,
         "two configurations are of group a; give each group a routing_group.name of its own"},
        {{"organization: one\nrouting_group: {name: a}\n", "organization: two\nrouting_group: {name: b}\n",
          NULL},
         ERR_CONFIG,
         "group a is of organization 'one', group b of 'two': they would not speak to each other; name the "
         "same "
         "organization in both"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct world w;
        assert_int_equal(build(&w, c->yaml), c->e);
        assert_string_equal(w.ec.msg, c->says);
        done(&w);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_sim_configured__connectors_cost_and_state),
                     cmocka_unit_test(test_sim_configured__a_connector_in_one_direction),
                     cmocka_unit_test(test_sim_configured__neighbours_decide_who_is_adjacent),
                     cmocka_unit_test(test_sim_configured__a_script_names_connectors),
                     cmocka_unit_test(test_sim_configured__what_cannot_be_one_organization));
}
