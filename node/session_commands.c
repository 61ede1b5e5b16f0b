#include "node/session_impl.h"

#include "common/address.h"

#include <stdlib.h>

/* One word of printable ASCII. No more is asked of it: a name that says nothing is no reason to
 * refuse mail (RFC 5321 4.1.4), and it is escaped wherever it is written. */
static bool is_client_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return s.len > 0 && s.len <= SESSION_HELO_MAX;
}

static bool greeted(struct session *s, struct span name, bool esmtp)
{
    char *copy = is_client_name(name) ? span_dup(name) : NULL;
    if (copy == NULL) {
        session_refuse(s, REPLY_HELO_NAME, SPAN(""));
        return false;
    }
    free(s->helo);
    s->helo = copy;
    s->esmtp = esmtp;
    session_end_txn(s); /* RFC 5321 4.1.4: as if RSET had been given */
    session_enter(s, ST_READY);
    return s->state == ST_READY;
}

void session_ehlo(struct session *s, struct span args)
{
    struct buf text;
    if (!greeted(s, args, true))
        return;
    buf_init(&text, 4096);
    enum err e = buf_add(&text, span_cstr(s->conf->hostname));
    if (e == ERR_OK)
        e = buf_addc(&text, '\n');
    size_t first = text.len;
    struct buf lines;
    buf_init(&lines, 2048);
    if (e == ERR_OK)
        e = extensions_lines(s->offered, session_max_size(s), session_max_rcpts(s), &lines);
    if (e == ERR_OK)
        (void)!buf_add(&text, buf_span(&lines));
    struct span all = buf_span(&text);
    if (text.len == first)
        all.len = first - 1; /* no extension at all */
    session_reply(s, REPLY_EHLO_OK, all);
    buf_done(&lines);
    buf_done(&text);
}

void session_helo(struct session *s, struct span args)
{
    if (greeted(s, args, false))
        session_reply(s, REPLY_HELO_OK, span_cstr(s->conf->hostname));
}

void session_rset(struct session *s, struct span args)
{
    (void)args;
    session_end_txn(s);
    session_reply(s, REPLY_RSET_OK, SPAN(""));
    if (s->state != ST_GREET && s->state != ST_CLOSED)
        session_enter(s, ST_READY);
}

void session_noop(struct session *s, struct span args)
{
    (void)args; /* RFC 5321 4.1.1.9: a string is allowed and ignored */
    session_reply(s, REPLY_NOOP_OK, SPAN(""));
}

void session_quit(struct session *s, struct span args)
{
    (void)args;
    session_close(s, REPLY_BYE);
}

void session_help(struct session *s, struct span args)
{
    struct buf text;
    buf_init(&text, 1024);
    if (verbs_help(s->offered, args, &text) == ERR_OK)
        session_reply(s, REPLY_HELP, buf_span(&text));
    else
        session_reply(s, REPLY_NO_MEMORY, SPAN(""));
    buf_done(&text);
}

void session_vrfy(struct session *s, struct span args)
{
    if (args.len == 0)
        session_refuse(s, REPLY_ARGS, SPAN(""));
    else
        session_reply(s, REPLY_VRFY_MAYBE, SPAN(""));
}

void session_expn(struct session *s, struct span args)
{
    (void)args;
    session_refuse(s, REPLY_EXPN_NO, SPAN(""));
}

/* RFC 1985. The forms @domain (with subdomains) and #queue are not offered. */
void session_etrn(struct session *s, struct span args)
{
    struct buf domain;
    buf_init(&domain, ADDRESS_DOMAIN_MAX);
    if (!domain_valid(args, false) || domain_normalize(args, &domain) != ERR_OK)
        session_refuse(s, REPLY_ARGS, SPAN(""));
    else if (!s->client_relays)
        session_refuse(s, REPLY_ETRN_DENIED, buf_span(&domain));
    else if (s->ops->etrn(s->arg, buf_span(&domain)) == ERR_OK)
        session_reply(s, REPLY_ETRN_OK, buf_span(&domain));
    else
        session_refuse(s, REPLY_ETRN_UNABLE, buf_span(&domain));
    buf_done(&domain);
}

void session_starttls(struct session *s, struct span args)
{
    (void)args;
    if (s->tls) {
        session_refuse(s, REPLY_TLS_ACTIVE, SPAN(""));
    } else if (!(s->offered & EXT_STARTTLS)) {
        session_refuse(s, REPLY_NOT_OFFERED, SPAN(""));
    } else {
        session_enter(s, ST_TLS);
        s->tls_reply_due = true; /* unless more comes in this turn: session_output() */
    }
}
