/* worker/program.c — the worker as a program: what it stands on, and what a daemon is asked for. */
#include "common/io/daemon.h"
#include "common/log.h"
#include "queue/routing.h"
#include "queue/survey.h"
#include "worker/worker.h"

enum { ROUTING_PATIENCE_MS = 2000 };

struct program {
    struct loop *loop;
    struct config *conf;
    const char *config_path;
    struct store *store;
    struct dns *dns;
    struct routing *routing; /* NULL: no routing daemon is configured */
    struct worker *worker;
    struct survey *survey;
};

static void program_stop(void *self)
{
    struct program *p = self;

    survey_free(p->survey);
    p->survey = NULL;
    worker_stop(p->worker);
    store_free(p->store);
    worker_free(p->worker);
    routing_free(p->routing);
    dns_free(p->dns);
    p->routing = NULL;
    p->worker = NULL;
    p->store = NULL;
    p->dns = NULL;
}

static enum err program_start(void *self, struct errctx *ec)
{
    struct program *p = self;
    const struct conf_root *root = config_root(p->conf);
    struct worker_deps deps = {.loop = p->loop, .config_path = p->config_path};
    enum err e;

    e = dns_new(p->loop, root->resolver.servers.items, root->resolver.servers.count,
                root->resolver.timeout_ms, root->resolver.cache_bytes, &p->dns, ec);
    if (e == ERR_OK)
        e = store_redis_open(p->loop, p->conf, &p->store, ec);
    if (e == ERR_OK && root->routing_group.key_file[0] != '\0')
        e = routing_open(p->loop, p->conf, ROUTING_PATIENCE_MS, &p->routing, ec);
    deps.routing = p->routing;
    deps.store = p->store;
    deps.dns = p->dns;
    if (e == ERR_OK)
        e = worker_new(&deps, p->conf, &p->worker, ec);
    if (e == ERR_OK)
        e = survey_open(p->loop, p->conf, &p->survey, ec);
    if (e != ERR_OK)
        program_stop(p);
    return e;
}

static enum err program_reload(void *self, struct config *next, struct errctx *ec)
{
    struct program *p = self;
    enum err e = worker_reload(p->worker, next, ec);

    if (e == ERR_OK)
        survey_reload(p->survey, next);
    return e;
}

static void program_drain(void *self)
{
    worker_drain(((struct program *)self)->worker);
}

static bool program_drained(void *self)
{
    return worker_drained(((struct program *)self)->worker);
}

static bool program_ready(void *self, struct buf *ret_why)
{
    return worker_ready(((struct program *)self)->worker, ret_why);
}

static enum err program_warnings(void *self, struct buf *out)
{
    return store_warnings(((struct program *)self)->store, out);
}

static enum err program_metrics(void *self, struct buf *out)
{
    struct program *p = self;
    const void *const structs[] = {worker_counters(p->worker)};
    enum err e = metrics_write(out, worker_metrics_desc, worker_metrics_count, structs, 1, "");

    if (e == ERR_OK)
        e = store_metrics(p->store, out);
    return e == ERR_OK ? survey_metrics(p->survey, out) : e;
}

static const struct daemon_hooks hooks = {
    .program = "worker",
    .start = program_start,
    .reload = program_reload,
    .drain = program_drain,
    .drained = program_drained,
    .ready = program_ready,
    .warnings = program_warnings,
    .metrics = program_metrics,
    .stop = program_stop,
};

int worker_main(struct config *conf, const char *config_path)
{
    const struct conf_root *root = config_root(conf);
    struct daemon_options opts = {
        .config_path = config_path, .http = root->worker.http, .grace_ms = root->delivery.grace_ms};
    struct program p = {.loop = loop_new(), .conf = conf, .config_path = config_path};
    int rc;

    if (p.loop == NULL) {
        log_error("worker.start", "text='out of memory or descriptors'");
        return 1;
    }
    rc = daemon_run(p.loop, conf, &opts, &hooks, &p);
    loop_free(p.loop);
    return rc;
}
