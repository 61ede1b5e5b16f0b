#include "common/io/http.h"

#include "common/io/conn.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct http {
    struct loop *loop;
    struct listener *listener;
    http_fn *answer;
    void *arg;
    struct client *clients;
    size_t count;
};

struct client {
    struct http *http;
    struct client *next, **prev;
    struct conn *conn;
};

static void client_free(struct client *c)
{
    *c->prev = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->http->count--;
    conn_free(c->conn);
    free(c);
}

/* --- requests -------------------------------------------------------------------------------- */

enum verdict { REQUEST_PARTIAL, REQUEST_GET, REQUEST_HEAD, REQUEST_BAD, REQUEST_METHOD };

/* Where the header section ends; lines may end in a bare LF (RFC 9112 2.2). */
static bool complete(struct span bytes)
{
    struct span line;
    while (span_cut(bytes, '\n', &line, &bytes))
        if (line.len == 0 || (line.len == 1 && line.ptr[0] == '\r'))
            return true;
    return false;
}

static enum verdict parse(struct span bytes, struct span *ret_path)
{
    struct span line, method, target, version, query;
    if (!complete(bytes))
        return bytes.len >= HTTP_REQUEST_MAX ? REQUEST_BAD : REQUEST_PARTIAL;
    (void)span_cut(bytes, '\n', &line, &bytes);
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (!span_cut(line, ' ', &method, &target) || !span_cut(target, ' ', &target, &version))
        return REQUEST_BAD;
    if (!span_has_prefix(version, SPAN("HTTP/1.")) || target.len == 0 || target.ptr[0] != '/')
        return REQUEST_BAD;
    (void)span_cut(target, '?', ret_path, &query);
    if (span_eq(method, SPAN("GET")))
        return REQUEST_GET;
    return span_eq(method, SPAN("HEAD")) ? REQUEST_HEAD : REQUEST_METHOD;
}

static const char *reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } reasons[] = {{200, "OK"},          {400, "Bad Request"},           {404, "Not Found"},
                   {405, "Not Allowed"}, {500, "Internal Server Error"}, {503, "Service Unavailable"}};
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

static enum err send_reply(struct conn *c, const struct http_reply *r, bool with_body)
{
    struct buf head;
    buf_init(&head, 1024);
    enum err e = buf_addf(&head,
                          "HTTP/1.0 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                          "Cache-Control: no-store\r\nConnection: close\r\n%s\r\n",
                          r->status, reason(r->status), r->content_type, r->body->len,
                          r->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (e == ERR_OK)
        e = conn_write(c, buf_span(&head));
    if (e == ERR_OK && with_body)
        e = conn_write(c, buf_span(r->body));
    buf_done(&head);
    return e;
}

static enum err respond(struct client *c, enum verdict v, struct span path)
{
    struct buf body;
    struct http_reply r = {404, "text/plain; charset=utf-8", &body};
    enum err e = ERR_OK;
    buf_init(&body, HTTP_BODY_MAX);
    if (v == REQUEST_GET || v == REQUEST_HEAD)
        c->http->answer(c->http->arg, path, &r);
    else
        r.status = v == REQUEST_METHOD ? 405 : 400;
    if (body.len == 0)
        e = buf_addf(&body, "%u %s\n", r.status, reason(r.status));
    if (e == ERR_OK)
        e = send_reply(c->conn, &r, v != REQUEST_HEAD);
    buf_done(&body);
    return e;
}

static size_t client_received(void *arg, struct span bytes)
{
    struct client *c = arg;
    struct span path = SPAN("");
    enum verdict v = parse(bytes, &path);
    if (v == REQUEST_PARTIAL)
        return 0;
    if (respond(c, v, path) != ERR_OK) {
        client_free(c);
        return bytes.len;
    }
    conn_finish(c->conn, HTTP_TIMEOUT_MS);
    return bytes.len;
}

static void client_closed(void *arg, enum err e, const char *why)
{
    (void)e;
    (void)why; /* of no interest to anybody: the peer comes again */
    client_free(arg);
}

/* --- life ------------------------------------------------------------------------------------ */

static void accepted(void *arg, int fd, const struct ip_endpoint *peer)
{
    static const struct conn_ops ops = {.received = client_received, .closed = client_closed};
    struct http *h = arg;
    struct client *c = h->count < HTTP_CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    (void)peer;
    if (c == NULL) {
        close(fd);
        return;
    }
    c->conn = conn_accept(h->loop, fd, NULL, &ops, c);
    if (c->conn == NULL) {
        free(c);
        return;
    }
    conn_set_timeout(c->conn, HTTP_TIMEOUT_MS); /* for the whole request: dripping bytes does not help */
    c->http = h;
    c->next = h->clients;
    c->prev = &h->clients;
    if (c->next != NULL)
        c->next->prev = &c->next;
    h->clients = c;
    h->count++;
}

enum err http_open(struct loop *l, const struct ip_endpoint *at, http_fn *answer, void *arg,
                   struct http **ret, struct errctx *ec)
{
    struct http *h = calloc(1, sizeof *h);
    if (h == NULL)
        return err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    h->loop = l;
    h->answer = answer;
    h->arg = arg;
    enum err e = listener_open(l, at, false, accepted, h, &h->listener, ec);
    if (e != ERR_OK) {
        free(h);
        return e;
    }
    *ret = h;
    return ERR_OK;
}

bool http_address(const struct http *h, struct ip_endpoint *ret)
{
    return listener_address(h->listener, ret);
}

void http_close(struct http *h)
{
    if (h == NULL)
        return;
    listener_close(h->listener);
    for (struct client *c = h->clients, *next; c != NULL; c = next) {
        next = c->next;
        client_free(c);
    }
    free(h);
}
