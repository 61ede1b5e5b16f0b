#include "router/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRS_MAX = 8, LINE_MAX = 2048, LINES_MAX = 100 };
enum step { RESOLVING, GREETING, EHLO, OVER };

struct probe {
    struct loop *loop;
    struct dns *dns;
    probe_fn *done;
    void *arg;
    enum step step;
    bool ok;
    char host[256], hostname[256], why[200];
    uint16_t port;
    ms_t timeout_ms;
    struct ip_addr addrs[ADDRS_MAX];
    size_t naddrs, at;
    unsigned lines;
    struct dns_query *query;
    struct conn *conn;
    struct deferred end;
};

static void next_address(struct probe *p);

static void finish(struct probe *p, bool ok)
{
    if (p->step == OVER)
        return;
    p->step = OVER;
    p->ok = ok;
    deferred_arm(p->loop, &p->end);
}

static void on_end(void *arg)
{
    struct probe *p = arg;
    p->done(p->arg, p, p->ok, p->ok ? "" : p->why);
    probe_free(p);
}

static void failed(struct probe *p, const char *why)
{
    (void)snprintf(p->why, sizeof p->why, "%s", why);
    conn_free(p->conn);
    p->conn = NULL;
    next_address(p);
}

/* One line of a reply; true when it was the last of it. */
static void on_line(struct probe *p, struct span line)
{
    const char *want = p->step == GREETING ? "220" : "250";
    bool more = line.len > 3 && line.ptr[3] == '-';
    char why[200];
    if (line.len < 3 || memcmp(line.ptr, want, 3) != 0 || ++p->lines > LINES_MAX) {
        (void)snprintf(why, sizeof why, "%s: '" SPAN_FMT "'",
                       p->step == GREETING ? "greeting" : "reply to EHLO", SPAN_ARG(span_first(line, 120)));
        failed(p, why);
        return;
    }
    if (more)
        return;
    p->lines = 0;
    if (p->step == EHLO) {
        (void)!conn_write(p->conn, SPAN("QUIT\r\n")); /* politeness: how it is taken does not matter */
        p->step = OVER;
        p->ok = true;
        conn_finish(p->conn, 1000);
        return;
    }
    char command[300];
    int n = snprintf(command, sizeof command, "EHLO %s\r\n", p->hostname);
    p->step = EHLO;
    conn_set_timeout(p->conn, p->timeout_ms);
    if (conn_write(p->conn, span_of(command, n < 0 ? 0 : (size_t)n)) != ERR_OK)
        failed(p, "out of memory");
}

static size_t on_received(void *arg, struct span bytes)
{
    struct probe *p = arg;
    size_t used = 0, at;
    size_t address = p->at; /* another one: this connection is no more */
    while (p->step != OVER && p->at == address && p->conn != NULL &&
           span_find(span_from(bytes, used), '\n', &at)) {
        struct span line = span_first(span_from(bytes, used), at);
        used += at + 1;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        on_line(p, line);
    }
    if (p->step != OVER && p->at == address && p->conn != NULL && bytes.len - used > LINE_MAX)
        failed(p, "a line that does not end");
    return used;
}

static void on_opened(void *arg)
{
    struct probe *p = arg;
    conn_set_timeout(p->conn, p->timeout_ms);
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct probe *p = arg;
    if (p->step == OVER)
        deferred_arm(p->loop, &p->end);
    else
        failed(p, e == ERR_TIMEOUT ? "no answer in time" : e == ERR_OK ? "it closed the connection" : why);
}

static void next_address(struct probe *p)
{
    static const struct conn_ops ops = {.opened = on_opened, .received = on_received, .closed = on_closed};
    struct errctx ec;
    while (p->at < p->naddrs) {
        struct conn_target t = {.endpoint = {.addr = p->addrs[p->at++], .port = p->port},
                                .timeout_ms = p->timeout_ms};
        p->step = GREETING;
        p->lines = 0;
        if (conn_connect(p->loop, &t, &ops, p, &p->conn, &ec) == ERR_OK)
            return;
        p->conn = NULL;
        (void)snprintf(p->why, sizeof p->why, "%.190s", ec.msg);
    }
    finish(p, false);
}

static void on_addresses(void *arg, const struct dns_answer *answer)
{
    struct probe *p = arg;
    p->query = NULL;
    p->naddrs = answer->n < ADDRS_MAX ? answer->n : ADDRS_MAX;
    if (p->naddrs > 0)
        memcpy(p->addrs, answer->addrs, p->naddrs * sizeof p->addrs[0]);
    (void)snprintf(p->why, sizeof p->why, "%s",
                   answer->err != ERR_OK ? answer->why : "its name has no address");
    next_address(p);
}

static bool parse_target(struct probe *p, struct span target)
{
    struct ip_endpoint at;
    struct span port;
    uint64_t number = p->port;
    struct span host;
    if (ip_endpoint_parse(target, p->port, &at) == ERR_OK) {
        p->addrs[0] = at.addr;
        p->naddrs = 1;
        p->port = at.port;
        return true;
    }
    if (span_cut(target, ':', &host, &port) && !span_to_u64(port, 65535, &number))
        return false;
    p->port = (uint16_t)number;
    return host.len > 0 && snprintf(p->host, sizeof p->host, SPAN_FMT, SPAN_ARG(host)) < (int)sizeof p->host;
}

struct probe *probe_start(const struct probe_conf *conf, probe_fn *done, void *arg)
{
    struct probe *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->loop = conf->loop;
    p->dns = conf->dns;
    p->done = done;
    p->arg = arg;
    p->port = conf->port;
    p->timeout_ms = conf->timeout_ms;
    (void)snprintf(p->hostname, sizeof p->hostname, "%s", conf->hostname);
    deferred_init(&p->end, on_end, p);
    (void)snprintf(p->why, sizeof p->why, "its name cannot be asked for");
    if (!parse_target(p, conf->target))
        finish(p, false);
    else if (p->naddrs > 0)
        next_address(p);
    else if (p->dns == NULL ||
             dns_ask_addresses(p->dns, span_cstr(p->host), on_addresses, p, &p->query) != ERR_OK)
        finish(p, false);
    return p;
}

void probe_free(struct probe *p)
{
    if (p == NULL)
        return;
    deferred_disarm(&p->end);
    dns_cancel(p->query);
    conn_free(p->conn);
    free(p);
}
