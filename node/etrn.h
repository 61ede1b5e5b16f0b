/* node/etrn.h — tries the waiting mail of a domain at once (ETRN, RFC 1985), for one loop.
 *
 * The queue is everybody's: a request makes what waits due and forgets that its link failed, and whichever
 * worker is free delivers it. That goes on behind the answer, over a connection of its own that exists while
 * there are requests. Bounded: ETRN_RUNS at a time, ETRN_MS each.
 * Lifetimes: belongs to the loop; etrn_free() gives up what is under way. */
#pragma once
#include "common/config/config.h"
#include "common/io/loop.h"
#include "linkstate/route.h"

enum { ETRN_RUNS = 4, ETRN_MS = 60000 };

struct etrn;
struct etrn *etrn_new(struct loop *l); /* NULL: out of memory */
void etrn_free(struct etrn *t);        /* NULL is a no-op */
/* domain: normalized. ERR_OK also when that domain is being tried already. ERR_NOTFOUND: no route leads
 * there. ERR_FULL: ETRN_RUNS others are. ERR_CONFIG, ERR_NOMEM. */
enum err etrn_start(struct etrn *t, const struct config *conf, struct route_table *routes,
                    struct span domain) MUST_USE;
