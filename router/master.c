#include "common/clock.h"
#include "common/log.h"
#include "queue/member.h"
#include "router/core.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RENEW_PART = 5, LOOK_PART = 4, LOOK_MIN_MS = 20, LOOK_MAX_MS = 1000, INFO_MAX = 257 };

static const char *const state_names[] = {"standby", "loading", "master"};

/* The only writer of r->state. */
static void enter(struct router *r, enum router_state next, const char *why)
{
    struct log_scratch scratch;
    if (r->state == next)
        return;
    log_info("router.state", "from=%s to=%s why=%s", state_names[r->state], state_names[next],
             log_text(&scratch, span_cstr(why)));
    r->state = next;
    metric_set(&r->m.master, next == ROUTER_MASTER);
}

static ms_t lease_ms(const struct router *r)
{
    return r->root->router.lease_ms;
}

/* Counted from when it was asked for, and a tenth short: over here before it is over in Redis. */
static void lease_granted(struct router *r, ms_t asked_ms)
{
    r->lease_until_ms = ms_after(asked_ms, lease_ms(r) - lease_ms(r) / 10);
}

/* --- Stepping down ---------------------------------------------------------------------------------- */

void router_step_down(struct router *r, const char *why)
{
    if (r->state == ROUTER_STANDBY)
        return;
    metric_inc(&r->m.deposed);
    enter(r, ROUTER_STANDBY, why);
    deferred_arm(r->loop, &r->depose);
}

static void on_depose(void *arg)
{
    struct router *r = arg;
    if (r->state != ROUTER_STANDBY)
        return;
    watcher_stop(r);
    table_left(r);
    speaker_stop(r);
    r->lease_until_ms = 0;
    if (!r->draining)
        timer_set(r->lease, LOOK_MIN_MS);
}

bool router_may_act(struct router *r)
{
    if (r->state == ROUTER_STANDBY)
        return false;
    if (loop_now(r->loop) < r->lease_until_ms)
        return true;
    router_step_down(r, "the lease could not be renewed in time");
    return false;
}

void router_refused(struct router *r, enum err e, const char *what, const char *why)
{
    struct log_scratch scratch;
    if (e == ERR_CANCELED || r->state == ROUTER_STANDBY)
        return;
    log_warn("router.redis", "what=%s error=%s text=%s", what, err_name(e),
             log_text(&scratch, span_cstr(why)));
    if (e == ERR_STALE)
        router_step_down(r, "another router is master");
}

/* --- Renewing --------------------------------------------------------------------------------------- */

static void on_renewed(void *arg, enum err e, const char *why)
{
    struct router *r = arg;
    r->renewing = false;
    if (r->state == ROUTER_STANDBY)
        return;
    if (e == ERR_OK)
        lease_granted(r, r->asked_ms);
    else
        router_refused(r, e, "renew", why);
}

/* What `bridgehead status` shows of this router. */
static struct span info_of(const struct router *r, char out[INFO_MAX])
{
    struct buf text;
    struct member_facts f = {.role = SPAN("router"),
                             .host = span_cstr(r->name),
                             .version = SPAN(BRIDGEHEAD_VERSION),
                             .pid = (uint64_t)getpid(),
                             .since_ms = r->started_ms,
                             .total = metric_get(&r->m.received),
                             .open = metric_get(&r->m.adjacencies)};
    buf_init(&text, INFO_MAX);
    (void)!member_write(&f, &text); /* what does not fit is left out */
    (void)snprintf(out, INFO_MAX, SPAN_FMT, SPAN_ARG(buf_span(&text)));
    buf_done(&text);
    return span_cstr(out);
}

static void renew(struct router *r)
{
    if (!router_may_act(r))
        return;
    timer_set(r->lease, lease_ms(r) / RENEW_PART);
    if (r->renewing)
        return;
    r->asked_ms = loop_now(r->loop);
    char info[INFO_MAX];
    r->renewing = routing_renew(r->routing, &r->seat, lease_ms(r), info_of(r, info), on_renewed, r) == ERR_OK;
}

/* --- Taking over ------------------------------------------------------------------------------------ */

void master_loaded(struct router *r, struct lsdb *table)
{
    struct errctx ec = {""};
    struct log_scratch scratch;
    enum err e = speaker_start(r, table, &ec);
    if (e != ERR_OK) {
        log_error("router.start", "error=%s text=%s", err_name(e), log_text(&scratch, span_cstr(ec.msg)));
        router_step_down(r, "it cannot start");
        return;
    }
    enter(r, ROUTER_MASTER, "the lease is ours");
    metric_inc(&r->m.takeovers);
    bool configured_anew = strcmp(r->config_digest, r->left_digest) != 0;
    history_say(r, "MASTER", span_cstr(r->root->routing_group.name), SPAN(""), ls_own_version(r->ls),
                r->name);
    speaker_originate(r, configured_anew ? LS_LEVEL_MAJOR : LS_LEVEL_USER);
    for (const char *what = "rwq"; *what != '\0'; what++)
        watcher_say(r, *what);
}

static bool on_left_link(void *arg, const struct routing_link *k)
{
    struct router *r = arg;
    health_restore(r->health, k, loop_now(r->loop), router_wall(r));
    return true;
}

static void on_left(void *arg, enum err e, const struct routing_left *left, const char *why)
{
    struct router *r = arg;
    if (r->state != ROUTER_LOADING || !router_may_act(r))
        return;
    if (e != ERR_OK) {
        router_refused(r, e, "load", why);
        router_step_down(r, "what the master before left cannot be read");
        return;
    }
    r->left = (struct ls_version){0, 0, 0, 0};
    if (left->version.len > 0 && !version_parse(left->version, &r->left))
        log_error("router.version", "text='the persisted version is damaged; neighbours will tell'");
    (void)snprintf(r->left_digest, sizeof r->left_digest, SPAN_FMT,
                   SPAN_ARG(span_first(left->config, sizeof r->left_digest - 1)));
    if (table_load(r) != ERR_OK)
        router_step_down(r, "out of memory");
}

static void take_over(struct router *r, const struct routing_lease *lease)
{
    table_halt(r);
    r->seat.token = lease->token;
    r->wall_base_ms = lease->since_ms; /* Redis's clock: it is ours since now */
    r->wall_base_mono_ms = loop_now(r->loop);
    lease_granted(r, r->asked_ms);
    enter(r, ROUTER_LOADING, "nobody else has the lease");
    timer_set(r->lease, lease_ms(r) / RENEW_PART);
    if (watcher_start(r) != ERR_OK || routing_load(r->routing, &r->seat, on_left_link, on_left, r) != ERR_OK)
        router_step_down(r, "out of memory");
}

static void on_lease(void *arg, enum err e, const struct routing_lease *lease, const char *why)
{
    struct router *r = arg;
    r->asking = false;
    if (r->draining || r->state != ROUTER_STANDBY || e == ERR_CANCELED)
        return;
    if (e != ERR_OK) {
        (void)snprintf(r->why, sizeof r->why, "%s", why);
        timer_set(r->lease, LOOK_MAX_MS / 4);
        return;
    }
    r->why[0] = '\0';
    if (lease->token != 0) {
        take_over(r, lease);
        return;
    }
    /* Just after its end, if it is not renewed; and often enough to be seen as alive ourselves. */
    ms_t wait = lease->left_ms + LOOK_MIN_MS, most = lease_ms(r) / LOOK_PART;
    timer_set(r->lease, wait < most ? wait : most);
}

static void look(struct router *r)
{
    char info[INFO_MAX];
    if (r->asking || r->draining)
        return;
    if (r->save_busy || r->publish_busy) { /* what an earlier mastership asked is not answered yet */
        timer_set(r->lease, LOOK_MIN_MS);
        return;
    }
    r->asked_ms = loop_now(r->loop);
    r->asking = routing_take(r->routing, &r->seat, lease_ms(r), info_of(r, info), on_lease, r) == ERR_OK;
    if (!r->asking)
        timer_set(r->lease, LOOK_MAX_MS);
}

static void on_timer(void *arg)
{
    struct router *r = arg;
    if (r->state == ROUTER_STANDBY)
        look(r);
    else
        renew(r);
}

void router_say(void *arg, char what)
{
    struct router *r = arg;
    if (what == 'm' && r->state == ROUTER_STANDBY)
        look(r);
    else
        watcher_say(r, what);
}

/* --- Life ------------------------------------------------------------------------------------------- */

enum err master_start(struct router *r)
{
    deferred_init(&r->depose, on_depose, r);
    r->lease = timer_new(r->loop, on_timer, r);
    if (r->lease == NULL || table_start(r) != ERR_OK)
        return ERR_NOMEM;
    (void)snprintf(r->seat.router, sizeof r->seat.router, "%s-%08x", r->name,
                   (unsigned)(r->instance & 0xffffffffu));
    timer_set(r->lease, 0);
    routing_on_say(r->routing, router_say, r);
    return ERR_OK;
}

static void on_gone(void *arg, enum err e, const char *why)
{
    struct router *r = arg;
    (void)e, (void)why; /* else the lease ends by itself */
    r->drained = true;
}

void master_drain(struct router *r)
{
    r->draining = true;
    timer_cancel(r->lease);
    if (r->state != ROUTER_STANDBY) {
        enter(r, ROUTER_STANDBY, "stopping");
        deferred_arm(r->loop, &r->depose);
    }
    r->drained = routing_leave(r->routing, &r->seat, on_gone, r) != ERR_OK;
}

void master_reload(struct router *r, bool rebuild)
{
    struct errctx ec = {""};
    struct log_scratch scratch;
    if (r->state == ROUTER_STANDBY)
        return;
    if (r->state == ROUTER_LOADING) { /* begins anew with what is new */
        router_step_down(r, "the configuration changed");
        return;
    }
    if (watcher_configure(r) != ERR_OK) {
        router_step_down(r, "out of memory");
        return;
    }
    if (rebuild && speaker_rebuild(r, &ec) != ERR_OK) {
        log_error("router.start", "text=%s", log_text(&scratch, span_cstr(ec.msg)));
        router_step_down(r, "it cannot start");
        return;
    }
    speaker_configured(r);
}

void master_stop(struct router *r)
{
    deferred_disarm(&r->depose);
    watcher_stop(r);
    speaker_stop(r);
    table_stop(r);
    timer_free(r->lease);
    r->lease = NULL;
}
