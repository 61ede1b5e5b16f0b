#include "queue/store_ops.h"

void store_free(struct store *st)
{
    if (st != NULL)
        st->ops->free(st);
}

unsigned store_partitions(const struct store *st)
{
    return st->ops->partitions(st);
}

bool store_ready(const struct store *st, struct buf *ret_why)
{
    return st->ops->refusal(st, ret_why) == ERR_OK;
}

enum err store_refusal(const struct store *st)
{
    return st->ops->refusal(st, NULL);
}

enum err store_warnings(const struct store *st, struct buf *out)
{
    return st->ops->warnings(st, out);
}

void store_on_change(struct store *st, store_event_fn *fn, void *arg)
{
    st->ops->on_change(st, fn, arg);
}

enum err store_metrics(const struct store *st, struct buf *out)
{
    return st->ops->metrics(st, out);
}

struct upload *store_upload(struct store *st, const struct msgid *near, store_event_fn *ready, void *arg)
{
    return st->ops->upload(st, near, ready, arg);
}

const struct msgid *upload_id(const struct upload *u)
{
    return &u->id;
}

uint64_t upload_size(const struct upload *u)
{
    return u->size_bytes;
}

const char *upload_why(const struct upload *u)
{
    return u->why == NULL ? "" : u->why;
}

enum err upload_write(struct upload *u, struct span bytes, size_t *ret_taken)
{
    return u->store->ops->upload_write(u, bytes, ret_taken);
}

bool upload_has_room(struct upload *u, size_t bytes)
{
    return u->store->ops->upload_has_room(u, bytes);
}

enum err upload_commit(struct upload *u, const struct envelope *env, const struct commit_job *jobs,
                       size_t njobs, commit_fn *done, void *arg)
{
    return u->store->ops->upload_commit(u, env, jobs, njobs, done, arg);
}

void upload_abort(struct upload *u)
{
    if (u != NULL)
        u->store->ops->upload_abort(u);
}

enum err store_member_open(struct store *st, const struct member_conf *conf)
{
    return st->ops->member_open == NULL ? ERR_OK : st->ops->member_open(st, conf);
}

void store_member_close(struct store *st)
{
    if (st->ops->member_close != NULL)
        st->ops->member_close(st);
}

enum err store_worker_open(struct store *st, const struct worker_info *info, store_event_fn *expired,
                           void *arg)
{
    return st->ops->worker_open(st, info, expired, arg);
}

void store_worker_close(struct store *st, done_fn *done, void *arg)
{
    st->ops->worker_close(st, done, arg);
}

ms_t store_worker_valid(const struct store *st)
{
    return st->ops->worker_valid(st);
}

const char *store_worker_why(const struct store *st)
{
    return st->ops->worker_why(st);
}

void store_on_wake(struct store *st, void (*fn)(void *arg, unsigned partition), void *arg)
{
    st->ops->on_wake(st, fn, arg);
}

enum err store_discover(struct store *st, unsigned partition, unsigned from, unsigned max, discover_fn *done,
                        void *arg)
{
    return st->ops->discover(st, partition, from, max, done, arg);
}

enum err store_claim(struct store *st, unsigned partition, struct span domain, uint32_t klass, unsigned max,
                     claim_fn *done, void *arg)
{
    return st->ops->claim(st, partition, domain, klass, max, done, arg);
}

enum err store_chunk(struct store *st, const struct claim *c, uint32_t chunk, chunk_fn *done, void *arg)
{
    return st->ops->chunk(st, c, chunk, done, arg);
}

enum err store_finish(struct store *st, const struct finish *f, done_fn *done, void *arg)
{
    return st->ops->finish(st, f, done, arg);
}

enum err store_release(struct store *st, struct claim *c, ms_t delay_ms)
{
    return st->ops->release(st, c, delay_ms);
}

enum err store_hold(struct store *st, unsigned partition, struct span domain, uint32_t klass, ms_t delay_ms,
                    uint64_t token)
{
    return st->ops->hold(st, partition, domain, klass, delay_ms, token);
}

enum err store_held(struct store *st, unsigned partition, uint64_t cursor, held_fn *done, void *arg)
{
    return st->ops->held(st, partition, cursor, done, arg);
}

enum err store_rouse(struct store *st, unsigned partition, struct span domain, uint32_t klass)
{
    return st->ops->rouse(st, partition, domain, klass);
}

enum err store_slots_get(struct store *st, struct span link, unsigned want, unsigned cap_link,
                         unsigned cap_total, slots_fn *done, void *arg)
{
    return st->ops->slots_get(st, link, want, cap_link, cap_total, done, arg);
}

void store_slots_put(struct store *st, struct span link, unsigned n)
{
    st->ops->slots_put(st, link, n);
}

void store_on_slots_lost(struct store *st, store_event_fn *fn, void *arg)
{
    st->ops->on_slots_lost(st, fn, arg);
}

enum err store_reap(struct store *st, unsigned partition, count_fn *done, void *arg)
{
    return st->ops->reap(st, partition, done, arg);
}

enum err store_link_get(struct store *st, struct span link, link_fn *done, void *arg)
{
    return st->ops->link_get(st, link, done, arg);
}

enum err store_link_failed(struct store *st, struct span link, uint32_t failures, ms_t delay_ms,
                           struct span error)
{
    return st->ops->link_failed(st, link, failures, delay_ms, error);
}

enum err store_link_ok(struct store *st, struct span link)
{
    return st->ops->link_ok(st, link);
}
