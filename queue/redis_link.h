/* queue/redis_link.h — a connection that comes back: to the master, with its scripts loaded.
 *
 *   WAITING ──target known, backoff over──> CONNECTING ──logged in──> SETUP (ROLE, SCRIPT LOAD) ──ok──> UP
 *      ^                                        │                       │                               │
 *      └──── failed, closed, READONLY, other master: what was pending is sorted out ────────────────────┘
 *
 * A link with vet() asks in SETUP for INFO and CONFIG GET, too: nothing is sent to a Redis before it was
 * found to keep what is promised, on this very connection, for between two another Redis may have come.
 *
 * What was pending when a connection ends: sent again with REQUEST_RESEND, or if it surely was not
 * executed and has REQUEST_WAIT; else done(ERR_UNKNOWN), or ERR_AGAIN if it surely was not executed.
 * A request that waits longer than its give_up_ms ends the same way. Errors are sorted by
 * queue/redis_error.h: temporary ones are sent again after 20 ms to 1 s with either flag.
 * Backoff: 50 ms doubling to redis_link_backoff_max(), half of it random; from the start once a connection
 * was of use, or up for 10 s. */
#pragma once
#include "common/rng.h"
#include "queue/redis_check.h"
#include "queue/redis_metrics.h"
#include "queue/redis_request.h"
#include "queue/redis_topology.h"
#include "queue/script.h"

struct redis_link;
enum { REDIS_QUEUE_MAX = 64 << 20 }; /* bytes that wait for a connection: beyond, ERR_AGAIN at once */

struct redis_link_ops {
    void (*up)(void *arg);                     /* may be NULL, like the others */
    void (*down)(void *arg, const char *why);  /* was up */
    void (*fatal)(void *arg, const char *why); /* refused for a reason that an operator must mend */
    void (*push)(void *arg, const struct redisReply *message); /* pub/sub */
    /* May this Redis be used? false: why says what is wrong, and it is asked again after the backoff. */
    bool (*vet)(void *arg, const struct redis_facts *facts, struct buf *why);
};
struct redis_link_conf {
    struct loop *loop;
    const struct redis_settings *settings;
    struct redis_topology *topology;
    struct redis_metrics *metrics;
    const char *role;              /* appended to the client's name */
    const enum script_id *scripts; /* loaded on every connection */
    size_t nscripts;
    ms_t lease_ms; /* what is renewed over it ends after so long; 0: nothing */
    const struct redis_link_ops *ops;
    void *arg;
};
/* 2 s, but an eighth of the lease at most: who was away as long as the others must be back before they take
 * what he has for dead. Not below the 50 ms that it begins with. */
ms_t redis_link_backoff_max(ms_t lease_ms);
struct redis_link *redis_link_new(const struct redis_link_conf *conf); /* connects; NULL: out of memory */
void redis_link_free(struct redis_link *k); /* what is pending: done(ERR_CANCELED); NULL is a no-op */
/* Takes rq, also a bad one; done() is called once, never before this returns. */
void redis_link_send(struct redis_link *k, struct redis_request *rq);
void redis_link_moved(struct redis_link *k);                    /* the topology changed its answer */
void redis_link_restart(struct redis_link *k, const char *why); /* drops the connection, comes back */
bool redis_link_is_up(const struct redis_link *k);
uint64_t redis_link_generation(const struct redis_link *k); /* of the target it is up with */
size_t redis_link_load(const struct redis_link *k);         /* requests pending or waiting */
const char *redis_link_why(const struct redis_link *k);     /* not up, because ... */
bool redis_link_is_refused(const struct redis_link *k);     /* ... Redis does not let us in */
const char *redis_link_target(const struct redis_link *k);  /* for people */

/* Begins `EVALSHA script 2 tag:g tag:nx min max` with so many further arguments. */
void redis_script(struct redis_request *rq, enum script_id id, struct span tag, size_t arguments);
