#include "node/node.h"

#include "common/log.h"
#include "common/rng.h"
#include "node/shard.h"
#include "queue/routing.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_LOOK_MS = 10000, THREADS_MAX = 256, REPLY_LABELS_MAX = 64 };

struct node {
    struct node_deps deps;
    struct snapshot *snapshot;
    struct limits *limits;
    struct timer *files;  /* looks whether certificates have changed */
    struct buf published; /* link state that the snapshot's routes are made of */
    struct shard **shards;
    pthread_t *threads; /* of shards 1..; index 0 is unused */
    size_t nshards, nthreads;
};

/* --- the other loops ------------------------------------------------------------------------------------ */

static void *run_shard(void *arg)
{
    loop_run(((struct shard *)arg)->loop);
    return NULL;
}

/* Signals are the main thread's. */
static enum err start_threads(struct node *n, struct errctx *ec)
{
    sigset_t all, old;
    int rc = 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    for (size_t i = 1; i < n->nshards && rc == 0; i++) {
        rc = pthread_create(&n->threads[i], NULL, run_shard, n->shards[i]);
        if (rc == 0)
            n->nthreads++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? ERR_OK : err_set(ec, ERR_NOMEM, "cannot start a thread: %s", strerrordesc_np(rc));
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static void stop_threads(struct node *n)
{
    for (size_t i = 1; i <= n->nthreads; i++)
        loop_stop(n->shards[i]->loop);
    for (size_t i = 1; i <= n->nthreads; i++)
        (void)pthread_join(n->threads[i], NULL);
    if (n->nthreads > 0 && loop_post(n->deps.loop, stop_loop, n->deps.loop) == ERR_OK)
        loop_run(n->deps.loop); /* what they had posted to shard 0 is freed by being run */
    n->nthreads = 0;
}

/* One call in the thread of every shard. */
struct order {
    struct shard *shard;
    struct snapshot *snapshot; /* NULL: drain */
};

static void obey(void *arg)
{
    struct order *o = arg;
    if (o->snapshot == NULL)
        shard_drain(o->shard);
    else
        shard_set_snapshot(o->shard, o->snapshot);
    snapshot_unref(o->snapshot);
    free(o);
}

static void tell_shards(struct node *n, struct snapshot *snapshot)
{
    for (size_t i = 0; i < n->nshards; i++) {
        struct order *o = calloc(1, sizeof *o);
        if (o == NULL) {
            log_error("node.order", "shard=%zu text='out of memory'", i);
            continue;
        }
        *o = (struct order){n->shards[i], snapshot == NULL ? NULL : snapshot_ref(snapshot)};
        if (i == 0) {
            obey(o);
        } else if (loop_post(n->shards[i]->loop, obey, o) != ERR_OK) {
            snapshot_unref(o->snapshot);
            free(o);
        }
    }
}

/* --- configuration ----------------------------------------------------------------------------------------
 */

static enum err take_over(struct node *n, struct config *config, const char *event, struct errctx *ec)
{
    struct snapshot *next = NULL;
    struct log_scratch scratch;
    enum err e = snapshot_new(config, n->snapshot, buf_span(&n->published), &next, ec);
    if (next == NULL)
        return e;
    if (e != ERR_OK)
        log_error(event, "applied=without-new-certificate text=%s", log_text(&scratch, span_cstr(ec->msg)));
    /* What the first loop can open the others can: so it is all, or nothing. */
    enum err listens = shard_listen(n->shards[0], next, ec);
    if (listens != ERR_OK) {
        snapshot_unref(next);
        return listens;
    }
    if (e == ERR_OK)
        log_info(event, "applied=yes");
    snapshot_unref(n->snapshot);
    n->snapshot = next;
    tell_shards(n, next);
    return ERR_OK;
}

enum err node_reload(struct node *n, struct config *next, struct errctx *ec)
{
    return take_over(n, next, "node.reload", ec);
}

static void look_at_files(void *arg)
{
    struct node *n = arg;
    struct errctx ec = {""};
    struct log_scratch scratch;
    if (snapshot_files_changed(n->snapshot) &&
        take_over(n, n->snapshot->config, "node.certificates", &ec) != ERR_OK)
        log_error("node.certificates", "applied=no text=%s", log_text(&scratch, span_cstr(ec.msg)));
    timer_set(n->files, FILES_LOOK_MS);
}

/* --- link state --------------------------------------------------------------------------------------------
 */

static void on_table(void *arg, const struct routing_table *t)
{
    struct node *n = arg;
    struct snapshot *next = NULL;
    struct errctx ec = {""};
    struct log_scratch scratch;
    struct buf published;
    if (t->version == 0 && n->published.len == 0)
        return; /* no router has published anything */
    buf_init(&published, ROUTING_TABLE_MAX);
    if (buf_add(&published, t->bytes) != ERR_OK ||
        snapshot_reroute(n->snapshot, t->bytes, &next, &ec) != ERR_OK) {
        log_error("node.routes", "version=%" PRIu64 " applied=no text=%s", t->version,
                  log_text(&scratch, span_cstr(ec.msg[0] != '\0' ? ec.msg : "out of memory")));
        buf_done(&published);
        return;
    }
    log_info("node.routes", "version=%" PRIu64 " applied=yes", t->version);
    buf_done(&n->published);
    n->published = published;
    snapshot_unref(n->snapshot);
    n->snapshot = next;
    tell_shards(n, next);
}

/* --- life -------------------------------------------------------------------------------------------------
 */

/* A loop shares round trips and a partition of the queue among its sessions, so fewer loops do more at a
 * time; the kernel's half of the work, and what else runs beside a node, get the other processors. */
static size_t thread_count(const struct node_deps *deps, const struct conf_root *root)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = deps->threads > 0 ? deps->threads : (size_t)root->node.threads;
    if (n == 0)
        n = cpus > 1 ? ((size_t)cpus + 1) / 2 : 1;
    return n < THREADS_MAX ? n : THREADS_MAX;
}

/* In the main thread, which is that of shard 0 and its store. */
static void count(void *arg, uint64_t *ret_total, uint64_t *ret_open)
{
    const struct node *n = arg;
    *ret_total = *ret_open = 0;
    for (size_t i = 0; i < n->nshards; i++) {
        *ret_total += metric_get(&n->shards[i]->metrics.messages);
        *ret_open += metric_get(&n->shards[i]->metrics.sessions_open);
    }
}

static enum err open_shards(struct node *n, struct errctx *ec)
{
    size_t want = thread_count(&n->deps, config_root(n->snapshot->config));
    n->shards = calloc(want, sizeof *n->shards);
    n->threads = calloc(want, sizeof *n->threads);
    if (n->shards == NULL || n->threads == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < want; i++) {
        struct shard_options o = {.loop = i == 0 ? n->deps.loop : NULL,
                                  .deps = &n->deps,
                                  .snapshot = n->snapshot,
                                  .keeper = i == 0 ? NULL : n->shards[0],
                                  .limits = i == 0 ? n->limits : NULL,
                                  .index = i,
                                  .nshards = want};
        enum err e = shard_new(&o, &n->shards[i], ec);
        if (e != ERR_OK)
            return e;
        n->nshards++;
    }
    return ERR_OK;
}

enum err node_new(const struct node_deps *deps, struct config *conf, struct node **ret, struct errctx *ec)
{
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    n->deps = *deps;
    buf_init(&n->published, ROUTING_TABLE_MAX);
    n->limits = limits_new(SNAPSHOT_SERVERS_MAX, rng_system_seed());
    n->files = timer_new(deps->loop, look_at_files, n);
    enum err e = n->limits == NULL || n->files == NULL ? err_set(ec, ERR_NOMEM, "out of memory") : ERR_OK;
    if (e == ERR_OK)
        e = snapshot_new(conf, NULL, SPAN(""), &n->snapshot, ec);
    if (e == ERR_OK)
        e = open_shards(n, ec);
    if (e == ERR_OK)
        e = start_threads(n, ec);
    if (e != ERR_OK) {
        node_free(n);
        return e;
    }
    struct member_conf member = {.role = "node", .own_lease = true, .count = count, .arg = n};
    if (store_member_open(n->shards[0]->store, &member) != ERR_OK)
        log_warn("node.member", "text='out of memory: `bridgehead status` will not show this node'");
    timer_set(n->files, FILES_LOOK_MS);
    if (deps->routing != NULL)
        routing_watch(deps->routing, on_table, n);
    shard_tell_listeners(n->shards[0]);
    *ret = n;
    return ERR_OK;
}

void node_free(struct node *n)
{
    if (n == NULL)
        return;
    stop_threads(n);
    for (size_t i = n->nshards; i > 0; i--)
        shard_free(n->shards[i - 1]);
    timer_free(n->files);
    limits_free(n->limits);
    snapshot_unref(n->snapshot);
    buf_done(&n->published);
    free(n->shards);
    free(n->threads);
    free(n);
}

void node_drain(struct node *n)
{
    store_member_close(n->shards[0]->store);
    tell_shards(n, NULL);
}

bool node_drained(const struct node *n)
{
    for (size_t i = 0; i < n->nshards; i++)
        if (!shard_drained(n->shards[i]))
            return false;
    return true;
}

bool node_ready(const struct node *n, struct buf *ret_why)
{
    if (!store_ready(n->shards[0]->store, ret_why))
        return false;
    for (size_t i = 1; i < n->nshards; i++)
        if (metric_get(&n->shards[i]->metrics.store_ready) == 0) {
            (void)!buf_addf(ret_why, "loop %zu has no connection to the queue", i);
            return false;
        }
    return true;
}

enum err node_warnings(const struct node *n, struct buf *out)
{
    return store_warnings(n->shards[0]->store, out); /* all loops see the same Redis */
}

bool node_address(const struct node *n, size_t i, struct ip_endpoint *ret)
{
    const struct shard *s = n->shards[0];
    return i < s->nlisteners && s->listeners[i]->listener != NULL &&
           listener_address(s->listeners[i]->listener, ret);
}

static enum err write_replies(const struct node *n, struct buf *out)
{
    struct reply_metrics sums[REPLY__COUNT];
    struct metric_group groups[REPLY__COUNT];
    const void *each[REPLY__COUNT];
    char labels[REPLY__COUNT][REPLY_LABELS_MAX];
    size_t sent = 0;
    for (enum reply_id id = 0; id < REPLY__COUNT; id++) {
        sums[sent].sent = 0;
        for (size_t i = 0; i < n->nshards; i++)
            sums[sent].sent += metric_get(&n->shards[i]->replies[id]);
        if (sums[sent].sent == 0)
            continue;
        (void)snprintf(labels[sent], sizeof labels[sent], "reply=\"%s\",code=\"%u\"", reply_get(id)->name,
                       reply_get(id)->code);
        each[sent] = &sums[sent];
        groups[sent] = (struct metric_group){labels[sent], &each[sent], 1};
        sent++;
    }
    return metrics_write_groups(out, reply_metrics_desc, reply_metrics_count, groups, sent);
}

enum err node_metrics_write(const struct node *n, struct buf *out)
{
    const void *structs[THREADS_MAX];
    for (size_t i = 0; i < n->nshards; i++)
        structs[i] = &n->shards[i]->metrics;
    enum err e = metrics_write(out, node_metrics_desc, node_metrics_count, structs, n->nshards, "");
    if (e == ERR_OK)
        e = write_replies(n, out);
    return e == ERR_OK ? store_metrics(n->shards[0]->store, out) : e;
}
