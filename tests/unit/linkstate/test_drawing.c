/* tests/unit/linkstate/test_drawing.c — the organization as DOT and as SVG: golden files, and what holds for
 * any. */
#include "linkstate/drawing.h"

#include "linkstate/shape.h"
#include "tests/unit/golden.h"

static const struct {
    const char *from, *to, *connector;
    uint8_t cost;
    bool up;
} links[] = {
    {"berlin", "paris", "to-paris", 10, true},
    {"paris", "berlin", "to-berlin", 10, true},
    {"paris", "madrid", "to-madrid", 5, false},
    {"madrid", "paris", "to-paris", 7, true},
    {"berlin", "madrid", "slow-line", 30, true},
    {"madrid", "berlin", "slow-line", 30, true},
    {"berlin", "oslo", "cable", 2, false},
    {"berlin", "oslo", "satellite", 9, true},
    {"oslo", "berlin", "cable", 2, false},
    {"oslo", "berlin", "satellite", 9, true},
    {"madrid", "not-yet-there", "new-site", 1, true},
};
static const struct {
    const char *group, *space, *connector;
    uint8_t cost;
    bool up;
} exits[] = {
    {"berlin", "*", "internet", 1, true},
    {"oslo", "*.example.no", "smart", 3, false},
    {"oslo", "*", "smart", 50, false},
    {"paris", "paris.example", RECORD_LOCAL_CONNECTOR, 1, true},
};

static struct drawing *site(bool backwards)
{
    struct drawing *d = drawing_new(SPAN("example"), SPAN("berlin"));
    static const char *const groups[] = {"berlin", "madrid", "oslo", "paris"};
    assert_non_null(d);
    for (size_t n = 0; n < ARRAY_LEN(links); n++) {
        size_t i = backwards ? ARRAY_LEN(links) - 1 - n : n;
        assert_int_equal(drawing_link(d, span_cstr(links[i].from), span_cstr(links[i].to), links[i].cost,
                                      links[i].up, span_cstr(links[i].connector)),
                         ERR_OK);
    }
    for (size_t n = 0; n < ARRAY_LEN(exits); n++) {
        size_t i = backwards ? ARRAY_LEN(exits) - 1 - n : n;
        assert_int_equal(drawing_exit(d, span_cstr(exits[i].group), span_cstr(exits[i].space), exits[i].cost,
                                      exits[i].up, span_cstr(exits[i].connector)),
                         ERR_OK);
    }
    for (size_t n = 0; n < ARRAY_LEN(groups); n++)
        assert_int_equal(drawing_group(d, span_cstr(groups[backwards ? 3 - n : n])), ERR_OK);
    return d;
}

static void test_drawing__is_as_reviewed(void **state)
{
    struct drawing *d = site(false);
    struct buf out;
    (void)state;
    buf_init(&out, DRAWING_MAX);
    assert_int_equal(drawing_svg(d, &out), ERR_OK);
    check_golden("golden/drawing.svg", buf_span(&out));
    buf_clear(&out);
    assert_int_equal(drawing_dot(d, &out), ERR_OK);
    check_golden("golden/drawing.dot", buf_span(&out));
    buf_done(&out);
    drawing_free(d);
}

static void test_drawing__does_not_depend_on_the_order(void **state)
{
    struct drawing *one = site(false), *other = site(true);
    struct buf a, b;
    (void)state;
    buf_init(&a, DRAWING_MAX);
    buf_init(&b, DRAWING_MAX);
    assert_int_equal(drawing_svg(one, &a), ERR_OK);
    assert_int_equal(drawing_svg(other, &b), ERR_OK);
    assert_int_equal(drawing_svg(other, &a), ERR_OK); /* a second time */
    check_span(span_first(buf_span(&a), b.len), buf_span(&b));
    check_span(span_from(buf_span(&a), b.len), buf_span(&b));
    buf_done(&a);
    buf_done(&b);
    drawing_free(one);
    drawing_free(other);
}

static void test_drawing__escapes_names(void **state)
{
    static const char evil[] = "<b>&\"\\\x01\xc3\xa9";
    struct drawing *d = drawing_new(span_cstr(evil), SPAN(""));
    struct buf svg, dot;
    (void)state;
    buf_init(&svg, DRAWING_MAX);
    buf_init(&dot, DRAWING_MAX);
    assert_int_equal(drawing_link(d, span_cstr(evil), SPAN("x"), 1, true, span_cstr(evil)), ERR_OK);
    assert_int_equal(drawing_exit(d, SPAN("x"), span_cstr(evil), 1, true, span_cstr(evil)), ERR_OK);
    assert_int_equal(drawing_group(d, span_of("a\0b", 3)), ERR_PARSE);
    assert_int_equal(drawing_svg(d, &svg), ERR_OK);
    assert_int_equal(drawing_dot(d, &dot), ERR_OK);
    assert_null(strstr(buf_cstr(&svg), "<b>"));
    assert_null(strchr(buf_cstr(&svg), '\x01'));
    assert_non_null(strstr(buf_cstr(&svg), "&lt;b&gt;&amp;&quot;\\???"));
    assert_non_null(strstr(buf_cstr(&dot), "\"<b>&\\\"\\\\???\""));
    buf_done(&svg);
    buf_done(&dot);
    drawing_free(d);
}

static void test_drawing__has_limits(void **state)
{
    struct drawing *d = drawing_new(SPAN("many"), SPAN(""));
    struct buf out;
    char name[16];
    (void)state;
    buf_init(&out, DRAWING_MAX);
    assert_int_equal(drawing_svg(d, &out), ERR_OK); /* nothing at all */
    for (int i = 0; i <= DRAWING_SVG_GROUPS_MAX; i++) {
        snprintf(name, sizeof name, "g%d", i);
        assert_int_equal(drawing_group(d, span_cstr(name)), ERR_OK);
    }
    assert_int_equal(drawing_svg(d, &out), ERR_TOOBIG);
    assert_int_equal(drawing_dot(d, &out), ERR_OK);
    struct buf small;
    buf_init(&small, 1000);
    assert_int_equal(drawing_dot(d, &small), ERR_TOOBIG);
    buf_done(&small);
    buf_done(&out);
    drawing_free(d);
}

static void test_drawing__draws_a_table(void **state)
{
    struct sim_options o = {.seed = 1, .latency_min_ms = 1, .latency_max_ms = 1};
    struct sim *s = sim_new(&o);
    struct rng rng;
    struct buf out;
    ms_t took;
    (void)state;
    rng_seed(&rng, 1);
    buf_init(&out, DRAWING_MAX);
    assert_int_equal(shape_build(s, SHAPE_RING, 4, 4, &rng), ERR_OK);
    assert_int_equal(sim_start_converged(s), ERR_OK);
    assert_int_equal(sim_link_state(s, 0, 1, false, true), ERR_OK);
    assert_true(sim_converge(s, 10000, &took));
    struct drawing *d = drawing_new(SPAN("ring"), SPAN("g00002"));
    assert_int_equal(drawing_table(d, ls_table(sim_engine(s, 2))), ERR_OK);
    assert_int_equal(drawing_svg(d, &out), ERR_OK);
    assert_non_null(strstr(buf_cstr(&out), "4 groups, 8 connectors between them, 2 of these DOWN"));
    assert_non_null(strstr(buf_cstr(&out), "class=\"own\""));
    assert_non_null(strstr(buf_cstr(&out), "class=\"down\""));
    buf_done(&out);
    drawing_free(d);
    sim_free(s);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_drawing__is_as_reviewed),
                     cmocka_unit_test(test_drawing__does_not_depend_on_the_order),
                     cmocka_unit_test(test_drawing__escapes_names),
                     cmocka_unit_test(test_drawing__has_limits),
                     cmocka_unit_test(test_drawing__draws_a_table));
}
