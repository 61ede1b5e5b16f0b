#include "linkstate/lsdb.h"

#include <stdlib.h>
#include <string.h>

enum { POOL_SIZE = 4096 };

void lsdb_init(struct lsdb *db)
{
    *db = (struct lsdb){.oldest_ms = UINT64_MAX, .forget_ms = UINT64_MAX};
}

/* Records, pages and indexes may be shared with a table of another thread. */
static void ref(unsigned *refs)
{
    (void)__atomic_add_fetch(refs, 1, __ATOMIC_RELAXED);
}

static bool unref(unsigned *refs)
{
    return __atomic_sub_fetch(refs, 1, __ATOMIC_ACQ_REL) == 0;
}

static bool shared(const unsigned *refs)
{
    return __atomic_load_n(refs, __ATOMIC_ACQUIRE) > 1;
}

struct lsdb_record *lsdb_record_ref(struct lsdb_record *r)
{
    ref(&r->refs);
    return r;
}

void lsdb_record_unref(struct lsdb_record *r)
{
    if (r != NULL && unref(&r->refs))
        free(r);
}

static void dropped_free(struct lsdb_dropped *d)
{
    if (d != NULL)
        lsdb_record_unref(d->record);
    free(d);
}

static void page_unref(struct lsdb_page *p)
{
    if (p == NULL || !unref(&p->refs))
        return;
    for (size_t i = 0; i < LSDB_PAGE; i++) {
        lsdb_record_unref(p->slots[i].record);
        dropped_free(p->slots[i].dropped);
    }
    free(p);
}

static void index_unref(struct lsdb_index *index)
{
    if (index != NULL && unref(&index->refs))
        free(index);
}

void lsdb_done(struct lsdb *db)
{
    for (size_t i = 0; i < db->npages; i++)
        page_unref(db->pages[i]);
    free(db->pages);
    index_unref(db->index);
    lsdb_init(db);
}

struct span lsdb_group(const struct lsdb_slot *slot)
{
    if (slot->record != NULL)
        return slot->record->lsa.group;
    return slot->dropped != NULL ? slot->dropped->record->lsa.group : SPAN("");
}

struct ls_version lsdb_version(const struct lsdb_slot *slot)
{
    if (slot->record != NULL)
        return slot->record->lsa.version;
    return slot->dropped != NULL ? slot->dropped->record->lsa.version : (struct ls_version){0, 0, 0, 0};
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

static struct lsdb_page *page_new(size_t number)
{
    struct lsdb_page *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->refs = 1;
    for (size_t i = 0; i < LSDB_PAGE; i++)
        p->slots[i].number = (uint32_t)(number * LSDB_PAGE + i);
    return p;
}

/* NULL: out of memory. */
static struct lsdb_page *page_copy(const struct lsdb_page *from)
{
    struct lsdb_page *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->refs = 1;
    for (size_t i = 0; i < LSDB_PAGE; i++) {
        const struct lsdb_slot *s = &from->slots[i];
        struct lsdb_slot *to = &p->slots[i];
        *to = (struct lsdb_slot){.record = s->record, .born_ms = s->born_ms, .number = s->number};
        if (to->record != NULL)
            (void)lsdb_record_ref(to->record);
        if (s->dropped == NULL)
            continue;
        to->dropped = malloc(sizeof *to->dropped);
        if (to->dropped == NULL) {
            page_unref(p);
            return NULL;
        }
        *to->dropped = *s->dropped;
        (void)lsdb_record_ref(to->dropped->record);
    }
    return p;
}

/* The slot, in a page that nobody shares. NULL: out of memory. */
static struct lsdb_slot *writable(struct lsdb *db, size_t n)
{
    struct lsdb_page **p = &db->pages[n / LSDB_PAGE];
    if (shared(&(*p)->refs)) {
        struct lsdb_page *own = page_copy(*p);
        if (own == NULL)
            return NULL;
        page_unref(*p);
        *p = own;
    }
    return &(*p)->slots[n % LSDB_PAGE];
}

/* Where group stands in the index, or the free place where it would. */
static size_t index_at(const struct lsdb *db, struct span group)
{
    const struct lsdb_index *x = db->index;
    size_t i = name_hash(group) & (x->size - 1);
    while (x->at[i] != 0 && !span_eq(lsdb_group(lsdb_at(db, x->at[i] - 1)), group))
        i = (i + 1) & (x->size - 1);
    return i;
}

const struct lsdb_slot *lsdb_find(const struct lsdb *db, struct span group)
{
    if (db->index == NULL)
        return NULL;
    uint32_t n = db->index->at[index_at(db, group)];
    return n == 0 ? NULL : lsdb_at(db, n - 1);
}

static enum err index_rebuild(struct lsdb *db, size_t size)
{
    struct lsdb_index *index = calloc(1, sizeof *index + size * sizeof index->at[0]);
    if (index == NULL)
        return ERR_NOMEM;
    index->refs = 1;
    index->size = size;
    index_unref(db->index);
    db->index = index;
    for (size_t i = 0; i < db->nslots; i++)
        if (used(lsdb_at(db, i)))
            index->at[index_at(db, lsdb_group(lsdb_at(db, i)))] = (uint32_t)i + 1;
    return ERR_OK;
}

/* A page more, when slot n is the first of one. */
static enum err page_for(struct lsdb *db, size_t n)
{
    if (n < db->npages * LSDB_PAGE)
        return ERR_OK;
    if (db->npages == db->cap_pages) {
        size_t cap = db->cap_pages == 0 ? 4 : db->cap_pages * 2;
        struct lsdb_page **p = realloc(db->pages, cap * sizeof(*p));
        if (p == NULL)
            return ERR_NOMEM;
        db->pages = p;
        db->cap_pages = cap;
    }
    struct lsdb_page *page = page_new(db->npages);
    if (page == NULL)
        return ERR_NOMEM;
    db->pages[db->npages++] = page;
    return ERR_OK;
}

/* The slot of what was dropped and would be forgotten first, free now. LSDB_GROUPS_MAX: there is none. */
static size_t evict(struct lsdb *db)
{
    size_t first = LSDB_GROUPS_MAX;
    ms_t forget_ms = UINT64_MAX;
    for (size_t i = 0; i < db->nslots; i++) {
        const struct lsdb_dropped *d = lsdb_at(db, i)->dropped;
        if (d != NULL && d->forget_ms < forget_ms) {
            first = i;
            forget_ms = d->forget_ms;
        }
    }
    struct lsdb_slot *slot = first < LSDB_GROUPS_MAX ? writable(db, first) : NULL;
    if (slot == NULL)
        return LSDB_GROUPS_MAX;
    dropped_free(slot->dropped);
    slot->dropped = NULL;
    return index_rebuild(db, db->index->size) == ERR_OK ? first : LSDB_GROUPS_MAX;
}

/* A free slot for a group that is not known. */
static enum err slot_new(struct lsdb *db, struct span group, bool may_evict, struct lsdb_slot **ret)
{
    size_t n = db->low;
    while (n < db->nslots && used(lsdb_at(db, n)))
        n++;
    db->low = n;
    if (n >= LSDB_GROUPS_MAX && may_evict)
        n = evict(db);
    if (n >= LSDB_GROUPS_MAX)
        return ERR_TOOBIG;
    size_t have = db->index == NULL ? 0 : db->index->size, want = have < 32 ? 32 : have;
    while (want < (n + 1) * 2)
        want *= 2;
    if (page_for(db, n) != ERR_OK)
        return ERR_NOMEM;
    struct lsdb_slot *slot = writable(db, n);
    if (slot == NULL)
        return ERR_NOMEM;
    if ((want != have || shared(&db->index->refs)) && index_rebuild(db, want) != ERR_OK)
        return ERR_NOMEM;
    if (n == db->nslots)
        db->nslots++;
    db->index->at[index_at(db, group)] = (uint32_t)n + 1;
    *ret = slot;
    return ERR_OK;
}

enum err lsdb_copy(const struct lsdb *from, struct lsdb *ret)
{
    struct lsdb db = *from;
    db.npages = 0;
    db.cap_pages = from->npages;
    db.pages = calloc(from->npages + 1, sizeof(*db.pages));
    if (db.pages == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < from->npages; i++) {
        db.pages[db.npages++] = from->pages[i];
        ref(&from->pages[i]->refs);
    }
    if (db.index != NULL)
        ref(&db.index->refs);
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

/* The last record of each hash. */
struct lsdb_pool {
    struct lsdb_record *at[POOL_SIZE];
};

struct lsdb_pool *lsdb_pool_new(void)
{
    return calloc(1, sizeof(struct lsdb_pool));
}

void lsdb_pool_free(struct lsdb_pool *pool)
{
    for (size_t i = 0; pool != NULL && i < POOL_SIZE; i++)
        lsdb_record_unref(pool->at[i]);
    free(pool);
}

static struct lsdb_record **pool_place(struct lsdb_pool *pool, struct span header)
{
    return &pool->at[name_hash(header) % POOL_SIZE];
}

static bool is_record(const struct lsdb_record *r, struct span header, struct span body)
{
    return r != NULL && span_eq(r->lsa.header, header) && span_eq(r->body, body);
}

static struct lsdb_record *record_make(const struct lsa *lsa, struct span body, uint32_t connectors,
                                       const struct ls_crypto *crypto)
{
    struct lsdb_record *r = calloc(1, sizeof *r + lsa->header.len + body.len);
    if (r == NULL)
        return NULL;
    r->refs = 1;
    r->connectors = connectors;
    r->bucket = lsdb_bucket_of(lsa->group);
    r->nbytes = lsa->header.len + body.len;
    memcpy(r->bytes, lsa->header.ptr, lsa->header.len);
    if (body.len > 0)
        memcpy(r->bytes + lsa->header.len, body.ptr, body.len);
    r->body = span_of(r->bytes + lsa->header.len, body.len);
    (void)!lsa_parse(span_of(r->bytes, lsa->header.len), &r->lsa); /* has been parsed before */
    r->sum = ls_sum_of(r->lsa.header, crypto);
    return r;
}

static enum err record_new(struct lsdb_pool *pool, const struct lsa *lsa, struct span body,
                           const struct ls_crypto *crypto, struct lsdb_record **ret, struct errctx *ec)
{
    struct record parsed;
    struct lsdb_record **pooled = pool != NULL ? pool_place(pool, lsa->header) : NULL;
    if (pooled != NULL && is_record(*pooled, lsa->header, body)) {
        *ret = lsdb_record_ref(*pooled);
        return ERR_OK;
    }
    enum err e = record_parse(body, &parsed, ec);
    if (e != ERR_OK)
        return e;
    uint32_t connectors = (uint32_t)parsed.nconnectors;
    record_done(&parsed);
    struct lsdb_record *r = record_make(lsa, body, connectors, crypto);
    if (r == NULL)
        return ERR_NOMEM;
    if (pooled != NULL) {
        lsdb_record_unref(*pooled);
        *pooled = lsdb_record_ref(r);
    }
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

/* The slot for r, in a page that nobody shares; refused when r would be beyond the limits. */
static enum err slot_for(struct lsdb *db, struct lsdb_record *r, const struct lsdb_slot *found,
                         struct lsdb_slot **ret, struct errctx *ec)
{
    uint32_t before = found != NULL && found->record != NULL ? found->record->connectors : 0;
    if (db->connectors - before + r->connectors > LSDB_CONNECTORS_MAX)
        return err_set(ec, ERR_TOOBIG, "more than %d connectors in the organization", LSDB_CONNECTORS_MAX);
    if (found != NULL) {
        *ret = writable(db, found->number);
        return *ret != NULL ? ERR_OK : err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    }
    enum err e = slot_new(db, r->lsa.group, true, ret);
    if (e == ERR_TOOBIG)
        return err_set(ec, e, "more than %d groups in the organization", LSDB_GROUPS_MAX);
    return e == ERR_OK ? e : err_set(ec, e, "%s", err_text(e));
}

/* Takes r over, but when it fails. found NULL: its group is not known yet. */
static enum err place(struct lsdb *db, const struct lsdb_slot *found, struct lsdb_record *r, ms_t born_ms,
                      const struct lsdb_slot **ret, struct errctx *ec)
{
    struct lsdb_record *old = found != NULL ? found->record : NULL;
    struct lsdb_slot *slot;
    enum err e = slot_for(db, r, found, &slot, ec);
    if (e != ERR_OK)
        return e;
    if (old != NULL)
        account(db, slot, false);
    slot->record = r;
    slot->born_ms = born_ms;
    if (born_ms < db->oldest_ms)
        db->oldest_ms = born_ms;
    dropped_free(slot->dropped);
    slot->dropped = NULL;
    account(db, slot, true);
    lsdb_record_unref(old);
    *ret = slot;
    return ERR_OK;
}

enum err lsdb_put(struct lsdb *db, const struct lsa *lsa, struct span body, ms_t born_ms,
                  const struct ls_crypto *crypto, const struct lsdb_slot **ret, struct errctx *ec)
{
    const struct lsdb_slot *found = lsdb_find(db, lsa->group);
    struct lsdb_record *old = found != NULL ? found->record : NULL, *r;
    if (body.len == 0) {
        if (old == NULL || !lsa_same_body(&old->lsa, lsa))
            return err_set(ec, ERR_NOTFOUND, "the body is not here");
        body = old->body;
    } else if (lsa_check_body(lsa, body, crypto) != ERR_OK) {
        return err_set(ec, ERR_PARSE, "the body does not match the signed digest");
    }
    enum err e = record_new(db->pool, lsa, body, crypto, &r, ec);
    if (e != ERR_OK)
        return e;
    e = place(db, found, r, born_ms, ret, ec);
    if (e != ERR_OK)
        lsdb_record_unref(r);
    return e;
}

enum err lsdb_share(struct lsdb *db, struct lsdb_record *r, ms_t born_ms, struct errctx *ec)
{
    const struct lsdb_slot *slot;
    (void)lsdb_record_ref(r); /* it may be the one that is replaced */
    enum err e = place(db, lsdb_find(db, r->lsa.group), r, born_ms, &slot, ec);
    if (e != ERR_OK)
        lsdb_record_unref(r);
    return e;
}

/* Takes r over. */
static void set_dropped(struct lsdb *db, struct lsdb_slot *slot, struct lsdb_dropped *d,
                        struct lsdb_record *r, ms_t hold_ms, ms_t forget_ms)
{
    *d = (struct lsdb_dropped){r, hold_ms, forget_ms};
    slot->dropped = d;
    if (forget_ms < db->forget_ms)
        db->forget_ms = forget_ms;
}

enum err lsdb_drop(struct lsdb *db, size_t number, ms_t hold_ms, ms_t forget_ms)
{
    if (lsdb_at(db, number)->record == NULL)
        return ERR_OK;
    struct lsdb_dropped *d = calloc(1, sizeof *d);
    struct lsdb_slot *slot = d == NULL ? NULL : writable(db, number);
    if (slot == NULL) {
        free(d);
        return ERR_NOMEM;
    }
    account(db, slot, false);
    set_dropped(db, slot, d, slot->record, hold_ms, forget_ms);
    slot->record = NULL;
    return ERR_OK;
}

enum err lsdb_bar(struct lsdb *db, const struct lsa *lsa, struct span body, ms_t hold_ms, ms_t forget_ms,
                  const struct ls_crypto *crypto)
{
    struct lsdb_slot *slot;
    if (lsdb_find(db, lsa->group) != NULL)
        return ERR_STATE;
    if (body.len > 0 && lsa_check_body(lsa, body, crypto) != ERR_OK)
        return ERR_PARSE;
    struct lsdb_dropped *d = calloc(1, sizeof *d);
    struct lsdb_record *r = d == NULL ? NULL : record_make(lsa, body, 0, crypto);
    enum err e = r == NULL ? ERR_NOMEM : slot_new(db, lsa->group, false, &slot);
    if (e != ERR_OK) {
        lsdb_record_unref(r);
        free(d);
        return e;
    }
    set_dropped(db, slot, d, r, hold_ms, forget_ms);
    return ERR_OK;
}

enum err lsdb_release(struct lsdb *db, size_t number)
{
    struct lsdb_slot *slot = writable(db, number);
    if (slot == NULL)
        return ERR_NOMEM;
    if (slot->dropped != NULL)
        slot->dropped->hold_ms = 0;
    return ERR_OK;
}

void lsdb_forget(struct lsdb *db, ms_t now_ms)
{
    ms_t next_ms = UINT64_MAX;
    bool any = false;
    if (now_ms < db->forget_ms)
        return;
    for (size_t i = 0; i < db->nslots; i++) {
        const struct lsdb_dropped *d = lsdb_at(db, i)->dropped;
        struct lsdb_slot *s = d != NULL && d->forget_ms <= now_ms ? writable(db, i) : NULL;
        if (s != NULL) {
            dropped_free(s->dropped);
            s->dropped = NULL;
            any = true;
        } else if (d != NULL && d->forget_ms < next_ms) {
            next_ms = d->forget_ms;
        }
    }
    db->forget_ms = next_ms;
    db->low = any ? 0 : db->low;
    /* Failing this the old index stays, and the names that are gone are found no more because their slots
     * have none. */
    if (any)
        (void)!index_rebuild(db, db->index->size);
}
