/* tests/conformance/suite.h — what queue/store.h promises, as tests that any implementation runs.
 *
 * A backend makes a fresh, empty database with two clients for each test, lets time pass, and checks the
 * database's own invariants afterwards. */
#pragma once
#include "queue/store.h"
#include "tests/unit/check.h"

enum { WORLD_CLIENTS = 2, WORLD_PARTITIONS = 4 };

struct world {
    const struct backend *backend;
    struct store *store[WORLD_CLIENTS];
    void *own; /* the backend's */
};
struct backend {
    const char *name;
    int (*setup)(struct world *w);
    int (*teardown)(struct world *w); /* frees what stores are left */
    void (*close)(struct world *w, size_t client);
    /* Lets things happen for a while: until something did, or a few milliseconds of the clock that the
     * database goes by have passed. Frozen clients get nothing. */
    void (*turn)(struct world *w);
    void (*freeze)(struct world *w, size_t client, bool frozen);
};
int suite_run(const struct backend *backend);
