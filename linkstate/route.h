/* linkstate/route.h — which connector takes a recipient: one pure function over an immutable table.
 *
 * Lifetimes: a table is built once and shared by reference counting (any thread); results borrow
 * from it. No I/O, no clock, no allocation in route_lookup(). Selection follows the seven steps of
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
enum route_kind {
    ROUTE_LOCAL,       /* a local domain: deliver */
    ROUTE_NEXT_HOP,    /* over connector */
    ROUTE_UNREACHABLE, /* every way is down: wait */
    ROUTE_NONE,        /* no way by configuration: 5.4.4 */
};
struct route {
    enum route_kind kind;
    const struct conf_local_domain *local;  /* ROUTE_LOCAL */
    const struct conf_connector *connector; /* ROUTE_NEXT_HOP: the first edge of the path */
    bool dns;        /* resolve the domain itself; else connector->smart_hosts in turn */
    bool relay_open; /* the connector allows anybody to relay */
    uint32_t cost;
};
/* What restrictions look at; the message class is computed from it. */
struct route_message {
    uint64_t size_bytes;
    enum priority priority;
    bool system;
    struct span sender;
};
/* Address spaces: "example.com" (that name alone), "*.example.com" (every name below it, not itself), "*".
 * The table holds a reference of conf. ERR_CONFIG with connector and remedy, ERR_NOMEM. */
enum err route_table_new(struct config *conf, struct route_table **ret, struct errctx *ec) MUST_USE;
/* The same over settings that the caller keeps alive; release(owner) is called with the last reference
 * (release may be NULL; it is not called on error). */
enum err route_table_build(const struct conf_root *root, void (*release)(void *owner), void *owner,
                           struct route_table **ret, struct errctx *ec) MUST_USE;
struct route_table *route_table_ref(struct route_table *t);
void route_table_unref(struct route_table *t); /* NULL is a no-op */
/* What the connectors' restrictions can tell about a message, as a number (layout: linkstate/class.h):
 * equal classes take equal routes. Without restrictions the only class is 0. A job keeps the class it was
 * queued under; a worker that claims it routes by the class computed anew from the envelope, so a changed
 * configuration regroups queues but never misroutes. */
uint32_t route_class(const struct route_table *t, const struct route_message *m);
/* domain is normalized (common/address.h); any klass is valid. */
void route_lookup(const struct route_table *t, struct span domain, uint32_t klass, struct route *ret);
/* One name for everything that shares a next hop: connection caps are counted by it, and failures kept. */
enum { ROUTE_LINK_MAX = 320 };
void route_link_name(const struct route *route, struct span domain, char out[ROUTE_LINK_MAX]);
