/* tests/conformance/real.h — a world on a real Redis: each client has a loop of its own, so that one can be
 * frozen while the other goes on; after each test the store's invariants are proved from outside. */
#pragma once
#include "common/config/config.h"
#include "tests/conformance/suite.h"
#include "tests/fakes/redis_server.h"

struct real {
    struct loop *loop[WORLD_CLIENTS];
    struct timer *stop[WORLD_CLIENTS];
    struct config *conf;
    bool frozen[WORLD_CLIENTS];
    char namespace[16];
    unsigned lease_ms;
    const char *durability, *url; /* url NULL: the server's unix socket */
};
extern struct redis_server real_server; /* started by the test's main() */

int real_setup(struct world *w);
int real_setup_with(struct world *w, const char *url, const char *durability,
                    unsigned lease_ms); /* NULL: as real_setup() */
int real_teardown(struct world *w);
/* Turns until the condition holds; fails the test after a long while. */
#define REAL_UNTIL(w, condition)                                                                             \
    for (int turns_ = 0; !(condition); turns_++) {                                                           \
        if (turns_ == REAL_TURNS_MAX)                                                                        \
            fail_msg("never: %s", #condition);                                                               \
        real_turn(w);                                                                                        \
    }
enum { REAL_TURNS_MAX = 20000 };
void real_close(struct world *w, size_t client);
void real_turn(struct world *w);
void real_freeze(struct world *w, size_t client, bool frozen);
/* Until both stores are ready. */
void real_wait_ready(struct world *w);
/* Whether the invariants hold; prints what does not. */
bool real_prove(const struct world *w);
