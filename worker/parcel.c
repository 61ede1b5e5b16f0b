/* worker/parcel.c — a claimed job from the claim to its end; and the lines of the log about it. */
#include "worker/core.h"

#include "common/log.h"
#include "queue/retry.h"
#include "worker/report.h"

#include <stdlib.h>

enum {
    NO_MEMORY_DELAY_MS = 60000,
    WHOM_MAX = 640, /* of the store */
    WHOM_RCPTS_MAX = 400,
    WHOM_RELAY_MAX = 200,
    OTHERS_MAX = 1500, /* of the store: two lines */
    OTHERS_RCPTS_MAX = 330,
    OTHERS_SAID_MAX = 160,
    SAID_MAX = 300
};

struct parcel *parcel_new(struct link *link, struct claim *c)
{
    struct parcel *p = calloc(1, sizeof *p);

    if (p != NULL && attempt_init(&p->attempt, c) != ERR_OK) {
        free(p);
        p = NULL;
    }
    if (p == NULL) {
        (void)!store_release(link->w->store, c, NO_MEMORY_DELAY_MS);
        return NULL;
    }
    p->link = link;
    p->claim = c;
    p->claimed_ms = loop_now(link->w->loop);
    link->nparcels++;
    link->w->nparcels++;
    metric_inc(&link->w->m.claimed);
    metric_inc(&link->w->m.claims_now);
    return p;
}

static void parcel_free(struct parcel *p)
{
    struct link *link = p->link;

    link->nparcels--;
    link->w->nparcels--;
    metric_dec(&link->w->m.claims_now);
    settlement_done(&p->settlement);
    attempt_done(&p->attempt);
    free(p);
    if (!link->w->stopping)
        link_wake(link);
}

void parcel_discard(struct parcel *p)
{
    if (p->body != NULL)
        body_free(p->body, NULL, NULL);
    parcel_free(p);
}

ms_t parcel_now(const struct parcel *p)
{
    return ms_after(p->claim->now_ms, loop_now(p->link->w->loop) - p->claimed_ms);
}

/* --- Body ------------------------------------------------------------------------------------------ */

static void nobody_listens(void *arg)
{
    (void)arg;
}

enum err parcel_open_body(struct parcel *p, body_fn *ready, void *arg)
{
    if (p->body == NULL)
        p->body = body_new(p->link->w->store, p->claim, ready, arg);
    if (p->body == NULL)
        return ERR_NOMEM;
    body_listen(p->body, ready, arg);
    return ERR_OK;
}

void parcel_close_body(struct parcel *p)
{
    if (p->body != NULL)
        body_listen(p->body, nobody_listens, NULL);
}

/* The store may still be reading for us: the claim has to live until it is done. */
static void after_body(struct parcel *p, body_fn *then)
{
    struct body *b = p->body;

    p->body = NULL;
    if (b == NULL)
        then(p);
    else
        body_free(b, then, p);
}

/* --- Log ------------------------------------------------------------------------------------------- */

static const char *status_word(const struct settlement *s, const struct outcome *o)
{
    if (o->tried && o->verdict.action == VERDICT_DONE)
        return "delivered";
    if (s->converted)
        return "converted";
    if (s->verb == FINISH_BADMAIL)
        return "badmail";
    if (o->tried && o->verdict.action == VERDICT_BOUNCE && s->bounced > 0)
        return "bounced";
    return s->verb == FINISH_RETRY ? "deferred" : "expired";
}

static void log_outcome(const struct parcel *p, const struct outcome *o, const char *id, ms_t age_ms,
                        struct span address)
{
    struct log_scratch to, text;
    const char *dsn = o->tried && o->verdict.status[0] != '\0' ? o->verdict.status : "4.4.7";
    struct span said = o->tried ? span_cstr(o->text) : p->input.link_error;

    log_info("delivery", "msg=%s status=%s to=%s relay='%s' delay_ms=%llu dsn=%s attempts=%u text=%s", id,
             status_word(&p->settlement, o), log_text(&to, address), p->relay[0] != '\0' ? p->relay : "none",
             (unsigned long long)age_ms, dsn, (unsigned)(p->claim->job.attempts + 1), log_text(&text, said));
}

static void log_outcomes(const struct parcel *p)
{
    const struct job *job = &p->claim->job;
    char id[MSGID_TEXT_MAX];
    ms_t now = parcel_now(p), since = p->claim->job.first_ms;

    if (!log_enabled(LOG_LEVEL_INFO))
        return;
    msgid_text(&p->claim->id, id);
    for (size_t i = 0; i < job->nrcpts; i++)
        if (!p->attempt.outcomes[i].carried)
            log_outcome(p, &p->attempt.outcomes[i], id, now > since ? now - since : 0, job->rcpts[i].address);
}

/* --- History --------------------------------------------------------------------------------------- */

static size_t add_rcpt(char out[WHOM_MAX], size_t n, size_t max, struct span to, size_t *left_out)
{
    if (n + to.len + 3 > max) {
        ++*left_out;
        return n;
    }
    return n + (size_t)snprintf(out + n, WHOM_MAX - n, "%s<" SPAN_FMT ">", n > 0 ? " " : "", SPAN_ARG(to));
}

static size_t end_whom(const struct parcel *p, char out[WHOM_MAX], size_t n, size_t left_out)
{
    if (left_out > 0)
        n += (size_t)snprintf(out + n, WHOM_MAX - n, " and %zu more", left_out);
    if (p->relay[0] != '\0')
        n += (size_t)snprintf(out + n, WHOM_MAX - n, " via %.*s", WHOM_RELAY_MAX, p->relay);
    return n;
}

/* For whom and by which way, as `message track` shows it: "<a@x> <b@x> via RELAY", as many recipients as fit.
 * Of what goes on waiting those that wait, of a partly returned job those that were returned. */
static struct span whom(const struct parcel *p, const struct settlement *s, char out[WHOM_MAX])
{
    const struct job *job = &p->claim->job;
    const struct job *left = s->job.nrcpts > 0 ? &s->job : job; /* of none left it stays as it was */
    bool over = s->verb == FINISH_DONE;
    size_t n = 0, left_out = 0;

    for (size_t i = 0; !over && i < left->nrcpts; i++)
        n = add_rcpt(out, n, WHOM_RCPTS_MAX, left->rcpts[i].address, &left_out);
    for (size_t i = 0; over && i < job->nrcpts; i++) {
        const struct outcome *o = &p->attempt.outcomes[i];

        if (!o->carried && !(s->bounced > 0 && o->tried && o->verdict.action == VERDICT_DONE))
            n = add_rcpt(out, n, WHOM_RCPTS_MAX, job->rcpts[i].address, &left_out);
    }
    return span_of(out, end_whom(p, out, n, left_out));
}

/* A line of those of whom `action` was said, none: nothing. Who was returned and is kept (S4) is with those
 * that wait. */
static size_t add_others(const struct parcel *p, enum verdict_action action, const char *event, char *out,
                         size_t size)
{
    char to[WHOM_MAX];
    const char *said = NULL;
    size_t n = 0, left_out = 0;

    for (size_t i = 0; i < p->claim->job.nrcpts; i++) {
        const struct outcome *o = &p->attempt.outcomes[i];

        if (o->carried || !o->tried || o->verdict.action != action)
            continue;
        n = add_rcpt(to, n, OTHERS_RCPTS_MAX, p->claim->job.rcpts[i].address, &left_out);
        said = said == NULL ? o->text : said;
    }
    if (said == NULL)
        return 0;
    n = end_whom(p, to, n, left_out);
    return (size_t)snprintf(out, size, "\n%s %.*s: %.*s", event, (int)n, to, OTHERS_SAID_MAX, said);
}

/* Those that whom() leaves out, each kind with an event of its own. */
static struct span others(const struct parcel *p, const struct settlement *s, char out[OTHERS_MAX])
{
    size_t n = 0;

    if (s->delivered > 0 && (s->verb != FINISH_DONE || s->bounced > 0))
        n = add_others(p, VERDICT_DONE, "delivered", out, OTHERS_MAX);
    if (s->bounced > 0 && s->verb == FINISH_RETRY && p->claim->env.sender.len > 0)
        n += add_others(p, VERDICT_BOUNCE, "bounced", out + n, OTHERS_MAX - n);
    return span_of(out, n);
}

/* What was said of it: of a job that is over by the first that it was tried for. */
static struct span said_of(const struct parcel *p)
{
    const struct settlement *s = &p->settlement;
    struct span said = s->reason;

    for (size_t i = 0; s->verb == FINISH_DONE && said.len == 0 && i < p->claim->job.nrcpts; i++) {
        const struct outcome *o = &p->attempt.outcomes[i];

        if (!o->carried && o->tried && !(s->bounced > 0 && o->verdict.action == VERDICT_DONE))
            said = span_cstr(o->text);
    }
    return s->verb == FINISH_DONE ? span_first(said, SAID_MAX) : said;
}

/* --- The end --------------------------------------------------------------------------------------- */

struct telling { /* what the queue is being told */
    struct link *link;
    char id[MSGID_TEXT_MAX];
};

static void not_told(const struct telling *t, enum err e)
{
    log_error("queue.finish", "msg=%s link='%s' err=%s text='not recorded, it may be sent again'", t->id,
              t->link->name, err_name(e));
}

static void report_lost(const struct telling *t)
{
    metric_inc(&t->link->w->m.reports_lost);
    log_warn(
        "report.lost",
        "msg=%s link='%s' text='Redis has lost the report, or refuses it: it is made again, after another "
        "try for whoever was to be returned'",
        t->id, t->link->name);
}

static void on_finish(void *arg, enum err e)
{
    struct telling *t = arg;
    struct link *link = t->link;

    link->requests--;
    if (e == ERR_STALE)
        metric_inc(&link->w->m.stale);
    else if (e == ERR_NOTFOUND)
        report_lost(t);
    else if (e != ERR_OK)
        not_told(t, e);
    link_wake(link);
    free(t);
}

static void count(const struct parcel *p)
{
    struct worker_metrics *m = &p->link->w->m;
    const struct settlement *s = &p->settlement;
    ms_t now = parcel_now(p), since = p->claim->job.first_ms;

    metric_add(&m->delivered, s->delivered);
    metric_add(&m->bounced, s->bounced);
    metric_add(&m->deferred, s->verb == FINISH_RETRY ? 1 : 0);
    metric_add(&m->badmail, s->verb == FINISH_BADMAIL ? 1 : 0);
    if (s->delivered > 0)
        metric_observe_ms(&m->delivery_ms, now > since ? now - since : 0);
}

struct told { /* what the history is told; the words of a finish are here */
    char whom[WHOM_MAX], others[OTHERS_MAX];
};

static void put_settlement(struct finish *f, const struct parcel *p, const struct settlement *s,
                           struct told *told)
{
    f->whom = whom(p, s, told->whom);
    f->others = others(p, s, told->others);
    f->verb = s->verb;
    f->job = s->verb == FINISH_DONE || s->job.nrcpts == 0 ? NULL : &s->job;
    f->delay_ms = s->delay_ms;
    f->problem = s->problem;
    f->event = span_cstr(s->event);
    f->delivered = s->delivered;
    f->bounced = s->bounced;
}

void parcel_finish(struct parcel *p, struct upload *report, const struct envelope *env,
                   const struct commit_job *jobs, size_t njobs)
{
    const struct settlement *s = &p->settlement;
    struct told told, told_apart;
    struct settlement apart = {0};
    struct finish f = {
        .claim = p->claim,
        .reason = said_of(p),
        .report = report,
        .report_env = env,
        .report_jobs = jobs,
        .nreport_jobs = njobs,
    };
    struct finish without = {.reason = f.reason};
    struct link *link = p->link;
    struct telling *t;
    enum err e;

    if (link->w->stopping) { /* called back by the store that is being freed */
        parcel_free(p);
        return;
    }
    log_outcomes(p);
    count(p);
    put_settlement(&f, p, s, &told);
    if (report != NULL && settle_apart(&p->input, s, REPORT_RETRY_MS, &apart) == ERR_OK) {
        put_settlement(&without, p, &apart, &told_apart);
        f.without = &without;
    }
    link->requests++;
    t = calloc(1, sizeof *t);
    e = t == NULL ? ERR_NOMEM : ERR_OK;
    if (e == ERR_OK) {
        t->link = link;
        msgid_text(&p->claim->id, t->id);
        e = store_finish(link->w->store, &f, on_finish, t);
    }
    if (e != ERR_OK) { /* a defect, or no memory: the job comes back after the lease, or at once */
        link->requests--;
        if (t != NULL)
            not_told(t, e);
        free(t);
        upload_abort(report);
        (void)!store_release(link->w->store, p->claim, NO_MEMORY_DELAY_MS);
    }
    settlement_done(&apart);
    parcel_free(p);
}

static void finish_plain(void *arg)
{
    parcel_finish(arg, NULL, NULL, NULL, 0);
}

static void release_now(void *arg)
{
    struct parcel *p = arg;

    metric_inc(&p->link->w->m.released);
    if (!p->link->w->stopping)
        (void)!store_release(p->link->w->store, p->claim, p->settlement.delay_ms);
    parcel_free(p);
}

void parcel_release(struct parcel *p, ms_t delay_ms)
{
    p->settlement.delay_ms = delay_ms;
    after_body(p, release_now);
}

void parcel_settle(struct parcel *p)
{
    struct link *link = p->link;
    enum err e;

    p->input = (struct settle_input){
        .attempt = &p->attempt,
        .retry = &link->set->root->delivery.retry,
        .local = link->kind == LINK_MAILDIR || link->kind == LINK_LMTP,
        .link_delay_ms = link_delay(link),
        .link_error = span_cstr(link->error),
        .now_ms = parcel_now(p),
    };
    if (link->stale || link->w->draining || !worker_may_claim(link->w)) /* S5: not the link's fault */
        p->input.link_delay_ms = link->phase == LINK_HELD ? p->input.link_delay_ms : 0;
    parcel_close_body(p);
    e = settle(&p->input, &link->w->rng, &p->settlement);
    if (e != ERR_OK) {
        log_error("worker.memory", "link='%s' err=%s", link->name, err_name(e));
        parcel_release(p, NO_MEMORY_DELAY_MS);
        return;
    }
    if (p->damaged && !p->settlement.untouched)
        settle_damaged(&p->input, &p->settlement);
    if (p->settlement.untouched) {
        parcel_release(p, p->settlement.delay_ms);
        return;
    }
    if (settle_may_convert(&p->input, &p->settlement)) {
        e = report_convert(p);
        if (e == ERR_OK)
            return;
        report_failed(p, e);
    }
    if (p->settlement.ndsn > 0) {
        e = report_start(p);
        if (e == ERR_OK)
            return;
        report_failed(p, e);
    }
    after_body(p, finish_plain);
}
