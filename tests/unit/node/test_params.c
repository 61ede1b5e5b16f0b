/* tests/unit/node/test_params.c — mirrors node/params.c */
#include "node/params.h"

#include "node/extensions.h"
#include "tests/unit/check.h"

enum { ALL = (1 << EXT__COUNT) - 1 };

static void test_params__answers_of_mail(void **state)
{
    static const struct {
        struct span in;
        unsigned offered;
        enum err e;
    } cases[] = {
        {SPAN_INIT(""), 0, ERR_OK},
        {SPAN_INIT("   "), 0, ERR_OK},
        {SPAN_INIT(" SIZE=1  BODY=7BIT"), ALL, ERR_OK},
        {SPAN_INIT("size=18446744073709551615"), ALL, ERR_OK},
        {SPAN_INIT("SIZE=18446744073709551616"), ALL, ERR_OK}, /* refused as too large, not as wrong */
        {SPAN_INIT("SIZE=99999999999999999999"), ALL, ERR_OK},
        {SPAN_INIT("SIZE=1844674407370955161x"), ALL, ERR_PARSE},
        {SPAN_INIT("SIZE=-1"), ALL, ERR_PARSE},
        {SPAN_INIT("SIZE="), ALL, ERR_PARSE},
        {SPAN_INIT("SIZE=000000000000000000001"), ALL, ERR_PARSE},
        {SPAN_INIT("SIZE=1"), ALL & ~EXT_SIZE, ERR_NOTFOUND},
        {SPAN_INIT("BODY=BINARYMIME"), ALL & ~EXT_BINARYMIME, ERR_PARSE},
        {SPAN_INIT("BODY=7BIT"), ALL & ~EXT_BINARYMIME, ERR_OK},
        {SPAN_INIT("RET=FULL RET=FULL"), ALL, ERR_PARSE},
        {SPAN_INIT("ENVID=+41+2B"), ALL, ERR_OK},
        {SPAN_INIT("ENVID=+4"), ALL, ERR_PARSE},
        {SPAN_INIT("ENVID=+4a"), ALL, ERR_PARSE},
        {SPAN_INIT("ENVID=a=b"), ALL, ERR_PARSE},
        {SPAN_INIT("SMTPUTF8"), ALL, ERR_OK},
        {SPAN_INIT("SMTPUTF8"), 0, ERR_NOTFOUND},
        {SPAN_INIT("AUTH=a@b+3D"), 0, ERR_OK},
        {SPAN_INIT("AUTH"), 0, ERR_PARSE},
        {SPAN_INIT("\xff=1"), ALL, ERR_NOTFOUND},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct mail_params p;
        struct span name;
        assert_int_equal(params_mail(c->in, c->offered, &p, &name), c->e);
    }
}

static void test_params__answers_of_rcpt(void **state)
{
    static const struct {
        struct span in;
        unsigned offered;
        bool utf8;
        enum err e;
    } cases[] = {
        {SPAN_INIT(""), 0, false, ERR_OK},
        {SPAN_INIT("NOTIFY=NEVER"), ALL, false, ERR_OK},
        {SPAN_INIT("notify=success,FAILURE,Delay"), ALL, false, ERR_OK},
        {SPAN_INIT("NOTIFY=SUCCESS,SUCCESS"), ALL, false, ERR_OK},
        {SPAN_INIT("NOTIFY=NEVER,NEVER"), ALL, false, ERR_OK},
        {SPAN_INIT("NOTIFY"), ALL, false, ERR_PARSE},
        {SPAN_INIT("NOTIFY=,"), ALL, false, ERR_PARSE},
        {SPAN_INIT("NOTIFY=,NEVER"), ALL, false, ERR_PARSE},
        {SPAN_INIT("NOTIFY=SUCCESS;DELAY"), ALL, false, ERR_PARSE},
        {SPAN_INIT("NOTIFY=DELAY NOTIFY=DELAY"), ALL, false, ERR_PARSE},
        {SPAN_INIT("NOTIFY=NEVER"), ALL & ~EXT_DSN, false, ERR_NOTFOUND},
        {SPAN_INIT("ORCPT=rfc822;a@b"), ALL & ~EXT_DSN, false, ERR_NOTFOUND},
        {SPAN_INIT("ORCPT=x-400;a+2Fb"), ALL, false, ERR_OK},
        {SPAN_INIT("ORCPT=;a"), ALL, false, ERR_PARSE},
        {SPAN_INIT("ORCPT=a_b;c"), ALL, false, ERR_PARSE},
        {SPAN_INIT("ORCPT=rfc822;a=b"), ALL, false, ERR_PARSE},
        {SPAN_INIT("ORCPT=rfc822;a\0b"), ALL, false, ERR_PARSE},
        {SPAN_INIT("ORCPT=rfc822;a+2"), ALL, false, ERR_PARSE},
        {SPAN_INIT("ORCPT=utf-8;\xc3\xa4@b"), ALL, true, ERR_OK},
        {SPAN_INIT("ORCPT=rfc822;\xc3\xa4@b"), ALL, true, ERR_PARSE},
        {SPAN_INIT("ORCPT=utf-8;\xc3\xa4@b"), ALL, false, ERR_PARSE},
        {SPAN_INIT("SMTPUTF8"), ALL, true, ERR_NOTFOUND},
        {SPAN_INIT("=x"), ALL, true, ERR_NOTFOUND},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct rcpt_params p;
        struct span name;
        enum err e = params_rcpt(c->in, c->offered, c->utf8, &p, &name);
        if (e != c->e)
            fail_msg("'" SPAN_FMT "': %s", SPAN_ARG(c->in), err_name(e));
    }
}

static void test_params__longest_texts(void **state)
{
    char text[600] = "ENVID=";
    struct mail_params mail;
    struct rcpt_params rcpt;
    struct span name;
    (void)state;
    memset(text + 6, 'e', sizeof text - 6);
    assert_int_equal(params_mail(span_of(text, 6 + ENVID_MAX), ALL, &mail, &name), ERR_OK);
    assert_int_equal(params_mail(span_of(text, 6 + ENVID_MAX + 1), ALL, &mail, &name), ERR_PARSE);
    memcpy(text, "ORCPT=x;", 8);
    assert_int_equal(params_rcpt(span_of(text, 6 + ORCPT_MAX), ALL, false, &rcpt, &name), ERR_OK);
    assert_int_equal(params_rcpt(span_of(text, 6 + ORCPT_MAX + 1), ALL, false, &rcpt, &name), ERR_PARSE);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_params__answers_of_mail),
                     cmocka_unit_test(test_params__answers_of_rcpt),
                     cmocka_unit_test(test_params__longest_texts));
}
