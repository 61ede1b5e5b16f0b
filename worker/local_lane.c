/* worker/local_lane.c — a lane that writes into maildirs: one file a recipient, in the threads of the pool.
 *
 *   for every open recipient: begin ── piece* ── commit     one file job a piece of the body; a message of
 *                                                            one piece is one job from begin to commit
 *
 * A full disk is a failure of the link (4.3.1: everybody's mail waits); anything else that goes wrong
 * concerns one mailbox. */
#include "worker/core.h"

struct local_lane {
    struct lane lane;
    struct file_job job;
    struct maildir_file file;
    struct deferred work;
    bool busy;  /* the job is in the pool: everything below is its own */
    bool begun; /* the file of the recipient is open */
    bool last;  /* commit after this piece */
    bool committed, aborted, quitting;
    bool wrote, disk_full; /* with this parcel: a message was written; nothing more of it is tried */
    size_t rcpt;
    uint64_t offset, unique;
    struct body_piece *piece;
    struct buf path, header;
    char name[MAILDIR_NAME_MAX];
    enum err err;
    struct errctx ec;
};

static struct local_lane *self_of(struct lane *lane)
{
    return (struct local_lane *)lane;
}

static void arm(void *arg)
{
    struct local_lane *s = arg;

    deferred_arm(s->lane.link->w->loop, &s->work);
}

/* --- In the pool ----------------------------------------------------------------------------------- */

static void run(struct file_job *job)
{
    struct local_lane *s = (struct local_lane *)(void *)((char *)job - offsetof(struct local_lane, job));
    enum err e = ERR_OK;

    s->committed = false;
    if (!s->begun) {
        e = maildir_begin(&s->file, buf_span(&s->path), s->name, s->unique, &s->ec);
        if (e == ERR_OK)
            e = maildir_append(&s->file, buf_span(&s->header), &s->ec);
    }
    if (e == ERR_OK)
        e = maildir_append(&s->file, body_piece_span(s->piece), &s->ec);
    if (e == ERR_OK && s->last)
        e = maildir_commit(&s->file, &s->ec);
    s->committed = e == ERR_OK && s->last;
    if (e != ERR_OK || s->last)
        maildir_abort(&s->file);
    s->err = e;
}

/* --- In the loop ----------------------------------------------------------------------------------- */

static void record(struct local_lane *s, enum verdict_action action, enum verdict_scope scope,
                   const char *status, const char *text)
{
    struct parcel *p = s->lane.parcel;
    struct attempt_result r = {
        .verdict = {.action = action, .scope = scope}, .step = STEP_END, .text = span_cstr(text)};

    (void)snprintf(r.verdict.status, sizeof r.verdict.status, "%s", status);
    r.failure = action == VERDICT_RETRY_LATER && status[0] == '\0' ? FAILURE_CANCELED : FAILURE_NONE;
    attempt_record(&p->attempt, s->rcpt, &r);
    s->begun = false;
    s->offset = 0;
}

static void record_error(struct local_lane *s, enum err e, const char *why)
{
    switch ((int)e) {
    case ERR_FULL: /* for every lane: not one server of many, and none of them does better */
        record(s, VERDICT_RETRY_LATER, VERDICT_LINK, "4.3.1", why);
        s->disk_full = true;
        if (s->lane.link->phase == LINK_OPEN)
            link_fail(s->lane.link, why);
        break;
    case ERR_TOOBIG:
    case ERR_PARSE:
        record(s, VERDICT_BOUNCE, VERDICT_RECIPIENT, "5.1.3", why);
        break;
    default:
        record(s, VERDICT_RETRY_LATER, VERDICT_RECIPIENT, "4.2.0", why);
        break;
    }
}

static void job_done_here(struct file_job *job)
{
    struct local_lane *s = (struct local_lane *)(void *)((char *)job - offsetof(struct local_lane, job));

    s->busy = false;
    body_piece_free(s->piece);
    s->piece = NULL;
    if (s->err != ERR_OK)
        record_error(s, s->err, s->ec.msg);
    else if (s->committed)
        record(s, VERDICT_DONE, VERDICT_RECIPIENT, "2.0.0", "delivered to maildir");
    else
        s->begun = true;
    s->wrote = s->wrote || s->committed;
    arm(s);
}

static bool next_recipient(struct local_lane *s)
{
    const struct attempt *a = &s->lane.parcel->attempt;

    for (; s->rcpt < a->claim->job.nrcpts; s->rcpt++)
        if (a->outcomes[s->rcpt].open)
            return true;
    return false;
}

/* The trace of final delivery (RFC 5321 4.4). */
static enum err prepare(struct local_lane *s)
{
    const struct claim *c = s->lane.parcel->claim;
    struct link *link = s->lane.link;
    const struct recipient *r = &c->job.rcpts[s->rcpt];
    enum err e;

    buf_clear(&s->path);
    buf_clear(&s->header);
    e = deliver_path(link->deliver.where, span_cstr(link->set->base_dir), r->address, &s->path);
    if (e == ERR_OK)
        e = buf_addf(&s->header, "Return-Path: <" SPAN_FMT ">\r\nDelivered-To: " SPAN_FMT "\r\n",
                     SPAN_ARG(c->env.sender), SPAN_ARG(r->address));
    maildir_name(&c->id, c->index, c->env.arrival_ms, r->address, s->name);
    s->unique = ++link->w->unique;
    return e;
}

static void submit(struct local_lane *s, struct body_piece *piece)
{
    const struct claim *c = s->lane.parcel->claim;

    s->piece = piece;
    s->offset += body_piece_span(piece).len;
    s->last = body_piece_span(piece).len == 0 || s->offset >= c->body.size_bytes;
    s->busy = true;
    s->job.run = run;
    s->job.done = job_done_here;
    filepool_submit(s->lane.link->w->pool, &s->job);
}

static void settle_now(struct local_lane *s)
{
    attempt_exhausted(&s->lane.parcel->attempt);
    maildir_abort(&s->file);
    s->begun = false;
    lane_settled(&s->lane, s->wrote && !s->disk_full);
}

/* One step: a recipient that cannot be written at all, or the next piece into the pool. false: wait. */
static bool step(struct local_lane *s)
{
    struct parcel *p = s->lane.parcel;
    struct body_piece *piece;
    enum err e = ERR_OK;

    if (!next_recipient(s) || s->aborted || s->disk_full || p->damaged ||
        (!s->begun && !lane_may_send(&s->lane)) || !lane_may_end(&s->lane)) {
        settle_now(s);
        return false;
    }
    if (!s->begun)
        e = prepare(s);
    if (e != ERR_OK) {
        record_error(s, e, "the address cannot be the name of a mailbox");
        return true;
    }
    e = body_next(p->body, s->offset, &piece);
    if (e == ERR_OK) {
        submit(s, piece);
        return false;
    }
    if (e == ERR_AGAIN)
        return false;
    p->damaged = e == ERR_NOTFOUND || e == ERR_PARSE;
    record(s, VERDICT_RETRY_LATER, VERDICT_MESSAGE, "4.3.0", failure_text(FAILURE_BODY_UNREADABLE));
    return true;
}

static void work(void *arg)
{
    struct local_lane *s = arg;

    if (s->busy || s->lane.state == LANE_ENDED)
        return;
    if (s->lane.parcel != NULL)
        while (step(s))
            continue;
    if (s->busy || s->lane.parcel != NULL)
        return;
    s->lane.was_ready = true;
    if (s->quitting)
        lane_ended(&s->lane);
    else if (s->lane.state != LANE_IDLE)
        lane_idle(&s->lane);
}

/* --- The link's side -------------------------------------------------------------------------------- */

static void local_start(struct lane *lane)
{
    arm(self_of(lane));
}

static void local_give(struct lane *lane)
{
    struct local_lane *s = self_of(lane);

    s->rcpt = 0;
    s->offset = 0;
    s->begun = s->aborted = s->wrote = s->disk_full = false;
    (void)snprintf(lane->parcel->relay, sizeof lane->parcel->relay, "maildir");
    if (parcel_open_body(lane->parcel, arm, s) != ERR_OK)
        s->aborted = true;
    arm(s);
}

static void local_quit(struct lane *lane)
{
    self_of(lane)->quitting = true;
    arm(self_of(lane));
}

static void local_abort(struct lane *lane)
{
    self_of(lane)->aborted = self_of(lane)->quitting = true;
    arm(self_of(lane));
}

static void local_free(struct lane *lane)
{
    struct local_lane *s = self_of(lane);

    deferred_disarm(&s->work);
    if (s->busy && lane->link->w->hanging > 0)
        return; /* a thread that hangs has it */
    maildir_abort(&s->file);
    body_piece_free(s->piece);
    buf_done(&s->path);
    buf_done(&s->header);
    free(s);
}

static const struct lane_ops local_ops = {local_start, local_give, local_quit, local_abort, local_free};

struct lane *local_lane_new(struct link *link)
{
    struct local_lane *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->lane.ops = &local_ops;
    s->lane.link = link;
    s->file.fd = -1;
    buf_init(&s->path, DELIVER_PATH_MAX);
    buf_init(&s->header, 2048);
    deferred_init(&s->work, work, s);
    return &s->lane;
}
