/* queue/store.h — the shared queue as node and worker see it: redis_store.c in production, fake_store.c
 * in tests; one conformance suite holds both to this contract.
 *
 * Lifetimes: a store belongs to one loop and outlives everything opened on it; spans passed in are
 * copied before the call returns. Callbacks are called exactly once, never before the call that
 * registered them returns; store_free() completes what is pending with ERR_CANCELED. When a call
 * returns an error its callback is never called.
 * Time: due times and leases are Redis's clock; callers pass delays, never points in time. Of the times in a
 * job only the distance from first_ms counts: claimed, first_ms is when Redis took the message.
 * Errors: ERR_AGAIN (unreachable, loading, failing over: try later), ERR_FULL (memory or disk: 452),
 * ERR_UNKNOWN (the reply was lost), ERR_BACKEND (refused for a reason that an operator must mend),
 * ERR_STALE (the lease is somebody else's). The life cycle and the invariants I1.. are drawn in
 * queue/lua/README.md and named in every script. */
#pragma once
#include "common/buf.h"
#include "common/clock.h"
#include "common/config/config.h"
#include "common/err.h"
#include "common/io/loop.h"
#include "common/span.h"
#include "queue/envelope.h"
#include "queue/msgid.h"

struct store;
struct upload;

/* One piece of a body. A session holds at most one filling and one in flight: with the 16 KiB of an
 * idle session this keeps it under 128 KiB. 64 bytes short of 48 KiB: the allocator's size class. */
enum { CHUNK_BYTES = 49152 - 64 };

enum err store_redis_open(struct loop *l, const struct config *conf, struct store **ret,
                          struct errctx *ec) MUST_USE;
void store_free(struct store *st);                 /* NULL is a no-op */
unsigned store_partitions(const struct store *st); /* 0: not known yet, never connected */
/* Whether mail can be committed now; the reason, with the remedy, when not. */
bool store_ready(const struct store *st, struct buf *ret_why);
/* The same for whoever brings mail. ERR_AGAIN: it cannot be reached, or does not keep its promise now;
 * ERR_BACKEND: it refuses until somebody has mended it. As a commit would end, or better. */
enum err store_refusal(const struct store *st) MUST_USE;
/* What weakens the store without making it unusable, a finding a line, with remedies: to be logged. */
enum err store_warnings(const struct store *st, struct buf *out) MUST_USE;
typedef void store_event_fn(void *arg);
/* Called whenever store_ready() or store_warnings() may say something else. */
void store_on_change(struct store *st, store_event_fn *fn, void *arg);
/* Appends Prometheus text. */
enum err store_metrics(const struct store *st, struct buf *out) MUST_USE;

/* --- Membership: what `bridgehead status` shows of this process ------------------------------------ */

struct member_conf {
    const char *name; /* copied; NULL: the machine's */
    const char *role; /* "node"; static */
    bool own_lease;   /* nodes; a worker has one already: call this before store_worker_open() */
    /* Asked with every renewal: messages accepted or recipients delivered so far, sessions or connections. */
    void (*count)(void *arg, uint64_t *ret_total, uint64_t *ret_open);
    void *arg;
};
enum err store_member_open(struct store *st, const struct member_conf *conf) MUST_USE; /* once */
void store_member_close(struct store *st); /* leaves the list; else its lease ends by itself */

/* --- Accepting (nodes; workers for reports) ------------------------------------------------------ */

/* Makes an id and picks a healthy partition (or `near`'s, for a report about that message).
 * ready(arg) is called when upload_write() may go on after ERR_AGAIN. NULL: out of memory. */
struct upload *store_upload(struct store *st, const struct msgid *near, store_event_fn *ready, void *arg);
const struct msgid *upload_id(const struct upload *u);
/* Takes bytes of the body, as many as fit. ERR_OK: all of them. ERR_AGAIN: *ret_taken of them (set in
 * this case too), the window is used up: wait for ready(). Other errors end the upload (abort it). */
enum err upload_write(struct upload *u, struct span bytes, size_t *ret_taken) MUST_USE;
/* Whether so many bytes are taken at once; when they are not, ready() is called as after ERR_AGAIN. */
bool upload_has_room(struct upload *u, size_t bytes);
uint64_t upload_size(const struct upload *u);
/* For the log, when upload_write() failed: what went wrong and what to do about it; "" : nothing is known. */
const char *upload_why(const struct upload *u);

struct commit_job {
    const struct job *job;
    ms_t delay_ms; /* until first due; 0: now */
};
typedef void commit_fn(void *arg, enum err e, const struct msgid *id, const char *why);
/* Durable under the configured durability when done(ERR_OK) is called; sent at most once to Redis in
 * effect, however often it is retried (same id). Takes u, unless the call returns an error: then u is
 * still the caller's to abort. done() gets ERR_OK, ERR_FULL (452), ERR_AGAIN (451: nothing was accepted),
 * ERR_BACKEND, or ERR_CANCELED from store_free(). ERR_UNKNOWN never reaches the caller: the store resolves
 * it by retry or by cancelling, at most for COMMIT_TIMEOUT_MS. why: the reason for people, "" with ERR_OK.
 * ERR_TOOBIG, ERR_PARSE: envelope or job beyond what queue/envelope.h allows. */
enum { COMMIT_TIMEOUT_MS = 60000 };
enum err upload_commit(struct upload *u, const struct envelope *env, const struct commit_job *jobs,
                       size_t njobs, commit_fn *done, void *arg) MUST_USE;
void upload_abort(struct upload *u); /* frees u; what was sent expires by itself; NULL is a no-op */

/* --- Working (workers) --------------------------------------------------------------------------- */

struct worker_info {
    const char *name, *host, *version;
};
/* Registers an incarnation; from then on the store renews its lease by itself, together with what the
 * worker says it holds. expired(arg): the lease is gone (frozen, cut off): every claim is lost, abort what
 * has not sent its final dot; the store opens a new incarnation and calls again store_worker_valid() true
 * when it has one. Slots stay, for the connections that wait for an answer, and are given back as ever. */
enum err store_worker_open(struct store *st, const struct worker_info *info, store_event_fn *expired,
                           void *arg) MUST_USE;
typedef void done_fn(void *arg, enum err e);
void store_worker_close(struct store *st, done_fn *done, void *arg); /* gives claims and slots back */
/* How long the lease surely still holds, by the worker's own monotonic clock, counted from the sending
 * of the last renewal that succeeded; 0: expired. No new transaction below a third of the lease. */
ms_t store_worker_valid(const struct store *st);
/* Why it is not renewed, with the remedy, when Redis refuses; "" : it does not. */
const char *store_worker_why(const struct store *st);

/* Somebody committed mail: a hint to look. A lost hint costs a poll. */
void store_on_wake(struct store *st, void (*fn)(void *arg, unsigned partition), void *arg);

struct dmq { /* a destination queue with due mail */
    struct span domain;
    uint32_t klass;
    uint64_t depth; /* jobs waiting, due or not */
};
typedef void discover_fn(void *arg, enum err e, const struct dmq *list, size_t n);
/* Queues with due jobs, least recently served first; `from` of them are left out: another worker serves
 * those. Less than max: there are no more. */
enum { STORE_DISCOVER_FROM_MAX = 1000000, STORE_DISCOVER_MAX = 256 };
enum err store_discover(struct store *st, unsigned partition, unsigned from, unsigned max, discover_fn *done,
                        void *arg) MUST_USE;

struct body_desc {
    uint64_t size_bytes; /* raw */
    uint32_t chunks;     /* at least 1; all but the last hold CHUNK_BYTES */
};
/* Belongs to the caller from claim_fn on; ended by exactly one store_finish() or store_release(), also after
 * the lease was lost. What is still open at store_free() is freed there. */
struct claim {
    struct msgid id;
    uint32_t index; /* k = 1, 2, ...: which job of the message */
    uint64_t token;
    struct envelope env; /* borrows from the claim */
    struct job job;
    struct body_desc body;
    uint32_t interrupted; /* times a worker died with it in hand */
    bool bounce;          /* an operator wants it returned to its sender: do not try to deliver */
    struct span reason;   /* ... and says why; borrows from the claim */
    ms_t now_ms;          /* Redis's clock at the claim */
    ms_t woken_ms;        /* same clock: its queue was last wanted now, or roused; 0: not lately */
};
typedef void claim_fn(void *arg, enum err e, struct claim *const *claims, size_t n);
/* At most max jobs of one queue, the oldest due first, problem messages behind healthy ones.
 * n == 0 with ERR_OK: nothing due. */
enum err store_claim(struct store *st, unsigned partition, struct span domain, uint32_t klass, unsigned max,
                     claim_fn *done, void *arg) MUST_USE;
/* One chunk of a body, raw, borrowed for the call; chunks may be asked for ahead and arrive in order. The
 * claim must live until done() was called. ERR_NOTFOUND, ERR_PARSE: the body is gone or damaged (badmail). */
typedef void chunk_fn(void *arg, enum err e, struct span bytes);
enum err store_chunk(struct store *st, const struct claim *c, uint32_t chunk, chunk_fn *done,
                     void *arg) MUST_USE;

enum finish_verb {
    FINISH_DONE,    /* every recipient is settled: the job goes, with the last job the message */
    FINISH_RETRY,   /* the job as given, due again after delay_ms */
    FINISH_BADMAIL, /* neither deliverable nor returnable: kept for an operator, with reason */
};
struct finish {
    struct claim *claim; /* freed by the call */
    enum finish_verb verb;
    const struct job *job; /* RETRY, BADMAIL: new state, recipients still waiting; NULL: as it was */
    ms_t delay_ms;
    bool problem;       /* RETRY: sort behind healthy messages */
    struct span reason; /* BADMAIL, and the tracking record; without line feeds */
    struct span whom;   /* tracking: for whom and by which way; at most 640 bytes */
    struct span others; /* "\n<event> <what>" for each kind of recipients that fared otherwise; <= 1500 */
    struct span event;  /* tracking: "delivered", "bounced", "deferred", ... */
    uint32_t delivered, bounced; /* recipients settled by this attempt: counters */
    struct upload *report;       /* a DSN or delay notice committed in the same script, or NULL */
    const struct envelope *report_env;
    const struct commit_job *report_jobs;
    size_t nreport_jobs;
    /* With a report: what is recorded when Redis has lost it or will not take it, so that nobody who is
     * settled comes back with it; its claim and report are not looked at. NULL: the job comes back whole. */
    const struct finish *without;
};
/* Takes f->claim and f->report, unless the call returns an error. done(ERR_STALE): the lease was lost
 * meanwhile and nothing was changed; what is DONE ends all the same as long as nobody else has taken it, and
 * who is settled of what is to be RETRYed leaves the job, which keeps its place in the queue, as long as
 * nobody else has changed it. done(ERR_NOTFOUND): the report is lost, and `without` was recorded. A lost
 * reply or connection is no error: the store sends again until it has an answer, and so it does, within
 * bounds, when Redis refuses. Other errors, and ERR_CANCELED from store_free(): the job comes back, whatever
 * was done. done may be NULL. */
enum err store_finish(struct store *st, const struct finish *f, done_fn *done, void *arg) MUST_USE;
/* Back to its queue untouched, due now (drain, link failed before anything was sent: delay_ms). Takes c,
 * also when it returns an error (then the job comes back with the end of the lease). Here and in
 * FINISH_RETRY: no delay when the queue was woken since the claim. */
enum err store_release(struct store *st, struct claim *c, ms_t delay_ms) MUST_USE;
/* Hides a queue from store_discover() for a while: its link is down or at its cap. It can still be claimed
 * from, so that connections which are open go on. token, of a claim: not when it was woken after that claim;
 * 0: whatever was. */
enum err store_hold(struct store *st, unsigned partition, struct span domain, uint32_t klass, ms_t delay_ms,
                    uint64_t token) MUST_USE;

/* Queues that are held, a page at a time: *next is 0 at the end. A queue may come twice. Their depth counts
 * what is in hand, too: it may be about to come back with a delay. */
typedef void held_fn(void *arg, enum err e, const struct dmq *list, size_t n, uint64_t next);
enum err store_held(struct store *st, unsigned partition, uint64_t cursor, held_fn *done, void *arg) MUST_USE;
/* There is another way: the hold ends, what waits for another try is due now, and what is in hand comes back
 * as after a wish. */
enum err store_rouse(struct store *st, unsigned partition, struct span domain, uint32_t klass) MUST_USE;

/* Connection slots, cluster-wide and exact: a slot is taken before connecting. */
typedef void slots_fn(void *arg, enum err e, unsigned granted);
enum err store_slots_get(struct store *st, struct span link, unsigned want, unsigned cap_link,
                         unsigned cap_total, slots_fn *done, void *arg) MUST_USE;
void store_slots_put(struct store *st, struct span link, unsigned n);
/* Slots have a lease of their own, twice as long: fn is called when it is about to end, or when it becomes
 * known that others have them. Every connection is to be closed now, whatever it waits for; nothing is to be
 * given back. */
void store_on_slots_lost(struct store *st, store_event_fn *fn, void *arg);

/* Jobs of dead workers, back to their queues; none for a lease after the store was out of reach, so that
 * others may come back, too. Called about once a second by every worker; bounded. */
typedef void count_fn(void *arg, enum err e, uint64_t n);
enum err store_reap(struct store *st, unsigned partition, count_fn *done, void *arg) MUST_USE;

/* Shared state of a link, for backoff seen by every worker and by the CLI (state, last error, next try). */
struct link_state {
    uint32_t failures; /* in a row: the step of the retry schedule */
    ms_t until_ms;     /* Redis's clock: no attempt before; 0: none */
    ms_t since_ms;     /* same clock: the first of them; 0: none */
    struct span last_error;
};
typedef void link_fn(void *arg, enum err e, const struct link_state *ls, ms_t now_ms);
enum err store_link_get(struct store *st, struct span link, link_fn *done, void *arg) MUST_USE;
enum err store_link_failed(struct store *st, struct span link, uint32_t failures, ms_t delay_ms,
                           struct span error) MUST_USE;
enum err store_link_ok(struct store *st, struct span link) MUST_USE;
