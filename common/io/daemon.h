/* common/io/daemon.h — what node, router and worker share around their loops: signals, reload, drain,
 * readiness, the HTTP port with /metrics, /healthz/live and /healthz/ready.
 *
 * SIGTERM, SIGINT: drain(), then stop when drained() or after the grace period. SIGHUP: reload(); the outcome
 * is written to data_dir/run/PROGRAM.reload (common/io/reload.h).
 * A second SIGTERM stops at once. SIGPIPE is ignored. As many descriptors are taken as the hard limit grants.
 * The service manager is told of every change (sd_notify), and that the loop turns (WatchdogSec). All hooks
 * run in the loop's thread. */
#pragma once
#include "common/buf.h"
#include "common/config/config.h"
#include "common/io/loop.h"

/* drain, drained, ready, warnings and metrics may be NULL; reload too: then SIGHUP changes only the log
 * level. */
struct daemon_hooks {
    const char *program; /* "node": logs and metrics */
    /* In the loop's thread, before it runs. When it fails it has freed what it made; stop() is not called. */
    enum err (*start)(void *self, struct errctx *ec);
    /* Takes a reference if it keeps it. When it fails, what runs stays. */
    enum err (*reload)(void *self, struct config *next, struct errctx *ec);
    void (*drain)(void *self);   /* stop taking work */
    bool (*drained)(void *self); /* polled a few times a second; may loop_stop() itself */
    /* /healthz/ready, and the log (common/io/health.h): why not, for people, a finding a line. */
    bool (*ready)(void *self, struct buf *ret_why);
    enum err (*warnings)(void *self, struct buf *out); /* for the log: what weakens it, a finding a line */
    enum err (*metrics)(void *self, struct buf *out);  /* /metrics, in Prometheus text exposition */
    void (*stop)(void *self);                          /* free everything */
};
struct daemon_options {
    const char *config_path; /* for SIGHUP; NULL: there is no file */
    const char *http;        /* "address:port" or "" */
    ms_t grace_ms;           /* between the first SIGTERM and the end */
};
enum { DAEMON_CANNOT_START = 6 }; /* CLI_START of cli/cli.h */
/* Runs until the end; returns the exit code: 0 in order, DAEMON_CANNOT_START (already logged, told to the
 * service manager, and left in data_dir/run/PROGRAM.reload). conf is borrowed. */
int daemon_run(struct loop *l, struct config *conf, const struct daemon_options *opts,
               const struct daemon_hooks *hooks, void *self);
