/* queue/redis_resolve.h — the address of a Redis server by its name, as the rest of the machine sees it:
 * hosts file and search domains included, which a DNS library does not know (the short service names of a
 * container platform). getaddrinfo() blocks, so it runs in a thread of its own. */
#pragma once
#include "common/io/loop.h"
#include "common/ip.h"

enum { REDIS_ADDRESSES_MAX = 16 };
struct redis_resolve;
/* n == 0: why says what failed. Called once, from the loop; never before redis_resolve_start() returns. */
typedef void redis_resolved_fn(void *arg, const struct ip_endpoint *list, size_t n, const char *why);
enum err redis_resolve_start(struct loop *l, const char *name, uint16_t port, redis_resolved_fn *done,
                             void *arg,
                             struct redis_resolve **ret) MUST_USE; /* ERR_NOMEM: nothing is called */
void redis_resolve_cancel(struct redis_resolve *r);                /* not called any more; NULL is a no-op */
