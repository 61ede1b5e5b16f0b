#include "common/crc32c.h"
#include "tests/unit/check.h"

#include <string.h>

/* RFC 3720 B.4 */
static void known_values(void **state)
{
    (void)state;
    char zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) {
        up[i] = (char)i;
        down[i] = (char)(31 - i);
    }
    assert_int_equal(crc32c(0, span_of(zeros, 32)), 0x8a9136aa);
    assert_int_equal(crc32c(0, span_of(ones, 32)), 0x62a8ab43);
    assert_int_equal(crc32c(0, span_of(up, 32)), 0x46dd794e);
    assert_int_equal(crc32c(0, span_of(down, 32)), 0x113fdb5c);
    assert_int_equal(crc32c(0, SPAN("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, SPAN("")), 0);
}

/* Bit by bit, against whatever the machine has. */
static uint32_t slowly(struct span s)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < s.len; i++) {
        crc ^= (uint8_t)s.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void any_length_and_any_cut(void **state)
{
    (void)state;
    char bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct span all = span_of(bytes, n);
        assert_int_equal(crc32c(0, all), slowly(all));
        size_t cut = n / 3;
        assert_int_equal(crc32c(crc32c(0, span_first(all, cut)), span_from(all, cut)), slowly(all));
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(known_values), cmocka_unit_test(any_length_and_any_cut));
}
