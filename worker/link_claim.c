/* worker/link_claim.c — due queues of a link, and the claims taken from them (L1, L2). */
#include "common/log.h"
#include "worker/core.h"

enum {
    FAST_TRANSACTION_MS = 100,
    SETTLING_MAX = 64,
    SWEEP_HOLD_MIN_MS = 100,
    NO_LINK_DELAY_MS = 1000,
    LEFT_MIN_MS = 200,
    LEFT_MAX_MS = 30000
};

/* --- Due queues ------------------------------------------------------------------------------------- */

static size_t due_bucket(unsigned partition, struct span domain, uint32_t klass)
{
    uint32_t h = UINT32_C(2166136261) ^ partition * 31 ^ klass * 131;

    for (size_t i = 0; i < domain.len; i++)
        h = (h ^ (uint8_t)domain.ptr[i]) * UINT32_C(16777619);
    return h % DUE_BUCKETS;
}

static struct due **due_at(struct worker *w, unsigned partition, struct span domain, uint32_t klass)
{
    struct due **at = &w->dues[due_bucket(partition, domain, klass)];

    while (*at != NULL && ((*at)->partition != partition || (*at)->klass != klass ||
                           !span_eq(span_of((*at)->domain, (*at)->domain_len), domain)))
        at = &(*at)->next_hash;
    return at;
}

static struct span due_domain(const struct due *d)
{
    return span_of(d->domain, d->domain_len);
}

static void ring_add(struct link *link, struct due *d)
{
    if (link->due == NULL) {
        d->next = d->prev = d;
        link->due = d;
    } else { /* last in turn */
        d->next = link->due;
        d->prev = link->due->prev;
        d->prev->next = d;
        d->next->prev = d;
    }
    link->ndue++;
}

static void ring_remove(struct due *d)
{
    struct link *link = d->link;

    if (link->due == d)
        link->due = d->next == d ? NULL : d->next;
    d->prev->next = d->next;
    d->next->prev = d->prev;
    link->ndue--;
}

struct due *due_find(struct worker *w, unsigned partition, struct span domain, uint32_t klass)
{
    return *due_at(w, partition, domain, klass);
}

void link_add_due(struct link *link, unsigned partition, const struct dmq *q)
{
    struct worker *w = link->w;
    struct due **at = due_at(w, partition, q->domain, q->klass), *d = *at;

    if (d == NULL) {
        if (w->ndues >= DUE_MAX)
            return; /* found again with a later look */
        d = calloc(1, sizeof *d + q->domain.len);
        if (d == NULL)
            return;
        *d = (struct due){
            .link = link, .partition = partition, .klass = q->klass, .domain_len = q->domain.len};
        memcpy(d->domain, q->domain.ptr, q->domain.len);
        d->next_hash = *at;
        *at = d;
        w->ndues++;
        ring_add(link, d);
        link->fed = true;
    }
    d->depth = q->depth > 0 ? q->depth : 1;
    link_wake(d->link);
}

void due_drop(struct due *d)
{
    struct worker *w = d->link->w;

    if (d->claiming) {
        d->dropped = true;
        return;
    }
    *due_at(w, d->partition, due_domain(d), d->klass) = d->next_hash;
    w->ndues--;
    ring_remove(d);
    free(d);
}

static void hide(struct due *d, ms_t delay_ms, uint64_t token)
{
    struct worker *w = d->link->w;

    (void)!store_hold(w->store, d->partition, due_domain(d), d->klass, delay_ms, token);
    due_drop(d);
}

void link_hide_dues(struct link *link, ms_t delay_ms)
{
    const struct due *d = link->due;

    for (size_t i = 0; i < link->ndue; i++, d = d->next)
        (void)!store_hold(link->w->store, d->partition, due_domain(d), d->klass, delay_ms, 0);
}

/* --- Pending parcels -------------------------------------------------------------------------------- */

static void pend(struct link *link, struct parcel *p)
{
    p->next = NULL;
    *link->pending_tail = p;
    link->pending_tail = &p->next;
    link->npending++;
    link_wake(link);
}

struct parcel *link_next_parcel(struct link *link)
{
    struct parcel *p = link->pending;

    if (p == NULL)
        return NULL;
    link->pending = p->next;
    if (link->pending == NULL)
        link->pending_tail = &link->pending;
    link->npending--;
    p->next = NULL;
    return p;
}

/* An operator's wish goes before every try. */
static void return_by_wish(struct link *link, struct claim *c)
{
    struct parcel *p = parcel_new(link, c);
    struct attempt_result r = {
        .verdict = {.action = VERDICT_BOUNCE, .scope = VERDICT_MESSAGE, .status = "5.7.0"},
        .step = STEP_ROUTE,
        .text = c->reason.len > 0 ? c->reason : SPAN("returned by the operator of this system"),
    };

    if (p == NULL)
        return;
    attempt_record_all(&p->attempt, &r);
    parcel_settle(p);
}

static uint32_t class_of_claim(const struct worker *w, const struct claim *c)
{
    struct route_message m = {.size_bytes = c->body.size_bytes,
                              .priority = c->env.priority,
                              .system = c->env.system,
                              .sender = c->env.sender,
                              .in_transit = c->env.visited.len > 0};
    return route_class(w->set->routes, &m);
}

/* The same for all jobs and tries of a message. */
static uint64_t share_of(const struct worker *w, const struct msgid *id)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    if (!w->set->root->routing_group.spread)
        return 0;
    for (const char *c = id->id; *c != '\0'; c++)
        h = (h ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    return h | 1;
}

void route_of_claim(const struct worker *w, const struct claim *c, struct route *ret)
{
    struct trace trace;
    bool traced = c->env.visited.len > 0 && trace_parse(c->env.visited, &trace) == ERR_OK;

    route_lookup_message(w->set->routes, c->job.domain, class_of_claim(w, c), traced ? &trace : NULL,
                         share_of(w, &c->id), ret);
}

/* The queue was routed by the class it was named after; the message is routed by what it is now, so a
 * changed restriction never misroutes it. anew: the way of the queue itself is another one by now.
 * NULL: only other workers send over its connector (*ret_others), too many next hops at a time, or no memory.
 */
static struct link *link_of_message(struct link *link, const struct claim *c, bool anew, bool *ret_others)
{
    struct worker *w = link->w;
    struct route route;
    struct link *other;

    *ret_others = false;
    if (link->stale || (!anew && class_of_claim(w, c) == c->job.klass &&
                        !w->set->root->routing_group.spread && c->env.visited.len == 0))
        return link;
    route_of_claim(w, c, &route);
    *ret_others = !route_from_member(&route, span_cstr(w->member));
    if (*ret_others)
        return NULL;
    other = links_get(w, &route, c->job.domain);
    if (route.kind == ROUTE_UNREACHABLE ? anew || link->kind != LINK_UNREACHABLE
                                        : other != link && c->env.visited.len > 0)
        reroute_keep(w, c);
    return other;
}

/* For another worker, which looks for it no less often than this one. Until it comes, longer and longer. */
static void leave_to_others(struct link *link, struct claim *c)
{
    ms_t since = c->env.arrival_ms, age = c->now_ms > since ? c->now_ms - since : 0, delay = age / 4;

    if (delay < LEFT_MIN_MS)
        delay = LEFT_MIN_MS;
    metric_inc(&link->w->m.not_source);
    (void)!store_release(link->w->store, c, delay < LEFT_MAX_MS ? delay : LEFT_MAX_MS);
}

void link_take(struct link *link, struct claim *c, bool anew)
{
    struct link *to;
    struct parcel *p;
    bool others;

    if (c->bounce) {
        return_by_wish(link, c);
        return;
    }
    to = link_of_message(link, c, anew, &others);
    if (to == NULL) { /* rather later than by a way that is not its own */
        if (others)
            leave_to_others(link, c);
        else
            (void)!store_release(link->w->store, c, NO_LINK_DELAY_MS);
        return;
    }
    p = parcel_new(to, c);
    if (p != NULL && p->attempt.nopen == 0)
        parcel_settle(p); /* only a report is left to be made: no server is needed for that */
    else if (p != NULL)
        pend(p->link, p);
}

/* --- Claiming --------------------------------------------------------------------------------------- */

struct claiming {
    struct due *due;
    uint64_t epoch; /* incarnation that asked: the claims are its own */
    unsigned max;
};

/* L2: settles what is too old or due for a notice; the others go back, due when the link is tried again. */
static void sweep(struct link *link, struct claim *const *claims, size_t n, bool anew)
{
    for (size_t i = 0; i < n; i++)
        link_take(link, claims[i], anew);
    while (link->npending > 0) {
        struct parcel *p = link_next_parcel(link);

        attempt_exhausted(&p->attempt);
        parcel_settle(p);
    }
}

/* The claims belong to an incarnation whose lease is gone: somebody else has them, or will. */
static void claimed_stale(struct due *d, struct claim *const *claims, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)!store_release(d->link->w->store, claims[i], 0);
    due_drop(d);
}

static void claimed(struct due *d, struct claim *const *claims, size_t n, bool more)
{
    for (size_t i = 0; i < n; i++)
        link_take(d->link, claims[i], d->dropped);
    d->depth = d->depth > n ? d->depth - n : 1;
    if (!more || d->dropped)
        due_drop(d);
}

/* Whether somebody has wanted the queue tried, or roused it, since the link is held. How long the answer took
 * counts for the wish: at worst a link is tried once in vain. */
static bool woken(const struct link *link, const struct claim *c)
{
    ms_t now = loop_now(link->w->loop), ago = c->now_ms > c->woken_ms ? c->now_ms - c->woken_ms : 0;

    return c->woken_ms > 0 && link->kind != LINK_UNREACHABLE && ms_after(link->since_ms, ago) <= now;
}

/* The order of a queue tells nothing about age: now and then all of it is looked at. */
static void claimed_held(struct due *d, struct claim *const *claims, size_t n, bool more)
{
    ms_t delay;

    if (n > 0 && !d->dropped && woken(d->link, claims[0])) {
        link_try_now(d->link, "its mail was woken");
        claimed(d, claims, n, more);
        return;
    }
    if (n > 0)
        d->seen = claims[0]->token;
    sweep(d->link, claims, n, d->dropped);
    delay = link_delay(d->link);
    if (d->dropped || d->seen == 0)
        due_drop(d);
    else if (!more || !d->link->sweep_all) /* hidden, it is found when its way changes (reroute.c) */
        hide(d, delay < SWEEP_HOLD_MIN_MS ? SWEEP_HOLD_MIN_MS : delay, d->seen);
}

static bool worth_a_line(enum err e)
{
    return e != ERR_OK && e != ERR_CANCELED && e != ERR_STALE && e != ERR_AGAIN;
}

static void on_claim(void *arg, enum err e, struct claim *const *claims, size_t n)
{
    struct claiming *c = arg;
    struct due *d = c->due;
    struct link *link = d->link;
    bool more;

    if (e != ERR_OK)
        n = 0;
    more = n > 0 && n >= c->max;
    link->requests--;
    link->claiming -= c->max;
    d->claiming = false;
    if (worth_a_line(e))
        log_warn("queue.claim", "link='%s' partition=%u err=%s", link->name, d->partition, err_name(e));
    if (c->epoch != link->w->epoch)
        claimed_stale(d, claims, n);
    else if (e == ERR_OK && link->phase == LINK_HELD)
        claimed_held(d, claims, n, more);
    else
        claimed(d, claims, n, more);
    free(c);
    link_wake(link);
}

static bool claim_from(struct link *link, unsigned max)
{
    struct claiming *c;
    struct due *d = link->due;

    for (size_t i = 0; i < link->ndue && d->claiming; i++)
        d = d->next;
    if (d == NULL || d->claiming)
        return false;
    link->due = d->next; /* everyone in turn */
    c = malloc(sizeof *c);
    if (c == NULL)
        return false;
    *c = (struct claiming){.due = d, .epoch = link->w->epoch, .max = max};
    if (store_claim(link->w->store, d->partition, due_domain(d), d->klass, max, on_claim, c) != ERR_OK) {
        free(c);
        return false;
    }
    d->claiming = true;
    link->claiming += max;
    link->requests++;
    return true;
}

/* How many jobs should be at hand for the lanes there are. A slow next hop gets only what can be sent
 * now, so that what waits stays with everybody; a fast one has the next batch before it asks. */
static unsigned wanted(const struct link *link, unsigned batch)
{
    unsigned want = link->nidle;

    if (link->transaction_ms / 8 < FAST_TRANSACTION_MS && link->nidle + link->nsending > 0) {
        unsigned ahead = batch / 2 + link->nsending * 2;

        want += ahead < CLAIMS_AHEAD * batch ? ahead : CLAIMS_AHEAD * batch;
    }
    return want;
}

static void claim_for_lanes(struct link *link, unsigned batch)
{
    unsigned want = wanted(link, batch);

    while (link->w->nparcels < CLAIMS_MAX && link->npending + link->claiming < want) {
        unsigned gap = want - link->npending - link->claiming;
        bool fast = link->transaction_ms / 8 < FAST_TRANSACTION_MS;

        if (!claim_from(link, fast || gap > batch ? batch : gap))
            break;
    }
}

void link_claim(struct link *link)
{
    unsigned batch = (unsigned)link->set->root->worker.claim_batch;

    if (link->ndue == 0 || link->stale || link->w->draining || !worker_may_claim(link->w))
        return;
    if (link->phase == LINK_OPEN)
        claim_for_lanes(link, batch);
    else if (link->claiming == 0 && link->nparcels < SETTLING_MAX && link->w->nparcels < CLAIMS_MAX)
        (void)claim_from(link, batch);
}
