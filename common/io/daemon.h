/* common/io/daemon.h — what node, router and worker share around their loops: signals, reload, drain,
 * readiness, the HTTP port with /metrics, /healthz/live and /healthz/ready.
 *
 * SIGTERM, SIGINT: drain(), then stop when drained() or after the grace period. SIGHUP: reload().
 * A second SIGTERM stops at once. SIGPIPE is ignored. */
#pragma once
#include "common/buf.h"
#include "common/config/config.h"
#include "common/io/loop.h"

struct daemon_hooks {
    const char *program;                              /* "node": logs and metrics */
    enum err (*start)(void *self, struct errctx *ec); /* in the loop's thread, before it runs */
    void (*reload)(void *self, struct config *next);  /* takes a reference if it keeps it */
    void (*drain)(void *self);                        /* stop taking work */
    bool (*drained)(void *self);                      /* polled a few times a second */
    bool (*ready)(void *self, struct buf *ret_why);   /* /healthz/ready */
    enum err (*metrics)(void *self, struct buf *out); /* /metrics */
    void (*stop)(void *self);                         /* free everything */
};
struct daemon_options {
    const char *config_path;
    const char *http; /* "address:port" or "" */
    ms_t grace_ms;
};
/* Runs until the end; returns the exit code: 0 in order, 1 failed (already logged). */
int daemon_run(struct loop *l, struct config *conf, const struct daemon_options *opts,
               const struct daemon_hooks *hooks, void *self);
