/* worker/link_plan.c — the targets of a link: asked for while there is mail, kept for their time to live, and
 * a while longer when nobody answers (RFC 8767).
 *
 *   What was found out is replaced at once by whatever answer there is, a "no" included. Only when the answer
 *   fails for now, the old plan goes on: a working link is not put into retry because a name server is not
 *   well. It is asked again every TARGETS_TTL_MIN_MS, and for TARGETS_STALE_MS at most. */
#include "common/log.h"
#include "worker/core.h"
#include "worker/resolve.h"

static void forget(struct link *link)
{
    free(link->plan);
    link->plan = NULL;
}

/* A name that does not exist is an answer, also that of a smart host. */
static bool keeps(const struct link *link, const struct targets_plan *plan)
{
    return plan->failure == FAILURE_DNS && link->plan != NULL && link->plan_end_ms > loop_now(link->w->loop);
}

static void keep_old(struct link *link, const struct targets_plan *plan)
{
    struct log_scratch scratch;

    link->plan_until_ms = ms_after(loop_now(link->w->loop), TARGETS_TTL_MIN_MS);
    metric_inc(&link->w->m.plans_stale);
    log_warn("link.names", "link='%s' text=%s effect='goes on with the addresses of before'", link->name,
             log_text(&scratch, span_cstr(plan->why)));
}

static void take_new(struct link *link, const struct targets_plan *plan)
{
    forget(link);
    link->plan = malloc(sizeof *link->plan);
    if (link->plan == NULL)
        return;
    *link->plan = *plan;
    link->plan_until_ms = ms_after(loop_now(link->w->loop), plan->ttl_ms);
    link->plan_end_ms = ms_after(link->plan_until_ms, TARGETS_STALE_MS);
}

static void on_plan(void *arg, const struct targets_plan *plan)
{
    struct link *link = arg;
    struct verdict_input in = {.step = STEP_ROUTE, .failure = plan->failure, .enhanced = ""};
    struct verdict v = verdict_of(&in);

    link_wake(link);
    if (keeps(link, plan)) {
        keep_old(link, plan);
    } else if (plan->failure == FAILURE_NONE) {
        take_new(link, plan);
    } else {
        forget(link);
        if (link->phase == LINK_OPEN && v.action == VERDICT_BOUNCE)
            link_return(link, &v, plan->failure, 0, plan->why, plan->ttl_ms);
        else if (link->phase == LINK_OPEN)
            link_fail(link, plan->why);
    }
    resolve_free(link->resolve); /* plan was part of it */
    link->resolve = NULL;
}

void link_look_up(struct link *link)
{
    ms_t now = loop_now(link->w->loop);

    if (link->plan != NULL && link->plan_until_ms > now)
        return;
    if (link->resolve != NULL || link->ndue + link->npending == 0)
        return;
    if (link->plan_end_ms <= now)
        forget(link);
    link->resolve = resolve_new(link->w->loop, link->w->dns, &link->spec, on_plan, link);
    link->plan_asked_ms = now;
}

bool link_has_plan(const struct link *link)
{
    return link->plan != NULL && (link->resolve == NULL ||
                                  loop_now(link->w->loop) >= ms_after(link->plan_asked_ms, STALE_AFTER_MS));
}

void link_doubt_plan(struct link *link)
{
    link->plan_until_ms = 0;
}

void link_drop_plan(struct link *link)
{
    resolve_free(link->resolve);
    link->resolve = NULL;
    forget(link);
}
