/* tests/unit/common/test_address.c — mirrors common/address.c */
#include "tests/unit/check.h"

#include "common/address.h"

#include <string.h>

enum { N = 1, L = 2, U = 4, Q = 8 }; /* null, literal, utf8, quoted */
static unsigned flags_of(const struct address *a)
{
    return (unsigned)((a->null ? N : 0) | (a->literal ? L : 0) | (a->utf8 ? U : 0) | (a->quoted ? Q : 0));
}

static void test_address__paths_are_taken_apart(void **state)
{
    static const struct {
        struct span in, local, domain, rest;
        unsigned flags;
    } cases[] = {
        /* clang-format off */
        {SPAN_INIT("<>"), SPAN_INIT(""), SPAN_INIT(""), SPAN_INIT(""), N},
        {SPAN_INIT("<> SIZE=5"), SPAN_INIT(""), SPAN_INIT(""), SPAN_INIT(" SIZE=5"), N},
        {SPAN_INIT("<a@b>"), SPAN_INIT("a"), SPAN_INIT("b"), SPAN_INIT(""), 0},
        {SPAN_INIT("<a.b+c@Mail.Example.ORG> BODY=7BIT"), SPAN_INIT("a.b+c"), SPAN_INIT("Mail.Example.ORG"),
         SPAN_INIT(" BODY=7BIT"), 0},
        {SPAN_INIT("<!#$%&'*+-/=?^_`{|}~@x.example>"), SPAN_INIT("!#$%&'*+-/=?^_`{|}~"), SPAN_INIT("x.example"),
         SPAN_INIT(""), 0},
        {SPAN_INIT("<postmaster>"), SPAN_INIT("postmaster"), SPAN_INIT(""), SPAN_INIT(""), 0},
        {SPAN_INIT("<PostMaster>x"), SPAN_INIT("PostMaster"), SPAN_INIT(""), SPAN_INIT("x"), 0},
        {SPAN_INIT("<\"\"@b>"), SPAN_INIT("\"\""), SPAN_INIT("b"), SPAN_INIT(""), Q},
        {SPAN_INIT("<\"a b\"@b>"), SPAN_INIT("\"a b\""), SPAN_INIT("b"), SPAN_INIT(""), Q},
        {SPAN_INIT("<\"a@b>c\"@b>"), SPAN_INIT("\"a@b>c\""), SPAN_INIT("b"), SPAN_INIT(""), Q},
        {SPAN_INIT("<\"a\\\"b\\\\\"@b>"), SPAN_INIT("\"a\\\"b\\\\\""), SPAN_INIT("b"), SPAN_INIT(""), Q},
        {SPAN_INIT("<@r.example:a@b>"), SPAN_INIT("a"), SPAN_INIT("b"), SPAN_INIT(""), 0},
        {SPAN_INIT("<@r.example,@s.example:a@b>"), SPAN_INIT("a"), SPAN_INIT("b"), SPAN_INIT(""), 0},
        {SPAN_INIT("<@r.example:postmaster>"), SPAN_INIT("postmaster"), SPAN_INIT(""), SPAN_INIT(""), 0},
        {SPAN_INIT("<a@[192.0.2.1]>"), SPAN_INIT("a"), SPAN_INIT("[192.0.2.1]"), SPAN_INIT(""), L},
        {SPAN_INIT("<a@[IPv6:2001:db8::1]>"), SPAN_INIT("a"), SPAN_INIT("[IPv6:2001:db8::1]"), SPAN_INIT(""), L},
        {SPAN_INIT("<a@[ipv6:::ffff:192.0.2.1]>"), SPAN_INIT("a"), SPAN_INIT("[ipv6:::ffff:192.0.2.1]"),
         SPAN_INIT(""), L},
        {SPAN_INIT("<a@[x-net:any!thing]>"), SPAN_INIT("a"), SPAN_INIT("[x-net:any!thing]"), SPAN_INIT(""), L},
        {SPAN_INIT("<a@1.2.3>"), SPAN_INIT("a"), SPAN_INIT("1.2.3"), SPAN_INIT(""), 0},
        {SPAN_INIT("<a@xn--bcher-kva.example>"), SPAN_INIT("a"), SPAN_INIT("xn--bcher-kva.example"), SPAN_INIT(""), 0},
        {SPAN_INIT("<j\xc3\xb6rg@b>"), SPAN_INIT("j\xc3\xb6rg"), SPAN_INIT("b"), SPAN_INIT(""), U},
        {SPAN_INIT("<a@b\xc3\xbc" "cher.example>"), SPAN_INIT("a"), SPAN_INIT("b\xc3\xbc" "cher.example"),
         SPAN_INIT(""), U},
        {SPAN_INIT("<\"\xf0\x9f\x93\xa7 x\"@b>"), SPAN_INIT("\"\xf0\x9f\x93\xa7 x\""), SPAN_INIT("b"), SPAN_INIT(""),
         U | Q},
        {SPAN_INIT("<\xe7\x94\xa8@\xe4\xbe\x8b>"), SPAN_INIT("\xe7\x94\xa8"), SPAN_INIT("\xe4\xbe\x8b"), SPAN_INIT(""),
         U},
        {SPAN_INIT("<@\xe4\xbe\x8b:a@b>"), SPAN_INIT("a"), SPAN_INIT("b"), SPAN_INIT(""), 0},
        /* clang-format on */
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct address a;
        struct span rest;
        struct errctx ec = {{0}};
        enum err e = address_parse_path(c->in, true, &a, &rest, &ec);
        if (e != ERR_OK)
            fail_msg("'" SPAN_FMT "': %s", SPAN_ARG(c->in), ec.msg);
        check_span(a.local, c->local);
        check_span(a.domain, c->domain);
        check_span(rest, c->rest);
        assert_int_equal(flags_of(&a), c->flags);
        if (c->domain.len > 0) {
            size_t len = c->local.len + 1 + c->domain.len;
            assert_int_equal(a.text.len, len);
            struct address bare;
            assert_int_equal(address_parse(a.text, true, &bare, &ec), ERR_OK);
            check_span(bare.text, a.text);
            assert_int_equal(flags_of(&bare), c->flags);
        }
        /* without SMTPUTF8 the same bytes pass exactly when they hold no UTF-8 */
        bool ascii = true;
        for (size_t i = 0; i < c->in.len; i++)
            ascii = ascii && ((unsigned char)c->in.ptr[i] & 0x80) == 0;
        assert_int_equal(address_parse_path(c->in, false, &a, &rest, NULL), ascii ? ERR_OK : ERR_PARSE);
    }
}

static void test_address__malformed_paths_say_why(void **state)
{
    static const struct {
        struct span in;
        const char *why;
    } cases[] = {
        {SPAN_INIT(""), "angle brackets"},
        {SPAN_INIT("a@b"), "angle brackets"},
        {SPAN_INIT("<"), "the end of the address in the local part"},
        {SPAN_INIT("<a@b"), "the end of the address instead of '>'"},
        {SPAN_INIT("< a@b>"), "' ' in the local part"},
        {SPAN_INIT("<a@b >"), "' ' instead of '>'"},
        {SPAN_INIT("<a>"), "without a domain"},
        {SPAN_INIT("<\"postmaster\">"), "without a domain"},
        {SPAN_INIT("<@b>"), "source route"},
        {SPAN_INIT("<@b:>"), "'>' in the local part"},
        {SPAN_INIT("<@b,c:a@b>"), "source route"},
        {SPAN_INIT("<@b,@:a@b>"), "source route"},
        {SPAN_INIT("<@[192.0.2.1]:a@b>"), "source route"},
        {SPAN_INIT("<.a@b>"), "'.' in the local part"},
        {SPAN_INIT("<a.@b>"), "'@' in the local part"},
        {SPAN_INIT("<a..b@c>"), "'.' in the local part"},
        {SPAN_INIT("<a@>"), "'>' in the domain"},
        {SPAN_INIT("<a@b.>"), "'>' in the domain"},
        {SPAN_INIT("<a@.b>"), "'.' in the domain"},
        {SPAN_INIT("<a@-b>"), "in the domain"},
        {SPAN_INIT("<a@b->"), "in the domain"},
        {SPAN_INIT("<a@b_c>"), "'_' instead of '>'"},
        {SPAN_INIT("<a@b@c>"), "'@' instead of '>'"},
        {SPAN_INIT("<a b@c>"), "' ' instead of '>'"},
        {SPAN_INIT("<a\r\n@c>"), "byte 0x0d"},
        {SPAN_INIT("<a\0@c>"), "byte 0x00"},
        {SPAN_INIT("<\"a\0\"@c>"), "byte 0x00"},
        {SPAN_INIT("<\"a\n\"@c>"), "byte 0x0a in the local part"},
        {SPAN_INIT("<\"a\\\n\"@c>"), "byte 0x0a in the local part"},
        {SPAN_INIT("<\"a@c>"), "the end of the address in the local part"},
        {SPAN_INIT("<\"a\\\"@c>"), "the end of the address in the local part"},
        {SPAN_INIT("<\"a\"b@c>"), "'b' instead of '>'"},
        {SPAN_INIT("<a\"b\"@c>"), "'\"' instead of '>'"},
        {SPAN_INIT("<a@[1.2.3]>"), "literal"},
        {SPAN_INIT("<a@[1.2.3.256]>"), "literal"},
        {SPAN_INIT("<a@[2001:db8::1]>"), "literal"},
        {SPAN_INIT("<a@[IPv6:192.0.2.1]>"), "literal"},
        {SPAN_INIT("<a@[IPv6:2001:db8::1::2]>"), "literal"},
        {SPAN_INIT("<a@[IPv6:fe80::1%eth0]>"), "literal"},
        {SPAN_INIT("<a@[x-:y]>"), "literal"},
        {SPAN_INIT("<a@[:y]>"), "literal"},
        {SPAN_INIT("<a@[x:]>"), "literal"},
        {SPAN_INIT("<a@[x:[]>"), "literal"},
        {SPAN_INIT("<a@[x:y z]>"), "literal"},
        {SPAN_INIT("<a@[]>"), "literal"},
        {SPAN_INIT("<a@[192.0.2.1>"), "literal"},
        {SPAN_INIT("<a@[192.0.2.1]x>"), "'x' instead of '>'"},
        {SPAN_INIT("<\x80@b>"), "not valid UTF-8"},
        {SPAN_INIT("<\xc0\xaf@b>"), "not valid UTF-8"},         /* overlong */
        {SPAN_INIT("<\xe0\x9f\xbf@b>"), "not valid UTF-8"},     /* overlong */
        {SPAN_INIT("<\xf0\x8f\xbf\xbf@b>"), "not valid UTF-8"}, /* overlong */
        {SPAN_INIT("<\xed\xa0\x80@b>"), "not valid UTF-8"},     /* surrogate */
        {SPAN_INIT("<\xf4\x90\x80\x80@b>"), "not valid UTF-8"}, /* beyond U+10FFFF */
        {SPAN_INIT("<\xc3@b>"), "not valid UTF-8"},             /* cut short */
        {SPAN_INIT("<\xe4\xbe"), "not valid UTF-8"},            /* cut short by the end */
        {SPAN_INIT("<\xc2\x85@b>"), "not valid UTF-8"},         /* C1 control */
        {SPAN_INIT("<a@\xff>"), "not valid UTF-8"},
        {SPAN_INIT("<\"\\\xc3\xa4\"@b>"),
         "a non-ASCII character in the local part"}, /* a quoted pair is ASCII */
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct address a = {.quoted = true};
        struct span rest = SPAN("untouched");
        struct errctx ec = {{0}};
        enum err e = address_parse_path(c->in, true, &a, &rest, &ec);
        if (e != ERR_PARSE || strstr(ec.msg, c->why) == NULL)
            fail_msg("'" SPAN_FMT "': %s: '%s', not '%s'", SPAN_ARG(c->in), err_name(e), ec.msg, c->why);
        check_span(rest, SPAN("untouched"));
    }
}

/* prefix, n times fill, suffix */
static struct span stretched(struct buf *b, const char *prefix, size_t n, const char *suffix)
{
    buf_clear(b);
    assert_int_equal(buf_add(b, span_cstr(prefix)), ERR_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_addc(b, 'x'), ERR_OK);
    assert_int_equal(buf_add(b, span_cstr(suffix)), ERR_OK);
    return buf_span(b);
}

static void test_address__limits(void **state)
{
    static const char label62[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.";
    struct buf b;
    struct address a;
    struct span rest;
    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(address_parse_path(stretched(&b, "<", 64, "@b>"), false, &a, &rest, NULL), ERR_OK);
    assert_int_equal(address_parse_path(stretched(&b, "<", 65, "@b>"), false, &a, &rest, NULL), ERR_TOOBIG);
    assert_int_equal(address_parse_path(stretched(&b, "<\"", 62, "\"@b>"), false, &a, &rest, NULL), ERR_OK);
    assert_int_equal(address_parse_path(stretched(&b, "<\"", 63, "\"@b>"), false, &a, &rest, NULL),
                     ERR_TOOBIG);
    assert_int_equal(address_parse_path(stretched(&b, "<a@", 63, ">"), false, &a, &rest, NULL), ERR_OK);
    assert_int_equal(address_parse_path(stretched(&b, "<a@", 64, ">"), false, &a, &rest, NULL), ERR_TOOBIG);
    assert_int_equal(address_parse_path(stretched(&b, "<a@[x:", 251, "]>"), false, &a, &rest, NULL), ERR_OK);
    assert_int_equal(address_parse_path(stretched(&b, "<a@[x:", 252, "]>"), false, &a, &rest, NULL),
                     ERR_TOOBIG);
    char domain[300];
    (void)snprintf(domain, sizeof domain, "<a@%s%s%s%s", label62, label62, label62, label62);
    assert_int_equal(address_parse_path(stretched(&b, domain, 3, ">"), false, &a, &rest, NULL), ERR_OK);
    assert_int_equal(a.domain.len, 255);
    assert_int_equal(address_parse_path(stretched(&b, domain, 4, ">"), false, &a, &rest, NULL), ERR_TOOBIG);
    buf_done(&b);
}

static void test_address__bare_addresses(void **state)
{
    static const struct {
        struct span in;
        bool ok;
    } cases[] = {
        {SPAN_INIT("a@b"), true},   {SPAN_INIT("<a@b>"), false},        {SPAN_INIT("postmaster"), false},
        {SPAN_INIT(""), false},     {SPAN_INIT("a@b x"), false},        {SPAN_INIT("@r:a@b"), false},
        {SPAN_INIT("a@b>"), false}, {SPAN_INIT("\"a b\"@[::]"), false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct address a;
        assert_int_equal(address_parse(c->in, true, &a, NULL), c->ok ? ERR_OK : ERR_PARSE);
    }
}

static void test_domain__valid_and_normalized(void **state)
{
    static const struct {
        struct span in;
        bool valid;
        struct span normal; /* "" : refused */
    } cases[] = {
        {SPAN_INIT("Example.ORG"), true, SPAN_INIT("example.org")},
        {SPAN_INIT("example.org."), false, SPAN_INIT("example.org")},
        /* RFC 6531 3.2: however it is written, one domain */
        {SPAN_INIT("B\xc3\x9c"
                   "CHER.Example"),
         true, SPAN_INIT("xn--bcher-kva.example")},
        {SPAN_INIT("bu\xcc\x88"
                   "cher.example."),
         false, SPAN_INIT("xn--bcher-kva.example")}, /* decomposed */
        {SPAN_INIT("XN--bcher-kva.example"), true, SPAN_INIT("xn--bcher-kva.example")},
        {SPAN_INIT("\xef\xbd\x81\xe3\x80\x82\xef\xbd\x82"), true, SPAN_INIT("a.b")}, /* full width */
        {SPAN_INIT("a.\xe2\x80\x8d"), true, SPAN_INIT("")},                          /* a joiner alone */
        {SPAN_INIT("a\xe3\x80\x82\xe3\x80\x82"
                   "b"),
         true, SPAN_INIT("")}, /* an empty label */
        {SPAN_INIT("[IPv6:2001:DB8::1]"), false, SPAN_INIT("[ipv6:2001:db8::1]")},
        {SPAN_INIT("[192.0.2.1]"), false, SPAN_INIT("[192.0.2.1]")},
        {SPAN_INIT(""), false, SPAN_INIT("")},
        {SPAN_INIT("."), false, SPAN_INIT("")},
        {SPAN_INIT("a.."), false, SPAN_INIT("")},
        {SPAN_INIT("a b"), false, SPAN_INIT("")},
        {SPAN_INIT("*.example"), false, SPAN_INIT("")},
        {SPAN_INIT("[192.0.2.1]x"), false, SPAN_INIT("")},
        {SPAN_INIT("[192.0.2.1"), false, SPAN_INIT("")},
        {SPAN_INIT("a\0b"), false, SPAN_INIT("")},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct buf out;
        buf_init(&out, 64);
        assert_int_equal(buf_add(&out, SPAN("before ")), ERR_OK);
        assert_int_equal(domain_valid(c->in, true), c->valid);
        assert_int_equal(domain_normalize(c->in, &out), c->normal.len > 0 ? ERR_OK : ERR_PARSE);
        check_span(span_from(buf_span(&out), 7), c->normal);
        buf_done(&out);
    }
    assert_false(domain_valid(SPAN("b\xc3\xbc"
                                   "cher.example"),
                              false));
}

static void test_address__unquote(void **state)
{
    static const struct {
        struct span in, out;
        bool ok;
    } cases[] = {
        {SPAN_INIT("a.b"), SPAN_INIT("a.b"), true},
        {SPAN_INIT("\"a b\""), SPAN_INIT("a b"), true},
        {SPAN_INIT("\"a\\b\\\"\\\\\""), SPAN_INIT("ab\"\\"), true},
        {SPAN_INIT("\"\""), SPAN_INIT(""), true},
        {SPAN_INIT("\"a"), SPAN_INIT(""), false},
        {SPAN_INIT("\"a\\\""), SPAN_INIT(""), false},
        {SPAN_INIT("\"a\"b"), SPAN_INIT(""), false},
        {SPAN_INIT("a b"), SPAN_INIT(""), false},
        {SPAN_INIT(""), SPAN_INIT(""), false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct buf out;
        buf_init(&out, 64);
        assert_int_equal(address_local_unquote(c->in, &out), c->ok ? ERR_OK : ERR_PARSE);
        check_span(buf_span(&out), c->out);
        buf_done(&out);
    }
    struct buf small;
    buf_init(&small, 3);
    assert_int_equal(address_local_unquote(SPAN("\"abcd\""), &small), ERR_TOOBIG);
    assert_int_equal(small.len, 0);
    buf_done(&small);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_address__paths_are_taken_apart),
                     cmocka_unit_test(test_address__malformed_paths_say_why),
                     cmocka_unit_test(test_address__limits), cmocka_unit_test(test_address__bare_addresses),
                     cmocka_unit_test(test_domain__valid_and_normalized),
                     cmocka_unit_test(test_address__unquote));
}
