/* node/metrics.h — counters of one loop of a node, declared once; written by the loop's thread alone. */
#pragma once
#include "common/metrics.h"

#define NODE_METRICS(X)                                                                                      \
    X(sessions, COUNTER, "smtp_sessions_total", "SMTP sessions accepted")                                    \
    X(sessions_open, GAUGE, "smtp_sessions_open", "SMTP sessions open now")                                  \
    X(turned_away, COUNTER, "smtp_turned_away_total", "connections refused by a limit")                      \
    X(tls, COUNTER, "smtp_tls_total", "TLS handshakes completed")                                            \
    X(tls_failed, COUNTER, "smtp_tls_failed_total", "TLS handshakes that failed")                            \
    X(commands, COUNTER, "smtp_commands_total", "SMTP commands read")                                        \
    X(rejected, COUNTER, "smtp_rejected_total", "SMTP replies of the class 5xx")                             \
    X(deferred, COUNTER, "smtp_deferred_total", "SMTP replies of the class 4xx")                             \
    X(violations, COUNTER, "smtp_sync_violations_total", "sessions ended for input ahead of a reply")        \
    X(recipients, COUNTER, "smtp_recipients_total", "recipients taken")                                      \
    X(messages, COUNTER, "smtp_messages_accepted_total", "messages answered 250, durable in the queue")      \
    X(messages_refused, COUNTER, "smtp_messages_refused_total", "messages refused at the end of the body")   \
    X(commits_failed, COUNTER, "smtp_commits_failed_total", "messages the queue did not take")               \
    X(bytes, COUNTER, "smtp_message_bytes_total", "octets of accepted messages")                             \
    X(memory, GAUGE, "smtp_memory_bytes", "memory of transactions and bodies in flight")                     \
    X(store_ready, GAUGE, "smtp_loops_ready", "loops whose queue takes mail")                                \
    X(commit_ms, HISTOGRAM, "smtp_commit_seconds", "from end of data to the answer of the queue")
METRICS_DECLARE(node_metrics, NODE_METRICS)

#define REPLY_METRICS(X)                                                                                     \
    X(sent, COUNTER, "smtp_replies_total", "SMTP replies sent, by reply and code (docs/replies.md)")
METRICS_DECLARE(reply_metrics, REPLY_METRICS)
