/* What this process says of itself to `bridgehead status`, and the lease under which one that claims nothing
 * (a node) says it. A worker says it with its own renewals: redis_worker.c. */
#include "queue/redis_store_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RANDOM_CHARS = 12 };

struct redis_member {
    struct member_conf conf;
    char host[65];
    ms_t since_ms, counted_ms;
    uint64_t counted;
    char name[WORKER_NAME_MAX]; /* "" : no lease of its own */
    bool asking;
    struct timer *renew;
};

/* --- What it says -------------------------------------------------------------------------------------- */

enum err redis_member_text(struct redis_store *st, struct buf *out)
{
    struct redis_member *m = st->member;
    struct member_facts f = {.version = SPAN(BRIDGEHEAD_VERSION), .pid = (uint64_t)getpid()};
    ms_t now = loop_now(st->loop);
    if (m == NULL)
        return ERR_OK;
    f.role = span_cstr(m->conf.role);
    f.host = span_cstr(m->host);
    f.since_ms = m->since_ms;
    m->conf.count(m->conf.arg, &f.total, &f.open);
    if (now > m->counted_ms && f.total >= m->counted)
        f.per_minute = (f.total - m->counted) * 60000 / (now - m->counted_ms);
    m->counted = f.total;
    m->counted_ms = now;
    return member_write(&f, out);
}

/* --- Its lease ----------------------------------------------------------------------------------------- */

static void say_hello(struct redis_store *st);

static void new_name(struct redis_store *st)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    char random[RANDOM_CHARS + 1] = "";
    for (size_t i = 0; i < RANDOM_CHARS; i++)
        random[i] = digits[rng_below(&st->rng, sizeof digits - 1)];
    (void)snprintf(st->member->name, sizeof st->member->name, "%.10s-%s", st->member->conf.role, random);
}

static void said_hello(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                       const char *why)
{
    struct redis_store *st = arg;
    (void)rq, (void)reply, (void)why;
    if (e == ERR_CANCELED || st->member->name[0] == '\0')
        return;
    st->member->asking = false;
    if (e == ERR_STALE) /* it was silent for too long, and is being cleared away */
        new_name(st);
    timer_set(st->member->renew, e == ERR_OK ? st->lease_ms / 3 : st->lease_ms / 10);
}

static void say_hello(struct redis_store *st)
{
    struct redis_member *m = st->member;
    struct buf text;
    struct redis_request *rq = st->usable && !m->asking ? redis_request_new(said_hello, st) : NULL;
    if (rq == NULL) {
        timer_set(m->renew, st->lease_ms / 10);
        return;
    }
    buf_init(&text, MEMBER_TEXT_MAX);
    (void)!redis_member_text(st, &text); /* what does not fit is left out */
    redis_script(rq, SCRIPT_SEM, span_cstr(st->sem_tag), 4);
    redis_arg_str(rq, "hello");
    redis_arg_str(rq, m->name);
    redis_arg_u64(rq, st->lease_ms);
    redis_arg(rq, buf_span(&text));
    buf_done(&text);
    m->asking = true;
    redis_link_send(st->control, rq);
}

static void on_renew(void *arg)
{
    say_hello(arg);
}

void redis_member_connected(struct redis_store *st)
{
    if (st->member != NULL && st->member->name[0] != '\0' && !st->member->asking)
        say_hello(st);
}

static void nothing_done(void *arg, struct redis_request *rq, enum err e, const struct redisReply *reply,
                         const char *why)
{
    (void)arg, (void)rq, (void)e, (void)reply, (void)why; /* else the lease ends by itself */
}

void redis_member_close(struct store *store)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_member *m = st->member;
    struct redis_request *rq = NULL;
    if (m == NULL || m->name[0] == '\0')
        return;
    if (st->usable)
        rq = redis_request_new(nothing_done, NULL);
    if (rq != NULL) {
        redis_script(rq, SCRIPT_SEM, span_cstr(st->sem_tag), 2);
        redis_arg_str(rq, "bye");
        redis_arg_str(rq, m->name);
        redis_link_send(st->control, rq);
    }
    m->name[0] = '\0';
    timer_cancel(m->renew);
}

/* --- Making and freeing -------------------------------------------------------------------------------- */

enum err redis_member_open(struct store *store, const struct member_conf *conf)
{
    struct redis_store *st = (struct redis_store *)store;
    struct redis_member *m = st->member != NULL ? NULL : calloc(1, sizeof *m);
    if (m == NULL)
        return st->member != NULL ? ERR_STATE : ERR_NOMEM;
    m->conf = *conf;
    m->renew = timer_new(st->loop, on_renew, st);
    if (m->renew == NULL) {
        free(m);
        return ERR_NOMEM;
    }
    m->since_ms = clock_wall(&clock_system);
    m->counted_ms = loop_now(st->loop);
    if (conf->name != NULL)
        (void)snprintf(m->host, sizeof m->host, "%s", conf->name);
    else if (gethostname(m->host, sizeof m->host - 1) != 0)
        m->host[0] = '\0';
    st->member = m;
    if (conf->own_lease) {
        new_name(st);
        say_hello(st);
    }
    return ERR_OK;
}

void redis_member_free(struct redis_store *st)
{
    if (st->member == NULL)
        return;
    timer_free(st->member->renew);
    free(st->member);
    st->member = NULL;
}
