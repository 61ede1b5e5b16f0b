/* node/limits.h — how many connections a virtual server takes: in total, of one client, and how fast.
 *
 * One object for the whole process, touched by one thread alone: the other loops ask it (node/shard.h),
 * so that the limits are exact however the kernel spreads connections over loops. Pure: the time is an
 * argument. IPv6 clients are counted by their /64: one subscriber has all of it. */
#pragma once
#include "common/clock.h"
#include "common/config/config.h"
#include "common/ip.h"
#include "common/rng.h"

struct limits;
enum admission {
    ADMIT,
    ADMIT_BUSY,        /* max_connections */
    ADMIT_BUSY_CLIENT, /* max_connections_per_client */
    ADMIT_BUSY_RATE,   /* max_rate_per_client, in any 60 s; as many at once; not for relay_from */
};
/* Clients remembered for their rate alone, beyond those with open connections. */
enum { LIMITS_IDLE_CLIENTS_MAX = 65536 };

struct limits *limits_new(size_t servers, uint64_t seed); /* NULL: out of memory */
void limits_free(struct limits *l);                       /* NULL is a no-op */
/* ADMIT counts the connection until limits_leave(). Out of memory: ADMIT_BUSY. */
enum admission limits_admit(struct limits *l, size_t server, const struct conf_virtual_server *vs,
                            const struct ip_addr *client, ms_t now_ms);
void limits_leave(struct limits *l, size_t server, const struct ip_addr *client, ms_t now_ms);
size_t limits_clients(const struct limits *l); /* remembered now */
