/* cli/failing.h — the links that Redis knows to fail, and with what.
 *
 * failing_read() once, after remote_open(); then look up by the name that route_link_name() gives. */
#pragma once
#include "cli/remote.h"
#include "linkstate/route.h"

struct failing_link {
    char name[ROUTE_LINK_MAX];
    char error[257]; /* the beginning of it */
};
struct failing {
    struct failing_link *links; /* sorted by name */
    size_t count, room;
    bool nomem;
};
/* Zeroed before. CLI_OK, or what remote_wait() says; failing_done() either way. */
int failing_read(struct failing *f, struct remote *r);
void failing_done(struct failing *f); /* idempotent */
/* NULL: it does not fail. */
const struct failing_link *failing_find(const struct failing *f, const char *name);
