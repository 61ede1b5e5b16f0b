#include "queue/redis_check.h"

#include "queue/redis_reply.h"

#include <stdio.h>
#include <string.h>

enum { REPLICAS_MAX = 16, LISTPACK_VALUE = 1024, VERSION_MIN = 7 };

enum err redis_promise_parse(struct span s, struct redis_promise *ret, struct errctx *ec)
{
    static const struct span prefix = SPAN_INIT("replicas:");
    uint64_t n;
    if (span_eq(s, SPAN("fsync"))) {
        *ret = (struct redis_promise){REDIS_FSYNC, 0};
    } else if (span_eq(s, SPAN("all")) || span_eq(s, SPAN("replicas:all")) ||
               span_eq(s, SPAN("replicas: all"))) {
        *ret = (struct redis_promise){REDIS_ALL, 0};
    } else if (span_has_prefix(s, prefix) &&
               span_to_u64(span_trim(span_from(s, prefix.len)), REPLICAS_MAX, &n) && n > 0) {
        *ret = (struct redis_promise){REDIS_REPLICAS, (unsigned)n};
    } else {
        return err_set(ec, ERR_CONFIG,
                       "redis.durability '" SPAN_FMT "': want fsync, replicas:N (1 to %d) or all",
                       SPAN_ARG(s), REPLICAS_MAX);
    }
    return ERR_OK;
}

/* --- Facts --------------------------------------------------------------------------------------- */

enum fact_kind { FACT_TEXT, FACT_NUMBER, FACT_YES };
struct fact {
    const char *name;
    enum fact_kind kind;
    size_t offset, size;
    const char *yes;
};
#define TEXT(name, member)                                                                                   \
    {                                                                                                        \
        name, FACT_TEXT, offsetof(struct redis_facts, member), sizeof(((struct redis_facts *)0)->member),    \
            NULL                                                                                             \
    }
#define NUMBER(name, member)                                                                                 \
    {                                                                                                        \
        name, FACT_NUMBER, offsetof(struct redis_facts, member), sizeof(uint64_t), NULL                      \
    }
#define YES(name, member, yes)                                                                               \
    {                                                                                                        \
        name, FACT_YES, offsetof(struct redis_facts, member), sizeof(bool), yes                              \
    }

static const struct fact info_facts[] = {
    TEXT("redis_version", version),
    TEXT("run_id", run_id),
    TEXT("master_replid", replid),
    TEXT("master_replid2", replid2),
    TEXT("maxmemory_policy", maxmemory_policy),
    NUMBER("master_repl_offset", offset),
    NUMBER("second_repl_offset", second_offset),
    NUMBER("connected_slaves", replicas),
    NUMBER("maxmemory", maxmemory),
    NUMBER("used_memory", used_memory),
    YES("aof_enabled", aof, "1"),
    YES("aof_last_write_status", aof_failing, "err"),
    YES("role", master, "master"),
};
static const struct fact config_facts[] = {
    TEXT("appendfsync", appendfsync),
    TEXT("no-appendfsync-on-rewrite", no_appendfsync_on_rewrite),
    TEXT("maxmemory-policy", maxmemory_policy),
    NUMBER("min-replicas-to-write", min_replicas),
    NUMBER("hash-max-listpack-value", listpack_value),
    NUMBER("maxmemory", maxmemory),
};

static void learn(struct redis_facts *f, const struct fact *list, size_t n, struct span name,
                  struct span value)
{
    for (size_t i = 0; i < n; i++) {
        char *at = (char *)f + list[i].offset;
        uint64_t number = 0;
        bool yes;
        if (!span_eq(name, span_cstr(list[i].name)))
            continue;
        if (list[i].kind == FACT_TEXT) {
            (void)snprintf(at, list[i].size, SPAN_FMT, SPAN_ARG(span_first(value, list[i].size - 1)));
        } else if (list[i].kind == FACT_NUMBER) {
            if (span_to_u64(value, UINT64_MAX, &number)) /* second_repl_offset may be -1: none */
                memcpy(at, &number, sizeof number);
        } else {
            yes = span_eq(value, span_cstr(list[i].yes));
            memcpy(at, &yes, sizeof yes);
        }
    }
}

void redis_facts_info(struct redis_facts *f, struct span info)
{
    uint64_t major;
    while (info.len > 0) {
        struct span line, name, value, rest;
        (void)span_cut(info, '\n', &line, &info);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (span_cut(line, ':', &name, &value))
            learn(f, info_facts, ARRAY_LEN(info_facts), name, value);
        if (span_eq(name, SPAN("redis_version")) && span_cut(value, '.', &name, &rest) &&
            span_to_u64(name, 1000, &major))
            f->major = (unsigned)major;
    }
}

const char *redis_facts_setting(size_t i)
{
    return i < ARRAY_LEN(config_facts) ? config_facts[i].name : NULL;
}

void redis_facts_config(struct redis_facts *f, const struct redisReply *flat)
{
    f->config_known = reply_count(flat) > 0;
    for (size_t i = 0; i + 1 < reply_count(flat); i += 2)
        learn(f, config_facts, ARRAY_LEN(config_facts), reply_text_at(flat, i), reply_text_at(flat, i + 1));
}

/* --- Findings ------------------------------------------------------------------------------------ */

enum weight { NEVER, WARN, REFUSE };
struct rule {
    bool (*broken)(const struct redis_facts *f, const struct redis_promise *p);
    enum weight fsync, replicated; /* what it means under each promise */
    const char *text;
};

static bool replicated(const struct redis_promise *p)
{
    return p->kind != REDIS_FSYNC;
}

static bool old(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return f->major < VERSION_MIN;
}

static bool evicts(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return f->maxmemory_policy[0] != '\0' && strcmp(f->maxmemory_policy, "noeviction") != 0;
}

static bool no_aof(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return !f->aof;
}

static bool aof_failing(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return f->aof && f->aof_failing;
}

static bool fsync_lazy(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return f->aof && f->config_known && strcmp(f->appendfsync, "always") != 0;
}

static bool fsync_pauses(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return f->aof && f->config_known && strcmp(f->no_appendfsync_on_rewrite, "yes") == 0;
}

static bool config_hidden(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return !f->config_known;
}

static bool replicas_missing(const struct redis_facts *f, const struct redis_promise *p)
{
    return replicated(p) && f->replicas < (p->kind == REDIS_ALL ? 1 : p->replicas);
}

static bool isolated_master_writes(const struct redis_facts *f, const struct redis_promise *p)
{
    return replicated(p) && f->config_known && f->min_replicas == 0;
}

static bool priorities_differ(const struct redis_facts *f, const struct redis_promise *p)
{
    return replicated(p) && p->kind != REDIS_ALL && f->sentinel && !f->priorities_equal;
}

static bool failover_loses(const struct redis_facts *f, const struct redis_promise *p)
{
    return f->sentinel && !replicated(p);
}

static bool unlimited(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return f->maxmemory == 0;
}

static bool wastes_memory(const struct redis_facts *f, const struct redis_promise *p)
{
    (void)p;
    return f->config_known && f->listpack_value < LISTPACK_VALUE;
}

static const struct rule rules[] = {
    {old, REFUSE, REFUSE,
     "Redis is older than 7.0: its scripts cannot free memory when it is full; upgrade it"},
    {evicts, REFUSE, REFUSE,
     "maxmemory-policy is not noeviction: Redis would throw accepted mail away; set maxmemory-policy "
     "noeviction"},
    {no_aof, REFUSE, REFUSE, "appendonly is no: mail would not survive a restart; set appendonly yes"},
    {aof_failing, WARN, WARN,
     "Redis cannot write its AOF (aof_last_write_status err): look at its disk and its log"},
    {fsync_lazy, REFUSE, WARN,
     "appendfsync is not always: mail acknowledged in the last seconds can be lost; set appendfsync always"},
    {fsync_pauses, REFUSE, WARN,
     "no-appendfsync-on-rewrite is yes: nothing is on disk while the AOF is rewritten; set it to no"},
    {config_hidden, WARN, WARN,
     "CONFIG GET is not allowed: appendfsync always and no-appendfsync-on-rewrite no cannot be verified; "
     "allow +config|get, or make sure yourself"},
    {replicas_missing, NEVER, WARN,
     "fewer replicas are connected than redis.durability asks for: mail is refused with 451 until they are "
     "back"},
    {isolated_master_writes, NEVER, WARN,
     "min-replicas-to-write is 0: a master that is cut off lets its workers deliver what others deliver too; "
     "set min-replicas-to-write 1 and min-replicas-max-lag 10"},
    {priorities_differ, NEVER, REFUSE,
     "replica-priority differs between replicas: Sentinel may promote one that lacks acknowledged mail; "
     "make them equal, or set redis.durability all"},
    {failover_loses, WARN, NEVER,
     "redis.durability is fsync behind Sentinel: a failover loses what no replica has yet; set replicas:1"},
    {unlimited, WARN, WARN,
     "maxmemory is not set: a long queue makes the machine swap instead of answering 452; set maxmemory"},
    {wastes_memory, WARN, WARN,
     "hash-max-listpack-value is below 1024: each message takes 200 bytes more than it needs; set it to "
     "1024"},
};

bool redis_has_room(const struct redis_facts *f)
{
    static const uint64_t plenty = UINT64_C(256) << 20;
    uint64_t quarter = f->maxmemory / 4;
    return f->used_memory < (f->maxmemory != 0 && quarter < plenty ? quarter : plenty);
}

bool redis_check(const struct redis_facts *f, const struct redis_promise *p, struct buf *refusals,
                 struct buf *warnings)
{
    bool usable = true;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        enum weight weight = replicated(p) ? rules[i].replicated : rules[i].fsync;
        if (weight == NEVER || !rules[i].broken(f, p))
            continue;
        struct buf *out = weight == REFUSE ? refusals : warnings;
        usable = usable && weight != REFUSE;
        (void)!buf_addf(out, "%s%s", out->len > 0 ? "\n" : "", rules[i].text); /* full: that says enough */
    }
    return usable;
}
