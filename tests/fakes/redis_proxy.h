/* tests/fakes/redis_proxy.h — stands between a client and its Redis, on a unix socket, and cuts connections
 * at the byte: in the middle of a command, behind it, in the middle of its reply. A thread of its own. */
#pragma once
#include "common/attr.h"

#include <pthread.h>

enum redis_proxy_way { TO_SERVER, TO_CLIENT };
struct redis_proxy {
    char socket[96], server[96];
    int listener, wake[2];
    pthread_t thread;
    pthread_mutex_t lock; /* for what follows */
    uint64_t passed[2];   /* bytes, by way */
    uint64_t cut_at[2];   /* cut the connection that carries this byte; 0: never */
    unsigned cuts;
    bool stop, refuse, silent;
};
void redis_proxy_start(struct redis_proxy *p, const char *server_socket);
void redis_proxy_stop(struct redis_proxy *p);
/* The connection that carries the nth byte from now on in this direction ends before it; once. */
void redis_proxy_cut(struct redis_proxy *p, enum redis_proxy_way way, uint64_t nth);
uint64_t redis_proxy_passed(struct redis_proxy *p, enum redis_proxy_way way);
unsigned redis_proxy_cuts(struct redis_proxy *p);
void redis_proxy_refuse(struct redis_proxy *p, bool refuse);  /* ends all, takes no new ones */
void redis_proxy_silence(struct redis_proxy *p, bool silent); /* connections stay, nothing passes */
