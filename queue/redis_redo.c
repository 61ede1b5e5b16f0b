/* What a failover may have lost, sent again: the second line behind WAIT.
 *
 * Kept for a minute, within redis.redo_ring bytes: acknowledged commits of one chunk, and which jobs ended.
 * When another server is master, ended jobs are told first (the script remembers those whose message it does
 * not know); commits follow HEAD_START_MS later, and leave out the jobs that ended. What the new master has
 * already it recognises by the id. */
#include "queue/redis_worker.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEEP_MS = 60000,
    HEAD_START_MS = 2000,
    WINDOW = 64, /* commits under way at a time */
    ENDED_MAX = 1 << 17,
    FINISH_FIELDS = 12,
};

struct kept {
    struct kept *next;
    struct redis_request *request;
    ms_t at_ms;
    size_t bytes;
};
struct redis_redo {
    struct kept *head, **tail; /* oldest first */
    size_t bytes;
    struct kept *cursor; /* while replaying: the next to be sent */
    unsigned under_way;
    struct timer *start;
    struct redis_finished *ended; /* a ring */
    size_t ended_at, ended_count, ended_cap;
};

/* --- Keeping ------------------------------------------------------------------------------------- */

static void drop_oldest(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    struct kept *k = r->head;
    r->head = k->next;
    if (r->head == NULL)
        r->tail = &r->head;
    r->bytes -= k->bytes;
    redis_request_unref(k->request);
    free(k);
}

static void drop_old(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    ms_t now = loop_now(st->loop);
    while (r->head != NULL && r->cursor == NULL && r->under_way == 0 &&
           (r->bytes > st->redo_max || now > r->head->at_ms + KEEP_MS))
        drop_oldest(st);
    metric_set(&st->metrics.redo_bytes, r->bytes);
}

void redis_redo_keep(struct redis_store *st, struct redis_request *rq)
{
    struct redis_redo *r = st->redo;
    if (st->redo_max == 0)
        return;
    struct kept *k = calloc(1, sizeof *k);
    if (k == NULL)
        return; /* one line of defence less for one message */
    redis_request_retry(rq);
    rq->refs++;
    *k = (struct kept){.request = rq, .at_ms = loop_now(st->loop), .bytes = sizeof *k + sizeof *rq};
    k->bytes += rq->bytes.cap + rq->body.cap;
    *r->tail = k;
    r->tail = &k->next;
    r->bytes += k->bytes;
    if (r->bytes > st->redo_max)
        drop_old(st);
}

static bool grow_ended(struct redis_redo *r)
{
    size_t cap = r->ended_cap == 0 ? 1024 : r->ended_cap * 2;
    struct redis_finished *bigger = calloc(cap, sizeof *bigger);
    if (bigger == NULL)
        return false;
    for (size_t i = 0; i < r->ended_count; i++)
        bigger[i] = r->ended[(r->ended_at + i) % r->ended_cap];
    free(r->ended);
    r->ended = bigger;
    r->ended_cap = cap;
    r->ended_at = 0;
    return true;
}

void redis_redo_keep_finish(struct redis_store *st, const struct redis_finished *f)
{
    struct redis_redo *r = st->redo;
    if (st->redo_max == 0)
        return;
    if (r->ended_count == r->ended_cap && r->ended_cap < ENDED_MAX && !grow_ended(r))
        return;
    if (r->ended_count == r->ended_cap) {
        r->ended_at = (r->ended_at + 1) % r->ended_cap;
        r->ended_count--;
    }
    r->ended[(r->ended_at + r->ended_count++) % r->ended_cap] = *f;
}

/* --- Telling again ------------------------------------------------------------------------------- */

static void ended_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why; /* stale: somebody else's by now, or done before */
}

static void send_ended(struct redis_store *st, const struct redis_finished *f)
{
    struct redis_partition *p = redis_store_partition(st, f->partition);
    struct redis_request *rq = p == NULL ? NULL : redis_request_new(ended_done, NULL);
    if (rq == NULL)
        return;
    redis_script(rq, SCRIPT_FINISH, p->tag, 3 + FINISH_FIELDS);
    redis_arg_u64(rq, 0);
    redis_arg_str(rq, f->worker);
    redis_arg_u64(rq, 1);
    redis_arg_str(rq, f->id);
    redis_arg_u64(rq, f->index);
    redis_arg_u64(rq, f->token);
    redis_arg_str(rq, "d");
    for (int i = 0; i < 4; i++) /* delay, problem, delivered, bounced: counted when it was first told */
        redis_arg_u64(rq, 0);
    for (int i = 0; i < 3; i++) /* event, text, job */
        redis_arg(rq, SPAN(""));
    redis_arg_u64(rq, 0);
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    rq->give_up_ms = ms_after(loop_now(st->loop), KEEP_MS);
    metric_inc(&st->metrics.redone);
    redis_link_send(st->control, rq);
}

static void go_on(struct redis_store *st);

static void commit_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                        const char *why)
{
    struct redis_store *st = arg;
    (void)reply;
    (void)why;
    rq->refs++; /* the ring's */
    if (e == ERR_CANCELED)
        return;
    st->redo->under_way--;
    go_on(st);
}

/* Keeps a bounded number of commits under way. */
static void go_on(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    while (r->cursor != NULL && r->under_way < WINDOW) {
        struct redis_request *rq = r->cursor->request;
        r->cursor = r->cursor->next;
        rq->done = commit_done;
        rq->arg = st;
        rq->flags = REQUEST_RESEND | REQUEST_WAIT;
        rq->give_up_ms = ms_after(loop_now(st->loop), KEEP_MS);
        rq->maybe_executed = false;
        r->under_way++;
        metric_inc(&st->metrics.redone);
        redis_link_send(st->control, rq);
    }
}

static void start(void *arg)
{
    struct redis_store *st = arg;
    if (st->redo->under_way > 0 || st->redo->cursor != NULL)
        return; /* still at it: the link sends again what the newest master has not answered */
    st->redo->cursor = st->redo->head;
    go_on(st);
}

void redis_redo_start(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    ms_t now = loop_now(st->loop);
    for (size_t i = 0; i < r->ended_count; i++) {
        const struct redis_finished *f = &r->ended[(r->ended_at + i) % r->ended_cap];
        if (now <= f->at_ms + KEEP_MS)
            send_ended(st, f);
    }
    timer_set(r->start, HEAD_START_MS);
}

void redis_redo_tick(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    drop_old(st);
    while (r->ended_count > 0 && loop_now(st->loop) > r->ended[r->ended_at].at_ms + KEEP_MS) {
        r->ended_at = (r->ended_at + 1) % r->ended_cap;
        r->ended_count--;
    }
}

enum err redis_redo_init(struct redis_store *st)
{
    struct redis_redo *r = st->redo = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    r->tail = &r->head;
    r->start = timer_new(st->loop, start, st);
    return r->start == NULL ? ERR_NOMEM : ERR_OK;
}

void redis_redo_free(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    if (r == NULL)
        return;
    while (r->head != NULL)
        drop_oldest(st);
    timer_free(r->start);
    free(r->ended);
    free(r);
}
