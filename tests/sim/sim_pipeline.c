/* tests/sim/sim_pipeline.c — the whole way of a message, without a socket and in no time: clients, node,
 * queue, worker, servers; faults of every kind for three hours, then calm until the queue must be empty.
 *
 *     sim_pipeline [SEED|- [RUNS]]          -, or nothing: a new seed, printed
 */
#include "common/log.h"
#include "node/session.h"
#include "tests/sim/back.h"
#include "tests/sim/guest.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, WORKERS = 2, GUESTS = 60 };

static const char settings[] =
    "organization: sim\n"
    "local_domains:\n"
    "  - {domain: local.sim, deliver: 'lmtp://127.0.0.1:24'}\n"
    "connectors:\n"
    "  - {name: all, address_spaces: [{space: '*'}], deliver: dns}\n"
    "virtual_servers:\n"
    "  - {name: default, hostname: node.sim, relay_from: ['127.0.0.0/8'], "
    "timeouts: {data: 30s}}\n"
    "delivery:\n"
    "  retry: {expire: 8h, delay_notice: 1h, local_expire: 8h, local_delay_notice: 1h}\n"
    "  dsn: {max_size: 2000}\n";

struct world {
    struct sim sim;
    struct ledger ledger;
    struct front *front;
    struct guests *guests;
    struct back *backs[WORKERS];
    struct config *config;
    struct session_conf conf;
    unsigned kills, freezes, crashes, store_faults;
};

static void offer(void *arg)
{
    struct world *w = arg;
    guests_offer(w->guests, (unsigned)sim_pick(&w->sim, 1, 4));
}

static void thaw_0(void *arg)
{
    back_freeze(((struct world *)arg)->backs[0], false);
}
static void thaw_1(void *arg)
{
    back_freeze(((struct world *)arg)->backs[1], false);
}

static void store_fault(struct world *w)
{
    static const struct {
        enum fake_store_op op;
        enum err e;
    } faults[] = {{FAKE_UPLOAD, ERR_BACKEND}, {FAKE_COMMIT, ERR_AGAIN}, {FAKE_COMMIT, ERR_FULL},
                  {FAKE_DISCOVER, ERR_AGAIN}, {FAKE_CLAIM, ERR_AGAIN},  {FAKE_CHUNK, ERR_AGAIN}};
    size_t i = sim_pick(&w->sim, 0, ARRAY_LEN(faults) - 1);
    fake_store_fail(w->sim.db, faults[i].op, faults[i].e, "a fault", (unsigned)sim_pick(&w->sim, 1, 3));
    w->store_faults++;
}

/* Something happens, every few minutes, until it is calm. */
static void mischief(void *arg)
{
    struct world *w = arg;
    unsigned who = (unsigned)sim_pick(&w->sim, 0, WORKERS - 1);
    if (w->sim.calm)
        return;
    switch (sim_pick(&w->sim, 0, 3)) {
    case 0:
        back_kill(w->backs[who]);
        w->backs[who] = back_new(&w->sim, &w->ledger, config_root(w->config));
        w->kills++;
        break;
    case 1:
        back_freeze(w->backs[who], true);
        (void)sim_after(&w->sim, sim_pick(&w->sim, 10, 90) * 1000, who == 0 ? thaw_0 : thaw_1, w);
        w->freezes++;
        break;
    case 2:
        front_crash(w->front);
        w->crashes++;
        break;
    default:
        store_fault(w);
    }
    (void)sim_after(&w->sim, sim_pick(&w->sim, 1, 8) * MINUTE, mischief, w);
}

static void build(struct world *w, uint64_t seed)
{
    struct errctx ec = {""};
    sim_init(&w->sim, seed);
    w->ledger.sim = &w->sim;
    if (config_parse(span_cstr(settings), "sim", "/nonexistent", NULL, &w->config, NULL, &ec) != ERR_OK)
        sim_fail(&w->sim, "%s", ec.msg);
    const struct conf_root *root = config_root(w->config);
    w->conf = (struct session_conf){
        .root = root, .vs = &root->virtual_servers.items[0], .hostname = "node.sim", .tls = false};
    if (route_table_new(w->config, &w->conf.routes, &ec) != ERR_OK)
        sim_fail(&w->sim, "%s", ec.msg);
    w->front = front_new(&w->sim, &w->conf);
    w->guests = guests_new(&w->ledger, w->front, &root->delivery.timeouts);
    for (size_t i = 0; i < WORKERS; i++)
        w->backs[i] = back_new(&w->sim, &w->ledger, root);
}

static void run(uint64_t seed)
{
    static struct world world;
    struct world *w = &world;
    printf("SIM_SEED=%llu ", (unsigned long long)seed);
    fflush(stdout);
    memset(w, 0, sizeof(*w));
    build(w, seed);
    for (unsigned i = 0; i < GUESTS; i++)
        (void)sim_after(&w->sim, sim_pick(&w->sim, 0, 2 * HOUR), offer, w);
    (void)sim_after(&w->sim, MINUTE, mischief, w);
    sim_run(&w->sim, 3 * HOUR);
    w->sim.calm = true;
    sim_run(&w->sim, 14 * HOUR); /* beyond the expiry of the last message and of its report */
    ledger_check(&w->ledger);
    ledger_print(&w->ledger);
    printf("    workers killed %u, frozen %u, nodes crashed %u, store faults %u\n", w->kills, w->freezes,
           w->crashes, w->store_faults);
    for (size_t i = 0; i < WORKERS; i++)
        back_kill(w->backs[i]);
    guests_free(w->guests);
    front_free(w->front);
    route_table_unref(w->conf.routes);
    config_unref(w->config);
    sim_done(&w->sim);
}

int main(int argc, char **argv)
{
    uint64_t seed =
        argc > 1 && strcmp(argv[1], "-") != 0 ? strtoull(argv[1], NULL, 10) : rng_system_seed() >> 16;
    unsigned long runs = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, "sim");
    for (unsigned long i = 0; i < runs; i++)
        run(seed + i);
    return 0;
}
