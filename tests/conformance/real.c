#include "tests/conformance/real.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TURN_MS = 1, READY_TURNS = 20000 };

struct redis_server real_server;

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static struct config *configure(const struct real *r)
{
    char yaml[1024];
    struct config *conf;
    struct errctx ec = {""};
    (void)snprintf(
        yaml, sizeof yaml,
        "redis: {url: \"%s\", namespace: %s, partitions: %d, durability: \"%s\", command_timeout: 500ms}\n"
        "worker: {lease: %ums}\n"
        "virtual_servers: [{name: default, listen: [\"127.0.0.1:2525\"], hostname: mx.example.org}]\n",
        r->url, r->namespace, WORLD_PARTITIONS, r->durability, r->lease_ms);
    if (config_parse(span_cstr(yaml), "test", "/tmp", NULL, &conf, NULL, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    return conf;
}

int real_setup_with(struct world *w, const char *url, const char *durability, unsigned lease_ms)
{
    static unsigned tests;
    static char unix_url[128];
    struct real *r = calloc(1, sizeof *r);
    struct errctx ec = {""};
    if (r == NULL)
        return -1;
    (void)snprintf(unix_url, sizeof unix_url, "unix://%s", real_server.socket);
    (void)snprintf(r->namespace, sizeof r->namespace, "t%u", ++tests);
    r->url = url == NULL ? unix_url : url;
    r->durability = durability == NULL ? "fsync" : durability;
    r->lease_ms = lease_ms;
    r->conf = configure(r);
    w->own = r;
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        r->loop[i] = loop_new();
        r->stop[i] = timer_new(r->loop[i], stop_loop, r->loop[i]);
        if (store_redis_open(r->loop[i], r->conf, &w->store[i], &ec) != ERR_OK)
            fail_msg("%s", ec.msg);
    }
    real_wait_ready(w);
    return 0;
}

int real_setup(struct world *w)
{
    return real_setup_with(w, NULL, NULL, 1500);
}

void real_turn(struct world *w)
{
    struct real *r = w->own;
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        if (r->frozen[i] || w->store[i] == NULL)
            continue;
        timer_set(r->stop[i], TURN_MS);
        loop_run(r->loop[i]);
    }
}

void real_wait_ready(struct world *w)
{
    struct buf why;
    buf_init(&why, 4096);
    for (int turns = 0;; turns++) {
        bool ready = true;
        for (size_t i = 0; i < WORLD_CLIENTS; i++) {
            buf_clear(&why);
            ready = ready && (w->store[i] == NULL || store_ready(w->store[i], &why));
        }
        if (ready)
            break;
        if (turns == READY_TURNS)
            fail_msg("not ready: %s", buf_cstr(&why));
        real_turn(w);
    }
    buf_done(&why);
}

void real_close(struct world *w, size_t client)
{
    store_free(w->store[client]);
    w->store[client] = NULL;
}

void real_freeze(struct world *w, size_t client, bool frozen)
{
    ((struct real *)w->own)->frozen[client] = frozen;
}

bool real_prove(const struct world *w)
{
    const struct real *r = w->own;
    int status = 1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execlp("python3", "python3", TESTS_DIR "/conformance/lua/prove.py", real_server.socket,
                     r->namespace, NULL);
        _exit(127);
    }
    (void)waitpid(pid, &status, 0);
    return status == 0;
}

int real_teardown(struct world *w)
{
    struct real *r = w->own;
    if (r == NULL)
        return 0;
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        real_close(w, i);
        timer_free(r->stop[i]);
        loop_free(r->loop[i]);
    }
    bool proved = real_prove(w);
    config_unref(r->conf);
    free(r);
    if (!proved)
        print_error("the store's invariants are broken: see above\n");
    return proved ? 0 : -1;
}
