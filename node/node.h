/* node/node.h — the SMTP front: listeners and sessions on several loops, mail into the shared queue.
 *
 * node_main() is the program. The rest is the same node for tests, with stores of theirs. */
#pragma once
#include "common/io/loop.h"
#include "common/ip.h"
#include "queue/store.h"

struct node;
struct routing;
struct node_deps {     /* borrowed */
    struct loop *loop; /* the main one: shard 0, and where all functions below are called */
    /* Opens a store for a loop; called once for every loop, in the main thread. */
    enum err (*open_store)(void *arg, struct loop *l, const struct config *conf, struct store **ret,
                           struct errctx *ec);
    void *arg;
    size_t threads; /* 0: as configured */
    /* Of the main loop, for this node alone: routes follow the published table. NULL: the configuration's. */
    struct routing *routing;
};
/* Starts listening, and the threads of the other loops. Takes references of conf. */
enum err node_new(const struct node_deps *deps, struct config *conf, struct node **ret,
                  struct errctx *ec) MUST_USE;
void node_free(struct node *n); /* stops the threads, drops all sessions; NULL is a no-op */
/* All or nothing, but for a new certificate that cannot be read: the old one stays, and the log says so. */
enum err node_reload(struct node *n, struct config *next, struct errctx *ec) MUST_USE;
void node_drain(struct node *n);
bool node_drained(const struct node *n);
bool node_ready(const struct node *n, struct buf *ret_why);
enum err node_warnings(const struct node *n, struct buf *out) MUST_USE; /* as store_warnings() */
enum err node_metrics_write(const struct node *n, struct buf *out) MUST_USE;
/* Where listener i of all virtual servers, in order, listens: real ports for 0. */
bool node_address(const struct node *n, size_t i, struct ip_endpoint *ret);

/* Runs until SIGTERM; the exit code. */
int node_main(struct config *conf, const char *config_path);
