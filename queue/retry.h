/* queue/retry.h — when to try again, when to tell the sender, when to give up. Pure.
 *
 * A ladder of delays: the glitch retries, then the schedule, whose last entry repeats. Links climb it by
 * failures in a row (struct link_state), messages by failures of their own (job.failures). */
#pragma once
#include "common/clock.h"
#include "common/config/config.h"
#include "common/rng.h"
#include "queue/envelope.h"

/* Delay before the next attempt after `failures` failures in a row (>= 1; 0 counts as 1), jitter included:
 * plus or minus half of jitter_percent. */
ms_t retry_delay(const struct conf_retry *conf, uint32_t failures, struct rng *rng);

struct retry_limits {                /* which settings apply */
    ms_t expire_ms, delay_notice_ms; /* ages; delay_notice_ms 0: never */
};
struct retry_limits retry_limits(const struct conf_retry *conf, bool local);

enum retry_verb {
    RETRY_AGAIN,   /* due again after delay_ms */
    RETRY_EXPIRED, /* too old: return it */
};
struct retry_input {
    const struct job
        *job;         /* state before this attempt: attempts, failures, first_ms, expire_ms, delay_noticed */
    bool own_failure; /* the message failed, not its link: its failures grow by one */
    bool local;       /* local delivery has limits of its own */
    ms_t link_delay_ms; /* !own_failure: until the link is tried again */
    ms_t now_ms;        /* Redis's wall clock */
};
struct retry_decision {
    enum retry_verb verb;
    ms_t delay_ms;     /* AGAIN: never beyond the expiry of the message */
    uint32_t failures; /* new value of job.failures */
    bool delay_notice; /* tell the sender once: job.delay_noticed becomes true */
    bool problem;      /* sort behind healthy messages (problem_after) */
};
/* job.expire_ms 0: first_ms + the limit; otherwise the earlier of both. */
struct retry_decision retry_decide(const struct conf_retry *conf, const struct retry_input *in,
                                   struct rng *rng);
