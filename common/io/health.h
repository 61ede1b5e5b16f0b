/* common/io/health.h — what a daemon writes to its log about its own condition: whether it is ready, why not
 * and what to do about it, and what weakens it without stopping it. A fact is written when it changes, a
 * finding a line; readers of /healthz/ready and people who only have the log see the same.
 *
 *   STARTING ──ready──> READY <──────────────────> NOT READY: the reason again when it is another one, but
 * not └──not for HEALTH_START_MS──────────────────────^       more often than each HEALTH_REASON_MS */
#pragma once
#include "common/buf.h"
#include "common/clock.h"

enum {
    HEALTH_TEXT_MAX = 8192,
    HEALTH_START_MS = 1000, /* whoever starts is not ready, and that is no news */
    HEALTH_REASON_MS = 5000,
};
struct health {
    ms_t since_ms, told_ms; /* of starting; of the last reason */
    bool told, ready;
    struct buf why, warnings; /* as told: a finding a line */
};
void health_init(struct health *h, ms_t now_ms);
void health_done(struct health *h);
/* What holds now; writes to the log what is new. why: "" when ready. */
void health_look(struct health *h, ms_t now_ms, bool ready, struct span why, struct span warnings);
