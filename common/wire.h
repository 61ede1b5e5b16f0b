/* common/wire.h — bounds-checked cursors over bytes; big endian, like everything we encode.
 *
 * After the first overrun reads give 0, writes do nothing, and `bad` stays set: check once at the end. */
#pragma once
#include "common/buf.h"
#include "common/span.h"

struct rd {
    const uint8_t *p, *end;
    bool bad;
};
struct rd rd_open(struct span s);
size_t rd_left(const struct rd *r);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
uint64_t rd_varint(struct rd *r);             /* LEB128, at most 10 bytes, shortest form only */
struct span rd_bytes(struct rd *r, size_t n); /* borrows from the input */
struct rd rd_sub(struct rd *r, size_t n);     /* a TLV cannot read past its own length */

/* Writers append to a struct buf, whose max is the limit. */
struct wr {
    struct buf *b;
    bool bad;
};
struct wr wr_open(struct buf *b);
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_varint(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, struct span s);
