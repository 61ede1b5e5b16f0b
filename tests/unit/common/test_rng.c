/* tests/unit/common/test_rng.c — mirrors common/rng.c */
#include "tests/unit/check.h"

#include "common/rng.h"

/* The first numbers of xoshiro256** from the state 1, 2, 3, 4, as its authors' code gives them. */
static void test_rng__is_the_generator_it_says(void **state)
{
    static const uint64_t want[] = {11520,
                                    0,
                                    1509978240,
                                    1215971899390074240,
                                    1216172134540287360,
                                    607988272756665600,
                                    16172922978634559625U,
                                    8476171486693032832,
                                    10595114339597558777U,
                                    2904607092377533576};
    struct rng r = {{1, 2, 3, 4}};
    (void)state;
    CHECK_EACH (want, w)
        assert_true(rng_next(&r) == *w);
}

static void test_rng__same_seed_same_numbers(void **state)
{
    struct rng a, b, c;
    bool differs = false;
    (void)state;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    for (int i = 0; i < 100; i++) {
        uint64_t x = rng_next(&a);
        assert_true(x == rng_next(&b));
        differs = differs || x != rng_next(&c);
    }
    assert_true(differs);
    rng_seed(&a, 0); /* no state of zeros only, which would never leave zero */
    assert_true((a.s[0] | a.s[1] | a.s[2] | a.s[3]) != 0);
}

static void test_rng__stays_below_and_reaches_everything(void **state)
{
    struct rng r;
    unsigned seen[7] = {0};
    (void)state;
    rng_seed(&r, 1);
    assert_true(rng_below(&r, 0) == 0);
    assert_true(rng_below(&r, 1) == 0);
    for (int i = 0; i < 7000; i++)
        seen[rng_below(&r, 7)]++;
    for (size_t i = 0; i < 7; i++)
        assert_true(seen[i] > 800 && seen[i] < 1200); /* far outside means broken; the seed is fixed */
    for (int i = 0; i < 1000; i++)
        assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void test_rng__seeds_differ(void **state)
{
    (void)state;
    assert_true(rng_system_seed() != rng_system_seed());
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_rng__is_the_generator_it_says),
                     cmocka_unit_test(test_rng__same_seed_same_numbers),
                     cmocka_unit_test(test_rng__stays_below_and_reaches_everything),
                     cmocka_unit_test(test_rng__seeds_differ));
}
