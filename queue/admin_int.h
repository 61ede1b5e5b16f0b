/* queue/admin_int.h — what the files of the administrator's view share.
 *
 *   admin.c          connecting, the life of an operation
 *   admin_queues.c   lists of destination queues, freezing
 *   admin_job.c      one job; admin_jobs.c going through all; admin_edit.c changing them on the way
 *   admin_message.c  one message, its body, its history
 *   admin_status.c   counters; admin_members.c nodes, workers, routers, links
 *
 * An operation asks one question at a time:
 *
 *   WAITING ──end of turn──> [META, when the partitions are not known] ──> begin() ──> ASKING <─> read()
 *                                                                                        └─> end(): done(),
 * freed
 *
 * Every operation begins with a struct admin_op. Its functions never free it: admin_end() does. */
#pragma once
#include "queue/admin.h"
#include "queue/body.h"
#include "queue/names.h"
#include "queue/redis_link.h"
#include "queue/redis_reply.h"
#include "queue/redis_slot.h"

struct admin_op;
typedef void admin_step_fn(struct admin_op *op);
typedef void admin_read_fn(struct admin_op *op, const struct redisReply *reply);
struct admin_op_kind {
    admin_step_fn *begin; /* the partitions are known: asks the first question, or ends */
    void (*finish)(struct admin_op *op, enum err e, const char *why); /* calls done() of the caller */
    admin_step_fn *release; /* what it owns besides; NULL: nothing */
    bool storeless; /* begins with no partitions when there is no store yet, instead of ERR_NOTFOUND */
};
struct admin_op {
    const struct admin_op_kind *kind;
    struct admin *a;
    struct admin_op *next, **prev;
    struct deferred start;
    admin_read_fn *read; /* of the question under way */
    bool ended;
};
struct admin {
    struct loop *loop;
    struct redis_settings settings;
    struct redis_topology *topology;
    struct redis_link *link;
    struct redis_metrics metrics;
    struct body_codec *codec;
    uint64_t history;
    ms_t patience_ms;
    char ns[NAMESPACE_MAX + 1], cfg_tag[REDIS_TAG_MAX], sem_tag[REDIS_TAG_MAX], rt_tag[REDIS_TAG_MAX];
    struct span *tags; /* of the partitions; point into tag_bytes */
    char (*tag_bytes)[REDIS_TAG_MAX];
    unsigned partitions; /* 0: not known yet */
    struct span schema;
    char schema_bytes[16];
    struct admin_op *ops;
    bool closing;
    struct deferred give_up;
    char refused[400]; /* what Redis said when it would not have us */
};

/* A zeroed operation of `size` bytes that begins at the end of this turn; NULL: ERR_NOMEM, or closing. */
struct admin_op *admin_op_new(struct admin *a, size_t size, const struct admin_op_kind *kind);
/* The operation is over: done() is called, then it is freed. */
void admin_end(struct admin_op *op, enum err e, const char *why);

/* Questions. Build one, then send it: its answer goes to read(), a failure ends the operation; with
 * REQUEST_LENIENT a refusal is an answer, NULL. */
struct redis_request *admin_request(struct admin_op *op, admin_read_fn *read); /* NULL: the operation ended */
void admin_send(struct admin_op *op, struct redis_request *rq);
/* admin_request() and redis_script() in one. */
struct redis_request *admin_script(struct admin_op *op, admin_read_fn *read, enum script_id id,
                                   struct span tag, size_t arguments);

/* "<tag>:<prefix><id>" as one argument. */
void admin_arg_key(struct redis_request *rq, struct span tag, const char *prefix, const char *id);

/* --- Jobs ---------------------------------------------------------------------------------------- */

/* A job as the scripts show it: texts borrowed from the reply. */
struct admin_raw {
    struct span id, place, worker, flags, why, queue, envelope, descriptor, job;
    uint64_t index, score, arrival_ms, interrupted, now_ms;
    unsigned partition;
};
/* Decodes it; what is damaged stays empty and says so in reason. admin_job_done() afterwards. */
void admin_job_read(const struct admin_raw *raw, struct admin_job *ret);
void admin_job_done(struct admin_job *j);
/* One row of SCRIPT_SHOW at reply[at]; the head of the reply is read as well. */
enum { SHOW_HEAD = 7, SHOW_FIELDS = 9, SHOW_PAGE = 50 };
void admin_show_row(const struct redisReply *reply, size_t at, struct span id, unsigned partition,
                    struct admin_raw *ret);

/* Goes through the jobs that a filter finds: the operation that admin_jobs() and admin_edit() share. */
struct admin_walk;
struct admin_walk_hooks {
    /* Before the first page of a list, unless NULL: calls admin_walk_page() when done with it. */
    void (*list)(struct admin_walk *w);
    bool (*job)(struct admin_walk *w, const struct admin_job *j); /* false: stop after this page */
    /* The page is over: calls admin_walk_on() when done with it, at once or after questions of its own. */
    void (*page_end)(struct admin_walk *w);
};
enum { WALK_TEXT_MAX = 320, WALK_CURSOR_MAX = 64 };
struct admin_walk {
    struct admin_op op;
    const struct admin_walk_hooks *hooks;
    struct admin_filter filter; /* spans point into texts */
    char texts[3][WALK_TEXT_MAX + 1], prefix[MSGID_LEN + 1];
    bool one_partition, one_message, stopped;
    unsigned partition, listing;
    struct names sources; /* "q:<Q>", "c:<w>", "bad", "qz" of this partition */
    size_t source;
    char cursor[WALK_CURSOR_MAX + 1];
    uint64_t first_job, matched;
};
/* ERR_TOOBIG, ERR_PARSE (no id): then the operation is gone, and done() will not be called. */
enum err admin_walk_init(struct admin_walk *w, const struct admin_walk_hooks *hooks,
                         const struct admin_filter *f) MUST_USE;
void admin_walk_begin(struct admin_op *op);
void admin_walk_on(struct admin_walk *w);
void admin_walk_page(struct admin_walk *w);
void admin_walk_release(struct admin_op *op);
struct span admin_walk_source(const struct admin_walk *w);
