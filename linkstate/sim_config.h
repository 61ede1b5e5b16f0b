/* linkstate/sim_config.h — the configurations of an organization's groups as a simulation: the connectors
 * that they name, and adjacencies where two groups name each other as neighbours. A configuration that names
 * no neighbours at all is a plan: the groups that its connectors lead to are meant. */
#pragma once
#include "linkstate/sim.h"

/* Adds all groups; the configurations are borrowed as long as s lives. notes: lines about what is worth
 * mending but can be simulated. ERR_EXISTS: two of one name; ERR_CONFIG: of different organizations; what
 * record_from_config() and ls_peer_add() refuse. */
enum err sim_configured(struct sim *s, const struct conf_root *const *confs, size_t n, struct buf *notes,
                        struct errctx *ec) MUST_USE;
