/* queue/tlv.h — structs to bytes and back by a table of their fields.
 *
 * Encoded: a sequence of (varint type, varint length, value), types strictly ascending; a field that
 * is zero or empty is not written. Types above the last row are those of a newer program: they come
 * last, are kept as one span and written back. A type between the rows that is not in the table, a
 * type that repeats, and anything out of order is malformed. */
#pragma once
#include "common/err.h"
#include "common/span.h"
#include "common/wire.h"

enum tlv_kind {
    TLV_NAME, /* struct span without control bytes: goes into commands, keys, headers */
    TLV_TEXT, /* struct span for people: any bytes, cut to max when encoding */
    TLV_LIST, /* struct span of names with LF between them */
    TLV_U64,  /* uint64_t; numbers are varints, max is their largest value */
    TLV_U32,
    TLV_U16,
    TLV_U8,
    TLV_BOOL,
};
struct tlv_field {
    uint32_t type;
    enum tlv_kind kind;
    size_t offset;
    uint64_t max; /* bytes of a span, value of a number */
};
struct tlv_table {
    const struct tlv_field *fields; /* by ascending type */
    size_t count;
};

/* ERR_TOOBIG: a value above its max, or the buffer's limit. ERR_PARSE: a control byte in a name.
 * On failure out holds a part of the encoding: the caller drops it. */
enum err tlv_encode(struct tlv_table t, const void *object, struct span unknown, struct wr *out) MUST_USE;
/* Fields not present are left alone: the caller has cleared *object. Spans borrow from r's bytes. */
enum err tlv_decode(struct tlv_table t, struct rd *r, void *object, struct span *ret_unknown) MUST_USE;
