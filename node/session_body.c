#include "node/session_impl.h"

#include "node/trace.h"

#include <limits.h>

/* How the octets of a body pass:
 *
 *   input -> dot scanner (or a chunk's count) -> header scanner, size -> ops->write()
 *
 * The scanner marks octets at the head of the input as plain body (txn.plain); they are written as
 * far as the store takes them and are counted when they are taken. What does not stand in the input,
 * the Received header and an inserted CR LF, waits in txn.lead and goes first. Nothing else is held:
 * when the store takes no more, the rest of the input stays with the owner of the connection. */

enum { OVERRUN_SLACK = 1 << 20 };

/* A body may be wrong in several ways at once. Which one is answered must not depend on how the body was
 * cut: it is looked at to its end, and the first of these wins; then what the queue had to say. */
static unsigned rank(enum reply_id why)
{
    static const enum reply_id order[] = {REPLY_LINE_ENDINGS, REPLY_SIZE_EXCEEDED, REPLY_HEADER_SIZE,
                                          REPLY_HOPS, REPLY_SESSION_SIZE};
    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        if (order[i] == why)
            return i;
    return why == REPLY_NONE ? UINT_MAX : ARRAY_LEN(order);
}

void session_refuse_body(struct session *s, enum reply_id why)
{
    struct txn *t = s->txn;
    if (rank(why) < rank(t->refusal))
        t->refusal = why;
    if (t->open)
        s->ops->abort(s->arg);
    t->open = false;
    buf_done(&t->lead);
    t->lead_at = 0;
    s->blocked = false;
}

static enum err received_header(const struct session *s, const struct msgid *id, struct buf *out)
{
    char text[MSGID_TEXT_MAX];
    msgid_text(id, text);
    struct trace trace = {
        .helo = span_cstr(s->helo),
        .rdns = span_cstr(s->name),
        .client = s->has_client ? &s->client : NULL,
        .hostname = span_cstr(s->conf->hostname),
        .esmtp = s->esmtp,
        .smtputf8 = s->txn->params.smtputf8,
        .tls_version = span_cstr(s->tls_version),
        .tls_cipher = span_cstr(s->tls_cipher),
        .id = span_cstr(text),
        .recipient = s->txn->nrcpts == 1 ? txn_first_recipient(s->txn) : SPAN(""),
        .wall_ms = s->wall_ms,
    };
    return trace_received(out, &trace);
}

void session_open_body(struct session *s, bool stuffed)
{
    struct txn *t = s->txn;
    struct msgid id;
    dot_init(&t->dot, stuffed, s->conf->vs->line_endings == CONF_LINE_STRICT);
    t->body_started_ms = s->now_ms;
    enum err e = s->ops->open(s->arg, &id);
    t->open = e == ERR_OK;
    if (e == ERR_OK)
        e = received_header(s, &id, &t->lead);
    if (e != ERR_OK)
        session_refuse_body(s, session_store_reply(e));
}

/* Hands octets to the store; returns how many it took. */
static size_t write_some(struct session *s, struct span bytes)
{
    size_t taken = 0;
    enum err e = s->ops->write(s->arg, bytes, &taken);
    if (e == ERR_OK)
        return bytes.len;
    if (e == ERR_AGAIN) {
        s->blocked = true;
        s->blocked_ms = s->now_ms;
        return taken;
    }
    session_refuse_body(s, session_store_reply(e));
    return bytes.len;
}

/* What was found in the octets of the body, whether they came from the input or were inserted. */
static void account(struct session *s, struct span body)
{
    struct txn *t = s->txn;
    const struct conf_virtual_server *vs = s->conf->vs;
    t->size += body.len;
    header_feed(&t->header, body);
    if (t->size > session_max_size(s))
        session_refuse_body(s, REPLY_SIZE_EXCEEDED);
    if (t->header.size > vs->max_header_size)
        session_refuse_body(s, REPLY_HEADER_SIZE);
    if (t->header.received > vs->max_hops)
        session_refuse_body(s, REPLY_HOPS); /* RFC 5321 6.3 */
    if (vs->max_session_size > 0 && t->size > vs->max_session_size - s->mail_bytes)
        session_refuse_body(s, REPLY_SESSION_SIZE);
}

static void write_lead(struct session *s)
{
    struct txn *t = s->txn;
    struct span rest = span_from(buf_span(&t->lead), t->lead_at);
    if (rest.len == 0)
        return;
    t->lead_at += write_some(s, rest);
    if (t->lead_at >= t->lead.len) { /* also when the body was refused meanwhile */
        buf_done(&t->lead);
        t->lead_at = 0;
    }
}

static void insert_crlf(struct session *s)
{
    account(s, SPAN("\r\n"));
    if (s->txn->refusal == REPLY_NONE && buf_add(&s->txn->lead, SPAN("\r\n")) != ERR_OK)
        session_refuse_body(s, REPLY_NO_MEMORY);
}

/* Writes from the head of in what is known to be body; returns how much of it was taken. */
static size_t write_plain(struct session *s, struct span in)
{
    struct txn *t = s->txn;
    size_t n = t->plain < in.len ? t->plain : in.len;
    size_t taken = t->refusal == REPLY_NONE ? write_some(s, span_first(in, n)) : n;
    account(s, span_first(in, taken));
    t->plain -= taken;
    return taken;
}

/* --- end of data ----------------------------------------------------------------------------------- */

/* RFC 5321 has no rewriting; `masquerade_domain` is for mail that begins its way here. */
static enum err envelope_sender(const struct session *s, struct buf *masked, struct span *ret)
{
    struct span sender = txn_sender(s->txn), domain = span_cstr(s->conf->vs->masquerade_domain);
    size_t at;
    *ret = sender;
    if (domain.len == 0 || s->txn->header.received > 0 || !s->client_relays || !span_rfind(sender, '@', &at))
        return ERR_OK;
    enum err e = buf_add(masked, span_first(sender, at + 1));
    if (e == ERR_OK)
        e = buf_add(masked, domain);
    *ret = buf_span(masked);
    return e;
}

static enum err commit(struct session *s)
{
    const struct txn *t = s->txn;
    const struct conf_retry *retry = &s->conf->root->delivery.retry;
    struct txn_expiry expiry = {retry->local_expire_ms, retry->expire_ms};
    char client[IP_TEXT_MAX] = "";
    struct txn_jobs jobs;
    struct buf masked;
    if (s->has_client)
        ip_text(&s->client, client);
    struct envelope env = {
        .arrival_ms = s->wall_ms,
        .body = t->params.body,
        .ret = t->params.ret,
        .priority = t->header.priority,
        .smtputf8 = t->params.smtputf8,
        .envid = txn_envid(t),
        .client = span_cstr(client),
        .helo = span_cstr(s->helo),
        .auth = SPAN(""),
        .virtual_server = span_cstr(s->conf->vs->name),
        .header_from = header_kept(&t->header, HEADER_FROM),
        .subject = header_kept(&t->header, HEADER_SUBJECT),
        .message_id = header_kept(&t->header, HEADER_MESSAGE_ID),
        .hops = t->header.received,
        .visited = txn_visited(t),
        .unknown = SPAN(""),
    };
    buf_init(&masked, ADDRESS_PATH_MAX + ADDRESS_DOMAIN_MAX);
    enum err e = envelope_sender(s, &masked, &env.sender);
    struct route_message m = {.size_bytes = t->size,
                              .priority = env.priority,
                              .sender = env.sender,
                              .in_transit = t->visited_len > 0};
    if (e == ERR_OK)
        e = txn_jobs_init(&jobs, t, route_class(s->conf->routes, &m), s->wall_ms, &expiry);
    if (e == ERR_OK) {
        e = s->ops->commit(s->arg, &env, jobs.commits, jobs.njobs);
        txn_jobs_done(&jobs);
    }
    buf_done(&masked);
    return e;
}

/* Between the end of data and the commit: the message is complete and nobody was told. Event sinks of
 * the transport (submission, categorizing, routing) would be called here, before commit(), and may
 * change envelope and recipients or refuse. */
static void submit(struct session *s)
{
    enum err e = commit(s);
    if (e != ERR_OK) {
        session_refuse_body(s, session_store_reply(e));
        return;
    }
    s->txn->open = false; /* the upload went with the commit */
    session_end_txn(s);
    session_enter(s, ST_STORING);
}

static void end_of_data(struct session *s)
{
    struct txn *t = s->txn;
    s->mail_bytes += t->seen;
    header_finish(&t->header);
    if (t->refusal == REPLY_NONE)
        submit(s);
    if (s->state == ST_STORING)
        return;
    enum reply_id why = t->refusal;
    s->ops->event(s->arg, SESSION_LOST, why, txn_sender(t));
    session_end_txn(s);
    session_refuse(s, why, SPAN(""));
    if (s->state != ST_CLOSED)
        session_enter(s, ST_READY);
}

/* --- the two ways of a body ------------------------------------------------------------------------ */

/* The next octets of a text: scanned, then written. Returns what was consumed. */
static size_t text_some(struct session *s, struct span in, bool *ret_end)
{
    struct txn *t = s->txn;
    *ret_end = false;
    if (t->plain > 0)
        return write_plain(s, in);
    struct dot_piece piece = dot_next(&t->dot, in);
    *ret_end = piece.end;
    if (piece.bare && t->dot.strict)
        session_refuse_body(s, REPLY_LINE_ENDINGS);
    if (piece.inserted) {
        insert_crlf(s);
        return piece.consumed;
    }
    t->plain = piece.body.len;
    return piece.consumed - piece.body.len;
}

static size_t data_some(struct session *s, struct span in)
{
    bool end;
    size_t n = text_some(s, in, &end);
    s->txn->seen += n;
    if (end)
        end_of_data(s);
    else if (s->txn->seen > 2 * session_max_size(s) + OVERRUN_SLACK)
        session_close(s, REPLY_OVERRUN); /* it was refused long ago and goes on */
    return n;
}

void session_chunk_over(struct session *s)
{
    struct txn *t = s->txn;
    char octets[32];
    if (t == NULL || s->chunk_refusal != REPLY_NONE || t->refusal != REPLY_NONE) {
        enum reply_id why = s->chunk_refusal;
        if (t != NULL && t->refusal != REPLY_NONE)
            why = t->refusal;
        bool body = t != NULL && t->nrcpts > 0;
        if (body) {
            s->ops->event(s->arg, SESSION_LOST, why, txn_sender(t));
            s->mail_bytes += t->seen;
            session_end_txn(s); /* RFC 3030 2: a refused chunk is the end of the message */
        }
        session_refuse(s, why, SPAN(""));
        if (s->state != ST_CLOSED)
            session_enter(s, body ? ST_READY : s->back);
        return;
    }
    if (s->chunk_last) {
        end_of_data(s);
        return;
    }
    (void)snprintf(octets, sizeof octets, "%llu", (unsigned long long)t->size);
    session_reply(s, REPLY_CHUNK_OK, span_cstr(octets));
    session_enter(s, ST_CHUNKS);
}

static bool chunk_is_text(const struct session *s)
{
    return s->txn->params.body != BODY_BINARYMIME;
}

/* The last chunk of a text may end in a CR that the scanner still holds. */
static void chunk_ends(struct session *s)
{
    struct txn *t = s->txn;
    if (s->chunk_refusal == REPLY_NONE && s->chunk_last && chunk_is_text(s)) {
        struct dot_piece piece = dot_finish(&t->dot);
        if (piece.bare && t->dot.strict)
            session_refuse_body(s, REPLY_LINE_ENDINGS);
        if (piece.inserted) {
            insert_crlf(s);
            write_lead(s);
        }
    }
    if (!s->blocked)
        session_chunk_over(s);
}

static size_t chunk_some(struct session *s, struct span in)
{
    struct txn *t = s->txn;
    bool end;
    size_t n;
    if (s->chunk_left < in.len)
        in.len = (size_t)s->chunk_left;
    if (s->chunk_refusal != REPLY_NONE) {
        n = in.len;
    } else if (chunk_is_text(s)) {
        n = text_some(s, in, &end);
    } else {
        t->plain = in.len;
        n = write_plain(s, in);
        t->plain = 0;
    }
    if (t != NULL)
        t->seen += n;
    s->chunk_left -= n;
    return n;
}

size_t session_body(struct session *s, struct span in)
{
    size_t done = 0;
    enum session_state state = s->state;
    while (s->state == state) {
        if (s->txn != NULL && s->txn->refusal == REPLY_NONE)
            write_lead(s);
        if (s->blocked)
            break;
        if (state == ST_CHUNK && s->chunk_left == 0) {
            chunk_ends(s);
            continue;
        }
        if (done == in.len)
            break;
        struct span rest = span_from(in, done);
        done += state == ST_DATA ? data_some(s, rest) : chunk_some(s, rest);
    }
    return done;
}
