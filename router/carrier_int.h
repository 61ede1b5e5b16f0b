/* router/carrier_int.h — what carrier.c (sockets, admission, who is up) and carrier_dial.c (connections that
 * we make) share. The only files that know ZeroMQ. */
#pragma once
#include "linkstate/message.h"
#include "router/carrier.h"

enum {
    ROUTE_MAX = 255,    /* a routing id of ZeroMQ */
    DIAL_ADDRS_MAX = 8, /* of one name */
    WAITING_MESSAGES =
        256 /* in each direction of a connection, beyond: dropped, sent again by the protocol */
};

/* A ZeroMQ socket on our loop. Its descriptor tells of events only until the next call to the socket, so
 * every use is followed by a look at the end of the turn. */
struct zsock {
    void *s; /* NULL: closed */
    struct loop *loop;
    struct watch *watch;
    struct deferred again;
    loop_fn *pump;
    void *arg;
};
enum err zsock_watch(struct zsock *z, struct loop *l, loop_fn *pump, void *arg) MUST_USE;
void zsock_close(struct zsock *z); /* idempotent */
void zsock_used(struct zsock *z);

enum dial_state { DIAL_IGNORE, DIAL_WAITING, DIAL_ASKING, DIAL_CONNECTING, DIAL_OPEN, DIAL__COUNT };
enum dial_event { DEV_START, DEV_ADDRESSES, DEV_NONE, DEV_OPENED, DEV_FAILED, DEV__COUNT };
struct dial {
    struct carrier *c;
    uint32_t neighbour;
    enum dial_state state;
    char host[256];
    uint16_t port;
    struct ip_addr addrs[DIAL_ADDRS_MAX];
    size_t naddrs, attempt; /* attempt: which address with which key */
    struct zsock link, monitor;
    struct dns_query *query;
    struct timer *timer;
    ms_t pause_ms, heard_ms;
    char why[96];
};
struct neighbour {
    char group[RECORD_NAME_MAX + 1];
    uint8_t (*keys)[SIGN_KEY_LEN];
    size_t nkeys;
    bool up;
    unsigned open; /* dials */
    uint8_t route[ROUTE_MAX];
    size_t route_len; /* 0: no admitted connection that could be answered on */
    ms_t route_heard_ms;
};
struct carrier {
    struct loop *loop;
    struct dns *dns;
    struct router_metrics *metrics;
    struct carrier_ops ops;
    void *arg;
    void *zmq;
    struct key_file key;
    ms_t hello_ms;
    struct zsock server, zap, monitor; /* monitor: what becomes of the server's connections */
    uint16_t *owners;                  /* by descriptor: the neighbour that was heard on it, + 1; 0: nobody */
    size_t nowners;
    struct neighbour *neighbours;
    struct dial *dials;
    size_t nneighbours, ndials;
    uint64_t monitors; /* so many were opened */
    /* Reading, paced: `more` fires when something waits for the next turn; then everybody has a turn at
     * being the first. */
    struct timer *more;
    unsigned checks_left;
    ms_t checks_ms; /* the turn that they are left of */
    bool paused;
    size_t first;
    struct timer *bind_timer;
    char (*binds)[64]; /* "tcp://..." not bound yet; "" : done */
    size_t nbinds;
    struct timer
        *refusals; /* runs after a line about one: those that came meanwhile are told when it fires */
    bool refusals_paused;
    unsigned refusals_unlogged;
    bool bind_logged, no_callbacks;
};

/* carrier_dial.c */
enum err dials_new(struct carrier *c, const struct conf_root *root, struct errctx *ec) MUST_USE;
void dials_start(struct carrier *c);
void dials_free(struct carrier *c);
void dial_read(struct dial *d);
bool dial_send(struct dial *d, struct span message);
const char *dial_state_name(enum dial_state s);
/* carrier.c */
void *carrier_socket(struct carrier *c,
                     int type); /* with the options that all of them have; NULL: no memory */
void carrier_changed(struct carrier *c, uint32_t number); /* a dial opened or closed */
bool carrier_may_read(struct carrier *c);                 /* false: in the next turn, by itself */
void carrier_received(struct carrier *c, uint32_t number, struct span message);
