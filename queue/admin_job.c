/* A job as the scripts show it, decoded. */
#include "queue/admin_int.h"

#include "queue/queue_name.h"

#include <string.h>

#define BAND_MS (UINT64_C(1) << 43) /* on the score of problem jobs (queue/lua/README.md) */
#define ICE_MS  (UINT64_C(1) << 44) /* of frozen ones */

static enum admin_place place_of(struct span place)
{
    static const struct {
        struct span name;
        enum admin_place place;
    } rows[] = {
        {SPAN_INIT("c"), ADMIN_IN_HAND},
        {SPAN_INIT("bad"), ADMIN_BADMAIL},
        {SPAN_INIT("qz"), ADMIN_QUARANTINE},
        {SPAN_INIT("sp"), ADMIN_STAGED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (span_eq(place, rows[i].name))
            return rows[i].place;
    }
    return ADMIN_QUEUED;
}

void admin_job_read(const struct admin_raw *raw, struct admin_job *ret)
{
    *ret = (struct admin_job){.index = (uint32_t)raw->index,
                              .place = place_of(raw->place),
                              .arrival_ms = raw->arrival_ms,
                              .due_ms = raw->score,
                              .queue_frozen = span_eq(raw->place, SPAN("fz")),
                              .interrupted = (uint32_t)raw->interrupted,
                              .returning = span_has_prefix(raw->flags, SPAN("b")),
                              .reason = raw->why,
                              .worker = raw->worker,
                              .now_ms = raw->now_ms};
    ret->id.partition = (uint16_t)raw->partition;
    memcpy(ret->id.id, raw->id.ptr, raw->id.len < MSGID_LEN ? raw->id.len : MSGID_LEN);
    if (ret->place == ADMIN_QUEUED && ret->due_ms >= ICE_MS) {
        ret->frozen = true;
        ret->due_ms -= ICE_MS;
    }
    if (ret->place == ADMIN_QUEUED && ret->due_ms >= BAND_MS) {
        ret->problem = true;
        ret->due_ms -= BAND_MS;
    } else if (ret->place == ADMIN_IN_HAND || ret->place == ADMIN_STAGED) {
        ret->due_ms = 0;
    }
    if (ret->returning)
        ret->reason = span_from(raw->flags, 1);
    if (envelope_decode(raw->envelope, &ret->env) != ERR_OK) {
        ret->env = (struct envelope){.sender = {"", 0}};
        ret->reason = SPAN("the stored envelope is damaged");
    }
    if (job_decode(raw->job, &ret->job) != ERR_OK) {
        ret->job = (struct job){.rcpts = NULL};
        ret->reason = SPAN("the stored job is damaged");
    }
    job_committed_at(&ret->job, raw->arrival_ms);
    if (body_read_descriptor(raw->descriptor, &ret->body) != ERR_OK) {
        ret->body = (struct body_desc){.chunks = 0};
        ret->reason = SPAN("the descriptor of the body is damaged");
    }
    /* The queue that it is in counts, whatever the job says. */
    (void)queue_name_read(raw->queue, &ret->job.domain, &ret->job.klass);
}

void admin_job_done(struct admin_job *j)
{
    job_done(&j->job);
}

void admin_show_row(const struct redisReply *reply, size_t at, struct span id, unsigned partition,
                    struct admin_raw *ret)
{
    *ret = (struct admin_raw){.id = id,
                              .partition = partition,
                              .now_ms = reply_u64_at(reply, 0, 0),
                              .arrival_ms = reply_u64_at(reply, 1, 0),
                              .descriptor = reply_text_at(reply, 2),
                              .envelope = reply_text_at(reply, 3),
                              .index = reply_u64_at(reply, at, 0),
                              .place = reply_text_at(reply, at + 1),
                              .score = reply_u64_at(reply, at + 2, 0),
                              .worker = reply_text_at(reply, at + 3),
                              .interrupted = reply_u64_at(reply, at + 4, 0),
                              .flags = reply_text_at(reply, at + 5),
                              .why = reply_text_at(reply, at + 6),
                              .queue = reply_text_at(reply, at + 7),
                              .job = reply_text_at(reply, at + 8)};
}
