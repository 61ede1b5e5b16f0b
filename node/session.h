/* node/session.h — one SMTP connection as a pure machine: bytes in, bytes out, effects through ops.
 *
 * No I/O and no clock: the owner moves bytes, tells the time, and stores what the session hands out.
 * The same code runs behind a socket, a script and a fuzzer. The states are drawn in node/verbs.h.
 *
 * A turn: session_time(); session_feed() or another call; send session_output(); session_sent();
 * then do what session_want() says. Feeding the same bytes in other pieces within a turn gives the
 * same replies. Input that was not consumed is offered again, followed by what arrived since. */
#pragma once
#include "common/clock.h"
#include "common/config/config.h"
#include "common/ip.h"
#include "common/span.h"
#include "linkstate/route.h"
#include "node/verbs.h"
#include "queue/store.h"

struct session;

/* One virtual server under one configuration; immutable, outlives the sessions that use it. */
struct session_conf {
    const struct conf_root *root;
    const struct conf_virtual_server *vs;
    struct route_table *routes;
    const char *hostname; /* never empty */
    bool tls;             /* a certificate is loaded: STARTTLS can be offered */
};

enum session_event {
    SESSION_COMMAND, /* text: the line, without CRLF */
    SESSION_REPLY,   /* reply was sent, as the answer to text (the line, or "" ) */
    SESSION_TAKEN,   /* a recipient was taken; text: the address */
    SESSION_LOST,    /* the body is over and refused, reply says why; text: the sender */
};
struct session_ops {
    /* May a transaction begin? ERR_AGAIN, ERR_FULL, ...: the 4xx that MAIL is answered. */
    enum err (*ready)(void *arg);
    /* The transaction holds `bytes` of memory now (0: it is over). ERR_FULL: too much in flight. */
    enum err (*memory)(void *arg, size_t bytes);
    /* Starts an upload and names the message. */
    enum err (*open)(void *arg, struct msgid *ret_id);
    /* As upload_write(): ERR_AGAIN: *ret_taken of them, maybe all; go on after session_unblock(). */
    enum err (*write)(void *arg, struct span bytes, size_t *ret_taken);
    void (*abort)(void *arg); /* drops the upload */
    /* Ends the upload: session_committed() follows, later, unless an error is returned. */
    enum err (*commit)(void *arg, const struct envelope *env, const struct commit_job *jobs, size_t njobs);
    /* Tries waiting mail of a domain at once (ETRN), behind the answer. Any error: 458. */
    enum err (*etrn)(void *arg, struct span domain);
    void (*event)(void *arg, enum session_event ev, enum reply_id reply, struct span text);
};

struct session_client {
    const struct ip_addr *addr; /* NULL: a unix socket */
};
/* conf and ops are borrowed; conf may be exchanged by session_set_conf(). NULL: out of memory. */
struct session *session_new(const struct session_conf *conf, const struct session_client *client,
                            const struct session_ops *ops, void *arg);
void session_free(struct session *s); /* aborts an open upload; NULL is a no-op */

/* The time of everything that follows; monotonic for deadlines, wall for Received and envelope. */
void session_time(struct session *s, ms_t mono_ms, ms_t wall_ms);

/* Sends the greeting. name: the client's by reverse DNS, or "". */
void session_start(struct session *s, struct span name);
/* Sends one reply in place of the greeting and closes: limits (REPLY_BUSY and its like). */
void session_turn_away(struct session *s, enum reply_id why);
/* Returns how many octets were consumed. */
size_t session_feed(struct session *s, struct span in);
/* write() would take bytes again; goes on with what is held: feed the unconsumed input afterwards. */
void session_unblock(struct session *s);
/* The answer to commit(): ERR_OK with the id, or why not. */
void session_committed(struct session *s, enum err e, const struct msgid *id);
/* The handshake is done, also for TLS from the first byte (before session_start()). */
void session_secured(struct session *s, struct span version, struct span cipher);
/* The node is being stopped: says goodbye now, or when the transaction in hand is over. */
void session_drain(struct session *s);
/* From now on; only between transactions (session_idle()). */
void session_set_conf(struct session *s, const struct session_conf *conf);
bool session_idle(const struct session *s);

struct span session_output(struct session *s); /* ends the turn; borrowed until the next call */
void session_sent(struct session *s);          /* the output has left */

enum session_want {
    SESSION_READ,      /* input */
    SESSION_WAIT,      /* session_unblock() or session_committed(): do not read */
    SESSION_START_TLS, /* the server side of a handshake */
    SESSION_CLOSE,     /* send what is left and close */
};
enum session_want session_want(const struct session *s);

/* When session_tick() must be called at the latest; UINT64_MAX: never. RFC 5321 4.5.3.2. */
ms_t session_deadline(const struct session *s);
void session_tick(struct session *s); /* says 421 and closes when the deadline has passed */

enum session_state session_state(const struct session *s);
struct session_facts { /* borrowed, for logs */
    struct span helo, name, tls_version, tls_cipher;
    bool esmtp;
    uint32_t messages, errors;
};
void session_facts(const struct session *s, struct session_facts *ret);
