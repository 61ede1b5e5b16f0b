#include "worker/report.h"

#include "common/address.h"
#include "common/log.h"
#include "queue/dsn_seven.h"
#include "worker/core.h"

#include <inttypes.h>

enum { REPORT_JOBS_MAX = 2 };
enum report_state { REPORT_HEAD, REPORT_ORIGINAL, REPORT_TAIL, REPORT_DONE };

struct report {
    struct parcel *parcel;
    enum report_state state;
    struct upload *upload;
    struct dsn_report dsn;
    struct dsn_writer writer;
    bool converts;           /* p is a report, and this is to be the same one of 7 bits */
    struct dsn_seven *seven; /* then */
    struct buf out;          /* head or tail, not taken by the upload yet from `taken` on */
    size_t taken;
    struct body_piece *piece;
    struct span rest; /* of the original, not taken by the upload yet */
    bool more;        /* of the original is wanted */
    uint64_t offset;
    char boundary[40], id_text[MSGID_TEXT_MAX], message_id[MSGID_TEXT_MAX + 260], queue_id[MSGID_TEXT_MAX];
    struct envelope env;
    struct job jobs[REPORT_JOBS_MAX];
    struct recipient rcpts[REPORT_JOBS_MAX];
    struct commit_job commits[REPORT_JOBS_MAX];
    struct buf domains[REPORT_JOBS_MAX];
    size_t njobs;
    struct deferred work;
    struct report *next, **prev; /* in worker->reports */
};

static void arm(void *arg)
{
    struct report *r = arg;

    deferred_arm(r->parcel->link->w->loop, &r->work);
}

static void report_free(struct report *r)
{
    if (r->prev != NULL) {
        *r->prev = r->next;
        if (r->next != NULL)
            r->next->prev = r->prev;
    }
    deferred_disarm(&r->work);
    body_piece_free(r->piece);
    upload_abort(r->upload);
    buf_done(&r->out);
    if (r->seven != NULL)
        dsn_seven_done(r->seven);
    free(r->seven);
    for (size_t i = 0; i < REPORT_JOBS_MAX; i++)
        buf_done(&r->domains[i]);
    free(r);
}

static void finish_with(void *arg)
{
    struct report *r = arg;
    struct parcel *p = r->parcel;
    struct upload *u = r->upload;

    r->upload = NULL;
    p->report = NULL;
    if (u != NULL) {
        metric_inc(&p->link->w->m.reports);
        log_info("report", "msg=%s report=%s recipients=%zu%s", r->queue_id, r->id_text,
                 r->converts ? r->jobs[0].nrcpts : r->dsn.nrcpts,
                 r->converts ? " text='the same report once more, for a server that takes 7 bits only'" : "");
    }
    parcel_finish(p, u, u == NULL ? NULL : &r->env, r->commits, u == NULL ? 0 : r->njobs);
    report_free(r);
}

static void end(struct report *r)
{
    struct body *b = r->parcel->body;

    body_piece_free(r->piece);
    r->piece = NULL;
    r->state = REPORT_DONE;
    r->parcel->body = NULL;
    if (b == NULL)
        finish_with(r);
    else
        body_free(b, finish_with, r);
}

/* Whether the next attempt would meet the same. */
static bool for_good(enum err e)
{
    return e == ERR_TOOBIG || e == ERR_PARSE || e == ERR_STATE || e == ERR_NOTFOUND; /* the body is gone */
}

void report_failed(struct parcel *p, enum err e)
{
    char id[MSGID_TEXT_MAX];

    msgid_text(&p->claim->id, id);
    log_warn("report.failed", "msg=%s reason='%s' text='%s'", id, err_text(e),
             for_good(e) ? "none can be made: whoever was returned is badmail"
                         : "it is made with the next attempt");
    if (for_good(e))
        settle_unreportable(&p->input, &p->settlement);
    else
        settle_without_report(&p->input, &p->settlement, REPORT_RETRY_MS);
}

/* What cannot be converted is the badmail that it was. */
static void convert_failed(struct parcel *p, enum err e)
{
    if (!for_good(e))
        report_failed(p, e);
}

static void give_up(struct report *r, enum err e)
{
    upload_abort(r->upload);
    r->upload = NULL;
    if (r->converts)
        convert_failed(r->parcel, e);
    else
        report_failed(r->parcel, e);
    end(r);
}

/* One job a recipient of the report: the sender, and delivery.dsn.copy_to for non-delivery. */
static enum err add_job(struct report *r, struct span address, ms_t now_ms)
{
    struct settings *set = r->parcel->link->set;
    size_t i = r->njobs, at;
    struct route_message m = {
        .size_bytes = upload_size(r->upload), .system = true, .priority = PRIORITY_NORMAL};
    enum err e;

    if (!span_rfind(address, '@', &at))
        return ERR_PARSE;
    e = domain_normalize(span_from(address, at + 1), &r->domains[i]);
    if (e != ERR_OK)
        return e;
    r->rcpts[i] = (struct recipient){.address = address, .notify = NOTIFY_NEVER};
    r->jobs[i] = (struct job){.domain = buf_span(&r->domains[i]),
                              .klass = route_class(set->routes, &m),
                              .first_ms = now_ms,
                              .next_ms = now_ms,
                              .rcpts = &r->rcpts[i],
                              .nrcpts = 1};
    r->commits[i] = (struct commit_job){.job = &r->jobs[i]};
    r->njobs++;
    return ERR_OK;
}

static bool has_failed(const struct dsn_report *d)
{
    for (size_t i = 0; i < d->nrcpts; i++)
        if (d->rcpts[i].action == DSN_FAILED)
            return true;
    return false;
}

/* For whoever the other one was, and as old as that. */
static void conclude_converted(struct report *r)
{
    struct parcel *p = r->parcel;
    const struct job *job = &p->claim->job;

    settle_converted(&p->input, &p->settlement);
    r->env = p->claim->env;
    r->env.body = BODY_7BIT;
    r->env.smtputf8 = false;
    r->jobs[0] = (struct job){.domain = job->domain,
                              .klass = job->klass,
                              .first_ms = job->first_ms,
                              .next_ms = p->input.now_ms,
                              .expire_ms = job->expire_ms,
                              .delay_noticed = job->delay_noticed,
                              .rcpts = p->settlement.job.rcpts,
                              .nrcpts = p->settlement.job.nrcpts};
    r->commits[0] = (struct commit_job){.job = &r->jobs[0]};
    r->njobs = 1;
    end(r);
}

static void conclude(struct report *r)
{
    if (r->converts) {
        conclude_converted(r);
        return;
    }
    const char *copy_to = r->parcel->link->set->root->delivery.dsn.copy_to;
    enum err e;

    dsn_envelope(&r->dsn, &r->env);
    e = add_job(r, r->dsn.env->sender, r->dsn.now_ms);
    if (e != ERR_OK) { /* ERR_PARSE: an address that was accepted but has no domain: nobody can be told */
        give_up(r, e);
        return;
    }
    if (copy_to[0] != '\0' && has_failed(&r->dsn))
        (void)!add_job(r, span_cstr(copy_to), r->dsn.now_ms);
    end(r);
}

/* --- Writing --------------------------------------------------------------------------------------- */

/* ERR_AGAIN: wait for the upload. */
static enum err put(struct report *r, struct span *s)
{
    size_t n = 0;
    enum err e;

    if (s->len == 0)
        return ERR_OK;
    e = upload_write(r->upload, *s, &n);
    if (e == ERR_OK)
        n = s->len;
    if (e == ERR_OK || e == ERR_AGAIN)
        *s = span_from(*s, n);
    return e;
}

static enum err put_out(struct report *r)
{
    struct span rest = span_from(buf_span(&r->out), r->taken);
    enum err e = put(r, &rest);

    r->taken = r->out.len - rest.len;
    return e;
}

static enum err put_original(struct report *r)
{
    enum err e = put(r, &r->rest);

    while (e == ERR_OK && r->more) {
        struct body_piece *piece;

        e = body_next(r->parcel->body, r->offset, &piece);
        if (e != ERR_OK)
            break;
        body_piece_free(r->piece);
        r->piece = piece;
        r->offset += body_piece_span(piece).len;
        if (body_piece_span(piece).len == 0) {
            r->more = false;
            break;
        }
        r->rest = dsn_original(&r->writer, body_piece_span(piece), &r->more);
        e = put(r, &r->rest);
    }
    return e;
}

/* The same through dsn_seven.h, and to its end. */
static enum err put_converted(struct report *r)
{
    enum err e = put_out(r);

    while (e == ERR_OK && r->more) {
        struct body_piece *piece;

        buf_clear(&r->out);
        r->taken = 0;
        e = body_next(r->parcel->body, r->offset, &piece);
        if (e != ERR_OK)
            break;
        r->offset += body_piece_span(piece).len;
        r->more = body_piece_span(piece).len > 0;
        e = r->more ? dsn_seven_feed(r->seven, body_piece_span(piece), &r->out)
                    : dsn_seven_end(r->seven, &r->out);
        body_piece_free(piece);
        if (e == ERR_OK)
            e = put_out(r);
    }
    return e;
}

static enum err begin_tail(struct report *r)
{
    buf_clear(&r->out);
    r->taken = 0;
    return dsn_end(&r->writer, &r->out);
}

static enum err step(struct report *r)
{
    enum err e = ERR_OK;

    if (r->state == REPORT_HEAD) {
        e = put_out(r);
        if (e == ERR_OK)
            r->state = REPORT_ORIGINAL;
    }
    if (e == ERR_OK && r->state == REPORT_ORIGINAL) {
        e = put_original(r);
        if (e == ERR_OK)
            e = begin_tail(r);
        if (e == ERR_OK)
            r->state = REPORT_TAIL;
    }
    return e == ERR_OK && r->state == REPORT_TAIL ? put_out(r) : e;
}

static void work(void *arg)
{
    struct report *r = arg;
    enum err e;

    if (r->state == REPORT_DONE)
        return;
    e = r->converts ? put_converted(r) : step(r);
    if (e == ERR_OK)
        conclude(r);
    else if (e != ERR_AGAIN)
        give_up(r, e);
}

/* --- Beginning ------------------------------------------------------------------------------------- */

static enum err prepare(struct report *r)
{
    struct parcel *p = r->parcel;
    const struct settings *set = p->link->set;

    msgid_text(&p->claim->id, r->queue_id);
    msgid_text(upload_id(r->upload), r->id_text);
    (void)snprintf(r->boundary, sizeof r->boundary, "%016" PRIx64 "%016" PRIx64, rng_system_seed(),
                   rng_system_seed());
    (void)snprintf(r->message_id, sizeof r->message_id, "%s@%s", r->id_text, set->hostname);
    r->dsn = (struct dsn_report){
        .env = &p->claim->env,
        .rcpts = p->settlement.dsn,
        .nrcpts = p->settlement.ndsn,
        .reporting_mta = span_cstr(set->hostname),
        .from = span_cstr(set->postmaster),
        .boundary = span_cstr(r->boundary),
        .queue_id = span_cstr(r->queue_id),
        .message_id = span_cstr(r->message_id),
        .now_ms = p->input.now_ms,
        .original_bytes = p->claim->body.size_bytes,
        .max_bytes = set->root->delivery.dsn.max_size,
    };
    return dsn_begin(&r->writer, &r->dsn, &r->out);
}

static enum err prepare_converted(struct report *r)
{
    msgid_text(&r->parcel->claim->id, r->queue_id);
    msgid_text(upload_id(r->upload), r->id_text);
    r->seven = malloc(sizeof *r->seven);
    if (r->seven == NULL)
        return ERR_NOMEM;
    dsn_seven_init(r->seven);
    return ERR_OK;
}

static enum err start(struct parcel *p, bool converts)
{
    struct report *r = calloc(1, sizeof *r);
    enum err e = ERR_OK;

    if (r == NULL)
        return ERR_NOMEM;
    r->parcel = p;
    r->more = true;
    r->converts = converts;
    buf_init(&r->out, DSN_BEGIN_MAX);
    for (size_t i = 0; i < REPORT_JOBS_MAX; i++)
        buf_init(&r->domains[i], ADDRESS_DOMAIN_MAX);
    deferred_init(&r->work, work, r);
    r->upload = store_upload(p->link->w->store, &p->claim->id, arm, r);
    if (r->upload == NULL)
        e = ERR_NOMEM;
    if (e == ERR_OK)
        e = parcel_open_body(p, arm, r);
    if (e == ERR_OK)
        e = converts ? prepare_converted(r) : prepare(r);
    if (e != ERR_OK) {
        report_free(r);
        parcel_close_body(p);
        return e;
    }
    p->report = r;
    r->prev = &p->link->w->reports;
    r->next = *r->prev;
    if (r->next != NULL)
        r->next->prev = &r->next;
    *r->prev = r;
    arm(r);
    return ERR_OK;
}

enum err report_start(struct parcel *p)
{
    return start(p, false);
}

enum err report_convert(struct parcel *p)
{
    return start(p, true);
}

void reports_stop(struct worker *w)
{
    struct report *next;

    for (struct report *r = w->reports; r != NULL; r = next) {
        next = r->next;
        upload_abort(r->upload);
        r->upload = NULL;
        if (r->state == REPORT_DONE)
            continue; /* freed when the store calls back */
        parcel_discard(r->parcel);
        report_free(r);
    }
}
