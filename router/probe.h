/* router/probe.h — does a target answer? TCP, greeting, EHLO, QUIT, without any mail.
 *
 *   RESOLVING ──addresses──> CONNECTING ──> GREETING ──220──> EHLO ──250──> done(ok), QUIT
 *       └── any failure, another code, silence: the next address; after the last one done(not ok, why)
 *
 * Lifetimes: done() is called exactly once, never before probe_start() returns, and frees the probe after the
 * call; probe_free() ends it without a word. */
#pragma once
#include "common/io/conn.h"
#include "common/io/dns.h"

struct probe;
struct probe_conf { /* borrowed for the call but for loop and dns */
    struct loop *loop;
    struct dns *dns;
    struct span target; /* "host", "host:port", "192.0.2.1:25" */
    uint16_t port;      /* where none is named */
    const char *hostname;
    ms_t timeout_ms; /* for each answer */
};
typedef void probe_fn(void *arg, struct probe *p, bool ok, const char *why);
struct probe *probe_start(const struct probe_conf *conf, probe_fn *done, void *arg); /* NULL: out of memory */
void probe_free(struct probe *p);                                                    /* NULL is a no-op */
