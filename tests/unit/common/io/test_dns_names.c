/* tests/unit/common/io/test_dns_names.c — mirrors common/io/dns_names.c and dns_hosts.c */
#include "common/io/dns_internal.h"

#include "tests/unit/check.h"

#include <string.h>

#define A60 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_dns_names__are_prepared(void **state)
{
    static const struct {
        struct span in;
        const char *out; /* NULL: refused */
    } cases[] = {
        {SPAN_INIT("example.org"), "example.org"},
        {SPAN_INIT("Example.ORG."), "example.org"},
        {SPAN_INIT("_dmarc.example.org"), "_dmarc.example.org"},
        {SPAN_INIT("localhost"), "localhost"},
        {SPAN_INIT("b\xc3\xbc"
                   "cher.example"),
         "xn--bcher-kva.example"},
        {SPAN_INIT("B\xc3\x9c"
                   "CHER.example"),
         "xn--bcher-kva.example"},                               /* UTS 46 maps */
        {SPAN_INIT("fu\xc3\x9f.example"), "xn--fu-hia.example"}, /* non-transitional */
        {SPAN_INIT("a\xe3\x80\x82"
                   "b\xc3\xbc.example"),
         "a.xn--b-eha.example"}, /* ideographic full stop */
        {SPAN_INIT(A60 "aaa." A60 "aaa." A60 "aaa." A60 "a"), A60 "aaa." A60 "aaa." A60 "aaa." A60 "a"},
        {SPAN_INIT(A60 "aaa." A60 "aaa." A60 "aaa." A60 "aa"), NULL}, /* 254 */
        {SPAN_INIT(A60 "aaaa"), NULL},
        {SPAN_INIT(""), NULL},
        {SPAN_INIT("."), NULL},
        {SPAN_INIT("a..b"), NULL},
        {SPAN_INIT(".a"), NULL},
        {SPAN_INIT("a.."), NULL},
        {SPAN_INIT("a b"), NULL},
        {SPAN_INIT("a\\b"), NULL},
        {SPAN_INIT("a\0b"), NULL},
        {SPAN_INIT("\xc3\xbc\0b"), NULL},
        {SPAN_INIT("\xc3"), NULL}, /* half a character */
        {SPAN_INIT("\xff\xfe"), NULL},
        {SPAN_INIT("\xe2\x98\x83.\xe2\x80\x8d"), NULL}, /* joiner out of place */
        {SPAN_INIT("[192.0.2.1]"), NULL},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        char out[DNS_NAME_MAX] = "?";
        struct errctx ec;
        enum err e = dns_name_prepare(c->in, out, &ec);
        assert_int_equal(e, c->out == NULL ? ERR_PARSE : ERR_OK);
        assert_string_equal(out, c->out == NULL ? "?" : c->out);
    }
}

static void test_dns_names__of_addresses(void **state)
{
    static const struct {
        struct span addr;
        const char *out;
    } cases[] = {
        {SPAN_INIT("192.0.2.1"), "1.2.0.192.in-addr.arpa"},
        {SPAN_INIT("2001:db8::567:89ab"),
         "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct ip_addr a;
        char out[DNS_NAME_MAX];
        assert_int_equal(ip_parse(c->addr, &a), ERR_OK);
        dns_name_reverse(&a, out);
        assert_string_equal(out, c->out);
        assert_true(dns_name_valid(span_cstr(out)));
    }
}

static void test_dns_hosts__finds_what_the_file_says(void **state)
{
    static const struct {
        const char *name, *first;
        size_t n;
    } cases[] = {
        {"localhost", "::1", 2},    {"mx.example.org", "192.0.2.1", 1},
        {"mx", "192.0.2.1", 1},     {"twice.example.org", "192.0.2.2", 2},
        {"comment", NULL, 0},       {"nobody", NULL, 0},
        {"last", "2001:db8::9", 1},
    };
    struct ip_addr found[4];
    struct dns_hosts *h = dns_hosts_parse(SPAN("# a comment\n"
                                               "127.0.0.1\tlocalhost\n"
                                               "::1 localhost ip6-localhost\r\n"
                                               "\n"
                                               "192.0.2.1   MX.example.org. mx # comment\n"
                                               "not-an-address nobody\n"
                                               "192.0.2.2 twice.example.org\n"
                                               "192.0.2.3 twice.example.org b\xc3\n"
                                               "192.0.2.4\n"
                                               "  2001:db8::9 last"));
    (void)state;
    assert_non_null(h);
    CHECK_EACH (cases, c) {
        assert_int_equal(dns_hosts_find(h, c->name, found, ARRAY_LEN(found)), c->n);
        if (c->n > 0) {
            char text[IP_TEXT_MAX];
            ip_text(&found[0], text);
            assert_string_equal(text, c->first);
        }
    }
    assert_int_equal(dns_hosts_find(h, "localhost", found, 1), 1);
    dns_hosts_free(h);
    h = dns_hosts_read("/nonexistent");
    assert_non_null(h);
    assert_int_equal(dns_hosts_find(h, "localhost", found, 1), 0);
    dns_hosts_free(h);
    dns_hosts_free(NULL);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_dns_names__are_prepared),
                     cmocka_unit_test(test_dns_names__of_addresses),
                     cmocka_unit_test(test_dns_hosts__finds_what_the_file_says));
}
