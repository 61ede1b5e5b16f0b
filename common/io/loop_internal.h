/* common/io/loop_internal.h — what the other files of common/io may know of a loop. */
#pragma once
#include "common/io/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>

/* A turn: wait, callbacks, then everything armed on `work` until it is empty, then `flush` (output of
 * connections). Both are circular lists with a sentinel, so that disarming needs no loop. */
struct loop {
    struct event_base *base;
    struct clock clock;
    ms_t now_ms; /* valid while now_known */
    bool now_known, running;
    uint64_t turns; /* tests count them: what waits must not spin */
    struct deferred work, flush;
    struct post_queue *posts;
    /* Receive buffers, shared by all connections: a connection is never read inside another's callback. */
    char *scratch, *cipher;
};
enum {
    LOOP_SCRATCH = 65536 + 17 * 1024, /* CONN_INPUT_MAX and what one TLS record may add */
    LOOP_CIPHER = 65536
};

/* Like deferred_arm(), but after all ordinary deferred work of the turn. */
void deferred_arm_flush(struct loop *l, struct deferred *d);

struct timer {
    struct event ev;
    struct loop *loop;
    loop_fn *fn;
    void *arg;
    ms_t deadline_ms; /* UINT64_MAX: not set */
    ms_t armed_ms;    /* when ev fires; UINT64_MAX: not armed */
};
void timer_init(struct timer *t, struct loop *l, loop_fn *fn, void *arg);
void timer_done(struct timer *t);
