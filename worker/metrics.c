#include "worker/metrics.h"

METRICS_DEFINE(worker_metrics, WORKER_METRICS)
