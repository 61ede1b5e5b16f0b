/* common/config/redis_url.h — where Redis is: the forms of `redis.url` taken apart.
 *
 *   embedded                                  the server that `bridgehead run` starts in data_dir
 *   unix:///path[?db=N]
 *   redis://host[:6379][/db]                  rediss:// the same over TLS
 *   redis-sentinel://host[:26379],.../master[/db]   rediss-sentinel:// sentinels and servers over TLS
 *   redis-cluster://host[:6379],...           rediss-cluster://
 *
 * Passwords do not belong in a URL: it ends up in logs; see redis.username, redis.password_file. */
#pragma once
#include "common/err.h"
#include "common/span.h"

#define REDIS_EMBEDDED_SOCKET "redis/redis.sock" /* in data_dir */

enum redis_kind { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };
enum { REDIS_HOSTS_MAX = 16, REDIS_HOST_MAX = 254, REDIS_PATH_MAX = 108, REDIS_MASTER_MAX = 128 };

struct redis_host {
    char name[REDIS_HOST_MAX]; /* a name or an address, without brackets */
    uint16_t port;
};
struct redis_url {
    enum redis_kind kind;
    bool tls, embedded;
    char unix_path[REDIS_PATH_MAX]; /* "" : hosts */
    struct redis_host hosts[REDIS_HOSTS_MAX];
    size_t nhosts;
    char master[REDIS_MASTER_MAX]; /* Sentinel's name of the master */
    unsigned db;
};

/* ERR_CONFIG: ec says what is wrong and what it should look like. */
enum err redis_url_parse(struct span url, const char *data_dir, struct redis_url *ret,
                         struct errctx *ec) MUST_USE;
