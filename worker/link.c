/* worker/link.c — the phases of a link (drawn in worker/core.h) and its turn. */
#include "common/log.h"
#include "queue/retry.h"
#include "worker/core.h"

enum { UNREACHABLE_MS = 30000, ASK_AGAIN_MS = 1000 };

static const char *const phase_names[] = {"asking", "open", "held", "returning"};

void link_wake(struct link *link)
{
    deferred_arm(link->w->loop, &link->turn);
}

/* How much of its queues a hold looks at: all of them now and then is enough for limits of hours, and a retry
 * after seconds may have to touch a million jobs. */
static void plan_sweep(struct link *link)
{
    ms_t now = loop_now(link->w->loop);

    link->sweep_all = now >= link->sweep_ms;
    if (link->sweep_all)
        link->sweep_ms = ms_after(now, SWEEP_EVERY_MS);
}

void link_enter(struct link *link, enum link_phase next)
{
    if (link->phase == next || link->w->stopping)
        return;
    if (link->phase == LINK_HELD)
        metric_dec(&link->w->m.links_held);
    if (next == LINK_HELD) {
        metric_inc(&link->w->m.links_held);
        link->since_ms = loop_now(link->w->loop);
        plan_sweep(link);
    }
    log_debug("link.phase", "link='%s' from=%s to=%s", link->name, phase_names[link->phase],
              phase_names[next]);
    link->phase = next;
    link_wake(link);
}

ms_t link_delay(struct link *link)
{
    ms_t now = loop_now(link->w->loop);

    if (link->phase == LINK_HELD)
        return link->until_ms > now ? link->until_ms - now : 0;
    return retry_delay(&link->set->root->delivery.retry, link->failures + 1, &link->w->rng);
}

/* --- Backoff --------------------------------------------------------------------------------------- */

static void set_error(struct link *link, const char *why)
{
    (void)snprintf(link->error, sizeof link->error, "%s", why);
}

void link_fail(struct link *link, const char *why)
{
    struct log_scratch scratch;
    ms_t delay;

    if (link->phase == LINK_HELD)
        return;
    link->failures++;
    delay = retry_delay(&link->set->root->delivery.retry, link->failures, &link->w->rng);
    set_error(link, why);
    link->until_ms = ms_after(loop_now(link->w->loop), delay);
    metric_inc(&link->w->m.link_failures);
    log_warn("link.failed", "link='%s' failures=%u next_try_ms=%llu text=%s", link->name,
             (unsigned)link->failures, (unsigned long long)delay, log_text(&scratch, span_cstr(why)));
    if (store_link_failed(link->w->store, span_cstr(link->name), link->failures, delay,
                          span_cstr(link->error)) != ERR_OK)
        log_warn("link.state", "link='%s' text='the failure could not be shared with other workers'",
                 link->name);
    link_doubt_plan(link); /* another look at the names with the next try */
    link_enter(link, LINK_HELD);
}

void link_return(struct link *link, const struct verdict *v, enum failure failure, uint16_t code,
                 const char *why, ms_t ttl_ms)
{
    struct log_scratch scratch;

    link->verdict = *v;
    link->failure = failure;
    link->code = code;
    set_error(link, why);
    link->until_ms = ms_after(loop_now(link->w->loop), ttl_ms);
    log_info("link.returns", "link='%s' dsn=%s text=%s", link->name, v->status,
             log_text(&scratch, span_cstr(why)));
    link_enter(link, LINK_RETURNING);
}

void link_works(struct link *link)
{
    if (link->failures == 0)
        return;
    link->failures = 0;
    link->error[0] = '\0';
    log_info("link.works", "link='%s'", link->name);
    (void)!store_link_ok(link->w->store, span_cstr(link->name));
}

/* --- Asking ---------------------------------------------------------------------------------------- */

/* HELD, and others know better: an operator made the store forget or wants its mail tried, or another worker
 * got through. */
void link_try_now(struct link *link, const char *why)
{
    if (link->phase != LINK_HELD)
        return;
    link->failures = 0;
    link->error[0] = '\0';
    log_info("link.retry", "link='%s' text='%s: tried at once'", link->name, why);
    link_enter(link, LINK_OPEN);
}

/* What others found out holds here too, and as long: a wish after their first failure is news. */
static void hold_like_others(struct link *link, const struct link_state *ls, ms_t now_ms)
{
    ms_t now = loop_now(link->w->loop), ago = now_ms - ls->since_ms;

    link->until_ms = ms_after(now, ls->until_ms - now_ms);
    link_enter(link, LINK_HELD);
    if (ls->since_ms > 0 && ls->since_ms <= now_ms)
        link->since_ms = ago < now ? now - ago : 0;
}

static void on_link_state(void *arg, enum err e, const struct link_state *ls, ms_t now_ms)
{
    struct link *link = arg;

    link->requests--;
    link->asked = false;
    if (link->phase == LINK_HELD && e == ERR_OK && ls->failures == 0)
        link_try_now(link, "its failures were forgotten"); /* or another worker got through */
    if (link->phase != LINK_ASKING) {
        link_wake(link);
        return;
    }
    if (e == ERR_CANCELED)
        return;
    if (e != ERR_OK) { /* the store is not well: look again soon, try nothing meanwhile */
        link->until_ms = ms_after(loop_now(link->w->loop), ASK_AGAIN_MS);
        link_enter(link, LINK_HELD);
        return;
    }
    link->failures = ls->failures;
    if (ls->failures > 0)
        (void)snprintf(link->error, sizeof link->error, SPAN_FMT, SPAN_ARG(span_first(ls->last_error, 200)));
    if (ls->until_ms > now_ms) {
        hold_like_others(link, ls, now_ms);
        return;
    }
    link_enter(link, LINK_OPEN);
}

static void ask(struct link *link)
{
    if (link->asked)
        return;
    if (store_link_get(link->w->store, span_cstr(link->name), on_link_state, link) != ERR_OK)
        return; /* the next tick asks again */
    link->asked = true;
    link->fed = false;
    link->requests++;
}

/* --- The turn -------------------------------------------------------------------------------------- */

static void reap_lanes(struct link *link)
{
    struct lane **at = &link->lanes;

    while (*at != NULL) {
        struct lane *lane = *at;

        if (lane->state != LANE_ENDED) {
            at = &lane->next;
            continue;
        }
        *at = lane->next;
        if (lane->slot)
            link->spare++;
        lane->ops->free(lane);
        link->nleaving--;
        link->nlanes--;
        link->w->nlanes--;
        metric_dec(&link->w->m.connections_now);
    }
}

/* Nobody delivers them now: the old ones are settled, the others go back. */
static void settle_pending(struct link *link, const struct attempt_result *result)
{
    struct parcel *p;

    while ((p = link_next_parcel(link)) != NULL) {
        if (result != NULL)
            attempt_record_all(&p->attempt, result);
        attempt_exhausted(&p->attempt);
        parcel_settle(p);
    }
}

static void give_parcels(struct link *link)
{
    for (struct lane *lane = link->lanes; lane != NULL && link->npending > 0; lane = lane->next) {
        if (lane->state != LANE_IDLE || !lane_may_send(lane))
            continue;
        lane_enter(lane, LANE_SENDING);
        lane->parcel = link_next_parcel(link);
        lane->sent_at_ms = loop_now(link->w->loop);
        lane->ops->give(lane);
    }
}

/* Idle connections are kept for a moment; not while somebody else waits for a slot. */
static void quit_idle(struct link *link)
{
    ms_t now = loop_now(link->w->loop), keep = link->set->root->delivery.idle_timeout_ms;
    bool leave = link->stale || link->w->draining || link->phase != LINK_OPEN || link->w->starving != NULL;

    for (struct lane *lane = link->lanes; lane != NULL; lane = lane->next)
        if (lane->state == LANE_IDLE && (leave || ms_after(lane->idle_since_ms, keep) <= now)) {
            lane_enter(lane, LANE_QUITTING);
            lane->ops->quit(lane);
        }
}

static void turn_returning(struct link *link)
{
    struct attempt_result r = {.verdict = link->verdict,
                               .step = STEP_ROUTE,
                               .failure = link->failure,
                               .code = link->code,
                               .text = span_cstr(link->error)};

    settle_pending(link, &r);
    link_claim(link);
}

static void turn_held(struct link *link)
{
    settle_pending(link, NULL);
    if (link->fed &&
        (link->kind == LINK_SMTP || link->kind == LINK_LMTP)) /* what the others share a state of */
        ask(link);                                            /* answered before the claims below */
    if (link->kind == LINK_UNREACHABLE && link->until_ms <= loop_now(link->w->loop)) {
        link->until_ms = ms_after(loop_now(link->w->loop), UNREACHABLE_MS); /* queues are routed anew */
        plan_sweep(link);
    }
    if (link->until_ms > loop_now(link->w->loop))
        link_claim(link);
    else
        link_enter(link, link->failures > 0 ? LINK_OPEN : LINK_ASKING);
}

static void turn_open(struct link *link)
{
    if (link->kind == LINK_SMTP || link->kind == LINK_LMTP)
        link_look_up(link);
    give_parcels(link);
    link_claim(link);
    link_grow(link);
}

static void take_turn(struct link *link)
{
    if (link->phase != LINK_OPEN || link->ndue == 0 || link->nlanes > 0)
        link_fed(link);
    if (link->ndue + link->nparcels > 0)
        link->busy_ms = loop_now(link->w->loop);
    else if (link->nlanes == 0)
        link->proven = 0; /* long ago */
    if (link->stale || link->w->draining || !worker_may_claim(link->w)) {
        settle_pending(link, NULL);
        quit_idle(link);
        return;
    }
    switch (link->phase) {
    case LINK_ASKING:
        if (link->ndue + link->nparcels > 0)
            ask(link);
        break;
    case LINK_OPEN:
        turn_open(link);
        break;
    case LINK_HELD:
        turn_held(link);
        break;
    case LINK_RETURNING:
        if (link->until_ms > loop_now(link->w->loop))
            turn_returning(link);
        else if (link->kind == LINK_NOROUTE)
            link->until_ms = UINT64_MAX;
        else
            link_enter(link, LINK_ASKING);
        break;
    }
    quit_idle(link);
}

static void turn(void *arg)
{
    struct link *link = arg;

    reap_lanes(link);
    take_turn(link);
    link_slots_over(link);
}

/* --- Making ---------------------------------------------------------------------------------------- */

static void no_route(struct link *link)
{
    struct verdict_input in = {.step = STEP_ROUTE, .failure = FAILURE_NO_ROUTE, .enhanced = ""};
    struct verdict v = verdict_of(&in);

    link_return(link, &v, FAILURE_NO_ROUTE, 0, failure_text(FAILURE_NO_ROUTE), UNREACHABLE_MS);
}

static void set_local(struct link *link, const struct conf_local_domain *local)
{
    struct errctx ec = {""};

    link->kind = LINK_MAILDIR;
    if (deliver_parse(span_cstr(local->deliver), &link->deliver, &ec) != ERR_OK) {
        link_fail(link, ec.msg);
        return;
    }
    if (link->deliver.kind == DELIVER_MAILDIR) {
        link_enter(link, LINK_OPEN); /* nothing is shared about a maildir that fails */
        return;
    }
    link->kind = LINK_LMTP;
    link->tls = CONF_TLS_NONE;
    if (link->deliver.kind == DELIVER_LMTP_UNIX) {
        link->spec = (struct targets_spec){.kind = TARGETS_UNIX, .unix_path = link->deliver.where};
        return;
    }
    (void)snprintf(link->lmtp_text, sizeof link->lmtp_text, SPAN_FMT, SPAN_ARG(link->deliver.where));
    link->lmtp_host[0] = link->lmtp_text;
    link->spec =
        (struct targets_spec){.kind = TARGETS_NAMED, .named = link->lmtp_host, .nnamed = 1, .port = 24};
}

void link_set_targets(struct link *link, const struct route *route)
{
    size_t n = route->ntargets < TARGETS_HOSTS_MAX ? route->ntargets : TARGETS_HOSTS_MAX;
    size_t equal = link->set->root->routing_group.spread ? route->ntargets_up : 0;
    bool same = link->spec.nnamed == n && link->spec.nequal == equal;

    for (size_t i = 0; i < n; i++) {
        same = same && strcmp(link->named[i], route->targets[i]) == 0;
        link->named[i] = route->targets[i];
    }
    link->spec.named = link->named;
    link->spec.nnamed = n;
    link->spec.nequal = equal;
    if (same)
        return;
    link_drop_plan(link); /* asked for the old order */
}

static void set_next_hop(struct link *link, const struct route *route)
{
    const struct conf_delivery *d = &link->set->root->delivery;
    const struct conf_connector *c = route->connector;

    link->kind = LINK_SMTP;
    link->tls =
        c->tls == CONF_CTLS_DEFAULT ? (enum conf_delivery_tls)d->tls : (enum conf_delivery_tls)(c->tls - 1);
    if (c->messages_per_connection > 0)
        link->messages_per_connection = (unsigned)c->messages_per_connection;
    link->spec = (struct targets_spec){
        .kind = route->dns ? TARGETS_DNS : TARGETS_NAMED,
        .domain = span_cstr(link->domain),
        .port = (uint16_t)(c->port != 0 ? c->port : d->port),
        .self = link->set->self,
        .nself = link->set->nself,
    };
    link_set_targets(link, route);
}

void link_set_kind(struct link *link, const struct route *route, struct span domain)
{
    deferred_init(&link->turn, turn, link);
    link->pending_tail = &link->pending;
    link->transaction_ms = 800; /* in eighths: 100 ms until something is known */
    link->messages_per_connection = (unsigned)link->set->root->delivery.messages_per_connection;
    link->stagger = (unsigned)rng_next(&link->w->rng);
    (void)snprintf(link->domain, sizeof link->domain, SPAN_FMT, SPAN_ARG(domain));
    switch (route->kind) {
    case ROUTE_LOCAL:
        set_local(link, route->local);
        break;
    case ROUTE_NEXT_HOP:
        set_next_hop(link, route);
        break;
    case ROUTE_UNREACHABLE:
        link->kind = LINK_UNREACHABLE;
        set_error(link, failure_text(FAILURE_UNREACHABLE));
        link->until_ms = ms_after(loop_now(link->w->loop), UNREACHABLE_MS);
        link_enter(link, LINK_HELD);
        break;
    case ROUTE_NONE:
        link->kind = LINK_NOROUTE;
        no_route(link);
        break;
    }
}
