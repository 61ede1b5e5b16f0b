/* queue/routing.h — what routers, nodes, workers and the command line tell each other about routes, through
 * Redis. Only the master router writes most of it: queue/routing_master.h.
 *
 * The published table is one versioned value: a list of signed advertisements (struct ls_advert of
 * linkstate/message.h, one of every group, in order of group name; ls_advert_next() walks it). The version
 * is this Redis's own count of publications, not a link-state version; it goes back only when this Redis has
 * lost it, and its clock is behind.
 *
 * Lifetimes: belongs to one loop, with connections of its own; routing_free() ends what is under way with
 * ERR_CANCELED. Spans passed in are copied before the call returns; what callbacks get is borrowed for the
 * call. Callbacks are never called before the call that registered them returns; each() any number of times,
 * then done() exactly once; when a call returns an error neither is called. each() returns whether to go on.
 * Errors: ERR_AGAIN (Redis not reached in time), ERR_BACKEND (refused; why says what to do), ERR_NOMEM,
 * ERR_TOOBIG, ERR_PARSE (an argument).
 * Time: wall clock of Redis; 0: none. */
#pragma once
#include "common/clock.h"
#include "common/config/config.h"
#include "common/err.h"
#include "common/io/loop.h"
#include "common/span.h"

struct routing;
enum { ROUTING_TABLE_MAX = 48 << 20, ROUTING_NAME_MAX = 63, ROUTING_TEXT_MAX = 256 };

/* Connects in the background; operations wait for it, at most patience_ms each. */
enum err routing_open(struct loop *l, const struct config *conf, ms_t patience_ms, struct routing **ret,
                      struct errctx *ec) MUST_USE;
void routing_free(struct routing *r); /* NULL is a no-op */
bool routing_ready(const struct routing *r, struct buf *ret_why);

typedef void routing_done_fn(void *arg, enum err e, const char *why); /* why: "" on success */

/* --- The published table -------------------------------------------------------------------------- */

struct routing_table {
    uint64_t version;   /* 0: none is published; the group's own configuration is all there is */
    ms_t published_ms;  /* ages of advertisements count from here */
    struct span master; /* the router that published it */
    struct span bytes;  /* advertisements; not verified here */
    ms_t now_ms;
};
typedef void routing_table_fn(void *arg, const struct routing_table *t);
/* Called once with what is there, and again for every other version, within a second of its publication (at
 * once when the notification arrives). Without Redis, or when it has lost the table, nothing is called: the
 * last one stays good until another is published. */
void routing_watch(struct routing *r, routing_table_fn *fn, void *arg);
/* The same, once. have: a version that is known; its bytes are not sent again. 0: none. */
typedef void routing_table_done_fn(void *arg, enum err e, const struct routing_table *t, const char *why);
enum err routing_table_get(struct routing *r, uint64_t have, routing_table_done_fn *done, void *arg) MUST_USE;

/* Says with every look for the table, once a second while routing_watch() is on, that the worker of this name
 * lives; it does until lease_ms after the last look. Workers that are named alike are one. "" : nothing is
 * said any more. */
void routing_present(struct routing *r, const char *name, ms_t lease_ms);
/* Those that live. */
typedef bool routing_worker_fn(void *arg, struct span name);
enum err routing_workers(struct routing *r, routing_worker_fn *each, routing_done_fn *done,
                         void *arg) MUST_USE;

/* --- Health of connectors: workers tell, the master decides ---------------------------------------- */

struct routing_report {
    struct span connector, target; /* as the configuration writes them */
    bool ok;                       /* the target greeted us; else text says why not */
    struct span text;
};
/* A hint, sent at most once a second for a target that keeps saying the same: nothing is awaited. */
void routing_report_send(struct routing *r, const struct routing_report *report);

struct routing_target {
    struct span name;
    bool up;
    ms_t since_ms;
    struct span error; /* of the last failure, while not up */
};
enum routing_override { ROUTING_AUTO, ROUTING_UP, ROUTING_DOWN };
struct routing_link { /* a connector of this group */
    struct span name;
    bool up;           /* as announced */
    struct span state; /* "UP", "GLITCH", "DOWN", "HELD": linkstate/damping.h */
    ms_t since_ms;     /* of the announced state */
    uint32_t failures; /* in a row */
    uint32_t penalty;  /* at written_ms */
    ms_t written_ms;
    ms_t room_ms;       /* struct damping: room_ms; 0: there is room */
    ms_t held_until_ms; /* 0: not held */
    ms_t next_probe_ms; /* 0: none is due */
    struct span error;  /* the last one */
    enum routing_override override;
    ms_t override_until_ms; /* 0: until it is taken back */
    struct span override_by, override_reason;
    const struct routing_target *targets;
    size_t ntargets;
    ms_t now_ms;
};
typedef bool routing_link_fn(void *arg, const struct routing_link *k);
enum err routing_links(struct routing *r, routing_link_fn *each, routing_done_fn *done, void *arg) MUST_USE;
/* An administrator's word counts for more than what is found out; expires after for_ms (0: never, else at
 * most ROUTING_WORD_MAX_MS). */
#define ROUTING_WORD_MAX_MS ((ms_t)3650 * 24 * 3600 * 1000)
enum err routing_override_set(struct routing *r, struct span connector, enum routing_override word,
                              ms_t for_ms, struct span by, struct span reason, routing_done_fn *done,
                              void *arg) MUST_USE;

/* --- Routers and neighbours ------------------------------------------------------------------------- */

struct routing_router { /* a replica in this group */
    struct span name;
    bool master;
    ms_t lease_ms; /* end; earlier than now: dead */
    ms_t since_ms; /* master: since when */
    ms_t now_ms;
};
typedef bool routing_router_fn(void *arg, const struct routing_router *m);
enum err routing_routers(struct routing *r, routing_router_fn *each, routing_done_fn *done,
                         void *arg) MUST_USE;

struct routing_adjacency { /* as the master saw it when it last wrote */
    struct span neighbour; /* configured group */
    struct span router;    /* who answers there; "" : nobody yet */
    struct span state;     /* "DOWN", "INIT", "SYNC", "FULL": linkstate/engine.h */
    struct span carrier;   /* what it runs over, or why there is none */
    ms_t since_ms, heard_ms;
    uint64_t sum_hi, sum_lo; /* digest heard last */
    uint32_t pending;        /* records not acknowledged */
    bool equal;              /* to our table */
    ms_t now_ms;
};
typedef bool routing_adjacency_fn(void *arg, const struct routing_adjacency *a);
enum err routing_adjacencies(struct routing *r, routing_adjacency_fn *each, routing_done_fn *done,
                             void *arg) MUST_USE;

/* --- History ---------------------------------------------------------------------------------------- */

/* clang-format off */
#define ROUTING_EVENT_MAP(X) \
    X(UP, "a connector is UP")            X(DOWN, "a connector is DOWN") \
    X(APPEARED, "a group is new")         X(CHANGED, "a group's configuration or members changed") \
    X(GONE, "a group was dropped")        X(ADJACENCY, "a neighbour came or went") \
    X(MASTER, "another router is master") X(OVERRIDE, "an administrator's word about a connector")
/* clang-format on */
struct routing_event {
    ms_t at_ms;
    struct span what; /* a name of ROUTING_EVENT_MAP */
    struct span group, connector;
    struct span version; /* "major.minor.user" of the group's record */
    struct span text;    /* why, for people */
};
typedef bool routing_event_fn(void *arg, const struct routing_event *ev);
/* The newest first, at most max of them; kept over restarts, the last ROUTING_HISTORY_MAX. */
enum { ROUTING_HISTORY_MAX = 10000 };
enum err routing_history(struct routing *r, uint64_t max, routing_event_fn *each, routing_done_fn *done,
                         void *arg) MUST_USE;

/* --- Asking the master to do something -------------------------------------------------------------- */

enum routing_verb {
    ROUTING_PURGE,  /* argument: a group. Answer: "" */
    ROUTING_PROBE,  /* argument: a connector. Answer: "" (the outcome shows in routing_links()) */
    ROUTING_VERIFY, /* no argument. Answer, a line a neighbour: "<group> <state> equal|differs|silent <names>"
                     */
};
typedef void routing_answer_fn(void *arg, enum err e, struct span answer, const char *why);
/* ERR_NOTFOUND: no master answered in wait_ms, or there is no such group or connector; why says which. */
enum err routing_ask(struct routing *r, enum routing_verb verb, struct span argument, ms_t wait_ms,
                     routing_answer_fn *done, void *arg) MUST_USE;
