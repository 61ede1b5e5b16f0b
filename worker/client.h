/* worker/client.h — one outbound SMTP or LMTP session as a pure state machine (RFC 5321, RFC 2033).
 *
 * No I/O, no clock: bytes in by client_received(), bytes out by client_output(), what the owner has to
 * do by client_event(), how long it may wait by client_timeout_ms(). The owner moves the bytes:
 *
 *     client_received(c, bytes);                   (or client_secured, client_failed, client_body, ...)
 *     do {
 *         while (client_output(c, &out)) write(out);
 *         switch (client_event(c)) { ... }         one action per event, which may make new output
 *     } while (the event was not CLIENT_WAIT);
 *     set_deadline(client_timeout_ms(c));
 *
 *            +---------------------- MAIL RCPT.. DATA <---- client_send()
 *            v                            |
 *   greeting -> EHLO [-> STARTTLS -> TLS -> EHLO] -> READY --client_quit()--> QUIT -> CLOSED
 *                                                      ^
 *            body (BODY events) -> end -> FINISHED ----+      (RSET first when a transaction was left open)
 *
 * Whatever happens, a message taken by client_send() ends in exactly one FINISHED event with a verdict
 * for every recipient, and a client ends in exactly one CLOSED event, after it.
 * Extensions used when offered: PIPELINING, SIZE, 8BITMIME, SMTPUTF8, CHUNKING, BINARYMIME, DSN,
 * ENHANCEDSTATUSCODES, STARTTLS, LIMITS (RCPTMAX and MAILMAX of RFC 9422).
 * Lifetimes: spans passed to client_send() and client_body() stay the caller's and must live as said
 * there; results are the client's until the next client_send(). */
#pragma once
#include "common/config/config.h"
#include "common/err.h"
#include "common/span.h"
#include "queue/envelope.h"
#include "worker/reply.h"
#include "worker/verdict.h"

struct client;

struct client_conf {
    struct span hostname;    /* own name for EHLO; copied */
    bool lmtp;               /* LHLO and a reply per recipient after the data */
    bool configured;         /* the operator named this server: see worker/verdict.h */
    bool fell_back;          /* tls is NONE because the handshake with this server failed just now */
    const struct span *self; /* own names, borrowed for the session: who answers EHLO with one of them, and */
    size_t nself;            /* was not named by the operator, is this server itself (RFC 5321 6.3) */
    enum conf_delivery_tls tls; /* NONE: never STARTTLS; OPPORTUNISTIC: when offered; REQUIRED, VERIFIED: or
                                   the session fails with TLS_MISSING before any mail. Whether the name is
                                   verified is the business of the tls_context that the owner uses */
    bool no_chunking;           /* what the server says of CHUNKING is not true: see client_end */
    bool secured;               /* TLS from the first byte: there is no STARTTLS */
    const struct conf_client_timeouts *timeouts; /* copied */
};
struct client *client_new(const struct client_conf *conf); /* NULL: out of memory */
void client_free(struct client *c);                        /* NULL is a no-op */

/* --- In ------------------------------------------------------------------------------------------ */

/* Bytes from the server; all are taken. */
void client_received(struct client *c, struct span bytes);
/* The handshake asked for by CLIENT_START_TLS is complete. */
void client_secured(struct client *c);
/* The connection is gone or must go: LOST (closed by the peer), TIMEOUT, TLS_FAILED, BODY_UNREADABLE,
 * CANCELED (drain, lease lost). Ends what is in flight; the owner may drop the connection afterwards. */
void client_failed(struct client *c, enum failure why);

struct client_message {
    const struct envelope *env;    /* sender, body, smtputf8, ret, envid are used */
    const struct recipient *rcpts; /* address, orcpt, notify are used */
    size_t nrcpts;                 /* 1 .. JOB_RCPTS_MAX */
    uint64_t size_bytes;           /* of the body, exact */
    struct span visited;           /* value of XVISITED, for servers that offer it; "" : none */
};
/* Starts a transaction; all spans must live until FINISHED. ERR_STATE: not READY; ERR_NOMEM. */
enum err client_send(struct client *c, const struct client_message *m) MUST_USE;
/* The next piece of the body, asked for by CLIENT_BODY: whole chunks in any size, in order, from
 * client_body_offset(). It must live until what client_output() returned of it is written; the client has
 * handed out all of it before the next BODY or FINISHED event. ERR_STATE: not asked for. A body that is not
 * exactly size_bytes long is BODY_UNREADABLE. */
enum err client_body(struct client *c, struct span piece) MUST_USE;
/* Says goodbye; only when READY (otherwise client_failed(CANCELED)). */
void client_quit(struct client *c);

/* --- Out ----------------------------------------------------------------------------------------- */

struct client_output {
    struct span bytes;
    bool borrowed; /* part of a piece given to client_body(): may be written without copying. Otherwise the
                      client's own, valid until the next call */
};
/* Takes the next bytes to send; false: none. A slow peer is handled by not calling it: no BODY event comes
 * before everything was taken. */
bool client_output(struct client *c, struct client_output *ret);

/* clang-format off */
enum client_event {
    CLIENT_WAIT,      /* nothing to do but wait for the server */
    CLIENT_START_TLS, /* shake hands once the output is written, then client_secured() or client_failed() */
    CLIENT_READY,     /* client_send() or client_quit(), now or later */
    CLIENT_BODY,      /* client_body() with what begins at client_body_offset(); 0 again: start over (the
                         client looked for 8-bit bytes first) */
    CLIENT_FINISHED,  /* client_results() */
    CLIENT_CLOSED,    /* client_end(): write what is left of the output, close, free */
};
/* clang-format on */
/* What to do now. READY and BODY come again until they are answered; the others come once. */
enum client_event client_event(struct client *c);
uint64_t client_body_offset(const struct client *c);

struct client_result {      /* of the recipient with the same index */
    struct verdict verdict; /* DONE, AGAIN, RETRY_LATER, NEXT_TARGET or BOUNCE */
    enum step step;
    enum failure failure; /* NONE: there was a reply */
    uint16_t code;        /* 0: no reply */
    struct span text;     /* of the reply, with its enhanced code, without the code; untrusted */
    bool dsn_passed;      /* the server offers DSN: reports on success are its duty now (RFC 3461 5.2) */
};
const struct client_result *client_results(const struct client *c, size_t *ret_n);

struct client_end {
    struct verdict verdict; /* OK: orderly; else why this target is no good or the link failed */
    enum step step;
    enum failure failure;
    uint16_t code;
    struct span text;
    unsigned messages; /* transactions answered at the end of data. Above 0: the target works, and
                          whatever ended this session, a new one is worth trying at once */
    bool no_chunking;  /* BDAT is no command there although it was offered: what is AGAIN goes over a new
                          session with no_chunking. This one is of no use: the body was taken for commands */
};
void client_end(const struct client *c, struct client_end *ret);

/* How long the server may take in this step; 0: nothing is awaited from it. The timer starts anew when
 * client_progress() is another one; not for bytes that come in, or a server that sends one now and then would
 * be waited for without end. */
ms_t client_timeout_ms(const struct client *c);
uint64_t client_progress(const struct client *c); /* never 0; grows with replies and output */
/* What is under way of a transaction, and how long all of it may take: a server that answers each of a
 * hundred recipients just in time would hold a connection for hours. From client_send() to the end of data
 * that is MAIL, RCPT, DATA and a block once, a sixtieth of RCPT for each recipient, and 1 s for 1,000 octets;
 * then the reply to the end of data, and by LMTP a sixtieth for each further one. With every other number it
 * begins anew; 0: nothing. */
uint64_t client_stage(const struct client *c, ms_t *ret_limit_ms);
enum step client_step(const struct client *c);
bool client_is_secured(const struct client *c);
