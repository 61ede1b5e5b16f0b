#include "common/address.h"

#include "common/idna.h"
#include "common/ip.h"

#include <string.h>

/* What is left to parse. Every take_* moves past what it accepts and returns false where its
 * production of RFC 5321 4.1.2 does not match. */
struct cursor {
    const char *p, *end;
    bool allow_utf8, saw_utf8;
};

static struct cursor cursor_open(struct span s, bool allow_utf8)
{
    return (struct cursor){.p = s.ptr, .end = s.ptr + s.len, .allow_utf8 = allow_utf8};
}

static bool at(const struct cursor *c, char want)
{
    return c->p < c->end && *c->p == want;
}

static bool take(struct cursor *c, char want)
{
    if (!at(c, want))
        return false;
    c->p++;
    return true;
}

static bool is_let_dig(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
}

/* RFC 5322 3.2.3 */
static bool is_atext(char ch)
{
    return is_let_dig(ch) || (ch != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", ch) != NULL);
}

static bool take_utf8(struct cursor *c)
{
    if (!c->allow_utf8 || c->p >= c->end || ((unsigned char)*c->p & 0x80) == 0)
        return false;
    size_t len = span_utf8(span_of(c->p, (size_t)(c->end - c->p)));
    c->p += len;
    c->saw_utf8 |= len > 0;
    return len > 0;
}

/* Dot-string = Atom *("." Atom) */
static bool take_dot_string(struct cursor *c)
{
    do {
        const char *atom = c->p;
        while ((c->p < c->end && is_atext(*c->p) && c->p++ != NULL) || take_utf8(c))
            ;
        if (c->p == atom)
            return false;
    } while (take(c, '.'));
    return true;
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE */
static bool take_quoted_string(struct cursor *c)
{
    if (!take(c, '"'))
        return false;
    while (c->p < c->end && *c->p != '"') {
        bool escaped = take(c, '\\');
        if (!escaped && take_utf8(c))
            continue;
        if (c->p >= c->end || *c->p < 0x20 || *c->p > 0x7e)
            return false;
        c->p++;
    }
    return take(c, '"');
}

/* sub-domain = Let-dig [Ldh-str], or a U-label (RFC 6531 3.3) */
static bool take_label(struct cursor *c)
{
    const char *label = c->p;
    while ((c->p < c->end && (is_let_dig(*c->p) || *c->p == '-') && c->p++ != NULL) || take_utf8(c))
        ;
    return c->p > label && label[0] != '-' && c->p[-1] != '-';
}

/* Domain = sub-domain *("." sub-domain) */
static enum err take_domain(struct cursor *c)
{
    const char *start = c->p;
    bool long_label = false;
    do {
        const char *label = c->p;
        if (!take_label(c))
            return ERR_PARSE;
        long_label |= c->p - label > ADDRESS_LABEL_MAX;
    } while (take(c, '.'));
    return long_label || c->p - start > ADDRESS_DOMAIN_MAX ? ERR_TOOBIG : ERR_OK;
}

/* Standardized-tag ":" 1*dcontent (4.1.3); the dcontent itself was checked by take_literal. */
static bool is_general_literal(struct span s)
{
    struct span tag, content;
    if (!span_cut(s, ':', &tag, &content) || tag.len == 0 || content.len == 0)
        return false;
    for (size_t i = 0; i < tag.len; i++)
        if (!is_let_dig(tag.ptr[i]) && tag.ptr[i] != '-')
            return false;
    return tag.ptr[tag.len - 1] != '-';
}

/* address-literal = "[" ( IPv4 / "IPv6:" IPv6 / General ) "]" (4.1.3) */
static bool take_literal(struct cursor *c)
{
    struct ip_addr ip;
    size_t colon;
    if (!take(c, '['))
        return false;
    const char *start = c->p;
    while (c->p < c->end && *c->p >= '!' && *c->p <= '~' && *c->p != '[' && *c->p != '\\' && *c->p != ']')
        c->p++;
    struct span inside = span_of(start, (size_t)(c->p - start));
    if (!take(c, ']'))
        return false;
    if (span_has_iprefix(inside, SPAN("IPv6:"))) {
        struct span text = span_from(inside, 5);
        return span_find(text, ':', &colon) && ip_parse(text, &ip) == ERR_OK;
    }
    if (ip_parse(inside, &ip) == ERR_OK)
        return !span_find(inside, ':', &colon); /* IPv6 without its tag would read as a general one */
    return is_general_literal(inside);
}

/* The name of what stands at the cursor, for messages. */
static const char *found(const struct cursor *c, char out[32])
{
    if (c->p >= c->end)
        return "the end of the address";
    unsigned char u = (unsigned char)*c->p;
    if (u >= 0x80 && span_utf8(span_of(c->p, (size_t)(c->end - c->p))) == 0)
        return "bytes that are not valid UTF-8";
    if (u >= 0x80)
        return c->allow_utf8 ? "a non-ASCII character" : "a non-ASCII character without SMTPUTF8";
    (void)snprintf(out, 32, u < 0x20 || u == 0x7f ? "byte 0x%02x" : "'%c'", u);
    return out;
}

static enum err take_local(struct cursor *c, struct address *a, struct errctx *ec)
{
    char what[32];
    const char *start = c->p;
    a->quoted = at(c, '"');
    if (!(a->quoted ? take_quoted_string(c) : take_dot_string(c)))
        return err_set(ec, ERR_PARSE, "%s in the local part", found(c, what));
    a->local = span_of(start, (size_t)(c->p - start));
    if (a->local.len > ADDRESS_LOCAL_MAX)
        return err_set(ec, ERR_TOOBIG, "local part longer than %d octets", ADDRESS_LOCAL_MAX);
    return ERR_OK;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static enum err take_mailbox(struct cursor *c, struct address *a, struct errctx *ec)
{
    char what[32];
    const char *start = c->p;
    enum err e = take_local(c, a, ec);
    if (e != ERR_OK)
        return e;
    a->text = a->local;
    a->domain = span_of(c->p, 0);
    a->utf8 = c->saw_utf8;
    if (!take(c, '@'))
        return ERR_OK; /* the caller knows whether "<postmaster>" may stand here */
    const char *domain = c->p;
    a->literal = at(c, '[');
    if (a->literal && !take_literal(c))
        return err_set(ec, ERR_PARSE, "malformed address literal");
    e = a->literal ? ERR_OK : take_domain(c);
    if (e == ERR_PARSE)
        return err_set(ec, e, "%s in the domain", found(c, what));
    a->domain = span_of(domain, (size_t)(c->p - domain));
    if (e == ERR_TOOBIG || a->domain.len > ADDRESS_DOMAIN_MAX)
        return err_set(ec, ERR_TOOBIG, "domain longer than %d octets, or a label longer than %d",
                       ADDRESS_DOMAIN_MAX, ADDRESS_LABEL_MAX);
    a->text = span_of(start, (size_t)(c->p - start));
    a->utf8 = c->saw_utf8;
    return ERR_OK;
}

/* A-d-l = At-domain *( "," At-domain ), then ":" */
static enum err take_source_route(struct cursor *c, struct errctx *ec)
{
    do {
        if (!take(c, '@') || take_domain(c) != ERR_OK)
            return err_set(ec, ERR_PARSE, "malformed source route");
    } while (take(c, ','));
    return take(c, ':') ? ERR_OK : err_set(ec, ERR_PARSE, "malformed source route");
}

enum err address_parse_path(struct span s, bool allow_utf8, struct address *ret, struct span *rest,
                            struct errctx *ec)
{
    char what[32];
    struct cursor c = cursor_open(s, allow_utf8);
    struct address a = {.text = SPAN(""), .local = SPAN(""), .domain = SPAN("")};
    enum err e = ERR_OK;
    if (!take(&c, '<'))
        return err_set(ec, ERR_PARSE, "address is not in angle brackets");
    if (at(&c, '>')) {
        a.null = true;
    } else {
        if (at(&c, '@'))
            e = take_source_route(&c, ec);
        c.saw_utf8 = false; /* the route is dropped, so is what it asks for */
        if (e == ERR_OK)
            e = take_mailbox(&c, &a, ec);
        if (e != ERR_OK)
            return e;
    }
    if (!take(&c, '>'))
        return err_set(ec, ERR_PARSE, "%s instead of '>'", found(&c, what));
    if (!a.null && a.domain.len == 0 && !span_ieq(a.local, SPAN("postmaster")))
        return err_set(ec, ERR_PARSE, "address without a domain");
    *ret = a;
    *rest = span_of(c.p, (size_t)(c.end - c.p));
    return ERR_OK;
}

enum err address_parse(struct span s, bool allow_utf8, struct address *ret, struct errctx *ec)
{
    char what[32];
    struct cursor c = cursor_open(s, allow_utf8);
    struct address a = {.text = SPAN("")};
    enum err e = take_mailbox(&c, &a, ec);
    if (e != ERR_OK)
        return e;
    if (c.p != c.end)
        return err_set(ec, ERR_PARSE, "%s after the address", found(&c, what));
    if (a.domain.len == 0)
        return err_set(ec, ERR_PARSE, "address without a domain");
    *ret = a;
    return ERR_OK;
}

bool domain_valid(struct span s, bool allow_utf8)
{
    struct cursor c = cursor_open(s, allow_utf8);
    return s.len > 0 && take_domain(&c) == ERR_OK && c.p == c.end;
}

static void lower(struct buf *out, size_t from)
{
    for (size_t i = from; i < out->len; i++)
        if (out->ptr[i] >= 'A' && out->ptr[i] <= 'Z')
            out->ptr[i] = (char)(out->ptr[i] + 32);
}

static enum err normalize_literal(struct span s, struct buf *out)
{
    struct cursor c = cursor_open(s, false);
    if (!take_literal(&c) || c.p != c.end)
        return ERR_PARSE;
    return s.len > ADDRESS_DOMAIN_MAX ? ERR_TOOBIG : buf_add(out, s);
}

/* What UTS 46 maps to dots and letters is looked at again in its ASCII form. */
static enum err normalize_name(struct span s, struct buf *out)
{
    size_t start = out->len;
    struct cursor c = cursor_open(s, true);
    enum err e = take_domain(&c);
    if (e == ERR_OK)
        e = c.p == c.end ? idna_to_ascii(s, out, NULL) : ERR_PARSE;
    if (e != ERR_OK || !c.saw_utf8)
        return e;
    c = cursor_open(span_from(buf_span(out), start), false);
    e = take_domain(&c);
    if (e == ERR_OK && c.p != c.end)
        e = ERR_PARSE;
    if (e != ERR_OK) {
        out->len = start;
        out->ptr[start] = '\0';
    }
    return e;
}

enum err domain_normalize(struct span s, struct buf *out)
{
    size_t start = out->len;
    enum err e = ERR_PARSE;
    if (s.len > 0 && s.ptr[0] == '[')
        e = normalize_literal(s, out);
    else if (s.len > 0)
        e = normalize_name(span_first(s, s.ptr[s.len - 1] == '.' ? s.len - 1 : s.len), out);
    lower(out, e == ERR_OK ? start : out->len);
    return e;
}

enum err address_local_unquote(struct span local, struct buf *out)
{
    struct cursor c = cursor_open(local, true);
    if (!at(&c, '"'))
        return take_dot_string(&c) && c.p == c.end ? buf_add(out, local) : ERR_PARSE;
    if (!take_quoted_string(&c) || c.p != c.end)
        return ERR_PARSE;
    enum err e = buf_reserve(out, local.len); /* so that a failure leaves out as it was */
    struct span inside = span_first(span_from(local, 1), local.len - 2);
    for (size_t i = 0; e == ERR_OK && i < inside.len; i++) {
        i += inside.ptr[i] == '\\';
        e = buf_addc(out, inside.ptr[i]);
    }
    return e;
}
