#include "worker/deliver.h"

#include "common/address.h"

static const struct {
    struct span prefix;
    enum deliver_kind kind;
} schemes[] = {
    {SPAN_INIT("maildir:"), DELIVER_MAILDIR},
    {SPAN_INIT("lmtp:unix:"), DELIVER_LMTP_UNIX},
    {SPAN_INIT("lmtp://"), DELIVER_LMTP},
};

enum err deliver_parse(struct span text, struct deliver *ret, struct errctx *ec)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        struct span where = span_from(text, schemes[i].prefix.len);

        if (!span_has_prefix(text, schemes[i].prefix) || where.len == 0)
            continue;
        *ret = (struct deliver){.kind = schemes[i].kind, .where = where};
        return ERR_OK;
    }
    return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is none of maildir:PATH, lmtp://host:port, lmtp:unix:/path",
                   SPAN_ARG(text));
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("._+=-", c) != NULL);
}

/* Appends name so that it can be (a part of) one path component. */
static enum err add_component(struct span name, struct buf *out)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < name.len && e == ERR_OK; i++) {
        char c = name.ptr[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        if (is_plain(c) && !(i == 0 && c == '.'))
            e = buf_addc(out, c);
        else
            e = buf_addf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
    return e;
}

static enum err mailbox_parts(struct span address, struct buf *local, struct buf *domain)
{
    size_t at;
    enum err e;

    if (!span_rfind(address, '@', &at) || at == 0 || at + 1 == address.len)
        return ERR_PARSE;
    /* "a b"@x and a\ b@x are one mailbox (RFC 5321 4.1.2) */
    e = address_local_unquote(span_first(address, at), local);
    if (e == ERR_OK)
        e = domain_normalize(span_from(address, at + 1), domain);
    return e == ERR_OK && local->len == 0 ? ERR_PARSE : e;
}

static enum err expand(struct span template, struct span local, struct span domain, struct buf *out)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < template.len && e == ERR_OK; i++) {
        char c = template.ptr[i], next = '\0';

        if (i + 1 < template.len)
            next = template.ptr[i + 1];

        if (c != '%' || (next != 'u' && next != 'd')) {
            e = buf_addc(out, c);
            continue;
        }
        e = add_component(next == 'u' ? local : domain, out);
        i++;
    }
    return e;
}

static enum err check_components(struct span path)
{
    struct span part, rest = path;
    bool more = true;

    while (more) {
        more = span_cut(rest, '/', &part, &rest);
        if (part.len > DELIVER_COMPONENT_MAX)
            return ERR_TOOBIG;
    }
    return ERR_OK;
}

enum err deliver_path(struct span template, struct span base_dir, struct span address, struct buf *out)
{
    struct buf local, domain;
    size_t start = out->len;
    enum err e;

    buf_init(&local, ADDRESS_PATH_MAX);
    buf_init(&domain, ADDRESS_DOMAIN_MAX);
    e = mailbox_parts(address, &local, &domain);
    if (e == ERR_OK && template.len > 0 && template.ptr[0] != '/' && base_dir.len > 0) {
        e = buf_add(out, base_dir);
        if (e == ERR_OK)
            e = buf_addc(out, '/');
    }
    if (e == ERR_OK)
        e = expand(template, buf_span(&local), buf_span(&domain), out);
    if (e == ERR_OK)
        e = check_components(span_from(buf_span(out), start));
    buf_done(&local);
    buf_done(&domain);
    return e;
}
