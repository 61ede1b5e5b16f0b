#include "linkstate/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 0x4c535402, HEAD_LEN = 8 };

static int by_group(const void *a, const void *b)
{
    const struct lsdb_slot *const *x = a, *const *y = b;
    return span_cmp(lsdb_group(*x), lsdb_group(*y));
}

static uint32_t seconds(ms_t from_ms, ms_t to_ms)
{
    ms_t s = to_ms > from_ms ? (to_ms - from_ms + 999) / 1000 : 0;
    return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static enum err emit_floor(const struct lsdb_dropped *d, ms_t now_ms, struct buf *out)
{
    struct span header = d->record->lsa.header, body = d->hold_ms > now_ms ? d->record->body : SPAN("");
    struct wr w = wr_open(out);
    wr_u32(&w, seconds(now_ms, d->forget_ms));
    wr_u32(&w, seconds(now_ms, d->hold_ms));
    wr_u16(&w, (uint16_t)header.len);
    wr_u32(&w, (uint32_t)body.len);
    wr_bytes(&w, header);
    wr_bytes(&w, body);
    return w.bad ? ERR_TOOBIG : ERR_OK;
}

static enum err emit_floors(const struct lsdb_slot *const *sorted, size_t n, ms_t now_ms, struct buf *out)
{
    struct buf floors;
    enum err e = ERR_OK;
    buf_init(&floors, LS_SNAPSHOT_MAX);
    for (size_t i = 0; e == ERR_OK && i < n; i++)
        if (sorted[i]->dropped != NULL && sorted[i]->dropped->forget_ms > now_ms)
            e = emit_floor(sorted[i]->dropped, now_ms, &floors);
    struct wr w = wr_open(out);
    if (e == ERR_OK && floors.len > 0) {
        wr_u32(&w, MAGIC);
        wr_u32(&w, (uint32_t)floors.len);
        wr_bytes(&w, buf_span(&floors));
    }
    buf_done(&floors);
    return e == ERR_OK && w.bad ? ERR_TOOBIG : e;
}

static enum err emit_record(const struct lsdb_slot *s, ms_t now_ms, struct buf *out)
{
    struct ls_advert ad = {seconds(s->born_ms, now_ms), s->record->lsa.header, s->record->body};
    return ls_advert_add(out, &ad);
}

static enum err emit_entries(const struct lsdb *db, ms_t now_ms, struct buf *out)
{
    const struct lsdb_slot **sorted = calloc(db->nslots + 1, sizeof(struct lsdb_slot *));
    size_t n = 0;
    if (sorted == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < db->nslots; i++)
        if (lsdb_group(lsdb_at(db, i)).len > 0)
            sorted[n++] = lsdb_at(db, i);
    if (n > 0)
        qsort(sorted, n, sizeof *sorted, by_group);
    enum err e = emit_floors(sorted, n, now_ms, out);
    for (size_t i = 0; e == ERR_OK && i < n; i++)
        if (sorted[i]->record != NULL)
            e = emit_record(sorted[i], now_ms, out);
    free(sorted);
    return e;
}

enum err ls_snapshot_emit(const struct lsdb *db, ms_t now_ms, struct buf *out, struct errctx *ec)
{
    size_t start = out->len;
    enum err e = emit_entries(db, now_ms, out);
    if (e == ERR_OK && out->len - start > LS_SNAPSHOT_MAX)
        e = ERR_TOOBIG;
    if (e == ERR_OK)
        return ERR_OK;
    out->len = start;
    buf_wrote(out, 0);
    if (e == ERR_TOOBIG)
        (void)err_set(ec, e,
                      "a table of %" PRIu32 " groups and %" PRIu32 " connectors is larger than %d bytes",
                      db->records, db->connectors, LS_SNAPSHOT_MAX);
    return e;
}

bool ls_snapshot_next(struct rd *r, struct ls_snapshot_entry *ret)
{
    struct ls_advert ad;
    if (!ls_advert_next(r, &ad))
        return false;
    if (lsa_parse(ad.header, &ret->lsa) != ERR_OK || ad.body.len == 0 || ad.body.len != ret->lsa.body_len) {
        r->bad = true;
        return false;
    }
    ret->age_s = ad.age_s;
    ret->body = ad.body;
    return true;
}

bool ls_snapshot_next_floor(struct rd *r, struct ls_snapshot_floor *ret)
{
    if (rd_left(r) == 0)
        return false;
    ret->left_s = rd_u32(r);
    ret->hold_s = rd_u32(r);
    uint16_t header_len = rd_u16(r);
    uint32_t body_len = rd_u32(r);
    struct span header = rd_bytes(r, header_len);
    ret->body = rd_bytes(r, body_len);
    if (r->bad || lsa_parse(header, &ret->lsa) != ERR_OK ||
        (body_len != 0 && (body_len != ret->lsa.body_len || ret->hold_s == 0)))
        r->bad = true;
    return !r->bad;
}

static enum err parse_floors(struct ls_snapshot *s, struct errctx *ec)
{
    struct ls_snapshot_floor floor;
    struct span before = SPAN("");
    struct rd r = rd_open(s->barred);
    while (ls_snapshot_next_floor(&r, &floor)) {
        if (span_cmp(before, floor.lsa.group) >= 0)
            return err_set(ec, ERR_PARSE, "published table: floors are not in order at " SPAN_FMT,
                           SPAN_ARG(floor.lsa.group));
        if (s->floors == LSDB_GROUPS_MAX)
            return err_set(ec, ERR_TOOBIG, "published table: more than %d floors", LSDB_GROUPS_MAX);
        before = floor.lsa.group;
        s->floors++;
    }
    return r.bad ? err_set(ec, ERR_PARSE, "published table: floor %" PRIu32 " is malformed", s->floors + 1)
                 : ERR_OK;
}

/* The head with the floors, when there is one: s->bytes is what follows. */
static enum err parse_head(struct ls_snapshot *s, struct errctx *ec)
{
    struct rd r = rd_open(s->bytes);
    if (rd_u32(&r) != MAGIC)
        return ERR_OK;
    uint32_t len = rd_u32(&r);
    s->barred = rd_bytes(&r, len);
    if (r.bad || len == 0)
        return err_set(ec, ERR_PARSE, "published table: the floors are cut short");
    s->bytes = span_from(s->bytes, HEAD_LEN + (size_t)len);
    return parse_floors(s, ec);
}

enum err ls_snapshot_parse(struct span bytes, struct ls_snapshot *ret, struct errctx *ec)
{
    struct ls_snapshot s = {.bytes = bytes, .barred = SPAN("")};
    struct ls_snapshot_entry entry;
    struct span before = SPAN("");
    if (bytes.len > LS_SNAPSHOT_MAX)
        return err_set(ec, ERR_TOOBIG, "published table of %zu bytes; at most %d", bytes.len,
                       LS_SNAPSHOT_MAX);
    enum err e = parse_head(&s, ec);
    if (e != ERR_OK)
        return e;
    struct rd r = rd_open(s.bytes);
    while (ls_snapshot_next(&r, &entry)) {
        if (span_cmp(before, entry.lsa.group) >= 0)
            return err_set(ec, ERR_PARSE, "published table: groups are not in order at " SPAN_FMT,
                           SPAN_ARG(entry.lsa.group));
        if (s.records == LSDB_GROUPS_MAX)
            return err_set(ec, ERR_TOOBIG, "published table: more than %d groups", LSDB_GROUPS_MAX);
        before = entry.lsa.group;
        s.generation += (uint64_t)entry.lsa.version.major + entry.lsa.version.minor;
        s.records++;
    }
    if (r.bad)
        return err_set(ec, ERR_PARSE, "published table: entry %" PRIu32 " is malformed", s.records + 1);
    *ret = s;
    return ERR_OK;
}

struct ls_sum ls_snapshot_sum(const struct ls_snapshot *s, const struct ls_crypto *crypto)
{
    struct rd r = rd_open(s->bytes);
    struct ls_snapshot_entry entry;
    struct ls_sum sum = {0, 0}, one;
    while (ls_snapshot_next(&r, &entry)) {
        one = ls_sum_of(entry.lsa.header, crypto);
        sum.hi += one.hi;
        sum.lo += one.lo;
    }
    return sum;
}

static enum err verify(struct ls_restore *at, const struct lsa *lsa)
{
    at->checked++;
    return lsa_verify(lsa, at->organization, at->org_key, SPAN(""), at->crypto);
}

static enum err restore_floor(struct ls_restore *at, const struct ls_snapshot_floor *floor, struct lsdb *db)
{
    const struct lsdb_slot *known = at->trusted != NULL ? lsdb_find(at->trusted, floor->lsa.group) : NULL;
    ms_t forget_ms = ms_after(at->now_ms, (ms_t)floor->left_s * 1000),
         hold_ms = floor->hold_s == 0 ? 0 : ms_after(at->now_ms, (ms_t)floor->hold_s * 1000);
    if (forget_ms <= ms_after(at->now_ms, at->age_ms))
        return ERR_OK; /* forgotten since it was published */
    bool checked = known != NULL && known->dropped != NULL &&
                   span_eq(known->dropped->record->lsa.header, floor->lsa.header);
    enum err e = checked ? ERR_OK : verify(at, &floor->lsa);
    return e != ERR_OK
               ? e
               : lsdb_bar(db, &floor->lsa, floor->body, hold_ms > at->age_ms ? hold_ms - at->age_ms : 0,
                          forget_ms - at->age_ms, at->crypto);
}

static enum err restore_one(struct ls_restore *at, const struct ls_snapshot_entry *entry, struct lsdb *db)
{
    const struct lsdb_slot *known = at->trusted != NULL ? lsdb_find(at->trusted, entry->lsa.group) : NULL;
    const struct lsdb_slot *slot = lsdb_find(db, entry->lsa.group);
    struct ls_version floor = slot != NULL ? lsdb_version(slot) : (struct ls_version){0, 0, 0, 0};
    ms_t age = ms_after(at->age_ms, (ms_t)entry->age_s * 1000);
    ms_t born = at->now_ms > age ? at->now_ms - age : 0;
    if (age >= at->lifetime_ms || (slot != NULL && ls_version_cmp(&entry->lsa.version, &floor) <= 0))
        return ERR_STALE;
    if (known != NULL && known->record != NULL && span_eq(known->record->lsa.header, entry->lsa.header))
        return lsdb_share(db, known->record, born, NULL);
    enum err e = verify(at, &entry->lsa);
    return e != ERR_OK ? e : lsdb_put(db, &entry->lsa, entry->body, born, at->crypto, &slot, NULL);
}

enum err ls_snapshot_restore(struct ls_restore *at, unsigned most, struct lsdb *db, bool *ret_done)
{
    struct ls_snapshot_entry entry;
    struct ls_snapshot_floor floor;
    size_t checked = at->checked;
    *ret_done = false;
    for (size_t n = 0; at->checked - checked < most && n < (size_t)most * LS_RESTORE_SHARED; n++) {
        enum err e;
        if (ls_snapshot_next_floor(&at->floors, &floor)) {
            e = restore_floor(at, &floor, db);
        } else if (ls_snapshot_next(&at->rest, &entry)) {
            e = restore_one(at, &entry, db);
        } else {
            *ret_done = true;
            return ERR_OK;
        }
        if (e == ERR_NOMEM)
            return e;
        at->refused += e != ERR_OK;
    }
    return ERR_OK;
}
