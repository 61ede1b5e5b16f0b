/* worker/metrics.h — what a worker counts; written by its loop alone. */
#pragma once
#include "common/metrics.h"

/* clang-format off */
#define WORKER_METRICS(X) \
    X(claimed,         COUNTER,   "worker_claimed_total",          "jobs taken from destination queues") \
    X(released,        COUNTER,   "worker_released_total",         "jobs given back untouched") \
    X(not_source,      COUNTER,   "worker_not_source_total",       "jobs given back because only other workers send over their connector") \
    X(delivered,       COUNTER,   "worker_delivered_total",        "recipients delivered or handed to the next hop") \
    X(bounced,         COUNTER,   "worker_bounced_total",          "recipients returned to the sender") \
    X(deferred,        COUNTER,   "worker_deferred_total",         "attempts after which a recipient waits") \
    X(expired,         COUNTER,   "worker_expired_total",          "recipients returned because of the age of the message") \
    X(badmail,         COUNTER,   "worker_badmail_total",          "jobs that could be neither delivered nor returned") \
    X(reports,         COUNTER,   "worker_reports_total",          "delivery status notifications made") \
    X(reports_lost,    COUNTER,   "worker_reports_lost_total",     "reports that Redis lost or refused: what became of the recipients was recorded without them") \
    X(stale,           COUNTER,   "worker_stale_total",            "results that came after the lease had been lost") \
    X(transactions,    COUNTER,   "worker_transactions_total",     "mail transactions begun") \
    X(connections,     COUNTER,   "worker_connections_total",      "connections begun") \
    X(connect_failed,  COUNTER,   "worker_connect_failed_total",   "targets that could not be used") \
    X(connections_now, GAUGE,     "worker_connections",            "connections now, local writers included") \
    X(claims_now,      GAUGE,     "worker_claims",                 "jobs in hand") \
    X(links_now,       GAUGE,     "worker_links",                  "links with mail, a connection or a failure") \
    X(links_held,      GAUGE,     "worker_links_held",             "links waiting for their next try") \
    X(link_failures,   COUNTER,   "worker_link_failures_total",    "times a link was put into retry") \
    X(plans_stale,     COUNTER,   "worker_stale_names_total",      "times a link went on with old addresses because no name server answered") \
    X(slots_denied,    COUNTER,   "worker_slots_denied_total",     "times a connection cap of the cluster was met") \
    X(lease_lost,      COUNTER,   "worker_lease_lost_total",       "times this worker lost its lease") \
    X(reaped,          COUNTER,   "worker_reaped_total",           "jobs of dead workers put back") \
    X(tables,          COUNTER,   "worker_route_tables_total",     "new tables of routes that were taken over") \
    X(rerouted,        COUNTER,   "worker_rerouted_total",         "waiting queues that were woken because another way was found") \
    X(delivery_ms,     HISTOGRAM, "worker_delivery_seconds",       "arrival to delivery") \
    X(transaction_ms,  HISTOGRAM, "worker_transaction_seconds",    "MAIL to the reply to the end of data")
/* clang-format on */
METRICS_DECLARE(worker_metrics, WORKER_METRICS)
