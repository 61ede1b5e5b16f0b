/* queue/redis_store_int.h — what the files of the store on Redis share.
 *
 *   redis_store.c   making and freeing, readiness, wake-ups
 *   redis_open.c    what is asked of Redis before it is used
 *   redis_upload.c  bodies on their way in
 *   redis_commit.c  end of data to durable; redis_lane.c group commit
 *   redis_worker.c  incarnation and leases; redis_audit.c what we hold without knowing
 *   redis_claim.c   discover, claim; redis_chunk.c bodies on their way out
 *   redis_finish.c  finish and release, in batches
 *   redis_slots.c   connection slots, links
 *   redis_member.c  what status shows of this process
 *   redis_redo.c    what a failover may have lost, sent again
 *
 * Connections of a store: control (everything small), bulk (bodies), lanes (commits; their WAIT blocks only
 * the lane), subscribe (wake-ups). Lanes and the others are made when they are first needed. */
#pragma once
#include "queue/body.h"
#include "queue/member.h"
#include "queue/redis_check.h"
#include "queue/redis_link.h"
#include "queue/redis_slot.h"
#include "queue/store_ops.h"

enum {
    BULK_LINKS = 8,
    LANES_MAX = 64,
    BODY_TTL_MS = 900000,   /* of what is not committed */
    KEEP_ALIVE_MS = 240000, /* a slow upload's body is kept alive that often */
    SHORT_PAUSE_MS = 2000,  /* after commits that too few replicas confirmed */
    WAIT_MS = 500,          /* for replicas, a group of commits at a time */
    TICK_MS = 100,
    WORKER_NAME_MAX = 24,
};

struct redis_store;
struct redis_commit;
struct redis_redo;
struct redis_worker;
struct redis_member;
struct redis_finish;

struct redis_partition {
    struct span tag; /* "{ns.pNN.s}" */
    char tag_bytes[REDIS_TAG_MAX];
    ms_t shun_until_ms; /* takes no new mail before */
    bool wake;          /* to be published */
    ms_t leased_ms;     /* when the last good renewal of our worker was sent; 0: none */
    bool audit;         /* a claim's reply was lost: find out what we hold without knowing */
    struct redis_finish *finishes, *releases; /* to leave at the end of the turn, newest first */
    unsigned finishing;                       /* batches of finishes under way */
};
struct redis_commit_list {
    struct redis_commit *head, **tail; /* tail NULL: empty */
    size_t count;
};
struct redis_lane {
    struct redis_store *st;
    struct redis_link *link;
    struct redis_commit_list queue; /* for the next group */
    struct redis_commit_list group; /* sent, with a WAIT behind them */
    struct deferred start;
    bool busy;
};
struct redis_open {
    unsigned step, left;
    bool running, failed;
    struct timer *again;
    enum err refusal; /* when it fails: ERR_AGAIN, ERR_BACKEND */
    char why[400];
};
struct redis_store {
    struct store store;
    struct loop *loop;
    struct redis_settings settings;
    struct redis_promise promise;
    char ns[NAMESPACE_MAX + 1], cfg_tag[REDIS_TAG_MAX], sem_tag[REDIS_TAG_MAX], channel[64];
    unsigned partitions_wanted;
    uint64_t history, redo_max;
    ms_t lease_ms;
    struct redis_metrics metrics;
    struct body_codec *codec;
    struct rng rng;
    struct msgid_source ids;
    bool front_known; /* ids.front is unique in the cluster */

    struct redis_topology *topology;
    struct redis_link *control, *bulk[BULK_LINKS], *subscribe;
    struct redis_lane *lanes;
    size_t nlanes;

    struct redis_open open;
    struct redis_facts facts;
    bool roomy, asking_room, room_matters; /* redis_room.c */
    ms_t room_next_ms;
    bool opened;                     /* once: partitions are known */
    bool usable;                     /* now */
    bool unsafe;                     /* it was asked, and does not keep what 250 promises */
    enum err refusal;                /* else: store_refusal(), and `why` */
    ms_t unusable_ms, reap_after_ms; /* since when it was not; nobody is reaped before */
    bool installing;
    char run_id[48];        /* of the server it was opened with */
    bool short_of_replicas; /* the last WAIT fell short */
    ms_t short_until_ms;    /* no mail is taken until then */
    unsigned replicas_seen; /* most that were ever connected: what `all` means */
    struct buf warnings;
    char why[400];
    store_event_fn *on_change;
    void *on_change_arg;
    struct deferred changed;
    void (*on_wake)(void *arg, unsigned partition);
    void *on_wake_arg;

    struct redis_partition *partitions;
    unsigned npartitions, partition, stay; /* new mail goes into this one, so many messages more */
    struct timer *tick, *wake_timer;
    bool wake_armed;

    struct redis_upload *uploads;
    struct redis_commit *commits;
    struct redis_commit_list paused; /* commits to be tried again at the next tick */
    struct redis_redo *redo;         /* redis_redo.c */
    struct redis_worker *worker;     /* redis_worker.c, and what follows from it */
    struct redis_member *member;     /* redis_member.c; NULL: says nothing of itself */
};

/* --- redis_store.c ------------------------------------------------------------------------------- */
enum err redis_store_open(struct loop *l, const struct conf_root *root, struct redis_store **ret,
                          struct errctx *ec) MUST_USE; /* store_redis_open() without a struct config */
void redis_store_changed(struct redis_store *st);      /* store_ready() may say something else */
void redis_store_opened(struct redis_store *st, bool another_master);
void redis_store_wake(struct redis_store *st, unsigned partition);
struct redis_link *redis_store_bulk(struct redis_store *st, const struct msgid *id);
struct redis_link *redis_store_link(struct redis_store *st, const char *role, const enum script_id *list,
                                    size_t n, const struct redis_link_ops *ops, void *arg);
/* "<prefix>:<id>" under the partition's tag, as one argument. */
void redis_arg_body_key(struct redis_request *rq, const struct redis_partition *p, const struct msgid *id);
void redis_arg_queue(struct redis_request *rq, struct span domain, uint32_t klass); /* Q */
struct redis_partition *redis_store_partition(struct redis_store *st, unsigned n);  /* NULL: no such */

/* --- redis_open.c -------------------------------------------------------------------------------- */
enum err redis_open_init(struct redis_store *st) MUST_USE;
void redis_open_start(struct redis_store *st); /* control is up */
void redis_open_stop(struct redis_store *st, enum err refusal, const char *why);
void redis_open_fatal(struct redis_store *st, const char *why);
/* A connection of its own found that Redis does not keep what 250 promises: it is asked again. */
void redis_open_unsafe(struct redis_store *st, const char *why);

/* --- redis_redo.c -------------------------------------------------------------------------------- */
enum err redis_redo_init(struct redis_store *st) MUST_USE;
void redis_redo_free(struct redis_store *st);
/* What went ahead of a commit (chunks, staged jobs), in order, for the case that it has to be said again.
 * Counts against the ring while it grows; lost: it was too much, the message rests on WAIT alone. */
struct redis_before {
    struct redis_request **requests;
    size_t n, cap, bytes;
    bool lost;
};
void redis_before_keep(struct redis_store *st, struct redis_before *b, struct redis_request *rq);
void redis_before_cut(struct redis_store *st, struct redis_before *b, size_t n); /* keeps the first n */
void redis_before_drop(struct redis_store *st, struct redis_before *b);
/* An acknowledged commit, and what went ahead of it, which is taken. */
void redis_redo_keep(struct redis_store *st, const struct msgid *id, struct redis_request *rq,
                     struct redis_before *before);
struct redis_finished { /* a job that ended */
    char id[MSGID_LEN + 1], worker[WORKER_NAME_MAX];
    unsigned partition;
    uint32_t index;
    uint64_t token;
    ms_t at_ms;
};
void redis_redo_keep_finish(struct redis_store *st, const struct redis_finished *f);
void redis_redo_start(struct redis_store *st); /* another server is master now */
void redis_redo_tick(struct redis_store *st);

/* --- redis_upload.c ------------------------------------------------------------------------------ */
struct redis_upload {
    struct upload upload;
    struct redis_store *st;
    struct redis_upload *next, **prev;
    store_event_fn *ready;
    void *arg;
    struct buf fill;             /* raw bytes of the chunk being filled */
    uint32_t acked;              /* chunks in Redis */
    uint64_t stored_bytes;       /* of chunks sent */
    struct redis_request *stash; /* a chunk that may or may not have arrived */
    struct redis_before before;  /* those that have */
    bool in_flight, waiting, aborted, sealing;
    enum err failed;
    char why[200];
    ms_t kept_ms; /* when its body was last given time to live */
    void (*sealed)(void *arg, enum err e, const char *why);
    void *sealed_arg;
};
struct upload *redis_upload_new(struct store *st, const struct msgid *near, store_event_fn *ready, void *arg);
enum err redis_upload_write(struct upload *u, struct span bytes, size_t *ret_taken);
bool redis_upload_has_room(struct upload *u, size_t bytes);
void redis_upload_abort(struct upload *u);
void redis_upload_free(struct redis_upload *u);
bool redis_upload_is_small(const struct redis_upload *u); /* one chunk, still here */
/* Sends what is left of a body of several chunks; sealed() is called when all of it has arrived, never
 * before this returns. An error returned: it will not be. */
enum err redis_upload_seal(struct redis_upload *u, void (*sealed)(void *arg, enum err e, const char *why),
                           void *arg) MUST_USE;
/* kind, length, z, bytes of the message that u holds. Small: the chunk is packed into *ret_body. */
struct redis_described {
    bool small;
    struct buf body; /* small: the packed chunk */
    struct buf z;
    uint64_t length, bytes;
};
enum err redis_upload_describe(struct redis_upload *u, struct redis_described *ret) MUST_USE;
void redis_described_done(struct redis_described *d);
void redis_arg_described(struct redis_request *rq, const struct redis_described *d); /* 4 arguments */
/* "SET b:<id> <body> NX PX ttl"; takes d->body. */
void redis_command_set_body(struct redis_request *rq, const struct redis_partition *p, const struct msgid *id,
                            struct redis_described *d);
void redis_uploads_tick(struct redis_store *st);

/* --- redis_commit.c ------------------------------------------------------------------------------ */
enum err redis_upload_commit(struct upload *u, const struct envelope *env, const struct commit_job *jobs,
                             size_t njobs, commit_fn *done, void *arg);
void redis_commits_tick(struct redis_store *st);
void redis_commits_free(struct redis_store *st); /* done(ERR_CANCELED); after redis_lanes_free() */
/* Q, delay, job: three arguments. */
enum err redis_arg_job(struct redis_request *rq, const struct commit_job *job) MUST_USE;

/* --- redis_lane.c -------------------------------------------------------------------------------- */
void redis_lanes_init(struct redis_store *st);
void redis_lanes_moved(struct redis_store *st);
void redis_lanes_open(struct redis_store *st); /* mail is on its way: connect */
void redis_lanes_free(struct redis_store *st);
unsigned redis_replicas_wanted(const struct redis_store *st);

/* --- redis_room.c -------------------------------------------------------------------------------- */
size_t redis_room_plain_below(struct redis_store *st); /* a body shorter than this is not compressed */
void redis_room_tick(struct redis_store *st);

/* --- redis_member.c ------------------------------------------------------------------------------ */
enum err redis_member_open(struct store *st, const struct member_conf *conf);
void redis_member_close(struct store *st);
void redis_member_connected(struct redis_store *st);
enum err redis_member_text(struct redis_store *st,
                           struct buf *out) MUST_USE; /* nothing when it says nothing */
void redis_member_free(struct redis_store *st);
