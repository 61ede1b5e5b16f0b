/* tests/unit/router/test_sources.c — which source bridgeheads are announced. */
#include "router/sources.h"
#include "tests/unit/check.h"

enum { S = 1000, H = 3600 * S };

static const char two[] = "router:\n  damping: {floods_per_hour: 8}\n"
                          "connectors:\n"
                          "  - {name: a, address_spaces: [{space: '*'}], source_bridgeheads: [w1, w2]}\n"
                          "  - {name: b, address_spaces: [{space: '*.net'}], source_bridgeheads: [w2]}\n"
                          "  - {name: c, address_spaces: [{space: '*.org'}]}\n";
static const char three[] = "connectors:\n"
                            "  - {name: a, address_spaces: [{space: '*'}], source_bridgeheads: [w1, w3]}\n";

struct world {
    struct config *conf;
    struct sources *s;
};

static void configure(struct world *w, const char *text)
{
    struct config *old = w->conf;
    struct errctx ec = {""};
    if (config_parse(span_cstr(text), "test", "/", NULL, &w->conf, NULL, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    config_unref(old); /* nothing is borrowed from it any more */
    assert_int_equal(sources_configure(w->s, config_root(w->conf)), ERR_OK);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->s = sources_new();
    assert_non_null(w->s);
    configure(w, two);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sources_free(w->s);
    config_unref(w->conf);
    free(w);
    return 0;
}

/* Names with blanks between. */
static void alive(struct world *w, const char *names)
{
    struct span rest = span_cstr(names), name;
    sources_begin(w->s);
    while (span_cut(rest, ' ', &name, &rest) || name.len > 0)
        sources_alive(w->s, name);
    sources_end(w->s);
}

static bool gone(const struct world *w, size_t connector)
{
    return sources_gone(w->s, &config_root(w->conf)->connectors.items[connector]);
}

static void test_sources__a_change_that_ends_a_connector_is_minor(void **state)
{
    struct world *w = *state;
    enum ls_level level = LS_LEVEL_REFRESH;
    assert_true(sources_any(w->s) && sources_up(w->s, SPAN("w1")) && !gone(w, 0));
    assert_false(sources_due(w->s, S, &level));
    alive(w, "other w2");
    assert_true(sources_due(w->s, S, &level));
    assert_int_equal(level, LS_LEVEL_USER); /* w2 goes on */
    assert_false(gone(w, 0) || gone(w, 1) || sources_up(w->s, SPAN("w1")));
    sources_told(w->s, S);
    assert_false(sources_due(w->s, S, &level));
    alive(w, "w1");
    assert_true(sources_due(w->s, S, &level));
    assert_int_equal(level, LS_LEVEL_MINOR); /* nobody sends over b */
    assert_true(!gone(w, 0) && gone(w, 1) && !gone(w, 2));
    sources_told(w->s, S);
    alive(w, "w1 w2");
    assert_true(sources_due(w->s, H, &level));
    assert_int_equal(level, LS_LEVEL_MINOR);
}

static void test_sources__changes_are_announced_so_often_an_hour(void **state)
{
    struct world *w = *state;
    enum ls_level level;
    unsigned told = 0;
    for (ms_t now = S; now < 10 * (ms_t)H; now += 10 * S) {
        alive(w, now / (10 * S) % 2 == 0 ? "w1 w2" : "");
        if (sources_due(w->s, now, &level)) {
            sources_told(w->s, now);
            told++;
        }
    }
    assert_in_range(told, 40, 84); /* eight an hour, some of the first ones at once */
}

static void test_sources__a_new_configuration_keeps_what_is_known(void **state)
{
    struct world *w = *state;
    enum ls_level level;
    alive(w, "w2");
    sources_told(w->s, S);
    configure(w, three);
    assert_false(sources_up(w->s, SPAN("w1")));
    assert_true(sources_up(w->s, SPAN("w3"))); /* until it is known */
    assert_false(gone(w, 0));
    assert_false(sources_due(w->s, H, &level));
    alive(w, "w2");
    assert_true(gone(w, 0));
    configure(w, "log: {level: info}\n");
    assert_false(sources_any(w->s));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test_setup_teardown(test_sources__a_change_that_ends_a_connector_is_minor,
                                                     setup, teardown),
                     cmocka_unit_test_setup_teardown(test_sources__changes_are_announced_so_often_an_hour,
                                                     setup, teardown),
                     cmocka_unit_test_setup_teardown(test_sources__a_new_configuration_keeps_what_is_known,
                                                     setup, teardown));
}
