#include "node/session_impl.h"

#include "common/address.h"
#include "node/policy.h"

#include <string.h>

enum { RCPT_MEMORY = ADDRESS_PATH_MAX + ADDRESS_DOMAIN_MAX + ORCPT_MAX };

uint64_t session_max_size(const struct session *s)
{
    const struct conf_virtual_server *vs = s->conf->vs;
    bool tighter = vs->max_session_size > 0 && vs->max_session_size < vs->max_message_size;
    return tighter ? vs->max_session_size : vs->max_message_size;
}

uint64_t session_max_rcpts(const struct session *s)
{
    uint64_t max = s->conf->vs->max_recipients;
    return max < JOBS_PER_MESSAGE_MAX ? max : JOBS_PER_MESSAGE_MAX;
}

/* "FROM:<path> ...": what stands behind the colon. Blanks there are against RFC 5321 3.3, and common. */
static bool after_keyword(struct span args, struct span keyword, struct span *ret)
{
    if (!span_has_iprefix(args, keyword))
        return false;
    *ret = span_trim(span_from(args, keyword.len));
    return true;
}

/* True when the parameters are fine; else refused. */
static bool params_ok(struct session *s, enum err e, struct span name)
{
    if (e == ERR_OK)
        return true;
    session_refuse(s, e == ERR_NOTFOUND ? REPLY_PARAM_UNKNOWN : REPLY_PARAM_BAD, span_first(name, 64));
    return false;
}

static bool rest_is_separate(struct span rest)
{
    return rest.len == 0 || rest.ptr[0] == ' ';
}

static bool mail_allowed(struct session *s, const struct mail_params *params)
{
    enum err e = s->ops->ready(s->arg);
    uint64_t limit = s->conf->vs->max_session_size;
    if (limit > 0 && s->mail_bytes >= limit)
        session_close(s, REPLY_SESSION_SIZE);
    else if (params->has_size && params->size > session_max_size(s))
        session_refuse(s, REPLY_SIZE_DECLARED, SPAN(""));
    else if (limit > 0 && params->has_size && params->size > limit - s->mail_bytes)
        session_close(s, REPLY_SESSION_SIZE);
    else if (e != ERR_OK)
        session_refuse(s, session_store_reply(e), SPAN(""));
    else
        return true;
    return false;
}

void session_mail(struct session *s, struct span args)
{
    struct span path, rest, name = SPAN("");
    struct address sender;
    struct mail_params params;
    if (!after_keyword(args, SPAN("FROM:"), &path) ||
        address_parse_path(path, true, &sender, &rest, NULL) != ERR_OK || !rest_is_separate(rest) ||
        (!sender.null && sender.domain.len == 0)) {
        session_refuse(s, REPLY_SENDER_SYNTAX, SPAN(""));
        return;
    }
    if (!params_ok(s, params_mail(rest, s->offered, &params, &name), name) || !mail_allowed(s, &params))
        return;
    if (sender.utf8 && !params.smtputf8) {
        session_refuse(s, REPLY_SENDER_UTF8, SPAN(""));
        return;
    }
    s->txn = txn_new(&sender, &params);
    if (s->txn == NULL) {
        session_reply(s, REPLY_NO_MEMORY, SPAN(""));
        return;
    }
    session_enter(s, ST_MAIL);
    session_reply(s, REPLY_MAIL_OK, SPAN(""));
}

/* RFC 5321 4.5.1: <postmaster> without a domain is always a mailbox: of a local domain, the server's own name
 * if that is one; without any, of whom reports come from. Its address is written into out. */
static bool postmaster(const struct session *s, struct address *rcpt, struct buf *out)
{
    const struct conf_root *root = s->conf->root;
    if (root->local_domains.count == 0) {
        struct span configured = span_cstr(root->delivery.dsn.postmaster);
        return buf_add(out, configured) == ERR_OK &&
               address_parse(buf_span(out), true, rcpt, NULL) == ERR_OK && rcpt->domain.len > 0;
    }
    const char *domain = root->local_domains.items[0].domain;
    for (size_t i = 0; i < root->local_domains.count; i++)
        if (span_ieq(span_cstr(root->local_domains.items[i].domain), span_cstr(s->conf->hostname)))
            domain = s->conf->hostname;
    if (buf_addf(out, SPAN_FMT "@%s", SPAN_ARG(rcpt->local), domain) != ERR_OK)
        return false;
    rcpt->text = buf_span(out);
    rcpt->domain = span_from(rcpt->text, rcpt->local.len + 1);
    rcpt->local = span_first(rcpt->text, rcpt->local.len);
    return true;
}

static struct route_message message_class(const struct session *s)
{
    const struct txn *t = s->txn;
    return (struct route_message){.size_bytes = t->params.size > t->size ? t->params.size : t->size,
                                  .priority = t->header.priority,
                                  .sender = txn_sender(t),
                                  .in_transit = t->visited_len > 0};
}

/* ours: the server's own postmaster, who is open to everybody, whatever his address. */
static void rcpt_route(struct session *s, const struct address *rcpt, struct span domain,
                       const struct rcpt_params *params, bool ours)
{
    struct route route;
    struct route_message m = message_class(s);
    route_lookup(s->conf->routes, domain, route_class(s->conf->routes, &m), &route);
    enum policy_verdict verdict = policy_recipient(&route, s->client_relays);
    if (verdict != POLICY_TAKE && !ours) {
        session_refuse(s, verdict == POLICY_NO_ROUTE ? REPLY_RCPT_NO_ROUTE : REPLY_RCPT_RELAY, SPAN(""));
        return;
    }
    if (s->txn->nrcpts >= session_max_rcpts(s)) {
        session_refuse(s, REPLY_RCPT_TOO_MANY, SPAN(""));
        return;
    }
    enum err e = s->ops->memory(s->arg, txn_memory(s->txn) + RCPT_MEMORY);
    if (e == ERR_OK)
        e = txn_add(s->txn, rcpt, domain, route.kind == ROUTE_LOCAL, params);
    if (e != ERR_OK && e != ERR_EXISTS) {
        session_refuse(s, e == ERR_NOMEM ? REPLY_NO_MEMORY : REPLY_QUEUE_FULL, SPAN(""));
        return;
    }
    s->ops->event(s->arg, SESSION_TAKEN, REPLY_NONE, rcpt->text);
    session_enter(s, ST_RCPT);
    session_reply(s, REPLY_RCPT_OK, SPAN(""));
}

static void rcpt_parsed(struct session *s, struct address *rcpt, struct span rest)
{
    struct span name = SPAN("");
    struct rcpt_params params;
    struct buf text, domain;
    if (rcpt->utf8 && !s->txn->params.smtputf8) {
        session_refuse(s, REPLY_RCPT_UTF8, SPAN(""));
        return;
    }
    if (!params_ok(s, params_rcpt(rest, s->offered, s->txn->params.smtputf8, &params, &name), name))
        return;
    buf_init(&text, ADDRESS_PATH_MAX);
    buf_init(&domain, ADDRESS_DOMAIN_MAX);
    bool ours = rcpt->domain.len == 0;
    if (ours && !postmaster(s, rcpt, &text))
        session_refuse(s, REPLY_RCPT_NO_POSTMASTER, SPAN(""));
    else if (domain_normalize(rcpt->domain, &domain) != ERR_OK)
        session_refuse(s, REPLY_RCPT_SYNTAX, SPAN(""));
    else
        rcpt_route(s, rcpt, buf_span(&domain), &params, ours);
    buf_done(&domain);
    buf_done(&text);
}

void session_rcpt(struct session *s, struct span args)
{
    struct span path, rest;
    struct address rcpt;
    bool ok = after_keyword(args, SPAN("TO:"), &path) &&
              address_parse_path(path, true, &rcpt, &rest, NULL) == ERR_OK && rest_is_separate(rest) &&
              !rcpt.null && (rcpt.domain.len > 0 || span_ieq(rcpt.local, SPAN("postmaster")));
    if (ok)
        rcpt_parsed(s, &rcpt, rest);
    else
        session_refuse(s, REPLY_RCPT_SYNTAX, SPAN(""));
}

void session_data(struct session *s, struct span args)
{
    (void)args;
    if (s->txn->nrcpts == 0) {
        session_refuse(s, REPLY_RCPT_NONE, SPAN(""));
        return;
    }
    if (s->txn->params.body == BODY_BINARYMIME) {
        session_refuse(s, REPLY_DATA_BINARY, SPAN(""));
        return;
    }
    session_open_body(s, true);
    if (s->txn->refusal != REPLY_NONE) { /* nothing was sent yet: the answer need not wait */
        enum reply_id why = s->txn->refusal;
        session_end_txn(s);
        session_enter(s, ST_READY);
        session_refuse(s, why, SPAN(""));
        return;
    }
    session_enter(s, ST_DATA);
    session_reply(s, REPLY_DATA_GO, SPAN(""));
}

/* --- RFC 3030 -------------------------------------------------------------------------------------- */

static bool chunk_args(struct span args, uint64_t *ret_size, bool *ret_last)
{
    struct span size, word;
    (void)span_cut(args, ' ', &size, &word);
    word = span_trim(word);
    *ret_last = span_ieq(word, SPAN("LAST"));
    return span_to_u64(size, INT64_MAX, ret_size) && (word.len == 0 || *ret_last);
}

static void chunk_begin(struct session *s, uint64_t size, bool last, enum reply_id refusal)
{
    /* A refused chunk is read past (RFC 3030 2), but not without end. */
    if (refusal != REPLY_NONE && size > session_max_size(s)) {
        session_close(s, REPLY_CHUNK_HUGE);
        return;
    }
    s->back = s->state;
    s->chunk_left = size;
    s->chunk_last = last;
    s->chunk_refusal = refusal;
    session_enter(s, ST_CHUNK);
    if (size == 0)
        (void)session_body(s, SPAN("")); /* an empty body has a Received header, too */
}

/* V4: a command that cannot be obeyed still tells how many octets are not commands. When even that
 * cannot be read there is no telling where commands go on, and the session ends. */
void session_bdat_refuse(struct session *s, struct span args, enum reply_id why)
{
    uint64_t size;
    bool last;
    if (chunk_args(args, &size, &last))
        chunk_begin(s, size, last, why);
    else
        session_close(s, REPLY_CHUNK_ARGS);
}

void session_bdat(struct session *s, struct span args)
{
    uint64_t size;
    bool last;
    struct txn *t = s->txn;
    if (!chunk_args(args, &size, &last)) {
        session_close(s, REPLY_CHUNK_ARGS);
        return;
    }
    if (t->nrcpts == 0) {
        chunk_begin(s, size, last, REPLY_RCPT_NONE);
        return;
    }
    if (s->state == ST_RCPT)
        session_open_body(s, false);
    if (t->refusal == REPLY_NONE && size > session_max_size(s) - t->size)
        session_refuse_body(s, REPLY_SIZE_EXCEEDED);
    chunk_begin(s, size, last, t->refusal);
}
