/* tests/unit/cli/test_status_view.c — what status says of members and links. */
#include "cli/status_view.h"
#include "tests/unit/check.h"

#include <jansson.h>

enum { NOW = 1700000100 };

static json_t *row(const struct table *t, size_t i)
{
    json_t *rows = table_json(t), *one = json_incref(json_array_get(rows, i));
    json_decref(rows);
    return one;
}

static void number_is(const json_t *row, const char *key, json_int_t want)
{
    if (json_integer_value(json_object_get(row, key)) != want)
        fail_msg("%s is %lld, not %lld", key, (long long)json_integer_value(json_object_get(row, key)),
                 (long long)want);
}

static void null_is(const json_t *row, const char *key)
{
    assert_true(json_is_null(json_object_get(row, key)));
}

static const struct admin_member members[] = {
    {.name = SPAN_INIT("node-1"),
     .info = SPAN_INIT(
         "role=node host=mx1 version=0.1.0 pid=42 since_ms=1700000000 total=90 per_minute=7 open=3"),
     .lease_ms = NOW + 2000},
    {.name = SPAN_INIT("node-2"), .info = SPAN_INIT("role=node host=mx2 per_minute=5"), .lease_ms = NOW + 1},
    {.name = SPAN_INIT("worker-1"),
     .info = SPAN_INIT("role=worker host=mx1 per_minute=4"),
     .lease_ms = NOW + 1,
     .slots = 11,
     .jobs = 12},
    {.name = SPAN_INIT("worker-2"),
     .info = SPAN_INIT("role=worker host=mx2 per_minute=100"),
     .lease_ms = NOW},
    {.name = SPAN_INIT("router-1"), .info = SPAN_INIT("role=router host=r1"), .lease_ms = NOW + 1},
    {.name = SPAN_INIT("router-2"),
     .info = SPAN_INIT("role=router host=r2"),
     .lease_ms = NOW + 1,
     .master = true},
};

static void test_status_view__members_of_each_kind(void **state)
{
    struct status_view v;
    (void)state;
    assert_int_equal(status_view_init(&v), ERR_OK);
    CHECK_EACH (members, m) {
        struct admin_member one = *m;
        one.now_ms = NOW;
        assert_int_equal(status_view_member(&v, &one), ERR_OK);
    }
    assert_int_equal(v.nodes.n, 2);
    assert_int_equal(v.nodes.per_minute, 12);
    assert_int_equal(v.workers.n, 1); /* the lease of the other one has ended */
    assert_int_equal(v.workers.per_minute, 4);
    assert_int_equal(v.routers.n, 2);
    assert_string_equal(v.master, "r2");

    json_t *node = row(v.members, 0), *worker = row(v.members, 2), *dead = row(v.members, 3),
           *router = row(v.members, 5);
    assert_string_equal(json_string_value(json_object_get(node, "host")), "mx1");
    number_is(node, "pid", 42);
    number_is(node, "up_ms", 100);
    number_is(node, "lease_ms", 2000);
    number_is(node, "open", 3);
    number_is(node, "total", 90);
    null_is(node, "slots");
    null_is(node, "jobs");
    null_is(node, "master");
    number_is(worker, "slots", 11);
    number_is(worker, "jobs", 12);
    number_is(dead, "lease_ms", 0);
    null_is(router, "per_minute");
    assert_true(json_is_true(json_object_get(router, "master")));
    json_decref(node);
    json_decref(worker);
    json_decref(dead);
    json_decref(router);
    status_view_done(&v);
}

static void test_status_view__a_master_whose_lease_ended_is_none(void **state)
{
    struct status_view v;
    struct admin_member m = members[5];
    (void)state;
    assert_int_equal(status_view_init(&v), ERR_OK);
    m.now_ms = m.lease_ms;
    assert_int_equal(status_view_member(&v, &m), ERR_OK);
    assert_int_equal(v.routers.n, 0);
    assert_string_equal(v.master, "");
    status_view_done(&v);
    status_view_done(&v);
}

static void test_status_view__links_and_their_next_try(void **state)
{
    static const struct {
        ms_t until_ms;
        bool has_next;
    } cases[] = {{0, false}, {NOW, false}, {NOW + 500, true}};
    struct status_view v;
    (void)state;
    assert_int_equal(status_view_init(&v), ERR_OK);
    CHECK_EACH (cases, c) {
        struct admin_link k = {
            .link = SPAN("connector:x"),
            .slots = 2,
            .state = {.failures = 3, .until_ms = c->until_ms, .last_error = SPAN("refused")},
            .now_ms = NOW};
        assert_int_equal(status_view_link(&v, &k), ERR_OK);
        json_t *link = row(v.links, table_rows(v.links) - 1);
        number_is(link, "slots", 2);
        number_is(link, "failures", 3);
        assert_string_equal(json_string_value(json_object_get(link, "last_error")), "refused");
        if (c->has_next)
            number_is(link, "next_try_ms", 500);
        else
            null_is(link, "next_try_ms");
        json_decref(link);
    }
    status_view_done(&v);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_status_view__members_of_each_kind),
                     cmocka_unit_test(test_status_view__a_master_whose_lease_ended_is_none),
                     cmocka_unit_test(test_status_view__links_and_their_next_try));
}
