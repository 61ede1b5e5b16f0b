/* worker/discover.c — finds due queues, partition by partition, and hands them to the links that serve
 * them now (late binding: the route is looked up here, when there is mail, and for every look anew).
 *
 * What only other workers send is left to them, and looked past.
 *
 * A partition is looked at every worker.poll, sooner after it had work and at once after a hint. */
#include "common/log.h"
#include "worker/core.h"

enum {
    DISCOVER_MAX = 64,
    BUSY_POLL_MS = 20,
    IDLE_POLL_MS = 100,
    BUSY_FOR_MS = 1000,
    FAILED_POLL_MS = 1000,
    REAP_MS = 1000
};

/* False: it is for others. */
static bool place(struct worker *w, unsigned partition, const struct dmq *q)
{
    struct due *known = due_find(w, partition, q->domain, q->klass);
    struct route route;
    struct link *link;

    if (known != NULL) {
        link_add_due(known->link, partition, q);
        return true;
    }
    route_lookup(w->set->routes, q->domain, q->klass, &route);
    if (!route_from_member(&route, span_cstr(w->member)))
        return false;
    link = links_get(w, &route, q->domain);
    if (link != NULL)
        link_add_due(link, partition, q);
    else /* too many next hops at a time: others first */
        (void)!store_hold(w->store, partition, q->domain, q->klass, FAILED_POLL_MS, 0);
    return true;
}

static unsigned page_of(const struct partition *p)
{
    return p->from > 0 ? STORE_DISCOVER_MAX : DISCOVER_MAX;
}

static void on_discover(void *arg, enum err e, const struct dmq *list, size_t n)
{
    struct partition *p = arg;
    struct worker *w = p->w;
    ms_t now = loop_now(w->loop), poll = w->set->root->worker.poll_ms, gap;
    size_t others = 0;

    p->asking = false;
    if (e == ERR_CANCELED || w->draining || w->stopping)
        return;
    for (size_t i = 0; i < n && e == ERR_OK; i++)
        others += !place(w, p->number, &list[i]);
    if (n > others)
        p->busy_ms = now;
    if (e == ERR_OK && others > 0 && n >= page_of(p) &&
        p->from < STORE_DISCOVER_FROM_MAX) { /* they stay in front: what is ours may be behind them */
        p->from += (unsigned)n;
        p->again = true;
    } else {
        p->from = 0;
    }
    gap = now - p->busy_ms < BUSY_FOR_MS && poll > BUSY_POLL_MS ? BUSY_POLL_MS : poll;
    if (e != ERR_OK)
        gap = FAILED_POLL_MS;
    p->due_ms = ms_after(now, p->again ? 0 : gap + rng_below(&w->rng, gap / 4 + 1));
    p->again = false;
    timer_set(w->poll, 0);
}

static void on_reap(void *arg, enum err e, uint64_t n)
{
    struct partition *p = arg;

    p->reaping = false;
    if (e != ERR_OK || n == 0)
        return;
    metric_add(&p->w->m.reaped, n);
    log_warn("queue.reaped", "partition=%u jobs=%llu text='of workers that ended without giving them back'",
             p->number, (unsigned long long)n);
}

static void reap(struct partition *p, ms_t now)
{
    if (p->reaping || now < p->reap_ms)
        return;
    p->reap_ms = ms_after(now, REAP_MS);
    p->reaping = store_reap(p->w->store, p->number, on_reap, p) == ERR_OK;
}

static void look(struct partition *p, ms_t now)
{
    if (p->asking || now < p->due_ms)
        return;
    p->asking = store_discover(p->w->store, p->number, p->from, page_of(p), on_discover, p) == ERR_OK;
    if (!p->asking)
        p->due_ms = ms_after(now, FAILED_POLL_MS);
}

/* The number of partitions is the store's, known when it was reached for the first time. */
static bool know_partitions(struct worker *w)
{
    unsigned n = store_partitions(w->store);
    ms_t now = loop_now(w->loop);

    if (w->npartitions > 0 || n == 0)
        return w->npartitions > 0;
    w->partitions = calloc(n, sizeof *w->partitions);
    if (w->partitions == NULL)
        return false;
    w->npartitions = n;
    for (unsigned i = 0; i < n; i++)
        w->partitions[i] = (struct partition){.w = w,
                                              .number = i,
                                              .reap_ms = ms_after(now, rng_below(&w->rng, REAP_MS)),
                                              .scan = w->before != NULL};
    return true;
}

void discover_tick(struct worker *w)
{
    ms_t now = loop_now(w->loop), next = ms_after(now, FAILED_POLL_MS);

    if (w->draining || w->stopping)
        return;
    if (know_partitions(w) && worker_may_claim(w)) {
        for (unsigned i = 0; i < w->npartitions; i++) {
            struct partition *p = &w->partitions[i];

            look(p, now);
            reap(p, now);
            if (!p->asking && p->due_ms < next)
                next = p->due_ms;
        }
    } else {
        next = ms_after(now, IDLE_POLL_MS);
    }
    timer_set(w->poll, next > now ? next - now : 1);
}

void discover_wake(struct worker *w, unsigned partition)
{
    struct partition *p;

    if (partition >= w->npartitions || w->draining || w->stopping)
        return;
    p = &w->partitions[partition];
    p->due_ms = 0;
    p->busy_ms = loop_now(w->loop);
    p->again = p->asking;
    timer_set(w->poll, 0);
}
