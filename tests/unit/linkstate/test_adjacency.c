/* tests/unit/linkstate/test_adjacency.c — keep-alives, silence, and the words of the state machine, to the
 * millisecond: the engine has no clock of its own. */
#include "tests/unit/linkstate/net.h"

enum { HELLO_MS = 5000, DEAD_MS = 3 * HELLO_MS, PAUSE_MS = 60000 };

struct heard {
    uint32_t mute; /* whatever this node says is lost; NET_NONE: nobody */
    unsigned said[LS_MSG__COUNT];
    ms_t last_ms[2]; /* when a message of each node left */
};

static void on_leave(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    struct heard *h = n->arg;
    (void)to;
    h->said[m->type]++;
    h->last_ms[from] = n->now_ms;
}

static bool is_mute(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    (void)to, (void)m;
    return ((const struct heard *)n->arg)->mute == from;
}

static void two(struct net *n, struct heard *h)
{
    net_init(n, 1, 2);
    n->latency_min_ms = n->latency_max_ms = 5;
    net_link(n, 0, 1);
    net_node_start(n, 0);
    net_node_start(n, 1);
    net_run(n, 20000);
    assert_int_equal(net_peer(n, 0, 1).state, ADJ_FULL);
    assert_int_equal(net_peer(n, 1, 0).state, ADJ_FULL);
    *h = (struct heard){.mute = NET_NONE};
    n->arg = h;
    n->leaves = on_leave;
    n->lost = is_mute;
}

static void test_adjacency__keep_alives_keep_an_idle_one_up(void **state)
{
    enum { IDLE_MS = 9 * 60000 }; /* less than from one refresh to the next */
    struct net n;
    struct heard h;
    (void)state;
    two(&n, &h);
    ms_t since = net_peer(&n, 0, 1).since_ms;
    net_run(&n, IDLE_MS);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);
    assert_int_equal(net_peer(&n, 0, 1).since_ms, since);
    assert_in_range(h.said[LS_MSG_DIGEST], 2 * IDLE_MS / HELLO_MS - 2, 2 * IDLE_MS / HELLO_MS + 2);
    for (int type = LS_MSG_HELLO; type < LS_MSG__COUNT; type++)
        assert_true(type == LS_MSG_DIGEST || h.said[type] == 0);
    net_done(&n);
}

/* Only when nothing else was said for so long. */
static void test_adjacency__other_messages_take_the_place_of_keep_alives(void **state)
{
    struct net n;
    struct heard h;
    (void)state;
    two(&n, &h);
    for (unsigned i = 0; i < 20; i++) {
        net_originate(&n, 0, LS_LEVEL_REFRESH);
        net_run(&n, HELLO_MS - 100);
    }
    assert_int_equal(h.said[LS_MSG_DIGEST], 0);
    net_done(&n);
}

/* Frozen, or its packets are lost: nothing tells the end of the connection. */
static void test_adjacency__silence_ends_it_after_three_keep_alives(void **state)
{
    struct net n;
    struct heard h;
    (void)state;
    two(&n, &h);
    net_run(&n, 1234);
    h.mute = 1;
    ms_t heard = net_peer(&n, 0, 1).heard_ms;
    net_run(&n, heard + DEAD_MS - 1 - n.now_ms);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);
    net_run(&n, 1);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_DOWN);
    assert_string_equal(net_peer(&n, 0, 1).why, "silence");
    assert_int_equal(net_peer(&n, 0, 1).since_ms, n.now_ms);
    assert_int_equal(net_peer(&n, 1, 0).state, ADJ_FULL); /* it hears us */

    h = (struct heard){.mute = 1};
    net_run(&n, 2 * HELLO_MS); /* it is called again and again, and floods do not go there */
    assert_in_range(h.said[LS_MSG_HELLO], 2, 8);
    net_originate(&n, 0, LS_LEVEL_REFRESH);
    net_run(&n, HELLO_MS);
    assert_int_equal(h.said[LS_MSG_ADVERTISE], 0);
    assert_int_equal(ls_table(n.nodes[0].ls)->records, 2); /* what it said stays until it grows old */

    h.mute = NET_NONE;
    net_run(&n, 4 * HELLO_MS);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);
    assert_true(ls_sum_eq(ls_table(n.nodes[0].ls)->sum, ls_table(n.nodes[1].ls)->sum));
    net_done(&n);
}

/* The last word before the silence counts, whatever it was; what we say ourselves does not. */
static void test_adjacency__silence_counts_from_what_was_heard(void **state)
{
    struct net n;
    struct heard h;
    (void)state;
    two(&n, &h);
    net_run(&n, 777);
    net_originate(&n, 1, LS_LEVEL_REFRESH);
    net_run(&n, 5);
    assert_int_equal(net_peer(&n, 0, 1).heard_ms, n.now_ms);
    ms_t heard = n.now_ms;
    h.mute = 1;
    while (n.now_ms + 1000 < heard + DEAD_MS) {
        net_run(&n, 1000);
        net_originate(&n, 0, LS_LEVEL_REFRESH);
        assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);
    }
    net_run(&n, heard + DEAD_MS - n.now_ms);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_DOWN);
    net_done(&n);
}

/* A neighbour that never answers is called every keep-alive, and never more. */
static void test_adjacency__hello_is_repeated_until_it_is_answered(void **state)
{
    struct net n;
    struct heard h = {.mute = 1};
    (void)state;
    net_init(&n, 1, 2);
    n.arg = &h;
    n.leaves = on_leave;
    n.lost = is_mute;
    net_link(&n, 0, 1);
    net_node_start(&n, 0);
    net_run(&n, 60000);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_INIT);
    assert_int_equal(h.said[LS_MSG_HELLO], 1 + 60000 / HELLO_MS);
    net_done(&n);
}

static void test_adjacency__ends_say_why(void **state)
{
    struct net n;
    struct heard h;
    struct ls_message bye = {.type = LS_MSG_BYE, .text = SPAN("enough")};
    struct buf bytes;
    (void)state;
    two(&n, &h);
    buf_init(&bytes, 1000);
    assert_int_equal(ls_message_emit(&bye, &bytes), ERR_OK);
    (void)net_step(&n, 0, (struct ls_event){.type = LS_RECV, .bytes = buf_span(&bytes)});
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_DOWN);
    assert_string_equal(net_peer(&n, 0, 1).why, "BYE");
    net_run(&n, 20000); /* it lives: begun anew */
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);
    assert_string_equal(net_peer(&n, 0, 1).why, "equal tables");

    net_carrier(&n, 0, 1, false);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_DOWN);
    assert_string_equal(net_peer(&n, 0, 1).why, "carrier down");
    h = (struct heard){.mute = NET_NONE};
    net_run(&n, 60000); /* nothing is said to nobody */
    assert_int_equal(h.said[LS_MSG_HELLO], 0);
    net_carrier(&n, 0, 1, true);
    net_run(&n, 20000);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);

    (void)net_step(&n, 0, (struct ls_event){.type = LS_RECV, .bytes = SPAN("junk")});
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_DOWN);
    assert_string_equal(net_peer(&n, 0, 1).why, "violation");
    ms_t end = n.now_ms + PAUSE_MS;
    net_run(&n, PAUSE_MS - 1);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_DOWN);
    net_run(&n, 2); /* the engine wakes for the end of the pause */
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_INIT);
    assert_int_equal(net_peer(&n, 0, 1).since_ms, end);
    net_run(&n, 20000);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);
    buf_done(&bytes);
    net_done(&n);
}

/* The neighbour restarted and the carrier did not tell: its HELLO has another instance. */
static void test_adjacency__another_instance_begins_anew(void **state)
{
    struct net n;
    struct heard h;
    (void)state;
    two(&n, &h);
    ls_free(n.nodes[1].ls);
    n.nodes[1].ls = NULL;
    net_run(&n, 100);
    net_node_start(&n, 1);
    net_run(&n, 100);
    assert_true(ls_sum_eq(ls_table(n.nodes[0].ls)->sum, ls_table(n.nodes[1].ls)->sum));
    assert_int_equal(ls_table(n.nodes[1].ls)->records, 2);
    net_run(&n, 20000);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);
    assert_int_equal(net_peer(&n, 1, 0).state, ADJ_FULL);
    assert_int_equal(net_count(&n, 0, LS_C_RETRANSMITTED), 0);
    net_done(&n);
}

static void say_digest(struct net *n, uint64_t sum)
{
    struct ls_message m = {.type = LS_MSG_DIGEST, .sum = {sum, sum}};
    struct buf bytes;
    if (sum == 0)
        m.sum = ls_table(n->nodes[0].ls)->sum;
    buf_init(&bytes, 1000);
    assert_int_equal(ls_message_emit(&m, &bytes), ERR_OK);
    (void)net_step(n, 0, (struct ls_event){.type = LS_RECV, .bytes = buf_span(&bytes)});
    buf_done(&bytes);
}

/* A change may overtake one: only two in a row begin a comparison. */
static void test_adjacency__two_differing_digests_in_a_row_begin_a_comparison(void **state)
{
    struct net n;
    struct heard h;
    (void)state;
    two(&n, &h);
    for (int i = 0; i < 10; i++) {
        say_digest(&n, 1);
        assert_int_equal(net_peer(&n, 0, 1).state, ADJ_FULL);
        say_digest(&n, 0);
    }
    assert_int_equal(h.said[LS_MSG_BUCKETS], 0);
    say_digest(&n, 1);
    say_digest(&n, 2);
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_SYNC);
    assert_int_equal(h.said[LS_MSG_BUCKETS], 1);
    say_digest(&n, 3); /* counted from the beginning */
    assert_int_equal(h.said[LS_MSG_BUCKETS], 1);
    net_done(&n);
}

/* As soon as what was missing is here, not with the next keep-alive. */
static void test_adjacency__the_last_record_that_was_missing_makes_it_full(void **state)
{
    struct net n;
    struct heard h;
    (void)state;
    two(&n, &h);
    net_carrier(&n, 0, 1, false);
    net_originate(&n, 0, LS_LEVEL_REFRESH);
    net_carrier(&n, 0, 1, true);
    net_run(&n, 100);
    assert_int_equal(h.said[LS_MSG_DIGEST], 0);
    assert_int_equal(net_peer(&n, 1, 0).state, ADJ_FULL);
    net_done(&n);
}

/* A neighbour that is heard is there, whatever the carrier has told; one that speaks out of order to our
 * former self gets a HELLO, and not one for each message. */
static void test_adjacency__who_speaks_out_of_order_is_called_and_no_more(void **state)
{
    struct net n;
    struct heard h = {.mute = NET_NONE};
    struct ls_message m = {.type = LS_MSG_DIGEST};
    struct buf bytes;
    (void)state;
    net_init(&n, 1, 2);
    net_link(&n, 0, 1);
    n.nodes[0].carrier[1] = false; /* nobody tells */
    net_node_start(&n, 0);
    n.arg = &h;
    n.leaves = on_leave;
    buf_init(&bytes, 1000);
    assert_int_equal(ls_message_emit(&m, &bytes), ERR_OK);
    (void)net_step(&n, 0, (struct ls_event){.type = LS_RECV, .bytes = buf_span(&bytes)});
    assert_int_equal(h.said[LS_MSG_HELLO], 1);
    net_run(&n, 1000); /* it is called from now on */
    assert_int_equal(net_peer(&n, 0, 1).state, ADJ_INIT);
    unsigned called = h.said[LS_MSG_HELLO];
    for (int i = 0; i < 4000; i++) {
        n.now_ms++;
        (void)net_step(&n, 0, (struct ls_event){.type = LS_RECV, .bytes = buf_span(&bytes)});
    }
    assert_in_range(h.said[LS_MSG_HELLO] - called, 3, 4); /* one a second */
    assert_int_equal(net_count(&n, 0, LS_C_MISPLACED), 4001);
    buf_done(&bytes);
    net_done(&n);
}

/* Without any neighbour nothing else wakes the engine. */
static void test_adjacency__a_record_is_refreshed_when_it_is_time(void **state)
{
    enum { REFRESH_MS = 610000 };
    struct net n;
    (void)state;
    net_init(&n, 1, 1);
    n.times.refresh_ms = REFRESH_MS;
    net_node_start(&n, 0);
    for (uint64_t seq = 1; seq < 5; seq++) {
        net_run(&n, REFRESH_MS - 1);
        assert_int_equal(ls_own_version(n.nodes[0].ls)->seq, seq);
        net_run(&n, 1);
        assert_int_equal(ls_own_version(n.nodes[0].ls)->seq, seq + 1);
    }
    assert_int_equal(ls_own_version(n.nodes[0].ls)->major, 1);
    net_done(&n);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_adjacency__keep_alives_keep_an_idle_one_up),
                     cmocka_unit_test(test_adjacency__other_messages_take_the_place_of_keep_alives),
                     cmocka_unit_test(test_adjacency__silence_ends_it_after_three_keep_alives),
                     cmocka_unit_test(test_adjacency__silence_counts_from_what_was_heard),
                     cmocka_unit_test(test_adjacency__hello_is_repeated_until_it_is_answered),
                     cmocka_unit_test(test_adjacency__ends_say_why),
                     cmocka_unit_test(test_adjacency__another_instance_begins_anew),
                     cmocka_unit_test(test_adjacency__two_differing_digests_in_a_row_begin_a_comparison),
                     cmocka_unit_test(test_adjacency__the_last_record_that_was_missing_makes_it_full),
                     cmocka_unit_test(test_adjacency__who_speaks_out_of_order_is_called_and_no_more),
                     cmocka_unit_test(test_adjacency__a_record_is_refreshed_when_it_is_time));
}
