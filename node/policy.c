#include "node/policy.h"

bool policy_client_relays(const struct conf_nets *relay_from, const struct ip_addr *client)
{
    if (client == NULL)
        return true;
    for (size_t i = 0; i < relay_from->count; i++)
        if (ip_net_has(&relay_from->items[i], client))
            return true;
    return false;
}

enum policy_verdict policy_recipient(const struct route *r, bool client_relays)
{
    switch (r->kind) {
    case ROUTE_LOCAL:
        return POLICY_TAKE;
    case ROUTE_NEXT_HOP:
    case ROUTE_UNREACHABLE: /* by now: a way exists by configuration, the mail waits for it */
        return client_relays || r->relay_open ? POLICY_TAKE : POLICY_RELAY_DENIED;
    case ROUTE_NONE:
        break;
    }
    return client_relays ? POLICY_NO_ROUTE : POLICY_RELAY_DENIED;
}
