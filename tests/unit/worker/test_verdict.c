/* tests/unit/worker/test_verdict.c — mirrors worker/verdict.c; every decision is in tests/golden/verdict.txt
 */
#include "tests/unit/golden.h"
#include "worker/verdict.h"

static const char *const scopes[] = {"recipient", "message", "link"};

static void describe(const struct verdict_input *in, char *out, size_t size)
{
    struct verdict v = verdict_of(in), last = verdict_last(&v);
    snprintf(out, size, "%-11s %-9s %s%s%s%s%s", verdict_action_name(v.action), scopes[v.scope], v.status,
             v.close ? " close" : "", v.permanent ? " permanent" : "",
             last.action != v.action ? ", at last " : "",
             last.action != v.action ? verdict_action_name(last.action) : "");
}

static void print(struct buf *out, const char *step, const char *what, const struct verdict_input *in)
{
    char left[64], right[128];
    snprintf(left, sizeof(left), "%-9s %s%s%s%s%s%s%s%s", step, what, in->enhanced[0] != '\0' ? " " : "",
             in->enhanced, in->accepted ? " accepted" : "", in->lmtp ? " lmtp" : "", in->bdat ? " bdat" : "",
             in->configured ? " configured" : "", in->fell_back ? " fell-back" : "");
    describe(in, right, sizeof(right));
    assert_int_equal(buf_addf(out, "%-30s -> %s\n", left, right), ERR_OK);
}

/* A failure means the same in most steps; the others are printed as exceptions. */
static void print_failure(struct buf *out, const char *name, enum failure failure)
{
    struct verdict_input in = {.step = STEP_ROUTE, .failure = failure, .enhanced = ""};
    char usual[128], here[128];
    describe(&in, usual, sizeof(usual));
    print(out, "*", name, &in);
    for (unsigned step = 1; step < STEP__COUNT; step++) {
        in.step = (enum step)step;
        describe(&in, here, sizeof(here));
        if (strcmp(usual, here) != 0)
            print(out, step_name(in.step), name, &in);
    }
}

/* Codes that some row treats in a way of its own, and one plain member of every class. */
static const struct {
    uint16_t code;
    const char *enhanced;
    bool accepted;
} replies[] = {
    {220, "", false},      {250, "2.1.5", false}, {354, "", false},      {421, "", false},
    {421, "4.7.0", false}, {450, "", false},      {451, "4.7.1", false}, {452, "", false},
    {452, "", true},       {452, "4.5.3", true},  {452, "4.2.2", true},  {454, "", false},
    {530, "", false},      {534, "", false},      {535, "5.7.8", false}, {538, "", false},
    {500, "", false},      {502, "5.5.1", false}, {503, "", false},      {504, "5.7.1", false},
    {550, "", false},      {550, "5.1.1", false}, {550, "4.1.1", false}, {552, "", false},
    {552, "", true},       {552, "5.5.3", true},  {552, "5.2.2", true},  {553, "", false},
    {554, "5.7.1", false}, {556, "", false},
};

static void test_verdict__every_decision_is_written_down(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, GOLDEN_MAX);
    assert_int_equal(buf_addf(&out, "# step (* every other), reply or failure -> action, scope, status\n"
                                    "# made by tests/unit/worker/test_verdict.c\n"),
                     ERR_OK);
    static const char *const names[] = {
#define X(id, status, text) #id,
        FAILURE_MAP(X)
#undef X
    };
    for (unsigned f = FAILURE_NONE + 1; f < FAILURE__COUNT; f++)
        print_failure(&out, names[f], (enum failure)f);
    for (unsigned step = STEP_GREETING; step < STEP__COUNT; step++) {
        for (size_t i = 0; i < ARRAY_LEN(replies) && step != STEP_TLS; i++) {
            char code[8];
            struct verdict_input in = {.step = (enum step)step,
                                       .code = replies[i].code,
                                       .enhanced = replies[i].enhanced,
                                       .accepted = replies[i].accepted};
            if (in.accepted && step != STEP_RCPT)
                continue;
            snprintf(code, sizeof(code), "%u", in.code);
            print(&out, step_name(in.step), code, &in);
            in.lmtp = true;
            if (step == STEP_END)
                print(&out, step_name(in.step), code, &in);
            in.lmtp = false;
            in.bdat = true;
            if ((step == STEP_BODY || step == STEP_END) && in.code >= 500 && in.code <= 504)
                print(&out, step_name(in.step), code, &in);
            in.bdat = false;
            bool login = in.code / 10 == 53 && step < STEP_RSET && step != STEP_STARTTLS;
            in.configured = true;
            if ((step <= STEP_HELO && in.code >= 500) || login)
                print(&out, step_name(in.step), code, &in);
            in.configured = false;
            in.fell_back = true;
            if (login && step >= STEP_MAIL)
                print(&out, step_name(in.step), code, &in);
        }
    }
    check_golden("golden/verdict.txt", buf_span(&out));
    buf_done(&out);
}

/* What must hold whatever the table says. */
static void test_verdict__no_input_breaks_the_rules(void **state)
{
    (void)state;
    static const char *const enhanced[] = {"", "2.0.0", "4.5.3", "5.5.3", "5.1.1"};
    for (unsigned step = 0; step < STEP__COUNT; step++) {
        for (unsigned n = 0; n < 400 * ARRAY_LEN(enhanced) * 8; n++) {
            struct verdict_input in = {.step = (enum step)step,
                                       .code = (uint16_t)(200 + n % 400),
                                       .enhanced = enhanced[n / 400 % ARRAY_LEN(enhanced)],
                                       .accepted = n / 400 / ARRAY_LEN(enhanced) % 2 == 1,
                                       .lmtp = n / 400 / ARRAY_LEN(enhanced) / 2 % 2 == 1,
                                       .bdat = n / 400 / ARRAY_LEN(enhanced) / 4 == 1};
            struct verdict v = verdict_of(&in), last = verdict_last(&v);
            /* only an answer in the 200s to the end of data delivers, only one in the 500s returns */
            assert_int_equal(v.action == VERDICT_DONE, step == STEP_END && in.code < 300);
            if (last.action == VERDICT_BOUNCE)
                assert_true(in.code >= 500 && v.status[0] == '5');
            if (v.action == VERDICT_AGAIN)
                assert_true((in.accepted && step == STEP_RCPT) ||
                            (in.bdat && v.close && in.code >= 500 && in.code <= 504 &&
                             (step == STEP_BODY || step == STEP_END)));
            if (v.action == VERDICT_NEXT_TARGET)
                assert_true(v.scope == VERDICT_LINK && v.close);
            assert_int_not_equal(last.action, VERDICT_NEXT_TARGET);
            assert_in_range(strlen(v.status), 5, REPLY_ENHANCED_MAX - 1);
        }
    }
}

static void test_verdict__the_softest_target_decides(void **state)
{
    (void)state;
    struct verdict_input refused = {.step = STEP_CONNECT, .failure = FAILURE_REFUSED, .enhanced = ""};
    struct verdict_input rejected = {.step = STEP_GREETING, .code = 554, .enhanced = ""};
    struct verdict soft = verdict_of(&refused), hard = verdict_of(&rejected);
    struct verdict v = verdict_softer(&hard, &soft);
    assert_int_equal(verdict_last(&v).action, VERDICT_RETRY_LATER);
    v = verdict_softer(&soft, &hard);
    assert_int_equal(verdict_last(&v).action, VERDICT_RETRY_LATER);
    v = verdict_softer(&hard, &hard);
    assert_int_equal(verdict_last(&v).action, VERDICT_BOUNCE);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_verdict__every_decision_is_written_down),
                     cmocka_unit_test(test_verdict__no_input_breaks_the_rules),
                     cmocka_unit_test(test_verdict__the_softest_target_decides));
}
