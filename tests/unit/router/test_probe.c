/* tests/unit/router/test_probe.c — probes against a server that says what the table tells it to. */
#include "router/probe.h"
#include "tests/unit/check.h"

#include <string.h>
#include <unistd.h>

struct exchange {
    struct loop *loop;
    struct conn *conn;
    const char *greeting, *reply;
    char heard[512];
    bool done, ok;
    char why[256];
};

static size_t on_received(void *arg, struct span bytes)
{
    struct exchange *x = arg;
    size_t n = strlen(x->heard),
           len = bytes.len < sizeof x->heard - n - 1 ? bytes.len : sizeof x->heard - n - 1;
    memcpy(x->heard + n, bytes.ptr, len);
    x->heard[n + len] = '\0';
    if (span_has_prefix(bytes, SPAN("EHLO")) && x->reply != NULL)
        assert_int_equal(conn_write(x->conn, span_cstr(x->reply)), ERR_OK);
    return bytes.len;
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct exchange *x = arg;
    (void)e, (void)why;
    conn_free(x->conn);
    x->conn = NULL;
    if (x->done)
        loop_stop(x->loop);
}

static void on_accepted(void *arg, int fd, const struct ip_endpoint *peer)
{
    static const struct conn_ops ops = {.received = on_received, .closed = on_closed};
    struct exchange *x = arg;
    (void)peer;
    x->conn = conn_accept(x->loop, fd, NULL, &ops, x);
    assert_non_null(x->conn);
    if (x->greeting != NULL)
        assert_int_equal(conn_write(x->conn, span_cstr(x->greeting)), ERR_OK);
}

static void on_done(void *arg, struct probe *p, bool ok, const char *why)
{
    struct exchange *x = arg;
    (void)p;
    assert_false(x->done);
    x->done = true;
    x->ok = ok;
    (void)snprintf(x->why, sizeof x->why, "%s", why);
    if (x->conn == NULL || !ok)
        loop_stop(x->loop);
}

static void run(struct exchange *x, ms_t timeout_ms, bool listening)
{
    struct listener *ln;
    struct errctx ec;
    struct ip_endpoint at = {.addr = {.bytes = {127, 0, 0, 1}}};
    char target[ENDPOINT_TEXT_MAX];
    x->loop = loop_new();
    assert_non_null(x->loop);
    assert_int_equal(listener_open(x->loop, &at, false, on_accepted, x, &ln, &ec), ERR_OK);
    assert_true(listener_address(ln, &at));
    ip_endpoint_text(&at, target);
    if (!listening)
        listener_close(ln);
    struct probe_conf conf = {.loop = x->loop,
                              .target = span_cstr(target),
                              .port = 25,
                              .hostname = "me.example",
                              .timeout_ms = timeout_ms};
    assert_non_null(probe_start(&conf, on_done, x));
    assert_false(x->done); /* never before it returns */
    loop_run(x->loop);
    if (listening)
        listener_close(ln);
    conn_free(x->conn);
    loop_free(x->loop);
    assert_true(x->done);
}

static void test_probe__answers(void **state)
{
    static const struct {
        const char *greeting, *reply;
        bool ok;
        const char *why;
    } cases[] = {
        {"220 hello\r\n", "250 me\r\n", true, ""},
        {"220-one\r\n220-two\r\n220 three\r\n", "250-me\r\n250-SIZE\r\n250 DSN\r\n", true, ""},
        {"220 hello\n", "250 me\n", true, ""},
        {"554 go away\r\n", NULL, false, "greeting: '554 go away'"},
        {"421 busy\r\n", NULL, false, "greeting: '421 busy'"},
        {"220 hello\r\n", "502 what\r\n", false, "reply to EHLO: '502 what'"},
        {"HTTP/1.1 400\r\n", NULL, false, "greeting: 'HTTP/1.1 400'"},
        {"\r\n", NULL, false, "greeting: ''"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct exchange x = {.greeting = c->greeting, .reply = c->reply};
        run(&x, 5000, true);
        assert_int_equal(x.ok, c->ok);
        assert_string_equal(x.why, c->why);
        if (c->ok)
            assert_string_equal(x.heard, "EHLO me.example\r\nQUIT\r\n");
    }
}

static void test_probe__silence_and_refusal(void **state)
{
    struct exchange silent = {.greeting = NULL}, refused = {.greeting = NULL},
                    mute = {.greeting = "220 hi\r\n"};
    (void)state;
    run(&silent, 100, true);
    assert_false(silent.ok);
    assert_string_equal(silent.why, "no answer in time");
    run(&mute, 100, true);
    assert_false(mute.ok);
    run(&refused, 5000, false);
    assert_false(refused.ok);
    assert_true(strlen(refused.why) > 0);
}

static void test_probe__a_line_without_an_end(void **state)
{
    char long_line[5000];
    struct exchange x = {.greeting = long_line};
    (void)state;
    memset(long_line, '2', sizeof long_line);
    long_line[sizeof long_line - 1] = '\0';
    run(&x, 5000, true);
    assert_false(x.ok);
    assert_string_equal(x.why, "a line that does not end");
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_probe__answers), cmocka_unit_test(test_probe__silence_and_refusal),
                     cmocka_unit_test(test_probe__a_line_without_an_end));
}
