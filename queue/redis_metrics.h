/* queue/redis_metrics.h — what a store counts about its Redis. One struct per store, hence per loop. */
#pragma once
#include "common/metrics.h"

/* clang-format off */
#define REDIS_METRICS(X) \
    X(commands, COUNTER, "redis_commands_total", "commands sent to Redis") \
    X(bytes_out, COUNTER, "redis_sent_bytes_total", "bytes of commands sent to Redis") \
    X(errors, COUNTER, "redis_errors_total", "error replies of Redis, scripts' own answers included") \
    X(resent, COUNTER, "redis_resent_total", "requests sent again after a lost connection or a temporary error") \
    X(connects, COUNTER, "redis_connects_total", "connections to Redis that were made") \
    X(disconnects, COUNTER, "redis_disconnects_total", "connections to Redis that failed or ended") \
    X(timeouts, COUNTER, "redis_timeouts_total", "connections to Redis given up because a reply was late") \
    X(latency, HISTOGRAM, "redis_latency_seconds", "from sending a request to its reply") \
    X(links_up, GAUGE, "redis_connections", "connections to Redis that are up") \
    X(commits, COUNTER, "store_commits_total", "messages committed") \
    X(commits_retried, COUNTER, "store_commits_known_total", "commits that turned out to have been made before") \
    X(commits_failed, COUNTER, "store_commits_failed_total", "messages that could not be committed") \
    X(commits_short, COUNTER, "store_commits_unreplicated_total", "commits not confirmed by enough replicas in time") \
    X(commit_latency, HISTOGRAM, "store_commit_seconds", "from end of data to durable") \
    X(body_bytes, COUNTER, "store_body_bytes_total", "bytes of bodies accepted") \
    X(stored_bytes, COUNTER, "store_stored_bytes_total", "bytes of bodies sent to Redis after compression") \
    X(claims, COUNTER, "store_claims_total", "jobs claimed") \
    X(finishes, COUNTER, "store_finishes_total", "jobs finished") \
    X(finishes_stale, COUNTER, "store_finishes_stale_total", "jobs whose lease was lost before they were finished") \
    X(finishes_held, GAUGE, "store_finishes_refused", "jobs that are over, or were given back, while Redis refuses to take it: told again until it does") \
    X(expired, COUNTER, "store_leases_expired_total", "worker leases lost") \
    X(failovers, COUNTER, "store_failovers_total", "times the master changed") \
    X(redone, COUNTER, "store_redone_total", "commits and finishes sent again after a failover") \
    X(redo_bytes, GAUGE, "store_redo_ring_bytes", "acknowledged mail kept to repair a failover")
/* clang-format on */
METRICS_DECLARE(redis_metrics, REDIS_METRICS)
