#include "queue/body.h"

#include "common/crc32c.h"
#include "common/wire.h"
#include "queue/base64.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
    CODEC_RAW = 'r',
    CODEC_ZSTD = 'z',
    CODEC_BASE64 = 'b',
    LEVEL = 1,
    VERSION = 1,
    WORTH_TRYING = 128,
    BASE64_FROM = 8192,
};

struct body_codec {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
};

struct body_codec *body_codec_new(void)
{
    struct body_codec *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->compress = ZSTD_createCCtx();
    c->decompress = ZSTD_createDCtx();
    if (c->compress != NULL && c->decompress != NULL)
        return c;
    body_codec_free(c);
    return NULL;
}

void body_codec_free(struct body_codec *c)
{
    if (c == NULL)
        return;
    (void)ZSTD_freeCCtx(c->compress);
    (void)ZSTD_freeDCtx(c->decompress);
    free(c);
}

static uint32_t checksum(uint32_t chunk, struct span raw)
{
    char number[4] = {(char)(chunk >> 24), (char)(chunk >> 16), (char)(chunk >> 8), (char)chunk};
    return crc32c(crc32c(0, span_of(number, sizeof number)), raw);
}

/* Returns the length of what it wrote, and 0 when it gains too little. */
static size_t pack(struct body_codec *c, struct span raw, char *to, char *ret_codec)
{
    size_t room = raw.len - raw.len / 10;
    size_t n = raw.len >= BASE64_FROM ? base64_pack(raw, to, room) : 0;
    *ret_codec = n > 0 ? CODEC_BASE64 : CODEC_ZSTD;
    if (n == 0)
        n = ZSTD_compressCCtx(c->compress, to, room, raw.ptr, raw.len, LEVEL);
    return ZSTD_isError(n) ? 0 : n;
}

enum err body_pack(struct body_codec *c, uint32_t chunk, struct span raw, size_t plain_below, struct buf *out)
{
    uint32_t crc = checksum(chunk, raw);
    char header[BODY_CHUNK_HEADER] = {CODEC_RAW, (char)(crc >> 24), (char)(crc >> 16), (char)(crc >> 8),
                                      (char)crc};
    if (raw.len > CHUNK_BYTES)
        return ERR_TOOBIG;
    enum err e = buf_reserve(out, BODY_CHUNK_HEADER + raw.len);
    if (e != ERR_OK)
        return e;
    char *at = out->ptr + out->len;
    size_t packed = 0;
    if (raw.len >= WORTH_TRYING && raw.len >= plain_below)
        packed = pack(c, raw, at + BODY_CHUNK_HEADER, &header[0]);
    if (packed == 0) {
        header[0] = CODEC_RAW;
        packed = raw.len;
        if (raw.len > 0)
            memcpy(at + BODY_CHUNK_HEADER, raw.ptr, raw.len);
    }
    memcpy(at, header, sizeof header);
    buf_wrote(out, BODY_CHUNK_HEADER + packed);
    return ERR_OK;
}

static bool unpack(struct body_codec *c, uint8_t codec, struct span data, char *out, size_t size)
{
    switch (codec) {
    case CODEC_RAW:
        if (data.len == size && size > 0)
            memcpy(out, data.ptr, size);
        return data.len == size;
    case CODEC_ZSTD: /* a frame that holds more than size does not fit: an error of the decoder */
        return ZSTD_decompressDCtx(c->decompress, out, size, data.ptr, data.len) == size;
    case CODEC_BASE64:
        return base64_unpack(data, out, size);
    default:
        return false;
    }
}

enum err body_unpack(struct body_codec *c, uint32_t chunk, struct span stored, size_t size, struct buf *out)
{
    struct rd r = rd_open(stored);
    uint8_t codec = rd_u8(&r);
    uint32_t crc = rd_u32(&r);
    struct span data = span_from(stored, BODY_CHUNK_HEADER);
    if (r.bad || size > CHUNK_BYTES)
        return ERR_PARSE;
    buf_clear(out);
    enum err e = buf_reserve(out, size + 1);
    if (e != ERR_OK)
        return e;
    if (!unpack(c, codec, data, out->ptr, size))
        return ERR_PARSE;
    buf_wrote(out, size);
    return checksum(chunk, buf_span(out)) == crc ? ERR_OK : ERR_PARSE;
}

enum err body_describe(const struct body_desc *d, uint64_t stored_bytes, struct buf *out)
{
    struct wr w = wr_open(out);
    wr_u8(&w, VERSION);
    wr_varint(&w, d->size_bytes);
    wr_varint(&w, stored_bytes);
    wr_varint(&w, d->chunks);
    return w.bad ? ERR_TOOBIG : ERR_OK;
}

enum err body_read_descriptor(struct span z, struct body_desc *ret)
{
    if (z.len == 0)
        return ERR_PARSE;
    struct rd r = rd_open(z);
    bool known = rd_u8(&r) == VERSION;
    uint64_t size = rd_varint(&r);
    (void)rd_varint(&r);
    uint64_t chunks = rd_varint(&r);
    if (!known || r.bad || size > (UINT64_C(1) << 40))
        return ERR_PARSE;
    uint64_t want = size == 0 ? 1 : (size + CHUNK_BYTES - 1) / CHUNK_BYTES;
    if (chunks != want)
        return ERR_PARSE;
    *ret = (struct body_desc){.size_bytes = size, .chunks = (uint32_t)chunks};
    return ERR_OK;
}

size_t body_chunk_size(const struct body_desc *d, uint32_t chunk)
{
    if (chunk >= d->chunks)
        return 0;
    uint64_t left = d->size_bytes - (uint64_t)chunk * CHUNK_BYTES;
    return left > CHUNK_BYTES ? CHUNK_BYTES : (size_t)left;
}
