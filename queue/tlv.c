#include "queue/tlv.h"

#include <string.h>

enum { VARINT_MAX = 10 };

static size_t varint_len(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

static bool is_span(enum tlv_kind kind)
{
    return kind == TLV_NAME || kind == TLV_TEXT || kind == TLV_LIST;
}

static bool has_control(struct span s, bool lf_allowed)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == 0x7f || (c < 0x20 && !(lf_allowed && c == '\n')))
            return true;
    }
    return false;
}

static uint64_t load_number(const struct tlv_field *f, const void *object)
{
    const char *at = (const char *)object + f->offset;
    uint64_t u64 = 0;
    uint32_t u32 = 0;
    uint16_t u16 = 0;
    uint8_t u8 = 0;
    bool flag = false;
    switch (f->kind) {
    case TLV_U64:
        memcpy(&u64, at, sizeof(u64));
        return u64;
    case TLV_U32:
        memcpy(&u32, at, sizeof(u32));
        return u32;
    case TLV_U16:
        memcpy(&u16, at, sizeof(u16));
        return u16;
    case TLV_U8:
        memcpy(&u8, at, sizeof(u8));
        return u8;
    case TLV_BOOL:
        memcpy(&flag, at, sizeof(flag));
        return flag;
    case TLV_NAME:
    case TLV_TEXT:
    case TLV_LIST:
        break;
    }
    return 0;
}

static void store_number(const struct tlv_field *f, uint64_t v, void *object)
{
    char *at = (char *)object + f->offset;
    uint32_t u32 = (uint32_t)v;
    uint16_t u16 = (uint16_t)v;
    uint8_t u8 = (uint8_t)v;
    bool flag = v != 0;
    switch (f->kind) {
    case TLV_U64:
        memcpy(at, &v, sizeof(v));
        break;
    case TLV_U32:
        memcpy(at, &u32, sizeof(u32));
        break;
    case TLV_U16:
        memcpy(at, &u16, sizeof(u16));
        break;
    case TLV_U8:
        memcpy(at, &u8, sizeof(u8));
        break;
    case TLV_BOOL:
        memcpy(at, &flag, sizeof(flag));
        break;
    case TLV_NAME:
    case TLV_TEXT:
    case TLV_LIST:
        break;
    }
}

static enum err encode_span(const struct tlv_field *f, struct span s, struct wr *out)
{
    if (s.len == 0)
        return ERR_OK;
    if (s.len > f->max) {
        if (f->kind != TLV_TEXT)
            return ERR_TOOBIG;
        s = span_first(s, (size_t)f->max);
    }
    if (f->kind != TLV_TEXT && has_control(s, f->kind == TLV_LIST))
        return ERR_PARSE;
    wr_varint(out, f->type);
    wr_varint(out, s.len);
    wr_bytes(out, s);
    return ERR_OK;
}

static enum err encode_number(const struct tlv_field *f, uint64_t v, struct wr *out)
{
    if (v == 0)
        return ERR_OK;
    if (v > f->max)
        return ERR_TOOBIG;
    wr_varint(out, f->type);
    wr_varint(out, varint_len(v));
    wr_varint(out, v);
    return ERR_OK;
}

enum err tlv_encode(struct tlv_table t, const void *object, struct span unknown, struct wr *out)
{
    for (size_t i = 0; i < t.count; i++) {
        const struct tlv_field *f = &t.fields[i];
        enum err e;
        if (is_span(f->kind)) {
            struct span s;
            memcpy(&s, (const char *)object + f->offset, sizeof(s));
            e = encode_span(f, s, out);
        } else {
            e = encode_number(f, load_number(f, object), out);
        }
        if (e != ERR_OK)
            return e;
    }
    if (unknown.len > 0)
        wr_bytes(out, unknown);
    return out->bad ? ERR_TOOBIG : ERR_OK;
}

static enum err decode_value(const struct tlv_field *f, struct rd *r, size_t len, void *object)
{
    if (is_span(f->kind)) {
        if (len > f->max)
            return ERR_TOOBIG;
        struct span s = rd_bytes(r, len);
        if (r->bad || (f->kind != TLV_TEXT && has_control(s, f->kind == TLV_LIST)))
            return ERR_PARSE;
        memcpy((char *)object + f->offset, &s, sizeof(s));
        return ERR_OK;
    }
    if (len == 0 || len > VARINT_MAX)
        return ERR_PARSE;
    struct rd sub = rd_sub(r, len);
    uint64_t v = rd_varint(&sub);
    if (sub.bad || rd_left(&sub) != 0 || v > f->max)
        return ERR_PARSE;
    store_number(f, v, object);
    return ERR_OK;
}

/* Walks the TLVs of a newer program without understanding them. */
static enum err skip_unknown(struct rd *r, uint64_t last)
{
    while (rd_left(r) > 0) {
        uint64_t type = rd_varint(r);
        uint64_t len = rd_varint(r);
        (void)rd_bytes(r, len > SIZE_MAX ? SIZE_MAX : (size_t)len);
        if (r->bad || type <= last)
            return ERR_PARSE;
        last = type;
    }
    return r->bad ? ERR_PARSE : ERR_OK;
}

enum err tlv_decode(struct tlv_table t, struct rd *r, void *object, struct span *ret_unknown)
{
    size_t row = 0;
    uint64_t last_known = t.fields[t.count - 1].type;
    while (rd_left(r) > 0) {
        struct rd before = *r;
        uint64_t type = rd_varint(r);
        uint64_t len = rd_varint(r);
        if (r->bad)
            return ERR_PARSE;
        if (type > last_known) {
            struct span rest = span_of((const char *)before.p, rd_left(&before));
            *r = before;
            enum err e = skip_unknown(r, last_known);
            if (e == ERR_OK)
                *ret_unknown = rest;
            return e;
        }
        while (row < t.count && t.fields[row].type < type)
            row++;
        if (row == t.count || t.fields[row].type != type || len > rd_left(r))
            return ERR_PARSE;
        enum err e = decode_value(&t.fields[row++], r, (size_t)len, object);
        if (e != ERR_OK)
            return e;
    }
    return r->bad ? ERR_PARSE : ERR_OK;
}
