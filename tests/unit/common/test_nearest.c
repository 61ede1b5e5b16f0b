/* tests/unit/common/test_nearest.c — mirrors common/nearest.c */
#include "tests/unit/check.h"

#include "common/nearest.h"

static void test_nearest__finds_the_slip(void **state)
{
    static const char *const words[] = {"listen", "hostname", "max_hops",     "max_errors",
                                        "tls",    "url",      "password_file"};
    static const struct {
        const char *typed, *want;
    } cases[] = {
        {"listne", "listen"},
        {"Listen", "listen"},
        {"hostnme", "hostname"},
        {"max_hop", "max_hops"},
        {"max_error", "max_errors"},
        {"tsl", "tls"},
        {"uri", "url"},
        {"xyz", NULL},
        {"", NULL},
        {"relay_from", NULL},
        {"tls_key", "tls"},
        {"password", "password_file"},
        {"p", NULL},
        {"passwords", NULL},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        const char *got = nearest_of(span_cstr(c->typed), words, ARRAY_LEN(words));
        if (c->want == NULL)
            assert_null(got);
        else
            assert_string_equal(got, c->want);
    }
    char lengthy[70] = {0};
    for (size_t i = 0; i < sizeof lengthy - 1; i++)
        lengthy[i] = 'x';
    assert_null(nearest_of(span_cstr(lengthy), words, ARRAY_LEN(words)));
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_nearest__finds_the_slip));
}
