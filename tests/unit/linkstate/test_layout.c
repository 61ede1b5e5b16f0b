/* tests/unit/linkstate/test_layout.c — places of nodes: apart, near their neighbours, the same every time. */
#include "linkstate/layout.h"

#include "linkstate/shape.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

enum { NODES = 100, EDGES = 400 };

static size_t edges_of(enum shape shape, uint32_t n, uint32_t (*edges)[2])
{
    struct sim_options o = {.seed = 1};
    struct sim *s = sim_new(&o);
    struct rng rng;
    bool up;
    size_t m = 0;
    rng_seed(&rng, 5);
    assert_int_equal(shape_build(s, shape, n, n * 3 / 2, &rng), ERR_OK);
    while (m < EDGES && sim_link_at(s, m, &edges[m][0], &edges[m][1], &up))
        m++;
    sim_free(s);
    return m;
}

static double far(struct layout_point a, struct layout_point b)
{
    return sqrt((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y));
}

static void test_layout__keeps_boxes_apart(void **state)
{
    static const uint32_t sizes[] = {4, 5, 12, 30, 60, 100};
    uint32_t edges[EDGES][2];
    struct layout_point at[NODES], again[NODES];
    struct layout_size box[NODES];
    (void)state;
    for (int shape = 0; shape < SHAPE__COUNT; shape++)
        CHECK_EACH (sizes, n) {
            size_t m = edges_of((enum shape)shape, *n, edges);
            assert_int_equal(layout_run(*n, (const uint32_t(*)[2])edges, m, at), ERR_OK);
            assert_int_equal(layout_run(*n, (const uint32_t(*)[2])edges, m, again), ERR_OK);
            assert_memory_equal(at, again, *n * sizeof *at);
            for (uint32_t i = 0; i < *n; i++) {
                at[i].x *= 260;
                at[i].y *= 200;
                box[i] = (struct layout_size){60 + i % 7 * 10, 28};
            }
            layout_separate(*n, box, (const uint32_t(*)[2])edges, m, 18, at);
            for (uint32_t a = 0; a < *n; a++)
                for (uint32_t b = a + 1; b < *n; b++)
                    if (fabs(at[a].x - at[b].x) < (box[a].w + box[b].w) / 2 &&
                        fabs(at[a].y - at[b].y) < (box[a].h + box[b].h) / 2)
                        fail_msg("%s of %u: %u and %u overlap", shape_name((enum shape)shape), *n, a, b);
        }
}

static void test_layout__puts_a_square_in_a_square(void **state)
{
    static const uint32_t ring[][2] = {{0, 1}, {1, 2}, {2, 3}, {3, 0}};
    struct layout_point at[4];
    (void)state;
    assert_int_equal(layout_run(4, ring, 4, at), ERR_OK);
    for (int i = 0; i < 4; i++) {
        assert_true(fabs(far(at[i], at[(i + 1) % 4]) - far(at[0], at[1])) < 0.01);
        assert_true(far(at[i], at[(i + 2) % 4]) > 1.2 * far(at[0], at[1]));
    }
}

static void test_layout__puts_parts_beside_each_other(void **state)
{
    static const uint32_t two[][2] = {{0, 1}, {1, 2}, {3, 4}, {4, 5}};
    struct layout_point at[7]; /* the last one is alone */
    (void)state;
    assert_int_equal(layout_run(7, two, 4, at), ERR_OK);
    for (int a = 0; a < 7; a++)
        for (int b = a + 1; b < 7; b++)
            assert_true(far(at[a], at[b]) > 0.5);
    assert_true(far(at[0], at[1]) < far(at[0], at[3]));
}

static void test_layout__has_limits(void **state)
{
    struct layout_point one = {7, 7};
    (void)state;
    assert_int_equal(layout_run(LAYOUT_NODES_MAX + 1, NULL, 0, NULL), ERR_TOOBIG);
    assert_int_equal(layout_run(0, NULL, 0, NULL), ERR_OK);
    assert_int_equal(layout_run(1, NULL, 0, &one), ERR_OK);
    assert_true(one.x == 0 && one.y == 0);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_layout__keeps_boxes_apart),
                     cmocka_unit_test(test_layout__puts_a_square_in_a_square),
                     cmocka_unit_test(test_layout__puts_parts_beside_each_other),
                     cmocka_unit_test(test_layout__has_limits));
}
