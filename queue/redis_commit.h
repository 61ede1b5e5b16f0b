/* queue/redis_commit.h — a commit on its way, between redis_commit.c (its life) and redis_lane.c (its
 * sending). */
#pragma once
#include "queue/redis_store_int.h"

enum { COMMIT_PATIENCE_MS = 5000 };
enum redis_commit_state { SEALING, STAGING, TRYING, PAUSED, CANCELING };

/* Outlives its commit: the client is answered in time, the request goes on. */
struct redis_cancel {
    struct redis_commit *commit; /* NULL: nobody waits any more */
};
/* Jobs of one stage, or of the commit itself, as arguments. */
struct redis_job_args {
    struct redis_request *args;
    size_t count;
};
struct redis_commit {
    struct redis_commit *next;           /* in a lane's queue or group, or paused */
    struct redis_commit *older, **newer; /* in st->commits */
    struct redis_store *st;
    struct redis_lane *lane;
    struct redis_upload *upload; /* while sealing */
    struct msgid id;
    commit_fn *done;
    void *arg;
    enum redis_commit_state state;
    struct redis_request *head;   /* envelope and text, as arguments */
    struct redis_job_args *parts; /* the last one goes with the commit */
    size_t nparts, part;
    struct redis_request *request; /* ours; also on its way while TRYING */
    struct redis_before before;    /* chunks, then staged jobs */
    size_t chunks;                 /* of these */
    struct redis_cancel *cancel;   /* while CANCELING */
    ms_t started_ms, cancel_until_ms;
    unsigned stagings;
    uint64_t verdict; /* of the script, 0 to 2 */
    enum err attempt; /* of the last attempt */
    bool small, maybe, in_group;
    char why[240];
};

void redis_commit_push(struct redis_commit_list *l, struct redis_commit *c);
struct redis_commit *redis_commit_pop(struct redis_commit_list *l); /* NULL: empty */
/* c->attempt says how it went; ERR_OK: executed, and confirmed by enough replicas. May free c. */
void redis_commit_judge(struct redis_commit *c);

/* --- redis_lane.c -------------------------------------------------------------------------------- */
/* The lane that is up and has least to do; NULL: out of memory. */
struct redis_lane *redis_lane_pick(struct redis_store *st);
void redis_lane_submit(struct redis_commit *c); /* c->request; its done() is called as always */
void redis_lanes_tick(struct redis_store *st);
