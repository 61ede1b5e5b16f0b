/* tests/unit/common/io/ends.h — two ends of a connection that write down what happens to them.
 *
 * An end's story reads like "opened;got hello;closed OK;". `on` makes it act at an event: see enum act. */
#pragma once
#include "common/buf.h"
#include "common/io/conn_internal.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum act { NOTHING, FREE, FINISH, PAUSE, START_TLS };
struct end {
    struct loop *loop;
    struct conn *c;
    struct buf story, bytes;
    bool quiet;  /* `got` without the bytes */
    size_t take; /* consumed at a time; 0: all */
    enum act at_opened, at_received, at_drained, at_secured, at_closed;
    const char *greeting, *answer; /* written at opened and received */
    const char *until;             /* stops the loop when the story contains it */
    size_t until_bytes;            /* ... or when so many bytes were received */
    struct tls_context *tls;       /* for START_TLS */
    bool server;
    const char *name;
};

static inline void end_act(struct end *e, enum act a)
{
    if (a == FREE) {
        conn_free(e->c);
        e->c = NULL;
    } else if (a == FINISH) {
        conn_finish(e->c, 5000);
    } else if (a == PAUSE) {
        conn_pause(e->c);
    } else if (a == START_TLS) {
        assert_int_equal(conn_start_tls(e->c, e->tls, e->server, e->name), ERR_OK);
    }
}

static inline void end_note(struct end *e, const char *what, struct span detail, const char *end)
{
    assert_int_equal(buf_addf(&e->story, "%s" SPAN_FMT "%s", what, SPAN_ARG(detail), end), ERR_OK);
    if ((e->until != NULL && strstr(buf_cstr(&e->story), e->until) != NULL) ||
        (e->until_bytes > 0 && e->bytes.len >= e->until_bytes))
        loop_stop(e->loop);
}

static inline void end_opened(void *arg)
{
    struct end *e = arg;
    end_note(e, "opened", SPAN(""), ";");
    if (e->greeting != NULL)
        assert_int_equal(conn_write(e->c, span_cstr(e->greeting)), ERR_OK);
    end_act(e, e->at_opened);
}

static inline size_t end_received(void *arg, struct span bytes)
{
    struct end *e = arg;
    size_t n = e->take == 0 || e->take > bytes.len ? bytes.len : e->take;
    assert_int_equal(buf_add(&e->bytes, span_first(bytes, n)), ERR_OK);
    if (!e->quiet)
        end_note(e, "got ", bytes, ";");
    else
        end_note(e, "", SPAN(""), "");
    if (e->answer != NULL)
        assert_int_equal(conn_write(e->c, span_cstr(e->answer)), ERR_OK);
    end_act(e, e->at_received);
    /* The bytes outlive the connection: the sanitizer would tell. */
    for (size_t i = 0; i < bytes.len; i++)
        (void)*(volatile const char *)&bytes.ptr[i];
    return n;
}

static inline void end_drained(void *arg)
{
    struct end *e = arg;
    end_note(e, "drained", SPAN(""), ";");
    end_act(e, e->at_drained);
}

static inline void end_secured(void *arg)
{
    struct end *e = arg;
    end_note(e, "secured", SPAN(""), ";");
    end_act(e, e->at_secured);
}

static inline void end_closed(void *arg, enum err err, const char *why)
{
    struct end *e = arg;
    end_note(e, "closed ", span_cstr(err_name(err)), err == ERR_OK ? ";" : ": ");
    if (err != ERR_OK)
        end_note(e, "", span_cstr(why), ";");
    end_act(e, e->at_closed);
}

static const struct conn_ops end_ops = {end_opened, end_received, end_drained, end_secured, end_closed};

static inline void end_init(struct end *e, struct loop *l)
{
    *e = (struct end){.loop = l};
    buf_init(&e->story, 1 << 16);
    buf_init(&e->bytes, 64 << 20);
}

static inline void end_done(struct end *e)
{
    conn_free(e->c);
    e->c = NULL;
    buf_done(&e->story);
    buf_done(&e->bytes);
}

/* Runs until `until` appears in the story of e. */
static inline void run_until(struct end *e, const char *until)
{
    if (strstr(buf_cstr(&e->story), until) != NULL)
        return;
    e->until = until;
    loop_run(e->loop);
    e->until = NULL;
}

static inline void run_until_bytes(struct end *e, size_t n)
{
    if (e->bytes.len >= n)
        return;
    e->until_bytes = n;
    loop_run(e->loop);
    e->until_bytes = 0;
}

/* A few turns in which nothing more should happen. */
static inline void end_turns_stop(void *arg)
{
    loop_stop(arg);
}
static inline void run_turns(struct loop *l, int n)
{
    while (n-- > 0) {
        assert_int_equal(loop_post(l, end_turns_stop, l), ERR_OK);
        loop_run(l);
    }
}

/* The loop waits: nothing makes it turn over and over. */
static inline void check_quiet(struct loop *l)
{
    struct timer *t = timer_new(l, end_turns_stop, l);
    uint64_t before = l->turns;
    timer_set(t, 20);
    loop_run(l);
    timer_free(t);
    assert_true(l->turns - before < 10);
}

#define check_story(e, want) assert_string_equal(buf_cstr(&(e)->story), (want))

/* Both ends of a socket pair as descriptors of ours. */
static inline void socket_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}
