/* queue/dsn.h — delivery status notifications: multipart/report (RFC 3461, 3462, 3464; 6533 for SMTPUTF8).
 *
 * Pure and streaming: dsn_begin() writes everything up to the returned message, dsn_original() is fed
 * the original body piece by piece, dsn_end() closes. A report is a new message with a null sender and the
 * original sender as its only recipient; never made for a message whose sender is null (badmail instead).
 * Everything that came from outside (addresses, replies, ENVID) is checked, folded and escaped. */
#pragma once
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/span.h"
#include "queue/envelope.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED };

struct dsn_recipient {
    struct span address; /* "local@domain" */
    struct span orcpt;   /* "rfc822;..." xtext as given; "" : none */
    uint8_t notify;      /* NOTIFY_*; 0: not given */
    enum dsn_action action;
    struct span status;       /* "5.1.1" */
    struct span remote;       /* name of the server that answered; "" : none did */
    struct span diagnostic;   /* its reply, "550 5.1.1 no such user"; "" : none */
    struct span explanation;  /* for people, when there was no reply: "the connection was refused" */
    ms_t last_attempt_ms;     /* wall clock; 0: unknown */
    ms_t will_retry_until_ms; /* DELAYED */
};
/* Whether this recipient asked to hear of it: RFC 3461 4.1; not given means FAILURE and DELAY. */
bool dsn_wanted(uint8_t notify, enum dsn_action action);

struct dsn_report {
    const struct envelope *env; /* of the original message: sender, envid, ret, body, smtputf8, arrival */
    const struct dsn_recipient *rcpts; /* only those that dsn_wanted(); at least one */
    size_t nrcpts;
    struct span reporting_mta; /* own host name */
    struct span from;          /* "postmaster@example.org" */
    struct span boundary; /* 16..60 characters of [A-Za-z0-9], unpredictable (a random number of 128 bits) */
    struct span queue_id; /* of the original, for people */
    struct span message_id;  /* of the report, without brackets: "id@host" */
    ms_t now_ms;             /* wall clock */
    uint64_t original_bytes; /* size of the original body */
    uint64_t max_bytes;      /* above this only its headers are returned */
};
struct dsn_writer { /* caller-owned, nothing to free */
    struct span boundary;
    bool headers_only, ended; /* ended: the blank line after the headers was seen */
    unsigned eol;             /* progress through the end of the last line */
    uint64_t headers_bytes;
};
/* The head of the worst report: JOB_RCPTS_MAX recipients, each with address, name, reply and ORCPT as long as
 * they may be, all of it twice (for people and for programs), every byte escaped as four. */
enum { DSN_BEGIN_MAX = 4 << 20, DSN_HEADERS_MAX = 65536 };

/* Appends the head of the report. ERR_STATE: the sender is null; ERR_PARSE: an argument cannot be used
 * (boundary, no recipients); ERR_TOOBIG, ERR_NOMEM of out. */
enum err dsn_begin(struct dsn_writer *w, const struct dsn_report *r, struct buf *out) MUST_USE;
/* What of the next piece of the original belongs into the report: a prefix of piece, borrowed, to be
 * written as it is. *ret_more false: no further pieces are needed. */
struct span dsn_original(struct dsn_writer *w, struct span piece, bool *ret_more);
/* Appends the end of the report. */
enum err dsn_end(struct dsn_writer *w, struct buf *out) MUST_USE;

/* The envelope of the report; spans borrow from r. Its one recipient is r->env->sender, with NOTIFY=NEVER. */
void dsn_envelope(const struct dsn_report *r, struct envelope *ret);
