/* tests/bench/histogram.h — counts of durations in buckets of 1/32 relative width: 3 % exact from 1 us to
 * hours. */
#pragma once
#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 64 * 32 };
struct histogram {
    uint64_t count;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t us);
/* The value below which `percent` of 100 lie: upper edge of its bucket; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
