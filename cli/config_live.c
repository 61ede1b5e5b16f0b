/* cli/config_live.c — do the targets of connectors answer, and are their source bridgeheads there? */
#include "cli/alive.h"
#include "cli/config_review.h"
#include "router/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { AT_ONCE = 64 };

struct trying;
struct tried { /* a target */
    struct trying *of;
    size_t connector, target;
    struct probe *probe;
    bool ok;
    char why[200];
};
struct trying {
    struct loop *loop;
    struct dns *dns;
    const struct conf_root *root;
    char hostname[256];
    ms_t timeout_ms;
    struct tried *items;
    size_t n, begun, open;
};

static void begin_more(struct trying *t);

static void on_probed(void *arg, struct probe *probe, bool ok, const char *why)
{
    struct tried *x = arg;
    (void)probe;
    x->probe = NULL;
    x->ok = ok;
    (void)snprintf(x->why, sizeof x->why, "%s", why);
    x->of->open--;
    begin_more(x->of);
}

static void begin_more(struct trying *t)
{
    while (t->open < AT_ONCE && t->begun < t->n) {
        struct tried *x = &t->items[t->begun++];
        const struct conf_connector *c = &t->root->connectors.items[x->connector];
        struct probe_conf conf = {.loop = t->loop,
                                  .dns = t->dns,
                                  .target = span_cstr(c->smart_hosts.items[x->target]),
                                  .port = (uint16_t)(c->port != 0 ? c->port : t->root->delivery.port),
                                  .hostname = t->hostname,
                                  .timeout_ms = t->timeout_ms};
        x->probe = probe_start(&conf, on_probed, x);
        if (x->probe == NULL)
            (void)snprintf(x->why, sizeof x->why, "out of memory");
        else
            t->open++;
    }
    if (t->open == 0)
        loop_stop(t->loop);
}

static enum err list_targets(struct trying *t)
{
    size_t room = 0;
    for (size_t i = 0; i < t->root->connectors.count; i++)
        room += t->root->connectors.items[i].smart_hosts.count;
    t->items = calloc(room + 1, sizeof *t->items);
    if (t->items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->root->connectors.count; i++)
        for (size_t k = 0; k < t->root->connectors.items[i].smart_hosts.count; k++)
            t->items[t->n++] = (struct tried){.of = t, .connector = i, .target = k};
    return ERR_OK;
}

static enum err report(const struct trying *t, const struct config *conf, const char *file,
                       struct buf *problems)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < t->n; i++) {
        const struct tried *x = &t->items[i];
        const struct conf_connector *c = &t->root->connectors.items[x->connector];
        if (x->ok)
            continue;
        e = buf_addf(problems, "%s:%u: connectors[%zu]: target '%s' does not answer: ", file,
                     config_line(conf, &c->smart_hosts), x->connector, c->smart_hosts.items[x->target]);
        if (e == ERR_OK)
            e = buf_add_escaped(problems, span_cstr(x->why));
        if (e == ERR_OK)
            e = buf_addf(problems, "\n");
    }
    return e;
}

enum err config_try_targets(const struct config *conf, const char *file, ms_t timeout_ms,
                            struct buf *problems, size_t *ret_tried, struct errctx *ec)
{
    struct trying t = {.root = config_root(conf), .timeout_ms = timeout_ms, .loop = loop_new()};
    const struct conf_resolver *r = &t.root->resolver;
    if (gethostname(t.hostname, sizeof t.hostname - 1) != 0 || t.hostname[0] == '\0')
        (void)snprintf(t.hostname, sizeof t.hostname, "localhost");
    enum err e = t.loop == NULL ? ERR_NOMEM : list_targets(&t);
    if (e == ERR_OK)
        e = dns_new(t.loop, r->servers.items, r->servers.count,
                    timeout_ms < r->timeout_ms ? timeout_ms : r->timeout_ms, r->cache_bytes, &t.dns, ec);
    else
        e = err_set(ec, e, "out of memory");
    if (e == ERR_OK && t.n > 0) {
        begin_more(&t);
        if (t.open > 0)
            loop_run(t.loop);
        e = report(&t, conf, file, problems);
    }
    *ret_tried = t.n;
    for (size_t i = 0; i < t.n; i++)
        probe_free(t.items[i].probe);
    dns_free(t.dns);
    loop_free(t.loop);
    free(t.items);
    return e;
}

static enum err report_sources(const struct cli *cli, const struct alive *alive, struct buf *problems)
{
    const struct conf_root *root = config_root(cli->conf);
    enum err e = ERR_OK;
    for (size_t i = 0; i < root->connectors.count; i++) {
        const struct conf_strs *list = &root->connectors.items[i].source_bridgeheads;
        for (size_t k = 0; k < list->count && e == ERR_OK; k++)
            if (!alive_has(alive, list->items[k]))
                e = buf_addf(problems,
                             "%s:%u: connectors[%zu].source_bridgeheads: no worker of the name '%s' is "
                             "alive; start it, "
                             "or mend the name (worker.name): `bridgehead status` shows them\n",
                             cli->config_path, config_line(cli->conf, list), i, list->items[k]);
    }
    return e;
}

int config_try_sources(struct cli *cli, struct buf *problems)
{
    struct remote r;
    struct alive alive = {.asked = false};
    alive_begin(&alive, config_root(cli->conf));
    if (!alive.asked)
        return CLI_OK;
    int code = remote_open(&r, cli);
    if (code == CLI_OK)
        code = alive_read(&alive, &r);
    if (code == CLI_OK && report_sources(cli, &alive, problems) != ERR_OK)
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    alive_done(&alive);
    remote_close(&r);
    return code;
}
