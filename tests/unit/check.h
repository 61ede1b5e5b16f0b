/* tests/unit/check.h — cmocka with what it lacks: tables of cases, spans that print themselves. */
#pragma once
/* cmocka wants these first, in this order */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include "common/rng.h"
#include "common/span.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK_EACH(table, var)                                                                               \
    for (size_t check_i = 0; check_i < sizeof(table) / sizeof((table)[0]); check_i++)                        \
        for (__typeof__(&(table)[0]) var = &(table)[check_i]; var != NULL; var = NULL)
#define CHECK_RUN(...)                                                                                       \
    check_run(__FILE__, (const struct CMUnitTest[]){__VA_ARGS__},                                            \
              sizeof((const struct CMUnitTest[]){__VA_ARGS__}) / sizeof(struct CMUnitTest))
static inline int check_run(const char *file, const struct CMUnitTest *tests, size_t n)
{
    return _cmocka_run_group_tests(file, tests, n, NULL, NULL);
}

/* Fails naming both values when they differ. */
#define check_span(got, want) check_span_at((got), (want), __FILE__, __LINE__)
static inline void check_span_at(struct span got, struct span want, const char *file, int line)
{
    if (!span_eq(got, want)) {
        print_error("got  '" SPAN_FMT "'\nwant '" SPAN_FMT "'\n", SPAN_ARG(got), SPAN_ARG(want));
        _fail(file, line);
    }
}

/* A new seed for every run, printed; TEST_SEED=n in the environment repeats a run. */
static inline uint64_t check_seed(void)
{
    const char *again = getenv("TEST_SEED");
    uint64_t seed = again != NULL ? strtoull(again, NULL, 10) : rng_system_seed();
    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}
