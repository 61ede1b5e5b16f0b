/* queue/body.h — how a body lies in the store: chunks, each readable alone, and what describes them.
 *
 * A chunk: codec byte ('r' raw, 'z' a zstd frame, 'b' queue/base64.h), CRC-32C of the raw bytes (4 bytes, big
 * endian; begun with the number of the chunk, so that chunks in the wrong order are noticed), the bytes. Raw
 * when compression gains less than a tenth, and when it is short while Redis has room (queue/redis_room.c).
 * All chunks but the last hold CHUNK_BYTES raw; a body has at least one. The descriptor (field z): version,
 * then varints: raw size, stored size, number of chunks. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "queue/store.h"

enum {
    BODY_CHUNK_HEADER = 5,
    BODY_CHUNK_MAX = CHUNK_BYTES + BODY_CHUNK_HEADER, /* stored; a chunk that would be larger is kept raw */
    BODY_DESCRIPTOR_MAX = 64,
};

/* The contexts of the compressor: one per loop. */
struct body_codec;
struct body_codec *body_codec_new(void); /* NULL: out of memory */
void body_codec_free(struct body_codec *c);

/* Appends the stored form of chunk number `chunk` to out; shorter than plain_below: without trying to
 * compress it. ERR_NOMEM, ERR_TOOBIG (raw > CHUNK_BYTES). */
enum err body_pack(struct body_codec *c, uint32_t chunk, struct span raw, size_t plain_below,
                   struct buf *out) MUST_USE;
/* Replaces out by the raw bytes, which must be `size` many. ERR_PARSE: damaged; ERR_NOMEM. */
enum err body_unpack(struct body_codec *c, uint32_t chunk, struct span stored, size_t size,
                     struct buf *out) MUST_USE;

enum err body_describe(const struct body_desc *d, uint64_t stored_bytes, struct buf *out) MUST_USE;
enum err body_read_descriptor(struct span z, struct body_desc *ret) MUST_USE; /* ERR_PARSE */
/* Raw bytes of one chunk; 0 for a chunk that is not there. */
size_t body_chunk_size(const struct body_desc *d, uint32_t chunk);
