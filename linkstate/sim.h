/* linkstate/sim.h — N engines, one virtual clock, one lossy network, one seed. Same seed, same bytes.
 *
 * `bridgehead simulate` and the tests use this code. Signatures are imitated (simulated routers do not
 * cheat unless a test makes them); everything else is the engine that the daemon runs. */
#pragma once
#include "common/config/config.h"
#include "linkstate/drawing.h"
#include "linkstate/engine.h"

struct sim;
struct sim_options {
    uint64_t seed;
    ms_t latency_min_ms, latency_max_ms; /* of a message; drawn anew for each, order is kept per direction */
    unsigned loss_permille;
    bool trace;               /* keep a text trace (golden tests, small topologies) */
    struct ls_options engine; /* times; names and keys are filled in */
};
struct sim_stats {
    uint64_t messages, bytes, lost, delivered_events;
    uint64_t keepalives, keepalive_bytes; /* HELLO and DIGEST; also among messages and bytes */
    uint64_t
        advertised_most; /* largest number of times that one record crossed one adjacency in one direction */
};

struct sim *sim_new(const struct sim_options *opts); /* NULL: out of memory */
void sim_free(struct sim *s);
/* Adds a group with one router; its number. UINT32_MAX: out of memory. */
uint32_t sim_group(struct sim *s, const char *name);
/* A connector in each direction with these costs, and an adjacency. */
enum err sim_link(struct sim *s, uint32_t a, uint32_t b, uint8_t cost_ab, uint8_t cost_ba) MUST_USE;
/* A group whose record is made of a configuration, which is borrowed; it has the name that stands there. */
uint32_t sim_group_configured(struct sim *s, const struct conf_root *conf);
/* As sim_link(); cost 0: no connector in that direction. Of a configured group the connectors are those of
 * its configuration, whatever the cost says. Without adjacency the routers do not speak to each other. */
enum err sim_join(struct sim *s, uint32_t a, uint32_t b, uint8_t cost_ab, uint8_t cost_ba,
                  bool adjacent) MUST_USE;
/* Whether a router can have so many neighbours. ERR_TOOBIG names the group that has more. */
enum err sim_check(const struct sim *s, struct errctx *ec) MUST_USE;
/* Publishes every group's first record and opens the adjacencies. */
enum err sim_start(struct sim *s) MUST_USE;
/* The same, but every router already knows every record that adjacencies can bring: for large topologies. */
enum err sim_start_converged(struct sim *s) MUST_USE;

/* The connectors between a and b change state: both owners flood (minor). The adjacency follows `carrier`. */
enum err sim_link_state(struct sim *s, uint32_t a, uint32_t b, bool up, bool carrier) MUST_USE;
/* Connectors from a to b have another cost from now on: the owner floods (major). ERR_NOTFOUND: there are
 * none. */
enum err sim_cost(struct sim *s, uint32_t a, uint32_t b, uint8_t cost) MUST_USE;
/* One connector of a configured group changes state, whatever it leads to. ERR_NOTFOUND. */
enum err sim_connector_state(struct sim *s, uint32_t group, struct span connector, bool up) MUST_USE;
enum err sim_cut(struct sim *s, uint32_t a, uint32_t b,
                 bool cut) MUST_USE; /* the network alone: nobody is told */
enum err sim_restart(struct sim *s,
                     uint32_t group) MUST_USE; /* loses memory, keeps identity and persisted version */
enum err sim_stop(struct sim *s, uint32_t group) MUST_USE;                       /* never to come back */
void sim_inject(struct sim *s, uint32_t to, uint32_t from, struct span message); /* a forger's hand */

/* Runs until every table in a connected part is equal and nothing is on its way, or until budget_ms have
 * passed: false. ret_ms: when the last table changed, counted from the call. */
bool sim_converge(struct sim *s, ms_t budget_ms, ms_t *ret_ms);
void sim_run(struct sim *s, ms_t for_ms);
ms_t sim_now(const struct sim *s);
struct ls *sim_engine(struct sim *s, uint32_t group); /* NULL: stopped */
size_t sim_groups(const struct sim *s);
size_t sim_links(const struct sim *s); /* each counted once */
/* The n-th link; false: there are not so many. */
bool sim_link_at(const struct sim *s, size_t n, uint32_t *ret_a, uint32_t *ret_b, bool *ret_up);
bool sim_linked(const struct sim *s, uint32_t a, uint32_t b);
bool sim_is_cut(const struct sim *s, uint32_t a, uint32_t b);
/* The connector of a configured group; NULL: there is none of that name. */
const struct conf_connector *sim_connector(const struct sim *s, uint32_t group, struct span name);
uint32_t sim_find(const struct sim *s, struct span group); /* UINT32_MAX: none */
bool sim_failed(const struct sim *s);                      /* memory has run out while it ran */
const char *sim_group_name(const struct sim *s, uint32_t group);
void sim_stats(const struct sim *s, struct sim_stats *ret);
void sim_stats_reset(struct sim *s);
/* Bytes that one change would have cost had every router passed on its whole table. */
uint64_t sim_full_flood_bytes(const struct sim *s);
const char *sim_trace(const struct sim *s); /* "[ 120] a > b ADVERTISE c 1.0.0#1" lines */
/* How many groups are outside the largest set of groups that all reach one another over connectors that are
 * UP. */
enum err sim_cut_off(const struct sim *s, size_t *ret) MUST_USE;
/* Groups and connectors as they are, whatever who knows of them; a group that was stopped is drawn like one
 * that is only named. Address spaces of configured groups. */
enum err sim_draw(const struct sim *s, struct drawing *d) MUST_USE;
/* The crypto that simulated engines use; `self` of group n signs with n's key. */
void sim_crypto(struct ls_crypto *ret, uint32_t *group);
void sim_cert(uint32_t group, struct span name, struct buf *out);
void sim_org_key(uint8_t ret[LS_KEY_LEN]);
