/* tests/sim/sim.h — a world with one clock and one source of chance: events in order of time, wires between
 * the ends of a connection, faults while it is not calm. Same seed, same run. Out of memory aborts. */
#pragma once
#include "common/buf.h"
#include "common/rng.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"

struct sim_event;
struct sim {
    struct fake_clock clock;
    struct rng rng;
    struct fake_store *db;
    struct sim_event *events; /* in order of time, then of making */
    uint64_t last_id;
    bool calm; /* no fault happens any more */
};
void sim_init(struct sim *s, uint64_t seed);
void sim_done(struct sim *s); /* after everything that lives in it */
/* Says what went wrong and ends the program. */
void sim_fail(const struct sim *s, const char *fmt, ...) PRINTF(2, 3) __attribute__((noreturn));
#define SIM_MUST(s, condition)                                                                               \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            sim_fail((s), "%s:%d: %s", __FILE__, __LINE__, #condition);                                      \
    } while (0)

typedef void sim_fn(void *arg);
uint64_t sim_after(struct sim *s, ms_t delay_ms, sim_fn *fn, void *arg); /* an id for sim_cancel() */
void sim_cancel(struct sim *s, uint64_t id); /* 0, or one that is over: no effect */
void sim_run(struct sim *s, ms_t until_ms);
bool sim_chance(struct sim *s, unsigned per_mille);
bool sim_fault(struct sim *s, unsigned per_mille); /* never when it is calm */
uint64_t sim_pick(struct sim *s, uint64_t low, uint64_t high);

/* --- Wires ------------------------------------------------------------------------------------------ *
 * Bytes arrive in order, later, in pieces of any size. An end that closes hears nothing any more; the
 * other one gets what was sent before, then closed(). A wire is freed when both ends have closed. */
struct wire_ops {
    void (*received)(void *arg, struct span bytes);
    void (*closed)(void *arg); /* the owner still has to wire_close() its end */
};
struct wire;
struct wire_end { /* what an owner keeps */
    struct wire *wire;
    int side;
};
struct wire *wire_new(struct sim *s);
struct wire_end wire_attach(struct wire *w, int side, const struct wire_ops *ops, void *arg);
void wire_send(struct wire_end end, struct span bytes);
void wire_close(struct wire_end *end); /* idempotent */
void wire_cut(struct wire *w);         /* both ends are told at once; what is on the way is lost */
