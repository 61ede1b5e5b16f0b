/* tests/unit/common/io/test_dns_packet.c — mirrors common/io/dns_packet.c */
#include "common/io/dns_internal.h"

/* clang-format off */
#include "tests/unit/check.h"
#include "common/ip.h"
#include "tests/unit/common/io/dns_build.h"
/* clang-format on */
#include "common/rng.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWER = 0x8180, NXDOMAIN = 0x8183, SERVFAIL = 0x8182, QUERY = 0x0100 };

struct packet {
    struct buf b;
    struct wr w;
};

static void packet_init(struct packet *p, unsigned flags, const char *name, unsigned type, unsigned answers,
                        unsigned authority)
{
    buf_init(&p->b, 65535);
    p->w = wr_open(&p->b);
    put_question(&p->w, 4711, flags, name, type, answers, authority);
}

static enum err read_packet(struct packet *p, enum dns_type type, struct dns_records *r, struct errctx *ec)
{
    assert_false(p->w.bad);
    dns_records_init(r);
    enum err e = dns_packet_read(buf_span(&p->b), type, r, ec);
    return e;
}

static struct ip_addr ip(const char *text)
{
    struct ip_addr a;
    assert_int_equal(ip_parse(span_cstr(text), &a), ERR_OK);
    return a;
}

static void test_dns_packet__mx_sorted_stable_and_bounded(void **state)
{
    struct packet p;
    struct dns_records r;
    struct errctx ec;
    (void)state;
    packet_init(&p, ANSWER, "Example.ORG", 15, 70, 0);
    put_mx(&p.w, "example.org", 300, 20, "B.example.org");
    put_mx(&p.w, "EXAMPLE.org", 200, 10, "a.example.org");
    put_mx(&p.w, "example.org", 300, 20, "c.example.org");
    for (unsigned i = 0; i < 67; i++)
        put_mx(&p.w, "example.org", 300, 1000 - i, "later.example.org");
    assert_int_equal(read_packet(&p, DNS_TYPE_MX, &r, &ec), ERR_OK);
    assert_true(r.exists);
    assert_int_equal(r.n, DNS_ANSWERS_MAX);
    assert_int_equal(r.ttl_s, 200);
    assert_string_equal(r.mx[0].host, "a.example.org");
    assert_string_equal(r.mx[1].host, "b.example.org");
    assert_string_equal(r.mx[2].host, "c.example.org");
    for (size_t i = 1; i < r.n; i++)
        assert_true(r.mx[i - 1].preference <= r.mx[i].preference);
    assert_int_equal(r.mx[DNS_ANSWERS_MAX - 1].preference, 1000 - 66 + DNS_ANSWERS_MAX - 4);
    buf_done(&p.b);
}

static void test_dns_packet__null_mx_is_kept_and_strange_hosts_are_not(void **state)
{
    static const struct {
        const char *host;
        size_t n, unusable;
    } cases[] = {
        {"", 1, 0}, /* RFC 7505 */
        {"mx.example.org", 1, 0},
        {"under_score.example.org", 1, 0},
        {"192.0.2.1", 1, 0},
        {"a b.example.org", 0, 1},
        {"a\1b.example.org", 0, 1},
        {"\xc3\xa4.example.org", 0, 1},
        {"a\r\nb", 0, 1},
        {"'", 0, 1},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct packet p;
        struct dns_records r;
        struct errctx ec;
        packet_init(&p, ANSWER, "example.org", 15, 1, 0);
        put_mx(&p.w, "example.org", 300, 0, c->host);
        assert_int_equal(read_packet(&p, DNS_TYPE_MX, &r, &ec), ERR_OK);
        assert_int_equal(r.n, c->n);
        assert_int_equal(r.unusable, c->unusable);
        if (r.n > 0)
            assert_string_equal(r.mx[0].host, c->host);
        buf_done(&p.b);
    }
}

static void test_dns_packet__aliases_are_followed_in_any_order(void **state)
{
    struct packet p;
    struct dns_records r;
    struct errctx ec;
    struct ip_addr good = ip("192.0.2.1"), other = ip("192.0.2.66");
    (void)state;
    packet_init(&p, ANSWER, "www.example.org", 1, 4, 0);
    put_address(&p.w, "end.example.org", 300, &good);
    put_named(&p.w, "mid.example.org", 5, 20, "END.example.org");
    put_named(&p.w, "www.example.org", 5, 300, "mid.example.org");
    put_address(&p.w, "elsewhere.example.org", 1, &other); /* nobody asked */
    assert_int_equal(read_packet(&p, DNS_TYPE_A, &r, &ec), ERR_OK);
    assert_int_equal(r.n, 1);
    assert_true(ip_eq(&r.addrs[0], &good));
    assert_int_equal(r.ttl_s, 20);
    buf_done(&p.b);

    packet_init(&p, ANSWER, "a.example.org", 1, 2, 0);
    put_named(&p.w, "a.example.org", 5, 300, "b.example.org");
    put_named(&p.w, "b.example.org", 5, 300, "a.example.org");
    assert_int_equal(read_packet(&p, DNS_TYPE_A, &r, &ec), ERR_DNS);
    assert_string_equal(ec.msg, "more than 16 aliases in a row");
    buf_done(&p.b);
}

static void test_dns_packet__addresses_merge_ipv6_first(void **state)
{
    struct packet p;
    struct dns_records r;
    struct errctx ec;
    struct ip_addr v4 = ip("192.0.2.1"), v4b = ip("192.0.2.2"), v6 = ip("2001:db8::1"),
                   v6b = ip("2001:db8::2");
    (void)state;
    packet_init(&p, ANSWER, "a.example.org", 1, 3, 0);
    put_address(&p.w, "a.example.org", 300, &v4);
    put_address(&p.w, "a.example.org", 300, &v4b);
    put_address(&p.w, "a.example.org", 300, &v4);
    assert_int_equal(read_packet(&p, DNS_TYPE_A, &r, &ec), ERR_OK);
    buf_done(&p.b);
    packet_init(&p, ANSWER, "a.example.org", 28, 2, 0);
    put_address(&p.w, "a.example.org", 300, &v6);
    put_address(&p.w, "a.example.org", 300, &v6b);
    assert_int_equal(dns_packet_read(buf_span(&p.b), DNS_TYPE_AAAA, &r, &ec), ERR_OK);
    buf_done(&p.b);
    assert_int_equal(r.n, 4);
    assert_true(ip_eq(&r.addrs[0], &v6) && ip_eq(&r.addrs[1], &v6b));
    assert_true(ip_eq(&r.addrs[2], &v4) && ip_eq(&r.addrs[3], &v4b));
}

static void test_dns_packet__no_comes_in_three_kinds(void **state)
{
    static const struct {
        unsigned flags;
        enum err err;
        bool exists;
        uint32_t ttl_s;
    } cases[] = {
        {ANSWER, ERR_OK, true, 60},
        {NXDOMAIN, ERR_OK, false, 60},
        {SERVFAIL, ERR_DNS, false, UINT32_MAX},
        {0x8185, ERR_DNS, false, UINT32_MAX}, /* refused */
        {QUERY, ERR_PARSE, false, UINT32_MAX},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct packet p;
        struct dns_records r;
        struct errctx ec;
        packet_init(&p, c->flags, "no.example.org", 15, 0, 1);
        put_soa(&p.w, "example.org", 3600, 60);
        assert_int_equal(read_packet(&p, DNS_TYPE_MX, &r, &ec), c->err);
        assert_int_equal(r.exists, c->exists);
        assert_int_equal(r.n, 0);
        assert_int_equal(r.ttl_s, c->ttl_s);
        buf_done(&p.b);
    }
}

static void test_dns_packet__a_referral_is_no_answer(void **state)
{
    struct packet p;
    struct dns_records r;
    struct errctx ec;
    (void)state;
    packet_init(&p, ANSWER, "no.example.org", 15, 0, 1);
    put_named(&p.w, "example.org", 2, 300, "ns.example.org");
    assert_int_equal(read_packet(&p, DNS_TYPE_MX, &r, &ec), ERR_DNS);
    assert_false(r.exists);
    buf_done(&p.b);
    packet_init(&p, ANSWER, "no.example.org", 15, 0, 2);
    put_named(&p.w, "example.org", 2, 300, "ns.example.org");
    put_soa(&p.w, "example.org", 3600, 60);
    assert_int_equal(read_packet(&p, DNS_TYPE_MX, &r, &ec), ERR_OK);
    assert_true(r.exists);
    buf_done(&p.b);
    packet_init(&p, ANSWER, "no.example.org", 15, 0, 0);
    assert_int_equal(read_packet(&p, DNS_TYPE_MX, &r, &ec), ERR_OK);
    assert_true(r.exists);
    assert_int_equal(r.ttl_s, UINT32_MAX);
    buf_done(&p.b);
}

static void test_dns_packet__reverse_takes_the_first_name(void **state)
{
    struct packet p;
    struct dns_records r;
    struct errctx ec;
    (void)state;
    packet_init(&p, ANSWER, "1.2.0.192.in-addr.arpa", 12, 3, 0);
    put_named(&p.w, "1.2.0.192.in-addr.arpa", 12, 300, "evil name");
    put_named(&p.w, "1.2.0.192.in-addr.arpa", 12, 300, "Host.example.org");
    put_named(&p.w, "1.2.0.192.in-addr.arpa", 12, 300, "other.example.org");
    assert_int_equal(read_packet(&p, DNS_TYPE_PTR, &r, &ec), ERR_OK);
    assert_int_equal(r.n, 1);
    assert_string_equal(r.name, "host.example.org");
    buf_done(&p.b);
}

/* A whole answer by hand: compressed names, RFC 1035 4.1.4. */
static const char compressed[] = "\x12\x67\x81\x80\0\1\0\2\0\0\0\0"
                                 "\7example\3org\0\0\x0f\0\1"
                                 "\xc0\x0c\0\x0f\0\1\0\0\1\x2c\0\7\0\x0a\2mx\xc0\x0c"
                                 "\xc0\x0c\0\x0f\0\1\0\0\1\x2c\0\4\0\5\xc0\x2b";

static void test_dns_packet__compression(void **state)
{
    struct dns_records r;
    struct errctx ec;
    struct span whole = span_of(compressed, sizeof compressed - 1);
    (void)state;
    dns_records_init(&r);
    assert_int_equal(dns_packet_read(whole, DNS_TYPE_MX, &r, &ec), ERR_OK);
    assert_int_equal(r.n, 2);
    assert_string_equal(r.mx[0].host, "mx.example.org");
    assert_string_equal(r.mx[1].host, "mx.example.org");
    assert_int_equal(r.mx[0].preference, 5);
    for (size_t cut = 0; cut < whole.len; cut++) { /* cut anywhere: refused, nothing read past the end */
        char *copy = malloc(cut + 1);
        memcpy(copy, whole.ptr, cut);
        dns_records_init(&r);
        assert_int_equal(dns_packet_read(span_of(copy, cut), DNS_TYPE_MX, &r, &ec), ERR_PARSE);
        free(copy);
    }
}

static void test_dns_packet__pointers_only_go_back(void **state)
{
    static const struct span names[] = {
        SPAN_INIT("\xc0\x0c"),                         /* to itself */
        SPAN_INIT("\xc0\x0d\0"),                       /* forward */
        SPAN_INIT("\1a\xc0\x0c"),                      /* a loop over a label */
        SPAN_INIT("\xff\xff"),                         /* past the end */
        SPAN_INIT("\x40\0"),      SPAN_INIT("\x80\0"), /* reserved kinds of label */
    };
    (void)state;
    CHECK_EACH (names, n) {
        struct packet p;
        struct dns_records r;
        struct errctx ec;
        buf_init(&p.b, 65535);
        p.w = wr_open(&p.b);
        wr_bytes(&p.w, SPAN("\0\1\x81\x80\0\1\0\0\0\0\0\0"));
        wr_bytes(&p.w, *n);
        wr_bytes(&p.w, SPAN("\0\1\0\1"));
        assert_int_equal(read_packet(&p, DNS_TYPE_A, &r, &ec), ERR_PARSE);
        buf_done(&p.b);
    }
}

/* Any byte may be wrong: no crash, and never more than there is room for. */
static void test_dns_packet__damage_is_survived(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        char bytes[sizeof compressed];
        struct dns_records r;
        memcpy(bytes, compressed, sizeof bytes);
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--)
            bytes[rng_below(&rng, sizeof bytes)] = (char)rng_next(&rng);
        dns_records_init(&r);
        (void)!dns_packet_read(span_of(bytes, sizeof bytes - 1), DNS_TYPE_MX, &r, NULL);
        assert_true(r.n <= DNS_ANSWERS_MAX);
        for (size_t k = 0; k < r.n; k++)
            assert_true(r.mx[k].host[0] == '\0' || dns_name_valid(span_cstr(r.mx[k].host)));
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_dns_packet__mx_sorted_stable_and_bounded),
                     cmocka_unit_test(test_dns_packet__null_mx_is_kept_and_strange_hosts_are_not),
                     cmocka_unit_test(test_dns_packet__aliases_are_followed_in_any_order),
                     cmocka_unit_test(test_dns_packet__addresses_merge_ipv6_first),
                     cmocka_unit_test(test_dns_packet__no_comes_in_three_kinds),
                     cmocka_unit_test(test_dns_packet__a_referral_is_no_answer),
                     cmocka_unit_test(test_dns_packet__reverse_takes_the_first_name),
                     cmocka_unit_test(test_dns_packet__compression),
                     cmocka_unit_test(test_dns_packet__pointers_only_go_back),
                     cmocka_unit_test(test_dns_packet__damage_is_survived));
}
