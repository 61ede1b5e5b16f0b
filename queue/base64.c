#include "queue/base64.h"

#include "common/wire.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    LINE_MIN = 40, /* a shorter one alone would not be worth its item */
    LINE_MAX = 252,
    RAW_MAX = UINT16_MAX,
    SAMPLE = 1024,
    LINES_HEAD = 4,
    TEXT_HEAD = 3,
    BLOCK = 16,  /* digits at a time, where the processor can */
    OCTETS = 12, /* of a block */
};

/* --- Digits -------------------------------------------------------------------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define TWO(c, v)   [c] = (v) + 1, [(c) + 1] = (v) + 2
#define EIGHT(c, v) TWO(c, v), TWO((c) + 2, (v) + 2), TWO((c) + 4, (v) + 4), TWO((c) + 6, (v) + 6)
/* 1 more than a digit stands for; 0: no digit. */
static const uint8_t value[256] = {
    EIGHT('A', 0),  EIGHT('I', 8), EIGHT('Q', 16), TWO('Y', 24), EIGHT('a', 26), EIGHT('i', 34),
    EIGHT('q', 42), TWO('y', 50),  EIGHT('0', 52), TWO('8', 60), ['+'] = 63,     ['/'] = 64,
};
#undef EIGHT
#undef TWO

static bool decode_groups(const uint8_t *in, size_t n, uint8_t *out)
{
    for (; n > 0; in += 4, n -= 4, out += 3) {
        uint32_t a = value[in[0]], b = value[in[1]], c = value[in[2]], d = value[in[3]];
        if (a == 0 || b == 0 || c == 0 || d == 0)
            return false;
        uint32_t bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
    }
    return true;
}

static void encode_groups(const uint8_t *in, size_t n, uint8_t *out)
{
    for (; n > 0; in += 3, n -= 4, out += 4) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        out[0] = (uint8_t)digits[bits >> 18];
        out[1] = (uint8_t)digits[bits >> 12 & 63];
        out[2] = (uint8_t)digits[bits >> 6 & 63];
        out[3] = (uint8_t)digits[bits & 63];
    }
}

/* The blocks at the head of a line: 16 digits are 12 octets. After W. Mula, D. Lemire, "Faster Base64
 * Encoding and Decoding Using AVX2 Instructions" (2017); no octet is touched that is not of the block. */
#if defined(__x86_64__)
static bool have_blocks(void)
{
    return __builtin_cpu_supports("sse4.1");
}

__attribute__((target("sse4.1"))) static bool decode_blocks(const uint8_t *in, size_t blocks, uint8_t *out)
{
    /* A digit is one whose two halves have no bit in common here. */
    const __m128i low = _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a,
                                      0x1b, 0x1b, 0x1b, 0x1a);
    const __m128i high = _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10,
                                       0x10, 0x10, 0x10, 0x10);
    /* What to add, by the upper half; '/' has the place before '+'. */
    const __m128i roll = _mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i order = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m128i slash = _mm_set1_epi8('/'); /* 0x2f: takes a half, too */
    for (; blocks > 0; blocks--, in += BLOCK, out += OCTETS) {
        __m128i v = _mm_loadu_si128((const void *)in);
        __m128i upper = _mm_and_si128(_mm_srli_epi32(v, 4), slash), lower = _mm_and_si128(v, slash);
        if (!_mm_testz_si128(_mm_shuffle_epi8(low, lower), _mm_shuffle_epi8(high, upper)))
            return false;
        v = _mm_add_epi8(v, _mm_shuffle_epi8(roll, _mm_add_epi8(_mm_cmpeq_epi8(v, slash), upper)));
        v = _mm_maddubs_epi16(v, _mm_set1_epi32(0x01400140));
        v = _mm_shuffle_epi8(_mm_madd_epi16(v, _mm_set1_epi32(0x00011000)), order);
        uint32_t tail = (uint32_t)_mm_extract_epi32(v, 2);
        _mm_storel_epi64((void *)out, v);
        memcpy(out + 8, &tail, sizeof tail);
    }
    return true;
}

__attribute__((target("sse4.1"))) static void encode_blocks(const uint8_t *in, size_t blocks, uint8_t *out)
{
    const __m128i order = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    const __m128i shift = _mm_setr_epi8(65, 71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 0, 0);
    for (; blocks > 0; blocks--, in += OCTETS, out += BLOCK) {
        int32_t tail;
        memcpy(&tail, in + 8, sizeof tail);
        __m128i v = _mm_insert_epi32(_mm_loadl_epi64((const void *)in), tail, 2);
        v = _mm_shuffle_epi8(v, order);
        __m128i odd =
            _mm_mulhi_epu16(_mm_and_si128(v, _mm_set1_epi32(0x0fc0fc00)), _mm_set1_epi32(0x04000040));
        __m128i even =
            _mm_mullo_epi16(_mm_and_si128(v, _mm_set1_epi32(0x003f03f0)), _mm_set1_epi32(0x01000010));
        v = _mm_or_si128(odd, even);
        /* 0 for capitals, 1 for small letters, 2 to 11 for figures, 12 for '+', 13 for '/' */
        __m128i kind =
            _mm_sub_epi8(_mm_subs_epu8(v, _mm_set1_epi8(51)), _mm_cmpgt_epi8(v, _mm_set1_epi8(25)));
        _mm_storeu_si128((void *)out, _mm_add_epi8(v, _mm_shuffle_epi8(shift, kind)));
    }
}
#else
static bool have_blocks(void)
{
    return false;
}

static bool decode_blocks(const uint8_t *in, size_t blocks, uint8_t *out)
{
    return decode_groups(in, blocks * BLOCK, out);
}

static void encode_blocks(const uint8_t *in, size_t blocks, uint8_t *out)
{
    encode_groups(in, blocks * BLOCK, out);
}
#endif

static bool decode_line(const char *line, size_t n, char *to)
{
    const uint8_t *in = (const uint8_t *)line;
    uint8_t *out = (uint8_t *)to;
    size_t blocks = have_blocks() ? n / BLOCK : 0, done = blocks * BLOCK;
    return decode_blocks(in, blocks, out) && decode_groups(in + done, n - done, out + done / 4 * 3);
}

static void encode_line(const char *octets, size_t n, char *to)
{
    const uint8_t *in = (const uint8_t *)octets;
    uint8_t *out = (uint8_t *)to;
    size_t blocks = have_blocks() ? n / BLOCK : 0, done = blocks * BLOCK;
    encode_blocks(in, blocks, out);
    encode_groups(in + done / 4 * 3, n - done, out + done);
    to[n] = '\r';
    to[n + 1] = '\n';
}

/* --- Packing ------------------------------------------------------------------------------------- */

struct packer {
    char *out;
    size_t len, room;
};

static void put_head(char *at, char kind, size_t count)
{
    at[0] = kind;
    at[1] = (char)(count >> 8);
    at[2] = (char)count;
}

static bool put_text(struct packer *p, struct span text)
{
    if (text.len == 0)
        return true;
    if (p->room - p->len < TEXT_HEAD + text.len)
        return false;
    put_head(p->out + p->len, 'T', text.len);
    memcpy(p->out + p->len + TEXT_HEAD, text.ptr, text.len);
    p->len += TEXT_HEAD + text.len;
    return true;
}

/* Digits in the line at the head of s; 0 when it is certainly none of base64. */
static size_t line_length(struct span s)
{
    struct span first = span_first(s, LINE_MAX + 2);
    size_t n;
    return span_find(first, '\r', &n) && n >= LINE_MIN && n % 4 == 0 && n + 1 < first.len ? n : 0;
}

/* Takes the lines of n digits at the head of s; returns how many there are. */
static size_t put_lines(struct packer *p, struct span s, size_t n)
{
    size_t lines = 0, octets = n / 4 * 3, at = p->len + LINES_HEAD;
    for (; s.len >= n + 2 && s.ptr[n] == '\r' && s.ptr[n + 1] == '\n' && at + octets <= p->room; lines++) {
        if (!decode_line(s.ptr, n, p->out + at))
            break;
        at += octets;
        s = span_from(s, n + 2);
    }
    if (lines == 0)
        return 0;
    p->out[p->len] = 'L';
    p->out[p->len + 1] = (char)(n / 4);
    p->out[p->len + 2] = (char)(lines >> 8);
    p->out[p->len + 3] = (char)lines;
    p->len = at;
    return lines;
}

/* As many of each kind as chance would have, but for half of that; compressed octets are like that, and
 * others a compressor makes less of than base64's three quarters. */
static bool looks_random(struct span s)
{
    uint16_t count[256] = {0};
    size_t sum = 0;
    s = span_first(span_from(s, s.len > SAMPLE ? (s.len - SAMPLE) / 2 : 0), SAMPLE);
    for (size_t i = 0; i < s.len; i++)
        count[(uint8_t)s.ptr[i]]++;
    for (size_t i = 0; i < 256; i++)
        sum += (size_t)count[i] * count[i];
    return sum <= (s.len + s.len * s.len / 256) * 3 / 2;
}

size_t base64_pack(struct span raw, char *out, size_t room)
{
    struct packer p = {.out = out, .room = room};
    size_t at = 0, text_at = 0, text = 0;
    if (raw.len > RAW_MAX)
        return 0;
    while (at < raw.len) {
        struct span rest = span_from(raw, at);
        size_t n = line_length(rest), end, before = p.len;
        /* The text before it goes first, and is taken back when there is no line. */
        size_t lines =
            n > 0 && put_text(&p, span_of(raw.ptr + text_at, at - text_at)) ? put_lines(&p, rest, n) : 0;
        if (lines > 0) {
            at += lines * (n + 2);
            text_at = at;
            continue;
        }
        p.len = before;
        end = span_find(rest, '\n', &end) ? end + 1 : rest.len;
        at += end;
        text += end;
        if (text > raw.len / 8)
            return 0;
    }
    bool fits = put_text(&p, span_from(raw, text_at));
    return fits && looks_random(span_of(out, p.len)) ? p.len : 0;
}

/* --- Unpacking ----------------------------------------------------------------------------------- */

bool base64_unpack(struct span packed, char *out, size_t size)
{
    struct rd r = rd_open(packed);
    size_t at = 0;
    while (rd_left(&r) > 0) {
        uint8_t kind = rd_u8(&r);
        size_t n = kind == 'L' ? (size_t)rd_u8(&r) * 4 : 0, count = rd_u16(&r);
        struct span octets = rd_bytes(&r, kind == 'L' ? n / 4 * 3 * count : count);
        size_t makes = kind == 'L' ? (n + 2) * count : count;
        if (r.bad || (kind != 'L' && kind != 'T') || makes > size - at)
            return false;
        if (kind == 'T' && count > 0)
            memcpy(out + at, octets.ptr, count);
        for (size_t i = 0; kind == 'L' && i < count; i++)
            encode_line(octets.ptr + i * (n / 4 * 3), n, out + at + i * (n + 2));
        at += makes;
    }
    return at == size;
}
