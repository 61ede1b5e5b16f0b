/* The accepting half of the fake: uploads and commits. */
#include "tests/fakes/fake_store_int.h"

#include <stdlib.h>

void fake_new_id(struct fake_store *f, const struct msgid *near, struct msgid *ret)
{
    msgid_next(&f->ids, clock_wall(f->clock), ret);
    ret->partition = (uint16_t)(near != NULL ? near->partition : f->next_partition++ % f->partitions);
}

struct fake_queue *fake_queue_get(struct fake_store *f, unsigned partition, struct span domain,
                                  uint32_t klass)
{
    struct fake_queue **at = &f->queues;
    for (; *at != NULL; at = &(*at)->next) {
        struct fake_queue *q = *at;
        if (q->partition == partition && q->klass == klass && span_eq(buf_span(&q->domain), domain))
            return q;
    }
    struct fake_queue *q = fake_alloc(sizeof(*q));
    q->partition = partition;
    q->klass = klass;
    fake_text(&q->domain, domain);
    *at = q;
    return q;
}

static void job_free(struct fake_job *j)
{
    buf_done(&j->blob);
    buf_done(&j->reason);
    free(j);
}

void fake_message_free(struct fake_message *m)
{
    for (struct fake_job *j = m->jobs, *next; j != NULL; j = next) {
        next = j->next;
        job_free(j);
    }
    buf_done(&m->env);
    buf_done(&m->body);
    free(m);
}

void fake_message_remove(struct fake_store *f, struct fake_message *m)
{
    struct fake_message **at = &f->messages;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    fake_message_free(m);
}

static enum err add_jobs(struct fake_store *f, struct fake_message *m, const struct commit_job *jobs,
                         size_t njobs)
{
    struct fake_job **end = &m->jobs;
    for (size_t i = 0; i < njobs; i++) {
        struct fake_job *j = fake_alloc(sizeof(*j));
        *end = j;
        end = &j->next;
        j->index = (uint32_t)i + 1;
        j->due_ms = ms_after(clock_wall(f->clock), jobs[i].delay_ms);
        j->queue = fake_queue_get(f, m->id.partition, jobs[i].job->domain, jobs[i].job->klass);
        buf_init(&j->blob, JOB_MAX);
        enum err e = job_encode(jobs[i].job, &j->blob);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static void run_wake(struct fake_event *ev)
{
    ev->fn.wake(ev->arg, (unsigned)ev->number);
}

static void wake_all(struct fake_store *f, unsigned partition)
{
    for (struct fake_client *c = f->clients; c != NULL; c = c->next) {
        if (c->wake == NULL)
            continue;
        struct fake_event *ev = fake_event_new(c, FAKE_UPLOAD, run_wake);
        ev->fn.wake = c->wake;
        ev->arg = c->wake_arg;
        ev->owner = c;
        ev->number = partition;
        fake_event_add(ev);
    }
}

enum err fake_message_add(struct fake_store *f, const struct msgid *id, const struct envelope *env,
                          const struct commit_job *jobs, size_t njobs, struct span body)
{
    struct fake_message *m = fake_alloc(sizeof(*m));
    m->id = *id;
    m->committed_ms = clock_wall(f->clock);
    buf_init(&m->env, ENVELOPE_MAX);
    fake_text(&m->body, body);
    enum err e = envelope_encode(env, &m->env);
    if (e == ERR_OK)
        e = add_jobs(f, m, jobs, njobs);
    if (e != ERR_OK) {
        fake_message_free(m);
        return e;
    }
    struct fake_message **end = &f->messages;
    while (*end != NULL)
        end = &(*end)->next;
    *end = m;
    wake_all(f, id->partition);
    return ERR_OK;
}

struct upload *fake_upload_new(struct store *st, const struct msgid *near, store_event_fn *ready, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_upload *u = fake_alloc(sizeof(*u));
    u->upload.store = st;
    u->client = c;
    u->ready = ready;
    u->arg = arg;
    buf_init(&u->body, SIZE_MAX / 2);
    fake_new_id(c->f, near, &u->upload.id);
    u->next = c->uploads;
    c->uploads = u;
    return &u->upload;
}

void fake_upload_free(struct fake_upload *u)
{
    struct fake_upload **at = &u->client->uploads;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    fake_events_drop(u->client->f, u);
    buf_done(&u->body);
    free(u);
}

static void run_ready(struct fake_event *ev)
{
    struct fake_upload *u = ev->arg;
    u->waiting = false;
    u->in_flight = 0;
    u->ready(u->arg);
}

/* ready() follows. */
static void wait_for_room(struct fake_upload *u)
{
    struct fake_store *f = u->client->f;
    if (u->waiting)
        return;
    u->waiting = true;
    if (f->stalled)
        return;
    struct fake_event *ev = fake_event_new(u->client, FAKE_UPLOAD, run_ready);
    ev->arg = u;
    ev->owner = u;
    fake_event_add(ev);
}

bool fake_upload_has_room(struct upload *up, size_t bytes)
{
    struct fake_upload *u = (struct fake_upload *)up;
    size_t window = u->client->f->window;
    if (window == 0 || u->in_flight == 0 || bytes <= window - u->in_flight)
        return true;
    wait_for_room(u);
    return false;
}

enum err fake_upload_write(struct upload *up, struct span bytes, size_t *ret_taken)
{
    struct fake_upload *u = (struct fake_upload *)up;
    struct fake_store *f = u->client->f;
    enum err e = fake_fault_take(f, FAKE_UPLOAD);
    if (e != ERR_OK) {
        up->why = f->faults[FAKE_UPLOAD].why;
        return e;
    }
    struct span now = bytes;
    if (f->window != 0 && bytes.len > f->window - u->in_flight)
        now = span_first(bytes, f->window - u->in_flight);
    if (buf_add(&u->body, now) != ERR_OK)
        abort();
    u->in_flight += f->window == 0 ? 0 : now.len;
    up->size_bytes += now.len;
    *ret_taken = now.len;
    if (now.len == bytes.len)
        return ERR_OK;
    wait_for_room(u);
    return ERR_AGAIN;
}

static void run_commit(struct fake_event *ev)
{
    ev->fn.commit(ev->arg, ev->e, &ev->id, buf_cstr(&ev->text));
}

enum err fake_upload_commit(struct upload *up, const struct envelope *env, const struct commit_job *jobs,
                            size_t njobs, commit_fn *done, void *arg)
{
    struct fake_upload *u = (struct fake_upload *)up;
    struct fake_store *f = u->client->f;
    if (njobs == 0 || njobs > JOBS_PER_MESSAGE_MAX)
        return ERR_TOOBIG;
    enum err fault = fake_fault_take(f, FAKE_COMMIT);
    enum err e = ERR_OK;
    if (fault == ERR_OK)
        e = fake_message_add(f, &up->id, env, jobs, njobs, buf_span(&u->body));
    if (e != ERR_OK)
        return e;
    struct fake_event *ev = fake_event_new(u->client, FAKE_COMMIT, run_commit);
    ev->e = fault;
    ev->fn.commit = done;
    ev->arg = arg;
    ev->id = up->id;
    if (fault != ERR_OK)
        fake_text(&ev->text, span_cstr(f->faults[FAKE_COMMIT].why));
    else
        f->counts.commits++;
    fake_event_add(ev);
    fake_upload_free(u);
    return ERR_OK;
}

void fake_upload_abort(struct upload *up)
{
    fake_upload_free((struct fake_upload *)up);
}
