#include "linkstate/engine_internal.h"

#include <string.h>

/* --- What was dropped --------------------------------------------------------------------------------- */

/* No honest copy is younger than the one that is dropped: after one lifetime none is left anywhere. A copy
 * whose age is a lie is refused by its date from then on, or as much later as clocks may differ. */
enum err floor_drop(struct ls *ls, size_t number, bool hold)
{
    ms_t hold_ms = hold ? ms_after(ls->now_ms, FLOOR_HOLD_PARTS * ls->opts.refresh_ms) : 0;
    ms_t forget_ms = ms_after(ls->now_ms, ls->opts.lifetime_ms + (ms_t)DATE_SKEW_S * 1000);
    enum err e = lsdb_drop(&ls->db, number, hold_ms, forget_ms);
    ls->result.table_changed = ls->result.table_changed || e == ERR_OK;
    if (e == ERR_OK && hold)
        floor_watch(ls);
    return e;
}

void floor_watch(struct ls *ls)
{
    ls->floor_ms = ls->now_ms;
    ls->floor_wait_ms = ls->opts.retransmit_ms;
}

enum err floor_purge(struct ls *ls, struct span group)
{
    const struct lsdb_slot *slot = lsdb_find(&ls->db, group);
    if (slot == NULL || slot->record == NULL)
        return ERR_NOTFOUND;
    if (span_eq(group, span_cstr(ls->group)))
        return ERR_STATE;
    enum err e = floor_drop(ls, slot->number, true);
    if (e == ERR_OK)
        floor_tick(ls);
    return e;
}

/* --- Asking for something newer ------------------------------------------------------------------------ */

/* steps: adjacencies that the question has passed. What an advertisement has for its age counts them here. */
static void add_wish(struct ls *ls, struct span header, unsigned steps, struct buf *wishes, unsigned *n)
{
    struct ls_advert ad = {steps, header, SPAN("")};
    if (*n < LS_ADVERTS_MAX && ls_advert_add(wishes, &ad) == ERR_OK)
        ++*n;
    else if (*n < LS_ADVERTS_MAX)
        ls->nomem = true;
}

static void say_wishes(struct ls *ls, uint32_t peer, const struct buf *wishes)
{
    struct ls_message m = {.type = LS_MSG_REQUEST, .list = SPAN(""), .beyond = buf_span(wishes)};
    if (wishes->len > 0)
        ls_say(ls, peer, &m);
}

static void flood_wishes(struct ls *ls, uint32_t except, const struct buf *wishes)
{
    for (uint32_t p = 0; p < ls->nadj; p++)
        if (p != except && adj_open(&ls->adj[p]))
            say_wishes(ls, p, wishes);
}

/* While mail waits for what was dropped, all neighbours are asked for newer records, more and more seldom. */
void floor_tick(struct ls *ls)
{
    struct buf wishes;
    unsigned n = 0;
    ms_t ends_ms = UINT64_MAX;
    if (ls->floor_wait_ms == 0 || ls->now_ms < ls->floor_ms)
        return;
    buf_init(&wishes, LS_MESSAGE_MAX);
    for (size_t i = 0; i < ls->db.nslots; i++) {
        const struct lsdb_dropped *d = lsdb_at(&ls->db, i)->dropped;
        if (d == NULL || d->hold_ms == 0)
            continue;
        if (d->hold_ms > ls->now_ms) {
            add_wish(ls, d->record->lsa.header, 0, &wishes, &n);
            ends_ms = d->hold_ms < ends_ms ? d->hold_ms : ends_ms;
        } else {
            ls->result.table_changed = true; /* mail for it is returned from now on */
            ls->nomem = lsdb_release(&ls->db, i) != ERR_OK || ls->nomem;
        }
    }
    flood_wishes(ls, UINT32_MAX, &wishes);
    buf_done(&wishes);
    ls->floor_ms = ms_after(ls->now_ms, ls->floor_wait_ms);
    if (ls->floor_ms > ends_ms)
        ls->floor_ms = ends_ms;
    ls->floor_wait_ms = n == 0 ? 0 : ls->floor_wait_ms * 2;
    if (ls->floor_wait_ms > FLOOR_ASK_MOST * ls->opts.retransmit_ms)
        ls->floor_wait_ms = FLOOR_ASK_MOST * ls->opts.retransmit_ms;
}

ms_t floor_wake(const struct ls *ls)
{
    return ls->floor_wait_ms == 0 ? UINT64_MAX : ls->floor_ms;
}

/* A neighbour holds, or wants, less than the floor: it is shown why, and passes it on to the group. Seldom:
 * it may be a ghost, which does not answer. */
void floor_show(struct ls *ls, uint32_t peer, const struct lsdb_slot *slot)
{
    struct buf wishes;
    unsigned n = 0;
    if (slot->dropped == NULL || ls->now_ms < ls->shown_ms)
        return;
    ls->shown_ms = ms_after(ls->now_ms, FLOOR_ASK_MOST * ls->opts.retransmit_ms);
    buf_init(&wishes, LS_MESSAGE_MAX);
    add_wish(ls, slot->dropped->record->lsa.header, 0, &wishes, &n);
    say_wishes(ls, peer, &wishes);
    buf_done(&wishes);
}

/* --- Being asked --------------------------------------------------------------------------------------- */

/* Where it is to be remembered; NULL: the same has just been passed on, or too much has. */
static struct wish *place_for(struct ls *ls, const struct lsa *lsa)
{
    struct wish *at = NULL;
    for (size_t i = 0; i < FLOOR_WISHES; i++) {
        struct wish *w = &ls->wishes[i];
        bool over = w->until_ms <= ls->now_ms;
        if (!over && span_eq(span_cstr(w->group), lsa->group))
            return ls_version_cmp(&lsa->version, &w->version) <= 0 ? NULL : w;
        if (over && at == NULL)
            at = w;
    }
    return at;
}

static void remember(struct ls *ls, const struct lsa *lsa, struct wish *at)
{
    memcpy(at->group, lsa->group.ptr, lsa->group.len);
    at->group[lsa->group.len] = '\0';
    at->version = lsa->version;
    at->until_ms = ms_after(ls->now_ms, ls->opts.retransmit_ms - ls->opts.retransmit_ms / 4);
}

static bool proved(struct ls *ls, uint32_t peer, const struct lsa *lsa, const struct lsdb_record *held)
{
    if (held != NULL && span_eq(held->lsa.header, lsa->header))
        return true;
    ls->result.checked++;
    if (lsa_verify(lsa, span_cstr(ls->organization), ls->opts.org_key,
                   held != NULL ? held->lsa.cert.bytes : SPAN(""), &ls->crypto) == ERR_OK)
        return true;
    ls_notice(ls, LS_C_FORGED, peer, lsa->group, "asked for more than a bad signature or certificate");
    return false;
}

/* What is held is newer: the neighbour gets it. Our own record: signed anew, beyond what is shown. Else: who
 * is nearer to the group may know. */
static void serve(struct ls *ls, uint32_t peer, const struct ls_advert *ad, struct buf *onward)
{
    struct lsa lsa;
    unsigned n = 0;
    if (lsa_parse(ad->header, &lsa) != ERR_OK) {
        ls_notice(ls, LS_C_MALFORMED, peer, SPAN(""), "malformed header of a record that is asked for");
        return;
    }
    const struct lsdb_slot *slot = lsdb_find(&ls->db, lsa.group);
    const struct lsdb_record *held = slot != NULL ? slot->record : NULL;
    if (held != NULL && ls_version_cmp(&held->lsa.version, &lsa.version) > 0) {
        struct flood_item item = {slot->number, true};
        if (!flood_is_pending(ls, peer, &item))
            flood_send(ls, peer, &item, 1);
        return;
    }
    struct wish *at = place_for(ls, &lsa);
    if (at == NULL || !proved(ls, peer, &lsa, held))
        return;
    remember(ls, &lsa, at);
    if (!span_eq(lsa.group, span_cstr(ls->group))) {
        /* Over a slow way it comes when it is forgotten here: its steps end what would go round for ever. */
        if (ad->age_s < FLOOR_STEPS_MOST)
            add_wish(ls, lsa.header, ad->age_s + 1, onward, &n);
    } else if (ls->own.seq != 0) {
        if (ls_version_cmp(&lsa.version, &ls->rival) > 0)
            ls->rival = lsa.version;
        ls_outbid(ls);
    }
}

void floor_recv_wishes(struct ls *ls, uint32_t peer, struct span beyond)
{
    struct rd r = rd_open(beyond);
    struct ls_advert ad;
    struct buf onward;
    buf_init(&onward, LS_MESSAGE_MAX);
    while (ls_advert_next(&r, &ad))
        serve(ls, peer, &ad, &onward);
    flood_wishes(ls, peer, &onward);
    buf_done(&onward);
}
