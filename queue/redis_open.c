/* What is asked of Redis before it is used, each time the control connection comes up.
 *
 *   FACTS       INFO, CONFIG GET: does it keep what is promised? (queue/redis_check.h)
 *   META        the store is installed, or found: partitions and their tags
 *   PARTITIONS  `g` of each: made while installing, else it must be there (or data was lost)
 *   READY       the end of installing
 *   FRONT       a number for the ids made here that no other front has; asked for once
 *
 * A step that fails is begun again from the start after a pause; the reason is what store_ready() says. */
#include "queue/redis_store_int.h"

#include "queue/redis_error.h"
#include "queue/redis_reply.h"
#include "queue/redis_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_MS = 1000 };

struct step {
    void (*send)(struct redis_store *st);
    /* false: open.why says what is wrong. which: the request's tag. */
    bool (*read)(struct redis_store *st, unsigned which, const struct redisReply *reply);
    const char *key, *remedy; /* of the store's description, when somebody else wrote into it; or NULL */
};
enum { STEPS = 5 };
static const struct step steps[STEPS];

static bool refuse(struct redis_store *st, enum err e, const char *why)
{
    st->open.refusal = e;
    (void)snprintf(st->open.why, sizeof st->open.why, "%s", why);
    return false;
}

/* --- Requests ------------------------------------------------------------------------------------ */

static void run_step(struct redis_store *st);

static bool refuse_key(struct redis_store *st, const struct step *step, const char *why)
{
    st->open.refusal = ERR_BACKEND;
    (void)snprintf(st->open.why, sizeof st->open.why, "%s:%s: %.100s: somebody else wrote into it; %s",
                   st->cfg_tag, step->key, why, step->remedy);
    return false;
}

/* What our own keys say, in Redis's words, is told with the key and what to do about it. */
static void refuse_error(struct redis_store *st, const struct redis_request *rq, enum err e, const char *why)
{
    const struct step *step = &steps[st->open.step];
    if (e == ERR_BACKEND && step->key != NULL && redis_error_find(buf_span(&rq->error))->action == REDIS_FAIL)
        (void)refuse_key(st, step, buf_cstr(&rq->error));
    else
        (void)refuse(st, e == ERR_BACKEND ? ERR_BACKEND : ERR_AGAIN, why);
}

static void stop(struct redis_store *st)
{
    st->open.running = false;
    redis_open_stop(st, st->open.refusal, st->open.why);
    timer_set(st->open.again, AGAIN_MS);
}

static void step_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                      const char *why)
{
    struct redis_store *st = arg;
    if (e == ERR_CANCELED)
        return;
    st->open.left--;
    bool lenient = (rq->flags & REQUEST_LENIENT) != 0;
    if (e != ERR_OK && !lenient && !st->open.failed) {
        st->open.failed = true;
        refuse_error(st, rq, e, why);
    }
    if (!st->open.failed && !steps[st->open.step].read(st, rq->tag, e == ERR_OK ? reply : NULL))
        st->open.failed = true;
    if (st->open.left > 0)
        return;
    if (st->open.failed) {
        stop(st);
        return;
    }
    st->open.step++;
    run_step(st);
}

static struct redis_request *request(struct redis_store *st, unsigned tag)
{
    struct redis_request *rq = redis_request_new(step_done, st);
    if (rq != NULL)
        rq->tag = tag;
    return rq;
}

static void send(struct redis_store *st, struct redis_request *rq)
{
    if (rq == NULL) {
        st->open.failed = true;
        (void)refuse(st, ERR_AGAIN, "out of memory");
        return;
    }
    st->open.left++;
    redis_link_send(st->control, rq);
}

/* --- FACTS --------------------------------------------------------------------------------------- */

enum { INFO, CONFIG };

static void send_facts(struct redis_store *st)
{
    struct redis_request *info = request(st, INFO), *config = request(st, CONFIG);
    if (info == NULL || config == NULL) {
        redis_request_unref(info);
        redis_request_unref(config);
        send(st, NULL);
        return;
    }
    redis_command_info(info);
    redis_command_config(config);
    st->facts = (struct redis_facts){.sentinel = redis_topology_has_sentinel(st->topology),
                                     .priorities_equal = redis_topology_priorities_equal(st->topology)};
    send(st, info);
    send(st, config);
}

static bool read_facts(struct redis_store *st, unsigned which, const struct redisReply *reply)
{
    struct span text;
    if (which == INFO) {
        if (!reply_text(reply, &text))
            return refuse(st, ERR_AGAIN, "INFO has no answer");
        redis_facts_info(&st->facts, text);
        return true;
    }
    redis_facts_config(&st->facts, reply);
    struct buf refusals;
    buf_init(&refusals, sizeof st->open.why - 1);
    buf_clear(&st->warnings);
    bool usable = redis_check(&st->facts, &st->promise, &refusals, &st->warnings);
    st->unsafe = !usable;
    if (!usable)
        (void)refuse(st, ERR_AGAIN, buf_cstr(&refusals));
    buf_done(&refusals);
    if (st->facts.replicas > st->replicas_seen && st->facts.replicas < UINT16_MAX)
        st->replicas_seen = (unsigned)st->facts.replicas;
    return usable;
}

/* --- META ---------------------------------------------------------------------------------------- */

static void send_meta(struct redis_store *st)
{
    struct redis_request *rq = request(st, 0);
    struct buf tags;
    buf_init(&tags, (size_t)PARTITIONS_MAX * REDIS_TAG_MAX);
    enum err e = rq == NULL ? ERR_NOMEM : ERR_OK;
    if (e == ERR_OK && st->opened) { /* a store that was here must be here: not installed again in silence */
        redis_script(rq, SCRIPT_META, span_cstr(st->cfg_tag), 1);
        redis_arg_str(rq, "read");
        send(st, rq);
        return;
    }
    for (unsigned n = 0; n < st->partitions_wanted && e == ERR_OK; n++) {
        char tag[REDIS_TAG_MAX];
        redis_tag(st->ns, n, st->partitions_wanted, tag);
        e = buf_addf(&tags, "%s%s", n == 0 ? "" : " ", tag);
    }
    if (e == ERR_OK) {
        redis_script(rq, SCRIPT_META, span_cstr(st->cfg_tag), 4);
        redis_arg_str(rq, "open");
        redis_arg_u64(rq, STORE_SCHEMA_MAX);
        redis_arg_u64(rq, st->partitions_wanted);
        redis_arg(rq, buf_span(&tags));
        send(st, rq);
    } else {
        redis_request_unref(rq);
        send(st, NULL);
    }
    buf_done(&tags);
}

static void set_partition(struct redis_partition *p, struct span tag)
{
    memcpy(p->tag_bytes, tag.ptr, tag.len);
    p->tag = span_of(p->tag_bytes, tag.len);
}

/* The partitions are what the store says; once known they never change. */
static bool learn_partitions(struct redis_store *st, unsigned n, struct span tags)
{
    bool first = st->partitions == NULL;
    if (first)
        st->partitions = calloc(n, sizeof st->partitions[0]);
    if (st->partitions == NULL)
        return refuse(st, ERR_AGAIN, "out of memory");
    if (!first && n != st->npartitions)
        return refuse(st, ERR_BACKEND, "this is another store than before: restart the program");
    for (unsigned i = 0; i < n; i++) {
        struct span tag;
        (void)span_cut(tags, ' ', &tag, &tags);
        if (!redis_tag_valid(tag) || (!first && !span_eq(tag, st->partitions[i].tag))) {
            if (first)
                free(st->partitions);
            st->partitions = first ? NULL : st->partitions;
            return refuse(st, ERR_BACKEND,
                          "the tags of the partitions are damaged, or this is another store than before");
        }
        set_partition(&st->partitions[i], tag);
    }
    st->npartitions = n;
    return true;
}

static bool read_meta(struct redis_store *st, unsigned which, const struct redisReply *reply)
{
    uint64_t n = reply_u64_at(reply, 1, 0);
    struct span state = reply_text_at(reply, 3);
    (void)which;
    if (reply_count(reply) == 0)
        return refuse(st, ERR_BACKEND,
                      "the store is gone: Redis lost everything; restore its AOF, or restart all programs to "
                      "begin with an empty one");
    if (n < 1 || n > PARTITIONS_MAX || !learn_partitions(st, (unsigned)n, reply_text_at(reply, 2)))
        return n >= 1 && n <= PARTITIONS_MAX ? false
                                             : refuse(st, ERR_BACKEND, "the store's description is damaged");
    st->installing = span_eq(state, SPAN("installing"));
    return true;
}

/* --- PARTITIONS, READY --------------------------------------------------------------------------- */

static void send_g(struct redis_store *st, unsigned which, struct span tag)
{
    struct redis_request *rq = request(st, which);
    if (rq != NULL && st->installing) {
        redis_script(rq, SCRIPT_INIT, tag, 1);
        redis_arg_u64(rq, STORE_SCHEMA_MAX);
    } else if (rq != NULL) {
        redis_command(rq, 2);
        redis_arg_str(rq, "GET");
        redis_arg_pair(rq, tag, SPAN("g"));
    }
    send(st, rq);
}

static void send_partitions(struct redis_store *st)
{
    for (unsigned i = 0; i < st->npartitions; i++)
        send_g(st, i, st->partitions[i].tag);
    send_g(st, st->npartitions, span_cstr(st->sem_tag));
}

/* "1", or "1 drain". */
static bool schema_known(struct span g)
{
    struct span version, rest;
    uint64_t v;
    (void)span_cut(g, ' ', &version, &rest);
    return span_to_u64(version, STORE_SCHEMA_MAX, &v) && v >= STORE_SCHEMA_MIN;
}

static bool read_partition(struct redis_store *st, unsigned which, const struct redisReply *reply)
{
    struct span g = SPAN("");
    char why[300];
    if (st->installing)
        return true;
    if (!reply_text(reply, &g) || g.len == 0) {
        (void)snprintf(
            why, sizeof why,
            "partition %u of the store is gone: Redis lost data; restore its AOF, or empty the database",
            which);
        return refuse(st, ERR_BACKEND, why);
    }
    if (schema_known(g))
        return true;
    (void)snprintf(why, sizeof why,
                   "partition %u has schema version '" SPAN_FMT
                   "', this program knows %d to %d: run the version of "
                   "bridgehead that wrote the store",
                   which, SPAN_ARG(span_first(g, 32)), STORE_SCHEMA_MIN, STORE_SCHEMA_MAX);
    return refuse(st, ERR_BACKEND, why);
}

static void send_ready(struct redis_store *st)
{
    struct redis_request *rq = request(st, 0);
    if (rq != NULL) {
        redis_script(rq, SCRIPT_META, span_cstr(st->cfg_tag), 1);
        redis_arg_str(rq, st->installing ? "ready" : "read");
    }
    send(st, rq);
}

static bool read_ready(struct redis_store *st, unsigned which, const struct redisReply *reply)
{
    (void)which;
    (void)reply;
    st->installing = false;
    return true;
}

/* --- FRONT --------------------------------------------------------------------------------------- */

static void send_front(struct redis_store *st)
{
    struct redis_request *rq;
    if (st->front_known)
        return;
    rq = request(st, 0);
    if (rq != NULL) {
        redis_command(rq, 2);
        redis_arg_str(rq, "INCR");
        redis_arg_pair(rq, span_cstr(st->cfg_tag), SPAN("front"));
    }
    send(st, rq);
}

static bool read_front(struct redis_store *st, unsigned which, const struct redisReply *reply)
{
    uint64_t n;
    (void)which;
    if (!reply_u64(reply, UINT64_MAX, &n))
        return refuse_key(st, &steps[st->open.step], "is below 0");
    st->ids.front = (uint16_t)(n & ((1u << MSGID_FRONT_BITS) - 1));
    st->front_known = true;
    return true;
}

/* --- The sequence -------------------------------------------------------------------------------- */

static const struct step steps[STEPS] = {
    {send_facts, read_facts, NULL, NULL},
    {send_meta, read_meta, "meta", "restore it, with the rest of the store, from Redis's AOF or a backup"},
    {send_partitions, read_partition, NULL, NULL},
    {send_ready, read_ready, NULL, NULL},
    {send_front, read_front, "front",
     "stop all programs, delete this key with redis-cli DEL, and start them: it begins anew"},
};

static void finished(struct redis_store *st)
{
    bool again = st->opened, another = again && strcmp(st->run_id, st->facts.run_id) != 0;
    st->open.running = false;
    st->opened = st->usable = true;
    st->refusal = ERR_OK;
    memcpy(st->run_id, st->facts.run_id, sizeof st->run_id);
    st->why[0] = '\0';
    redis_store_opened(st, another);
    redis_store_changed(st);
}

static void run_step(struct redis_store *st)
{
    for (; st->open.step < STEPS; st->open.step++) {
        st->open.left = 1; /* ours: answers may come only later, but a send may fail */
        steps[st->open.step].send(st);
        if (--st->open.left > 0)
            return;
        if (st->open.failed) {
            stop(st);
            return;
        }
    }
    finished(st);
}

static void start_again(void *arg)
{
    redis_open_start(arg);
}

enum err redis_open_init(struct redis_store *st)
{
    st->open.again = timer_new(st->loop, start_again, st);
    return st->open.again == NULL ? ERR_NOMEM : ERR_OK;
}

void redis_open_start(struct redis_store *st)
{
    if (st->open.running || !redis_link_is_up(st->control))
        return;
    st->open.running = true;
    st->open.failed = false;
    st->open.step = 0;
    run_step(st);
}

void redis_open_stop(struct redis_store *st, enum err refusal, const char *why)
{
    if (st->usable)
        st->unusable_ms = loop_now(st->loop);
    st->usable = false;
    st->refusal = refusal;
    (void)snprintf(st->why, sizeof st->why, "%s", why);
    redis_store_changed(st);
}

void redis_open_unsafe(struct redis_store *st, const char *why)
{
    st->unsafe = true; /* until it is asked again */
    redis_open_stop(st, ERR_AGAIN, why);
    timer_set(st->open.again, AGAIN_MS);
}

void redis_open_fatal(struct redis_store *st, const char *why)
{
    redis_open_stop(st, ERR_BACKEND, why);
    timer_set(st->open.again, AGAIN_MS);
}
