#include "tests/bench/histogram.h"

/* Values below 32 have a bucket each; above, the five bits after the leading one choose it. */
static unsigned bucket_of(uint64_t value)
{
    if (value < 32)
        return (unsigned)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - 5;
    return (shift + 1) * 32 + (unsigned)((value >> shift) & 31);
}

static uint64_t upper_edge(unsigned bucket)
{
    if (bucket < 32)
        return bucket;
    unsigned shift = bucket / 32 - 1;
    return ((uint64_t)(32 + bucket % 32 + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t us)
{
    h->count++;
    h->bucket[bucket_of(us)]++;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    uint64_t below = 0;
    double wanted = (double)h->count * percent / 100;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += h->bucket[i];
        if (h->count > 0 && (double)below >= wanted)
            return upper_edge(i);
    }
    return 0;
}
