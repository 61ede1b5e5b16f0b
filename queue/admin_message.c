/* One message: what is known of it, its body, its history. */
#include "queue/admin_int.h"

#include "queue/queue_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACK_PAGE = 500, EVENT_FIELDS = 5, STREAM_ID_MAX = 48 };

static const char unknown[] =
    "no such message in the queue: delivered, deleted, or never here; `bridgehead message track` may know";

/* --- Showing ------------------------------------------------------------------------------------- */

struct show {
    struct admin_op op;
    struct msgid id;
    uint64_t first_job;
    admin_message_fn *message;
    admin_job_fn *each;
    admin_done_fn *done;
    void *arg;
};

static void show_ask(struct admin_op *op);

static bool tell_message(struct show *s, const struct redisReply *reply)
{
    struct admin_message m = {.id = s->id,
                              .now_ms = reply_u64_at(reply, 0, 0),
                              .arrival_ms = reply_u64_at(reply, 1, 0),
                              .jobs_ever = (uint32_t)reply_u64_at(reply, 4, 0),
                              .jobs_left = (uint32_t)reply_u64_at(reply, 5, 0)};
    if (envelope_decode(reply_text_at(reply, 3), &m.env) != ERR_OK)
        m.env = (struct envelope){.sender = {"", 0}};
    if (body_read_descriptor(reply_text_at(reply, 2), &m.body) != ERR_OK)
        m.body = (struct body_desc){.chunks = 0};
    return s->message(s->arg, &m);
}

static void show_read(struct admin_op *op, const struct redisReply *reply)
{
    struct show *s = (struct show *)op;
    if (reply_count(reply) < SHOW_HEAD) {
        bool there = s->first_job > 1; /* went away between two pages */
        admin_end(op, there ? ERR_OK : ERR_NOTFOUND, there ? "" : unknown);
        return;
    }
    bool more = s->first_job > 1 || tell_message(s, reply);
    for (size_t at = SHOW_HEAD; more && at + SHOW_FIELDS <= reply_count(reply); at += SHOW_FIELDS) {
        struct admin_raw raw;
        struct admin_job j;
        admin_show_row(reply, at, span_of(s->id.id, MSGID_LEN), s->id.partition, &raw);
        admin_job_read(&raw, &j);
        more = s->each(s->arg, &j);
        admin_job_done(&j);
    }
    s->first_job += SHOW_PAGE;
    if (!more || s->first_job > reply_u64_at(reply, 4, 0))
        admin_end(op, ERR_OK, "");
    else
        show_ask(op);
}

static void show_ask(struct admin_op *op)
{
    struct show *s = (struct show *)op;
    if (s->id.partition >= op->a->partitions) {
        admin_end(op, ERR_NOTFOUND, unknown);
        return;
    }
    struct redis_request *rq = admin_script(op, show_read, SCRIPT_SHOW, op->a->tags[s->id.partition], 3);
    if (rq == NULL)
        return;
    redis_arg_str(rq, s->id.id);
    redis_arg_u64(rq, s->first_job);
    redis_arg_u64(rq, SHOW_PAGE);
    admin_send(op, rq);
}

static void show_finish(struct admin_op *op, enum err e, const char *why)
{
    struct show *s = (struct show *)op;
    s->done(s->arg, e, why);
}

enum err admin_show(struct admin *a, const struct msgid *id, admin_message_fn *message, admin_job_fn *each,
                    admin_done_fn *done, void *arg)
{
    static const struct admin_op_kind kind = {show_ask, show_finish, NULL, false};
    struct show *s = (struct show *)admin_op_new(a, sizeof *s, &kind);
    if (s == NULL)
        return ERR_NOMEM;
    s->id = *id;
    s->first_job = 1;
    s->message = message;
    s->each = each;
    s->done = done;
    s->arg = arg;
    return ERR_OK;
}

/* --- The body ------------------------------------------------------------------------------------ */

struct body {
    struct admin_op op;
    struct msgid id;
    struct body_desc desc;
    uint32_t chunk;
    struct buf raw;
    admin_bytes_fn *each;
    admin_done_fn *done;
    void *arg;
};

static void ask_chunk(struct body *b);

static void read_chunk(struct admin_op *op, const struct redisReply *reply)
{
    struct body *b = (struct body *)op;
    struct span stored;
    char why[80];
    if (!reply_text(reply, &stored)) {
        admin_end(op, ERR_NOTFOUND, b->chunk == 0 ? unknown : "the message went away while it was read");
        return;
    }
    buf_clear(&b->raw);
    enum err e = body_unpack(op->a->codec, b->chunk, stored, body_chunk_size(&b->desc, b->chunk), &b->raw);
    if (e != ERR_OK) {
        (void)snprintf(why, sizeof why, "the stored body is damaged in chunk %u of %u",
                       (unsigned)b->chunk + 1, (unsigned)b->desc.chunks);
        admin_end(op, e, why);
        return;
    }
    b->chunk++;
    if (!b->each(b->arg, buf_span(&b->raw)) || b->chunk >= b->desc.chunks)
        admin_end(op, ERR_OK, "");
    else
        ask_chunk(b);
}

static void ask_chunk(struct body *b)
{
    struct redis_request *rq = admin_request(&b->op, read_chunk);
    if (rq == NULL)
        return;
    bool list = b->desc.chunks > 1;
    redis_command(rq, list ? 3 : 2);
    redis_arg_str(rq, list ? "LINDEX" : "GET");
    admin_arg_key(rq, b->op.a->tags[b->id.partition], "b:", b->id.id);
    if (list)
        redis_arg_u64(rq, b->chunk);
    admin_send(&b->op, rq);
}

static void body_read_head(struct admin_op *op, const struct redisReply *reply)
{
    struct body *b = (struct body *)op;
    if (reply_count(reply) < SHOW_HEAD)
        admin_end(op, ERR_NOTFOUND, unknown);
    else if (body_read_descriptor(reply_text_at(reply, 2), &b->desc) != ERR_OK)
        admin_end(op, ERR_PARSE, "the descriptor of the body is damaged");
    else
        ask_chunk(b);
}

static void body_begin(struct admin_op *op)
{
    struct body *b = (struct body *)op;
    if (b->id.partition >= op->a->partitions) {
        admin_end(op, ERR_NOTFOUND, unknown);
        return;
    }
    struct redis_request *rq = admin_script(op, body_read_head, SCRIPT_SHOW, op->a->tags[b->id.partition], 3);
    if (rq == NULL)
        return;
    redis_arg_str(rq, b->id.id);
    redis_arg_u64(rq, 1);
    redis_arg_u64(rq, 0);
    admin_send(op, rq);
}

static void body_finish(struct admin_op *op, enum err e, const char *why)
{
    struct body *b = (struct body *)op;
    b->done(b->arg, e, why);
}

static void body_release(struct admin_op *op)
{
    buf_done(&((struct body *)op)->raw);
}

enum err admin_body(struct admin *a, const struct msgid *id, admin_bytes_fn *each, admin_done_fn *done,
                    void *arg)
{
    static const struct admin_op_kind kind = {body_begin, body_finish, body_release, false};
    struct body *b = (struct body *)admin_op_new(a, sizeof *b, &kind);
    if (b == NULL)
        return ERR_NOMEM;
    b->id = *id;
    b->each = each;
    b->done = done;
    b->arg = arg;
    buf_init(&b->raw, BODY_CHUNK_MAX);
    return ERR_OK;
}

/* --- The history --------------------------------------------------------------------------------- */

struct track {
    struct admin_op op;
    bool one;
    struct msgid id;
    unsigned partition;
    char cursor[STREAM_ID_MAX];
    admin_event_fn *each;
    admin_done_fn *done;
    void *arg;
};

static void track_ask(struct admin_op *op);

static bool tell_event(struct track *t, const struct redisReply *reply, size_t at)
{
    struct span stream_id = reply_text_at(reply, at), ms, rest, id = reply_text_at(reply, at + 1);
    struct admin_event ev = {.event = reply_text_at(reply, at + 2), .text = reply_text_at(reply, at + 4)};
    uint64_t at_ms = 0;
    (void)span_cut(stream_id, '-', &ms, &rest);
    if (!msgid_valid(id) || !span_to_u64(ms, UINT64_MAX, &at_ms))
        return true; /* not one of ours */
    ev.at_ms = at_ms;
    memcpy(ev.id.id, id.ptr, MSGID_LEN);
    ev.id.partition = (uint16_t)t->partition;
    (void)queue_name_read(reply_text_at(reply, at + 3), &ev.domain, &ev.klass);
    return t->each(t->arg, &ev);
}

static void track_read(struct admin_op *op, const struct redisReply *reply)
{
    struct track *t = (struct track *)op;
    struct span cursor = reply_text_at(reply, 0);
    bool more = true;
    for (size_t at = 1; more && at + EVENT_FIELDS <= reply_count(reply); at += EVENT_FIELDS)
        more = tell_event(t, reply, at);
    if (cursor.len == 0 || cursor.len >= sizeof t->cursor) {
        more = more && !t->one;
        t->partition++;
        cursor = SPAN("-");
    }
    memcpy(t->cursor, cursor.ptr, cursor.len);
    t->cursor[cursor.len] = '\0';
    if (more)
        track_ask(op);
    else
        admin_end(op, ERR_OK, "");
}

static void track_ask(struct admin_op *op)
{
    struct track *t = (struct track *)op;
    if (t->partition >= op->a->partitions) {
        bool nowhere = t->one && t->partition == t->id.partition;
        admin_end(op, nowhere ? ERR_NOTFOUND : ERR_OK, nowhere ? unknown : "");
        return;
    }
    struct redis_request *rq = admin_script(op, track_read, SCRIPT_TRACK, op->a->tags[t->partition], 3);
    if (rq == NULL)
        return;
    redis_arg_str(rq, t->one ? t->id.id : "");
    redis_arg_str(rq, t->cursor);
    redis_arg_u64(rq, TRACK_PAGE);
    admin_send(op, rq);
}

static void track_finish(struct admin_op *op, enum err e, const char *why)
{
    struct track *t = (struct track *)op;
    t->done(t->arg, e, why);
}

enum err admin_track(struct admin *a, const struct msgid *id, admin_event_fn *each, admin_done_fn *done,
                     void *arg)
{
    static const struct admin_op_kind kind = {track_ask, track_finish, NULL, false};
    struct track *t = (struct track *)admin_op_new(a, sizeof *t, &kind);
    if (t == NULL)
        return ERR_NOMEM;
    t->one = id != NULL;
    if (id != NULL) {
        t->id = *id;
        t->partition = id->partition;
    }
    (void)snprintf(t->cursor, sizeof t->cursor, "-");
    t->each = each;
    t->done = done;
    t->arg = arg;
    return ERR_OK;
}
