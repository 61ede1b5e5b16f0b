#include "common/wire.h"

struct rd rd_open(struct span s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    return (struct rd){p, s.len == 0 ? p : p + s.len, false};
}

size_t rd_left(const struct rd *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->p);
}

struct span rd_bytes(struct rd *r, size_t n)
{
    if (r->bad || (size_t)(r->end - r->p) < n) {
        r->bad = true;
        return SPAN("");
    }
    struct span s = span_of((const char *)r->p, n);
    r->p += n;
    return s;
}

static uint64_t rd_be(struct rd *r, size_t n)
{
    struct span s = rd_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++)
        v = v << 8 | (uint8_t)s.ptr[i];
    return v;
}

uint8_t rd_u8(struct rd *r)
{
    return (uint8_t)rd_be(r, 1);
}

uint16_t rd_u16(struct rd *r)
{
    return (uint16_t)rd_be(r, 2);
}

uint32_t rd_u32(struct rd *r)
{
    return (uint32_t)rd_be(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
    return rd_be(r, 8);
}

uint64_t rd_varint(struct rd *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = rd_u8(r);
        if (shift == 63 && byte > 1)
            break; /* more than 64 bits */
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            if (byte == 0 && shift > 0)
                break; /* not the shortest form */
            return r->bad ? 0 : v;
        }
    }
    r->bad = true;
    return 0;
}

struct rd rd_sub(struct rd *r, size_t n)
{
    struct span s = rd_bytes(r, n);
    struct rd sub = rd_open(s);
    sub.bad = r->bad;
    return sub;
}

struct wr wr_open(struct buf *b)
{
    return (struct wr){b, false};
}

void wr_bytes(struct wr *w, struct span s)
{
    if (!w->bad && buf_add(w->b, s) != ERR_OK)
        w->bad = true;
}

static void wr_be(struct wr *w, uint64_t v, size_t n)
{
    char bytes[8];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(v >> (8 * (n - 1 - i)));
    wr_bytes(w, span_of(bytes, n));
}

void wr_u8(struct wr *w, uint8_t v)
{
    wr_be(w, v, 1);
}

void wr_u16(struct wr *w, uint16_t v)
{
    wr_be(w, v, 2);
}

void wr_u32(struct wr *w, uint32_t v)
{
    wr_be(w, v, 4);
}

void wr_u64(struct wr *w, uint64_t v)
{
    wr_be(w, v, 8);
}

void wr_varint(struct wr *w, uint64_t v)
{
    char bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (char)(v & 0x7f);
        v >>= 7;
        if (v != 0)
            bytes[n] = (char)(bytes[n] | 0x80);
        n++;
    } while (v != 0);
    wr_bytes(w, span_of(bytes, n));
}
