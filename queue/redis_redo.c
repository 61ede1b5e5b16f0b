/* What a failover may have lost, sent again: the second line behind WAIT.
 *
 * Kept for a minute, within redis.redo_ring bytes: acknowledged commits with what went ahead of them, and
 * which jobs ended. When another server is master, ended jobs are told first (the script remembers those
 * whose message it does not know); commits follow HEAD_START_MS later, and leave out the jobs that ended.
 * What the new master has already it recognises by the id.
 *
 * Chunks of a body cannot be sent twice blindly. So the commit goes first, alone:
 *
 *   COMMIT ──known, or all it needs is there──> done
 *      ^ └──NOBODY──> UNLINK of what is left of the body ──> chunks, staged jobs, one by one ──┐
 *      └────────────────────────────────────────────────────────────────── at most 3 times ────┘
 *
 * A message larger than a quarter of the ring is not kept: it rests on WAIT alone. */
#include "queue/redis_worker.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEEP_MS = 60000,
    HEAD_START_MS = 2000,
    WINDOW = 64, /* commits under way at a time */
    TRIES = 3,   /* of a commit whose body has to go ahead of it */
    ENDED_MAX = 1 << 17,
    FINISH_FIELDS = 12,
};

struct kept {
    struct kept *next;
    struct redis_store *st;
    struct redis_request *request;
    struct redis_before before;
    struct msgid id;
    ms_t at_ms;
    size_t bytes;
    size_t at; /* while replaying: of before, the next to be sent */
    unsigned tries;
};
struct redis_redo {
    struct kept *head, **tail; /* oldest first */
    size_t bytes, open;        /* kept; of messages not committed yet */
    struct kept *cursor;       /* while replaying: the next to be sent */
    unsigned under_way;
    bool again; /* the master changed meanwhile */
    struct timer *start;
    struct redis_finished *ended; /* a ring */
    size_t ended_at, ended_count, ended_cap;
};

/* --- What goes ahead ----------------------------------------------------------------------------- */

static void drop_old(struct redis_store *st);

static size_t size_of(const struct redis_request *rq)
{
    return sizeof *rq + rq->bytes.cap + rq->body.cap;
}

void redis_before_cut(struct redis_store *st, struct redis_before *b, size_t n)
{
    while (b->n > n) {
        struct redis_request *rq = b->requests[--b->n];
        b->bytes -= size_of(rq);
        st->redo->open -= size_of(rq);
        redis_request_unref(rq);
    }
}

void redis_before_drop(struct redis_store *st, struct redis_before *b)
{
    redis_before_cut(st, b, 0);
    free(b->requests);
    *b = (struct redis_before){.lost = b->lost};
}

void redis_before_keep(struct redis_store *st, struct redis_before *b, struct redis_request *rq)
{
    struct redis_redo *r = st->redo;
    size_t size = size_of(rq), cap = b->cap == 0 ? 4 : b->cap * 2;
    if (b->lost || b->bytes + size > st->redo_max / 4 || r->open + size > st->redo_max / 2) {
        b->lost = true;
        redis_before_drop(st, b);
        return;
    }
    if (b->n == b->cap) {
        struct redis_request **more = realloc(b->requests, cap * sizeof(struct redis_request *));
        if (more == NULL) {
            b->lost = true;
            redis_before_drop(st, b);
            return;
        }
        b->requests = more;
        b->cap = cap;
    }
    rq->refs++;
    b->requests[b->n++] = rq;
    b->bytes += size;
    r->open += size;
    if (r->bytes + r->open > st->redo_max)
        drop_old(st);
}

/* --- Keeping ------------------------------------------------------------------------------------- */

static void drop_oldest(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    struct kept *k = r->head;
    r->head = k->next;
    if (r->head == NULL)
        r->tail = &r->head;
    r->bytes -= k->bytes;
    r->open += k->before.bytes; /* as it was while it grew */
    redis_before_drop(st, &k->before);
    redis_request_unref(k->request);
    free(k);
}

static void drop_old(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    ms_t now = loop_now(st->loop);
    while (r->head != NULL && r->cursor == NULL && r->under_way == 0 &&
           (r->bytes + r->open > st->redo_max || now > r->head->at_ms + KEEP_MS))
        drop_oldest(st);
    metric_set(&st->metrics.redo_bytes, r->bytes + r->open);
}

void redis_redo_keep(struct redis_store *st, const struct msgid *id, struct redis_request *rq,
                     struct redis_before *before)
{
    struct redis_redo *r = st->redo;
    if (st->redo_max == 0 || before->lost ||
        r->bytes / 2 > st->redo_max) /* nothing is dropped while replaying */
        return;
    struct kept *k = calloc(1, sizeof *k);
    if (k == NULL)
        return; /* one line of defence less for one message */
    redis_request_retry(rq);
    rq->refs++;
    *k = (struct kept){.st = st, .request = rq, .before = *before, .id = *id, .at_ms = loop_now(st->loop)};
    *before = (struct redis_before){.n = 0};
    k->bytes = sizeof *k + size_of(rq) + k->before.bytes;
    r->open -= k->before.bytes;
    *r->tail = k;
    r->tail = &k->next;
    r->bytes += k->bytes;
    if (r->bytes + r->open > st->redo_max)
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

static void send(struct kept *k, struct redis_request *rq, redis_done_fn *done, unsigned flags)
{
    rq->done = done;
    rq->arg = k;
    rq->flags = flags;
    rq->give_up_ms = ms_after(loop_now(k->st->loop), KEEP_MS);
    rq->maybe_executed = false;
    metric_inc(&k->st->metrics.redone);
    redis_link_send(k->st->control, rq);
}

static void kept_done(struct kept *k)
{
    k->st->redo->under_way--;
    go_on(k->st);
}

static void commit_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                        const char *why);

static void send_commit(struct kept *k)
{
    k->tries++;
    send(k, k->request, commit_done, REQUEST_RESEND | REQUEST_WAIT);
}

static void before_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                        const char *why);

static void send_next(struct kept *k)
{
    if (k->at == k->before.n)
        send_commit(k);
    else
        send(k, k->before.requests[k->at], before_done, REQUEST_WAIT);
}

static void before_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                        const char *why)
{
    struct kept *k = arg;
    (void)reply;
    (void)why;
    rq->refs++; /* the ring's */
    if (e == ERR_CANCELED)
        return;
    k->at = e == ERR_OK ? k->at + 1 : k->before.n; /* the commit finds out what is missing */
    send_next(k);
}

static void emptied(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                    const char *why)
{
    struct kept *k = arg;
    (void)rq;
    (void)reply;
    (void)why;
    if (e == ERR_CANCELED)
        return;
    k->at = 0;
    send_next(k);
}

/* Nobody knows the message, so what is there of its body is of no use. */
static bool begin_anew(struct kept *k)
{
    struct redis_partition *p = redis_store_partition(k->st, k->id.partition);
    struct redis_request *rq = p == NULL ? NULL : redis_request_new(emptied, k);
    if (rq == NULL)
        return false;
    redis_command(rq, 2);
    redis_arg_str(rq, "UNLINK");
    redis_arg_body_key(rq, p, &k->id);
    send(k, rq, emptied, REQUEST_RESEND | REQUEST_WAIT);
    return true;
}

static void commit_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                        const char *why)
{
    struct kept *k = arg;
    (void)reply;
    (void)why;
    rq->refs++; /* the ring's */
    if (e == ERR_CANCELED)
        return;
    if (e != ERR_NOTFOUND || k->before.n == 0 || k->tries == TRIES || !begin_anew(k))
        kept_done(k);
}

/* Keeps a bounded number of commits under way. */
static void go_on(struct redis_store *st)
{
    struct redis_redo *r = st->redo;
    while (r->cursor != NULL && r->under_way < WINDOW) {
        struct kept *k = r->cursor;
        r->cursor = k->next;
        r->under_way++;
        k->tries = 0;
        send_commit(k);
    }
    if (r->under_way == 0 && r->again)
        timer_set(r->start, 0); /* not from within the answer to one of them */
}

static void start(void *arg)
{
    struct redis_store *st = arg;
    struct redis_redo *r = st->redo;
    r->again = r->under_way > 0 || r->cursor != NULL;
    if (r->again)
        return; /* still at it: once more behind it */
    r->cursor = r->head;
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
