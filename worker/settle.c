#include "worker/settle.h"

#include "queue/retry.h"

/* --- Attempts ------------------------------------------------------------------------------------ */

static bool sender_null(const struct claim *c)
{
    return c->env.sender.len == 0;
}

/* S4: who was returned in an earlier attempt. When all are marked, an operator put badmail back. */
static void carry_marked(struct attempt *a)
{
    const struct job *job = &a->claim->job;
    size_t marked = 0;

    for (size_t i = 0; i < job->nrcpts; i++)
        marked += job->rcpts[i].code >= 500 ? 1 : 0;
    if (!sender_null(a->claim) || marked == job->nrcpts)
        return;
    for (size_t i = 0; i < job->nrcpts; i++) {
        struct outcome *o = &a->outcomes[i];

        if (job->rcpts[i].code < 500)
            continue;
        *o = (struct outcome){.tried = true,
                              .carried = true,
                              .code = job->rcpts[i].code,
                              .verdict = {.action = VERDICT_BOUNCE, .scope = VERDICT_RECIPIENT}};
        (void)snprintf(o->text, sizeof o->text, SPAN_FMT, SPAN_ARG(job->rcpts[i].reply));
        a->nopen--;
    }
}

/* S6: who has the message already. */
static void carry_delivered(struct attempt *a)
{
    const struct job *job = &a->claim->job;

    for (size_t i = 0; i < job->nrcpts && !sender_null(a->claim); i++) {
        struct outcome *o = &a->outcomes[i];

        if (job->rcpts[i].code != RECIPIENT_DELIVERED)
            continue;
        *o = (struct outcome){
            .tried = true,
            .carried = true,
            .code = 250,
            .verdict = {.action = VERDICT_DONE, .scope = VERDICT_RECIPIENT, .status = "2.0.0"}};
        (void)snprintf(o->text, sizeof o->text, SPAN_FMT, SPAN_ARG(job->rcpts[i].reply));
        a->nopen--;
    }
}

enum err attempt_init(struct attempt *a, const struct claim *claim)
{
    size_t n = claim->job.nrcpts;

    *a = (struct attempt){.claim = claim, .nopen = n};
    a->outcomes = calloc(n == 0 ? 1 : n, sizeof *a->outcomes);
    if (a->outcomes == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        a->outcomes[i].open = true;
    carry_marked(a);
    carry_delivered(a);
    return ERR_OK;
}

void attempt_done(struct attempt *a)
{
    free(a->outcomes);
    *a = (struct attempt){0};
}

static void copy_text(char *out, size_t size, struct span s)
{
    size_t n = s.len < size ? s.len : size - 1;

    if (n > 0)
        memcpy(out, s.ptr, n);
    out[n] = '\0';
}

static bool goes_on(const struct verdict *v)
{
    return v->action == VERDICT_NEXT_TARGET || v->action == VERDICT_AGAIN || v->action == VERDICT_OK;
}

void attempt_record(struct attempt *a, size_t rcpt, const struct attempt_result *r)
{
    struct outcome *o = &a->outcomes[rcpt];
    struct verdict folded = r->verdict;

    if (!o->open)
        return;
    /* Only one target's "not me" is weighed against another's; an answer about the recipient is final. */
    if (o->tried && goes_on(&r->verdict) && o->verdict.action == VERDICT_NEXT_TARGET)
        folded = verdict_softer(&o->verdict, &r->verdict);
    o->tried = true;
    o->verdict = folded;
    o->step = r->step;
    o->failure = r->failure;
    o->code = r->code;
    o->dsn_passed = r->dsn_passed;
    copy_text(o->remote, sizeof o->remote, r->remote);
    if (r->code != 0)
        (void)snprintf(o->text, sizeof o->text, "%u " SPAN_FMT, (unsigned)r->code,
                       SPAN_ARG(span_first(r->text, OUTCOME_TEXT_MAX)));
    else if (r->text.len > 0)
        copy_text(o->text, sizeof o->text, r->text);
    else
        copy_text(o->text, sizeof o->text, span_cstr(failure_text(r->failure)));
    o->open = goes_on(&folded);
    a->nopen -= o->open ? 0 : 1;
}

void attempt_record_all(struct attempt *a, const struct attempt_result *r)
{
    for (size_t i = 0; i < a->claim->job.nrcpts; i++)
        attempt_record(a, i, r);
}

void attempt_stopped(struct attempt *a)
{
    for (size_t i = 0; i < a->claim->job.nrcpts; i++)
        if (a->outcomes[i].open)
            a->outcomes[i].verdict.permanent = false;
    attempt_exhausted(a);
}

void attempt_exhausted(struct attempt *a)
{
    for (size_t i = 0; i < a->claim->job.nrcpts; i++) {
        struct outcome *o = &a->outcomes[i];

        if (o->open && o->tried)
            o->verdict = verdict_last(&o->verdict);
        o->open = false;
    }
    a->nopen = 0;
}

bool attempt_untouched(const struct attempt *a)
{
    for (size_t i = 0; i < a->claim->job.nrcpts; i++) {
        const struct outcome *o = &a->outcomes[i];

        if (o->tried && !o->carried && o->failure != FAILURE_CANCELED)
            return false;
        if (o->carried && o->verdict.action == VERDICT_DONE) /* of which somebody is to be told */
            return false;
    }
    return true;
}

/* --- Settling ------------------------------------------------------------------------------------ */

enum fate { FATE_DELIVERED, FATE_RETURNED, FATE_WAITING };

static enum fate fate_of(const struct outcome *o)
{
    if (o->tried && o->verdict.action == VERDICT_DONE)
        return FATE_DELIVERED;
    return o->tried && o->verdict.action == VERDICT_BOUNCE ? FATE_RETURNED : FATE_WAITING;
}

/* A failure of its own makes a problem message; what the link or this side did wrong does not. */
static bool own_failure(const struct attempt *a)
{
    for (size_t i = 0; i < a->claim->job.nrcpts; i++) {
        const struct outcome *o = &a->outcomes[i];

        if (o->tried && fate_of(o) == FATE_WAITING && o->verdict.scope != VERDICT_LINK)
            return true;
    }
    return false;
}

static struct span last_words(const struct settle_input *in, size_t i)
{
    const struct outcome *o = &in->attempt->outcomes[i];
    const struct job *job = &in->attempt->claim->job;

    if (o->tried && o->failure != FAILURE_CANCELED)
        return span_cstr(o->text);
    if (in->link_error.len > 0)
        return in->link_error;
    return job->rcpts[i].reply.len > 0 ? job->rcpts[i].reply : job->last_error;
}

static void add_dsn(const struct settle_input *in, struct settlement *s, size_t i, enum dsn_action action,
                    const char *status)
{
    const struct recipient *r = &in->attempt->claim->job.rcpts[i];
    const struct outcome *o = &in->attempt->outcomes[i];
    struct dsn_recipient *d;

    if (sender_null(in->attempt->claim) || !dsn_wanted(r->notify, action))
        return;
    d = &s->dsn[s->ndsn++];
    *d = (struct dsn_recipient){
        .address = r->address,
        .orcpt = r->orcpt,
        .notify = r->notify,
        .action = action,
        .status = span_cstr(status),
        .remote = span_cstr(o->remote),
        .last_attempt_ms = in->now_ms,
    };
    if (o->tried && o->code != 0)
        d->diagnostic = span_cstr(o->text);
    else
        d->explanation = last_words(in, i);
}

static void keep(const struct settle_input *in, struct settlement *s, size_t i)
{
    const struct outcome *o = &in->attempt->outcomes[i];
    struct recipient *r = &s->job.rcpts[s->job.nrcpts++];

    *r = in->attempt->claim->job.rcpts[i];
    if (o->tried && o->failure != FAILURE_CANCELED) {
        r->code = o->code;
        r->reply = span_cstr(o->text);
    }
}

/* Who waits may have been answered 5xx all the same: by one target of several, at STARTTLS, or 552 for too
 * many recipients. As a code that would mark him as returned (S4); in the text it stays. */
static void keep_waiting(const struct settle_input *in, struct settlement *s, size_t i)
{
    struct recipient *r;

    keep(in, s, i);
    r = &s->job.rcpts[s->job.nrcpts - 1];
    r->code = r->code >= 500 ? 0 : r->code;
}

static void settle_delivered(const struct settle_input *in, struct settlement *s, size_t i)
{
    const struct outcome *o = &in->attempt->outcomes[i];

    s->delivered += o->carried ? 0 : 1;
    if (!o->dsn_passed)
        add_dsn(in, s, i, in->local ? DSN_DELIVERED : DSN_RELAYED,
                o->verdict.status[0] == '2' ? o->verdict.status : "2.0.0");
}

static void settle_returned(const struct settle_input *in, struct settlement *s, size_t i, const char *status)
{
    s->bounced += in->attempt->outcomes[i].carried ? 0 : 1;
    if (s->reason.len == 0)
        s->reason = last_words(in, i);
    add_dsn(in, s, i, DSN_FAILED, status);
    if (sender_null(in->attempt->claim)) { /* S4: marked, so that it is not tried again */
        keep(in, s, i);
        if (s->job.rcpts[s->job.nrcpts - 1].code < 500)
            s->job.rcpts[s->job.nrcpts - 1].code = 550;
    }
}

static void settle_waiting(const struct settle_input *in, struct settlement *s, size_t i,
                           const struct retry_decision *d)
{
    s->deferred++;
    keep_waiting(in, s, i);
    s->job.last_error = last_words(in, i);
    if (d->delay_notice) {
        const struct outcome *o = &in->attempt->outcomes[i];

        add_dsn(in, s, i, DSN_DELAYED, o->tried && o->verdict.status[0] == '4' ? o->verdict.status : "4.4.7");
        if (s->ndsn > 0 && s->dsn[s->ndsn - 1].action == DSN_DELAYED)
            s->dsn[s->ndsn - 1].will_retry_until_ms = s->job.expire_ms;
    }
}

static void conclude(const struct settle_input *in, struct settlement *s)
{
    bool returned = s->job.nrcpts > s->deferred; /* only kept for a null sender */

    if (s->deferred > 0) {
        s->verb = FINISH_RETRY;
        s->event = "deferred";
        s->reason = s->job.last_error;
    } else if (returned && sender_null(in->attempt->claim)) {
        s->verb = FINISH_BADMAIL;
        s->event = "badmail";
    } else {
        s->verb = FINISH_DONE;
        s->event = s->bounced > 0 ? "bounced" : s->delivered > 0 ? "delivered" : "reported";
    }
}

enum err settle(const struct settle_input *in, struct rng *rng, struct settlement *ret)
{
    const struct job *job = &in->attempt->claim->job;
    struct retry_input ri = {.job = job,
                             .own_failure = own_failure(in->attempt),
                             .local = in->local,
                             .link_delay_ms = in->link_delay_ms,
                             .now_ms = in->now_ms};
    struct retry_decision d = retry_decide(in->retry, &ri, rng);
    bool expired = d.verb == RETRY_EXPIRED;
    struct settlement s = {.job = *job, .delay_ms = d.delay_ms, .problem = d.problem};

    s.untouched = attempt_untouched(in->attempt) && !expired && !d.delay_notice;
    if (s.untouched) { /* S5 */
        s.delay_ms = in->link_delay_ms;
        s.job = (struct job){0};
        *ret = s;
        return ERR_OK;
    }
    s.dsn = calloc(job->nrcpts + 1, sizeof *s.dsn);
    s.job.rcpts = calloc(job->nrcpts + 1, sizeof *s.job.rcpts);
    s.job.nrcpts = 0;
    s.job.attempts = job->attempts + 1;
    s.job.failures = d.failures;
    s.job.next_ms = ms_after(in->now_ms, d.delay_ms);
    if (job->expire_ms == 0)
        s.job.expire_ms = ms_after(job->first_ms, retry_limits(in->retry, in->local).expire_ms);
    s.job.delay_noticed = job->delay_noticed || d.delay_notice;
    if (s.dsn == NULL || s.job.rcpts == NULL) {
        settlement_done(&s);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < job->nrcpts; i++) {
        const struct outcome *o = &in->attempt->outcomes[i];
        enum fate fate = fate_of(o);

        if (fate == FATE_DELIVERED)
            settle_delivered(in, &s, i);
        else if (fate == FATE_RETURNED)
            settle_returned(in, &s, i, o->verdict.status[0] == '5' ? o->verdict.status : "5.0.0");
        else if (expired)
            settle_returned(in, &s, i, failure_status(FAILURE_EXPIRED));
        else
            settle_waiting(in, &s, i, &d);
    }
    conclude(in, &s);
    *ret = s;
    return ERR_OK;
}

static void keep_undelivered(const struct settle_input *in, struct settlement *s)
{
    s->job.nrcpts = 0;
    for (size_t i = 0; i < in->attempt->claim->job.nrcpts; i++)
        if (fate_of(&in->attempt->outcomes[i]) != FATE_DELIVERED)
            keep_waiting(in, s, i);
}

/* S6 */
static bool news_owed(const struct settle_input *in, const struct settlement *s, size_t i)
{
    const struct outcome *o = &in->attempt->outcomes[i];

    return fate_of(o) == FATE_DELIVERED && !o->dsn_passed && !sender_null(in->attempt->claim) &&
           dsn_wanted(in->attempt->claim->job.rcpts[i].notify, DSN_DELIVERED) &&
           in->now_ms < s->job.expire_ms;
}

static bool keep_news(const struct settle_input *in, struct settlement *s)
{
    bool any = false;

    for (size_t i = 0; i < in->attempt->claim->job.nrcpts; i++) {
        if (!news_owed(in, s, i))
            continue;
        keep(in, s, i);
        s->job.rcpts[s->job.nrcpts - 1].code = RECIPIENT_DELIVERED;
        any = true;
    }
    return any;
}

void settle_without_report(const struct settle_input *in, struct settlement *s, ms_t delay_ms)
{
    const struct job *job = &in->attempt->claim->job;

    s->ndsn = 0;
    keep_undelivered(in, s);
    if (!keep_news(in, s) && s->job.nrcpts == 0)
        return; /* nobody is left: it is over */
    s->converted = false;
    s->bounced = 0;
    s->job.delay_noticed = job->delay_noticed;
    s->verb = FINISH_RETRY;
    s->event = "deferred";
    s->delay_ms = s->delay_ms < delay_ms ? delay_ms : s->delay_ms;
}

enum err settle_apart(const struct settle_input *in, const struct settlement *s, ms_t delay_ms,
                      struct settlement *ret)
{
    struct settlement apart = *s;

    apart.dsn = NULL;
    apart.job.rcpts = calloc(in->attempt->claim->job.nrcpts + 1, sizeof *apart.job.rcpts);
    if (apart.job.rcpts == NULL)
        return ERR_NOMEM;
    if (s->job.nrcpts > 0)
        memcpy(apart.job.rcpts, s->job.rcpts, s->job.nrcpts * sizeof *s->job.rcpts);
    settle_without_report(in, &apart, delay_ms);
    *ret = apart;
    return ERR_OK;
}

bool settle_may_convert(const struct settle_input *in, const struct settlement *s)
{
    const struct attempt *a = in->attempt;

    if (s->verb != FINISH_BADMAIL || !sender_null(a->claim))
        return false;
    for (size_t i = 0; i < a->claim->job.nrcpts; i++) {
        const struct outcome *o = &a->outcomes[i];
        bool octets = o->tried && !o->carried &&
                      (o->failure == FAILURE_NEEDS_8BIT || o->failure == FAILURE_NEEDS_UTF8) &&
                      span_is_ascii(a->claim->job.rcpts[i].address);

        if (fate_of(o) != FATE_DELIVERED && !octets)
            return false;
    }
    return true;
}

void settle_converted(const struct settle_input *in, struct settlement *s)
{
    keep_undelivered(in, s);
    for (size_t i = 0; i < s->job.nrcpts; i++)
        s->job.rcpts[i].reply = SPAN("");
    s->converted = true;
    s->bounced = 0;
    s->verb = FINISH_DONE;
    s->event = "converted";
}

void settle_unreportable(const struct settle_input *in, struct settlement *s)
{
    if (s->bounced > 0 && s->deferred > 0) {
        settle_without_report(in, s, s->delay_ms); /* until all are returned */
        return;
    }
    s->ndsn = 0;
    if (s->bounced == 0)
        return;
    keep_undelivered(in, s);
    s->verb = FINISH_BADMAIL;
    s->event = "badmail";
}

void settle_damaged(const struct settle_input *in, struct settlement *s)
{
    keep_undelivered(in, s);
    if (s->job.nrcpts == 0)
        return;
    s->ndsn = 0;
    s->verb = FINISH_BADMAIL;
    s->event = "badmail";
    s->reason = SPAN("the body of the message is missing in the queue or damaged");
}

void settlement_done(struct settlement *s)
{
    free(s->dsn);
    free(s->job.rcpts);
    s->dsn = NULL;
    s->ndsn = 0;
    s->job.rcpts = NULL;
    s->job.nrcpts = 0;
}
