#include "queue/redis_reply.h"

#include <hiredis/hiredis.h>

bool reply_is_error(const struct redisReply *r, struct span *ret_text)
{
    if (r == NULL || r->type != REDIS_REPLY_ERROR)
        return false;
    *ret_text = span_of(r->str, (size_t)r->len);
    return true;
}

bool reply_is_nil(const struct redisReply *r)
{
    return r == NULL || r->type == REDIS_REPLY_NIL;
}

size_t reply_count(const struct redisReply *r)
{
    return r == NULL || r->type != REDIS_REPLY_ARRAY ? 0 : (size_t)r->elements;
}

const struct redisReply *reply_at(const struct redisReply *r, size_t i)
{
    return i < reply_count(r) ? r->element[i] : NULL;
}

bool reply_text(const struct redisReply *r, struct span *ret)
{
    if (r == NULL || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS))
        return false;
    *ret = span_of(r->str, (size_t)r->len);
    return true;
}

bool reply_u64(const struct redisReply *r, uint64_t max, uint64_t *ret)
{
    struct span text;
    if (r != NULL && r->type == REDIS_REPLY_INTEGER) {
        if (r->integer < 0 || (uint64_t)r->integer > max)
            return false;
        *ret = (uint64_t)r->integer;
        return true;
    }
    return reply_text(r, &text) && span_to_u64(text, max, ret);
}

bool reply_i64(const struct redisReply *r, int64_t *ret)
{
    if (r == NULL || r->type != REDIS_REPLY_INTEGER)
        return false;
    *ret = r->integer;
    return true;
}

struct span reply_text_at(const struct redisReply *r, size_t i)
{
    struct span s = SPAN("");
    (void)reply_text(reply_at(r, i), &s);
    return s;
}

uint64_t reply_u64_at(const struct redisReply *r, size_t i, uint64_t missing)
{
    uint64_t v;
    return reply_u64(reply_at(r, i), UINT64_MAX, &v) ? v : missing;
}
