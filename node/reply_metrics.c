#include "node/metrics.h"

METRICS_DEFINE(reply_metrics, REPLY_METRICS)
