/* tests/unit/linkstate/test_record.c — record bodies and their signed headers, both directions. */
#include "linkstate/lsa.h"
#include "linkstate/record.h"
#include "linkstate/sim.h"
#include "tests/unit/check.h"

#include <string.h>

static struct record_host targets[] = {{SPAN_INIT("mx1.b.example:25"), true},
                                       {SPAN_INIT("mx2.b.example:25"), false}};
static struct record_space spaces[] = {{SPAN_INIT("*"), 10}, {SPAN_INIT("*.example.net"), 1}};
static struct span reject[] = {SPAN_INIT("@bulk.example")};
static struct record_member members[] = {{SPAN_INIT("r1"), true}, {SPAN_INIT("r2"), false}};

static struct record_connector connectors[2];

static struct record sample(void)
{
    connectors[0] = (struct record_connector){.name = SPAN("internet"),
                                              .type = RECORD_SMTP,
                                              .cost = 1,
                                              .up = true,
                                              .weight = 1,
                                              .dns = true,
                                              .priorities = RECORD_PRIORITY_ALL,
                                              .spaces = spaces,
                                              .nspaces = 2,
                                              .reject_from = reject,
                                              .nreject = 1};
    connectors[1] = (struct record_connector){.name = SPAN("to-b"),
                                              .type = RECORD_ROUTING_GROUP,
                                              .to_group = SPAN("b"),
                                              .cost = 7,
                                              .scope = RECORD_SCOPE_GROUP,
                                              .weight = 3,
                                              .priorities = RECORD_PRIORITY_HIGH,
                                              .max_size = 1 << 20,
                                              .content = RECORD_CONTENT_NON_SYSTEM,
                                              .targets = targets,
                                              .ntargets = 2};
    return (struct record){
        .master = SPAN("r1"), .members = members, .nmembers = 2, .connectors = connectors, .nconnectors = 2};
}

static void test_record__parse_gives_back_what_was_emitted(void **state)
{
    (void)state;
    struct record in = sample(), out;
    struct buf a, b;
    buf_init(&a, RECORD_MAX);
    buf_init(&b, RECORD_MAX);
    assert_int_equal(record_emit(&in, &a), ERR_OK);
    assert_int_equal(record_parse(buf_span(&a), &out, NULL), ERR_OK);
    check_span(out.connectors[1].to_group, SPAN("b"));
    assert_int_equal(out.connectors[1].cost, 7);
    assert_int_equal(out.connectors[1].max_size, 1 << 20);
    assert_false(out.connectors[1].up);
    assert_false(out.connectors[1].targets[1].up);
    check_span(out.connectors[0].spaces[1].space, SPAN("*.example.net"));
    check_span(out.connectors[0].reject_from[0], SPAN("@bulk.example"));
    assert_int_equal(record_emit(&out, &b), ERR_OK);
    check_span(buf_span(&b), buf_span(&a));
    record_done(&out);
    buf_done(&a);
    buf_done(&b);
}

static void test_record__every_cut_is_refused(void **state)
{
    (void)state;
    struct record in = sample(), out;
    struct buf a;
    buf_init(&a, RECORD_MAX);
    assert_int_equal(record_emit(&in, &a), ERR_OK);
    for (size_t n = 0; n < a.len; n++)
        assert_int_equal(record_parse(span_first(buf_span(&a), n), &out, NULL), ERR_PARSE);
    assert_int_equal(buf_addc(&a, '\0'), ERR_OK);
    assert_int_equal(record_parse(buf_span(&a), &out, NULL), ERR_PARSE);
    buf_done(&a);
}

static void test_record__fields_out_of_range_are_named(void **state)
{
    static const struct {
        struct span bytes;
        const char *why;
    } cases[] = {
        {SPAN_INIT("\x02"), "record: format"},
        {SPAN_INIT("\x01\x02r1\x02\x01z\x01\x01"
                   "a\x01"),
         "record: order of members"},
        {SPAN_INIT("\x01\x02r1\x00\xff\xff\x7f"), "record: connectors"},
        {SPAN_INIT("\x01\x02r1\x00\x01\x01"
                   "c\x07"),
         "record: connector type"},
        {SPAN_INIT("\x01\x02r1\x00\x01\x01"
                   "c\x01\x00"),
         "record: connected group"},
        {SPAN_INIT("\x01\x02r1\x00\x01\x01"
                   "c\x01\x01"
                   "b\x65"),
         "record: connector cost"},
        {SPAN_INIT("\x01\x02\x0a"
                   "1\x00"),
         "record: master"},
        {SPAN_INIT("\x01\x82\x00r1\x00"), "record: cut short"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct record out;
        struct errctx ec;
        assert_int_equal(record_parse(c->bytes, &out, &ec), ERR_PARSE);
        assert_string_equal(ec.msg, c->why);
    }
}

static void test_record__what_cannot_be_parsed_is_not_emitted(void **state)
{
    (void)state;
    struct record in = sample();
    struct buf a;
    buf_init(&a, RECORD_MAX);
    connectors[1].cost = 101;
    assert_int_equal(record_emit(&in, &a), ERR_PARSE);
    assert_int_equal(a.len, 0);
    in = sample();
    connectors[1].name = SPAN("with blank");
    assert_int_equal(record_emit(&in, &a), ERR_PARSE);
    buf_done(&a);
}

static void test_lsa__any_changed_byte_is_noticed(void **state)
{
    (void)state;
    uint32_t group = 1;
    uint8_t org[LS_KEY_LEN];
    struct ls_crypto crypto;
    struct buf cert, header, body;
    struct record in = sample();
    struct lsa lsa;
    struct ls_version v = {1, 2, 3, 4};
    buf_init(&cert, CERT_MAX);
    buf_init(&header, LSA_HEADER_MAX);
    buf_init(&body, RECORD_MAX);
    sim_crypto(&crypto, &group);
    sim_org_key(org);
    sim_cert(1, SPAN("a"), &cert);
    assert_int_equal(record_emit(&in, &body), ERR_OK);
    assert_int_equal(lsa_seal(SPAN("a"), &v, buf_span(&body), buf_span(&cert), &crypto, &header), ERR_OK);
    assert_int_equal(lsa_parse(buf_span(&header), &lsa), ERR_OK);
    assert_int_equal(lsa_verify(&lsa, SPAN("sim"), org, SPAN(""), &crypto), ERR_OK);
    assert_int_equal(lsa_verify(&lsa, SPAN("other"), org, SPAN(""), &crypto), ERR_DENIED);
    assert_int_equal(lsa_check_body(&lsa, buf_span(&body), &crypto), ERR_OK);
    for (size_t i = 0; i < header.len; i++) {
        struct lsa changed;
        header.ptr[i] = (char)(header.ptr[i] ^ 1);
        assert_true(lsa_parse(buf_span(&header), &changed) != ERR_OK ||
                    lsa_verify(&changed, SPAN("sim"), org, SPAN(""), &crypto) == ERR_DENIED);
        header.ptr[i] = (char)(header.ptr[i] ^ 1);
    }
    for (size_t i = 0; i < body.len; i++) {
        body.ptr[i] = (char)(body.ptr[i] ^ 1);
        assert_int_equal(lsa_check_body(&lsa, buf_span(&body), &crypto), ERR_PARSE);
        body.ptr[i] = (char)(body.ptr[i] ^ 1);
    }
    buf_done(&cert);
    buf_done(&header);
    buf_done(&body);
}

static void test_lsa__versions_compare_in_order(void **state)
{
    static const struct ls_version rising[] = {{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 1, 0},
                                               {0, 0, 1, 7}, {0, 1, 0, 0}, {1, 0, 0, 0},
                                               {1, 0, 9, 0}, {1, 1, 0, 0}, {2, 0, 0, 0}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rising); i++)
        for (size_t k = 0; k < ARRAY_LEN(rising); k++)
            assert_int_equal(ls_version_cmp(&rising[i], &rising[k]), (i > k) - (i < k));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_record__parse_gives_back_what_was_emitted),
                     cmocka_unit_test(test_record__every_cut_is_refused),
                     cmocka_unit_test(test_record__fields_out_of_range_are_named),
                     cmocka_unit_test(test_record__what_cannot_be_parsed_is_not_emitted),
                     cmocka_unit_test(test_lsa__any_changed_byte_is_noticed),
                     cmocka_unit_test(test_lsa__versions_compare_in_order));
}
