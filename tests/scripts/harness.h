/* tests/scripts/harness.h — an SMTP session without a socket: the pure session, the real intake, the
 * store of the fakes and a clock that moves when told. For scripts and fuzzers.
 *
 * A turn is what arrives before any reply could have been read: feed as often as you like, in pieces of
 * any size, then harness_turn(). */
#pragma once
#include "node/intake.h"
#include "node/session.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"

struct harness;
struct harness_options {
    struct span settings; /* lines "key: value" of the virtual server */
    struct span client;   /* address; "" : 127.0.0.1; "local": a unix socket */
    bool tls_first;       /* TLS from the first byte */
    size_t piece;         /* octets fed at a time; 0: all at once */
};
struct harness *harness_new(const struct harness_options *o); /* aborts on bad settings */
void harness_free(struct harness *h);

void harness_start(struct harness *h, struct span name); /* the greeting; name by reverse DNS or "" */
void harness_feed(struct harness *h, struct span bytes);
/* Sends what is to be sent, runs the store, feeds what was left, until nothing moves. A STARTTLS that
 * was granted is waited for: harness_secured(). */
void harness_turn(struct harness *h);
void harness_hang_up(struct harness *h);         /* the client is gone; idempotent */
void harness_elapse(struct harness *h, ms_t ms); /* in steps: every deadline on the way passes */
bool harness_secured(struct harness *h);         /* false: no handshake was due */

struct buf *harness_sent(struct harness *h); /* the replies so far; the caller consumes */
bool harness_closed(const struct harness *h);
struct session *harness_session(struct harness *h);
struct fake_store *harness_store(struct harness *h);
struct intake_budget *harness_budget(struct harness *h);
