/* End of data to durable.
 *
 *   upload_commit ──> SEALING (body of several chunks) ──> STAGING (more jobs than one script takes) ──>
 * TRYING
 *
 *   TRYING     the script is sent; with replicas promised, WAIT follows the group on the same connection
 *     ok, confirmed ──> done(ERR_OK)
 *     not executed (loading, no replicas, unreachable) ──> PAUSED, tried again, at most COMMIT_PATIENCE_MS
 *     reply lost ──> PAUSED, tried again with the same id, at most COMMIT_TIMEOUT_MS
 *     executed, but too few replicas ──> PAUSED, tried again (the script writes, so that WAIT waits),
 * PATIENCE_MS CANCELING  the time is over, and it may have been executed: cancel makes it undone or says that
 * it is too late for that, which is as good as done. The answer is not waited for longer than CANCEL_MS; the
 * request itself goes on for CANCEL_TRIES_MS.
 *
 * Nothing but COMMIT_TIMEOUT_MS bounds a commit whose fate is unknown: saying 451 early would let the client
 * send the message a second time. */
#include "queue/redis_commit.h"

#include "queue/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CANCEL_MS = 5000,
    CANCEL_TRIES_MS = 600000,
    SHUN_MS = 10000,
    JOBS_PER_PART = 500, /* what one script takes; all but the last part are staged */
    PART_BYTES = 1 << 20,
    STAGINGS_MAX = 3,
    JOB_ARGS = 3,
};

/* --- Lists --------------------------------------------------------------------------------------- */

void redis_commit_push(struct redis_commit_list *l, struct redis_commit *c)
{
    if (l->tail == NULL)
        l->tail = &l->head;
    c->next = NULL;
    *l->tail = c;
    l->tail = &c->next;
    l->count++;
}

struct redis_commit *redis_commit_pop(struct redis_commit_list *l)
{
    struct redis_commit *c = l->head;
    if (c == NULL)
        return NULL;
    l->head = c->next;
    if (l->head == NULL)
        l->tail = &l->head;
    l->count--;
    c->next = NULL;
    return c;
}

/* --- Ending -------------------------------------------------------------------------------------- */

static void free_parts(struct redis_commit *c)
{
    for (size_t i = 0; i < c->nparts; i++)
        redis_request_unref(c->parts[i].args);
    free(c->parts);
    redis_request_unref(c->head);
    c->parts = NULL;
    c->nparts = 0;
    c->head = NULL;
}

static void commit_free(struct redis_commit *c)
{
    *c->newer = c->older;
    if (c->older != NULL)
        c->older->newer = c->newer;
    free_parts(c);
    redis_request_unref(c->request);
    redis_before_drop(c->st, &c->before);
    if (c->cancel != NULL)
        c->cancel->commit = NULL;
    if (c->upload != NULL)
        redis_upload_abort(&c->upload->upload);
    free(c);
}

static void succeed(struct redis_commit *c)
{
    struct redis_store *st = c->st;
    metric_inc(&st->metrics.commits);
    metric_observe_ms(&st->metrics.commit_latency, loop_now(st->loop) - c->started_ms);
    if (c->verdict == 0)
        metric_inc(&st->metrics.commits_retried);
    if (c->verdict == 2)
        redis_store_wake(st, c->id.partition);
    redis_redo_keep(st, &c->id, c->request, &c->before);
    c->done(c->arg, ERR_OK, &c->id, "");
    commit_free(c);
}

static void give_up(struct redis_commit *c, enum err e)
{
    metric_inc(&c->st->metrics.commits_failed);
    c->done(c->arg, e, &c->id, c->why);
    commit_free(c);
}

/* --- Canceling ----------------------------------------------------------------------------------- */

static void cancel_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                        const char *why)
{
    struct redis_cancel *cancel = arg;
    struct redis_commit *c = cancel->commit;
    uint64_t n = 1;
    (void)rq;
    (void)why;
    free(cancel);
    if (c == NULL)
        return;
    c->cancel = NULL;
    if (e == ERR_CANCELED)
        return; /* store_free() ends the commit */
    if (e == ERR_OK && reply_u64(reply, 2, &n) && n == 2 && redis_replicas_wanted(c->st) == 0)
        succeed(c); /* a worker has it already: it is as committed as can be */
    else            /* also when a worker has it but no replica does: rather twice than not at all */
        give_up(c, c->attempt == ERR_FULL ? ERR_FULL : ERR_AGAIN);
}

static void cancel(struct redis_commit *c)
{
    struct redis_partition *p = redis_store_partition(c->st, c->id.partition);
    struct redis_cancel *cancel = calloc(1, sizeof *cancel);
    struct redis_request *rq = redis_request_new(cancel_done, cancel);
    ms_t now = loop_now(c->st->loop);
    if (cancel == NULL || rq == NULL) {
        free(cancel);
        redis_request_unref(rq);
        give_up(c, ERR_AGAIN);
        return;
    }
    cancel->commit = c;
    c->cancel = cancel;
    c->state = CANCELING;
    c->cancel_until_ms = ms_after(now, CANCEL_MS);
    redis_script(rq, SCRIPT_CANCEL, p->tag, 1);
    redis_arg_str(rq, c->id.id);
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    rq->give_up_ms = ms_after(now, CANCEL_TRIES_MS);
    redis_link_send(c->lane->link, rq);
}

static void answer_without_cancel(struct redis_commit *c)
{
    c->cancel->commit = NULL;
    c->cancel = NULL;
    give_up(c, c->attempt == ERR_FULL ? ERR_FULL : ERR_AGAIN);
}

/* --- Judging an attempt -------------------------------------------------------------------------- */

static void pause(struct redis_commit *c)
{
    c->state = PAUSED;
    redis_commit_push(&c->st->paused, c);
}

void redis_commit_judge(struct redis_commit *c)
{
    ms_t age = loop_now(c->st->loop) - c->started_ms;
    if (c->attempt == ERR_OK) {
        succeed(c);
        return;
    }
    bool passing = c->attempt == ERR_AGAIN || c->attempt == ERR_UNKNOWN || c->attempt == ERR_TIMEOUT;
    ms_t patience = c->maybe && c->attempt != ERR_TIMEOUT ? COMMIT_TIMEOUT_MS : COMMIT_PATIENCE_MS;
    if (passing && age < patience)
        pause(c);
    else if (c->maybe)
        cancel(c);
    else
        give_up(c, passing || c->attempt == ERR_NOTFOUND || c->attempt == ERR_STATE ? ERR_AGAIN : c->attempt);
}

static enum err start_staging(struct redis_commit *c) MUST_USE;

static void attempt_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                         const char *why)
{
    struct redis_commit *c = arg;
    rq->refs++; /* it stays ours */
    if (e == ERR_CANCELED)
        return; /* the link goes: store_free() ends the commit */
    c->attempt = e;
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    if (e == ERR_OK && !reply_u64(reply, 2, &c->verdict)) {
        c->attempt = ERR_BACKEND;
        (void)snprintf(c->why, sizeof c->why, "the commit script answered what it never answers");
    }
    if (e == ERR_OK || e == ERR_UNKNOWN)
        c->maybe = true;
    if (e == ERR_UNKNOWN)
        redis_request_retry(rq);
    if (e == ERR_AGAIN && span_has_prefix(buf_span(&rq->error), SPAN("DRAIN")))
        redis_store_partition(c->st, c->id.partition)->shun_until_ms = loop_now(c->st->loop) + SHUN_MS;
    if (c->in_group)
        return; /* until the WAIT behind it is answered */
    if (e != ERR_NOTFOUND || c->nparts <= 1 || c->stagings >= STAGINGS_MAX)
        redis_commit_judge(c);
    else if (start_staging(c) != ERR_OK)
        give_up(c, ERR_AGAIN);
}

/* --- Building ------------------------------------------------------------------------------------ */

enum err redis_arg_job(struct redis_request *rq, const struct commit_job *job)
{
    struct buf blob;
    buf_init(&blob, JOB_MAX);
    enum err e = job_encode(job->job, &blob);
    if (e == ERR_OK && job->job->domain.len == 0)
        e = ERR_PARSE;
    if (e == ERR_OK) {
        redis_arg_queue(rq, job->job->domain, job->job->klass);
        redis_arg_u64(rq, job->delay_ms);
        redis_arg(rq, buf_span(&blob));
        e = rq->bad ? ERR_TOOBIG : ERR_OK;
    }
    buf_done(&blob);
    return e;
}

static enum err new_part(struct redis_commit *c)
{
    struct redis_job_args *parts = realloc(c->parts, (c->nparts + 1) * sizeof *parts);
    if (parts == NULL)
        return ERR_NOMEM;
    c->parts = parts;
    c->parts[c->nparts] = (struct redis_job_args){redis_request_new(NULL, NULL), 0};
    if (c->parts[c->nparts].args == NULL)
        return ERR_NOMEM;
    c->nparts++;
    return ERR_OK;
}

static enum err encode_jobs(struct redis_commit *c, const struct commit_job *jobs, size_t njobs)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < njobs && e == ERR_OK; i++) {
        struct redis_job_args *last = c->nparts == 0 ? NULL : &c->parts[c->nparts - 1];
        if (last == NULL || last->count == JOBS_PER_PART || last->args->bytes.len > PART_BYTES) {
            e = new_part(c);
            last = &c->parts[c->nparts - 1];
        }
        if (e == ERR_OK)
            e = redis_arg_job(last->args, &jobs[i]);
        if (e == ERR_OK)
            last->count++;
    }
    return e;
}

static enum err encode_head(struct redis_commit *c, const struct envelope *env)
{
    struct buf out;
    buf_init(&out, ENVELOPE_MAX);
    enum err e = envelope_encode(env, &out);
    c->head = redis_request_new(NULL, NULL);
    if (e == ERR_OK && c->head == NULL)
        e = ERR_NOMEM;
    if (e == ERR_OK) {
        redis_arg(c->head, buf_span(&out));
        buf_clear(&out);
        e = buf_addf(&out, "from=<" SPAN_FMT ">", SPAN_ARG(env->sender));
    }
    if (e == ERR_OK)
        redis_arg(c->head, buf_span(&out)); /* what tracking shows of it */
    buf_done(&out);
    return e == ERR_OK && c->head->bad ? ERR_TOOBIG : e;
}

/* The commit itself; with a small body's SET in front of it. */
static enum err build_request(struct redis_commit *c, struct redis_upload *u)
{
    struct redis_partition *p = redis_store_partition(c->st, c->id.partition);
    struct redis_request *rq = redis_request_new(attempt_done, c);
    struct redis_described d;
    if (rq == NULL)
        return ERR_NOMEM;
    enum err e = redis_upload_describe(u, &d);
    if (e != ERR_OK) {
        redis_request_unref(rq);
        return e;
    }
    const struct redis_job_args *last = &c->parts[c->nparts - 1];
    size_t staged = 0;
    for (size_t i = 0; i + 1 < c->nparts; i++)
        staged += c->parts[i].count;
    c->small = d.small;
    if (d.small)
        redis_command_set_body(rq, p, &c->id, &d);
    redis_script(rq, SCRIPT_COMMIT, p->tag, 10 + last->count * JOB_ARGS);
    redis_arg_u64(rq, c->st->history);
    redis_arg_retry(rq);
    redis_arg_str(rq, c->id.id);
    redis_args(rq, c->head);
    redis_arg_described(rq, &d);
    redis_arg_u64(rq, staged);
    redis_args(rq, last->args);
    redis_described_done(&d);
    c->request = rq;
    return rq->bad ? ERR_NOMEM : ERR_OK;
}

/* --- Staging ------------------------------------------------------------------------------------- */

static enum err send_stage(struct redis_commit *c) MUST_USE;

static void stage_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    struct redis_commit *c = arg;
    (void)reply;
    if (e == ERR_CANCELED)
        return;
    if (e == ERR_OK) {
        redis_before_keep(c->st, &c->before, rq);
        c->part++;
        if (send_stage(c) != ERR_OK)
            give_up(c, ERR_AGAIN);
        return;
    }
    c->attempt = e == ERR_UNKNOWN ? ERR_AGAIN : e; /* staged jobs are no message: nothing to take back */
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    give_up(c, c->attempt == ERR_FULL || c->attempt == ERR_BACKEND ? c->attempt : ERR_AGAIN);
}

/* The next part that goes ahead of the commit; then the commit. An error: out of memory, nothing was sent. */
static enum err send_stage(struct redis_commit *c)
{
    if (c->part + 1 >= c->nparts) {
        redis_lane_submit(c);
        return ERR_OK;
    }
    struct redis_partition *p = redis_store_partition(c->st, c->id.partition);
    struct redis_request *rq = redis_request_new(stage_done, c);
    c->lane = redis_lane_pick(c->st);
    if (rq == NULL)
        return ERR_NOMEM;
    size_t first = 1;
    for (size_t i = 0; i < c->part; i++)
        first += c->parts[i].count;
    redis_script(rq, SCRIPT_STAGE, p->tag, 3 + c->parts[c->part].count * JOB_ARGS);
    redis_arg_str(rq, c->id.id);
    redis_arg_u64(rq, c->part == 0);
    redis_arg_u64(rq, first);
    redis_args(rq, c->parts[c->part].args);
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    rq->give_up_ms = ms_after(loop_now(c->st->loop), COMMIT_PATIENCE_MS);
    redis_link_send(c->lane->link, rq);
    return ERR_OK;
}

static enum err start_staging(struct redis_commit *c)
{
    c->state = STAGING;
    c->stagings++;
    c->part = 0;
    redis_before_cut(c->st, &c->before, c->chunks);
    return send_stage(c);
}

/* --- Beginning ----------------------------------------------------------------------------------- */

/* The body is there, or small: on with it. Takes u, unless it returns an error. */
static enum err begin(struct redis_commit *c, struct redis_upload *u)
{
    /* While Redis cannot be reached a commit waits for it; one that might lose the mail is not asked. */
    enum err e = c->st->unsafe ? ERR_AGAIN : build_request(c, u);
    if (e != ERR_OK)
        return e;
    c->before = u->before;
    c->chunks = c->before.n;
    u->before = (struct redis_before){.n = 0};
    e = start_staging(c);
    if (e != ERR_OK)
        return e;
    redis_upload_free(u);
    c->upload = NULL;
    if (c->nparts <= 1)
        free_parts(c); /* all of it is in the request */
    return ERR_OK;
}

static void on_sealed(void *arg, enum err e, const char *why)
{
    struct redis_commit *c = arg;
    struct redis_upload *u = c->upload;
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    if (e == ERR_OK)
        e = begin(c, u);
    if (e != ERR_OK)
        give_up(c, e == ERR_FULL || e == ERR_BACKEND ? e : ERR_AGAIN);
}

enum err redis_upload_commit(struct upload *up, const struct envelope *env, const struct commit_job *jobs,
                             size_t njobs, commit_fn *done, void *arg)
{
    struct redis_upload *u = (struct redis_upload *)up;
    struct redis_store *st = u->st;
    if (njobs == 0 || njobs > JOBS_PER_MESSAGE_MAX)
        return ERR_TOOBIG;
    if (u->failed != ERR_OK)
        return u->failed;
    if (!st->opened || redis_lane_pick(st) == NULL)
        return st->refusal != ERR_OK ? st->refusal : ERR_AGAIN;
    struct redis_commit *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    *c = (struct redis_commit){
        .st = st, .id = up->id, .done = done, .arg = arg, .started_ms = loop_now(st->loop)};
    c->older = st->commits;
    c->newer = &st->commits;
    if (c->older != NULL)
        c->older->newer = &c->older;
    st->commits = c;
    metric_add(&st->metrics.body_bytes, up->size_bytes);
    enum err e = encode_head(c, env);
    if (e == ERR_OK)
        e = encode_jobs(c, jobs, njobs);
    if (e == ERR_OK && redis_upload_is_small(u)) {
        e = begin(c, u);
    } else if (e == ERR_OK) {
        e = redis_upload_seal(u, on_sealed, c);
        c->upload = e == ERR_OK ? u : NULL;
    }
    if (e != ERR_OK)
        commit_free(c);
    return e;
}

void redis_commits_tick(struct redis_store *st)
{
    struct redis_commit_list paused = st->paused;
    struct redis_commit *c;
    redis_lanes_tick(st);
    st->paused = (struct redis_commit_list){.head = NULL};
    while ((c = redis_commit_pop(&paused)) != NULL)
        redis_lane_submit(c);
    for (struct redis_commit *older = st->commits; (c = older) != NULL;) {
        older = c->older;
        if (c->state == CANCELING && loop_now(st->loop) >= c->cancel_until_ms)
            answer_without_cancel(c); /* its owner may commit: newer ones come in front */
    }
}

void redis_commits_free(struct redis_store *st)
{
    while (st->commits != NULL) {
        struct redis_commit *c = st->commits;
        c->upload = NULL; /* goes with the store */
        c->done(c->arg, ERR_CANCELED, &c->id, "closing");
        commit_free(c);
    }
}
