/* queue/redis_worker.h — the working half of the store on Redis; see queue/redis_store_int.h.
 *
 * An incarnation of the worker, by its leases (one in each partition, one for slots):
 *
 *   NONE ──hello──> GREETING ──all answered──> VALID ──renew, each third of the lease──> VALID
 *     ^                │ refused                 │ EXPIRED, or the time is over (frozen, cut off)
 *     └────────────────┴─────────────────────────┘ expired(): a new name, and hello again
 *
 * The lease is counted from when the renewal was sent, by our own monotonic clock: it ends here before it
 * ends in Redis. That of the slots is SLOT_LEASES times as long: connections that wait for the answer to
 * their final dot outlive the incarnation that made them, and the next one takes their slots over. Before it
 * ends in Redis slots_lost() closes what is left. */
#pragma once
#include "queue/redis_store_int.h"

enum { SLOT_LEASES = 2, REDIS_WHY_MAX = 400 };
enum { FINISH_BATCH = 100, FINISH_BATCH_BYTES = 1 << 20, PREFETCH_MAX = 32 << 20 };

struct redis_chunk;
struct redis_claim {
    struct claim claim;
    struct redis_store *st;
    struct redis_claim *next, **prev; /* in worker->claims */
    char worker[WORKER_NAME_MAX];     /* incarnation that holds it */
    unsigned asks;                    /* chunks asked for and not delivered */
    bool ended;                       /* freed with the last ask */
    bool flying;                      /* the prefetch is on its way */
    size_t reserved;                  /* of worker->prefetch_bytes */
    struct buf body;                  /* prefetched, as stored; "" : not here */
    struct redis_chunk *early;        /* asks that wait for the prefetch */
    struct span job_text;             /* as stored; of data */
    char data[];                      /* envelope, job, flags */
};

enum redis_finish_kind { KIND_FINISH, KIND_RELEASE };
struct redis_finish {
    struct redis_finish *next;           /* in its partition's list, or its batch */
    struct redis_finish *older, **newer; /* in worker->finishes: not answered */
    struct redis_store *st;
    struct redis_finished what;
    enum redis_finish_kind kind;
    bool ends;                    /* the job is over: kept for the redo */
    bool part;                    /* some of its recipients are settled, others wait */
    bool again;                   /* the lease was lost: told once more, if nobody has taken the job since */
    struct buf claimed;           /* part: "=" and the job as it was claimed */
    bool alone;                   /* refused among others: it may have been another's fault */
    bool refused;                 /* at least once: counted in worker->nrefused */
    struct redis_request *record; /* arguments */
    size_t arguments;
    struct redis_upload *upload; /* of a report of several chunks, while it is sealed */
    struct redis_described described;
    struct redis_request *report_head; /* id, envelope, text */
    struct redis_request *report_jobs;
    struct msgid report_id;
    size_t nreport_jobs;
    bool report;
    unsigned bodies_sent;          /* of a report: again when Redis says that it is not there */
    struct redis_request *without; /* the record for the case that the report is lost, or NULL */
    bool without_ends, without_part, report_lost;
    done_fn *done; /* or NULL */
    void *arg;
};

struct redis_sem {
    struct redis_hold *holds;            /* slots by link, as far as we know */
    struct redis_slot_ask *head, **tail; /* gets that wait for a sync */
    unsigned in_flight;                  /* gets and puts not answered */
    bool dirty;                          /* a reply was lost: sync before anything else */
    bool syncing;
    bool changed;                 /* something was given back since the sync was written */
    ms_t leased_ms;               /* when the last good renewal was sent, under whatever name; 0: none */
    char former[WORKER_NAME_MAX]; /* who holds them in Redis, until the next incarnation has; "" : nobody */
    struct timer *expiry, *settle;
    bool settling; /* since a failover: gets wait */
    store_event_fn *lost;
    void *lost_arg;
};
struct redis_worker {
    bool wanted;                /* between store_worker_open() and close */
    bool valid;                 /* `expired` is due when it ends */
    char name[WORKER_NAME_MAX]; /* of this incarnation; "" : NONE */
    char label[16], info[512];
    unsigned epoch;          /* grows with every name: what belongs to an older one is told apart */
    unsigned left;           /* hellos or renewals not answered */
    bool failed;             /* one of them was not answered: renew sooner */
    char why[REDIS_WHY_MAX]; /* Redis refuses to renew; "" : it does not */
    ms_t sem_leased_ms, valid_until_ms; /* of this incarnation */
    struct timer *renew, *expiry;
    store_event_fn *expired;
    void *arg;
    unsigned byes;   /* partitions that still give back */
    done_fn *closed; /* while closing */
    void *closed_arg;
    bool closing;

    struct redis_claim *claims;
    size_t prefetch_bytes;
    struct buf chunk;                        /* scratch: the chunk being handed out */
    struct redis_chunk *ready, **ready_tail; /* to be delivered at the end of the turn */
    struct deferred deliver;
    struct redis_finish *finishes; /* not answered */
    struct redis_finish *held;     /* of these: refused, to be told again; newest first */
    size_t nheld, held_bytes;
    ms_t held_until_ms, held_pause_ms;
    ms_t audit_ms;   /* none before, for what could not be held */
    size_t nrefused; /* of finishes: held, or told again and not answered yet */
    char refused_why[REDIS_WHY_MAX];
    struct deferred send;
    struct redis_sem sem;
};

/* --- redis_worker.c ------------------------------------------------------------------------------ */
enum err redis_worker_init(struct redis_store *st) MUST_USE;
void redis_worker_free(struct redis_store *st);
void redis_worker_connected(struct redis_store *st, bool another_master);
void redis_worker_expire(struct redis_store *st);
enum err redis_worker_open(struct store *st, const struct worker_info *info, store_event_fn *expired,
                           void *arg);
void redis_worker_close(struct store *st, done_fn *done, void *arg);
ms_t redis_worker_valid(const struct store *st);
const char *redis_worker_why(const struct store *st);
void redis_reap_later(struct redis_store *st); /* reached for the first time, or again */
enum err redis_reap(struct store *st, unsigned partition, count_fn *done, void *arg);

/* --- redis_claim.c ------------------------------------------------------------------------------- */
enum err redis_discover(struct store *st, unsigned partition, unsigned from, unsigned max, discover_fn *done,
                        void *arg);
enum err redis_claim_jobs(struct store *st, unsigned partition, struct span domain, uint32_t klass,
                          unsigned max, claim_fn *done, void *arg);
enum err redis_held(struct store *st, unsigned partition, uint64_t cursor, held_fn *done, void *arg);
enum err redis_rouse(struct store *st, unsigned partition, struct span domain, uint32_t klass);
enum err redis_hold(struct store *st, unsigned partition, struct span domain, uint32_t klass, ms_t delay_ms,
                    uint64_t token);
void redis_claim_end(struct redis_claim *c); /* freed, or when the last chunk was delivered */
void redis_claims_free(struct redis_store *st);

/* --- redis_chunk.c ------------------------------------------------------------------------------- */
enum err redis_chunk(struct store *st, const struct claim *c, uint32_t chunk, chunk_fn *done, void *arg);
void redis_chunk_prefetch(struct redis_claim *c);
void redis_chunks_init(struct redis_store *st);
void redis_chunks_free(struct redis_store *st);

/* --- redis_finish.c ------------------------------------------------------------------------------ */
enum err redis_finish_job(struct store *store, const struct finish *in, done_fn *done, void *arg);
enum err redis_release(struct store *st, struct claim *c, ms_t delay_ms);
void redis_release_unknown(struct redis_store *st, unsigned partition, const char *id, uint32_t index,
                           uint64_t token);
void redis_bury(struct redis_store *st, struct redis_claim *c,
                struct span why); /* badmail: it cannot be read */
void redis_finishes_init(struct redis_store *st);
void redis_finishes_flush(struct redis_store *st); /* now, not at the end of the turn */
void redis_finishes_tick(struct redis_store *st);
enum err redis_finishes_warnings(const struct redis_store *st,
                                 struct buf *out) MUST_USE; /* what is refused */
void redis_finishes_free(struct redis_store *st);

/* --- redis_record.c ------------------------------------------------------------------------------ */
enum { REDIS_RECORD_ARGS = 12, REDIS_RELEASE_ARGS = 4 }; /* arguments of one job, without its report */
void redis_record_name(struct redis_request *record, const struct redis_finished *what); /* the first three */
/* A finish's; reports: a report follows. ERR_TOOBIG, ERR_NOMEM. */
enum err redis_record_encode(struct redis_request *record, const struct redis_finished *what,
                             const struct finish *in, bool reports) MUST_USE;

/* --- redis_audit.c ------------------------------------------------------------------------------- */
void redis_audit(struct redis_store *st, unsigned partition); /* releases what we hold without knowing */
void redis_reassert(struct redis_store *st);                  /* after a failover: what we hold, again */

/* --- redis_slots.c ------------------------------------------------------------------------------- */
enum err redis_slots_get(struct store *st, struct span link, unsigned want, unsigned cap_link,
                         unsigned cap_total, slots_fn *done, void *arg);
void redis_slots_put(struct store *st, struct span link, unsigned n);
void redis_slots_on_lost(struct store *st, store_event_fn *fn, void *arg);
void redis_slots_leased(struct redis_store *st, ms_t sent_ms);      /* a renewal that left then was good */
void redis_slots_taken_over(struct redis_store *st, uint64_t held); /* by this incarnation */
void redis_slots_suspend(struct redis_store *st); /* the incarnation is over: its connections may not be */
void redis_slots_lost(struct redis_store *st);    /* so are its slots */
void redis_slots_expired(
    struct redis_store *st); /* by our clock or by Redis's word: the incarnation ends, too */
enum err redis_slots_init(struct redis_store *st) MUST_USE;
void redis_slots_resume(struct redis_store *st); /* the next one is valid, or the store is usable again */
/* Another server is master: nobody knows what the others hold. Before redis_slots_resume(). */
void redis_slots_settle(struct redis_store *st);
void redis_slots_free(struct redis_store *st);
enum err redis_link_get(struct store *st, struct span link, link_fn *done, void *arg);
enum err redis_link_failed(struct store *st, struct span link, uint32_t failures, ms_t delay_ms,
                           struct span error);
enum err redis_link_ok(struct store *st, struct span link);
