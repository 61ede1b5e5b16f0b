/* Bodies on their way out. A body of one chunk is fetched behind the claim, before anybody asks. */
#include "queue/redis_worker.h"

#include "queue/redis_reply.h"

#include <stdlib.h>

enum { FETCH_PATIENCE_MS = 30000 };

struct redis_chunk { /* one question for a chunk */
    struct redis_chunk *next;
    struct redis_claim *claim;
    uint32_t number;
    chunk_fn *done;
    void *arg;
    enum err e;
};

/* --- Delivering ---------------------------------------------------------------------------------- */

/* Answers one question; stored is what Redis has. */
static void answer(struct redis_chunk *k, enum err e, struct span stored)
{
    struct redis_claim *c = k->claim;
    struct redis_store *st = c->st;
    struct buf *chunk = &st->worker->chunk;
    if (e == ERR_OK)
        e = body_unpack(st->codec, k->number, stored, body_chunk_size(&c->claim.body, k->number), chunk);
    k->done(k->arg, e == ERR_UNKNOWN ? ERR_AGAIN : e, e == ERR_OK ? buf_span(chunk) : SPAN(""));
    free(k);
    if (--c->asks == 0 && c->ended)
        redis_claim_end(c);
}

static void forget_body(struct redis_claim *c)
{
    c->st->worker->prefetch_bytes -= c->reserved;
    c->reserved = 0;
    buf_done(&c->body);
}

/* --- Fetching ------------------------------------------------------------------------------------ */

static struct redis_request *fetch_request(const struct redis_claim *c, uint32_t number, redis_done_fn *done,
                                           void *arg)
{
    struct redis_partition *p = redis_store_partition(c->st, c->claim.id.partition);
    struct redis_request *rq = p == NULL ? NULL : redis_request_new(done, arg);
    if (rq == NULL)
        return NULL;
    bool whole = c->claim.body.chunks == 1;
    redis_command(rq, whole ? 2 : 3);
    redis_arg_str(rq, whole ? "GET" : "LINDEX");
    redis_arg_body_key(rq, p, &c->claim.id);
    if (!whole)
        redis_arg_u64(rq, number);
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    rq->give_up_ms = ms_after(loop_now(c->st->loop), FETCH_PATIENCE_MS);
    return rq;
}

/* The stored bytes of a reply; ERR_NOTFOUND: there is no such chunk. */
static enum err read_stored(enum err e, const struct redisReply *reply, struct span *ret)
{
    *ret = SPAN("");
    if (e == ERR_OK && !reply_text(reply, ret))
        return ERR_NOTFOUND;
    return e;
}

static void fetched(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                    const char *why)
{
    struct span stored;
    (void)rq;
    (void)why;
    e = read_stored(e, reply, &stored);
    answer(arg, e, stored);
}

static void fetch(struct redis_chunk *k)
{
    struct redis_claim *c = k->claim;
    struct redis_request *rq = fetch_request(c, k->number, fetched, k);
    if (rq == NULL)
        answer(k, ERR_AGAIN, SPAN(""));
    else
        redis_link_send(redis_store_bulk(c->st, &c->claim.id), rq);
}

/* What was prefetched is answered at the end of the turn, not inside the question. */
static void deliver_ready(void *arg)
{
    struct redis_store *st = arg;
    struct redis_worker *w = st->worker;
    struct redis_chunk *k = w->ready, *next;
    w->ready = NULL;
    w->ready_tail = &w->ready;
    for (; k != NULL; k = next) {
        next = k->next;
        struct redis_claim *c = k->claim;
        struct buf body = c->body; /* taken: the answer may end the claim */
        buf_init(&c->body, BODY_CHUNK_MAX);
        forget_body(c);
        if (body.len > 0)
            answer(k, ERR_OK, buf_span(&body));
        else
            fetch(k); /* asked for twice: the first had it */
        buf_done(&body);
    }
}

static void prefetched(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    struct redis_claim *c = arg;
    struct span stored;
    (void)rq;
    (void)why;
    e = read_stored(e, reply, &stored);
    struct redis_chunk *k = c->early, *next;
    c->early = NULL;
    bool wanted = k != NULL;
    if (e == ERR_OK && !wanted && !c->ended && buf_add(&c->body, stored) != ERR_OK)
        buf_clear(&c->body); /* asked for again when it is needed */
    if (wanted || c->body.len == 0)
        forget_body(c);
    for (; k != NULL; k = next) {
        next = k->next;
        answer(k, e, stored); /* flying still keeps the claim */
    }
    c->flying = false;
    if (c->ended && c->asks == 0)
        redis_claim_end(c);
}

void redis_chunk_prefetch(struct redis_claim *c)
{
    struct redis_worker *w = c->st->worker;
    size_t size = (size_t)c->claim.body.size_bytes + BODY_CHUNK_HEADER;
    if (c->claim.body.chunks != 1 || w->prefetch_bytes + size > PREFETCH_MAX)
        return;
    struct redis_request *rq = fetch_request(c, 0, prefetched, c);
    if (rq == NULL)
        return;
    c->reserved = size;
    w->prefetch_bytes += size;
    c->flying = true;
    redis_link_send(redis_store_bulk(c->st, &c->claim.id), rq);
}

enum err redis_chunk(struct store *store, const struct claim *claim, uint32_t chunk, chunk_fn *done,
                     void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_worker *w = st->worker;
    struct redis_claim *c =
        (struct redis_claim *)(uintptr_t)claim; /* ours: only the borrower sees it const */
    if (chunk >= claim->body.chunks)
        return ERR_STATE;
    struct redis_chunk *k = calloc(1, sizeof *k);
    if (k == NULL)
        return ERR_NOMEM;
    *k = (struct redis_chunk){.claim = c, .number = chunk, .done = done, .arg = arg};
    if (c->flying) {
        k->next = c->early;
        c->early = k;
    } else if (c->body.len > 0) {
        *w->ready_tail = k;
        w->ready_tail = &k->next;
        deferred_arm(st->loop, &w->deliver);
    } else {
        struct redis_request *rq = fetch_request(c, chunk, fetched, k);
        if (rq == NULL) {
            free(k);
            return ERR_NOMEM;
        }
        redis_link_send(redis_store_bulk(st, &claim->id), rq);
    }
    c->asks++;
    return ERR_OK;
}

void redis_chunks_init(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    buf_init(&w->chunk, CHUNK_BYTES + 1);
    w->ready_tail = &w->ready;
    deferred_init(&w->deliver, deliver_ready, st);
}

void redis_chunks_free(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    deferred_disarm(&w->deliver);
    while (w->ready != NULL) {
        struct redis_chunk *k = w->ready;
        w->ready = k->next;
        answer(k, ERR_CANCELED, SPAN(""));
    }
    buf_done(&w->chunk);
}
