/* common/io/http.h — the smallest HTTP server that Prometheus, Kubernetes and curl talk to: GET and HEAD,
 * one request a connection, a bounded number of connections, requests of a bounded size and time. */
#pragma once
#include "common/buf.h"
#include "common/io/loop.h"
#include "common/ip.h"

struct http;
enum {
    HTTP_REQUEST_MAX = 8192,
    HTTP_BODY_MAX = 4 << 20,
    HTTP_CONNECTIONS_MAX = 32, /* more are closed at once */
    HTTP_TIMEOUT_MS = 5000
};

struct http_reply {
    unsigned status;          /* 200, 404, 500, 503 */
    const char *content_type; /* static */
    struct buf *body;         /* empty; limited to HTTP_BODY_MAX */
};
/* path: without query. Fills the reply, which starts as 404 with a plain text. */
typedef void http_fn(void *arg, struct span path, struct http_reply *reply);

enum err http_open(struct loop *l, const struct ip_endpoint *at, http_fn *answer, void *arg,
                   struct http **ret, struct errctx *ec) MUST_USE;
bool http_address(const struct http *h, struct ip_endpoint *ret); /* the real port when opened at 0 */
void http_close(struct http *h);                                  /* drops connections; NULL is a no-op */
