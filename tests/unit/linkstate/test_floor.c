/* tests/unit/linkstate/test_floor.c — what was purged: asked for, proved, and come back. */
#include "tests/unit/linkstate/net.h"

static struct lsdb_record *record_of(const struct net *n, uint32_t node, const char *group)
{
    return lsdb_find(ls_table(n->nodes[node].ls), span_cstr(group))->record;
}

static void purge(struct net *n, uint32_t node, const char *group)
{
    (void)net_step(n, node, (struct ls_event){.type = LS_PURGE, .bytes = span_cstr(group)});
}

/* g0 - g1 - g2 */
static void line(struct net *n)
{
    net_init(n, 1, 3);
    net_link(n, 0, 1);
    net_link(n, 1, 2);
    for (uint32_t i = 0; i < 3; i++)
        net_node_start(n, i);
    net_run(n, 30000);
    assert_int_equal(ls_table(n->nodes[2].ls)->records, 3);
}

static void stop(struct net *n, uint32_t node, uint32_t neighbour)
{
    net_carrier(n, node, neighbour, false);
    ls_free(n->nodes[node].ls);
    n->nodes[node].ls = NULL;
}

/* The group lost all that it knew of itself, and everybody has purged it: its first record is below their
 * floors. It is shown what it once signed, and goes beyond. */
static void test_floor__a_group_that_begins_anew_is_shown_its_floor(void **state)
{
    struct net n;
    (void)state;
    line(&n);
    for (int i = 0; i < 3; i++)
        net_originate(&n, 0, LS_LEVEL_MAJOR);
    net_run(&n, 5000);
    struct ls_version before = *ls_own_version(n.nodes[0].ls);
    stop(&n, 0, 1);
    for (uint32_t i = 1; i < 3; i++)
        purge(&n, i, "g0");
    net_run(&n, 25u * 60 * 1000); /* mail for it waits no longer */
    assert_null(record_of(&n, 1, "g0"));
    n.nodes[0].persisted = (struct ls_version){0, 0, 0, 0};
    n.nodes[0].carrier[1] = n.nodes[1].carrier[0] = true;
    net_node_start(&n, 0);
    assert_true(ls_version_cmp(ls_own_version(n.nodes[0].ls), &before) < 0);
    net_carrier(&n, 0, 1, true);
    net_run(&n, 30000);
    assert_non_null(record_of(&n, 1, "g0"));
    assert_non_null(record_of(&n, 2, "g0"));
    assert_true(ls_version_cmp(ls_own_version(n.nodes[0].ls), &before) > 0);
    net_done(&n);
}

static void ask(struct net *n, uint32_t to, uint32_t from, struct span header)
{
    struct buf beyond, bytes;
    struct ls_advert ad = {0, header, SPAN("")};
    buf_init(&beyond, LS_MESSAGE_MAX);
    buf_init(&bytes, LS_MESSAGE_MAX);
    assert_int_equal(ls_advert_add(&beyond, &ad), ERR_OK);
    struct ls_message m = {.type = LS_MSG_REQUEST, .list = SPAN(""), .beyond = buf_span(&beyond)};
    assert_int_equal(ls_message_emit(&m, &bytes), ERR_OK);
    (void)net_step(
        n, to,
        (struct ls_event){.type = LS_RECV, .peer = n->nodes[to].peer_of[from], .bytes = buf_span(&bytes)});
    buf_done(&beyond);
    buf_done(&bytes);
}

/* Only what the group has signed makes it go beyond, and however often it is asked, it signs ever more
 * seldom. */
static void test_floor__asking_is_proved_and_bounded(void **state)
{
    struct net n;
    char forged[LSA_HEADER_MAX];
    (void)state;
    line(&n);
    struct ls_version before = *ls_own_version(n.nodes[0].ls);
    struct span header = record_of(&n, 1, "g0")->lsa.header;
    memcpy(forged, header.ptr, header.len);
    forged[1 + 1 + 2 + 3]++; /* the major version */
    ask(&n, 0, 1, span_of(forged, header.len));
    assert_int_equal(net_count(&n, 0, LS_C_FORGED), 1);
    ask(&n, 1, 2, span_of(forged, header.len));
    assert_int_equal(net_count(&n, 1, LS_C_FORGED), 1);
    net_run(&n, 5000);
    assert_int_equal(net_count(&n, 0, LS_C_FORGED), 1); /* it was not passed on */
    assert_int_equal(ls_version_cmp(ls_own_version(n.nodes[0].ls), &before), 0);
    for (int i = 0; i < 600; i++) { /* for a minute: always beyond its newest */
        ask(&n, 0, 1, record_of(&n, 0, "g0")->lsa.header);
        net_run(&n, 100);
    }
    assert_in_range(ls_own_version(n.nodes[0].ls)->seq - before.seq, 4, 7);
    assert_int_equal(net_count(&n, 0, LS_C_CONFLICT), 0);
    net_done(&n);
}

static void count_questions(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    bool slow = from + to == 2 + 3 && (from == 2 || to == 2);
    n->latency_min_ms = n->latency_max_ms = slow ? 1000 : 20;
    if (m->type == LS_MSG_REQUEST && m->beyond.len > 0)
        ++*(unsigned *)n->arg;
}

/* What the purging group asks goes round one way only. */
static bool lose_one_way(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    (void)n;
    return from == 4 && to == 3 && m->type == LS_MSG_REQUEST;
}

/* A way of the ring is so slow that what comes over it is not remembered, and who could answer is dead. */
static void test_floor__a_question_does_not_go_round_for_ever(void **state)
{
    enum { RING = 8 };
    struct net n;
    unsigned questions = 0;
    (void)state;
    net_init(&n, 1, RING + 1);
    for (uint32_t i = 0; i < RING; i++)
        net_link(&n, i, (i + 1) % RING);
    net_link(&n, 0, RING);
    for (uint32_t i = 0; i <= RING; i++)
        net_node_start(&n, i);
    net_run(&n, 30000);
    assert_int_equal(ls_table(n.nodes[4].ls)->records, RING + 1);
    stop(&n, RING, 0);
    n.leaves = count_questions;
    n.lost = lose_one_way;
    n.arg = &questions;
    purge(&n, 4, "g8");
    net_run(&n, 25u * 60 * 1000); /* whoever purged asks no longer */
    assert_true(questions > 0);
    questions = 0;
    net_run(&n, 60000);
    assert_int_equal(questions, 0);
    net_done(&n);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_floor__a_group_that_begins_anew_is_shown_its_floor),
                     cmocka_unit_test(test_floor__asking_is_proved_and_bounded),
                     cmocka_unit_test(test_floor__a_question_does_not_go_round_for_ever));
}
