/* mirrors worker/deliver.c */
#include "tests/unit/check.h"

#include "worker/deliver.h"

static void test_deliver__parses_the_three_schemes(void **state)
{
    static const struct {
        struct span text, where;
        enum err err;
        enum deliver_kind kind;
    } cases[] = {
        {SPAN_INIT("maildir:./var/%d/%u"), SPAN_INIT("./var/%d/%u"), ERR_OK, DELIVER_MAILDIR},
        {SPAN_INIT("lmtp://127.0.0.1:24"), SPAN_INIT("127.0.0.1:24"), ERR_OK, DELIVER_LMTP},
        {SPAN_INIT("lmtp:unix:/run/lmtp"), SPAN_INIT("/run/lmtp"), ERR_OK, DELIVER_LMTP_UNIX},
        {SPAN_INIT("maildir:"), SPAN_INIT(""), ERR_PARSE, 0},
        {SPAN_INIT("lmtp:/run/lmtp"), SPAN_INIT(""), ERR_PARSE, 0},
        {SPAN_INIT("mbox:/var/mail"), SPAN_INIT(""), ERR_PARSE, 0},
        {SPAN_INIT(""), SPAN_INIT(""), ERR_PARSE, 0},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct deliver d = {0};
        struct errctx ec = {""};

        assert_int_equal(deliver_parse(c->text, &d, &ec), c->err);
        if (c->err == ERR_OK) {
            assert_int_equal(d.kind, c->kind);
            check_span(d.where, c->where);
        }
    }
}

static void test_deliver__keeps_every_address_below_the_template(void **state)
{
    static const struct {
        struct span template, address, path;
    } cases[] = {
        {SPAN_INIT("/m/%d/%u"), SPAN_INIT("Bob@Example.ORG"), SPAN_INIT("/m/example.org/bob")},
        {SPAN_INIT("m/%u"), SPAN_INIT("bob@x"), SPAN_INIT("/base/m/bob")},
        {SPAN_INIT("/m/%u/x"), SPAN_INIT("bob+tag@x"), SPAN_INIT("/m/bob+tag/x")},
        {SPAN_INIT("/m/%u"), SPAN_INIT("\"bob\"@x"), SPAN_INIT("/m/bob")},
        {SPAN_INIT("/m/%u"), SPAN_INIT("\"../../etc/passwd\"@x"), SPAN_INIT("/m/%2E.%2F..%2Fetc%2Fpasswd")},
        {SPAN_INIT("/m/%u"), SPAN_INIT("\"..\"@x"), SPAN_INIT("/m/%2E.")},
        {SPAN_INIT("/m/%u"), SPAN_INIT("\".\"@x"), SPAN_INIT("/m/%2E")},
        {SPAN_INIT("/m/%u"), SPAN_INIT("a%2fb@x"), SPAN_INIT("/m/a%252fb")},
        {SPAN_INIT("/m/%u"), SPAN_INIT("\"a b\\\"c\"@x"), SPAN_INIT("/m/a%20b%22c")},
        {SPAN_INIT("/m/%u"), SPAN_INIT("j\xc3\xbcrgen@x"), SPAN_INIT("/m/j%C3%BCrgen")},
        {SPAN_INIT("/m/%d/%u"), SPAN_INIT("a@[192.0.2.1]"), SPAN_INIT("/m/%5B192.0.2.1%5D/a")},
        {SPAN_INIT("/m/%u"), SPAN_INIT("\".bob\"@x"), SPAN_INIT("/m/%2Ebob")},
        {SPAN_INIT("/m/%u/new"), SPAN_INIT("\"/\"@x"), SPAN_INIT("/m/%2F/new")},
        {SPAN_INIT("/m/%%u/%x"), SPAN_INIT("a@x"), SPAN_INIT("/m/%a/%x")},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct buf out;

        buf_init(&out, DELIVER_PATH_MAX);
        assert_int_equal(deliver_path(c->template, SPAN("/base"), c->address, &out), ERR_OK);
        check_span(buf_span(&out), c->path);
        buf_done(&out);
    }
}

static void test_deliver__refuses_what_is_no_mailbox(void **state)
{
    static char longest[] =
        "\"                                                              \"@x"; /* 62 blanks */
    static const struct {
        struct span address;
        size_t prefix;
        enum err err;
    } cases[] = {
        {SPAN_INIT("nobody"), 0, ERR_PARSE},       {SPAN_INIT("@x"), 0, ERR_PARSE},
        {SPAN_INIT("a@"), 0, ERR_PARSE},           {SPAN_INIT("\"\"@x"), 0, ERR_PARSE},
        {SPAN_INIT("\"a\"@x"), 300, ERR_TOOBIG},   {SPAN_INIT("\"a\0b\"@x"), 0, ERR_PARSE},
        {SPAN_INIT("\"a\\\0b\"@x"), 0, ERR_PARSE}, {SPAN_INIT("a\0@x"), 0, ERR_PARSE},
        {SPAN_INIT("../a@x"), 0, ERR_PARSE},       {SPAN_INIT("a@.."), 0, ERR_PARSE},
        {SPAN_INIT("a@x/../y"), 0, ERR_PARSE},     {SPAN_INIT("a@x\0"), 0, ERR_PARSE},
    };
    char template[512] = "/";
    (void)state;
    CHECK_EACH (cases, c) {
        struct buf out;

        memset(template + 1, 'p', c->prefix);
        memcpy(template + 1 + c->prefix, "%u", 3);
        buf_init(&out, DELIVER_PATH_MAX);
        assert_int_equal(deliver_path(span_cstr(template), SPAN(""), c->address, &out), c->err);
        buf_done(&out);
    }
    struct buf out;
    buf_init(&out, DELIVER_PATH_MAX);
    assert_int_equal(deliver_path(SPAN("/%u"), SPAN(""), span_cstr(longest), &out), ERR_OK);
    assert_true(out.len <= 1 + DELIVER_COMPONENT_MAX);
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_deliver__parses_the_three_schemes),
                     cmocka_unit_test(test_deliver__keeps_every_address_below_the_template),
                     cmocka_unit_test(test_deliver__refuses_what_is_no_mailbox));
}
