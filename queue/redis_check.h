/* queue/redis_check.h — does this Redis keep what the configuration promises? Pure: facts in, findings out.
 *
 * What breaks the promise is refused, what only weakens or slows is a warning; each names the setting of
 * redis.conf and the remedy. docs/operations.md lists them. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

struct redisReply;

enum redis_durability {
    REDIS_FSYNC,    /* on the master's disk */
    REDIS_REPLICAS, /* and at so many replicas */
    REDIS_ALL,      /* and at all replicas */
};
struct redis_promise {
    enum redis_durability kind;
    unsigned replicas; /* REDIS_REPLICAS: 1.. */
};
/* "fsync", "replicas:N" ("replicas: N"), "all". ERR_CONFIG. */
enum err redis_promise_parse(struct span s, struct redis_promise *ret, struct errctx *ec) MUST_USE;

struct redis_facts {
    char version[32], run_id[48], replid[48], replid2[48];
    unsigned major;
    uint64_t offset, second_offset;              /* of replication: what a promotion kept */
    bool aof, aof_failing, master, config_known; /* config_known: CONFIG GET was allowed */
    char appendfsync[16], no_appendfsync_on_rewrite[8], maxmemory_policy[32];
    uint64_t maxmemory, used_memory, min_replicas, listpack_value, replicas;
    bool sentinel, priorities_equal;
};
/* The reply to INFO; what is not in it stays as it was. */
void redis_facts_info(struct redis_facts *f, struct span info);
/* The settings that CONFIG GET is to be asked for; NULL behind the last. */
const char *redis_facts_setting(size_t i);
/* The reply to CONFIG GET, names and values in turn. */
void redis_facts_config(struct redis_facts *f, const struct redisReply *flat);
/* Whether memory is not worth saving: much less is in use than there may be. */
bool redis_has_room(const struct redis_facts *f);
/* Findings, one a line. true: usable (no refusals). */
bool redis_check(const struct redis_facts *f, const struct redis_promise *p, struct buf *refusals,
                 struct buf *warnings);
