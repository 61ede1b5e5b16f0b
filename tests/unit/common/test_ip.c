/* tests/unit/common/test_ip.c — mirrors common/ip.c */
#include "tests/unit/check.h"

#include "common/ip.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static void test_ip__addresses(void **state)
{
    static const struct {
        struct span in;
        const char *out; /* NULL: refused */
    } cases[] = {
        {SPAN_INIT("192.0.2.1"), "192.0.2.1"},
        {SPAN_INIT("0.0.0.0"), "0.0.0.0"},
        {SPAN_INIT("::"), "::"},
        {SPAN_INIT("2001:DB8:0:0::1"), "2001:db8::1"},
        {SPAN_INIT("::ffff:192.0.2.1"), "192.0.2.1"}, /* mapped: the same peer */
        {SPAN_INIT("::ffff:c000:201"), "192.0.2.1"},
        {SPAN_INIT("::fffe:192.0.2.1"), "::fffe:c000:201"},
        {SPAN_INIT("192.0.2"), NULL},
        {SPAN_INIT("192.0.2.256"), NULL},
        {SPAN_INIT("192.0.2.1 "), NULL},
        {SPAN_INIT("192.0.2.1\0"), NULL},
        {SPAN_INIT("010.0.0.1"), NULL}, /* octal or not: nobody can tell */
        {SPAN_INIT("fe80::1%lo"), NULL},
        {SPAN_INIT("1::2::3"), NULL},
        {SPAN_INIT("[::1]"), NULL},
        {SPAN_INIT(""), NULL},
        {SPAN_INIT("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"), NULL},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct ip_addr a;
        char text[IP_TEXT_MAX];
        assert_int_equal(ip_parse(c->in, &a), c->out == NULL ? ERR_PARSE : ERR_OK);
        if (c->out != NULL) {
            ip_text(&a, text);
            assert_string_equal(text, c->out);
        }
    }
}

static void test_ip__networks(void **state)
{
    static const struct {
        struct span net, addr;
        bool ok, has;
    } cases[] = {
        {SPAN_INIT("10.0.0.0/8"), SPAN_INIT("10.255.255.255"), true, true},
        {SPAN_INIT("10.0.0.0/8"), SPAN_INIT("11.0.0.0"), true, false},
        {SPAN_INIT("192.0.2.128/25"), SPAN_INIT("192.0.2.128"), true, true},
        {SPAN_INIT("192.0.2.128/25"), SPAN_INIT("192.0.2.127"), true, false},
        {SPAN_INIT("192.0.2.1"), SPAN_INIT("192.0.2.1"), true, true},
        {SPAN_INIT("192.0.2.1"), SPAN_INIT("192.0.2.2"), true, false},
        {SPAN_INIT("0.0.0.0/0"), SPAN_INIT("203.0.113.9"), true, true},
        {SPAN_INIT("0.0.0.0/0"), SPAN_INIT("::1"), true, false}, /* families are apart */
        {SPAN_INIT("::/0"), SPAN_INIT("::1"), true, true},
        {SPAN_INIT("::/0"), SPAN_INIT("192.0.2.1"), true, false},
        {SPAN_INIT("2001:db8::/33"), SPAN_INIT("2001:db8:7fff::"), true, true},
        {SPAN_INIT("2001:db8::/33"), SPAN_INIT("2001:db8:8000::"), true, false},
        {SPAN_INIT("::1/128"), SPAN_INIT("::1"), true, true},
        {SPAN_INIT("10.0.0.1/8"), SPAN_INIT(""), false, false}, /* host bits */
        {SPAN_INIT("2001:db8::1/127"), SPAN_INIT(""), false, false},
        {SPAN_INIT("10.0.0.0/33"), SPAN_INIT(""), false, false},
        {SPAN_INIT("::/129"), SPAN_INIT(""), false, false},
        {SPAN_INIT("10.0.0.0/"), SPAN_INIT(""), false, false},
        {SPAN_INIT("10.0.0.0/-1"), SPAN_INIT(""), false, false},
        {SPAN_INIT("10.0.0.0/8/8"), SPAN_INIT(""), false, false},
        {SPAN_INIT("/8"), SPAN_INIT(""), false, false},
        {SPAN_INIT("example.org/8"), SPAN_INIT(""), false, false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct ip_net net;
        struct ip_addr a;
        assert_int_equal(ip_net_parse(c->net, &net), c->ok ? ERR_OK : ERR_PARSE);
        if (c->ok) {
            assert_int_equal(ip_parse(c->addr, &a), ERR_OK);
            assert_int_equal(ip_net_has(&net, &a), c->has);
        }
    }
}

static void test_ip__endpoints(void **state)
{
    static const struct {
        struct span in;
        uint16_t default_port;
        const char *out;
    } cases[] = {
        {SPAN_INIT("127.0.0.1:25"), 0, "127.0.0.1:25"},
        {SPAN_INIT("127.0.0.1:0"), 0, "127.0.0.1:0"},
        {SPAN_INIT("[::1]:65535"), 0, "[::1]:65535"},
        {SPAN_INIT("[::ffff:127.0.0.1]:25"), 0, "127.0.0.1:25"},
        {SPAN_INIT("127.0.0.1"), 25, "127.0.0.1:25"},
        {SPAN_INIT("::1"), 25, "[::1]:25"},
        {SPAN_INIT("[::1]"), 25, "[::1]:25"},
        {SPAN_INIT("127.0.0.1"), 0, NULL},
        {SPAN_INIT("::1"), 0, NULL},
        {SPAN_INIT("[::1]"), 0, NULL},
        {SPAN_INIT("127.0.0.1:"), 25, NULL},
        {SPAN_INIT("127.0.0.1:65536"), 25, NULL},
        {SPAN_INIT("127.0.0.1:25x"), 25, NULL},
        {SPAN_INIT("[::1]x"), 25, NULL},
        {SPAN_INIT("[::1"), 25, NULL},
        {SPAN_INIT("[]:25"), 25, NULL},
        {SPAN_INIT("localhost:25"), 25, NULL},
        {SPAN_INIT(":25"), 25, NULL},
        {SPAN_INIT(""), 25, NULL},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct ip_endpoint e, untouched;
        char text[ENDPOINT_TEXT_MAX];
        memset(&e, 0x5a, sizeof e);
        untouched = e;
        assert_int_equal(ip_endpoint_parse(c->in, c->default_port, &e), c->out == NULL ? ERR_PARSE : ERR_OK);
        if (c->out == NULL) {
            assert_memory_equal(&e, &untouched, sizeof e);
        } else {
            ip_endpoint_text(&e, text);
            assert_string_equal(text, c->out);
        }
    }
}

static void test_ip__endpoints_overlap(void **state)
{
    static const struct {
        struct span a, b;
        bool overlap;
    } cases[] = {
        {SPAN_INIT("192.0.2.1:25"), SPAN_INIT("192.0.2.1:25"), true},
        {SPAN_INIT("192.0.2.1:25"), SPAN_INIT("192.0.2.1:26"), false},
        {SPAN_INIT("192.0.2.1:25"), SPAN_INIT("192.0.2.2:25"), false},
        {SPAN_INIT("0.0.0.0:25"), SPAN_INIT("192.0.2.2:25"), true},
        {SPAN_INIT("[::]:25"), SPAN_INIT("[2001:db8::1]:25"), true},
        {SPAN_INIT("[::]:25"), SPAN_INIT("192.0.2.2:25"), false},
        {SPAN_INIT("[2001:db8::1]:25"), SPAN_INIT("[2001:db8::2]:25"), false},
    };
    struct ip_endpoint free_port = {.addr = {.bytes = {192, 0, 2, 1}}};
    (void)state;
    CHECK_EACH (cases, c) {
        struct ip_endpoint a, b;
        assert_int_equal(ip_endpoint_parse(c->a, 0, &a), ERR_OK);
        assert_int_equal(ip_endpoint_parse(c->b, 0, &b), ERR_OK);
        assert_int_equal(ip_endpoints_overlap(&a, &b), c->overlap);
        assert_int_equal(ip_endpoints_overlap(&b, &a), c->overlap);
    }
    assert_false(ip_endpoints_overlap(&free_port, &free_port));
}

static void test_ip__socket_addresses_round_trip(void **state)
{
    static const struct span cases[] = {SPAN_INIT("192.0.2.1:25"), SPAN_INIT("[2001:db8::1]:2525")};
    (void)state;
    CHECK_EACH (cases, c) {
        struct ip_endpoint e, back;
        struct sockaddr_storage ss;
        assert_int_equal(ip_endpoint_parse(*c, 0, &e), ERR_OK);
        memset(&ss, 0, sizeof ss);
        size_t len = ip_to_sockaddr(&e, (struct sockaddr *)&ss);
        assert_int_equal(len, e.addr.v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
        assert_true(ip_from_sockaddr((struct sockaddr *)&ss, &back));
        assert_true(ip_eq(&e.addr, &back.addr));
        assert_int_equal(e.port, back.port);
    }
    struct sockaddr_storage unix_socket = {.ss_family = AF_UNIX};
    struct ip_endpoint e;
    assert_false(ip_from_sockaddr((struct sockaddr *)&unix_socket, &e));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_ip__addresses), cmocka_unit_test(test_ip__networks),
                     cmocka_unit_test(test_ip__endpoints), cmocka_unit_test(test_ip__endpoints_overlap),
                     cmocka_unit_test(test_ip__socket_addresses_round_trip));
}
