/* tests/unit/linkstate/net.h — a few engines and the network between them, where a test sees every message
 * when it leaves and when it arrives, and may lose it. (linkstate/sim.h simulates large ones and tells only
 * sums.) */
#pragma once
#include "linkstate/sim.h"
#include "tests/unit/check.h"

#include <string.h>

enum { NET_NODES = 10 };
#define NET_NONE UINT32_MAX
struct net_packet {
    struct net_packet *next;
    ms_t at_ms;
    uint32_t from, to;
    size_t len;
    char bytes[];
};
struct net_node {
    struct ls *ls; /* NULL: stopped */
    uint32_t key;
    char name[8];
    struct buf cert;
    uint64_t instance;
    struct ls_version persisted;
    uint32_t peer_of[NET_NODES]; /* by the number of the other node; NET_NONE: no neighbour */
    ms_t last_arrival_ms[NET_NODES];
    bool carrier[NET_NODES];
    bool connector_up;
    unsigned cost, members;
    ms_t wake_ms;
    int64_t off_s; /* by how much its clock is wrong */
};
struct net;
typedef void net_seen_fn(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m);
struct net {
    struct rng rng;
    ms_t now_ms, latency_min_ms, latency_max_ms;
    struct net_node nodes[NET_NODES];
    uint32_t size;
    struct net_packet *packets; /* by time */
    struct ls_options times;
    net_seen_fn *leaves, *arrives; /* NULL: nobody looks */
    bool (*lost)(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m);
    void *arg;
    unsigned notices;
    uint64_t wall_s; /* the date when now_ms was 0; 0: nobody has a clock */
};

static inline void net_post(struct net *n, uint32_t from, uint32_t to, struct span bytes)
{
    struct ls_message m;
    struct net_packet **at = &n->packets, *p = malloc(sizeof *p + bytes.len);
    assert_non_null(p);
    assert_int_equal(ls_message_parse(bytes, &m, NULL), ERR_OK);
    if (n->leaves != NULL)
        n->leaves(n, from, to, &m);
    ms_t wide = n->latency_max_ms - n->latency_min_ms + 1;
    *p = (struct net_packet){.at_ms = n->now_ms + n->latency_min_ms + rng_below(&n->rng, wide),
                             .from = from,
                             .to = to,
                             .len = bytes.len};
    memcpy(p->bytes, bytes.ptr, bytes.len);
    if ((n->lost != NULL && n->lost(n, from, to, &m)) || !n->nodes[from].carrier[to]) {
        free(p);
        return;
    }
    ms_t *last = &n->nodes[from].last_arrival_ms[to];
    p->at_ms = p->at_ms < *last ? *last : p->at_ms; /* order is kept */
    *last = p->at_ms;
    while (*at != NULL && (*at)->at_ms <= p->at_ms)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

static inline uint32_t net_of_peer(const struct net *n, uint32_t node, uint32_t peer)
{
    for (uint32_t i = 0; i < n->size; i++)
        if (n->nodes[node].peer_of[i] == peer)
            return i;
    fail_msg("node %u has no peer %u", node, peer);
    return NET_NONE;
}

static inline struct ls_output net_step(struct net *n, uint32_t node, struct ls_event ev)
{
    struct net_node *at = &n->nodes[node];
    struct ls_output out;
    ev.now_ms = n->now_ms;
    if (n->wall_s != 0)
        ev.wall_s = (uint64_t)((int64_t)(n->wall_s + n->now_ms / 1000) + at->off_s);
    assert_int_equal(ls_step(at->ls, &ev, &out), ERR_OK);
    if (out.own_changed)
        at->persisted = *ls_own_version(at->ls);
    for (size_t i = 0; i < out.nsends; i++)
        net_post(n, node, net_of_peer(n, node, out.sends[i].peer), out.sends[i].bytes);
    n->notices += (unsigned)out.nnotices;
    at->wake_ms = out.wake_at_ms;
    return out;
}

/* The record as its fields are now. */
static inline void net_originate(struct net *n, uint32_t node, enum ls_level level)
{
    struct net_node *at = &n->nodes[node];
    struct record_member members[4] = {
        {SPAN("r1"), true}, {SPAN("r2"), true}, {SPAN("r3"), true}, {SPAN("r4"), true}};
    struct record_connector c = {.name = SPAN("out"),
                                 .cost = (uint8_t)at->cost,
                                 .up = at->connector_up,
                                 .weight = 1,
                                 .priorities = RECORD_PRIORITY_ALL};
    struct record r = {.master = SPAN("r1"),
                       .members = members,
                       .nmembers = at->members,
                       .connectors = &c,
                       .nconnectors = 1};
    struct buf body;
    buf_init(&body, RECORD_MAX);
    assert_int_equal(record_emit(&r, &body), ERR_OK);
    (void)net_step(
        n, node,
        (struct ls_event){
            .type = LS_ORIGINATE, .bytes = buf_span(&body), .level = level, .floor = at->persisted});
    buf_done(&body);
}

static inline void net_node_start(struct net *n, uint32_t node)
{
    struct net_node *at = &n->nodes[node];
    struct ls_options o = n->times;
    struct ls_crypto crypto;
    sim_crypto(&crypto, &at->key);
    sim_org_key(o.org_key);
    o.organization = SPAN("sim");
    o.group = span_cstr(at->name);
    o.router = SPAN("r1");
    o.cert = buf_span(&at->cert);
    o.instance = (uint64_t)node << 32 | ++at->instance;
    at->ls = ls_new(&o, &crypto, n->now_ms);
    assert_non_null(at->ls);
    for (uint32_t to = 0; to < n->size; to++)
        if (at->peer_of[to] != NET_NONE)
            assert_int_equal(ls_peer_add(at->ls, span_cstr(n->nodes[to].name), &at->peer_of[to]), ERR_OK);
    net_originate(n, node, LS_LEVEL_MAJOR);
    for (uint32_t to = 0; to < n->size; to++)
        if (at->carrier[to])
            (void)net_step(n, node, (struct ls_event){.type = LS_CARRIER_UP, .peer = at->peer_of[to]});
}

static inline void net_init(struct net *n, uint64_t seed, uint32_t size)
{
    *n = (struct net){.size = size, .now_ms = 1000, .latency_min_ms = 5, .latency_max_ms = 20};
    rng_seed(&n->rng, seed);
    for (uint32_t i = 0; i < size; i++) {
        struct net_node *at = &n->nodes[i];
        *at = (struct net_node){.key = i, .connector_up = true, .cost = 1, .members = 1};
        (void)snprintf(at->name, sizeof at->name, "g%u", i);
        buf_init(&at->cert, CERT_MAX);
        sim_cert(i, span_cstr(at->name), &at->cert);
        for (uint32_t to = 0; to < size; to++)
            at->peer_of[to] = NET_NONE;
    }
}

static inline void net_link(struct net *n, uint32_t a, uint32_t b)
{
    n->nodes[a].peer_of[b] = n->nodes[b].peer_of[a] = 0;
    n->nodes[a].carrier[b] = n->nodes[b].carrier[a] = true;
}

static inline void net_carrier(struct net *n, uint32_t a, uint32_t b, bool up)
{
    uint32_t ends[2][2] = {{a, b}, {b, a}};
    n->nodes[a].carrier[b] = n->nodes[b].carrier[a] = up;
    for (int i = 0; i < 2; i++)
        (void)net_step(n, ends[i][0],
                       (struct ls_event){.type = up ? LS_CARRIER_UP : LS_CARRIER_DOWN,
                                         .peer = n->nodes[ends[i][0]].peer_of[ends[i][1]]});
}

static inline void net_arrive(struct net *n)
{
    struct net_packet *p = n->packets;
    struct ls_message m;
    n->packets = p->next;
    if (n->nodes[p->to].ls != NULL && n->nodes[p->to].carrier[p->from]) {
        struct span bytes = span_of(p->bytes, p->len);
        assert_int_equal(ls_message_parse(bytes, &m, NULL), ERR_OK);
        if (n->arrives != NULL)
            n->arrives(n, p->from, p->to, &m);
        (void)net_step(
            n, p->to,
            (struct ls_event){.type = LS_RECV, .peer = n->nodes[p->to].peer_of[p->from], .bytes = bytes});
    }
    free(p);
}

static inline void net_run(struct net *n, ms_t for_ms)
{
    ms_t end = n->now_ms + for_ms;
    for (;;) {
        uint32_t first = NET_NONE;
        ms_t at = n->packets != NULL ? n->packets->at_ms : UINT64_MAX;
        for (uint32_t i = 0; i < n->size; i++)
            if (n->nodes[i].ls != NULL && n->nodes[i].wake_ms < at) {
                at = n->nodes[i].wake_ms;
                first = i;
            }
        if (at > end)
            break;
        n->now_ms = at > n->now_ms ? at : n->now_ms;
        if (first == NET_NONE)
            net_arrive(n);
        else
            (void)net_step(n, first, (struct ls_event){.type = LS_TICK});
    }
    n->now_ms = end;
}

static inline void net_done(struct net *n)
{
    while (n->packets != NULL) {
        struct net_packet *p = n->packets;
        n->packets = p->next;
        free(p);
    }
    for (uint32_t i = 0; i < n->size; i++) {
        ls_free(n->nodes[i].ls);
        buf_done(&n->nodes[i].cert);
    }
}

static inline struct ls_peer_info net_peer(const struct net *n, uint32_t node, uint32_t other)
{
    struct ls_peer_info info;
    assert_true(ls_peer_info(n->nodes[node].ls, n->nodes[node].peer_of[other], &info));
    return info;
}

static inline uint64_t net_count(const struct net *n, uint32_t node, enum ls_counter c)
{
    return ls_counters(n->nodes[node].ls)[c];
}
