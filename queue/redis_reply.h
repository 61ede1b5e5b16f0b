/* queue/redis_reply.h — looking into a reply without trusting it: what is not there or of another type
 * reads as missing. Spans borrow from the reply. */
#pragma once
#include "common/span.h"

struct redisReply;

bool reply_is_error(const struct redisReply *r, struct span *ret_text);
bool reply_is_nil(const struct redisReply *r);
size_t reply_count(const struct redisReply *r);                          /* of an array; else 0 */
const struct redisReply *reply_at(const struct redisReply *r, size_t i); /* NULL: out of range */
bool reply_text(const struct redisReply *r, struct span *ret);           /* string or status */
bool reply_u64(const struct redisReply *r, uint64_t max, uint64_t *ret); /* integer, or digits */
bool reply_i64(const struct redisReply *r, int64_t *ret);                /* integer only */
/* The fields of an array, by position. */
struct span reply_text_at(const struct redisReply *r, size_t i); /* "" : missing */
uint64_t reply_u64_at(const struct redisReply *r, size_t i, uint64_t missing);
