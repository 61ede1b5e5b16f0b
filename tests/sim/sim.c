#include "tests/sim/sim.h"

#include <stdarg.h>

struct sim_event {
    struct sim_event *next;
    uint64_t id;
    ms_t at_ms;
    sim_fn *fn;
    void *arg;
};

void sim_fail(const struct sim *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "at %llu ms: ", (unsigned long long)s->clock.now_ms);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(1);
}

void sim_init(struct sim *s, uint64_t seed)
{
    *s = (struct sim){0};
    fake_clock_init(&s->clock);
    rng_seed(&s->rng, seed);
    s->db = fake_store_new(&s->clock.clock, 4);
}

void sim_done(struct sim *s)
{
    while (s->events != NULL)
        sim_cancel(s, s->events->id);
    fake_store_free(s->db);
}

uint64_t sim_after(struct sim *s, ms_t delay_ms, sim_fn *fn, void *arg)
{
    struct sim_event *ev = malloc(sizeof(*ev));
    SIM_MUST(s, ev != NULL);
    *ev = (struct sim_event){.id = ++s->last_id, .at_ms = s->clock.now_ms + delay_ms, .fn = fn, .arg = arg};
    struct sim_event **at = &s->events;
    while (*at != NULL && (*at)->at_ms <= ev->at_ms)
        at = &(*at)->next;
    ev->next = *at;
    *at = ev;
    return ev->id;
}

void sim_cancel(struct sim *s, uint64_t id)
{
    for (struct sim_event **at = &s->events; id != 0 && *at != NULL; at = &(*at)->next) {
        struct sim_event *ev = *at;
        if (ev->id == id) {
            *at = ev->next;
            free(ev);
            return;
        }
    }
}

void sim_run(struct sim *s, ms_t until_ms)
{
    for (;;) {
        while (fake_store_run(s->db) > 0)
            ;
        ms_t store_ms = fake_store_next(s->db);
        if (store_ms <= s->clock.now_ms) /* a lease that was renewed just now */
            store_ms = s->clock.now_ms + 1;
        ms_t next_ms = s->events != NULL && s->events->at_ms < store_ms ? s->events->at_ms : store_ms;
        if (next_ms > until_ms)
            break;
        if (next_ms > s->clock.now_ms)
            s->clock.now_ms = next_ms;
        struct sim_event *ev = s->events;
        if (ev == NULL || ev->at_ms > s->clock.now_ms)
            continue;
        s->events = ev->next;
        ev->fn(ev->arg);
        free(ev);
    }
    s->clock.now_ms = until_ms;
}

bool sim_chance(struct sim *s, unsigned per_mille)
{
    return rng_below(&s->rng, 1000) < per_mille;
}

bool sim_fault(struct sim *s, unsigned per_mille)
{
    return !s->calm && sim_chance(s, per_mille);
}

uint64_t sim_pick(struct sim *s, uint64_t low, uint64_t high)
{
    return low + rng_below(&s->rng, high - low + 1);
}

/* --- Wires ------------------------------------------------------------------------------------------ */

struct lane { /* one direction */
    struct buf bytes;
    bool ended; /* the sender has closed */
    uint64_t event;
};
struct wire {
    struct sim *sim;
    struct lane to[2]; /* towards that side */
    const struct wire_ops *ops[2];
    void *arg[2];
    bool open[2]; /* attached and not closed */
    bool told[2]; /* closed() was called */
    int busy;     /* inside a callback */
};

struct wire *wire_new(struct sim *s)
{
    struct wire *w = calloc(1, sizeof(*w));
    SIM_MUST(s, w != NULL);
    w->sim = s;
    buf_init(&w->to[0].bytes, SIZE_MAX / 2);
    buf_init(&w->to[1].bytes, SIZE_MAX / 2);
    return w;
}

struct wire_end wire_attach(struct wire *w, int side, const struct wire_ops *ops, void *arg)
{
    w->ops[side] = ops;
    w->arg[side] = arg;
    w->open[side] = true;
    return (struct wire_end){w, side};
}

static void free_if_over(struct wire *w)
{
    if (w->busy > 0 || w->open[0] || w->open[1])
        return;
    for (int side = 0; side < 2; side++) {
        sim_cancel(w->sim, w->to[side].event);
        buf_done(&w->to[side].bytes);
    }
    free(w);
}

static void schedule(struct wire *w, int side);

static void deliver(struct wire *w, int side)
{
    struct lane *lane = &w->to[side];
    lane->event = 0;
    if (!w->open[side])
        return;
    w->busy++;
    if (lane->bytes.len > 0) {
        size_t n = sim_chance(w->sim, 500) ? lane->bytes.len : sim_pick(w->sim, 1, lane->bytes.len);
        struct buf piece; /* a copy: the receiver may answer, and the sanitizer sees its ends */
        buf_init(&piece, n);
        SIM_MUST(w->sim, buf_add(&piece, span_first(buf_span(&lane->bytes), n)) == ERR_OK);
        buf_drop_front(&lane->bytes, n);
        w->ops[side]->received(w->arg[side], buf_span(&piece));
        buf_done(&piece);
    } else if (lane->ended && !w->told[side]) {
        w->told[side] = true;
        w->ops[side]->closed(w->arg[side]);
    }
    w->busy--;
    schedule(w, side);
    free_if_over(w);
}

static void deliver_to_0(void *arg)
{
    deliver(arg, 0);
}

static void deliver_to_1(void *arg)
{
    deliver(arg, 1);
}

static void schedule(struct wire *w, int side)
{
    struct lane *lane = &w->to[side];
    bool some = lane->bytes.len > 0 || (lane->ended && !w->told[side]);
    if (lane->event == 0 && w->open[side] && some)
        lane->event = sim_after(w->sim, sim_pick(w->sim, 0, 20), side == 0 ? deliver_to_0 : deliver_to_1, w);
}

void wire_send(struct wire_end end, struct span bytes)
{
    struct wire *w = end.wire;
    if (w == NULL || !w->open[!end.side])
        return;
    SIM_MUST(w->sim, buf_add(&w->to[!end.side].bytes, bytes) == ERR_OK);
    schedule(w, !end.side);
}

void wire_close(struct wire_end *end)
{
    struct wire *w = end->wire;
    end->wire = NULL;
    if (w == NULL || !w->open[end->side])
        return;
    w->open[end->side] = false;
    w->to[!end->side].ended = true;
    schedule(w, !end->side);
    free_if_over(w);
}

void wire_cut(struct wire *w)
{
    w->busy++;
    for (int side = 0; side < 2; side++) {
        buf_clear(&w->to[side].bytes);
        w->to[side].ended = true;
        if (w->open[side] && !w->told[side]) {
            w->told[side] = true;
            w->ops[side]->closed(w->arg[side]);
        }
    }
    w->busy--;
    free_if_over(w);
}
