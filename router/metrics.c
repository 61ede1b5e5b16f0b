#include "router/metrics.h"

METRICS_DEFINE(router_metrics, ROUTER_METRICS)
