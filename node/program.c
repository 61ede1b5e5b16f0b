/* node/program.c — the node as a program: what it stands on, and what a daemon is asked for. */
#include "common/io/daemon.h"
#include "common/log.h"
#include "node/node.h"
#include "queue/routing.h"

enum { ROUTING_PATIENCE_MS = 2000 };

struct program {
    struct loop *loop;
    struct config *conf;
    struct routing *routing; /* NULL: no routing daemon is configured */
    struct node *node;
};

static enum err open_store(void *arg, struct loop *l, const struct config *conf, struct store **ret,
                           struct errctx *ec)
{
    (void)arg;
    return store_redis_open(l, conf, ret, ec);
}

static enum err program_start(void *self, struct errctx *ec)
{
    struct program *p = self;
    struct node_deps deps = {.loop = p->loop, .open_store = open_store};
    enum err e = ERR_OK;
    if (config_root(p->conf)->routing_group.key_file[0] != '\0')
        e = routing_open(p->loop, p->conf, ROUTING_PATIENCE_MS, &p->routing, ec);
    deps.routing = p->routing;
    if (e == ERR_OK)
        e = node_new(&deps, p->conf, &p->node, ec);
    if (e != ERR_OK) {
        routing_free(p->routing);
        p->routing = NULL;
    }
    return e;
}

static enum err program_reload(void *self, struct config *next, struct errctx *ec)
{
    return node_reload(((struct program *)self)->node, next, ec);
}

static void program_drain(void *self)
{
    node_drain(((struct program *)self)->node);
}

static bool program_drained(void *self)
{
    return node_drained(((struct program *)self)->node);
}

static bool program_ready(void *self, struct buf *ret_why)
{
    return node_ready(((struct program *)self)->node, ret_why);
}

static enum err program_warnings(void *self, struct buf *out)
{
    return node_warnings(((struct program *)self)->node, out);
}

static enum err program_metrics(void *self, struct buf *out)
{
    return node_metrics_write(((struct program *)self)->node, out);
}

static void program_stop(void *self)
{
    struct program *p = self;
    routing_free(p->routing);
    node_free(p->node);
    p->routing = NULL;
    p->node = NULL;
}

static const struct daemon_hooks hooks = {
    .program = "node",
    .start = program_start,
    .reload = program_reload,
    .drain = program_drain,
    .drained = program_drained,
    .ready = program_ready,
    .warnings = program_warnings,
    .metrics = program_metrics,
    .stop = program_stop,
};

int node_main(struct config *conf, const char *config_path)
{
    const struct conf_root *root = config_root(conf);
    struct daemon_options opts = {
        .config_path = config_path, .http = root->node.http, .grace_ms = root->node.grace_ms};
    struct program p = {.loop = loop_new(), .conf = conf};
    if (p.loop == NULL) {
        log_error("node.start", "text='out of memory or descriptors'");
        return 1;
    }
    int rc = daemon_run(p.loop, conf, &opts, &hooks, &p);
    loop_free(p.loop);
    return rc;
}
