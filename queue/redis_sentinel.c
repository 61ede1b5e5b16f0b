#include "queue/redis_sentinel.h"

#include "common/rng.h"
#include "queue/redis_error.h"
#include "queue/redis_reply.h"
#include "queue/redis_resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASK_MS = 10000,
    ASK_AGAIN_MS = 200, /* while the master is in doubt */
    ANSWER_MS = 500,
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 2000,
};

struct sentinel {
    struct redis_sentinels *all;
    struct redis_host host;
    struct redis_resolve *resolve;
    struct redis_conn *conn;
    struct timer *timer; /* next question, or next try to connect */
    ms_t backoff_ms;
    bool ready, answered, with_password, priorities_equal;
    struct redis_master master; /* as it said last, if answered */
};
struct redis_sentinels {
    struct loop *loop;
    const struct redis_settings *settings;
    redis_found_fn *found;
    void *arg;
    struct sentinel list[REDIS_HOSTS_MAX];
    size_t n;
    struct redis_master best;
    bool known;
    ms_t asked_ms;
    struct rng rng;
    char why[320];
};

/* --- Choosing ------------------------------------------------------------------------------------ */

static void choose(struct redis_sentinels *s)
{
    const struct redis_master *best = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct sentinel *one = &s->list[i];
        if (one->answered && (best == NULL || one->master.epoch > best->epoch))
            best = &one->master;
    }
    if (best == NULL || (s->known && best->epoch < s->best.epoch))
        return;
    bool same = s->known && best->epoch == s->best.epoch && best->host.port == s->best.host.port &&
                strcmp(best->host.name, s->best.host.name) == 0;
    if (same)
        return;
    s->best = *best;
    s->known = true;
    s->found(s->arg, &s->best);
}

/* A value of the flat list of names and values that Sentinel answers with. */
static struct span field(const struct redisReply *flat, const char *name)
{
    for (size_t i = 0; i + 1 < reply_count(flat); i += 2) {
        if (span_eq(reply_text_at(flat, i), span_cstr(name)))
            return reply_text_at(flat, i + 1);
    }
    return SPAN("");
}

static bool read_master(const struct redisReply *reply, struct redis_master *ret)
{
    struct span ip = field(reply, "ip");
    uint64_t port, epoch;
    if (ip.len == 0 || ip.len >= sizeof ret->host.name ||
        !span_to_u64(field(reply, "port"), UINT16_MAX, &port) ||
        !span_to_u64(field(reply, "config-epoch"), UINT64_MAX, &epoch))
        return false;
    (void)snprintf(ret->host.name, sizeof ret->host.name, SPAN_FMT, SPAN_ARG(ip));
    ret->host.port = (uint16_t)port;
    ret->epoch = epoch;
    return true;
}

/* Replicas that are never promoted (priority 0) do not matter. */
static bool read_priorities_equal(const struct redisReply *replicas)
{
    struct span first = SPAN("");
    for (size_t i = 0; i < reply_count(replicas); i++) {
        struct span priority = field(reply_at(replicas, i), "slave-priority");
        if (span_eq(priority, SPAN("0")) || priority.len == 0)
            continue;
        if (first.len > 0 && !span_eq(first, priority))
            return false;
        first = priority;
    }
    return true;
}

/* --- Asking -------------------------------------------------------------------------------------- */

static void unused_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                        const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why; /* answers come through on_answered() */
}

static struct redis_request *question(struct sentinel *one, const char *what)
{
    struct redis_request *rq = redis_request_new(unused_done, one);
    if (rq == NULL)
        return NULL;
    redis_command(rq, 3);
    redis_arg_str(rq, "SENTINEL");
    redis_arg_str(rq, what);
    redis_arg_str(rq, one->all->settings->url.master);
    return rq;
}

static struct redis_request *subscription(struct sentinel *one, const char *verb)
{
    struct redis_request *rq = redis_request_new(unused_done, one);
    if (rq == NULL)
        return NULL;
    redis_command(rq, 2);
    redis_arg_str(rq, verb);
    redis_arg_str(rq, "+switch-master");
    return rq;
}

/* RESP2 allows no questions while subscribed: unsubscribe, ask, subscribe, in one write. */
static void ask(struct sentinel *one)
{
    struct redis_request *parts[] = {subscription(one, "UNSUBSCRIBE"), question(one, "MASTER"),
                                     question(one, "REPLICAS"), subscription(one, "SUBSCRIBE")};
    bool bad = false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        bad = bad || parts[i] == NULL || parts[i]->bad;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (bad)
            redis_request_unref(parts[i]);
        else
            redis_conn_send(one->conn, parts[i]);
    }
    timer_set(one->timer, bad ? ASK_AGAIN_MS : ASK_MS);
}

static void on_ready(void *arg)
{
    struct sentinel *one = arg;
    one->ready = true;
    one->backoff_ms = BACKOFF_MIN_MS;
    ask(one);
}

static void on_answered(void *arg, struct redis_request *rq, const struct redisReply *reply)
{
    struct sentinel *one = arg;
    struct redis_sentinels *s = one->all;
    if (rq->error.len > 0) {
        one->answered = false;
        (void)snprintf(s->why, sizeof s->why, "Sentinel %.100s says: %.100s", one->host.name,
                       buf_cstr(&rq->error));
        if (redis_error_find(buf_span(&rq->error))->action == REDIS_FATAL)
            one->with_password = !one->with_password; /* used from the next connection on */
    } else if (reply_count(reply) > 0 && reply_count(reply_at(reply, 0)) > 0) {
        one->priorities_equal = read_priorities_equal(reply);
    } else if (read_master(reply, &one->master)) {
        one->answered = true;
        choose(s);
    }
    redis_request_unref(rq);
}

static void on_push(void *arg, const struct redisReply *message)
{
    struct sentinel *one = arg;
    struct span name, rest;
    (void)span_cut(reply_text_at(message, 2), ' ', &name, &rest);
    if (span_eq(name, span_cstr(one->all->settings->url.master)))
        redis_sentinels_ask(one->all); /* the message has no epoch: ask for one */
}

/* --- Connecting ---------------------------------------------------------------------------------- */

static void later(struct sentinel *one, const char *why)
{
    struct redis_sentinels *s = one->all;
    (void)snprintf(s->why, sizeof s->why, "Sentinel %.100s: %.160s", one->host.name, why);
    redis_conn_free(one->conn);
    one->conn = NULL;
    one->ready = one->answered = false;
    timer_set(one->timer, one->backoff_ms / 2 + rng_below(&s->rng, one->backoff_ms));
    one->backoff_ms = one->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : one->backoff_ms * 2;
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct sentinel *one = arg;
    if (e == ERR_BACKEND)
        one->with_password = !one->with_password;
    later(one, why);
}

static void open_to(struct sentinel *one, const struct ip_endpoint *at)
{
    static const struct redis_conn_ops ops = {on_ready, on_answered, on_push, on_closed};
    const struct redis_settings *st = one->all->settings;
    struct conn_target target = {.endpoint = *at,
                                 .tls = st->tls,
                                 .tls_name = st->tls == NULL ? NULL : one->host.name,
                                 .timeout_ms = ANSWER_MS};
    struct redis_login login = {one->with_password ? st->username : "",
                                one->with_password ? st->password : "", st->client_name, 0};
    struct errctx ec;
    if (redis_conn_open(one->all->loop, &target, &login, ANSWER_MS, &ops, one, &one->conn, &ec) != ERR_OK)
        later(one, ec.msg);
}

static void on_resolved(void *arg, const struct ip_endpoint *list, size_t n, const char *why)
{
    struct sentinel *one = arg;
    one->resolve = NULL;
    if (n == 0)
        later(one, why);
    else
        open_to(one, &list[rng_below(&one->all->rng, n)]);
}

static void on_timer(void *arg)
{
    struct sentinel *one = arg;
    struct ip_endpoint at = {.port = one->host.port};
    if (one->ready)
        ask(one);
    else if (one->conn != NULL || one->resolve != NULL)
        return;
    else if (ip_parse(span_cstr(one->host.name), &at.addr) == ERR_OK)
        open_to(one, &at);
    else if (redis_resolve_start(one->all->loop, one->host.name, one->host.port, on_resolved, one,
                                 &one->resolve) != ERR_OK)
        later(one, "out of memory");
}

void redis_sentinels_ask(struct redis_sentinels *s)
{
    ms_t now = loop_now(s->loop);
    if (now < s->asked_ms + ASK_AGAIN_MS)
        return;
    s->asked_ms = now;
    for (size_t i = 0; i < s->n; i++)
        timer_set(s->list[i].timer, 0);
}

void redis_sentinels_forget(struct redis_sentinels *s)
{
    s->known = false;
    choose(s);
}

bool redis_sentinels_priorities_equal(const struct redis_sentinels *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->list[i].answered && !s->list[i].priorities_equal)
            return false;
    }
    return true;
}

const char *redis_sentinels_why(const struct redis_sentinels *s)
{
    return s->why;
}

struct redis_sentinels *redis_sentinels_new(struct loop *l, const struct redis_settings *settings,
                                            redis_found_fn *found, void *arg)
{
    struct redis_sentinels *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->loop = l;
    s->settings = settings;
    s->found = found;
    s->arg = arg;
    rng_seed(&s->rng, rng_system_seed());
    (void)snprintf(s->why, sizeof s->why, "no Sentinel has answered yet");
    for (size_t i = 0; i < settings->url.nhosts; i++) {
        struct sentinel *one = &s->list[s->n];
        *one = (struct sentinel){.all = s, .host = settings->url.hosts[i], .backoff_ms = BACKOFF_MIN_MS};
        one->priorities_equal = true;
        one->timer = timer_new(l, on_timer, one);
        if (one->timer == NULL) {
            redis_sentinels_free(s);
            return NULL;
        }
        timer_set(one->timer, 0);
        s->n++;
    }
    return s;
}

void redis_sentinels_free(struct redis_sentinels *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n; i++) {
        redis_resolve_cancel(s->list[i].resolve);
        redis_conn_free(s->list[i].conn);
        timer_free(s->list[i].timer);
    }
    free(s);
}
