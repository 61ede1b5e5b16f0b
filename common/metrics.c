#include "common/metrics.h"

#include <inttypes.h>

void metric_observe_ms(struct metric_histogram *h, uint64_t ms)
{
    size_t i = 0;
    while (i < METRIC_BUCKETS - 1 && ms > (uint64_t)1 << i)
        i++;
    metric_inc(&h->bucket[i]);
    metric_inc(&h->count);
    metric_add(&h->sum_ms, ms);
}

static const uint64_t *at(const void *base, size_t offset)
{
    return (const uint64_t *)(const void *)((const char *)base + offset);
}

static uint64_t sum(const void *const *structs, size_t n, size_t offset)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += metric_get(at(structs[i], offset));
    return total;
}

static enum err write_histogram(struct buf *out, const struct metric_desc *d, const void *const *structs,
                                size_t n, const char *labels)
{
    const char *comma = labels[0] == '\0' ? "" : ",";
    uint64_t running = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        running +=
            sum(structs, n, d->offset + offsetof(struct metric_histogram, bucket) + i * sizeof running);
        char edge[24] = "+Inf";
        if (i < METRIC_BUCKETS - 1)
            (void)snprintf(edge, sizeof edge, "%.3f", (double)((uint64_t)1 << i) / 1000.0);
        enum err e = buf_addf(out, "bridgehead_%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", d->name, labels,
                              comma, edge, running);
        if (e != ERR_OK)
            return e;
    }
    const char *open = labels[0] == '\0' ? "" : "{", *close = labels[0] == '\0' ? "" : "}";
    uint64_t sum_ms = sum(structs, n, d->offset + offsetof(struct metric_histogram, sum_ms));
    return buf_addf(out, "bridgehead_%s_sum%s%s%s %.3f\nbridgehead_%s_count%s%s%s %" PRIu64 "\n", d->name,
                    open, labels, close, (double)sum_ms / 1000.0, d->name, open, labels, close,
                    sum(structs, n, d->offset + offsetof(struct metric_histogram, count)));
}

enum err metrics_write(struct buf *out, const struct metric_desc *desc, size_t ndesc,
                       const void *const *structs, size_t n, const char *labels)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    for (size_t i = 0; i < ndesc; i++) {
        const struct metric_desc *d = &desc[i];
        enum err e = buf_addf(out, "# HELP bridgehead_%s %s\n# TYPE bridgehead_%s %s\n", d->name, d->help,
                              d->name, kinds[d->kind]);
        if (e == ERR_OK && d->kind == METRIC_HISTOGRAM)
            e = write_histogram(out, d, structs, n, labels);
        else if (e == ERR_OK)
            e = buf_addf(out, "bridgehead_%s%s%s%s %" PRIu64 "\n", d->name, labels[0] ? "{" : "", labels,
                         labels[0] ? "}" : "", sum(structs, n, d->offset));
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}
