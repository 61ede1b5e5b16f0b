/* A scripted server on the other end of a loopback connection: it answers each write with the next reply. */
#include "common/io/conn.h"
#include "queue/redis_conn.h"
#include "queue/redis_error.h"
#include "queue/redis_reply.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

enum { REPLIES_MAX = 8 };

struct world {
    struct loop *loop;
    struct listener *listener;
    struct conn *server;
    struct redis_conn *client;
    struct buf heard; /* by the server */
    const char *replies[REPLIES_MAX];
    size_t replied;
    bool hang_up;      /* after the last reply */
    size_t wait_bytes; /* the server answers when it has heard so much */
    struct buf story;  /* of the client */
    const char *until;
    struct timer *guard;
    bool free_in_callback;
};

static void note(struct world *w, const char *before, const char *what, const char *after)
{
    assert_int_equal(buf_addf(&w->story, "%s%s%s", before, what, after), ERR_OK);
    if (w->until != NULL && strstr(buf_cstr(&w->story), w->until) != NULL)
        loop_stop(w->loop);
}

static size_t server_received(void *arg, struct span bytes)
{
    struct world *w = arg;
    assert_int_equal(buf_add(&w->heard, bytes), ERR_OK);
    if (w->heard.len < w->wait_bytes)
        return bytes.len;
    const char *reply = w->replied < REPLIES_MAX ? w->replies[w->replied] : NULL;
    if (reply != NULL) {
        w->replied++;
        assert_int_equal(conn_write(w->server, span_cstr(reply)), ERR_OK);
    } else if (w->hang_up) {
        conn_finish(w->server, 1000);
    }
    return bytes.len;
}

static void server_opened(void *arg)
{
    (void)arg;
}

static void server_closed(void *arg, enum err e, const char *why)
{
    struct world *w = arg;
    (void)e;
    (void)why;
    conn_free(w->server);
    w->server = NULL;
}

static void on_accept(void *arg, int fd, const struct ip_endpoint *peer)
{
    static const struct conn_ops ops = {
        .opened = server_opened, .received = server_received, .closed = server_closed};
    struct world *w = arg;
    (void)peer;
    w->server = conn_accept(w->loop, fd, NULL, &ops, w);
    assert_non_null(w->server);
}

static void on_ready(void *arg)
{
    note(arg, "ready", "", ";");
}

static void on_answered(void *arg, struct redis_request *rq, const struct redisReply *reply)
{
    struct world *w = arg;
    struct span text = SPAN("");
    char line[200];
    uint64_t n;
    if (reply_u64(reply, UINT64_MAX, &n))
        (void)snprintf(line, sizeof line, "%s=%llu", (const char *)rq->arg, (unsigned long long)n);
    else if (reply_text(reply, &text))
        (void)snprintf(line, sizeof line, "%s='" SPAN_FMT "'", (const char *)rq->arg,
                       SPAN_ARG(span_first(text, 40)));
    else
        (void)snprintf(line, sizeof line, "%s[%zu]", (const char *)rq->arg, reply_count(reply));
    note(w, "", line, "");
    if (rq->error.len > 0)
        note(w, " refused ", buf_cstr(&rq->error), "");
    note(w, "", "", ";");
    redis_request_unref(rq);
    if (w->free_in_callback) {
        redis_conn_free(w->client);
        w->client = NULL;
        loop_stop(w->loop);
    }
}

static void on_push(void *arg, const struct redisReply *message)
{
    char line[100];
    (void)snprintf(line, sizeof line, SPAN_FMT, SPAN_ARG(reply_text_at(message, 2)));
    note(arg, "push ", line, ";");
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct world *w = arg;
    note(w, "closed ", err_name(e), " (");
    note(w, "", why, ");");
}

static void never(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                  const char *why)
{
    (void)arg;
    (void)rq;
    (void)e;
    (void)reply;
    (void)why;
    fail(); /* done() is for the owner to call */
}

static struct redis_request *request(const char *name)
{
    struct redis_request *rq = redis_request_new(never, (void *)(uintptr_t)name);
    assert_non_null(rq);
    return rq;
}

static struct redis_request *ask(struct world *w, const char *name, const char *word)
{
    struct redis_request *rq = request(name);
    redis_command(rq, 1);
    redis_arg_str(rq, word);
    redis_conn_send(w->client, rq);
    return rq;
}

static void too_long(void *arg)
{
    struct world *w = arg;
    fail_msg("still waiting for '%s', heard '%s', story '%s'", w->until, buf_cstr(&w->heard),
             buf_cstr(&w->story));
}

static void run_until(struct world *w, const char *until)
{
    w->until = until;
    if (strstr(buf_cstr(&w->story), until) != NULL)
        return;
    timer_set(w->guard, 20000);
    loop_run(w->loop);
    timer_cancel(w->guard);
}

static void open_with(struct world *w, const struct redis_login *login, ms_t timeout_ms)
{
    static const struct redis_conn_ops ops = {on_ready, on_answered, on_push, on_closed};
    struct conn_target target = {.timeout_ms = 5000};
    struct errctx ec;
    assert_true(listener_address(w->listener, &target.endpoint));
    assert_int_equal(redis_conn_open(w->loop, &target, login, timeout_ms, &ops, w, &w->client, &ec), ERR_OK);
}

static const struct redis_login plain = {"", "", "bridgehead", 0};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct ip_endpoint at = {.addr = {.bytes = {127, 0, 0, 1}}};
    struct errctx ec;
    assert_non_null(w);
    buf_init(&w->heard, 1 << 24);
    buf_init(&w->story, 1 << 16);
    w->loop = loop_new();
    assert_non_null(w->loop);
    w->guard = timer_new(w->loop, too_long, w);
    assert_int_equal(listener_open(w->loop, &at, false, on_accept, w, &w->listener, &ec), ERR_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    redis_conn_free(w->client);
    conn_free(w->server);
    listener_close(w->listener);
    timer_free(w->guard);
    loop_free(w->loop);
    buf_done(&w->heard);
    buf_done(&w->story);
    free(w);
    return 0;
}

static void it_logs_in_and_asks_in_order(void **state)
{
    struct world *w = *state;
    static const struct redis_login login = {"user", "secret", "node-1", 3};
    w->replies[0] = "+OK\r\n+OK\r\n+OK\r\n";
    w->replies[1] = "+A\r\n:42\r\n*2\r\n$1\r\nx\r\n$-1\r\n";
    open_with(w, &login, 5000);
    ask(w, "a", "FIRST"); /* waits for the login */
    run_until(w, "ready;");
    ask(w, "b", "SECOND");
    ask(w, "c", "THIRD");
    run_until(w, "c[2];");
    assert_string_equal(buf_cstr(&w->story), "ready;a='A';b=42;c[2];");
    check_span(buf_span(&w->heard), SPAN("*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$6\r\nsecret\r\n"
                                         "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$6\r\nnode-1\r\n"
                                         "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
                                         "*1\r\n$5\r\nFIRST\r\n*1\r\n$6\r\nSECOND\r\n*1\r\n$5\r\nTHIRD\r\n"));
    assert_int_equal(redis_conn_pending(w->client), 0);
}

static void bodies_go_by_reference(void **state)
{
    struct world *w = *state;
    w->replies[0] = "+OK\r\n";
    w->replies[1] = "+OK\r\n:1\r\n";
    open_with(w, &plain, 5000);
    run_until(w, "ready;");
    w->heard.len = 0;
    struct redis_request *rq = request("set");
    struct buf body;
    buf_init(&body, 1 << 21);
    assert_int_equal(buf_reserve(&body, 1 << 20), ERR_OK);
    memset(body.ptr, 'x', 1 << 20);
    buf_wrote(&body, 1 << 20);
    redis_command(rq, 3);
    redis_arg_str(rq, "SET");
    redis_arg_pair(rq, SPAN("{p}"), SPAN("b"));
    redis_arg_body(rq, &body);
    redis_command(rq, 2);
    redis_arg_str(rq, "EVAL");
    redis_arg_u64(rq, 18446744073709551615u);
    assert_null(body.ptr);
    struct span head = SPAN("*3\r\n$3\r\nSET\r\n$5\r\n{p}:b\r\n$1048576\r\n");
    struct span tail = SPAN("\r\n*2\r\n$4\r\nEVAL\r\n$20\r\n18446744073709551615\r\n");
    w->wait_bytes = head.len + (1 << 20) + tail.len;
    redis_conn_send(w->client, rq);
    run_until(w, "set=1;");
    assert_int_equal(w->heard.len, w->wait_bytes);
    check_span(span_first(buf_span(&w->heard), head.len), head);
    check_span(span_from(buf_span(&w->heard), head.len + (1 << 20)), tail);
}

static void a_refused_login_closes(void **state)
{
    struct world *w = *state;
    static const struct redis_login login = {"", "wrong", "x", 0};
    w->replies[0] = "-WRONGPASS invalid username-password pair\r\n+OK\r\n";
    open_with(w, &login, 5000);
    run_until(w, "closed");
    run_until(w, ");");
    assert_non_null(strstr(buf_cstr(&w->story), "closed BACKEND (login refused: WRONGPASS"));
    assert_non_null(strstr(buf_cstr(&w->story), "redis.password_file"));
}

static void refusals_are_kept_for_the_owner(void **state)
{
    struct world *w = *state;
    w->replies[0] = "+OK\r\n";
    w->replies[1] = "-OOM command not allowed\r\n-NOBODY\r\n";
    open_with(w, &plain, 5000);
    run_until(w, "ready;");
    struct redis_request *rq = request("pair");
    redis_command(rq, 1);
    redis_arg_str(rq, "SET");
    redis_command(rq, 1);
    redis_arg_str(rq, "EVALSHA");
    redis_conn_send(w->client, rq);
    run_until(w, "command not allowed;");
    assert_string_equal(buf_cstr(&w->story), "ready;pair[0] refused OOM command not allowed;");
}

static void what_was_not_answered_comes_back(void **state)
{
    struct world *w = *state;
    w->replies[0] = "+OK\r\n";
    w->replies[1] = "+ONE\r\n";
    w->hang_up = true;
    open_with(w, &plain, 5000);
    run_until(w, "ready;");
    ask(w, "a", "A");
    run_until(w, "a='ONE';");
    struct redis_request *b = ask(w, "b", "B"), *c = ask(w, "c", "C");
    run_until(w, "closed IO");
    struct redis_request *all = redis_conn_take(w->client);
    assert_ptr_equal(all, b);
    assert_ptr_equal(all->next, c);
    assert_null(c->next);
    assert_true(b->sent && c->sent);
    redis_request_unref(b);
    redis_request_unref(c);
}

static void silence_is_noticed(void **state)
{
    struct world *w = *state;
    w->replies[0] = "+OK\r\n";
    open_with(w, &plain, 300);
    run_until(w, "ready;");
    ask(w, "a", "A");
    run_until(w, "closed TIMEOUT");
    struct redis_request *rq = redis_conn_take(w->client);
    assert_true(rq != NULL && rq->next == NULL);
    redis_request_unref(rq);
}

static void published_messages_are_told_apart(void **state)
{
    struct world *w = *state;
    w->replies[0] = "+OK\r\n";
    w->replies[1] = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n07\r\n"
                    "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n08\r\n";
    open_with(w, &plain, 5000);
    run_until(w, "ready;");
    ask(w, "sub", "SUBSCRIBE");
    run_until(w, "push 08;");
    assert_string_equal(buf_cstr(&w->story), "ready;sub[3];push 07;push 08;");
}

static void nonsense_closes(void **state)
{
    static const char *const nonsense[] = {"HTTP/1.1 400 Bad Request\r\n", "+OK\r\n+AGAIN\r\n", "$-5\r\n",
                                           "*99999999999999999999\r\n"};
    struct world *w = *state;
    CHECK_EACH (nonsense, n) {
        w->replies[0] = *n;
        w->replied = 0;
        w->heard.len = w->story.len = 0;
        w->until = NULL;
        open_with(w, &plain, 5000);
        run_until(w, "closed");
        redis_conn_free(w->client);
        w->client = NULL;
        while (w->server != NULL) {
            conn_free(w->server);
            w->server = NULL;
        }
    }
}

static void it_may_be_freed_in_its_callbacks(void **state)
{
    struct world *w = *state;
    w->replies[0] = "+OK\r\n";
    w->replies[1] = "+A\r\n+B\r\n";
    w->free_in_callback = true;
    open_with(w, &plain, 5000);
    run_until(w, "ready;");
    ask(w, "a", "A");
    ask(w, "b", "B");
    run_until(w, "a='A';");
    assert_null(w->client);
}

static void errors_have_their_actions(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        enum redis_action action;
        enum err e;
    } cases[] = {
        {SPAN_INIT("OOM command not allowed when used memory > 'maxmemory'."), REDIS_FAIL, ERR_FULL},
        {SPAN_INIT("READONLY You can't write against a read only replica."), REDIS_REDISCOVER, ERR_AGAIN},
        {SPAN_INIT("LOADING Redis is loading the dataset in memory"), REDIS_RETRY, ERR_AGAIN},
        {SPAN_INIT("NOSCRIPT No matching script."), REDIS_RELOAD, ERR_AGAIN},
        {SPAN_INIT("NOAUTH Authentication required."), REDIS_FATAL, ERR_BACKEND},
        {SPAN_INIT("EXPIRED"), REDIS_FAIL, ERR_STALE},
        {SPAN_INIT("ERR unknown command"), REDIS_FAIL, ERR_BACKEND},
        {SPAN_INIT("OOMX"), REDIS_FAIL, ERR_BACKEND},
        {SPAN_INIT(""), REDIS_FAIL, ERR_BACKEND},
    };
    CHECK_EACH (cases, c) {
        const struct redis_error *found = redis_error_find(c->text);
        assert_int_equal(found->action, c->action);
        assert_int_equal(found->err, c->e);
    }
}

/* fsck looks at partitions and slots: what it would not find is mended otherwise. */
static void a_wrong_type_is_mended_where_it_is(void **state)
{
    (void)state;
    static const struct {
        struct span request;
        const char *remedy;
    } cases[] = {
        {SPAN_INIT("*5\r\n$7\r\nEVALSHA\r\n$1\r\n2\r\n$10\r\n{mq.p00.1}:g\r\n$5\r\n{x.rt}:\r\n"),
         "queue fsck --repair"},
        {SPAN_INIT("*5\r\n$7\r\nEVALSHA\r\n$1\r\n2\r\n$10\r\n{mq.sem}:g\r\n"), "queue fsck --repair"},
        {SPAN_INIT("*5\r\n$7\r\nEVALSHA\r\n$1\r\n2\r\n$7\r\n{mq.rt}:g\r\n"), "redis-cli DEL"},
        {SPAN_INIT("*5\r\n$7\r\nEVALSHA\r\n$1\r\n2\r\n$8\r\n{mq.cfg}:g\r\n"), "backup"},
        {SPAN_INIT("*1\r\n$4\r\nINFO\r\n"), "queue fsck --repair"},
        {SPAN_INIT(""), "queue fsck --repair"},
    };
    CHECK_EACH (cases, c) {
        const struct redis_error *wrong = redis_error_find(SPAN("WRONGTYPE Operation against a key"));
        if (strstr(redis_error_remedy(wrong, c->request), c->remedy) == NULL)
            fail_msg("%s", redis_error_remedy(wrong, c->request));
    }
    const struct redis_error *full = redis_error_find(SPAN("OOM x"));
    assert_ptr_equal(redis_error_remedy(full, cases[2].request), full->remedy);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    return CHECK_RUN(T(it_logs_in_and_asks_in_order), T(bodies_go_by_reference), T(a_refused_login_closes),
                     T(refusals_are_kept_for_the_owner), T(what_was_not_answered_comes_back),
                     T(silence_is_noticed), T(published_messages_are_told_apart), T(nonsense_closes),
                     T(it_may_be_freed_in_its_callbacks), cmocka_unit_test(errors_have_their_actions),
                     cmocka_unit_test(a_wrong_type_is_mended_where_it_is));
#undef T
}
