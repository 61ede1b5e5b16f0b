#include "common/io/dns_internal.h"
#include "common/wire.h"

#include <stdio.h>
#include <string.h>

/* A name as on the wire, without compression and in lower case: RFC 1035 3.1, RFC 4343. */
struct wire_name {
    size_t len;
    uint8_t bytes[255];
};

struct record {
    struct wire_name owner;
    unsigned type, class_;
    uint32_t ttl_s;
    struct rd data;
};

enum { HEADER_SIZE = 12, CLASS_IN = 1, CNAMES_MAX = 16, RCODE_NXDOMAIN = 3 };

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool add_label(struct wire_name *n, struct span label)
{
    if (n->len + 1 + label.len > sizeof n->bytes)
        return false;
    n->bytes[n->len++] = (uint8_t)label.len;
    for (size_t i = 0; i < label.len; i++)
        n->bytes[n->len++] = lower((uint8_t)label.ptr[i]);
    return true;
}

/* Reads a name at r and moves r past it. Compression (RFC 1035 4.1.4) may only point backwards, so
 * that every jump leaves less to read. */
static bool read_name(struct span packet, struct rd *r, struct wire_name *n)
{
    struct rd at = *r;
    size_t limit = (size_t)(r->p - (const uint8_t *)packet.ptr);
    bool jumped = false;
    n->len = 0;
    for (;;) {
        uint8_t size = rd_u8(&at);
        if (at.bad)
            return false;
        if (size >= 0xc0) {
            size_t target = (size_t)(size & 0x3f) << 8 | rd_u8(&at);
            if (at.bad || target >= limit)
                return false;
            if (!jumped)
                *r = at;
            jumped = true;
            limit = target;
            at = rd_open(span_from(packet, target));
            continue;
        }
        struct span label = rd_bytes(&at, size);
        if (size > 63 || at.bad || !add_label(n, label))
            return false;
        if (size == 0)
            break;
    }
    if (!jumped)
        *r = at;
    return true;
}

static bool same_name(const struct wire_name *a, const struct wire_name *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Text of a host name; the root is "". false: it is no host name. */
static bool host_text(const struct wire_name *n, char out[DNS_NAME_MAX])
{
    size_t len = 0;
    for (size_t at = 0; n->bytes[at] != 0; at += 1 + n->bytes[at]) {
        const uint8_t *label = &n->bytes[at + 1];
        size_t size = n->bytes[at];
        if (len + 1 + size >= DNS_NAME_MAX || memchr(label, '.', size) != NULL)
            return false;
        if (len > 0)
            out[len++] = '.';
        memcpy(out + len, label, size);
        len += size;
    }
    out[len] = '\0';
    return len == 0 || dns_name_valid(span_of(out, len));
}

static bool read_record(struct span packet, struct rd *r, struct record *rec)
{
    if (!read_name(packet, r, &rec->owner))
        return false;
    rec->type = rd_u16(r);
    rec->class_ = rd_u16(r);
    rec->ttl_s = rd_u32(r);
    rec->data = rd_sub(r, rd_u16(r));
    return !r->bad;
}

/* --- records --------------------------------------------------------------------------------- */

void dns_records_init(struct dns_records *r)
{
    memset(r, 0, sizeof *r);
    r->ttl_s = UINT32_MAX;
}

/* IPv6 first, else in the order found; two questions may be answered in any order. */
void dns_records_add_address(struct dns_records *r, const struct ip_addr *a)
{
    size_t at = r->n;
    r->exists = true;
    for (size_t i = 0; i < r->n; i++)
        if (ip_eq(&r->addrs[i], a))
            return;
    if (r->n == DNS_ANSWERS_MAX)
        return;
    while (a->v6 && at > 0 && !r->addrs[at - 1].v6)
        at--;
    memmove(&r->addrs[at + 1], &r->addrs[at], (r->n - at) * sizeof *r->addrs);
    r->addrs[at] = *a;
    r->n++;
}

static bool add_address(struct dns_records *r, struct rd data, bool v6)
{
    struct ip_addr a = {.v6 = v6};
    struct span bytes = rd_bytes(&data, v6 ? 16 : 4);
    if (data.bad || rd_left(&data) != 0)
        return false;
    memcpy(a.bytes, bytes.ptr, bytes.len);
    dns_records_add_address(r, &a);
    return true;
}

/* Keeps the list sorted, equals in the order found; the least preferred fall out of a full one. */
static void add_sorted(struct dns_records *r, const struct dns_mx *mx)
{
    size_t at = r->n;
    while (at > 0 && r->mx[at - 1].preference > mx->preference)
        at--;
    if (at == DNS_ANSWERS_MAX)
        return;
    size_t tail = (r->n < DNS_ANSWERS_MAX ? r->n : DNS_ANSWERS_MAX - 1) - at;
    memmove(&r->mx[at + 1], &r->mx[at], tail * sizeof *r->mx);
    r->mx[at] = *mx;
    if (r->n < DNS_ANSWERS_MAX)
        r->n++;
}

static bool add_mx(struct dns_records *r, struct span packet, struct rd data)
{
    struct wire_name host;
    struct dns_mx mx;
    mx.preference = rd_u16(&data);
    if (data.bad || !read_name(packet, &data, &host))
        return false;
    if (host_text(&host, mx.host))
        add_sorted(r, &mx);
    else
        r->unusable++;
    return true;
}

static bool add_ptr(struct dns_records *r, struct span packet, struct rd data)
{
    struct wire_name host;
    char text[DNS_NAME_MAX];
    if (!read_name(packet, &data, &host))
        return false;
    if (!host_text(&host, text) || text[0] == '\0') {
        r->unusable++;
    } else if (r->n == 0) {
        memcpy(r->name, text, sizeof text);
        r->n = 1;
    }
    return true;
}

static bool add_record(struct dns_records *r, struct span packet, const struct record *rec)
{
    bool ok;
    if (rec->ttl_s < r->ttl_s)
        r->ttl_s = rec->ttl_s;
    if (rec->type == DNS_TYPE_MX)
        ok = add_mx(r, packet, rec->data);
    else if (rec->type == DNS_TYPE_PTR)
        ok = add_ptr(r, packet, rec->data);
    else
        ok = add_address(r, rec->data, rec->type == DNS_TYPE_AAAA);
    return ok;
}

/* --- packets --------------------------------------------------------------------------------- */

struct sections {
    struct span packet;
    struct rd answers, authority;
    unsigned answer_count, authority_count;
};

/* Adds what belongs to `name`; ret_next is its alias, when it has one. */
static bool read_answers(const struct sections *s, enum dns_type type, const struct wire_name *name,
                         struct dns_records *r, struct wire_name *ret_next, bool *ret_alias)
{
    struct rd at = s->answers;
    struct record rec;
    for (unsigned i = 0; i < s->answer_count; i++) {
        if (!read_record(s->packet, &at, &rec))
            return false;
        if (rec.class_ != CLASS_IN || !same_name(&rec.owner, name))
            continue;
        if (rec.type == type && !add_record(r, s->packet, &rec))
            return false;
        if (rec.type != DNS_TYPE_CNAME)
            continue;
        if (!read_name(s->packet, &rec.data, ret_next))
            return false;
        *ret_alias = true;
        if (rec.ttl_s < r->ttl_s)
            r->ttl_s = rec.ttl_s;
    }
    return true;
}

/* RFC 2308: how long "no" is good for (5), and whether it is one: an empty answer with name servers but
 * no SOA sends us elsewhere (2.2), which a server that we ask to recurse must not do. */
static bool read_authority(const struct sections *s, struct dns_records *r)
{
    struct rd at = s->authority;
    struct record rec;
    struct wire_name ignored;
    bool servers = false, soa = false;
    for (unsigned i = 0; i < s->authority_count && read_record(s->packet, &at, &rec); i++) {
        servers = servers || rec.type == DNS_TYPE_NS;
        if (rec.type != DNS_TYPE_SOA || !read_name(s->packet, &rec.data, &ignored) ||
            !read_name(s->packet, &rec.data, &ignored))
            continue;
        soa = true;
        (void)rd_bytes(&rec.data, 16); /* serial, refresh, retry, expire */
        uint32_t minimum = rd_u32(&rec.data);
        uint32_t ttl = rec.data.bad || rec.ttl_s < minimum ? rec.ttl_s : minimum;
        if (ttl < r->ttl_s)
            r->ttl_s = ttl;
    }
    return soa || !servers;
}

static bool open_packet(struct span packet, enum dns_type type, struct sections *s, struct wire_name *name,
                        unsigned *ret_code)
{
    struct rd r = rd_open(packet);
    struct record skipped;
    (void)rd_u16(&r); /* id: matched by whoever received it */
    unsigned flags = rd_u16(&r), questions = rd_u16(&r);
    s->packet = packet;
    s->answer_count = rd_u16(&r);
    s->authority_count = rd_u16(&r);
    (void)rd_u16(&r);
    *ret_code = flags & 15;
    if (r.bad || (flags & 0x8000) == 0 || questions != 1 || !read_name(packet, &r, name))
        return false;
    if (rd_u16(&r) != type || rd_u16(&r) != CLASS_IN)
        return false;
    s->answers = r;
    for (unsigned i = 0; i < s->answer_count; i++)
        if (!read_record(packet, &r, &skipped))
            return false;
    s->authority = r;
    return !r.bad;
}

enum err dns_packet_read(struct span packet, enum dns_type type, struct dns_records *r, struct errctx *ec)
{
    struct sections s;
    struct wire_name name, next;
    unsigned code;
    bool alias = true;
    if (!open_packet(packet, type, &s, &name, &code))
        return err_set(ec, ERR_PARSE, "malformed answer");
    if (code != 0 && code != RCODE_NXDOMAIN)
        return err_set(ec, ERR_DNS, "the name server answered with code %u", code);
    r->type = type;
    size_t before = r->n;
    for (int hops = 0; alias; hops++) {
        alias = false;
        if (hops > CNAMES_MAX)
            return err_set(ec, ERR_DNS, "more than %d aliases in a row", CNAMES_MAX);
        if (!read_answers(&s, type, &name, r, &next, &alias))
            return err_set(ec, ERR_PARSE, "malformed answer");
        if (alias)
            name = next;
    }
    if (r->n == before && r->unusable == 0 && !read_authority(&s, r) && code == 0)
        return err_set(ec, ERR_DNS, "the name server knows only other name servers");
    if (code == 0)
        r->exists = true;
    return ERR_OK;
}
