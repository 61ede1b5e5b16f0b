/* tests/unit/node/test_etrn.c — mirrors node/etrn.c: what is answered before anything is asked of Redis,
 * which is not there. That mail arrives is shown by integration/operations/etrn. */
#include "node/etrn.h"

#include "tests/unit/check.h"

static const char settings[] =
    "redis: {url: \"unix:///nonexistent/redis.sock\"}\n"
    "local_domains: [{domain: example.org, deliver: 'maildir:./%d/%u'}]\n"
    "connectors: [{name: lab, address_spaces: [{space: '*.example'}], deliver: dns}]\n";

struct stage {
    struct loop *loop;
    struct config *conf;
    struct route_table *routes;
    struct etrn *etrn;
};

static void stage_init(struct stage *st)
{
    struct errctx ec = {""};
    st->loop = loop_new();
    if (config_parse(span_cstr(settings), "test", "/nonexistent", NULL, &st->conf, NULL, &ec) != ERR_OK ||
        route_table_new(st->conf, &st->routes, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    st->etrn = etrn_new(st->loop);
    assert_non_null(st->etrn);
}

static void stage_done(struct stage *st)
{
    etrn_free(st->etrn);
    route_table_unref(st->routes);
    config_unref(st->conf);
    loop_free(st->loop);
}

static enum err start(struct stage *st, const char *domain)
{
    return etrn_start(st->etrn, st->conf, st->routes, span_cstr(domain));
}

static void test_etrn__only_where_a_route_leads(void **state)
{
    struct stage st;
    (void)state;
    stage_init(&st);
    assert_int_equal(start(&st, "far.example"), ERR_OK);
    assert_int_equal(start(&st, "example.org"), ERR_OK); /* local mail may wait, too */
    assert_int_equal(start(&st, "nowhere.test"), ERR_NOTFOUND);
    assert_int_equal(start(&st, ""), ERR_NOTFOUND);
    stage_done(&st);
}

static void test_etrn__few_at_a_time(void **state)
{
    struct stage st;
    char domain[32];
    (void)state;
    stage_init(&st);
    for (int i = 0; i < ETRN_RUNS; i++) {
        (void)snprintf(domain, sizeof domain, "d%d.example", i);
        assert_int_equal(start(&st, domain), ERR_OK);
    }
    assert_int_equal(start(&st, "one-more.example"), ERR_FULL);
    assert_int_equal(start(&st, "d0.example"), ERR_OK); /* that is what is being done */
    etrn_free(st.etrn);                                 /* in the middle of it */
    st.etrn = etrn_new(st.loop);
    assert_int_equal(start(&st, "one-more.example"), ERR_OK);
    stage_done(&st);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_etrn__only_where_a_route_leads),
                     cmocka_unit_test(test_etrn__few_at_a_time));
}
