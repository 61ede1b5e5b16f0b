/* links: linkstate */
/* Any bytes as a script of a simulation: refused with the line, or events that can happen. */
#include "linkstate/scenario.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { GROUPS = 4, EVENTS_MAX = 6 };

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* A triangle, and a connector in one direction to a fourth. */
static struct sim *world(void)
{
    static const char *const names[GROUPS] = {"a", "b", "c", "d"};
    struct sim_options o = {.seed = 1, .latency_min_ms = 1, .latency_max_ms = 3};
    struct sim *s = sim_new(&o);
    require(s != NULL);
    for (uint32_t i = 0; i < GROUPS; i++)
        require(sim_group(s, names[i]) == i);
    for (uint32_t i = 0; i < 3; i++)
        require(sim_link(s, i, (i + 1) % 3, 1, 2) == ERR_OK);
    require(sim_join(s, 0, 3, 1, 0, true) == ERR_OK);
    return s;
}

static void happen(struct sim *s, const struct scenario *sc)
{
    struct scenario_result was;
    require(sim_start_converged(s) == ERR_OK);
    for (size_t i = 0; i < sc->n && i < EVENTS_MAX; i++) {
        struct scenario_event ev = sc->events[i];
        ev.timed = false;
        require(scenario_run(s, &ev, 0, sim_now(s) + 100, &was) == ERR_OK);
        require(was.took_ms <= 100);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim *s = world();
    struct scenario sc;
    struct errctx ec = {""};
    ms_t last = 0;
    if (scenario_parse(span_of((const char *)data, size), s, &sc, &ec) != ERR_OK) {
        require(strncmp(ec.msg, "line ", 5) == 0 || size > SCENARIO_TEXT_MAX);
    } else {
        for (size_t i = 0; i < sc.n; i++) {
            const struct scenario_event *ev = &sc.events[i];
            require(ev->kind < SCENARIO__COUNT && (!ev->timed || ev->at_ms >= last));
            require(ev->a == SCENARIO_NONE || ev->a < GROUPS);
            require(ev->b == SCENARIO_NONE || sim_linked(s, ev->a, ev->b));
            last = ev->timed ? ev->at_ms : last;
        }
        happen(s, &sc);
        scenario_done(&sc);
    }
    sim_free(s);
    return 0;
}
