/* node/verbs.h — the SMTP command table: what is legal when, and who does it.
 *
 *             connected    EHLO, HELO        MAIL          RCPT           DATA
 *   START ----> GREET ---------------> READY -----> MAIL -----> RCPT -----------> DATA --.
 *     |           ^                    ^  ^ \        |           | \ BDAT                | CR LF . CR LF
 *     |           | handshake done     |  |  \       `- RSET ----'  `-> CHUNK            |
 *     |          TLS <-- STARTTLS -----'  |   \                          | ^             |
 *     |                                   |    \           chunk is over | | BDAT        |
 *     |                                   |     \                        v |             |
 *     |                                   |      `-- a refused body -- CHUNKS            |
 *     |                                   `------------- STORING <-------+---------------'
 *     |                                        250 or 4xx     LAST chunk is over
 *     `--> CLOSED <-- QUIT, 421, a violation, in every state
 *
 *   START    nothing was sent yet; input is an early talker's (RFC 5321 3.1)
 *   CHUNK    the octets of a chunk are read, of a refused one too: it comes back to where it was
 *   STORING  the queue works on the commit; input waits unread
 *   TLS      220 was sent, the handshake runs; what was buffered before is dropped (RFC 3207 4.2)
 *   CLOSED   the last reply is being sent; input is dropped
 *
 *   V1  a transaction exists exactly in MAIL, RCPT, DATA, CHUNK (but of a refused chunk), CHUNKS.
 *   V2  at least one recipient was taken in RCPT, DATA, CHUNKS.
 *   V3  input behind a command marked V_SYNC and before its reply has left closes the session.
 *   V4  the octets of a chunk are never read as commands, whatever the reply to BDAT. */
#pragma once
#include "common/buf.h"
#include "common/span.h"
#include "node/replies.h"

struct session;
enum session_state {
    ST_START,
    ST_GREET,
    ST_READY,
    ST_MAIL,
    ST_RCPT,
    ST_DATA,
    ST_CHUNK,
    ST_CHUNKS,
    ST_STORING,
    ST_TLS,
    ST_CLOSED,
    ST__COUNT
};
enum verb_flag {
    V_PRE_TLS = 1, /* allowed although TLS is required and not active */
    V_SYNC = 2,    /* V3; RFC 2920 3.1 names more (NOOP, VRFY, EXPN): those change nothing */
    V_NO_ARGS = 4,
};
struct verb {
    struct span name;
    unsigned legal_in, flags;                         /* set of 1 << ST_; set of V_ */
    unsigned extension;                               /* EXT_ that must be offered, or 0 */
    void (*run)(struct session *s, struct span args); /* state, TLS and extension already checked */
    /* In place of the plain reply when the command is refused before run(); NULL: the plain reply. */
    void (*refuse)(struct session *s, struct span args, enum reply_id why);
    const char *usage;
};
extern const struct verb smtp_verbs[];
extern const size_t smtp_verbs_count;

const struct verb *verb_find(struct span name); /* NULL: 500 5.5.2 */
const char *session_state_name(enum session_state st);
/* "Commands: EHLO ...": what `offered` leaves, or the usage of one verb. */
enum err verbs_help(unsigned offered, struct span topic, struct buf *out) MUST_USE;
/* docs/smtp-verbs.md: verbs by state, extensions, parameters. */
enum err verbs_docs(struct buf *out) MUST_USE;
/* The cells of the table as text, one verb a line: for a golden test. */
enum err verbs_matrix(struct buf *out) MUST_USE;
