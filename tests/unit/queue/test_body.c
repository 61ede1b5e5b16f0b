#include "common/rng.h"
#include "queue/body.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static struct body_codec *codec;

static int setup(void **state)
{
    (void)state;
    codec = body_codec_new();
    return codec == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    body_codec_free(codec);
    return 0;
}

static void fill(char *out, size_t n, bool random)
{
    static const char text[] = "The quick brown fox jumps over the lazy dog. ";
    struct rng rng;
    rng_seed(&rng, 5);
    for (size_t i = 0; i < n; i++)
        out[i] = random ? (char)rng_next(&rng) : text[i % (sizeof text - 1)];
}

static void chunks_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 127, 128, 129, 4096, CHUNK_BYTES - 1, CHUNK_BYTES};
    static char raw[CHUNK_BYTES];
    for (int random = 0; random < 2; random++) {
        CHECK_EACH (sizes, n) {
            struct buf stored, back;
            buf_init(&stored, BODY_CHUNK_MAX);
            buf_init(&back, CHUNK_BYTES + 1);
            fill(raw, *n, random != 0);
            assert_int_equal(body_pack(codec, 3, span_of(raw, *n), 0, &stored), ERR_OK);
            assert_true(stored.len <= *n + BODY_CHUNK_HEADER);
            assert_int_equal(stored.ptr[0], *n >= 128 && random == 0 ? 'z' : 'r');
            assert_int_equal(body_unpack(codec, 3, buf_span(&stored), *n, &back), ERR_OK);
            check_span(buf_span(&back), span_of(raw, *n));
            assert_int_equal(body_unpack(codec, 4, buf_span(&stored), *n, &back),
                             ERR_PARSE); /* out of order */
            buf_done(&stored);
            buf_done(&back);
        }
    }
}

static void short_ones_stay_plain(void **state)
{
    (void)state;
    static const struct {
        size_t size, plain_below;
        char codec;
    } cases[] = {{1000, 0, 'z'}, {1000, 1000, 'z'}, {1000, 1001, 'r'}, {4096, 8192, 'r'}, {8192, 8192, 'z'}};
    static char raw[8192];
    fill(raw, sizeof raw, false);
    CHECK_EACH (cases, c) {
        struct buf stored, back;
        buf_init(&stored, BODY_CHUNK_MAX);
        buf_init(&back, CHUNK_BYTES + 1);
        assert_int_equal(body_pack(codec, 0, span_of(raw, c->size), c->plain_below, &stored), ERR_OK);
        assert_int_equal(stored.ptr[0], c->codec);
        assert_int_equal(body_unpack(codec, 0, buf_span(&stored), c->size, &back), ERR_OK);
        check_span(buf_span(&back), span_of(raw, c->size));
        buf_done(&stored);
        buf_done(&back);
    }
}

static void damage_is_noticed(void **state)
{
    (void)state;
    static char raw[300];
    for (int random = 0; random < 2; random++) {
        struct buf stored, back;
        buf_init(&stored, BODY_CHUNK_MAX);
        buf_init(&back, CHUNK_BYTES + 1);
        fill(raw, sizeof raw, random != 0);
        assert_int_equal(body_pack(codec, 0, span_of(raw, sizeof raw), 0, &stored), ERR_OK);
        for (size_t bit = 0; bit < stored.len * 8; bit++) {
            stored.ptr[bit / 8] = (char)(stored.ptr[bit / 8] ^ 1 << bit % 8);
            if (body_unpack(codec, 0, buf_span(&stored), sizeof raw, &back) == ERR_OK)
                check_span(buf_span(&back), span_of(raw, sizeof raw)); /* a bit that zstd does not use */
            stored.ptr[bit / 8] = (char)(stored.ptr[bit / 8] ^ 1 << bit % 8);
        }
        for (size_t n = 0; n < stored.len; n++) {
            char *copy = malloc(n + 1);
            assert_non_null(copy);
            memcpy(copy, stored.ptr, n);
            assert_int_equal(body_unpack(codec, 0, span_of(copy, n), sizeof raw, &back), ERR_PARSE);
            free(copy);
        }
        assert_int_equal(body_unpack(codec, 0, buf_span(&stored), sizeof raw - 1, &back), ERR_PARSE);
        assert_int_equal(body_unpack(codec, 0, buf_span(&stored), sizeof raw + 1, &back), ERR_PARSE);
        assert_int_equal(body_unpack(codec, 0, buf_span(&stored), SIZE_MAX, &back), ERR_PARSE);
        buf_done(&stored);
        buf_done(&back);
    }
}

static void too_much_is_refused(void **state)
{
    (void)state;
    static char raw[CHUNK_BYTES + 1];
    struct buf out;
    buf_init(&out, 4 * CHUNK_BYTES);
    assert_int_equal(body_pack(codec, 0, span_of(raw, sizeof raw), 0, &out), ERR_TOOBIG);
    buf_done(&out);
}

static void descriptors(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        uint32_t chunks;
        size_t first, last;
    } cases[] = {
        {0, 1, 0, 0},
        {1, 1, 1, 1},
        {CHUNK_BYTES, 1, CHUNK_BYTES, CHUNK_BYTES},
        {CHUNK_BYTES + 1, 2, CHUNK_BYTES, 1},
        {UINT64_C(3) * CHUNK_BYTES, 3, CHUNK_BYTES, CHUNK_BYTES},
    };
    CHECK_EACH (cases, c) {
        struct buf z;
        struct body_desc d = {c->size, c->chunks}, back;
        buf_init(&z, BODY_DESCRIPTOR_MAX);
        assert_int_equal(body_describe(&d, 1234, &z), ERR_OK);
        assert_int_equal(body_read_descriptor(buf_span(&z), &back), ERR_OK);
        assert_int_equal(back.size_bytes, c->size);
        assert_int_equal(back.chunks, c->chunks);
        assert_int_equal(body_chunk_size(&back, 0), c->first);
        assert_int_equal(body_chunk_size(&back, c->chunks - 1), c->last);
        assert_int_equal(body_chunk_size(&back, c->chunks), 0);
        for (size_t n = 0; n < z.len; n++)
            assert_int_equal(body_read_descriptor(span_first(buf_span(&z), n), &back), ERR_PARSE);
        buf_done(&z);
    }
    struct body_desc d;
    static const struct span bad[] = {
        SPAN_INIT("\x02\x01\x01\x01"),                                     /* version */
        SPAN_INIT("\x01\x01\x01\x02"),                                     /* too many chunks */
        SPAN_INIT("\x01\x00\x00\x00"),                                     /* none */
        SPAN_INIT("\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01\x01"), /* 2^63 bytes */
    };
    CHECK_EACH (bad, z)
        assert_int_equal(body_read_descriptor(*z, &d), ERR_PARSE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    return CHECK_RUN(T(chunks_round_trip), T(short_ones_stay_plain), T(damage_is_noticed),
                     T(too_much_is_refused), T(descriptors));
#undef T
}
