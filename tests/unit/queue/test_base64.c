#include "common/rng.h"
#include "queue/base64.h"
#include "queue/store.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char raw[CHUNK_BYTES], packed[CHUNK_BYTES], back[CHUNK_BYTES];
static struct rng rng;

static int setup(void **state)
{
    (void)state;
    rng_seed(&rng, 7);
    return 0;
}

/* Lines of n random digits, cut off at size. */
static void lines(size_t size, size_t n)
{
    for (size_t i = 0; i < size; i++)
        raw[i] = i % (n + 2) < n ? digits[rng_next(&rng) % 64] : "\r\n"[i % (n + 2) - n];
}

/* In memory of just that size, for the sanitizer. Returns the packed size. */
static size_t round_trip(size_t size)
{
    char *in = malloc(size), *out = malloc(size);
    assert_non_null(in);
    assert_non_null(out);
    memcpy(in, raw, size);
    size_t n = base64_pack(span_of(in, size), out, size - size / 10);
    assert_true(n <= size - size / 10);
    if (n > 0) {
        char *exact = malloc(n);
        assert_non_null(exact);
        memcpy(exact, out, n);
        assert_true(base64_unpack(span_of(exact, n), in, size));
        assert_memory_equal(in, raw, size);
        assert_false(base64_unpack(span_of(exact, n), in, size - 1));
        free(exact);
    }
    free(in);
    free(out);
    return n;
}

static void lines_take_three_quarters(void **state)
{
    (void)state;
    for (size_t n = 40; n <= 252; n += 4) {
        lines(CHUNK_BYTES, n);
        size_t stored = round_trip(CHUNK_BYTES);
        assert_in_range(stored, CHUNK_BYTES / 100 * 71, CHUNK_BYTES / 100 * 76);
    }
}

/* Every group of four digits, by RFC 4648 itself. */
static void every_digit_in_every_place(void **state)
{
    (void)state;
    lines(CHUNK_BYTES, 76);
    for (size_t i = 0; i < (size_t)256; i++)
        raw[i / 76 * 78 + i % 76] = digits[(i / 4 + i % 4 * 16) % 64];
    size_t n = base64_pack(span_of(raw, CHUNK_BYTES), packed, CHUNK_BYTES);
    assert_true(n > 0);
    assert_int_equal(packed[0], 'L');
    assert_int_equal((unsigned char)packed[1], 19);
    for (size_t i = 0; i < 64; i++) {
        unsigned a = i % 64, b = (i + 16) % 64, c = (i + 32) % 64, d = (i + 48) % 64;
        const unsigned char *at = (const unsigned char *)packed + 4 + i * 3;
        assert_int_equal(at[0] << 16 | at[1] << 8 | at[2], a << 18 | b << 12 | c << 6 | d);
    }
    assert_true(base64_unpack(span_of(packed, n), back, CHUNK_BYTES));
    assert_memory_equal(back, raw, CHUNK_BYTES);
}

/* Each octet that is no digit, at each place of a line. */
static void what_is_no_digit_is_text(void **state)
{
    (void)state;
    for (size_t place = 0; place < 76; place++) {
        for (unsigned octet = 0; octet < 256; octet++) {
            lines(1170, 76); /* 15 lines */
            raw[(size_t)234 + place] = (char)octet;
            size_t n = round_trip(1170);
            bool digit = octet != 0 && strchr(digits, (int)octet) != NULL;
            if (digit)
                assert_int_equal(n, 4 + 15 * 57);
            else if (octet != '\r' && octet != '\n') /* these may leave a line of another length */
                assert_int_equal(n, 4 + 3 * 57 + 3 + 78 + 4 + 11 * 57);
        }
    }
}

static void any_cut_and_any_damage(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        size_t n = 40 + rng_next(&rng) % 54 * 4, size = 200 + rng_next(&rng) % 4000;
        lines(size, n);
        size_t shift = rng_next(&rng) % 100;
        memmove(raw, raw + shift, size - shift);
        size -= shift;
        for (uint64_t bad = rng_next(&rng) % 4; bad > 0; bad--)
            raw[rng_next(&rng) % size] = (char)rng_next(&rng);
        size_t stored = base64_pack(span_of(raw, size), packed, size);
        if (stored == 0)
            continue;
        assert_true(base64_unpack(span_of(packed, stored), back, size));
        assert_memory_equal(back, raw, size);
        assert_int_equal(round_trip(size) != 0, stored <= size - size / 10);
        /* Of what was damaged only that it stays inside its memory. */
        char *copy = malloc(stored), *to = malloc(size);
        assert_non_null(copy);
        assert_non_null(to);
        memcpy(copy, packed, stored);
        copy[rng_next(&rng) % 8] = (char)rng_next(&rng);
        copy[rng_next(&rng) % stored] = (char)rng_next(&rng);
        (void)base64_unpack(span_of(copy, stored), to, size);
        for (size_t cut = 0; cut < stored; cut += 1 + cut / 4)
            assert_false(base64_unpack(span_of(packed, cut), to, size));
        free(copy);
        free(to);
    }
}

static void the_rest_is_for_a_compressor(void **state)
{
    (void)state;
    static const char text[] = "TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsuTWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsu";
    size_t size = (size_t)7800;
    for (size_t i = 0; i < size; i++)
        raw[i] = i % 78 < 76 ? text[i % 78 % (sizeof text - 1)] : "\r\n"[i % 78 - 76];
    assert_int_equal(base64_pack(span_of(raw, size), packed, size), 0); /* octets of a text */
    lines(size, 76);
    assert_int_equal(base64_pack(span_of(raw, size), packed, 4 + 57 * 100 - 1), 0); /* no room */
    assert_int_equal(base64_pack(span_of(raw, size), packed, 4 + 57 * 100), 4 + 57 * 100);
    for (size_t i = 0; i < 12; i++)
        raw[i * 78] = '-';
    assert_true(base64_pack(span_of(raw, size), packed, size) > 0);
    raw[936] = '-';
    assert_int_equal(base64_pack(span_of(raw, size), packed, size), 0); /* an eighth is no base64 */
    lines(size, 36);
    assert_int_equal(base64_pack(span_of(raw, size), packed, size), 0);
    lines(size, 256);
    assert_int_equal(base64_pack(span_of(raw, size), packed, size), 0);
    lines(size, 77);
    assert_int_equal(base64_pack(span_of(raw, size), packed, size), 0);
    assert_int_equal(base64_pack(SPAN(""), packed, 0), 0);
    assert_int_equal(base64_pack((struct span){raw, 65536}, packed, size), 0); /* not looked at */
}

static void what_nobody_packed_is_refused(void **state)
{
    (void)state;
    static const struct span bad[] = {
        SPAN_INIT("X"),
        SPAN_INIT("X\x00\x03xyz"),
        SPAN_INIT("L"),
        SPAN_INIT("L\x01\x00"),
        SPAN_INIT("T\x00"),
        SPAN_INIT("T\x00\x05"),
        SPAN_INIT("T\x00\x02xyz"),
        SPAN_INIT("L\xff\xff\xff"),
        SPAN_INIT("T\x00\x03xyzT\x00\x01z"),
    };
    CHECK_EACH (bad, b)
        assert_false(base64_unpack(*b, back, 3));
    assert_true(base64_unpack(SPAN("T\x00\x03xyz"), back, 3));
    assert_false(base64_unpack(SPAN("T\x00\x03xyz"), back, 4));
    assert_true(base64_unpack(SPAN(""), back, 0));
    assert_true(base64_unpack(SPAN("L\x01\x00\x01Man"), back, 6));
    assert_memory_equal(back, "TWFu\r\n", 6);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    return CHECK_RUN(T(lines_take_three_quarters), T(every_digit_in_every_place), T(what_is_no_digit_is_text),
                     T(any_cut_and_any_damage), T(the_rest_is_for_a_compressor),
                     T(what_nobody_packed_is_refused));
#undef T
}
