/* The incarnation of a worker and its leases: redis_worker.h draws them. */
#include "queue/redis_worker.h"

#include "queue/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYE_MS = 5000, REAP_MAX = 200, RANDOM_CHARS = 12 };

static void renew_all(struct redis_store *st, bool hello);

/* --- How long it lasts --------------------------------------------------------------------------- */

/* Until when every lease holds; 0: one of them was never taken. */
static ms_t leased_until(const struct redis_store *st)
{
    ms_t oldest = st->worker->sem_leased_ms;
    for (unsigned i = 0; i < st->npartitions; i++) {
        if (st->partitions[i].leased_ms < oldest)
            oldest = st->partitions[i].leased_ms;
    }
    return oldest == 0 ? 0 : ms_after(oldest, st->lease_ms);
}

ms_t redis_worker_valid(const struct store *store)
{
    const struct redis_store *st = (const struct redis_store *)store;
    const struct redis_worker *w = st->worker;
    ms_t now = loop_now(st->loop);
    return w->valid && now < w->valid_until_ms ? w->valid_until_ms - now : 0;
}

const char *redis_worker_why(const struct store *store)
{
    return ((const struct redis_store *)store)->worker->why;
}

static void lease_changed(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    ms_t now = loop_now(st->loop), until = leased_until(st);
    if (until <= now)
        return; /* the expiry timer is on its way, or it was never valid */
    bool new = !w->valid;
    w->valid = true;
    w->valid_until_ms = until;
    timer_set(w->expiry, until - now);
    if (new)
        redis_slots_resume(st);
}

/* --- Incarnations -------------------------------------------------------------------------------- */

static void new_name(struct redis_store *st)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    struct redis_worker *w = st->worker;
    char random[RANDOM_CHARS + 1] = "";
    for (size_t i = 0; i < RANDOM_CHARS; i++)
        random[i] = digits[rng_below(&st->rng, sizeof digits - 1)];
    (void)snprintf(w->name, sizeof w->name, "%.10s-%s", w->label, random);
    w->epoch++;
}

static void greet(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    if (!w->wanted || !st->usable || w->left > 0)
        return;
    new_name(st);
    w->sem_leased_ms = 0;
    for (unsigned i = 0; i < st->npartitions; i++)
        st->partitions[i].leased_ms = 0;
    renew_all(st, true);
}

void redis_worker_expire(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    bool told = w->valid;
    redis_slots_suspend(st);
    w->valid = false;
    w->name[0] = '\0';
    w->epoch++;
    timer_cancel(w->expiry);
    if (told) {
        metric_inc(&st->metrics.expired);
        w->expired(w->arg);
    }
    greet(st);
}

static void on_expiry(void *arg)
{
    struct redis_store *st = arg;
    ms_t now = loop_now(st->loop);
    if (st->worker->valid && now < st->worker->valid_until_ms)
        timer_set(st->worker->expiry, st->worker->valid_until_ms - now);
    else if (st->worker->valid)
        redis_worker_expire(st);
}

/* --- Renewing ------------------------------------------------------------------------------------ */

static void slots_renewed(struct redis_store *st, const struct redis_request *rq,
                          const struct redisReply *reply)
{
    uint64_t held = 0;
    if (st->worker->sem.former[0] != '\0') /* it was named */
        redis_slots_taken_over(st, reply_u64(reply, UINT32_MAX, &held) ? held : 0);
    st->worker->sem_leased_ms = rq->sent_ms;
    redis_slots_leased(st, rq->sent_ms);
}

static void renewed(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                    const char *why)
{
    struct redis_store *st = arg;
    struct redis_worker *w = st->worker;
    if (e == ERR_CANCELED)
        return;
    w->left--;
    bool mine = rq->owner == w->epoch, refused = e == ERR_BACKEND || e == ERR_FULL;
    if (mine && e == ERR_OK) {
        if (rq->tag == st->npartitions)
            slots_renewed(st, rq, reply);
        else
            st->partitions[rq->tag].leased_ms = rq->sent_ms;
        lease_changed(st);
    } else if (mine && e == ERR_STALE) {
        (rq->tag == st->npartitions ? redis_slots_expired : redis_worker_expire)(st);
    } else if (mine) {
        w->failed = true;
    }
    if (mine && refused)
        (void)snprintf(w->why, sizeof w->why, "%s", why);
    if (w->left > 0)
        return;
    if (mine && !w->failed)
        w->why[0] = '\0';
    if (w->name[0] == '\0')
        greet(st); /* it expired while others were under way */
    else
        timer_set(w->renew, w->failed ? st->lease_ms / 10 : st->lease_ms / 3);
}

static void renew_one(struct redis_store *st, unsigned which, bool hello)
{
    struct redis_worker *w = st->worker;
    struct redis_request *rq = redis_request_new(renewed, st);
    if (rq == NULL) {
        w->failed = true;
        return;
    }
    rq->tag = which;
    rq->owner = w->epoch;
    if (which < st->npartitions) {
        redis_script(rq, SCRIPT_RENEW, st->partitions[which].tag, 3);
        redis_arg_str(rq, w->name);
        redis_arg_u64(rq, st->lease_ms);
        redis_arg_u64(rq, hello);
    } else {
        struct buf text;
        buf_init(&text, MEMBER_TEXT_MAX);
        (void)!redis_member_text(st, &text);  /* what does not fit is left out */
        bool heir = w->sem.former[0] != '\0'; /* said until it is answered */
        redis_script(rq, SCRIPT_SEM, span_cstr(st->sem_tag), heir ? 5 : 4);
        redis_arg_str(rq, hello || heir ? "hello" : "renew");
        redis_arg_str(rq, w->name);
        redis_arg_u64(rq, SLOT_LEASES * st->lease_ms);
        redis_arg(rq, text.len > 0 ? buf_span(&text) : span_cstr(w->info));
        if (heir)
            redis_arg_str(rq, w->sem.former);
        buf_done(&text);
    }
    w->left++;
    redis_link_send(st->control, rq);
}

static void renew_all(struct redis_store *st, bool hello)
{
    struct redis_worker *w = st->worker;
    w->failed = false;
    for (unsigned i = 0; i <= st->npartitions; i++)
        renew_one(st, i, hello);
    if (w->left == 0)
        timer_set(w->renew, st->lease_ms / 10); /* not one could be built */
}

static void on_renew(void *arg)
{
    struct redis_store *st = arg;
    if (st->worker->left > 0 || !st->worker->wanted)
        return;
    if (st->worker->name[0] == '\0')
        greet(st);
    else if (st->usable)
        renew_all(st, false);
    else
        timer_set(st->worker->renew, st->lease_ms / 10);
}

/* --- Opening, losing, closing -------------------------------------------------------------------- */

static void set_label(struct redis_worker *w, const char *name)
{
    size_t n = 0;
    for (; name[n] != '\0' && n < sizeof w->label - 1; n++) {
        char c = name[n];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        w->label[n] = plain ? c : '-';
    }
    w->label[n] = '\0';
}

enum err redis_worker_open(struct store *store, const struct worker_info *info, store_event_fn *expired,
                           void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_worker *w = st->worker;
    if (w->wanted || w->closing)
        return ERR_STATE;
    w->wanted = true;
    w->expired = expired;
    w->arg = arg;
    set_label(w, info->name);
    (void)snprintf(w->info, sizeof w->info, "%s %s %s", info->name, info->host, info->version);
    greet(st);
    return ERR_OK;
}

void redis_worker_connected(struct redis_store *st, bool another_master)
{
    struct redis_worker *w = st->worker;
    if (another_master)
        redis_slots_settle(st);
    if (!w->wanted)
        return;
    if (w->name[0] == '\0') {
        greet(st);
        return;
    }
    if (w->left == 0)
        renew_all(st, another_master); /* a promoted replica may never have heard of us */
    redis_slots_resume(st);
    if (another_master)
        redis_reassert(st);
    for (unsigned i = 0; i < st->npartitions; i++) {
        if (st->partitions[i].audit || another_master)
            redis_audit(st, i);
    }
}

static void closed(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    done_fn *done = w->closed;
    w->closing = false;
    w->name[0] = '\0';
    w->closed = NULL;
    if (done != NULL)
        done(w->closed_arg, ERR_OK);
}

static void say_bye(struct redis_store *st, unsigned which);

static void bye_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                     const char *why)
{
    struct redis_store *st = arg;
    uint64_t left = 0;
    (void)why;
    if (e == ERR_CANCELED)
        return;
    unsigned which = rq->tag;
    st->worker->byes--;
    if (e == ERR_OK && which < st->npartitions && reply_u64(reply, UINT32_MAX, &left) && left > 0)
        say_bye(st, which); /* a bounded number a call */
    if (st->worker->byes == 0)
        closed(st);
}

static void say_bye(struct redis_store *st, unsigned which)
{
    struct redis_request *rq = redis_request_new(bye_done, st);
    if (rq == NULL)
        return; /* the lease ends by itself */
    rq->tag = which;
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    rq->give_up_ms = ms_after(loop_now(st->loop), BYE_MS);
    if (which < st->npartitions) {
        redis_script(rq, SCRIPT_BYE, st->partitions[which].tag, 1);
    } else {
        redis_script(rq, SCRIPT_SEM, span_cstr(st->sem_tag), 2);
        redis_arg_str(rq, "bye");
    }
    redis_arg_str(rq, st->worker->name);
    st->worker->byes++;
    redis_link_send(st->control, rq);
}

static void nothing_to_close(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                             const char *why)
{
    (void)rq, (void)reply, (void)why;
    if (e != ERR_CANCELED)
        closed(arg);
}

void redis_worker_close(struct store *store, done_fn *done, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_worker *w = st->worker;
    w->wanted = false;
    w->valid = false;
    w->epoch++; /* renewals under way do not count any more */
    w->closing = true;
    w->closed = done;
    w->closed_arg = arg;
    timer_cancel(w->renew);
    timer_cancel(w->expiry);
    redis_finishes_flush(st); /* before the byes, on the same connection */
    for (unsigned i = 0; i <= st->npartitions && w->name[0] != '\0'; i++)
        say_bye(st, i);
    redis_slots_lost(st);
    if (w->byes > 0)
        return;
    struct redis_request *rq = redis_request_new(nothing_to_close, st);
    if (rq == NULL)
        return;
    rq->bad = true; /* answered at the end of the turn, without being sent */
    redis_link_send(st->control, rq);
}

/* --- Reaping ------------------------------------------------------------------------------------- */

/* Leases end in Redis's time, also while nobody can reach it to renew them. Whoever comes back first gives
 * the others the time of a lease to come back, too, and to say what they have finished. What of that time
 * nobody could reach it again does not count. */
void redis_reap_later(struct redis_store *st)
{
    ms_t now = loop_now(st->loop), since = st->unusable_ms;
    if (now >= ms_after(since, st->lease_ms / 2))
        st->reap_after_ms = ms_after(now, st->lease_ms);
    else if (since < st->reap_after_ms)
        st->reap_after_ms = ms_after(st->reap_after_ms, now - since);
}

struct count_ask {
    count_fn *done;
    void *arg;
};

static void reaped(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                   const char *why)
{
    struct count_ask *ask = arg;
    uint64_t n = 0;
    (void)rq;
    (void)why;
    if (e == ERR_OK && !reply_u64(reply, UINT32_MAX, &n))
        e = ERR_BACKEND;
    ask->done(ask->arg, e == ERR_UNKNOWN ? ERR_AGAIN : e, n);
    free(ask);
}

static void nothing_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                         const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why;
}

static void reap_slots(struct redis_store *st)
{
    struct redis_request *rq = redis_request_new(nothing_done, NULL);
    if (rq == NULL)
        return;
    redis_script(rq, SCRIPT_SEM, span_cstr(st->sem_tag), 2);
    redis_arg_str(rq, "reap");
    redis_arg_u64(rq, REAP_MAX);
    redis_link_send(st->control, rq);
}

enum err redis_reap(struct store *store, unsigned partition, count_fn *done, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_partition *p = redis_store_partition(st, partition);
    struct count_ask *ask = malloc(sizeof *ask);
    struct redis_request *rq = redis_request_new(reaped, ask);
    if (p == NULL || ask == NULL || rq == NULL) {
        free(ask);
        redis_request_unref(rq);
        return p == NULL ? ERR_AGAIN : ERR_NOMEM;
    }
    *ask = (struct count_ask){done, arg};
    redis_script(rq, SCRIPT_REAP, p->tag, 1);
    bool dead = loop_now(st->loop) >= st->reap_after_ms; /* else it only queues staged jobs */
    redis_arg_u64(rq, dead ? REAP_MAX : 0);
    redis_link_send(st->control, rq);
    if (partition == 0 && dead)
        reap_slots(st);
    return ERR_OK;
}

/* --- Making and freeing -------------------------------------------------------------------------- */

enum err redis_worker_init(struct redis_store *st)
{
    struct redis_worker *w = st->worker = calloc(1, sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    w->renew = timer_new(st->loop, on_renew, st);
    w->expiry = timer_new(st->loop, on_expiry, st);
    redis_chunks_init(st);
    redis_finishes_init(st);
    return w->renew == NULL || w->expiry == NULL ? ERR_NOMEM : redis_slots_init(st);
}

void redis_worker_free(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    if (w == NULL)
        return;
    redis_finishes_free(st);
    redis_slots_free(st);
    redis_chunks_free(st);
    redis_claims_free(st);
    if (w->closed != NULL)
        w->closed(w->closed_arg, ERR_CANCELED);
    timer_free(w->renew);
    timer_free(w->expiry);
    free(w);
}
