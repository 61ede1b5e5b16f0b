#include "node/metrics.h"

METRICS_DEFINE(node_metrics, NODE_METRICS)
