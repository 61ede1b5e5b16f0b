#include "node/intake.h"

#include "common/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* What an open upload may hold: a chunk that fills and one in flight. */
enum { UPLOAD_COST = 2 * CHUNK_BYTES, WHY_MAX = 1024 };

struct intake_commit {
    struct intake *owner; /* NULL: the client has gone */
    struct node_metrics *metrics;
    const struct clock *clock;
    ms_t began_ms;
    uint64_t size;
    size_t rcpts;
    char *from, *client, *helo; /* for the log; may be NULL */
};

void intake_init(struct intake *in, struct store *store, struct intake_budget *budget,
                 struct node_metrics *metrics, const struct clock *clock, const struct intake_owner *owner,
                 void *arg)
{
    *in = (struct intake){
        .store = store, .budget = budget, .metrics = metrics, .clock = clock, .owner = owner, .arg = arg};
}

void intake_set_step(struct intake *in, size_t bytes)
{
    in->step = bytes;
}

static size_t budget_left(const struct intake_budget *b)
{
    return b->limit > b->used ? b->limit - b->used : 0; /* a reload may have lowered the limit */
}

/* Counts what the session holds now. Growing may fail, shrinking cannot. */
static enum err hold(struct intake *in, size_t bytes)
{
    if (bytes > in->held && bytes - in->held > budget_left(in->budget))
        return ERR_FULL;
    in->budget->used = in->budget->used - in->held + bytes;
    in->held = bytes;
    metric_set(&in->metrics->memory, in->budget->used);
    return ERR_OK;
}

static void settle(struct intake *in)
{
    (void)hold(in, in->txn_bytes + (in->upload != NULL ? UPLOAD_COST : 0)); /* never grows */
}

void intake_done(struct intake *in)
{
    intake_abort(in);
    in->txn_bytes = 0;
    settle(in);
    if (in->pending != NULL)
        in->pending->owner = NULL;
    in->pending = NULL;
}

enum err intake_ready(const struct intake *in)
{
    enum err e = store_refusal(in->store);
    return e == ERR_OK && budget_left(in->budget) < UPLOAD_COST ? ERR_FULL : e;
}

enum err intake_memory(struct intake *in, size_t bytes)
{
    enum err e = hold(in, bytes + (in->upload != NULL ? UPLOAD_COST : 0));
    if (e == ERR_OK)
        in->txn_bytes = bytes;
    return e;
}

static void on_ready(void *arg)
{
    struct intake *in = arg;
    in->owner->unblocked(in->arg);
}

enum err intake_open(struct intake *in, struct msgid *ret_id)
{
    enum err e = hold(in, in->txn_bytes + UPLOAD_COST);
    if (e != ERR_OK)
        return e;
    in->upload = store_upload(in->store, NULL, on_ready, in);
    if (in->upload == NULL) {
        settle(in);
        return ERR_NOMEM;
    }
    *ret_id = *upload_id(in->upload);
    return ERR_OK;
}

enum err intake_write(struct intake *in, struct span bytes, size_t *ret_taken)
{
    enum err e = upload_write(in->upload, bytes, ret_taken);
    if (e == ERR_OK && in->step > 0 && !upload_has_room(in->upload, in->step))
        return ERR_AGAIN;
    if (e != ERR_OK && e != ERR_AGAIN) {
        struct log_scratch text;
        char name[MSGID_TEXT_MAX];
        msgid_text(upload_id(in->upload), name);
        log_warn("smtp.not_accepted", "msg=%s err=%s size=%" PRIu64 " why=%s", name, err_name(e),
                 upload_size(in->upload), log_text(&text, span_cstr(upload_why(in->upload))));
    }
    return e;
}

void intake_abort(struct intake *in)
{
    upload_abort(in->upload);
    in->upload = NULL;
    settle(in);
}

/* --- commit ---------------------------------------------------------------------------------------- */

static void commit_free(struct intake_commit *c)
{
    free(c->from);
    free(c->client);
    free(c->helo);
    free(c);
}

static void log_result(const struct intake_commit *c, enum err e, const struct msgid *id, const char *why,
                       ms_t took_ms)
{
    struct log_scratch from, helo, text;
    char name[MSGID_TEXT_MAX];
    msgid_text(id, name);
    const char *client = c->client == NULL || c->client[0] == '\0' ? "local" : c->client;
    if (e == ERR_OK)
        log_info("smtp.accepted",
                 "msg=%s size=%" PRIu64 " rcpts=%zu client=%s ms=%" PRIu64 " answered=%s from=%s helo=%s",
                 name, c->size, c->rcpts, client, took_ms, c->owner != NULL ? "yes" : "no",
                 log_text(&from, span_cstr(c->from)), log_text(&helo, span_cstr(c->helo)));
    else
        log_warn("smtp.not_accepted",
                 "msg=%s err=%s size=%" PRIu64 " rcpts=%zu client=%s ms=%" PRIu64 " from=%s why=%s", name,
                 err_name(e), c->size, c->rcpts, client, took_ms, log_text(&from, span_cstr(c->from)),
                 log_text(&text, span_cstr(why)));
}

/* Told at once: nothing of it went to the store. */
static void refused(const struct intake *in, const struct intake_commit *c, enum err e)
{
    struct buf not_ready;
    const char *why = upload_why(in->upload);
    buf_init(&not_ready, WHY_MAX);
    if (why[0] == '\0' && !store_ready(in->store, &not_ready))
        why = buf_cstr(&not_ready);
    metric_inc(&c->metrics->commits_failed);
    log_result(c, e, upload_id(in->upload), why[0] != '\0' ? why : err_text(e), 0);
    buf_done(&not_ready);
}

static void on_committed(void *arg, enum err e, const struct msgid *id, const char *why)
{
    struct intake_commit *c = arg;
    ms_t took_ms = clock_mono(c->clock) - c->began_ms;
    metric_observe_ms(&c->metrics->commit_ms, took_ms);
    if (e == ERR_OK) {
        metric_inc(&c->metrics->messages);
        metric_add(&c->metrics->bytes, c->size);
    } else {
        metric_inc(&c->metrics->commits_failed);
    }
    log_result(c, e, id, why, took_ms);
    struct intake *in = c->owner;
    commit_free(c);
    if (in == NULL)
        return;
    in->pending = NULL;
    in->owner->committed(in->arg, e, id);
}

enum err intake_commit(struct intake *in, const struct envelope *env, const struct commit_job *jobs,
                       size_t njobs)
{
    struct intake_commit *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    *c = (struct intake_commit){
        .owner = in,
        .metrics = in->metrics,
        .clock = in->clock,
        .began_ms = clock_mono(in->clock),
        .size = upload_size(in->upload),
        .from = span_dup(env->sender),
        .client = span_dup(env->client),
        .helo = span_dup(env->helo),
    };
    for (size_t i = 0; i < njobs; i++)
        c->rcpts += jobs[i].job->nrcpts;
    enum err e = upload_commit(in->upload, env, jobs, njobs, on_committed, c);
    if (e != ERR_OK) {
        refused(in, c, e);
        commit_free(c);
        return e;
    }
    in->pending = c;
    in->upload = NULL;
    settle(in);
    return ERR_OK;
}
