/* tests/unit/linkstate/test_message.c — X-LINK2STATE messages, golden in both directions. */
#include "linkstate/message.h"
#include "tests/unit/check.h"

#include <string.h>

static size_t unhex(const char *hex, char *out, size_t max)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    for (const char *p = hex; *p != '\0' && n / 2 < max; p++) {
        const char *d = strchr(digits, *p);
        if (d == NULL)
            continue; /* blanks between fields */
        if (n % 2 == 0)
            out[n / 2] = (char)((d - digits) << 4);
        else
            out[n / 2] = (char)(out[n / 2] | (d - digits));
        n++;
    }
    return n / 2;
}

/* head: magic 4c53, version, type, length; part: tag, length, value */
static const char *const golden[] = {
    /* HELLO: versions 1..1; org "o", group "g", router "r1", instance 7, not an answer; sum 1,2 of 3 records
     */
    ("4c53 01 01 00000035  81 00000002 01 01  82 00000010 01 6f 01 67 02 7231 0000000000000007 00"
     "  83 00000014 0000000000000001 0000000000000002 00000003"),
    /* DIGEST */
    "4c53 01 02 00000019  83 00000014 0000000000000001 0000000000000002 00000003",
    /* REQUEST of group "g" */
    "4c53 01 05 00000023  86 0000001e 01 67 00000000 00000000 00000000 0000000000000000 0000000000000000",
    /* REQUEST of nothing, but of what is beyond the header "hh" */
    "4c53 01 05 00000016  86 00000000  09 0000000c 00000000 0002 00000000 6868",
    /* ACK of "g" 1.2.3#4 */
    "4c53 01 07 00000023  86 0000001e 01 67 00000001 00000002 00000003 0000000000000004 0000000000000000",
    /* ADVERTISE: age 9, header "hh", body "b" */
    "4c53 01 06 00000012  87 0000000d 00000009 0002 00000001 6868 62",
    /* BYE 1 "no" */
    "4c53 01 08 00000009  88 00000004 01 02 6e6f",
};

static void test_message__golden_bytes_parse_and_come_back(void **state)
{
    (void)state;
    CHECK_EACH (golden, g) {
        char bytes[512];
        size_t n = unhex(*g, bytes, sizeof bytes);
        struct ls_message m;
        struct errctx ec = {""};
        struct buf out;
        buf_init(&out, LS_MESSAGE_MAX);
        if (ls_message_parse(span_of(bytes, n), &m, &ec) != ERR_OK)
            fail_msg("%s: %s", *g, ec.msg);
        assert_int_equal(ls_message_emit(&m, &out), ERR_OK);
        check_span(buf_span(&out), span_of(bytes, n));
        buf_done(&out);
    }
}

static void test_message__every_cut_is_refused(void **state)
{
    (void)state;
    CHECK_EACH (golden, g) {
        char bytes[512];
        size_t n = unhex(*g, bytes, sizeof bytes);
        for (size_t i = 0; i < n; i++) {
            struct ls_message m;
            assert_int_equal(ls_message_parse(span_of(bytes, i), &m, NULL), ERR_PARSE);
        }
    }
}

static void test_message__refusals_say_what_is_wrong(void **state)
{
    static const struct {
        const char *hex, *why;
    } cases[] = {
        {"4c54 01 02 00000000", "not a link state message"},
        {"4c53 02 02 00000000", "protocol version 2; this router speaks 1 to 1"},
        {"4c53 01 00 00000000", "unknown message type 0"},
        {"4c53 01 63 00000000", "unknown message type 99"},
        {"4c53 01 02 00000001", "length says 1, 0 bytes are there"},
        {"4c53 01 02 00000000", "DIGEST: part 131 is missing"},
        {"4c53 01 02 00000005 99 00000000", "DIGEST: unknown or misplaced part 153"},
        {"4c53 01 02 00000006 83 00000001 00", "DIGEST: part 131 is malformed"},
        {"4c53 01 02 00000005 83 00000001", "DIGEST: part 131 is cut short"},
        {"4c53 01 05 00000006 86 00000001 05", "REQUEST: part 134 is malformed"},
        {"4c53 01 01 00000007 81 00000002 02 01", "HELLO: part 129 is malformed"},
        /* what is wanted has a header, no body, and stands once, at the end */
        {"4c53 01 05 0000000a 86 00000000 09 00000000", "REQUEST: part 9 is malformed"},
        {"4c53 01 05 00000014 86 00000000 09 0000000a 00000000 0000 00000000",
         "REQUEST: part 9 is malformed"},
        {"4c53 01 05 00000016 86 00000000 09 0000000c 00000000 0001 00000001 6862",
         "REQUEST: part 9 is malformed"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        char bytes[128];
        struct ls_message m;
        struct errctx ec;
        size_t n = unhex(c->hex, bytes, sizeof bytes);
        assert_int_equal(ls_message_parse(span_of(bytes, n), &m, &ec), ERR_PARSE);
        assert_string_equal(ec.msg, c->why);
    }
}

/* What a receiver checks in one step is bounded, however small the records are. */
static void test_message__an_advertise_of_too_many_records_is_refused(void **state)
{
    static const struct {
        unsigned records;
        enum err want;
    } cases[] = {{LS_ADVERTS_MAX, ERR_OK}, {LS_ADVERTS_MAX + 1, ERR_TOOBIG}, {4000, ERR_TOOBIG}};
    (void)state;
    CHECK_EACH (cases, c) {
        struct buf list, bytes;
        struct ls_message parsed, m = {.type = LS_MSG_ADVERTISE};
        struct ls_advert ad = {0, SPAN("hh"), SPAN("b")};
        struct errctx ec = {""};
        buf_init(&list, LS_MESSAGE_MAX);
        buf_init(&bytes, LS_MESSAGE_MAX);
        for (unsigned i = 0; i < c->records; i++)
            assert_int_equal(ls_advert_add(&list, &ad), ERR_OK);
        m.list = buf_span(&list);
        assert_int_equal(ls_message_emit(&m, &bytes), ERR_OK);
        assert_int_equal(ls_message_parse(buf_span(&bytes), &parsed, &ec), c->want);
        assert_string_equal(ec.msg, c->want == ERR_OK ? "" : "ADVERTISE of more than 256 records");
        buf_done(&list);
        buf_done(&bytes);
    }
}

static void test_message__unknown_optional_parts_are_skipped(void **state)
{
    (void)state;
    char bytes[128];
    struct ls_message m;
    size_t n = unhex(
        "4c53 01 02 00000021  05 00000003 aabbcc  83 00000014 0000000000000001 0000000000000002 00000003",
        bytes, sizeof bytes);
    assert_int_equal(ls_message_parse(span_of(bytes, n), &m, NULL), ERR_OK);
    assert_int_equal(m.records, 3);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_message__golden_bytes_parse_and_come_back),
                     cmocka_unit_test(test_message__every_cut_is_refused),
                     cmocka_unit_test(test_message__refusals_say_what_is_wrong),
                     cmocka_unit_test(test_message__an_advertise_of_too_many_records_is_refused),
                     cmocka_unit_test(test_message__unknown_optional_parts_are_skipped));
}
