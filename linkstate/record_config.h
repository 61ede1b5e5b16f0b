/* linkstate/record_config.h — a configuration and the health of its connectors, as the group's record. */
#pragma once
#include "common/config/config.h"
#include "linkstate/record.h"

struct record_health {
    /* NULL: everything is UP. What delivers by DNS is announced UP whatever they say, and what lists source
     * bridgeheads, none of which is UP, DOWN: nobody sends over it (by DNS, too, whoever reads the sources).
     */
    bool (*connector_up)(void *arg, struct span connector);
    bool (*target_up)(void *arg, struct span connector, struct span target);
    bool (*source_up)(void *arg, struct span source); /* a worker of that name is alive */
    void *arg;
};
/* It finds its targets by DNS: it is never DOWN. */
bool connector_by_dns(const struct conf_connector *c);
/* Appends the body. ERR_TOOBIG and ERR_PARSE name the connector or what is too large; ERR_NOMEM. */
enum err record_from_config(const struct conf_root *root, struct span master,
                            const struct record_member *members, size_t nmembers,
                            const struct record_health *health, struct buf *out, struct errctx *ec) MUST_USE;
