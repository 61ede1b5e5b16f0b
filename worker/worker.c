#include "worker/worker.h"

#include "common/log.h"
#include "worker/core.h"

#include <unistd.h>

enum { TICK_MS = 200, FILES_PATIENCE_MS = 1000, ANSWERS_PATIENCE_MS = 1000 };

/* --- Lease (L4) ------------------------------------------------------------------------------------- */

ms_t worker_lease(const struct worker *w)
{
    return w->set->root->worker.lease_ms;
}

bool worker_may_claim(const struct worker *w)
{
    return store_worker_valid(w->store) > worker_lease(w) / 3;
}

static void abort_all(struct worker *w, const char *why)
{
    w->abort_done = true;
    log_error("worker.lease", "text='%s: what has not passed its final dot is stopped'", why);
    links_abort(w);
}

static void on_expired(void *arg)
{
    struct worker *w = arg;

    metric_inc(&w->m.lease_lost);
    w->epoch++; /* its claims are no longer ours */
    abort_all(w, "the lease has ended");
}

static void on_slots_lost(void *arg)
{
    struct worker *w = arg;

    if (w->nlanes > 0)
        log_error("worker.slots", "text='the lease of the connections has ended: all are closed'");
    links_cut(w);
}

static void watch_lease(struct worker *w)
{
    ms_t valid = store_worker_valid(w->store);

    if (valid > worker_lease(w) / 3)
        w->abort_done = false;
    else if (valid <= worker_lease(w) / 6 && !w->abort_done && w->nlanes > 0)
        abort_all(w, "the lease cannot be renewed");
}

/* Of the grace period; 0: it is over, or has not begun. */
static ms_t grace_left(const struct worker *w)
{
    ms_t now = loop_now(w->loop), end = ms_after(w->drain_ms, w->set->root->delivery.grace_ms);

    return w->draining && end > now ? end - now : 0;
}

/* --- Turning ---------------------------------------------------------------------------------------- */

/* Nothing is in hand any more, and the end of the process waits for the queue alone. */
static void watch_answers(struct worker *w)
{
    unsigned requests = 0;

    if (!w->draining || w->told_answers || w->nlanes + w->nparcels > 0 ||
        loop_now(w->loop) < ms_after(w->drain_ms, ANSWERS_PATIENCE_MS))
        return;
    for (const struct link *link = w->links; link != NULL; link = link->next)
        requests += link->requests;
    w->told_answers = requests > 0;
    if (requests > 0)
        log_warn("worker.answers",
                 "requests=%u left_ms=%llu text='Redis does not answer, or does not take what became of "
                 "jobs: the end "
                 "waits for it, for the grace period at most; what it has not taken then is delivered again'",
                 requests, (unsigned long long)grace_left(w));
}

/* What is not over when the grace period nearly is goes back now: whoever is stopped in the middle keeps it
 * until its lease ends. What passed its final dot has the rest of the time for its answer. */
static void watch_grace(struct worker *w)
{
    if (!w->draining || w->hurried || loop_now(w->loop) < w->hurry_ms)
        return;
    w->hurried = true;
    if (w->nlanes + w->nparcels > 0)
        log_warn("worker.grace",
                 "connections=%u claims=%u text='the grace period ends: what has not passed its "
                 "final dot goes back'",
                 w->nlanes, w->nparcels);
    links_abort(w);
}

static void on_tick(void *arg)
{
    struct worker *w = arg;

    watch_lease(w);
    watch_grace(w);
    watch_answers(w);
    links_tick(w);
    reroute_tick(w);
    timer_set(w->tick, TICK_MS);
}

static void on_poll(void *arg)
{
    discover_tick(arg);
}

static void on_wake(void *arg, unsigned partition)
{
    discover_wake(arg, partition);
}

/* --- Life ------------------------------------------------------------------------------------------- */

static void count(void *arg, uint64_t *ret_total, uint64_t *ret_open)
{
    const struct worker *w = arg;

    *ret_total = metric_get(&w->m.delivered);
    *ret_open = metric_get(&w->m.connections_now);
}

static enum err open_lease(struct worker *w, struct errctx *ec)
{
    struct worker_info info = {.name = w->name, .host = w->set->hostname, .version = BRIDGEHEAD_VERSION};
    struct member_conf member = {.name = w->member, .role = "worker", .count = count, .arg = w};
    enum err e = store_member_open(w->store, &member);

    if (e == ERR_OK)
        e = store_worker_open(w->store, &info, on_expired, w);
    if (e != ERR_OK)
        return err_set(ec, e, "the worker cannot register with the queue: %s", err_text(e));
    store_on_wake(w->store, on_wake, w);
    store_on_slots_lost(w->store, on_slots_lost, w);
    return ERR_OK;
}

static enum err make_parts(struct worker *w, struct config *conf, struct errctx *ec)
{
    enum err e = settings_new(conf, SPAN(""), w->config_path, &w->set, ec);

    if (e != ERR_OK)
        return e;
    w->pool = filepool_new(w->loop, FILE_THREADS);
    w->tick = timer_new(w->loop, on_tick, w);
    w->poll = timer_new(w->loop, on_poll, w);
    if (w->pool == NULL || w->tick == NULL || w->poll == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory or threads");
    return open_lease(w, ec);
}

enum err worker_new(const struct worker_deps *deps, struct config *conf, struct worker **ret,
                    struct errctx *ec)
{
    struct worker *w = calloc(1, sizeof *w);
    uint64_t seed = rng_system_seed();
    enum err e;

    if (w == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    w->loop = deps->loop;
    w->store = deps->store;
    w->dns = deps->dns;
    w->routing = deps->routing;
    w->config_path = deps->config_path;
    w->starving_tail = &w->starving;
    buf_init(&w->published, ROUTING_TABLE_MAX);
    rng_seed(&w->rng, seed);
    w->unique = seed << 20;
    (void)snprintf(w->name, sizeof w->name, "worker-%d-%06x", (int)getpid(), (unsigned)(seed & 0xffffff));
    member_name(config_root(conf)->worker.name, w->member);
    e = make_parts(w, conf, ec);
    if (e != ERR_OK) {
        worker_stop(w);
        worker_free(w);
        return e;
    }
    timer_set(w->tick, TICK_MS);
    timer_set(w->poll, 0);
    reroute_start(w);
    *ret = w;
    return ERR_OK;
}

/* What a disk is waited for: the rest of the grace period, and a moment in any case. */
static ms_t files_patience(const struct worker *w)
{
    ms_t left = grace_left(w);

    return left < FILES_PATIENCE_MS ? FILES_PATIENCE_MS : left;
}

void worker_stop(struct worker *w)
{
    if (w == NULL || w->stopping)
        return;
    w->stopping = true;
    timer_free(w->tick);
    timer_free(w->poll);
    w->tick = w->poll = NULL;
    w->hanging = filepool_free(w->pool, files_patience(w));
    w->pool = NULL;
    if (w->hanging > 0)
        log_error(
            "worker.files",
            "threads=%u text='a disk with mailboxes does not answer: the worker ends without it; what was "
            "being written comes back, and may be delivered twice: look at the file system'",
            w->hanging);
    reroute_stop(w);
    links_stop(w);
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    links_free(w);
    free(w->partitions);
    settings_unref(w->set);
    free(w);
}

enum err worker_reload(struct worker *w, struct config *next, struct errctx *ec)
{
    struct settings *set, *old = w->set;
    enum err e = settings_new(next, buf_span(&w->published), w->config_path, &set, ec);

    if (e != ERR_OK)
        return e;
    w->set = set;
    links_stale(w);
    reroute(w, old->routes);
    settings_unref(old);
    return ERR_OK;
}

void worker_drain(struct worker *w)
{
    ms_t grace = w->set->root->delivery.grace_ms;

    w->draining = true;
    w->drain_ms = loop_now(w->loop);
    w->hurry_ms = ms_after(w->drain_ms, grace - grace / 5);
    links_drain(w);
}

static void on_worker_closed(void *arg, enum err e)
{
    struct worker *w = arg;

    w->closed = true;
    if (e != ERR_OK && e != ERR_CANCELED)
        log_warn("worker.close", "err=%s text='claims come back when the lease ends'", err_name(e));
}

static bool at_rest(const struct worker *w)
{
    if (w->nparcels > 0 || w->nlanes > 0)
        return false;
    for (const struct link *link = w->links; link != NULL; link = link->next)
        if (link->requests > 0)
            return false;
    return true;
}

bool worker_drained(struct worker *w)
{
    if (w->draining && !w->closing && at_rest(w)) {
        w->closing = true;
        store_worker_close(w->store, on_worker_closed, w);
    }
    return w->closed;
}

bool worker_ready(struct worker *w, struct buf *ret_why)
{
    const char *why = store_worker_why(w->store);
    bool leased = worker_may_claim(w);

    if (!leased && why[0] != '\0') { /* the same from refusal to refusal, also while the store opens anew */
        (void)!buf_addf(ret_why, "the lease of the worker is not renewed: %s", why);
        return false;
    }
    if (!store_ready(w->store, ret_why))
        return false;
    if (!leased)
        (void)!buf_addf(ret_why, "the lease of the worker is not renewed");
    return leased;
}

const struct worker_metrics *worker_counters(const struct worker *w)
{
    return &w->m;
}
