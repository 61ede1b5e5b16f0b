/* mirrors worker/link_plan.c: what a link does with the targets it knows when their time is over. The
 * resolver fails at once (there is none), or does not answer (a socket that nobody reads). */
#include "tests/unit/check.h"

#include "tests/unit/worker/bench.h"
#include "worker/core.h"
#include "worker/resolve.h"

#include <arpa/inet.h>

static const char *const yaml =
    "organization: test\n"
    "virtual_servers: [{name: default, listen: [\"127.0.0.1:2525\"], hostname: mx.own.example}]\n"
    "connectors: [{name: lab, type: smtp, address_spaces: [{space: \"*\"}], deliver: dns}]\n";

/* A link to x.example with mail that waits, and a plan whose time to live is over, unless end_ms is 0. */
static struct link *link_of(struct bench *b, ms_t end_ms)
{
    struct dmq q = {.domain = SPAN("x.example"), .depth = 1};
    struct route route;
    struct link *link;

    route_lookup(b->worker->set->routes, q.domain, 0, &route);
    link = links_get(b->worker, &route, q.domain);
    assert_non_null(link);
    link_enter(link, LINK_OPEN);
    link_add_due(link, 0, &q);
    if (end_ms == 0)
        return link;
    link->plan = calloc(1, sizeof *link->plan);
    assert_non_null(link->plan);
    *link->plan = (struct targets_plan){.kind = TARGETS_DNS, .nhosts = 1};
    link->plan_end_ms = end_ms;
    return link;
}

static bool answered(struct bench *b)
{
    return b->worker->links->resolve == NULL;
}

static void test_link_plan__an_old_one_is_used_while_no_server_answers(void **state)
{
    static const struct {
        ms_t end_ms; /* from now; 0: no plan */
        enum link_phase phase;
        uint64_t stale;
    } cases[] = {{TARGETS_STALE_MS, LINK_OPEN, 1}, {60000, LINK_OPEN, 1}, {0, LINK_HELD, 0}};
    (void)state;
    CHECK_EACH (cases, c) {
        struct bench *b = bench_new(yaml);
        ms_t now = loop_now(b->loop);
        struct link *link = link_of(b, c->end_ms > 0 ? now + c->end_ms : 0);

        link_look_up(link);
        assert_non_null(link->resolve);
        assert_false(link_has_plan(link)); /* the answer may come soon */
        bench_until(b, answered);
        assert_int_equal(link->phase, c->phase);
        assert_int_equal(link_has_plan(link), c->phase == LINK_OPEN);
        assert_int_equal(metric_get(&b->worker->m.plans_stale), c->stale);
        if (c->phase == LINK_OPEN)
            assert_true(link->plan_until_ms >= now + TARGETS_TTL_MIN_MS &&
                        link->plan_end_ms == now + c->end_ms);
        bench_free(b);
    }
}

static void test_link_plan__an_old_one_is_not_used_for_ever(void **state)
{
    struct bench *b = bench_new(yaml);
    struct link *link = link_of(b, loop_now(b->loop));
    (void)state;
    link_look_up(link);
    assert_null(link->plan);
    bench_until(b, answered);
    assert_int_equal(link->phase, LINK_HELD);
    assert_false(link_has_plan(link));
    bench_free(b);
}

static void test_link_plan__an_old_one_waits_a_while_for_a_new_one(void **state)
{
    struct bench *b = bench_new(yaml);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    char text[32], *servers[] = {text};
    struct errctx ec = {""};
    struct link *link;
    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    (void)snprintf(text, sizeof text, "127.0.0.1@%u", (unsigned)ntohs(at.sin_port));
    assert_int_equal(dns_new(b->loop, servers, 1, 600000, 1 << 20, &b->worker->dns, &ec), ERR_OK);
    link = link_of(b, loop_now(b->loop) + 60000);
    link_look_up(link);
    assert_false(link_has_plan(link));
    link->plan_asked_ms -= STALE_AFTER_MS;
    assert_true(link_has_plan(link));
    assert_non_null(link->resolve);
    link_doubt_plan(link);
    assert_true(link_has_plan(link)); /* it is being asked for */
    link_drop_plan(link);
    assert_false(link_has_plan(link));
    dns_free(b->worker->dns);
    (void)close(fd);
    bench_free(b);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_link_plan__an_old_one_is_used_while_no_server_answers),
                     cmocka_unit_test(test_link_plan__an_old_one_is_not_used_for_ever),
                     cmocka_unit_test(test_link_plan__an_old_one_waits_a_while_for_a_new_one));
}
