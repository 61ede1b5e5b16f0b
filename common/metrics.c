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

static uint64_t sum(const struct metric_group *g, size_t offset)
{
    uint64_t total = 0;
    for (size_t i = 0; i < g->n; i++)
        total += metric_get(at(g->structs[i], offset));
    return total;
}

static enum err write_histogram(struct buf *out, const struct metric_desc *d, const struct metric_group *g)
{
    const char *comma = g->labels[0] == '\0' ? "" : ",";
    uint64_t running = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        running += sum(g, d->offset + offsetof(struct metric_histogram, bucket) + i * sizeof running);
        char edge[24] = "+Inf";
        if (i < METRIC_BUCKETS - 1)
            (void)snprintf(edge, sizeof edge, "%.3f", (double)((uint64_t)1 << i) / 1000.0);
        enum err e = buf_addf(out, "bridgehead_%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", d->name, g->labels,
                              comma, edge, running);
        if (e != ERR_OK)
            return e;
    }
    const char *open = g->labels[0] == '\0' ? "" : "{", *close = g->labels[0] == '\0' ? "" : "}";
    uint64_t sum_ms = sum(g, d->offset + offsetof(struct metric_histogram, sum_ms));
    return buf_addf(out, "bridgehead_%s_sum%s%s%s %.3f\nbridgehead_%s_count%s%s%s %" PRIu64 "\n", d->name,
                    open, g->labels, close, (double)sum_ms / 1000.0, d->name, open, g->labels, close,
                    running);
}

static enum err write_number(struct buf *out, const struct metric_desc *d, const struct metric_group *g)
{
    bool bare = g->labels[0] == '\0';
    return buf_addf(out, "bridgehead_%s%s%s%s %" PRIu64 "\n", d->name, bare ? "" : "{", g->labels,
                    bare ? "" : "}", sum(g, d->offset));
}

enum err metrics_write_groups(struct buf *out, const struct metric_desc *desc, size_t ndesc,
                              const struct metric_group *groups, size_t ngroups)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    for (size_t i = 0; i < ndesc; i++) {
        const struct metric_desc *d = &desc[i];
        enum err e = buf_addf(out, "# HELP bridgehead_%s %s\n# TYPE bridgehead_%s %s\n", d->name, d->help,
                              d->name, kinds[d->kind]);
        for (size_t k = 0; e == ERR_OK && k < ngroups; k++)
            e = d->kind == METRIC_HISTOGRAM ? write_histogram(out, d, &groups[k])
                                            : write_number(out, d, &groups[k]);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

enum err metrics_write(struct buf *out, const struct metric_desc *desc, size_t ndesc,
                       const void *const *structs, size_t n, const char *labels)
{
    struct metric_group group = {labels, structs, n};
    return metrics_write_groups(out, desc, ndesc, &group, 1);
}
