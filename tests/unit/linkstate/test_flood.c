/* tests/unit/linkstate/test_flood.c — what crosses an adjacency for a change: seen message by message, over
 * random graphs and every kind of change, and what is said again when something is lost. */
#include "tests/unit/linkstate/net.h"

#include <stdlib.h>

enum { CROSSINGS = 4096, LATENCY_MAX = 20 };

/* --- What a test knows of the network ----------------------------------------------------------------- */

struct crossing {
    uint32_t from, to, group;
    struct ls_version version;
};
struct view {
    struct crossing crossed[CROSSINGS]; /* ADVERTISEs that left */
    size_t ncrossed;
    struct ls_version shown[NET_NODES][NET_NODES]
                           [NET_NODES]; /* [a][b][group]: b has shown to a that it holds it */
    unsigned acks[NET_NODES][NET_NODES], adverts[NET_NODES][NET_NODES]; /* items, by direction */
    unsigned bodies, requests;
    ms_t heard_ms[NET_NODES][NET_NODES]; /* [a][group]: when the last record of it arrived first */
};

static uint32_t number_of(struct span group)
{
    assert_int_equal(group.len, 2);
    return (uint32_t)(group.ptr[1] - '0');
}

static void show(struct view *v, uint32_t to, uint32_t by, uint32_t group, const struct ls_version *version)
{
    if (ls_version_cmp(version, &v->shown[to][by][group]) > 0)
        v->shown[to][by][group] = *version;
}

static void on_leave(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    struct view *v = n->arg;
    struct rd r = rd_open(m->list);
    struct ls_advert ad;
    struct ls_item item;
    v->requests += m->type == LS_MSG_REQUEST;
    while (m->type == LS_MSG_ACK && ls_item_next(&r, &item))
        v->acks[from][to]++;
    while (m->type == LS_MSG_ADVERTISE && ls_advert_next(&r, &ad)) {
        struct lsa lsa;
        assert_int_equal(lsa_parse(ad.header, &lsa), ERR_OK);
        struct crossing c = {from, to, number_of(lsa.group), lsa.version};
        v->bodies += ad.body.len > 0;
        v->adverts[from][to]++;
        for (size_t i = 0; i < v->ncrossed; i++)
            if (v->crossed[i].from == from && v->crossed[i].to == to && v->crossed[i].group == c.group &&
                ls_version_cmp(&v->crossed[i].version, &c.version) == 0)
                fail_msg("g%u %u.%u.%u#%u crossed from g%u to g%u twice", c.group, c.version.major,
                         c.version.minor, c.version.user, (unsigned)c.version.seq, from, to);
        if (ls_version_cmp(&v->shown[from][to][c.group], &c.version) >= 0) /* L4 */
            fail_msg("g%u told g%u what that had shown to hold of g%u", from, to, c.group);
        assert_true(v->ncrossed < CROSSINGS);
        v->crossed[v->ncrossed++] = c;
    }
}

static void on_arrive(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    struct view *v = n->arg;
    struct rd r = rd_open(m->list);
    struct ls_advert ad;
    struct ls_item item;
    while (m->type == LS_MSG_ADVERTISE && ls_advert_next(&r, &ad)) {
        struct lsa lsa;
        assert_int_equal(lsa_parse(ad.header, &lsa), ERR_OK);
        uint32_t group = number_of(lsa.group);
        show(v, to, from, group, &lsa.version);
        const struct lsdb_slot *slot = lsdb_find(ls_table(n->nodes[to].ls), lsa.group);
        struct ls_version held = slot != NULL ? lsdb_version(slot) : (struct ls_version){0, 0, 0, 0};
        if (ls_version_cmp(&lsa.version, &held) > 0)
            v->heard_ms[to][group] = n->now_ms;
    }
    while (m->type == LS_MSG_ACK && ls_item_next(&r, &item))
        show(v, to, from, number_of(item.group), &item.version);
}

/* A new count; what neighbours have shown stays known. */
static void count_anew(struct view *v)
{
    v->ncrossed = 0;
    v->bodies = v->requests = 0;
    memset(v->acks, 0, sizeof v->acks);
    memset(v->adverts, 0, sizeof v->adverts);
}

/* A tree, and some more links. */
static void random_graph(struct net *n)
{
    for (uint32_t i = 1; i < n->size; i++)
        net_link(n, i, (uint32_t)rng_below(&n->rng, i));
    for (uint64_t more = rng_below(&n->rng, 2 * n->size); more > 0; more--) {
        uint32_t a = (uint32_t)rng_below(&n->rng, n->size), b = (uint32_t)rng_below(&n->rng, n->size);
        if (a != b)
            net_link(n, a, b);
    }
}

static void hops_from(const struct net *n, uint32_t first, unsigned hops[NET_NODES])
{
    uint32_t queue[NET_NODES], end = 1;
    memset(hops, 0, NET_NODES * sizeof hops[0]);
    queue[0] = first;
    for (uint32_t at = 0; at < end; at++)
        for (uint32_t to = 0; to < n->size; to++)
            if (n->nodes[queue[at]].carrier[to] && to != first && hops[to] == 0) {
                hops[to] = hops[queue[at]] + 1;
                queue[end++] = to;
            }
    assert_int_equal(end, n->size);
}

/* Equal tables, nothing that waits for an acknowledgement; FULL, unless a change has just been there: two
 * keep-alives in a row that changes overtook begin a comparison. */
static void check_settled(const struct net *n, bool at_rest)
{
    const struct lsdb *first = ls_table(n->nodes[0].ls);
    assert_int_equal(first->records, n->size);
    for (uint32_t a = 0; a < n->size; a++) {
        assert_true(ls_sum_eq(ls_table(n->nodes[a].ls)->sum, first->sum));
        assert_int_equal(net_count(n, a, LS_C_RETRANSMITTED), 0);
        assert_int_equal(net_count(n, a, LS_C_IGNORED), 0);
        for (uint32_t b = 0; b < n->size; b++)
            if (n->nodes[a].carrier[b]) {
                assert_true(net_peer(n, a, b).state == ADJ_FULL ||
                            (!at_rest && net_peer(n, a, b).state == ADJ_SYNC));
                assert_int_equal(net_peer(n, a, b).pending, 0);
            }
    }
}

/* Each adjacency was crossed, in one direction or in both; what came was acknowledged at most once. */
static void check_crossed(const struct net *n, const struct view *v, unsigned changes)
{
    for (uint32_t a = 0; a < n->size; a++)
        for (uint32_t b = 0; b < n->size; b++)
            if (n->nodes[a].carrier[b]) {
                assert_in_range(v->adverts[a][b] + v->adverts[b][a], 1, 2 * changes);
                assert_true(v->acks[b][a] <= v->adverts[a][b]);
            }
}

enum change { UP_DOWN, CONFIGURATION, MEMBERS, REFRESH, ROTATION, TWO_GROUPS, TWICE, CHANGES };

/* Another key for the group, in a certificate with a higher serial. */
static void rotate(struct net_node *at)
{
    uint32_t organization = INT32_MAX;
    struct ls_crypto crypto;
    struct ls_cert old, next;
    struct buf other;
    assert_int_equal(cert_parse(buf_span(&at->cert), &old), ERR_OK);
    uint64_t serial = old.serial + 1;
    at->key += 1000;
    buf_init(&other, CERT_MAX);
    sim_cert(at->key, span_cstr(at->name), &other);
    assert_int_equal(cert_parse(buf_span(&other), &next), ERR_OK);
    sim_crypto(&crypto, &organization);
    buf_clear(&at->cert);
    assert_int_equal(cert_seal(SPAN("sim"), span_cstr(at->name), next.key, serial, &crypto, &at->cert),
                     ERR_OK);
    assert_int_equal(ls_set_cert(at->ls, buf_span(&at->cert)), ERR_OK);
    buf_done(&other);
}

static void one_change(struct net *n, uint32_t node, enum change what)
{
    struct net_node *at = &n->nodes[node];
    switch (what) {
    case UP_DOWN:
    case TWO_GROUPS:
    case TWICE:
        at->connector_up = !at->connector_up;
        net_originate(n, node, LS_LEVEL_MINOR);
        break;
    case CONFIGURATION:
        at->cost = at->cost % 100 + 1;
        net_originate(n, node, LS_LEVEL_MAJOR);
        break;
    case MEMBERS:
        at->members = at->members % 4 + 1;
        net_originate(n, node, LS_LEVEL_USER);
        break;
    case ROTATION:
        rotate(at);
        net_originate(n, node, LS_LEVEL_REFRESH);
        break;
    case REFRESH:
    case CHANGES:
        net_originate(n, node, LS_LEVEL_REFRESH);
        break;
    }
}

static void check_change(struct net *n, enum change what)
{
    struct view *v = n->arg;
    uint32_t node = (uint32_t)rng_below(&n->rng, n->size), other = (node + 1) % n->size;
    unsigned hops[NET_NODES];
    ms_t begin = n->now_ms;
    hops_from(n, node, hops);
    count_anew(v);
    one_change(n, node, what);
    if (what == TWO_GROUPS)
        one_change(n, other, CONFIGURATION);
    if (what == TWICE) {
        net_run(n, rng_below(&n->rng, 30));
        one_change(n, node, what);
    }
    net_run(n, 800); /* before anything is said again */
    check_crossed(n, v, what == TWO_GROUPS || what == TWICE ? 2 : 1);
    assert_int_equal(v->requests, 0);
    assert_true(what == REFRESH || what == ROTATION ? v->bodies == 0 : v->bodies == v->ncrossed);
    for (uint32_t i = 0; i < n->size && what != TWICE; i++)
        assert_true(i == node || (v->heard_ms[i][node] > begin &&
                                  v->heard_ms[i][node] <= begin + (ms_t)hops[i] * LATENCY_MAX));
    check_settled(n, false);
    assert_true(n->notices == 0 || what == TWICE); /* the older of two changes may come late */
    n->notices = 0;
}

/* A router forgets all and begins anew: each of its neighbours brings it what it lacks, once. */
static void check_restart(struct net *n)
{
    struct view *v = n->arg;
    uint32_t node = (uint32_t)rng_below(&n->rng, n->size);
    struct net_node *at = &n->nodes[node];
    count_anew(v);
    for (uint32_t i = 0; i < n->size; i++) {
        memset(v->shown[i][node], 0, sizeof v->shown[i][node]);
        memset(v->shown[node][i], 0, sizeof v->shown[node][i]);
    }
    ls_free(at->ls);
    at->ls = NULL;
    net_run(n, LATENCY_MAX); /* what was on its way to it is gone */
    net_node_start(n, node);
    net_run(n, 20000);
    check_settled(n, true);
    n->notices = 0; /* its former neighbours may still have spoken to its former self */
}

static void test_flood__a_change_crosses_each_adjacency_at_most_once_each_way(void **state)
{
    struct view *v = malloc(sizeof *v);
    uint64_t seed = check_seed();
    (void)state;
    assert_non_null(v);
    for (unsigned graph = 0; graph < 60; graph++) {
        struct net n;
        *v = (struct view){.ncrossed = 0};
        net_init(&n, seed + graph, 2 + graph % (NET_NODES - 1));
        n.latency_min_ms = 1;
        n.latency_max_ms = LATENCY_MAX;
        n.arg = v;
        n.leaves = on_leave;
        n.arrives = on_arrive;
        random_graph(&n);
        for (uint32_t i = 0; i < n.size; i++)
            net_node_start(&n, i);
        net_run(&n, 20000); /* also tables that are compared for the first time cross once */
        check_settled(&n, true);
        for (unsigned i = 0; i < 3 * CHANGES; i++) {
            check_change(&n, (enum change)(i % CHANGES));
            net_run(&n, rng_below(&n.rng, 6000)); /* keep-alives say nothing more of it */
        }
        net_run(&n, 20000);
        check_settled(&n, true);
        check_restart(&n);
        net_done(&n);
    }
    free(v);
}

/* Changes while a link is down cross it once when it is up again, and nothing else does. */
static void test_flood__a_link_that_comes_back_brings_what_is_missing(void **state)
{
    struct view *v = malloc(sizeof *v);
    uint64_t seed = check_seed();
    (void)state;
    assert_non_null(v);
    for (unsigned round = 0; round < 40; round++) {
        struct net n;
        *v = (struct view){.ncrossed = 0};
        net_init(&n, seed + round, 6); /* two triangles and a link between them */
        n.arg = v;
        n.leaves = on_leave;
        n.arrives = on_arrive;
        for (uint32_t i = 0; i < 6; i++)
            net_link(&n, i, i % 3 == 2 ? i - 2 : i + 1);
        net_link(&n, 2, 3);
        for (uint32_t i = 0; i < 6; i++)
            net_node_start(&n, i);
        net_run(&n, 20000);
        check_settled(&n, true);
        net_carrier(&n, 2, 3, false);
        unsigned left = 1 + (unsigned)rng_below(&n.rng, 3), right = 1 + (unsigned)rng_below(&n.rng, 3);
        for (uint32_t i = 0; i < left; i++)
            one_change(&n, i, (enum change)(rng_below(&n.rng, ROTATION)));
        for (uint32_t i = 0; i < right; i++)
            one_change(&n, 3 + i, (enum change)(rng_below(&n.rng, ROTATION)));
        net_run(&n, 10000);
        assert_false(ls_sum_eq(ls_table(n.nodes[0].ls)->sum, ls_table(n.nodes[5].ls)->sum));
        count_anew(v);
        net_carrier(&n, 2, 3, true);
        net_run(&n, 900);
        assert_int_equal(v->adverts[2][3], left);
        assert_int_equal(v->adverts[3][2], right);
        net_run(&n, 11000);
        assert_int_equal(v->adverts[2][3] + v->adverts[3][2], left + right);
        check_settled(&n, true);
        net_done(&n);
    }
    free(v);
}

/* --- What is lost ------------------------------------------------------------------------------------- */

struct losing {
    enum ls_message_type type;
    unsigned left;    /* so many more are lost */
    ms_t said_ms[64]; /* when messages of the type left */
    unsigned said;
};

static bool lose(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    struct losing *l = n->arg;
    (void)from, (void)to;
    if (m->type != l->type)
        return false;
    if (l->said < 64)
        l->said_ms[l->said++] = n->now_ms;
    if (l->left == 0)
        return false;
    l->left--;
    return true;
}

/* hello_ms: long, where comparing tables should not repair what was lost. */
static void two(struct net *n, struct losing *l, ms_t hello_ms)
{
    net_init(n, 1, 2);
    n->times.hello_ms = hello_ms;
    net_link(n, 0, 1);
    net_node_start(n, 0);
    net_node_start(n, 1);
    net_run(n, 900);
    assert_true(ls_sum_eq(ls_table(n->nodes[0].ls)->sum, ls_table(n->nodes[1].ls)->sum));
    n->arg = l;
    n->lost = lose;
}

/* docs/protocol.md: again after 1, 2, 4 and then every 8 s, until it is acknowledged. */
static void test_flood__what_is_lost_is_said_again_ever_later(void **state)
{
    static const ms_t pauses[] = {1000, 2000, 4000, 8000, 8000, 8000, 8000};
    struct losing l = {.type = LS_MSG_ADVERTISE, .left = ARRAY_LEN(pauses)};
    struct net n;
    (void)state;
    two(&n, &l, 600000);
    one_change(&n, 0, UP_DOWN);
    net_run(&n, 120000);
    assert_int_equal(l.said, ARRAY_LEN(pauses) + 1);
    for (unsigned i = 0; i < ARRAY_LEN(pauses); i++)
        assert_int_equal(l.said_ms[i + 1] - l.said_ms[i], pauses[i]);
    assert_int_equal(net_count(&n, 0, LS_C_RETRANSMITTED), ARRAY_LEN(pauses));
    assert_int_equal(net_count(&n, 1, LS_C_DUPLICATE), 0);
    assert_int_equal(net_peer(&n, 0, 1).pending, 0);
    assert_true(ls_sum_eq(ls_table(n.nodes[0].ls)->sum, ls_table(n.nodes[1].ls)->sum));
    net_done(&n);
}

/* The record came, its acknowledgement did not: said again, known already, acknowledged again. */
static void test_flood__a_lost_acknowledgement_is_repeated(void **state)
{
    enum { LOST = 3 };
    struct losing l = {.type = LS_MSG_ACK, .left = LOST};
    struct net n;
    (void)state;
    two(&n, &l, 600000);
    one_change(&n, 0, UP_DOWN);
    net_run(&n, 60000);
    assert_int_equal(l.said, LOST + 1);
    assert_int_equal(net_count(&n, 0, LS_C_RETRANSMITTED), LOST);
    assert_int_equal(net_count(&n, 1, LS_C_DUPLICATE), LOST);
    assert_int_equal(net_peer(&n, 0, 1).pending, 0);
    net_done(&n);
}

/* A newer record takes the place of the one that waits: only that is said again. */
static void test_flood__only_the_newest_is_said_again(void **state)
{
    struct losing l = {.type = LS_MSG_ADVERTISE, .left = 2};
    struct net n;
    (void)state;
    two(&n, &l, 600000);
    one_change(&n, 0, UP_DOWN);
    net_run(&n, 500);
    one_change(&n, 0, CONFIGURATION);
    net_run(&n, 60000);
    assert_int_equal(l.said, 3);
    assert_int_equal(net_count(&n, 0, LS_C_RETRANSMITTED), 1);
    assert_int_equal(net_count(&n, 1, LS_C_ACCEPTED), 2); /* the first one, long ago, and this */
    net_done(&n);
}

/* A refresh whose body the neighbour has dropped: it asks, and gets it. The refresh was asked for, too. */
static void test_flood__a_refresh_without_its_body_is_asked_for(void **state)
{
    struct losing l = {.type = LS_MSG_REQUEST};
    struct net n;
    (void)state;
    two(&n, &l, 600000);
    (void)net_step(&n, 1, (struct ls_event){.type = LS_PURGE, .bytes = SPAN("g0")});
    assert_int_equal(ls_table(n.nodes[1].ls)->records, 1);
    net_run(&n, 900);
    assert_int_equal(l.said, 2);
    assert_int_equal(net_count(&n, 0, LS_C_RETRANSMITTED), 0);
    assert_true(ls_sum_eq(ls_table(n.nodes[0].ls)->sum, ls_table(n.nodes[1].ls)->sum));
    net_done(&n);
}

/* The same record from the other side is an acknowledgement, too. */
static bool lose_acks_between_2_and_3(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    (void)n;
    return m->type == LS_MSG_ACK && from + to == 5 && from != 0 && to != 0;
}

static void test_flood__a_record_that_comes_back_acknowledges(void **state)
{
    struct net n;
    (void)state;
    net_init(&n, 1, 4); /* 2 and 3 hear the same from 0 at once */
    n.latency_min_ms = n.latency_max_ms = 5;
    net_link(&n, 0, 2);
    net_link(&n, 0, 3);
    net_link(&n, 2, 3);
    net_link(&n, 0, 1);
    for (uint32_t i = 0; i < 4; i++)
        net_node_start(&n, i);
    net_run(&n, 20000);
    check_settled(&n, true);
    n.lost = lose_acks_between_2_and_3;
    one_change(&n, 0, UP_DOWN);
    net_run(&n, 60000);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(net_count(&n, i, LS_C_RETRANSMITTED), 0);
    assert_int_equal(net_peer(&n, 2, 3).pending + net_peer(&n, 3, 2).pending, 0);
    net_done(&n);
}

/* What a step says to a neighbour: the first message of that type; NONE when there is none. */
static struct ls_message said_to(const struct net *n, const struct ls_output *out, uint32_t node, uint32_t to,
                                 enum ls_message_type type)
{
    struct ls_message m;
    for (size_t i = 0; i < out->nsends; i++) {
        assert_int_equal(ls_message_parse(out->sends[i].bytes, &m, NULL), ERR_OK);
        if (net_of_peer(n, node, out->sends[i].peer) == to && m.type == type)
            return m;
    }
    return (struct ls_message){.type = LS_MSG_NONE};
}

static struct ls_output offer(struct net *n, uint32_t to, uint32_t from, const struct lsdb_record *r,
                              bool body)
{
    struct buf list, bytes;
    struct ls_advert ad = {0, r->lsa.header, body ? r->body : SPAN("")};
    buf_init(&list, LS_MESSAGE_MAX);
    buf_init(&bytes, LS_MESSAGE_MAX);
    assert_int_equal(ls_advert_add(&list, &ad), ERR_OK);
    struct ls_message m = {.type = LS_MSG_ADVERTISE, .list = buf_span(&list)};
    assert_int_equal(ls_message_emit(&m, &bytes), ERR_OK);
    struct ls_output out = net_step(
        n, to,
        (struct ls_event){.type = LS_RECV, .peer = n->nodes[to].peer_of[from], .bytes = buf_span(&bytes)});
    buf_done(&list);
    buf_done(&bytes);
    return out;
}

static struct lsdb_record *held(const struct net *n, uint32_t node, uint32_t group)
{
    const struct lsdb_slot *s = lsdb_find(ls_table(n->nodes[node].ls), span_cstr(n->nodes[group].name));
    assert_true(s != NULL && s->record != NULL);
    return lsdb_record_ref(s->record);
}

static void three_in_a_row(struct net *n)
{
    net_init(n, 1, 3);
    net_link(n, 0, 1);
    net_link(n, 1, 2);
    for (uint32_t i = 0; i < 3; i++)
        net_node_start(n, i);
    net_run(n, 20000);
    check_settled(n, true);
}

static void test_flood__an_older_record_is_answered_with_the_held_one(void **state)
{
    struct net n;
    struct lsa lsa;
    struct ls_advert ad;
    (void)state;
    three_in_a_row(&n);
    struct lsdb_record *old = held(&n, 1, 0);
    one_change(&n, 0, UP_DOWN);
    net_run(&n, 5000);
    struct lsdb_record *now = held(&n, 1, 0);
    struct ls_output out = offer(&n, 1, 2, old, true);
    struct ls_message m = said_to(&n, &out, 1, 2, LS_MSG_ADVERTISE);
    assert_int_equal(m.type, LS_MSG_ADVERTISE);
    struct rd r = rd_open(m.list);
    assert_true(ls_advert_next(&r, &ad) && lsa_parse(ad.header, &lsa) == ERR_OK);
    assert_int_equal(ls_version_cmp(&lsa.version, &now->lsa.version), 0);
    assert_true(ad.body.len > 0);
    assert_int_equal(said_to(&n, &out, 1, 0, LS_MSG_ADVERTISE).type, LS_MSG_NONE);
    out = offer(&n, 1, 2, old, true); /* it is on its way */
    assert_int_equal(said_to(&n, &out, 1, 2, LS_MSG_ADVERTISE).type, LS_MSG_NONE);
    lsdb_record_unref(old);
    lsdb_record_unref(now);
    net_done(&n);
}

/* What says that routes may differ: a body that is another one, not a refresh. Who signs is told at once,
 * too. */
static void test_flood__only_another_body_or_key_changes_the_table(void **state)
{
    static const enum change changes[] = {UP_DOWN, REFRESH, ROTATION};
    struct net n;
    (void)state;
    three_in_a_row(&n);
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        enum change change = changes[i];
        net_carrier(&n, 0, 1, false); /* so that this test brings the record */
        one_change(&n, 0, change);
        struct lsdb_record *r = held(&n, 0, 0);
        struct ls_output out = offer(&n, 1, 2, r, change == UP_DOWN);
        assert_int_equal(out.table_changed, change != REFRESH);
        assert_int_equal(said_to(&n, &out, 1, 2, LS_MSG_ACK).type, LS_MSG_ACK);
        lsdb_record_unref(r);
        net_carrier(&n, 0, 1, true);
        net_run(&n, 5000);
    }
    net_done(&n);
}

/* A record may not grow younger on its way: ages are rounded upwards. */
static void test_flood__ages_grow(void **state)
{
    struct losing l = {.type = LS_MSG_NONE};
    struct net n;
    struct ls_advert ad;
    (void)state;
    two(&n, &l, 600000);
    struct ls_item item = {.group = SPAN("g0")};
    struct buf list, bytes;
    buf_init(&list, 1000);
    buf_init(&bytes, 1000);
    assert_int_equal(ls_item_add(&list, &item), ERR_OK);
    struct ls_message ask = {.type = LS_MSG_REQUEST, .list = buf_span(&list)};
    assert_int_equal(ls_message_emit(&ask, &bytes), ERR_OK);
    ms_t born = lsdb_find(ls_table(n.nodes[0].ls), SPAN("g0"))->born_ms;
    for (ms_t age = 900; age < 6000; age += 700) {
        n.now_ms = born + age;
        struct ls_output out = net_step(&n, 0, (struct ls_event){.type = LS_RECV, .bytes = buf_span(&bytes)});
        struct ls_message m = said_to(&n, &out, 0, 1, LS_MSG_ADVERTISE);
        struct rd r = rd_open(m.list);
        assert_true(ls_advert_next(&r, &ad));
        assert_int_equal(ad.age_s, (age + 999) / 1000);
    }
    buf_done(&list);
    buf_done(&bytes);
    net_done(&n);
}

/* Whatever 0 says to 3 is lost. */
static bool lose_0_to_3(struct net *n, uint32_t from, uint32_t to, const struct ls_message *m)
{
    (void)n;
    return m->type == LS_MSG_ADVERTISE && from == 0 && to == 3;
}

/* What was purged while it waited for an acknowledgement is not said again; what waits beside it is. */
static void test_flood__a_purged_record_does_not_stop_the_others(void **state)
{
    struct net n;
    (void)state;
    net_init(&n, 1, 4); /* a star */
    n.times.hello_ms = 600000;
    for (uint32_t i = 1; i < 4; i++)
        net_link(&n, 0, i);
    for (uint32_t i = 0; i < 4; i++)
        net_node_start(&n, i);
    net_run(&n, 900);
    const struct lsdb *db = ls_table(n.nodes[0].ls);
    bool first = lsdb_find(db, SPAN("g1"))->number < lsdb_find(db, SPAN("g2"))->number;
    uint32_t gone = first ? 1 : 2, stays = first ? 2 : 1;
    n.lost = lose_0_to_3;
    one_change(&n, gone, UP_DOWN);
    one_change(&n, stays, UP_DOWN);
    net_run(&n, 100);
    assert_int_equal(net_peer(&n, 0, 3).pending, 2);
    (void)net_step(&n, 0, (struct ls_event){.type = LS_PURGE, .bytes = span_cstr(n.nodes[gone].name)});
    n.lost = NULL;
    net_run(&n, 1100);
    assert_int_equal(net_count(&n, 0, LS_C_RETRANSMITTED), 1);
    assert_int_equal(net_peer(&n, 0, 3).pending, 0);
    struct lsdb_record *r = held(&n, 3, stays);
    assert_int_equal(r->lsa.version.minor, 1);
    lsdb_record_unref(r);
    net_done(&n);
}

/* Two masters of one group signed one version: both records meet, and everybody keeps the same one. */
static void test_flood__two_records_of_one_version_are_settled(void **state)
{
    struct net n;
    uint32_t key = 7;
    struct ls_crypto crypto;
    struct buf cert;
    (void)state;
    net_init(&n, 1, 4);
    for (uint32_t i = 1; i < 4; i++)
        net_link(&n, i - 1, i);
    for (uint32_t i = 0; i < 4; i++)
        net_node_start(&n, i);
    net_run(&n, 20000);
    net_carrier(&n, 1, 2, false);
    sim_crypto(&crypto, &key);
    buf_init(&cert, CERT_MAX);
    sim_cert(key, SPAN("g7"), &cert);
    for (uint32_t side = 0; side < 2; side++) {
        struct record r = {.master = side == 0 ? SPAN("m1") : SPAN("m2")};
        struct ls_version v = {1, 0, 0, 1};
        struct lsdb_record twin;
        struct buf header, body;
        buf_init(&header, LSA_HEADER_MAX);
        buf_init(&body, RECORD_MAX);
        assert_int_equal(record_emit(&r, &body), ERR_OK);
        assert_int_equal(lsa_seal(SPAN("g7"), &v, buf_span(&body), buf_span(&cert), &crypto, &header),
                         ERR_OK);
        twin.lsa.header = buf_span(&header);
        twin.body = buf_span(&body);
        (void)offer(&n, 3 * side, 1 + side, &twin, true); /* 0 as if from 1, 3 as if from 2 */
        buf_done(&header);
        buf_done(&body);
    }
    buf_done(&cert);
    net_run(&n, 30000); /* each side knows its own by now */
    assert_int_equal(ls_table(n.nodes[1].ls)->records, 5);
    assert_int_equal(ls_table(n.nodes[2].ls)->records, 5);
    assert_false(ls_sum_eq(ls_table(n.nodes[0].ls)->sum, ls_table(n.nodes[3].ls)->sum));
    net_carrier(&n, 1, 2, true);
    net_run(&n, 20000);
    for (uint32_t i = 1; i < 4; i++)
        assert_true(ls_sum_eq(ls_table(n.nodes[0].ls)->sum, ls_table(n.nodes[i].ls)->sum));
    assert_true(net_count(&n, 1, LS_C_CONFLICT) + net_count(&n, 2, LS_C_CONFLICT) > 0);
    net_done(&n);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_flood__a_change_crosses_each_adjacency_at_most_once_each_way),
                     cmocka_unit_test(test_flood__a_link_that_comes_back_brings_what_is_missing),
                     cmocka_unit_test(test_flood__what_is_lost_is_said_again_ever_later),
                     cmocka_unit_test(test_flood__a_lost_acknowledgement_is_repeated),
                     cmocka_unit_test(test_flood__only_the_newest_is_said_again),
                     cmocka_unit_test(test_flood__a_refresh_without_its_body_is_asked_for),
                     cmocka_unit_test(test_flood__a_record_that_comes_back_acknowledges),
                     cmocka_unit_test(test_flood__an_older_record_is_answered_with_the_held_one),
                     cmocka_unit_test(test_flood__only_another_body_or_key_changes_the_table),
                     cmocka_unit_test(test_flood__ages_grow),
                     cmocka_unit_test(test_flood__a_purged_record_does_not_stop_the_others),
                     cmocka_unit_test(test_flood__two_records_of_one_version_are_settled));
}
