/* node/intake.h — one session's way into the shared queue: upload, commit, memory in flight.
 *
 * Does the store's part of struct session_ops. A commit outlives the client that asked for it: its
 * answer finds the session, or nobody, and is logged either way.
 * Lifetimes: store, budget and owner outlive the intake. */
#pragma once
#include "node/metrics.h"
#include "queue/store.h"

struct intake_budget { /* of one loop */
    size_t used, limit;
};
struct intake_owner {
    /* The upload takes bytes again. */
    void (*unblocked)(void *arg);
    void (*committed)(void *arg, enum err e, const struct msgid *id);
};
struct intake_commit;
struct intake {
    struct store *store;
    struct intake_budget *budget;
    struct node_metrics *metrics;
    const struct clock *clock;
    const struct intake_owner *owner;
    void *arg;
    struct upload *upload;         /* NULL: none */
    size_t step;                   /* so much may come at once: see intake_set_step() */
    struct intake_commit *pending; /* NULL: no commit on its way */
    size_t held;                   /* counted in the budget: the transaction, the open upload */
    size_t txn_bytes;
};
void intake_init(struct intake *in, struct store *store, struct intake_budget *budget,
                 struct node_metrics *metrics, const struct clock *clock, const struct intake_owner *owner,
                 void *arg);
/* From now on an upload blocks as long as it would not take so many bytes: what is read is never left over,
 * to be held besides the two chunks. 0: it blocks when it is full. */
void intake_set_step(struct intake *in, size_t bytes);
void intake_done(struct intake *in); /* drops the upload, forgets a commit on its way; idempotent */

/* As the functions of struct session_ops (node/session.h). */
enum err intake_ready(const struct intake *in) MUST_USE;
enum err intake_memory(struct intake *in, size_t bytes) MUST_USE;
enum err intake_open(struct intake *in, struct msgid *ret_id) MUST_USE;
enum err intake_write(struct intake *in, struct span bytes, size_t *ret_taken) MUST_USE;
void intake_abort(struct intake *in);
enum err intake_commit(struct intake *in, const struct envelope *env, const struct commit_job *jobs,
                       size_t njobs) MUST_USE;
