#include "node/limits.h"

#include "node/policy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { BUCKETS = 16384, RATE_WINDOW_MS = 60000 };

/* A client of one virtual server. Its rate is a generic cell rate: a connection moves `full_ms` forward by
 * window / rate, and may not move it further than the window ahead of now. */
struct entry {
    struct entry *next;      /* of its bucket */
    TAILQ_ENTRY(entry) idle; /* while open == 0: kept for its rate */
    struct ip_addr client;
    uint32_t server, open;
    ms_t full_ms;
};
TAILQ_HEAD(idle_list, entry);
struct limits {
    uint64_t seed;
    size_t clients, nidle;
    struct idle_list idle; /* the longest idle first */
    uint64_t *open;        /* connections of each server */
    struct entry *bucket[BUCKETS];
};

struct limits *limits_new(size_t servers, uint64_t seed)
{
    struct limits *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->seed = seed;
    TAILQ_INIT(&l->idle);
    l->open = calloc(servers, sizeof *l->open);
    if (l->open == NULL) {
        free(l);
        return NULL;
    }
    return l;
}

void limits_free(struct limits *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct entry *e = l->bucket[i], *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    free(l->open);
    free(l);
}

static struct ip_addr counted_as(const struct ip_addr *client)
{
    struct ip_addr a = *client;
    if (a.v6)
        memset(a.bytes + 8, 0, sizeof a.bytes - 8);
    else
        memset(a.bytes + 4, 0, sizeof a.bytes - 4);
    return a;
}

/* Clients choose their addresses: without the seed they would choose the bucket too. */
static struct entry **bucket_of(struct limits *l, uint32_t server, const struct ip_addr *a)
{
    uint64_t h = l->seed ^ server, word;
    for (size_t i = 0; i < sizeof a->bytes; i += sizeof word) {
        memcpy(&word, a->bytes + i, sizeof word);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return &l->bucket[h % BUCKETS];
}

static struct entry *find(struct limits *l, uint32_t server, const struct ip_addr *a)
{
    for (struct entry *e = *bucket_of(l, server, a); e != NULL; e = e->next)
        if (e->server == server && ip_eq(&e->client, a))
            return e;
    return NULL;
}

static void forget(struct limits *l, struct entry *e)
{
    struct entry **at = bucket_of(l, e->server, &e->client);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    TAILQ_REMOVE(&l->idle, e, idle);
    l->nidle--;
    l->clients--;
    free(e);
}

/* Idle clients whose rate has nothing to say any more, and the longest idle beyond the maximum. */
static void tidy(struct limits *l, ms_t now_ms)
{
    struct entry *e;
    while ((e = TAILQ_FIRST(&l->idle)) != NULL &&
           (e->full_ms <= now_ms || l->nidle > LIMITS_IDLE_CLIENTS_MAX))
        forget(l, e);
}

static struct entry *obtain(struct limits *l, uint32_t server, const struct ip_addr *a)
{
    struct entry *e = find(l, server, a), **bucket = bucket_of(l, server, a);
    if (e != NULL)
        return e;
    e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->server = server;
    e->client = *a;
    e->next = *bucket;
    *bucket = e;
    l->clients++;
    TAILQ_INSERT_TAIL(&l->idle, e, idle);
    l->nidle++;
    return e;
}

static bool too_fast(struct entry *e, uint64_t rate, ms_t now_ms)
{
    if (rate == 0)
        return false;
    ms_t from = e->full_ms > now_ms ? e->full_ms : now_ms;
    ms_t cost = RATE_WINDOW_MS / rate > 0 ? RATE_WINDOW_MS / rate : 1;
    if (from + cost > now_ms + RATE_WINDOW_MS)
        return true;
    e->full_ms = from + cost;
    return false;
}

enum admission limits_admit(struct limits *l, size_t server, const struct conf_virtual_server *vs,
                            const struct ip_addr *client, ms_t now_ms)
{
    struct ip_addr a = counted_as(client);
    tidy(l, now_ms);
    if (l->open[server] >= vs->max_connections)
        return ADMIT_BUSY;
    struct entry *e = obtain(l, (uint32_t)server, &a);
    if (e == NULL)
        return ADMIT_BUSY;
    if (e->open >= vs->max_connections_per_client)
        return ADMIT_BUSY_CLIENT;
    bool relays = policy_client_relays(&vs->relay_from, client); /* as often as it has mail */
    if (!relays && too_fast(e, vs->max_rate_per_client, now_ms))
        return ADMIT_BUSY_RATE;
    if (e->open++ == 0) {
        TAILQ_REMOVE(&l->idle, e, idle);
        l->nidle--;
    }
    l->open[server]++;
    return ADMIT;
}

void limits_leave(struct limits *l, size_t server, const struct ip_addr *client, ms_t now_ms)
{
    struct ip_addr a = counted_as(client);
    struct entry *e = find(l, (uint32_t)server, &a);
    l->open[server]--;
    if (e == NULL || --e->open > 0)
        return;
    TAILQ_INSERT_TAIL(&l->idle, e, idle);
    l->nidle++;
    tidy(l, now_ms);
}

size_t limits_clients(const struct limits *l)
{
    return l->clients;
}
