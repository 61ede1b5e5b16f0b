#include "queue/admin_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Operations ---------------------------------------------------------------------------------- */

static void ask_meta(struct admin_op *op);

static void start(void *arg)
{
    struct admin_op *op = arg;
    if (op->a->partitions == 0)
        ask_meta(op);
    else
        op->kind->begin(op);
}

struct admin_op *admin_op_new(struct admin *a, size_t size, const struct admin_op_kind *kind)
{
    struct admin_op *op = a->closing ? NULL : calloc(1, size);
    if (op == NULL)
        return NULL;
    op->kind = kind;
    op->a = a;
    op->next = a->ops;
    op->prev = &a->ops;
    if (op->next != NULL)
        op->next->prev = &op->next;
    a->ops = op;
    deferred_init(&op->start, start, op);
    deferred_arm(a->loop, &op->start);
    return op;
}

void admin_end(struct admin_op *op, enum err e, const char *why)
{
    if (op->ended)
        return;
    op->ended = true;
    deferred_disarm(&op->start);
    *op->prev = op->next;
    if (op->next != NULL)
        op->next->prev = op->prev;
    op->kind->finish(op, e, e == ERR_OK ? "" : why[0] != '\0' ? why : err_text(e));
    if (op->kind->release != NULL)
        op->kind->release(op);
    free(op);
}

static void answered(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                     const char *why)
{
    struct admin_op *op = arg;
    if (e == ERR_OK)
        op->read(op, reply);
    else if (e == ERR_BACKEND && (rq->flags & REQUEST_LENIENT) != 0)
        op->read(op, NULL);
    else if (e == ERR_CANCELED && !op->a->closing)
        admin_end(op, ERR_BACKEND, op->a->refused);
    else
        admin_end(op, e == ERR_UNKNOWN ? ERR_AGAIN : e, why);
}

struct redis_request *admin_request(struct admin_op *op, admin_read_fn *read)
{
    struct redis_request *rq = redis_request_new(answered, op);
    if (rq == NULL) {
        admin_end(op, ERR_NOMEM, "");
        return NULL;
    }
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    op->read = read;
    return rq;
}

void admin_send(struct admin_op *op, struct redis_request *rq)
{
    rq->give_up_ms = ms_after(loop_now(op->a->loop), op->a->patience_ms);
    redis_link_send(op->a->link, rq);
}

struct redis_request *admin_script(struct admin_op *op, admin_read_fn *read, enum script_id id,
                                   struct span tag, size_t arguments)
{
    struct redis_request *rq = admin_request(op, read);
    if (rq != NULL)
        redis_script(rq, id, tag, arguments);
    return rq;
}

void admin_arg_key(struct redis_request *rq, struct span tag, const char *prefix, const char *id)
{
    char name[64];
    int n = snprintf(name, sizeof name, "%s%s", prefix, id);
    redis_arg_pair(rq, tag, span_of(name, n < 0 ? 0 : (size_t)n));
}

/* --- The partitions ------------------------------------------------------------------------------ */

static bool learn_partitions(struct admin *a, unsigned n, struct span tags)
{
    a->tags = calloc(n, sizeof a->tags[0]);
    a->tag_bytes = calloc(n, sizeof a->tag_bytes[0]);
    if (a->tags == NULL || a->tag_bytes == NULL)
        return false;
    for (unsigned i = 0; i < n; i++) {
        struct span tag;
        (void)span_cut(tags, ' ', &tag, &tags);
        if (!redis_tag_valid(tag))
            return false;
        memcpy(a->tag_bytes[i], tag.ptr, tag.len);
        a->tags[i] = span_of(a->tag_bytes[i], tag.len);
    }
    a->partitions = n;
    return true;
}

static void read_meta(struct admin_op *op, const struct redisReply *reply)
{
    struct admin *a = op->a;
    uint64_t n = reply_u64_at(reply, 1, 0);
    struct span schema = reply_text_at(reply, 0);
    if (reply_count(reply) == 0 && op->kind->storeless) {
        op->kind->begin(op);
        return;
    }
    if (reply_count(reply) == 0) {
        admin_end(op, ERR_NOTFOUND, "there is no queue in this Redis yet: start a node or a worker first");
        return;
    }
    free(a->tags);
    free(a->tag_bytes);
    a->tags = NULL;
    a->tag_bytes = NULL;
    if (n < 1 || n > PARTITIONS_MAX || schema.len >= sizeof a->schema_bytes ||
        !learn_partitions(a, (unsigned)n, reply_text_at(reply, 2))) {
        admin_end(op, ERR_BACKEND, "the description of the store in Redis is damaged");
        return;
    }
    memcpy(a->schema_bytes, schema.ptr, schema.len);
    a->schema = span_of(a->schema_bytes, schema.len);
    op->kind->begin(op);
}

static void ask_meta(struct admin_op *op)
{
    struct redis_request *rq = admin_script(op, read_meta, SCRIPT_META, span_cstr(op->a->cfg_tag), 1);
    if (rq == NULL)
        return;
    redis_arg_str(rq, "read");
    admin_send(op, rq);
}

/* --- Making and freeing -------------------------------------------------------------------------- */

static enum err open_link(struct admin *a);

/* Refused at the door: what waits for it would wait in vain. Not from the link's own callback. */
static void give_up(void *arg)
{
    struct admin *a = arg;
    redis_link_free(a->link);
    a->link = NULL;
    if (open_link(a) == ERR_OK)
        return;
    while (a->ops != NULL)
        admin_end(a->ops, ERR_NOMEM, "");
}

static void fatal(void *arg, const char *why)
{
    struct admin *a = arg;
    (void)snprintf(a->refused, sizeof a->refused, "%s", why);
    deferred_arm(a->loop, &a->give_up);
}

static void moved(void *arg)
{
    struct admin *a = arg;
    if (a->link != NULL)
        redis_link_moved(a->link);
}

static enum err open_link(struct admin *a)
{
    static const enum script_id used[] = {
#define X(upper, lower) SCRIPT_##upper,
        SCRIPT_MAP(X)
#undef X
    };
    static const struct redis_link_ops ops = {.fatal = fatal};
    struct redis_link_conf conf = {.loop = a->loop,
                                   .settings = &a->settings,
                                   .topology = a->topology,
                                   .metrics = &a->metrics,
                                   .role = "admin",
                                   .scripts = used,
                                   .nscripts = ARRAY_LEN(used),
                                   .ops = &ops,
                                   .arg = a};
    a->link = redis_link_new(&conf);
    return a->link == NULL ? ERR_NOMEM : ERR_OK;
}

enum err admin_open(struct loop *l, const struct config *conf, ms_t patience_ms, struct admin **ret,
                    struct errctx *ec)
{
    const struct conf_root *root = config_root(conf);
    struct admin *a = calloc(1, sizeof *a);
    if (a == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    a->loop = l;
    a->patience_ms = patience_ms;
    deferred_init(&a->give_up, give_up, a);
    a->history = root->redis.history;
    (void)snprintf(a->ns, sizeof a->ns, "%s", root->redis.namespace_);
    (void)snprintf(a->cfg_tag, sizeof a->cfg_tag, "{%s.cfg}", a->ns);
    (void)snprintf(a->sem_tag, sizeof a->sem_tag, "{%s.sem}", a->ns);
    (void)snprintf(a->rt_tag, sizeof a->rt_tag, "{%s.rt}", a->ns);
    enum err e = redis_settings_init(&a->settings, root, "bridgehead", ec);
    if (e == ERR_OK)
        e = redis_topology_new(l, &a->settings, moved, a, &a->topology, ec);
    a->codec = body_codec_new();
    if (e == ERR_OK && (a->codec == NULL || open_link(a) != ERR_OK))
        e = err_set(ec, ERR_NOMEM, "out of memory");
    if (e != ERR_OK) {
        admin_free(a);
        return e;
    }
    *ret = a;
    return ERR_OK;
}

void admin_free(struct admin *a)
{
    if (a == NULL)
        return;
    a->closing = true;
    deferred_disarm(&a->give_up);
    redis_link_free(a->link);
    while (a->ops != NULL)
        admin_end(a->ops, ERR_CANCELED, "");
    redis_topology_free(a->topology);
    redis_settings_done(&a->settings);
    body_codec_free(a->codec);
    free(a->tags);
    free(a->tag_bytes);
    free(a);
}
