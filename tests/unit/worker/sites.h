/* tests/unit/worker/sites.h — what tests of a whole worker begin with: its configuration, a message, and when
 * all is done. @a@ and @b@ are the addresses of the servers of bench.h. */
#pragma once
#include "tests/unit/worker/bench.h"

#define COMMON                                                                                               \
    "organization: test\n"                                                                                   \
    "virtual_servers: [{name: default, listen: [\"127.0.0.1:2525\"], hostname: mx.own.example}]\n"           \
    "worker: {poll: 20ms}\n"
#define DELIVERY(more)                                                                                       \
    "delivery:\n"                                                                                            \
    "  idle_timeout: 100ms\n"                                                                                \
    "  retry: {glitch: [300ms, 300ms], schedule: [1s], jitter_percent: 0}\n"                                 \
    "  timeouts: {connect: 500ms, greeting: 500ms, helo: 500ms, mail: 500ms, rcpt: 500ms, data: 500ms, "     \
    "end_of_data: 2s}\n" more
#define LAB(hosts)                                                                                           \
    "connectors: [{name: lab, type: smtp, address_spaces: [{space: \"*\"}], smart_hosts: [" hosts "]}]\n"
#define ONE_HOST COMMON DELIVERY("") LAB("\"@a@\"")

static const struct bench_mail plain = {
    .from = "s@src.example", .domain = "x.example", .rcpts = {"a@x.example"}};

static inline bool queue_empty(struct bench *b)
{
    return fake_store_messages(b->db) == 0;
}

static inline bool got_goal(struct bench *b)
{
    return b->peer[0]->mails + b->peer[1]->mails >= b->goal;
}

static inline bool got_goal_and_empty(struct bench *b)
{
    return got_goal(b) && queue_empty(b);
}
