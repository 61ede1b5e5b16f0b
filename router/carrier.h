/* router/carrier.h — messages to and from the routers of neighbouring groups, over ZeroMQ with CURVE both
 * ways.
 *
 * We listen (one ROUTER socket) and connect to every endpoint of every neighbour (a DEALER socket each). ZAP
 * admits a connecting router only with a key that the configuration names for some neighbour; a router that
 * we connect to must own one. Whose key it was says who is speaking: a message never says so itself.
 *
 * A connection that we make ("dial"; rows in carrier_dial.c, dial_event() is the only writer of its state):
 *
 *              start, timer        addresses             handshake done
 *     WAITING ------------> ASKING ----------> CONNECTING -------------> OPEN
 *        ^                    | none              | refused, time over,    | lost
 *        |                    |                   | wrong key: the next    |
 *        +--------------------+-------------------+------------------------+
 *           pause: 100 ms doubling to 5 s; names are asked for anew every time, addresses and keys in turn
 *
 * A neighbour is up while a dial of it is OPEN, or an admitted connection from it has said something in the
 * last 3 keep-alives. Messages to it leave on an open dial, else where it was heard last; what cannot be sent
 * at once is dropped (the protocol sends again). Silence: ZeroMQ's heartbeats close a dead connection.
 *
 * Lifetimes: belongs to one loop, where all callbacks are called; none is called from inside a call. */
#pragma once
#include "common/config/config.h"
#include "common/io/dns.h"
#include "common/io/loop.h"
#include "router/keys.h"
#include "router/metrics.h"

struct carrier;
enum { CARRIER_PORT = 691, CARRIER_CHECKS = 64 };
struct carrier_ops {
    void (*up)(void *arg, uint32_t neighbour); /* number: position in the configuration */
    void (*down)(void *arg, uint32_t neighbour);
    /* Returns how many signatures were verified for it: after CARRIER_CHECKS of them in one turn of the loop
     * what else arrived waits for the next, so that nobody keeps a router from renewing its lease. One
     * message has at most LS_ADVERTS_MAX of them. */
    unsigned (*received)(void *arg, uint32_t neighbour, struct span message);
};
struct carrier_conf { /* borrowed for the call but for loop, dns, metrics, which outlive it */
    struct loop *loop;
    struct dns *dns;
    struct router_metrics *metrics;
    const struct key_file *key; /* transport */
    const struct conf_root *root;
    const struct carrier_ops *ops;
    void *arg;
};
/* ERR_NOMEM, ERR_IO (no sockets), ERR_CONFIG. An address that is taken is tried again: the router that had
 * the lease before may still hold it. */
enum err carrier_new(const struct carrier_conf *conf, struct carrier **ret, struct errctx *ec) MUST_USE;
void carrier_free(struct carrier *c); /* NULL is a no-op */
/* false: nothing leads there now, or too much waits to be sent. */
bool carrier_send(struct carrier *c, uint32_t neighbour, struct span message);
/* What it runs over, or why there is nothing: for people. */
void carrier_describe(const struct carrier *c, uint32_t number, char out[160]);
