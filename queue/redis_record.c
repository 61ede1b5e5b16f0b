/* What became of a job, as arguments of queue/lua/finish.lua and release.lua. */
#include "queue/redis_worker.h"

#include <stdio.h>

enum { TEXT_MAX = 3072, WHOM_MAX = 640, OTHERS_MAX = 1500, EVENT_MAX = 32 };

void redis_record_name(struct redis_request *record, const struct redis_finished *what)
{
    redis_arg_str(record, what->id);
    redis_arg_u64(record, what->index);
    redis_arg_u64(record, what->token);
}

/* "<reason>" or "<reason>\n<whom>", and lines of others (queue/lua/README.md). */
static void arg_text(struct redis_request *record, const struct finish *in)
{
    struct span whom = span_first(in->whom, WHOM_MAX), others = span_first(in->others, OTHERS_MAX);
    char text[TEXT_MAX + 1];
    struct span reason = span_first(in->reason, TEXT_MAX - 1 - whom.len - others.len);
    int n = snprintf(text, sizeof text, SPAN_FMT "%s" SPAN_FMT SPAN_FMT, SPAN_ARG(reason),
                     whom.len + others.len > 0 ? "\n" : "", SPAN_ARG(whom), SPAN_ARG(others));
    redis_arg(record, span_of(text, n < 0 ? 0 : (size_t)n));
}

enum err redis_record_encode(struct redis_request *record, const struct redis_finished *what,
                             const struct finish *in, bool reports)
{
    static const char *const verbs[] = {[FINISH_DONE] = "d", [FINISH_RETRY] = "r", [FINISH_BADMAIL] = "b"};
    struct buf blob;
    buf_init(&blob, JOB_MAX);
    enum err e = in->verb != FINISH_DONE && in->job != NULL ? job_encode(in->job, &blob) : ERR_OK;
    redis_record_name(record, what);
    redis_arg_str(record, verbs[in->verb]);
    redis_arg_u64(record, in->delay_ms);
    redis_arg_u64(record, in->problem);
    redis_arg_u64(record, in->delivered);
    redis_arg_u64(record, in->bounced);
    redis_arg(record, span_first(in->event, EVENT_MAX));
    arg_text(record, in);
    redis_arg(record, buf_span(&blob));
    redis_arg_u64(record, reports);
    buf_done(&blob);
    return e == ERR_OK && record->bad ? ERR_NOMEM : e;
}
