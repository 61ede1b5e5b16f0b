/* queue/retry.c — the ladder of delays and the ages at which patience ends. */
#include "queue/retry.h"

enum { FALLBACK_DELAY_MS = 15 * 60 * 1000 }; /* a schedule is never empty; a struct built by hand may be */

static ms_t ladder(const struct conf_retry *conf, uint32_t failures)
{
    size_t step = failures > 0 ? failures - 1 : 0;
    if (step < conf->glitch.count)
        return conf->glitch.items[step];
    step -= conf->glitch.count;
    if (conf->schedule.count == 0)
        return FALLBACK_DELAY_MS;
    return conf->schedule.items[step < conf->schedule.count ? step : conf->schedule.count - 1];
}

ms_t retry_delay(const struct conf_retry *conf, uint32_t failures, struct rng *rng)
{
    ms_t base = ladder(conf, failures);
    ms_t width = base / 100 * conf->jitter_percent;
    return base - width / 2 + rng_below(rng, width + 1);
}

struct retry_limits retry_limits(const struct conf_retry *conf, bool local)
{
    if (local)
        return (struct retry_limits){conf->local_expire_ms, conf->local_delay_notice_ms};
    return (struct retry_limits){conf->expire_ms, conf->delay_notice_ms};
}

struct retry_decision retry_decide(const struct conf_retry *conf, const struct retry_input *in,
                                   struct rng *rng)
{
    const struct job *job = in->job;
    struct retry_limits limits = retry_limits(conf, in->local);
    struct retry_decision d = {.verb = RETRY_AGAIN, .failures = job->failures};
    if (in->own_failure && d.failures < UINT32_MAX)
        d.failures++;
    d.problem = d.failures >= conf->problem_after;

    ms_t expires_ms = ms_after(job->first_ms, limits.expire_ms);
    if (job->expire_ms != 0 && job->expire_ms < expires_ms)
        expires_ms = job->expire_ms;
    if (in->now_ms >= expires_ms) {
        d.verb = RETRY_EXPIRED;
        return d;
    }
    /* The last attempt is made at the moment of expiry, not a whole interval before it. */
    ms_t left_ms = expires_ms - in->now_ms;
    d.delay_ms = in->own_failure ? retry_delay(conf, d.failures, rng) : in->link_delay_ms;
    if (d.delay_ms > left_ms)
        d.delay_ms = left_ms;
    d.delay_notice = !job->delay_noticed && limits.delay_notice_ms > 0 &&
                     in->now_ms >= ms_after(job->first_ms, limits.delay_notice_ms);
    return d;
}
