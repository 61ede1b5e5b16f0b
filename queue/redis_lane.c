/* Group commit: a few connections in rotation, each with what became ready in a turn of the loop.
 *
 * A lane is up when the Redis behind it was found to keep what is promised: before, nothing goes out.
 *
 * Without replicas to wait for, commits go out as they come: with `appendfsync always` Redis itself answers
 * everything that it read in one turn after one fsync, and reads from several connections in that turn.
 * With replicas a lane sends a group with one WAIT behind it, on the same connection, and collects the next
 * group meanwhile; no commit of the group is judged before its WAIT is answered. */
#include "queue/redis_commit.h"

#include "queue/redis_reply.h"

#include <stdio.h>

unsigned redis_replicas_wanted(const struct redis_store *st)
{
    switch (st->promise.kind) {
    case REDIS_FSYNC:
        return 0;
    case REDIS_REPLICAS:
        return st->promise.replicas;
    case REDIS_ALL:
        return st->replicas_seen == 0 ? 1 : st->replicas_seen;
    }
    return 1;
}

static void group_done(struct redis_lane *lane, enum err e, uint64_t replicas)
{
    struct redis_store *st = lane->st;
    struct redis_commit *c;
    bool enough = e == ERR_OK && replicas >= redis_replicas_wanted(st);
    bool was_short = st->short_of_replicas;
    struct redis_commit_list group = lane->group; /* its tail is not used any more */
    lane->group = (struct redis_commit_list){.head = NULL};
    lane->busy = false;
    if (e == ERR_OK)
        st->short_of_replicas = !enough;
    st->short_until_ms = ms_after(loop_now(st->loop), SHORT_PAUSE_MS); /* then the next mail tries again */
    if (was_short != st->short_of_replicas)
        redis_store_changed(st);
    while ((c = redis_commit_pop(&group)) != NULL) {
        c->in_group = false;
        if (c->attempt == ERR_OK && !enough) {
            metric_inc(&st->metrics.commits_short);
            c->attempt = e == ERR_OK ? ERR_TIMEOUT : ERR_UNKNOWN;
            redis_request_retry(c->request);
            (void)snprintf(c->why, sizeof c->why, "%u of %u replicas have confirmed it: look at the replicas",
                           (unsigned)replicas, redis_replicas_wanted(st));
        }
        redis_commit_judge(c);
    }
    if (lane->queue.head != NULL && !lane->busy)
        deferred_arm(st->loop, &lane->start);
}

static void wait_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                      const char *why)
{
    uint64_t n = 0;
    (void)rq;
    (void)why;
    if (e == ERR_CANCELED)
        return;
    if (e == ERR_OK && !reply_u64(reply, UINT32_MAX, &n))
        e = ERR_UNKNOWN;
    group_done(arg, e, n);
}

static struct redis_request *wait_request(struct redis_lane *lane)
{
    struct redis_request *rq = redis_request_new(wait_done, lane);
    if (rq == NULL)
        return NULL;
    redis_command(rq, 3);
    redis_arg_str(rq, "WAIT");
    redis_arg_u64(rq, redis_replicas_wanted(lane->st));
    redis_arg_u64(rq, WAIT_MS);
    rq->timeout_ms = WAIT_MS;
    return rq;
}

/* Everything that is ready now, and one WAIT behind it; what comes meanwhile is the next group. */
static void start_group(void *arg)
{
    struct redis_lane *lane = arg;
    struct redis_commit *c;
    struct redis_request *wait;
    if (lane->busy || lane->queue.head == NULL || (wait = wait_request(lane)) == NULL)
        return; /* out of memory: with the next tick */
    lane->busy = true;
    while ((c = redis_commit_pop(&lane->queue)) != NULL) {
        c->in_group = true;
        redis_commit_push(&lane->group, c);
        redis_link_send(lane->link, c->request);
    }
    redis_link_send(lane->link, wait);
}

static void lane_fatal(void *arg, const char *why)
{
    struct redis_lane *lane = arg;
    redis_open_fatal(lane->st, why);
}

/* Control has asked, too, but maybe another Redis, or later: a commit that waits goes out when its own
 * connection is back, and what is said to it is said to a client. */
static bool lane_vet(void *arg, const struct redis_facts *facts, struct buf *why)
{
    struct redis_lane *lane = arg;
    struct redis_store *st = lane->st;
    struct redis_facts f = *facts;
    struct buf warnings; /* control's are told */
    f.sentinel = redis_topology_has_sentinel(st->topology);
    f.priorities_equal = redis_topology_priorities_equal(st->topology);
    buf_init(&warnings, 4096);
    bool usable = redis_check(&f, &st->promise, why, &warnings);
    buf_done(&warnings);
    if (!usable)
        redis_open_unsafe(st, buf_cstr(why));
    return usable;
}

static bool lane_open(struct redis_lane *lane)
{
    static const struct redis_link_ops ops = {.fatal = lane_fatal, .vet = lane_vet};
    static const enum script_id list[] = {SCRIPT_COMMIT, SCRIPT_STAGE, SCRIPT_CANCEL};
    if (lane->link == NULL)
        lane->link = redis_store_link(lane->st, "commit", list, ARRAY_LEN(list), &ops, lane);
    return lane->link != NULL;
}

static size_t lane_load(const struct redis_lane *lane)
{
    return redis_link_load(lane->link) + lane->queue.count +
           (redis_link_is_up(lane->link) ? 0 : SIZE_MAX / 2);
}

/* The lane that is up and has least to do. */
struct redis_lane *redis_lane_pick(struct redis_store *st)
{
    struct redis_lane *best = NULL;
    for (size_t i = 0; i < st->nlanes; i++) {
        struct redis_lane *lane = &st->lanes[i];
        if (lane_open(lane) && (best == NULL || lane_load(lane) < lane_load(best)))
            best = lane;
    }
    return best;
}

void redis_lane_submit(struct redis_commit *c)
{
    struct redis_lane *lane = redis_lane_pick(c->st);
    c->state = TRYING;
    c->lane = lane;
    if (redis_replicas_wanted(c->st) > 0) {
        redis_commit_push(&lane->queue, c);
        deferred_arm(c->st->loop, &lane->start);
    } else {
        redis_link_send(lane->link, c->request);
    }
}

void redis_lanes_init(struct redis_store *st)
{
    for (size_t i = 0; i < st->nlanes; i++) {
        st->lanes[i].st = st;
        deferred_init(&st->lanes[i].start, start_group, &st->lanes[i]);
    }
}

void redis_lanes_moved(struct redis_store *st)
{
    for (size_t i = 0; i < st->nlanes; i++) {
        if (st->lanes[i].link != NULL)
            redis_link_moved(st->lanes[i].link);
    }
}

void redis_lanes_open(struct redis_store *st)
{
    for (size_t i = 0; i < st->nlanes; i++)
        (void)lane_open(&st->lanes[i]);
}

void redis_lanes_tick(struct redis_store *st)
{
    for (size_t i = 0; i < st->nlanes; i++)
        start_group(&st->lanes[i]);
}

void redis_lanes_free(struct redis_store *st)
{
    for (size_t i = 0; i < st->nlanes; i++) {
        redis_link_free(st->lanes[i].link);
        deferred_disarm(&st->lanes[i].start);
    }
}
