#include "queue/redis_metrics.h"

METRICS_DEFINE(redis_metrics, REDIS_METRICS)
