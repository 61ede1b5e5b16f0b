/* linkstate/route_int.h — what the files behind linkstate/route.h share.
 *
 *   route_build.c    configuration and published table -> groups, connectors, rows of address spaces, edges
 *   route_spaces.c   the rows
 *   route_paths.c    shortest paths for a message class, remembered
 *   route.c          from a domain to the result, remembered
 *   route_explain.c  the same for people: every candidate, and why it was not taken
 *
 * Groups, connectors and edges are numbers. Group 0 is this one, the others follow in order of name;
 * connectors are in order of group, then name: of equal ones the lower number wins. An edge is a connector
 * that leads to a group, in order of connectors.
 *
 * A level is an address space: a name, and whether it stands for itself or for all names below it. The levels
 * that hold a domain are its chain, most specific first; the first of them determines the others, so what was
 * found out is remembered by first level and class.
 *
 * After route_table_build() only the two memories change. Their slots are filled once, by compare and swap,
 * and never emptied, so readers take no lock. */
#pragma once
#include "linkstate/class.h"
#include "linkstate/route.h"
#include "linkstate/spf.h"
#include "linkstate/trace.h"

#include <stdatomic.h>

enum {
    RT_LABELS_MAX = 128,              /* of a domain of 255 octets */
    RT_CHAIN_MAX = RT_LABELS_MAX + 3, /* with that of own local domains */
    RT_PATHS_MAX = 64,                /* shortest paths remembered; more are computed anew each time */
    RT_RULES_MAX = 64,                /* different restrictions of edges that a key has bits for */
    RT_RESULTS_MAX = 1 << 17,         /* slots */
    RT_PROBES = 16,                   /* slots looked at for one result */
    RT_SHARES_MAX = 64,               /* connectors that spread one space */
};
#define RT_NOBODY UINT32_MAX

struct rt_connector {
    const struct conf_connector *conf; /* this group's; else NULL */
    struct span name;
    uint32_t group, to; /* to: RT_NOBODY: out of the organization */
    uint32_t cost;      /* of the edge, and added to its address spaces; 0: type smtp */
    uint32_t edge;      /* SPF_NONE */
    uint32_t targets_at, ntargets, ntargets_up;
    uint32_t sources_at, nsources;
    uint8_t weight;
    bool up, dns, relay_open, own_scope, local;
    bool no_source; /* lists source bridgeheads, none of which is UP: not UP whoever says so */
    struct class_rule rule;
};
struct rt_candidate {
    uint32_t connector, cost; /* of the space, with the connector's own */
    struct span space;
};
struct rt_level {
    uint32_t at, n; /* into candidates */
};
struct rt_row {
    const struct conf_local_domain *local;
    struct rt_level exact, below; /* "example.com"; "*.example.com", of the empty name "*" */
};
/* Which edges a message may use. Equal keys have equal paths. */
struct rt_key {
    uint64_t bits;  /* rules of edges that it does not pass; or its class when there are too many rules */
    bool any_state; /* also what is DOWN: what configuration offers */
    bool in_transit;
};
struct rt_paths {
    struct rt_key key;
    struct spf_result spf;
    bool open_end; /* a group without a record is reached: where its connectors lead is not known */
};
struct rt_share {
    uint32_t connector, weights; /* sum of the weights up to and with it */
};
struct rt_result { /* of a chain and a class */
    uint32_t level, klass;
    enum route_kind kind;
    bool relay_open;
    uint32_t cost, winner; /* winner: connector that has the address space */
    uint32_t first;        /* connector of this group */
    uint32_t nshares;      /* 0: no spreading */
    struct rt_share shares[];
};
struct route_table {
    atomic_uint refs;
    const struct conf_root *root;
    void (*release)(void *owner);
    void *owner;
    char *bytes; /* the published table; names borrow from it */
    uint64_t generation;
    uint32_t damaged, unnumbered;
    struct span *groups;          /* names */
    uint32_t ngroups, nheard;     /* those from nheard on have no record: connectors lead there */
    struct namemap group_numbers; /* -> number + 1 */
    struct rt_connector *connectors;
    uint32_t nconnectors, nown; /* this group's come first; behind the last one stands its @local */
    struct route_target *targets, *sources;
    char **own_targets; /* this group's, in step with targets */
    struct class_table classes;
    struct namemap names; /* -> row number + 1 */
    struct rt_row *rows;
    size_t nrows;
    struct rt_candidate *candidates; /* behind the last one: this group's local domains, as others see them */
    uint32_t ncandidates;
    struct rt_level own_local; /* of that one alone */
    unsigned deepest;          /* most labels of any name in the table */
    struct spf_edge *edges;
    uint32_t *edge_connectors;
    uint32_t nedges, nrules;
    struct class_rule rules[RT_RULES_MAX]; /* of edges, distinct */
    struct spf_graph graph;
    bool by_transit;    /* a connector of this group is closed to mail from others */
    bool scope_all_way; /* routing_group.scope_in_transit */
    bool fall_back, spread;
    _Atomic(struct rt_paths *) paths[RT_PATHS_MAX];
    _Atomic(struct rt_result *) *results; /* nresults slots: a power of two */
    size_t nresults;
};

/* --- Rows (route_spaces.c) --------------------------------------------------------------------------- */

struct record_connector;
/* foreign: what stands in the records, per connector of another group; nspaces: at most so many in all.
 * ERR_CONFIG with connector and remedy, ERR_NOMEM. */
enum err rt_add_spaces(struct route_table *t, const struct record_connector *const *foreign, size_t nspaces,
                       struct errctx *ec) MUST_USE;

/* --- Paths (route_paths.c) --------------------------------------------------------------------------- */

/* One question as it goes through all files. */
struct rt_view {
    const struct route_table *t;
    uint32_t from, klass;
    const struct route_link *down; /* as if DOWN */
    size_t ndown;
    const struct trace *trace;         /* groups not to be entered; NULL: none */
    bool any_source;                   /* as if all source bridgeheads were alive */
    const struct rt_paths *now, *ever; /* over what is UP; over everything. Set by rt_view_open() */
    bool kept_now, kept_ever;          /* the table has them; else rt_view_close() frees them */
};
enum err rt_view_open(struct rt_view *v) MUST_USE; /* ERR_NOMEM: nothing to be closed */
void rt_view_close(struct rt_view *v);
bool rt_in_scope(const struct rt_view *v, const struct rt_connector *c);
bool rt_is_up(const struct rt_view *v, const struct rt_connector *c);
bool rt_may_enter(const struct rt_view *v, uint32_t group);
void rt_paths_free(struct rt_paths *p); /* NULL is a no-op */

/* --- Results (route.c) ------------------------------------------------------------------------------- */

/* The levels that hold a domain, most specific first; its own row, or NULL. */
struct rt_chain {
    const struct rt_row *row;
    const struct rt_level *levels[RT_CHAIN_MAX];
    size_t n;
};
void rt_chain_of(const struct route_table *t, struct span domain, struct rt_chain *ret);
/* What is to be said about one candidate by itself: CHOSEN (it would do), DOWN, CUT_OFF, VISITED, NO_PATH,
 * SCOPE, RESTRICTED. */
enum route_fate rt_judge(const struct rt_view *v, const struct rt_candidate *c, uint32_t *ret_path_cost);
struct rt_pick {
    enum route_kind kind;
    const struct rt_level *level;
    const struct rt_candidate *best;
    uint32_t cost, path_cost;
    bool relay_open;
};
void rt_pick(const struct rt_view *v, const struct rt_chain *chain, struct rt_pick *ret);
/* Whether a candidate that would do is as good as the one picked: local ones among local ones. */
bool rt_equal(const struct rt_view *v, const struct rt_pick *p, const struct rt_candidate *c);
/* The connector that a message leaves v->from by on its way to one that has a path. */
uint32_t rt_first(const struct rt_view *v, uint32_t connector);
