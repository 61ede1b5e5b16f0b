/* mirrors worker/reroute.c: tables that follow each other faster than held queues can be compared with them
 */
#include "tests/unit/check.h"

#include "linkstate/record_config.h"
#include "linkstate/sim.h"
#include "linkstate/snapshot.h"
#include "tests/unit/worker/bench.h"
#include "worker/core.h"

static const char yaml[] =
    "organization: test\n"
    "virtual_servers: [{name: default, listen: [\"127.0.0.1:2525\"], hostname: mx.own.example}]\n"
    "worker: {poll: 20ms}\n"
    "connectors: [{name: lab, address_spaces: [{space: \"*\"}], smart_hosts: [\"@a@\"]}]\n";
static const struct bench_mail plain = {
    .from = "s@src.example", .domain = "x.example", .rcpts = {"a@x.example"}};

static bool all_down(void *arg, struct span connector)
{
    (void)arg;
    (void)connector;
    return false;
}

/* The table in which this group announces its connectors DOWN. */
static struct route_table *table_down(struct bench *b)
{
    const struct conf_root *root = config_root(b->conf);
    struct record_health health = {.connector_up = all_down};
    struct ls_version version = {.major = 1, .seq = 1};
    struct route_table *t = NULL;
    struct ls_crypto crypto;
    struct errctx ec = {""};
    struct span name = span_cstr(root->routing_group.name);
    struct buf body, cert, header, table;
    uint32_t who = 0;
    buf_init(&body, RECORD_MAX);
    buf_init(&cert, CERT_MAX);
    buf_init(&header, LSA_HEADER_MAX);
    buf_init(&table, LS_SNAPSHOT_MAX);
    sim_crypto(&crypto, &who);
    sim_cert(who, name, &cert);
    if (record_from_config(root, SPAN("r"), NULL, 0, &health, &body, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    assert_int_equal(lsa_seal(name, &version, buf_span(&body), buf_span(&cert), &crypto, &header), ERR_OK);
    struct ls_advert ad = {1, buf_span(&header), buf_span(&body)};
    assert_int_equal(ls_advert_add(&table, &ad), ERR_OK);
    if (route_table_published(b->conf, buf_span(&table), &t, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    buf_done(&body);
    buf_done(&cert);
    buf_done(&header);
    buf_done(&table);
    return t;
}

static bool delivered(struct bench *b)
{
    return b->peer[0]->mails == b->goal && fake_store_messages(b->db) == 0;
}

static void change(struct worker *w, struct route_table *to)
{
    struct route_table *old = w->set->routes;
    w->set->routes = to;
    reroute(w, old);
}

static void test_reroute__a_way_that_is_back_before_anybody_looked_leaves_nothing_hidden(void **state)
{
    struct bench *b = bench_new(yaml);
    struct worker *w = b->worker;
    struct route_table *up = w->set->routes, *down = table_down(b);
    struct route route;
    (void)state;
    route_lookup(down, SPAN("x.example"), 0, &route);
    assert_int_equal(route.kind, ROUTE_UNREACHABLE);
    change(w, down);
    struct msgid id = bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    /* as a worker does that has found no way for it */
    assert_int_equal(store_hold(b->store, id.partition, SPAN("x.example"), 0, 3600000, 0), ERR_OK);
    change(w, up);
    route_table_unref(down);
    b->goal = 1;
    bench_until(b, delivered);
    bench_end(b);
}

int main(void)
{
    return CHECK_RUN(
        cmocka_unit_test(test_reroute__a_way_that_is_back_before_anybody_looked_leaves_nothing_hidden));
}
