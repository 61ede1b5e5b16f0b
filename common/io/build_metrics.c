#include "common/io/daemon_metrics.h"

METRICS_DEFINE(build_metrics, BUILD_METRICS)
