/* tests/unit/linkstate/test_route_sources.c — source bridgeheads: step 6 of linkstate/route.h. */
#include "tests/unit/linkstate/world.h"

struct asked {
    const char *domain, *want; /* the connector, or "wait" */
};

static void play(const char *text, const struct asked *list, size_t n)
{
    struct world w = {.n = 0};
    struct w_conf conf;
    struct span rest = span_cstr(text), line, verb;
    while (rest.len > 0) {
        (void)span_cut(rest, '\n', &line, &rest);
        if (w_next(&line, &verb))
            w_line(&w, verb, line);
    }
    struct route_table *t = w_table(&w, 0, &conf);
    for (size_t i = 0; i < n; i++) {
        struct route r;
        struct route_explanation x;
        struct route_ask ask = {.domain = span_cstr(list[i].domain)};
        route_lookup(t, ask.domain, 0, &r);
        assert_int_equal(route_explain(t, &ask, &x), ERR_OK);
        assert_int_equal(x.kind, r.kind);
        if (strcmp(list[i].want, "wait") == 0) {
            assert_int_equal(r.kind, ROUTE_UNREACHABLE);
        } else {
            assert_int_equal(r.kind, ROUTE_NEXT_HOP);
            assert_string_equal(r.connector->name, list[i].want);
            check_span(x.first.connector, span_cstr(list[i].want));
        }
        route_explanation_done(&x);
    }
    route_table_unref(t);
}

/* What nobody is there to send over does not lead on, in this group or in another, by DNS or not. */
static void test_route_sources__that_are_gone_close_a_connector(void **state)
{
    (void)state;
    static const struct asked three[] = {{"b.example", "to-c"}, {"x.org", "wait"}, {"x.net", "to-c"}},
                              two[] = {{"x.net", "wide"}}, strict[] = {{"x.net", "wait"}};
    play("group a\n"
         "edge to-b b 1 source=w1 dead\n"
         "edge to-c c 5 source=w1\n"
         "group b\n"
         "local b.example\n"
         "group c\n"
         "edge to-b b 1\n"
         "smtp out * 9 dns source=w8 dead\n"
         "smtp far *.net 9\n"
         "smtp far x.net 9\n",
         three, ARRAY_LEN(three));
    play("group a\n"
         "smtp near x.net 1 dns source=w1 dead\n"
         "smtp wide * 9 source=w2\n",
         two, ARRAY_LEN(two));
    play("group a\n"
         "smtp near x.net 1 dns source=w1 dead\n"
         "smtp wide * 9\n"
         "option fall_back=no\n",
         strict, ARRAY_LEN(strict));
}

static void test_route_sources__are_asked_for_after_the_connector_is_chosen(void **state)
{
    (void)state;
    char first[] = "w1", second[] = "w2", *names[] = {first, second};
    struct conf_connector some = {.source_bridgeheads = {names, 2}}, none = {.cost = 1};
    struct route by_some = {.kind = ROUTE_NEXT_HOP, .connector = &some},
                 by_all = {.kind = ROUTE_NEXT_HOP, .connector = &none}, local = {.kind = ROUTE_LOCAL};
    assert_true(route_from_member(&by_some, SPAN("w1")) && route_from_member(&by_some, SPAN("w2")));
    assert_false(route_from_member(&by_some, SPAN("w")) || route_from_member(&by_some, SPAN("W1")) ||
                 route_from_member(&by_some, SPAN("")));
    assert_true(route_from_member(&by_all, SPAN("w3")) && route_from_member(&local, SPAN("w3")));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_route_sources__that_are_gone_close_a_connector),
                     cmocka_unit_test(test_route_sources__are_asked_for_after_the_connector_is_chosen));
}
