#include "queue/redis_request.h"

#include "queue/redis_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 480 };

struct redis_request *redis_request_new(redis_done_fn *done, void *arg)
{
    struct redis_request *rq = calloc(1, sizeof *rq);
    if (rq == NULL)
        return NULL;
    rq->done = done;
    rq->arg = arg;
    rq->refs = 1;
    rq->give_up_ms = UINT64_MAX;
    buf_init(&rq->bytes, REQUEST_BYTES_MAX);
    buf_init(&rq->body, REQUEST_BYTES_MAX);
    buf_init(&rq->error, 512);
    rq->bad = buf_reserve(&rq->bytes, FIRST_BYTES) != ERR_OK;
    return rq;
}

void redis_request_unref(struct redis_request *rq)
{
    if (rq == NULL || --rq->refs > 0)
        return;
    buf_done(&rq->bytes);
    buf_done(&rq->body);
    buf_done(&rq->error);
    free(rq);
}

static void add(struct redis_request *rq, struct span s)
{
    if (!rq->bad && buf_add(&rq->bytes, s) != ERR_OK)
        rq->bad = true;
}

/* "<mark><n>\r\n" */
static void add_header(struct redis_request *rq, char mark, uint64_t n)
{
    char text[24];
    size_t at = sizeof text;
    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    text[--at] = mark;
    add(rq, span_of(text + at, sizeof text - at));
}

void redis_command(struct redis_request *rq, size_t arguments)
{
    add_header(rq, '*', arguments);
    rq->commands++;
}

void redis_arg(struct redis_request *rq, struct span s)
{
    add_header(rq, '$', s.len);
    add(rq, s);
    add(rq, SPAN("\r\n"));
}

void redis_arg_str(struct redis_request *rq, const char *s)
{
    redis_arg(rq, span_cstr(s));
}

void redis_arg_u64(struct redis_request *rq, uint64_t v)
{
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    redis_arg(rq, span_of(text + at, sizeof text - at));
}

void redis_arg_retry(struct redis_request *rq)
{
    redis_arg_u64(rq, 0);
    rq->retry_at = rq->bytes.len - 3; /* "0\r\n" */
}

void redis_request_retry(struct redis_request *rq)
{
    if (rq->retry_at != 0 && !rq->bad)
        rq->bytes.ptr[rq->retry_at] = '1';
}

void redis_args(struct redis_request *rq, const struct redis_request *encoded)
{
    rq->bad = rq->bad || encoded->bad;
    add(rq, buf_span(&encoded->bytes));
}

void redis_arg_pair(struct redis_request *rq, struct span a, struct span b)
{
    add_header(rq, '$', a.len + 1 + b.len);
    add(rq, a);
    add(rq, SPAN(":"));
    add(rq, b);
    add(rq, SPAN("\r\n"));
}

void redis_arg_body(struct redis_request *rq, struct buf *body)
{
    buf_done(&rq->body);
    rq->body = *body;
    buf_init(body, body->max);
    add_header(rq, '$', rq->body.len);
    rq->body_at = rq->bytes.len;
    add(rq, SPAN("\r\n"));
}

void redis_command_info(struct redis_request *rq)
{
    redis_command(rq, 1);
    redis_arg_str(rq, "INFO");
}

void redis_command_config(struct redis_request *rq)
{
    size_t n = 0;
    while (redis_facts_setting(n) != NULL)
        n++;
    redis_command(rq, 2 + n);
    redis_arg_str(rq, "CONFIG");
    redis_arg_str(rq, "GET");
    for (size_t i = 0; i < n; i++)
        redis_arg_str(rq, redis_facts_setting(i));
    rq->flags |= REQUEST_LENIENT;
}
