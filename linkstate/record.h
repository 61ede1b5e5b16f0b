/* linkstate/record.h — what one routing group says of itself: members and connectors. Parse and emit.
 *
 * Wire format: docs/protocol.md, "Record body". Emitting a parsed record gives the same bytes
 * (canonical form), so a digest of the bytes is a digest of the meaning. Limits refuse, they never
 * truncate. Lifetimes: spans of a parsed record borrow from the bytes, the arrays belong to the
 * record: record_done() frees them. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

enum {
    RECORD_MAX = 65536, /* bytes of a body */
    RECORD_CONNECTORS_MAX = 4096,
    RECORD_MEMBERS_MAX = 1024,
    RECORD_NAME_MAX = 63, /* groups, connectors, members */
    RECORD_SPACE_MAX = 255,
    RECORD_ITEMS_MAX = 4096, /* hosts, spaces or senders of one connector */
    RECORD_COST_MAX = 100,
};
/* A group's local domains travel as the address spaces (cost 1) of an smtp connector of this name, which no
 * configured connector can have. It is never DOWN; mail that reaches its group is local there. */
#define RECORD_LOCAL_CONNECTOR "@local"
enum record_connector_type { RECORD_SMTP, RECORD_ROUTING_GROUP };
enum record_scope { RECORD_SCOPE_ORGANIZATION, RECORD_SCOPE_GROUP };
enum record_content { RECORD_CONTENT_ALL, RECORD_CONTENT_SYSTEM, RECORD_CONTENT_NON_SYSTEM };
enum {
    RECORD_PRIORITY_NORMAL = 1,
    RECORD_PRIORITY_LOW = 2,
    RECORD_PRIORITY_HIGH = 4,
    RECORD_PRIORITY_ALL = 7
};

struct record_host { /* a bridgehead: where mail leaves (source) or arrives (target) */
    struct span name;
    bool up;
};
struct record_space {
    struct span space; /* "*", "*.example.net", "example.com" */
    uint8_t cost;      /* 1..RECORD_COST_MAX */
};
struct record_connector {
    struct span name;
    enum record_connector_type type;
    struct span to_group; /* RECORD_ROUTING_GROUP: the other end; else empty */
    uint8_t cost;         /* RECORD_ROUTING_GROUP: of the edge; else 1 */
    enum record_scope scope;
    bool up;
    uint8_t weight; /* share among equals, 1..100 */
    bool dns;       /* resolves the domain itself: never DOWN */
    bool relay_open;
    struct record_host *sources, *targets;
    size_t nsources, ntargets;
    struct record_space *spaces;
    size_t nspaces;
    /* restrictions */
    uint64_t max_size;  /* bytes; 0: none */
    uint8_t priorities; /* RECORD_PRIORITY_*; never 0 */
    enum record_content content;
    struct span *accept_from, *reject_from; /* "a@b" or "@domain" */
    size_t naccept, nreject;
};
struct record_member {
    struct span name;
    bool connected; /* to the master */
};
struct record {
    struct span master;
    struct record_member *members;
    size_t nmembers;
    struct record_connector *connectors;
    size_t nconnectors;
};

enum err record_parse(struct span bytes, struct record *ret,
                      struct errctx *ec) MUST_USE; /* ERR_PARSE, ERR_TOOBIG, ERR_NOMEM */
enum err record_emit(const struct record *r,
                     struct buf *out) MUST_USE; /* ERR_TOOBIG, ERR_PARSE: a field out of range */
void record_done(struct record *r);             /* idempotent; only for parsed records */
