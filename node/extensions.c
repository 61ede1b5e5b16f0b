#include "node/extensions.h"

#include <inttypes.h>

static const struct {
    struct span keyword;
    const char *what;
} extensions[EXT__COUNT] = {
#define X(id, keyword, what) [EXT_INDEX_##id] = {SPAN_INIT(keyword), what},
    EXTENSIONS(X)
#undef X
};

unsigned extensions_offered(const struct conf_virtual_server *vs, bool tls)
{
    unsigned set = (1u << EXT__COUNT) - 1;
    for (size_t i = 0; i < vs->disable_extensions.count; i++)
        for (unsigned x = 0; x < EXT__COUNT; x++)
            if (span_ieq(extensions[x].keyword, span_cstr(vs->disable_extensions.items[i])))
                set &= ~(1u << x);
    if (!(set & EXT_CHUNKING))
        set &= ~(unsigned)EXT_BINARYMIME; /* RFC 3030 3: binary travels in chunks alone */
    if (!(set & EXT_8BITMIME))
        set &= ~(unsigned)EXT_SMTPUTF8; /* RFC 6531 3.1, item 8 */
    if (!tls)
        set &= ~(unsigned)EXT_STARTTLS;
    return set;
}

enum err extensions_lines(unsigned offered, uint64_t max_size, uint64_t max_recipients, struct buf *out)
{
    enum err e = ERR_OK;
    for (unsigned x = 0; x < EXT__COUNT && e == ERR_OK; x++) {
        if (!(offered & 1u << x))
            continue;
        e = buf_add(out, out->len > 0 ? SPAN("\n") : SPAN(""));
        if (e == ERR_OK)
            e = buf_add(out, extensions[x].keyword);
        if (e == ERR_OK && x == EXT_INDEX_SIZE)
            e = buf_addf(out, " %" PRIu64, max_size);
        if (e == ERR_OK && x == EXT_INDEX_LIMITS)
            e = buf_addf(out, " RCPTMAX=%" PRIu64, max_recipients);
    }
    return e;
}

const char *extension_keyword(unsigned bit)
{
    for (unsigned x = 0; x < EXT__COUNT; x++)
        if (bit == 1u << x)
            return extensions[x].keyword.ptr;
    return "";
}

const char *extension_what(unsigned index)
{
    return extensions[index].what;
}
