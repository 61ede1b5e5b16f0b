/* The working half of the fake: leases, claims, bodies, finishes. */
#include "tests/fakes/fake_store_int.h"

#include <stdlib.h>
#include <string.h>

/* --- Leases -------------------------------------------------------------------------------------- */

static void lease_renew(struct fake_client *c)
{
    c->lease_until_ms = ms_after(clock_mono(c->f->clock), FAKE_STORE_LEASE_MS);
    c->slots_until_ms = ms_after(clock_mono(c->f->clock), FAKE_SLOTS_LEASE_MS);
}

static void lease_start(struct fake_client *c)
{
    c->worker = ++c->f->next_worker;
    if (c->slots_owner == 0)
        c->slots_owner = c->worker;
    lease_renew(c);
}

static void run_expired(struct fake_event *ev)
{
    if (ev->e == ERR_OK)
        ev->fn.event(ev->arg);
}

/* Told before others can have them. */
static void run_slots_lost(struct fake_event *ev)
{
    if (ev->fn.event != NULL)
        ev->fn.event(ev->arg);
    fake_slots_drop(ev->client->f, ev->number);
}

static void lose_slots(struct fake_client *c)
{
    struct fake_event *ev = fake_event_new(c, FAKE_SLOTS, run_slots_lost);
    ev->fn.event = c->slots_lost;
    ev->arg = c->slots_lost_arg;
    ev->number = c->slots_owner;
    fake_event_add(ev);
    c->slots_owner = 0;
}

void fake_worker_tick(struct fake_client *c)
{
    ms_t now = clock_mono(c->f->clock);
    if (!c->worker_open)
        return;
    if (c->slots_owner != 0 && now >= c->slots_until_ms)
        lose_slots(c);
    if (now < c->lease_until_ms) {
        if (!c->frozen)
            lease_renew(c);
        return;
    }
    if (c->worker != 0) {
        c->worker = 0;
        struct fake_event *ev = fake_event_new(c, FAKE_REAP, run_expired);
        ev->fn.event = c->expired;
        ev->arg = c->expired_arg;
        ev->owner = c;
        fake_event_add(ev);
    }
    if (!c->frozen)
        lease_start(c);
}

ms_t fake_worker_next(const struct fake_client *c)
{
    if (!c->worker_open)
        return UINT64_MAX;
    if (c->worker == 0)
        return c->slots_owner == 0 ? UINT64_MAX : c->slots_until_ms;
    return c->frozen ? c->lease_until_ms : c->lease_until_ms - FAKE_STORE_LEASE_MS * 2 / 3;
}

enum err fake_worker_open(struct store *st, const struct worker_info *info, store_event_fn *expired,
                          void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    (void)info;
    if (c->worker_open)
        return ERR_STATE;
    c->worker_open = true;
    c->expired = expired;
    c->expired_arg = arg;
    lease_start(c);
    return ERR_OK;
}

ms_t fake_worker_valid(const struct store *st)
{
    const struct fake_client *c = (const struct fake_client *)st;
    ms_t now = clock_mono(c->f->clock);
    return c->worker == 0 || now >= c->lease_until_ms ? 0 : c->lease_until_ms - now;
}

const char *fake_worker_why(const struct store *st)
{
    return ((const struct fake_client *)st)->frozen ? "frozen on order" : "";
}

static bool worker_alive(const struct fake_store *f, uint64_t worker)
{
    for (const struct fake_client *c = f->clients; c != NULL; c = c->next) {
        if (c->worker == worker && fake_worker_valid(&c->store) > 0)
            return true;
    }
    return false;
}

static struct fake_job *next_claimed(struct fake_store *f, uint64_t worker)
{
    for (struct fake_message *m = f->messages; m != NULL; m = m->next) {
        for (struct fake_job *j = m->jobs; j != NULL; j = j->next) {
            if (j->state == FAKE_JOB_CLAIMED && j->worker == worker)
                return j;
        }
    }
    return NULL;
}

static void run_done(struct fake_event *ev)
{
    ev->fn.done(ev->arg, ev->e);
}

static void tell_done(struct fake_client *c, enum err e, done_fn *done, void *arg)
{
    if (done == NULL)
        return;
    struct fake_event *ev = fake_event_new(c, FAKE_FINISH, run_done);
    ev->e = e;
    ev->fn.done = done;
    ev->arg = arg;
    fake_event_add(ev);
}

void fake_worker_close(struct store *st, done_fn *done, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_job *j;
    while (c->worker != 0 && (j = next_claimed(c->f, c->worker)) != NULL)
        j->state = FAKE_JOB_READY;
    fake_slots_drop(c->f, c->slots_owner);
    c->slots_owner = 0;
    c->worker = 0;
    c->worker_open = false;
    tell_done(c, ERR_OK, done, arg);
}

static void run_count(struct fake_event *ev)
{
    ev->fn.count(ev->arg, ev->e, ev->number);
}

enum err fake_reap(struct store *st, unsigned partition, count_fn *done, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_event *ev = fake_event_new(c, FAKE_REAP, run_count);
    ev->e = fake_fault_take(c->f, FAKE_REAP);
    ev->fn.count = done;
    ev->arg = arg;
    for (struct fake_message *m = c->f->messages; m != NULL && ev->e == ERR_OK; m = m->next) {
        for (struct fake_job *j = m->jobs; j != NULL; j = j->next) {
            if (m->id.partition != partition || j->state != FAKE_JOB_CLAIMED || worker_alive(c->f, j->worker))
                continue;
            j->state = FAKE_JOB_READY;
            j->due_ms = clock_wall(c->f->clock);
            j->interrupted++;
            if (j->interrupted >= 3) {
                j->state = FAKE_JOB_BADMAIL;
                fake_text(&j->reason, SPAN("three workers ended with it in hand"));
            }
            ev->number++;
            c->f->counts.reaped++;
        }
    }
    fake_event_add(ev);
    return ERR_OK;
}

/* --- Queues -------------------------------------------------------------------------------------- */

static bool claimable(const struct fake_store *f, const struct fake_queue *q, const struct fake_job *j)
{
    ms_t now = clock_wall(f->clock);
    return j->queue == q && j->state == FAKE_JOB_READY && j->due_ms <= now;
}

static uint64_t queue_depth(const struct fake_store *f, const struct fake_queue *q, bool *ret_due)
{
    uint64_t depth = 0;
    *ret_due = false;
    for (const struct fake_message *m = f->messages; m != NULL; m = m->next) {
        for (const struct fake_job *j = m->jobs; j != NULL; j = j->next) {
            if (j->queue == q && j->state == FAKE_JOB_READY)
                depth++;
            /* a hold hides a queue; connections that are open may go on claiming from it */
            *ret_due = *ret_due || (q->hold_until_ms <= clock_wall(f->clock) && claimable(f, q, j));
        }
    }
    return depth;
}

/* Waiting, or in hand. */
static uint64_t queue_jobs(const struct fake_store *f, const struct fake_queue *q)
{
    uint64_t n = 0;
    for (const struct fake_message *m = f->messages; m != NULL; m = m->next)
        for (const struct fake_job *j = m->jobs; j != NULL; j = j->next)
            n += j->queue == q && (j->state == FAKE_JOB_READY || j->state == FAKE_JOB_CLAIMED);
    return n;
}

static void run_discover(struct fake_event *ev)
{
    struct dmq *list = fake_alloc((ev->n + 1) * sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; i < ev->n; i++) {
        bool due;
        list[n] = (struct dmq){.domain = buf_span(&ev->queues[i]->domain), .klass = ev->queues[i]->klass};
        list[n].depth = queue_depth(ev->client->f, ev->queues[i], &due);
        n++;
    }
    ev->fn.discover(ev->arg, ev->e, list, n);
    free(list);
}

/* Least recently served first. */
static struct fake_queue *next_due(struct fake_store *f, unsigned partition, const struct fake_event *ev)
{
    struct fake_queue *best = NULL;
    for (struct fake_queue *q = f->queues; q != NULL; q = q->next) {
        bool due, listed = false;
        for (size_t i = 0; i < ev->n; i++)
            listed = listed || ev->queues[i] == q;
        if (q->partition != partition || listed || (best != NULL && q->served >= best->served))
            continue;
        (void)queue_depth(f, q, &due);
        if (due)
            best = q;
    }
    return best;
}

enum err fake_discover(struct store *st, unsigned partition, unsigned from, unsigned max, discover_fn *done,
                       void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    if (partition >= c->f->partitions)
        return ERR_STATE;
    struct fake_event *ev = fake_event_new(c, FAKE_DISCOVER, run_discover);
    ev->e = fake_fault_take(c->f, FAKE_DISCOVER);
    ev->fn.discover = done;
    ev->arg = arg;
    ev->queues = fake_alloc(((size_t)from + max + 1) * sizeof(struct fake_queue *));
    struct fake_queue *q;
    while (ev->e == ERR_OK && ev->n < (size_t)from + max && (q = next_due(c->f, partition, ev)) != NULL)
        ev->queues[ev->n++] = q;
    ev->n = ev->n > from ? ev->n - from : 0;
    memmove(ev->queues, ev->queues + from, ev->n * sizeof *ev->queues);
    fake_event_add(ev);
    return ERR_OK;
}

static void wake(struct fake_store *f, struct fake_queue *q)
{
    q->woken_ms = clock_wall(f->clock);
    q->woken_token = f->next_token;
    q->hold_until_ms = 0;
}

enum err fake_hold(struct store *st, unsigned partition, struct span domain, uint32_t klass, ms_t delay_ms,
                   uint64_t token)
{
    struct fake_store *f = ((struct fake_client *)st)->f;
    struct fake_queue *q = fake_queue_get(f, partition, domain, klass);
    ms_t now = clock_wall(f->clock);
    if (token == 0 || q->woken_token < token)
        q->hold_until_ms = ms_after(now, delay_ms);
    return ERR_OK;
}

/* All of them in one page. */
static void run_held(struct fake_event *ev)
{
    struct dmq *list = fake_alloc((ev->n + 1) * sizeof(*list));
    for (size_t i = 0; i < ev->n; i++) {
        list[i] = (struct dmq){.domain = buf_span(&ev->queues[i]->domain), .klass = ev->queues[i]->klass};
        list[i].depth = queue_jobs(ev->client->f, ev->queues[i]);
    }
    ev->fn.held(ev->arg, ev->e, list, ev->n, 0);
    free(list);
}

enum err fake_held(struct store *st, unsigned partition, uint64_t cursor, held_fn *done, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    size_t n = 0;
    (void)cursor;
    if (partition >= c->f->partitions)
        return ERR_STATE;
    struct fake_event *ev = fake_event_new(c, FAKE_DISCOVER, run_held);
    ev->e = fake_fault_take(c->f, FAKE_DISCOVER);
    ev->fn.held = done;
    ev->arg = arg;
    for (struct fake_queue *q = c->f->queues; q != NULL; q = q->next)
        n++;
    ev->queues = fake_alloc((n + 1) * sizeof(struct fake_queue *));
    for (struct fake_queue *q = c->f->queues; q != NULL && ev->e == ERR_OK; q = q->next) {
        if (q->partition == partition && q->hold_until_ms > clock_wall(c->f->clock) &&
            queue_jobs(c->f, q) > 0)
            ev->queues[ev->n++] = q;
    }
    fake_event_add(ev);
    return ERR_OK;
}

enum err fake_rouse(struct store *st, unsigned partition, struct span domain, uint32_t klass)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_queue *q = fake_queue_get(c->f, partition, domain, klass);
    ms_t now = clock_wall(c->f->clock);
    wake(c->f, q);
    for (struct fake_message *m = c->f->messages; m != NULL; m = m->next)
        for (struct fake_job *j = m->jobs; j != NULL; j = j->next)
            if (j->queue == q && j->state == FAKE_JOB_READY && j->due_ms > now)
                j->due_ms = now;
    return ERR_OK;
}

/* What was known before its queue was woken delays it no more. */
static ms_t due_after(const struct fake_store *f, const struct fake_job *j, ms_t delay_ms)
{
    return ms_after(clock_wall(f->clock), j->token <= j->queue->woken_token ? 0 : delay_ms);
}

/* --- Claims -------------------------------------------------------------------------------------- */

static struct fake_message *message_of(struct fake_store *f, const char *id)
{
    for (struct fake_message *m = f->messages; m != NULL; m = m->next) {
        if (strcmp(m->id.id, id) == 0)
            return m;
    }
    return NULL;
}

bool fake_store_bounce(struct fake_store *f, const struct msgid *id, uint32_t index, const char *reason)
{
    struct fake_message *m = message_of(f, id->id);
    for (struct fake_job *j = m == NULL ? NULL : m->jobs; j != NULL; j = j->next) {
        if (j->index != index)
            continue;
        j->bounce = true;
        j->due_ms = clock_wall(f->clock);
        fake_text(&j->reason, span_cstr(reason));
        return true;
    }
    return false;
}

void fake_store_retry(struct fake_store *f)
{
    for (struct fake_message *m = f->messages; m != NULL; m = m->next) {
        for (struct fake_job *j = m->jobs; j != NULL; j = j->next) {
            wake(f, j->queue);
            if (j->state == FAKE_JOB_READY && j->due_ms > clock_wall(f->clock))
                j->due_ms = clock_wall(f->clock);
        }
    }
}

static struct fake_claim *claim_new(struct fake_client *c, struct fake_message *m, struct fake_job *j)
{
    j->state = FAKE_JOB_CLAIMED;
    j->worker = c->worker;
    j->token = ++c->f->next_token;
    struct fake_claim *cl = fake_alloc(sizeof(*cl));
    cl->client = c;
    cl->worker = c->worker;
    fake_text(&cl->env, buf_span(&m->env));
    fake_text(&cl->blob, buf_span(&j->blob));
    fake_text(&cl->reason, buf_span(&j->reason));
    cl->claim = (struct claim){
        .id = m->id,
        .index = j->index,
        .token = j->token,
        .body = {.size_bytes = m->body.len, .chunks = (uint32_t)(m->body.len / CHUNK_BYTES + 1)},
        .interrupted = j->interrupted,
        .bounce = j->bounce,
        .reason = buf_span(&cl->reason),
        .now_ms = clock_wall(c->f->clock),
        .woken_ms = j->queue->woken_ms,
    };
    if (m->body.len > 0 && m->body.len % CHUNK_BYTES == 0)
        cl->claim.body.chunks--;
    if (envelope_decode(buf_span(&cl->env), &cl->claim.env) != ERR_OK ||
        job_decode(buf_span(&cl->blob), &cl->claim.job) != ERR_OK)
        abort();
    job_committed_at(&cl->claim.job, m->committed_ms);
    cl->next = c->claims;
    c->claims = cl;
    return cl;
}

void fake_claim_free(struct fake_claim *cl)
{
    struct fake_claim **at = &cl->client->claims;
    while (*at != cl)
        at = &(*at)->next;
    *at = cl->next;
    job_done(&cl->claim.job);
    buf_done(&cl->env);
    buf_done(&cl->blob);
    buf_done(&cl->reason);
    free(cl);
}

static void run_claim(struct fake_event *ev)
{
    struct claim **list = fake_alloc((ev->n + 1) * sizeof(*list));
    for (size_t i = 0; i < ev->n; i++)
        list[i] = &ev->claims[i]->claim;
    ev->fn.claim(ev->arg, ev->e, list, ev->n);
    free(list);
}

/* Healthy before problem messages, then the oldest due. */
static bool claims_before(const struct fake_job *a, const struct fake_job *b)
{
    return a->problem != b->problem ? !a->problem : a->due_ms < b->due_ms;
}

static struct fake_claim *claim_best(struct fake_client *c, const struct fake_queue *q)
{
    struct fake_message *best_message = NULL;
    struct fake_job *best = NULL;
    for (struct fake_message *m = c->f->messages; m != NULL; m = m->next) {
        for (struct fake_job *j = m->jobs; j != NULL; j = j->next) {
            if (claimable(c->f, q, j) && (best == NULL || claims_before(j, best))) {
                best = j;
                best_message = m;
            }
        }
    }
    return best == NULL ? NULL : claim_new(c, best_message, best);
}

enum err fake_claim(struct store *st, unsigned partition, struct span domain, uint32_t klass, unsigned max,
                    claim_fn *done, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_store *f = c->f;
    if (partition >= f->partitions || !c->worker_open)
        return ERR_STATE;
    struct fake_event *ev = fake_event_new(c, FAKE_CLAIM, run_claim);
    ev->e = fake_fault_take(f, FAKE_CLAIM);
    if (ev->e == ERR_OK && fake_worker_valid(st) == 0)
        ev->e = ERR_STALE;
    ev->fn.claim = done;
    ev->arg = arg;
    ev->claims = fake_alloc((max + 1) * sizeof(struct fake_claim *));
    struct fake_queue *q = fake_queue_get(f, partition, domain, klass);
    q->served = ++f->seq;
    struct fake_claim *cl;
    while (ev->e == ERR_OK && ev->n < max && (cl = claim_best(c, q)) != NULL)
        ev->claims[ev->n++] = cl;
    fake_event_add(ev);
    return ERR_OK;
}

static void run_chunk(struct fake_event *ev)
{
    ev->fn.chunk(ev->arg, ev->e, ev->e == ERR_OK ? buf_span(&ev->text) : SPAN(""));
}

enum err fake_chunk(struct store *st, const struct claim *c, uint32_t chunk, chunk_fn *done, void *arg)
{
    struct fake_client *client = (struct fake_client *)st;
    if (chunk >= c->body.chunks)
        return ERR_STATE;
    struct fake_event *ev = fake_event_new(client, FAKE_CHUNK, run_chunk);
    ev->e = fake_fault_take(client->f, FAKE_CHUNK);
    ev->fn.chunk = done;
    ev->arg = arg;
    const struct fake_message *m = message_of(client->f, c->id.id);
    if (ev->e == ERR_OK && m == NULL)
        ev->e = ERR_NOTFOUND;
    if (m != NULL)
        fake_text(&ev->text,
                  span_first(span_from(buf_span(&m->body), (size_t)chunk * CHUNK_BYTES), CHUNK_BYTES));
    fake_event_add(ev);
    return ERR_OK;
}

/* --- Finishing ----------------------------------------------------------------------------------- */

static void job_remove(struct fake_store *f, struct fake_message *m, struct fake_job *j)
{
    struct fake_job **at = &m->jobs;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    buf_done(&j->blob);
    buf_done(&j->reason);
    free(j);
    if (m->jobs == NULL)
        fake_message_remove(f, m);
}

/* The job if the claim still holds it. */
static struct fake_job *held(struct fake_store *f, const struct fake_claim *cl, struct fake_message **ret_m)
{
    struct fake_message *m = message_of(f, cl->claim.id.id);
    for (struct fake_job *j = m == NULL ? NULL : m->jobs; j != NULL; j = j->next) {
        if (j->index == cl->claim.index && j->state == FAKE_JOB_CLAIMED && j->worker == cl->worker &&
            j->token == cl->claim.token) {
            *ret_m = m;
            return j;
        }
    }
    return NULL;
}

static bool settles_a_part(const struct finish *fin)
{
    return fin->verb == FINISH_RETRY && fin->job != NULL && fin->delivered + fin->bounced > 0;
}

/* The job if what is over with it, or settled for some, waits in its queue again: the lease was lost. */
static struct fake_job *waiting(struct fake_store *f, const struct finish *fin, struct fake_message **ret_m)
{
    const struct fake_claim *cl = (const struct fake_claim *)fin->claim;
    bool part = settles_a_part(fin);
    struct fake_message *m = fin->verb == FINISH_DONE || part ? message_of(f, fin->claim->id.id) : NULL;
    for (struct fake_job *j = m == NULL ? NULL : m->jobs; j != NULL; j = j->next) {
        if (j->index == fin->claim->index && j->state == FAKE_JOB_READY &&
            (!part || span_eq(buf_span(&j->blob), buf_span(&cl->blob)))) {
            *ret_m = m;
            return j;
        }
    }
    return NULL;
}

static enum err add_report(struct fake_store *f, const struct finish *fin)
{
    struct fake_upload *u = (struct fake_upload *)fin->report;
    if (u == NULL)
        return ERR_OK;
    return fake_message_add(f, &u->upload.id, fin->report_env, fin->report_jobs, fin->nreport_jobs,
                            buf_span(&u->body));
}

static void apply_finish(struct fake_store *f, const struct finish *fin, struct fake_message *m,
                         struct fake_job *j, struct buf *blob)
{
    f->counts.delivered += fin->delivered;
    f->counts.bounced += fin->bounced;
    switch (fin->verb) {
    case FINISH_DONE:
        f->counts.finished++;
        job_remove(f, m, j);
        break;
    case FINISH_RETRY:
        f->counts.retried++;
        if (j->state == FAKE_JOB_CLAIMED) { /* else it keeps its place */
            j->state = FAKE_JOB_READY;
            j->due_ms = due_after(f, j, fin->delay_ms);
            j->problem = fin->problem;
        }
        if (blob->len > 0)
            fake_text(&j->blob, buf_span(blob));
        break;
    case FINISH_BADMAIL:
        f->counts.badmail++;
        j->state = FAKE_JOB_BADMAIL;
        if (blob->len > 0)
            fake_text(&j->blob, buf_span(blob));
        fake_text(&j->reason, fin->reason);
        break;
    }
}

enum err fake_finish(struct store *st, const struct finish *fin, done_fn *done, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_claim *cl = (struct fake_claim *)fin->claim;
    struct fake_message *m = NULL;
    struct buf blob;
    buf_init(&blob, JOB_MAX);
    enum err fault = fake_fault_take(c->f, FAKE_FINISH);
    struct finish without = fin->report != NULL && fin->without != NULL ? *fin->without : *fin;
    struct upload *report = fin->report;
    bool lost = fault == ERR_NOTFOUND && report != NULL && fin->without != NULL;
    if (lost) {
        without.claim = fin->claim;
        fin = &without;
        fault = ERR_OK;
    }
    enum err e = fin->verb != FINISH_DONE && fin->job != NULL ? job_encode(fin->job, &blob) : ERR_OK;
    struct fake_job *j = held(c->f, cl, &m);
    if (j == NULL)
        j = waiting(c->f, fin, &m);
    if (e == ERR_OK && fault == ERR_OK && j != NULL)
        e = add_report(c->f, fin);
    if (e == ERR_OK) {
        if (fault == ERR_OK && j != NULL)
            apply_finish(c->f, fin, m, j, &blob);
        if (j == NULL)
            c->f->counts.stale++;
        tell_done(c,
                  fault != ERR_OK ? fault
                  : j == NULL     ? ERR_STALE
                  : lost          ? ERR_NOTFOUND
                                  : ERR_OK,
                  done, arg);
        fake_claim_free(cl);
        if (report != NULL)
            fake_upload_free((struct fake_upload *)report);
    }
    buf_done(&blob);
    return e;
}

enum err fake_release(struct store *st, struct claim *c, ms_t delay_ms)
{
    struct fake_store *f = ((struct fake_client *)st)->f;
    struct fake_claim *cl = (struct fake_claim *)c;
    struct fake_message *m;
    struct fake_job *j = held(f, cl, &m);
    if (j != NULL) {
        j->state = FAKE_JOB_READY;
        j->due_ms = due_after(f, j, delay_ms);
        f->counts.released++;
    }
    fake_claim_free(cl);
    return ERR_OK;
}
