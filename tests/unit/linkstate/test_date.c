/* tests/unit/linkstate/test_date.c — how old a record is by its signed sequence, whatever clocks say. */
#include "tests/unit/linkstate/net.h"

enum { TRUE_S = 1795000000, DAY_S = 86400, LIFETIME_S = 1800 };

/* Four groups, all linked. Node i's clock is off by so many seconds; it is told with every tick. */
static void world(struct net *n, const int64_t *off_s)
{
    net_init(n, 1, 4);
    n->wall_s = TRUE_S;
    for (uint32_t a = 0; a < 4; a++) {
        n->nodes[a].off_s = off_s == NULL ? 0 : off_s[a];
        for (uint32_t b = a + 1; b < 4; b++)
            net_link(n, a, b);
    }
    for (uint32_t i = 0; i < 4; i++)
        net_node_start(n, i);
    net_run(n, 180000);
}

static uint64_t seq(const struct net *n, uint32_t node)
{
    return ls_own_version(n->nodes[node].ls)->seq;
}

static void test_date__the_sequence_is_the_date_and_rises(void **state)
{
    struct net n;
    (void)state;
    world(&n, NULL);
    assert_in_range(seq(&n, 0), TRUE_S, TRUE_S + 1);
    for (uint64_t i = 1; i <= 20; i++) {
        uint64_t before = seq(&n, 0);
        net_originate(&n, 0, LS_LEVEL_MINOR);
        assert_true(seq(&n, 0) > before);
    }
    net_run(&n, 11u * 60 * 1000);
    assert_in_range(seq(&n, 1), TRUE_S + 600, TRUE_S + 900);
    net_done(&n);
}

/* Clocks that are wrong: nobody is dropped, whichever it is, and as long as it lasts. */
static void test_date__wrong_clocks_drop_nobody(void **state)
{
    static const int64_t cases[][4] = {
        {0, 0, 0, -10 * 365 * DAY_S},     /* never set since it was switched on */
        {0, 0, 0, 10 * 365 * DAY_S},      /* far ahead: as seen by itself, and by others */
        {-2 * DAY_S, 0, 0, 2 * DAY_S},    /* beyond the skew, both ways */
        {-TRUE_S + 1, -TRUE_S + 1, 0, 0}, /* half of them */
        {40000, -40000, 30000, 0},        /* within the skew */
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct net n;
        world(&n, *c);
        for (int jump = 0; jump < 2; jump++) {
            net_run(&n, 10u * LIFETIME_S * 1000);
            for (uint32_t i = 0; i < 4; i++) {
                assert_int_equal(ls_table(n.nodes[i].ls)->records, 4);
                assert_int_equal(net_count(&n, i, LS_C_EXPIRED), 0);
                n.nodes[i].off_s = 0; /* and then all are set right */
            }
        }
        net_done(&n);
    }
}

static void say(struct net *n, uint32_t to, uint32_t from, const struct lsdb_record *r)
{
    struct buf list, bytes;
    struct ls_advert ad = {0, r->lsa.header, r->body};
    buf_init(&list, LS_MESSAGE_MAX);
    buf_init(&bytes, LS_MESSAGE_MAX);
    assert_int_equal(ls_advert_add(&list, &ad), ERR_OK);
    struct ls_message m = {.type = LS_MSG_ADVERTISE, .list = buf_span(&list)};
    assert_int_equal(ls_message_emit(&m, &bytes), ERR_OK);
    (void)net_step(
        n, to,
        (struct ls_event){.type = LS_RECV, .peer = n->nodes[to].peer_of[from], .bytes = buf_span(&bytes)});
    buf_done(&list);
    buf_done(&bytes);
}

/* A neighbour has kept the record of a group that is dead, and says again and again that it is new: one
 * lifetime and the skew after it was signed it is refused, remembered or not. */
static void test_date__a_ghost_that_is_said_to_be_young_ends(void **state)
{
    struct net n;
    ms_t held_ms = 0;
    (void)state;
    world(&n, NULL);
    struct lsdb_record *ghost = lsdb_record_ref(lsdb_find(ls_table(n.nodes[0].ls), SPAN("g3"))->record);
    for (uint32_t i = 0; i < 3; i++)
        net_carrier(&n, 3, i, false);
    ls_free(n.nodes[3].ls);
    n.nodes[3].ls = NULL;
    for (unsigned i = 0; i < 4 * 24 * 6; i++) { /* four days, every 10 minutes */
        const struct lsdb_slot *slot = lsdb_find(ls_table(n.nodes[0].ls), SPAN("g3"));
        if (slot == NULL || slot->record == NULL)
            say(&n, 0, 1, ghost);
        slot = lsdb_find(ls_table(n.nodes[0].ls), SPAN("g3"));
        held_ms += slot != NULL && slot->record != NULL ? 600000 : 0;
        net_run(&n, 600000);
    }
    assert_in_range(held_ms, 1, LIFETIME_S * 1000 + 600000); /* the floor alone: a lifetime and a day */
    uint64_t stale = net_count(&n, 0, LS_C_STALE);
    assert_null(
        lsdb_find(ls_table(n.nodes[0].ls), SPAN("g3"))); /* forgotten; a router that never knew it is alike */
    say(&n, 0, 1, ghost);
    assert_int_equal(net_count(&n, 0, LS_C_STALE), stale + 1);
    assert_null(lsdb_find(ls_table(n.nodes[0].ls), SPAN("g3")));
    assert_int_equal(ls_table(n.nodes[0].ls)->records, 3);
    lsdb_record_unref(ghost);
    net_done(&n);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_date__the_sequence_is_the_date_and_rises),
                     cmocka_unit_test(test_date__wrong_clocks_drop_nobody),
                     cmocka_unit_test(test_date__a_ghost_that_is_said_to_be_young_ends));
}
