/* worker/verdict.h — what an answer, or the lack of one, means for recipients, message and link.
 *
 * One pure function over one table; tests/golden/verdict.txt lists every decision. These are the
 * delivery semantics of the whole program: nothing else decides between retry and bounce.
 *
 *   4xx for a message or a recipient: that message waits, the session goes on.
 *   5xx for a recipient: that recipient alone is returned.
 *   421 anywhere, a 4xx banner, silence, a cut: the link failed, not the message.
 *   5xx instead of a greeting, from every mail exchanger: the domain takes no mail from us (RFC 7504). From a
 *   smart host it is a mistake in one of two configurations, mended sooner than the mail expires: that waits.
 *   53x (a login or TLS is wanted: RFC 4954 6, RFC 3207 4) is no word about the message either. Of a smart
 * host it waits by the schedule of the message, not of the link: such servers may ask it of some senders
 * alone. Of a mail exchanger it is final, unless this side would have encrypted and could not this time.
 *   Before the end of data was sent the next target may be tried at once; afterwards the outcome is
 *   unknown (RFC 1047), so the message waits its turn instead of arriving twice. */
#pragma once
#include "common/attr.h"
#include "worker/reply.h"

/* Where in a delivery it happened. */
/* clang-format off */
#define STEP_MAP(X)                                                     \
    X(ROUTE,    "route")      /* before any connection: routes and DNS */ \
    X(CONNECT,  "connect")                                              \
    X(GREETING, "greeting")                                             \
    X(EHLO,     "ehlo")       /* or LHLO */                             \
    X(HELO,     "helo")                                                 \
    X(STARTTLS, "starttls")                                             \
    X(TLS,      "tls")        /* the handshake */                       \
    X(MAIL,     "mail")                                                 \
    X(RCPT,     "rcpt")                                                 \
    X(DATA,     "data")                                                 \
    X(BODY,     "body")       /* a BDAT that is not the last; bytes after 354 */ \
    X(END,      "end")        /* the final dot, BDAT LAST */            \
    X(RSET,     "rset")                                                 \
    X(QUIT,     "quit")
enum step {
#define X(id, name) STEP_##id,
    STEP_MAP(X)
#undef X
    STEP__COUNT
};

/* What went wrong without a reply. status: the enhanced code it is reported with (RFC 3463). */
#define FAILURE_MAP(X) /* id, status, text for people */                                       \
    X(NONE,            "",       "")                                                           \
    X(DNS,             "4.4.3",  "the name could not be resolved for now")                     \
    X(NO_DOMAIN,       "5.1.2",  "the domain does not exist or has no mail server")            \
    X(NULL_MX,         "5.1.10", "the domain says that it accepts no mail (null MX)")          \
    X(SMART_HOST_NAME, "4.4.3",  "the name of the smart host does not exist")                  \
    X(NO_ROUTE,        "5.4.4",  "no connector takes this domain")                             \
    X(UNREACHABLE,     "4.4.4",  "every way to this domain is down")                           \
    X(LOOP,            "5.4.6",  "the best mail server for this domain is this one")           \
    X(HOPS,            "5.4.6",  "too many hops: the message is looping")                      \
    X(REFUSED,         "4.4.1",  "the connection was refused or could not be made")            \
    X(CONNECT_TIMEOUT, "4.4.1",  "the connection attempt timed out")                           \
    X(TIMEOUT,         "4.4.2",  "the server did not answer in time")                          \
    X(LOST,            "4.4.2",  "the connection was lost")                                    \
    X(GARBAGE,         "4.5.0",  "the server does not speak the protocol")                     \
    X(TLS_MISSING,     "4.7.4",  "TLS is required but the server does not offer it")           \
    X(TLS_FAILED,      "4.7.5",  "the TLS handshake failed")                                   \
    X(TOO_BIG,         "5.3.4",  "the message is larger than the server accepts")              \
    X(NEEDS_8BIT,      "5.6.3",  "the message has 8-bit content and the server takes none")    \
    X(NEEDS_BINARY,    "5.6.3",  "the message is binary and the server takes no binary mail")  \
    X(NEEDS_UTF8,      "5.6.7",  "the message needs SMTPUTF8 and the server does not offer it") \
    X(BAD_ADDRESS,     "5.1.3",  "the address or a parameter of it cannot be sent")            \
    X(EXPIRED,         "4.4.7",  "the message could not be delivered in time")                 \
    X(BODY_UNREADABLE, "4.3.0",  "the message could not be read from the queue")               \
    X(CANCELED,        "4.3.2",  "delivery was stopped on this side")
/* clang-format on */
enum failure {
#define X(id, status, text) FAILURE_##id,
    FAILURE_MAP(X)
#undef X
        FAILURE__COUNT
};

enum verdict_action {
    VERDICT_OK,          /* this step succeeded: go on */
    VERDICT_DONE,        /* delivered */
    VERDICT_AGAIN,       /* right now, in another transaction (RFC 5321 4.5.3.1.10); after a BDAT: by DATA */
    VERDICT_RETRY_LATER, /* keep; schedule of queue/retry.h */
    VERDICT_NEXT_TARGET, /* this target is no good: the next one now; none left: see verdict_last() */
    VERDICT_BOUNCE,      /* return to the sender */
};
enum verdict_scope {
    VERDICT_RECIPIENT, /* the one recipient that was named */
    VERDICT_MESSAGE,   /* every recipient of the transaction; counts as the message's own failure */
    VERDICT_LINK,      /* the session or its target: no failure of the message */
};
struct verdict {
    enum verdict_action action;
    enum verdict_scope scope;
    bool close;                      /* the session cannot be used any more */
    bool permanent;                  /* NEXT_TARGET: this target will not change its mind */
    char status[REPLY_ENHANCED_MAX]; /* for reports: the server's enhanced code, or what the code implies */
};
struct verdict_input {
    enum step step;
    enum failure failure; /* NONE: judge the reply */
    uint16_t code;        /* 200..599 */
    const char *enhanced; /* "" : none */
    bool lmtp, accepted;  /* accepted: an earlier recipient of this transaction was */
    bool bdat;            /* the body goes by BDAT and could go by DATA, and no part of it was taken yet */
    bool configured; /* the target is the operator's choice (smart host, LMTP server), not the domain's */
    bool fell_back;  /* in the clear, because encryption that was offered did not come about */
};
/* Total: defined for every input. */
struct verdict verdict_of(const struct verdict_input *in);
/* Folds the verdicts of all targets of an attempt: softer wins, so one target that may recover keeps the
 * message waiting. Start with the first, then fold. */
struct verdict verdict_softer(const struct verdict *a, const struct verdict *b);
/* The final meaning when no target is left: NEXT_TARGET becomes RETRY_LATER, or BOUNCE when permanent. */
struct verdict verdict_last(const struct verdict *v);
const char *step_name(enum step s);
const char *failure_status(enum failure f);
const char *failure_text(enum failure f);
const char *verdict_action_name(enum verdict_action a);
