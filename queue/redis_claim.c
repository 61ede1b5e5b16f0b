/* Finding queues with due mail, and taking jobs from them. */
#include "queue/redis_worker.h"

#include "queue/queue_name.h"
#include "queue/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLAIM_MAX = 100, CLAIM_BYTES = 1 << 20, CLAIM_FIELDS = 9, CLAIM_HEAD = 3 };

struct ask {
    struct redis_store *st;
    unsigned partition, epoch;
    union {
        discover_fn *discover;
        held_fn *held;
        claim_fn *claim;
    } done;
    void *arg;
};

static struct redis_request *ask_new(struct redis_store *st, unsigned partition, redis_done_fn *done,
                                     void *arg, struct ask **ret)
{
    struct ask *a = calloc(1, sizeof *a);
    struct redis_request *rq = redis_request_new(done, a);
    if (a == NULL || rq == NULL) {
        free(a);
        redis_request_unref(rq);
        return NULL;
    }
    a->st = st;
    a->partition = partition;
    a->epoch = st->worker->epoch;
    a->arg = arg;
    *ret = a;
    return rq;
}

/* --- Discovering --------------------------------------------------------------------------------- */

/* {Q, waiting}* from `at` on. */
static size_t read_queues(const struct redisReply *reply, size_t at, struct dmq list[STORE_DISCOVER_MAX])
{
    size_t n = 0;
    for (; at + 1 < reply_count(reply) && n < STORE_DISCOVER_MAX; at += 2) {
        list[n].depth = reply_u64_at(reply, at + 1, 0);
        if (queue_name_read(reply_text_at(reply, at), &list[n].domain, &list[n].klass))
            n++;
    }
    return n;
}

static void discovered(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    struct ask *a = arg;
    struct dmq list[STORE_DISCOVER_MAX];
    size_t n = e == ERR_OK ? read_queues(reply, 0, list) : 0;
    (void)rq;
    (void)why;
    a->done.discover(a->arg, e == ERR_UNKNOWN ? ERR_AGAIN : e, list, n);
    free(a);
}

enum err redis_discover(struct store *store, unsigned partition, unsigned from, unsigned max,
                        discover_fn *done, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_partition *p = redis_store_partition(st, partition);
    struct ask *a;
    if (p == NULL)
        return st->opened ? ERR_STATE : ERR_AGAIN;
    struct redis_request *rq = ask_new(st, partition, discovered, arg, &a);
    if (rq == NULL)
        return ERR_NOMEM;
    a->done.discover = done;
    redis_script(rq, SCRIPT_DISCOVER, p->tag, 2);
    redis_arg_u64(rq, max > STORE_DISCOVER_MAX ? STORE_DISCOVER_MAX : max < 1 ? 1 : max);
    redis_arg_u64(rq, from > STORE_DISCOVER_FROM_MAX ? STORE_DISCOVER_FROM_MAX : from);
    redis_link_send(st->control, rq);
    return ERR_OK;
}

static void nothing_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                         const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why; /* a lost hold costs a claim in vain */
}

enum err redis_hold(struct store *store, unsigned partition, struct span domain, uint32_t klass,
                    ms_t delay_ms, uint64_t token)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_partition *p = redis_store_partition(st, partition);
    struct redis_request *rq = redis_request_new(nothing_done, NULL);
    if (p == NULL || rq == NULL) {
        redis_request_unref(rq);
        return p == NULL ? ERR_AGAIN : ERR_NOMEM;
    }
    redis_script(rq, SCRIPT_HOLD, p->tag, 3);
    redis_arg_queue(rq, domain, klass);
    redis_arg_u64(rq, delay_ms);
    redis_arg_u64(rq, token);
    redis_link_send(st->control, rq);
    return ERR_OK;
}

static void held_read(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                      const char *why)
{
    struct ask *a = arg;
    struct dmq list[STORE_DISCOVER_MAX];
    size_t n = e == ERR_OK ? read_queues(reply, 1, list) : 0;
    (void)rq;
    (void)why;
    a->done.held(a->arg, e == ERR_UNKNOWN ? ERR_AGAIN : e, list, n,
                 e == ERR_OK ? reply_u64_at(reply, 0, 0) : 0);
    free(a);
}

enum err redis_held(struct store *store, unsigned partition, uint64_t cursor, held_fn *done, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_partition *p = redis_store_partition(st, partition);
    struct ask *a;
    if (p == NULL)
        return st->opened ? ERR_STATE : ERR_AGAIN;
    struct redis_request *rq = ask_new(st, partition, held_read, arg, &a);
    if (rq == NULL)
        return ERR_NOMEM;
    a->done.held = done;
    redis_script(rq, SCRIPT_HELD, p->tag, 1);
    redis_arg_u64(rq, cursor);
    redis_link_send(st->control, rq);
    return ERR_OK;
}

/* --- Rousing ------------------------------------------------------------------------------------- */

struct rousing {
    struct redis_store *st;
    unsigned partition;
    uint32_t klass;
    struct span domain;
    char text[];
};

static enum err rouse_some(struct rousing *r);

static void roused(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                   const char *why)
{
    struct rousing *r = arg;
    int64_t more = 0;
    (void)rq;
    (void)why;
    if (e != ERR_OK || !reply_i64(reply, &more) || more == 0 || rouse_some(r) != ERR_OK)
        free(r);
}

static enum err rouse_some(struct rousing *r)
{
    struct redis_partition *p = redis_store_partition(r->st, r->partition);
    struct redis_request *rq = redis_request_new(roused, r);
    if (p == NULL || rq == NULL) {
        redis_request_unref(rq);
        return p == NULL ? ERR_AGAIN : ERR_NOMEM;
    }
    redis_script(rq, SCRIPT_ROUSE, p->tag, 1);
    redis_arg_queue(rq, r->domain, r->klass);
    redis_link_send(r->st->control, rq);
    return ERR_OK;
}

enum err redis_rouse(struct store *store, unsigned partition, struct span domain, uint32_t klass)
{
    struct rousing *r = calloc(1, sizeof *r + domain.len + 1);
    if (r == NULL)
        return ERR_NOMEM;
    *r = (struct rousing){(struct redis_store *)store, partition, klass, span_of(r->text, domain.len)};
    memcpy(r->text, domain.ptr, domain.len);
    enum err e = rouse_some(r);
    if (e != ERR_OK)
        free(r);
    return e;
}

/* --- One claim ----------------------------------------------------------------------------------- */

static void claim_free(struct redis_claim *c)
{
    *c->prev = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->st->worker->prefetch_bytes -= c->reserved;
    job_done(&c->claim.job);
    buf_done(&c->body);
    free(c);
}

void redis_claim_end(struct redis_claim *c)
{
    c->ended = true;
    if (c->asks == 0 && !c->flying)
        claim_free(c);
}

void redis_claims_free(struct redis_store *st)
{
    while (st->worker->claims != NULL)
        claim_free(st->worker->claims);
}

/* Copies what the reply says of one job; NULL: out of memory, or not even an id. */
static struct redis_claim *claim_new(struct ask *a, const struct redisReply *reply, size_t at)
{
    struct span id = reply_text_at(reply, at), flags = reply_text_at(reply, at + 4);
    struct span env = reply_text_at(reply, at + 5), z = reply_text_at(reply, at + 6);
    struct span job = reply_text_at(reply, at + 7);
    struct redis_claim *c = calloc(1, sizeof *c + env.len + job.len + flags.len + z.len + 1);
    if (c == NULL || !msgid_valid(id)) {
        free(c);
        return NULL;
    }
    char *data = c->data;
    struct span *parts[] = {&env, &job, &flags, &z};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i]->len > 0)
            memcpy(data, parts[i]->ptr, parts[i]->len);
        parts[i]->ptr = data;
        data += parts[i]->len;
    }
    memcpy(c->claim.id.id, id.ptr, MSGID_LEN);
    c->claim.id.partition = (uint16_t)a->partition;
    c->claim.index = (uint32_t)reply_u64_at(reply, at + 1, 0);
    c->claim.token = reply_u64_at(reply, at + 2, 0);
    c->claim.interrupted = (uint32_t)reply_u64_at(reply, at + 3, 0);
    c->claim.now_ms = reply_u64_at(reply, 0, 0);
    c->claim.woken_ms = reply_u64_at(reply, 2, 0);
    c->claim.bounce = span_has_prefix(flags, SPAN("b"));
    c->claim.reason = span_from(flags, 1);
    c->job_text = job;
    c->st = a->st;
    buf_init(&c->body, BODY_CHUNK_MAX);
    (void)snprintf(c->worker, sizeof c->worker, "%s", a->st->worker->name);
    c->next = a->st->worker->claims;
    c->prev = &a->st->worker->claims;
    if (c->next != NULL)
        c->next->prev = &c->next;
    a->st->worker->claims = c;
    const char *bad = envelope_decode(env, &c->claim.env) != ERR_OK       ? "the stored envelope is damaged"
                      : job_decode(job, &c->claim.job) != ERR_OK          ? "the stored job is damaged"
                      : body_read_descriptor(z, &c->claim.body) != ERR_OK ? "the body's descriptor is damaged"
                                                                          : NULL;
    if (bad == NULL) {
        job_committed_at(&c->claim.job, reply_u64_at(reply, at + 8, 0));
        return c;
    }
    redis_bury(a->st, c, span_cstr(bad)); /* kept for an operator: nobody could deliver it */
    return NULL;
}

static size_t read_claims(struct ask *a, const struct redisReply *reply, struct claim **list)
{
    size_t n = 0;
    for (size_t at = CLAIM_HEAD; at + CLAIM_FIELDS <= reply_count(reply) && n < CLAIM_MAX;
         at += CLAIM_FIELDS) {
        struct redis_claim *c = claim_new(a, reply, at);
        if (c != NULL)
            list[n++] = &c->claim;
    }
    return n;
}

static void claimed(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                    const char *why)
{
    struct ask *a = arg;
    struct redis_store *st = a->st;
    struct claim *list[CLAIM_MAX];
    size_t n = 0;
    (void)rq;
    (void)why;
    if (e == ERR_UNKNOWN) { /* we may hold what we do not know of */
        st->partitions[a->partition].audit = true;
        if (st->usable)
            redis_audit(st, a->partition);
        e = ERR_AGAIN;
    } else if (e == ERR_STALE && a->epoch == st->worker->epoch && st->worker->valid) {
        redis_worker_expire(st);
    } else if (e == ERR_OK && (a->epoch != st->worker->epoch || !st->worker->valid)) {
        e = ERR_STALE; /* taken by an incarnation that is over: its lease gives them back */
    } else if (e == ERR_OK) {
        n = read_claims(a, reply, list);
        for (size_t i = 0; i < n; i++)
            redis_chunk_prefetch((struct redis_claim *)list[i]);
        metric_add(&st->metrics.claims, n);
    }
    a->done.claim(a->arg, e, list, n);
    free(a);
}

enum err redis_claim_jobs(struct store *store, unsigned partition, struct span domain, uint32_t klass,
                          unsigned max, claim_fn *done, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_partition *p = redis_store_partition(st, partition);
    struct ask *a;
    if (p == NULL || !st->worker->wanted)
        return p == NULL && !st->opened ? ERR_AGAIN : ERR_STATE;
    if (redis_worker_valid(store) == 0)
        return ERR_STALE;
    struct redis_request *rq = ask_new(st, partition, claimed, arg, &a);
    if (rq == NULL)
        return ERR_NOMEM;
    a->done.claim = done;
    redis_script(rq, SCRIPT_CLAIM, p->tag, 4);
    redis_arg_str(rq, st->worker->name);
    redis_arg_queue(rq, domain, klass);
    redis_arg_u64(rq, max > CLAIM_MAX ? CLAIM_MAX : max);
    redis_arg_u64(rq, CLAIM_BYTES);
    redis_link_send(st->control, rq);
    return ERR_OK;
}
