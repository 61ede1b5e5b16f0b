/* tests/unit/linkstate/test_lsdb.c — copies of a table share what is equal, and are as independent as if they
 * did not: every change of one is compared with tables that were never shared. */
#include "linkstate/lsdb.h"
#include "linkstate/shape.h"
#include "tests/unit/check.h"

#include <string.h>

enum { GROUPS = 60, TABLES = 4, STEPS = 4000 };

/* What a table should hold, the plain way. */
struct model {
    uint32_t seq[GROUPS];   /* 0: no record */
    uint32_t floor[GROUPS]; /* of what was dropped; 0: nothing is remembered */
    ms_t forget_ms[GROUPS];
};
struct pair {
    struct lsdb db;
    struct model model;
};

static void name_of(uint32_t group, char out[16])
{
    (void)snprintf(out, 16, "g%02u", group);
}

static enum err try_put(struct lsdb *db, uint32_t group, uint32_t seq, struct errctx *ec)
{
    char name[16];
    struct ls_crypto crypto;
    struct buf body, cert, header;
    struct lsa lsa;
    const struct lsdb_slot *slot;
    struct ls_version version = {.major = 1, .seq = seq};
    struct record r = {.master = SPAN("r1")};
    name_of(group, name);
    sim_crypto(&crypto, &group);
    buf_init(&body, RECORD_MAX);
    buf_init(&cert, CERT_MAX);
    buf_init(&header, LSA_HEADER_MAX);
    sim_cert(group, span_cstr(name), &cert);
    assert_int_equal(record_emit(&r, &body), ERR_OK);
    assert_int_equal(lsa_seal(span_cstr(name), &version, buf_span(&body), buf_span(&cert), &crypto, &header),
                     ERR_OK);
    assert_int_equal(lsa_parse(buf_span(&header), &lsa), ERR_OK);
    enum err e = lsdb_put(db, &lsa, buf_span(&body), seq, &crypto, &slot, ec);
    if (e == ERR_OK)
        check_span(lsdb_group(slot), span_cstr(name));
    buf_done(&body);
    buf_done(&cert);
    buf_done(&header);
    return e;
}

static void put(struct pair *p, uint32_t group, uint32_t seq)
{
    assert_int_equal(try_put(&p->db, group, seq, NULL), ERR_OK);
    p->model.seq[group] = seq;
    p->model.floor[group] = 0;
}

static void drop(struct pair *p, uint32_t group, ms_t forget_ms)
{
    char name[16];
    name_of(group, name);
    const struct lsdb_slot *slot = lsdb_find(&p->db, span_cstr(name));
    if (p->model.seq[group] == 0)
        return;
    assert_int_equal(lsdb_drop(&p->db, slot->number, 0, forget_ms), ERR_OK);
    p->model.floor[group] = p->model.seq[group];
    p->model.forget_ms[group] = forget_ms;
    p->model.seq[group] = 0;
}

static void forget(struct pair *p, ms_t now_ms)
{
    lsdb_forget(&p->db, now_ms);
    for (size_t g = 0; g < GROUPS; g++)
        if (p->model.forget_ms[g] <= now_ms)
            p->model.floor[g] = 0;
}

static void copy(const struct pair *from, struct pair *to)
{
    lsdb_done(&to->db);
    assert_int_equal(lsdb_copy(&from->db, &to->db), ERR_OK);
    to->model = from->model;
}

static void compare(const struct pair *p)
{
    uint32_t records = 0;
    struct ls_sum sum = {0, 0};
    for (uint32_t g = 0; g < GROUPS; g++) {
        char name[16];
        name_of(g, name);
        const struct lsdb_slot *slot = lsdb_find(&p->db, span_cstr(name));
        uint32_t want = p->model.seq[g] != 0 ? p->model.seq[g] : p->model.floor[g];
        if (want == 0) {
            assert_null(slot);
            continue;
        }
        assert_non_null(slot);
        assert_ptr_equal(slot, lsdb_at(&p->db, slot->number));
        assert_int_equal(lsdb_version(slot).seq, want);
        assert_int_equal(slot->record != NULL, p->model.seq[g] != 0);
        if (slot->record == NULL)
            continue;
        assert_int_equal(slot->born_ms, want);
        assert_true(p->db.oldest_ms <= slot->born_ms);
        records++;
        sum.hi += slot->record->sum.hi;
        sum.lo += slot->record->sum.lo;
    }
    assert_int_equal(p->db.records, records);
    assert_true(ls_sum_eq(p->db.sum, sum));
}

static void test_lsdb__copies_are_independent(void **state)
{
    static struct pair tables[TABLES];
    struct lsdb_pool *pool = lsdb_pool_new();
    struct rng rng;
    (void)state;
    rng_seed(&rng, check_seed());
    for (size_t i = 0; i < TABLES; i++) {
        lsdb_init(&tables[i].db);
        if (i < 2)
            tables[i].db.pool = pool;
    }
    for (uint32_t step = 1; step <= STEPS; step++) {
        struct pair *p = &tables[rng_below(&rng, TABLES)];
        uint32_t group = (uint32_t)rng_below(&rng, GROUPS);
        uint64_t what = rng_below(&rng, 20);
        if (what < 10)
            put(p, group, step);
        else if (what < 14)
            drop(p, group, step + rng_below(&rng, 200));
        else if (what < 17)
            forget(p, step);
        else if (p != &tables[group % TABLES])
            copy(p, &tables[group % TABLES]);
        for (size_t i = 0; i < TABLES; i++)
            compare(&tables[i]);
    }
    lsdb_pool_free(pool);
    for (size_t i = 0; i < TABLES; i++)
        lsdb_done(&tables[i].db);
}

static size_t pages_in_common(const struct lsdb *a, const struct lsdb *b)
{
    size_t n = 0;
    for (size_t i = 0; i < a->npages && i < b->npages; i++)
        n += a->pages[i] == b->pages[i];
    return n;
}

/* What keeps ten thousand tables in memory: one change costs one page. */
static void test_lsdb__copies_share_what_is_equal(void **state)
{
    struct pair a = {0}, b = {0};
    (void)state;
    lsdb_init(&a.db);
    lsdb_init(&b.db);
    for (uint32_t g = 0; g < GROUPS; g++)
        put(&a, g, 1);
    copy(&a, &b);
    assert_int_equal(pages_in_common(&a.db, &b.db), (GROUPS + LSDB_PAGE - 1) / LSDB_PAGE);
    put(&b, 7, 2);
    put(&b, 8, 2);
    assert_int_equal(pages_in_common(&a.db, &b.db), (GROUPS + LSDB_PAGE - 1) / LSDB_PAGE - 1);
    assert_ptr_equal(a.db.index, b.db.index);
    lsdb_done(&a.db);
    compare(&b);
    lsdb_done(&b.db);
}

static const struct lsdb_record *record_of(const struct pair *p, const char *name)
{
    return lsdb_find(&p->db, span_cstr(name))->record;
}

/* The same bytes in two tables that have never been copies of each other. */
static void test_lsdb__a_pool_keeps_equal_records_once(void **state)
{
    struct pair a = {0}, b = {0};
    struct lsdb_pool *pool = lsdb_pool_new();
    (void)state;
    lsdb_init(&a.db);
    lsdb_init(&b.db);
    a.db.pool = b.db.pool = pool;
    put(&a, 1, 1);
    put(&b, 1, 1);
    assert_ptr_equal(record_of(&a, "g01"), record_of(&b, "g01"));
    put(&b, 1, 2);
    assert_ptr_not_equal(record_of(&a, "g01"), record_of(&b, "g01"));
    lsdb_pool_free(pool);
    compare(&a);
    compare(&b);
    lsdb_done(&a.db);
    lsdb_done(&b.db);
}

/* A hundred routers after two records have changed: each has one or two pages of its own, and no record at
 * all. */
static void test_lsdb__simulated_routers_share_their_tables(void **state)
{
    enum { ROUTERS = 100 };
    struct sim_options o = {.seed = 1, .latency_min_ms = 1, .latency_max_ms = 5};
    struct sim *s = sim_new(&o);
    struct rng rng;
    ms_t took;
    (void)state;
    rng_seed(&rng, 1);
    assert_int_equal(shape_build(s, SHAPE_RING, ROUTERS, 0, &rng), ERR_OK);
    assert_int_equal(sim_start_converged(s), ERR_OK);
    assert_int_equal(sim_link_state(s, 0, ROUTERS - 1, false, true), ERR_OK);
    assert_true(sim_converge(s, 60000, &took));
    const struct lsdb *first = ls_table(sim_engine(s, 0));
    for (uint32_t n = 1; n < ROUTERS; n++) {
        const struct lsdb *db = ls_table(sim_engine(s, n));
        assert_in_range(pages_in_common(first, db), db->npages - 2, db->npages - 1);
        for (size_t i = 0; i < db->nslots; i++)
            assert_ptr_equal(lsdb_at(db, i)->record, lsdb_at(first, i)->record);
    }
    sim_free(s);
}

/* One group more is refused; those that are known are still replaced, and a slot that is forgotten is free.
 */
static void test_lsdb__groups_are_bounded(void **state)
{
    struct lsdb db;
    struct errctx ec = {""};
    (void)state;
    lsdb_init(&db);
    for (uint32_t g = 0; g < LSDB_GROUPS_MAX; g++)
        assert_int_equal(try_put(&db, g, 1, &ec), ERR_OK);
    assert_int_equal(try_put(&db, LSDB_GROUPS_MAX, 1, &ec), ERR_TOOBIG);
    assert_string_equal(ec.msg, "more than 10000 groups in the organization");
    assert_int_equal(db.records, LSDB_GROUPS_MAX);
    assert_int_equal(try_put(&db, 7, 2, &ec), ERR_OK);
    assert_int_equal(lsdb_drop(&db, 7, 0, 100), ERR_OK);
    lsdb_forget(&db, 100);
    assert_int_equal(try_put(&db, LSDB_GROUPS_MAX, 1, &ec), ERR_OK);
    /* What is only remembered gives way to a group that lives: that which would be forgotten first. */
    assert_int_equal(lsdb_drop(&db, 5, 0, 300), ERR_OK);
    assert_int_equal(lsdb_drop(&db, 3, 0, 200), ERR_OK);
    assert_int_equal(try_put(&db, LSDB_GROUPS_MAX + 1, 1, &ec), ERR_OK);
    assert_int_equal(lsdb_version(lsdb_at(&db, 5)).seq, 1);
    assert_null(lsdb_at(&db, 5)->record);
    assert_int_equal(db.records, LSDB_GROUPS_MAX - 1);
    assert_int_equal(try_put(&db, LSDB_GROUPS_MAX + 2, 1, &ec), ERR_OK);
    assert_int_equal(try_put(&db, LSDB_GROUPS_MAX + 3, 1, &ec), ERR_TOOBIG);
    lsdb_done(&db);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_lsdb__copies_are_independent),
                     cmocka_unit_test(test_lsdb__groups_are_bounded),
                     cmocka_unit_test(test_lsdb__copies_share_what_is_equal),
                     cmocka_unit_test(test_lsdb__a_pool_keeps_equal_records_once),
                     cmocka_unit_test(test_lsdb__simulated_routers_share_their_tables));
}
