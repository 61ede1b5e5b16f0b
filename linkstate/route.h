/* linkstate/route.h — which connector takes a recipient: one pure function over an immutable table.
 *
 * A table is made of the group's configuration and of the published link state (linkstate/snapshot.h),
 * which tells of the connectors of all groups and which of them are UP; without link state it is the
 * configuration alone, and everything is UP. When either changes a new table is made: nothing in a table
 * changes but its memory of what was asked (lock-free; equal questions have equal answers).
 *
 * Lifetimes: a table is shared by reference counting (any thread); results borrow from it. No I/O, no
 * clock. A question that was asked before allocates nothing. Selection follows the seven steps of
 * docs/architecture.md ("Path selection"): restrictions and scope, most specific address space, least
 * cost, connector of the local group first, deterministic ties. */
#pragma once
#include "common/buf.h"
#include "common/config/config.h"
#include "common/err.h"
#include "common/mail.h"
#include "common/span.h"

struct config;
struct route_table;
struct trace;
enum route_kind {
    ROUTE_LOCAL,       /* a local domain: deliver */
    ROUTE_NEXT_HOP,    /* over connector */
    ROUTE_UNREACHABLE, /* every way is down: wait for another table */
    ROUTE_NONE,        /* no way by configuration: 5.4.4 */
};
struct route {
    enum route_kind kind;
    const struct conf_local_domain *local;  /* ROUTE_LOCAL */
    const struct conf_connector *connector; /* ROUTE_NEXT_HOP: this group's, the first edge of the path */
    char *const *targets; /* its smart hosts in the order to be tried: what is UP, then what is not */
    size_t ntargets, ntargets_up;
    bool dns; /* resolve the domain itself; else targets in turn */
    bool
        relay_open; /* anybody may send there, whatever is UP: allow_relay, or another group's local domain */
    uint32_t cost;  /* of the path and the address space */
};
/* What restrictions look at; the message class is computed from it. */
struct route_message {
    uint64_t size_bytes;
    enum priority priority;
    bool system;
    struct span sender;
    bool in_transit; /* it came from another routing group */
};
/* Address spaces: "example.com" (that name alone), "*.example.com" (every name below it, not itself), "*".
 * The table holds a reference of conf. ERR_CONFIG with connector and remedy, ERR_NOMEM. */
enum err route_table_new(struct config *conf, struct route_table **ret, struct errctx *ec) MUST_USE;
/* The same with published link state, copied. "" : none. What is damaged in it is left out; ERR_PARSE,
 * ERR_TOOBIG when it is no table at all. */
enum err route_table_published(struct config *conf, struct span published, struct route_table **ret,
                               struct errctx *ec) MUST_USE;
/* The same over settings that the caller keeps alive; release(owner) is called with the last reference
 * (release may be NULL; it is not called on error). */
enum err route_table_build(const struct conf_root *root, struct span published, void (*release)(void *owner),
                           void *owner, struct route_table **ret, struct errctx *ec) MUST_USE;
struct route_table *route_table_ref(struct route_table *t);
void route_table_unref(struct route_table *t); /* NULL is a no-op */

struct route_table_facts {
    uint64_t generation; /* how far link state has come (linkstate/snapshot.h); 0: there is none */
    uint32_t groups, connectors, spaces;
    uint32_t damaged;    /* records that could not be read */
    uint32_t unnumbered; /* connectors of other groups whose restrictions had no room (linkstate/class.h) */
};
uint64_t route_generation(const struct route_table *t); /* that of the facts */
void route_table_facts(const struct route_table *t, struct route_table_facts *ret);

/* What the connectors' restrictions can tell about a message, as a number (layout: linkstate/class.h):
 * equal classes take equal routes. Without restrictions the only class is 0. A job keeps the class it was
 * queued under; a worker that claims it routes by the class computed anew from the envelope, so a changed
 * configuration or table regroups queues but never misroutes. */
uint32_t route_class(const struct route_table *t, const struct route_message *m);
/* domain is normalized (common/address.h); any klass is valid. ROUTE_UNREACHABLE also when memory has run
 * out. */
void route_lookup(const struct route_table *t, struct span domain, uint32_t klass, struct route *ret);
/* The same for one message. trace: groups that it has left, none of which it enters again before link state
 * has changed (linkstate/trace.h); NULL: none. share: any number of the message's own, by which
 * routing_group.spread picks among equal connectors; 0: the first of them. */
void route_lookup_message(const struct route_table *t, struct span domain, uint32_t klass,
                          const struct trace *trace, uint64_t share, struct route *ret);
/* What the table says of this group's connector itself, whoever may use it: whether it is UP, and its targets
 * in ret (connector, targets, dns). False: there is none of that name. */
bool route_connector(const struct route_table *t, struct span name, bool *ret_up, struct route *ret);
/* One name for everything that shares a next hop: connection caps are counted by it, and failures kept. */
enum { ROUTE_LINK_MAX = 320 };
void route_link_name(const struct route *route, struct span domain, char out[ROUTE_LINK_MAX]);
/* Step 6: whether this member of the group sends over the connector of the route, being listed as a source
 * bridgehead; when none are listed everybody is. Routes without a connector are anybody's. */
bool route_from_member(const struct route *route, struct span member);

/* --- For people ------------------------------------------------------------------------------------ */

/* clang-format off */
#define ROUTE_FATE_MAP(X) \
    X(CHOSEN,       "chosen") \
    X(SHARES,       "equal: takes its share of the messages") \
    X(TIE,          "equal cost: the local group comes first, then the name") \
    X(DEARER,       "costs more") \
    X(LESS_SPECIFIC,"a more specific address space is there") \
    X(DOWN,         "the connector is DOWN") \
    X(NO_SOURCE,    "none of its source bridgeheads is alive") \
    X(CUT_OFF,      "no path of UP connectors leads to its group") \
    X(VISITED,      "the path enters a group that the message has left, and link state has not changed") \
    X(UNHEARD,      "no path is known, but one may lead over a group whose record is not here") \
    X(NO_PATH,      "no connector leads to its group, UP or DOWN") \
    X(SCOPE,        "its scope is its own group") \
    X(RESTRICTED,   "the message does not pass its restrictions")
/* clang-format on */
enum route_fate {
#define X(name, text) ROUTE_##name,
    ROUTE_FATE_MAP(X)
#undef X
};
const char *route_fate_text(enum route_fate fate);

struct route_link {
    struct span group, connector;
};
struct route_ask {                 /* zeroed but for what is asked */
    struct span domain;            /* normalized */
    struct route_message message;  /* priority, size and so on */
    struct span from_group;        /* where it is; "": this group */
    const struct route_link *down; /* what would happen if these were DOWN */
    size_t ndown;
    const struct trace *trace; /* NULL: none */
};
struct route_candidate { /* a connector with an address space that holds the domain */
    struct span space;   /* as it was written */
    struct span group, connector;
    bool up, dns, local; /* local: the group's own domains (RECORD_LOCAL_CONNECTOR) */
    bool has_path;       /* over UP connectors, for this message: path_cost and cost mean something */
    uint32_t space_cost; /* with that of the connector itself when it leads to a group */
    uint32_t path_cost, cost;
    enum route_fate fate;
    const char *restriction; /* RESTRICTED: the setting */
};
struct route_step { /* an edge of the path */
    struct span from, connector, to;
    uint32_t cost;
};
struct route_target {
    struct span name;
    bool up;
};
struct route_explanation {
    enum route_kind kind;
    const struct conf_local_domain *local; /* LOCAL in this group */
    struct route_candidate *candidates;    /* most specific space first */
    size_t ncandidates;
    size_t chosen;            /* kind LOCAL or NEXT_HOP and ncandidates > 0: its index */
    struct route_step *steps; /* from the asking group to that of the chosen connector; none: it is its own */
    size_t nsteps;
    struct route_link first;      /* NEXT_HOP: the connector that the message leaves the asking group by */
    struct route_target *targets; /* of `first`, in the order to be tried; none: DNS */
    size_t ntargets;
    struct route_target
        *sources; /* of `first`, or of `waits_for`: the members that send over it; none: all do */
    size_t nsources;
    struct route_link waits_for; /* UNREACHABLE, until one of its sources is alive; "" : for something else */
    bool dns;                    /* `first` resolves the domain itself */
    uint32_t cost;               /* of steps and address space */
    uint32_t klass;
};
/* ERR_NOTFOUND: no such from_group; ERR_NOMEM. Results borrow from the table; ret is freed by
 * route_explanation_done(). "If the first choice failed": ask again with `first` in `down`. */
enum err route_explain(const struct route_table *t, const struct route_ask *ask,
                       struct route_explanation *ret) MUST_USE;
void route_explanation_done(struct route_explanation *x); /* idempotent */

/* Every address space of every connector, as this group sees it for a message without particulars: first
 * the local domains, then shorter names before longer ones, and the connectors of one space together. */
struct route_entry {
    struct span space, group, connector;
    uint32_t space_cost, path_cost, cost;
    bool up, has_path, local; /* no path: path_cost and cost are UINT32_MAX */
    bool no_source;           /* not UP: none of its source bridgeheads is */
    bool usable;              /* UP, with a path, in scope, and open to that message */
};
size_t route_entries(const struct route_table *t);
/* False: there are not so many, or memory has run out. */
bool route_entry_at(const struct route_table *t, size_t n, struct route_entry *ret);
