/* links: common */
/* What is accepted holds no control byte, keeps its limits, parses again to itself, and its parts can be
 * normalized, once and for all, to ASCII. */
#include "common/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_domain(struct span domain)
{
    struct buf once, twice;
    buf_init(&once, ADDRESS_DOMAIN_MAX);
    buf_init(&twice, ADDRESS_DOMAIN_MAX);
    bool ascii = span_is_ascii(domain);
    enum err e = domain_normalize(domain, &once);
    if (e != ERR_OK) { /* what looks like a U-label may be none (RFC 5891 4.2) */
        require(!ascii && once.len == 0);
    } else {
        require(ascii ? span_ieq(buf_span(&once), domain) : span_is_ascii(buf_span(&once)));
        require(domain_normalize(buf_span(&once), &twice) == ERR_OK &&
                span_eq(buf_span(&once), buf_span(&twice)));
    }
    buf_done(&once);
    buf_done(&twice);
}

static void check_address(struct span in, const struct address *a, struct span rest)
{
    struct address again;
    struct buf local;
    require(a->text.ptr >= in.ptr && rest.ptr + rest.len == in.ptr + in.len);
    require(a->local.len <= ADDRESS_LOCAL_MAX && a->text.len <= ADDRESS_PATH_MAX);
    for (size_t i = 0; i < a->text.len; i++)
        require((unsigned char)a->text.ptr[i] >= 0x20 && a->text.ptr[i] != 0x7f);
    buf_init(&local, ADDRESS_LOCAL_MAX);
    require(address_local_unquote(a->local, &local) == ERR_OK);
    buf_done(&local);
    if (a->domain.len == 0)
        return;
    require(address_parse(a->text, true, &again, NULL) == ERR_OK && span_eq(again.text, a->text));
    require(address_parse(a->text, false, &again, NULL) == (a->utf8 ? ERR_PARSE : ERR_OK));
    check_domain(a->domain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of((const char *)data, size), rest;
    struct address a;
    struct errctx ec;
    if (address_parse_path(in, true, &a, &rest, &ec) == ERR_OK && !a.null)
        check_address(in, &a, rest);
    if (address_parse(in, true, &a, &ec) == ERR_OK)
        check_address(in, &a, span_from(in, in.len));
    struct buf out;
    buf_init(&out, ADDRESS_DOMAIN_MAX);
    if (domain_normalize(in, &out) == ERR_OK)
        check_domain(buf_span(&out));
    buf_done(&out);
    return 0;
}
