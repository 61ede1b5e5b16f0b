/* cli/alive.h — which of the workers that connectors list as source bridgeheads are alive, as members of the
 * queue: no router is needed to know. */
#pragma once
#include "cli/remote.h"
#include "queue/names.h"

struct alive {            /* zeroed at first */
    struct names workers; /* sorted */
    bool asked;           /* some connector lists some */
    bool nomem;
};
/* By hand, from all members: */
void alive_begin(struct alive *a, const struct conf_root *root);
bool alive_member(struct alive *a, const struct admin_member *m); /* false: out of memory */
enum err alive_end(struct alive *a) MUST_USE;
/* Asks only when a connector lists some; opens r->admin when it is not. CLI_OK, or reported. */
int alive_read(struct alive *a, struct remote *r);
void alive_done(struct alive *a); /* idempotent */
bool alive_has(const struct alive *a, const char *worker);
/* The connector lists some, and none of them is alive: its mail waits. */
bool alive_none(const struct alive *a, const struct conf_connector *c);
/* "w1, w2": those that a connector lists. */
enum err alive_list(const struct conf_connector *c, struct buf *out) MUST_USE;
