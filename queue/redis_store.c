#include "queue/redis_store_int.h"

#include "queue/queue_name.h"
#include "queue/redis_reply.h"
#include "queue/redis_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAKE_MS = 20 /* at most 50 hints a second */ };

/* --- Readiness ----------------------------------------------------------------------------------- */

static void tell_changed(void *arg)
{
    struct redis_store *st = arg;
    if (st->on_change != NULL)
        st->on_change(st->on_change_arg);
}

void redis_store_changed(struct redis_store *st)
{
    deferred_arm(st->loop, &st->changed);
}

static enum err redis_refusal(const struct store *store, struct buf *ret_why)
{
    const struct redis_store *st = (const struct redis_store *)store;
    const char *why = st->why;
    enum err e = st->usable ? ERR_OK : st->refusal;
    if (e != ERR_OK && !redis_link_is_up(st->control)) {
        why = redis_link_why(st->control); /* the newest: what it was closed for may be mended by now */
        e = redis_link_is_refused(st->control) ? ERR_BACKEND : ERR_AGAIN;
    } else if (e == ERR_OK && st->short_of_replicas && loop_now(st->loop) < st->short_until_ms) {
        why = "too few replicas confirm what is written: bring them back, or lower redis.durability";
        e = ERR_AGAIN;
    }
    if (e != ERR_OK && ret_why != NULL)
        (void)!buf_addf(ret_why, "%s", why); /* one that does not fit changes nothing */
    return e;
}

static enum err redis_warnings(const struct store *store, struct buf *out)
{
    const struct redis_store *st = (const struct redis_store *)store;
    enum err e = buf_add(out, buf_span(&st->warnings));
    return e == ERR_OK ? redis_finishes_warnings(st, out) : e;
}

static void redis_on_change(struct store *store, store_event_fn *fn, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    st->on_change = fn;
    st->on_change_arg = arg;
}

static unsigned redis_partitions(const struct store *store)
{
    return ((const struct redis_store *)store)->npartitions;
}

static enum err redis_write_metrics(const struct store *store, struct buf *out)
{
    const struct redis_store *st = (const struct redis_store *)store;
    const void *one = &st->metrics;
    return metrics_write(out, redis_metrics_desc, redis_metrics_count, &one, 1, "");
}

/* --- Helpers of the other files ------------------------------------------------------------------ */

struct redis_partition *redis_store_partition(struct redis_store *st, unsigned n)
{
    return n < st->npartitions ? &st->partitions[n] : NULL;
}

void redis_arg_body_key(struct redis_request *rq, const struct redis_partition *p, const struct msgid *id)
{
    char key[MSGID_LEN + 2] = {'b', ':'};
    memcpy(key + 2, id->id, MSGID_LEN);
    redis_arg_pair(rq, p->tag, span_of(key, sizeof key));
}

void redis_arg_queue(struct redis_request *rq, struct span domain, uint32_t klass)
{
    char name[QUEUE_NAME_BYTES];
    redis_arg(rq, span_of(name, queue_name_write(domain, klass, name)));
}

struct redis_link *redis_store_link(struct redis_store *st, const char *role, const enum script_id *list,
                                    size_t n, const struct redis_link_ops *ops, void *arg)
{
    struct redis_link_conf conf = {.loop = st->loop,
                                   .settings = &st->settings,
                                   .topology = st->topology,
                                   .metrics = &st->metrics,
                                   .role = role,
                                   .scripts = list,
                                   .nscripts = n,
                                   .lease_ms = st->lease_ms,
                                   .ops = ops,
                                   .arg = arg};
    return redis_link_new(&conf);
}

/* Always the same one for a message, so that its chunks stay in order. */
struct redis_link *redis_store_bulk(struct redis_store *st, const struct msgid *id)
{
    static const struct redis_link_ops ops = {.up = NULL};
    size_t i = (size_t)id->id[MSGID_LEN - 1] % BULK_LINKS;
    if (st->bulk[i] == NULL)
        st->bulk[i] = redis_store_link(st, "bulk", NULL, 0, &ops, st);
    return st->bulk[i] != NULL ? st->bulk[i] : st->control;
}

/* --- Wake-ups ------------------------------------------------------------------------------------ */

static void nothing_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                         const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why; /* a hint: a lost one costs a poll */
}

static void publish(struct redis_store *st, unsigned partition)
{
    struct redis_request *rq = redis_request_new(nothing_done, NULL);
    if (rq == NULL)
        return;
    redis_command(rq, 3);
    redis_arg_str(rq, "PUBLISH");
    redis_arg_str(rq, st->channel);
    redis_arg_u64(rq, partition);
    redis_link_send(st->control, rq);
}

static void publish_all(void *arg)
{
    struct redis_store *st = arg;
    st->wake_armed = false;
    for (unsigned i = 0; i < st->npartitions; i++) {
        if (st->partitions[i].wake)
            publish(st, i);
        st->partitions[i].wake = false;
    }
}

void redis_store_wake(struct redis_store *st, unsigned partition)
{
    if (partition >= st->npartitions)
        return;
    st->partitions[partition].wake = true;
    if (!st->wake_armed)
        timer_set(st->wake_timer, WAKE_MS);
    st->wake_armed = true;
}

static void subscribe_up(void *arg)
{
    struct redis_store *st = arg;
    struct redis_request *rq = redis_request_new(nothing_done, NULL);
    if (rq == NULL)
        return;
    redis_command(rq, 2);
    redis_arg_str(rq, "SUBSCRIBE");
    redis_arg_str(rq, st->channel);
    redis_link_send(st->subscribe, rq);
}

static void subscribe_push(void *arg, const struct redisReply *message)
{
    struct redis_store *st = arg;
    uint64_t partition;
    if (st->on_wake != NULL && reply_u64(reply_at(message, 2), UINT16_MAX, &partition) &&
        partition < st->npartitions)
        st->on_wake(st->on_wake_arg, (unsigned)partition);
}

static void redis_on_wake(struct store *store, void (*fn)(void *arg, unsigned partition), void *arg)
{
    static const struct redis_link_ops ops = {.up = subscribe_up, .push = subscribe_push};
    struct redis_store *st = (struct redis_store *)store;
    st->on_wake = fn;
    st->on_wake_arg = arg;
    if (st->subscribe == NULL && fn != NULL)
        st->subscribe = redis_store_link(st, "subscribe", NULL, 0, &ops, st);
}

/* --- The control connection ---------------------------------------------------------------------- */

static void control_up(void *arg)
{
    redis_open_start(arg);
}

static void control_down(void *arg, const char *why)
{
    redis_open_stop(arg, ERR_AGAIN, why);
}

static void control_fatal(void *arg, const char *why)
{
    redis_open_fatal(arg, why);
}

static void topology_changed(void *arg)
{
    struct redis_store *st = arg;
    struct redis_link *links[BULK_LINKS + 2] = {st->control, st->subscribe};
    for (size_t i = 0; i < BULK_LINKS; i++)
        links[2 + i] = st->bulk[i];
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        if (links[i] != NULL)
            redis_link_moved(links[i]);
    }
    redis_lanes_moved(st);
}

void redis_store_opened(struct redis_store *st, bool another_master)
{
    bool may_have_lost = st->facts.sentinel || st->promise.kind != REDIS_FSYNC;
    if (another_master && may_have_lost) {
        metric_inc(&st->metrics.failovers);
        redis_redo_start(st);
    }
    st->roomy = redis_has_room(&st->facts);
    redis_reap_later(st);
    redis_worker_connected(st, another_master && may_have_lost);
    redis_member_connected(st);
}

static void on_tick(void *arg)
{
    struct redis_store *st = arg;
    timer_set(st->tick, TICK_MS);
    redis_uploads_tick(st);
    redis_commits_tick(st);
    redis_finishes_tick(st);
    redis_redo_tick(st);
    redis_room_tick(st);
}

/* --- Making and freeing -------------------------------------------------------------------------- */

static void redis_free(struct store *store)
{
    struct redis_store *st = (struct redis_store *)store;
    if (st->lanes != NULL)
        redis_lanes_free(st);
    redis_commits_free(st);
    redis_link_free(st->control);
    for (size_t i = 0; i < BULK_LINKS; i++)
        redis_link_free(st->bulk[i]);
    redis_link_free(st->subscribe);
    redis_worker_free(st);
    redis_member_free(st);
    while (st->uploads != NULL)
        redis_upload_free(st->uploads);
    redis_redo_free(st);
    redis_topology_free(st->topology);
    deferred_disarm(&st->changed);
    timer_free(st->tick);
    timer_free(st->wake_timer);
    timer_free(st->open.again);
    body_codec_free(st->codec);
    redis_settings_done(&st->settings);
    buf_done(&st->warnings);
    free(st->partitions);
    free(st->lanes);
    free(st);
}

static const struct store_ops redis_ops = {
    .free = redis_free,
    .partitions = redis_partitions,
    .refusal = redis_refusal,
    .warnings = redis_warnings,
    .on_change = redis_on_change,
    .metrics = redis_write_metrics,
    .upload = redis_upload_new,
    .upload_write = redis_upload_write,
    .upload_has_room = redis_upload_has_room,
    .upload_commit = redis_upload_commit,
    .upload_abort = redis_upload_abort,
    .member_open = redis_member_open,
    .member_close = redis_member_close,
    .worker_open = redis_worker_open,
    .worker_close = redis_worker_close,
    .worker_valid = redis_worker_valid,
    .worker_why = redis_worker_why,
    .on_wake = redis_on_wake,
    .discover = redis_discover,
    .claim = redis_claim_jobs,
    .chunk = redis_chunk,
    .finish = redis_finish_job,
    .release = redis_release,
    .hold = redis_hold,
    .held = redis_held,
    .rouse = redis_rouse,
    .slots_get = redis_slots_get,
    .slots_put = redis_slots_put,
    .on_slots_lost = redis_slots_on_lost,
    .reap = redis_reap,
    .link_get = redis_link_get,
    .link_failed = redis_link_failed,
    .link_ok = redis_link_ok,
};

static enum err configure(struct redis_store *st, const struct conf_root *root, struct errctx *ec)
{
    const struct conf_redis *r = &root->redis;
    enum err e = redis_settings_init(&st->settings, root, "bridgehead", ec);
    if (e == ERR_OK)
        e = redis_promise_parse(span_cstr(r->durability), &st->promise, ec);
    if (e != ERR_OK)
        return e;
    (void)snprintf(st->ns, sizeof st->ns, "%s", r->namespace_);
    (void)snprintf(st->cfg_tag, sizeof st->cfg_tag, "{%s.cfg}", st->ns);
    (void)snprintf(st->sem_tag, sizeof st->sem_tag, "{%s.sem}", st->ns);
    (void)snprintf(st->channel, sizeof st->channel, "%s:wake", st->ns);
    if (!redis_tag_valid(span_cstr(st->cfg_tag)) || strlen(r->namespace_) > NAMESPACE_MAX)
        return err_set(ec, ERR_CONFIG, "redis.namespace '%s': no braces, blanks or control characters",
                       r->namespace_);
    st->partitions_wanted = (unsigned)r->partitions;
    st->history = r->history;
    st->lease_ms = root->worker.lease_ms;
    st->nlanes = r->commit_connections > LANES_MAX ? LANES_MAX : (size_t)r->commit_connections;
    bool repairs = st->settings.url.kind == REDIS_SENTINEL || st->promise.kind != REDIS_FSYNC;
    st->redo_max = repairs ? r->redo_bytes : 0;
    return ERR_OK;
}

static enum err build(struct redis_store *st, const struct conf_root *root, struct errctx *ec)
{
    static const struct redis_link_ops ops = {.up = control_up, .down = control_down, .fatal = control_fatal};
    static const enum script_id list[] = {
        SCRIPT_META,   SCRIPT_INIT,    SCRIPT_DISCOVER, SCRIPT_CLAIM,    SCRIPT_RENEW, SCRIPT_BYE,
        SCRIPT_FINISH, SCRIPT_RELEASE, SCRIPT_REAP,     SCRIPT_REASSERT, SCRIPT_HOLD,  SCRIPT_SEM,
        SCRIPT_LINK,   SCRIPT_JOBS,    SCRIPT_CANCEL,   SCRIPT_HELD,     SCRIPT_ROUSE,
    };
    enum err e = configure(st, root, ec);
    if (e != ERR_OK)
        return e;
    e = redis_topology_new(st->loop, &st->settings, topology_changed, st, &st->topology, ec);
    if (e != ERR_OK)
        return e;
    st->codec = body_codec_new();
    st->tick = timer_new(st->loop, on_tick, st);
    st->wake_timer = timer_new(st->loop, publish_all, st);
    st->lanes = calloc(st->nlanes, sizeof st->lanes[0]);
    if (st->codec == NULL || st->tick == NULL || st->wake_timer == NULL || st->lanes == NULL ||
        redis_open_init(st) != ERR_OK || redis_redo_init(st) != ERR_OK || redis_worker_init(st) != ERR_OK)
        return err_set(ec, ERR_NOMEM, "out of memory");
    redis_lanes_init(st);
    st->control = redis_store_link(st, "control", list, ARRAY_LEN(list), &ops, st);
    if (st->control == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    timer_set(st->tick, TICK_MS);
    return ERR_OK;
}

enum err redis_store_open(struct loop *l, const struct conf_root *root, struct redis_store **ret,
                          struct errctx *ec)
{
    struct redis_store *st = calloc(1, sizeof *st);
    if (st == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    st->store.ops = &redis_ops;
    st->loop = l;
    st->refusal = ERR_AGAIN;
    buf_init(&st->warnings, 8192);
    deferred_init(&st->changed, tell_changed, st);
    uint64_t seed = rng_system_seed();
    rng_seed(&st->rng, seed);
    msgid_source_init(&st->ids, rng_next(&st->rng));
    enum err e = build(st, root, ec);
    if (e == ERR_OK)
        *ret = st;
    else
        redis_free(&st->store);
    return e;
}

enum err store_redis_open(struct loop *l, const struct config *conf, struct store **ret, struct errctx *ec)
{
    struct redis_store *st;
    enum err e = redis_store_open(l, config_root(conf), &st, ec);
    if (e == ERR_OK)
        *ret = &st->store;
    return e;
}
