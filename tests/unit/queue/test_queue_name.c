#include "queue/queue_name.h"
#include "tests/unit/check.h"

#include <string.h>

static void names_of_queues(void **state)
{
    (void)state;
    static const struct {
        const char *name, *domain;
        uint32_t klass;
        bool good;
    } rows[] = {
        {"example.org", "example.org", 0, true},
        {"example.org!1", "example.org", 1, true},
        {"example.org!ffffffff", "example.org", UINT32_MAX, true},
        {"[192.0.2.1]!2a", "[192.0.2.1]", 42, true},
        {"a!b!3", "a!b", 3, true},
        {"", "", 0, false},
        {"!1", "!1", 0, false},
        {"example.org!", "example.org!", 0, false},
        {"example.org!1G", "example.org!1G", 0, false},
        {"example.org!A", "example.org!A", 0, false},
        {"example.org!123456789", "example.org!123456789", 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span domain;
        uint32_t klass;
        char out[QUEUE_NAME_BYTES];
        assert_int_equal(queue_name_read(span_cstr(rows[i].name), &domain, &klass), rows[i].good);
        assert_true(span_eq(domain, span_cstr(rows[i].domain)));
        assert_int_equal(klass, rows[i].klass);
        if (rows[i].good) {
            assert_int_equal(queue_name_write(domain, klass, out), strlen(rows[i].name));
            assert_string_equal(out, rows[i].name);
        }
    }
}

static void too_long_a_domain_is_cut(void **state)
{
    (void)state;
    char domain[QUEUE_NAME_MAX + 50], out[QUEUE_NAME_BYTES];
    memset(domain, 'd', sizeof domain);
    assert_int_equal(queue_name_write(span_of(domain, sizeof domain), UINT32_MAX, out), QUEUE_NAME_MAX + 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_queues),
        cmocka_unit_test(too_long_a_domain_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
