/* linkstate/sim_int.h — what the files of the simulator share; nobody else includes it.
 *
 *   sim.c         packets, virtual time, counting
 *   sim_build.c   groups, links, records; what happens to them
 *   sim_reach.c   who is cut off
 *   sim_crypto.c  imitated signatures */
#pragma once
#include "common/rng.h"
#include "linkstate/sim.h"

struct link {
    uint32_t to;
    uint32_t peer; /* number of this adjacency in the engine */
    uint8_t cost;  /* of the connector; 0: there is none in this direction */
    bool adjacent; /* else the routers have nothing to do with each other */
    bool up, cut, carrier;
    ms_t last_arrival_ms; /* order is kept */
};
struct group {
    char name[RECORD_NAME_MAX + 1];
    uint32_t number;
    struct ls *ls;
    struct link *links;
    size_t nlinks, cap_links;
    struct conf_root *conf; /* a copy of its own, with the connectors; NULL: the links are all there is */
    bool *connector_down;   /* with conf: by number of the connector */
    struct ls_version persisted;
    struct buf cert;
    ms_t wake_ms;
    uint64_t instance;
};
enum packet_kind { PACKET_TICK, PACKET_MESSAGE };
struct packet {
    ms_t at_ms;
    uint64_t order; /* of creation: ties are deterministic */
    enum packet_kind kind;
    uint32_t to, from;
    size_t len;
    char *bytes;
};
struct crossing { /* how often a version of a record crossed an adjacency: open addressing */
    uint64_t key;
    uint32_t times;
};
struct sim {
    struct sim_options opts;
    struct rng rng;
    struct lsdb_pool *pool;
    struct group *groups;
    size_t ngroups, cap_groups;
    struct packet *heap;
    size_t nheap, cap_heap;
    uint64_t order;
    size_t in_flight;
    ms_t now_ms, changed_ms;
    struct sim_stats stats;
    struct crossing *crossings;
    size_t ncrossings, cap_crossings;
    struct buf trace;
    bool nomem;
};

struct link *sim_link_to(const struct sim *s, uint32_t from, uint32_t to); /* NULL: there is none */
enum err sim_step(struct sim *s, uint32_t n, struct ls_event ev) MUST_USE;
void sim_hash(void *self, struct span bytes, uint8_t ret[LS_DIGEST_LEN]);
