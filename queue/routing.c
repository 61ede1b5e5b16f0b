#include "queue/routing_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A notification may be lost: a table is looked for twice in the second in which it has to be in use. */
enum { POLL_MS = 500, SAME_FAILURE_MS = 1000, SAME_SUCCESS_MS = 10000 };

/* --- Questions ----------------------------------------------------------------------------------- */

struct routing_op *routing_op_new(struct routing *r, size_t size)
{
    struct routing_op *op = r->closing ? NULL : calloc(1, size);
    if (op == NULL)
        return NULL;
    op->r = r;
    op->next = r->ops;
    op->prev = &r->ops;
    if (op->next != NULL)
        op->next->prev = &op->next;
    r->ops = op;
    return op;
}

void routing_op_free(struct routing_op *op)
{
    *op->prev = op->next;
    if (op->next != NULL)
        op->next->prev = op->prev;
    free(op);
}

static void answered(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                     const char *why)
{
    struct routing_op *op = arg;
    struct routing *r = op->r;
    (void)rq;
    op->asked = false;
    if (e == ERR_OK)
        r->installed = true;
    else if (e == ERR_BACKEND)
        r->installed = false; /* wiped, perhaps: the next question begins anew */
    if (e == ERR_OK)
        op->read(op, reply);
    else
        op->fail(op, e == ERR_UNKNOWN ? ERR_AGAIN : e, why[0] != '\0' ? why : err_text(e));
    if (!op->asked)
        routing_op_free(op);
}

struct redis_request *routing_call(struct routing_op *op, enum script_id script, size_t arguments)
{
    struct routing *r = op->r;
    struct redis_request *rq = redis_request_new(answered, op);
    if (rq == NULL) {
        routing_op_free(op);
        return NULL;
    }
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    if (!r->installed) {
        redis_script(rq, SCRIPT_INIT, span_cstr(r->tag), 1);
        redis_arg_u64(rq, STORE_SCHEMA_MAX);
    }
    redis_script(rq, script, span_cstr(r->tag), arguments);
    return rq;
}

void routing_send(struct routing_op *op, struct redis_request *rq)
{
    op->asked = true;
    rq->give_up_ms = ms_after(loop_now(op->r->loop), op->r->patience_ms);
    redis_link_send(op->r->control, rq);
}

/* --- The table ----------------------------------------------------------------------------------- */

struct table_op {
    struct routing_op op;
    routing_table_done_fn *done; /* NULL: for the watch */
    void *arg;
};

static void ask_table(struct routing *r);

static void table_read(struct routing_op *op, const struct redisReply *reply)
{
    struct table_op *t = (struct table_op *)op;
    struct routing *r = op->r;
    struct routing_table table = {.version = reply_u64_at(reply, 0, 0),
                                  .published_ms = reply_u64_at(reply, 1, 0),
                                  .master = reply_text_at(reply, 2),
                                  .bytes = reply_text_at(reply, 4),
                                  .now_ms = reply_u64_at(reply, 3, 0)};
    if (t->done != NULL) {
        t->done(t->arg, ERR_OK, &table, "");
        return;
    }
    r->asking = false;
    /* Not only newer ones: a server that took over, or lost its data, may be behind with its clock. */
    if (r->on_table != NULL && (!r->have || (table.version > 0 && table.version != r->version))) {
        r->have = true;
        r->version = table.version;
        r->on_table(r->on_table_arg, &table);
    }
    if (r->again)
        ask_table(r);
}

static void table_fail(struct routing_op *op, enum err e, const char *why)
{
    struct table_op *t = (struct table_op *)op;
    op->r->asking = op->r->asking && t->done != NULL;
    if (t->done != NULL)
        t->done(t->arg, e, NULL, why);
}

static enum err send_table(struct routing *r, uint64_t have, routing_table_done_fn *done, void *arg)
{
    struct table_op *t = (struct table_op *)routing_op_new(r, sizeof *t);
    struct redis_request *rq;
    if (t == NULL)
        return ERR_NOMEM;
    t->op.read = table_read;
    t->op.fail = table_fail;
    t->done = done;
    t->arg = arg;
    bool lives = done == NULL && r->present[0] != '\0';
    rq = routing_call(&t->op, SCRIPT_ROUTING, lives ? 4 : 2);
    if (rq == NULL)
        return ERR_NOMEM;
    redis_arg_str(rq, "table");
    redis_arg_u64(rq, have);
    if (lives) {
        redis_arg_str(rq, r->present);
        redis_arg_u64(rq, r->present_ms);
    }
    routing_send(&t->op, rq);
    return ERR_OK;
}

enum err routing_table_get(struct routing *r, uint64_t have, routing_table_done_fn *done, void *arg)
{
    return send_table(r, have, done, arg);
}

static void ask_table(struct routing *r)
{
    if (r->on_table == NULL)
        return;
    r->again = r->asking;
    if (r->asking)
        return;
    r->asking = send_table(r, r->have ? r->version : 0, NULL, NULL) == ERR_OK;
}

static void on_poll(void *arg)
{
    struct routing *r = arg;
    timer_set(r->poll, POLL_MS);
    if (!r->asking)
        ask_table(r);
    routing_heard(r, SPAN("")); /* what was said may have been lost */
}

void routing_watch(struct routing *r, routing_table_fn *fn, void *arg)
{
    r->on_table = fn;
    r->on_table_arg = arg;
    r->have = false;
    routing_need_subscription(r);
    ask_table(r);
}

void routing_present(struct routing *r, const char *name, ms_t lease_ms)
{
    (void)snprintf(r->present, sizeof r->present, "%s", name);
    r->present_ms = lease_ms;
}

/* --- What is said -------------------------------------------------------------------------------- */

static void nothing_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                         const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply,
        (void)why; /* a lost subscription is made again with the link */
}

static void subscribe_up(void *arg)
{
    struct routing *r = arg;
    struct redis_request *rq = redis_request_new(nothing_done, NULL);
    if (rq == NULL)
        return;
    redis_command(rq, 2);
    redis_arg_str(rq, "SUBSCRIBE");
    redis_arg_str(rq, r->channel);
    redis_link_send(r->subscribe, rq);
    ask_table(r);
    if (r->on_say != NULL) /* whatever was said meanwhile */
        for (const char *what = "mrwqt"; *what != '\0'; what++)
            r->on_say(r->on_say_arg, *what);
}

static void subscribe_push(void *arg, const struct redisReply *message)
{
    struct routing *r = arg;
    struct span text = reply_text_at(message, 2);
    if (!span_eq(reply_text_at(message, 0), SPAN("message")) || text.len == 0 || text.len > SAY_MAX)
        return;
    if (text.ptr[0] == 't')
        ask_table(r);
    if (text.ptr[0] == 'a')
        routing_heard(r, span_from(text, 1));
    else if (r->on_say != NULL)
        r->on_say(r->on_say_arg, text.ptr[0]);
}

static struct redis_link *open_link(struct routing *r, const char *role, const enum script_id *list, size_t n,
                                    const struct redis_link_ops *ops)
{
    struct redis_link_conf conf = {.loop = r->loop,
                                   .settings = &r->settings,
                                   .topology = r->topology,
                                   .metrics = &r->metrics,
                                   .role = role,
                                   .scripts = list,
                                   .nscripts = n,
                                   .lease_ms = r->lease_ms,
                                   .ops = ops,
                                   .arg = r};
    return redis_link_new(&conf);
}

void routing_need_subscription(struct routing *r)
{
    static const struct redis_link_ops ops = {.up = subscribe_up, .push = subscribe_push};
    if (r->subscribe == NULL)
        r->subscribe = open_link(r, "routing-sub", NULL, 0, &ops); /* without it the poll has to do */
}

void routing_on_say(struct routing *r, routing_say_fn *fn, void *arg)
{
    r->on_say = fn;
    r->on_say_arg = arg;
    routing_need_subscription(r);
}

/* --- Reports ------------------------------------------------------------------------------------- */

static void report_read(struct routing_op *op, const struct redisReply *reply)
{
    (void)op, (void)reply;
}

static void report_fail(struct routing_op *op, enum err e, const char *why)
{
    (void)op, (void)e, (void)why; /* a hint: the next connection gives another */
}

static uint64_t hash_of(struct span a, struct span b)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < a.len; i++)
        h = (h ^ (uint8_t)a.ptr[i]) * UINT64_C(1099511628211);
    h *= 31;
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ (uint8_t)b.ptr[i]) * UINT64_C(1099511628211);
    return h;
}

static bool is_news(struct routing *r, const struct routing_report *report)
{
    uint64_t hash = hash_of(report->connector, report->target);
    struct routing_seen *s = &r->seen[hash % SEEN_SLOTS];
    ms_t now = loop_now(r->loop), pause = report->ok ? SAME_SUCCESS_MS : SAME_FAILURE_MS;
    if (s->hash == hash && s->ok == report->ok && now < ms_after(s->sent_ms, pause))
        return false;
    *s = (struct routing_seen){hash, report->ok, now};
    return true;
}

void routing_report_send(struct routing *r, const struct routing_report *report)
{
    struct routing_op *op;
    struct redis_request *rq;
    if (!redis_link_is_up(r->control) || report->connector.len > ROUTING_NAME_MAX ||
        report->target.len > 320 || !is_news(r, report) || (op = routing_op_new(r, sizeof *op)) == NULL)
        return;
    op->read = report_read;
    op->fail = report_fail;
    rq = routing_call(op, SCRIPT_ROUTING, 5);
    if (rq == NULL)
        return;
    redis_arg_str(rq, "report");
    redis_arg(rq, report->connector);
    redis_arg(rq, report->target);
    redis_arg_u64(rq, report->ok);
    redis_arg(rq, span_first(report->text, ROUTING_TEXT_MAX));
    routing_send(op, rq);
}

/* --- Life ---------------------------------------------------------------------------------------- */

static void control_down(void *arg, const char *why)
{
    struct routing *r = arg;
    r->installed = false;
    (void)snprintf(r->why, sizeof r->why, "%s", why);
}

static void moved(void *arg)
{
    struct routing *r = arg;
    if (r->control != NULL)
        redis_link_moved(r->control);
    if (r->subscribe != NULL)
        redis_link_moved(r->subscribe);
}

bool routing_ready(const struct routing *r, struct buf *ret_why)
{
    bool up = redis_link_is_up(r->control);
    if (!up)
        (void)!buf_add(ret_why, span_cstr(redis_link_why(r->control)));
    return up;
}

enum err routing_metrics(const struct routing *r, struct buf *out)
{
    const void *const structs[] = {&r->metrics};
    return metrics_write(out, redis_metrics_desc, redis_metrics_count, structs, 1, "");
}

enum err routing_open(struct loop *l, const struct config *conf, ms_t patience_ms, struct routing **ret,
                      struct errctx *ec)
{
    static const enum script_id used[] = {SCRIPT_INIT, SCRIPT_ROUTING, SCRIPT_MASTER};
    static const struct redis_link_ops ops = {.down = control_down};
    const struct conf_root *root = config_root(conf);
    struct routing *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    r->loop = l;
    r->patience_ms = patience_ms;
    r->lease_ms = root->router.lease_ms;
    rng_seed(&r->rng, rng_system_seed());
    (void)snprintf(r->tag, sizeof r->tag, "{%s.rt}", root->redis.namespace_);
    (void)snprintf(r->channel, sizeof r->channel, "%s:say", r->tag);
    enum err e = redis_settings_init(&r->settings, root, "bridgehead", ec);
    if (e == ERR_OK)
        e = redis_topology_new(l, &r->settings, moved, r, &r->topology, ec);
    if (e == ERR_OK) {
        r->control = open_link(r, "routing", used, ARRAY_LEN(used), &ops);
        r->poll = timer_new(l, on_poll, r);
        if (r->control == NULL || r->poll == NULL)
            e = err_set(ec, ERR_NOMEM, "out of memory");
    }
    if (e != ERR_OK) {
        routing_free(r);
        return e;
    }
    timer_set(r->poll, POLL_MS);
    *ret = r;
    return ERR_OK;
}

void routing_free(struct routing *r)
{
    if (r == NULL)
        return;
    r->closing = true;
    timer_free(r->poll);
    redis_link_free(r->control); /* ends the questions under way */
    redis_link_free(r->subscribe);
    while (r->ops != NULL) {
        struct routing_op *op = r->ops; /* those that waited for something else */
        op->asked = false;
        op->fail(op, ERR_CANCELED, err_text(ERR_CANCELED));
        routing_op_free(op);
    }
    redis_topology_free(r->topology);
    redis_settings_done(&r->settings);
    free(r);
}
