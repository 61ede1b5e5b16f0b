/* worker/client_impl.h — what client.c, client_steps.c and client_txn.c share; nobody else includes it. */
#pragma once
#include "worker/client.h"
#include "worker/dotstuff.h"

enum {
    CLIENT_OUT_MAX = 1 << 20,   /* commands of one transaction, pipelined */
    CLIENT_TEXTS_MAX = 1 << 18, /* replies kept for the results of one transaction */
    CLIENT_TEXT_MAX = 512,      /* of one reply */
    CLIENT_EXPECT_MAX = JOB_RCPTS_MAX + 16,
    CLIENT_BDAT_WINDOW = 4, /* chunks on the way without a reply, when pipelining */
};

/* The phase is what the session is about; which replies are awaited is in the queue of expectations.
 *
 *   SETUP     greeting, EHLO, HELO, STARTTLS: one reply is awaited.
 *   TLS       the owner shakes hands; nothing may arrive.
 *   READY     nothing is awaited; txn is over.
 *   SCAN      the owner hands in the body to be searched for 8-bit bytes; nothing was sent yet.
 *   ENVELOPE  MAIL, RCPT, DATA are on their way.
 *   BODY      the body is on its way; its end was not handed out.
 *   END       the end was handed out: from now on the message may have arrived.
 *   DRAIN     every recipient is settled, but replies or the rest of a BDAT chunk are still due.
 *   RESET     RSET; QUITTING QUIT: one reply is awaited.
 *   CLOSED    nothing is taken any more. */
enum phase {
    PHASE_SETUP,
    PHASE_TLS,
    PHASE_READY,
    PHASE_SCAN,
    PHASE_ENVELOPE,
    PHASE_BODY,
    PHASE_END,
    PHASE_DRAIN,
    PHASE_RESET,
    PHASE_QUITTING,
    PHASE_CLOSED,
};

enum {
    CAP_PIPELINING = 1 << 0,
    CAP_8BITMIME = 1 << 1,
    CAP_SMTPUTF8 = 1 << 2,
    CAP_CHUNKING = 1 << 3,
    CAP_BINARYMIME = 1 << 4,
    CAP_DSN = 1 << 5,
    CAP_STARTTLS = 1 << 6,
    CAP_SIZE = 1 << 7,
    CAP_XVISITED = 1 << 8,
};
struct caps {
    unsigned bits;               /* CAP_* */
    uint64_t size_limit;         /* 0: none announced */
    uint64_t mail_max, rcpt_max; /* RFC 9422; 0: none announced */
};

/* What a step came to; the reply is borrowed for the call. */
struct outcome {
    enum step step;
    enum failure failure;
    uint16_t code;
    struct span text;
    struct verdict verdict;
};

struct txn_rcpt {
    uint32_t text_at, text_len; /* into texts; spans are made of it when all is known */
    bool settled, accepted;
};
struct txn {
    bool active;
    struct client_message m;
    struct client_result *results;
    struct txn_rcpt *rcpts;
    struct buf texts;
    size_t next;                /* command to send: 0 MAIL, 1.. RCPT, nrcpts + 1 DATA */
    size_t accepted, unsettled; /* recipients */
    bool utf8, bdat;            /* how it is sent */
    bool open;                  /* the server holds a transaction: RSET before the next one */
    bool empty;                 /* DATA was accepted without a recipient: only the dot is sent */
    bool end_sent;
    bool bdat_taken;   /* a part of the body, or by LMTP the body for somebody, was answered with 2xx */
    struct span piece; /* of the body, being handed out */
    uint64_t offset;   /* where the next piece begins */
    struct dotstuff dots;
};

struct expect {
    uint8_t step, rcpt;
};
struct client {
    struct buf hostname;
    bool lmtp, secured, configured;
    bool fell_back;   /* known before, or learnt: STARTTLS was refused */
    bool no_chunking; /* offered or not; learnt in this session, or known before */
    bool met_self;    /* the answer to EHLO begins with a name of our own */
    const struct span *self;
    size_t nself;
    enum conf_delivery_tls tls;
    struct conf_client_timeouts timeouts;

    enum phase phase;
    struct caps caps;
    struct reply_parser parser;
    struct expect expects[CLIENT_EXPECT_MAX]; /* a ring */
    unsigned expect_at, expects_n;
    struct buf out; /* commands */
    bool out_given; /* all of it was handed out: to be cleared before the next byte */

    struct txn txn;
    bool finished, closed, start_tls; /* events not yet reported */
    uint64_t transactions;            /* begun, for MAILMAX */
    uint64_t progress;                /* replies taken, pieces of output handed out */
    unsigned messages;                /* answered at the end of data */
    struct outcome end;
    struct buf end_text;
};

/* client.c */
void client_enter(struct client *c, enum phase next); /* the only writer of c->phase */
void client_put(struct client *c, struct span bytes); /* to the output; out of memory ends the session */
void client_expect(struct client *c, enum step step, size_t rcpt);
bool client_expects(const struct client *c, enum step step); /* among the awaited replies */
struct outcome client_outcome(const struct client *c, enum step step, enum failure failure,
                              const struct reply *reply);
/* The session is over: settles what is in flight, queues CLOSED. */
void client_end_session(struct client *c, const struct outcome *why);

/* client_steps.c */
struct client_step_row {
    void (*send)(struct client *c, size_t rcpt);
    void (*judge)(struct client *c, const struct outcome *o, size_t rcpt);
    bool keeps_link_verdicts; /* judge() decides even when the verdict is about the link */
    size_t timeout;           /* offset in struct conf_client_timeouts */
};
extern const struct client_step_row client_steps[STEP__COUNT];
/* Sends the command of a step and awaits its reply. */
void client_command(struct client *c, enum step step, size_t rcpt);
void client_ehlo_line(void *arg, uint16_t code, unsigned line, struct span text);

/* client_txn.c */
void txn_begin(struct client *c);   /* after client_send() has filled txn.m */
void txn_advance(struct client *c); /* sends what may be sent now, ends what is over */
void txn_settle(struct client *c, size_t rcpt, const struct outcome *o);
void txn_settle_all(struct client *c, const struct outcome *o); /* who is not settled yet */
/* Whether DATA can still do what BDAT does: the server may have to be asked for another way. */
bool txn_may_change_to_data(const struct client *c);
void txn_body_begin(struct client *c);
void txn_piece_used(struct client *c); /* the piece was handed out to its end */
void txn_finish(struct client *c);     /* queues FINISHED */
enum err txn_piece(struct client *c, struct span piece);
void txn_done(struct txn *t);

/* client_envelope.c */
bool envelope_recipient_fits(const struct client *c, const struct recipient *r, enum failure *ret_why);
bool envelope_message_fits(const struct client *c, enum failure *ret_why, bool *ret_scan);
void envelope_put_mail(struct client *c);
void envelope_put_rcpt(struct client *c, const struct recipient *r);
