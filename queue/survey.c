/* A step at a time:
 *
 *   TURN ──mine──> COUNTERS ──> PAGE ──> PAGE ... ──> [pause] ──> TURN
 *     └─not mine, or an error: all figures are 0──> [pause]
 * The turn is asked for again in the middle of a long survey. */
#include "queue/survey.h"

#include "common/rng.h"
#include "queue/admin_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SURVEY_MS = 10000,
    TURN_MS = 45000,
    PAGE_MS = 100,
    PATIENCE_MS = 5000,
    PAGE = 100,
    PAGE_HEAD = 2,
    ROW_FIELDS = 11,
    STATES = ADMIN_SCHEDULED + 1,
    CURSOR_MAX = 24
};

static const char *const sources[] = {"dom", "fz"}; /* together, every queue in which something waits, once */

METRICS_DEFINE(queue_metrics, QUEUE_METRICS)

struct survey {
    struct loop *loop;
    struct admin *admin;
    struct timer *timer;
    struct queue_metrics m;
    struct queue_state_metrics states[STATES], counting[STATES];
    ms_t turn_ms, began_ms; /* monotonic */
    ms_t oldest_ms, now_ms; /* Redis's clock */
    unsigned partition, source;
    char cursor[CURSOR_MAX], name[32];
    bool walking, closing;
};
struct step {
    struct admin_op op;
    struct survey *s;
    bool granted;
};

static void ask_turn(struct survey *s);
static void ask_page(struct survey *s);

/* --- What is told -------------------------------------------------------------------------------------- */

static void tell_nothing(struct survey *s)
{
    uint64_t *const figures[] = {&s->m.told,     &s->m.messages,   &s->m.in_hand,
                                 &s->m.oldest_s, &s->m.frozen,     &s->m.frozen_jobs,
                                 &s->m.badmail,  &s->m.quarantine, &s->m.slots};
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        metric_set(figures[i], 0);
    for (size_t i = 0; i < STATES; i++)
        metric_set(&s->states[i].waiting, 0);
}

static void tell_walk(struct survey *s)
{
    for (size_t i = 0; i < STATES; i++)
        metric_set(&s->states[i].waiting, s->counting[i].waiting);
    metric_set(&s->m.oldest_s,
               s->oldest_ms != 0 && s->now_ms > s->oldest_ms ? (s->now_ms - s->oldest_ms) / 1000 : 0);
}

/* --- The end of a step --------------------------------------------------------------------------------- */

static void pause_then(struct survey *s)
{
    ms_t spent = loop_now(s->loop) - s->began_ms;
    s->walking = false;
    timer_set(s->timer, spent < SURVEY_MS ? SURVEY_MS - spent : PAGE_MS);
}

static void failed(struct survey *s)
{
    if (s->closing)
        return;
    tell_nothing(s);
    pause_then(s);
}

static void on_timer(void *arg)
{
    struct survey *s = arg;
    if (s->walking && loop_now(s->loop) - s->turn_ms < TURN_MS / 3)
        ask_page(s);
    else
        ask_turn(s);
}

/* --- Pages of destination queues ------------------------------------------------------------------------ */

static void count_row(struct survey *s, const struct redisReply *reply, size_t at)
{
    struct admin_queue q = {.waiting = reply_u64_at(reply, at + 1, 0),
                            .in_hand = reply_u64_at(reply, at + 2, 0),
                            .due_ms = reply_u64_at(reply, at + 3, 0),
                            .hold_ms = reply_u64_at(reply, at + 6, 0),
                            .last_error_ms = reply_u64_at(reply, at + 9, 0),
                            .frozen_ms = reply_text_at(reply, at + 7).len > 0,
                            .frozen_jobs = reply_u64_at(reply, at + 10, 0),
                            .now_ms = s->now_ms};
    ms_t oldest = reply_u64_at(reply, at + 5, 0);
    s->counting[admin_queue_state_of(&q, reply_u64_at(reply, at + 4, 0))].waiting += q.waiting;
    if (oldest != 0 && (s->oldest_ms == 0 || oldest < s->oldest_ms))
        s->oldest_ms = oldest;
}

static void read_page(struct admin_op *op, const struct redisReply *reply)
{
    struct survey *s = ((struct step *)op)->s;
    struct span cursor = reply_text_at(reply, 1);
    s->now_ms = reply_u64_at(reply, 0, 0);
    for (size_t at = PAGE_HEAD; at + ROW_FIELDS <= reply_count(reply); at += ROW_FIELDS)
        count_row(s, reply, at);
    if (cursor.len == 0 || cursor.len >= sizeof s->cursor || span_eq(cursor, SPAN("0"))) {
        cursor = SPAN("0");
        s->source++;
    }
    (void)snprintf(s->cursor, sizeof s->cursor, SPAN_FMT, SPAN_ARG(cursor));
    if (s->source == ARRAY_LEN(sources)) {
        s->source = 0;
        s->partition++;
    }
    admin_end(op, ERR_OK, "");
}

static void page_begin(struct admin_op *op)
{
    struct survey *s = ((struct step *)op)->s;
    struct redis_request *rq = s->partition >= op->a->partitions
                                   ? NULL
                                   : admin_script(op, read_page, SCRIPT_QUEUES, op->a->tags[s->partition], 3);
    if (s->partition >= op->a->partitions)
        admin_end(op, ERR_OK, "");
    if (rq == NULL)
        return;
    redis_arg_str(rq, sources[s->source]);
    redis_arg_str(rq, s->cursor);
    redis_arg_u64(rq, PAGE);
    admin_send(op, rq);
}

static void page_finish(struct admin_op *op, enum err e, const char *why)
{
    struct survey *s = ((struct step *)op)->s;
    (void)why;
    if (e != ERR_OK) {
        failed(s);
    } else if (s->partition < op->a->partitions) {
        timer_set(s->timer, PAGE_MS);
    } else {
        tell_walk(s);
        pause_then(s);
    }
}

static struct step *step_new(struct survey *s, const struct admin_op_kind *kind)
{
    struct step *st = (struct step *)admin_op_new(s->admin, sizeof *st, kind);
    if (st == NULL)
        failed(s);
    else
        st->s = s;
    return st;
}

static void ask_page(struct survey *s)
{
    static const struct admin_op_kind kind = {page_begin, page_finish, NULL, false};
    (void)step_new(s, &kind);
}

/* --- Kept counters -------------------------------------------------------------------------------------- */

static void on_counters(void *arg, enum err e, const struct admin_status *st, const char *why)
{
    struct survey *s = arg;
    const struct admin_counters *c = &st->counters;
    (void)why;
    if (e != ERR_OK) {
        failed(s);
        return;
    }
    metric_set(&s->m.told, 1);
    metric_set(&s->m.messages, st->messages);
    metric_set(&s->m.in_hand, c->in_hand);
    metric_set(&s->m.frozen, c->frozen);
    metric_set(&s->m.frozen_jobs, c->frozen_jobs);
    metric_set(&s->m.badmail, c->badmail_now);
    metric_set(&s->m.quarantine, c->quarantine_now);
    metric_set(&s->m.slots, st->slots);
    memset(s->counting, 0, sizeof s->counting);
    s->oldest_ms = 0;
    s->partition = s->source = 0;
    (void)snprintf(s->cursor, sizeof s->cursor, "0");
    s->walking = true;
    timer_set(s->timer, PAGE_MS);
}

/* --- The turn ------------------------------------------------------------------------------------------- */

static void read_turn(struct admin_op *op, const struct redisReply *reply)
{
    uint64_t granted = 0;
    (void)reply_u64(reply, 1, &granted);
    ((struct step *)op)->granted = granted == 1;
    admin_end(op, ERR_OK, "");
}

static void turn_begin(struct admin_op *op)
{
    struct redis_request *rq = admin_script(op, read_turn, SCRIPT_SEM, span_cstr(op->a->sem_tag), 3);
    if (rq == NULL)
        return;
    redis_arg_str(rq, "turn");
    redis_arg_str(rq, ((struct step *)op)->s->name);
    redis_arg_u64(rq, TURN_MS);
    admin_send(op, rq);
}

static void turn_finish(struct admin_op *op, enum err e, const char *why)
{
    struct survey *s = ((struct step *)op)->s;
    (void)why;
    if (e != ERR_OK || !((struct step *)op)->granted) {
        failed(s);
        return;
    }
    s->turn_ms = loop_now(s->loop);
    if (s->walking)
        timer_set(s->timer, 0);
    else if (admin_status(s->admin, on_counters, s) != ERR_OK)
        failed(s);
}

static void ask_turn(struct survey *s)
{
    static const struct admin_op_kind kind = {turn_begin, turn_finish, NULL, false};
    if (!s->walking)
        s->began_ms = loop_now(s->loop);
    (void)step_new(s, &kind);
}

/* --- Making and freeing --------------------------------------------------------------------------------- */

enum err survey_open(struct loop *l, const struct config *conf, struct survey **ret, struct errctx *ec)
{
    struct survey *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    s->loop = l;
    s->timer = timer_new(l, on_timer, s);
    (void)snprintf(s->name, sizeof s->name, "%016" PRIx64, rng_system_seed());
    survey_reload(s, conf);
    enum err e = s->timer == NULL ? err_set(ec, ERR_NOMEM, "out of memory")
                                  : admin_open(l, conf, PATIENCE_MS, &s->admin, ec);
    if (e != ERR_OK) {
        survey_free(s);
        return e;
    }
    timer_set(s->timer, PAGE_MS);
    *ret = s;
    return ERR_OK;
}

void survey_free(struct survey *s)
{
    if (s == NULL)
        return;
    s->closing = true;
    admin_free(s->admin);
    timer_free(s->timer);
    free(s);
}

void survey_reload(struct survey *s, const struct config *conf)
{
    metric_set(&s->m.slots_max, config_root(conf)->delivery.max_connections);
    metric_set(&s->m.slots_domain_max, config_root(conf)->delivery.max_connections_per_domain);
}

enum err survey_metrics(const struct survey *s, struct buf *out)
{
    const void *const totals[] = {&s->m};
    const void *structs[STATES];
    struct metric_group groups[STATES];
    char labels[STATES][32];
    for (size_t i = 0; i < STATES; i++) {
        structs[i] = &s->states[i];
        (void)snprintf(labels[i], sizeof labels[i], "state=\"%s\"",
                       admin_queue_state_name((enum admin_queue_state)i));
        groups[i] = (struct metric_group){labels[i], &structs[i], 1};
    }
    enum err e = metrics_write(out, queue_metrics_desc, queue_metrics_count, totals, 1, "");
    return e != ERR_OK ? e
                       : metrics_write_groups(out, queue_state_metrics_desc, queue_state_metrics_count,
                                              groups, STATES);
}
