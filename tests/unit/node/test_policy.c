/* tests/unit/node/test_policy.c — mirrors node/policy.c */
#include "node/policy.h"

#include "tests/unit/check.h"

static void test_policy__the_whole_table(void **state)
{
    static const struct {
        enum route_kind kind;
        bool open, client;
        enum policy_verdict verdict;
    } cases[] = {
        {ROUTE_LOCAL, false, false, POLICY_TAKE},
        {ROUTE_LOCAL, false, true, POLICY_TAKE},
        {ROUTE_NEXT_HOP, false, false, POLICY_RELAY_DENIED},
        {ROUTE_NEXT_HOP, false, true, POLICY_TAKE},
        {ROUTE_NEXT_HOP, true, false, POLICY_TAKE},
        {ROUTE_UNREACHABLE, false, false, POLICY_RELAY_DENIED},
        {ROUTE_UNREACHABLE, false, true, POLICY_TAKE},
        {ROUTE_UNREACHABLE, true, false, POLICY_TAKE},
        {ROUTE_NONE, false, false, POLICY_RELAY_DENIED},
        {ROUTE_NONE, false, true, POLICY_NO_ROUTE},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct route r = {.kind = c->kind, .relay_open = c->open};
        assert_int_equal(policy_recipient(&r, c->client), c->verdict);
    }
}

static void test_policy__relay_from_names_networks(void **state)
{
    struct ip_net items[2];
    struct conf_nets nets = {items, 2};
    struct ip_addr a;
    static const struct {
        struct span client;
        bool relays;
    } cases[] = {
        {SPAN_INIT("10.1.2.3"), true},        {SPAN_INIT("11.1.2.3"), false},
        {SPAN_INIT("2001:db8::9"), true},     {SPAN_INIT("2001:db9::9"), false},
        {SPAN_INIT("::ffff:10.0.0.1"), true},
    };
    (void)state;
    assert_int_equal(ip_net_parse(SPAN("10.0.0.0/8"), &items[0]), ERR_OK);
    assert_int_equal(ip_net_parse(SPAN("2001:db8::/32"), &items[1]), ERR_OK);
    CHECK_EACH (cases, c) {
        assert_int_equal(ip_parse(c->client, &a), ERR_OK);
        assert_int_equal(policy_client_relays(&nets, &a), c->relays);
    }
    assert_true(policy_client_relays(&nets, NULL));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_policy__the_whole_table),
                     cmocka_unit_test(test_policy__relay_from_names_networks));
}
