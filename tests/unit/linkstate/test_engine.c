/* tests/unit/linkstate/test_engine.c — the engine through its simulator: small topologies, exact rules. */
#include "linkstate/sim.h"
#include "tests/unit/check.h"

#include <string.h>

static struct sim *ring(unsigned n, uint64_t seed, unsigned loss, bool trace)
{
    struct sim_options o = {
        .seed = seed, .latency_min_ms = 5, .latency_max_ms = 20, .loss_permille = loss, .trace = trace};
    struct sim *s = sim_new(&o);
    assert_non_null(s);
    for (unsigned i = 0; i < n; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "g%02u", i);
        assert_int_equal(sim_group(s, name), i);
    }
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(sim_link(s, i, (i + 1) % n, 1, 1), ERR_OK);
    return s;
}

static struct sim *converged_ring(unsigned n, uint64_t seed)
{
    struct sim *s = ring(n, seed, 0, false);
    ms_t took;
    assert_int_equal(sim_start(s), ERR_OK);
    assert_true(sim_converge(s, 60000, &took));
    return s;
}

static const uint64_t *counters(struct sim *s, uint32_t group)
{
    return ls_counters(sim_engine(s, group));
}

static struct ls_sum table_sum(struct sim *s, uint32_t group)
{
    return ls_table(sim_engine(s, group))->sum;
}

static void test_engine__tables_converge_and_adjacencies_become_full(void **state)
{
    (void)state;
    struct sim *s = converged_ring(6, 1);
    sim_run(s, 20000);
    for (uint32_t g = 0; g < 6; g++) {
        struct ls_peer_info info;
        assert_int_equal(ls_table(sim_engine(s, g))->records, 6);
        assert_true(ls_peer_info(sim_engine(s, g), 0, &info));
        assert_int_equal(info.state, ADJ_FULL);
        assert_int_equal(info.pending, 0);
    }
    sim_free(s);
}

/* The send to a peer, copied: it is borrowed from the engine only until its next step. */
static struct span sent_to(const struct ls_output *out, uint32_t peer, char *copy, size_t size)
{
    for (size_t i = 0; i < out->nsends; i++)
        if (out->sends[i].peer == peer && out->sends[i].bytes.len <= size) {
            memcpy(copy, out->sends[i].bytes.ptr, out->sends[i].bytes.len);
            return span_of(copy, out->sends[i].bytes.len);
        }
    return SPAN("");
}

static void test_engine__verify_names_what_differs(void **state)
{
    (void)state;
    static char copy[65536];
    struct sim *s = converged_ring(6, 1);
    struct ls *a = sim_engine(s, 0), *b = sim_engine(s, 1);
    struct ls_output out;
    struct ls_peer_info info;
    ms_t now = sim_now(s);
    struct ls_event purge = {.type = LS_PURGE, .now_ms = now, .bytes = SPAN("g03")};
    struct ls_event verify = {.type = LS_VERIFY, .now_ms = now};
    assert_int_equal(ls_step(a, &verify, &out), ERR_OK);
    struct ls_event ask = {
        .type = LS_RECV, .now_ms = now, .peer = 0, .bytes = sent_to(&out, 0, copy, sizeof copy)};
    assert_true(ask.bytes.len > 0);
    assert_int_equal(ls_step(b, &ask, &out), ERR_OK);
    assert_int_equal(out.nsends, 0); /* equal: nothing to say */
    assert_int_equal(ls_step(a, &purge, &out), ERR_OK);
    assert_int_equal(ls_step(a, &verify, &out), ERR_OK);
    ask.bytes = sent_to(&out, 0, copy, sizeof copy);
    assert_int_equal(ls_step(b, &ask, &out), ERR_OK);
    ask.bytes = sent_to(&out, 0, copy, sizeof copy);
    assert_true(ask.bytes.len > 0);
    assert_int_equal(ls_step(a, &ask, &out), ERR_OK);
    assert_true(ls_peer_info(a, 0, &info));
    assert_string_equal(info.differing, "g03");
    assert_int_equal(ls_step(a, &ask, &out), ERR_OK); /* compared again before the record has come */
    assert_true(ls_peer_info(a, 0, &info));
    assert_string_equal(info.differing, "g03");
    assert_true(ls_peer_info(a, 1, &info));
    assert_string_equal(info.differing, "");
    sim_free(s);
}

static void test_engine__a_change_crosses_an_adjacency_once(void **state)
{
    (void)state;
    struct sim *s = converged_ring(8, 2);
    ms_t took;
    struct sim_stats stats;
    sim_run(s, 30000);
    sim_stats_reset(s);
    assert_int_equal(sim_link_state(s, 3, 4, false, true), ERR_OK);
    assert_true(sim_converge(s, 4000, &took));
    sim_stats(s, &stats);
    assert_int_equal(stats.advertised_most, 1);
    assert_true(took <= 8 * 20);
    sim_free(s);
}

static void test_engine__losses_are_repaired(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct sim *s = ring(5, seed, 200, false);
        ms_t took;
        assert_int_equal(sim_start(s), ERR_OK);
        bool ok = sim_converge(s, 300000, &took);
        if (!ok)
            print_error("seed %llu\n", (unsigned long long)seed);
        assert_true(ok);
        assert_int_equal(sim_link_state(s, 0, 1, false, true), ERR_OK);
        assert_true(sim_converge(s, 300000, &took));
        sim_free(s);
    }
}

static void test_engine__a_partition_heals_without_help(void **state)
{
    (void)state;
    struct sim *s = converged_ring(6, 3);
    ms_t took;
    assert_int_equal(sim_cut(s, 0, 1, true), ERR_OK);
    assert_int_equal(sim_cut(s, 3, 4, true), ERR_OK);
    assert_int_equal(sim_link_state(s, 1, 2, false, true), ERR_OK);
    assert_int_equal(sim_link_state(s, 5, 0, false, true), ERR_OK);
    sim_run(s, 120000);
    assert_false(ls_sum_eq(table_sum(s, 1), table_sum(s, 5)));
    assert_int_equal(sim_cut(s, 0, 1, false), ERR_OK);
    assert_int_equal(sim_cut(s, 3, 4, false), ERR_OK);
    assert_true(sim_converge(s, 60000, &took));
    assert_true(ls_sum_eq(table_sum(s, 1), table_sum(s, 5)));
    sim_free(s);
}

static void test_engine__a_restarted_router_goes_beyond_its_former_self(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 4);
    ms_t took;
    struct ls_version before = *ls_own_version(sim_engine(s, 2));
    assert_int_equal(sim_restart(s, 2), ERR_OK);
    assert_true(sim_converge(s, 60000, &took));
    const struct lsdb_slot *seen = lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g02"));
    assert_true(ls_version_cmp(&seen->record->lsa.version, &before) > 0);
    assert_int_equal(seen->record->lsa.version.user, before.user + 1);
    sim_free(s);
}

static void test_engine__a_silent_group_is_dropped_everywhere_and_may_return(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 5);
    ms_t took;
    assert_int_equal(sim_stop(s, 2), ERR_OK);
    sim_run(s, 45u * 60 * 1000);
    for (uint32_t g = 0; g < 4; g++)
        if (g != 2)
            assert_int_equal(ls_table(sim_engine(s, g))->records, 3);
    assert_true(counters(s, 0)[LS_C_EXPIRED] >= 1);
    assert_int_equal(sim_restart(s, 2), ERR_OK);
    assert_true(sim_converge(s, 120000, &took));
    assert_int_equal(ls_table(sim_engine(s, 0))->records, 4);
    sim_free(s);
}

static void test_engine__a_purged_group_that_lives_comes_back(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 6);
    struct ls_output out;
    struct ls_event purge = {.type = LS_PURGE, .now_ms = sim_now(s), .bytes = SPAN("g02")};
    assert_int_equal(ls_step(sim_engine(s, 0), &purge, &out), ERR_OK);
    assert_true(out.table_changed);
    assert_int_equal(ls_step(sim_engine(s, 0), &purge, &out), ERR_NOTFOUND);
    purge.bytes = SPAN("g00");
    assert_int_equal(ls_step(sim_engine(s, 0), &purge, &out), ERR_STATE);
    struct ls_version before = *ls_own_version(sim_engine(s, 2));
    assert_int_equal(ls_table(sim_engine(s, 0))->records, 3);
    sim_run(s, 5000);
    assert_int_equal(ls_table(sim_engine(s, 0))->records, 4);
    /* It signed once: two routers ask, and each way asks twice. */
    assert_int_equal(ls_own_version(sim_engine(s, 2))->seq, before.seq + 1);
    assert_int_equal(counters(s, 2)[LS_C_CONFLICT], 0);
    sim_run(s, 60000);
    assert_int_equal(ls_own_version(sim_engine(s, 2))->seq, before.seq + 1);
    sim_free(s);
}

/* Far away, with losses, and purged by two: the question arrives, and the group comes back everywhere. */
static void test_engine__a_purged_group_far_away_comes_back_over_lossy_links(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim *s = ring(9, seed, 200, false);
        struct ls_output out;
        ms_t took;
        assert_int_equal(sim_start(s), ERR_OK);
        assert_true(sim_converge(s, 300000, &took));
        struct ls_event purge = {.type = LS_PURGE, .now_ms = sim_now(s), .bytes = SPAN("g04")};
        assert_int_equal(ls_step(sim_engine(s, 0), &purge, &out), ERR_OK);
        assert_int_equal(ls_step(sim_engine(s, 8), &purge, &out), ERR_OK);
        sim_run(s, 60000);
        assert_int_equal(ls_table(sim_engine(s, 0))->records, 9);
        assert_int_equal(ls_table(sim_engine(s, 8))->records, 9);
        sim_free(s);
    }
}

/* Who asks for a group that is dead gives up; what is passed on meanwhile is bounded, and its neighbour does
 * not offer the ghost again and again. */
static void test_engine__asking_for_a_dead_group_ends(void **state)
{
    (void)state;
    struct sim *s = converged_ring(6, 9);
    struct ls_output out;
    uint64_t stale = counters(s, 0)[LS_C_STALE];
    assert_int_equal(sim_stop(s, 3), ERR_OK);
    sim_run(s, 60000);
    struct ls_event purge = {.type = LS_PURGE, .now_ms = sim_now(s), .bytes = SPAN("g03")};
    assert_int_equal(ls_step(sim_engine(s, 0), &purge, &out), ERR_OK);
    const struct lsdb_slot *slot = lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g03"));
    assert_int_equal(slot->dropped->hold_ms, sim_now(s) + 20u * 60 * 1000); /* two refreshes */
    sim_run(s, 19u * 60 * 1000);
    assert_true(slot->dropped->hold_ms > sim_now(s));
    uint64_t sent = counters(s, 0)[LS_C_SENT];
    sim_run(s, 5u * 60 * 1000);
    assert_int_equal(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g03"))->dropped->hold_ms, 0);
    assert_null(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g03"))->record);
    assert_true(counters(s, 0)[LS_C_SENT] > sent); /* comparisons go on */
    assert_in_range(counters(s, 0)[LS_C_STALE] - stale, 0, 2);
    sim_free(s);
}

/* A purged group that is dead does not come back from a neighbour, nor when another engine of the same router
 * goes on with the table. */
static void test_engine__a_purged_ghost_stays_away_from_the_next_engine(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 7);
    struct ls_output out;
    struct lsdb table;
    assert_int_equal(sim_stop(s, 2), ERR_OK);
    struct ls_event purge = {.type = LS_PURGE, .now_ms = sim_now(s), .bytes = SPAN("g02")};
    assert_int_equal(ls_step(sim_engine(s, 0), &purge, &out), ERR_OK);
    assert_int_equal(lsdb_copy(ls_table(sim_engine(s, 0)), &table), ERR_OK);
    assert_int_equal(ls_adopt(sim_engine(s, 0), &table, sim_now(s)), ERR_OK);
    lsdb_done(&table);
    struct ls_event verify = {.type = LS_VERIFY, .now_ms = sim_now(s)};
    assert_int_equal(ls_step(sim_engine(s, 0), &verify, &out), ERR_OK);
    sim_run(s, 5u * 60 * 1000); /* many comparisons with neighbours that still hold it */
    assert_null(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g02"))->record);
    assert_non_null(lsdb_find(ls_table(sim_engine(s, 1)), SPAN("g02"))->record);
    sim_free(s);
}

/* One ADVERTISE with one record, as a neighbour would send it. */
static void advertise(struct sim *s, uint32_t to, uint32_t from, struct span header, struct span body)
{
    struct buf list, message;
    buf_init(&list, LS_MESSAGE_MAX);
    buf_init(&message, LS_MESSAGE_MAX);
    struct ls_advert ad = {0, header, body};
    assert_int_equal(ls_advert_add(&list, &ad), ERR_OK);
    struct ls_message m = {.type = LS_MSG_ADVERTISE, .list = buf_span(&list)};
    assert_int_equal(ls_message_emit(&m, &message), ERR_OK);
    sim_inject(s, to, from, buf_span(&message));
    buf_done(&list);
    buf_done(&message);
}

static void test_engine__what_was_dropped_is_not_taken_back(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 6);
    struct ls_output out;
    struct lsdb_record *old = lsdb_record_ref(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g02"))->record);
    struct ls_event purge = {.type = LS_PURGE, .now_ms = sim_now(s), .bytes = SPAN("g02")};
    uint64_t stale = counters(s, 0)[LS_C_STALE];
    assert_int_equal(ls_step(sim_engine(s, 0), &purge, &out), ERR_OK);
    advertise(s, 0, 1, old->lsa.header, old->body); /* the very version that was dropped */
    assert_int_equal(counters(s, 0)[LS_C_STALE], stale + 1);
    assert_int_equal(counters(s, 0)[LS_C_CONFLICT], 0);
    assert_int_equal(ls_table(sim_engine(s, 0))->records, 3);
    lsdb_record_unref(old);
    sim_free(s);
}

/* An age is not signed: a record that has expired here is not taken again because a neighbour calls it young,
 * nor after a clock that stepped back; what its group signs next is. */
static void test_engine__what_has_expired_is_not_taken_back_as_young(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 5);
    struct ls_output out;
    struct lsdb_record *old = lsdb_record_ref(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g02"))->record);
    ms_t took;
    assert_int_equal(sim_stop(s, 2), ERR_OK);
    sim_run(s, 45u * 60 * 1000);
    assert_null(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g02"))->record);
    uint64_t stale = counters(s, 0)[LS_C_STALE];
    advertise(s, 0, 1, old->lsa.header, old->body); /* of age 0 */
    struct ls_event back = {.type = LS_TICK, .now_ms = 1};
    assert_int_equal(ls_step(sim_engine(s, 0), &back, &out), ERR_OK);
    advertise(s, 0, 1, old->lsa.header, old->body);
    assert_int_equal(counters(s, 0)[LS_C_STALE], stale + 2);
    assert_int_equal(ls_table(sim_engine(s, 0))->records, 3);
    assert_int_equal(sim_restart(s, 2), ERR_OK);
    assert_true(sim_converge(s, 120000, &took));
    assert_int_equal(ls_table(sim_engine(s, 0))->records, 4);
    lsdb_record_unref(old);
    sim_free(s);
}

/* A record of a group outside the simulation, with so many connectors. */
static void large_record(uint32_t i, uint64_t seq, size_t nconnectors, struct buf *header, struct buf *body)
{
    static struct record_connector connectors[RECORD_CONNECTORS_MAX];
    static char names[RECORD_CONNECTORS_MAX][8];
    struct record r = {.master = SPAN("m"), .connectors = connectors, .nconnectors = nconnectors};
    struct ls_version version = {1, 0, 0, seq};
    struct ls_crypto crypto;
    struct buf cert;
    char name[16];
    uint32_t key = 1000 + i;
    for (size_t c = 0; c < nconnectors; c++) {
        (void)snprintf(names[c], sizeof names[c], "c%04zu", c);
        connectors[c] = (struct record_connector){.name = span_cstr(names[c]),
                                                  .cost = 1,
                                                  .weight = 1,
                                                  .up = true,
                                                  .priorities = RECORD_PRIORITY_ALL};
    }
    (void)snprintf(name, sizeof name, "large%u", i);
    sim_crypto(&crypto, &key);
    buf_init(&cert, CERT_MAX);
    buf_init(header, LSA_HEADER_MAX);
    buf_init(body, RECORD_MAX);
    sim_cert(key, span_cstr(name), &cert);
    assert_int_equal(record_emit(&r, body), ERR_OK);
    assert_int_equal(lsa_seal(span_cstr(name), &version, buf_span(body), buf_span(&cert), &crypto, header),
                     ERR_OK);
    buf_done(&cert);
}

/* Records beyond the limits are refused, counted and told; what is held stays, and smaller ones have room. */
static void test_engine__connectors_of_all_groups_are_bounded(void **state)
{
    enum { EACH = 1500 };
    (void)state;
    struct sim *s = converged_ring(3, 7);
    const struct lsdb *db = ls_table(sim_engine(s, 0));
    uint32_t room = LSDB_CONNECTORS_MAX - db->connectors, fit = room / EACH;
    for (uint32_t i = 0; i <= fit + 1; i++) {
        struct buf header, body;
        large_record(i, 1, i <= fit ? EACH : room - fit * EACH, &header, &body);
        advertise(s, 0, 1, buf_span(&header), buf_span(&body));
        assert_int_equal(counters(s, 0)[LS_C_TOO_MANY], i >= fit);
        buf_done(&header);
        buf_done(&body);
    }
    assert_int_equal(db->connectors, LSDB_CONNECTORS_MAX);
    assert_int_equal(db->records, 3 + fit + 1);
    struct buf header, body; /* one in the place of an older one needs no more room */
    large_record(0, 2, EACH, &header, &body);
    advertise(s, 0, 1, buf_span(&header), buf_span(&body));
    assert_int_equal(lsdb_find(db, SPAN("large0"))->record->lsa.version.seq, 2);
    assert_int_equal(db->connectors, LSDB_CONNECTORS_MAX);
    buf_done(&header);
    buf_done(&body);
    sim_free(s);
}

/* Record i of many small ones: more of them than an ADVERTISE may have go into its bytes. */
static void small_record(uint32_t i, struct buf *name, struct buf *header, struct buf *body)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct ls_crypto crypto;
    struct ls_version version = {1, 0, 0, 1};
    struct record r = {.master = SPAN("m")};
    struct buf cert;
    uint32_t key = 1000 + i;
    sim_crypto(&crypto, &key);
    buf_init(&cert, CERT_MAX);
    buf_init(name, 3);
    buf_init(header, LSA_HEADER_MAX);
    buf_init(body, RECORD_MAX);
    assert_int_equal(buf_addf(name, "%c%c", letters[i / 36], letters[i % 36]), ERR_OK);
    sim_cert(key, buf_span(name), &cert);
    assert_int_equal(record_emit(&r, body), ERR_OK);
    assert_int_equal(lsa_seal(buf_span(name), &version, buf_span(body), buf_span(&cert), &crypto, header),
                     ERR_OK);
    buf_done(&cert);
}

/* Of an answer in several messages the first is short, each further one at most twice as long: over a slow
 * line the neighbour has something in whole before it takes us for dead. Returns the greatest number of items
 * in one. */
static unsigned check_batches(const struct ls_output *out, enum ls_message_type type, unsigned *all)
{
    unsigned most = 0;
    size_t limit = 4096;
    *all = 0;
    for (size_t i = 0; i < out->nsends; i++) {
        struct ls_message m;
        struct ls_advert ad;
        struct ls_item item;
        unsigned n = 0;
        assert_int_equal(ls_message_parse(out->sends[i].bytes, &m, NULL), ERR_OK);
        if (m.type != type)
            continue;
        struct rd r = rd_open(m.list);
        while (type == LS_MSG_ADVERTISE ? ls_advert_next(&r, &ad) : ls_item_next(&r, &item))
            n++;
        assert_in_range(m.list.len, 1, limit);
        limit = limit < 65536 ? 2 * limit : limit;
        most = n > most ? n : most;
        *all += n;
    }
    return most;
}

static void test_engine__what_goes_out_together_begins_small(void **state)
{
    enum { RECORDS = 900 };
    (void)state;
    struct sim *s = converged_ring(3, 7);
    struct buf list, request;
    struct ls_output out;
    unsigned all;
    static const char nothing[LS_BUCKETS * 8];
    buf_init(&list, LS_MESSAGE_MAX);
    buf_init(&request, LS_MESSAGE_MAX);
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct buf name, header, body;
        small_record(i, &name, &header, &body);
        struct ls_item item = {.group = buf_span(&name)};
        advertise(s, 0, 1, buf_span(&header), buf_span(&body));
        assert_int_equal(ls_item_add(&list, &item), ERR_OK);
        buf_done(&name);
        buf_done(&header);
        buf_done(&body);
    }
    assert_int_equal(ls_table(sim_engine(s, 0))->records, 3 + RECORDS);
    struct ls_message m = {.type = LS_MSG_REQUEST, .list = buf_span(&list)};
    assert_int_equal(ls_message_emit(&m, &request), ERR_OK);
    struct ls_event ask = {.type = LS_RECV, .now_ms = sim_now(s), .bytes = buf_span(&request)};
    assert_int_equal(ls_step(sim_engine(s, 0), &ask, &out), ERR_OK);
    assert_int_equal(check_batches(&out, LS_MSG_ADVERTISE, &all), LS_ADVERTS_MAX);
    assert_int_equal(all, RECORDS);
    m = (struct ls_message){.type = LS_MSG_BUCKETS, .buckets = span_of(nothing, sizeof nothing)};
    buf_clear(&request);
    assert_int_equal(ls_message_emit(&m, &request), ERR_OK);
    ask.bytes = buf_span(&request);
    assert_int_equal(ls_step(sim_engine(s, 0), &ask, &out), ERR_OK);
    assert_true(check_batches(&out, LS_MSG_SUMMARY, &all) > 200);
    assert_int_equal(all, 3 + RECORDS);
    buf_done(&list);
    buf_done(&request);
    sim_free(s);
}

static void test_engine__replayed_and_altered_records_change_nothing(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 7);
    ms_t took;
    struct lsdb_record *old = lsdb_record_ref(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g02"))->record);
    assert_int_equal(sim_link_state(s, 2, 3, false, true), ERR_OK);
    assert_true(sim_converge(s, 60000, &took));
    struct ls_sum sum = table_sum(s, 0);

    advertise(s, 0, 1, old->lsa.header, old->body);
    assert_true(counters(s, 0)[LS_C_STALE] >= 1);
    assert_true(ls_sum_eq(table_sum(s, 0), sum));

    char forged[LSA_HEADER_MAX]; /* a forwarder that writes a higher version */
    memcpy(forged, old->lsa.header.ptr, old->lsa.header.len);
    forged[1 + 1 + 3 + 3] = 9;
    advertise(s, 0, 1, span_of(forged, old->lsa.header.len), old->body);
    assert_int_equal(counters(s, 0)[LS_C_FORGED], 1);
    assert_true(ls_sum_eq(table_sum(s, 0), sum));
    lsdb_record_unref(old);
    sim_free(s);
}

static void test_engine__a_group_cannot_speak_for_another(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 7);
    struct lsdb_record *held = lsdb_record_ref(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g02"))->record);
    struct ls_sum sum = table_sum(s, 0);
    struct buf header, cert;
    uint32_t one = 1;
    struct ls_crypto crypto;
    struct ls_version high = {99, 0, 0, 99};
    sim_crypto(&crypto, &one);
    buf_init(&header, LSA_HEADER_MAX);
    buf_init(&cert, CERT_MAX);

    sim_cert(1, SPAN("g01"), &cert); /* certified for its own name only */
    assert_int_equal(lsa_seal(SPAN("g02"), &high, held->body, buf_span(&cert), &crypto, &header), ERR_OK);
    advertise(s, 0, 1, buf_span(&header), held->body);
    assert_int_equal(counters(s, 0)[LS_C_FORGED], 1);
    assert_true(ls_sum_eq(table_sum(s, 0), sum));

    buf_clear(&header);
    buf_clear(&cert);
    sim_cert(1, SPAN("g02"), &cert); /* a second key for one name, with the same serial number */
    assert_int_equal(lsa_seal(SPAN("g02"), &high, held->body, buf_span(&cert), &crypto, &header), ERR_OK);
    advertise(s, 0, 1, buf_span(&header), held->body);
    assert_int_equal(counters(s, 0)[LS_C_CONFLICT], 1);
    assert_true(ls_sum_eq(table_sum(s, 0), sum));
    buf_done(&header);
    buf_done(&cert);
    lsdb_record_unref(held);
    sim_free(s);
}

/* A key that was replaced speaks for nobody any more, however new what it signs says that it is. */
static void test_engine__a_replaced_key_is_refused(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 7);
    struct lsdb_record *held = lsdb_record_ref(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g02"))->record);
    struct buf header, old_cert, new_cert;
    uint32_t organization = INT32_MAX, key = 100;
    struct ls_crypto crypto;
    struct ls_cert next;
    struct ls_version high = {99, 0, 0, 99};
    buf_init(&header, LSA_HEADER_MAX);
    buf_init(&old_cert, CERT_MAX);
    buf_init(&new_cert, CERT_MAX);
    sim_cert(key, SPAN("g02"), &old_cert);
    assert_int_equal(cert_parse(buf_span(&old_cert), &next), ERR_OK);
    sim_crypto(&crypto, &organization);
    assert_int_equal(
        cert_seal(SPAN("sim"), SPAN("g02"), next.key, held->lsa.cert.serial + 1, &crypto, &new_cert), ERR_OK);
    sim_crypto(&crypto, &key);
    assert_int_equal(lsa_seal(SPAN("g02"), &high, held->body, buf_span(&new_cert), &crypto, &header), ERR_OK);
    advertise(s, 0, 1, buf_span(&header), held->body);
    assert_int_equal(counters(s, 0)[LS_C_CONFLICT], 0);
    struct ls_sum sum = table_sum(s, 0);

    key = 2; /* whose certificate is that of the simulation, the first one */
    high.major++;
    sim_crypto(&crypto, &key);
    buf_clear(&header);
    assert_int_equal(lsa_seal(SPAN("g02"), &high, held->body, held->lsa.cert.bytes, &crypto, &header),
                     ERR_OK);
    advertise(s, 0, 1, buf_span(&header), held->body);
    assert_int_equal(counters(s, 0)[LS_C_CONFLICT], 1);
    assert_true(ls_sum_eq(table_sum(s, 0), sum));
    buf_done(&header);
    buf_done(&old_cert);
    buf_done(&new_cert);
    lsdb_record_unref(held);
    sim_free(s);
}

static void test_engine__two_routers_of_one_name_outbid_each_other_slowly(void **state)
{
    (void)state;
    struct sim *s = converged_ring(4, 7);
    const struct ls_version *own = ls_own_version(sim_engine(s, 0));
    struct lsdb_record *mine = lsdb_record_ref(lsdb_find(ls_table(sim_engine(s, 0)), SPAN("g00"))->record);
    struct ls_version first = *own, theirs = *own;
    struct buf header;
    uint32_t zero = 0;
    struct ls_crypto crypto;
    sim_crypto(&crypto, &zero);
    buf_init(&header, LSA_HEADER_MAX);
    for (int i = 0; i < 100; i++) { /* a copy of us, with our key, that always knows better */
        theirs.seq += 5;
        buf_clear(&header);
        assert_int_equal(lsa_seal(SPAN("g00"), &theirs, mine->body, mine->lsa.cert.bytes, &crypto, &header),
                         ERR_OK);
        advertise(s, 0, 1, buf_span(&header), mine->body);
    }
    assert_int_equal(own->seq, first.seq + 6); /* an earlier life: at once; then not any more */
    assert_int_equal(counters(s, 0)[LS_C_CONFLICT], 99);
    sim_run(s, 2000);
    assert_int_equal(own->seq, theirs.seq + 1);
    assert_int_equal(counters(s, 2)[LS_C_CONFLICT], 0);
    sim_run(s, 30000); /* the copy is gone: an earlier life is outbid at once again */
    theirs.seq = own->seq + 5;
    buf_clear(&header);
    assert_int_equal(lsa_seal(SPAN("g00"), &theirs, mine->body, mine->lsa.cert.bytes, &crypto, &header),
                     ERR_OK);
    advertise(s, 0, 1, buf_span(&header), mine->body);
    assert_int_equal(own->seq, theirs.seq + 1);
    assert_int_equal(counters(s, 0)[LS_C_CONFLICT], 99);
    buf_done(&header);
    lsdb_record_unref(mine);
    sim_free(s);
}

static void test_engine__a_violation_ends_the_adjacency_for_a_while(void **state)
{
    (void)state;
    struct sim *s = converged_ring(3, 8);
    struct ls_peer_info info;
    sim_inject(s, 0, 1, SPAN("LS\x01\x07\x00\x00\x00\x05junk"));
    assert_int_equal(counters(s, 0)[LS_C_MALFORMED], 1);
    assert_true(ls_peer_info(sim_engine(s, 0), 0, &info));
    assert_int_equal(info.state, ADJ_DOWN);
    sim_run(s, 30000);
    assert_true(ls_peer_info(sim_engine(s, 0), 0, &info));
    assert_int_equal(info.state, ADJ_DOWN);
    sim_run(s, 90000);
    assert_true(ls_peer_info(sim_engine(s, 0), 0, &info));
    assert_int_equal(info.state, ADJ_FULL);
    sim_free(s);
}

static void test_engine__same_seed_same_trace(void **state)
{
    (void)state;
    struct sim *runs[3];
    for (int i = 0; i < 3; i++) {
        runs[i] = ring(5, i < 2 ? 42 : 43, 100, true);
        assert_int_equal(sim_start(runs[i]), ERR_OK);
        sim_run(runs[i], 30000);
    }
    assert_string_equal(sim_trace(runs[0]), sim_trace(runs[1]));
    assert_string_not_equal(sim_trace(runs[0]), sim_trace(runs[2]));
    for (int i = 0; i < 3; i++)
        sim_free(runs[i]);
}

/* What two routers say to each other from the first word to FULL, and for one change. */
static void test_engine__two_routers_say_what_is_needed_and_no_more(void **state)
{
    static const char want[] = "[     0] a > b HELLO\n"
                               "[     0] b > a HELLO\n"
                               "[     5] b > a HELLO\n"
                               "[     5] a > b HELLO\n"
                               "[     5] a > b BUCKETS\n"
                               "[    10] b > a SUMMARY\n"
                               "[    15] a > b REQUEST\n"
                               "[    15] a > b ADVERTISE a 1.0.0#1\n"
                               "[    20] b > a ADVERTISE b 1.0.0#1\n"
                               "[    20] b > a ACK\n"
                               "[    25] a > b ACK\n"
                               "[  5020] b > a DIGEST\n"
                               "[  5025] a > b DIGEST\n"
                               "[  7000] a > b ADVERTISE a 1.1.0#2\n"
                               "[  7000] b > a ADVERTISE b 1.1.0#2\n"
                               "[  7005] b > a ACK\n"
                               "[  7005] a > b ACK\n";
    (void)state;
    struct sim_options o = {.seed = 1, .latency_min_ms = 5, .latency_max_ms = 5, .trace = true};
    struct sim *s = sim_new(&o);
    assert_int_equal(sim_group(s, "a"), 0);
    assert_int_equal(sim_group(s, "b"), 1);
    assert_int_equal(sim_link(s, 0, 1, 1, 1), ERR_OK);
    assert_int_equal(sim_start(s), ERR_OK);
    sim_run(s, 7000);
    assert_int_equal(sim_link_state(s, 0, 1, false, true), ERR_OK);
    sim_run(s, 1000);
    assert_string_equal(sim_trace(s), want);
    sim_free(s);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_engine__tables_converge_and_adjacencies_become_full),
                     cmocka_unit_test(test_engine__verify_names_what_differs),
                     cmocka_unit_test(test_engine__a_change_crosses_an_adjacency_once),
                     cmocka_unit_test(test_engine__losses_are_repaired),
                     cmocka_unit_test(test_engine__a_partition_heals_without_help),
                     cmocka_unit_test(test_engine__a_restarted_router_goes_beyond_its_former_self),
                     cmocka_unit_test(test_engine__a_silent_group_is_dropped_everywhere_and_may_return),
                     cmocka_unit_test(test_engine__a_purged_group_that_lives_comes_back),
                     cmocka_unit_test(test_engine__a_purged_group_far_away_comes_back_over_lossy_links),
                     cmocka_unit_test(test_engine__asking_for_a_dead_group_ends),
                     cmocka_unit_test(test_engine__a_purged_ghost_stays_away_from_the_next_engine),
                     cmocka_unit_test(test_engine__what_has_expired_is_not_taken_back_as_young),
                     cmocka_unit_test(test_engine__what_was_dropped_is_not_taken_back),
                     cmocka_unit_test(test_engine__connectors_of_all_groups_are_bounded),
                     cmocka_unit_test(test_engine__what_goes_out_together_begins_small),
                     cmocka_unit_test(test_engine__replayed_and_altered_records_change_nothing),
                     cmocka_unit_test(test_engine__a_group_cannot_speak_for_another),
                     cmocka_unit_test(test_engine__a_replaced_key_is_refused),
                     cmocka_unit_test(test_engine__two_routers_of_one_name_outbid_each_other_slowly),
                     cmocka_unit_test(test_engine__a_violation_ends_the_adjacency_for_a_while),
                     cmocka_unit_test(test_engine__same_seed_same_trace),
                     cmocka_unit_test(test_engine__two_routers_say_what_is_needed_and_no_more));
}
