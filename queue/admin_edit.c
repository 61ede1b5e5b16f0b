/* Changing jobs: a walk whose pages are followed by one call of the script `edit` for what they held. */
#include "queue/admin_int.h"

#include <stdio.h>
#include <string.h>

enum { BATCH_MAX = 100, TEXT_MAX = 256, WHOM_MAX = 200 };

static const struct {
    const char *script;
    unsigned places; /* where it can be done */
} verbs[] = {
    [ADMIN_RETRY_NOW] = {"retry", ADMIN_QUEUED},
    [ADMIN_DELETE] = {"delete", ADMIN_QUEUED | ADMIN_BADMAIL | ADMIN_QUARANTINE},
    [ADMIN_RETURN] = {"bounce", ADMIN_QUEUED},
    [ADMIN_REQUEUE] = {"requeue", ADMIN_BADMAIL | ADMIN_QUARANTINE},
    [ADMIN_FREEZE] = {"freeze", ADMIN_QUEUED},
    [ADMIN_THAW] = {"thaw", ADMIN_QUEUED},
};
struct edit {
    struct admin_walk walk;
    enum admin_verb verb;
    bool dry_run;
    char text[TEXT_MAX + 1];
    admin_job_fn *each;
    admin_result_fn *done;
    void *arg;
    struct admin_result result;
    struct {
        char id[MSGID_LEN + 1];
        uint32_t index;
        char whom[WHOM_MAX + 1]; /* for the history */
    } batch[BATCH_MAX];
    size_t count;
};

static void send_batch(struct edit *ed);

/* --- All of a queue is to be tried, also what a worker has in hand: no walk --------------------------- */

static bool whole_queues(const struct edit *ed)
{
    const struct admin_filter *f = &ed->walk.filter;
    return ed->verb == ADMIN_RETRY_NOW && !ed->dry_run && ed->each == NULL && !ed->walk.one_message &&
           f->sender.len + f->rcpt.len + strlen(ed->walk.prefix) == 0 && f->min_age_ms + f->max_age_ms == 0 &&
           f->limit == 0;
}

static void retry_some(struct edit *ed, bool first);

static void retried(struct admin_op *op, const struct redisReply *reply)
{
    struct edit *ed = (struct edit *)op;
    uint64_t waiting = reply_u64_at(reply, 0, 0);
    ed->walk.matched += waiting;
    ed->result.changed += waiting;
    if (reply_u64_at(reply, 1, 0) != 0)
        retry_some(ed, false);
    else
        admin_walk_on(&ed->walk);
}

static void retry_some(struct edit *ed, bool first)
{
    struct admin_op *op = &ed->walk.op;
    struct redis_request *rq = admin_script(op, retried, SCRIPT_RETRY, op->a->tags[ed->walk.partition], 4);
    if (rq == NULL)
        return;
    redis_arg_u64(rq, op->a->history);
    redis_arg(rq, span_from(admin_walk_source(&ed->walk), 2));
    redis_arg_str(rq, ed->text);
    redis_arg_u64(rq, first);
    admin_send(op, rq);
}

static void edit_list(struct admin_walk *w)
{
    struct edit *ed = (struct edit *)w;
    if (whole_queues(ed) && span_has_prefix(admin_walk_source(w), SPAN("q:")))
        retry_some(ed, true);
    else
        admin_walk_page(w);
}

/* As the script decides, for a dry run. */
static bool in_state_for(enum admin_verb verb, const struct admin_job *j)
{
    return (verbs[verb].places & j->place) != 0 && !(j->frozen && verb == ADMIN_RETRY_NOW);
}

/* "<a@x> <b@x> and 3 more" */
static void name_recipients(const struct job *job, char out[WHOM_MAX + 1])
{
    enum { MORE_MAX = 20 };
    size_t n = 0, i = 0;
    out[0] = '\0';
    for (; i < job->nrcpts && n + job->rcpts[i].address.len + 3 <= WHOM_MAX - MORE_MAX; i++)
        n += (size_t)snprintf(out + n, WHOM_MAX + 1 - n, "%s<" SPAN_FMT ">", i > 0 ? " " : "",
                              SPAN_ARG(job->rcpts[i].address));
    if (i < job->nrcpts)
        (void)snprintf(out + n, WHOM_MAX + 1 - n, "%s%zu%s", i > 0 ? " and " : "", job->nrcpts - i,
                       i > 0 ? " more" : " recipients");
    for (char *p = out; *p != '\0'; p++) /* a line each */
        *p = *p == '\n' ? ' ' : *p;
}

static bool edit_job(struct admin_walk *w, const struct admin_job *j)
{
    struct edit *ed = (struct edit *)w;
    /* What was just frozen is met again at the end of its queue. */
    if ((ed->verb == ADMIN_THAW && !j->frozen) || (ed->verb == ADMIN_FREEZE && j->frozen)) {
        w->matched--;
        return true;
    }
    if (ed->each != NULL && !ed->each(ed->arg, j)) {
        w->matched--;
        return false;
    }
    if (j->place == ADMIN_IN_HAND || j->place == ADMIN_STAGED) {
        ed->result.in_hand++;
    } else if (!in_state_for(ed->verb, j)) {
        ed->result.refused++;
    } else if (ed->count < BATCH_MAX) { /* a page is smaller */
        memcpy(ed->batch[ed->count].id, j->id.id, sizeof ed->batch[0].id);
        name_recipients(&j->job, ed->batch[ed->count].whom);
        ed->batch[ed->count++].index = j->index;
    }
    return true;
}

/* --- After a page -------------------------------------------------------------------------------- */

static void edited(struct admin_op *op, const struct redisReply *reply)
{
    struct edit *ed = (struct edit *)op;
    size_t left = 0;
    for (size_t i = 0; i < ed->count; i++) {
        int64_t done;
        if (!reply_i64(reply_at(reply, i), &done))
            done = 0;
        if (done > 0)
            ed->result.changed++;
        else if (done == -1)
            ed->result.in_hand++;
        else if (done == -3)
            ed->batch[left++] = ed->batch[i];
        else
            ed->result.refused++;
    }
    bool progress = left < ed->count;
    ed->count = left;
    if (left > 0 && progress)
        send_batch(ed);
    else
        admin_walk_on(&ed->walk);
}

/* The reason, and a line for each of the batch (queue/lua/README.md). */
static void arg_text(struct redis_request *rq, const struct edit *ed)
{
    char text[TEXT_MAX + BATCH_MAX * (WHOM_MAX + 1) + 1];
    size_t n = (size_t)snprintf(text, sizeof text, "%s", ed->text);
    for (size_t i = 0; i < ed->count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "\n%s", ed->batch[i].whom);
    redis_arg(rq, span_of(text, n));
}

static void send_batch(struct edit *ed)
{
    struct admin_op *op = &ed->walk.op;
    struct redis_request *rq =
        admin_script(op, edited, SCRIPT_EDIT, op->a->tags[ed->walk.partition], 3 + 2 * ed->count);
    if (rq == NULL)
        return;
    redis_arg_u64(rq, op->a->history);
    redis_arg_str(rq, verbs[ed->verb].script);
    arg_text(rq, ed);
    for (size_t i = 0; i < ed->count; i++) {
        redis_arg_str(rq, ed->batch[i].id);
        redis_arg_u64(rq, ed->batch[i].index);
    }
    admin_send(op, rq);
}

static void edit_page_end(struct admin_walk *w)
{
    struct edit *ed = (struct edit *)w;
    if (ed->dry_run) {
        ed->result.changed += ed->count;
        ed->count = 0;
    }
    if (ed->count > 0)
        send_batch(ed);
    else
        admin_walk_on(&ed->walk);
}

/* --- Beginning and ending ------------------------------------------------------------------------ */

static void edit_finish(struct admin_op *op, enum err e, const char *why)
{
    struct edit *ed = (struct edit *)op;
    ed->result.matched = ed->walk.matched;
    ed->done(ed->arg, e, &ed->result, why);
}

enum err admin_edit(struct admin *a, enum admin_verb verb, const struct admin_filter *f, struct span text,
                    bool dry_run, admin_job_fn *each, admin_result_fn *done, void *arg)
{
    static const struct admin_walk_hooks hooks = {edit_list, edit_job, edit_page_end};
    static const struct admin_op_kind kind = {admin_walk_begin, edit_finish, admin_walk_release, false};
    if (text.len > TEXT_MAX)
        return ERR_TOOBIG;
    struct edit *ed = (struct edit *)admin_op_new(a, sizeof *ed, &kind);
    if (ed == NULL)
        return ERR_NOMEM;
    ed->verb = verb;
    ed->dry_run = dry_run;
    ed->each = each;
    ed->done = done;
    ed->arg = arg;
    (void)snprintf(ed->text, sizeof ed->text, SPAN_FMT, SPAN_ARG(text));
    for (char *p = ed->text; *p != '\0'; p++)
        *p = *p == '\n' ? ' ' : *p;
    return admin_walk_init(&ed->walk, &hooks, f);
}
