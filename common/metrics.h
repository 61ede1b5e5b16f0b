/* common/metrics.h — counters, gauges and histograms, declared once per module as a list.
 *
 *   #define NODE_METRICS(X) X(sessions, COUNTER, "smtp_sessions_total", "SMTP sessions accepted") ...
 *   METRICS_DECLARE(node_metrics, NODE_METRICS)   in the header: struct node_metrics, its table
 *   METRICS_DEFINE(node_metrics, NODE_METRICS)    in one .c file
 *
 * Names are written without prefix; the exposition adds "bridgehead_". One struct per loop thread,
 * written by that thread alone; a scrape reads them all with relaxed loads and adds them up. */
#pragma once
#include "common/attr.h"
#include "common/buf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_BUCKETS = 20 }; /* milliseconds: 1, 2, 4, ... 2^18, +Inf */

struct metric_histogram {
    uint64_t bucket[METRIC_BUCKETS], count, sum_ms;
};

typedef uint64_t metric_COUNTER_t;
typedef uint64_t metric_GAUGE_t;
typedef struct metric_histogram metric_HISTOGRAM_t;

struct metric_desc {
    const char *name, *help;
    enum metric_kind kind;
    size_t offset;
};

static inline void metric_add(uint64_t *m, uint64_t n)
{
    __atomic_store_n(m, __atomic_load_n(m, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
static inline void metric_inc(uint64_t *m)
{
    metric_add(m, 1);
}
static inline void metric_dec(uint64_t *m)
{
    metric_add(m, UINT64_MAX);
}
static inline void metric_set(uint64_t *m, uint64_t v)
{
    __atomic_store_n(m, v, __ATOMIC_RELAXED);
}
static inline uint64_t metric_get(const uint64_t *m)
{
    return __atomic_load_n(m, __ATOMIC_RELAXED);
}
void metric_observe_ms(struct metric_histogram *h, uint64_t ms);

/* Structs of one kind that count for the same thing: they are summed. labels is "" or the inside of the
 * braces, e.g. "virtual_server=\"default\"". */
struct metric_group {
    const char *labels;
    const void *const *structs;
    size_t n;
};
/* Prometheus text exposition: every metric once, with one line (or histogram) a group; a format that
 * lets nobody announce a metric twice, so all groups of a kind go into one call. */
enum err metrics_write_groups(struct buf *out, const struct metric_desc *desc, size_t ndesc,
                              const struct metric_group *groups, size_t ngroups) MUST_USE;
/* The same with one group. */
enum err metrics_write(struct buf *out, const struct metric_desc *desc, size_t ndesc,
                       const void *const *structs, size_t n, const char *labels) MUST_USE;

#define METRICS_DECLARE(name, LIST)                                                                          \
    struct name {                                                                                            \
        LIST(METRIC_MEMBER_)                                                                                 \
    };                                                                                                       \
    extern const struct metric_desc name##_desc[];                                                           \
    extern const size_t name##_count;
#define METRIC_MEMBER_(member, kind, mname, help) metric_##kind##_t member;
#define METRICS_DEFINE(sname, LIST)                                                                          \
    typedef struct sname metrics_self_;                                                                      \
    const struct metric_desc sname##_desc[] = {LIST(METRIC_ROW_)};                                           \
    const size_t sname##_count = ARRAY_LEN(sname##_desc);
#define METRIC_ROW_(member, kind, mname, help) {mname, help, METRIC_##kind, offsetof(metrics_self_, member)},
