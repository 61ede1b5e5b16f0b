/* tests/sim/front.h — a node: node/session.h on one side of each wire, queue/store.h of the fakes behind it.
 */
#pragma once
#include "tests/sim/sim.h"

struct session_conf;
struct front;
struct front *front_new(struct sim *s, const struct session_conf *conf); /* conf is borrowed */
void front_free(struct front *f);
void front_accept(struct front *f, struct wire *w, int side);
/* The process dies: every session and commit on its way is gone; a new one starts at once. */
void front_crash(struct front *f);
