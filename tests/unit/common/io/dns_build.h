/* tests/unit/common/io/dns_build.h — answers as a name server would send them. */
#pragma once
#include "common/ip.h"
#include "common/wire.h"
#include "tests/unit/check.h"

/* Presentation form to wire form; "\1" in a label stands for a dot inside it. */
static inline void put_name(struct wr *w, const char *name)
{
    struct span rest = span_cstr(name), label;
    while (rest.len > 0) {
        (void)span_cut(rest, '.', &label, &rest);
        wr_u8(w, (uint8_t)label.len);
        for (size_t i = 0; i < label.len; i++)
            wr_u8(w, label.ptr[i] == '\1' ? '.' : (uint8_t)label.ptr[i]);
    }
    wr_u8(w, 0);
}

static inline void put_question(struct wr *w, unsigned id, unsigned flags, const char *name, unsigned type,
                                unsigned answers, unsigned authority)
{
    wr_u16(w, (uint16_t)id);
    wr_u16(w, (uint16_t)flags);
    wr_u16(w, 1);
    wr_u16(w, (uint16_t)answers);
    wr_u16(w, (uint16_t)authority);
    wr_u16(w, 0);
    put_name(w, name);
    wr_u16(w, (uint16_t)type);
    wr_u16(w, 1);
}

/* The record up to its data; the data's length follows from `data`. */
static inline void put_record(struct wr *w, const char *owner, unsigned type, unsigned ttl_s,
                              const struct buf *data)
{
    put_name(w, owner);
    wr_u16(w, (uint16_t)type);
    wr_u16(w, 1);
    wr_u32(w, ttl_s);
    wr_u16(w, (uint16_t)data->len);
    wr_bytes(w, buf_span(data));
}

static inline void put_mx(struct wr *w, const char *owner, unsigned ttl_s, unsigned preference,
                          const char *host)
{
    struct buf data;
    buf_init(&data, 512);
    struct wr d = wr_open(&data);
    wr_u16(&d, (uint16_t)preference);
    put_name(&d, host);
    put_record(w, owner, 15, ttl_s, &data);
    buf_done(&data);
}

/* CNAME and PTR. */
static inline void put_named(struct wr *w, const char *owner, unsigned type, unsigned ttl_s, const char *name)
{
    struct buf data;
    buf_init(&data, 512);
    struct wr d = wr_open(&data);
    put_name(&d, name);
    put_record(w, owner, type, ttl_s, &data);
    buf_done(&data);
}

static inline void put_soa(struct wr *w, const char *owner, unsigned ttl_s, unsigned minimum_s)
{
    struct buf data;
    buf_init(&data, 512);
    struct wr d = wr_open(&data);
    put_name(&d, "ns.example.org");
    put_name(&d, "hostmaster.example.org");
    for (int i = 0; i < 4; i++)
        wr_u32(&d, 3600);
    wr_u32(&d, minimum_s);
    put_record(w, owner, 6, ttl_s, &data);
    buf_done(&data);
}

static inline void put_address(struct wr *w, const char *owner, unsigned ttl_s, const struct ip_addr *a)
{
    struct buf data;
    buf_init(&data, 16);
    assert_int_equal(buf_add(&data, span_of((const char *)a->bytes, a->v6 ? 16 : 4)), ERR_OK);
    put_record(w, owner, a->v6 ? 28 : 1, ttl_s, &data);
    buf_done(&data);
}
