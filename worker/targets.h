/* worker/targets.h — from a next hop to the ordered list of endpoints to try (RFC 5321 5.1, RFC 7505). Pure.
 *
 * A plan is what names and DNS answers say; it is made once and kept for its time to live. A list is the
 * order in which one connection tries the plan, drawn anew for every connection, so that mail
 * exchangers of equal preference share the load:
 *
 *   targets_begin()   the first question: ASK_MX, ASK_ADDRESSES, or no question (a literal, a socket)
 *   targets_mx()      the answer to ASK_MX; mostly leads to ASK_ADDRESSES for every host of the plan
 *   targets_hosts()   the hosts whose addresses are wanted; targets_addresses() for each, in any order
 *   targets_ready()   every answer is there: endpoints, or the failure that mail for this hop has to suffer
 *   targets_list()    one connection's order
 *
 * The questions themselves are asked by worker/resolve.h. */
#pragma once
#include "common/io/dns.h"
#include "common/rng.h"
#include "worker/verdict.h"

enum {
    TARGETS_HOSTS_MAX = 16,   /* mail exchangers or smart hosts looked at; the best ones */
    TARGETS_PER_HOST_MAX = 8, /* addresses of one host */
    TARGETS_MAX = 32,         /* endpoints a connection tries */
    TARGETS_UNIX_MAX = 108,   /* sun_path */
    /* Each target may use up its time-outs, and holds a slot of the cluster meanwhile: who names 32 that
     * stall would hold it for hours. So no further one is begun so long after the first ... */
    TARGETS_SEARCH_MS = 600000,
    TARGETS_SEARCH_MIN = 2,    /* ... but so many are, however long it takes (RFC 5321 5.1) */
    TARGETS_TTL_MIN_MS = 5000, /* an answer is used at least so long ... */
    TARGETS_TTL_MAX_MS = 300000,
    TARGETS_STALE_MS = 86400000, /* ... and so much longer while no name server answers (RFC 8767 5) */
};

enum targets_kind {
    TARGETS_DNS,   /* the mail exchangers of `domain`, or the address that it is */
    TARGETS_NAMED, /* hosts in the given order */
    TARGETS_UNIX,  /* one unix socket */
};
struct targets_spec { /* borrowed for targets_begin() */
    enum targets_kind kind;
    struct span domain; /* normalized; for DNS */
    char *const *named; /* "host:port", "192.0.2.1:25", "[::1]", "host"; for NAMED */
    size_t nnamed;
    size_t nequal; /* so many of them, from the first on, are equal: connections share them */
    struct span unix_path;
    uint16_t port;           /* where none is named */
    const struct span *self; /* own names: mail exchangers called so, and worse ones, are not used */
    size_t nself;
};

enum targets_ask { TARGETS_ASK_NOTHING, TARGETS_ASK_MX, TARGETS_ASK_ADDRESSES };

struct targets_host {
    char name[DNS_NAME_MAX]; /* or the address as text */
    uint16_t preference, port;
    bool answered, exists, temporary;
    bool data_only; /* offers CHUNKING and does not know BDAT */
    size_t n;
    struct ip_addr addrs[TARGETS_PER_HOST_MAX];
};
struct targets_plan { /* caller-owned, no pointers: may be copied */
    enum targets_kind kind;
    char domain[DNS_NAME_MAX + 2];
    char unix_path[TARGETS_UNIX_MAX];
    bool unix_data_only;
    struct targets_host hosts[TARGETS_HOSTS_MAX];
    size_t nhosts;
    uint16_t port;
    enum failure failure; /* NONE: usable */
    char why[160];        /* of the failure, for people */
    ms_t ttl_ms;
};

/* Never fails: what cannot be used becomes plan->failure. */
enum targets_ask targets_begin(struct targets_plan *plan, const struct targets_spec *spec);
/* Needs spec->self again, and nothing else of it. */
enum targets_ask targets_mx(struct targets_plan *plan, const struct targets_spec *spec,
                            const struct dns_answer *answer);
void targets_addresses(struct targets_plan *plan, size_t host, const struct dns_answer *answer);
/* Whether all answers are there; decides plan->failure. */
bool targets_ready(struct targets_plan *plan);

struct target {
    struct ip_endpoint endpoint;
    const char *host;      /* borrows from the plan */
    const char *unix_path; /* or NULL */
};
struct targets_list {
    struct target items[TARGETS_MAX];
    size_t n;
};
/* Best preference first, equal ones shuffled, IPv6 and IPv4 of one host in turn (RFC 8305 in spirit). */
void targets_list(const struct targets_plan *plan, struct rng *rng, struct targets_list *ret);

/* What was found out about a target, for whoever makes a list of this plan after that. */
void targets_note_data_only(struct targets_plan *plan, const struct target *t);
bool targets_is_data_only(const struct targets_plan *plan, const struct target *t);

/* One way through a list, until a target works: of a connection for nobody yet, or of one job. */
struct targets_search {
    size_t at; /* of the list */
    unsigned begun;
    ms_t since_ms; /* monotonic */
};
enum targets_next { TARGETS_NEXT, TARGETS_ALL_TRIED, TARGETS_OUT_OF_TIME };
/* From the target it is at, which counts as the first one. */
void targets_search_begin(struct targets_search *s, ms_t now_ms);
/* NEXT: s->at is the next one. OUT_OF_TIME: there are more, of which nobody knows what they would say. */
enum targets_next targets_search_next(struct targets_search *s, const struct targets_list *list, ms_t now_ms);
