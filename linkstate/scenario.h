/* linkstate/scenario.h — what happens in a simulation, as lines of text, and what each event costs.
 *
 *   # a comment
 *   at 10s down A B        connectors between A and B are DOWN, in both directions; their routers go on
 * talking at 10s down A to-b     this connector of A (a configured group's) alone at 1m up A B cut A B the
 * line itself: connectors DOWN, and the routers hear each other no more cut A                  all lines of A
 *   heal A B | heal A | heal
 *   crash A                the routers of A stop; what they said lasts for its lifetime
 *   restart A              after a crash or without one: they have forgotten everything but their version
 *   cost A B 5             of the connectors in both directions
 *
 * Times count from the start and do not fall. A line without `at` happens when what came before has spread.
 */
#pragma once
#include "common/rng.h"
#include "linkstate/sim.h"

enum { SCENARIO_EVENTS_MAX = 100000, SCENARIO_TEXT_MAX = 16 << 20 };
#define SCENARIO_NONE UINT32_MAX
enum scenario_kind {
    SCENARIO_DOWN,
    SCENARIO_UP,
    SCENARIO_CUT,
    SCENARIO_HEAL,
    SCENARIO_CRASH,
    SCENARIO_RESTART,
    SCENARIO_COST,
    SCENARIO__COUNT
};
struct scenario_event {
    enum scenario_kind kind;
    bool timed;
    uint8_t cost;                        /* COST */
    ms_t at_ms;                          /* timed: since the start */
    uint32_t a, b;                       /* groups; SCENARIO_NONE: not given */
    char connector[RECORD_NAME_MAX + 1]; /* DOWN, UP: of a; "" : b says what is meant */
};
struct scenario {
    struct scenario_event *events;
    size_t n;
};
struct scenario_result { /* what one event caused, until all tables agreed again or the next one came */
    ms_t at_ms;          /* since the start */
    bool converged;
    ms_t took_ms; /* until the last table changed */
    struct sim_stats stats;
    uint64_t full_flood_bytes;
    size_t cut_off; /* sim_cut_off() */
};

const char *scenario_name(enum scenario_kind kind); /* "down" */
/* Groups must have been added to s. ERR_PARSE, ERR_NOTFOUND, ERR_STATE, ERR_TOOBIG with the line; ERR_NOMEM.
 */
enum err scenario_parse(struct span text, const struct sim *s, struct scenario *ret,
                        struct errctx *ec) MUST_USE;
void scenario_done(struct scenario *sc); /* idempotent */
/* A link that goes DOWN, or comes UP when it is DOWN. ERR_NOTFOUND: there are no links. */
enum err scenario_random(const struct sim *s, struct rng *rng, struct scenario_event *ret) MUST_USE;
/* Lets ev happen when it is time (start_ms: sim_now() when the scenario began), and runs on until all agree;
 * not beyond until_ms after the start. ERR_NOMEM. */
enum err scenario_run(struct sim *s, const struct scenario_event *ev, ms_t start_ms, ms_t until_ms,
                      struct scenario_result *ret) MUST_USE;
/* "g1 - g2", "g1 to-b", "g1 - g2 5", "g1", "" */
enum err scenario_subject(const struct sim *s, const struct scenario_event *ev, struct buf *out) MUST_USE;
