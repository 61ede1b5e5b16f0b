#include "queue/redis_error.h"

/* clang-format off */
static const struct redis_error errors[] = {
    /* Redis's own */
    {SPAN_INIT("LOADING"),     REDIS_RETRY,      ERR_AGAIN,   "Redis is still loading its data: wait"},
    {SPAN_INIT("BUSY"),        REDIS_RETRY,      ERR_AGAIN,   "a script of somebody else blocks Redis: SCRIPT KILL ends it"},
    {SPAN_INIT("TRYAGAIN"),    REDIS_RETRY,      ERR_AGAIN,   "a slot is being moved: wait"},
    {SPAN_INIT("CLUSTERDOWN"), REDIS_RETRY,      ERR_AGAIN,   "the cluster is incomplete: look at CLUSTER NODES"},
    {SPAN_INIT("MASTERDOWN"),  REDIS_REDISCOVER, ERR_AGAIN,   "a replica has lost its master: wait for the failover"},
    {SPAN_INIT("READONLY"),    REDIS_REDISCOVER, ERR_AGAIN,   "give the master's address in redis.url, or Sentinel's"},
    {SPAN_INIT("NOREPLICAS"),  REDIS_RETRY,      ERR_AGAIN,   "fewer replicas than min-replicas-to-write: bring one back"},
    {SPAN_INIT("NOSCRIPT"),    REDIS_RELOAD,     ERR_AGAIN,   ""},
    {SPAN_INIT("OOM"),         REDIS_FAIL,       ERR_FULL,    "Redis is above maxmemory: raise it (embedded: redis.embedded_memory), or let the queue drain"},
    {SPAN_INIT("MISCONF"),     REDIS_RETRY,      ERR_AGAIN,   "Redis cannot write to its disk: free space and look at its log"},
    {SPAN_INIT("NOAUTH"),      REDIS_FATAL,      ERR_BACKEND, "set redis.password_file, and redis.username for an ACL user"},
    {SPAN_INIT("WRONGPASS"),   REDIS_FATAL,      ERR_BACKEND, "redis.username or redis.password_file does not match Redis's ACL"},
    {SPAN_INIT("NOPERM"),      REDIS_FATAL,      ERR_BACKEND, "the ACL user may not do this: docs/operations.md lists what it needs"},
    {SPAN_INIT("MOVED"),       REDIS_FATAL,      ERR_BACKEND, "this is a Redis Cluster, which is not supported yet: name a single Redis in redis.url"},
    {SPAN_INIT("ASK"),         REDIS_FATAL,      ERR_BACKEND, "this is a Redis Cluster, which is not supported yet: name a single Redis in redis.url"},
    {SPAN_INIT("CROSSSLOT"),   REDIS_FATAL,      ERR_BACKEND, "this is a Redis Cluster, which is not supported yet: name a single Redis in redis.url"},
    {SPAN_INIT("WRONGTYPE"),   REDIS_FAIL,       ERR_BACKEND, ""}, /* by whose keys: below */
    {SPAN_INIT("UNKILLABLE"),  REDIS_RETRY,      ERR_AGAIN,   "a script of somebody else blocks Redis"},
    /* the scripts' (queue/lua/README.md) */
    {SPAN_INIT("SCHEMA"),      REDIS_FATAL,      ERR_BACKEND, "the schema of the store is of another version of bridgehead, or it was wiped: run the version that wrote it"},
    {SPAN_INIT("EXPIRED"),     REDIS_FAIL,       ERR_STALE,   ""},
    {SPAN_INIT("NOBODY"),      REDIS_FAIL,       ERR_NOTFOUND, ""},
    {SPAN_INIT("CANCELED"),    REDIS_FAIL,       ERR_STATE,   ""},
    {SPAN_INIT("DRAIN"),       REDIS_FAIL,       ERR_AGAIN,   "this partition is being emptied"},
    {SPAN_INIT("BADARG"),      REDIS_FAIL,       ERR_PARSE,   ""},
    {SPAN_INIT(""),            REDIS_FAIL,       ERR_BACKEND, ""},
};
/* WRONGTYPE, by the end of the keys' tag: a part of the store mends otherwise than others. */
static const struct {
    struct span tag;
    const char *remedy;
} wrong_type[] = {
    {SPAN_INIT(".cfg}"), "somebody else wrote into the store's description: restore its key meta, with the rest of the store, from Redis's AOF or a backup"},
    {SPAN_INIT(".rt}"), "somebody else wrote into the routers' keys: redis-cli DEL what is of the wrong type, the routers write it anew (docs/operations.md)"},
    {SPAN_INIT(""), "somebody else writes into these keys: bridgehead queue fsck --repair moves what is not ours away"},
};
/* clang-format on */

/* The tag of the first key: the first argument that begins with a brace. */
static struct span tag_of(struct span request)
{
    struct span rest;
    size_t end;
    while (span_find(request, '\n', &end)) {
        request = span_from(request, end + 1);
        if (request.len > 0 && request.ptr[0] == '{')
            return span_cut(request, ':', &request, &rest) ? request : SPAN("");
    }
    return SPAN("");
}

const char *redis_error_remedy(const struct redis_error *error, struct span request)
{
    if (!span_eq(error->word, SPAN("WRONGTYPE")))
        return error->remedy;
    struct span tag = tag_of(request);
    size_t i = 0;
    while (!span_has_isuffix(tag, wrong_type[i].tag))
        i++;
    return wrong_type[i].remedy;
}

const struct redis_error *redis_error_find(struct span text)
{
    struct span word, rest;
    (void)span_cut(text, ' ', &word, &rest);
    size_t i = 0;
    while (errors[i].word.len > 0 && !span_eq(errors[i].word, word))
        i++;
    return &errors[i];
}
