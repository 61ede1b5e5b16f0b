/* The store of the tests keeps the contract too: what is tested on it holds in production. */
#include "tests/conformance/suite.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"

#include <stdlib.h>

struct own {
    struct fake_clock clock;
    struct fake_store *db;
};

static int fake_setup(struct world *w)
{
    struct own *own = calloc(1, sizeof(*own));
    if (own == NULL)
        return -1;
    fake_clock_init(&own->clock);
    own->db = fake_store_new(&own->clock.clock, WORLD_PARTITIONS);
    fake_store_window(own->db, 40000);
    w->own = own;
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        w->store[i] = fake_store_open(own->db);
    return 0;
}

static void fake_close(struct world *w, size_t client)
{
    store_free(w->store[client]);
    w->store[client] = NULL;
}

static int fake_teardown(struct world *w)
{
    struct own *own = w->own;
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        fake_close(w, i);
    fake_store_free(own->db);
    free(own);
    return 0;
}

static void fake_turn(struct world *w)
{
    struct own *own = w->own;
    if (fake_store_run(own->db) == 0)
        own->clock.now_ms += 5;
}

static void fake_freeze(struct world *w, size_t client, bool frozen)
{
    fake_store_freeze(w->store[client], frozen);
}

int main(void)
{
    static const struct backend backend = {"fake",     fake_setup, fake_teardown,
                                           fake_close, fake_turn,  fake_freeze};
    return suite_run(&backend);
}
