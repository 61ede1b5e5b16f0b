/* cli/status_view.h — the tables of `bridgehead status`: who is there, and which links work. Pure. */
#pragma once
#include "cli/table.h"
#include "queue/admin.h"

struct status_party { /* all members of a role that live */
    unsigned n;
    uint64_t per_minute;
};
struct status_view {
    struct table *members, *links;
    struct status_party nodes, workers, routers;
    char master[64]; /* host of the router that is; "" : none */
};
enum err status_view_init(struct status_view *v) MUST_USE; /* ERR_NOMEM; done() either way */
void status_view_done(struct status_view *v);              /* idempotent */
/* A row each; ERR_NOMEM, ERR_TOOBIG. */
enum err status_view_member(struct status_view *v, const struct admin_member *m) MUST_USE;
enum err status_view_link(struct status_view *v, const struct admin_link *k) MUST_USE;
