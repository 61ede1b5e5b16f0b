/* node/trace.h — the Received header field of RFC 5321 4.4. Pure. */
#pragma once
#include "common/buf.h"
#include "common/clock.h"
#include "common/ip.h"
#include "common/span.h"

struct trace {
    struct span helo;             /* what the client called itself: foreign */
    struct span rdns;             /* its name by DNS, or "" : foreign */
    const struct ip_addr *client; /* NULL: a unix socket */
    struct span hostname;         /* ours */
    bool esmtp, smtputf8;
    struct span tls_version, tls_cipher; /* "" : not encrypted */
    struct span id;                      /* queue id */
    struct span recipient;               /* "local@domain" when it is the only one, else "" (4.4) */
    ms_t wall_ms;
};
/* Folded, with CRLF behind each line, no line above 998 octets. Foreign bytes that have no place in
 * a domain become "?". */
enum err trace_received(struct buf *out, const struct trace *t) MUST_USE;
