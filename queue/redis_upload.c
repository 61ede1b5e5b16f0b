/* Bodies on their way in.
 *
 *   one chunk     stays here until the commit, and leaves in the same write
 *   more          RPUSH + PEXPIRE, then RPUSHX: one chunk filling, one in flight
 *
 * A chunk is not sent twice blindly: when its reply is lost, LLEN tells whether it arrived. */
#include "queue/redis_store_int.h"

#include "queue/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_PATIENCE_MS = 30000, STAY_MESSAGES = 32 };

static void chunk_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why);

/* --- Making and freeing -------------------------------------------------------------------------- */

/* The next partition that takes mail; when none does, the next one. A few messages in a row go into the same
 * one: what a worker can claim and finish in one call costs half of what it costs one by one. */
static unsigned pick_partition(struct redis_store *st)
{
    ms_t now = loop_now(st->loop);
    if (st->npartitions == 0)
        return 0;
    for (unsigned i = 0; i <= st->npartitions; i++) {
        if (st->stay > 0 && st->partitions[st->partition].shun_until_ms <= now)
            break;
        st->partition = (st->partition + 1) % st->npartitions;
        st->stay = STAY_MESSAGES;
    }
    st->stay--;
    return st->partition;
}

struct upload *redis_upload_new(struct store *store, const struct msgid *near, store_event_fn *ready,
                                void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_upload *u = calloc(1, sizeof *u);
    if (u == NULL)
        return NULL;
    if (near == NULL)
        redis_lanes_open(st); /* not for reports: they are committed with a finish */
    u->upload.store = store;
    u->st = st;
    u->ready = ready;
    u->arg = arg;
    buf_init(&u->fill, CHUNK_BYTES);
    msgid_next(&st->ids, clock_wall(loop_clock(st->loop)), &u->upload.id);
    u->upload.id.partition =
        near != NULL && near->partition < st->npartitions ? near->partition : (uint16_t)pick_partition(st);
    u->next = st->uploads;
    u->prev = &st->uploads;
    if (u->next != NULL)
        u->next->prev = &u->next;
    st->uploads = u;
    return &u->upload;
}

void redis_upload_free(struct redis_upload *u)
{
    *u->prev = u->next;
    if (u->next != NULL)
        u->next->prev = u->prev;
    redis_request_unref(u->stash);
    redis_before_drop(u->st, &u->before);
    buf_done(&u->fill);
    free(u);
}

void redis_upload_abort(struct upload *up)
{
    struct redis_upload *u = (struct redis_upload *)up;
    u->aborted = true;
    buf_done(&u->fill);
    if (!u->in_flight) /* else when the answer comes */
        redis_upload_free(u);
}

static struct redis_partition *partition_of(const struct redis_upload *u)
{
    return redis_store_partition(u->st, u->upload.id.partition);
}

/* --- Chunks -------------------------------------------------------------------------------------- */

static void fail(struct redis_upload *u, enum err e, const char *why)
{
    u->failed = e;
    (void)snprintf(u->why, sizeof u->why, "%s", why);
    u->upload.why = u->why;
}

static void send_request(struct redis_upload *u, struct redis_request *rq)
{
    u->in_flight = true;
    rq->give_up_ms = ms_after(loop_now(u->st->loop), CHUNK_PATIENCE_MS);
    redis_link_send(redis_store_bulk(u->st, &u->upload.id), rq);
}

/* Packs the filled chunk and sends it; room for the next. */
static void send_chunk(struct redis_upload *u)
{
    struct redis_partition *p = partition_of(u);
    struct redis_request *rq = redis_request_new(chunk_done, u);
    struct buf body;
    buf_init(&body, BODY_CHUNK_MAX);
    if (p == NULL || rq == NULL ||
        body_pack(u->st->codec, u->acked, buf_span(&u->fill), 0, &body) != ERR_OK) {
        redis_request_unref(rq);
        buf_done(&body);
        fail(u, ERR_NOMEM, "out of memory");
        return;
    }
    u->stored_bytes += body.len;
    metric_add(&u->st->metrics.stored_bytes, body.len);
    redis_command(rq, 3);
    redis_arg_str(rq, u->acked == 0 ? "RPUSH" : "RPUSHX");
    redis_arg_body_key(rq, p, &u->upload.id);
    redis_arg_body(rq, &body);
    if (u->acked == 0) {
        u->kept_ms = loop_now(u->st->loop);
        redis_command(rq, 3);
        redis_arg_str(rq, "PEXPIRE");
        redis_arg_body_key(rq, p, &u->upload.id);
        redis_arg_u64(rq, BODY_TTL_MS);
    }
    rq->flags = REQUEST_WAIT;
    buf_clear(&u->fill);
    send_request(u, rq);
}

/* What can go on now: sealing, or whoever waits for room. May free u. */
static void go_on(struct redis_upload *u)
{
    if (u->aborted) {
        redis_upload_free(u);
        return;
    }
    if (u->sealing && u->failed == ERR_OK && u->fill.len > 0)
        send_chunk(u);
    if (u->sealing && (u->failed != ERR_OK || (u->fill.len == 0 && !u->in_flight))) {
        u->sealing = false;
        u->sealed(u->sealed_arg, u->failed, u->why); /* may free u */
        return;
    }
    if (u->waiting) {
        u->waiting = false;
        u->ready(u->arg);
    }
}

static void chunk_arrived(struct redis_upload *u, struct redis_request *chunk)
{
    u->acked++;
    redis_before_keep(u->st, &u->before, chunk);
}

static void probe_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    struct redis_upload *u = arg;
    uint64_t there;
    (void)rq;
    u->in_flight = false;
    if (e == ERR_CANCELED)
        return;
    if (u->aborted) {
        redis_upload_free(u);
        return;
    }
    struct redis_request *chunk = u->stash;
    bool arrived = e == ERR_OK && reply_u64(reply, UINT32_MAX, &there) && there == u->acked + UINT64_C(1);
    u->stash = NULL;
    if (e == ERR_OK && reply_u64(reply, UINT32_MAX, &there) && there == u->acked) {
        send_request(u, chunk); /* it did not arrive */
        return;
    }
    if (e != ERR_OK)
        fail(u, ERR_AGAIN, why);
    else if (arrived)
        chunk_arrived(u, chunk);
    else
        fail(u, ERR_AGAIN, "Redis lost a part of the message: it has to be sent again");
    redis_request_unref(chunk);
    go_on(u);
}

/* Did the chunk arrive? rq keeps it for the case that it did not. */
static void probe(struct redis_upload *u, struct redis_request *rq)
{
    struct redis_partition *p = partition_of(u);
    struct redis_request *question = redis_request_new(probe_done, u);
    if (question == NULL || p == NULL) {
        redis_request_unref(question);
        fail(u, ERR_NOMEM, "out of memory");
        go_on(u);
        return;
    }
    rq->refs++;
    u->stash = rq;
    redis_command(question, 3);
    redis_arg_str(question, "PEXPIRE");
    redis_arg_body_key(question, p, &u->upload.id);
    redis_arg_u64(question, BODY_TTL_MS);
    redis_command(question, 2);
    redis_arg_str(question, "LLEN");
    redis_arg_body_key(question, p, &u->upload.id);
    question->flags = REQUEST_WAIT | REQUEST_RESEND;
    send_request(u, question);
}

static void chunk_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    struct redis_upload *u = arg;
    uint64_t n = 0;
    u->in_flight = false;
    if (e == ERR_CANCELED)
        return; /* store_free(): uploads go after the links */
    if (e == ERR_UNKNOWN && !u->aborted) {
        probe(u, rq);
        return;
    }
    if (e != ERR_OK)
        fail(u, e, why);
    else if (rq->commands == 1 && (!reply_u64(reply, UINT32_MAX, &n) || n != u->acked + UINT64_C(1)))
        fail(u, ERR_AGAIN, "Redis lost a part of the message: it has to be sent again");
    else
        chunk_arrived(u, rq);
    go_on(u);
}

/* --- Writing ------------------------------------------------------------------------------------- */

enum err redis_upload_write(struct upload *up, struct span bytes, size_t *ret_taken)
{
    struct redis_upload *u = (struct redis_upload *)up;
    *ret_taken = 0;
    while (bytes.len > 0 && u->failed == ERR_OK) {
        if (u->fill.len == CHUNK_BYTES && u->in_flight) {
            u->waiting = true;
            return ERR_AGAIN;
        }
        if (u->fill.len == CHUNK_BYTES) {
            send_chunk(u);
            continue;
        }
        struct span part = span_first(bytes, CHUNK_BYTES - u->fill.len);
        if (buf_add(&u->fill, part) != ERR_OK)
            return ERR_NOMEM;
        bytes = span_from(bytes, part.len);
        *ret_taken += part.len;
        up->size_bytes += part.len;
    }
    return u->failed == ERR_AGAIN ? ERR_IO : u->failed; /* ERR_AGAIN would mean: wait for ready() */
}

bool redis_upload_has_room(struct upload *up, size_t bytes)
{
    struct redis_upload *u = (struct redis_upload *)up;
    bool room = !u->in_flight || u->failed != ERR_OK || bytes <= CHUNK_BYTES - u->fill.len;
    u->waiting = u->waiting || !room;
    return room;
}

bool redis_upload_is_small(const struct redis_upload *u)
{
    return u->acked == 0 && !u->in_flight && u->stash == NULL;
}

enum err redis_upload_seal(struct redis_upload *u, void (*sealed)(void *arg, enum err e, const char *why),
                           void *arg)
{
    if (!u->in_flight && u->failed == ERR_OK)
        send_chunk(u); /* what fills is never empty: a chunk leaves only when the next one begins */
    if (!u->in_flight)
        return u->failed; /* nothing is on its way that could call back */
    u->sealing = true;
    u->sealed = sealed;
    u->sealed_arg = arg;
    return ERR_OK;
}

enum err redis_upload_describe(struct redis_upload *u, struct redis_described *ret)
{
    struct body_desc d = {.size_bytes = u->upload.size_bytes, .chunks = u->acked};
    *ret = (struct redis_described){.small = redis_upload_is_small(u), .bytes = d.size_bytes};
    buf_init(&ret->body, BODY_CHUNK_MAX);
    buf_init(&ret->z, BODY_DESCRIPTOR_MAX);
    enum err e = ERR_OK;
    if (ret->small) {
        d.chunks = 1;
        e = body_pack(u->st->codec, 0, buf_span(&u->fill), redis_room_plain_below(u->st), &ret->body);
        u->stored_bytes = ret->body.len;
        metric_add(&u->st->metrics.stored_bytes, ret->body.len);
    }
    ret->length = ret->small ? ret->body.len : u->acked;
    if (e == ERR_OK)
        e = body_describe(&d, u->stored_bytes, &ret->z);
    if (e != ERR_OK)
        redis_described_done(ret);
    return e;
}

void redis_described_done(struct redis_described *d)
{
    buf_done(&d->body);
    buf_done(&d->z);
}

void redis_arg_described(struct redis_request *rq, const struct redis_described *d)
{
    redis_arg_str(rq, d->small ? "s" : "l");
    redis_arg_u64(rq, d->length);
    redis_arg(rq, buf_span(&d->z));
    redis_arg_u64(rq, d->bytes);
}

/* NX: sent again after the commit was executed, it must not give the body a time to live again. */
void redis_command_set_body(struct redis_request *rq, const struct redis_partition *p, const struct msgid *id,
                            struct redis_described *d)
{
    redis_command(rq, 6);
    redis_arg_str(rq, "SET");
    redis_arg_body_key(rq, p, id);
    redis_arg_body(rq, &d->body);
    redis_arg_str(rq, "NX");
    redis_arg_str(rq, "PX");
    redis_arg_u64(rq, BODY_TTL_MS);
}

/* --- Slow ones ----------------------------------------------------------------------------------- */

static void nothing_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                         const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why;
}

static void keep_alive(struct redis_upload *u)
{
    struct redis_partition *p = partition_of(u);
    struct redis_request *rq = redis_request_new(nothing_done, NULL);
    u->kept_ms = loop_now(u->st->loop);
    if (rq == NULL || p == NULL) {
        redis_request_unref(rq);
        return;
    }
    redis_command(rq, 3);
    redis_arg_str(rq, "PEXPIRE");
    redis_arg_body_key(rq, p, &u->upload.id);
    redis_arg_u64(rq, BODY_TTL_MS);
    redis_link_send(redis_store_bulk(u->st, &u->upload.id), rq);
}

void redis_uploads_tick(struct redis_store *st)
{
    ms_t now = loop_now(st->loop);
    for (struct redis_upload *u = st->uploads; u != NULL; u = u->next) {
        if (u->acked > 0 && !u->aborted && now > u->kept_ms + KEEP_ALIVE_MS)
            keep_alive(u);
    }
}
