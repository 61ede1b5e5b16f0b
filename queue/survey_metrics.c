#include "queue/survey.h"

METRICS_DEFINE(queue_state_metrics, QUEUE_STATE_METRICS)
