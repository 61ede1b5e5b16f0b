#include "common/log.h"
#include "router/core.h"

enum { FOLLOW_MS = 5000 };

static void move(struct lsdb *from, struct lsdb *to)
{
    lsdb_done(to);
    *to = *from;
    lsdb_init(from);
}

/* What was checked already need not be checked again when it begins anew. */
void table_halt(struct router *r)
{
    timer_cancel(r->slice);
    if (r->loaded.records > r->trusted.records)
        move(&r->loaded, &r->trusted);
    lsdb_done(&r->loaded);
    buf_done(&r->published);
    r->restoring = false;
}

/* --- A part at a time --------------------------------------------------------------------------------- */

void table_begin(struct router *r, const struct routing_table *t)
{
    struct ls_snapshot snapshot;
    struct errctx ec;
    struct log_scratch scratch;
    table_halt(r);
    if (buf_add(&r->published, t->bytes) != ERR_OK) {
        router_step_down(r, "out of memory");
        return;
    }
    key_crypto(&r->group_key, &r->table_crypto);
    if (ls_snapshot_parse(buf_span(&r->published), &snapshot, &ec) != ERR_OK) {
        log_error("router.table", "text=%s", log_text(&scratch, span_cstr(ec.msg)));
        snapshot = (struct ls_snapshot){.bytes = SPAN(""), .barred = SPAN("")}; /* the neighbours have it */
    }
    r->restore = (struct ls_restore){.organization = span_cstr(r->root->organization),
                                     .org_key = r->org_key,
                                     .crypto = &r->table_crypto,
                                     .trusted = &r->trusted,
                                     .now_ms = loop_now(r->loop),
                                     .age_ms = t->now_ms > t->published_ms ? t->now_ms - t->published_ms : 0,
                                     .lifetime_ms = r->root->router.lifetime_ms,
                                     .floors = rd_open(snapshot.barred),
                                     .rest = rd_open(snapshot.bytes)};
    r->restoring = true;
    r->following = t->published_ms;
    timer_set(r->slice, 0);
}

static void finish(struct router *r)
{
    timer_cancel(r->slice);
    if (r->restore.refused > 0)
        log_warn("router.table",
                 "refused=%zu text='records of the published table that are too old or not signed'",
                 r->restore.refused);
    log_info("router.table", "groups=%u checked=%zu", r->loaded.records, r->restore.checked);
    r->followed = r->following;
    move(&r->loaded, &r->trusted);
    table_halt(r);
    if (r->state != ROUTER_LOADING)
        return;
    master_loaded(r, &r->trusted);
    if (r->state == ROUTER_MASTER) /* the engine has its own, which goes on */
        lsdb_done(&r->trusted);
}

static void on_slice(void *arg)
{
    struct router *r = arg;
    bool done = false;
    size_t before = r->restore.checked;
    if (!r->restoring || (r->state == ROUTER_LOADING && !router_may_act(r)))
        return;
    enum err e = ls_snapshot_restore(&r->restore, TABLE_CHECKS, &r->loaded, &done);
    metric_add(&r->m.checked, r->restore.checked - before);
    if (e != ERR_OK) {
        table_halt(r);
        router_step_down(r, "out of memory");
    } else if (done) {
        finish(r);
    } else {
        timer_set(r->slice, 0);
    }
}

/* --- Of a standby, and of a router that takes over ---------------------------------------------------- */

static void on_followed(void *arg, enum err e, const struct routing_table *t, const char *why)
{
    struct router *r = arg;
    (void)why;
    r->table_asked = false;
    if (e != ERR_OK || r->state != ROUTER_STANDBY || r->restoring || t->published_ms == r->followed)
        return;
    if (t->bytes.len > 0) {
        r->known_version = t->version;
        table_begin(r, t);
    } else if (t->version == r->known_version) { /* the same routes, signed anew */
        r->known_version = 0;
        timer_set(r->follow, 0);
    }
}

/* What the master publishes is checked while there is time: taking over must not wait for it. */
static void on_follow(void *arg)
{
    struct router *r = arg;
    if (r->draining)
        return;
    timer_set(r->follow, FOLLOW_MS);
    if (r->state == ROUTER_STANDBY && !r->table_asked && !r->restoring)
        r->table_asked = routing_table_get(r->routing, r->known_version, on_followed, r) == ERR_OK;
}

static void on_table(void *arg, enum err e, const struct routing_table *t, const char *why)
{
    struct router *r = arg;
    if (r->state != ROUTER_LOADING || !router_may_act(r))
        return;
    if (e != ERR_OK) {
        router_refused(r, e, "table", why);
        router_step_down(r, "what the master before left cannot be read");
        return;
    }
    table_begin(r, t);
}

enum err table_load(struct router *r)
{
    table_halt(r);
    return routing_table_get(r->routing, 0, on_table, r);
}

void table_left(struct router *r)
{
    table_halt(r);
    if (r->ls == NULL)
        return;
    lsdb_done(&r->trusted);
    if (lsdb_copy(ls_table(r->ls), &r->trusted) != ERR_OK)
        lsdb_init(&r->trusted);
}

void table_distrust(struct router *r)
{
    table_halt(r);
    lsdb_done(&r->trusted);
    r->known_version = r->followed = 0;
}

enum err table_start(struct router *r)
{
    lsdb_init(&r->trusted);
    lsdb_init(&r->loaded);
    buf_init(&r->published, ROUTING_TABLE_MAX);
    r->slice = timer_new(r->loop, on_slice, r);
    r->follow = timer_new(r->loop, on_follow, r);
    if (r->slice == NULL || r->follow == NULL)
        return ERR_NOMEM;
    timer_set(r->follow, FOLLOW_MS);
    return ERR_OK;
}

void table_stop(struct router *r)
{
    timer_free(r->slice);
    timer_free(r->follow);
    r->slice = r->follow = NULL;
    lsdb_done(&r->trusted);
    lsdb_done(&r->loaded);
    buf_done(&r->published);
}
