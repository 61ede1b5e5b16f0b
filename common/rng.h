/* common/rng.h — chance is an argument: a small seeded generator (xoshiro256**), not for secrets. */
#pragma once
#include "common/attr.h"

struct rng {
    uint64_t s[4];
};
void rng_seed(struct rng *r, uint64_t seed); /* same seed, same sequence */
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t bound); /* 0 <= x < bound, unbiased; bound 0 gives 0 */
uint64_t rng_system_seed(void);                    /* from the kernel */
