/* common/config/redis_url.h — redis.url taken apart. Pure.
 *
 *   embedded                                          redis-server as a child, on a unix socket
 *   unix:///path                                      a unix socket
 *   redis://[user:password@]host[:6379][/db]          one server
 *   redis-sentinel://[…@]h1[:26379],h2/master[/db]    the master that the Sentinels name
 *   redis-cluster://[…@]h1[:6379],h2                  Redis Cluster; the hosts are where to ask first
 *   rediss…://                                        the same over TLS
 * User and password may hold %XX. IPv6 addresses stand in brackets. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

enum { REDIS_HOSTS_MAX = 16, REDIS_NAME_MAX = 256, REDIS_PATH_MAX = 104 /* sun_path is 108 */ };

enum redis_kind { REDIS_EMBEDDED, REDIS_UNIX, REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };
struct redis_host {
    char name[REDIS_NAME_MAX]; /* host name or address, without brackets */
    uint16_t port;
};
struct redis_url {
    enum redis_kind kind;
    bool tls;
    char path[REDIS_PATH_MAX]; /* REDIS_UNIX */
    struct redis_host hosts[REDIS_HOSTS_MAX];
    size_t nhosts;
    unsigned db;
    char master[64]; /* REDIS_SENTINEL */
    char user[128], password[256];
};
/* ERR_PARSE with what is wrong and what to write. The message never repeats the password. */
enum err redis_url_parse(struct span s, struct redis_url *ret, struct errctx *ec) MUST_USE;
/* The URL with a password replaced by ***. */
enum err redis_url_mask(struct span s, struct buf *out) MUST_USE;

/* What 250 promises: "fsync", "replicas:N", "all". */
enum durability_kind { DURABILITY_FSYNC, DURABILITY_REPLICAS, DURABILITY_ALL };
struct durability {
    enum durability_kind kind;
    unsigned replicas; /* DURABILITY_REPLICAS: 1..16 */
};
enum err durability_parse(struct span s, struct durability *ret, struct errctx *ec) MUST_USE;
