/* node/replies.h — the replies of replies.def as ids, their wire form and their documentation. */
#pragma once
#include "common/buf.h"
#include "common/span.h"

enum reply_id {
#define X(id, code, enhanced, text, meaning) REPLY_##id,
#include "node/replies.def"
#undef X
    REPLY__COUNT,
    REPLY_NONE = REPLY__COUNT /* no reply */
};
struct reply {
    const char *name; /* "RCPT_OK": label of metrics and logs */
    unsigned code;
    const char *enhanced, *text, *meaning;
};
const struct reply *reply_get(enum reply_id id);

/* Appends one reply: lines of at most 512 octets (RFC 5321 4.5.3.1.5). arg replaces "%s"; its bytes
 * outside printable ASCII become "?", and LF in it separates the lines of a multi-line reply.
 * enhanced: with the enhanced status code (RFC 2034). */
enum err reply_add(struct buf *out, enum reply_id id, bool enhanced, struct span arg) MUST_USE;

/* docs/replies.md, generated from the table. */
enum err replies_docs(struct buf *out) MUST_USE;
