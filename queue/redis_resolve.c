#include "queue/redis_resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Shared by the loop and the thread. Whoever is last frees it: the loop when it was told, the thread when
 * it finds that nobody wants to know. */
struct redis_resolve {
    struct loop *loop;
    redis_resolved_fn *done;
    void *arg;
    char name[256];
    uint16_t port;
    struct ip_endpoint list[REDIS_ADDRESSES_MAX];
    size_t n;
    char why[160];
    pthread_mutex_t lock;
    bool canceled; /* under the lock */
};

static void release(struct redis_resolve *r)
{
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static void tell(void *arg)
{
    struct redis_resolve *r = arg;
    (void)pthread_mutex_lock(&r->lock);
    bool canceled = r->canceled;
    (void)pthread_mutex_unlock(&r->lock);
    if (!canceled)
        r->done(r->arg, r->list, r->n, r->why);
    release(r);
}

static void look_up(struct redis_resolve *r)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    int code = getaddrinfo(r->name, NULL, &hints, &found);
    if (code != 0) {
        (void)snprintf(r->why, sizeof r->why, "'%.80s': %s", r->name, gai_strerror(code));
        return;
    }
    for (struct addrinfo *ai = found; ai != NULL && r->n < REDIS_ADDRESSES_MAX; ai = ai->ai_next) {
        if (ip_from_sockaddr(ai->ai_addr, &r->list[r->n]))
            r->list[r->n++].port = r->port;
    }
    freeaddrinfo(found);
    if (r->n == 0)
        (void)snprintf(r->why, sizeof r->why, "'%.80s' has no address", r->name);
}

static void *thread_main(void *arg)
{
    struct redis_resolve *r = arg;
    look_up(r);
    (void)pthread_mutex_lock(&r->lock);
    bool wanted = !r->canceled && loop_post(r->loop, tell, r) == ERR_OK;
    (void)pthread_mutex_unlock(&r->lock);
    if (!wanted)
        release(r);
    return NULL;
}

enum err redis_resolve_start(struct loop *l, const char *name, uint16_t port, redis_resolved_fn *done,
                             void *arg, struct redis_resolve **ret)
{
    struct redis_resolve *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    *r = (struct redis_resolve){.loop = l, .done = done, .arg = arg, .port = port};
    (void)snprintf(r->name, sizeof r->name, "%s", name);
    (void)pthread_mutex_init(&r->lock, NULL);
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the main thread */
    int failed = pthread_create(&thread, &attr, thread_main, r);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    if (failed != 0) {
        release(r);
        return ERR_NOMEM;
    }
    *ret = r;
    return ERR_OK;
}

void redis_resolve_cancel(struct redis_resolve *r)
{
    if (r == NULL)
        return;
    (void)pthread_mutex_lock(&r->lock);
    r->canceled = true;
    (void)pthread_mutex_unlock(&r->lock);
}
