/* node/extensions.h — the EHLO keywords, declared once: what is offered, switched off and required. */
#pragma once
#include "common/buf.h"
#include "common/config/config.h"

/* X(id, keyword, what): in the order of the EHLO reply. */
#define EXTENSIONS(X)                                                                                        \
    X(PIPELINING, "PIPELINING", "RFC 2920")                                                                  \
    X(SIZE, "SIZE", "RFC 1870; with `max_message_size`")                                                     \
    X(8BITMIME, "8BITMIME", "RFC 6152")                                                                      \
    X(BINARYMIME, "BINARYMIME", "RFC 3030; only together with CHUNKING")                                     \
    X(CHUNKING, "CHUNKING", "RFC 3030")                                                                      \
    X(DSN, "DSN", "RFC 3461")                                                                                \
    X(ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES", "RFC 2034")                                                \
    X(SMTPUTF8, "SMTPUTF8", "RFC 6531; only together with 8BITMIME")                                         \
    X(STARTTLS, "STARTTLS", "RFC 3207; when a certificate is configured and TLS is not active")              \
    X(LIMITS, "LIMITS", "RFC 9422; RCPTMAX is `max_recipients`")                                             \
    X(XVISITED, "XVISITED",                                                                                  \
      "docs/protocol.md; to clients in `relay_from`, when this group has a routing daemon")                  \
    X(HELP, "HELP", "RFC 5321 4.1.1.8")

enum extension_index {
#define X(id, keyword, what) EXT_INDEX_##id,
    EXTENSIONS(X)
#undef X
        EXT__COUNT
};
enum extension { /* a set of them is an unsigned */
#define X(id, keyword, what) EXT_##id = 1 << EXT_INDEX_##id,
                 EXTENSIONS(X)
#undef X
};

/* What a virtual server offers: everything but disable_extensions and, without tls, STARTTLS. */
unsigned extensions_offered(const struct conf_virtual_server *vs, bool tls);
/* "PIPELINING\nSIZE 52428800\n...": the lines of an EHLO reply behind the first, LF between them. */
enum err extensions_lines(unsigned offered, uint64_t max_size, uint64_t max_recipients,
                          struct buf *out) MUST_USE;
const char *extension_keyword(unsigned bit); /* of one EXT_; "" for 0 */
const char *extension_what(unsigned index);
