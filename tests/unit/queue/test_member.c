/* tests/unit/queue/test_member.c — what members say of themselves, written and read. */
#include "queue/member.h"
#include "tests/unit/check.h"

#include <string.h>

static void test_member__reads_what_it_writes(void **state)
{
    struct member_facts f = {.role = SPAN("node"),
                             .host = SPAN("mx 1\n=x"),
                             .version = SPAN("0.1.0"),
                             .pid = 42,
                             .since_ms = 1700000000000,
                             .total = UINT64_MAX,
                             .per_minute = 7,
                             .open = 3},
                        g;
    struct buf text;
    (void)state;
    buf_init(&text, MEMBER_TEXT_MAX);
    assert_int_equal(member_write(&f, &text), ERR_OK);
    assert_string_equal(buf_cstr(&text), "role=node host=mx_1__x version=0.1.0 pid=42 since_ms=1700000000000 "
                                         "total=18446744073709551615 per_minute=7 open=3");
    member_read(buf_span(&text), &g);
    assert_true(span_eq(g.role, SPAN("node")) && span_eq(g.host, SPAN("mx_1__x")));
    assert_true(span_eq(g.version, SPAN("0.1.0")));
    assert_true(g.pid == 42 && g.since_ms == f.since_ms && g.total == UINT64_MAX);
    assert_true(g.per_minute == 7 && g.open == 3);
    buf_done(&text);
}

static void test_member__takes_any_text(void **state)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "=",
                                        "role",
                                        "pid=-1 open=x total=99999999999999999999",
                                        "worker-1 host 0.1.0",
                                        "later=1 pid=",
                                        "  =  = "};
    (void)state;
    CHECK_EACH (texts, t) {
        struct member_facts f;
        member_read(span_cstr(*t), &f);
        assert_true(f.role.len == 0 && f.pid == 0 && f.open == 0 && f.total == 0);
    }
}

static void test_member__fits_whatever_the_host_is_called(void **state)
{
    char host[5000];
    struct buf text;
    (void)state;
    memset(host, 'h', sizeof host);
    struct member_facts f = {.role = SPAN("worker"), .host = span_of(host, sizeof host)};
    buf_init(&text, MEMBER_TEXT_MAX);
    assert_int_equal(member_write(&f, &text), ERR_OK);
    buf_done(&text);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_member__reads_what_it_writes),
                     cmocka_unit_test(test_member__takes_any_text),
                     cmocka_unit_test(test_member__fits_whatever_the_host_is_called));
}
