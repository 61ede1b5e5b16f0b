#include "linkstate/lsa.h"

#include "common/wire.h"

#include <string.h>

enum { FORMAT = 1 };
/* A signature made for one purpose must never pass for another. */
static const struct span cert_context = SPAN_INIT("bridgehead group certificate 1\n");
static const struct span lsa_context = SPAN_INIT("bridgehead link state 1\n");

int ls_version_cmp(const struct ls_version *a, const struct ls_version *b)
{
    if (a->major != b->major)
        return a->major < b->major ? -1 : 1;
    if (a->minor != b->minor)
        return a->minor < b->minor ? -1 : 1;
    if (a->user != b->user)
        return a->user < b->user ? -1 : 1;
    return (a->seq > b->seq) - (a->seq < b->seq);
}

static bool name_ok(struct span s)
{
    if (s.len == 0 || s.len > RECORD_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f || s.ptr[i] == '"' || s.ptr[i] == '\'' || s.ptr[i] == '\\')
            return false;
    return true;
}

static struct span rd_name(struct rd *r)
{
    uint8_t len = rd_u8(r);
    return rd_bytes(r, len);
}

static void wr_name(struct wr *w, struct span s)
{
    wr_u8(w, (uint8_t)s.len);
    wr_bytes(w, s);
}

static void rd_array(struct rd *r, uint8_t *out, size_t n)
{
    struct span s = rd_bytes(r, n);
    if (s.len == n)
        memcpy(out, s.ptr, n);
}

/* What a signature covers: the purpose, then all bytes before the signature. */
static bool signed_part(struct span context, struct span all, struct buf *out)
{
    return all.len >= LS_SIG_LEN && buf_add(out, context) == ERR_OK &&
           buf_add(out, span_first(all, all.len - LS_SIG_LEN)) == ERR_OK;
}

static bool signature_ok(struct span context, struct span all, const uint8_t key[LS_KEY_LEN],
                         const struct ls_crypto *crypto)
{
    struct buf b;
    uint8_t sig[LS_SIG_LEN];
    buf_init(&b, LSA_HEADER_MAX + 64);
    bool ok = signed_part(context, all, &b);
    if (ok) {
        memcpy(sig, all.ptr + all.len - LS_SIG_LEN, sizeof sig);
        ok = crypto->verify(crypto->self, key, buf_span(&b), sig);
    }
    buf_done(&b);
    return ok;
}

/* Signs what `out` holds from `start` on and appends the signature. */
static enum err append_signature(struct span context, size_t start, const struct ls_crypto *crypto,
                                 struct buf *out)
{
    struct buf b;
    uint8_t sig[LS_SIG_LEN];
    buf_init(&b, LSA_HEADER_MAX + 64);
    enum err e = buf_add(&b, context);
    if (e == ERR_OK)
        e = buf_add(&b, span_from(buf_span(out), start));
    if (e == ERR_OK && !crypto->sign(crypto->self, buf_span(&b), sig))
        e = ERR_DENIED;
    if (e == ERR_OK)
        e = buf_add(out, span_of((const char *)sig, sizeof sig));
    buf_done(&b);
    return e;
}

enum err cert_parse(struct span bytes, struct ls_cert *ret)
{
    if (bytes.len > CERT_MAX)
        return ERR_TOOBIG;
    struct rd r = rd_open(bytes);
    struct ls_cert c = {.bytes = bytes};
    uint8_t format = rd_u8(&r);
    c.organization = rd_name(&r);
    c.group = rd_name(&r);
    rd_array(&r, c.key, sizeof c.key);
    c.serial = rd_u64(&r);
    (void)rd_bytes(&r, LS_SIG_LEN);
    if (r.bad || rd_left(&r) != 0 || format != FORMAT || !name_ok(c.organization) || !name_ok(c.group))
        return ERR_PARSE;
    *ret = c;
    return ERR_OK;
}

enum err lsa_parse(struct span header, struct lsa *ret)
{
    if (header.len > LSA_HEADER_MAX)
        return ERR_TOOBIG;
    struct rd r = rd_open(header);
    struct lsa a = {.header = header};
    uint8_t format = rd_u8(&r);
    a.group = rd_name(&r);
    a.version.major = rd_u32(&r);
    a.version.minor = rd_u32(&r);
    a.version.user = rd_u32(&r);
    a.version.seq = rd_u64(&r);
    a.body_len = rd_u32(&r);
    rd_array(&r, a.body_digest, sizeof a.body_digest);
    uint16_t cert_len = rd_u16(&r);
    struct span cert = rd_bytes(&r, cert_len);
    (void)rd_bytes(&r, LS_SIG_LEN);
    if (r.bad || rd_left(&r) != 0 || format != FORMAT || !name_ok(a.group))
        return ERR_PARSE;
    if (a.body_len > RECORD_MAX)
        return ERR_TOOBIG;
    enum err e = cert_parse(cert, &a.cert);
    if (e == ERR_OK)
        *ret = a;
    return e;
}

enum err cert_verify(struct span bytes, const uint8_t org_key[LS_KEY_LEN], const struct ls_crypto *crypto)
{
    struct ls_cert c;
    enum err e = cert_parse(bytes, &c);
    if (e == ERR_OK && !signature_ok(cert_context, bytes, org_key, crypto))
        e = ERR_DENIED;
    return e;
}

enum err lsa_verify(const struct lsa *a, struct span organization, const uint8_t org_key[LS_KEY_LEN],
                    struct span known, const struct ls_crypto *crypto)
{
    bool ok = span_eq(a->cert.organization, organization) && span_eq(a->cert.group, a->group) &&
              (span_eq(known, a->cert.bytes) || signature_ok(cert_context, a->cert.bytes, org_key, crypto)) &&
              signature_ok(lsa_context, a->header, a->cert.key, crypto);
    return ok ? ERR_OK : ERR_DENIED;
}

enum err lsa_check_body(const struct lsa *a, struct span body, const struct ls_crypto *crypto)
{
    uint8_t digest[LS_DIGEST_LEN];
    if (body.len != a->body_len)
        return ERR_PARSE;
    crypto->hash(crypto->self, body, digest);
    return memcmp(digest, a->body_digest, sizeof digest) == 0 ? ERR_OK : ERR_PARSE;
}

bool lsa_same_body(const struct lsa *a, const struct lsa *b)
{
    return memcmp(a->body_digest, b->body_digest, sizeof a->body_digest) == 0;
}

bool lsa_same_key(const struct lsa *a, const struct lsa *b)
{
    return memcmp(a->cert.key, b->cert.key, sizeof a->cert.key) == 0;
}

enum err lsa_seal(struct span group, const struct ls_version *version, struct span body, struct span cert,
                  const struct ls_crypto *crypto, struct buf *out)
{
    uint8_t digest[LS_DIGEST_LEN];
    if (!name_ok(group))
        return ERR_PARSE;
    if (body.len > RECORD_MAX || cert.len > CERT_MAX)
        return ERR_TOOBIG;
    crypto->hash(crypto->self, body, digest);
    size_t start = out->len;
    struct wr w = wr_open(out);
    wr_u8(&w, FORMAT);
    wr_name(&w, group);
    wr_u32(&w, version->major);
    wr_u32(&w, version->minor);
    wr_u32(&w, version->user);
    wr_u64(&w, version->seq);
    wr_u32(&w, (uint32_t)body.len);
    wr_bytes(&w, span_of((const char *)digest, sizeof digest));
    wr_u16(&w, (uint16_t)cert.len);
    wr_bytes(&w, cert);
    return w.bad ? ERR_TOOBIG : append_signature(lsa_context, start, crypto, out);
}

enum err cert_seal(struct span organization, struct span group, const uint8_t key[LS_KEY_LEN],
                   uint64_t serial, const struct ls_crypto *crypto, struct buf *out)
{
    if (!name_ok(organization) || !name_ok(group))
        return ERR_PARSE;
    size_t start = out->len;
    struct wr w = wr_open(out);
    wr_u8(&w, FORMAT);
    wr_name(&w, organization);
    wr_name(&w, group);
    wr_bytes(&w, span_of((const char *)key, LS_KEY_LEN));
    wr_u64(&w, serial);
    return w.bad ? ERR_TOOBIG : append_signature(cert_context, start, crypto, out);
}
