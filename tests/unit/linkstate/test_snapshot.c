/* tests/unit/linkstate/test_snapshot.c — the published table, and the record made of a configuration. */
#include "linkstate/record_config.h"
#include "linkstate/sim.h"
#include "linkstate/snapshot.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

enum { NOW = 100000 };

static struct sim *three_groups(void)
{
    struct sim_options o = {.seed = 1, .latency_min_ms = 1, .latency_max_ms = 1};
    struct sim *s = sim_new(&o);
    ms_t took;
    for (int i = 0; i < 3; i++)
        (void)sim_group(s, (const char *[]){"b", "a", "c"}[i]);
    assert_int_equal(sim_link(s, 0, 1, 3, 4), ERR_OK);
    assert_int_equal(sim_link(s, 1, 2, 5, 6), ERR_OK);
    assert_int_equal(sim_start(s), ERR_OK);
    assert_true(sim_converge(s, 10000, &took));
    return s;
}

static void publish(const struct lsdb *db, struct buf *out)
{
    buf_init(out, LS_SNAPSHOT_MAX);
    assert_int_equal(ls_snapshot_emit(db, NOW, out, NULL), ERR_OK);
}

static void test_snapshot__says_what_the_table_says(void **state)
{
    struct sim *s = three_groups();
    const struct lsdb *db = ls_table(sim_engine(s, 0));
    struct ls_snapshot got;
    struct ls_snapshot_entry e;
    struct ls_crypto crypto;
    uint32_t who = 0;
    struct buf b, again;
    (void)state;
    sim_crypto(&crypto, &who);
    publish(db, &b);
    assert_int_equal(ls_snapshot_parse(buf_span(&b), &got, NULL), ERR_OK);
    assert_int_equal(got.records, 3);
    assert_int_equal(got.generation, 3); /* three records of version 1.0.0 */
    assert_true(ls_sum_eq(ls_snapshot_sum(&got, &crypto), db->sum));
    struct rd r = rd_open(got.bytes);
    for (int i = 0; i < 3; i++) {
        assert_true(ls_snapshot_next(&r, &e));
        check_span(e.lsa.group, span_cstr((const char *[]){"a", "b", "c"}[i]));
        check_span(e.body, lsdb_find(db, e.lsa.group)->record->body);
        assert_in_range(e.age_s, 98, 100);
    }
    assert_false(ls_snapshot_next(&r, &e));
    publish(db, &again);
    check_span(buf_span(&again), buf_span(&b));
    buf_done(&again);
    buf_done(&b);
    sim_free(s);
}

static void test_snapshot__is_refused_when_cut_or_out_of_order(void **state)
{
    struct sim *s = three_groups();
    struct ls_snapshot got;
    struct ls_snapshot_entry e;
    struct errctx ec;
    struct buf b, twice;
    size_t whole = 0, at[4] = {0};
    (void)state;
    publish(ls_table(sim_engine(s, 0)), &b);
    struct rd r = rd_open(buf_span(&b));
    for (int i = 1; ls_snapshot_next(&r, &e); i++)
        at[i] = b.len - rd_left(&r);
    for (size_t n = 0; n < b.len; n++) {
        enum err want = n == at[whole] ? ERR_OK : ERR_PARSE;
        whole += n == at[whole];
        assert_int_equal(ls_snapshot_parse(span_first(buf_span(&b), n), &got, &ec), want);
    }
    buf_init(&twice, LS_SNAPSHOT_MAX);
    assert_int_equal(buf_add(&twice, buf_span(&b)), ERR_OK);
    assert_int_equal(buf_add(&twice, buf_span(&b)), ERR_OK);
    assert_int_equal(ls_snapshot_parse(buf_span(&twice), &got, &ec), ERR_PARSE);
    assert_string_equal(ec.msg, "published table: groups are not in order at a");
    buf_done(&twice);
    buf_done(&b);
    sim_free(s);
}

static void test_snapshot__a_starting_router_takes_over_what_is_signed_and_fresh(void **state)
{
    struct sim *s = three_groups();
    const struct lsdb *db = ls_table(sim_engine(s, 0));
    struct ls_snapshot got;
    struct ls_crypto crypto;
    uint32_t who = 0;
    struct buf b;
    static const struct {
        ms_t age_ms;
        const char *organization;
        bool other_key;
        size_t refused;
    } cases[] = {
        {0, "sim", false, 0}, {600000, "sim", false, 3}, {0, "other", false, 3}, {0, "sim", true, 3}};
    (void)state;
    sim_crypto(&crypto, &who);
    publish(db, &b);
    assert_int_equal(ls_snapshot_parse(buf_span(&b), &got, NULL), ERR_OK);
    CHECK_EACH (cases, c) {
        struct lsdb into;
        bool done;
        uint8_t org[LS_KEY_LEN];
        sim_org_key(org);
        org[0] = (uint8_t)(org[0] ^ c->other_key);
        lsdb_init(&into);
        struct ls_restore at = {.organization = span_cstr(c->organization),
                                .org_key = org,
                                .crypto = &crypto,
                                .now_ms = NOW,
                                .age_ms = c->age_ms,
                                .lifetime_ms = 600000,
                                .floors = rd_open(got.barred),
                                .rest = rd_open(got.bytes)};
        assert_int_equal(ls_snapshot_restore(&at, 100, &into, &done), ERR_OK);
        assert_true(done);
        assert_int_equal(at.refused, c->refused);
        assert_int_equal(into.records, 3 - c->refused);
        assert_true(c->refused > 0 || ls_sum_eq(into.sum, db->sum));
        lsdb_done(&into);
    }
    buf_done(&b);
    sim_free(s);
}

static void test_snapshot__is_taken_over_in_parts_and_only_what_is_new_is_checked(void **state)
{
    struct sim *s = three_groups();
    struct ls_snapshot got;
    struct ls_crypto crypto;
    struct lsdb first, second;
    uint8_t org[LS_KEY_LEN];
    uint32_t who = 0;
    bool done = false;
    struct buf b;
    (void)state;
    sim_crypto(&crypto, &who);
    sim_org_key(org);
    publish(ls_table(sim_engine(s, 0)), &b);
    assert_int_equal(ls_snapshot_parse(buf_span(&b), &got, NULL), ERR_OK);
    lsdb_init(&first);
    lsdb_init(&second);
    struct ls_restore at = {.organization = SPAN("sim"),
                            .org_key = org,
                            .crypto = &crypto,
                            .now_ms = NOW,
                            .lifetime_ms = 600000,
                            .floors = rd_open(got.barred),
                            .rest = rd_open(got.bytes)};
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(ls_snapshot_restore(&at, 1, &first, &done), ERR_OK);
        assert_false(done);
        assert_int_equal(first.records, i);
        assert_int_equal(at.checked, i);
    }
    assert_int_equal(ls_snapshot_restore(&at, 1, &first, &done), ERR_OK);
    assert_true(done);
    /* Two of the three say something else meanwhile. */
    ms_t took;
    assert_int_equal(sim_link_state(s, 1, 2, false, true), ERR_OK);
    assert_true(sim_converge(s, 10000, &took));
    buf_clear(&b);
    assert_int_equal(ls_snapshot_emit(ls_table(sim_engine(s, 0)), NOW, &b, NULL), ERR_OK);
    assert_int_equal(ls_snapshot_parse(buf_span(&b), &got, NULL), ERR_OK);
    at.trusted = &first;
    at.checked = 0;
    at.rest = rd_open(got.bytes);
    assert_int_equal(ls_snapshot_restore(&at, 100, &second, &done), ERR_OK);
    assert_true(done);
    assert_int_equal(at.checked, 2);
    assert_int_equal(at.refused, 0);
    assert_true(ls_sum_eq(second.sum, ls_table(sim_engine(s, 0))->sum));
    assert_ptr_equal(lsdb_find(&second, SPAN("b"))->record, lsdb_find(&first, SPAN("b"))->record);
    lsdb_done(&first);
    lsdb_done(&second);
    buf_done(&b);
    sim_free(s);
}

/* --- what was dropped --------------------------------------------------------------------------------- */

static void restore(const struct buf *published, ms_t age_ms, struct lsdb *into, size_t *ret_refused)
{
    struct ls_snapshot got;
    struct ls_crypto crypto;
    uint8_t org[LS_KEY_LEN];
    uint32_t who = 0;
    bool done = false;
    sim_crypto(&crypto, &who);
    sim_org_key(org);
    lsdb_init(into);
    assert_int_equal(ls_snapshot_parse(buf_span(published), &got, NULL), ERR_OK);
    struct ls_restore at = {.organization = SPAN("sim"),
                            .org_key = org,
                            .crypto = &crypto,
                            .now_ms = NOW,
                            .age_ms = age_ms,
                            .lifetime_ms = 600000,
                            .floors = rd_open(got.barred),
                            .rest = rd_open(got.bytes)};
    while (!done)
        assert_int_equal(ls_snapshot_restore(&at, 1, into, &done), ERR_OK);
    *ret_refused = at.refused;
}

/* The table of group "b", in which "c" was dropped: mail for it waits 20 s, the floor stays for 90 s. */
static void dropped_one(struct sim *s, struct lsdb *ret)
{
    assert_int_equal(lsdb_copy(ls_table(sim_engine(s, 0)), ret), ERR_OK);
    assert_int_equal(lsdb_drop(ret, lsdb_find(ret, SPAN("c"))->number, NOW + 20000, NOW + 90000), ERR_OK);
}

static void test_snapshot__what_was_dropped_is_kept_for_the_next_router(void **state)
{
    struct sim *s = three_groups();
    static const struct {
        ms_t age_ms;
        ms_t hold_ms, forget_ms; /* from now; 0: there is no floor any more */
    } cases[] = {{0, 20000, 90000}, {15000, 5000, 75000}, {30000, 0, 60000}, {90000, 0, 0}};
    struct lsdb db;
    struct buf b;
    (void)state;
    dropped_one(s, &db);
    struct ls_version floor = lsdb_version(lsdb_find(&db, SPAN("c")));
    publish(&db, &b);
    CHECK_EACH (cases, c) {
        struct lsdb into;
        size_t refused;
        restore(&b, c->age_ms, &into, &refused);
        assert_int_equal(refused, 0);
        assert_int_equal(into.records, 2);
        assert_true(ls_sum_eq(into.sum, db.sum));
        const struct lsdb_slot *slot = lsdb_find(&into, SPAN("c"));
        assert_int_equal(slot != NULL, c->forget_ms != 0);
        if (slot != NULL) {
            struct ls_version got = lsdb_version(slot);
            assert_null(slot->record);
            assert_int_equal(ls_version_cmp(&got, &floor), 0);
            assert_int_equal(slot->dropped->forget_ms, NOW + c->forget_ms);
            assert_true(c->hold_ms == 0 ? slot->dropped->hold_ms <= NOW
                                        : slot->dropped->hold_ms == NOW + c->hold_ms);
            lsdb_forget(&into, NOW + c->forget_ms);
            assert_null(lsdb_find(&into, SPAN("c")));
        }
        lsdb_done(&into);
    }
    buf_done(&b);
    lsdb_done(&db);
    sim_free(s);
}

/* Head, then one floor; its body is there as long as mail waits. */
static void test_snapshot__floors_have_one_form(void **state)
{
    struct sim *s = three_groups();
    struct lsdb db;
    struct buf b;
    struct ls_snapshot got;
    struct ls_snapshot_floor floor;
    char text[32];
    (void)state;
    dropped_one(s, &db);
    struct lsdb_record *r = lsdb_find(&db, SPAN("c"))->dropped->record;
    size_t header = r->lsa.header.len, body = r->body.len;
    publish(&db, &b);
    assert_int_equal(ls_snapshot_parse(buf_span(&b), &got, NULL), ERR_OK);
    assert_int_equal(got.floors, 1);
    assert_int_equal(got.records, 2);
    size_t len = 14 + header + body;
    const uint8_t head[] = {0x4c,
                            0x53,
                            0x54,
                            2,
                            0,
                            0,
                            (uint8_t)(len >> 8),
                            (uint8_t)len, /* one floor */
                            0,
                            0,
                            0,
                            90,
                            0,
                            0,
                            0,
                            20,
                            (uint8_t)(header >> 8),
                            (uint8_t)header,
                            0,
                            0,
                            0,
                            (uint8_t)body};
    assert_memory_equal(b.ptr, head, sizeof head);
    check_span(got.barred, span_first(span_from(buf_span(&b), 8), len));
    struct rd rd = rd_open(got.barred);
    assert_true(ls_snapshot_next_floor(&rd, &floor));
    check_span(floor.body, r->body);
    check_span(floor.lsa.header, r->lsa.header);
    assert_false(ls_snapshot_next_floor(&rd, &floor));
    for (size_t n = 1; n < len + 8; n++)
        assert_int_equal(ls_snapshot_parse(span_first(buf_span(&b), n), &got, NULL), ERR_PARSE);
    lsdb_find(&db, SPAN("c"))->dropped->hold_ms = NOW;
    buf_done(&b);
    publish(&db, &b);
    assert_int_equal(ls_snapshot_parse(buf_span(&b), &got, NULL), ERR_OK);
    rd = rd_open(got.barred);
    assert_true(ls_snapshot_next_floor(&rd, &floor));
    (void)snprintf(text, sizeof text, "%u %u %zu", floor.left_s, floor.hold_s, floor.body.len);
    assert_string_equal(text, "90 0 0");
    lsdb_forget(&db, NOW + 90000); /* nothing is remembered: no head */
    buf_done(&b);
    publish(&db, &b);
    assert_int_equal(ls_snapshot_parse(buf_span(&b), &got, NULL), ERR_OK);
    assert_int_equal(got.floors, 0);
    assert_int_equal(b.ptr[0], 0);
    buf_done(&b);
    lsdb_done(&db);
    sim_free(s);
}

/* A record at or below the floor, and a floor that the group has not signed, are not taken over. */
static void test_snapshot__floors_are_proved_and_bar_records(void **state)
{
    struct sim *s = three_groups();
    const struct lsdb *whole = ls_table(sim_engine(s, 0));
    struct lsdb db, into;
    struct buf b, ghosts;
    struct ls_snapshot with;
    size_t refused;
    (void)state;
    dropped_one(s, &db);
    publish(&db, &b);
    assert_int_equal(ls_snapshot_parse(buf_span(&b), &with, NULL), ERR_OK);
    buf_init(&ghosts, LS_SNAPSHOT_MAX);
    assert_int_equal(buf_add(&ghosts, span_first(buf_span(&b), 8 + with.barred.len)), ERR_OK);
    assert_int_equal(ls_snapshot_emit(whole, NOW, &ghosts, NULL), ERR_OK);
    restore(&ghosts, 0, &into, &refused);
    assert_int_equal(refused, 1);
    assert_int_equal(into.records, 2);
    assert_null(lsdb_find(&into, SPAN("c"))->record);
    lsdb_done(&into);
    ghosts.ptr[8 + 14 + 1 + 2 + 3]++; /* the major version of the floor: no more what "c" has signed */
    restore(&ghosts, 0, &into, &refused);
    assert_int_equal(refused, 1);
    assert_int_equal(into.records, 3);
    lsdb_done(&into);
    buf_done(&ghosts);
    buf_done(&b);
    lsdb_done(&db);
    sim_free(s);
}

/* --- from a configuration ---------------------------------------------------------------------------- */

static const char yaml[] =
    "local_domains:\n"
    "  - {domain: a.example, deliver: 'maildir:/m/%u'}\n"
    "connectors:\n"
    "  - {name: to-b, type: routing_group, to_group: b, cost: 7, weight: 3, scope: group,\n"
    "     smart_hosts: ['mx1.b.example:25', 'mx2.b.example:25'], priorities: [high]}\n"
    "  - {name: gone, address_spaces: [{space: b.example}], smart_hosts: [mx3], source_bridgeheads: [w1]}\n"
    "  - {name: gone-by-dns, address_spaces: [{space: c.example}], source_bridgeheads: [w1]}\n"
    "  - {name: internet, source_bridgeheads: [w1, w2], address_spaces: [{space: '*', cost: 10}], "
    "max_message_size: 1M,\n"
    "     content: non_system, reject_from: ['@bulk.example']}\n";

static bool only_mx2_up(void *arg, struct span connector, struct span target)
{
    (void)arg;
    return !span_eq(connector, SPAN("to-b")) || span_eq(target, SPAN("mx2.b.example:25"));
}

static bool all_down(void *arg, struct span connector)
{
    (void)arg;
    (void)connector;
    return false;
}

static bool only_w2_alive(void *arg, struct span source)
{
    (void)arg;
    return span_eq(source, SPAN("w2"));
}

static void test_record_from_config__says_what_the_configuration_says(void **state)
{
    struct config *conf;
    struct errctx ec;
    struct record r;
    struct buf b;
    const struct record_health health = {
        .connector_up = all_down, .target_up = only_mx2_up, .source_up = only_w2_alive};
    const struct record_member member = {SPAN("r1"), true};
    (void)state;
    buf_init(&b, RECORD_MAX);
    assert_int_equal(config_parse(span_cstr(yaml), "test.yaml", "/", NULL, &conf, NULL, &ec), ERR_OK);
    assert_int_equal(record_from_config(config_root(conf), SPAN("r1"), &member, 1, &health, &b, &ec), ERR_OK);
    assert_int_equal(record_parse(buf_span(&b), &r, &ec), ERR_OK);
    assert_int_equal(r.nconnectors, 5);
    check_span(r.connectors[0].name, SPAN(RECORD_LOCAL_CONNECTOR));
    check_span(r.connectors[0].spaces[0].space, SPAN("a.example"));
    assert_true(r.connectors[0].up);
    check_span(r.connectors[3].name, SPAN("internet"));
    assert_true(r.connectors[3].dns && r.connectors[3].up); /* DNS is never DOWN */
    assert_int_equal(r.connectors[3].max_size, 1 << 20);
    assert_int_equal(r.connectors[3].content, RECORD_CONTENT_NON_SYSTEM);
    check_span(r.connectors[3].reject_from[0], SPAN("@bulk.example"));
    assert_int_equal(r.connectors[3].spaces[0].cost, 10);
    check_span(r.connectors[4].to_group, SPAN("b"));
    assert_false(r.connectors[4].up);
    assert_int_equal(r.connectors[4].weight, 3);
    assert_int_equal(r.connectors[4].priorities, RECORD_PRIORITY_HIGH);
    assert_int_equal(r.connectors[4].scope, RECORD_SCOPE_GROUP);
    assert_false(r.connectors[4].targets[0].up);
    assert_true(r.connectors[4].targets[1].up);
    assert_int_equal(r.connectors[3].nsources, 2);
    check_span(r.connectors[3].sources[0].name, SPAN("w1"));
    assert_false(r.connectors[3].sources[0].up);
    assert_true(r.connectors[3].sources[1].up);
    assert_true(r.connectors[2].up &&
                !r.connectors[2].sources[0].up); /* DNS is never DOWN; its sources say it */
    assert_int_equal(r.connectors[4].nsources, 0);
    record_done(&r);
    buf_clear(&b);
    const struct record_health alive = {.target_up = only_mx2_up, .source_up = only_w2_alive};
    assert_int_equal(record_from_config(config_root(conf), SPAN("r1"), &member, 1, &alive, &b, &ec), ERR_OK);
    assert_int_equal(record_parse(buf_span(&b), &r, &ec), ERR_OK);
    assert_false(r.connectors[1].up); /* its target is UP, and nobody is there to send */
    assert_true(r.connectors[4].up);
    record_done(&r);
    buf_done(&b);
    config_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot__says_what_the_table_says),
        cmocka_unit_test(test_snapshot__is_refused_when_cut_or_out_of_order),
        cmocka_unit_test(test_snapshot__a_starting_router_takes_over_what_is_signed_and_fresh),
        cmocka_unit_test(test_snapshot__is_taken_over_in_parts_and_only_what_is_new_is_checked),
        cmocka_unit_test(test_snapshot__what_was_dropped_is_kept_for_the_next_router),
        cmocka_unit_test(test_snapshot__floors_have_one_form),
        cmocka_unit_test(test_snapshot__floors_are_proved_and_bar_records),
        cmocka_unit_test(test_record_from_config__says_what_the_configuration_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
