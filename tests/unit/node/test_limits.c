/* tests/unit/node/test_limits.c — mirrors node/limits.c */
#include "node/limits.h"

#include "tests/unit/check.h"

static const struct conf_virtual_server vs = {
    .max_connections = 5, .max_connections_per_client = 3, .max_rate_per_client = 0};

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;
    assert_int_equal(ip_parse(span_cstr(text), &a), ERR_OK);
    return a;
}

static void test_limits__total_and_per_client(void **state)
{
    struct limits *l = limits_new(2, 1);
    struct ip_addr a = addr("192.0.2.1"), b = addr("192.0.2.2");
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(limits_admit(l, 0, &vs, &a, 0), ADMIT);
    assert_int_equal(limits_admit(l, 0, &vs, &a, 0), ADMIT_BUSY_CLIENT);
    assert_int_equal(limits_admit(l, 0, &vs, &b, 0), ADMIT);
    assert_int_equal(limits_admit(l, 0, &vs, &b, 0), ADMIT);
    assert_int_equal(limits_admit(l, 0, &vs, &b, 0), ADMIT_BUSY);
    assert_int_equal(limits_admit(l, 1, &vs, &a, 0), ADMIT); /* another virtual server counts for itself */
    limits_leave(l, 0, &a, 0);
    assert_int_equal(limits_admit(l, 0, &vs, &b, 0), ADMIT);
    assert_int_equal(limits_admit(l, 0, &vs, &a, 0), ADMIT_BUSY);
    limits_free(l);
}

static void test_limits__ipv6_by_subscriber(void **state)
{
    struct limits *l = limits_new(1, 1);
    struct ip_addr same[] = {addr("2001:db8:0:1::1"), addr("2001:db8:0:1::2"), addr("2001:db8:0:1:ffff::3")};
    struct ip_addr other = addr("2001:db8:0:2::1");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        assert_int_equal(limits_admit(l, 0, &vs, &same[i], 0), ADMIT);
    assert_int_equal(limits_admit(l, 0, &vs, &same[0], 0), ADMIT_BUSY_CLIENT);
    assert_int_equal(limits_admit(l, 0, &vs, &other, 0), ADMIT);
    limits_free(l);
}

static void test_limits__rate_in_any_minute(void **state)
{
    struct conf_virtual_server fast = vs;
    struct limits *l = limits_new(1, 1);
    struct ip_addr a = addr("192.0.2.1");
    unsigned taken = 0;
    (void)state;
    fast.max_rate_per_client = 6;
    for (ms_t now = 0; now < 60000; now += 100)
        if (limits_admit(l, 0, &fast, &a, now) == ADMIT) {
            limits_leave(l, 0, &a, now);
            taken++;
        }
    assert_in_range(taken, 6, 12); /* the bucket, and what a minute earns */
    taken = 0;
    for (ms_t now = 60000; now < 120000; now += 100)
        if (limits_admit(l, 0, &fast, &a, now) == ADMIT) {
            limits_leave(l, 0, &a, now);
            taken++;
        }
    assert_in_range(taken, 5, 7);
    assert_int_equal(limits_clients(l), 1);
    /* a minute later nothing is owed and nobody is remembered but the one that asks */
    struct ip_addr b = addr("192.0.2.2");
    assert_int_equal(limits_admit(l, 0, &fast, &b, 240000), ADMIT);
    assert_int_equal(limits_clients(l), 1);
    limits_free(l);
}

static void test_limits__who_may_relay_may_hurry(void **state)
{
    struct conf_virtual_server fast = vs;
    struct ip_addr relay = addr("192.0.2.1"), stranger = addr("192.0.3.1");
    struct ip_net net;
    struct limits *l = limits_new(1, 1);
    (void)state;
    assert_int_equal(ip_net_parse(SPAN("192.0.2.0/24"), &net), ERR_OK);
    fast.max_rate_per_client = 6;
    fast.relay_from = (struct conf_nets){&net, 1};
    for (int i = 0; i < 20; i++) {
        enum admission want = i < 6 ? ADMIT : ADMIT_BUSY_RATE;
        assert_int_equal(limits_admit(l, 0, &fast, &relay, 0), ADMIT);
        assert_int_equal(limits_admit(l, 0, &fast, &stranger, 0), want);
        limits_leave(l, 0, &relay, 0);
        if (want == ADMIT)
            limits_leave(l, 0, &stranger, 0);
    }
    limits_free(l);
}

static void test_limits__memory_is_bounded(void **state)
{
    struct conf_virtual_server fast = vs;
    struct limits *l = limits_new(1, 7);
    struct ip_addr a = addr("10.0.0.0");
    (void)state;
    fast.max_rate_per_client = 1;
    for (uint32_t i = 0; i < LIMITS_IDLE_CLIENTS_MAX + 1000; i++) {
        a.bytes[1] = (uint8_t)(i >> 16);
        a.bytes[2] = (uint8_t)(i >> 8);
        a.bytes[3] = (uint8_t)i;
        assert_int_equal(limits_admit(l, 0, &fast, &a, 1), ADMIT);
        limits_leave(l, 0, &a, 1);
    }
    assert_in_range(limits_clients(l), LIMITS_IDLE_CLIENTS_MAX, LIMITS_IDLE_CLIENTS_MAX + 1);
    limits_free(l);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_limits__total_and_per_client),
                     cmocka_unit_test(test_limits__ipv6_by_subscriber),
                     cmocka_unit_test(test_limits__rate_in_any_minute),
                     cmocka_unit_test(test_limits__who_may_relay_may_hurry),
                     cmocka_unit_test(test_limits__memory_is_bounded));
}
