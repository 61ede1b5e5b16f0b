/* tests/fakes/fake_store.h — the shared queue in memory behind queue/store.h, with faults on order.
 *
 * One struct fake_store is the database; fake_store_open() makes a client of it, as one node or worker
 * would have. State changes at the call, callbacks come later: by hand (fake_store_run()) or from a loop
 * (fake_store_attach()). Its clock is Redis's clock. Running out of memory aborts the test.
 * Lifetimes: the clock outlives the database, the database its clients. */
#pragma once
#include "common/io/loop.h"
#include "queue/store.h"

struct fake_store;
enum { FAKE_STORE_LEASE_MS = 30000, FAKE_SLOTS_LEASE_MS = 55000 }; /* of jobs, of connection slots */

struct fake_store *fake_store_new(const struct clock *clock, unsigned partitions);
void fake_store_free(struct fake_store *f); /* NULL is a no-op */
struct store *fake_store_open(struct fake_store *f);

/* Calls what is due by the clock, in order; what these calls ask for comes with the next run. Returns how
 * many callbacks were called: run until it says 0. */
size_t fake_store_run(struct fake_store *f);
ms_t fake_store_next(const struct fake_store *f); /* monotonic time of the next callback; UINT64_MAX: none */
/* Runs by itself on the loop's timers from now on (the database's clock should be the loop's). */
enum err fake_store_attach(struct fake_store *f, struct loop *l) MUST_USE;
void fake_store_detach(struct fake_store *f); /* before loop_free(); the last client's end does it too */

/* --- Faults -------------------------------------------------------------------------------------- */

enum fake_store_op {
    FAKE_UPLOAD, /* upload_write() */
    FAKE_COMMIT,
    FAKE_DISCOVER,
    FAKE_CLAIM,
    FAKE_CHUNK,
    FAKE_FINISH,
    FAKE_SLOTS,
    FAKE_REAP,
    FAKE_LINK,
    FAKE_OPS
};
/* The next `times` of op do nothing and end with e; why is what commit_fn is told. */
void fake_store_fail(struct fake_store *f, enum fake_store_op op, enum err e, const char *why,
                     unsigned times);
void fake_store_delay(struct fake_store *f, enum fake_store_op op, ms_t delay_ms);
/* Bytes an upload takes before it answers ERR_AGAIN; 0: no limit. ready() comes with the next run. */
void fake_store_window(struct fake_store *f, size_t bytes);
void fake_store_stall(struct fake_store *f, bool stalled); /* ready() does not come while stalled */
/* store_refusal(), until it is ERR_OK again; why as of store_ready(). Commits are not touched by it. */
void fake_store_refuse(struct fake_store *f, enum err refusal, const char *why);
/* While frozen a client does not renew its lease: it expires by the clock. */
void fake_store_freeze(struct store *client, bool frozen);
/* The lease of a client ends now, as if it had been frozen for long; a new incarnation follows at once. */
void fake_store_expire(struct store *client);
/* The lease of its slots ends now. */
void fake_store_lose_slots(struct store *client);

/* --- Looking inside ------------------------------------------------------------------------------ */

enum fake_job_state { FAKE_JOB_READY, FAKE_JOB_CLAIMED, FAKE_JOB_BADMAIL };
struct fake_job_view {
    struct msgid id;
    uint32_t index;
    enum fake_job_state state;
    ms_t due_ms; /* wall clock */
    bool problem;
    uint32_t interrupted;
    struct span env, blob, body, reason; /* encoded envelope and job; borrowed until the next run or call */
};
size_t fake_store_messages(const struct fake_store *f);
size_t fake_store_jobs(const struct fake_store *f);
bool fake_store_job(const struct fake_store *f, size_t i,
                    struct fake_job_view *ret); /* oldest message first */
size_t fake_store_open_uploads(const struct fake_store *f);
size_t fake_store_open_claims(const struct fake_store *f); /* handed out, neither finished nor released */
unsigned fake_store_slots(const struct fake_store *f, struct span link);
unsigned fake_store_slots_peak(const struct fake_store *f); /* most in use at once, all links together */

struct fake_store_counts {
    uint64_t commits, finished, retried, badmail, released, stale, delivered, bounced, reaped;
};
const struct fake_store_counts *fake_store_counts(const struct fake_store *f);
/* From now on claims of this job say that an operator wants it returned. false: no such job. */
bool fake_store_bounce(struct fake_store *f, const struct msgid *id, uint32_t index, const char *reason);
/* What `bridgehead queue retry --all` does to the queues: what waits is due, what is in hand comes back due.
 */
void fake_store_retry(struct fake_store *f);
/* Puts a message straight into the queue, as a commit age_ms ago would have. */
void fake_store_put(struct fake_store *f, const struct envelope *env, const struct commit_job *jobs,
                    size_t njobs, struct span body, ms_t age_ms, struct msgid *ret);
