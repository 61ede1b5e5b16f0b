/* common/io/loop.h — one event loop, one thread: timers, deferred calls, calls from other threads.
 *
 * Lifetimes: everything made with a loop is freed before loop_free(). Threads: all functions belong
 * to the loop's thread but loop_post() and loop_stop(). Only common/io includes libevent. */
#pragma once
#include "common/clock.h"
#include "common/err.h"

struct loop;
typedef void loop_fn(void *arg);

struct loop *loop_new(void); /* NULL: out of memory or no descriptors */
void loop_free(struct loop *l);
void loop_run(struct loop *l);  /* until loop_stop() */
void loop_stop(struct loop *l); /* any thread */
ms_t loop_now(struct loop *l);  /* monotonic, read once a turn */
const struct clock *loop_clock(const struct loop *l);

/* Runs fn in the loop's thread, in order of posting; any thread. ERR_NOMEM. What loop_run() has not
 * come to when the loop is freed is dropped. */
enum err loop_post(struct loop *l, loop_fn *fn, void *arg) MUST_USE;
/* As loop_post(), in memory of the caller's: cannot fail. p stays where it is until fn runs, which may
 * free it or post it again, or until the loop is freed. */
struct post { /* private */
    struct post *next;
    loop_fn *fn;
    void *arg;
    bool kept; /* by the caller */
};
void loop_post_kept(struct loop *l, struct post *p, loop_fn *fn, void *arg);

/* A struct deferred runs at the end of the current turn, once however often it was armed: what all
 * sessions of a turn produced leaves together. It may arm itself or others: they run before the loop
 * waits again, and connections flush after them. Caller-owned; disarm before freeing. */
struct deferred {
    struct deferred *next, *prev; /* private */
    loop_fn *fn;
    void *arg;
};
void deferred_init(struct deferred *d, loop_fn *fn, void *arg);
void deferred_arm(struct loop *l, struct deferred *d);
void deferred_disarm(struct deferred *d);

/* Timers never fire early. Setting and canceling cost next to nothing, also many times a turn: the
 * kernel-side timer is moved only to an earlier time, a later one is found out when it fires. */
struct timer;
struct timer *timer_new(struct loop *l, loop_fn *fn, void *arg); /* NULL: out of memory; unarmed */
void timer_free(struct timer *t);                                /* NULL is a no-op */
void timer_set(struct timer *t, ms_t delay_ms);                  /* one shot; replaces an earlier setting */
void timer_cancel(struct timer *t);

/* Signals (one loop of the process only; SIGCHLD for children) and descriptors owned by the caller.
 * NULL: out of memory. */
struct watch;
struct watch *watch_signal(struct loop *l, int signo, loop_fn *fn, void *arg);
struct watch *watch_fd(struct loop *l, int fd, loop_fn *readable, void *arg);
void watch_free(struct watch *w);
