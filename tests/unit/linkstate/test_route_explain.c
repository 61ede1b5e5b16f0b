/* tests/unit/linkstate/test_route_explain.c — mirrors linkstate/route_explain.c */
#include "linkstate/trace.h"
#include "tests/unit/linkstate/world.h"

static void test_route_explain__explains_every_candidate(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    static const struct {
        const char *verb, *line;
    } lines[] = {{"group", "a"},
                 {"edge", "to-b b 1 source=w1"},
                 {"edge", "to-c c 9"},
                 {"smtp", "out * 90 dns"},
                 {"group", "b"},
                 {"edge", "to-d d 2"},
                 {"smtp", "x x.net 7"},
                 {"smtp", "y x.net 1 down"},
                 {"smtp", "z x.net 1 scope"},
                 {"smtp", "yy x.net 1 source=w7 dead"},
                 {"group", "c"},
                 {"smtp", "u x.net 9 max=10"},
                 {"smtp", "v x.net 30"},
                 {"group", "d"},
                 {"smtp", "t x.net 5"},
                 {"group", "e"},
                 {"smtp", "s x.net 1"}};
    static const struct {
        const char *group, *connector;
        enum route_fate fate;
    } want[] = {{"b", "x", ROUTE_CHOSEN}, {"b", "y", ROUTE_DOWN},       {"b", "yy", ROUTE_NO_SOURCE},
                {"b", "z", ROUTE_SCOPE},  {"c", "u", ROUTE_RESTRICTED}, {"c", "v", ROUTE_DEARER},
                {"d", "t", ROUTE_TIE},    {"e", "s", ROUTE_NO_PATH},    {"a", "out", ROUTE_LESS_SPECIFIC}};
    struct trace trace = {.n = 1, .items = {{SPAN_INIT("b"), 99}}};
    struct route_ask ask = {.domain = SPAN("x.net"), .message = {.size_bytes = 11}};
    struct route_explanation x;
    CHECK_EACH (lines, l)
        w_line(&w, span_cstr(l->verb), span_cstr(l->line));
    w_connector_of(&w.g[3], SPAN("t"))->name[0] = 'z'; /* after x by name, as dear as x */
    struct route_table *t = w_table(&w, 0, &conf);
    assert_int_equal(route_explain(t, &ask, &x), ERR_OK);
    assert_int_equal(x.ncandidates, ARRAY_LEN(want));
    for (size_t i = 0; i < x.ncandidates; i++) {
        check_span(x.candidates[i].group, span_cstr(want[i].group));
        assert_string_equal(route_fate_text(x.candidates[i].fate), route_fate_text(want[i].fate));
    }
    assert_int_equal(x.chosen, 0);
    assert_string_equal(x.candidates[4].restriction, "max_message_size");
    assert_int_equal(x.cost, 8);
    assert_int_equal(x.nsteps, 1);
    check_span(x.steps[0].connector, SPAN("to-b"));
    check_span(x.first.connector, SPAN("to-b"));
    assert_int_equal(x.ntargets, 2);
    assert_int_equal(x.nsources, 1);
    check_span(x.sources[0].name, SPAN("w1"));
    assert_true(x.sources[0].up);
    assert_true(x.targets[0].up);
    struct route_link first = x.first;
    route_explanation_done(&x);
    ask.down = &first; /* and if the first choice failed? */
    ask.ndown = 1;
    assert_int_equal(route_explain(t, &ask, &x), ERR_OK);
    check_span(x.first.connector, SPAN("to-c"));
    assert_int_equal(x.cost, 39);
    assert_int_equal(x.candidates[0].fate, ROUTE_CUT_OFF);
    route_explanation_done(&x);
    ask.ndown = 0;
    ask.trace = &trace;
    assert_int_equal(route_explain(t, &ask, &x), ERR_OK);
    assert_int_equal(x.candidates[0].fate, ROUTE_VISITED);
    route_explanation_done(&x);
    ask.from_group = SPAN("nobody");
    assert_int_equal(route_explain(t, &ask, &x), ERR_NOTFOUND);
    route_table_unref(t);
}

static void test_route_explain__names_the_connector_whose_sources_are_waited_for(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    static const struct {
        const char *verb, *line;
    } lines[] = {{"group", "a"},         {"edge", "to-b b 1 source=w1"},         {"edge", "to-d d 1 down"},
                 {"group", "b"},         {"edge", "to-c c 1 source=w7 dead"},    {"group", "c"},
                 {"local", "c.example"}, {"smtp", "out * 1 dns source=w8 dead"}, {"group", "d"},
                 {"local", "d.example"}};
    static const struct {
        const char *domain, *group, *connector, *source;
    } asked[] = {{"c.example", "b", "to-c", "w7"}, {"x.org", "b", "to-c", "w7"}, {"d.example", "", "", ""}};
    struct route_explanation x;
    CHECK_EACH (lines, l)
        w_line(&w, span_cstr(l->verb), span_cstr(l->line));
    struct route_table *t = w_table(&w, 0, &conf);
    CHECK_EACH (asked, a) {
        struct route_ask ask = {.domain = span_cstr(a->domain)};
        assert_int_equal(route_explain(t, &ask, &x), ERR_OK);
        assert_int_equal(x.kind, ROUTE_UNREACHABLE);
        check_span(x.waits_for.group, span_cstr(a->group));
        check_span(x.waits_for.connector, span_cstr(a->connector));
        assert_int_equal(x.nsources, a->source[0] != '\0');
        if (x.nsources > 0)
            check_span(x.sources[0].name, span_cstr(a->source));
        route_explanation_done(&x);
    }
    route_table_unref(t);
}

static void test_route_explain__lists_every_address_space(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    struct route_entry e;
    static const struct {
        const char *verb, *line;
    } lines[] = {{"group", "a"}, {"local", "a.example"},       {"edge", "to-b b 3"}, {"smtp", "out * 9 dns"},
                 {"group", "b"}, {"smtp", "lab *.net 2 down"}, {"group", "c"},       {"smtp", "far *.net 2"}};
    CHECK_EACH (lines, l)
        w_line(&w, span_cstr(l->verb), span_cstr(l->line));
    struct route_table *t = w_table(&w, 0, &conf);
    assert_int_equal(route_entries(t), 4);
    assert_true(route_entry_at(t, 0, &e) && e.local && e.usable);
    assert_true(route_entry_at(t, 1, &e) && e.usable && e.cost == 9 && e.path_cost == 0);
    assert_true(route_entry_at(t, 2, &e) && !e.usable && !e.up && e.has_path && e.cost == 5);
    check_span(e.space, SPAN("*.net"));
    assert_true(route_entry_at(t, 3, &e) && !e.usable && e.up && !e.has_path && e.cost == UINT32_MAX);
    check_span(e.group, SPAN("c"));
    assert_false(route_entry_at(t, 4, &e));
    route_table_unref(t);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_route_explain__explains_every_candidate),
                     cmocka_unit_test(test_route_explain__names_the_connector_whose_sources_are_waited_for),
                     cmocka_unit_test(test_route_explain__lists_every_address_space));
}
