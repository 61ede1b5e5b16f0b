/* router/router.h — the routing daemon: exchanges link state with neighbouring groups and publishes the
 * table. What it is made of is drawn in router/core.h. */
#pragma once
#include "common/config/config.h"

/* Runs until SIGTERM; the exit code. */
int router_main(struct config *conf, const char *config_path);
/* Whether its keys are there, kept from others, and fit: what the daemon looks at before it starts. ec says
 * what to do. ERR_OK also when no routing daemon is asked for. */
enum err router_check(const struct conf_root *root, struct errctx *ec) MUST_USE;
/* Whether a configuration asks for a routing daemon: it names a key of its group. */
bool router_wanted(const struct conf_root *root);
