#include "tests/fakes/redis_server.h"

#include "common/span.h"
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 64, STARTING_MS = 20000, STEP_MS = 5 };

static const char *const durable[] = {"--appendonly", "yes", "--appendfsync", "always", "--save", "", NULL};

bool redis_server_available(void)
{
    return system("command -v redis-server >/dev/null 2>&1") == 0;
}

/* A port that is free now, below those that the system hands out to whoever connects: the server must get it
 * again when it was killed, and a client that looks for it meanwhile must not find itself there. */
static uint16_t free_port(void)
{
    enum { FIRST = 10000, PORTS = 12000, PROCESS_STEP = 61 };
    static unsigned given;
    for (unsigned tries = 0; tries < PORTS; tries++) {
        unsigned port = FIRST + ((unsigned)getpid() * PROCESS_STEP + given++) % PORTS;
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        bool free_now = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
        (void)close(fd);
        if (free_now)
            return (uint16_t)port;
    }
    fail_msg("no port of 127.0.0.1 is free from %d to %d", FIRST, FIRST + PORTS - 1);
    return 0;
}

static void run_child(struct redis_server *s, const char *const *argv)
{
    pid_t parent = getpid();
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid > 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (getppid() != parent || log < 0)
        _exit(1);
    (void)dup2(log, 1);
    (void)dup2(log, 2);
    (void)execvp("redis-server", (char *const *)(uintptr_t)argv);
    _exit(127);
}

static redisContext *open_context(const struct redis_server *s)
{
    struct timeval patience = {.tv_sec = 5};
    redisContext *c = s->socket[0] != '\0' ? redisConnectUnixWithTimeout(s->socket, patience)
                                           : redisConnectWithTimeout("127.0.0.1", s->port, patience);
    if (c != NULL && c->err == 0) {
        (void)redisSetTimeout(c, patience);
        return c;
    }
    if (c != NULL)
        redisFree(c);
    return NULL;
}

static bool answers(const struct redis_server *s)
{
    redisContext *c = open_context(s);
    if (c == NULL)
        return false;
    redisReply *r = redisCommand(c, "PING");
    bool ok = r != NULL && (r->type == REDIS_REPLY_STATUS || strncmp(r->str, "NOAUTH", 6) == 0);
    if (r != NULL)
        freeReplyObject(r);
    redisFree(c);
    return ok;
}

static void wait_until_up(struct redis_server *s)
{
    struct timespec step = {.tv_nsec = STEP_MS * 1000000};
    for (int waited = 0; waited < STARTING_MS; waited += STEP_MS) {
        int status;
        if (waitpid(s->pid, &status, WNOHANG) == s->pid)
            fail_msg("redis-server ended at once, see %s", s->log);
        if (answers(s))
            return;
        (void)nanosleep(&step, NULL);
    }
    fail_msg("redis-server does not answer, see %s", s->log);
}

static void launch(struct redis_server *s)
{
    char port[16];
    const char *argv[ARGS_MAX] = {
        "redis-server", "--port", port,        "--unixsocket",           s->socket, "--dir",
        s->dir,         "--bind", "127.0.0.1", "--enable-debug-command", "local"};
    size_t n = 11;
    (void)snprintf(port, sizeof port, "%u", s->port);
    for (const char *const *o = s->options; *o != NULL && n < ARGS_MAX - 1; o++)
        argv[n++] = *o;
    run_child(s, argv);
    wait_until_up(s);
}

/* Removes the directory when the test has ended without doing so, of whatever it died: its end of the pipe is
 * closed then. The server dies at the same time and may still write. */
static void start_janitor(struct redis_server *s)
{
    static const char script[] = "read -r x; for i in 1 2 3 4 5 6 7 8 9; do rm -rf \"$0\" 2>/dev/null; "
                                 "sleep 0.2; [ -e \"$0\" ] || exit 0; done";
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    s->janitor = fork();
    assert_true(s->janitor >= 0);
    if (s->janitor == 0) {
        (void)setsid(); /* what ends the test by its process group leaves it alone */
        (void)dup2(ends[0], 0);
        (void)close_range(3, ~0U, 0);
        (void)execl("/bin/sh", "sh", "-c", script, s->dir, NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    s->alive = ends[1];
}

static void make_dir(struct redis_server *s)
{
    *s = (struct redis_server){.dir = "/tmp/bh-redis-XXXXXX"};
    assert_non_null(mkdtemp(s->dir));
    start_janitor(s);
    (void)snprintf(s->log, sizeof s->log, "%s/log", s->dir);
}

void redis_server_start(struct redis_server *s, const char *const *options, bool tcp)
{
    make_dir(s);
    (void)snprintf(s->socket, sizeof s->socket, "%s/redis.sock", s->dir);
    s->port = tcp ? free_port() : 0;
    s->options = options == NULL ? durable : options;
    launch(s);
}

void redis_server_kill(struct redis_server *s)
{
    if (s->pid <= 0)
        return;
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

void redis_server_restart(struct redis_server *s)
{
    redis_server_kill(s);
    (void)unlink(s->socket);
    launch(s);
}

void redis_server_signal(struct redis_server *s, int signo)
{
    assert_int_equal(kill(s->pid, signo), 0);
}

static void remove_tree(const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (unlink(path) != 0)
            remove_tree(path);
    }
    (void)closedir(d);
    (void)rmdir(dir);
}

void redis_server_stop(struct redis_server *s)
{
    redis_server_kill(s);
    if (s->dir[0] == '\0')
        return;
    (void)kill(s->janitor, SIGKILL);
    (void)waitpid(s->janitor, NULL, 0);
    (void)close(s->alive);
    remove_tree(s->dir);
    s->dir[0] = '\0';
}

void redis_server_ask(struct redis_server *s, char *out, size_t size, const char *const *argv)
{
    redisContext *c = open_context(s);
    int argc = 0;
    assert_non_null(c);
    while (argv[argc] != NULL)
        argc++;
    redisReply *r = redisCommandArgv(c, argc, (const char **)(uintptr_t)argv, NULL);
    assert_non_null(r);
    if (r->type == REDIS_REPLY_INTEGER)
        (void)snprintf(out, size, "%lld", r->integer);
    else
        (void)snprintf(out, size, "%s", r->str == NULL ? "" : r->str);
    freeReplyObject(r);
    redisFree(c);
}

void redis_sentinel_start(struct redis_server *s, const struct redis_server *master, const char *name)
{
    char conf[128];
    make_dir(s);
    s->port = free_port();
    (void)snprintf(conf, sizeof conf, "%s/sentinel.conf", s->dir);
    FILE *f = fopen(conf, "w");
    assert_non_null(f);
    (void)fprintf(f,
                  "port %u\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %u 1\n"
                  "sentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 3000\n",
                  s->port, s->dir, name, master->port, name, name);
    assert_int_equal(fclose(f), 0);
    run_child(s, (const char *const[]){"redis-server", conf, "--sentinel", NULL});
    wait_until_up(s);
}
