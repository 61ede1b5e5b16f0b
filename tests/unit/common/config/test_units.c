/* tests/unit/common/config/test_units.c — mirrors common/config/units.c */
#include "tests/unit/check.h"

#include "common/config/table.h"

static void test_units__sizes(void **state)
{
    static const struct {
        const char *in, *text; /* NULL: refused */
        uint64_t value;
    } cases[] = {
        {"0", "0", 0},
        {"1", "1", 1},
        {"1024", "1K", 1024},
        {"50M", "50M", 50 << 20},
        {"50m", "50M", 50 << 20},
        {"1KiB", "1K", 1024},
        {"3G", "3G", UINT64_C(3) << 30},
        {"1025", "1025", 1025},
        {"18446744073709551615", "18446744073709551615", UINT64_MAX},
        {"18446744073709551616", NULL, 0},
        {"18014398509481984K", NULL, 0},
        {"", NULL, 0},
        {"K", NULL, 0},
        {"5iB", NULL, 0},
        {"1.5M", NULL, 0},
        {"-1", NULL, 0},
        {"1 K", NULL, 0},
        {"1T", NULL, 0},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        uint64_t v = 77;
        char text[CONF_NUMBER_TEXT];
        assert_int_equal(conf_parse_size(span_cstr(c->in), &v), c->text != NULL);
        assert_int_equal(v, c->text != NULL ? c->value : 77);
        if (c->text == NULL)
            continue;
        conf_size_text(v, text);
        assert_string_equal(text, c->text);
    }
}

static void test_units__durations(void **state)
{
    static const struct {
        const char *in, *text; /* NULL: refused */
        ms_t value;
    } cases[] = {
        {"0", "0", 0},
        {"0s", "0", 0},
        {"500ms", "500ms", 500},
        {"60s", "1m", 60000},
        {"90s", "90s", 90000},
        {"1m30s", "90s", 90000},
        {"12h", "12h", 43200000},
        {"2d", "2d", 172800000},
        {"1d12h", "36h", 129600000},
        {"1h1ms", "3600001ms", 3600001},
        {"30s1m", NULL, 0},
        {"1m1m", NULL, 0},
        {"5", NULL, 0},
        {"5x", NULL, 0},
        {"s", NULL, 0},
        {"", NULL, 0},
        {"1 h", NULL, 0},
        {"-1s", NULL, 0},
        {"1M", NULL, 0},
        {"213503982335d", NULL, 0},
        {"213503982334d86400000ms", NULL, 0},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        ms_t v = 77;
        char text[CONF_NUMBER_TEXT];
        assert_int_equal(conf_parse_ms(span_cstr(c->in), &v), c->text != NULL);
        assert_int_equal(v, c->text != NULL ? c->value : 77);
        if (c->text == NULL)
            continue;
        conf_ms_text(v, text);
        assert_string_equal(text, c->text);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_units__sizes), cmocka_unit_test(test_units__durations));
}
