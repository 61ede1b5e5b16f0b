/* queue/envelope.h — what the queue knows of a message besides its body: envelope and jobs.
 *
 * A job is (message, destination domain, message class, at most JOB_RCPTS_MAX recipients): the unit
 * that is claimed, retried and finished. Encoded form: a version byte, for a job the recipients (their
 * number, then each with its length), then the fields as queue/tlv.h writes them: types of a newer
 * program are kept and written back, so that an older one loses nothing.
 * All spans are borrowed: of the caller when encoding, of the encoded bytes when decoding.
 * Values read from Redis are untrusted: every length is checked, limits as below, and what ends up in
 * commands, keys or headers holds no control bytes. Texts for people (replies, errors, subject) are cut
 * when encoded and may hold any bytes. */
#pragma once
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/mail.h"
#include "common/span.h"

enum {
    ENVELOPE_MAX = 16384, /* encoded bytes */
    JOB_RCPTS_MAX = 100,
    JOB_MAX = 131072, /* encoded bytes */
    JOBS_PER_MESSAGE_MAX = 64000,
    ADDRESS_MAX = 512,  /* RFC 5321 4.5.3.1.3 asks for 256; UTF-8 and source routes are longer */
    JOB_TEXT_MAX = 256, /* replies and errors kept in a job; longer ones are cut */
    SUMMARY_TEXT_MAX = 256,
};
enum body_kind { BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME }; /* RFC 6152, RFC 3030 */
enum dsn_ret { DSN_RET_UNSET, DSN_RET_FULL, DSN_RET_HDRS };   /* RFC 3461 4.3 */
enum {
    NOTIFY_NEVER = 1,
    NOTIFY_SUCCESS = 2,
    NOTIFY_FAILURE = 4,
    NOTIFY_DELAY = 8
}; /* RFC 3461 4.1; 0: not given */

struct envelope {
    struct span sender; /* "" : null reverse-path */
    ms_t arrival_ms;    /* wall clock */
    enum body_kind body;
    enum dsn_ret ret;
    enum priority priority;
    bool smtputf8, system; /* system: a report made by us */
    struct span envid;     /* xtext as given */
    struct span client;    /* "192.0.2.1" */
    struct span helo, auth, virtual_server;
    struct span header_from, subject, message_id; /* cut short: for search and display */
    uint32_t hops;                                /* Received headers counted at arrival */
    struct span visited;                          /* routing groups that it has left: linkstate/trace.h */
    struct span unknown;                          /* TLVs of a newer program, verbatim */
};
enum {
    RECIPIENT_DELIVERED = 900
}; /* as code, no reply's: has the message, only the report of that is owed */
struct recipient {
    struct span address; /* "local@domain" as given */
    struct span orcpt;   /* "rfc822;..." as given, xtext; "" : none */
    uint8_t notify;      /* NOTIFY_* */
    uint16_t code;       /* last reply: 0 none yet; or RECIPIENT_DELIVERED */
    struct span reply;   /* last reply text, cut short */
    struct span unknown;
};
struct job {
    struct span domain; /* normalized: the queue's key */
    uint32_t klass;     /* message class of linkstate/route.h */
    uint32_t attempts;  /* connections and transactions tried */
    uint32_t failures;  /* 4xx of this message's own (not of its link): problem message */
    /* Read from a store: Redis's clock. Before that the writer's own: only how far they are apart counts. */
    ms_t first_ms, next_ms, expire_ms;
    bool delay_noticed;
    struct span last_error;  /* of the last attempt, for people */
    struct recipient *rcpts; /* still to be delivered */
    size_t nrcpts;
    struct span unknown;
};

/* Appends to out. ERR_TOOBIG: above a limit, or out is full; ERR_PARSE: a control byte where none may be. */
enum err envelope_encode(const struct envelope *env, struct buf *out) MUST_USE;
enum err envelope_decode(struct span bytes, struct envelope *ret) MUST_USE; /* ERR_PARSE, ERR_TOOBIG */
enum err job_encode(const struct job *job, struct buf *out) MUST_USE;
/* ret->rcpts is allocated; job_done() frees it. Spans borrow from bytes. ERR_PARSE, ERR_TOOBIG, ERR_NOMEM. */
enum err job_decode(struct span bytes, struct job *ret) MUST_USE;
/* Shifts the times of a decoded job to the clock that its commit was timed by: a writer whose clock is wrong
 * makes nothing expire early, or never. A second time changes nothing. 0: unknown, left alone. */
void job_committed_at(struct job *job, ms_t committed_ms);
void job_done(struct job *job); /* idempotent */
