#include "queue/redis_link.h"

#include "queue/redis_error.h"
#include "queue/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    LEASE_PART = 8,
    HEALTHY_MS = 10000,
    RETRY_MIN_MS = 20,
    RETRY_MAX_MS = 1000,
    TICK_MS = 100,
};

enum link_state { WAITING, CONNECTING, SETUP, UP };

struct list {
    struct redis_request *head, **tail;
    size_t count, bytes;
};

struct redis_link {
    struct redis_link_conf conf;
    enum link_state state;
    struct redis_conn *conn;
    struct redis_target target;
    struct list queue;  /* not on a connection: sent when up */
    struct list retry;  /* refused for now: sent again when the pause is over */
    struct list failed; /* to be told at the end of the turn */
    struct timer *reconnect, *tick;
    struct deferred tell;
    ms_t backoff_ms, retry_ms, retry_at_ms, up_ms;
    size_t setup_left;
    struct redis_facts facts; /* for vet() */
    bool useful;              /* has answered something since it is up */
    bool refused;             /* the last connection was closed because Redis refuses us */
    struct rng rng;
    char why[400], name[96];
};

/* --- Lists --------------------------------------------------------------------------------------- */

static void list_init(struct list *l)
{
    *l = (struct list){.tail = NULL};
    l->tail = &l->head;
}

static size_t weight(const struct redis_request *rq)
{
    return rq->bytes.len + rq->body.len;
}

static void list_add(struct list *l, struct redis_request *rq)
{
    rq->next = NULL;
    *l->tail = rq;
    l->tail = &rq->next;
    l->count++;
    l->bytes += weight(rq);
}

static struct redis_request *list_pop(struct list *l)
{
    struct redis_request *rq = l->head;
    if (rq == NULL)
        return NULL;
    l->head = rq->next;
    if (l->head == NULL)
        l->tail = &l->head;
    rq->next = NULL;
    l->count--;
    l->bytes -= weight(rq);
    return rq;
}

/* --- Ending requests ----------------------------------------------------------------------------- */

static void finish(struct redis_link *k, struct redis_request *rq, enum err e, const struct redisReply *reply,
                   const char *why)
{
    (void)k;
    rq->queued = false;
    rq->done(rq->arg, rq, e, reply, why);
    if (!rq->queued)
        redis_request_unref(rq);
}

/* Without an answer: told at the end of the turn, as it may be the caller's turn now. */
static void fail_later(struct redis_link *k, struct redis_request *rq, enum err e)
{
    rq->result = e;
    list_add(&k->failed, rq);
    deferred_arm(k->conf.loop, &k->tell);
}

static void tell_failed(void *arg)
{
    struct redis_link *k = arg;
    struct redis_request *rq;
    char why[sizeof k->why];
    (void)snprintf(why, sizeof why, "%s", k->why);
    for (size_t n = k->failed.count; n > 0 && (rq = list_pop(&k->failed)) != NULL; n--)
        finish(k, rq, rq->result, NULL, rq->error.len > 0 ? buf_cstr(&rq->error) : why);
    if (k->failed.head != NULL)
        deferred_arm(k->conf.loop, &k->tell);
}

/* It cannot be sent any more: what is known about it? */
static void give_up(struct redis_link *k, struct redis_request *rq)
{
    fail_later(k, rq, rq->maybe_executed ? ERR_UNKNOWN : ERR_AGAIN);
}

static void expire(struct redis_link *k, struct list *l)
{
    ms_t now = loop_now(k->conf.loop);
    for (size_t n = l->count; n > 0; n--) {
        struct redis_request *rq = list_pop(l);
        if (now >= rq->give_up_ms)
            give_up(k, rq);
        else
            list_add(l, rq);
    }
}

/* --- Sending ------------------------------------------------------------------------------------- */

static void put_on_wire(struct redis_link *k, struct redis_request *rq)
{
    metric_add(&k->conf.metrics->commands, rq->commands);
    metric_add(&k->conf.metrics->bytes_out, weight(rq));
    if (rq->maybe_executed)
        metric_inc(&k->conf.metrics->resent);
    redis_conn_send(k->conn, rq);
}

void redis_link_send(struct redis_link *k, struct redis_request *rq)
{
    rq->queued = true;
    rq->answered = 0;
    buf_clear(&rq->error);
    if (rq->bad)
        fail_later(k, rq, ERR_NOMEM);
    else if (k->state == UP)
        put_on_wire(k, rq);
    else if ((rq->flags & (REQUEST_WAIT | REQUEST_RESEND)) == 0 || k->queue.bytes > REDIS_QUEUE_MAX)
        give_up(k, rq);
    else
        list_add(&k->queue, rq);
}

static void flush(struct redis_link *k)
{
    while (k->state == UP && k->queue.head != NULL)
        put_on_wire(k, list_pop(&k->queue));
}

static void on_tick(void *arg)
{
    struct redis_link *k = arg;
    timer_set(k->tick, TICK_MS);
    expire(k, &k->queue);
    expire(k, &k->retry);
    if (k->retry.head == NULL || loop_now(k->conf.loop) < k->retry_at_ms)
        return;
    for (size_t n = k->retry.count; n > 0; n--) {
        metric_inc(&k->conf.metrics->resent);
        list_add(&k->queue, list_pop(&k->retry));
    }
    flush(k);
}

/* --- Losing the connection ----------------------------------------------------------------------- */

ms_t redis_link_backoff_max(ms_t lease_ms)
{
    ms_t part = lease_ms / LEASE_PART;
    if (lease_ms == 0 || part > BACKOFF_MAX_MS)
        return BACKOFF_MAX_MS;
    return part < BACKOFF_MIN_MS ? BACKOFF_MIN_MS : part;
}

static void schedule(struct redis_link *k)
{
    ms_t most = redis_link_backoff_max(k->conf.lease_ms);
    k->state = WAITING;
    timer_set(k->reconnect, k->backoff_ms / 2 + rng_below(&k->rng, k->backoff_ms));
    k->backoff_ms = k->backoff_ms * 2 > most ? most : k->backoff_ms * 2;
}

/* Sorts out what the connection did not answer; it goes before what waits already. */
static void take_back(struct redis_link *k)
{
    struct list older = k->queue;
    struct redis_request *rq = redis_conn_take(k->conn), *next;
    if (older.head == NULL)
        list_init(&older);
    list_init(&k->queue);
    for (; rq != NULL; rq = next) {
        next = rq->next;
        rq->maybe_executed = rq->maybe_executed || rq->sent;
        if (rq->arg == &k->setup_left)
            redis_request_unref(rq); /* our own */
        else if ((rq->flags & REQUEST_RESEND) != 0 ||
                 (!rq->maybe_executed && (rq->flags & REQUEST_WAIT) != 0))
            list_add(&k->queue, rq);
        else
            give_up(k, rq);
    }
    while ((rq = list_pop(&older)) != NULL)
        list_add(&k->queue, rq);
}

static void lose(struct redis_link *k, const char *why)
{
    bool was_up = k->state == UP;
    if (k->conn == NULL)
        return;
    (void)snprintf(k->why, sizeof k->why, "%.100s: %.280s", k->target.text, why);
    metric_inc(&k->conf.metrics->disconnects);
    if (was_up)
        metric_dec(&k->conf.metrics->links_up);
    if (was_up && (k->useful || loop_now(k->conf.loop) > k->up_ms + HEALTHY_MS))
        k->backoff_ms = BACKOFF_MIN_MS;
    k->state = WAITING;
    take_back(k);
    redis_conn_free(k->conn);
    k->conn = NULL;
    schedule(k);
    if (was_up && k->conf.ops->down != NULL)
        k->conf.ops->down(k->conf.arg, k->why);
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct redis_link *k = arg;
    bool refused = e == ERR_BACKEND;
    if (e == ERR_TIMEOUT)
        metric_inc(&k->conf.metrics->timeouts);
    redis_topology_suspect(k->conf.topology, k->target.generation);
    k->refused = refused;
    lose(k, why);
    if (refused && k->conf.ops->fatal != NULL)
        k->conf.ops->fatal(k->conf.arg, k->why);
}

void redis_link_restart(struct redis_link *k, const char *why)
{
    lose(k, why);
}

/* --- Answers ------------------------------------------------------------------------------------- */

static void retry_later(struct redis_link *k, struct redis_request *rq)
{
    if ((rq->flags & (REQUEST_WAIT | REQUEST_RESEND)) == 0) {
        finish(k, rq, rq->maybe_executed ? ERR_UNKNOWN : ERR_AGAIN, NULL, k->why); /* at once: in order */
        return;
    }
    if (k->retry.head == NULL) {
        k->retry_at_ms = loop_now(k->conf.loop) + k->retry_ms;
        k->retry_ms = k->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : k->retry_ms * 2;
    }
    rq->answered = 0;
    buf_clear(&rq->error); /* else the next answer would be taken for the same refusal */
    list_add(&k->retry, rq);
}

/* Not executed here: it goes with those that wait for the next connection. */
static void send_elsewhere(struct redis_link *k, struct redis_request *rq, const char *why)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%s", why);
    bool waits = (rq->flags & (REQUEST_WAIT | REQUEST_RESEND)) != 0;
    if (!waits) /* before those behind it */
        finish(k, rq, rq->maybe_executed ? ERR_UNKNOWN : ERR_AGAIN, NULL, text);
    lose(k, text);
    if (!waits)
        return;
    rq->answered = 0;
    buf_clear(&rq->error);
    list_add(&k->queue, rq);
}

static void on_refused(struct redis_link *k, struct redis_request *rq)
{
    char why[sizeof k->why];
    const struct redis_error *found = redis_error_find(buf_span(&rq->error));
    const char *remedy = redis_error_remedy(found, buf_span(&rq->bytes));
    (void)snprintf(why, sizeof why, "%.200s%s%s", buf_cstr(&rq->error), remedy[0] == '\0' ? "" : "; ",
                   remedy);
    metric_inc(&k->conf.metrics->errors);
    switch ((rq->flags & REQUEST_LENIENT) != 0 ? REDIS_FAIL : found->action) {
    case REDIS_RETRY:
        (void)snprintf(k->why, sizeof k->why, "%s", why);
        retry_later(k, rq);
        break;
    case REDIS_REDISCOVER:
        redis_topology_suspect(k->conf.topology, k->target.generation);
        send_elsewhere(k, rq, why);
        break;
    case REDIS_RELOAD:
        send_elsewhere(k, rq, "the scripts are gone: loading them again");
        break;
    case REDIS_FATAL:
        finish(k, rq, found->err, NULL, why);
        if (k->conf.ops->fatal != NULL)
            k->conf.ops->fatal(k->conf.arg, why);
        break;
    case REDIS_FAIL:
        finish(k, rq, found->err, NULL, why);
        break;
    }
}

static void setup_answered(struct redis_link *k, struct redis_request *rq, const struct redisReply *reply);

static void on_answered(void *arg, struct redis_request *rq, const struct redisReply *reply)
{
    struct redis_link *k = arg;
    if (rq->arg == &k->setup_left) {
        setup_answered(k, rq, reply);
        return;
    }
    metric_observe_ms(&k->conf.metrics->latency, loop_now(k->conf.loop) - rq->sent_ms);
    if (rq->error.len > 0) {
        on_refused(k, rq);
        return;
    }
    k->retry_ms = RETRY_MIN_MS;
    k->useful = true;
    finish(k, rq, ERR_OK, reply, "");
}

static void on_push(void *arg, const struct redisReply *message)
{
    struct redis_link *k = arg;
    k->conf.ops->push(k->conf.arg, message);
}

/* --- Setting up ---------------------------------------------------------------------------------- */

static void setup_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why; /* never called: see on_answered() */
}

static void go_up(struct redis_link *k)
{
    k->state = UP;
    k->useful = k->refused = false;
    k->up_ms = loop_now(k->conf.loop);
    metric_inc(&k->conf.metrics->connects);
    metric_inc(&k->conf.metrics->links_up);
    redis_topology_trust(k->conf.topology, k->target.generation);
    if (k->conf.ops->up != NULL)
        k->conf.ops->up(k->conf.arg); /* before the queue: it may have to say something first */
    flush(k);
}

enum { ROLE, INFO, CONFIG, LOAD }; /* tags */

/* false: this server is not to be used. */
static bool setup_read(struct redis_link *k, unsigned tag, const struct redisReply *reply, struct buf *why)
{
    struct span text = SPAN("");
    switch (tag) {
    case ROLE:
        text = reply_text_at(reply, 0);
        if (text.len == 0 || span_eq(text, SPAN("master")))
            return true;
        (void)!buf_addf(why, "this server is a replica; %s", redis_error_find(SPAN("READONLY"))->remedy);
        redis_topology_suspect(k->conf.topology, k->target.generation);
        return false;
    case INFO:
        k->facts = (struct redis_facts){.major = 0};
        (void)reply_text(reply, &text);
        redis_facts_info(&k->facts, text);
        return true;
    case CONFIG:
        redis_facts_config(&k->facts, reply);
        return k->conf.ops->vet(k->conf.arg, &k->facts, why);
    default:
        return true;
    }
}

static void setup_answered(struct redis_link *k, struct redis_request *rq, const struct redisReply *reply)
{
    struct buf why;
    bool refused = rq->error.len > 0 && (rq->flags & REQUEST_LENIENT) == 0, fatal = false;
    buf_init(&why, sizeof k->why);
    if (refused) {
        const struct redis_error *found = redis_error_find(buf_span(&rq->error));
        (void)!buf_addf(&why, "%.160s; %s", buf_cstr(&rq->error), found->remedy);
        redis_topology_suspect(k->conf.topology, k->target.generation);
        fatal = found->action == REDIS_FATAL;
    }
    bool good = !refused && setup_read(k, rq->tag, rq->error.len > 0 ? NULL : reply, &why);
    redis_request_unref(rq);
    if (!good)
        lose(k, buf_cstr(&why));
    else if (--k->setup_left == 0)
        go_up(k);
    buf_done(&why);
    if (fatal && k->conf.ops->fatal != NULL)
        k->conf.ops->fatal(k->conf.arg, k->why);
}

static bool send_setup(struct redis_link *k, unsigned tag, const struct script *script)
{
    struct redis_request *rq = redis_request_new(setup_done, &k->setup_left);
    if (rq == NULL)
        return false;
    rq->tag = tag;
    if (tag == INFO) {
        redis_command_info(rq);
    } else if (tag == CONFIG) {
        redis_command_config(rq);
    } else if (tag == ROLE) {
        redis_command(rq, 1);
        redis_arg_str(rq, "ROLE");
    } else {
        redis_command(rq, 3);
        redis_arg_str(rq, "SCRIPT");
        redis_arg_str(rq, "LOAD");
        redis_arg(rq, span_of(script->body, script->len));
    }
    if (rq->bad) {
        redis_request_unref(rq);
        return false;
    }
    k->setup_left++;
    redis_conn_send(k->conn, rq);
    return true;
}

static void on_ready(void *arg)
{
    struct redis_link *k = arg;
    k->state = SETUP;
    k->setup_left = 0;
    bool sent = send_setup(k, ROLE, NULL);
    if (k->conf.ops->vet != NULL)
        sent = sent && send_setup(k, INFO, NULL) && send_setup(k, CONFIG, NULL);
    for (size_t i = 0; i < k->conf.nscripts && sent; i++)
        sent = send_setup(k, LOAD, &scripts[k->conf.scripts[i]]);
    if (!sent)
        lose(k, "out of memory");
}

static void connect_now(void *arg)
{
    static const struct redis_conn_ops ops = {on_ready, on_answered, NULL, on_closed};
    static const struct redis_conn_ops ops_push = {on_ready, on_answered, on_push, on_closed};
    struct redis_link *k = arg;
    const struct redis_settings *s = k->conf.settings;
    struct errctx ec;
    if (k->conn != NULL)
        return;
    if (!redis_topology_target(k->conf.topology, &k->target)) {
        (void)snprintf(k->why, sizeof k->why, "%s", redis_topology_why(k->conf.topology));
        k->state = WAITING; /* until redis_link_moved() */
        return;
    }
    struct redis_login login = {s->username, s->password, k->name, s->url.db};
    k->state = CONNECTING;
    enum err e = redis_conn_open(k->conf.loop, &k->target.conn, &login, s->command_timeout_ms,
                                 k->conf.ops->push == NULL ? &ops : &ops_push, k, &k->conn, &ec);
    if (e != ERR_OK) {
        (void)snprintf(k->why, sizeof k->why, "%s", ec.msg);
        redis_topology_suspect(k->conf.topology, k->target.generation);
        schedule(k);
    }
}

void redis_link_moved(struct redis_link *k)
{
    struct redis_target now;
    bool known = redis_topology_target(k->conf.topology, &now);
    if (k->conn != NULL && known && now.generation != k->target.generation)
        lose(k, "the master is another server now");
    if (k->conn == NULL && known)
        timer_set(k->reconnect, rng_below(&k->rng, BACKOFF_MIN_MS));
}

struct redis_link *redis_link_new(const struct redis_link_conf *conf)
{
    struct redis_link *k = calloc(1, sizeof *k);
    if (k == NULL)
        return NULL;
    k->conf = *conf;
    list_init(&k->queue);
    list_init(&k->retry);
    list_init(&k->failed);
    deferred_init(&k->tell, tell_failed, k);
    rng_seed(&k->rng, rng_system_seed());
    k->backoff_ms = BACKOFF_MIN_MS;
    k->retry_ms = RETRY_MIN_MS;
    k->reconnect = timer_new(conf->loop, connect_now, k);
    k->tick = timer_new(conf->loop, on_tick, k);
    (void)snprintf(k->name, sizeof k->name, "%s-%s", conf->settings->client_name, conf->role);
    (void)snprintf(k->why, sizeof k->why, "not connected yet");
    if (k->reconnect == NULL || k->tick == NULL) {
        redis_link_free(k);
        return NULL;
    }
    timer_set(k->reconnect, 0);
    timer_set(k->tick, TICK_MS);
    return k;
}

static void cancel_all(struct redis_link *k, struct redis_request *rq)
{
    struct redis_request *next;
    for (; rq != NULL; rq = next) {
        next = rq->next;
        rq->next = NULL;
        if (rq->arg == &k->setup_left)
            redis_request_unref(rq);
        else
            finish(k, rq, ERR_CANCELED, NULL, "closed");
    }
}

void redis_link_free(struct redis_link *k)
{
    if (k == NULL)
        return;
    struct redis_request *rq;
    if (k->conn != NULL) {
        if (k->state == UP)
            metric_dec(&k->conf.metrics->links_up);
        rq = redis_conn_take(k->conn);
        redis_conn_free(k->conn);
        k->conn = NULL;
        k->state = WAITING;
        cancel_all(k, rq);
    }
    struct list *lists[] = {&k->queue, &k->retry, &k->failed};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        while ((rq = list_pop(lists[i])) != NULL)
            cancel_all(k, rq);
    }
    deferred_disarm(&k->tell);
    timer_free(k->reconnect);
    timer_free(k->tick);
    free(k);
}

/* --- Looking ------------------------------------------------------------------------------------- */

bool redis_link_is_up(const struct redis_link *k)
{
    return k->state == UP;
}

uint64_t redis_link_generation(const struct redis_link *k)
{
    return k->target.generation;
}

size_t redis_link_load(const struct redis_link *k)
{
    return (k->conn == NULL ? 0 : redis_conn_pending(k->conn)) + k->queue.count + k->retry.count;
}

const char *redis_link_why(const struct redis_link *k)
{
    return k->why;
}

bool redis_link_is_refused(const struct redis_link *k)
{
    return k->refused;
}

const char *redis_link_target(const struct redis_link *k)
{
    return k->target.text;
}

void redis_script(struct redis_request *rq, enum script_id id, struct span tag, size_t arguments)
{
    redis_command(rq, 7 + arguments);
    redis_arg(rq, SPAN("EVALSHA"));
    redis_arg(rq, span_of(scripts[id].sha1, 40));
    redis_arg(rq, SPAN("2"));
    redis_arg_pair(rq, tag, SPAN("g"));
    redis_arg_pair(rq, tag, SPAN("nx"));
    redis_arg_u64(rq, STORE_SCHEMA_MIN);
    redis_arg_u64(rq, STORE_SCHEMA_MAX);
}
