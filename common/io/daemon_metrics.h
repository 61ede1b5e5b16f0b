/* common/io/daemon_metrics.h — what every daemon tells of itself, labelled with its program; written by the
 * loop's thread alone. */
#pragma once
#include "common/metrics.h"

#define BUILD_METRICS(X) X(one, GAUGE, "build_info", "1, labelled with the version that runs")
METRICS_DECLARE(build_metrics, BUILD_METRICS)

#define DAEMON_METRICS(X)                                                                                    \
    X(started_s, GAUGE, "process_start_time_seconds", "when the process started, since 1970")                \
    X(draining, GAUGE, "process_draining", "1 while the process finishes what is in flight")                 \
    X(reloads, COUNTER, "config_reloads_total", "configurations applied on SIGHUP")                          \
    X(rejected, COUNTER, "config_rejected_total", "configurations refused on SIGHUP")                        \
    X(scrapes, COUNTER, "http_requests_total", "requests for metrics and health")
METRICS_DECLARE(daemon_metrics, DAEMON_METRICS)
