/* tests/unit/common/io/test_listener.c — mirrors common/io/listener.c */
#include "tests/unit/common/io/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

static void test_listener__pauses_and_resumes(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    struct conn_target t = {.endpoint = s.at, .timeout_ms = 10000};
    listener_pause(s.listener, true);
    assert_int_equal(dial(&s, &t), ERR_OK);
    run_until(&s.client, "opened"); /* by the kernel's backlog */
    run_turns(s.loop, 3);
    assert_null(s.e.c);
    listener_pause(s.listener, false);
    run_until(&s.e, "opened");
    server_done(&s);
}

static void close_listener(void *arg, int fd, const struct ip_endpoint *peer)
{
    struct server *s = arg;
    (void)peer;
    close(fd);
    listener_close(s->listener);
    s->listener = NULL;
    loop_stop(s->loop);
}

/* Listens anew with that callback, which stops the loop, and lets somebody connect. */
static void one_caller(struct server *s, listener_fn *accepted)
{
    struct errctx ec;
    listener_close(s->listener);
    s->at.port = 0;
    assert_int_equal(listener_open(s->loop, &s->at, true, accepted, s, &s->listener, &ec), ERR_OK);
    assert_true(listener_address(s->listener, &s->at));
    struct conn_target t = {.endpoint = s->at};
    assert_int_equal(dial(s, &t), ERR_OK);
    loop_run(s->loop);
}

static void test_listener__may_be_closed_by_its_callback(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    one_caller(&s, close_listener);
    assert_null(s.listener);
    server_done(&s);
}

static void note_options(void *arg, int fd, const struct ip_endpoint *peer)
{
    int nodelay = 0, quickack = 1;
    socklen_t len = sizeof nodelay;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &quickack, &len), 0);
    assert_int_not_equal(nodelay, 0);
    assert_int_equal(quickack, 0);
    close_listener(arg, fd, peer);
}

/* What is set once must hold for each connection: no call of its own sets it. */
static void test_listener__hands_its_options_on(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    one_caller(&s, note_options);
    server_done(&s);
}

static void count_and_close(void *arg, int fd, const struct ip_endpoint *peer)
{
    (void)peer;
    close(fd);
    ++*(unsigned *)arg;
}

static void test_listener__finishes_with_who_has_connected(void **state)
{
    struct loop *loop = loop_new();
    struct listener *ln;
    struct ip_endpoint at;
    struct sockaddr_storage ss;
    struct errctx ec;
    unsigned taken = 0;
    int fds[3];
    (void)state;
    assert_int_equal(ip_endpoint_parse(SPAN("127.0.0.1:0"), 0, &at), ERR_OK);
    assert_int_equal(listener_open(loop, &at, true, count_and_close, &taken, &ln, &ec), ERR_OK);
    assert_true(listener_address(ln, &at));
    socklen_t len = (socklen_t)ip_to_sockaddr(&at, (struct sockaddr *)&ss);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (i + 1 == ARRAY_LEN(fds))
            listener_finish(ln); /* the others wait in the kernel: the loop has not turned */
        assert_int_equal(connect(fds[i], (struct sockaddr *)&ss, len) == 0, i + 1 < ARRAY_LEN(fds));
    }
    assert_int_equal(taken, 2);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    loop_free(loop);
}

static void test_listener__says_why_it_cannot_listen(void **state)
{
    struct server s;
    struct listener *second;
    struct errctx ec;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    assert_int_equal(listener_open(s.loop, &s.at, false, server_accepted, &s, &second, &ec), ERR_IO);
    assert_non_null(strstr(ec.msg, ": Address already in use"));
    server_done(&s);
}

/* Out of descriptors: waits instead of spinning, and accepts when there are some again. */
static void test_listener__survives_exhaustion(void **state)
{
    struct server s;
    struct rlimit before, few;
    int hoard[64], n = 0;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){64, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    server_init(&s, "127.0.0.1:0");
    struct conn_target t = {.endpoint = s.at, .timeout_ms = 10000};
    assert_int_equal(dial(&s, &t), ERR_OK);
    while (n < 64 && (hoard[n] = dup(0)) >= 0)
        n++;
    assert_int_equal(errno, EMFILE);
    run_until(&s.client, "opened");
    check_quiet(s.loop);
    assert_null(s.e.c);
    while (n > 0)
        close(hoard[--n]);
    run_until(&s.e, "opened");
    server_done(&s);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    alarm(60);
    return CHECK_RUN(cmocka_unit_test(test_listener__pauses_and_resumes),
                     cmocka_unit_test(test_listener__may_be_closed_by_its_callback),
                     cmocka_unit_test(test_listener__hands_its_options_on),
                     cmocka_unit_test(test_listener__finishes_with_who_has_connected),
                     cmocka_unit_test(test_listener__says_why_it_cannot_listen),
                     cmocka_unit_test(test_listener__survives_exhaustion));
}
