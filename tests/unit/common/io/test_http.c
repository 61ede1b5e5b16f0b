/* tests/unit/common/io/test_http.c — mirrors common/io/http.c */
/* clang-format off */
#include "tests/unit/common/io/ends.h"
#include "common/io/http.h"
/* clang-format on */

#include <netinet/in.h>

struct site {
    struct loop *loop;
    struct http *http;
    struct end client;
    unsigned asked;
};

static void on_request(void *arg, struct span path, struct http_reply *r)
{
    struct site *s = arg;
    s->asked++;
    if (span_eq(path, SPAN("/hello"))) {
        r->status = 200;
        assert_int_equal(buf_add(r->body, SPAN("hello\n")), ERR_OK);
    } else if (span_eq(path, SPAN("/ill"))) {
        r->status = 503;
        r->content_type = "application/json";
        assert_int_equal(buf_add(r->body, SPAN("{}\n")), ERR_OK);
    } else if (span_eq(path, SPAN("/large"))) {
        r->status = 200;
        for (int i = 0; i < 100000; i++)
            assert_int_equal(buf_add(r->body, SPAN("0123456789")), ERR_OK);
    }
}

static void dial(struct site *s, struct end *e)
{
    struct errctx ec;
    struct conn_target t = {.timeout_ms = 10000};
    assert_true(http_address(s->http, &t.endpoint));
    end_init(e, s->loop);
    e->quiet = true;
    assert_int_equal(conn_connect(s->loop, &t, &end_ops, e, &e->c, &ec), ERR_OK);
}

static void site_init(struct site *s)
{
    struct ip_endpoint at;
    struct errctx ec;
    memset(s, 0, sizeof *s);
    s->loop = loop_new();
    assert_int_equal(ip_endpoint_parse(SPAN("127.0.0.1:0"), 0, &at), ERR_OK);
    assert_int_equal(http_open(s->loop, &at, on_request, s, &s->http, &ec), ERR_OK);
    dial(s, &s->client);
}

static void site_done(struct site *s)
{
    end_done(&s->client);
    http_close(s->http);
    loop_free(s->loop);
}

#define HEAD_OF(status, type, length, extra)                                                                 \
    "HTTP/1.0 " status "\r\nContent-Type: " type "\r\nContent-Length: " length                               \
    "\r\nCache-Control: no-store\r\nConnection: close\r\n" extra "\r\n"
#define TEXT "text/plain; charset=utf-8"

static void test_http__answers_table(void **state)
{
    static const struct {
        const char *request, *reply;
    } cases[] = {
        {"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", HEAD_OF("200 OK", TEXT, "6", "") "hello\n"},
        {"GET /hello?a=b HTTP/1.0\n\n", HEAD_OF("200 OK", TEXT, "6", "") "hello\n"},
        {"HEAD /hello HTTP/1.0\r\n\r\n", HEAD_OF("200 OK", TEXT, "6", "")},
        {"GET /ill HTTP/1.0\r\n\r\n", HEAD_OF("503 Service Unavailable", "application/json", "3", "") "{}\n"},
        {"GET /none HTTP/1.0\r\n\r\n", HEAD_OF("404 Not Found", TEXT, "14", "") "404 Not Found\n"},
        {"POST /hello HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
         HEAD_OF("405 Not Allowed", TEXT, "16", "Allow: GET, HEAD\r\n") "405 Not Allowed\n"},
        {"GET hello HTTP/1.0\r\n\r\n", HEAD_OF("400 Bad Request", TEXT, "16", "") "400 Bad Request\n"},
        {"GET /hello\r\n\r\n", HEAD_OF("400 Bad Request", TEXT, "16", "") "400 Bad Request\n"},
        {"GET /hello HTTP/2.0\r\n\r\n", HEAD_OF("400 Bad Request", TEXT, "16", "") "400 Bad Request\n"},
        {"\r\n\r\n", HEAD_OF("400 Bad Request", TEXT, "16", "") "400 Bad Request\n"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct site s;
        site_init(&s);
        assert_int_equal(conn_write(s.client.c, span_cstr(c->request)), ERR_OK);
        run_until(&s.client, "closed OK");
        assert_string_equal(buf_cstr(&s.client.bytes), c->reply);
        site_done(&s);
    }
}

static void test_http__requests_may_come_in_pieces(void **state)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    struct site s;
    (void)state;
    site_init(&s);
    run_until(&s.client, "opened");
    for (size_t i = 0; i < sizeof request - 1; i++) {
        assert_int_equal(s.asked, 0);
        assert_int_equal(conn_write(s.client.c, span_of(request + i, 1)), ERR_OK);
        run_turns(s.loop, 2);
    }
    run_until(&s.client, "closed OK");
    assert_int_equal(s.asked, 1);
    site_done(&s);
}

static void test_http__large_replies_arrive_whole(void **state)
{
    struct site s;
    (void)state;
    site_init(&s);
    assert_int_equal(conn_write(s.client.c, SPAN("GET /large HTTP/1.0\r\n\r\n")), ERR_OK);
    run_until(&s.client, "closed OK");
    struct span head, rest;
    assert_non_null(strstr(buf_cstr(&s.client.bytes), "Content-Length: 1000000\r\n"));
    rest = buf_span(&s.client.bytes);
    do
        (void)span_cut(rest, '\n', &head, &rest);
    while (head.len > 1);
    assert_int_equal(rest.len, 1000000);
    site_done(&s);
}

static void test_http__endless_headers_are_refused(void **state)
{
    struct site s;
    char line[1024];
    (void)state;
    site_init(&s);
    memset(line, 'h', sizeof line);
    for (int i = 0; i < HTTP_REQUEST_MAX / 1024 + 1; i++)
        assert_int_equal(conn_write(s.client.c, span_of(line, sizeof line)), ERR_OK);
    run_until(&s.client, "closed");
    assert_true(span_has_prefix(buf_span(&s.client.bytes), SPAN("HTTP/1.0 400 ")));
    assert_int_equal(s.asked, 0);
    site_done(&s);
}

static void test_http__connections_are_bounded(void **state)
{
    struct site s;
    struct end crowd[HTTP_CONNECTIONS_MAX];
    (void)state;
    site_init(&s);
    run_until(&s.client, "opened");
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
        dial(&s, &crowd[i]);
        run_until(&crowd[i], "opened");
    }
    run_until(&crowd[HTTP_CONNECTIONS_MAX - 1], "closed"); /* the one too many */
    assert_int_equal(conn_write(s.client.c, SPAN("GET /hello HTTP/1.0\r\n\r\n")), ERR_OK);
    run_until(&s.client, "closed OK"); /* the others are served */
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
        end_done(&crowd[i]);
    site_done(&s);
}

int main(void)
{
    alarm(60);
    return CHECK_RUN(cmocka_unit_test(test_http__answers_table),
                     cmocka_unit_test(test_http__requests_may_come_in_pieces),
                     cmocka_unit_test(test_http__large_replies_arrive_whole),
                     cmocka_unit_test(test_http__endless_headers_are_refused),
                     cmocka_unit_test(test_http__connections_are_bounded));
}
