/* queue/survey.h — how much is queued, for /metrics: told by one worker of all, at little cost.
 *
 * Whoever has the turn (a key in Redis that lasts TURN_MS) reads the kept counters of all partitions every
 * SURVEY_MS, and goes through the lists of destination queues page by page, at most one page in PAGE_MS,
 * whatever their number. The others say 0 everywhere, so that sums over all workers are right. A survey of so
 * many queues that it takes longer than SURVEY_MS tells the last one's figures until it ends.
 *
 * Belongs to one loop, with a connection of its own; errors of Redis make it say 0 and try again. */
#pragma once
#include "common/config/config.h"
#include "common/io/loop.h"
#include "common/metrics.h"

/* clang-format off */
#define QUEUE_METRICS(X) \
    X(told, GAUGE, "queue_told", "1 on the worker that tells these figures; the others say 0 in all of them: add them up") \
    X(messages, GAUGE, "queue_messages", "messages that are durable and not settled") \
    X(in_hand, GAUGE, "queue_in_hand", "jobs in the hands of workers") \
    X(oldest_s, GAUGE, "queue_oldest_seconds", "age of the oldest job that waits; of a queue of 64 and more, up to 600 off") \
    X(frozen, GAUGE, "queue_frozen", "destination queues that are frozen") \
    X(frozen_jobs, GAUGE, "queue_frozen_jobs", "jobs that are frozen one by one, in queues that go on") \
    X(badmail, GAUGE, "queue_badmail", "jobs that could be neither delivered nor returned") \
    X(quarantine, GAUGE, "queue_quarantine", "jobs that three workers died with") \
    X(slots, GAUGE, "queue_slots", "connections of all workers, counted against the caps") \
    X(slots_max, GAUGE, "queue_slots_limit", "delivery.max_connections") \
    X(slots_domain_max, GAUGE, "queue_slots_domain_limit", "delivery.max_connections_per_domain")
#define QUEUE_STATE_METRICS(X) \
    X(waiting, GAUGE, "queue_waiting", "jobs that wait, by the state of their queue")
/* clang-format on */
METRICS_DECLARE(queue_metrics, QUEUE_METRICS)
METRICS_DECLARE(queue_state_metrics, QUEUE_STATE_METRICS)

struct survey;
enum err survey_open(struct loop *l, const struct config *conf, struct survey **ret,
                     struct errctx *ec) MUST_USE;
void survey_free(struct survey *s);                              /* NULL is a no-op */
void survey_reload(struct survey *s, const struct config *conf); /* the caps may have changed */
enum err survey_metrics(const struct survey *s, struct buf *out) MUST_USE;
