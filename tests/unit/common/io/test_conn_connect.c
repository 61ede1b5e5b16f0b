/* tests/unit/common/io/test_conn_connect.c — mirrors the connecting part of common/io/conn.c */
#include "tests/unit/common/io/server.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/un.h>

static void test_conn__connects_over_tcp(void **state)
{
    struct server s;
    struct ip_addr source;
    struct ip_endpoint a, b;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    assert_int_equal(ip_parse(SPAN("127.0.0.2"), &source), ERR_OK);
    struct conn_target t = {.endpoint = s.at, .source = &source, .timeout_ms = 10000};
    s.client.answer = "pong";
    s.e.greeting = "ping";
    assert_int_equal(dial(&s, &t), ERR_OK);
    assert_int_equal(conn_write(s.client.c, SPAN("early,")), ERR_OK);
    check_story(&s.client, "");
    run_until_bytes(&s.e, 10);
    check_span(buf_span(&s.e.bytes), SPAN("early,pong"));
    check_story(&s.client, "opened;got ping;");
    assert_true(ip_eq(&s.peer.addr, &source));
    assert_true(conn_peer(s.client.c, &a) && conn_local(s.e.c, &b));
    assert_true(ip_eq(&a.addr, &b.addr) && a.port == b.port && a.port == s.at.port);
    server_done(&s);
}

static void test_conn__a_refused_connection_is_closed_from_the_loop(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    listener_close(s.listener);
    s.listener = NULL;
    struct conn_target t = {.endpoint = s.at, .timeout_ms = 10000};
    assert_int_equal(dial(&s, &t), ERR_OK);
    check_story(&s.client, "");
    run_until(&s.client, "closed");
    check_story(&s.client, "closed IO: cannot connect: Connection refused;");
    server_done(&s);
}

static void test_conn__connecting_over_unix_sockets(void **state)
{
    struct server s;
    char dir[] = "/tmp/test_conn.XXXXXX";
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)state;
    server_init(&s, "127.0.0.1:0");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s/s", dir);
    struct conn_target t = {.unix_path = un.sun_path, .timeout_ms = 10000};
    assert_int_equal(dial(&s, &t), ERR_OK);
    run_until(&s.client, "closed");
    check_story(&s.client, "closed IO: cannot connect: No such file or directory;");
    conn_free(s.client.c);
    buf_clear(&s.client.story);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(dial(&s, &t), ERR_OK);
    run_until(&s.client, "opened");
    struct ip_endpoint peer;
    assert_false(conn_peer(s.client.c, &peer));
    close(fd);
    unlink(un.sun_path);
    rmdir(dir);
    server_done(&s);
}

static void test_conn__targets_that_cannot_be(void **state)
{
    struct server s;
    struct ip_addr elsewhere;
    char path[200];
    (void)state;
    server_init(&s, "127.0.0.1:0");
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    struct conn_target too_long = {.unix_path = path};
    assert_int_equal(dial(&s, &too_long), ERR_IO);
    assert_int_equal(ip_parse(SPAN("192.0.2.1"), &elsewhere), ERR_OK);
    struct conn_target not_ours = {.endpoint = s.at, .source = &elsewhere};
    assert_int_equal(dial(&s, &not_ours), ERR_IO);
    run_turns(s.loop, 3);
    check_story(&s.client, "");
    server_done(&s);
}

static void test_conn__finish_and_free_while_connecting(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    struct conn_target t = {.endpoint = s.at, .timeout_ms = 10000};
    assert_int_equal(dial(&s, &t), ERR_OK);
    conn_finish(s.client.c, 1000);
    run_until(&s.client, "closed");
    check_story(&s.client, "closed OK;");
    conn_free(s.client.c);
    assert_int_equal(dial(&s, &t), ERR_OK);
    conn_free(s.client.c);
    s.client.c = NULL;
    run_turns(s.loop, 3);
    check_story(&s.client, "closed OK;");
    server_done(&s);
}

static unsigned segments_in(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_segs_in;
}

static void test_conn__last_words_and_end_share_a_segment(void **state)
{
    struct server s;
    struct sockaddr_storage ss;
    char text[8];
    (void)state;
    server_init(&s, "127.0.0.1:0");
    s.e.greeting = "bye";
    s.e.at_opened = FINISH;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)ip_to_sockaddr(&s.at, (struct sockaddr *)&ss);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    unsigned before = segments_in(fd);
    run_until(&s.e, "opened");
    run_turns(s.loop, 2);
    struct pollfd end = {.fd = fd, .events = POLLRDHUP};
    assert_int_equal(poll(&end, 1, 10000), 1);
    assert_int_equal(segments_in(fd) - before, 1);
    assert_int_equal(read(fd, text, sizeof text), 3);
    assert_int_equal(read(fd, text, sizeof text), 0);
    close(fd);
    run_until(&s.e, "closed");
    server_done(&s);
}

int main(void)
{
    alarm(60);
    return CHECK_RUN(cmocka_unit_test(test_conn__connects_over_tcp),
                     cmocka_unit_test(test_conn__a_refused_connection_is_closed_from_the_loop),
                     cmocka_unit_test(test_conn__connecting_over_unix_sockets),
                     cmocka_unit_test(test_conn__targets_that_cannot_be),
                     cmocka_unit_test(test_conn__finish_and_free_while_connecting),
                     cmocka_unit_test(test_conn__last_words_and_end_share_a_segment));
}
