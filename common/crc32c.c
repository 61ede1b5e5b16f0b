#include "common/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL UINT32_C(0x82f63b78)
enum { SLICES = 8 };

static uint32_t table[SLICES][256];

/* table[0] advances by one byte, table[n] by one byte followed by n zero bytes. */
static void fill_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int n = 1; n < SLICES; n++)
            table[n][i] = table[n - 1][i] >> 8 ^ table[0][table[n - 1][i] & 0xff];
    }
}

static uint32_t crc_tables(uint32_t crc, const uint8_t *p, size_t len)
{
    for (; len >= SLICES; p += SLICES, len -= SLICES) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^
              table[4][crc >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; len > 0; p++, len--)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len > 0; p++, len--)
        crc = __builtin_ia32_crc32qi(crc, *p);
    return crc;
}

static bool have_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t crc_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
    return crc_tables(crc, p, len);
}

static bool have_instruction(void)
{
    return false;
}
#endif

uint32_t crc32c(uint32_t crc, struct span s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const uint8_t *p = (const uint8_t *)s.ptr;
    if (have_instruction())
        return ~crc_instruction(~crc, p, s.len);
    (void)pthread_once(&once, fill_table);
    return ~crc_tables(~crc, p, s.len);
}
