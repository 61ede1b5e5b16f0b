#include "cli/supervisor.h"

#include "cli/cli.h"
#include "cli/embedded_redis.h"
#include "common/io/conn.h"
#include "common/io/daemon.h"
#include "common/io/loop.h"
#include "common/io/reload.h"
#include "common/log.h"
#include "router/router.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 10000,
    HEALTHY_MS = 30000, /* a child that ran this long starts with a short pause again */
    PING_EVERY_MS = 50,
    LOCK_WAIT_MS = 20000,
    KILL_SLACK_MS = 10000, /* beyond the grace periods of the daemons */
    SAME_SIGNAL_MS = 200,  /* timeout(1) sends it to us and to our group: nobody is in a hurry by that */
    START_TRIES = 6,       /* with the pauses between them: 3 s */
    NOT_EXECUTED = 127,
};
_Static_assert((int)DAEMON_CANNOT_START == (int)CLI_START, "children and we say it alike");
enum child_state {
    CHILD_WAITING,
    CHILD_STARTING,
    CHILD_RUNNING,
    CHILD_BACKOFF,
    CHILD_STOPPING,
    CHILD_STOPPED
};
enum child_id { CHILD_REDIS, CHILD_NODE, CHILD_WORKER, CHILD_ROUTER, CHILD__COUNT };

static const struct {
    const char *name;
    int stop_stage; /* SIGTERM reaches the stages one after the other */
} children[CHILD__COUNT] = {
    [CHILD_REDIS] = {"redis", 2},
    [CHILD_NODE] = {"node", 0},
    [CHILD_WORKER] = {"worker", 1},
    [CHILD_ROUTER] = {"router", 1},
};
enum { STOP_STAGES = 3 };

struct supervisor;
struct child {
    struct supervisor *sup;
    enum child_id id;
    enum child_state state;
    pid_t pid;
    bool began;        /* its work, once */
    unsigned refusals; /* starts in a row that it said were in vain */
    ms_t started_ms, backoff_ms;
    struct timer *timer;
};
struct supervisor {
    struct loop *loop;
    const struct conf_root *conf;
    const char *config_path;
    bool embedded, stopping;
    ms_t stopping_ms; /* since then */
    int stage, lock_fd, code;
    pid_t self;
    struct buf redis_socket, redis_conf;
    struct child child[CHILD__COUNT];
    struct conn *ping;
    struct timer *ping_timer, *kill_timer;
};

static void child_start(struct child *c);

static void run_file(const struct supervisor *s, const char *name, struct buf *out)
{
    (void)!buf_addf(out, "%s/run/%s.pid", s->conf->data_dir, name);
}

/* For people and for `bridgehead reload`: who runs. */
static void write_pid(const struct supervisor *s, const char *name, pid_t pid)
{
    struct buf path;
    buf_init(&path, 8192);
    run_file(s, name, &path);
    int fd = pid == 0 ? -1 : open(buf_cstr(&path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0) {
        (void)!dprintf(fd, "%ld\n", (long)pid);
        (void)close(fd);
    } else if (pid == 0) {
        (void)unlink(buf_cstr(&path));
    }
    buf_done(&path);
}

/* The only writer of state. */
static void child_enter(struct child *c, enum child_state next)
{
    static const char *const names[] = {"waiting", "starting", "running", "backoff", "stopping", "stopped"};
    c->state = next;
    log_info("run.child", "child=%s state=%s pid=%ld", children[c->id].name, names[next], (long)c->pid);
}

static void exec_child(const struct child *c)
{
    const struct supervisor *s = c->sup;
    sigset_t blocked;
    sigemptyset(&blocked);
    if (c->id != CHILD_REDIS) /* it would end a daemon that does not listen yet; daemon_run() lets it in */
        sigaddset(&blocked, SIGHUP);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != s->self) /* gone before that took effect */
        _exit(NOT_EXECUTED);
    if (c->id == CHILD_REDIS) {
        (void)fcntl(s->lock_fd, F_SETFD, 0); /* the lock lasts as long as Redis does */
        (void)setpgid(0, 0);                 /* Ctrl-C is for us: Redis must outlive the worker */
        (void)execlp("redis-server", "redis-server", buf_cstr(&s->redis_conf), (char *)NULL);
        (void)execlp("valkey-server", "valkey-server", buf_cstr(&s->redis_conf), (char *)NULL);
    } else {
        (void)setpgid(0, 0);
        (void)execl("/proc/self/exe", "bridgehead", "-c", s->config_path, children[c->id].name, (char *)NULL);
    }
    log_error("run.exec", "child=%s reason='%s%s'", children[c->id].name, strerror(errno),
              c->id == CHILD_REDIS ? ": install redis-server or valkey-server, or name another redis.url"
                                   : "");
    _exit(NOT_EXECUTED);
}

static void child_start(struct child *c)
{
    if (c->sup->stopping || (c->id == CHILD_ROUTER && !router_wanted(c->sup->conf)))
        return;
    log_flush(); /* else the child has those lines too */
    pid_t pid = fork();
    if (pid == 0)
        exec_child(c);
    c->started_ms = loop_now(c->sup->loop);
    if (pid < 0) {
        log_error("run.fork", "child=%s reason='%s'", children[c->id].name, strerror(errno));
        timer_set(c->timer, BACKOFF_MAX_MS);
        return;
    }
    c->pid = pid;
    write_pid(c->sup, children[c->id].name, pid);
    child_enter(c, c->id == CHILD_REDIS ? CHILD_STARTING : CHILD_RUNNING);
    if (c->id == CHILD_REDIS)
        timer_set(c->sup->ping_timer, PING_EVERY_MS);
}

static void on_backoff(void *arg)
{
    child_start(arg);
}

/* --- Redis answers ------------------------------------------------------------------------------------- */

static void ping_end(struct supervisor *s)
{
    conn_free(s->ping);
    s->ping = NULL;
    if (s->child[CHILD_REDIS].state == CHILD_STARTING)
        timer_set(s->ping_timer, PING_EVERY_MS);
}

static void ping_opened(void *arg)
{
    struct supervisor *s = arg;
    (void)!conn_write(s->ping, SPAN("PING\r\n"));
}

static size_t ping_received(void *arg, struct span bytes)
{
    struct supervisor *s = arg;
    if (span_has_prefix(bytes, SPAN("+PONG")) && s->child[CHILD_REDIS].state == CHILD_STARTING) {
        child_enter(&s->child[CHILD_REDIS], CHILD_RUNNING);
        s->child[CHILD_REDIS].began = true;
        for (int i = CHILD_REDIS + 1; i < CHILD__COUNT; i++)
            if (s->child[i].state == CHILD_WAITING)
                child_start(&s->child[i]);
    }
    ping_end(s); /* -LOADING: the append-only file is being read; ask again */
    return bytes.len;
}

static void ping_closed(void *arg, enum err e, const char *why)
{
    (void)e;
    (void)why;
    ping_end(arg);
}

static const struct conn_ops ping_ops = {
    .opened = ping_opened, .received = ping_received, .closed = ping_closed};

static void on_ping_timer(void *arg)
{
    struct supervisor *s = arg;
    struct conn_target target = {.unix_path = buf_cstr(&s->redis_socket), .timeout_ms = 1000};
    if (s->ping != NULL || s->child[CHILD_REDIS].state != CHILD_STARTING)
        return;
    if (conn_connect(s->loop, &target, &ping_ops, s, &s->ping, NULL) != ERR_OK)
        timer_set(s->ping_timer, PING_EVERY_MS);
}

/* --- ends ----------------------------------------------------------------------------------------------- */

static bool running(const struct child *c)
{
    return c->pid != 0;
}

/* SIGTERM to the children of the current stage; to the next one when none of it is left. */
static void stop_step(struct supervisor *s)
{
    for (; s->stage < STOP_STAGES; s->stage++) {
        bool left = false;
        for (int i = 0; i < CHILD__COUNT; i++) {
            struct child *c = &s->child[i];
            if (children[i].stop_stage != s->stage || !running(c))
                continue;
            left = true;
            if (c->state != CHILD_STOPPING) {
                child_enter(c, CHILD_STOPPING);
                (void)kill(c->pid, SIGTERM);
            }
        }
        if (left) {
            ms_t grace = s->conf->node.grace_ms > s->conf->delivery.grace_ms ? s->conf->node.grace_ms
                                                                             : s->conf->delivery.grace_ms;
            timer_set(s->kill_timer, ms_after(grace, KILL_SLACK_MS));
            return;
        }
    }
    loop_stop(s->loop);
}

static void on_kill_timer(void *arg)
{
    struct supervisor *s = arg;
    for (int i = 0; i < CHILD__COUNT; i++) {
        if (s->child[i].state != CHILD_STOPPING || !running(&s->child[i]))
            continue;
        log_warn("run.kill", "child=%s pid=%ld reason='did not stop in time'", children[i].name,
                 (long)s->child[i].pid);
        (void)kill(s->child[i].pid, SIGKILL);
    }
}

static void stop_all(struct supervisor *s)
{
    s->stopping = true;
    s->stopping_ms = loop_now(s->loop);
    for (int i = 0; i < CHILD__COUNT; i++)
        timer_cancel(s->child[i].timer);
    stop_step(s);
}

/* --- starts in vain -------------------------------------------------------------------------------- */

/* It said itself that it cannot start, which another start does not change. Redis has one code for every end;
 * it has begun when it has answered. */
static bool start_refused(struct child *c, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    bool refused =
        code == NOT_EXECUTED || (c->id == CHILD_REDIS ? code != 0 : code == CLI_CONFIG || code == CLI_START);
    c->began = c->began || !refused;
    c->refusals = c->began ? 0 : c->refusals + 1;
    return c->refusals >= START_TRIES;
}

static enum err add_reason(const struct supervisor *s, const struct child *c, int code, struct buf *out)
{
    struct buf path, told;
    struct span why = SPAN(""), rest;
    buf_init(&path, 8192);
    buf_init(&told, RELOAD_TEXT_MAX + 1);
    if (code == CLI_START && reload_path(s->conf->data_dir, children[c->id].name, &path) == ERR_OK)
        reload_read(buf_cstr(&path), &told);
    if (span_cut(buf_span(&told), '\n', &rest, &why))
        (void)span_cut(why, '\n', &why, &rest);
    else if (code == NOT_EXECUTED)
        why = SPAN("its program cannot be executed");
    else if (code == CLI_CONFIG && c->id != CHILD_REDIS)
        why = SPAN("the configuration is wrong");
    enum err e = why.len > 0 ? buf_add(out, why)
                 : c->id == CHILD_REDIS
                     ? buf_addf(out, "see what it wrote here, and %s/redis/redis.log", s->conf->data_dir)
                     : buf_add(out, SPAN("its log says why"));
    buf_done(&path);
    buf_done(&told);
    return e;
}

static void give_up(struct child *c, int status)
{
    struct supervisor *s = c->sup;
    struct buf why;
    struct log_scratch scratch;
    buf_init(&why, RELOAD_TEXT_MAX);
    if (add_reason(s, c, WEXITSTATUS(status), &why) != ERR_OK)
        buf_clear(&why);
    log_error("run.gave_up", "child=%s tries=%u reason=%s", children[c->id].name, c->refusals,
              log_text(&scratch, buf_span(&why)));
    buf_done(&why);
    s->code = WEXITSTATUS(status) == CLI_CONFIG && c->id != CHILD_REDIS ? CLI_CONFIG : CLI_START;
    child_enter(c, CHILD_STOPPED);
    stop_all(s);
}

static void child_ended(struct child *c, int status)
{
    struct supervisor *s = c->sup;
    if (WIFSIGNALED(status))
        log_warn("run.ended", "child=%s pid=%ld signal=%d", children[c->id].name, (long)c->pid,
                 WTERMSIG(status));
    else
        log_info("run.ended", "child=%s pid=%ld code=%d", children[c->id].name, (long)c->pid,
                 WEXITSTATUS(status));
    c->pid = 0;
    write_pid(s, children[c->id].name, 0);
    if (s->stopping) {
        child_enter(c, CHILD_STOPPED);
        stop_step(s);
        return;
    }
    if (start_refused(c, status)) {
        give_up(c, status);
        return;
    }
    bool healthy = loop_now(s->loop) - c->started_ms >= HEALTHY_MS;
    c->backoff_ms = healthy || c->backoff_ms == 0 ? BACKOFF_FIRST_MS : c->backoff_ms * 2;
    if (c->backoff_ms > BACKOFF_MAX_MS)
        c->backoff_ms = BACKOFF_MAX_MS;
    child_enter(c, CHILD_BACKOFF);
    timer_set(c->timer, c->backoff_ms);
}

static void on_sigchld(void *arg)
{
    struct supervisor *s = arg;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (int i = 0; i < CHILD__COUNT; i++)
            if (s->child[i].pid == pid)
                child_ended(&s->child[i], status);
}

static void on_sigterm(void *arg)
{
    struct supervisor *s = arg;
    if (s->stopping) { /* the second one: at once */
        if (loop_now(s->loop) - s->stopping_ms >= SAME_SIGNAL_MS)
            on_kill_timer(s);
        return;
    }
    stop_all(s);
}

static void on_sighup(void *arg)
{
    struct supervisor *s = arg;
    for (int i = CHILD_REDIS + 1; i < CHILD__COUNT; i++)
        if (running(&s->child[i]))
            (void)kill(s->child[i].pid, SIGHUP);
}

/* --- life ----------------------------------------------------------------------------------------------- */

/* Held by us and by an embedded Redis: after a kill -9 of either, a new start waits until the other has gone,
 * too. Two of us would write over each other's files of who runs, whatever their Redis is. */
static enum err take_lock(struct supervisor *s, struct errctx *ec)
{
    struct buf path;
    struct log_scratch scratch;
    buf_init(&path, 8192);
    enum err e = buf_addf(&path, "%s/run/lock", s->conf->data_dir);
    s->lock_fd = e == ERR_OK ? open(buf_cstr(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (s->lock_fd < 0)
        e = err_set(ec, ERR_IO, "cannot open '%s': %s", buf_cstr(&path), strerror(errno));
    for (ms_t waited = 0; e == ERR_OK && flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0; waited += 100) {
        if (waited == 0)
            log_info("run.lock", "data_dir=%s wait='another bridgehead run, or its Redis, still uses it'",
                     log_text(&scratch, span_cstr(s->conf->data_dir)));
        if (waited >= LOCK_WAIT_MS)
            e = err_set(ec, ERR_EXISTS,
                        "'%s' is in use by another `bridgehead run`; stop it, or set another data_dir",
                        s->conf->data_dir);
        (void)usleep(100000);
    }
    buf_done(&path);
    return e;
}

static enum err prepare(struct supervisor *s, struct errctx *ec)
{
    struct buf run;
    buf_init(&run, 8192);
    enum err e = buf_addf(&run, "%s/run", s->conf->data_dir);
    if (e == ERR_OK)
        e = make_directories(buf_cstr(&run), 0755, ec);
    buf_done(&run);
    if (e == ERR_OK)
        e = take_lock(s, ec);
    if (e == ERR_OK && s->embedded)
        e = embedded_redis_socket(s->conf, &s->redis_socket, ec);
    if (e == ERR_OK && s->embedded)
        e = embedded_redis_prepare(s->conf, &s->redis_conf, ec);
    return e;
}

static bool timers_new(struct supervisor *s)
{
    bool ok = true;
    for (int i = 0; i < CHILD__COUNT; i++) {
        s->child[i] = (struct child){.sup = s, .id = (enum child_id)i};
        s->child[i].timer = timer_new(s->loop, on_backoff, &s->child[i]);
        ok = ok && s->child[i].timer != NULL;
    }
    s->ping_timer = timer_new(s->loop, on_ping_timer, s);
    s->kill_timer = timer_new(s->loop, on_kill_timer, s);
    return ok && s->ping_timer != NULL && s->kill_timer != NULL;
}

static void run_loop(struct supervisor *s)
{
    const struct {
        int signo;
        loop_fn *fn;
    } signals[] = {{SIGTERM, on_sigterm}, {SIGINT, on_sigterm}, {SIGHUP, on_sighup}, {SIGCHLD, on_sigchld}};
    struct watch *watches[ARRAY_LEN(signals)] = {NULL};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        watches[i] = watch_signal(s->loop, signals[i].signo, signals[i].fn, s);
    write_pid(s, "run", getpid());
    for (int i = s->embedded ? CHILD_REDIS : CHILD_NODE; i < (s->embedded ? CHILD_REDIS + 1 : CHILD__COUNT);
         i++)
        child_start(&s->child[i]);
    loop_run(s->loop);
    write_pid(s, "run", 0);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        watch_free(watches[i]);
}

int supervisor_run(struct config *conf, const char *config_path)
{
    struct supervisor s = {
        .conf = config_root(conf), .config_path = config_path, .lock_fd = -1, .self = getpid()};
    struct errctx ec = {""};
    struct log_scratch scratch;
    buf_init(&s.redis_socket, 4096);
    buf_init(&s.redis_conf, 8192);
    s.embedded = span_eq(span_cstr(s.conf->redis.url), SPAN("embedded"));
    s.loop = loop_new();
    if (s.loop == NULL || !timers_new(&s)) {
        log_error("run.start", "reason='out of memory'");
        s.code = 1;
    } else if (prepare(&s, &ec) != ERR_OK) {
        log_error("run.start", "reason=%s", log_text(&scratch, span_cstr(ec.msg)));
        s.code = CLI_START;
    } else {
        run_loop(&s);
    }
    for (int i = 0; i < CHILD__COUNT; i++)
        timer_free(s.child[i].timer);
    timer_free(s.ping_timer);
    timer_free(s.kill_timer);
    conn_free(s.ping);
    loop_free(s.loop);
    if (s.lock_fd >= 0)
        (void)close(s.lock_fd);
    buf_done(&s.redis_socket);
    buf_done(&s.redis_conf);
    return s.code;
}
