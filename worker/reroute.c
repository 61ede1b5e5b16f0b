/* worker/reroute.c — a new table of routes: what waits is looked up anew, and nothing is moved.
 *
 * Four kinds of mail wait:
 *   known here    due queues of links and parcels that no lane has: those whose way has changed are let go
 *                 at once, and found again for the link that serves them now;
 *   held          queues that the store hides until the next try of their link: a page of names at a time is
 *                 read from each partition, and those whose way has changed are roused;
 *   kept back     single jobs of a queue whose way would lead them where they have been, and that wait or go
 *                 another one: their queues are remembered, and roused by the next table;
 *   unknown       is looked up when it is found.
 *
 * `before` is the table that held queues were last compared with; it stays the same while pages are still
 * being read, so no change between two tables is overlooked. Nor is one that was taken back meanwhile:
 * `between` is the last table that came and went since; what was hidden under it is roused, too. */
#include "common/log.h"
#include "worker/core.h"

#include <inttypes.h>

static bool same_connector(const struct conf_connector *a, const struct conf_connector *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a->name, b->name) == 0);
}

/* --- Held queues ------------------------------------------------------------------------------------- */

static bool way_differs(const struct worker *w, const struct route_table *before, const struct dmq *q)
{
    struct route old, new;

    route_lookup(before, q->domain, q->klass, &old);
    route_lookup(w->set->routes, q->domain, q->klass, &new);
    return old.kind != new.kind || !same_connector(old.connector, new.connector) ||
           (new.kind == ROUTE_LOCAL &&strcmp(old.local->deliver, new.local->deliver) != 0);
}

static bool way_changed(const struct worker *w, const struct dmq *q)
{
    return way_differs(w, w->before, q) || (w->between != NULL && way_differs(w, w->between, q));
}

static void forget(struct worker *w)
{
    route_table_unref(w->before);
    route_table_unref(w->between);
    w->before = w->between = NULL;
}

static void scan_ended(struct worker *w)
{
    for (unsigned i = 0; i < w->npartitions; i++)
        if (w->partitions[i].scan)
            return;
    forget(w);
}

static void on_held(void *arg, enum err e, const struct dmq *list, size_t n, uint64_t next)
{
    struct partition *p = arg;
    struct worker *w = p->w;

    p->scanning = false;
    if (e != ERR_OK || w->stopping || w->before == NULL)
        return; /* the next tick tries again */
    for (size_t i = 0; i < n; i++)
        if (way_changed(w, &list[i]) &&
            store_rouse(w->store, p->number, list[i].domain, list[i].klass) == ERR_OK) {
            metric_inc(&w->m.rerouted);
            p->roused = true;
        }
    if (p->scan_again) {
        p->scan_again = false;
        p->cursor = 0;
        return;
    }
    p->cursor = next;
    p->scan = next != 0;
    if (p->scan)
        return;
    if (p->roused)
        discover_wake(w, p->number);
    scan_ended(w);
}

void reroute_tick(struct worker *w)
{
    if (w->before == NULL || w->draining || w->stopping)
        return;
    for (unsigned i = 0; i < w->npartitions; i++) {
        struct partition *p = &w->partitions[i];

        if (p->scan && !p->scanning)
            p->scanning = store_held(w->store, i, p->cursor, on_held, p) == ERR_OK;
    }
}

static void scan(struct worker *w, struct route_table *old)
{
    struct route_table **keep = w->before == NULL ? &w->before : &w->between;

    route_table_unref(*keep);
    *keep = route_table_ref(old);
    for (unsigned i = 0; i < w->npartitions; i++) {
        struct partition *p = &w->partitions[i];

        p->scan_again = p->scanning; /* what comes in was asked for an older table */
        p->cursor = 0;
        p->scan = true;
        p->roused = false;
    }
    reroute_tick(w);
}

/* --- What is known here ------------------------------------------------------------------------------ */

static bool leads_there(const struct link *link, const struct route *route, struct span domain)
{
    char name[LINK_NAME_MAX];

    route_link_name(route, domain, name);
    return strcmp(name, link->name) == 0 && link->connector == route->connector;
}

static void let_dues_go(struct link *link)
{
    struct worker *w = link->w;
    struct due *d = link->due;

    for (size_t n = link->ndue; n > 0; n--) {
        struct due *next = d->next;
        struct span domain = span_of(d->domain, d->domain_len);
        struct route route;

        route_lookup(w->set->routes, domain, d->klass, &route);
        if (!leads_there(link, &route, domain)) {
            (void)!store_rouse(w->store, d->partition, domain, d->klass); /* it may be hidden, or swept */
            discover_wake(w, d->partition);
            due_drop(d);
        }
        d = next;
    }
}

static void let_parcels_go(struct link *link)
{
    struct parcel *list = link->pending, *p;

    link->pending = NULL;
    link->pending_tail = &link->pending;
    link->npending = 0;
    while ((p = list) != NULL) {
        struct route route;

        list = p->next;
        p->next = NULL;
        route_of_claim(link->w, p->claim, &route);
        if (leads_there(link, &route, p->claim->job.domain)) {
            *link->pending_tail = p;
            link->pending_tail = &p->next;
            link->npending++;
        } else {
            parcel_release(p, 0);
        }
    }
}

/* --- What is kept back ------------------------------------------------------------------------------- */

struct kept { /* a queue */
    struct kept *next;
    unsigned partition;
    uint32_t klass;
    size_t domain_len;
    char domain[];
};

/* Beyond so many a job waits for its next try. */
enum { KEPT_MAX = 1000 };

void reroute_keep(struct worker *w, const struct claim *c)
{
    struct span domain = c->job.domain;
    struct kept *k = w->kept;

    while (k != NULL && (k->partition != c->id.partition || k->klass != c->job.klass ||
                         !span_eq(span_of(k->domain, k->domain_len), domain)))
        k = k->next;
    if (k != NULL || w->nkept >= KEPT_MAX || (k = malloc(sizeof *k + domain.len)) == NULL)
        return;
    *k = (struct kept){w->kept, c->id.partition, c->job.klass, domain.len};
    memcpy(k->domain, domain.ptr, domain.len);
    w->kept = k;
    w->nkept++;
}

static void let_kept_go(struct worker *w, bool rouse)
{
    for (struct kept *k; (k = w->kept) != NULL;) {
        w->kept = k->next;
        if (rouse &&
            store_rouse(w->store, k->partition, span_of(k->domain, k->domain_len), k->klass) == ERR_OK) {
            metric_inc(&w->m.rerouted);
            discover_wake(w, k->partition);
        }
        free(k);
    }
    w->nkept = 0;
}

/* --- Connectors -------------------------------------------------------------------------------------- */

/* The router found that it answers: what workers remember of its failures is no reason to wait. */
static void revive(struct worker *w, const struct route_table *old)
{
    const struct conf_root *root = w->set->root;

    for (size_t i = 0; i < root->connectors.count; i++) {
        struct span name = span_cstr(root->connectors.items[i].name);
        char link[LINK_NAME_MAX];
        struct route was, is;
        bool was_up, up;

        if (!route_connector(old, name, &was_up, &was) || !route_connector(w->set->routes, name, &up, &is))
            continue;
        if (was_up || !up || is.dns)
            continue;
        route_link_name(&is, SPAN(""), link);
        (void)!store_link_ok(w->store, span_cstr(link));
    }
}

static void follow(struct link *link, const struct route_table *old)
{
    struct route was, is;
    bool was_up, up;

    if (link->kind == LINK_SMTP && link->connector != NULL) {
        struct span name = span_cstr(link->connector->name);

        if (!route_connector(link->w->set->routes, name, &up, &is) ||
            !route_connector(old, name, &was_up, &was))
            return;
        link_set_targets(link, &is);
        if (up && !was_up)
            link_try_now(link, "its failures were forgotten");
    }
    let_dues_go(link);
    let_parcels_go(link);
    link_wake(link);
}

void reroute(struct worker *w, struct route_table *old)
{
    revive(w, old);
    for (struct link *link = w->links; link != NULL; link = link->next)
        if (!link->stale)
            follow(link, old);
    let_kept_go(w, true);
    scan(w, old);
}

/* --- The table --------------------------------------------------------------------------------------- */

static void refused(const struct routing_table *t, const char *why)
{
    struct log_scratch scratch;

    log_error("worker.routes", "version=%" PRIu64 " applied=no text=%s", t->version,
              log_text(&scratch, span_cstr(why)));
}

static void on_table(void *arg, const struct routing_table *t)
{
    struct worker *w = arg;
    struct route_table *routes = NULL, *old = w->set->routes;
    struct buf published;
    struct errctx ec = {""};

    if (w->stopping || (t->version == 0 && w->published.len == 0))
        return;
    buf_init(&published, ROUTING_TABLE_MAX);
    if (buf_add(&published, t->bytes) != ERR_OK) {
        refused(t, "out of memory");
        return;
    }
    if (route_table_published(w->set->conf, t->bytes, &routes, &ec) != ERR_OK) {
        refused(t, ec.msg);
        buf_done(&published);
        return;
    }
    buf_done(&w->published);
    w->published = published;
    w->set->routes = routes;
    metric_inc(&w->m.tables);
    log_info("worker.routes", "version=%" PRIu64 " applied=yes", t->version);
    reroute(w, old);
    route_table_unref(old);
}

void reroute_start(struct worker *w)
{
    if (w->routing == NULL)
        return;
    routing_present(w->routing, w->member, worker_lease(w));
    routing_watch(w->routing, on_table, w);
}

void reroute_stop(struct worker *w)
{
    if (w->routing != NULL)
        routing_watch(w->routing, NULL, NULL);
    forget(w);
    let_kept_go(w, false);
    buf_done(&w->published);
}
