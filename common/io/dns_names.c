#include "common/io/dns_internal.h"

#include <idn2.h>
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

static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

/* Four octets of UTF-8 a code point, each of which makes at least one of the ASCII form: enough. */
enum { UTF8_NAME_MAX = 4 * DNS_NAME_MAX };

static enum err to_ascii(struct span name, char out[DNS_NAME_MAX], struct errctx *ec)
{
    char utf8[UTF8_NAME_MAX + 1];
    char *ascii = NULL;
    if (name.len > UTF8_NAME_MAX || memchr(name.ptr, '\0', name.len) != NULL)
        return err_set(ec, ERR_PARSE, "not a domain name");
    memcpy(utf8, name.ptr, name.len);
    utf8[name.len] = '\0';
    int failure = idn2_to_ascii_8z(utf8, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (failure == IDN2_MALLOC)
        return err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    if (failure != IDN2_OK)
        return err_set(ec, ERR_PARSE, "not a domain name: %s", idn2_strerror(failure));
    struct span a = span_cstr(ascii);
    bool valid = dns_name_valid(a);
    if (valid)
        lower_copy(out, a);
    idn2_free(ascii);
    return valid ? ERR_OK : err_set(ec, ERR_PARSE, "not a domain name");
}

enum err dns_name_prepare(struct span name, char out[DNS_NAME_MAX], struct errctx *ec)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len > 0 && !is_ascii(name))
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
