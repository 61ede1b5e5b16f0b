/* Finishes and releases: records that leave together at the end of a turn, one script a partition.
 *
 *   store_finish ──> (report of several chunks: sealed first) ──> partition's list ──> batch ──> done()
 *
 * One batch of finishes of a partition is under way at a time; what ends meanwhile makes the next one, so
 * that the busier Redis is, the more of them share a script and an fsync. Releases do not wait: somebody else
 * does.
 *
 * A record is sent until it is answered: the token makes a second time harmless. A batch that the script
 * calls malformed is sent again record by record, so that one does not spoil the others. What Redis refuses
 * (no right to, no memory, a key of another type), or we have no memory to send, is held and told again until
 * it is taken: what was delivered must not be delivered again because an operator has something to mend, and
 * what was given back must not stay in our hand for as long as our lease is renewed. What there is no room to
 * hold is found by an audit when Redis takes records again. A job that is over, or of which some recipients
 * are settled, but whose lease was lost is told once more: if it waits in its queue as it was claimed, nobody
 * gets it a second time. A report that cannot be stored is given up: the record that goes without it says who
 * is settled all the same. */
#include "queue/redis_worker.h"

#include "queue/redis_error.h"
#include "queue/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REPORT_ARGS = 8,
    JOB_ARGS = 3,
    BODIES_MAX = 3,                   /* times the body of a report is sent */
    FAILED_AGAIN_MS = 60000,          /* until a job whose finish came to nothing is due again */
    HELD_MAX = 20000,                 /* records, and their bytes, that wait until Redis takes them */
    HELD_RELEASES_MAX = HELD_MAX / 2, /* a release takes no more of the room: an audit would make it again */
    HELD_BYTES_MAX = 32 << 20,
    HELD_PAUSE_MIN_MS = 500,
    HELD_PAUSE_MAX_MS = 16000,
};
enum { REDO_NONE = 0, REDO_WAITING = 2 }; /* finish.lua: jobs in hand; also those that wait in their queue */

struct batch {
    struct redis_store *st;
    struct redis_finish *head;
    size_t count;
};

/* --- Ending -------------------------------------------------------------------------------------- */

static void finish_free(struct redis_finish *f)
{
    f->st->worker->nrefused -= f->refused ? 1 : 0;
    *f->newer = f->older;
    if (f->older != NULL)
        f->older->newer = f->newer;
    redis_request_unref(f->record);
    redis_request_unref(f->report_head);
    redis_request_unref(f->report_jobs);
    redis_request_unref(f->without);
    redis_described_done(&f->described);
    buf_done(&f->claimed);
    if (f->upload != NULL)
        redis_upload_abort(&f->upload->upload);
    free(f);
}

static enum err release(struct redis_store *st, const struct redis_finished *what, ms_t delay_ms);

static void finish_end(struct redis_finish *f, enum err e)
{
    struct redis_store *st = f->st;
    if (e == ERR_STALE)
        metric_inc(&st->metrics.finishes_stale);
    else if (f->kind == KIND_FINISH && e == ERR_OK)
        metric_inc(&st->metrics.finishes);
    /* One with a report is not done again blindly: on a master that never saw it the job must come back, so
     * that its report is made anew. */
    if (e == ERR_OK && f->ends && !f->report) {
        f->what.at_ms = loop_now(st->loop);
        redis_redo_keep_finish(st, &f->what);
    }
    /* Nothing was changed, and nobody knows of the job any more: back to its queue, but not at once. */
    bool failed = e != ERR_OK && e != ERR_STALE && e != ERR_CANCELED;
    if (f->kind == KIND_FINISH && failed && release(st, &f->what, FAILED_AGAIN_MS) == ERR_OK)
        failed = false;
    if (failed)
        redis_store_partition(st, f->what.partition)->audit = true;
    if (f->done != NULL)
        f->done(f->arg, e == ERR_OK && f->report_lost ? ERR_NOTFOUND : e);
    finish_free(f);
}

static void add(struct redis_finish *f)
{
    struct redis_partition *p = redis_store_partition(f->st, f->what.partition);
    struct redis_finish **list = f->kind == KIND_RELEASE ? &p->releases : &p->finishes;
    f->next = *list;
    *list = f;
    deferred_arm(f->st->loop, &f->st->worker->send);
}

/* Goes on without the report, if that was provided for. */
static void report_gone(struct redis_finish *f, enum err e)
{
    if (f->without == NULL || e == ERR_CANCELED) {
        finish_end(f, e);
        return;
    }
    redis_request_unref(f->record);
    f->record = f->without;
    f->without = NULL;
    f->ends = f->without_ends;
    f->part = f->without_part;
    f->report = false;
    f->report_lost = true;
    redis_described_done(&f->described);
    if (f->upload != NULL)
        redis_upload_abort(&f->upload->upload);
    f->upload = NULL;
    add(f);
}

/* --- What was refused ---------------------------------------------------------------------------- */

static size_t weight_of(const struct redis_finish *f)
{
    size_t bytes = f->record->bytes.len + f->claimed.len;
    if (f->report)
        bytes += f->report_head->bytes.len + f->report_jobs->bytes.len + f->described.body.len;
    return bytes;
}

/* False: it cannot be told again. */
static bool hold(struct redis_finish *f, enum err e, bool alone, const char *why)
{
    struct redis_worker *w = f->st->worker;
    size_t bytes = weight_of(f);
    bool refused = e == ERR_BACKEND || e == ERR_FULL || e == ERR_AGAIN || e == ERR_NOMEM;
    size_t max = f->kind == KIND_FINISH ? HELD_MAX : HELD_RELEASES_MAX;
    if (!refused || !w->wanted || w->nheld >= max || bytes > HELD_BYTES_MAX - w->held_bytes)
        return false;
    if (w->held == NULL) {
        w->held_pause_ms = w->held_pause_ms == 0 ? HELD_PAUSE_MIN_MS : w->held_pause_ms * 2;
        if (w->held_pause_ms > HELD_PAUSE_MAX_MS)
            w->held_pause_ms = HELD_PAUSE_MAX_MS;
        w->held_until_ms = ms_after(loop_now(f->st->loop), w->held_pause_ms);
    }
    w->nrefused += f->refused ? 0 : 1;
    f->refused = true;
    (void)snprintf(w->refused_why, sizeof w->refused_why, "%s", why);
    f->alone = alone;
    f->next = w->held;
    w->held = f;
    w->nheld++;
    w->held_bytes += bytes;
    metric_inc(&f->st->metrics.finishes_held);
    return true;
}

static void tell_held(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    struct redis_finish *oldest = NULL, *next;
    for (struct redis_finish *f = w->held; f != NULL; f = next) {
        next = f->next;
        f->next = oldest;
        oldest = f;
    }
    for (struct redis_finish *f = oldest; f != NULL; f = next) {
        next = f->next;
        metric_dec(&st->metrics.finishes_held);
        add(f);
    }
    w->held = NULL;
    w->nheld = w->held_bytes = 0;
}

void redis_finishes_tick(struct redis_store *st)
{
    struct redis_worker *w = st->worker;
    ms_t now = loop_now(st->loop);
    if (!st->usable)
        return;
    if (w->held != NULL && now >= w->held_until_ms)
        tell_held(st);
    if (!w->valid || now < w->audit_ms)
        return;
    w->audit_ms = ms_after(now, HELD_PAUSE_MAX_MS);
    for (unsigned i = 0; i < st->npartitions; i++) {
        if (st->partitions[i].audit)
            redis_audit(st, i);
    }
}

enum err redis_finishes_warnings(const struct redis_store *st, struct buf *out)
{
    if (st->worker->nrefused == 0)
        return ERR_OK;
    return buf_addf(
        out,
        "%sRedis does not take what became of jobs; it is kept and told again, and what is not taken by "
        "the time that this process ends is delivered again: %s",
        out->len > 0 ? "\n" : "", st->worker->refused_why);
}

static void record_answered(struct redis_finish *f, const struct redisReply *reply)
{
    int64_t n;
    if (!reply_i64(reply, &n)) {
        finish_end(f, ERR_BACKEND);
    } else if (n == -1 && f->described.small && ++f->bodies_sent < BODIES_MAX) {
        add(f); /* the report's body was lost: with it, again */
    } else if (n == -1) {
        report_gone(f, ERR_AGAIN); /* of several chunks: it has to be made anew */
    } else if (n == 0 && (f->ends || f->part) && !f->again) {
        f->again = true;
        add(f);
    } else {
        if (n == 2)
            redis_store_wake(f->st, f->what.partition);
        finish_end(f, n > 0 ? ERR_OK : ERR_STALE);
    }
}

static void send_batch(struct redis_store *st, struct redis_finish *head, size_t count);

static void batch_landed(struct redis_store *st, unsigned partition)
{
    struct redis_partition *p = redis_store_partition(st, partition);
    p->finishing--;
    if (p->finishes != NULL)
        deferred_arm(st->loop, &st->worker->send);
}

static void batch_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    struct batch *b = arg;
    struct redis_finish *f = b->head, *next;
    bool split = e == ERR_PARSE && b->count > 1;
    bool alone = redis_error_find(buf_span(&rq->error))->action == REDIS_FAIL && b->count > 1;
    if (e == ERR_OK)
        b->st->worker->held_pause_ms = 0;
    if (f->kind == KIND_FINISH)
        batch_landed(b->st, f->what.partition);
    for (size_t i = 0; f != NULL; f = next, i++) {
        next = f->next;
        f->next = NULL;
        if (split)
            send_batch(b->st, f, 1);
        else if (e == ERR_OK)
            record_answered(f, reply_at(reply, i));
        else if (!hold(f, e, alone, why))
            report_gone(f, e);
    }
    free(b);
}

/* The record, and the report that is committed with it. */
static void write_record(struct redis_request *rq, const struct redis_finish *f)
{
    redis_args(rq, f->record);
    if (!f->report)
        return;
    redis_args(rq, f->report_head);
    redis_arg_described(rq, &f->described);
    redis_arg_u64(rq, f->nreport_jobs);
    redis_args(rq, f->report_jobs);
}

/* The body of a small report goes ahead of the script, in the same write; a copy stays for -1. */
static void write_report_body(struct redis_request *rq, struct redis_store *st, struct redis_finish *f)
{
    struct redis_described copy = f->described;
    struct msgid id = f->report_id;
    buf_init(&copy.body, BODY_CHUNK_MAX);
    if (buf_add(&copy.body, buf_span(&f->described.body)) != ERR_OK)
        rq->bad = true;
    redis_command_set_body(rq, redis_store_partition(st, f->what.partition), &id, &copy);
    buf_done(&copy.body);
}

/* head: records of one partition and one incarnation, linked by next. */
static void send_batch(struct redis_store *st, struct redis_finish *head, size_t count)
{
    struct batch *b = calloc(1, sizeof *b);
    struct redis_request *rq = redis_request_new(batch_done, b);
    if (b == NULL || rq == NULL) {
        free(b);
        redis_request_unref(rq);
        for (struct redis_finish *next; head != NULL; head = next) {
            next = head->next;
            head->next = NULL;
            if (!hold(head, ERR_NOMEM, false, err_text(ERR_NOMEM)))
                finish_end(head, ERR_NOMEM);
        }
        return;
    }
    *b = (struct batch){.st = st, .head = head, .count = count};
    struct redis_partition *p = redis_store_partition(st, head->what.partition);
    size_t arguments = 0;
    for (const struct redis_finish *f = head; f != NULL; f = f->next)
        arguments += f->arguments + (f->report ? REPORT_ARGS + f->nreport_jobs * JOB_ARGS : 0);
    if (head->report && head->described.small)
        write_report_body(rq, st, head);
    if (head->kind == KIND_RELEASE) {
        redis_script(rq, SCRIPT_RELEASE, p->tag, 1 + arguments);
        redis_arg_str(rq, head->what.worker);
    } else {
        p->finishing++;
        redis_script(rq, SCRIPT_FINISH, p->tag, 3 + arguments);
        redis_arg_u64(rq, st->history);
        redis_arg_str(rq, head->what.worker);
        if (head->again && head->part)
            redis_arg(rq, buf_span(&head->claimed));
        else
            redis_arg_u64(rq, head->again ? REDO_WAITING : REDO_NONE);
    }
    for (const struct redis_finish *f = head; f != NULL; f = f->next)
        write_record(rq, f);
    rq->flags = REQUEST_RESEND | REQUEST_WAIT;
    redis_link_send(st->control, rq);
}

/* What its script is told of one of them it is told of all. */
static bool goes_alone(const struct redis_finish *f)
{
    return f->report || f->alone || (f->again && f->part);
}

/* Cuts the list into batches: one incarnation, bounded, a report alone. The list is newest first. */
static void flush_list(struct redis_store *st, struct redis_finish **list)
{
    struct redis_finish *head = NULL, *f = *list;
    size_t count = 0, bytes = 0;
    *list = NULL;
    while (f != NULL) {
        struct redis_finish *next = f->next;
        bool fits = head != NULL && count < FINISH_BATCH && bytes < FINISH_BATCH_BYTES && !goes_alone(f) &&
                    !goes_alone(head) && head->again == f->again &&
                    strcmp(head->what.worker, f->what.worker) == 0;
        if (head != NULL && !fits) {
            send_batch(st, head, count);
            head = NULL;
            count = bytes = 0;
        }
        f->next = head;
        head = f;
        count++;
        bytes += f->record->bytes.len;
        f = next;
    }
    if (head != NULL)
        send_batch(st, head, count);
}

static void flush(struct redis_store *st, bool all)
{
    for (unsigned i = 0; i < st->npartitions; i++) {
        struct redis_partition *p = &st->partitions[i];
        if (p->finishes != NULL && (all || p->finishing == 0))
            flush_list(st, &p->finishes);
        if (p->releases != NULL)
            flush_list(st, &p->releases);
    }
}

void redis_finishes_flush(struct redis_store *st)
{
    tell_held(st);
    flush(st, true);
}

static void on_send(void *arg)
{
    flush(arg, false);
}

/* --- Making records ------------------------------------------------------------------------------ */

static struct redis_finish *finish_new(struct redis_store *st, enum redis_finish_kind kind,
                                       const struct redis_finished *what)
{
    struct redis_finish *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->st = st;
    f->kind = kind;
    f->what = *what;
    buf_init(&f->claimed, JOB_MAX + 1);
    f->record = redis_request_new(NULL, NULL);
    f->older = st->worker->finishes;
    f->newer = &st->worker->finishes;
    if (f->older != NULL)
        f->older->newer = &f->older;
    st->worker->finishes = f;
    if (f->record != NULL)
        return f;
    finish_free(f);
    return NULL;
}

static struct redis_finished what_of(const struct redis_claim *c)
{
    struct redis_finished what = {
        .partition = c->claim.id.partition, .index = c->claim.index, .token = c->claim.token};
    memcpy(what.id, c->claim.id.id, sizeof what.id);
    memcpy(what.worker, c->worker, sizeof what.worker);
    return what;
}

static bool settles_a_part(const struct finish *in)
{
    return in->verb == FINISH_RETRY && in->job != NULL && in->delivered + in->bounced > 0;
}

static enum err encode_without(struct redis_finish *f, const struct finish *in)
{
    f->without_ends = in->verb == FINISH_DONE;
    f->without_part = settles_a_part(in);
    f->without = redis_request_new(NULL, NULL);
    return f->without == NULL ? ERR_NOMEM : redis_record_encode(f->without, &f->what, in, false);
}

static enum err encode_report(struct redis_finish *f, const struct finish *in)
{
    struct buf out;
    buf_init(&out, ENVELOPE_MAX);
    f->report_head = redis_request_new(NULL, NULL);
    f->report_jobs = redis_request_new(NULL, NULL);
    enum err e = f->report_head == NULL || f->report_jobs == NULL ? ERR_NOMEM : ERR_OK;
    if (e == ERR_OK && (in->nreport_jobs == 0 || in->nreport_jobs > JOB_RCPTS_MAX))
        e = ERR_TOOBIG;
    if (e == ERR_OK)
        e = envelope_encode(in->report_env, &out);
    if (e == ERR_OK) {
        f->report_id = *upload_id(in->report);
        redis_arg_str(f->report_head, f->report_id.id);
        redis_arg(f->report_head, buf_span(&out));
        redis_arg_str(f->report_head, "report");
    }
    for (size_t i = 0; i < in->nreport_jobs && e == ERR_OK; i++)
        e = redis_arg_job(f->report_jobs, &in->report_jobs[i]);
    buf_done(&out);
    f->nreport_jobs = in->nreport_jobs;
    f->report = true;
    return e == ERR_OK && f->report_head->bad ? ERR_NOMEM : e;
}

/* All of the report's body is in Redis, or it is small: the record can go. */
static enum err report_ready(struct redis_finish *f)
{
    enum err e = redis_upload_describe(f->upload, &f->described);
    if (e != ERR_OK)
        return e;
    redis_upload_free(f->upload);
    f->upload = NULL;
    add(f);
    return ERR_OK;
}

static void report_sealed(void *arg, enum err e, const char *why)
{
    struct redis_finish *f = arg;
    (void)why;
    if (e == ERR_OK)
        e = report_ready(f);
    if (e != ERR_OK)
        report_gone(f, e == ERR_FULL || e == ERR_BACKEND || e == ERR_CANCELED ? e : ERR_AGAIN);
}

/* Takes u, unless it returns an error: what goes without the report, if need be, goes without it at once. */
static enum err send_report(struct redis_finish *f, struct redis_upload *u)
{
    f->upload = u;
    enum err e = u->failed;
    if (e == ERR_OK)
        e = redis_upload_is_small(u) ? report_ready(f) : redis_upload_seal(u, report_sealed, f);
    if (e != ERR_OK && f->without != NULL) {
        report_gone(f, e);
        return ERR_OK;
    }
    f->upload = e == ERR_OK ? f->upload : NULL;
    return e;
}

enum err redis_finish_job(struct store *store, const struct finish *in, done_fn *done, void *arg)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_claim *c = (struct redis_claim *)in->claim;
    struct redis_finished what = what_of(c);
    struct redis_finish *f = finish_new(st, KIND_FINISH, &what);
    struct redis_upload *u = (struct redis_upload *)in->report;
    if (f == NULL)
        return ERR_NOMEM;
    enum err e = redis_record_encode(f->record, &what, in, u != NULL);
    f->arguments = REDIS_RECORD_ARGS;
    f->ends = in->verb == FINISH_DONE;
    f->part = settles_a_part(in);
    if (e == ERR_OK && (f->part || (in->without != NULL && settles_a_part(in->without)))) {
        e = buf_addc(&f->claimed, '=');
        if (e == ERR_OK)
            e = buf_add(&f->claimed, c->job_text);
    }
    if (e == ERR_OK && u != NULL && upload_id(in->report)->partition != what.partition)
        e = ERR_STATE; /* one script, one partition: store_upload() with `near` */
    if (e == ERR_OK && u != NULL)
        e = encode_report(f, in);
    if (e == ERR_OK && u != NULL && in->without != NULL)
        e = encode_without(f, in->without);
    if (e == ERR_OK && u == NULL)
        add(f);
    else if (e == ERR_OK)
        e = send_report(f, u);
    if (e != ERR_OK) {
        finish_free(f);
        return e;
    }
    f->done = done;
    f->arg = arg;
    redis_claim_end(c);
    return ERR_OK;
}

/* --- Releasing ----------------------------------------------------------------------------------- */

static enum err release(struct redis_store *st, const struct redis_finished *what, ms_t delay_ms)
{
    struct redis_finish *f = finish_new(st, KIND_RELEASE, what);
    if (f == NULL)
        return ERR_NOMEM;
    redis_record_name(f->record, what);
    redis_arg_u64(f->record, delay_ms);
    f->arguments = REDIS_RELEASE_ARGS;
    add(f);
    return ERR_OK;
}

enum err redis_release(struct store *store, struct claim *claim, ms_t delay_ms)
{
    struct redis_claim *c = (struct redis_claim *)claim;
    struct redis_finished what = what_of(c);
    enum err e = release((struct redis_store *)store, &what, delay_ms);
    redis_claim_end(c);
    return e;
}

void redis_release_unknown(struct redis_store *st, unsigned partition, const char *id, uint32_t index,
                           uint64_t token)
{
    struct redis_finished what = {.partition = partition, .index = index, .token = token};
    (void)snprintf(what.id, sizeof what.id, "%s", id);
    memcpy(what.worker, st->worker->name, sizeof what.worker);
    (void)!release(st, &what, 0); /* out of memory: the next audit finds it again */
}

void redis_bury(struct redis_store *st, struct redis_claim *c, struct span why)
{
    struct finish in = {.claim = &c->claim, .verb = FINISH_BADMAIL, .reason = why, .event = SPAN("badmail")};
    if (redis_finish_job(&st->store, &in, NULL, NULL) != ERR_OK)
        (void)!redis_release(&st->store, &c->claim, 0);
}

/* --- Making and freeing -------------------------------------------------------------------------- */

void redis_finishes_init(struct redis_store *st)
{
    deferred_init(&st->worker->send, on_send, st);
}

void redis_finishes_free(struct redis_store *st)
{
    deferred_disarm(&st->worker->send);
    while (st->worker->finishes != NULL) {   /* those that never left */
        st->worker->finishes->upload = NULL; /* goes with the store */
        finish_end(st->worker->finishes, ERR_CANCELED);
    }
}
