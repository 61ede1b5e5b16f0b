#include "queue/redis_conn.h"

#include "queue/redis_error.h"
#include "queue/redis_reply.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 200,  /* how exactly time-outs are kept */
    GRACE_MS = 500, /* for replies that arrived while this process slept */
    LOGIN_COMMANDS_MAX = 3,
};

enum conn_state { CONNECTING, LOGIN, READY, CLOSED };

struct redis_conn {
    struct loop *loop;
    struct conn *conn;
    const struct redis_conn_ops *ops;
    void *arg;
    enum conn_state state;
    redisReader *reader;
    struct redis_request *login; /* ours, answered before any other */
    struct redis_request *head, **tail;
    size_t pending;
    struct timer *tick;
    ms_t ticked_ms, heard_ms, grace_until_ms, timeout_ms;
    unsigned calls;   /* callbacks of ours on the stack */
    bool freed, ping; /* ping: one is under way */
};

/* --- Closing ------------------------------------------------------------------------------------- */

static void release(struct redis_conn *rc)
{
    if (rc->reader != NULL)
        redisReaderFree(rc->reader);
    timer_free(rc->tick);
    free(rc);
}

static void disconnect(struct redis_conn *rc)
{
    rc->state = CLOSED;
    conn_free(rc->conn);
    rc->conn = NULL;
    timer_cancel(rc->tick);
}

static void close_because(struct redis_conn *rc, enum err e, const char *why)
{
    if (rc->state == CLOSED)
        return;
    disconnect(rc);
    rc->calls++;
    rc->ops->closed(rc->arg, e, why);
    rc->calls--;
}

static struct redis_request *pop(struct redis_conn *rc)
{
    struct redis_request *rq = rc->head;
    rc->head = rq->next;
    if (rc->head == NULL)
        rc->tail = &rc->head;
    rq->next = NULL;
    rc->pending--;
    return rq;
}

struct redis_request *redis_conn_take(struct redis_conn *rc)
{
    struct redis_request *all = rc->head;
    rc->head = NULL;
    rc->tail = &rc->head;
    rc->pending = 0;
    for (struct redis_request **at = &all; *at != NULL;) {
        struct redis_request *rq = *at;
        rq->answered = 0;
        buf_clear(&rq->error);
        if (rq->done != NULL) {
            at = &rq->next;
            continue;
        }
        *at = rq->next; /* our own PING */
        redis_request_unref(rq);
    }
    return all;
}

void redis_conn_free(struct redis_conn *rc)
{
    if (rc == NULL)
        return;
    if (rc->state != CLOSED)
        disconnect(rc);
    while (rc->head != NULL)
        redis_request_unref(pop(rc));
    redis_request_unref(rc->login);
    rc->login = NULL;
    rc->freed = true;
    if (rc->calls == 0)
        release(rc);
}

/* --- Writing ------------------------------------------------------------------------------------- */

static void body_written(const void *ptr, size_t len, void *arg)
{
    (void)ptr;
    (void)len;
    redis_request_unref(arg);
}

static enum err write_request(struct redis_conn *rc, struct redis_request *rq)
{
    struct span bytes = buf_span(&rq->bytes);
    rq->sent = true;
    rq->sent_ms = loop_now(rc->loop);
    if (rq->body_at == 0)
        return conn_write(rc->conn, bytes);
    enum err e = conn_write(rc->conn, span_first(bytes, rq->body_at));
    if (e == ERR_OK && rq->body.len > 0) {
        rq->refs++;
        e = conn_write_ref(rc->conn, buf_span(&rq->body), body_written, rq);
        if (e != ERR_OK)
            rq->refs--;
    }
    return e == ERR_OK ? conn_write(rc->conn, span_from(bytes, rq->body_at)) : e;
}

static void append(struct redis_conn *rc, struct redis_request *rq)
{
    rq->next = NULL;
    rq->answered = 0;
    rq->sent = false;
    *rc->tail = rq;
    rc->tail = &rq->next;
    rc->pending++;
}

/* A half-written command cannot be taken back: the connection ends with the next tick. */
static void write_or_break(struct redis_conn *rc, struct redis_request *rq)
{
    if (write_request(rc, rq) != ERR_OK)
        conn_set_timeout(rc->conn, 1);
}

void redis_conn_send(struct redis_conn *rc, struct redis_request *rq)
{
    append(rc, rq);
    if (rc->state == READY)
        write_or_break(rc, rq);
}

static void send_ping(struct redis_conn *rc)
{
    struct redis_request *rq = redis_request_new(NULL, NULL);
    if (rq == NULL)
        return;
    redis_command(rq, 1);
    redis_arg_str(rq, "PING");
    if (rq->bad) {
        redis_request_unref(rq);
        return;
    }
    rc->ping = true;
    redis_conn_send(rc, rq);
}

/* --- Reading ------------------------------------------------------------------------------------- */

static void login_answered(struct redis_conn *rc, const struct redisReply *reply)
{
    struct span text;
    char why[320];
    if (reply_is_error(reply, &text)) {
        const struct redis_error *found = redis_error_find(text);
        (void)snprintf(why, sizeof why, "login refused: %.*s%s%s", (int)(text.len > 160 ? 160 : text.len),
                       text.ptr, found->remedy[0] == '\0' ? "" : "; ", found->remedy);
        close_because(rc, found->err, why);
        return;
    }
    if (++rc->login->answered < rc->login->commands)
        return;
    redis_request_unref(rc->login);
    rc->login = NULL;
    rc->state = READY;
    for (struct redis_request *rq = rc->head; rq != NULL; rq = rq->next)
        write_or_break(rc, rq);
    rc->ops->ready(rc->arg);
}

static bool is_push(const struct redis_conn *rc, const struct redisReply *reply)
{
    static const struct span kinds[] = {SPAN_INIT("message"), SPAN_INIT("pmessage"), SPAN_INIT("smessage")};
    if (rc->ops->push == NULL || reply_count(reply) < 3)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (span_eq(reply_text_at(reply, 0), kinds[i]))
            return true;
    }
    return false;
}

static void request_answered(struct redis_conn *rc, const struct redisReply *reply)
{
    struct redis_request *rq = rc->head;
    struct span text;
    if (rq == NULL || !rq->sent) {
        close_because(rc, ERR_PARSE, "the server answered what nobody asked");
        return;
    }
    if (reply_is_error(reply, &text) && rq->error.len == 0 &&
        buf_add(&rq->error, span_first(text, 400)) != ERR_OK)
        rq->bad = true;
    if (++rq->answered < rq->commands)
        return;
    rq = pop(rc);
    if (rq->done != NULL) {
        rc->ops->answered(rc->arg, rq, reply);
        return;
    }
    rc->ping = false;
    redis_request_unref(rq);
}

static void dispatch(struct redis_conn *rc, const struct redisReply *reply)
{
    if (rc->state == LOGIN)
        login_answered(rc, reply);
    else if (is_push(rc, reply))
        rc->ops->push(rc->arg, reply);
    else
        request_answered(rc, reply);
}

static size_t on_received(void *arg, struct span bytes)
{
    struct redis_conn *rc = arg;
    void *reply = NULL;
    rc->heard_ms = loop_now(rc->loop);
    rc->calls++;
    int status = redisReaderFeed(rc->reader, bytes.ptr, bytes.len);
    while (status == REDIS_OK && rc->state != CLOSED) {
        status = redisReaderGetReply(rc->reader, &reply);
        if (status != REDIS_OK || reply == NULL)
            break;
        dispatch(rc, reply);
        freeReplyObject(reply);
    }
    if (status != REDIS_OK)
        close_because(rc, ERR_PARSE, "the server does not speak the Redis protocol");
    else if (rc->reader->len - rc->reader->pos > REDIS_REPLY_MAX)
        close_because(rc, ERR_TOOBIG, "a reply is larger than anything that was asked for");
    if (--rc->calls == 0 && rc->freed)
        release(rc);
    return bytes.len;
}

/* --- Time ---------------------------------------------------------------------------------------- */

/* When the oldest question should have been answered. */
static ms_t due(const struct redis_conn *rc)
{
    const struct redis_request *rq = rc->state == LOGIN ? rc->login : rc->head;
    if (rq == NULL || !rq->sent)
        return UINT64_MAX;
    return ms_after(ms_after(rq->sent_ms, rc->timeout_ms), rq->timeout_ms);
}

static void on_tick(void *arg)
{
    struct redis_conn *rc = arg;
    ms_t now = loop_now(rc->loop);
    /* A process that was stopped finds its deadlines gone and the replies waiting: read first. */
    if (now > rc->ticked_ms + TICK_MS + GRACE_MS)
        rc->grace_until_ms = now + GRACE_MS;
    rc->ticked_ms = now;
    timer_set(rc->tick, TICK_MS);
    if (now >= due(rc) && now >= rc->grace_until_ms) {
        rc->calls++;
        close_because(rc, ERR_TIMEOUT, "the server did not answer in time");
        if (--rc->calls == 0 && rc->freed)
            release(rc);
        return;
    }
    if (rc->state == READY && rc->pending == 0 && !rc->ping && now > rc->heard_ms + REDIS_PING_MS)
        send_ping(rc);
}

/* --- Opening ------------------------------------------------------------------------------------- */

static void on_opened(void *arg)
{
    struct redis_conn *rc = arg;
    rc->state = LOGIN;
    rc->heard_ms = rc->ticked_ms = loop_now(rc->loop);
    timer_set(rc->tick, TICK_MS);
    write_or_break(rc, rc->login);
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct redis_conn *rc = arg;
    rc->calls++;
    close_because(rc, e == ERR_OK ? ERR_IO : e, e == ERR_OK ? "the server closed the connection" : why);
    if (--rc->calls == 0 && rc->freed)
        release(rc);
}

static struct redis_request *login_request(const struct redis_login *login)
{
    struct redis_request *rq = redis_request_new(NULL, NULL);
    if (rq == NULL)
        return NULL;
    if (login->password[0] != '\0') {
        redis_command(rq, login->username[0] == '\0' ? 2 : 3);
        redis_arg_str(rq, "AUTH");
        if (login->username[0] != '\0')
            redis_arg_str(rq, login->username);
        redis_arg_str(rq, login->password);
    }
    redis_command(rq, 3);
    redis_arg_str(rq, "CLIENT");
    redis_arg_str(rq, "SETNAME");
    redis_arg_str(rq, login->name);
    if (login->db != 0) {
        redis_command(rq, 2);
        redis_arg_str(rq, "SELECT");
        redis_arg_u64(rq, login->db);
    }
    if (!rq->bad)
        return rq;
    redis_request_unref(rq);
    return NULL;
}

enum err redis_conn_open(struct loop *l, const struct conn_target *target, const struct redis_login *login,
                         ms_t command_timeout_ms, const struct redis_conn_ops *ops, void *arg,
                         struct redis_conn **ret, struct errctx *ec)
{
    static const struct conn_ops conn_ops = {
        .opened = on_opened, .received = on_received, .closed = on_closed};
    struct redis_conn *rc = calloc(1, sizeof *rc);
    if (rc == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    *rc = (struct redis_conn){.loop = l, .ops = ops, .arg = arg, .timeout_ms = command_timeout_ms};
    rc->tail = &rc->head;
    rc->reader = redisReaderCreate();
    rc->tick = timer_new(l, on_tick, rc);
    rc->login = login_request(login);
    enum err e = rc->reader == NULL || rc->tick == NULL || rc->login == NULL
                     ? err_set(ec, ERR_NOMEM, "out of memory")
                     : conn_connect(l, target, &conn_ops, rc, &rc->conn, ec);
    if (e != ERR_OK) {
        rc->state = CLOSED;
        redis_conn_free(rc);
        return e;
    }
    *ret = rc;
    return ERR_OK;
}

size_t redis_conn_pending(const struct redis_conn *rc)
{
    return rc->pending;
}

size_t redis_conn_unwritten(const struct redis_conn *rc)
{
    return rc->conn == NULL ? 0 : conn_output(rc->conn);
}
