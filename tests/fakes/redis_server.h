/* tests/fakes/redis_server.h — a real redis-server of the test's own, on a unix socket in a directory of its
 * own; both end with the test, whatever it dies of. Failing to start fails the test (skip it with
 * redis_server_available()). */
#pragma once
#include "common/attr.h"

#include <sys/types.h>

struct redis_server {
    pid_t pid;
    char dir[64], socket[96], log[96];
    uint16_t port; /* 0: unix socket only */
    const char *const *options;
    pid_t janitor; /* removes the directory when the test dies; lives as long as `alive` is open */
    int alive;
};
bool redis_server_available(void);
/* options: "--appendonly", "yes", ..., NULL; NULL: durable (AOF, fsync always). tcp: also on a loopback port.
 */
void redis_server_start(struct redis_server *s, const char *const *options, bool tcp);
void redis_server_kill(struct redis_server *s);    /* kill -9, and waits for the end */
void redis_server_restart(struct redis_server *s); /* after kill: same directory, socket and port */
void redis_server_signal(struct redis_server *s, int signo);
void redis_server_stop(struct redis_server *s); /* kills and removes the directory; idempotent */
/* Asks and waits; the reply as text ("" for nil), at most size - 1 bytes. */
void redis_server_ask(struct redis_server *s, char *out, size_t size, const char *const *argv);
#define REDIS_ASK(s, out, ...)                                                                               \
    redis_server_ask((s), (out), sizeof(out), (const char *const[]){__VA_ARGS__, NULL})

/* A Sentinel that watches `master`, quorum 1, down-after 500 ms. */
void redis_sentinel_start(struct redis_server *s, const struct redis_server *master, const char *name);
