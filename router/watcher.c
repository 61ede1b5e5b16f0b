#include "common/log.h"
#include "router/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WATCH_MS = 250, MEMBERS_MS = 1000, PEERS_MS = 1000, REPORTS_PAGE = 200, VERIFY_MS = 1000 };

static void on_watch(void *arg);

static bool acting(struct router *r)
{
    return r->state == ROUTER_MASTER && r->ls != NULL && router_may_act(r);
}

/* --- States of connectors ----------------------------------------------------------------------------- */

static void put_links(struct router *r)
{
    struct routing_target targets[64];
    struct routing_link k;
    while (r->state == ROUTER_MASTER &&
           health_changed(r->health, loop_now(r->loop), router_wall(r), &k, targets))
        if (routing_link_put(r->routing, &r->seat, &k, NULL, NULL) != ERR_OK)
            return;
}

static void health_moved(struct router *r, bool announce)
{
    if (announce)
        speaker_originate(r, LS_LEVEL_MINOR);
    put_links(r);
    metric_set(&r->m.connectors_down, health_down(r->health));
}

/* --- Reports ------------------------------------------------------------------------------------------ */

static void take_reports(struct router *r);

static void log_report(const struct routing_report *report, const char *by)
{
    struct log_scratch scratch;
    log_debug("router.report", "by=%s connector=" SPAN_FMT " ok=%d text=%s", by, SPAN_ARG(report->connector),
              report->ok, log_text(&scratch, report->text));
}

static bool on_report(void *arg, const struct routing_report *report)
{
    struct router *r = arg;
    metric_inc(&r->m.reports);
    log_report(report, "worker");
    if (acting(r))
        r->reports_moved =
            health_report(r->health, report, loop_now(r->loop), router_wall(r)) || r->reports_moved;
    r->nreports++;
    return true;
}

static void on_reports(void *arg, enum err e, const char *why)
{
    struct router *r = arg;
    bool again = r->reports_again || r->nreports >= REPORTS_PAGE;
    r->reports_busy = r->reports_again = false;
    if (e != ERR_OK) {
        router_refused(r, e, "reports", why);
        return;
    }
    if (!acting(r))
        return;
    if (r->nreports > 0)
        health_moved(r, r->reports_moved);
    r->reports_moved = false;
    r->nreports = 0;
    if (again)
        take_reports(r);
}

static void take_reports(struct router *r)
{
    r->reports_again = r->reports_busy;
    if (!r->reports_busy && acting(r))
        r->reports_busy = routing_reports_take(r->routing, &r->seat, on_report, on_reports, r) == ERR_OK;
}

/* --- Overrides ---------------------------------------------------------------------------------------- */

static void take_words(struct router *r);

static bool on_word(void *arg, const struct routing_word *w)
{
    struct router *r = arg;
    if (acting(r))
        health_word(r->health, w->connector, w->word, w->until_ms, w->by, w->reason);
    return true;
}

static void on_words(void *arg, enum err e, const char *why)
{
    struct router *r = arg;
    bool again = r->words_again;
    r->words_busy = r->words_again = false;
    if (e != ERR_OK) {
        router_refused(r, e, "overrides", why);
        return;
    }
    if (!acting(r))
        return;
    health_moved(r, health_words_end(r->health, router_wall(r)));
    if (again)
        take_words(r);
}

static void take_words(struct router *r)
{
    r->words_again = r->words_busy;
    if (r->words_busy || !acting(r))
        return;
    (void)health_words_begin(r->health);
    r->words_busy = routing_words(r->routing, on_word, on_words, r) == ERR_OK;
}

/* --- Questions ---------------------------------------------------------------------------------------- */

static void answer(struct router *r, struct span id, enum err code, struct span text)
{
    (void)!routing_answer_put(r->routing, &r->seat, id, code, text, NULL, NULL);
}

/* A line a neighbour, some time after all of them were asked where our tables differ. */
static void answer_verify(struct router *r)
{
    struct buf out;
    struct ls_sum own = ls_table(r->ls)->sum;
    buf_init(&out, 1 << 18);
    for (uint32_t i = 0; i < r->npeers; i++) {
        struct ls_peer_info info;
        bool known = ls_peer_info(r->ls, i, &info);
        bool open = known && (info.state == ADJ_SYNC || info.state == ADJ_FULL);
        /* Its last digest may be older than a refresh; FULL means that no difference lasted. */
        bool equal =
            open && info.differing[0] == '\0' && (info.state == ADJ_FULL || ls_sum_eq(info.sum, own));
        (void)!buf_addf(&out, "%s %s %s%s%s\n", r->root->routing_group.neighbours.items[i].group,
                        known ? adj_state_name(info.state) : "DOWN",
                        !open   ? "silent"
                        : equal ? "equal"
                                : "differs",
                        open && info.differing[0] != '\0' ? " " : "", open ? info.differing : "");
    }
    answer(r, span_cstr(r->verify_id), ERR_OK, buf_span(&out));
    r->verify_id[0] = '\0';
    buf_done(&out);
}

/* What was purged must stay away over a kill -9: who asked hears of it when the next router would know, too.
 */
static void purge(struct router *r, const struct routing_question *q)
{
    enum err e = r->purge_id[0] != '\0' ? ERR_AGAIN : speaker_purge(r, q->argument);
    if (e == ERR_OK)
        (void)snprintf(r->purge_id, sizeof r->purge_id, SPAN_FMT, SPAN_ARG(q->id));
    else
        answer(r, q->id, e,
               e == ERR_STATE   ? SPAN("that is this group itself")
               : e == ERR_AGAIN ? SPAN("another purge is under way: ask again")
                                : SPAN("there is no such group in the table"));
}

void watcher_published(struct router *r)
{
    if (r->purge_id[0] != '\0')
        answer(r, span_cstr(r->purge_id), ERR_OK, SPAN(""));
    r->purge_id[0] = '\0';
}

static void probe_connector(struct router *r, struct health_connector *c);

static bool on_question(void *arg, const struct routing_question *q)
{
    struct router *r = arg;
    struct health_connector *c;
    if (!acting(r))
        return false;
    switch (q->verb) {
    case ROUTING_PURGE:
        purge(r, q);
        break;
    case ROUTING_PROBE:
        c = health_find(r->health, q->argument);
        if (c != NULL)
            probe_connector(r, c);
        answer(r, q->id, c != NULL ? ERR_OK : ERR_NOTFOUND,
               c != NULL ? SPAN("") : SPAN("no such connector, or one that finds its targets by DNS"));
        break;
    case ROUTING_VERIFY:
        if (r->verify_id[0] != '\0') {
            answer(r, q->id, ERR_AGAIN, SPAN("another verification is under way: ask again"));
            break;
        }
        (void)snprintf(r->verify_id, sizeof r->verify_id, SPAN_FMT, SPAN_ARG(q->id));
        r->verify_ms = loop_now(r->loop);
        speaker_verify(r);
        break;
    }
    return true;
}

static void on_questions(void *arg, enum err e, const char *why)
{
    struct router *r = arg;
    r->questions_busy = false;
    if (e != ERR_OK)
        router_refused(r, e, "questions", why);
}

static void take_questions(struct router *r)
{
    if (!r->questions_busy && acting(r))
        r->questions_busy =
            routing_questions_take(r->routing, &r->seat, on_question, on_questions, r) == ERR_OK;
}

void watcher_say(struct router *r, char what)
{
    if (what == 'r')
        take_reports(r);
    else if (what == 'w')
        take_words(r);
    else if (what == 'q')
        take_questions(r);
}

/* --- Probes ------------------------------------------------------------------------------------------- */

static void probing_free(struct probing *p)
{
    *p->prev = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    p->r->nprobes--;
    free(p);
}

static bool connector_probed(const struct router *r, const char *connector)
{
    for (const struct probing *p = r->probes; p != NULL; p = p->next)
        if (strcmp(p->connector, connector) == 0)
            return false;
    return true;
}

static void on_probed(void *arg, struct probe *probe, bool ok, const char *why)
{
    struct probing *p = arg;
    struct router *r = p->r;
    char connector[ROUTING_NAME_MAX + 1];
    struct routing_report report = {.connector = span_cstr(p->connector),
                                    .target = span_cstr(p->target),
                                    .ok = ok,
                                    .text = span_cstr(why)};
    (void)probe;
    if (!ok)
        metric_inc(&r->m.probes_failed);
    log_report(&report, "probe");
    bool moved = health_report(r->health, &report, loop_now(r->loop), router_wall(r));
    (void)snprintf(connector, sizeof connector, "%s", p->connector);
    probing_free(p);
    if (connector_probed(r, connector))
        health_probed(r->health, span_cstr(connector));
    if (acting(r))
        health_moved(r, moved);
}

static void probe_connector(struct router *r, struct health_connector *c)
{
    health_probing(r->health, c);
    for (size_t i = 0; i < health_targets(c) && r->nprobes < PROBES_MAX; i++) {
        struct probing *p = calloc(1, sizeof *p);
        struct probe_conf conf = {.loop = r->loop,
                                  .dns = r->dns,
                                  .target = health_target(c, i),
                                  .port = health_port(c),
                                  .hostname = r->hostname,
                                  .timeout_ms = r->root->router.probe_timeout_ms};
        if (p == NULL)
            break;
        p->r = r;
        (void)snprintf(p->connector, sizeof p->connector, SPAN_FMT, SPAN_ARG(health_name(c)));
        (void)snprintf(p->target, sizeof p->target, SPAN_FMT, SPAN_ARG(health_target(c, i)));
        p->probe = probe_start(&conf, on_probed, p);
        if (p->probe == NULL) {
            free(p);
            break;
        }
        metric_inc(&r->m.probes);
        r->nprobes++;
        p->next = r->probes;
        p->prev = &r->probes;
        if (p->next != NULL)
            p->next->prev = &p->next;
        r->probes = p;
    }
    char name[ROUTING_NAME_MAX + 1];
    (void)snprintf(name, sizeof name, SPAN_FMT, SPAN_ARG(health_name(c)));
    if (connector_probed(r, name))
        health_probed(r->health, span_cstr(name));
}

/* --- Members ------------------------------------------------------------------------------------------ */

/* "name-instance": the name. Replicas that are named alike are one member. */
static bool on_router(void *arg, const struct routing_router *m)
{
    struct router *r = arg;
    size_t at;
    struct span name = m->name;
    if (span_rfind(name, '-', &at))
        name = span_first(name, at);
    if (m->lease_ms <= m->now_ms || r->nnext_members == MEMBERS_MAX || name.len > ROUTING_NAME_MAX ||
        name.len == 0)
        return true;
    for (size_t i = 0; i < r->nnext_members; i++)
        if (span_eq(name, span_cstr(r->next_members[i])))
            return true;
    char *to = r->next_members[r->nnext_members++];
    memcpy(to, name.ptr, name.len);
    to[name.len] = '\0';
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void on_routers(void *arg, enum err e, const char *why)
{
    struct router *r = arg;
    r->members_busy = false;
    if (e != ERR_OK) {
        router_refused(r, e, "members", why);
        return;
    }
    qsort(r->next_members, r->nnext_members, sizeof r->next_members[0], by_text);
    bool same = r->nnext_members == r->nmembers;
    for (size_t i = 0; same && i < r->nmembers; i++)
        same = strcmp(r->members[i], r->next_members[i]) == 0;
    if (same || r->nnext_members == 0 || !acting(r))
        return;
    memcpy(r->members, r->next_members, sizeof r->members);
    r->nmembers = r->nnext_members;
    speaker_originate(r, LS_LEVEL_USER);
}

static void ask_members(struct router *r)
{
    if (r->members_busy)
        return;
    r->nnext_members = 0;
    r->members_busy = routing_routers(r->routing, on_router, on_routers, r) == ERR_OK;
}

/* --- Source bridgeheads -------------------------------------------------------------------------------- */

static bool on_worker(void *arg, struct span name)
{
    sources_alive(((struct router *)arg)->sources, name);
    return true;
}

static void on_workers(void *arg, enum err e, const char *why)
{
    struct router *r = arg;
    r->workers_busy = false;
    if (e != ERR_OK)
        router_refused(r, e, "workers", why);
    else if (r->sources != NULL)
        sources_end(r->sources);
}

/* One after the other: an answer is of the question asked last. */
void watcher_ask_workers(struct router *r)
{
    if (r->workers_busy || !sources_any(r->sources))
        return;
    sources_begin(r->sources);
    r->workers_busy = routing_workers(r->routing, on_worker, on_workers, r) == ERR_OK;
}

const char *watcher_why(const struct router *r, struct span connector)
{
    for (size_t i = 0; i < r->root->connectors.count; i++) {
        const struct conf_connector *c = &r->root->connectors.items[i];
        if (span_eq(span_cstr(c->name), connector) && sources_gone(r->sources, c))
            return "none of its source bridgeheads is alive";
    }
    return health_why(r->health, connector);
}

/* --- Neighbours, for people ----------------------------------------------------------------------------- */

void watcher_put_peers(struct router *r)
{
    size_t n = r->npeers;
    struct routing_adjacency *list = calloc(n + 1, sizeof *list);
    char(*carriers)[160] = calloc(n + 1, sizeof *carriers);
    ms_t now = loop_now(r->loop), wall = router_wall(r);
    for (uint32_t i = 0; list != NULL && carriers != NULL && i < n; i++) {
        struct ls_peer_info info;
        if (!ls_peer_info(r->ls, i, &info))
            continue;
        carrier_describe(r->carrier, i, carriers[i]);
        list[i] = (struct routing_adjacency){
            .neighbour = span_cstr(r->root->routing_group.neighbours.items[i].group),
            .router = span_cstr(info.router),
            .state = span_cstr(adj_state_name(info.state)),
            .carrier = span_cstr(carriers[i]),
            .since_ms = wall - (now - info.since_ms),
            .heard_ms = info.heard_ms == 0 ? 0 : wall - (now - info.heard_ms),
            .sum_hi = info.sum.hi,
            .sum_lo = info.sum.lo,
            .pending = info.pending,
            .equal = ls_sum_eq(info.sum, ls_table(r->ls)->sum),
        };
    }
    if (list != NULL && carriers != NULL)
        (void)!routing_adjacencies_put(r->routing, &r->seat, list, n, NULL, NULL);
    free(list);
    free(carriers);
}

/* --- Turning ------------------------------------------------------------------------------------------ */

static void on_watch(void *arg)
{
    struct router *r = arg;
    struct health_connector *c;
    ms_t now = loop_now(r->loop);
    timer_set(r->watch, WATCH_MS);
    if (!acting(r))
        return;
    enum ls_level level;
    if (sources_due(r->sources, now, &level))
        speaker_originate(r, level);
    if (health_tick(r->health, now, router_wall(r)) || health_targets_due(r->health, now))
        health_moved(r, true);
    while (r->nprobes < PROBES_MAX && (c = health_probe_due(r->health, now)) != NULL)
        probe_connector(r, c);
    if (r->verify_id[0] != '\0' && now - r->verify_ms >= VERIFY_MS)
        answer_verify(r);
    if (now - r->members_ms >= MEMBERS_MS) {
        r->members_ms = now;
        ask_members(r);
        watcher_ask_workers(r);
        for (const char *what = "rwq"; *what != '\0'; what++) /* hints may be lost */
            watcher_say(r, *what);
    }
    if (now - r->peers_ms >= PEERS_MS && r->npeers > 0) {
        r->peers_ms = now;
        watcher_put_peers(r);
    }
}

enum err watcher_configure(struct router *r)
{
    enum err e = health_configure(r->health, r->root, loop_now(r->loop));
    return e == ERR_OK ? sources_configure(r->sources, r->root) : e;
}

enum err watcher_start(struct router *r)
{
    r->health = health_new();
    r->sources = sources_new();
    r->watch = timer_new(r->loop, on_watch, r);
    if (r->health == NULL || r->sources == NULL || r->watch == NULL || watcher_configure(r) != ERR_OK)
        return ERR_NOMEM;
    watcher_ask_workers(r);
    (void)snprintf(r->members[0], sizeof r->members[0], "%s", r->name);
    r->nmembers = 1;
    timer_set(r->watch, WATCH_MS);
    return ERR_OK;
}

void watcher_stop(struct router *r)
{
    while (r->probes != NULL) {
        probe_free(r->probes->probe);
        probing_free(r->probes);
    }
    r->verify_id[0] = r->purge_id[0] = '\0';
    health_free(r->health);
    sources_free(r->sources);
    timer_free(r->watch);
    r->health = NULL;
    r->sources = NULL;
    r->watch = NULL;
}
