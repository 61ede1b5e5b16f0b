/* tests/sim/guest.h — who offers messages to a node: worker/client.h, so that both cores speak to each other.
 */
#pragma once
#include "tests/sim/front.h"
#include "tests/sim/ledger.h"

struct guests;
struct guests *guests_new(struct ledger *l, struct front *f, const struct conf_client_timeouts *timeouts);
void guests_free(struct guests *g);
/* Somebody connects and offers n new messages. */
void guests_offer(struct guests *g, unsigned n);
