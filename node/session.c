#include "node/session_impl.h"

#include "node/policy.h"

#include <stdlib.h>

enum { DATA_RATE_GRACE_MS = 60000, START_MAX_MS = 30000 };

struct session *session_new(const struct session_conf *conf, const struct session_client *client,
                            const struct session_ops *ops, void *arg)
{
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct session){
        .ops = ops, .arg = arg, .state = ST_START, .chunk_refusal = REPLY_NONE, .violation = REPLY_EARLY};
    buf_init(&s->out, SESSION_OUTPUT_MAX);
    if (client->addr != NULL) {
        s->has_client = true;
        s->client = *client->addr;
    }
    session_set_conf(s, conf);
    return s;
}

void session_free(struct session *s)
{
    if (s == NULL)
        return;
    session_end_txn(s);
    buf_done(&s->out);
    free(s->helo);
    free(s->name);
    free(s->tls_version);
    free(s->tls_cipher);
    free(s);
}

enum { VISITED_LINE_MAX = 4096 }; /* MAIL with all its parameters and the longest list of groups */

void session_set_conf(struct session *s, const struct session_conf *conf)
{
    s->conf = conf;
    s->offered = extensions_offered(conf->vs, conf->tls && !s->tls);
    s->client_relays = policy_client_relays(&conf->vs->relay_from, s->has_client ? &s->client : NULL);
    if (!s->client_relays || conf->root->routing_group.key_file == NULL ||
        conf->root->routing_group.key_file[0] == '\0' || conf->vs->max_line_length < VISITED_LINE_MAX)
        s->offered &= ~(unsigned)EXT_XVISITED;
}

bool session_idle(const struct session *s)
{
    return s->txn == NULL && s->state != ST_CHUNK && s->state != ST_STORING && s->state != ST_CLOSED;
}

void session_time(struct session *s, ms_t mono_ms, ms_t wall_ms)
{
    if (!s->timed)
        s->started_ms = s->since_ms = s->input_ms = mono_ms;
    s->timed = true;
    s->now_ms = mono_ms;
    s->wall_ms = wall_ms;
}

/* The only writer of s->state: here the clock of the new state starts, and what must hold is kept. */
void session_enter(struct session *s, enum session_state next)
{
    s->state = next;
    s->since_ms = s->input_ms = s->now_ms;
    if (next == ST_READY && s->draining)
        session_close(s, REPLY_SHUTDOWN);
    if (next == ST_CLOSED) {
        session_end_txn(s);
        s->blocked = false;
    }
}

void session_end_txn(struct session *s)
{
    if (s->txn == NULL)
        return;
    if (s->txn->open)
        s->ops->abort(s->arg);
    txn_free(s->txn);
    s->txn = NULL;
    s->blocked = false;
    (void)s->ops->memory(s->arg, 0); /* giving back cannot fail */
}

/* --- replies --------------------------------------------------------------------------------------- */

void session_reply(struct session *s, enum reply_id id, struct span arg)
{
    bool enhanced = (s->offered & EXT_ENHANCEDSTATUSCODES) != 0;
    if (reply_add(&s->out, id, enhanced, arg) != ERR_OK) {
        session_enter(s, ST_CLOSED); /* no memory even for a reply: the client sees the connection end */
        return;
    }
    s->ops->event(s->arg, SESSION_REPLY, id, arg);
}

void session_refuse(struct session *s, enum reply_id id, struct span arg)
{
    if (reply_get(id)->code == 421) {
        session_close(s, id);
        return;
    }
    session_reply(s, id, arg);
    if (reply_get(id)->code >= 500 && s->state != ST_CLOSED && ++s->errors >= s->conf->vs->max_errors)
        session_close(s, REPLY_ERRORS);
}

void session_close(struct session *s, enum reply_id id)
{
    if (s->state == ST_CLOSED)
        return;
    session_enter(s, ST_CLOSED);
    session_reply(s, id, SPAN(""));
}

enum reply_id session_store_reply(enum err e)
{
    switch (e) {
    case ERR_FULL:
        return REPLY_QUEUE_FULL;
    case ERR_NOMEM:
        return REPLY_NO_MEMORY;
    case ERR_BACKEND:
    case ERR_DENIED:
    case ERR_CONFIG:
    case ERR_TOOBIG:
        return REPLY_QUEUE_REFUSED;
    case ERR_OK:
    case ERR_AGAIN:
    case ERR_PARSE:
    case ERR_STATE:
    case ERR_NOTFOUND:
    case ERR_EXISTS:
    case ERR_STALE:
    case ERR_IO:
    case ERR_TIMEOUT:
    case ERR_TLS:
    case ERR_DNS:
    case ERR_UNKNOWN:
    case ERR_CANCELED:
        break;
    }
    return REPLY_QUEUE_DOWN;
}

static void greet(struct session *s)
{
    struct buf text;
    buf_init(&text, 1024);
    if (buf_addf(&text, "%s %s", s->conf->hostname, s->conf->vs->banner) != ERR_OK)
        buf_clear(&text);
    session_reply(s, REPLY_GREETING, span_trim(buf_span(&text)));
    buf_done(&text);
}

void session_start(struct session *s, struct span name)
{
    if (s->state != ST_START)
        return;
    if (name.len > 0)
        s->name = span_dup(span_first(name, SESSION_HELO_MAX)); /* NULL: the header goes without it */
    session_enter(s, ST_GREET);
    greet(s);
    if (s->draining)
        session_close(s, REPLY_SHUTDOWN);
}

void session_turn_away(struct session *s, enum reply_id why)
{
    session_close(s, why);
}

/* --- events from outside --------------------------------------------------------------------------- */

void session_secured(struct session *s, struct span version, struct span cipher)
{
    s->tls = true;
    s->tls_version = span_dup(version);
    s->tls_cipher = span_dup(cipher);
    s->violation = REPLY_NONE;
    s->skip_line = false;
    session_set_conf(s, s->conf);
    if (s->state != ST_TLS)
        return; /* TLS from the first byte: session_start() follows */
    /* RFC 3207 4.2: whatever the client said in the clear is forgotten */
    free(s->helo);
    s->helo = NULL;
    s->esmtp = false;
    session_enter(s, ST_GREET);
}

void session_committed(struct session *s, enum err e, const struct msgid *id)
{
    char text[MSGID_TEXT_MAX];
    if (s->state != ST_STORING)
        return;
    if (e == ERR_OK) {
        msgid_text(id, text);
        s->messages++;
        s->errors = 0;
        session_reply(s, REPLY_QUEUED, span_cstr(text));
    } else {
        session_reply(s, session_store_reply(e), SPAN(""));
    }
    if (s->state == ST_STORING)
        session_enter(s, ST_READY);
}

void session_unblock(struct session *s)
{
    ms_t waited_ms = s->blocked ? s->now_ms - s->blocked_ms : 0;
    s->blocked = false;
    s->input_ms = s->now_ms; /* the client waited for us, not we for it */
    if (s->txn != NULL)
        s->txn->body_started_ms += waited_ms;
}

void session_drain(struct session *s)
{
    s->draining = true;
    if (s->state == ST_GREET || s->state == ST_READY)
        session_close(s, REPLY_SHUTDOWN);
}

/* With STARTTLS it is known only now that nothing was sent along with it: a client that hears 554 in place
 * of 220 does not begin a handshake that would end in confusion. */
struct span session_output(struct session *s)
{
    if (s->tls_reply_due && s->state == ST_TLS)
        session_reply(s, REPLY_TLS_GO, SPAN(""));
    s->tls_reply_due = false;
    return buf_span(&s->out);
}

void session_sent(struct session *s)
{
    buf_done(&s->out);
    if (s->state != ST_START)
        s->violation = REPLY_NONE;
}

enum session_want session_want(const struct session *s)
{
    if (s->state == ST_CLOSED)
        return SESSION_CLOSE;
    if (s->state == ST_TLS)
        return SESSION_START_TLS;
    return s->state == ST_STORING || s->blocked ? SESSION_WAIT : SESSION_READ;
}

/* --- time ------------------------------------------------------------------------------------------ */

static ms_t earlier(ms_t a, ms_t b)
{
    return a < b ? a : b;
}

/* When the average rate falls below the minimum if nothing more comes. */
static ms_t rate_deadline(const struct session *s)
{
    const struct txn *t = s->txn;
    uint64_t rate = s->conf->vs->min_data_rate;
    if (rate == 0 || t == NULL || s->blocked || t->body_started_ms == 0) /* 0: a refused chunk, no body */
        return UINT64_MAX;
    ms_t earned = t->seen > UINT64_MAX / 1000 ? UINT64_MAX : t->seen * 1000 / rate;
    return ms_after(t->body_started_ms, earned > DATA_RATE_GRACE_MS ? earned : DATA_RATE_GRACE_MS);
}

static ms_t state_deadline(const struct session *s)
{
    const struct conf_server_timeouts *to = &s->conf->vs->timeouts;
    switch (s->state) {
    case ST_START:
        return ms_after(s->since_ms, START_MAX_MS);
    case ST_GREET:
    case ST_READY:
    case ST_MAIL:
    case ST_RCPT:
    case ST_CHUNKS:
        return ms_after(s->since_ms, to->command_ms);
    case ST_DATA:
    case ST_CHUNK:
        /* while we are the ones who do not read, the client's silence is not counted */
        return s->blocked ? UINT64_MAX : earlier(ms_after(s->input_ms, to->data_ms), rate_deadline(s));
    case ST_TLS:
        return ms_after(s->since_ms, to->tls_ms);
    case ST_STORING: /* the store promises an answer */
    case ST_CLOSED:
    case ST__COUNT:
        break;
    }
    return UINT64_MAX;
}

static ms_t session_end(const struct session *s)
{
    if (s->state == ST_STORING || s->state == ST_CLOSED)
        return UINT64_MAX;
    return ms_after(s->started_ms, s->conf->vs->timeouts.session_ms);
}

ms_t session_deadline(const struct session *s)
{
    return earlier(state_deadline(s), session_end(s));
}

void session_tick(struct session *s)
{
    if (s->now_ms < session_deadline(s))
        return;
    if (s->now_ms >= session_end(s))
        session_close(s, REPLY_SESSION_TIME);
    else if ((s->state == ST_DATA || s->state == ST_CHUNK) && s->now_ms >= rate_deadline(s))
        session_close(s, REPLY_SLOW);
    else if (s->state == ST_TLS)
        session_enter(s, ST_CLOSED); /* in the middle of a handshake there is no reply */
    else
        session_close(s, REPLY_TIMEOUT);
}

enum session_state session_state(const struct session *s)
{
    return s->state;
}

void session_facts(const struct session *s, struct session_facts *ret)
{
    *ret = (struct session_facts){
        .helo = span_cstr(s->helo),
        .name = span_cstr(s->name),
        .tls_version = span_cstr(s->tls_version),
        .tls_cipher = span_cstr(s->tls_cipher),
        .esmtp = s->esmtp,
        .messages = s->messages,
        .errors = s->errors,
    };
}
