/* node/shard.h — one event loop of a node: its listeners, its store, its sessions.
 *
 *   node (main thread) ── snapshot, drain ──> shard 0..n-1, each: loop, store, resolver, listeners, callers
 *   shard k ── "may this client come in?", "it has left" ──> shard 0, which keeps the limits
 *
 * Shards share nothing that changes: what crosses goes through loop_post(). A question to shard 0 belongs
 * to the shard that asked, from the accept to the answer. Shard 0 runs in the main thread, the others in
 * threads of their own. Counters are read by a scrape without stopping anybody (common/metrics.h). */
#pragma once
#include "common/io/conn.h"
#include "common/io/dns.h"
#include "common/io/loop.h"
#include "node/etrn.h"
#include "node/intake.h"
#include "node/limits.h"
#include "node/node.h"
#include "node/snapshot.h"

struct caller;
struct shard_listener {
    struct shard *shard;
    struct listener *listener; /* NULL: closed, and kept for its callers */
    struct ip_endpoint where;  /* as configured */
    size_t server;             /* index into snapshot.servers */
    bool tls, told;            /* tls: from the first byte; told: a line of the log was */
};
/* A client, from its accept until it has left or was turned away: counted in shard 0 meanwhile. */
struct visitor {
    struct visitor *next, **prev; /* while it waits for an answer */
    const struct shard_listener *at;
    struct ip_endpoint client;
    int fd; /* the caller's once it is let in */
    enum admission verdict;
    struct post post; /* between the shards: no answer may be lost for want of memory */
};
struct shard {
    struct loop *loop;
    struct store *store;
    struct dns *dns; /* NULL: no virtual server looks names up */
    struct etrn *etrn;
    struct snapshot *snapshot;
    struct shard *keeper;              /* shard 0 */
    struct limits *limits;             /* of shard 0; NULL in the others */
    struct shard_listener **listeners; /* each stays where it is: callers know it */
    size_t nlisteners, listeners_cap, nshards, index;
    struct caller *callers; /* all of them */
    struct visitor *asking; /* accepted, and not yet admitted or turned away */
    struct intake_budget budget;
    struct node_metrics metrics;
    uint64_t replies[REPLY__COUNT];
    uint64_t next_session;
    bool draining, owns_loop, ended, opened; /* opened: its listeners were, for the first time */
};
struct shard_options {
    struct loop *loop; /* NULL: one of its own */
    const struct node_deps *deps;
    struct snapshot *snapshot;
    struct shard *keeper; /* NULL: this is shard 0 */
    struct limits *limits;
    size_t index, nshards;
};
/* Opens the store and the listeners; in any thread, before the loop runs. */
enum err shard_new(const struct shard_options *o, struct shard **ret, struct errctx *ec) MUST_USE;
/* After the loop has ended; drops all sessions. Shard 0 is freed last. NULL is a no-op. */
void shard_free(struct shard *s);

/* In the shard's thread. */
/* Opens what `next` listens at and s does not yet; all of it or, on error, nothing. What comes in is served
 * with the snapshot that the shard has when it turns: set `next` in the same turn. */
enum err shard_listen(struct shard *s, const struct snapshot *next, struct errctx *ec) MUST_USE;
/* Takes a reference; opens and closes listeners as it says. */
void shard_set_snapshot(struct shard *s, struct snapshot *next);
void shard_drain(struct shard *s); /* no new sessions; those that exist finish what is in hand */
void shard_caller_left(struct shard *s, struct visitor *v); /* frees v */

void shard_tell_listeners(struct shard *s); /* log lines of those that are new */

/* Any thread. */
bool shard_drained(const struct shard *s); /* no session is left */
