#include "queue/envelope.h"

#include "queue/tlv.h"

#include <stdlib.h>

enum { FORMAT_VERSION = 1 };
_Static_assert(sizeof(enum body_kind) == 4 && sizeof(enum dsn_ret) == 4 && sizeof(enum priority) == 4,
               "the tables below read enums as TLV_U32");

/* Types are forever: a row may be added at the end, none may change its number or its meaning. */
#define F(kind, struct_, member, max) TLV_##kind, offsetof(struct struct_, member), max
static const struct tlv_field envelope_fields[] = {
    {1, F(NAME, envelope, sender, ADDRESS_MAX)},
    {2, F(U64, envelope, arrival_ms, UINT64_MAX)},
    {3, F(U32, envelope, body, BODY_BINARYMIME)},
    {4, F(U32, envelope, ret, DSN_RET_HDRS)},
    {5, F(U32, envelope, priority, PRIORITY_HIGH)},
    {6, F(BOOL, envelope, smtputf8, 1)},
    {7, F(BOOL, envelope, system, 1)},
    {8, F(NAME, envelope, envid, 512)},
    {9, F(NAME, envelope, client, 128)},
    {10, F(NAME, envelope, helo, 512)},
    {11, F(NAME, envelope, auth, 512)},
    {12, F(NAME, envelope, virtual_server, 128)},
    {13, F(TEXT, envelope, header_from, SUMMARY_TEXT_MAX)},
    {14, F(TEXT, envelope, subject, SUMMARY_TEXT_MAX)},
    {15, F(TEXT, envelope, message_id, SUMMARY_TEXT_MAX)},
    {16, F(U32, envelope, hops, 10000)},
    {17, F(LIST, envelope, visited, 4096)},
};
static const struct tlv_field recipient_fields[] = {
    {1, F(NAME, recipient, address, ADDRESS_MAX)},
    {2, F(NAME, recipient, orcpt, 512)},
    {3, F(U8, recipient, notify, 15)},
    {4, F(U16, recipient, code, 999)},
    {5, F(TEXT, recipient, reply, JOB_TEXT_MAX)},
};
static const struct tlv_field job_fields[] = {
    {1, F(NAME, job, domain, ADDRESS_MAX)},      {2, F(U32, job, klass, UINT32_MAX)},
    {3, F(U32, job, attempts, UINT32_MAX)},      {4, F(U32, job, failures, UINT32_MAX)},
    {5, F(U64, job, first_ms, UINT64_MAX)},      {6, F(U64, job, next_ms, UINT64_MAX)},
    {7, F(U64, job, expire_ms, UINT64_MAX)},     {8, F(BOOL, job, delay_noticed, 1)},
    {9, F(TEXT, job, last_error, JOB_TEXT_MAX)},
};
#undef F
static const struct tlv_table envelope_table = {envelope_fields, ARRAY_LEN(envelope_fields)};
static const struct tlv_table recipient_table = {recipient_fields, ARRAY_LEN(recipient_fields)};
static const struct tlv_table job_table = {job_fields, ARRAY_LEN(job_fields)};

/* Restores what the caller had in out when the encoding did not work out or is above max bytes. */
static enum err encoded(struct buf *out, size_t before, size_t max, enum err e)
{
    if (e == ERR_OK && out->len - before > max)
        e = ERR_TOOBIG;
    if (e != ERR_OK && out->ptr != NULL) {
        out->len = before;
        out->ptr[before] = '\0';
    }
    return e;
}

enum err envelope_encode(const struct envelope *env, struct buf *out)
{
    size_t before = out->len;
    struct wr w = wr_open(out);
    wr_u8(&w, FORMAT_VERSION);
    enum err e = tlv_encode(envelope_table, env, env->unknown, &w);
    return encoded(out, before, ENVELOPE_MAX, e);
}

enum err envelope_decode(struct span bytes, struct envelope *ret)
{
    if (bytes.len > ENVELOPE_MAX)
        return ERR_TOOBIG;
    if (bytes.len == 0)
        return ERR_PARSE;
    struct rd r = rd_open(bytes);
    if (rd_u8(&r) != FORMAT_VERSION)
        return ERR_PARSE;
    struct envelope env = {0};
    enum err e = tlv_decode(envelope_table, &r, &env, &env.unknown);
    if (e == ERR_OK)
        *ret = env;
    return e;
}

/* The length goes before the value, so the value is written to a scratch first. */
static enum err encode_recipient(const struct recipient *rcpt, struct buf *scratch, struct wr *w)
{
    buf_clear(scratch);
    struct wr inner = wr_open(scratch);
    enum err e = tlv_encode(recipient_table, rcpt, rcpt->unknown, &inner);
    if (e != ERR_OK)
        return e;
    wr_varint(w, scratch->len);
    wr_bytes(w, buf_span(scratch));
    return w->bad ? ERR_TOOBIG : ERR_OK;
}

enum err job_encode(const struct job *job, struct buf *out)
{
    if (job->nrcpts > JOB_RCPTS_MAX)
        return ERR_TOOBIG;
    size_t before = out->len;
    struct buf scratch;
    buf_init(&scratch, JOB_MAX);
    struct wr w = wr_open(out);
    wr_u8(&w, FORMAT_VERSION);
    wr_varint(&w, job->nrcpts);
    enum err e = ERR_OK;
    for (size_t i = 0; i < job->nrcpts && e == ERR_OK; i++)
        e = encode_recipient(&job->rcpts[i], &scratch, &w);
    if (e == ERR_OK)
        e = tlv_encode(job_table, job, job->unknown, &w);
    buf_done(&scratch);
    return encoded(out, before, JOB_MAX, e);
}

static enum err decode_recipients(struct rd *r, struct job *job)
{
    uint64_t n = rd_varint(r);
    if (r->bad)
        return ERR_PARSE;
    if (n > JOB_RCPTS_MAX)
        return ERR_TOOBIG;
    if (n == 0)
        return ERR_OK;
    job->rcpts = calloc((size_t)n, sizeof(job->rcpts[0]));
    if (job->rcpts == NULL)
        return ERR_NOMEM;
    for (; job->nrcpts < n; job->nrcpts++) {
        uint64_t len = rd_varint(r);
        if (len > rd_left(r))
            return ERR_PARSE;
        struct rd sub = rd_sub(r, (size_t)len);
        struct recipient *rcpt = &job->rcpts[job->nrcpts];
        enum err e = tlv_decode(recipient_table, &sub, rcpt, &rcpt->unknown);
        if (e != ERR_OK)
            return e;
    }
    return r->bad ? ERR_PARSE : ERR_OK;
}

enum err job_decode(struct span bytes, struct job *ret)
{
    if (bytes.len > JOB_MAX)
        return ERR_TOOBIG;
    if (bytes.len == 0)
        return ERR_PARSE;
    struct rd r = rd_open(bytes);
    if (rd_u8(&r) != FORMAT_VERSION)
        return ERR_PARSE;
    struct job job = {0};
    enum err e = decode_recipients(&r, &job);
    if (e == ERR_OK)
        e = tlv_decode(job_table, &r, &job, &job.unknown);
    if (e == ERR_OK)
        *ret = job;
    else
        job_done(&job);
    return e;
}

static ms_t shifted(ms_t at_ms, ms_t from_ms, ms_t to_ms)
{
    if (at_ms == 0)
        return 0; /* not set */
    return at_ms > from_ms ? ms_after(to_ms, at_ms - from_ms) : to_ms;
}

void job_committed_at(struct job *job, ms_t committed_ms)
{
    if (committed_ms == 0)
        return;
    job->next_ms = shifted(job->next_ms, job->first_ms, committed_ms);
    job->expire_ms = shifted(job->expire_ms, job->first_ms, committed_ms);
    job->first_ms = committed_ms;
}

void job_done(struct job *job)
{
    free(job->rcpts);
    job->rcpts = NULL;
    job->nrcpts = 0;
}
