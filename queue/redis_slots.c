/* Connection slots, and what all workers know of a link.
 *
 * Slots are counted in Redis; what we hold is also known here. When a reply is lost the two may differ: then
 * no get leaves until a sync, which declares what we hold, has been answered. After a failover they differ
 * for everybody, as the newest grants may be lost: then no get leaves for a while, in which all the others
 * come back and declare theirs. */
#include "queue/redis_worker.h"

#include "queue/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINK_MAX = 320, ERROR_MAX = 512, SYNC_MAX = 1000, SETTLE_PART = 6 /* of a lease */ };

struct redis_hold { /* slots of one link */
    struct redis_hold *next;
    unsigned n;
    size_t len;
    char link[];
};
struct redis_slot_ask {
    struct redis_slot_ask *next;
    struct redis_store *st;
    unsigned want, cap_link, cap_total, epoch;
    slots_fn *done;
    void *arg;
    size_t len;
    char link[];
};

static void send_sync(struct redis_store *st);

/* What Redis knows may not be what we hold. */
static void mark_dirty(struct redis_sem *sem)
{
    sem->dirty = true;
    sem->changed = sem->syncing;
}

/* --- Their lease ---------------------------------------------------------------------------------- */

void redis_slots_expired(struct redis_store *st)
{
    redis_slots_lost(st);
    if (st->worker->name[0] != '\0')
        redis_worker_expire(st);
}

static void on_expiry(void *arg)
{
    redis_slots_expired(arg);
}

void redis_slots_on_lost(struct store *store, store_event_fn *fn, void *arg)
{
    struct redis_sem *sem = &((struct redis_store *)store)->worker->sem;
    sem->lost = fn;
    sem->lost_arg = arg;
}

/* Ends here early enough that connections are closed before anybody else can have their slots. */
void redis_slots_leased(struct redis_store *st, ms_t sent_ms)
{
    struct redis_sem *sem = &st->worker->sem;
    ms_t now = loop_now(st->loop);
    ms_t until = ms_after(sent_ms, SLOT_LEASES * st->lease_ms - st->lease_ms / 6);
    sem->leased_ms = sent_ms;
    timer_set(sem->expiry, until > now ? until - now : 0);
}

/* --- What we hold -------------------------------------------------------------------------------- */

static struct redis_hold *find_hold(const struct redis_sem *sem, struct span link)
{
    for (struct redis_hold *h = sem->holds; h != NULL; h = h->next) {
        if (span_eq(span_of(h->link, h->len), link))
            return h;
    }
    return NULL;
}

static struct redis_hold *hold_of(struct redis_sem *sem, struct span link)
{
    struct redis_hold *h = find_hold(sem, link);
    if (h != NULL)
        return h;
    h = calloc(1, sizeof *h + link.len + 1);
    if (h == NULL)
        return NULL;
    memcpy(h->link, link.ptr, link.len);
    h->len = link.len;
    h->next = sem->holds;
    sem->holds = h;
    return h;
}

static void drop_empty(struct redis_sem *sem)
{
    for (struct redis_hold **at = &sem->holds; *at != NULL;) {
        struct redis_hold *h = *at;
        if (h->n > 0) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        free(h);
    }
}

/* --- Getting ------------------------------------------------------------------------------------- */

static void answered(struct redis_sem *sem, struct redis_store *st, enum err e)
{
    sem->in_flight--;
    if (e == ERR_STALE && st->worker->valid) {
        redis_slots_expired(st);
        return;
    }
    if (e == ERR_UNKNOWN || e == ERR_AGAIN)
        sem->dirty = true;
    if (sem->dirty && sem->in_flight == 0)
        send_sync(st);
}

static void got(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                const char *why)
{
    struct redis_slot_ask *ask = arg;
    struct redis_store *st = ask->st;
    struct redis_worker *w = st->worker;
    uint64_t granted = 0;
    (void)rq;
    (void)why;
    bool mine = ask->epoch == w->epoch;
    if (e == ERR_OK && !reply_u64(reply, ask->want, &granted))
        e = ERR_UNKNOWN;
    if (!mine && e == ERR_OK)
        e = ERR_STALE; /* of an incarnation that is over */
    struct redis_hold *h = e == ERR_OK && granted > 0 ? hold_of(&w->sem, span_of(ask->link, ask->len)) : NULL;
    if (h != NULL)
        h->n += (unsigned)granted;
    else if (e == ERR_OK && granted > 0)
        e = ERR_UNKNOWN; /* out of memory: the sync gives them back */
    if (mine && e != ERR_CANCELED)
        answered(&w->sem, st, e);
    ask->done(ask->arg, e == ERR_UNKNOWN ? ERR_AGAIN : e, e == ERR_OK ? (unsigned)granted : 0);
    free(ask);
}

static void send_get(struct redis_store *st, struct redis_slot_ask *ask)
{
    struct redis_request *rq = redis_request_new(got, ask);
    if (rq == NULL) {
        ask->done(ask->arg, ERR_NOMEM, 0);
        free(ask);
        return;
    }
    redis_script(rq, SCRIPT_SEM, span_cstr(st->sem_tag), 6);
    redis_arg_str(rq, "get");
    redis_arg_str(rq, st->worker->name);
    redis_arg(rq, span_of(ask->link, ask->len));
    redis_arg_u64(rq, ask->want);
    redis_arg_u64(rq, ask->cap_link);
    redis_arg_u64(rq, ask->cap_total);
    st->worker->sem.in_flight++;
    redis_link_send(st->control, rq);
}

enum err redis_slots_get(struct store *store, struct span link, unsigned want, unsigned cap_link,
                         unsigned cap_total, slots_fn *done, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_sem *sem = &st->worker->sem;
    if (!st->worker->wanted || link.len == 0 || link.len > LINK_MAX)
        return ERR_STATE;
    if (redis_worker_valid(store) == 0)
        return ERR_STALE;
    if (!st->usable)
        return ERR_AGAIN; /* it may be another master, which is not known yet */
    struct redis_slot_ask *ask = calloc(1, sizeof *ask + link.len + 1);
    if (ask == NULL)
        return ERR_NOMEM;
    *ask = (struct redis_slot_ask){.st = st,
                                   .want = want > SYNC_MAX ? SYNC_MAX : want,
                                   .cap_link = cap_link,
                                   .cap_total = cap_total,
                                   .epoch = st->worker->epoch,
                                   .done = done,
                                   .arg = arg,
                                   .len = link.len};
    memcpy(ask->link, link.ptr, link.len);
    if (!sem->dirty && !sem->settling) {
        send_get(st, ask);
        return ERR_OK;
    }
    *sem->tail = ask;
    sem->tail = &ask->next;
    redis_slots_resume(st); /* unless it is under way */
    return ERR_OK;
}

/* --- Giving back --------------------------------------------------------------------------------- */

static void put_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                     const char *why)
{
    struct redis_store *st = arg;
    (void)reply;
    (void)why;
    if (e != ERR_CANCELED && rq->owner == st->worker->epoch)
        answered(&st->worker->sem, st, e);
}

void redis_slots_put(struct store *store, struct span link, unsigned n)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_worker *w = st->worker;
    struct redis_hold *h = find_hold(&w->sem, link);
    if (h == NULL)
        return; /* lost with the lease */
    n = n > h->n ? h->n : n;
    h->n -= n;
    if (h->n == 0)
        drop_empty(&w->sem);
    struct redis_request *rq = w->sem.dirty ? NULL : redis_request_new(put_done, st);
    if (rq == NULL) {
        mark_dirty(&w->sem);
        redis_slots_resume(st); /* the sync says it */
        return;
    }
    rq->owner = w->epoch;
    redis_script(rq, SCRIPT_SEM, span_cstr(st->sem_tag), 4);
    redis_arg_str(rq, "put");
    redis_arg_str(rq, w->name);
    redis_arg(rq, link);
    redis_arg_u64(rq, n);
    w->sem.in_flight++;
    redis_link_send(st->control, rq);
}

/* --- Declaring ----------------------------------------------------------------------------------- */

/* Those that waited go out, unless it is too early for that, or are told that they cannot. */
static void release_waiting(struct redis_store *st, enum err e)
{
    struct redis_sem *sem = &st->worker->sem;
    struct redis_slot_ask *ask = sem->head, *next;
    if (e == ERR_OK && (sem->settling || !st->usable))
        return;
    sem->head = NULL;
    sem->tail = &sem->head;
    for (; ask != NULL; ask = next) {
        next = ask->next;
        ask->next = NULL;
        if (e == ERR_OK && ask->epoch == st->worker->epoch) {
            send_get(st, ask);
            continue;
        }
        ask->done(ask->arg, e == ERR_OK ? ERR_STALE : e == ERR_UNKNOWN ? ERR_AGAIN : e, 0);
        free(ask);
    }
}

static void synced(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                   const char *why)
{
    struct redis_store *st = arg;
    struct redis_worker *w = st->worker;
    (void)reply;
    (void)why;
    if (e == ERR_CANCELED || rq->owner != w->epoch)
        return;
    w->sem.syncing = false;
    bool again = w->sem.changed; /* since this one was written */
    if (e == ERR_OK && !again)
        w->sem.dirty = false;
    if (e == ERR_STALE && w->valid) {
        redis_slots_expired(st);
        return;
    }
    if (e == ERR_OK) { /* it renews, too */
        w->sem_leased_ms = rq->sent_ms;
        redis_slots_leased(st, rq->sent_ms);
    }
    if (e == ERR_OK && again)
        send_sync(st);
    else
        release_waiting(st, e); /* failed: tried again when somebody asks, or is connected */
}

static void send_sync(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    size_t n = 0;
    if (w->sem.syncing || !w->valid || !st->usable)
        return;
    drop_empty(&w->sem);
    for (const struct redis_hold *h = w->sem.holds; h != NULL && n < SYNC_MAX; h = h->next)
        n++;
    struct redis_request *rq = redis_request_new(synced, st);
    if (rq == NULL)
        return;
    rq->owner = w->epoch;
    redis_script(rq, SCRIPT_SEM, span_cstr(st->sem_tag), 3 + 2 * n);
    redis_arg_str(rq, "sync");
    redis_arg_str(rq, w->name);
    redis_arg_u64(rq, SLOT_LEASES * st->lease_ms);
    for (const struct redis_hold *h = w->sem.holds; h != NULL && n > 0; h = h->next, n--) {
        redis_arg(rq, span_of(h->link, h->len));
        redis_arg_u64(rq, h->n);
    }
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    rq->give_up_ms = ms_after(loop_now(st->loop), st->lease_ms);
    w->sem.syncing = true;
    w->sem.changed = false;
    redis_link_send(st->control, rq);
}

static void on_settled(void *arg)
{
    struct redis_store *st = arg;
    st->worker->sem.settling = false;
    redis_slots_resume(st);
}

void redis_slots_settle(struct redis_store *st)
{
    struct redis_sem *sem = &st->worker->sem;
    sem->settling = true;
    mark_dirty(sem);
    timer_set(sem->settle, st->lease_ms / SETTLE_PART);
}

void redis_slots_suspend(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    struct redis_sem *sem = &w->sem;
    if (w->sem_leased_ms != 0 && sem->leased_ms != 0) /* else it is still somebody before us */
        memcpy(sem->former, w->name, sizeof sem->former);
    sem->dirty = true; /* what was under way may have been done */
    sem->syncing = sem->changed = false;
    sem->in_flight = 0;
    release_waiting(st, ERR_STALE);
}

void redis_slots_taken_over(struct redis_store *st, uint64_t held)
{
    struct redis_sem *sem = &st->worker->sem;
    uint64_t open = 0;
    for (const struct redis_hold *h = sem->holds; h != NULL; h = h->next)
        open += h->n;
    sem->former[0] = '\0';
    if (held >= open)
        return;
    redis_slots_lost(st);
    sem->dirty = true;
}

void redis_slots_resume(struct redis_store *st)
{
    if (!st->worker->sem.dirty)
        release_waiting(st, ERR_OK);
    else if (st->worker->sem.in_flight == 0)
        send_sync(st);
}

static void forget_all(struct redis_sem *sem)
{
    for (struct redis_hold *h = sem->holds; h != NULL; h = h->next)
        h->n = 0;
    drop_empty(sem);
}

void redis_slots_lost(struct redis_store *st)
{
    struct redis_sem *sem = &st->worker->sem;
    forget_all(sem);
    timer_cancel(sem->expiry);
    sem->former[0] = '\0';
    sem->leased_ms = 0;
    sem->dirty = sem->syncing = sem->changed = false;
    sem->in_flight = 0;
    release_waiting(st, ERR_STALE);
    if (sem->lost != NULL && st->worker->wanted)
        sem->lost(sem->lost_arg);
}

enum err redis_slots_init(struct redis_store *st)
{
    struct redis_sem *sem = &st->worker->sem;
    sem->tail = &sem->head;
    sem->expiry = timer_new(st->loop, on_expiry, st);
    sem->settle = timer_new(st->loop, on_settled, st);
    return sem->expiry == NULL || sem->settle == NULL ? ERR_NOMEM : ERR_OK;
}

void redis_slots_free(struct redis_store *st)
{
    struct redis_sem *sem = &st->worker->sem;
    release_waiting(st, ERR_CANCELED);
    forget_all(sem);
    timer_free(sem->expiry);
    timer_free(sem->settle);
}

/* --- Links --------------------------------------------------------------------------------------- */

struct link_ask {
    link_fn *done;
    void *arg;
};

static void link_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                      const char *why)
{
    struct link_ask *ask = arg;
    struct link_state ls = {.failures = (uint32_t)reply_u64_at(reply, 0, 0),
                            .until_ms = reply_u64_at(reply, 1, 0),
                            .last_error = reply_text_at(reply, 2),
                            .since_ms = reply_u64_at(reply, 3, 0)};
    (void)rq;
    (void)why;
    if (e == ERR_OK && reply_count(reply) < 5)
        e = ERR_BACKEND;
    ask->done(ask->arg, e == ERR_UNKNOWN ? ERR_AGAIN : e, &ls, reply_u64_at(reply, 4, 0));
    free(ask);
}

static void link_nothing(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                         const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why; /* the next attempt says it again */
}

static enum err link_ready(const struct redis_store *st, struct span link)
{
    return !st->opened ? ERR_AGAIN : link.len == 0 || link.len > LINK_MAX ? ERR_STATE : ERR_OK;
}

enum err redis_link_get(struct store *store, struct span link, link_fn *done, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    enum err e = link_ready(st, link);
    if (e != ERR_OK)
        return e;
    struct link_ask *ask = malloc(sizeof *ask);
    struct redis_request *rq = redis_request_new(link_done, ask);
    if (ask == NULL || rq == NULL) {
        free(ask);
        redis_request_unref(rq);
        return ERR_NOMEM;
    }
    *ask = (struct link_ask){done, arg};
    redis_script(rq, SCRIPT_LINK, span_cstr(st->sem_tag), 2);
    redis_arg_str(rq, "get");
    redis_arg(rq, link);
    redis_link_send(st->control, rq);
    return ERR_OK;
}

enum err redis_link_failed(struct store *store, struct span link, uint32_t failures, ms_t delay_ms,
                           struct span error)
{
    struct redis_store *st = (struct redis_store *)store;
    enum err e = link_ready(st, link);
    struct redis_request *rq = e == ERR_OK ? redis_request_new(link_nothing, NULL) : NULL;
    if (rq == NULL)
        return e == ERR_OK ? ERR_NOMEM : e;
    redis_script(rq, SCRIPT_LINK, span_cstr(st->sem_tag), 5);
    redis_arg_str(rq, "failed");
    redis_arg(rq, link);
    redis_arg_u64(rq, failures);
    redis_arg_u64(rq, delay_ms);
    redis_arg(rq, span_first(error, ERROR_MAX));
    rq->flags = REQUEST_RESEND;
    rq->give_up_ms = ms_after(loop_now(st->loop), st->lease_ms);
    redis_link_send(st->control, rq);
    return ERR_OK;
}

enum err redis_link_ok(struct store *store, struct span link)
{
    struct redis_store *st = (struct redis_store *)store;
    enum err e = link_ready(st, link);
    struct redis_request *rq = e == ERR_OK ? redis_request_new(link_nothing, NULL) : NULL;
    if (rq == NULL)
        return e == ERR_OK ? ERR_NOMEM : e;
    redis_script(rq, SCRIPT_LINK, span_cstr(st->sem_tag), 2);
    redis_arg_str(rq, "ok");
    redis_arg(rq, link);
    rq->flags = REQUEST_RESEND;
    rq->give_up_ms = ms_after(loop_now(st->loop), st->lease_ms);
    redis_link_send(st->control, rq);
    return ERR_OK;
}
