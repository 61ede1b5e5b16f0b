#include "linkstate/engine_internal.h"

#include <stdlib.h>
#include <string.h>

static uint32_t age_of(const struct ls *ls, const struct lsdb_slot *slot)
{
    ms_t age = ls->now_ms > slot->born_ms ? ls->now_ms - slot->born_ms : 0;
    return (uint32_t)((age + 999) / 1000); /* upwards: a record may not grow younger on its way */
}

/* --- what a neighbour has not acknowledged ---------------------------------------------------------- */

static size_t pending_at(const struct adjacency *a, uint32_t slot)
{
    size_t lo = 0, hi = a->npending;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (a->pending[mid].slot < slot)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void pending_put(struct ls *ls, struct adjacency *a, const struct flood_item *item)
{
    size_t at = pending_at(a, item->slot);
    if (at == a->npending || a->pending[at].slot != item->slot) {
        if (a->npending == a->cap_pending) {
            size_t cap = a->cap_pending == 0 ? 8 : a->cap_pending * 2;
            struct pending *p = realloc(a->pending, cap * sizeof *p);
            if (p == NULL) {
                ls->nomem = true;
                return;
            }
            a->pending = p;
            a->cap_pending = cap;
        }
        memmove(&a->pending[at + 1], &a->pending[at], (a->npending - at) * sizeof *a->pending);
        a->npending++;
    }
    a->pending[at] = (struct pending){.slot = item->slot,
                                      .with_body = item->with_body,
                                      .version = lsdb_at(&ls->db, item->slot)->record->lsa.version,
                                      .due_ms = ms_after(ls->now_ms, ls->opts.retransmit_ms),
                                      .interval_ms = ls->opts.retransmit_ms};
}

/* The neighbour has shown that it holds this version (L4). */
static void pending_settle(const struct ls *ls, struct adjacency *a, struct span group,
                           const struct ls_version *version)
{
    const struct lsdb_slot *slot = lsdb_find(&ls->db, group);
    if (slot == NULL)
        return;
    uint32_t number = slot->number;
    size_t at = pending_at(a, number);
    if (at == a->npending || a->pending[at].slot != number ||
        ls_version_cmp(version, &a->pending[at].version) < 0)
        return;
    memmove(&a->pending[at], &a->pending[at + 1], (a->npending - at - 1) * sizeof *a->pending);
    if (--a->npending == 0) { /* quiet most of the time: own no memory then */
        free(a->pending);
        a->pending = NULL;
        a->cap_pending = 0;
    }
}

bool flood_is_pending(const struct ls *ls, uint32_t peer, const struct flood_item *item)
{
    const struct adjacency *a = &ls->adj[peer];
    struct ls_version held = lsdb_version(lsdb_at(&ls->db, item->slot));
    size_t at = pending_at(a, item->slot);
    return at < a->npending && a->pending[at].slot == item->slot &&
           ls_version_cmp(&a->pending[at].version, &held) == 0;
}

/* --- sending ------------------------------------------------------------------------------------------ */

static void say_list(struct ls *ls, uint32_t peer, enum ls_message_type type, struct buf *list)
{
    if (list->len > 0) {
        struct ls_message m = {.type = type, .list = buf_span(list)};
        ls_say(ls, peer, &m);
    }
    buf_clear(list);
}

struct batch { /* an ADVERTISE being made */
    struct buf list;
    size_t limit;
    unsigned records;
};

static void batch_init(struct batch *b)
{
    *b = (struct batch){.limit = BATCH_BYTES};
    buf_init(&b->list, LS_MESSAGE_MAX);
}

static void say_batch(struct ls *ls, uint32_t peer, struct batch *b)
{
    say_list(ls, peer, LS_MSG_ADVERTISE, &b->list);
    b->limit = b->limit < BATCH_BYTES_MAX ? 2 * b->limit : BATCH_BYTES_MAX;
    b->records = 0;
}

static void advertise(struct ls *ls, uint32_t peer, struct batch *b, const struct flood_item *item)
{
    const struct lsdb_slot *slot = lsdb_at(&ls->db, item->slot);
    struct ls_advert ad = {age_of(ls, slot), slot->record->lsa.header,
                           item->with_body ? slot->record->body : SPAN("")};
    if (b->records == LS_ADVERTS_MAX ||
        (b->records > 0 && b->list.len + ad.header.len + ad.body.len > b->limit))
        say_batch(ls, peer, b);
    b->records++;
    if (ls_advert_add(&b->list, &ad) != ERR_OK)
        ls->nomem = true;
}

void flood_send(struct ls *ls, uint32_t peer, const struct flood_item *items, size_t n)
{
    struct batch batch;
    batch_init(&batch);
    for (size_t i = 0; i < n; i++) {
        if (lsdb_at(&ls->db, items[i].slot)->record == NULL)
            continue;
        pending_put(ls, &ls->adj[peer], &items[i]);
        advertise(ls, peer, &batch, &items[i]);
    }
    say_batch(ls, peer, &batch);
    buf_done(&batch.list);
}

static void flood_items(struct ls *ls, const struct flood_item *items, size_t n, uint32_t except)
{
    for (uint32_t p = 0; n > 0 && p < ls->nadj; p++)
        if (p != except && adj_open(&ls->adj[p]))
            flood_send(ls, p, items, n);
}

void flood_record(struct ls *ls, const struct lsdb_slot *slot, uint32_t except, bool with_body)
{
    struct flood_item item = {slot->number, with_body};
    flood_items(ls, &item, 1, except);
}

void flood_tick(struct ls *ls, uint32_t peer)
{
    struct adjacency *a = &ls->adj[peer];
    struct batch batch;
    size_t kept = 0;
    batch_init(&batch);
    for (size_t i = 0; i < a->npending; i++) {
        if (lsdb_at(&ls->db, a->pending[i].slot)->record == NULL)
            continue; /* dropped meanwhile: nothing is left to be acknowledged */
        a->pending[kept++] = a->pending[i];
        struct pending *p = &a->pending[kept - 1];
        if (p->due_ms > ls->now_ms)
            continue;
        if (p->interval_ms < ls->opts.retransmit_ms * 8)
            p->interval_ms *= 2;
        p->due_ms = ms_after(ls->now_ms, p->interval_ms);
        struct flood_item item = {p->slot, p->with_body};
        advertise(ls, peer, &batch, &item);
        ls_count(ls, LS_C_RETRANSMITTED);
    }
    a->npending = kept;
    say_batch(ls, peer, &batch);
    buf_done(&batch.list);
}

/* --- receiving ---------------------------------------------------------------------------------------- */

struct intake { /* one ADVERTISE being worked through */
    struct ls *ls;
    uint32_t peer;
    struct buf acks, requests;
    struct flood_item *news, *back; /* to pass on; newer ones of ours, for the sender */
    size_t nnews, nback, cap;
};

static void acknowledge(struct intake *in, struct span group, const struct ls_version *v)
{
    struct ls_item item = {.group = group, .version = *v};
    if (ls_item_add(&in->acks, &item) != ERR_OK)
        in->ls->nomem = true;
}

/* Unless it is on its way: the sender may have heard an older one by another way before it. */
static void send_back(struct intake *in, const struct lsdb_slot *slot)
{
    struct flood_item item = {slot->number, true};
    if (!flood_is_pending(in->ls, in->peer, &item))
        in->back[in->nback++] = item;
}

static bool trusted(struct intake *in, const struct lsa *lsa, const struct lsdb_slot *slot)
{
    struct ls *ls = in->ls;
    const struct lsa *held = slot != NULL && slot->record != NULL ? &slot->record->lsa : NULL;
    struct span known = held != NULL ? held->cert.bytes : SPAN("");
    ls->result.checked++;
    if (lsa_verify(lsa, span_cstr(ls->organization), ls->opts.org_key, known, &ls->crypto) != ERR_OK) {
        ls_notice(ls, LS_C_FORGED, in->peer, lsa->group, "bad signature or certificate");
        return false;
    }
    /* One name, two keys: only a certificate that the organization made later may replace the first. */
    if (held != NULL && memcmp(held->cert.key, lsa->cert.key, LS_KEY_LEN) != 0 &&
        lsa->cert.serial <= held->cert.serial) {
        ls_notice(ls, LS_C_CONFLICT, in->peer, lsa->group,
                  "two keys speak for this group; remove the wrong certificate");
        return false;
    }
    return true;
}

/* Somebody holds a newer record of our own group: it is from an earlier life. Go beyond it (L3). When that
 * goes on, another router signs for our name too: two groups with one name would outbid each other as fast as
 * the network is, so that each further step waits twice as long. */
static void meet_rival(struct intake *in, const struct lsa *lsa)
{
    struct ls *ls = in->ls;
    if (ls_version_cmp(&lsa->version, &ls->rival) > 0)
        ls->rival = lsa->version;
    if (ls->outbid_wait_ms > 0)
        ls_notice(ls, LS_C_CONFLICT, in->peer, lsa->group,
                  "another router signs records of this group: two groups with one name?");
    ls_outbid(ls);
}

static void install(struct intake *in, const struct lsa *lsa, struct span body, ms_t born_ms)
{
    struct ls *ls = in->ls;
    const struct lsdb_slot *slot = lsdb_find(&ls->db, lsa->group);
    struct errctx ec = {""};
    bool same = slot != NULL && slot->record != NULL && lsa_same_body(&slot->record->lsa, lsa);
    bool differs = ls_differs(slot, lsa);
    enum err e = lsdb_put(&ls->db, lsa, body, born_ms, &ls->crypto, &slot, &ec);
    struct ls_item want = {.group = lsa->group};
    if (e == ERR_NOTFOUND && ls_item_add(&in->requests, &want) == ERR_OK)
        return;
    if (e == ERR_NOMEM || e == ERR_NOTFOUND) {
        ls->nomem = true;
        return;
    }
    if (e != ERR_OK) {
        ls_notice(ls, e == ERR_TOOBIG ? LS_C_TOO_MANY : LS_C_MALFORMED, in->peer, lsa->group, "%s", ec.msg);
        return;
    }
    ls_count(ls, same ? LS_C_REFRESHED : LS_C_ACCEPTED);
    ls->result.table_changed = ls->result.table_changed || differs;
    in->news[in->nnews++] = (struct flood_item){slot->number, !same};
    acknowledge(in, lsa->group, &lsa->version);
}

/* Same version, other bytes: somebody's master was two. Every router keeps the same one of them. */
static void settle_conflict(struct intake *in, const struct lsa *lsa, const struct ls_advert *ad,
                            ms_t born_ms, const struct lsdb_slot *slot)
{
    if (!trusted(in, lsa, slot))
        return;
    ls_notice(in->ls, LS_C_CONFLICT, in->peer, lsa->group, "two records with one version");
    if (span_cmp(lsa->header, slot->record->lsa.header) > 0)
        install(in, lsa, ad->body, born_ms);
    else
        send_back(in, slot);
}

/* A record that is too old, or older than what is known of its group: whoever sent it is shown that. */
static void refuse_stale(struct intake *in, const struct lsa *lsa, const struct lsdb_slot *slot, bool older,
                         bool expired)
{
    ls_notice(in->ls, LS_C_STALE, in->peer, lsa->group,
              expired ? "a record beyond its lifetime"
                      : "a record older than the one held: replayed, or late");
    acknowledge(in, lsa->group, &lsa->version);
    if (slot == NULL || !older)
        return;
    if (slot->record != NULL)
        send_back(in, slot);
    else
        floor_show(in->ls, in->peer, slot);
}

static void take_in(struct intake *in, const struct ls_advert *ad)
{
    struct ls *ls = in->ls;
    struct lsa lsa;
    if (lsa_parse(ad->header, &lsa) != ERR_OK) {
        ls_notice(ls, LS_C_MALFORMED, in->peer, SPAN(""), "malformed record header");
        return;
    }
    bool own = span_eq(lsa.group, span_cstr(ls->group));
    ms_t age_ms = (ms_t)ad->age_s * 1000, signed_ms = own ? 0 : date_age_ms(ls, &lsa.version);
    age_ms = signed_ms > age_ms ? signed_ms : age_ms;
    ms_t born_ms = ls->now_ms > age_ms ? ls->now_ms - age_ms : 0;
    const struct lsdb_slot *slot = lsdb_find(&ls->db, lsa.group);
    bool held = slot != NULL && slot->record != NULL;
    struct ls_version ours = slot != NULL ? lsdb_version(slot) : (struct ls_version){0, 0, 0, 0};
    int newer = slot == NULL ? 1 : ls_version_cmp(&lsa.version, &ours);
    pending_settle(ls, &ls->adj[in->peer], lsa.group, &lsa.version);
    if (newer == 0 && held && span_eq(lsa.header, slot->record->lsa.header)) {
        ls_count(ls, LS_C_DUPLICATE);
        acknowledge(in, lsa.group, &lsa.version);
    } else if (newer < 0 || (newer == 0 && !held) || age_ms >= ls->opts.lifetime_ms) {
        refuse_stale(in, &lsa, slot, newer < 0, age_ms >= ls->opts.lifetime_ms);
    } else if (own && ls->own.seq != 0) {
        if (held && trusted(in, &lsa, slot))
            meet_rival(in, &lsa);
    } else if (newer == 0) {
        settle_conflict(in, &lsa, ad, born_ms, slot);
    } else if (trusted(in, &lsa, slot)) {
        install(in, &lsa, ad->body, born_ms);
    }
}

void flood_recv_advertise(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    struct intake in = {.ls = ls, .peer = peer};
    struct ls_advert ad;
    struct rd r = rd_open(m->list);
    while (ls_advert_next(&r, &ad))
        in.cap++;
    in.news = calloc(in.cap + 1, sizeof *in.news);
    in.back = calloc(in.cap + 1, sizeof *in.back);
    buf_init(&in.acks, LS_MESSAGE_MAX);
    buf_init(&in.requests, LS_MESSAGE_MAX);
    if (in.news == NULL || in.back == NULL) {
        ls->nomem = true;
    } else {
        r = rd_open(m->list);
        while (ls_advert_next(&r, &ad))
            take_in(&in, &ad);
        say_list(ls, peer, LS_MSG_ACK, &in.acks);
        say_list(ls, peer, LS_MSG_REQUEST, &in.requests);
        flood_send(ls, peer, in.back, in.nback);
        flood_items(ls, in.news, in.nnews, peer);
        adj_compare(ls, peer);
    }
    free(in.news);
    free(in.back);
    buf_done(&in.acks);
    buf_done(&in.requests);
}

void flood_recv_ack(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    struct rd r = rd_open(m->list);
    struct ls_item item;
    while (ls_item_next(&r, &item))
        pending_settle(ls, &ls->adj[peer], item.group, &item.version);
}

void flood_recv_request(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    struct rd r = rd_open(m->list);
    struct ls_item item;
    struct flood_item *items = calloc(ls->db.nslots + 1, sizeof *items);
    size_t n = 0;
    if (items == NULL) {
        ls->nomem = true;
        return;
    }
    /* A name asked for twice is answered twice at most; the list cannot make more of it than slots. */
    while (n < ls->db.nslots && ls_item_next(&r, &item)) {
        const struct lsdb_slot *slot = lsdb_find(&ls->db, item.group);
        if (slot != NULL && slot->record != NULL)
            items[n++] = (struct flood_item){slot->number, true};
        else if (slot != NULL)
            floor_show(ls, peer, slot);
    }
    flood_send(ls, peer, items, n);
    free(items);
    floor_recv_wishes(ls, peer, m->beyond);
}
