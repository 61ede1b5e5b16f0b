#include "common/idna.h"

#include <idn2.h>
#include <string.h>

/* Four octets of UTF-8 a code point, each of which makes at least one of the ASCII form: enough. */
enum { NAME_MAX_OCTETS = 255, UTF8_MAX = 4 * NAME_MAX_OCTETS };

enum err idna_to_ascii(struct span name, struct buf *out, struct errctx *ec)
{
    char utf8[UTF8_MAX + 1];
    char *ascii = NULL;
    if (span_is_ascii(name))
        return buf_add(out, name);
    if (name.len > UTF8_MAX || memchr(name.ptr, '\0', name.len) != NULL)
        return err_set(ec, ERR_PARSE, "not a domain name");
    memcpy(utf8, name.ptr, name.len);
    utf8[name.len] = '\0';
    int failure = idn2_to_ascii_8z(utf8, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (failure == IDN2_MALLOC)
        return err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    if (failure != IDN2_OK)
        return err_set(ec, ERR_PARSE, "not a domain name: %s", idn2_strerror(failure));
    enum err e = buf_add(out, span_cstr(ascii));
    idn2_free(ascii);
    return e;
}
