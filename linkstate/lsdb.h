/* linkstate/lsdb.h — the link-state table: the newest advertisement of every group, and its digest.
 *
 * Records are immutable and counted, and slots stand in pages that are counted, too, and copied when they are
 * written to while somebody else holds them: copies of a table (a snapshot for path computation, ten
 * thousand routers in a simulation) share all that is equal. The digest is a sum of record digests: it
 * changes in O(1), does not depend on order, and exists for 256 parts so that two tables find where they
 * differ. Numbers are stable: a group keeps its own while it is known or remembered as dropped. A slot that
 * was looked at may be an old one after the next change of the table. Not thread-safe; a record may be read
 * by any thread, its count is atomic. */
#pragma once
#include "common/clock.h"
#include "common/err.h"
#include "linkstate/lsa.h"
#include "linkstate/message.h"

enum { LSDB_GROUPS_MAX = 10000, LSDB_CONNECTORS_MAX = 100000, LSDB_PAGE = 16 };

struct lsdb_record {
    unsigned refs;
    struct lsa lsa;   /* spans point into bytes */
    struct span body; /* into bytes */
    struct ls_sum sum;
    uint32_t connectors;
    uint8_t bucket;
    size_t nbytes;
    char bytes[]; /* header, then body */
};
struct lsdb_dropped {           /* what was here: versions up to its own, the floor, are not taken back */
    struct lsdb_record *record; /* signed, so that the floor can be proved; the body may be empty */
    ms_t hold_ms;               /* until then mail for it waits */
    ms_t forget_ms;
};
struct lsdb_slot {
    struct lsdb_record *record; /* NULL: free, or dropped */
    struct lsdb_dropped *dropped;
    ms_t born_ms; /* when the group signed the record, by our clock: now - age */
    uint32_t number;
};
struct lsdb_page {
    unsigned refs;
    struct lsdb_slot slots[LSDB_PAGE];
};
struct lsdb_index {
    unsigned refs;
    size_t size;   /* a power of two */
    uint32_t at[]; /* open addressing: slot number + 1 */
};
/* Records that many tables will hold: the same bytes are kept, and parsed, once. Simulations have one; a
 * router would gain nothing. Not thread-safe. */
struct lsdb_pool;
struct lsdb {
    struct lsdb_pool *pool; /* borrowed; NULL: none */
    struct lsdb_page **pages;
    size_t nslots, npages, cap_pages, low; /* low: every slot below is used */
    struct lsdb_index *index;              /* NULL: empty */
    ms_t oldest_ms;                        /* no record was born before */
    ms_t forget_ms;                        /* nothing that was dropped can be forgotten before */
    struct ls_sum sum;
    struct ls_sum buckets[LS_BUCKETS]; /* only .lo travels */
    uint32_t records, connectors;
};

void lsdb_init(struct lsdb *db);
void lsdb_done(struct lsdb *db); /* idempotent */
/* Shares the records, and what is remembered of dropped ones: who goes on with a copy must not take back what
 * was purged. ERR_NOMEM. */
enum err lsdb_copy(const struct lsdb *from, struct lsdb *ret) MUST_USE;

/* Slot n < db->nslots. */
static inline const struct lsdb_slot *lsdb_at(const struct lsdb *db, size_t n)
{
    return &db->pages[n / LSDB_PAGE]->slots[n % LSDB_PAGE];
}
const struct lsdb_slot *lsdb_find(const struct lsdb *db,
                                  struct span group); /* NULL: unknown; else also dropped ones */
/* Puts a record that has been verified. An empty body keeps the one that is there (same digest).
 * ERR_TOOBIG: groups or connectors beyond the limits; ERR_PARSE: the body; ERR_NOTFOUND: no body. */
enum err lsdb_put(struct lsdb *db, const struct lsa *lsa, struct span body, ms_t born_ms,
                  const struct ls_crypto *crypto, const struct lsdb_slot **ret, struct errctx *ec) MUST_USE;
/* Puts a record of another table, which shares it. Errors as above. */
enum err lsdb_share(struct lsdb *db, struct lsdb_record *r, ms_t born_ms, struct errctx *ec) MUST_USE;
struct span lsdb_group(const struct lsdb_slot *slot);         /* "" : free */
struct ls_version lsdb_version(const struct lsdb_slot *slot); /* held, or the floor of what was dropped */
/* Drops the record and remembers its version until forget_ms, or until a record of a group that is not known
 * yet needs the room and nothing else that was dropped would be forgotten sooner. ERR_NOMEM: it is still
 * there. */
enum err lsdb_drop(struct lsdb *db, size_t number, ms_t hold_ms, ms_t forget_ms) MUST_USE;
/* As if lsa, which has been verified, had been there and dropped. body: empty, or the body for the time that
 * mail is held. ERR_STATE: something of that group is known; otherwise as lsdb_put(). */
enum err lsdb_bar(struct lsdb *db, const struct lsa *lsa, struct span body, ms_t hold_ms, ms_t forget_ms,
                  const struct ls_crypto *crypto) MUST_USE;
/* Mail for what was dropped does not wait any longer. ERR_NOMEM: it still does. */
enum err lsdb_release(struct lsdb *db, size_t number) MUST_USE;
/* Frees slots whose memory has run out; their numbers may be used again. */
void lsdb_forget(struct lsdb *db, ms_t now_ms);

uint8_t lsdb_bucket_of(struct span group);
/* What one advertisement adds to the digest of a table. */
struct ls_sum ls_sum_of(struct span header, const struct ls_crypto *crypto);
bool ls_sum_eq(struct ls_sum a, struct ls_sum b);
struct lsdb_pool *lsdb_pool_new(void);       /* NULL: out of memory */
void lsdb_pool_free(struct lsdb_pool *pool); /* NULL is a no-op; tables keep the records that they hold */
struct lsdb_record *lsdb_record_ref(struct lsdb_record *r);
void lsdb_record_unref(struct lsdb_record *r); /* NULL is a no-op */
