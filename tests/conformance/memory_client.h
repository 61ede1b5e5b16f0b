/* tests/conformance/memory_client.h — the clients of the memory tests, in a process of their own: what is
 * allocated in the other one is the node's alone. They ask it over a socket what it holds. */
#pragma once
#include "common/ip.h"

#include <sys/types.h>

enum way { WAY_PLAIN, WAY_STARTTLS, WAY_TLS, WAY__COUNT };
enum { SESSIONS_MAX = 500 };

/* What a plan is made of: so many sessions, and what they do. */
enum deed {
    IDLE,    /* a body went through each and was dropped: `kept` is what they hold then */
    STALLED, /* the queue does not answer: they send until nothing is taken; `flowing` */
    FLOWING, /* they send `body` octets each, and are taken; `flowing`, then `kept` */
};
struct plan {
    enum deed deed;
    enum way way;
    int sessions;
    size_t body;
    size_t first, record; /* octets of the first and of the other records; 0: any, by chance */
    const char *groups;   /* for the exchange of keys; NULL: what OpenSSL likes */
};
struct held { /* octets, of all sessions together */
    size_t flowing, kept;
};

/* What the client asks the node: one octet there, a size back. */
enum question {
    ASK_HELD = 'h',   /* allocated now */
    ASK_MOST = 'm',   /* the most since it was asked last */
    ASK_STALL = 's',  /* the queue answers no more */
    ASK_GO_ON = 'g',  /* it does again */
    ASK_FINISH = 'f', /* struct held follows */
};

/* Forks; the child ends when its plan is done. node: of WAY_PLAIN and STARTTLS; node_tls: of WAY_TLS. */
pid_t memory_client_start(const struct plan *p, const struct ip_endpoint *node,
                          const struct ip_endpoint *node_tls, int *ret_fd);
