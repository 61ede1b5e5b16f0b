/* queue/routing_int.h — what the files behind queue/routing.h and queue/routing_master.h share.
 *
 *   routing.c         connecting, the life of a question, watching the table, reports
 *   routing_read.c    lists for people: links, routers, neighbours, history; overrides; questions to the
 * master routing_master.c  the lease, and what only its holder writes routing_codec.c   links and neighbours
 * as bytes
 *
 * A question is one script call; its answer goes to read() or, when there is none, to fail(). */
#pragma once
#include "common/wire.h"
#include "queue/redis_link.h"
#include "queue/redis_reply.h"
#include "queue/redis_slot.h"
#include "queue/routing_master.h"

struct routing_op {
    struct routing *r;
    struct routing_op *next, **prev;
    void (*read)(struct routing_op *op, const struct redisReply *reply);
    void (*fail)(struct routing_op *op, enum err e, const char *why);
    bool asked; /* on its way: freed with its answer */
};
struct routing_seen { /* a report that was sent lately */
    uint64_t hash;
    bool ok;
    ms_t sent_ms;
};
enum { SEEN_SLOTS = 1024, SAY_MAX = 64 };
struct routing {
    struct loop *loop;
    struct redis_settings settings;
    struct redis_topology *topology;
    struct redis_link *control, *subscribe;
    struct redis_metrics metrics;
    ms_t patience_ms, lease_ms; /* of a router's mastership */
    char tag[REDIS_TAG_MAX], channel[REDIS_TAG_MAX + 8], why[400];
    bool installed, closing;
    struct rng rng;
    struct routing_op *ops;
    struct timer *poll;
    /* the table */
    routing_table_fn *on_table;
    void *on_table_arg;
    uint64_t version;
    bool have, asking, again;
    char present[ROUTING_NAME_MAX + 1]; /* the worker that lives here; "" : none */
    ms_t present_ms;
    /* what is said on the channel */
    routing_say_fn *on_say;
    void *on_say_arg;
    struct routing_seen seen[SEEN_SLOTS];
};

/* A zeroed op of size bytes; NULL: out of memory, or closing. */
struct routing_op *routing_op_new(struct routing *r, size_t size);
void routing_op_free(struct routing_op *op);
/* Begins the call of a script with so many further arguments; NULL: out of memory, and op is freed. */
struct redis_request *routing_call(struct routing_op *op, enum script_id script, size_t arguments);
void routing_send(struct routing_op *op, struct redis_request *rq);
void routing_need_subscription(struct routing *r);
void routing_heard(struct routing *r, struct span id); /* to the questions that wait: routing_read.c */

/* routing_codec.c */
enum err routing_link_encode(const struct routing_link *k, struct buf *out) MUST_USE;
/* targets: room for `max`; *ret_n of them were read. Spans borrow from bytes. ERR_PARSE. */
enum { LINK_TARGETS_MAX = 64 };
enum err routing_link_decode(struct span bytes, struct routing_link *ret,
                             struct routing_target targets[LINK_TARGETS_MAX]) MUST_USE;
enum err routing_adjacency_encode(const struct routing_adjacency *a, struct buf *out) MUST_USE;
/* One after the other from r; false: the end, or damaged (r->bad). */
bool routing_adjacency_decode(struct rd *r, struct routing_adjacency *ret);
