/* linkstate/damping.h — is a connector UP or DOWN? Glitch retries, penalty, hold: a function of time.
 *
 *            failure                glitch retries used up
 *     UP -------------> GLITCH ----------------------------> DOWN <-----------+
 *      ^                  |                                   |               | penalty above the limit
 *      |     success      |                       success     v               |
 *      +------------------+<---------------------------- (penalty low) --> HELD
 *      |                                                                      |
 *      +----------------------------------------------------------------------+
 *                penalty has decayed below the reuse mark, the last report was a success, there is room
 *
 *   UP      announced UP.
 *   GLITCH  announced UP; the target is tried again every glitch interval.
 *   DOWN    announced DOWN; probed every probe interval.
 *   HELD    announced DOWN although it answers, until the penalty has decayed and there is room.
 *
 * Every announced DOWN adds to the penalty, which halves each half-life: a connector that flaps is soon HELD.
 * What the penalty lets through is counted, too: a connector has room for floods_per_hour announcements in
 * any hour, half of them at once, the others spread over it. A DOWN needs room for one; an UP, and what else
 * is told of the connector (its targets), for two, so that the DOWN after it never has to wait. */
#pragma once
#include "common/clock.h"

enum damping_state { DAMPING_UP, DAMPING_GLITCH, DAMPING_DOWN, DAMPING_HELD };

struct damping_options {
    unsigned glitch_attempts;  /* 3 */
    ms_t glitch_interval_ms;   /* 60 s */
    ms_t probe_interval_ms;    /* 60 s */
    unsigned penalty_per_down; /* 1000 */
    unsigned suppress_above;   /* 2000 */
    unsigned reuse_below;      /* 750 */
    ms_t half_life_ms;         /* 15 min; 0: no penalty */
    unsigned floods_per_hour;  /* 14; at least 4 */
};
extern const struct damping_options damping_defaults;

struct damping {
    enum damping_state state;
    unsigned failures; /* in a row */
    bool suppressed;   /* the penalty was above the limit and has not come down to the reuse mark since */
    double penalty;    /* at updated_ms */
    ms_t updated_ms, next_ms;
    ms_t room_ms; /* when, if nothing more is announced, there is room for half an hour's number again */
};
void damping_init(struct damping *d);
/* A report of a connection or a probe over all targets of the connector: true when the announced state
 * changed. */
bool damping_report(struct damping *d, const struct damping_options *o, bool success, ms_t now_ms);
/* Time passes: true when the announced state changed (a hold ran out). */
bool damping_tick(struct damping *d, const struct damping_options *o, ms_t now_ms);
bool damping_up(const struct damping *d); /* what is announced */
/* When to probe or to call damping_tick() next; UINT64_MAX: no need. */
ms_t damping_next(const struct damping *d);
double damping_penalty(const struct damping *d, const struct damping_options *o, ms_t now_ms);
ms_t damping_held_until(const struct damping *d, const struct damping_options *o); /* 0: not held */
/* Other announcements that the connector causes while it is UP share its number: is there room for one? */
bool damping_room(const struct damping *d, const struct damping_options *o, ms_t now_ms);
void damping_told(struct damping *d, const struct damping_options *o, ms_t now_ms); /* it was made */
