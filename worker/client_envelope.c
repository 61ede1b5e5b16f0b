/* worker/client_envelope.c — MAIL and RCPT: what the message needs, what the server offers, how it is said.
 *
 * Addresses and parameters come from the store and are checked again before they go on the wire: nothing
 * in them can end a command or begin a parameter. */
#include "common/address.h"
#include "worker/client_impl.h"

enum { PARAMETER_MAX = 4000 };

static bool can_send_address(struct span s)
{
    struct address a;
    return span_ieq(s, SPAN("postmaster")) || address_parse(s, true, &a, NULL) == ERR_OK;
}

/* A parameter's value: printable, no blank (RFC 5321 4.1.2 esmtp-value; RFC 6533 adds UTF-8). */
static bool can_send_value(struct span s, bool utf8)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char b = (unsigned char)s.ptr[i];
        if (b <= ' ' || b == 0x7f || (b >= 0x80 && !utf8))
            return false;
    }
    return s.len > 0 && s.len <= PARAMETER_MAX;
}

static bool has(const struct client *c, unsigned cap)
{
    return (c->caps.bits & cap) != 0;
}

bool envelope_recipient_fits(const struct client *c, const struct recipient *r, enum failure *ret_why)
{
    if (!can_send_address(r->address))
        *ret_why = FAILURE_BAD_ADDRESS;
    else if (!span_is_ascii(r->address) && !has(c, CAP_SMTPUTF8))
        *ret_why = FAILURE_NEEDS_UTF8; /* RFC 6531 3.5: 553 5.6.7 */
    else
        return true;
    return false;
}

/* ret_scan: the message claims a need that the server lacks; whether the claim is true has to be seen. */
bool envelope_message_fits(const struct client *c, enum failure *ret_why, bool *ret_scan)
{
    const struct client_message *m = &c->txn.m;
    *ret_scan = false;
    if (m->env->sender.len > 0 && !can_send_address(m->env->sender))
        *ret_why = FAILURE_BAD_ADDRESS;
    else if (has(c, CAP_SIZE) && c->caps.size_limit > 0 && m->size_bytes > c->caps.size_limit)
        *ret_why = FAILURE_TOO_BIG;
    else if (m->env->body == BODY_BINARYMIME && !(has(c, CAP_BINARYMIME) && has(c, CAP_CHUNKING)))
        *ret_why = FAILURE_NEEDS_BINARY;
    else if (!span_is_ascii(m->env->sender) && !has(c, CAP_SMTPUTF8))
        *ret_why = FAILURE_NEEDS_UTF8;
    else {
        *ret_scan = m->size_bytes > 0 && ((m->env->body == BODY_8BITMIME && !has(c, CAP_8BITMIME)) ||
                                          (m->env->smtputf8 && !has(c, CAP_SMTPUTF8)));
        return true;
    }
    return false;
}

static bool needs_utf8(const struct client_message *m)
{
    bool utf8 = m->env->smtputf8 || !span_is_ascii(m->env->sender);
    for (size_t i = 0; i < m->nrcpts && !utf8; i++)
        utf8 = !span_is_ascii(m->rcpts[i].address);
    return utf8;
}

static void put_number(struct client *c, const char *name, uint64_t value)
{
    char text[48];
    int n = snprintf(text, sizeof(text), " %s=%llu", name, (unsigned long long)value);
    client_put(c, span_of(text, (size_t)n));
}

static void put_value(struct client *c, struct span name, struct span value)
{
    if (!can_send_value(value, c->txn.utf8))
        return; /* an optional parameter is not worth a bounce */
    client_put(c, name);
    client_put(c, value);
}

void envelope_put_mail(struct client *c)
{
    static const struct span rets[] = {[DSN_RET_UNSET] = SPAN_INIT(""),
                                       [DSN_RET_FULL] = SPAN_INIT(" RET=FULL"),
                                       [DSN_RET_HDRS] = SPAN_INIT(" RET=HDRS")};
    struct txn *t = &c->txn;
    const struct envelope *env = t->m.env;
    t->utf8 = has(c, CAP_SMTPUTF8) && needs_utf8(&t->m);
    client_put(c, SPAN("MAIL FROM:<"));
    client_put(c, env->sender);
    client_put(c, SPAN(">"));
    if (has(c, CAP_SIZE))
        put_number(c, "SIZE", t->m.size_bytes);
    if (env->body == BODY_BINARYMIME)
        client_put(c, SPAN(" BODY=BINARYMIME"));
    else if (env->body == BODY_8BITMIME && has(c, CAP_8BITMIME))
        client_put(c, SPAN(" BODY=8BITMIME"));
    if (t->utf8)
        client_put(c, SPAN(" SMTPUTF8"));
    if (has(c, CAP_DSN)) {
        if ((size_t)env->ret < ARRAY_LEN(rets))
            client_put(c, rets[env->ret]);
        put_value(c, SPAN(" ENVID="), env->envid);
    }
    if (has(c, CAP_XVISITED))
        put_value(c, SPAN(" XVISITED="), t->m.visited);
    client_put(c, SPAN("\r\n"));
}

static void put_notify(struct client *c, uint8_t notify)
{
    static const struct {
        uint8_t bit;
        struct span word;
    } words[] = {{NOTIFY_SUCCESS, SPAN_INIT("SUCCESS")},
                 {NOTIFY_FAILURE, SPAN_INIT("FAILURE")},
                 {NOTIFY_DELAY, SPAN_INIT("DELAY")}};
    struct span before = SPAN(" NOTIFY=");
    if ((notify & NOTIFY_NEVER) != 0) { /* RFC 3461 4.1: alone */
        client_put(c, SPAN(" NOTIFY=NEVER"));
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if ((notify & words[i].bit) == 0)
            continue;
        client_put(c, before);
        client_put(c, words[i].word);
        before = SPAN(",");
    }
}

void envelope_put_rcpt(struct client *c, const struct recipient *r)
{
    client_put(c, SPAN("RCPT TO:<"));
    client_put(c, r->address);
    client_put(c, SPAN(">"));
    if (has(c, CAP_DSN)) { /* RFC 3461 5.2.1: passed on as they came */
        put_notify(c, r->notify);
        put_value(c, SPAN(" ORCPT="), r->orcpt);
    }
    client_put(c, SPAN("\r\n"));
}
