#include "node/trace.h"

#include <string.h>

enum { TRACE_NAME_MAX = 255 };

static enum err add_name(struct buf *out, struct span foreign)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    size_t before = out->len;
    enum err e = buf_add(out, foreign.len == 0 ? SPAN("unknown") : span_first(foreign, TRACE_NAME_MAX));
    if (e != ERR_OK)
        return e;
    for (size_t i = before; i < out->len; i++)
        if (out->ptr[i] == '\0' || strchr(plain, out->ptr[i]) == NULL)
            out->ptr[i] = '?';
    return ERR_OK;
}

/* RFC 3848, RFC 6531 3.7.3 (whose names have no form for plain SMTP). */
static const char *protocol(const struct trace *t)
{
    static const char *const names[2][2] = {{"ESMTP", "ESMTPS"}, {"UTF8SMTP", "UTF8SMTPS"}};
    if (!t->esmtp)
        return "SMTP";
    return names[t->smtputf8][t->tls_version.len > 0];
}

static enum err add_from(struct buf *out, const struct trace *t)
{
    char ip[IP_TEXT_MAX];
    enum err e = buf_add(out, SPAN("Received: from "));
    if (e == ERR_OK)
        e = add_name(out, t->helo);
    if (e == ERR_OK)
        e = buf_add(out, SPAN(" ("));
    if (e == ERR_OK && t->rdns.len > 0) {
        e = add_name(out, t->rdns);
        if (e == ERR_OK)
            e = buf_addc(out, ' ');
    }
    if (e != ERR_OK)
        return e;
    if (t->client == NULL)
        return buf_add(out, SPAN("local)\r\n"));
    ip_text(t->client, ip);
    return buf_addf(out, "[%s%s])\r\n", t->client->v6 ? "IPv6:" : "", ip); /* 4.1.3 */
}

enum err trace_received(struct buf *out, const struct trace *t)
{
    char date[32];
    enum err e = add_from(out, t);
    if (e == ERR_OK)
        e = buf_add(out, SPAN("\tby "));
    if (e == ERR_OK)
        e = add_name(out, t->hostname);
    if (e == ERR_OK)
        e = buf_addf(out, " (Bridgehead) with %s", protocol(t));
    if (e == ERR_OK && t->tls_version.len > 0)
        e = buf_addf(out, " (" SPAN_FMT " " SPAN_FMT ")", SPAN_ARG(t->tls_version), SPAN_ARG(t->tls_cipher));
    if (e == ERR_OK)
        e = buf_addf(out, "\r\n\tid " SPAN_FMT, SPAN_ARG(t->id));
    if (e == ERR_OK && t->recipient.len > 0)
        e = buf_addf(out, "\r\n\tfor <" SPAN_FMT ">", SPAN_ARG(t->recipient));
    if (e != ERR_OK)
        return e;
    clock_rfc5322(t->wall_ms, date);
    return buf_addf(out, ";\r\n\t%s\r\n", date);
}
