#include "common/io/daemon_metrics.h"

METRICS_DEFINE(daemon_metrics, DAEMON_METRICS)
