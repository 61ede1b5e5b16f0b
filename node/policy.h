/* node/policy.h — who may send to whom: one pure function (the relay decision). */
#pragma once
#include "common/config/config.h"
#include "common/ip.h"
#include "linkstate/route.h"

enum policy_verdict {
    POLICY_TAKE,
    POLICY_RELAY_DENIED, /* 550 5.7.1 */
    POLICY_NO_ROUTE,     /* 550 5.4.4 */
};
/* Whether the client's address is in one of the networks of relay_from. NULL (a unix socket): yes,
 * the file's permissions are the check. */
bool policy_client_relays(const struct conf_nets *relay_from, const struct ip_addr *client);
/* Local domains are open to everybody; everything else needs a client that may relay or a connector
 * that anybody may use. A stranger learns nothing about routes. */
enum policy_verdict policy_recipient(const struct route *r, bool client_relays);
