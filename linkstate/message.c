#include "linkstate/message.h"

#include <string.h>

enum { MAGIC = 0x4c53, HEAD_LEN = 8, MUST = 0x80 };

/* clang-format off */
enum part {
    PART_RANGE     = MUST | 1,  /* least and greatest protocol version */
    PART_WHO       = MUST | 2,  /* organization, group, router, instance, answer */
    PART_SUM       = MUST | 3,
    PART_BUCKETS   = MUST | 4,
    PART_BITMAP    = MUST | 5,
    PART_ITEMS     = MUST | 6,
    PART_ADVERTS   = MUST | 7,
    PART_REASON    = MUST | 8,
    PART_BEYOND    = 9,         /* REQUEST, once, after the others; who does not know it skips it */
};
/* Which parts make a message; each exactly once, in this order. */
static const uint8_t parts_of[LS_MSG__COUNT][4] = {
    [LS_MSG_HELLO]     = {PART_RANGE, PART_WHO, PART_SUM},
    [LS_MSG_DIGEST]    = {PART_SUM},
    [LS_MSG_BUCKETS]   = {PART_BUCKETS},
    [LS_MSG_SUMMARY]   = {PART_BITMAP, PART_ITEMS},
    [LS_MSG_REQUEST]   = {PART_ITEMS},
    [LS_MSG_ADVERTISE] = {PART_ADVERTS},
    [LS_MSG_ACK]       = {PART_ITEMS},
    [LS_MSG_BYE]       = {PART_REASON},
};
/* clang-format on */

const char *ls_message_name(enum ls_message_type t)
{
    static const char *const names[] = {"NONE",
#define X(name, help) #name,
                                        LS_MESSAGE_MAP(X)
#undef X
    };
    return (unsigned)t < LS_MSG__COUNT ? names[t] : "?";
}

static struct span rd_short(struct rd *r, size_t max)
{
    uint8_t len = rd_u8(r);
    if (len > max)
        r->bad = true;
    return rd_bytes(r, len);
}

static void wr_short(struct wr *w, struct span s)
{
    if (s.len > 255)
        w->bad = true;
    wr_u8(w, (uint8_t)s.len);
    wr_bytes(w, s);
}

bool ls_item_next(struct rd *r, struct ls_item *ret)
{
    if (rd_left(r) == 0)
        return false;
    ret->group = rd_short(r, RECORD_NAME_MAX);
    ret->version.major = rd_u32(r);
    ret->version.minor = rd_u32(r);
    ret->version.user = rd_u32(r);
    ret->version.seq = rd_u64(r);
    ret->check = rd_u64(r);
    return !r->bad;
}

bool ls_advert_next(struct rd *r, struct ls_advert *ret)
{
    if (rd_left(r) == 0)
        return false;
    ret->age_s = rd_u32(r);
    uint16_t header_len = rd_u16(r);
    uint32_t body_len = rd_u32(r);
    ret->header = rd_bytes(r, header_len);
    ret->body = rd_bytes(r, body_len);
    if (header_len > LSA_HEADER_MAX || body_len > RECORD_MAX)
        r->bad = true;
    return !r->bad;
}

enum err ls_item_add(struct buf *list, const struct ls_item *item)
{
    size_t before = list->len;
    struct wr w = wr_open(list);
    wr_short(&w, item->group);
    wr_u32(&w, item->version.major);
    wr_u32(&w, item->version.minor);
    wr_u32(&w, item->version.user);
    wr_u64(&w, item->version.seq);
    wr_u64(&w, item->check);
    if (w.bad) {
        list->len = before;
        buf_wrote(list, 0);
        return ERR_TOOBIG;
    }
    return ERR_OK;
}

enum err ls_advert_add(struct buf *list, const struct ls_advert *advert)
{
    size_t before = list->len;
    struct wr w = wr_open(list);
    wr_u32(&w, advert->age_s);
    wr_u16(&w, (uint16_t)advert->header.len);
    wr_u32(&w, (uint32_t)advert->body.len);
    wr_bytes(&w, advert->header);
    wr_bytes(&w, advert->body);
    if (w.bad) {
        list->len = before;
        buf_wrote(list, 0);
        return ERR_TOOBIG;
    }
    return ERR_OK;
}

static bool items_whole(struct span list)
{
    struct rd r = rd_open(list);
    struct ls_item item;
    while (ls_item_next(&r, &item))
        if (item.group.len == 0)
            return false;
    return !r.bad;
}

static bool adverts_whole(struct span list)
{
    struct rd r = rd_open(list);
    struct ls_advert advert;
    while (ls_advert_next(&r, &advert))
        continue;
    return !r.bad;
}

static bool headers_whole(struct span list)
{
    struct rd r = rd_open(list);
    struct ls_advert advert;
    while (ls_advert_next(&r, &advert))
        if (advert.body.len != 0 || advert.header.len == 0)
            return false;
    return !r.bad;
}

static bool adverts_fit(struct span list)
{
    struct rd r = rd_open(list);
    struct ls_advert advert;
    unsigned n = 0;
    while (n <= LS_ADVERTS_MAX && ls_advert_next(&r, &advert))
        n++;
    return n <= LS_ADVERTS_MAX;
}

/* The value of one part: both directions of a part stand beside each other. */
static bool part_parse(enum part tag, struct span v, struct ls_message *m)
{
    struct rd r = rd_open(v);
    switch (tag) {
    case PART_RANGE:
        m->min_version = rd_u8(&r);
        m->max_version = rd_u8(&r);
        return !r.bad && rd_left(&r) == 0 && m->min_version <= m->max_version;
    case PART_WHO:
        m->organization = rd_short(&r, RECORD_NAME_MAX);
        m->group = rd_short(&r, RECORD_NAME_MAX);
        m->router = rd_short(&r, RECORD_NAME_MAX);
        m->instance = rd_u64(&r);
        m->answer = rd_u8(&r) != 0;
        return !r.bad && rd_left(&r) == 0 && m->organization.len > 0 && m->group.len > 0;
    case PART_SUM:
        m->sum.hi = rd_u64(&r);
        m->sum.lo = rd_u64(&r);
        m->records = rd_u32(&r);
        return !r.bad && rd_left(&r) == 0;
    case PART_BUCKETS:
        m->buckets = v;
        return v.len == (size_t)LS_BUCKETS * 8;
    case PART_BITMAP:
        m->bitmap = v;
        return v.len == LS_BUCKETS / 8;
    case PART_ITEMS:
        m->list = v;
        return items_whole(v);
    case PART_ADVERTS:
        m->list = v;
        return adverts_whole(v);
    case PART_REASON:
        m->code = rd_u8(&r);
        m->text = rd_short(&r, 255);
        return !r.bad && rd_left(&r) == 0;
    case PART_BEYOND:
        m->beyond = v;
        return v.len > 0 && headers_whole(v);
    }
    return false;
}

static void part_emit(enum part tag, const struct ls_message *m, struct wr *w)
{
    switch (tag) {
    case PART_RANGE:
        wr_u8(w, m->min_version);
        wr_u8(w, m->max_version);
        break;
    case PART_WHO:
        wr_short(w, m->organization);
        wr_short(w, m->group);
        wr_short(w, m->router);
        wr_u64(w, m->instance);
        wr_u8(w, m->answer);
        break;
    case PART_SUM:
        wr_u64(w, m->sum.hi);
        wr_u64(w, m->sum.lo);
        wr_u32(w, m->records);
        break;
    case PART_BUCKETS:
        wr_bytes(w, m->buckets);
        break;
    case PART_BITMAP:
        wr_bytes(w, m->bitmap);
        break;
    case PART_ITEMS:
    case PART_ADVERTS:
        wr_bytes(w, m->list);
        break;
    case PART_REASON:
        wr_u8(w, m->code);
        wr_short(w, m->text);
        break;
    case PART_BEYOND:
        wr_bytes(w, m->beyond);
        break;
    }
}

static bool is_optional(const struct ls_message *m, uint8_t tag, const uint8_t *want)
{
    return tag == PART_BEYOND && m->type == LS_MSG_REQUEST && *want == 0 && m->beyond.len == 0;
}

static enum err parse_parts(struct rd *r, struct ls_message *m, struct errctx *ec)
{
    const uint8_t *want = parts_of[m->type];
    while (rd_left(r) > 0) {
        uint8_t tag = rd_u8(r);
        uint32_t len = rd_u32(r);
        struct span value = rd_bytes(r, len);
        if (r->bad)
            return err_set(ec, ERR_PARSE, "%s: part %u is cut short", ls_message_name(m->type), tag);
        bool optional = is_optional(m, tag, want);
        if (optional || tag == *want) {
            want += !optional;
            if (!part_parse((enum part)tag, value, m))
                return err_set(ec, ERR_PARSE, "%s: part %u is malformed", ls_message_name(m->type), tag);
        } else if ((tag & MUST) != 0) {
            return err_set(ec, ERR_PARSE, "%s: unknown or misplaced part %u", ls_message_name(m->type), tag);
        }
    }
    if (*want != 0)
        return err_set(ec, ERR_PARSE, "%s: part %u is missing", ls_message_name(m->type), *want);
    if ((m->type == LS_MSG_ADVERTISE && !adverts_fit(m->list)) || !adverts_fit(m->beyond))
        return err_set(ec, ERR_TOOBIG, "%s of more than %d records", ls_message_name(m->type),
                       LS_ADVERTS_MAX);
    return ERR_OK;
}

enum err ls_message_parse(struct span bytes, struct ls_message *ret, struct errctx *ec)
{
    if (bytes.len > LS_MESSAGE_MAX)
        return err_set(ec, ERR_TOOBIG, "message of %zu bytes; at most %d", bytes.len, LS_MESSAGE_MAX);
    struct rd r = rd_open(bytes);
    struct ls_message m = {.type = LS_MSG_NONE, .beyond = SPAN("")};
    uint16_t magic = rd_u16(&r);
    m.version = rd_u8(&r);
    uint8_t type = rd_u8(&r);
    uint32_t length = rd_u32(&r);
    if (r.bad || magic != MAGIC)
        return err_set(ec, ERR_PARSE, "not a link state message");
    if (m.version < LS_PROTOCOL_MIN || m.version > LS_PROTOCOL_MAX)
        return err_set(ec, ERR_PARSE, "protocol version %u; this router speaks %d to %d", m.version,
                       LS_PROTOCOL_MIN, LS_PROTOCOL_MAX);
    if (type == LS_MSG_NONE || type >= LS_MSG__COUNT)
        return err_set(ec, ERR_PARSE, "unknown message type %u", type);
    if (length != rd_left(&r))
        return err_set(ec, ERR_PARSE, "length says %u, %zu bytes are there", length, rd_left(&r));
    m.type = (enum ls_message_type)type;
    enum err e = parse_parts(&r, &m, ec);
    if (e == ERR_OK)
        *ret = m;
    return e;
}

/* With its head. */
static void emit_part(enum part tag, const struct ls_message *m, struct wr *w)
{
    size_t at = w->b->len;
    wr_u8(w, (uint8_t)tag);
    wr_u32(w, 0);
    part_emit(tag, m, w);
    uint32_t len = (uint32_t)(w->b->len - at - 5);
    for (int i = 0; i < 4 && !w->bad; i++)
        w->b->ptr[at + 1 + (size_t)i] = (char)(len >> (24 - 8 * i));
}

enum err ls_message_emit(const struct ls_message *m, struct buf *out)
{
    size_t start = out->len;
    struct wr w = wr_open(out);
    wr_u16(&w, MAGIC);
    wr_u8(&w, LS_PROTOCOL_MAX);
    wr_u8(&w, (uint8_t)m->type);
    wr_u32(&w, 0);
    for (const uint8_t *tag = parts_of[m->type]; *tag != 0; tag++)
        emit_part((enum part) * tag, m, &w);
    if (m->beyond.len > 0)
        emit_part(PART_BEYOND, m, &w);
    if (w.bad || out->len - start > LS_MESSAGE_MAX) {
        out->len = start;
        buf_wrote(out, 0);
        return ERR_TOOBIG;
    }
    uint32_t len = (uint32_t)(out->len - start - HEAD_LEN);
    for (int i = 0; i < 4; i++)
        out->ptr[start + 4 + (size_t)i] = (char)(len >> (24 - 8 * i));
    return ERR_OK;
}
