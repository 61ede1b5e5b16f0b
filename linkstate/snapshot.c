#include "linkstate/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int by_group(const void *a, const void *b)
{
    const struct lsdb_slot *const *x = a, *const *y = b;
    return span_cmp(lsdb_group(*x), lsdb_group(*y));
}

static enum err emit_entries(const struct lsdb *db, ms_t now_ms, struct buf *out)
{
    const struct lsdb_slot **sorted = calloc((size_t)db->records + 1, sizeof(struct lsdb_slot *));
    enum err e = sorted == NULL ? ERR_NOMEM : ERR_OK;
    size_t n = 0;
    for (size_t i = 0; e == ERR_OK && i < db->nslots; i++)
        if (lsdb_at(db, i)->record != NULL)
            sorted[n++] = lsdb_at(db, i);
    if (n > 0)
        qsort(sorted, n, sizeof *sorted, by_group);
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        const struct lsdb_slot *s = sorted[i];
        ms_t age = now_ms > s->born_ms ? now_ms - s->born_ms : 0;
        struct ls_advert ad = {(uint32_t)((age + 999) / 1000), s->record->lsa.header, s->record->body};
        e = ls_advert_add(out, &ad);
    }
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

enum err ls_snapshot_parse(struct span bytes, struct ls_snapshot *ret, struct errctx *ec)
{
    struct ls_snapshot s = {.bytes = bytes};
    struct ls_snapshot_entry entry;
    struct span before = SPAN("");
    struct rd r = rd_open(bytes);
    if (bytes.len > LS_SNAPSHOT_MAX)
        return err_set(ec, ERR_TOOBIG, "published table of %zu bytes; at most %d", bytes.len,
                       LS_SNAPSHOT_MAX);
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

static enum err restore_one(struct ls_restore *at, const struct ls_snapshot_entry *entry, struct lsdb *db)
{
    const struct lsdb_slot *known = at->trusted != NULL ? lsdb_find(at->trusted, entry->lsa.group) : NULL;
    const struct lsdb_slot *slot;
    ms_t age = ms_after(at->age_ms, (ms_t)entry->age_s * 1000);
    ms_t born = at->now_ms > age ? at->now_ms - age : 0;
    if (age >= at->lifetime_ms)
        return ERR_STALE;
    if (known != NULL && known->record != NULL && span_eq(known->record->lsa.header, entry->lsa.header))
        return lsdb_share(db, known->record, born, NULL);
    at->checked++;
    enum err e = lsa_verify(&entry->lsa, at->organization, at->org_key, SPAN(""), at->crypto);
    return e != ERR_OK ? e : lsdb_put(db, &entry->lsa, entry->body, born, at->crypto, &slot, NULL);
}

enum err ls_snapshot_restore(struct ls_restore *at, unsigned most, struct lsdb *db, bool *ret_done)
{
    struct ls_snapshot_entry entry;
    size_t checked = at->checked;
    *ret_done = false;
    for (size_t n = 0; at->checked - checked < most && n < (size_t)most * LS_RESTORE_SHARED; n++) {
        if (!ls_snapshot_next(&at->rest, &entry)) {
            *ret_done = true;
            return ERR_OK;
        }
        enum err e = restore_one(at, &entry, db);
        if (e == ERR_NOMEM)
            return e;
        at->refused += e != ERR_OK;
    }
    return ERR_OK;
}
