#include "node/shard.h"

#include "common/log.h"
#include "common/room.h"
#include "node/caller.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENERS_MAX = 8192 }; /* of a process, those that were closed with them */

/*               shard k                       shard 0                        shard k
 *   accept(2) ----------> asking ── posted ──> limits_admit() ── posted ──> caller, or turned away
 *   a caller of shard k leaves ── posted ──> limits_leave()
 *
 * A struct visitor is in the list of the shard that asks until it is answered; shard 0 only writes the
 * verdict. Then it is the caller's, and goes back to shard 0 when that leaves. */

/* --- turning away -------------------------------------------------------------------------------------- */

/* One reply and the end, without a session: this must stay cheap when everybody comes at once. */
static void turn_away(struct shard *s, const struct shard_listener *at, int fd, enum reply_id why)
{
    struct buf out;
    metric_inc(&s->metrics.turned_away);
    metric_inc(&s->replies[why]);
    buf_init(&out, 1024);
    if (!at->tls && reply_add(&out, why, true, SPAN("")) == ERR_OK)
        (void)send(fd, out.ptr, out.len, MSG_DONTWAIT | MSG_NOSIGNAL); /* it fits, or is not worth more */
    buf_done(&out);
    (void)close(fd);
}

static enum reply_id refusal(enum admission verdict)
{
    static const enum reply_id replies[] = {[ADMIT_BUSY] = REPLY_BUSY,
                                            [ADMIT_BUSY_CLIENT] = REPLY_BUSY_CLIENT,
                                            [ADMIT_BUSY_RATE] = REPLY_BUSY_RATE};
    return replies[verdict];
}

/* RFC 5321 3.1: nobody speaks before the greeting. What was sent until now was. */
static bool spoke_already(int fd)
{
    char octet;
    return recv(fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void session_gone(struct shard *s)
{
    metric_dec(&s->metrics.sessions_open);
}

/* --- admission ----------------------------------------------------------------------------------------- */

static void let_in(struct shard *s, struct visitor *v)
{
    bool early = !v->at->tls && spoke_already(v->fd);
    if (caller_start(s, v, early) == ERR_OK) {
        metric_inc(&s->metrics.sessions);
        return;
    }
    log_warn("smtp.accept", "text='out of memory, or no certificate for a tls:// listener'");
}

static void decided(struct shard *s, struct visitor *v)
{
    if (v->verdict == ADMIT && !s->draining) {
        let_in(s, v);
        return;
    }
    turn_away(s, v->at, v->fd, v->verdict == ADMIT ? REPLY_SHUTDOWN : refusal(v->verdict));
    if (v->verdict == ADMIT) {
        shard_caller_left(s, v);
        return;
    }
    session_gone(s);
    free(v);
}

static void unlink_visitor(struct visitor *v)
{
    if (v->next != NULL)
        v->next->prev = v->prev;
    *v->prev = v->next;
}

static void on_answer(void *arg)
{
    struct visitor *v = arg;
    unlink_visitor(v);
    decided(v->at->shard, v);
}

static void ask_limits(struct shard *keeper, struct visitor *v)
{
    const struct conf_virtual_server *vs = keeper->snapshot->servers[v->at->server].session.vs;
    v->verdict = limits_admit(keeper->limits, v->at->server, vs, &v->client.addr, loop_now(keeper->loop));
}

/* In shard 0. */
static void on_question(void *arg)
{
    struct visitor *v = arg;
    struct shard *asking = v->at->shard;
    ask_limits(asking->keeper, v);
    loop_post_kept(asking->loop, &v->post, on_answer, v);
}

static void on_accept(void *arg, int fd, const struct ip_endpoint *client)
{
    struct shard_listener *at = arg;
    struct shard *s = at->shard;
    struct visitor *v = calloc(1, sizeof *v);
    if (v == NULL) {
        turn_away(s, at, fd, REPLY_DOWN);
        return;
    }
    metric_inc(&s->metrics.sessions_open);
    *v = (struct visitor){.at = at, .client = *client, .fd = fd};
    if (s == s->keeper) {
        ask_limits(s, v);
        decided(s, v);
        return;
    }
    v->next = s->asking;
    v->prev = &s->asking;
    if (v->next != NULL)
        v->next->prev = &v->next;
    s->asking = v;
    loop_post_kept(s->keeper->loop, &v->post, on_question, v);
}

/* In shard 0. */
static void on_leave(void *arg)
{
    struct visitor *v = arg;
    struct shard *keeper = v->at->shard->keeper;
    limits_leave(keeper->limits, v->at->server, &v->client.addr, loop_now(keeper->loop));
    free(v);
}

void shard_caller_left(struct shard *s, struct visitor *v)
{
    session_gone(s);
    if (s->ended)
        free(v); /* the limits end as well */
    else if (s == s->keeper)
        on_leave(v);
    else
        loop_post_kept(s->keeper->loop, &v->post, on_leave, v);
}

/* --- life ------------------------------------------------------------------------------------------------
 */

static void on_store_change(void *arg)
{
    struct shard *s = arg;
    metric_set(&s->metrics.store_ready, store_ready(s->store, NULL) ? 1 : 0);
}

/* --- listeners ------------------------------------------------------------------------------------------
 * What a configuration wants is compared with what there is by server, address and tls. First the new ones
 * are opened, then those that nobody wants any more are closed: an address may go from one server to another
 * (SO_REUSEPORT), and nobody finds the door shut. */

static void tell(const struct shard_listener *at, const char *event, const struct snapshot *snapshot)
{
    struct ip_endpoint real;
    char text[ENDPOINT_TEXT_MAX] = "?";
    if (listener_address(at->listener, &real))
        ip_endpoint_text(&real, text);
    log_info(event, "address=%s tls=%s virtual_server=%s threads=%zu", text, at->tls ? "yes" : "no",
             snapshot->servers[at->server].session.vs->name, at->shard->nshards);
}

void shard_tell_listeners(struct shard *s)
{
    for (size_t i = 0; i < s->nlisteners; i++) {
        struct shard_listener *at = s->listeners[i];
        if (at->listener == NULL || at->told)
            continue;
        tell(at, "smtp.listening", s->snapshot);
        at->told = true;
    }
}

static enum err parse_listen(const char *text, struct shard_listener *ret, struct errctx *ec)
{
    struct span where = span_cstr(text), tls = SPAN("tls://");
    ret->tls = span_has_iprefix(where, tls);
    if (ip_endpoint_parse(span_from(where, ret->tls ? tls.len : 0), 0, &ret->where) == ERR_OK)
        return ERR_OK;
    return err_set(ec, ERR_CONFIG, "listen: '%s' is not ADDRESS:PORT", text);
}

static bool same_place(const struct shard_listener *a, const struct shard_listener *b)
{
    return a->tls == b->tls && a->where.port == b->where.port && ip_eq(&a->where.addr, &b->where.addr);
}

static struct shard_listener *find_listener(const struct shard *s, const struct shard_listener *like)
{
    for (size_t i = 0; i < s->nlisteners; i++) {
        struct shard_listener *at = s->listeners[i];
        if (at->server == like->server && same_place(at, like))
            return at;
    }
    return NULL;
}

static enum err place_for(struct shard *s, const struct shard_listener *like, struct shard_listener **ret,
                          struct errctx *ec)
{
    void *list = s->listeners;
    enum err e = room_for_one(&list, &s->listeners_cap, s->nlisteners, sizeof *s->listeners, LISTENERS_MAX);
    s->listeners = list;
    if (e == ERR_TOOBIG)
        return err_set(ec, e, "more than %d addresses since this node was started; restart it",
                       LISTENERS_MAX);
    struct shard_listener *at = e == ERR_OK ? malloc(sizeof *at) : NULL;
    if (at == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    *at = *like;
    s->listeners[s->nlisteners++] = at;
    *ret = at;
    return ERR_OK;
}

/* Another server with SO_REUSEPORT would not keep us out: the kernel would deal callers out to both, each
 * with its own configuration. Where we listen ourselves a probe would find us; a server that began later
 * found us. */
static enum err nobody_else_at(const struct shard *s, const struct ip_endpoint *where, struct errctx *ec)
{
    for (size_t i = 0; i < s->nlisteners; i++) {
        struct ip_endpoint own;
        if (s->listeners[i]->listener != NULL && listener_address(s->listeners[i]->listener, &own) &&
            ip_endpoints_overlap(&own, where))
            return ERR_OK;
    }
    return listener_probe(where, ec);
}

static enum err listen_at(struct shard *s, const struct shard_listener *like, struct errctx *ec)
{
    struct shard_listener *at = find_listener(s, like);
    struct ip_endpoint endpoint = like->where;
    if (at != NULL && at->listener != NULL)
        return ERR_OK;
    if (endpoint.port == 0 && s != s->keeper) { /* the kernel chose one for the first loop: join it there */
        struct shard_listener *first = s->opened ? NULL : find_listener(s->keeper, like);
        if (first == NULL || !listener_address(first->listener, &endpoint))
            return ERR_OK; /* while loops run, only the first one can */
    }
    enum err e = s == s->keeper && endpoint.port != 0 ? nobody_else_at(s, &endpoint, ec) : ERR_OK;
    if (e == ERR_OK && at == NULL)
        e = place_for(s, like, &at, ec);
    if (e == ERR_OK)
        e = listener_open(s->loop, &endpoint, true, on_accept, at, &at->listener, ec);
    return e;
}

static bool wants(const struct snapshot *next, const struct shard_listener *at)
{
    if (at->server >= next->nservers)
        return false;
    const struct snapshot_server *sv = &next->servers[at->server];
    struct shard_listener one;
    for (size_t i = 0; sv->older == NULL && i < sv->session.vs->listen.count; i++)
        if (parse_listen(sv->session.vs->listen.items[i], &one, NULL) == ERR_OK && same_place(&one, at))
            return true;
    return false;
}

/* Those that next does not want. */
static void close_others(struct shard *s, const struct snapshot *next, void (*how)(struct listener *ln))
{
    for (size_t i = 0; i < s->nlisteners; i++) {
        struct shard_listener *at = s->listeners[i];
        if (at->listener == NULL || wants(next, at))
            continue;
        if (at->told)
            tell(at, "smtp.closed", next);
        at->told = false;
        how(at->listener);
        at->listener = NULL;
    }
}

enum err shard_listen(struct shard *s, const struct snapshot *next, struct errctx *ec)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < next->nservers && e == ERR_OK; i++) {
        const struct snapshot_server *sv = &next->servers[i];
        for (size_t k = 0; sv->older == NULL && k < sv->session.vs->listen.count && e == ERR_OK; k++) {
            struct shard_listener like = {.shard = s, .server = i};
            e = parse_listen(sv->session.vs->listen.items[k], &like, ec);
            if (e == ERR_OK)
                e = listen_at(s, &like, ec);
        }
    }
    if (e != ERR_OK && s->opened)
        close_others(s, s->snapshot, listener_close);
    return e;
}

static void open_dns(struct shard *s)
{
    const struct conf_resolver *r = &config_root(s->snapshot->config)->resolver;
    struct errctx ec = {""};
    struct log_scratch scratch;
    if (s->dns != NULL || !s->snapshot->reverse_dns)
        return;
    if (dns_new(s->loop, r->servers.items, r->servers.count, r->timeout_ms, r->cache_bytes, &s->dns, &ec) !=
        ERR_OK)
        log_warn("smtp.resolver", "text=%s", log_text(&scratch, span_cstr(ec.msg))); /* names go unknown */
}

static void apply(struct shard *s)
{
    s->budget.limit = (size_t)(config_root(s->snapshot->config)->node.memory_limit / s->nshards);
    open_dns(s);
}

void shard_set_snapshot(struct shard *s, struct snapshot *next)
{
    struct snapshot *old = s->snapshot;
    struct errctx ec = {""};
    struct log_scratch scratch;
    bool other = next->config != old->config && !s->draining;
    if (other && shard_listen(s, next, &ec) != ERR_OK)
        log_error("smtp.listen", "loop=%zu text=%s", s->index, log_text(&scratch, span_cstr(ec.msg)));
    s->snapshot = snapshot_ref(next);
    if (other)
        close_others(s, next, listener_finish); /* who has connected already is let in */
    if (other && s == s->keeper)
        shard_tell_listeners(s);
    snapshot_unref(old);
    apply(s);
}

enum err shard_new(const struct shard_options *o, struct shard **ret, struct errctx *ec)
{
    struct shard *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    s->index = o->index;
    s->nshards = o->nshards;
    s->keeper = o->keeper != NULL ? o->keeper : s;
    s->limits = o->limits;
    s->snapshot = snapshot_ref(o->snapshot);
    s->owns_loop = o->loop == NULL;
    s->loop = o->loop != NULL ? o->loop : loop_new();
    s->etrn = s->loop != NULL ? etrn_new(s->loop) : NULL;
    enum err e = ERR_OK;
    if (s->etrn == NULL)
        e = err_set(ec, ERR_NOMEM, "out of memory or descriptors");
    if (e == ERR_OK)
        e = o->deps->open_store(o->deps->arg, s->loop, s->snapshot->config, &s->store, ec);
    if (e == ERR_OK) {
        apply(s);
        store_on_change(s->store, on_store_change, s);
        on_store_change(s);
        e = shard_listen(s, s->snapshot, ec);
    }
    if (e != ERR_OK) {
        shard_free(s);
        return e;
    }
    s->opened = true;
    *ret = s;
    return ERR_OK;
}

static void close_listeners(struct shard *s)
{
    for (size_t i = 0; i < s->nlisteners; i++) {
        listener_close(s->listeners[i]->listener);
        s->listeners[i]->listener = NULL;
    }
}

void shard_drain(struct shard *s)
{
    s->draining = true;
    close_listeners(s);
    for (struct caller *c = s->callers, *next; c != NULL; c = next) {
        next = caller_next(c);
        caller_drain(c);
    }
}

bool shard_drained(const struct shard *s)
{
    return metric_get(&s->metrics.sessions_open) == 0;
}

void shard_free(struct shard *s)
{
    if (s == NULL)
        return;
    s->ended = true;
    close_listeners(s);
    while (s->callers != NULL)
        caller_free(s->callers);
    etrn_free(s->etrn);
    store_free(s->store);
    dns_free(s->dns);
    snapshot_unref(s->snapshot);
    if (s->owns_loop)
        loop_free(s->loop); /* drops the answers that nobody waits for any more */
    for (struct visitor *v = s->asking, *next; v != NULL; v = next) {
        next = v->next;
        (void)close(v->fd);
        free(v);
    }
    for (size_t i = 0; i < s->nlisteners; i++)
        free(s->listeners[i]);
    free(s->listeners);
    free(s);
}
