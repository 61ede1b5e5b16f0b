#include "tests/fakes/fake_store.h"

#include "tests/fakes/fake_store_int.h"

#include <stdlib.h>

void *fake_alloc(size_t n)
{
    void *p = calloc(1, n);
    if (p == NULL)
        abort();
    return p;
}

void fake_text(struct buf *b, struct span s)
{
    if (b->max == 0)
        buf_init(b, SIZE_MAX / 2);
    buf_clear(b);
    if (buf_add(b, s) != ERR_OK)
        abort();
}

/* --- Events -------------------------------------------------------------------------------------- */

enum err fake_fault_take(struct fake_store *f, enum fake_store_op op)
{
    struct fake_fault *fault = &f->faults[op];
    if (fault->times == 0)
        return ERR_OK;
    fault->times--;
    return fault->e;
}

struct fake_event *fake_event_new(struct fake_client *c, enum fake_store_op op,
                                  void (*run)(struct fake_event *))
{
    struct fake_event *ev = fake_alloc(sizeof(*ev));
    ev->client = c;
    ev->run = run;
    ev->due_ms = ms_after(clock_mono(c->f->clock), c->f->faults[op].delay_ms);
    buf_init(&ev->text, SIZE_MAX / 2);
    return ev;
}

void fake_event_add(struct fake_event *ev)
{
    struct fake_store *f = ev->client->f;
    ev->seq = ++f->seq;
    struct fake_event **at = &f->events;
    while (*at != NULL && (*at)->due_ms <= ev->due_ms)
        at = &(*at)->next;
    ev->next = *at;
    *at = ev;
    if (f->kick != NULL)
        f->kick(f->kick_arg);
}

static void event_free(struct fake_event *ev)
{
    buf_done(&ev->text);
    free(ev->claims);
    free(ev->queues);
    free(ev);
}

void fake_events_drop(struct fake_store *f, const void *owner)
{
    for (struct fake_event **at = &f->events; *at != NULL;) {
        struct fake_event *ev = *at;
        if (ev->owner != owner) {
            at = &ev->next;
            continue;
        }
        *at = ev->next;
        event_free(ev);
    }
}

static struct fake_event *event_pop(struct fake_store *f, ms_t now_ms, uint64_t upto)
{
    for (struct fake_event **at = &f->events; *at != NULL; at = &(*at)->next) {
        struct fake_event *ev = *at;
        if (ev->due_ms <= now_ms && ev->seq <= upto) {
            *at = ev->next;
            return ev;
        }
    }
    return NULL;
}

size_t fake_store_run(struct fake_store *f)
{
    size_t called = 0;
    ms_t now = clock_mono(f->clock);
    for (struct fake_client *c = f->clients; c != NULL; c = c->next)
        fake_worker_tick(c);
    uint64_t upto = f->seq;
    struct fake_event *ev;
    while ((ev = event_pop(f, now, upto)) != NULL) {
        ev->run(ev);
        event_free(ev);
        called++;
    }
    if (f->kick != NULL)
        f->kick(f->kick_arg);
    return called;
}

ms_t fake_store_next(const struct fake_store *f)
{
    ms_t next = f->events == NULL ? UINT64_MAX : f->events->due_ms;
    for (const struct fake_client *c = f->clients; c != NULL; c = c->next) {
        ms_t lease = fake_worker_next(c);
        next = lease < next ? lease : next;
    }
    return next;
}

/* --- Clients ------------------------------------------------------------------------------------- */

static void cancel_events(struct fake_client *c)
{
    struct fake_event **at = &c->f->events;
    struct fake_event *mine = NULL, **end = &mine;
    while (*at != NULL) {
        struct fake_event *ev = *at;
        if (ev->client != c) {
            at = &ev->next;
            continue;
        }
        *at = ev->next;
        ev->next = NULL;
        *end = ev;
        end = &ev->next;
    }
    while (mine != NULL) {
        struct fake_event *ev = mine;
        mine = ev->next;
        ev->e = ERR_CANCELED;
        ev->n = 0;
        if (ev->owner == NULL) /* hints and ready() are dropped, answers are not */
            ev->run(ev);
        event_free(ev);
    }
}

static void client_free(struct store *st)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_store *f = c->f;
    cancel_events(c);
    while (c->uploads != NULL)
        fake_upload_free(c->uploads);
    while (c->claims != NULL)
        fake_claim_free(c->claims);
    struct fake_client **at = &f->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    free(c);
    if (f->clients == NULL && f->detach != NULL)
        f->detach(f);
}

static unsigned client_partitions(const struct store *st)
{
    return ((const struct fake_client *)st)->f->partitions;
}

static enum err client_refusal(const struct store *st, struct buf *ret_why)
{
    const struct fake_store *f = ((const struct fake_client *)st)->f;
    if (f->refusal != ERR_OK && ret_why != NULL && buf_add(ret_why, span_cstr(f->why_not)) != ERR_OK)
        abort();
    return f->refusal;
}

static enum err client_warnings(const struct store *st, struct buf *out)
{
    (void)st;
    (void)out;
    return ERR_OK;
}

static void client_on_change(struct store *st, store_event_fn *fn, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    c->on_change = fn;
    c->on_change_arg = arg;
}

static void client_on_wake(struct store *st, void (*fn)(void *arg, unsigned partition), void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    c->wake = fn;
    c->wake_arg = arg;
}

static enum err client_metrics(const struct store *st, struct buf *out)
{
    const struct fake_store *f = ((const struct fake_client *)st)->f;
    return buf_addf(out, "bridgehead_fake_commits_total %llu\n", (unsigned long long)f->counts.commits);
}

static const struct store_ops fake_ops = {
    .free = client_free,
    .partitions = client_partitions,
    .refusal = client_refusal,
    .warnings = client_warnings,
    .on_change = client_on_change,
    .metrics = client_metrics,
    .upload = fake_upload_new,
    .upload_write = fake_upload_write,
    .upload_has_room = fake_upload_has_room,
    .upload_commit = fake_upload_commit,
    .upload_abort = fake_upload_abort,
    .worker_open = fake_worker_open,
    .worker_close = fake_worker_close,
    .worker_valid = fake_worker_valid,
    .worker_why = fake_worker_why,
    .on_wake = client_on_wake,
    .discover = fake_discover,
    .claim = fake_claim,
    .chunk = fake_chunk,
    .finish = fake_finish,
    .release = fake_release,
    .hold = fake_hold,
    .held = fake_held,
    .rouse = fake_rouse,
    .slots_get = fake_slots_get,
    .slots_put = fake_slots_put,
    .on_slots_lost = fake_on_slots_lost,
    .reap = fake_reap,
    .link_get = fake_link_get,
    .link_failed = fake_link_failed,
    .link_ok = fake_link_ok,
};

struct store *fake_store_open(struct fake_store *f)
{
    struct fake_client *c = fake_alloc(sizeof(*c));
    c->store.ops = &fake_ops;
    c->f = f;
    c->next = f->clients;
    f->clients = c;
    return &c->store;
}

/* --- The database -------------------------------------------------------------------------------- */

struct fake_store *fake_store_new(const struct clock *clock, unsigned partitions)
{
    struct fake_store *f = fake_alloc(sizeof(*f));
    f->clock = clock;
    f->partitions = partitions;
    f->refusal = ERR_OK;
    msgid_source_init(&f->ids, 1);
    return f;
}

void fake_store_free(struct fake_store *f)
{
    if (f == NULL)
        return;
    if (f->detach != NULL)
        f->detach(f);
    while (f->clients != NULL)
        client_free(&f->clients->store);
    while (f->messages != NULL)
        fake_message_remove(f, f->messages);
    for (struct fake_queue *q = f->queues, *next; q != NULL; q = next) {
        next = q->next;
        buf_done(&q->domain);
        free(q);
    }
    for (struct fake_slot *s = f->slots, *next; s != NULL; s = next) {
        next = s->next;
        buf_done(&s->link);
        free(s);
    }
    for (struct fake_link *ln = f->links, *next; ln != NULL; ln = next) {
        next = ln->next;
        buf_done(&ln->name);
        buf_done(&ln->error);
        free(ln);
    }
    free(f);
}

void fake_store_fail(struct fake_store *f, enum fake_store_op op, enum err e, const char *why, unsigned times)
{
    f->faults[op].e = e;
    f->faults[op].times = times;
    (void)snprintf(f->faults[op].why, sizeof(f->faults[op].why), "%s", why);
}

void fake_store_delay(struct fake_store *f, enum fake_store_op op, ms_t delay_ms)
{
    f->faults[op].delay_ms = delay_ms;
}

void fake_store_window(struct fake_store *f, size_t bytes)
{
    f->window = bytes;
}

static void run_event(struct fake_event *ev)
{
    if (ev->e == ERR_OK)
        ev->fn.event(ev->arg);
}

static void notify(struct fake_client *c, store_event_fn *fn, void *arg, const void *owner)
{
    struct fake_event *ev = fake_event_new(c, FAKE_UPLOAD, run_event);
    ev->fn.event = fn;
    ev->arg = arg;
    ev->owner = owner;
    fake_event_add(ev);
}

void fake_store_stall(struct fake_store *f, bool stalled)
{
    f->stalled = stalled;
    for (struct fake_client *c = f->clients; c != NULL && !stalled; c = c->next) {
        for (struct fake_upload *u = c->uploads; u != NULL; u = u->next) {
            if (!u->waiting)
                continue;
            u->waiting = false;
            u->in_flight = 0;
            notify(c, u->ready, u->arg, u);
        }
    }
}

void fake_store_refuse(struct fake_store *f, enum err refusal, const char *why)
{
    f->refusal = refusal;
    (void)snprintf(f->why_not, sizeof(f->why_not), "%s", why);
    for (struct fake_client *c = f->clients; c != NULL; c = c->next) {
        if (c->on_change != NULL)
            notify(c, c->on_change, c->on_change_arg, c);
    }
}

void fake_store_freeze(struct store *client, bool frozen)
{
    ((struct fake_client *)client)->frozen = frozen;
}

void fake_store_expire(struct store *client)
{
    struct fake_client *c = (struct fake_client *)client;
    c->lease_until_ms = clock_mono(c->f->clock);
    fake_worker_tick(c);
}

void fake_store_lose_slots(struct store *client)
{
    struct fake_client *c = (struct fake_client *)client;
    c->slots_until_ms = clock_mono(c->f->clock);
    fake_worker_tick(c);
}

/* --- Looking inside ------------------------------------------------------------------------------ */

size_t fake_store_messages(const struct fake_store *f)
{
    size_t n = 0;
    for (const struct fake_message *m = f->messages; m != NULL; m = m->next)
        n++;
    return n;
}

size_t fake_store_jobs(const struct fake_store *f)
{
    size_t n = 0;
    for (const struct fake_message *m = f->messages; m != NULL; m = m->next) {
        for (const struct fake_job *j = m->jobs; j != NULL; j = j->next)
            n++;
    }
    return n;
}

static void view(const struct fake_message *m, const struct fake_job *j, struct fake_job_view *ret)
{
    *ret = (struct fake_job_view){
        .id = m->id,
        .index = j->index,
        .state = j->state,
        .due_ms = j->due_ms,
        .problem = j->problem,
        .interrupted = j->interrupted,
        .env = buf_span(&m->env),
        .blob = buf_span(&j->blob),
        .body = buf_span(&m->body),
        .reason = buf_span(&j->reason),
    };
}

bool fake_store_job(const struct fake_store *f, size_t i, struct fake_job_view *ret)
{
    for (const struct fake_message *m = f->messages; m != NULL; m = m->next) {
        for (const struct fake_job *j = m->jobs; j != NULL; j = j->next) {
            if (i-- == 0) {
                view(m, j, ret);
                return true;
            }
        }
    }
    return false;
}

size_t fake_store_open_uploads(const struct fake_store *f)
{
    size_t n = 0;
    for (const struct fake_client *c = f->clients; c != NULL; c = c->next) {
        for (const struct fake_upload *u = c->uploads; u != NULL; u = u->next)
            n++;
    }
    return n;
}

size_t fake_store_open_claims(const struct fake_store *f)
{
    size_t n = 0;
    for (const struct fake_client *c = f->clients; c != NULL; c = c->next) {
        for (const struct fake_claim *cl = c->claims; cl != NULL; cl = cl->next)
            n++;
    }
    return n;
}

const struct fake_store_counts *fake_store_counts(const struct fake_store *f)
{
    return &f->counts;
}

void fake_store_put(struct fake_store *f, const struct envelope *env, const struct commit_job *jobs,
                    size_t njobs, struct span body, ms_t age_ms, struct msgid *ret)
{
    struct msgid id;
    fake_new_id(f, NULL, &id);
    if (fake_message_add(f, &id, env, jobs, njobs, body) != ERR_OK)
        abort();
    struct fake_message *m = f->messages;
    while (m->next != NULL)
        m = m->next;
    m->committed_ms -= age_ms;
    if (ret != NULL)
        *ret = id;
}
