/* tests/unit/node/test_verbs.c — mirrors node/verbs.c */
#include "node/verbs.h"

#include "node/extensions.h"
#include "tests/unit/golden.h"

static void test_verbs__legal_states(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 65536);
    assert_int_equal(verbs_matrix(&out), ERR_OK);
    check_golden("golden/smtp_verbs.txt", buf_span(&out));
    buf_done(&out);
}

static void test_verbs__names_are_found_in_any_case_and_whole(void **state)
{
    (void)state;
    assert_non_null(verb_find(SPAN("mAiL")));
    assert_null(verb_find(SPAN("MAI")));
    assert_null(verb_find(SPAN("MAILX")));
    assert_null(verb_find(SPAN("")));
}

static void test_verbs__help_lists_what_is_offered(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 1024);
    assert_int_equal(verbs_help(0, SPAN(""), &out), ERR_OK);
    check_span(buf_span(&out),
               SPAN("Commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY EXPN ETRN STARTTLS\n"
                    "HELP command tells more"));
    buf_clear(&out);
    assert_int_equal(verbs_help(EXT_CHUNKING, SPAN("bdat"), &out), ERR_OK);
    check_span(buf_span(&out), SPAN("BDAT octets [LAST]"));
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_verbs__legal_states),
                     cmocka_unit_test(test_verbs__names_are_found_in_any_case_and_whole),
                     cmocka_unit_test(test_verbs__help_lists_what_is_offered));
}
