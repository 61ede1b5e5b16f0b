#include "common/io/daemon.h"

#include "common/io/daemon_metrics.h"

#include "common/io/health.h"
#include "common/io/http.h"
#include "common/io/notify.h"
#include "common/io/reload.h"
#include "common/log.h"
#include "common/metrics.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DRAIN_POLL_MS = 100, HEALTH_MS = 250, METRICS_LABELS_MAX = 96, DESCRIPTORS_MAX = 1 << 20 };

/*             start()            SIGTERM              drained(), grace over, second SIGTERM
 *   (none) ------------> RUNNING --------> DRAINING ---------------------------------------> stop()
 *                                                   or loop_stop() by anybody                       */
struct daemon {
    struct loop *loop;
    struct config *conf; /* what we were started with */
    const struct daemon_options *opts;
    const struct daemon_hooks *hooks;
    void *self;
    struct http *http;
    struct watch *terminate, *interrupt, *hangup;
    struct timer *poll, *grace, *watchdog, *look;
    struct health health;
    ms_t watchdog_ms;
    bool draining;
    struct daemon_metrics metrics;
};

/* --- HTTP ------------------------------------------------------------------------------------ */

static void add_json_string(struct buf *out, struct span s)
{
    (void)!buf_addc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            (void)!buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            (void)!buf_addf(out, "\\u%04x", c);
        else
            (void)!buf_addc(out, (char)c);
    }
    (void)!buf_addc(out, '"');
}

static void answer_live(struct daemon *d, struct http_reply *r)
{
    (void)d; /* the loop turns, or nobody would be here */
    r->status = 200;
    r->content_type = "application/json";
    (void)!buf_add(r->body, SPAN("{\"live\":true}\n"));
}

static void answer_ready(struct daemon *d, struct http_reply *r)
{
    struct buf why;
    buf_init(&why, HEALTH_TEXT_MAX);
    bool ready = !d->draining && (d->hooks->ready == NULL || d->hooks->ready(d->self, &why));
    r->status = ready ? 200 : 503;
    r->content_type = "application/json";
    (void)!buf_addf(r->body, "{\"ready\":%s", ready ? "true" : "false");
    if (!ready) {
        (void)!buf_add(r->body, SPAN(",\"reason\":"));
        add_json_string(r->body, d->draining ? SPAN("draining") : buf_span(&why));
    }
    (void)!buf_add(r->body, SPAN("}\n"));
    buf_done(&why);
}

static void answer_metrics(struct daemon *d, struct http_reply *r)
{
    static const struct build_metrics build = {.one = 1};
    const void *structs[] = {&d->metrics}, *builds[] = {&build};
    char labels[METRICS_LABELS_MAX], build_labels[METRICS_LABELS_MAX];
    (void)snprintf(labels, sizeof labels, "program=\"%s\"", d->hooks->program);
    (void)snprintf(build_labels, sizeof build_labels, "%s,version=\"%s\"", labels, BRIDGEHEAD_VERSION);
    enum err e = metrics_write(r->body, build_metrics_desc, build_metrics_count, builds, 1, build_labels);
    if (e == ERR_OK)
        e = metrics_write(r->body, daemon_metrics_desc, daemon_metrics_count, structs, 1, labels);
    if (e == ERR_OK && d->hooks->metrics != NULL)
        e = d->hooks->metrics(d->self, r->body);
    r->status = e == ERR_OK ? 200 : 500;
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    if (e != ERR_OK)
        buf_clear(r->body); /* half an exposition would be taken for a whole one */
}

static void answer(void *arg, struct span path, struct http_reply *r)
{
    static const struct {
        struct span path;
        void (*fn)(struct daemon *d, struct http_reply *r);
    } pages[] = {
        {SPAN_INIT("/metrics"), answer_metrics},
        {SPAN_INIT("/healthz/live"), answer_live},
        {SPAN_INIT("/healthz/ready"), answer_ready},
    };
    struct daemon *d = arg;
    metric_inc(&d->metrics.scrapes);
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (span_eq(path, pages[i].path))
            pages[i].fn(d, r);
}

static enum err open_http(struct daemon *d, struct errctx *ec)
{
    struct ip_endpoint at;
    char text[ENDPOINT_TEXT_MAX];
    if (d->opts->http == NULL || d->opts->http[0] == '\0')
        return ERR_OK;
    if (ip_endpoint_parse(span_cstr(d->opts->http), 0, &at) != ERR_OK)
        return err_set(ec, ERR_CONFIG, "http: '%s' is not ADDRESS:PORT", d->opts->http);
    enum err e = http_open(d->loop, &at, answer, d, &d->http, ec);
    if (e != ERR_OK)
        return err_wrap(ec, e, "http");
    if (http_address(d->http, &at)) {
        ip_endpoint_text(&at, text);
        log_info("http.listening", "address=%s", text);
    }
    return ERR_OK;
}

/* --- signals --------------------------------------------------------------------------------- */

static void stop_when_drained(void *arg)
{
    struct daemon *d = arg;
    if (d->hooks->drained == NULL || d->hooks->drained(d->self))
        loop_stop(d->loop);
    else
        timer_set(d->poll, DRAIN_POLL_MS);
}

static void grace_over(void *arg)
{
    struct daemon *d = arg;
    log_warn("daemon.grace_over", "grace_ms=%" PRIu64, d->opts->grace_ms);
    loop_stop(d->loop);
}

static void on_terminate(void *arg)
{
    struct daemon *d = arg;
    if (d->draining) {
        log_warn("daemon.second_signal", "action=stop");
        loop_stop(d->loop);
        return;
    }
    d->draining = true;
    metric_set(&d->metrics.draining, 1);
    log_info("daemon.draining", "grace_ms=%" PRIu64, d->opts->grace_ms);
    notify_send("STOPPING=1\nSTATUS=finishing what is in flight");
    timer_set(d->grace, d->opts->grace_ms);
    if (d->hooks->drain != NULL)
        d->hooks->drain(d->self);
    stop_when_drained(d);
}

/* Every problem is a line of its own. */
static void reject(struct daemon *d, struct span problems)
{
    struct log_scratch scratch;
    struct span rest = problems, line;
    metric_inc(&d->metrics.rejected);
    while (rest.len > 0) {
        (void)span_cut(rest, '\n', &line, &rest);
        if (line.len > 0)
            log_error("config.rejected", "problem=%s", log_text(&scratch, line));
    }
    reload_tell(config_root(d->conf)->data_dir, d->hooks->program, false, problems);
}

static void log_restart_keys(struct span keys)
{
    struct span key;
    while (keys.len > 0) {
        (void)span_cut(keys, '\n', &key, &keys);
        if (key.len > 0)
            log_warn("config.needs_restart", "key=" SPAN_FMT, SPAN_ARG(key));
    }
}

static void take_over(struct daemon *d, struct config *next)
{
    struct buf keys;
    struct log_scratch scratch;
    struct errctx ec = {""};
    enum err e = d->hooks->reload == NULL ? ERR_OK : d->hooks->reload(d->self, next, &ec);
    if (e != ERR_OK) {
        reject(d, span_cstr(ec.msg[0] != '\0' ? ec.msg : err_text(e)));
        return;
    }
    buf_init(&keys, RELOAD_TEXT_MAX);
    if (config_restart_needed(d->conf, next, &keys) != ERR_OK)
        buf_clear(&keys);
    log_set_threshold((enum log_level)config_root(next)->log.level);
    metric_inc(&d->metrics.reloads);
    log_info("config.reloaded", "path=%s", log_text(&scratch, span_cstr(d->opts->config_path)));
    log_restart_keys(buf_span(&keys));
    reload_tell(config_root(d->conf)->data_dir, d->hooks->program, true, buf_span(&keys));
    buf_done(&keys);
}

static void notify_reloading(const struct daemon *d)
{
    char state[64];
    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, loop_now(d->loop) * 1000);
    notify_send(state);
}

/* A file that is written over in place is empty for a moment; with all defaults, all mail would be refused.
 */
static enum err load_next(struct daemon *d, struct config **ret, struct buf *problems, struct errctx *ec)
{
    enum err e = config_load(d->opts->config_path, environ, ret, problems, ec);
    if (e != ERR_OK || !config_is_empty(*ret) || config_is_empty(d->conf))
        return e;
    config_unref(*ret);
    e = err_set(ec, ERR_CONFIG, "%s: is empty: nothing is changed; reload again when it is written",
                d->opts->config_path);
    return buf_addf(problems, "%s\n", ec->msg) == ERR_OK ? e : ERR_NOMEM;
}

static void on_hangup(void *arg)
{
    struct daemon *d = arg;
    struct config *next = NULL;
    struct errctx ec = {""};
    struct buf problems;
    if (d->draining || d->opts->config_path == NULL)
        return;
    notify_reloading(d);
    buf_init(&problems, 1 << 20);
    if (load_next(d, &next, &problems, &ec) != ERR_OK) {
        reject(d, problems.len > 0 ? buf_span(&problems) : span_cstr(ec.msg));
    } else {
        take_over(d, next);
        config_unref(next);
    }
    buf_done(&problems);
    notify_send("READY=1\nSTATUS=running");
}

static void on_watchdog(void *arg)
{
    struct daemon *d = arg;
    notify_send("WATCHDOG=1");
    timer_set(d->watchdog, d->watchdog_ms);
}

static void on_look(void *arg)
{
    struct daemon *d = arg;
    struct buf why, warnings;
    if (d->draining)
        return;
    buf_init(&why, HEALTH_TEXT_MAX);
    buf_init(&warnings, HEALTH_TEXT_MAX);
    bool ready = d->hooks->ready == NULL || d->hooks->ready(d->self, &why);
    if (d->hooks->warnings != NULL && d->hooks->warnings(d->self, &warnings) != ERR_OK)
        buf_clear(&warnings);
    health_look(&d->health, loop_now(d->loop), ready, buf_span(&why), buf_span(&warnings));
    buf_done(&why);
    buf_done(&warnings);
    timer_set(d->look, HEALTH_MS);
}

/* --- life ------------------------------------------------------------------------------------ */

/* `bridgehead run` blocks it from before exec to here: one that came meanwhile is heard now. */
static void let_hangup_in(void)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    (void)pthread_sigmask(SIG_UNBLOCK, &hangup, NULL);
}

static enum err open_events(struct daemon *d, struct errctx *ec)
{
    d->terminate = watch_signal(d->loop, SIGTERM, on_terminate, d);
    d->interrupt = watch_signal(d->loop, SIGINT, on_terminate, d);
    d->hangup = watch_signal(d->loop, SIGHUP, on_hangup, d);
    d->poll = timer_new(d->loop, stop_when_drained, d);
    d->grace = timer_new(d->loop, grace_over, d);
    d->watchdog = timer_new(d->loop, on_watchdog, d);
    d->look = timer_new(d->loop, on_look, d);
    d->watchdog_ms = notify_watchdog_ms();
    if (d->terminate == NULL || d->interrupt == NULL || d->hangup == NULL || d->poll == NULL ||
        d->grace == NULL || d->watchdog == NULL || d->look == NULL)
        return err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    let_hangup_in();
    if (d->watchdog_ms > 0)
        timer_set(d->watchdog, d->watchdog_ms);
    return ERR_OK;
}

static void close_events(struct daemon *d)
{
    http_close(d->http);
    timer_free(d->look);
    timer_free(d->watchdog);
    timer_free(d->grace);
    timer_free(d->poll);
    watch_free(d->hangup);
    watch_free(d->interrupt);
    watch_free(d->terminate);
}

/* A login shell grants 1,024 descriptors, for the sake of programs that use select(), and as many more as are
 * asked for. Returns how many there are. */
static uint64_t take_descriptors(void)
{
    struct rlimit have, want;
    if (getrlimit(RLIMIT_NOFILE, &have) != 0)
        return 0;
    want = have;
    want.rlim_cur = have.rlim_max < DESCRIPTORS_MAX ? have.rlim_max : DESCRIPTORS_MAX;
    if (want.rlim_cur <= have.rlim_cur || setrlimit(RLIMIT_NOFILE, &want) != 0)
        return have.rlim_cur;
    return want.rlim_cur;
}

static void notify_failed(const char *why)
{
    char state[sizeof "STATUS=cannot start: " + sizeof(struct errctx)];
    (void)snprintf(state, sizeof state, "STATUS=cannot start: %s", why);
    notify_send(state);
}

int daemon_run(struct loop *l, struct config *conf, const struct daemon_options *opts,
               const struct daemon_hooks *hooks, void *self)
{
    struct daemon d = {.loop = l, .conf = conf, .opts = opts, .hooks = hooks, .self = self};
    struct log_scratch scratch;
    struct errctx ec = {""};
    (void)signal(SIGPIPE, SIG_IGN);
    uint64_t descriptors = take_descriptors();
    metric_set(&d.metrics.started_s, clock_wall(&clock_system) / 1000);
    enum err e = open_events(&d, &ec);
    if (e == ERR_OK)
        e = open_http(&d, &ec);
    if (e == ERR_OK)
        e = hooks->start(self, &ec);
    if (e != ERR_OK) {
        log_error("daemon.failed", "error=%s why=%s", err_name(e), log_text(&scratch, span_cstr(ec.msg)));
        notify_failed(ec.msg);
        reload_tell(config_root(conf)->data_dir, hooks->program, false, span_cstr(ec.msg));
        close_events(&d);
        return DAEMON_CANNOT_START;
    }
    log_info("daemon.started", "version=%s pid=%d descriptors=%" PRIu64, BRIDGEHEAD_VERSION, (int)getpid(),
             descriptors);
    health_init(&d.health, loop_now(l));
    timer_set(d.look, HEALTH_MS);
    notify_send("READY=1\nSTATUS=running");
    loop_run(l);
    notify_send("STOPPING=1\nSTATUS=stopping");
    hooks->stop(self);
    close_events(&d);
    health_done(&d.health);
    log_info("daemon.stopped", "drained=%s", d.draining ? "yes" : "no");
    return 0;
}
