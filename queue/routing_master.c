#include "queue/routing_int.h"

#include <stdio.h>
#include <string.h>

struct master_op {
    struct routing_op op;
    union {
        routing_lease_fn *lease;
        routing_done_fn *done;
        routing_left_fn *left;
        routing_published_fn *published;
    } fn;
    union {
        routing_left_link_fn *link;
        routing_report_fn *report;
        routing_question_fn *question;
    } each;
    void *arg;
};

static void plain_read(struct routing_op *op, const struct redisReply *reply)
{
    struct master_op *m = (struct master_op *)op;
    (void)reply;
    if (m->fn.done != NULL)
        m->fn.done(m->arg, ERR_OK, "");
}

static void plain_fail(struct routing_op *op, enum err e, const char *why)
{
    struct master_op *m = (struct master_op *)op;
    if (m->fn.done != NULL)
        m->fn.done(m->arg, e, why);
}

static struct master_op *op_new(struct routing *r, void *arg)
{
    struct master_op *m = (struct master_op *)routing_op_new(r, sizeof *m);
    if (m == NULL)
        return NULL;
    m->op.read = plain_read;
    m->op.fail = plain_fail;
    m->arg = arg;
    return m;
}

/* `verb router token`, and so many arguments more; NULL: out of memory. */
static struct redis_request *call(struct master_op *m, const char *verb, const struct routing_seat *seat,
                                  size_t more)
{
    struct redis_request *rq = m == NULL ? NULL : routing_call(&m->op, SCRIPT_MASTER, 3 + more);
    if (rq == NULL)
        return NULL;
    redis_arg_str(rq, verb);
    redis_arg_str(rq, seat->router);
    redis_arg_u64(rq, seat->token);
    return rq;
}

static enum err send_plain(struct routing *r, const char *verb, const struct routing_seat *seat,
                           const struct span *args, size_t n, routing_done_fn *done, void *arg)
{
    struct master_op *m = op_new(r, arg);
    struct redis_request *rq;
    if (m == NULL)
        return ERR_NOMEM;
    m->fn.done = done;
    rq = call(m, verb, seat, n);
    if (rq == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        redis_arg(rq, args[i]);
    routing_send(&m->op, rq);
    return ERR_OK;
}

static struct span number_text(uint64_t v, char out[24])
{
    int n = snprintf(out, 24, "%llu", (unsigned long long)v);
    return span_of(out, n < 0 ? 0 : (size_t)n);
}

/* --- The lease ------------------------------------------------------------------------------------- */

static void take_read(struct routing_op *op, const struct redisReply *reply)
{
    struct master_op *m = (struct master_op *)op;
    struct routing_lease lease = {.token = reply_u64_at(reply, 0, 0),
                                  .holder = reply_text_at(reply, 1),
                                  .left_ms = reply_u64_at(reply, 2, 0),
                                  .since_ms = reply_u64_at(reply, 3, 0)};
    m->fn.lease(m->arg, ERR_OK, &lease, "");
}

static void take_fail(struct routing_op *op, enum err e, const char *why)
{
    struct master_op *m = (struct master_op *)op;
    m->fn.lease(m->arg, e, NULL, why);
}

enum err routing_take(struct routing *r, const struct routing_seat *seat, ms_t lease_ms, struct span info,
                      routing_lease_fn *done, void *arg)
{
    struct master_op *m = op_new(r, arg);
    struct redis_request *rq;
    if (m == NULL)
        return ERR_NOMEM;
    m->op.read = take_read;
    m->op.fail = take_fail;
    m->fn.lease = done;
    rq = routing_call(&m->op, SCRIPT_MASTER, 4);
    if (rq == NULL)
        return ERR_NOMEM;
    redis_arg_str(rq, "take");
    redis_arg_str(rq, seat->router);
    redis_arg_u64(rq, lease_ms);
    redis_arg(rq, span_first(info, 256));
    routing_send(&m->op, rq);
    return ERR_OK;
}

enum err routing_renew(struct routing *r, const struct routing_seat *seat, ms_t lease_ms, struct span info,
                       routing_done_fn *done, void *arg)
{
    char text[24];
    struct span args[] = {number_text(lease_ms, text), span_first(info, 256)};
    return send_plain(r, "renew", seat, args, 2, done, arg);
}

enum err routing_leave(struct routing *r, const struct routing_seat *seat, routing_done_fn *done, void *arg)
{
    return send_plain(r, "leave", seat, NULL, 0, done, arg);
}

/* --- What is kept for the next master -------------------------------------------------------------- */

static void load_read(struct routing_op *op, const struct redisReply *reply)
{
    struct master_op *m = (struct master_op *)op;
    struct routing_target targets[LINK_TARGETS_MAX];
    struct routing_link k;
    bool more = true;
    for (size_t at = 2; more && at + 2 <= reply_count(reply); at += 2) {
        if (routing_link_decode(reply_text_at(reply, at + 1), &k, targets) != ERR_OK)
            continue;
        k.name = reply_text_at(reply, at);
        more = m->each.link(m->arg, &k);
    }
    struct routing_left left = {reply_text_at(reply, 0), reply_text_at(reply, 1)};
    m->fn.left(m->arg, ERR_OK, &left, "");
}

static void load_fail(struct routing_op *op, enum err e, const char *why)
{
    struct master_op *m = (struct master_op *)op;
    m->fn.left(m->arg, e, NULL, why);
}

enum err routing_load(struct routing *r, const struct routing_seat *seat, routing_left_link_fn *each,
                      routing_left_fn *done, void *arg)
{
    struct master_op *m = op_new(r, arg);
    struct redis_request *rq;
    if (m == NULL)
        return ERR_NOMEM;
    m->op.read = load_read;
    m->op.fail = load_fail;
    m->fn.left = done;
    m->each.link = each;
    rq = call(m, "load", seat, 0);
    if (rq == NULL)
        return ERR_NOMEM;
    routing_send(&m->op, rq);
    return ERR_OK;
}

enum err routing_save(struct routing *r, const struct routing_seat *seat, struct span version,
                      struct span config, routing_done_fn *done, void *arg)
{
    struct span args[] = {version, config};
    return send_plain(r, "save", seat, args, 2, done, arg);
}

/* --- Publishing ------------------------------------------------------------------------------------ */

static void publish_read(struct routing_op *op, const struct redisReply *reply)
{
    struct master_op *m = (struct master_op *)op;
    uint64_t version = 0;
    (void)reply_u64(reply, UINT64_MAX, &version);
    m->fn.published(m->arg, ERR_OK, version, "");
}

static void publish_fail(struct routing_op *op, enum err e, const char *why)
{
    struct master_op *m = (struct master_op *)op;
    m->fn.published(m->arg, e, 0, why);
}

enum err routing_publish(struct routing *r, const struct routing_seat *seat, bool notify, struct buf *bytes,
                         routing_published_fn *done, void *arg)
{
    struct master_op *m = op_new(r, arg);
    struct redis_request *rq;
    if (m == NULL)
        return ERR_NOMEM;
    m->op.read = publish_read;
    m->op.fail = publish_fail;
    m->fn.published = done;
    rq = call(m, "publish", seat, 2);
    if (rq == NULL)
        return ERR_NOMEM;
    redis_arg_u64(rq, notify);
    redis_arg_body(rq, bytes);
    routing_send(&m->op, rq);
    return ERR_OK;
}

enum err routing_link_put(struct routing *r, const struct routing_seat *seat, const struct routing_link *k,
                          routing_done_fn *done, void *arg)
{
    struct buf bytes;
    buf_init(&bytes, 65536);
    enum err e = k->state.len == 0 ? ERR_OK : routing_link_encode(k, &bytes);
    struct span args[] = {k->name, buf_span(&bytes)};
    if (e == ERR_OK)
        e = send_plain(r, "links", seat, args, 2, done, arg);
    buf_done(&bytes);
    return e;
}

enum err routing_adjacencies_put(struct routing *r, const struct routing_seat *seat,
                                 const struct routing_adjacency *list, size_t n, routing_done_fn *done,
                                 void *arg)
{
    struct buf bytes;
    enum err e = ERR_OK;
    buf_init(&bytes, 1 << 20);
    for (size_t i = 0; i < n && e == ERR_OK; i++)
        e = routing_adjacency_encode(&list[i], &bytes);
    struct span args[] = {buf_span(&bytes)};
    if (e == ERR_OK)
        e = send_plain(r, "peers", seat, args, 1, done, arg);
    buf_done(&bytes);
    return e;
}

enum err routing_events_put(struct routing *r, const struct routing_seat *seat,
                            const struct routing_event *list, size_t n, routing_done_fn *done, void *arg)
{
    struct span args[5 * ROUTING_EVENTS_AT_ONCE];
    if (n > ROUTING_EVENTS_AT_ONCE)
        return ERR_TOOBIG;
    for (size_t i = 0; i < n; i++) {
        struct span *a = &args[5 * i];
        a[0] = list[i].what;
        a[1] = span_first(list[i].group, ROUTING_NAME_MAX);
        a[2] = span_first(list[i].connector, ROUTING_NAME_MAX);
        a[3] = span_first(list[i].version, 40);
        a[4] = span_first(list[i].text, ROUTING_TEXT_MAX);
    }
    return send_plain(r, "event", seat, args, 5 * n, done, arg);
}

/* --- What others said ------------------------------------------------------------------------------ */

static void reports_read(struct routing_op *op, const struct redisReply *reply)
{
    struct master_op *m = (struct master_op *)op;
    bool more = true;
    for (size_t at = 0; more && at + 4 <= reply_count(reply); at += 4) {
        struct routing_report report = {.connector = reply_text_at(reply, at),
                                        .target = reply_text_at(reply, at + 1),
                                        .ok = span_eq(reply_text_at(reply, at + 2), SPAN("1")),
                                        .text = reply_text_at(reply, at + 3)};
        more = m->each.report(m->arg, &report);
    }
    plain_read(op, reply);
}

static void questions_read(struct routing_op *op, const struct redisReply *reply)
{
    static const struct {
        struct span name;
        enum routing_verb verb;
    } verbs[] = {{SPAN_INIT("purge"), ROUTING_PURGE},
                 {SPAN_INIT("probe"), ROUTING_PROBE},
                 {SPAN_INIT("verify"), ROUTING_VERIFY}};
    struct master_op *m = (struct master_op *)op;
    bool more = true;
    for (size_t at = 0; more && at + 3 <= reply_count(reply); at += 3)
        for (size_t i = 0; i < ARRAY_LEN(verbs) && more; i++) {
            struct routing_question q = {reply_text_at(reply, at), verbs[i].verb,
                                         reply_text_at(reply, at + 2)};
            if (span_eq(reply_text_at(reply, at + 1), verbs[i].name))
                more = m->each.question(m->arg, &q);
        }
    plain_read(op, reply);
}

static enum err take_some(struct routing *r, const struct routing_seat *seat, const char *verb, unsigned max,
                          struct master_op *m)
{
    struct redis_request *rq;
    (void)r;
    rq = call(m, verb, seat, 1);
    if (rq == NULL)
        return ERR_NOMEM;
    redis_arg_u64(rq, max);
    routing_send(&m->op, rq);
    return ERR_OK;
}

enum err routing_reports_take(struct routing *r, const struct routing_seat *seat, routing_report_fn *each,
                              routing_done_fn *done, void *arg)
{
    struct master_op *m = op_new(r, arg);
    if (m == NULL)
        return ERR_NOMEM;
    m->op.read = reports_read;
    m->fn.done = done;
    m->each.report = each;
    return take_some(r, seat, "reports", 200, m);
}

enum err routing_questions_take(struct routing *r, const struct routing_seat *seat, routing_question_fn *each,
                                routing_done_fn *done, void *arg)
{
    struct master_op *m = op_new(r, arg);
    if (m == NULL)
        return ERR_NOMEM;
    m->op.read = questions_read;
    m->fn.done = done;
    m->each.question = each;
    return take_some(r, seat, "asked", 20, m);
}

enum err routing_answer_put(struct routing *r, const struct routing_seat *seat, struct span id, enum err code,
                            struct span answer, routing_done_fn *done, void *arg)
{
    char text[24];
    struct span args[] = {id, number_text((uint64_t)code, text), answer};
    return send_plain(r, "answer", seat, args, 3, done, arg);
}
