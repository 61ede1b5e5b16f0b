/* tests/unit/common/io/server.h — a listener with one end behind it, and a client end to dial it with. */
#pragma once
#include "tests/unit/common/io/ends.h"

struct server {
    struct loop *loop;
    struct listener *listener;
    struct ip_endpoint at, peer;
    struct end e, client;
};

static inline void server_accepted(void *arg, int fd, const struct ip_endpoint *peer)
{
    struct server *s = arg;
    s->peer = *peer;
    if (s->e.c == NULL)
        s->e.c = conn_accept(s->loop, fd, NULL, &end_ops, &s->e);
    else
        close(fd);
}

static inline void server_init(struct server *s, const char *address)
{
    struct errctx ec;
    memset(s, 0, sizeof *s);
    s->loop = loop_new();
    end_init(&s->e, s->loop);
    end_init(&s->client, s->loop);
    assert_int_equal(ip_endpoint_parse(span_cstr(address), 0, &s->at), ERR_OK);
    assert_int_equal(listener_open(s->loop, &s->at, true, server_accepted, s, &s->listener, &ec), ERR_OK);
    assert_true(listener_address(s->listener, &s->at));
    assert_int_not_equal(s->at.port, 0);
}

static inline void server_done(struct server *s)
{
    end_done(&s->e);
    end_done(&s->client);
    listener_close(s->listener);
    loop_free(s->loop);
}

static inline enum err dial(struct server *s, const struct conn_target *t)
{
    struct errctx ec;
    return conn_connect(s->loop, t, &end_ops, &s->client, &s->client.c, &ec);
}
