#include "common/idna.h"
#include "common/io/dns_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool dns_name_valid(struct span name)
{
    struct span label;
    bool more = true;
    if (name.len == 0 || name.len >= DNS_NAME_MAX)
        return false;
    while (more) {
        more = span_cut(name, '.', &label, &name);
        if (label.len == 0 || label.len > 63)
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!label_byte(label.ptr[i]))
                return false;
    }
    return true;
}

static void lower_copy(char out[DNS_NAME_MAX], struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        out[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + ('a' - 'A') : name.ptr[i]);
    out[name.len] = '\0';
}

static enum err to_ascii(struct span name, char out[DNS_NAME_MAX], struct errctx *ec)
{
    struct buf ascii;
    buf_init(&ascii, DNS_NAME_MAX);
    enum err e = idna_to_ascii(name, &ascii, ec);
    if (e == ERR_TOOBIG || (e == ERR_OK && !dns_name_valid(buf_span(&ascii))))
        e = err_set(ec, ERR_PARSE, "not a domain name");
    if (e == ERR_OK)
        lower_copy(out, buf_span(&ascii));
    buf_done(&ascii);
    return e;
}

enum err dns_name_prepare(struct span name, char out[DNS_NAME_MAX], struct errctx *ec)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len > 0 && !span_is_ascii(name))
        return to_ascii(name, out, ec);
    if (!dns_name_valid(name))
        return err_set(ec, ERR_PARSE, "not a domain name");
    lower_copy(out, name);
    return ERR_OK;
}

void dns_name_reverse(const struct ip_addr *a, char out[DNS_NAME_MAX])
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    if (!a->v6) {
        (void)snprintf(out, DNS_NAME_MAX, "%u.%u.%u.%u.in-addr.arpa", a->bytes[3], a->bytes[2], a->bytes[1],
                       a->bytes[0]);
        return;
    }
    for (size_t i = 16; i > 0; i--) {
        out[n++] = hex[a->bytes[i - 1] & 15];
        out[n++] = '.';
        out[n++] = hex[a->bytes[i - 1] >> 4];
        out[n++] = '.';
    }
    (void)snprintf(out + n, DNS_NAME_MAX - n, "ip6.arpa");
}
