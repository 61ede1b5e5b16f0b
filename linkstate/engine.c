#include "linkstate/engine_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_MAX = 256 << 20 }; /* a whole table of 10,000 groups for one neighbour fits many times over */

const char *ls_counter_name(enum ls_counter c)
{
    static const char *const names[] = {
#define X(name, help) #name,
        LS_COUNTER_MAP(X)
#undef X
    };
    return (unsigned)c < LS_C__COUNT ? names[c] : "?";
}

const char *ls_counter_help(enum ls_counter c)
{
    static const char *const helps[] = {
#define X(name, help) help,
        LS_COUNTER_MAP(X)
#undef X
    };
    return (unsigned)c < LS_C__COUNT ? helps[c] : "?";
}

static bool copy_name(char out[RECORD_NAME_MAX + 1], struct span s)
{
    if (s.len > RECORD_NAME_MAX)
        return false;
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

static ms_t or_default(ms_t given, ms_t normal)
{
    return given != 0 ? given : normal;
}

struct ls *ls_new(const struct ls_options *opts, const struct ls_crypto *crypto, ms_t now_ms)
{
    struct ls *ls = calloc(1, sizeof *ls);
    if (ls == NULL)
        return NULL;
    ls->opts = *opts;
    ls->opts.hello_ms = or_default(opts->hello_ms, 5000);
    ls->opts.retransmit_ms = or_default(opts->retransmit_ms, 1000);
    ls->opts.refresh_ms = or_default(opts->refresh_ms, 600000);
    ls->opts.lifetime_ms = or_default(opts->lifetime_ms, 1800000);
    ls->opts.violation_pause_ms = or_default(opts->violation_pause_ms, 60000);
    ls->crypto = *crypto;
    ls->now_ms = now_ms;
    lsdb_init(&ls->db);
    ls->db.pool = opts->pool;
    buf_init(&ls->cert, CERT_MAX);
    buf_init(&ls->out, OUT_MAX);
    struct ls_cert cert;
    bool ok = copy_name(ls->organization, opts->organization) && copy_name(ls->group, opts->group) &&
              copy_name(ls->router, opts->router) && buf_add(&ls->cert, opts->cert) == ERR_OK &&
              cert_parse(buf_span(&ls->cert), &cert) == ERR_OK && span_eq(cert.group, opts->group);
    if (!ok) {
        ls_free(ls);
        return NULL;
    }
    return ls;
}

void ls_free(struct ls *ls)
{
    if (ls == NULL)
        return;
    for (size_t i = 0; i < ls->nadj; i++)
        free(ls->adj[i].pending);
    free(ls->adj);
    free(ls->outgoing);
    free(ls->sends);
    lsdb_done(&ls->db);
    buf_done(&ls->cert);
    buf_done(&ls->out);
    free(ls);
}

enum err ls_peer_add(struct ls *ls, struct span expected_group, uint32_t *ret_peer)
{
    if (ls->nadj >= LS_PEERS_MAX)
        return ERR_TOOBIG;
    struct adjacency *p = realloc(ls->adj, (ls->nadj + 1) * sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    ls->adj = p;
    p[ls->nadj] = (struct adjacency){.state = ADJ_DOWN, .since_ms = ls->now_ms};
    if (!copy_name(p[ls->nadj].expected, expected_group))
        return ERR_TOOBIG;
    *ret_peer = (uint32_t)ls->nadj++;
    return ERR_OK;
}

void ls_count(struct ls *ls, enum ls_counter c)
{
    ls->counters[c]++;
}

void ls_notice(struct ls *ls, enum ls_counter c, uint32_t peer, struct span group, const char *fmt, ...)
{
    ls_count(ls, c);
    if (ls->result.nnotices == LS_NOTICES_MAX) {
        ls->result.notices_dropped++;
        return;
    }
    struct ls_notice *n = &ls->result.notices[ls->result.nnotices++];
    *n = (struct ls_notice){.counter = c, .peer = peer};
    (void)copy_name(n->group, span_first(group, RECORD_NAME_MAX));
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(n->text, sizeof n->text, fmt, ap);
    va_end(ap);
}

void ls_say(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    size_t at = ls->out.len;
    if (ls->nout == ls->cap_out) {
        size_t cap = ls->cap_out == 0 ? 16 : ls->cap_out * 2;
        struct outgoing *p = realloc(ls->outgoing, cap * sizeof *p);
        if (p == NULL) {
            ls->nomem = true;
            return;
        }
        ls->outgoing = p;
        ls->cap_out = cap;
    }
    if (ls_message_emit(m, &ls->out) != ERR_OK) {
        ls->nomem = true;
        return;
    }
    ls->outgoing[ls->nout++] = (struct outgoing){peer, at, ls->out.len - at};
    ls_count(ls, LS_C_SENT);
    ls->counters[LS_C_BYTES_SENT] += ls->out.len - at;
    ls->adj[peer].said_ms = ls->now_ms;
}

/* Raises the version beyond everything that may ever have been seen of this group (L3). */
static void raise_version(struct ls *ls, enum ls_level level, const struct ls_version *floor)
{
    const struct lsdb_slot *slot = lsdb_find(&ls->db, span_cstr(ls->group));
    struct ls_version v = ls->own;
    if (floor != NULL && ls_version_cmp(floor, &v) > 0)
        v = *floor;
    if (slot != NULL && slot->record != NULL && ls_version_cmp(&slot->record->lsa.version, &v) > 0)
        v = slot->record->lsa.version;
    switch (level) {
    case LS_LEVEL_MAJOR:
        v.major++;
        break;
    case LS_LEVEL_MINOR:
        v.minor++;
        break;
    case LS_LEVEL_USER:
        v.user++;
        break;
    case LS_LEVEL_REFRESH:
        break;
    }
    v.seq++;
    if (v.seq < date_own(ls))
        v.seq = date_own(ls);
    ls->own = v;
}

bool ls_differs(const struct lsdb_slot *held, const struct lsa *lsa)
{
    return held == NULL || held->record == NULL || !lsa_same_body(&held->record->lsa, lsa) ||
           !lsa_same_key(&held->record->lsa, lsa);
}

enum err ls_originate(struct ls *ls, struct span body, enum ls_level level, const struct ls_version *floor)
{
    struct buf header;
    struct lsa lsa;
    const struct lsdb_slot *slot;
    struct ls_version before = ls->own;
    buf_init(&header, LSA_HEADER_MAX);
    raise_version(ls, level, floor);
    enum err e = lsa_seal(span_cstr(ls->group), &ls->own, body, buf_span(&ls->cert), &ls->crypto, &header);
    if (e == ERR_OK)
        e = lsa_parse(buf_span(&header), &lsa);
    const struct lsdb_slot *old = lsdb_find(&ls->db, span_cstr(ls->group));
    bool same_body =
        e == ERR_OK && old != NULL && old->record != NULL && lsa_same_body(&old->record->lsa, &lsa);
    bool differs = e == ERR_OK && ls_differs(old, &lsa);
    if (e == ERR_OK)
        e = lsdb_put(&ls->db, &lsa, body, ls->now_ms, &ls->crypto, &slot, NULL);
    if (e == ERR_OK) {
        ls->refreshed_ms = ls->now_ms;
        ls->result.own_changed = true;
        ls->result.table_changed = ls->result.table_changed || differs;
        flood_record(ls, slot, UINT32_MAX, !same_body);
    } else {
        ls->own = before;
    }
    buf_done(&header);
    return e;
}

void ls_outbid(struct ls *ls)
{
    const struct lsdb_slot *own = lsdb_find(&ls->db, span_cstr(ls->group));
    if (ls->rival.seq == 0 || ls->now_ms < ls->outbid_ms || own == NULL || own->record == NULL)
        return;
    struct lsdb_record *r =
        lsdb_record_ref(own->record); /* lsdb_put() frees the one that the body lives in */
    if (ls_originate(ls, r->body, LS_LEVEL_REFRESH, &ls->rival) != ERR_OK)
        ls->nomem = true;
    lsdb_record_unref(r);
    ls->rival = (struct ls_version){0};
    ls->outbid_wait_ms = ls->outbid_wait_ms == 0 ? ls->opts.retransmit_ms : 2 * ls->outbid_wait_ms;
    if (ls->outbid_wait_ms > ls->opts.refresh_ms)
        ls->outbid_wait_ms = ls->opts.refresh_ms;
    ls->outbid_ms = ms_after(ls->now_ms, ls->outbid_wait_ms);
}

static void receive(struct ls *ls, uint32_t peer, struct span bytes)
{
    static void (*const handlers[LS_MSG__COUNT])(struct ls *, uint32_t, const struct ls_message *) = {
        [LS_MSG_HELLO] = adj_recv_hello,       [LS_MSG_DIGEST] = adj_recv_digest,
        [LS_MSG_BUCKETS] = sync_recv_buckets,  [LS_MSG_SUMMARY] = sync_recv_summary,
        [LS_MSG_REQUEST] = flood_recv_request, [LS_MSG_ADVERTISE] = flood_recv_advertise,
        [LS_MSG_ACK] = flood_recv_ack,
    };
    struct ls_message m;
    struct errctx ec;
    struct adjacency *a = &ls->adj[peer];
    ls_count(ls, LS_C_RECEIVED);
    if (a->pause_until_ms > ls->now_ms) {
        ls_notice(ls, LS_C_MISPLACED, peer, SPAN(""), "a message in the pause after a violation");
        return;
    }
    if (ls_message_parse(bytes, &m, &ec) != ERR_OK) {
        ls_notice(ls, LS_C_MALFORMED, peer, SPAN(""), "%s", ec.msg);
        adj_event(ls, peer, AEV_VIOLATION);
        return;
    }
    a->heard_ms = ls->now_ms;
    a->carrier = true;
    if (m.type == LS_MSG_BYE) {
        adj_event(ls, peer, AEV_BYE);
    } else if (m.type != LS_MSG_HELLO && !adj_open(a)) {
        /* After a restart the neighbour may still speak to our former self: it gets a HELLO, no more. */
        ls_notice(ls, LS_C_MISPLACED, peer, SPAN(""), "%s before HELLO", ls_message_name(m.type));
        if (ls->now_ms - a->said_ms >= ls->opts.retransmit_ms || a->state == ADJ_DOWN)
            adj_hello(ls, peer, false);
    } else {
        handlers[m.type](ls, peer, &m);
    }
}

/* Drops what its group has not refreshed. Most ticks come before anything can be that old. */
static void expire(struct ls *ls)
{
    ms_t oldest_ms = UINT64_MAX;
    if (ls->now_ms < ms_after(ls->db.oldest_ms, ls->opts.lifetime_ms) && !ls->date_moved)
        return;
    ls->date_moved = false;
    for (size_t i = 0; i < ls->db.nslots; i++) {
        const struct lsdb_slot *s = lsdb_at(&ls->db, i);
        ms_t born_ms = s->born_ms;
        if (s->record == NULL)
            continue;
        if ((ls->now_ms >= ms_after(born_ms, ls->opts.lifetime_ms) ||
             date_age_ms(ls, &s->record->lsa.version) >= ls->opts.lifetime_ms) &&
            !span_eq(lsdb_group(s), span_cstr(ls->group))) {
            ls_notice(ls, LS_C_EXPIRED, UINT32_MAX, lsdb_group(s), "not refreshed in time");
            ls->nomem = floor_drop(ls, i, false) != ERR_OK || ls->nomem;
        }
        if (lsdb_at(&ls->db, i)->record != NULL && born_ms < oldest_ms)
            oldest_ms = born_ms;
    }
    ls->db.oldest_ms = oldest_ms;
}

static void tick(struct ls *ls)
{
    date_tick(ls);
    ls_outbid(ls);
    if (ls->outbid_wait_ms > 0 && ls->now_ms >= ms_after(ls->outbid_ms, ls->outbid_wait_ms))
        ls->outbid_wait_ms = 0; /* the other one is gone */
    const struct lsdb_slot *own = lsdb_find(&ls->db, span_cstr(ls->group));
    bool due = ls->now_ms - ls->refreshed_ms >= ls->opts.refresh_ms || date_behind(ls);
    if (own != NULL && own->record != NULL && due && ls->own.seq != 0) {
        /* Keeps the bytes alive: lsdb_put frees the record that the body lives in. */
        struct lsdb_record *r = lsdb_record_ref(own->record);
        if (ls_originate(ls, r->body, LS_LEVEL_REFRESH, NULL) != ERR_OK)
            ls->refreshed_ms = ls->now_ms - ls->opts.refresh_ms + ls->opts.retransmit_ms * 10;
        lsdb_record_unref(r);
    }
    expire(ls);
    lsdb_forget(&ls->db, ls->now_ms);
    floor_tick(ls);
    for (uint32_t p = 0; p < ls->nadj; p++) {
        adj_tick(ls, p);
        flood_tick(ls, p);
    }
}

static ms_t wake_at(const struct ls *ls)
{
    ms_t at = ms_after(ls->now_ms, ls->opts.hello_ms * 12); /* ageing needs no finer clock */
    if (ls->own.seq != 0 && ms_after(ls->refreshed_ms, ls->opts.refresh_ms) < at)
        at = ms_after(ls->refreshed_ms, ls->opts.refresh_ms);
    if (ls->rival.seq != 0 && ls->outbid_ms < at)
        at = ls->outbid_ms;
    if (floor_wake(ls) < at)
        at = floor_wake(ls);
    for (size_t i = 0; i < ls->nadj; i++) {
        ms_t w = adj_wake(ls, &ls->adj[i]);
        if (w < at)
            at = w;
    }
    return at > ls->now_ms ? at : ms_after(ls->now_ms, 1);
}

static enum err finish_step(struct ls *ls, enum err e, struct ls_output *ret)
{
    if (ls->nout > 0) {
        struct ls_send *p = realloc(ls->sends, ls->cap_out * sizeof *p);
        if (p != NULL)
            ls->sends = p;
        else
            ls->nout = 0;
        ls->nomem = ls->nomem || p == NULL;
    }
    for (size_t i = 0; i < ls->nout; i++)
        ls->sends[i] = (struct ls_send){ls->outgoing[i].peer,
                                        span_of(ls->out.ptr + ls->outgoing[i].at, ls->outgoing[i].len)};
    ls->result.sends = ls->sends;
    ls->result.nsends = ls->nout;
    ls->result.wake_at_ms = wake_at(ls);
    *ret = ls->result;
    return e != ERR_OK ? e : ls->nomem ? ERR_NOMEM : ERR_OK;
}

enum err ls_step(struct ls *ls, const struct ls_event *ev, struct ls_output *ret)
{
    enum err e = ERR_OK;
    if (ls->out.cap > 1 << 20)
        buf_done(&ls->out); /* one large exchange must not be paid for for ever */
    buf_clear(&ls->out);
    ls->nout = 0;
    ls->nomem = false;
    ls->result = (struct ls_output){0};
    if (ev->now_ms > ls->now_ms)
        ls->now_ms = ev->now_ms;
    if (ev->wall_s != 0) {
        ls->wall_s = ev->wall_s;
        ls->wall_ms = ls->now_ms;
    }
    bool of_peer = ev->type == LS_RECV || ev->type == LS_CARRIER_UP || ev->type == LS_CARRIER_DOWN;
    if (of_peer && ev->peer >= ls->nadj)
        return finish_step(ls, ERR_NOTFOUND, ret);
    switch (ev->type) {
    case LS_TICK:
        tick(ls);
        break;
    case LS_CARRIER_UP:
        ls->adj[ev->peer].carrier = true;
        adj_event(ls, ev->peer, AEV_CARRIER_UP);
        break;
    case LS_CARRIER_DOWN:
        ls->adj[ev->peer].carrier = false;
        adj_event(ls, ev->peer, AEV_CARRIER_DOWN);
        break;
    case LS_RECV:
        receive(ls, ev->peer, ev->bytes);
        break;
    case LS_ORIGINATE:
        e = ls_originate(ls, ev->bytes, ev->level, &ev->floor);
        break;
    case LS_VERIFY:
        for (uint32_t p = 0; p < ls->nadj; p++)
            sync_verify(ls, p);
        break;
    case LS_PURGE:
        e = floor_purge(ls, ev->bytes);
        break;
    }
    return finish_step(ls, e, ret);
}

enum err ls_set_cert(struct ls *ls, struct span bytes)
{
    struct ls_cert cert;
    enum err e = cert_parse(bytes, &cert);
    if (e == ERR_OK && !span_eq(cert.group, span_cstr(ls->group)))
        e = ERR_PARSE;
    if (e != ERR_OK || span_eq(bytes, buf_span(&ls->cert)))
        return e;
    buf_clear(&ls->cert);
    return buf_add(&ls->cert, bytes);
}

const struct lsdb *ls_table(const struct ls *ls)
{
    return &ls->db;
}

const struct ls_version *ls_own_version(const struct ls *ls)
{
    return &ls->own;
}

bool ls_peer_info(const struct ls *ls, uint32_t peer, struct ls_peer_info *ret)
{
    if (peer >= ls->nadj)
        return false;
    const struct adjacency *a = &ls->adj[peer];
    *ret = (struct ls_peer_info){.state = a->state,
                                 .group = a->group,
                                 .router = a->router,
                                 .sum = a->sum,
                                 .pending = (uint32_t)a->npending,
                                 .differing = a->differing,
                                 .heard_ms = a->heard_ms,
                                 .since_ms = a->since_ms,
                                 .why = adj_event_name(a->why)};
    return true;
}

const uint64_t *ls_counters(const struct ls *ls)
{
    return ls->counters;
}

enum err ls_adopt(struct ls *ls, const struct lsdb *table, ms_t now_ms)
{
    struct lsdb copy;
    enum err e = lsdb_copy(table, &copy);
    if (e != ERR_OK)
        return e;
    lsdb_done(&ls->db);
    ls->db = copy;
    ls->now_ms = now_ms;
    ls->refreshed_ms = now_ms;
    const struct lsdb_slot *own = lsdb_find(&ls->db, span_cstr(ls->group));
    if (own != NULL && own->record != NULL)
        ls->own = own->record->lsa.version;
    floor_watch(ls);
    return ERR_OK;
}
