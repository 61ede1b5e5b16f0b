#include "node/shard.h"

#include "common/log.h"
#include "node/caller.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

static enum err listen_at(struct shard *s, size_t server, const char *where, struct errctx *ec)
{
    struct shard_listener *at = &s->listeners[s->nlisteners];
    struct span text = span_cstr(where), tls = SPAN("tls://");
    struct ip_endpoint endpoint, bound;
    *at = (struct shard_listener){.shard = s, .server = server, .tls = span_has_iprefix(text, tls)};
    text = span_from(text, at->tls ? tls.len : 0);
    if (ip_endpoint_parse(text, 0, &endpoint) != ERR_OK)
        return err_set(ec, ERR_CONFIG, "listen: '%s' is not ADDRESS:PORT", where);
    /* port 0 is chosen by the kernel for the first loop; the others join it there */
    if (endpoint.port == 0 && s != s->keeper &&
        listener_address(s->keeper->listeners[s->nlisteners].listener, &bound))
        endpoint.port = bound.port;
    enum err e = listener_open(s->loop, &endpoint, true, on_accept, at, &at->listener, ec);
    if (e == ERR_OK)
        s->nlisteners++;
    return e;
}

static enum err open_listeners(struct shard *s, struct errctx *ec)
{
    const struct conf_root *root = config_root(s->snapshot->config);
    size_t n = 0;
    enum err e = ERR_OK;
    for (size_t i = 0; i < root->virtual_servers.count; i++)
        n += root->virtual_servers.items[i].listen.count;
    s->listeners = calloc(n + 1, sizeof *s->listeners);
    if (s->listeners == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < root->virtual_servers.count; i++) {
        const struct conf_strs *listen = &root->virtual_servers.items[i].listen;
        for (size_t k = 0; k < listen->count && e == ERR_OK; k++)
            e = listen_at(s, i, listen->items[k], ec);
    }
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
    s->snapshot = snapshot_ref(next);
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
        e = open_listeners(s, ec);
    }
    if (e != ERR_OK) {
        shard_free(s);
        return e;
    }
    *ret = s;
    return ERR_OK;
}

static void close_listeners(struct shard *s)
{
    for (size_t i = 0; i < s->nlisteners; i++) {
        listener_close(s->listeners[i].listener);
        s->listeners[i].listener = NULL;
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
    free(s->listeners);
    free(s);
}
