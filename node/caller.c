#include "node/caller.h"

#include "common/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/*            opened()                                    session wants CLOSE
 *   accepted ---------> (LOOKING: the client's name) ---> TALKING -----------> FINISHING --> closed()
 *              TLS too    found, or not in time              \__ socket gone ______________/
 *
 *   accepted   the connection exists; TLS from the first byte is being established.
 *   LOOKING    DNS is asked for the client's name; the greeting waits.
 *   TALKING    session and connection exchange bytes.
 *   FINISHING  the last reply is being sent; the session is over and hears nothing more. */
enum phase { ACCEPTED, LOOKING, TALKING, FINISHING };

enum {
    OUTPUT_HIGH = 1024, /* replies that the client does not read: it is not read either */
    INPUT_STEP = 24576, /* read at a time: with two chunks of a body a session stays below 128 KiB */
    TLS_STEP = 16640,   /* with TLS: a record, and its overhead */
    FINISH_MS = 10000,  /* for the last reply to be taken */
    LOOKUP_MS = 5000,   /* for the client's name: it is only for the Received header */
};

struct caller {
    struct caller *next, **prev;
    struct shard *shard;
    struct snapshot *snapshot;
    struct conn *conn;
    struct session *session;
    struct timer *timer;
    struct dns_query *query; /* LOOKING */
    struct intake intake;
    struct visitor *visitor;
    char *name; /* LOOKING: found and to be confirmed, or NULL */
    uint64_t id;
    enum phase phase;
    bool early, tls_first, congested, broken, paused;
};

static const struct conf_virtual_server *settings(const struct caller *c)
{
    return c->snapshot->servers[c->visitor->at->server].session.vs;
}

/* --- what the session asks for ---------------------------------------------------------------------- */

static enum err op_ready(void *arg)
{
    return intake_ready(&((struct caller *)arg)->intake);
}
static enum err op_memory(void *arg, size_t bytes)
{
    return intake_memory(&((struct caller *)arg)->intake, bytes);
}
static enum err op_open(void *arg, struct msgid *ret_id)
{
    return intake_open(&((struct caller *)arg)->intake, ret_id);
}
static enum err op_write(void *arg, struct span bytes, size_t *ret_taken)
{
    return intake_write(&((struct caller *)arg)->intake, bytes, ret_taken);
}
static void op_abort(void *arg)
{
    intake_abort(&((struct caller *)arg)->intake);
}
static enum err op_commit(void *arg, const struct envelope *env, const struct commit_job *jobs, size_t njobs)
{
    return intake_commit(&((struct caller *)arg)->intake, env, jobs, njobs);
}

static enum err op_etrn(void *arg, struct span domain)
{
    const struct caller *c = arg;
    if (!store_ready(c->shard->store, NULL))
        return ERR_AGAIN;
    return etrn_start(c->shard->etrn, c->snapshot->config, c->snapshot->routes, domain);
}

static void log_line(const struct caller *c, const char *event, const char *extra, struct span text)
{
    struct log_scratch scratch;
    char client[IP_TEXT_MAX];
    ip_text(&c->visitor->client.addr, client);
    log_info(event, "sid=%zu-%" PRIx64 " client=%s%s text=%s", c->shard->index, c->id, client, extra,
             log_text(&scratch, text));
}

static void count_reply(struct caller *c, enum reply_id id, unsigned code)
{
    struct node_metrics *m = &c->shard->metrics;
    metric_inc(&c->shard->replies[id]);
    if (code >= 500)
        metric_inc(&m->rejected);
    else if (code >= 400)
        metric_inc(&m->deferred);
    if (id == REPLY_SYNC || id == REPLY_EARLY)
        metric_inc(&m->violations);
}

static void on_reply(struct caller *c, enum reply_id id, struct span line)
{
    char extra[128];
    const struct reply *r = reply_get(id);
    bool refused = r->code >= 400;
    count_reply(c, id, r->code);
    if (!refused && !settings(c)->protocol_log)
        return;
    (void)snprintf(extra, sizeof extra, " code=%u reply=%s", r->code, r->name);
    log_line(c, refused ? "smtp.refused" : "smtp.reply", extra, line);
}

static void op_event(void *arg, enum session_event ev, enum reply_id reply, struct span text)
{
    struct caller *c = arg;
    switch (ev) {
    case SESSION_COMMAND:
        metric_inc(&c->shard->metrics.commands);
        if (settings(c)->protocol_log)
            log_line(c, "smtp.command", "", text);
        break;
    case SESSION_REPLY:
        on_reply(c, reply, text);
        break;
    case SESSION_TAKEN:
        metric_inc(&c->shard->metrics.recipients);
        break;
    case SESSION_LOST:
        metric_inc(&c->shard->metrics.messages_refused);
        break;
    }
}

static const struct session_ops session_ops = {
    .ready = op_ready,
    .memory = op_memory,
    .open = op_open,
    .write = op_write,
    .abort = op_abort,
    .commit = op_commit,
    .etrn = op_etrn,
    .event = op_event,
};

/* --- moving bytes ------------------------------------------------------------------------------------ */

static void tell_time(struct caller *c)
{
    session_time(c->session, loop_now(c->shard->loop), clock_wall(loop_clock(c->shard->loop)));
}

/* A new configuration holds from the next transaction on. */
static void refresh(struct caller *c)
{
    if (c->snapshot == c->shard->snapshot || !session_idle(c->session))
        return;
    struct snapshot *old = c->snapshot;
    c->snapshot = snapshot_ref(c->shard->snapshot);
    session_set_conf(c->session, &c->snapshot->servers[c->visitor->at->server].session);
    snapshot_unref(old);
}

static void send_output(struct caller *c)
{
    struct span out = session_output(c->session);
    if (out.len > 0 && conn_write(c->conn, out) != ERR_OK)
        c->broken = true;
    session_sent(c->session);
    c->congested = conn_output(c->conn) > OUTPUT_HIGH;
}

static void set_timer(struct caller *c)
{
    ms_t at = session_deadline(c->session), now = loop_now(c->shard->loop);
    if (at == UINT64_MAX)
        timer_cancel(c->timer);
    else
        timer_set(c->timer, at > now ? at - now : 0);
}

static void finish(struct caller *c)
{
    c->phase = FINISHING;
    timer_cancel(c->timer);
    conn_finish(c->conn, FINISH_MS);
}

static void set_paused(struct caller *c, bool paused)
{
    if (paused == c->paused)
        return;
    c->paused = paused;
    if (paused)
        conn_pause(c->conn);
    else
        conn_resume(c->conn); /* offers again what was not consumed */
}

/* Does what the session wants after anything happened to it. May free c. */
static void settle(struct caller *c)
{
    if (c->phase == FINISHING)
        return;
    send_output(c);
    enum session_want want = session_want(c->session);
    if (want == SESSION_START_TLS && !c->broken && session_state(c->session) == ST_TLS) {
        struct tls_context *tls = c->snapshot->servers[c->visitor->at->server].tls;
        c->broken = conn_start_tls(c->conn, tls, true, NULL) != ERR_OK;
    }
    if (c->broken) {
        caller_free(c);
        return;
    }
    set_timer(c);
    if (want == SESSION_CLOSE)
        finish(c);
    else
        set_paused(c, want == SESSION_WAIT || c->congested);
}

static size_t on_received(void *arg, struct span bytes)
{
    struct caller *c = arg;
    size_t done = 0, n;
    if (c->phase == FINISHING)
        return bytes.len;
    if (c->phase != TALKING) { /* before the greeting */
        c->early = true;
        return 0;
    }
    refresh(c);
    tell_time(c);
    do { /* again when it stopped only to have its replies sent */
        n = session_feed(c->session, span_from(bytes, done));
        done += n;
        send_output(c);
    } while (n > 0 && done < bytes.len && !c->broken && !c->congested);
    settle(c);
    return done;
}

static void on_drained(void *arg)
{
    struct caller *c = arg;
    if (c->phase == TALKING)
        settle(c);
}

static void on_timer(void *arg);

static void on_unblocked(void *arg)
{
    struct caller *c = arg;
    tell_time(c);
    session_unblock(c->session);
    (void)session_feed(c->session, SPAN("")); /* what is held in the session; the rest is offered again */
    settle(c);
}

static void on_committed(void *arg, enum err e, const struct msgid *id)
{
    struct caller *c = arg;
    tell_time(c);
    session_committed(c->session, e, id);
    settle(c);
}

static const struct intake_owner intake_owner = {on_unblocked, on_committed};

/* --- the beginning ------------------------------------------------------------------------------------ */

static void greet(struct caller *c, struct span name)
{
    c->phase = TALKING;
    tell_time(c);
    if (c->early)
        session_turn_away(c->session, REPLY_EARLY);
    else
        session_start(c->session, name);
    settle(c);
}

static void found_addresses(void *arg, const struct dns_answer *a)
{
    struct caller *c = arg;
    bool confirmed = false;
    c->query = NULL;
    for (size_t i = 0; a->err == ERR_OK && i < a->n; i++)
        confirmed = confirmed || ip_eq(&a->addrs[i], &c->visitor->client.addr);
    greet(c, confirmed ? span_cstr(c->name) : SPAN(""));
}

/* A name that anybody can write into his own zone says nothing unless it leads back to the address. */
static void found_name(void *arg, const struct dns_answer *a)
{
    struct caller *c = arg;
    c->query = NULL;
    c->name = a->err == ERR_OK && a->name != NULL ? span_dup(span_cstr(a->name)) : NULL;
    if (c->name == NULL ||
        dns_ask_addresses(c->shard->dns, span_cstr(c->name), found_addresses, c, &c->query) != ERR_OK)
        greet(c, SPAN(""));
}

/* TLS holds 14 KiB, and up to a record of 16: instead of a left-over, then. */
static void use_tls_steps(struct caller *c)
{
    conn_set_read_size(c->conn, TLS_STEP);
    intake_set_step(&c->intake, TLS_STEP);
}

static void on_opened(void *arg)
{
    struct caller *c = arg;
    if (c->tls_first) {
        struct conn_tls_info info;
        conn_tls_info(c->conn, &info);
        metric_inc(&c->shard->metrics.tls);
        conn_set_timeout(c->conn, 0);
        tell_time(c);
        session_secured(c->session, span_cstr(info.version), span_cstr(info.cipher));
    }
    bool look = settings(c)->reverse_dns_lookup && c->shard->dns != NULL && !c->early;
    if (!look ||
        dns_ask_reverse(c->shard->dns, &c->visitor->client.addr, found_name, c, &c->query) != ERR_OK) {
        greet(c, SPAN(""));
        return;
    }
    c->phase = LOOKING;
    timer_set(c->timer, LOOKUP_MS);
}

static void on_secured(void *arg)
{
    struct caller *c = arg;
    struct conn_tls_info info;
    conn_tls_info(c->conn, &info);
    metric_inc(&c->shard->metrics.tls);
    use_tls_steps(c);
    tell_time(c);
    session_secured(c->session, span_cstr(info.version), span_cstr(info.cipher));
    settle(c);
}

static bool shaking_hands(const struct caller *c)
{
    return (c->tls_first && c->phase == ACCEPTED) || session_state(c->session) == ST_TLS;
}

static void on_timer(void *arg)
{
    struct caller *c = arg;
    tell_time(c);
    if (c->phase == LOOKING) {
        dns_cancel(c->query);
        c->query = NULL;
        greet(c, SPAN(""));
        return;
    }
    bool shaking = shaking_hands(c);
    session_tick(c->session);
    if (!shaking || session_state(c->session) != ST_CLOSED) {
        settle(c);
        return;
    }
    metric_inc(&c->shard->metrics.tls_failed);
    caller_free(c); /* in the middle of a handshake nothing can be said */
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct caller *c = arg;
    (void)e;
    if (shaking_hands(c)) /* who leaves without close_notify later on has not failed in it */
        metric_inc(&c->shard->metrics.tls_failed);
    if (settings(c)->protocol_log)
        log_line(c, "smtp.closed", "", span_cstr(why));
    caller_free(c);
}

static const struct conn_ops conn_ops = {
    .opened = on_opened,
    .received = on_received,
    .drained = on_drained,
    .secured = on_secured,
    .closed = on_closed,
};

/* --- life ---------------------------------------------------------------------------------------------- */

static void link_caller(struct caller *c)
{
    struct shard *s = c->shard;
    c->next = s->callers;
    c->prev = &s->callers;
    if (c->next != NULL)
        c->next->prev = &c->next;
    s->callers = c;
}

enum err caller_start(struct shard *s, struct visitor *v, bool early)
{
    struct caller *c = calloc(1, sizeof *c);
    struct snapshot_server *server = &s->snapshot->servers[v->at->server];
    struct tls_context *tls = v->at->tls ? server->tls : NULL;
    if (c == NULL) {
        (void)close(v->fd);
        shard_caller_left(s, v);
        return ERR_NOMEM;
    }
    *c = (struct caller){.shard = s,
                         .snapshot = snapshot_ref(s->snapshot),
                         .visitor = v,
                         .id = ++s->next_session,
                         .early = early,
                         .tls_first = v->at->tls};
    link_caller(c);
    intake_init(&c->intake, s->store, &s->budget, &s->metrics, loop_clock(s->loop), &intake_owner, c);
    struct session_client who = {.addr = &v->client.addr};
    c->session = session_new(&server->session, &who, &session_ops, c);
    c->timer = timer_new(s->loop, on_timer, c);
    c->conn = conn_accept(s->loop, v->fd, tls, &conn_ops, c);
    if (c->session == NULL || c->timer == NULL || c->conn == NULL || (c->tls_first && tls == NULL)) {
        caller_free(c);
        return ERR_NOMEM;
    }
    tell_time(c);
    conn_set_high_water(c->conn, OUTPUT_HIGH);
    conn_set_read_size(c->conn, INPUT_STEP);
    if (c->tls_first) {
        use_tls_steps(c);
        conn_set_timeout(c->conn, server->session.vs->timeouts.tls_ms);
    }
    return ERR_OK;
}

void caller_free(struct caller *c)
{
    if (c->next != NULL)
        c->next->prev = c->prev;
    *c->prev = c->next;
    dns_cancel(c->query);
    conn_free(c->conn);
    session_free(c->session);
    intake_done(&c->intake);
    timer_free(c->timer);
    free(c->name);
    snapshot_unref(c->snapshot);
    shard_caller_left(c->shard, c->visitor);
    free(c);
}

void caller_drain(struct caller *c)
{
    if (c->phase == FINISHING)
        return;
    tell_time(c);
    session_drain(c->session);
    if (c->phase == TALKING)
        settle(c);
}

struct caller *caller_next(const struct caller *c)
{
    return c->next;
}
