/* worker/worker.h — the delivery daemon: empties the shared queue towards the next hops.
 *
 * One loop, one thread (and a few for files). worker_main() is the program; the rest is the same worker
 * for tests, with a store and a resolver of theirs. What it is made of is drawn in worker/core.h. */
#pragma once
#include "common/io/dns.h"
#include "common/io/loop.h"
#include "queue/store.h"
#include "worker/metrics.h"

struct routing;
struct worker;
struct worker_deps { /* borrowed; all outlive the worker */
    struct loop *loop;
    struct store *store;
    struct dns *dns;         /* NULL: no name can be resolved */
    struct routing *routing; /* NULL: nobody is told how targets answer */
    const char *config_path; /* relative paths of maildirs are below its directory; NULL: below "." */
};
/* Takes references of conf. ERR_CONFIG, ERR_NOMEM, ERR_IO, ERR_BACKEND with ec. */
enum err worker_new(const struct worker_deps *deps, struct config *conf, struct worker **ret,
                    struct errctx *ec) MUST_USE;
/* Frees everything that is under way at once; claims come back when the lease ends, unless worker_drained().
 * Two steps around the freeing of the store, which completes what it was asked for. NULL is a no-op. */
void worker_stop(struct worker *w);
void worker_free(struct worker *w);
enum err worker_reload(struct worker *w, struct config *next, struct errctx *ec) MUST_USE;
/* No new work: what is in flight ends, the rest goes back at once. */
void worker_drain(struct worker *w);
bool worker_drained(struct worker *w); /* nothing in hand, and the lease is given back */
bool worker_ready(struct worker *w, struct buf *ret_why);
const struct worker_metrics *worker_counters(const struct worker *w);

/* Runs until SIGTERM; the exit code. */
int worker_main(struct config *conf, const char *config_path);
