/* worker/reply.h — replies of an SMTP or LMTP server, parsed from any bytes cut anywhere (RFC 5321 4.2).
 *
 * Strict and bounded: three digits, 2xx to 5xx, the same code on every line, at most REPLY_LINES_MAX
 * lines of REPLY_LINE_MAX octets; whatever breaks a rule is ERR_PARSE and the parser refuses to go on,
 * because nobody can tell any more which reply belongs to which command. A bare LF ends a line too.
 * Pure: no I/O, no clock. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

enum {
    REPLY_LINE_MAX = 2048, /* RFC 5321 4.5.3.1.5 asks for 512; some servers exceed it */
    REPLY_LINES_MAX = 256,
    REPLY_KEPT_MAX = 1024, /* kept of the text of all lines together, for people */
    REPLY_ENHANCED_MAX = 12,
};

struct reply {
    uint16_t code;                     /* 200..599 */
    char enhanced[REPLY_ENHANCED_MAX]; /* "5.1.1"; "" : none, or not of the class of the code (RFC 2034 4) */
    struct span text; /* lines without codes, one blank between them; cut at REPLY_KEPT_MAX */
};

struct reply_parser {
    struct buf line, text;
    struct reply reply;
    unsigned lines;
    bool done, bad;
};
/* Called with the text of every line of a reply, codes removed; for the answer to EHLO. */
typedef void reply_line_fn(void *arg, uint16_t code, unsigned line, struct span text);

void reply_init(struct reply_parser *p);
void reply_done(struct reply_parser *p); /* idempotent */
/* Takes bytes up to the end of one reply: *ret_taken. ERR_OK: *ret is complete and borrows from p until
 * the next call. ERR_AGAIN: all was taken, more is needed. ERR_PARSE, ERR_TOOBIG, ERR_NOMEM: for good. */
enum err reply_feed(struct reply_parser *p, struct span bytes, size_t *ret_taken, struct reply *ret,
                    reply_line_fn *on_line, void *arg) MUST_USE;
/* Whether a reply has begun but not ended. */
bool reply_partial(const struct reply_parser *p);
/* "5.1.1" at the start of s (RFC 3463 2), followed by a blank or the end; *rest: what follows. */
bool reply_enhanced(struct span s, char ret[REPLY_ENHANCED_MAX], struct span *rest);
