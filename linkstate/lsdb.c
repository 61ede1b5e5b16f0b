#include "linkstate/lsdb.h"

#include <stdlib.h>
#include <string.h>

void lsdb_init(struct lsdb *db)
{
    *db = (struct lsdb){0};
}

struct lsdb_record *lsdb_record_ref(struct lsdb_record *r)
{
    (void)__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
    return r;
}

void lsdb_record_unref(struct lsdb_record *r)
{
    if (r != NULL && __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(r);
}

void lsdb_done(struct lsdb *db)
{
    for (size_t i = 0; i < db->nslots; i++) {
        lsdb_record_unref(db->slots[i].record);
        free(db->slots[i].dropped);
    }
    free(db->slots);
    free(db->index);
    lsdb_init(db);
}

struct span lsdb_group(const struct lsdb_slot *slot)
{
    if (slot->record != NULL)
        return slot->record->lsa.group;
    return slot->dropped != NULL ? span_cstr(slot->dropped->group) : SPAN("");
}

struct ls_version lsdb_version(const struct lsdb_slot *slot)
{
    if (slot->record != NULL)
        return slot->record->lsa.version;
    return slot->dropped != NULL ? slot->dropped->floor : (struct ls_version){0, 0, 0, 0};
}

static bool used(const struct lsdb_slot *slot)
{
    return slot->record != NULL || slot->dropped != NULL;
}

/* FNV-1a: every router must put a group into the same bucket. */
static uint32_t name_hash(struct span s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.ptr[i]) * 16777619u;
    return h;
}

uint8_t lsdb_bucket_of(struct span group)
{
    uint32_t h = name_hash(group);
    return (uint8_t)(h ^ h >> 8 ^ h >> 16 ^ h >> 24);
}

bool ls_sum_eq(struct ls_sum a, struct ls_sum b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

static void sum_add(struct ls_sum *s, struct ls_sum d)
{
    s->hi += d.hi;
    s->lo += d.lo;
}

static void sum_sub(struct ls_sum *s, struct ls_sum d)
{
    s->hi -= d.hi;
    s->lo -= d.lo;
}

size_t lsdb_number(const struct lsdb *db, const struct lsdb_slot *slot)
{
    return (size_t)(slot - db->slots);
}

/* Where group stands in the index, or the free place where it would. index_size is a power of two. */
static size_t index_at(const struct lsdb *db, struct span group)
{
    size_t i = name_hash(group) & (db->index_size - 1);
    while (db->index[i] != 0 && !span_eq(lsdb_group(&db->slots[db->index[i] - 1]), group))
        i = (i + 1) & (db->index_size - 1);
    return i;
}

struct lsdb_slot *lsdb_find(const struct lsdb *db, struct span group)
{
    if (db->index_size == 0)
        return NULL;
    uint32_t n = db->index[index_at(db, group)];
    return n == 0 ? NULL : &db->slots[n - 1];
}

static enum err index_rebuild(struct lsdb *db, size_t size)
{
    uint32_t *index = calloc(size, sizeof *index);
    if (index == NULL)
        return ERR_NOMEM;
    free(db->index);
    db->index = index;
    db->index_size = size;
    for (size_t i = 0; i < db->nslots; i++)
        if (used(&db->slots[i]))
            db->index[index_at(db, lsdb_group(&db->slots[i]))] = (uint32_t)i + 1;
    return ERR_OK;
}

/* Puts r into a free slot. */
static enum err slot_new(struct lsdb *db, struct lsdb_record *r, struct lsdb_slot **ret)
{
    size_t n = db->low;
    while (n < db->nslots && used(&db->slots[n]))
        n++;
    db->low = n;
    if (n >= LSDB_GROUPS_MAX)
        return ERR_TOOBIG;
    if (n == db->cap) {
        size_t cap = db->cap < 16 ? 16 : db->cap * 2;
        struct lsdb_slot *p = realloc(db->slots, cap * sizeof *p);
        if (p == NULL)
            return ERR_NOMEM;
        db->slots = p;
        db->cap = cap;
    }
    size_t want = db->index_size < 32 ? 32 : db->index_size;
    while (want < (n + 1) * 2)
        want *= 2;
    if (want != db->index_size && index_rebuild(db, want) != ERR_OK)
        return ERR_NOMEM;
    if (n == db->nslots)
        db->nslots++;
    db->index[index_at(db, r->lsa.group)] = (uint32_t)n + 1;
    db->slots[n] = (struct lsdb_slot){.record = r};
    *ret = &db->slots[n];
    return ERR_OK;
}

enum err lsdb_copy(const struct lsdb *from, struct lsdb *ret)
{
    struct lsdb db = *from;
    db.cap = from->nslots;
    db.slots = calloc(from->nslots + 1, sizeof *db.slots);
    db.index = calloc(from->index_size + 1, sizeof *db.index);
    if (db.slots == NULL || db.index == NULL) {
        free(db.slots);
        free(db.index);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < from->nslots; i++) {
        db.slots[i] = (struct lsdb_slot){.record = from->slots[i].record, .born_ms = from->slots[i].born_ms};
        if (db.slots[i].record != NULL)
            (void)lsdb_record_ref(db.slots[i].record);
    }
    if (from->index_size > 0)
        memcpy(db.index, from->index, from->index_size * sizeof *db.index);
    *ret = db;
    return ERR_OK;
}

struct ls_sum ls_sum_of(struct span header, const struct ls_crypto *crypto)
{
    uint8_t digest[LS_DIGEST_LEN];
    struct ls_sum s = {0, 0};
    crypto->hash(crypto->self, header, digest);
    for (int i = 0; i < 8; i++) {
        s.hi = s.hi << 8 | digest[i];
        s.lo = s.lo << 8 | digest[8 + i];
    }
    return s;
}

static enum err record_new(const struct lsa *lsa, struct span body, const struct ls_crypto *crypto,
                           struct lsdb_record **ret, struct errctx *ec)
{
    struct record parsed;
    enum err e = record_parse(body, &parsed, ec);
    if (e != ERR_OK)
        return e;
    uint32_t connectors = (uint32_t)parsed.nconnectors;
    record_done(&parsed);
    struct lsdb_record *r = calloc(1, sizeof *r + lsa->header.len + body.len);
    if (r == NULL)
        return ERR_NOMEM;
    r->refs = 1;
    r->connectors = connectors;
    r->bucket = lsdb_bucket_of(lsa->group);
    r->nbytes = lsa->header.len + body.len;
    memcpy(r->bytes, lsa->header.ptr, lsa->header.len);
    memcpy(r->bytes + lsa->header.len, body.ptr, body.len);
    r->body = span_of(r->bytes + lsa->header.len, body.len);
    (void)!lsa_parse(span_of(r->bytes, lsa->header.len), &r->lsa); /* has been parsed before */
    r->sum = ls_sum_of(r->lsa.header, crypto);
    *ret = r;
    return ERR_OK;
}

static void account(struct lsdb *db, const struct lsdb_slot *slot, bool in)
{
    const struct lsdb_record *r = slot->record;
    (in ? sum_add : sum_sub)(&db->sum, r->sum);
    (in ? sum_add : sum_sub)(&db->buckets[r->bucket], r->sum);
    db->records += in ? 1u : UINT32_MAX;
    db->connectors += in ? r->connectors : 0u - r->connectors;
}

/* Takes r over, but when it fails. slot NULL: in one of its own. */
static enum err place(struct lsdb *db, struct lsdb_slot *slot, struct lsdb_record *r, ms_t born_ms,
                      struct lsdb_slot **ret, struct errctx *ec)
{
    struct lsdb_record *old = slot != NULL ? slot->record : NULL;
    enum err e;
    if (db->connectors - (old != NULL ? old->connectors : 0) + r->connectors > LSDB_CONNECTORS_MAX)
        return err_set(ec, ERR_TOOBIG, "more than %d connectors in the organization", LSDB_CONNECTORS_MAX);
    if (slot == NULL && (e = slot_new(db, r, &slot)) != ERR_OK)
        return err_set(ec, e, "more than %d groups in the organization", LSDB_GROUPS_MAX);
    if (old != NULL)
        account(db, slot, false);
    slot->record = r;
    slot->born_ms = born_ms;
    free(slot->dropped);
    slot->dropped = NULL;
    account(db, slot, true);
    lsdb_record_unref(old);
    *ret = slot;
    return ERR_OK;
}

enum err lsdb_put(struct lsdb *db, const struct lsa *lsa, struct span body, ms_t born_ms,
                  const struct ls_crypto *crypto, struct lsdb_slot **ret, struct errctx *ec)
{
    struct lsdb_slot *slot = lsdb_find(db, lsa->group);
    struct lsdb_record *old = slot != NULL ? slot->record : NULL, *r;
    if (body.len == 0) {
        if (old == NULL || memcmp(old->lsa.body_digest, lsa->body_digest, LS_DIGEST_LEN) != 0)
            return err_set(ec, ERR_NOTFOUND, "the body is not here");
        body = old->body;
    } else if (lsa_check_body(lsa, body, crypto) != ERR_OK) {
        return err_set(ec, ERR_PARSE, "the body does not match the signed digest");
    }
    enum err e = record_new(lsa, body, crypto, &r, ec);
    if (e != ERR_OK)
        return e;
    e = place(db, slot, r, born_ms, ret, ec);
    if (e != ERR_OK)
        lsdb_record_unref(r);
    return e;
}

enum err lsdb_share(struct lsdb *db, struct lsdb_record *r, ms_t born_ms, struct errctx *ec)
{
    struct lsdb_slot *slot = lsdb_find(db, r->lsa.group);
    enum err e = place(db, slot, r, born_ms, &slot, ec);
    if (e == ERR_OK)
        (void)lsdb_record_ref(r);
    return e;
}

/* A rebuild of the same size; failing it, the old index stays, and the name that is gone is found no
 * more because its slot has none. */
static void slots_freed(struct lsdb *db)
{
    db->low = 0;
    (void)!index_rebuild(db, db->index_size);
}

void lsdb_drop(struct lsdb *db, struct lsdb_slot *slot, ms_t forget_ms)
{
    if (slot->record == NULL)
        return;
    struct lsdb_dropped *d = calloc(1, sizeof *d);
    account(db, slot, false);
    if (d != NULL) {
        d->floor = slot->record->lsa.version;
        d->forget_ms = forget_ms;
        memcpy(d->group, slot->record->lsa.group.ptr, slot->record->lsa.group.len);
    }
    slot->dropped = d;
    lsdb_record_unref(slot->record);
    slot->record = NULL;
    if (d == NULL)
        slots_freed(db);
}

void lsdb_forget(struct lsdb *db, ms_t now_ms)
{
    bool any = false;
    for (size_t i = 0; i < db->nslots; i++) {
        struct lsdb_slot *s = &db->slots[i];
        if (s->dropped == NULL || s->dropped->forget_ms > now_ms)
            continue;
        free(s->dropped);
        s->dropped = NULL;
        any = true;
    }
    if (any)
        slots_freed(db);
}
