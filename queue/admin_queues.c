/* Destination queues: of all partitions together. A queue is in up to three lists of a partition (waiting,
 * frozen, in hand), and SCAN may show an entry twice, so rows are gathered, sorted and merged. */
#include "queue/admin_int.h"

#include "queue/queue_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 50, ROW_FIELDS = 11, PAGE_HEAD = 2, ROWS_MAX = 4000000 };
enum { OLDEST_SAMPLE = 64 }; /* of queues.lua: of as many that wait it does not look at all */

static const char *const sources[] = {"dom", "fz", "inf"};

struct row { /* of one partition */
    struct span name, frozen, error;
    uint64_t waiting, in_hand, deferred, frozen_jobs;
    ms_t due_ms, oldest_ms, hold_ms, error_ms;
    unsigned partition;
    char text[]; /* the spans */
};
struct queues {
    struct admin_op op;
    admin_queue_fn *each;
    admin_done_fn *done;
    void *arg;
    struct row **rows;
    size_t count, room;
    unsigned partition, source;
    ms_t now_ms;
};

const char *admin_queue_state_name(enum admin_queue_state s)
{
    static const char *const names[] = {[ADMIN_FROZEN] = "Frozen",
                                        [ADMIN_ACTIVE] = "Active",
                                        [ADMIN_READY] = "Ready",
                                        [ADMIN_RETRY] = "Retry",
                                        [ADMIN_SCHEDULED] = "Scheduled"};
    return names[s];
}

/* --- Gathering ----------------------------------------------------------------------------------- */

static struct span keep(char **to, struct span s)
{
    char *at = *to;
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    *to += s.len;
    return span_of(at, s.len);
}

static enum err add_row(struct queues *q, const struct redisReply *reply, size_t at)
{
    struct span name = reply_text_at(reply, at), frozen = reply_text_at(reply, at + 7);
    struct span error = reply_text_at(reply, at + 8);
    if (q->count == q->room) {
        size_t room = q->room == 0 ? 256 : 2 * q->room;
        struct row **rows = room > ROWS_MAX ? NULL : realloc(q->rows, room * sizeof rows[0]);
        if (rows == NULL)
            return ERR_NOMEM;
        q->rows = rows;
        q->room = room;
    }
    struct row *row = malloc(sizeof *row + name.len + frozen.len + error.len);
    if (row == NULL)
        return ERR_NOMEM;
    char *text = row->text;
    *row = (struct row){.waiting = reply_u64_at(reply, at + 1, 0),
                        .in_hand = reply_u64_at(reply, at + 2, 0),
                        .due_ms = reply_u64_at(reply, at + 3, 0),
                        .deferred = reply_u64_at(reply, at + 4, 0),
                        .oldest_ms = reply_u64_at(reply, at + 5, 0),
                        .hold_ms = reply_u64_at(reply, at + 6, 0),
                        .error_ms = reply_u64_at(reply, at + 9, 0),
                        .frozen_jobs = reply_u64_at(reply, at + 10, 0),
                        .partition = q->partition};
    row->name = keep(&text, name);
    row->frozen = keep(&text, frozen);
    row->error = keep(&text, error);
    q->rows[q->count++] = row;
    return ERR_OK;
}

/* --- Merging ------------------------------------------------------------------------------------- */

static int by_name_then_partition(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    int order = span_cmp(x->name, y->name);
    return order != 0 ? order : x->partition < y->partition ? -1 : x->partition > y->partition;
}

static ms_t earlier(ms_t a, ms_t b) /* 0: none */
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* "<since>\n<by>\n<reason>" */
static void read_frozen(struct span text, struct admin_queue *ret)
{
    struct span since;
    (void)span_cut(text, '\n', &since, &text);
    (void)span_cut(text, '\n', &ret->frozen_by, &ret->frozen_reason);
    uint64_t at = 0;
    (void)span_to_u64(since, UINT64_MAX, &at);
    ret->frozen_ms = at;
}

static void merge(struct admin_queue *into, const struct row *row, uint64_t *deferred)
{
    into->waiting += row->waiting;
    into->in_hand += row->in_hand;
    into->frozen_jobs += row->frozen_jobs;
    *deferred += row->deferred;
    into->oldest_about |= row->waiting >= OLDEST_SAMPLE && row->deferred > 0;
    into->due_ms = earlier(into->due_ms, row->due_ms);
    into->oldest_ms = earlier(into->oldest_ms, row->oldest_ms);
    if (row->hold_ms > into->hold_ms)
        into->hold_ms = row->hold_ms;
    if (row->error_ms > into->last_error_ms) {
        into->last_error_ms = row->error_ms;
        into->last_error = row->error;
    }
    if (row->frozen.len > 0 && into->frozen_ms == 0)
        read_frozen(row->frozen, into);
}

enum admin_queue_state admin_queue_state_of(const struct admin_queue *q, uint64_t deferred)
{
    if (q->frozen_ms != 0)
        return ADMIN_FROZEN;
    if (q->in_hand > 0)
        return ADMIN_ACTIVE;
    if (q->waiting > 0 && q->frozen_jobs == q->waiting)
        return ADMIN_FROZEN;
    if (q->due_ms != 0 && q->due_ms <= q->now_ms && q->hold_ms <= q->now_ms)
        return ADMIN_READY;
    return q->hold_ms > q->now_ms || (deferred > 0 && q->last_error_ms != 0) ? ADMIN_RETRY : ADMIN_SCHEDULED;
}

static void tell_all(struct queues *q)
{
    if (q->count > 0) /* of nothing there is no array */
        qsort(q->rows, q->count, sizeof q->rows[0], by_name_then_partition);
    for (size_t i = 0, next; i < q->count; i = next) {
        struct admin_queue one = {.now_ms = q->now_ms};
        uint64_t deferred = 0;
        for (next = i; next < q->count && span_eq(q->rows[next]->name, q->rows[i]->name); next++) {
            if (next == i || q->rows[next]->partition != q->rows[next - 1]->partition)
                merge(&one, q->rows[next], &deferred);
        }
        (void)queue_name_read(q->rows[i]->name, &one.domain, &one.klass);
        one.state = admin_queue_state_of(&one, deferred);
        if (!q->each(q->arg, &one))
            break;
    }
    admin_end(&q->op, ERR_OK, "");
}

/* --- Going through ------------------------------------------------------------------------------- */

static void ask(struct queues *q, struct span cursor);

static void read_page(struct admin_op *op, const struct redisReply *reply)
{
    struct queues *q = (struct queues *)op;
    struct span cursor = reply_text_at(reply, 1);
    q->now_ms = reply_u64_at(reply, 0, 0);
    for (size_t at = PAGE_HEAD; at + ROW_FIELDS <= reply_count(reply); at += ROW_FIELDS) {
        if (add_row(q, reply, at) != ERR_OK) {
            admin_end(op, ERR_NOMEM, "");
            return;
        }
    }
    if (cursor.len == 0 || span_eq(cursor, SPAN("0"))) {
        cursor = SPAN("0");
        q->source++;
    }
    if (q->source == ARRAY_LEN(sources)) {
        q->source = 0;
        q->partition++;
    }
    if (q->partition == op->a->partitions)
        tell_all(q);
    else
        ask(q, cursor);
}

static void ask(struct queues *q, struct span cursor)
{
    struct redis_request *rq = admin_script(&q->op, read_page, SCRIPT_QUEUES, q->op.a->tags[q->partition], 3);
    if (rq == NULL)
        return;
    redis_arg_str(rq, sources[q->source]);
    redis_arg(rq, cursor);
    redis_arg_u64(rq, PAGE);
    admin_send(&q->op, rq);
}

static void begin(struct admin_op *op)
{
    ask((struct queues *)op, SPAN("0"));
}

static void finish(struct admin_op *op, enum err e, const char *why)
{
    struct queues *q = (struct queues *)op;
    q->done(q->arg, e, why);
}

static void release(struct admin_op *op)
{
    struct queues *q = (struct queues *)op;
    for (size_t i = 0; i < q->count; i++)
        free(q->rows[i]);
    free(q->rows);
}

enum err admin_queues(struct admin *a, admin_queue_fn *each, admin_done_fn *done, void *arg)
{
    static const struct admin_op_kind kind = {begin, finish, release, false};
    struct queues *q = (struct queues *)admin_op_new(a, sizeof *q, &kind);
    if (q == NULL)
        return ERR_NOMEM;
    q->each = each;
    q->done = done;
    q->arg = arg;
    return ERR_OK;
}

/* --- Freezing ------------------------------------------------------------------------------------ */

struct freeze {
    struct admin_op op;
    admin_count_fn *done;
    void *arg;
    enum script_id script;
    char name[QUEUE_NAME_BYTES], by[65], reason[257];
    unsigned partition;
    uint64_t changed;
};

static void freeze_next(struct admin_op *op);

static void freeze_read(struct admin_op *op, const struct redisReply *reply)
{
    struct freeze *f = (struct freeze *)op;
    uint64_t one = 0;
    (void)reply_u64(reply, 1, &one);
    f->changed += one;
    f->partition++;
    freeze_next(op);
}

static void freeze_next(struct admin_op *op)
{
    struct freeze *f = (struct freeze *)op;
    if (f->partition == op->a->partitions) {
        admin_end(op, ERR_OK, "");
        return;
    }
    bool freezing = f->script == SCRIPT_FREEZE;
    struct redis_request *rq =
        admin_script(op, freeze_read, f->script, op->a->tags[f->partition], freezing ? 3 : 1);
    if (rq == NULL)
        return;
    redis_arg_str(rq, f->name);
    if (freezing) {
        redis_arg_str(rq, f->by);
        redis_arg_str(rq, f->reason);
    }
    admin_send(op, rq);
}

static void freeze_finish(struct admin_op *op, enum err e, const char *why)
{
    struct freeze *f = (struct freeze *)op;
    f->done(f->arg, e, f->changed, why);
}

/* Cut to what the scripts take; control bytes would break the lines of the record. */
static void copy_text(char *to, size_t size, struct span s)
{
    size_t n = s.len < size - 1 ? s.len : size - 1;
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)s.ptr[i] < 0x20 ? ' ' : s.ptr[i];
    to[n] = '\0';
}

static struct freeze *freeze_new(struct admin *a, enum script_id script, struct span domain, uint32_t klass,
                                 admin_count_fn *done, void *arg)
{
    static const struct admin_op_kind kind = {freeze_next, freeze_finish, NULL, false};
    struct freeze *f = (struct freeze *)admin_op_new(a, sizeof *f, &kind);
    if (f == NULL)
        return NULL;
    f->script = script;
    f->done = done;
    f->arg = arg;
    (void)queue_name_write(domain, klass, f->name);
    return f;
}

enum err admin_freeze(struct admin *a, struct span domain, uint32_t klass, struct span by, struct span reason,
                      admin_count_fn *done, void *arg)
{
    struct freeze *f = freeze_new(a, SCRIPT_FREEZE, domain, klass, done, arg);
    if (f == NULL)
        return ERR_NOMEM;
    copy_text(f->by, sizeof f->by, by);
    copy_text(f->reason, sizeof f->reason, reason);
    return ERR_OK;
}

enum err admin_thaw(struct admin *a, struct span domain, uint32_t klass, admin_count_fn *done, void *arg)
{
    return freeze_new(a, SCRIPT_THAW, domain, klass, done, arg) == NULL ? ERR_NOMEM : ERR_OK;
}
