/* Counters of all partitions, and what Redis says of itself. */
#include "queue/admin_int.h"

#include <string.h>

struct status {
    struct admin_op op;
    admin_status_fn *done;
    void *arg;
    struct admin_status status;
    unsigned partition;
    struct buf info; /* INFO and CONFIG, which status.redis points into */
};

enum together { SUM, MOST };
static const struct {
    const char *name;
    enum together together;
    size_t offset;
} counters[] = {
#define X(name, kind, meaning) {#name, kind, offsetof(struct admin_counters, name)},
    ADMIN_COUNTERS(X)
#undef X
};

enum field_type { TEXT, NUMBER, IS_ONE, IS_OK, NOT_ZERO };
static const struct {
    const char *name;
    enum field_type type;
    size_t offset;
} info_fields[] = {
    {"redis_version", TEXT, offsetof(struct admin_redis, version)},
    {"redis_mode", TEXT, offsetof(struct admin_redis, mode)},
    {"role", TEXT, offsetof(struct admin_redis, role)},
    {"uptime_in_seconds", NUMBER, offsetof(struct admin_redis, uptime_s)},
    {"connected_clients", NUMBER, offsetof(struct admin_redis, clients)},
    {"connected_slaves", NUMBER, offsetof(struct admin_redis, replicas)},
    {"used_memory", NUMBER, offsetof(struct admin_redis, used_memory)},
    {"used_memory_rss", NUMBER, offsetof(struct admin_redis, used_memory_rss)},
    {"maxmemory", NUMBER, offsetof(struct admin_redis, max_memory)},
    {"maxmemory_policy", TEXT, offsetof(struct admin_redis, eviction)},
    {"instantaneous_ops_per_sec", NUMBER, offsetof(struct admin_redis, ops_per_s)},
    {"aof_enabled", IS_ONE, offsetof(struct admin_redis, aof)},
    {"aof_last_write_status", IS_OK, offsetof(struct admin_redis, aof_write_ok)},
    {"loading", NOT_ZERO, offsetof(struct admin_redis, loading)},
};

static void set_field(struct admin_redis *r, size_t i, struct span value)
{
    char *at = (char *)r + info_fields[i].offset;
    uint64_t n = 0;
    bool flag;
    switch (info_fields[i].type) {
    case TEXT:
        memcpy(at, &value, sizeof value);
        break;
    case NUMBER:
        (void)span_to_u64(value, UINT64_MAX, &n);
        memcpy(at, &n, sizeof n);
        break;
    case IS_ONE:
    case IS_OK:
    case NOT_ZERO:
        flag = info_fields[i].type == IS_OK    ? span_eq(value, SPAN("ok"))
               : info_fields[i].type == IS_ONE ? span_eq(value, SPAN("1"))
                                               : !span_eq(value, SPAN("0"));
        memcpy(at, &flag, sizeof flag);
        break;
    }
}

static void read_info(struct admin_redis *r, struct span info)
{
    struct span line, name, value;
    while (info.len > 0) {
        (void)span_cut(info, '\n', &line, &info);
        if (!span_cut(line, ':', &name, &value))
            continue;
        if (value.len > 0 && value.ptr[value.len - 1] == '\r')
            value.len--;
        for (size_t i = 0; i < ARRAY_LEN(info_fields); i++) {
            if (span_eq(name, span_cstr(info_fields[i].name)))
                set_field(r, i, value);
        }
    }
}

static void status_done(struct status *s)
{
    struct span info, fsync;
    (void)span_cut(buf_span(&s->info), '\0', &fsync, &info);
    read_info(&s->status.redis, info);
    s->status.redis.fsync = fsync;
    s->status.messages = s->status.counters.accepted - s->status.counters.gone;
    s->status.waiting_jobs = s->status.counters.jobs - s->status.counters.ended;
    admin_end(&s->op, ERR_OK, "");
}

static void status_info(struct admin_op *op, const struct redisReply *reply)
{
    struct status *s = (struct status *)op;
    struct span text;
    if (!reply_text(reply, &text) || buf_add(&s->info, text) != ERR_OK)
        admin_end(op, ERR_BACKEND, "INFO has no answer that could be used");
    else
        status_done(s);
}

static void ask_info(struct admin_op *op)
{
    struct redis_request *rq = admin_request(op, status_info);
    if (rq == NULL)
        return;
    redis_command(rq, 1);
    redis_arg_str(rq, "INFO");
    admin_send(op, rq);
}

/* Kept in front of INFO, behind a zero byte, so that one buffer owns both. */
static void status_config(struct admin_op *op, const struct redisReply *reply)
{
    struct status *s = (struct status *)op;
    if (buf_add(&s->info, reply_text_at(reply, 1)) != ERR_OK || buf_addc(&s->info, '\0') != ERR_OK)
        admin_end(op, ERR_NOMEM, "");
    else
        ask_info(op);
}

/* An ACL, or a provider, may refuse it: then the policy stays unknown. */
static void ask_config(struct admin_op *op)
{
    struct redis_request *rq = admin_request(op, status_config);
    if (rq == NULL)
        return;
    rq->flags |= REQUEST_LENIENT;
    redis_command(rq, 3);
    redis_arg_str(rq, "CONFIG");
    redis_arg_str(rq, "GET");
    redis_arg_str(rq, "appendfsync");
    admin_send(op, rq);
}

static void status_slots(struct admin_op *op, const struct redisReply *reply)
{
    struct status *s = (struct status *)op;
    s->status.now_ms = reply_u64_at(reply, 0, 0);
    s->status.slots = reply_u64_at(reply, 2, 0);
    ask_config(op);
}

static void status_partition(struct admin_op *op);

static void status_stats(struct admin_op *op, const struct redisReply *reply)
{
    struct status *s = (struct status *)op;
    for (size_t at = 0; at + 1 < reply_count(reply); at += 2) {
        struct span name = reply_text_at(reply, at);
        for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
            if (!span_eq(name, span_cstr(counters[i].name)))
                continue;
            uint64_t n, more = reply_u64_at(reply, at + 1, 0);
            char *to = (char *)&s->status.counters + counters[i].offset;
            memcpy(&n, to, sizeof n);
            n = counters[i].together == SUM ? n + more : more > n ? more : n;
            memcpy(to, &n, sizeof n);
        }
    }
    s->partition++;
    status_partition(op);
}

static void status_partition(struct admin_op *op)
{
    struct status *s = (struct status *)op;
    bool last = s->partition == op->a->partitions;
    struct redis_request *rq =
        last ? admin_script(op, status_slots, SCRIPT_SLOTS, span_cstr(op->a->sem_tag), 2)
             : admin_script(op, status_stats, SCRIPT_STATS, op->a->tags[s->partition], 0);
    if (rq == NULL)
        return;
    if (last) {
        redis_arg_str(rq, "0");
        redis_arg_u64(rq, 1);
    }
    admin_send(op, rq);
}

static void status_begin(struct admin_op *op)
{
    struct status *s = (struct status *)op;
    s->status.partitions = op->a->partitions;
    s->status.schema = op->a->schema;
    status_partition(op);
}

static void status_finish(struct admin_op *op, enum err e, const char *why)
{
    struct status *s = (struct status *)op;
    s->done(s->arg, e, &s->status, why);
}

static void status_release(struct admin_op *op)
{
    buf_done(&((struct status *)op)->info);
}

enum err admin_status(struct admin *a, admin_status_fn *done, void *arg)
{
    static const struct admin_op_kind kind = {status_begin, status_finish, status_release, false};
    struct status *s = (struct status *)admin_op_new(a, sizeof *s, &kind);
    if (s == NULL)
        return ERR_NOMEM;
    s->done = done;
    s->arg = arg;
    buf_init(&s->info, 65536);
    return ERR_OK;
}
