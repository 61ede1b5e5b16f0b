/* tests/fakes/fake_store_int.h — what the files of the fake share. */
#pragma once
#include "queue/store_ops.h"
#include "tests/fakes/fake_store.h"

struct fake_queue {
    struct fake_queue *next;
    unsigned partition;
    struct buf domain;
    uint32_t klass;
    uint64_t served; /* when it was last claimed from, as a sequence number */
    ms_t hold_until_ms;
    ms_t woken_ms; /* and the last token that was given by then */
    uint64_t woken_token;
};
struct fake_job {
    struct fake_job *next;
    struct fake_queue *queue;
    uint32_t index;
    enum fake_job_state state;
    ms_t due_ms;
    bool problem, bounce;
    uint64_t worker, token; /* CLAIMED */
    uint32_t interrupted;
    struct buf blob, reason;
};
struct fake_message {
    struct fake_message *next;
    struct msgid id;
    struct buf env, body;
    ms_t committed_ms; /* wall clock */
    struct fake_job *jobs;
};
struct fake_slot { /* what one worker holds of one link */
    struct fake_slot *next;
    struct buf link;
    uint64_t owner;
    unsigned count;
};
struct fake_link {
    struct fake_link *next;
    struct buf name, error;
    uint32_t failures;
    ms_t until_ms, since_ms;
};
struct fake_fault {
    enum err e;
    unsigned times;
    char why[128];
    ms_t delay_ms;
};
struct fake_client {
    struct store store;
    struct fake_store *f;
    struct fake_client *next;
    store_event_fn *on_change;
    void *on_change_arg;
    store_event_fn *expired;
    void *expired_arg;
    void (*wake)(void *arg, unsigned partition);
    void *wake_arg;
    bool worker_open, frozen;
    uint64_t worker; /* incarnation */
    ms_t lease_until_ms;
    uint64_t slots_owner; /* passed on from one incarnation to the next, until slots are lost */
    ms_t slots_until_ms;
    store_event_fn *slots_lost;
    void *slots_lost_arg;
    struct fake_claim *claims;
    struct fake_upload *uploads;
};
struct fake_claim {
    struct claim claim;
    struct fake_client *client;
    struct fake_claim *next;
    struct buf env, blob, reason;
    uint64_t worker;
};
struct fake_upload {
    struct upload upload;
    struct fake_client *client;
    struct fake_upload *next;
    struct buf body;
    size_t in_flight;
    bool waiting;
    store_event_fn *ready;
    void *arg;
};
/* A callback on its way. `run` knows which members it uses. */
struct fake_event {
    struct fake_event *next;
    struct fake_client *client;
    ms_t due_ms;
    uint64_t seq;
    enum err e;
    void (*run)(struct fake_event *ev);
    union {
        store_event_fn *event;
        commit_fn *commit;
        done_fn *done;
        discover_fn *discover;
        held_fn *held;
        claim_fn *claim;
        chunk_fn *chunk;
        slots_fn *slots;
        count_fn *count;
        link_fn *link;
        void (*wake)(void *arg, unsigned partition);
    } fn;
    void *arg;
    const void *owner; /* upload: dropped when it goes */
    struct msgid id;
    struct buf text;
    struct fake_claim **claims;
    struct fake_queue **queues;
    size_t n;
    uint64_t number, worker;
    struct link_state link;
};
struct fake_store {
    const struct clock *clock;
    unsigned partitions, next_partition;
    struct msgid_source ids;
    uint64_t seq, next_worker, next_token;
    struct fake_client *clients;
    struct fake_event *events; /* by due_ms, then seq */
    struct fake_queue *queues;
    struct fake_message *messages;
    struct fake_slot *slots;
    struct fake_link *links;
    struct fake_fault faults[FAKE_OPS];
    struct fake_store_counts counts;
    size_t window;
    bool stalled;
    enum err refusal;
    char why_not[128];
    unsigned slots_peak;
    void (*kick)(void *arg); /* something was queued: the loop looks at fake_store_next() */
    void *kick_arg;
    void (*detach)(struct fake_store *f);
    struct timer *timer;
};

void *fake_alloc(size_t n);
void fake_text(struct buf *b, struct span s); /* replaces */

/* A new event for op, with op's delay and fault applied to due_ms and e. */
struct fake_event *fake_event_new(struct fake_client *c, enum fake_store_op op,
                                  void (*run)(struct fake_event *));
void fake_event_add(struct fake_event *ev);
void fake_events_drop(struct fake_store *f, const void *owner);
/* Takes one planned failure of op: its error, or ERR_OK. */
enum err fake_fault_take(struct fake_store *f, enum fake_store_op op);

struct fake_queue *fake_queue_get(struct fake_store *f, unsigned partition, struct span domain,
                                  uint32_t klass);
/* Stores a message and wakes everybody. ERR_TOOBIG, ERR_PARSE from the encoders. */
enum err fake_message_add(struct fake_store *f, const struct msgid *id, const struct envelope *env,
                          const struct commit_job *jobs, size_t njobs, struct span body);
void fake_message_remove(struct fake_store *f, struct fake_message *m);
void fake_message_free(struct fake_message *m);
void fake_new_id(struct fake_store *f, const struct msgid *near, struct msgid *ret);
void fake_upload_free(struct fake_upload *u);
void fake_claim_free(struct fake_claim *c);
void fake_worker_tick(struct fake_client *c);               /* renews or expires */
void fake_slots_drop(struct fake_store *f, uint64_t owner); /* they are free again */
ms_t fake_worker_next(const struct fake_client *c);

struct upload *fake_upload_new(struct store *st, const struct msgid *near, store_event_fn *ready, void *arg);
enum err fake_upload_write(struct upload *u, struct span bytes, size_t *ret_taken);
bool fake_upload_has_room(struct upload *u, size_t bytes);
enum err fake_upload_commit(struct upload *u, const struct envelope *env, const struct commit_job *jobs,
                            size_t njobs, commit_fn *done, void *arg);
void fake_upload_abort(struct upload *u);
enum err fake_worker_open(struct store *st, const struct worker_info *info, store_event_fn *expired,
                          void *arg);
void fake_worker_close(struct store *st, done_fn *done, void *arg);
ms_t fake_worker_valid(const struct store *st);
const char *fake_worker_why(const struct store *st);
enum err fake_discover(struct store *st, unsigned partition, unsigned from, unsigned max, discover_fn *done,
                       void *arg);
enum err fake_claim(struct store *st, unsigned partition, struct span domain, uint32_t klass, unsigned max,
                    claim_fn *done, void *arg);
enum err fake_chunk(struct store *st, const struct claim *c, uint32_t chunk, chunk_fn *done, void *arg);
enum err fake_finish(struct store *st, const struct finish *fin, done_fn *done, void *arg);
enum err fake_release(struct store *st, struct claim *c, ms_t delay_ms);
enum err fake_held(struct store *st, unsigned partition, uint64_t cursor, held_fn *done, void *arg);
enum err fake_rouse(struct store *st, unsigned partition, struct span domain, uint32_t klass);
enum err fake_hold(struct store *st, unsigned partition, struct span domain, uint32_t klass, ms_t delay_ms,
                   ms_t since_ms);
enum err fake_slots_get(struct store *st, struct span link, unsigned want, unsigned cap_link,
                        unsigned cap_total, slots_fn *done, void *arg);
void fake_slots_put(struct store *st, struct span link, unsigned n);
void fake_on_slots_lost(struct store *st, store_event_fn *fn, void *arg);
enum err fake_reap(struct store *st, unsigned partition, count_fn *done, void *arg);
enum err fake_link_get(struct store *st, struct span link, link_fn *done, void *arg);
enum err fake_link_failed(struct store *st, struct span link, uint32_t failures, ms_t delay_ms,
                          struct span error);
enum err fake_link_ok(struct store *st, struct span link);
