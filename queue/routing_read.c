/* What people ask: lists, overrides, and questions that the master answers. */
#include "queue/routing_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Lists: one call, its rows handed out one by one ------------------------------------------------ */

struct list_op {
    struct routing_op op;
    /* Hands out the row at reply[at]; false: enough. */
    bool (*row)(struct list_op *l, const struct redisReply *reply, size_t at);
    size_t head, fields;
    union {
        routing_link_fn *link;
        routing_router_fn *router;
        routing_worker_fn *worker;
        routing_event_fn *event;
        routing_word_fn *word;
        routing_adjacency_fn *adjacency;
    } each;
    routing_done_fn *done;
    void *arg;
    ms_t now_ms;
};

static void list_read(struct routing_op *op, const struct redisReply *reply)
{
    struct list_op *l = (struct list_op *)op;
    l->now_ms = reply_u64_at(reply, 0, 0);
    for (size_t at = l->head; at + l->fields <= reply_count(reply); at += l->fields)
        if (!l->row(l, reply, at))
            break;
    l->done(l->arg, ERR_OK, "");
}

static void list_fail(struct routing_op *op, enum err e, const char *why)
{
    struct list_op *l = (struct list_op *)op;
    l->done(l->arg, e, why);
}

static struct list_op *list_new(struct routing *r, size_t head, size_t fields,
                                bool (*row)(struct list_op *, const struct redisReply *, size_t),
                                routing_done_fn *done, void *arg)
{
    struct list_op *l = (struct list_op *)routing_op_new(r, sizeof *l);
    if (l == NULL)
        return NULL;
    l->op.read = list_read;
    l->op.fail = list_fail;
    l->row = row;
    l->head = head;
    l->fields = fields;
    l->done = done;
    l->arg = arg;
    return l;
}

static enum err list_ask(struct list_op *l, const char *verb)
{
    struct redis_request *rq = routing_call(&l->op, SCRIPT_ROUTING, 1);
    if (rq == NULL)
        return ERR_NOMEM;
    redis_arg_str(rq, verb);
    routing_send(&l->op, rq);
    return ERR_OK;
}

static bool link_row(struct list_op *l, const struct redisReply *reply, size_t at)
{
    struct routing_target targets[LINK_TARGETS_MAX];
    struct routing_link k;
    if (routing_link_decode(reply_text_at(reply, at + 1), &k, targets) != ERR_OK)
        return true; /* of another version */
    k.name = reply_text_at(reply, at);
    k.now_ms = l->now_ms;
    return l->each.link(l->arg, &k);
}

enum err routing_links(struct routing *r, routing_link_fn *each, routing_done_fn *done, void *arg)
{
    struct list_op *l = list_new(r, 1, 2, link_row, done, arg);
    if (l == NULL)
        return ERR_NOMEM;
    l->each.link = each;
    return list_ask(l, "links");
}

static bool router_row(struct list_op *l, const struct redisReply *reply, size_t at)
{
    struct span name = reply_text_at(reply, at);
    bool master = span_eq(name, reply_text_at(reply, 1));
    struct routing_router m = {.name = name,
                               .master = master,
                               .lease_ms = reply_u64_at(reply, at + 1, 0),
                               .since_ms = master ? reply_u64_at(reply, 2, 0) : 0,
                               .now_ms = l->now_ms};
    return l->each.router(l->arg, &m);
}

enum err routing_routers(struct routing *r, routing_router_fn *each, routing_done_fn *done, void *arg)
{
    struct list_op *l = list_new(r, 3, 3, router_row, done, arg);
    if (l == NULL)
        return ERR_NOMEM;
    l->each.router = each;
    return list_ask(l, "routers");
}

static bool worker_row(struct list_op *l, const struct redisReply *reply, size_t at)
{
    struct span name = reply_text_at(reply, at);
    return name.len == 0 || name.len > ROUTING_NAME_MAX || l->each.worker(l->arg, name);
}

enum err routing_workers(struct routing *r, routing_worker_fn *each, routing_done_fn *done, void *arg)
{
    struct list_op *l = list_new(r, 1, 1, worker_row, done, arg);
    if (l == NULL)
        return ERR_NOMEM;
    l->each.worker = each;
    return list_ask(l, "workers");
}

static bool word_row(struct list_op *l, const struct redisReply *reply, size_t at)
{
    struct routing_word w = {.connector = reply_text_at(reply, at),
                             .word = span_eq(reply_text_at(reply, at + 1), SPAN("up")) ? ROUTING_UP
                                                                                       : ROUTING_DOWN,
                             .until_ms = reply_u64_at(reply, at + 2, 0),
                             .by = reply_text_at(reply, at + 3),
                             .reason = reply_text_at(reply, at + 4),
                             .now_ms = l->now_ms};
    return l->each.word(l->arg, &w);
}

enum err routing_words(struct routing *r, routing_word_fn *each, routing_done_fn *done, void *arg)
{
    struct list_op *l = list_new(r, 1, 5, word_row, done, arg);
    if (l == NULL)
        return ERR_NOMEM;
    l->each.word = each;
    return list_ask(l, "words");
}

static bool event_row(struct list_op *l, const struct redisReply *reply, size_t at)
{
    struct routing_event ev = {.at_ms = reply_u64_at(reply, at, 0),
                               .what = reply_text_at(reply, at + 1),
                               .group = reply_text_at(reply, at + 2),
                               .connector = reply_text_at(reply, at + 3),
                               .version = reply_text_at(reply, at + 4),
                               .text = reply_text_at(reply, at + 5)};
    return l->each.event(l->arg, &ev);
}

enum err routing_history(struct routing *r, uint64_t max, routing_event_fn *each, routing_done_fn *done,
                         void *arg)
{
    struct list_op *l = list_new(r, 1, 6, event_row, done, arg);
    struct redis_request *rq;
    if (l == NULL)
        return ERR_NOMEM;
    l->each.event = each;
    rq = routing_call(&l->op, SCRIPT_ROUTING, 2);
    if (rq == NULL)
        return ERR_NOMEM;
    redis_arg_str(rq, "history");
    redis_arg_u64(rq, max < ROUTING_HISTORY_MAX ? max : ROUTING_HISTORY_MAX);
    routing_send(&l->op, rq);
    return ERR_OK;
}

/* One value holds all of them. */
static bool adjacency_rows(struct list_op *l, const struct redisReply *reply, size_t at)
{
    struct rd rd = rd_open(reply_text_at(reply, at + 1));
    struct routing_adjacency a;
    while (routing_adjacency_decode(&rd, &a)) {
        a.now_ms = l->now_ms;
        if (!l->each.adjacency(l->arg, &a))
            break;
    }
    return false;
}

enum err routing_adjacencies(struct routing *r, routing_adjacency_fn *each, routing_done_fn *done, void *arg)
{
    struct list_op *l = list_new(r, 1, 2, adjacency_rows, done, arg);
    if (l == NULL)
        return ERR_NOMEM;
    l->each.adjacency = each;
    return list_ask(l, "peers");
}

/* --- Overrides -------------------------------------------------------------------------------------- */

static void word_read(struct routing_op *op, const struct redisReply *reply)
{
    struct list_op *l = (struct list_op *)op;
    (void)reply;
    l->done(l->arg, ERR_OK, "");
}

enum err routing_override_set(struct routing *r, struct span connector, enum routing_override word,
                              ms_t for_ms, struct span by, struct span reason, routing_done_fn *done,
                              void *arg)
{
    static const char *const words[] = {
        [ROUTING_AUTO] = "auto", [ROUTING_UP] = "up", [ROUTING_DOWN] = "down"};
    struct list_op *l;
    struct redis_request *rq;
    if (connector.len == 0 || connector.len > ROUTING_NAME_MAX)
        return ERR_TOOBIG;
    l = list_new(r, 0, 0, NULL, done, arg);
    if (l == NULL)
        return ERR_NOMEM;
    l->op.read = word_read;
    rq = routing_call(&l->op, SCRIPT_ROUTING, 6);
    if (rq == NULL)
        return ERR_NOMEM;
    redis_arg_str(rq, "word");
    redis_arg(rq, connector);
    redis_arg_str(rq, words[word]);
    redis_arg_u64(rq, for_ms);
    redis_arg(rq, span_first(by, 64));
    redis_arg(rq, span_first(reason, ROUTING_TEXT_MAX));
    routing_send(&l->op, rq);
    return ERR_OK;
}

/* --- Questions to the master -------------------------------------------------------------------------
 *
 *   ASKED ──taken──> WAITING <──not yet──> LOOKING ──answer──> done()
 *                       └── until_ms has passed ──> done(ERR_NOTFOUND) */
struct ask_op {
    struct routing_op op;
    char id[20];
    ms_t until_ms;
    bool waiting; /* between two looks */
    routing_answer_fn *done;
    void *arg;
};

static const char *const verb_names[] = {
    [ROUTING_PURGE] = "purge", [ROUTING_PROBE] = "probe", [ROUTING_VERIFY] = "verify"};

static void ask_fail(struct routing_op *op, enum err e, const char *why)
{
    struct ask_op *a = (struct ask_op *)op;
    a->done(a->arg, e, SPAN(""), why);
}

static void look_read(struct routing_op *op, const struct redisReply *reply)
{
    static const char late[] = "no router answered: is the routing daemon running?";
    struct ask_op *a = (struct ask_op *)op;
    if (reply_count(reply) == 2) {
        uint64_t code = reply_u64_at(reply, 0, ERR_BACKEND);
        enum err e = code <= ERR_CANCELED ? (enum err)code : ERR_BACKEND;
        struct span text = reply_text_at(reply, 1);
        char why[200];
        (void)snprintf(why, sizeof why, SPAN_FMT, SPAN_ARG(span_first(text, 190)));
        a->done(a->arg, e, text, e == ERR_OK ? "" : why[0] != '\0' ? why : err_text(e));
    } else if (loop_now(op->r->loop) >= a->until_ms) {
        a->done(a->arg, ERR_NOTFOUND, SPAN(""), late);
    } else {
        a->waiting = true;
        op->asked = true; /* kept: routing_heard() goes on with it */
    }
}

static void look(struct ask_op *a)
{
    struct redis_request *rq;
    a->waiting = false;
    a->op.read = look_read;
    rq = routing_call(&a->op, SCRIPT_ROUTING, 2);
    if (rq == NULL)
        return;
    redis_arg_str(rq, "answered");
    redis_arg_str(rq, a->id);
    routing_send(&a->op, rq);
}

void routing_heard(struct routing *r, struct span id)
{
    for (struct routing_op *op = r->ops, *next; op != NULL; op = next) {
        struct ask_op *a = (struct ask_op *)op;
        next = op->next;
        if (op->fail == ask_fail && a->waiting && (id.len == 0 || span_eq(id, span_cstr(a->id))))
            look(a);
    }
}

static void ask_read(struct routing_op *op, const struct redisReply *reply)
{
    struct ask_op *a = (struct ask_op *)op;
    uint64_t taken = 0;
    (void)reply_u64(reply, 1, &taken);
    if (taken == 0) {
        a->done(a->arg, ERR_NOTFOUND, SPAN(""), "no router takes questions: is the routing daemon running?");
        return;
    }
    a->waiting = true;
    op->asked = true;
}

enum err routing_ask(struct routing *r, enum routing_verb verb, struct span argument, ms_t wait_ms,
                     routing_answer_fn *done, void *arg)
{
    struct ask_op *a;
    struct redis_request *rq;
    if (argument.len > ROUTING_TEXT_MAX)
        return ERR_TOOBIG;
    routing_need_subscription(r);
    a = (struct ask_op *)routing_op_new(r, sizeof *a);
    if (a == NULL)
        return ERR_NOMEM;
    a->op.read = ask_read;
    a->op.fail = ask_fail;
    a->done = done;
    a->arg = arg;
    a->until_ms = ms_after(loop_now(r->loop), wait_ms);
    (void)snprintf(a->id, sizeof a->id, "%016llx", (unsigned long long)rng_next(&r->rng));
    rq = routing_call(&a->op, SCRIPT_ROUTING, 4);
    if (rq == NULL)
        return ERR_NOMEM;
    redis_arg_str(rq, "ask");
    redis_arg_str(rq, a->id);
    redis_arg_str(rq, verb_names[verb]);
    redis_arg(rq, argument);
    routing_send(&a->op, rq);
    return ERR_OK;
}
