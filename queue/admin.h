/* queue/admin.h — the shared queue as an administrator sees it: lists, filters, edits, status.
 *
 * Works from any machine that reaches Redis, without store and without any daemon. Every operation goes
 * through partitions and pages by itself, in steps that are bounded on both sides, so that a queue of
 * millions costs the server no more at a time than a queue of ten.
 *
 * Lifetimes: belongs to one loop; admin_free() completes what is under way with ERR_CANCELED. Callbacks are
 * never called before the call that registered them returns; each() any number of times, then done() exactly
 * once; when a call returns an error neither is called. What each() gets is borrowed for the call.
 * each() returns whether to go on: after false, done(ERR_OK).
 * Errors: ERR_AGAIN (Redis not reached in time), ERR_BACKEND (refused; why says what to do), ERR_NOTFOUND
 * (no such message), ERR_NOMEM.
 * Time: wall clock of Redis; results carry now_ms to compare with. 0: none. */
#pragma once
#include "common/clock.h"
#include "common/config/config.h"
#include "common/err.h"
#include "common/io/loop.h"
#include "common/span.h"
#include "queue/envelope.h"
#include "queue/msgid.h"
#include "queue/store.h"

struct admin;
struct redis_link;

/* Connects in the background; operations wait for it, at most patience_ms each time they need Redis. */
enum err admin_open(struct loop *l, const struct config *conf, ms_t patience_ms, struct admin **ret,
                    struct errctx *ec) MUST_USE;
void admin_free(struct admin *a); /* NULL is a no-op */

typedef void admin_done_fn(void *arg, enum err e, const char *why); /* why: "" on success */

/* --- Destination queues --------------------------------------------------------------------------- */

enum admin_queue_state {
    ADMIN_FROZEN,    /* by an administrator, in at least one partition; or all that waits, one by one */
    ADMIN_ACTIVE,    /* in the hands of a worker */
    ADMIN_READY,     /* due, and nobody at it */
    ADMIN_RETRY,     /* waiting after a failure */
    ADMIN_SCHEDULED, /* waiting because the sender wanted it */
};
const char *admin_queue_state_name(enum admin_queue_state s); /* "Frozen" */
struct admin_queue;
/* By its other fields; deferred: how many of its jobs have been put back. */
enum admin_queue_state admin_queue_state_of(const struct admin_queue *q, uint64_t deferred);

struct admin_queue {
    struct span domain;
    uint32_t klass;
    enum admin_queue_state state;
    uint64_t waiting, in_hand; /* jobs: a message with one recipient domain is one job */
    uint64_t frozen_jobs;      /* of those that wait, frozen one by one */
    ms_t oldest_ms;            /* arrival of the oldest that waits */
    bool oldest_about;         /* that is up to 10 minutes off: many wait, and some were deferred */
    ms_t due_ms;               /* next try */
    ms_t hold_ms;              /* skipped until then: link down or at its cap */
    struct span last_error;
    ms_t last_error_ms;
    struct span frozen_by, frozen_reason;
    ms_t frozen_ms;
    ms_t now_ms;
};
typedef bool admin_queue_fn(void *arg, const struct admin_queue *q);
/* All of them, each once, sorted by domain, then class. */
enum err admin_queues(struct admin *a, admin_queue_fn *each, admin_done_fn *done, void *arg) MUST_USE;

typedef void admin_count_fn(void *arg, enum err e, uint64_t n, const char *why);
/* One queue in all partitions, whether it has mail or not; n: partitions that changed. by, reason: text. */
enum err admin_freeze(struct admin *a, struct span domain, uint32_t klass, struct span by, struct span reason,
                      admin_count_fn *done, void *arg) MUST_USE;
enum err admin_thaw(struct admin *a, struct span domain, uint32_t klass, admin_count_fn *done,
                    void *arg) MUST_USE;

/* --- Jobs: what waits for one destination, as a part of a message ---------------------------------- */

enum admin_place {
    ADMIN_QUEUED = 1,     /* waits in its queue, due or not */
    ADMIN_IN_HAND = 2,    /* claimed by a worker */
    ADMIN_BADMAIL = 4,    /* neither deliverable nor returnable */
    ADMIN_QUARANTINE = 8, /* three workers died with it in hand */
    ADMIN_STAGED = 16,    /* of a very large message, about to be queued */
};
struct admin_filter {   /* zeroed: everything that is queued */
    unsigned places;    /* enum admin_place, or'ed; 0: ADMIN_QUEUED */
    struct span domain; /* normalized; "" : every queue */
    bool any_class;     /* of that domain; else klass */
    uint32_t klass;
    struct span sender, rcpt; /* parts of the address, ASCII case ignored; "" : any */
    struct span id;           /* "NN-<16>", or the beginning of the 16; "" : any */
    ms_t min_age_ms, max_age_ms;
    uint64_t limit; /* 0: none */
};
struct admin_job {
    struct msgid id;
    uint32_t index;
    enum admin_place place;
    ms_t arrival_ms, due_ms; /* due: of what waits; since when, of badmail and quarantine */
    uint32_t interrupted;    /* workers that died with it in hand */
    bool problem;            /* sorts behind healthy ones */
    bool frozen;             /* by itself: waits until somebody thaws it, and does not expire meanwhile */
    bool queue_frozen;       /* waits until its queue is thawed */
    bool returning;          /* to be returned to its sender */
    struct span reason;      /* why: of badmail, quarantine, returning */
    struct span worker;      /* ADMIN_IN_HAND */
    struct envelope env;
    struct job job;
    struct body_desc body;
    ms_t now_ms;
};
/* Whether text is a message id or how one begins; "07-" alone is a partition. Of a filter that has another,
 * admin_jobs() and admin_edit() say ERR_PARSE. */
bool admin_is_id(struct span text);
typedef bool admin_job_fn(void *arg, const struct admin_job *j);
/* Queue by queue, in order of due time. Mail moves meanwhile: a job may be missed or come twice. */
enum err admin_jobs(struct admin *a, const struct admin_filter *f, admin_job_fn *each, admin_done_fn *done,
                    void *arg) MUST_USE;

enum admin_verb {
    ADMIN_RETRY_NOW, /* due now; a queue that is gone through is no longer held */
    ADMIN_DELETE,    /* without a report */
    ADMIN_RETURN,    /* to its sender, with a report: at once, whatever its link waits for */
    ADMIN_REQUEUE,   /* badmail and quarantine: as if it had just arrived */
    ADMIN_FREEZE,    /* not tried until it is thawed; only those are found that are not frozen so far */
    ADMIN_THAW,      /* only those that are frozen one by one are found */
};
struct admin_result {
    uint64_t matched; /* jobs the filter found */
    uint64_t changed;
    uint64_t in_hand; /* left alone: a worker has them */
    uint64_t refused; /* left alone: not in a state for that, or gone meanwhile */
};
typedef void admin_result_fn(void *arg, enum err e, const struct admin_result *r, const char *why);
/* Applies a verb to every job that the filter finds. dry_run: only counts. each() may be NULL; it sees what
 * is about to be changed, and stops the rest with false. text: the reason, <= 256 bytes, for tracking and
 * for the sender. filter->places counts: REQUEUE wants badmail or quarantine, DELETE one of all, the others
 * ADMIN_QUEUED. */
enum err admin_edit(struct admin *a, enum admin_verb verb, const struct admin_filter *f, struct span text,
                    bool dry_run, admin_job_fn *each, admin_result_fn *done, void *arg) MUST_USE;

/* --- One message ----------------------------------------------------------------------------------- */

struct admin_message {
    struct msgid id;
    struct envelope env;
    struct body_desc body;
    ms_t arrival_ms, now_ms;
    uint32_t jobs_ever, jobs_left;
};
typedef bool admin_message_fn(void *arg, const struct admin_message *m);
/* message() once, then each() per job that is left. done(ERR_NOTFOUND). */
enum err admin_show(struct admin *a, const struct msgid *id, admin_message_fn *message, admin_job_fn *each,
                    admin_done_fn *done, void *arg) MUST_USE;

typedef bool admin_bytes_fn(void *arg, struct span bytes);
/* The body as it was accepted, raw, piece by piece. done(ERR_PARSE): it is damaged, and after what. */
enum err admin_body(struct admin *a, const struct msgid *id, admin_bytes_fn *each, admin_done_fn *done,
                    void *arg) MUST_USE;

struct admin_event {
    struct msgid id;
    ms_t at_ms;
    struct span event; /* "accepted", "deferred", "delivered", "bounced", "badmail", "deleted", ... */
    struct span domain;
    uint32_t klass;
    struct span text; /* sender; of an attempt recipients, way, and what was said; else the reason */
};
typedef bool admin_event_fn(void *arg, const struct admin_event *e);
/* What is left of the history (redis.history), oldest first; id NULL: of all messages. */
enum err admin_track(struct admin *a, const struct msgid *id, admin_event_fn *each, admin_done_fn *done,
                     void *arg) MUST_USE;

/* --- Status ---------------------------------------------------------------------------------------- */

/* Counters of all partitions together; name as in queue/lua/README.md. SUM: each partition has its part.
 * MOST: each has all of them, and the most is told, because whoever freezes goes through them one by one. */
/* clang-format off */
#define ADMIN_COUNTERS(X) \
    X(accepted, SUM, "messages ever accepted") \
    X(bytes, SUM, "octets of these") \
    X(jobs, SUM, "deliveries ever queued: a message has one for each destination") \
    X(ended, SUM, "deliveries that are over") \
    X(gone, SUM, "messages that are over") \
    X(delivered, SUM, "recipients delivered to") \
    X(bounced, SUM, "recipients returned to the sender") \
    X(deferred, SUM, "attempts that are to be repeated") \
    X(badmail, SUM, "deliveries that ever became badmail") \
    X(interrupted, SUM, "deliveries taken back from workers that died") \
    X(quarantined, SUM, "deliveries that ever went into quarantine: three workers died with them") \
    X(canceled, SUM, "messages taken back by their node before anybody had them") \
    X(deleted, SUM, "deliveries deleted by command") \
    X(ghosts, SUM, "queue entries without a message, dropped") \
    X(frozen, MOST, "destination queues that are frozen") \
    X(frozen_jobs, SUM, "deliveries that are frozen one by one") \
    X(badmail_now, SUM, "deliveries that are badmail") \
    X(quarantine_now, SUM, "deliveries in quarantine") \
    X(workers, MOST, "workers that have a lease") \
    X(events, SUM, "lines of history that are kept") \
    X(spreading, SUM, "messages of very many recipients whose deliveries are still being queued") \
    X(in_hand, SUM, "deliveries in the hands of workers")
/* clang-format on */
struct admin_counters {
#define X(name, kind, meaning) uint64_t name;
    ADMIN_COUNTERS(X)
#undef X
};
struct admin_redis { /* from INFO; spans are "" and numbers 0 where the server says nothing */
    struct span version, mode, role;
    uint64_t uptime_s, clients, replicas, used_memory, max_memory, used_memory_rss, ops_per_s;
    bool aof, aof_write_ok, loading;
    struct span fsync, eviction;
};
struct admin_status {
    ms_t now_ms;
    unsigned partitions;
    struct span schema;
    uint64_t messages, waiting_jobs; /* accepted - gone, jobs - ended */
    struct admin_counters counters;
    uint64_t slots; /* connection slots in use */
    struct admin_redis redis;
};
typedef void admin_status_fn(void *arg, enum err e, const struct admin_status *s, const char *why);
enum err admin_status(struct admin *a, admin_status_fn *done, void *arg) MUST_USE;

struct admin_member { /* a node, worker or router with a lease */
    struct span name;
    struct span info; /* what it says of itself */
    ms_t lease_ms;    /* end; earlier than now: dead, not reaped yet */
    uint64_t slots;   /* connections it holds */
    uint64_t jobs;    /* in hand, all partitions */
    bool master;      /* the router that decides for its group */
    ms_t now_ms;
};
/* Nodes and workers by name, then routers by name; routers also when there is no store yet. */
typedef bool admin_member_fn(void *arg, const struct admin_member *m);
enum err admin_members(struct admin *a, admin_member_fn *each, admin_done_fn *done, void *arg) MUST_USE;

struct admin_link {
    struct span link;
    uint64_t slots;          /* in use */
    struct link_state state; /* failures 0: in order */
    ms_t since_ms;           /* of the first failure in a row */
    ms_t now_ms;
};
typedef bool admin_link_fn(void *arg, const struct admin_link *k);
/* Links with connections or failures, sorted by name. */
enum err admin_links(struct admin *a, admin_link_fn *each, admin_done_fn *done, void *arg) MUST_USE;
/* Forgets the failures of a link, so that it is tried at once; n: 1 if there were any. */
enum err admin_link_reset(struct admin *a, struct span link, admin_count_fn *done, void *arg) MUST_USE;

/* --- Checking -------------------------------------------------------------------------------------- */

/* finding: "<partition>: I<n> <name> <what>", cut at 1,000 bytes. */
typedef void admin_finding_fn(void *arg, struct span finding, bool mended);
struct admin_check_result {
    uint64_t keys, findings, mended;
    uint64_t moved; /* partitions whose counters could not be judged: mail came or went meanwhile */
};
typedef void admin_check_fn(void *arg, enum err e, const struct admin_check_result *r, const char *why);
/* Proves the invariants of queue/lua/README.md over the whole store, while it runs, and mends what can be
 * mended when repair is set. each(): one line per finding. */
enum err admin_check(struct admin *a, bool repair, admin_finding_fn *each, admin_check_fn *done,
                     void *arg) MUST_USE;
