/* tests/fakes/redis_proxy.h — stands between a client and its Redis, on a unix socket, and cuts connections
 * at the byte: in the middle of a command, behind it, in the middle of its reply. A thread of its own. */
#pragma once
#include "common/attr.h"

#include <pthread.h>

enum redis_proxy_way { TO_SERVER, TO_CLIENT };
enum redis_proxy_phase { CUT_NOT, CUT_IN_REQUEST, CUT_BEFORE_REPLY, CUT_IN_REPLY, RUBBISH_FOR_REPLY };
struct redis_proxy {
    char socket[96], server[96];
    int listener, wake[2];
    pthread_t thread;
    pthread_mutex_t lock; /* for what follows */
    uint64_t passed[2];   /* bytes, by way */
    uint64_t cut_at[2];   /* cut the connection that carries this byte; 0: never */
    char word[48];        /* cut the connection whose command has it, in this phase */
    enum redis_proxy_phase phase;
    char refused[48], refusal[128]; /* commands with that word are answered with this error; "" : none */
    unsigned cuts, refusals;
    bool stop, refuse, silent;
};
void redis_proxy_start(struct redis_proxy *p, const char *server_socket);
void redis_proxy_stop(struct redis_proxy *p);
/* The connection that carries the nth byte from now on in this direction ends before it; once. */
void redis_proxy_cut(struct redis_proxy *p, enum redis_proxy_way way, uint64_t nth);
/* The next connection that carries this word (the digest of a script) ends: before Redis has all of the
 * command, behind it but before the reply, or one byte into the reply; or it gets rubbish for a reply, and
 * stays; once. */
void redis_proxy_cut_word(struct redis_proxy *p, const char *word, enum redis_proxy_phase phase);
/* Redis does not run commands that have this word (the digest of a script), but refuses them with this error,
 * until error is NULL. */
void redis_proxy_refuse_script(struct redis_proxy *p, const char *digest, const char *error);
unsigned redis_proxy_refusals(struct redis_proxy *p);
uint64_t redis_proxy_passed(struct redis_proxy *p, enum redis_proxy_way way);
unsigned redis_proxy_cuts(struct redis_proxy *p);
void redis_proxy_refuse(struct redis_proxy *p, bool refuse);  /* ends all, takes no new ones */
void redis_proxy_silence(struct redis_proxy *p, bool silent); /* connections stay, nothing passes */
