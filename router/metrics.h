/* router/metrics.h — what a router counts; the engine's own counters follow as routing_link_state_*. */
#pragma once
#include "common/metrics.h"

/* clang-format off */
#define ROUTER_METRICS(X) \
    X(master, GAUGE, "router_master", "1 while this router is the master of its group") \
    X(takeovers, COUNTER, "router_takeovers_total", "times that this router became master") \
    X(deposed, COUNTER, "router_deposed_total", "times that it lost the lease without giving it back") \
    X(adjacencies, GAUGE, "router_adjacencies_full", "neighbours whose tables are equal to ours") \
    X(neighbours, GAUGE, "router_neighbours", "neighbours in the configuration") \
    X(groups, GAUGE, "router_groups", "groups in the table") \
    X(connectors, GAUGE, "router_connectors", "connectors in the table") \
    X(connectors_down, GAUGE, "router_connectors_down", "connectors of this group that are announced DOWN") \
    X(checked, COUNTER, "router_table_checked_total", "records of the published table whose signatures were checked") \
    X(published, COUNTER, "router_tables_published_total", "versions of the table published to Redis") \
    X(publish_latency, HISTOGRAM, "router_publish_seconds", "from a change to the table in Redis") \
    X(dials, COUNTER, "router_dials_total", "connections to neighbours that were tried") \
    X(opened, COUNTER, "router_connections_total", "connections to neighbours that were made") \
    X(lost, COUNTER, "router_connections_lost_total", "connections to neighbours that failed or ended") \
    X(admitted, COUNTER, "router_admitted_total", "connections of neighbours admitted by their key") \
    X(ended, COUNTER, "router_admitted_ended_total", "of these, once heard, the ones that ended: by a message beyond 4 MiB, too") \
    X(refused, COUNTER, "router_refused_total", "connections refused: no neighbour has this key") \
    X(received, COUNTER, "router_received_total", "messages received from neighbours") \
    X(dropped, COUNTER, "router_dropped_total", "messages not sent: no connection, or a full one") \
    X(reports, COUNTER, "router_reports_total", "reports of workers about targets") \
    X(probes, COUNTER, "router_probes_total", "targets tried without mail") \
    X(probes_failed, COUNTER, "router_probes_failed_total", "of these, targets that did not answer in order") \
    X(reloads_refused, COUNTER, "router_reloads_refused_total", "configurations whose keys or record could not be used")
/* clang-format on */
METRICS_DECLARE(router_metrics, ROUTER_METRICS)
