/* cli/routing_view.h — the published table of link state, read for people: every record parsed, its signature
 * checked when the configuration names the organization's key.
 *
 * Lifetimes: owns a copy of the table's bytes; everything else borrows from it. */
#pragma once
#include "cli/cli.h"
#include "linkstate/snapshot.h"
#include "queue/routing.h"

enum view_signed {
    VIEW_UNCHECKED,
    VIEW_SIGNED,
    VIEW_FORGED
}; /* unchecked: no organization_key is configured */
struct view_group {
    struct ls_snapshot_entry entry;
    ms_t age_ms; /* since the group signed it */
    bool parsed; /* record is there */
    struct record record;
    enum view_signed how;
};
struct view {
    uint64_t version, generation;
    ms_t published_ms, now_ms;
    char master[ROUTING_NAME_MAX + 32]; /* who published it: "name-instance" */
    struct ls_sum sum;
    struct buf bytes;
    struct view_group *groups; /* by name */
    size_t ngroups;
};
/* ERR_NOTFOUND: nothing is published; ERR_PARSE, ERR_NOMEM. ec says what to do. On error there is nothing to
 * be done with ret. */
enum err view_load(const struct routing_table *t, const struct conf_root *root, struct view *ret,
                   struct errctx *ec) MUST_USE;
void view_done(struct view *v); /* idempotent */
/* The end of the machine's name and the instance is for programs: "hq-1-5d3f" is shown as "hq-1". */
struct span view_router_name(struct span router);
void view_version(const struct ls_version *v, char out[48]); /* "1.3.2" */

/* What `linkstate show` prints. raw: with the signed bytes. */
int view_print(const struct view *v, const struct conf_root *root, enum cli_output how, bool raw);
