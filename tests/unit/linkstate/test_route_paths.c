/* tests/unit/linkstate/test_route_paths.c — paths are remembered by which restrictions of edges a message
 * passes; also when there are more of them than a key has bits for. */
#include "tests/unit/linkstate/world.h"

enum { RULES_OF_A_GROUP = 10, SIZES = 30 };

static void add(struct world *w, const char *text)
{
    struct span line = span_cstr(text), verb;
    assert_true(w_next(&line, &verb));
    w_line(w, verb, line);
}

static void check_way(const struct route_table *t, uint64_t size, bool high, const char *want)
{
    struct route_message m = {.size_bytes = size, .priority = high ? PRIORITY_HIGH : PRIORITY_NORMAL};
    struct route r;
    route_lookup_message(t, SPAN("z.example"), route_class(t, &m), NULL, 0, &r);
    assert_int_equal(r.kind, ROUTE_NEXT_HOP);
    assert_string_equal(r.connector->name, want);
}

static void test_route_paths__more_restrictions_than_a_key_has_bits(void **state)
{
    struct world w = {.n = 0};
    struct w_conf conf;
    char line[100];
    unsigned rule = 0;
    (void)state;
    add(&w, "group a");
    add(&w, "edge fast z 1 prio=high max=100");
    add(&w, "edge slow z 50");
    add(&w, "edge to-b0 b0 60");
    for (unsigned g = 0; g < 6; g++) { /* 1 and 60 distinct restrictions, and 6 more */
        (void)snprintf(line, sizeof line, "group b%u", g);
        add(&w, line);
        for (unsigned i = 0; i < RULES_OF_A_GROUP + 1; i++, rule++) {
            (void)snprintf(line, sizeof line, "edge e%u z 1 %s max=%u", i,
                           rule < SIZES       ? "prio=high"
                           : rule < 2 * SIZES ? "prio=low"
                                              : "content=system",
                           1000 + rule % SIZES);
            add(&w, line);
        }
    }
    add(&w, "group z");
    add(&w, "local z.example");
    struct route_table *t = w_table(&w, 0, &conf);
    assert_true(rule > 64);
    for (int i = 0; i < 3; i++) { /* in turn: each finds its own again */
        check_way(t, 10, true, "fast");
        check_way(t, 10, false, "slow");
        check_way(t, 500, true, "slow");
    }
    route_table_unref(t);
}

/* More kinds of messages than paths are remembered for: each still finds its way, and nothing is left behind.
 */
static void test_route_paths__more_kinds_than_are_remembered(void **state)
{
    struct world w = {.n = 0};
    struct w_conf conf;
    char line[100];
    (void)state;
    add(&w, "group a");
    for (unsigned i = 0; i < SIZES / 3; i++) {
        (void)snprintf(line, sizeof line, "edge e%02u z %u max=%u", i, i + 1, 100 * (i + 1));
        add(&w, line);
    }
    add(&w, "edge slow z 90");
    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(line, sizeof line, "group b%u", i);
        add(&w, line);
        (void)snprintf(line, sizeof line, "edge to-z z 1 accept=@s%u.example", i);
        add(&w, line);
    }
    add(&w, "group z");
    add(&w, "local z.example");
    struct route_table *t = w_table(&w, 0, &conf);
    for (unsigned sender = 0; sender < 6; sender++) /* 6 x 11 kinds, each with two sets of paths */
        for (unsigned i = 0; i <= SIZES / 3; i++) {
            char from[32], want[8];
            struct route r;
            (void)snprintf(from, sizeof from, "u@s%u.example", sender);
            (void)snprintf(want, sizeof want, i < SIZES / 3 ? "e%02u" : "slow", i);
            struct route_message m = {.size_bytes = (uint64_t)100 * i + 50, .sender = span_cstr(from)};
            route_lookup_message(t, SPAN("z.example"), route_class(t, &m), NULL, 0, &r);
            assert_int_equal(r.kind, ROUTE_NEXT_HOP);
            assert_string_equal(r.connector->name, want);
        }
    route_table_unref(t);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_route_paths__more_restrictions_than_a_key_has_bits),
                     cmocka_unit_test(test_route_paths__more_kinds_than_are_remembered));
}
