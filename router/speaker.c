#include "common/log.h"
#include "linkstate/record_config.h"
#include "router/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_PART = 6, OWN_MAX = RECORD_MAX + 1024, AGAIN_MS = 100, AGAIN_MAX_MS = 1000 };

static void publish(struct router *r);

void version_text(const struct ls_version *v, char out[64])
{
    (void)snprintf(out, 64, "%" PRIu32 ".%" PRIu32 ".%" PRIu32 ".%" PRIu64, v->major, v->minor, v->user,
                   v->seq);
}

bool version_parse(struct span text, struct ls_version *ret)
{
    uint64_t n[4];
    struct span part;
    for (int i = 0; i < 4; i++) {
        (void)span_cut(text, '.', &part, &text);
        if (!span_to_u64(part, i < 3 ? UINT32_MAX : UINT64_MAX, &n[i]))
            return false;
    }
    *ret = (struct ls_version){(uint32_t)n[0], (uint32_t)n[1], (uint32_t)n[2], n[3]};
    return text.len == 0;
}

/* --- The outbox (R3) -------------------------------------------------------------------------------- */

static void put_in_outbox(struct router *r, const struct ls_send *s)
{
    uint32_t head[2] = {s->peer, (uint32_t)s->bytes.len};
    if (buf_reserve(&r->outbox, sizeof head + s->bytes.len) != ERR_OK ||
        buf_add(&r->outbox, span_of((const char *)head, sizeof head)) != ERR_OK ||
        buf_add(&r->outbox, s->bytes) != ERR_OK)
        metric_inc(&r->m.dropped); /* the engine sends it again */
}

static void flush_outbox(struct router *r)
{
    struct span rest = buf_span(&r->outbox);
    while (rest.len > 0) {
        uint32_t head[2];
        memcpy(head, rest.ptr, sizeof head);
        (void)carrier_send(r->carrier, head[0], span_first(span_from(rest, sizeof head), head[1]));
        rest = span_from(rest, sizeof head + head[1]);
    }
    if (r->outbox.cap > 1 << 20)
        buf_done(&r->outbox);
    buf_clear(&r->outbox);
}

static void save(struct router *r);

/* What Redis refused is asked for again as long as this router is master: it may be full for a while, or
 * starting; and nobody says anything before the version is there. */
static void try_again(struct router *r)
{
    if (r->state != ROUTER_MASTER)
        return;
    timer_set(r->again, r->again_ms);
    r->again_ms = 2 * r->again_ms > AGAIN_MAX_MS ? AGAIN_MAX_MS : 2 * r->again_ms;
}

static void on_again(void *arg)
{
    struct router *r = arg;
    if (r->ls != NULL && router_may_act(r)) {
        if (r->save_due)
            save(r);
        if (r->publish_dirty)
            publish(r);
    }
}

static void on_saved(void *arg, enum err e, const char *why)
{
    struct router *r = arg;
    r->save_busy = false;
    if (r->ls == NULL)
        return;
    if (e != ERR_OK) {
        router_refused(r, e, "save", why);
        r->save_due = true;
        try_again(r);
        return;
    }
    r->saved = r->saving;
    r->again_ms = AGAIN_MS;
    if (r->save_due)
        save(r);
    else
        flush_outbox(r);
}

static void save(struct router *r)
{
    char text[64];
    r->save_due = true;
    if (r->save_busy)
        return;
    r->saving = *ls_own_version(r->ls);
    version_text(&r->saving, text);
    if (routing_save(r->routing, &r->seat, span_cstr(text), span_cstr(r->config_digest), on_saved, r) ==
        ERR_OK) {
        r->save_busy = true;
        r->save_due = false;
    } else {
        router_step_down(r, "out of memory");
    }
}

/* --- The engine ------------------------------------------------------------------------------------- */

/* SYNC and FULL take turns with every second difference; who is there at all is worth a line. */
static void tell_adjacency(struct router *r, uint32_t peer, const struct ls_peer_info *info)
{
    const char *group = r->root->routing_group.neighbours.items[peer].group;
    enum adj_state was = r->told[peer];
    bool opens = info->state == ADJ_SYNC && was != ADJ_FULL, ends = info->state == ADJ_DOWN;
    if (was == info->state)
        return;
    r->told[peer] = info->state;
    LOG_AT(opens || ends ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "router.adjacency",
           "neighbour=%s from=%s to=%s why='%s'", group, adj_state_name(was), adj_state_name(info->state),
           info->why);
}

static void count_table(struct router *r)
{
    const struct lsdb *db = ls_table(r->ls);
    uint64_t full = 0;
    for (uint32_t i = 0; i < r->npeers; i++) {
        struct ls_peer_info info;
        if (!ls_peer_info(r->ls, i, &info))
            continue;
        tell_adjacency(r, i, &info);
        full += info.state == ADJ_FULL;
    }
    metric_set(&r->m.groups, db->records);
    metric_set(&r->m.connectors, db->connectors);
    metric_set(&r->m.adjacencies, full);
}

static void changed(struct router *r)
{
    struct lsdb copy;
    if (lsdb_copy(ls_table(r->ls), &copy) == ERR_OK) {
        history_diff(r, &r->seen, &copy);
        lsdb_done(&r->seen);
        r->seen = copy;
    }
    if (!r->publish_dirty)
        r->dirty_ms = loop_now(r->loop);
    r->publish_dirty = true;
    publish(r);
}

/* Returns how many records' signatures were verified. */
static unsigned step(struct router *r, const struct ls_event *ev)
{
    struct ls_output out;
    struct ls_event now = *ev;
    if (r->ls == NULL || !router_may_act(r))
        return 0;
    now.now_ms = loop_now(r->loop);
    now.wall_s = router_wall(r) / 1000;
    enum err e = ls_step(r->ls, &now, &out);
    notices_log(r, &out, ev->type == LS_RECV ? ev->peer : UINT32_MAX);
    if (e == ERR_NOMEM) {
        router_step_down(r, "out of memory");
        return out.checked;
    }
    if (out.own_changed)
        save(r);
    for (size_t i = 0; i < out.nsends; i++) {
        if (r->save_busy || r->save_due)
            put_in_outbox(r, &out.sends[i]);
        else
            (void)carrier_send(r->carrier, out.sends[i].peer, out.sends[i].bytes);
    }
    r->keep_due = true;
    if (out.table_changed)
        changed(r);
    count_table(r);
    timer_set(r->tick, out.wake_at_ms > now.now_ms ? out.wake_at_ms - now.now_ms : 1);
    return out.checked;
}

/* --- Publishing (R4) -------------------------------------------------------------------------------- */

static void on_published(void *arg, enum err e, uint64_t version, const char *why)
{
    struct router *r = arg;
    (void)version;
    r->publish_busy = false;
    if (r->ls == NULL)
        return;
    if (e != ERR_OK) {
        r->publish_dirty = true;
        router_refused(r, e, "publish", why);
        try_again(r);
        return;
    }
    r->again_ms = AGAIN_MS;
    metric_inc(&r->m.published);
    metric_observe_ms(&r->m.publish_latency, loop_now(r->loop) - r->dirty_ms);
    log_debug("router.published", "version=%" PRIu64, version);
    if (r->publish_dirty)
        publish(r);
    else
        watcher_published(r);
}

/* false: it could not be asked for. */
static bool send_table(struct router *r, bool notify, routing_published_fn *done)
{
    struct buf bytes;
    struct errctx ec;
    struct log_scratch scratch;
    buf_init(&bytes, ROUTING_TABLE_MAX);
    enum err e = ls_snapshot_emit(ls_table(r->ls), loop_now(r->loop), &bytes, &ec);
    if (e == ERR_OK && (e = routing_publish(r->routing, &r->seat, notify, &bytes, done, r)) == ERR_OK)
        r->publish_busy = true;
    else
        log_error("router.publish", "error=%s text=%s", err_name(e), log_text(&scratch, span_cstr(ec.msg)));
    buf_done(&bytes);
    r->kept_ms = loop_now(r->loop);
    r->keep_due = false;
    return e == ERR_OK;
}

static void publish(struct router *r)
{
    if (r->publish_busy)
        return;
    r->publish_dirty = !send_table(r, true, on_published);
    if (r->publish_dirty)
        try_again(r);
}

static void on_kept(void *arg, enum err e, uint64_t version, const char *why)
{
    struct router *r = arg;
    (void)version;
    r->publish_busy = false;
    if (r->ls == NULL)
        return;
    if (e != ERR_OK)
        router_refused(r, e, "publish", why);
    if (r->ls != NULL && r->publish_dirty)
        publish(r);
}

/* Refreshes change no route, but the next master should know of them, and so should who asks which group has
 * not been heard of for long, and is dead perhaps. */
static void keep_refreshes(struct router *r)
{
    const struct conf_router *c = &r->root->router;
    ms_t part = c->lifetime_ms / KEEP_PART, pause = c->refresh_ms < part ? c->refresh_ms : part;
    if (!r->publish_busy && r->keep_due && loop_now(r->loop) - r->kept_ms >= pause)
        (void)send_table(r, false, on_kept);
}

static void on_tick(void *arg)
{
    struct router *r = arg;
    (void)step(r, &(struct ls_event){.type = LS_TICK});
    if (r->ls != NULL)
        keep_refreshes(r);
}

/* --- The own record --------------------------------------------------------------------------------- */

static bool up_of(void *arg, struct span connector)
{
    return health_up(((struct router *)arg)->health, connector);
}

static bool target_up_of(void *arg, struct span connector, struct span target)
{
    return health_target_up(((struct router *)arg)->health, connector, target);
}

static bool source_up_of(void *arg, struct span source)
{
    return sources_up(((struct router *)arg)->sources, source);
}

static enum err own_body(struct router *r, bool as_configured, struct buf *body, struct errctx *ec)
{
    struct record_member members[MEMBERS_MAX];
    struct record_health health = {.connector_up = as_configured ? NULL : up_of,
                                   .target_up = as_configured ? NULL : target_up_of,
                                   .source_up = as_configured ? NULL : source_up_of,
                                   .arg = r};
    for (size_t i = 0; i < r->nmembers; i++)
        members[i] = (struct record_member){span_cstr(r->members[i]), true};
    return record_from_config(r->root, as_configured ? SPAN("-") : span_cstr(r->name), members,
                              as_configured ? 0 : r->nmembers, &health, body, ec);
}

enum err speaker_digest(struct router *r, char ret[2 * SIGN_DIGEST_LEN + 1], struct errctx *ec)
{
    struct buf body;
    uint8_t digest[SIGN_DIGEST_LEN];
    buf_init(&body, OWN_MAX);
    enum err e = own_body(r, true, &body, ec);
    if (e == ERR_OK && !sign_sha256(buf_span(&body), digest))
        e = err_set(ec, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < SIGN_DIGEST_LEN && e == ERR_OK; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
    buf_done(&body);
    return e;
}

void speaker_originate(struct router *r, enum ls_level level)
{
    struct buf body;
    struct errctx ec = {""};
    struct log_scratch scratch;
    char text[64];
    if (r->ls == NULL)
        return;
    buf_init(&body, OWN_MAX);
    enum err e = own_body(r, false, &body, &ec);
    if (e == ERR_OK) {
        (void)step(r, &(struct ls_event){
                          .type = LS_ORIGINATE, .bytes = buf_span(&body), .level = level, .floor = r->left});
    } else {
        metric_inc(&r->m.reloads_refused);
        log_error("router.record", "error=%s text=%s", err_name(e), log_text(&scratch, span_cstr(ec.msg)));
    }
    buf_done(&body);
    if (r->ls == NULL || e != ERR_OK)
        return;
    health_targets_told(r->health, loop_now(r->loop));
    sources_told(r->sources, loop_now(r->loop));
    version_text(ls_own_version(r->ls), text);
    metric_set(&r->m.connectors_down, health_down(r->health));
    log_info("router.originated", "version=%s down=%zu members=%zu", text, health_down(r->health),
             r->nmembers);
}

enum err speaker_purge(struct router *r, struct span group)
{
    const struct lsdb_slot *slot = lsdb_find(ls_table(r->ls), group);
    if (slot == NULL || slot->record == NULL)
        return ERR_NOTFOUND;
    if (span_eq(group, span_cstr(r->root->routing_group.name)))
        return ERR_STATE;
    (void)step(r, &(struct ls_event){.type = LS_PURGE, .bytes = group});
    return ERR_OK;
}

void speaker_verify(struct router *r)
{
    (void)step(r, &(struct ls_event){.type = LS_VERIFY});
}

/* --- The carrier ------------------------------------------------------------------------------------ */

static void on_up(void *arg, uint32_t neighbour)
{
    (void)step(arg, &(struct ls_event){.type = LS_CARRIER_UP, .peer = neighbour});
}

static void on_down(void *arg, uint32_t neighbour)
{
    (void)step(arg, &(struct ls_event){.type = LS_CARRIER_DOWN, .peer = neighbour});
}

static unsigned on_received(void *arg, uint32_t neighbour, struct span message)
{
    return step(arg, &(struct ls_event){.type = LS_RECV, .peer = neighbour, .bytes = message});
}

/* --- Life ------------------------------------------------------------------------------------------- */

static enum err make_engine(struct router *r, struct errctx *ec)
{
    struct ls_crypto crypto;
    const struct conf_router *c = &r->root->router;
    struct ls_options o = {.organization = span_cstr(r->root->organization),
                           .group = span_cstr(r->root->routing_group.name),
                           .router = span_cstr(r->name),
                           .cert = span_of((const char *)r->group_key.cert_bytes, r->group_key.cert_len),
                           .instance = r->instance,
                           .hello_ms = c->hello_ms,
                           .refresh_ms = c->refresh_ms,
                           .lifetime_ms = c->lifetime_ms};
    memcpy(o.org_key, r->org_key, sizeof o.org_key);
    key_crypto(&r->group_key, &crypto);
    r->ls = ls_new(&o, &crypto, loop_now(r->loop));
    if (r->ls == NULL)
        return err_set(ec, ERR_NOMEM,
                       "the engine cannot be made: no memory, or a certificate for another group");
    for (size_t i = 0; i < r->root->routing_group.neighbours.count; i++) {
        uint32_t peer;
        enum err e = ls_peer_add(r->ls, span_cstr(r->root->routing_group.neighbours.items[i].group), &peer);
        if (e != ERR_OK)
            return err_set(ec, e, "more than %d neighbours", LS_PEERS_MAX);
        r->told[peer] = ADJ_DOWN;
        r->npeers++; /* numbers are positions in the configuration on both sides */
    }
    return ERR_OK;
}

static enum err open_carrier(struct router *r, struct errctx *ec)
{
    static const struct carrier_ops ops = {on_up, on_down, on_received};
    struct carrier_conf conf = {.loop = r->loop,
                                .dns = r->dns,
                                .metrics = &r->m,
                                .key = &r->transport_key,
                                .root = r->root,
                                .ops = &ops,
                                .arg = r};
    return r->npeers == 0 ? ERR_OK : carrier_new(&conf, &r->carrier, ec);
}

static void free_engine(struct router *r)
{
    notices_flush(r, true);
    carrier_free(r->carrier);
    for (int i = 0; r->ls != NULL && i < LS_C__COUNT; i++)
        r->counted[i] += ls_counters(r->ls)[i];
    ls_free(r->ls);
    r->carrier = NULL;
    r->ls = NULL;
    r->npeers = 0;
}

enum err speaker_rebuild(struct router *r, struct errctx *ec)
{
    struct lsdb table;
    if (lsdb_copy(ls_table(r->ls), &table) != ERR_OK)
        return err_set(ec, ERR_NOMEM, "out of memory");
    free_engine(r);
    buf_clear(&r->outbox);
    enum err e = make_engine(r, ec);
    if (e == ERR_OK && (e = ls_adopt(r->ls, &table, loop_now(r->loop))) != ERR_OK)
        (void)err_set(ec, e, "out of memory");
    lsdb_done(&table);
    if (e == ERR_OK)
        e = open_carrier(r, ec);
    if (e == ERR_OK)
        timer_set(r->tick, 1);
    return e;
}

/* Others take another key for a group only with a later certificate (docs/protocol.md). */
static void warn_of_serial(const struct router *r)
{
    const struct lsdb_slot *slot = lsdb_find(ls_table(r->ls), span_cstr(r->root->routing_group.name));
    const struct ls_cert *before = slot != NULL && slot->record != NULL ? &slot->record->lsa.cert : NULL;
    uint64_t serial = key_serial(&r->group_key);
    if (before == NULL || serial > before->serial ||
        memcmp(before->key, r->group_key.public_, sizeof r->group_key.public_) == 0)
        return;
    log_warn(
        "router.key",
        "serial=%" PRIu64 " before=%" PRIu64 " text='the certificate of the new group key is not later than "
        "that of the key before: other groups refuse "
        "what it signs until they have dropped the record that they hold (router.lifetime); certify it with "
        "--serial %" PRIu64 " or higher (bridgehead keys certify), and reload'",
        serial, before->serial, before->serial + 1);
}

void speaker_configured(struct router *r)
{
    char digest[sizeof r->config_digest];
    struct errctx ec = {"the certificate does not fit"};
    struct log_scratch scratch;
    struct span cert = span_of((const char *)r->group_key.cert_bytes, r->group_key.cert_len);
    if (speaker_digest(r, digest, &ec) != ERR_OK || ls_set_cert(r->ls, cert) != ERR_OK) {
        metric_inc(&r->m.reloads_refused);
        log_error("config.reload", "text=%s", log_text(&scratch, span_cstr(ec.msg)));
        return;
    }
    warn_of_serial(r);
    bool same = strcmp(digest, r->config_digest) == 0;
    memcpy(r->config_digest, digest, sizeof digest);
    speaker_originate(r, same ? LS_LEVEL_REFRESH : LS_LEVEL_MAJOR);
}

enum err speaker_start(struct router *r, const struct lsdb *table, struct errctx *ec)
{
    lsdb_init(&r->seen);
    buf_init(&r->outbox, OUTBOX_MAX);
    r->again_ms = AGAIN_MS;
    r->tick = timer_new(r->loop, on_tick, r);
    r->again = timer_new(r->loop, on_again, r);
    enum err e =
        r->tick == NULL || r->again == NULL ? err_set(ec, ERR_NOMEM, "out of memory") : make_engine(r, ec);
    if (e == ERR_OK)
        e = speaker_digest(r, r->config_digest, ec);
    if (e == ERR_OK && (e = ls_adopt(r->ls, table, loop_now(r->loop))) != ERR_OK)
        (void)err_set(ec, e, "the table cannot be taken over: %s", err_text(e));
    if (e == ERR_OK)
        warn_of_serial(r);
    if (e == ERR_OK && lsdb_copy(ls_table(r->ls), &r->seen) != ERR_OK)
        e = err_set(ec, ERR_NOMEM, "out of memory");
    return e == ERR_OK ? open_carrier(r, ec) : e;
}

void speaker_stop(struct router *r)
{
    free_engine(r);
    timer_free(r->tick);
    timer_free(r->again);
    lsdb_done(&r->seen);
    buf_done(&r->outbox);
    r->tick = r->again = NULL;
    r->save_due = r->publish_dirty = r->keep_due = false;
}
