/* queue/redis_topology.h — which server is the master now: a fixed address, a name, or what Sentinel says.
 *
 * A generation names one answer; it grows whenever the answer changes. Links that find the server dead or
 * a replica say so (redis_topology_suspect()), which makes the topology look again: the next address of a
 * name, or all Sentinels at once.
 *
 * Sentinel: one connection to each, asked for the master every 10 s and subscribed to +switch-master in
 * between. The answer with the highest configuration epoch counts, so that a Sentinel that was cut off, or
 * an old name, cannot lead back to a deposed master; only when no master was usable for 30 s is that
 * memory dropped (Sentinels that were set up anew begin at epoch 0). */
#pragma once
#include "common/config/config.h"
#include "common/io/conn.h"
#include "queue/redis_conn.h"
#include "queue/redis_url.h"

struct redis_settings { /* borrowed parts outlive everything made with it */
    struct redis_url url;
    const char *username, *password;
    struct tls_context *tls; /* NULL: plain */
    ms_t connect_timeout_ms, command_timeout_ms;
    char client_name[64]; /* CLIENT SETNAME; the role is appended */
};
/* Reads the section `redis` of a configuration. ERR_CONFIG, ERR_TLS. */
enum err redis_settings_init(struct redis_settings *s, const struct conf_root *root, const char *client_name,
                             struct errctx *ec) MUST_USE;
void redis_settings_done(struct redis_settings *s);

struct redis_topology;
struct redis_target {
    struct conn_target conn; /* points into the topology: use at once */
    uint64_t generation;
    char text[300]; /* for people: "unix:/run/redis.sock", "192.0.2.1:6379" */
};
enum err redis_topology_new(struct loop *l, const struct redis_settings *s, loop_fn *changed, void *arg,
                            struct redis_topology **ret, struct errctx *ec) MUST_USE;
void redis_topology_free(struct redis_topology *t); /* NULL is a no-op */
/* false: not known (yet). `changed` is called, from the loop, when the answer is another. */
bool redis_topology_target(struct redis_topology *t, struct redis_target *ret);
void redis_topology_suspect(struct redis_topology *t, uint64_t generation);
/* The server of this generation works: it is what it should be. */
void redis_topology_trust(struct redis_topology *t, uint64_t generation);
const char *redis_topology_why(const struct redis_topology *t); /* no target, because ... */
bool redis_topology_has_sentinel(const struct redis_topology *t);
/* What the Sentinels' SENTINEL REPLICAS said last: whether all replicas have the same priority. */
bool redis_topology_priorities_equal(const struct redis_topology *t);
