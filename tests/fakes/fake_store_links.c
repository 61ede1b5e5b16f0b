/* Connection slots and the shared state of links. */
#include "tests/fakes/fake_store_int.h"

#include <stdlib.h>

static unsigned slots_sum(const struct fake_store *f, const struct span *link)
{
    unsigned n = 0;
    for (const struct fake_slot *s = f->slots; s != NULL; s = s->next) {
        if (link == NULL || span_eq(buf_span(&s->link), *link))
            n += s->count;
    }
    return n;
}

unsigned fake_store_slots(const struct fake_store *f, struct span link)
{
    return slots_sum(f, &link);
}

unsigned fake_store_slots_peak(const struct fake_store *f)
{
    return f->slots_peak;
}

void fake_slots_drop(struct fake_store *f, uint64_t owner)
{
    for (struct fake_slot *s = f->slots; s != NULL; s = s->next) {
        if (s->owner == owner)
            s->count = 0;
    }
}

static struct fake_slot *slot_of(struct fake_store *f, uint64_t owner, struct span link)
{
    struct fake_slot **at = &f->slots;
    for (; *at != NULL; at = &(*at)->next) {
        if ((*at)->owner == owner && span_eq(buf_span(&(*at)->link), link))
            return *at;
    }
    struct fake_slot *s = fake_alloc(sizeof(*s));
    s->owner = owner;
    fake_text(&s->link, link);
    *at = s;
    return s;
}

static void run_slots(struct fake_event *ev)
{
    if (ev->number > 0 &&
        ev->worker != ev->client->worker) { /* the incarnation is over: nobody knows of them */
        fake_slots_put(&ev->client->store, buf_span(&ev->text), (unsigned)ev->number);
        ev->number = 0;
        ev->e = ERR_STALE;
    }
    ev->fn.slots(ev->arg, ev->e, (unsigned)ev->number);
}

static unsigned room(unsigned cap, unsigned used)
{
    return cap > used ? cap - used : 0;
}

enum err fake_slots_get(struct store *st, struct span link, unsigned want, unsigned cap_link,
                        unsigned cap_total, slots_fn *done, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_store *f = c->f;
    if (!c->worker_open)
        return ERR_STATE;
    struct fake_event *ev = fake_event_new(c, FAKE_SLOTS, run_slots);
    ev->e = fake_fault_take(f, FAKE_SLOTS);
    if (ev->e == ERR_OK && fake_worker_valid(st) == 0)
        ev->e = ERR_STALE;
    ev->fn.slots = done;
    ev->arg = arg;
    if (ev->e == ERR_OK) {
        unsigned granted = want, in_link = room(cap_link, slots_sum(f, &link));
        unsigned in_total = room(cap_total, slots_sum(f, NULL));
        granted = granted < in_link ? granted : in_link;
        granted = granted < in_total ? granted : in_total;
        slot_of(f, c->slots_owner, link)->count += granted;
        ev->number = granted;
        ev->worker = c->worker;
        fake_text(&ev->text, link);
        unsigned used = slots_sum(f, NULL);
        f->slots_peak = used > f->slots_peak ? used : f->slots_peak;
    }
    fake_event_add(ev);
    return ERR_OK;
}

void fake_slots_put(struct store *st, struct span link, unsigned n)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_slot *s = slot_of(c->f, c->slots_owner, link);
    s->count = room(s->count, n);
}

void fake_on_slots_lost(struct store *st, store_event_fn *fn, void *arg)
{
    ((struct fake_client *)st)->slots_lost = fn;
    ((struct fake_client *)st)->slots_lost_arg = arg;
}

static struct fake_link *link_of(struct fake_store *f, struct span name)
{
    struct fake_link **at = &f->links;
    for (; *at != NULL; at = &(*at)->next) {
        if (span_eq(buf_span(&(*at)->name), name))
            return *at;
    }
    struct fake_link *ln = fake_alloc(sizeof(*ln));
    fake_text(&ln->name, name);
    *at = ln;
    return ln;
}

static void run_link(struct fake_event *ev)
{
    ev->link.last_error = buf_span(&ev->text);
    ev->fn.link(ev->arg, ev->e, &ev->link, clock_wall(ev->client->f->clock));
}

enum err fake_link_get(struct store *st, struct span link, link_fn *done, void *arg)
{
    struct fake_client *c = (struct fake_client *)st;
    struct fake_event *ev = fake_event_new(c, FAKE_LINK, run_link);
    ev->e = fake_fault_take(c->f, FAKE_LINK);
    ev->fn.link = done;
    ev->arg = arg;
    const struct fake_link *ln = link_of(c->f, link);
    ev->link =
        (struct link_state){.failures = ln->failures, .until_ms = ln->until_ms, .since_ms = ln->since_ms};
    fake_text(&ev->text, buf_span(&ln->error));
    fake_event_add(ev);
    return ERR_OK;
}

enum err fake_link_failed(struct store *st, struct span link, uint32_t failures, ms_t delay_ms,
                          struct span error)
{
    struct fake_store *f = ((struct fake_client *)st)->f;
    struct fake_link *ln = link_of(f, link);
    ln->since_ms = ln->failures > 0 ? ln->since_ms : clock_wall(f->clock);
    ln->failures = failures;
    ln->until_ms = ms_after(clock_wall(f->clock), delay_ms);
    fake_text(&ln->error, error);
    return ERR_OK;
}

enum err fake_link_ok(struct store *st, struct span link)
{
    struct fake_link *ln = link_of(((struct fake_client *)st)->f, link);
    ln->failures = 0;
    ln->until_ms = ln->since_ms = 0;
    fake_text(&ln->error, SPAN(""));
    return ERR_OK;
}
