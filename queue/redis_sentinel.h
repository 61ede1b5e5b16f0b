/* queue/redis_sentinel.h — asking every Sentinel who the master is; see queue/redis_topology.h. */
#pragma once
#include "queue/redis_topology.h"

struct redis_sentinels;
struct redis_master {
    struct redis_host host;
    uint64_t epoch; /* Sentinel's config-epoch: grows with every failover */
};
/* found: another master, or a higher epoch, than was reported before. Called from the loop. */
typedef void redis_found_fn(void *arg, const struct redis_master *master);
struct redis_sentinels *redis_sentinels_new(struct loop *l, const struct redis_settings *s,
                                            redis_found_fn *found, void *arg); /* NULL: out of memory */
void redis_sentinels_free(struct redis_sentinels *s);                          /* NULL is a no-op */
void redis_sentinels_ask(struct redis_sentinels *s);                           /* now, at most every 200 ms */
void redis_sentinels_forget(struct redis_sentinels *s); /* epochs seen so far do not count any more */
bool redis_sentinels_priorities_equal(const struct redis_sentinels *s);
const char *redis_sentinels_why(const struct redis_sentinels *s); /* no answer, because ... */
