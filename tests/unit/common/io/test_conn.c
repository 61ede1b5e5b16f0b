/* tests/unit/common/io/test_conn.c — mirrors common/io/conn.c and conn_io.c, without TLS */
#include "tests/unit/common/io/ends.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>

/* One end of ours on a socket pair, the other a bare descriptor. */
struct half {
    struct loop *loop;
    struct end e;
    int fd;
};

static void half_init(struct half *h)
{
    int fds[2];
    h->loop = loop_new();
    assert_non_null(h->loop);
    end_init(&h->e, h->loop);
    socket_pair(fds);
    h->fd = fds[0];
    h->e.c = conn_accept(h->loop, fds[1], NULL, &end_ops, &h->e);
    assert_non_null(h->e.c);
}

static void half_done(struct half *h)
{
    end_done(&h->e);
    if (h->fd >= 0)
        close(h->fd);
    loop_free(h->loop);
}

static void say(struct half *h, const char *text)
{
    assert_int_equal(write(h->fd, text, strlen(text)), strlen(text));
}

/* What the bare descriptor has received by now; "EOF" for the end. */
static const char *heard(struct half *h)
{
    static char text[256];
    ssize_t n = read(h->fd, text, sizeof text - 1);
    if (n == 0)
        return "EOF";
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void hang_up(struct half *h)
{
    close(h->fd);
    h->fd = -1;
}

static void test_conn__opens_receives_answers_closes(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    h.e.greeting = "220 hello\r\n";
    h.e.answer = "250 ok\r\n";
    check_story(&h.e, ""); /* nothing is called before the loop runs */
    run_until(&h.e, "opened");
    assert_string_equal(heard(&h), "220 hello\r\n");
    say(&h, "NOOP\r\n");
    run_until(&h.e, "got");
    assert_string_equal(heard(&h), "250 ok\r\n");
    assert_int_equal(conn_output(h.e.c), 0);
    hang_up(&h);
    run_until(&h.e, "closed");
    check_story(&h.e, "opened;got NOOP\r\n;closed OK;");
    assert_int_equal(conn_write(h.e.c, SPAN("x")), ERR_STATE);
    half_done(&h);
}

static void test_conn__unconsumed_input_comes_first_next_time(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    h.e.take = 2;
    say(&h, "abc");
    run_until(&h.e, "got");
    run_turns(h.loop, 3);
    check_story(&h.e, "opened;got abc;");
    say(&h, "de");
    run_until(&h.e, "got cde");
    check_story(&h.e, "opened;got abc;got cde;");
    conn_resume(h.e.c); /* offers what is left, from the loop */
    check_story(&h.e, "opened;got abc;got cde;");
    run_until(&h.e, ";got e;");
    check_span(buf_span(&h.e.bytes), SPAN("abcde"));
    half_done(&h);
}

static void test_conn__pause_keeps_and_resume_offers(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    h.e.take = 1;
    h.e.at_received = PAUSE;
    say(&h, "ab");
    run_until(&h.e, "got ab");
    say(&h, "cd");
    run_turns(h.loop, 5);
    check_quiet(h.loop);
    check_story(&h.e, "opened;got ab;");
    conn_resume(h.e.c);
    run_until(&h.e, "got b;");
    run_turns(h.loop, 5); /* paused again */
    check_story(&h.e, "opened;got ab;got b;");
    conn_resume(h.e.c);
    run_until(&h.e, "got cd");
    half_done(&h);
}

/* Nothing consumed of a full buffer: reading stops, and the peer feels it. */
static void test_conn__input_is_bounded(void **state)
{
    static char block[4096];
    struct half h;
    size_t sent = 0;
    (void)state;
    half_init(&h);
    h.e.quiet = true;
    h.e.take = SIZE_MAX;
    memset(block, 'x', sizeof block);
    run_until(&h.e, "opened");
    conn_pause(h.e.c);
    run_turns(h.loop, 2);
    for (int idle = 0; idle < 5; idle++) {
        for (ssize_t n; (n = write(h.fd, block, sizeof block)) > 0; idle = 0)
            sent += (size_t)n;
        run_turns(h.loop, 2);
    }
    assert_true(sent > CONN_INPUT_MAX); /* in the kernel; none of it in ours */
    conn_resume(h.e.c);
    run_until_bytes(&h.e, sent);
    assert_int_equal(h.e.bytes.len, sent);
    half_done(&h);
}

static size_t take_nothing(void *arg, struct span bytes)
{
    struct end *e = arg;
    buf_clear(&e->bytes);
    assert_int_equal(buf_add(&e->bytes, bytes), ERR_OK);
    end_note(e, "", SPAN(""), "");
    return 0;
}

static void test_conn__stops_reading_when_nothing_is_consumed(void **state)
{
    static const struct conn_ops greedy = {end_opened, take_nothing, NULL, NULL, end_closed};
    static char block[CONN_INPUT_MAX + 1000];
    struct half h;
    int fds[2];
    (void)state;
    half_init(&h);
    conn_free(h.e.c);
    close(h.fd);
    socket_pair(fds);
    h.fd = fds[0];
    h.e.c = conn_accept(h.loop, fds[1], NULL, &greedy, &h.e);
    assert_int_equal(write(h.fd, block, sizeof block), sizeof block);
    run_until_bytes(&h.e, CONN_INPUT_MAX);
    run_turns(h.loop, 5);
    assert_int_equal(h.e.bytes.len, CONN_INPUT_MAX);
    conn_resume(h.e.c);
    run_turns(h.loop, 5);
    assert_int_equal(h.e.bytes.len, CONN_INPUT_MAX);
    check_quiet(h.loop);
    half_done(&h);
}

static void released(const void *ptr, size_t len, void *arg)
{
    unsigned *count = arg;
    (void)ptr;
    (void)len;
    ++*count;
}

static void test_conn__borrowed_output_is_released_once(void **state)
{
    const struct span text = SPAN("borrowed");
    struct half h;
    unsigned count = 0;
    (void)state;
    half_init(&h);
    run_until(&h.e, "opened");
    assert_int_equal(conn_write(h.e.c, SPAN("<")), ERR_OK);
    assert_int_equal(conn_write_ref(h.e.c, text, released, &count), ERR_OK);
    assert_int_equal(conn_write(h.e.c, SPAN(">")), ERR_OK);
    assert_int_equal(count, 0);
    run_turns(h.loop, 2);
    assert_int_equal(count, 1);
    assert_string_equal(heard(&h), "<borrowed>");
    /* Empty, unsent at free, and after the end. */
    assert_int_equal(conn_write_ref(h.e.c, SPAN(""), released, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(conn_write_ref(h.e.c, text, released, &count), ERR_OK);
    conn_finish(h.e.c, 1000);
    assert_int_equal(conn_write_ref(h.e.c, text, released, &count), ERR_STATE);
    assert_int_equal(count, 3);
    conn_free(h.e.c);
    h.e.c = NULL;
    assert_int_equal(count, 4);
    half_done(&h);
}

/* Fills the kernel's buffer and more. */
static size_t overfill(struct half *h, size_t total)
{
    static char block[65536];
    for (size_t done = 0; done < total; done += sizeof block)
        assert_int_equal(conn_write(h->e.c, span_of(block, sizeof block)), ERR_OK);
    run_turns(h->loop, 3);
    assert_true(conn_output(h->e.c) > 0);
    return total;
}

/* Reads so much from the bare descriptor while the loop runs. */
static size_t drink(struct half *h, size_t total)
{
    static char block[65536];
    size_t got = 0;
    for (int idle = 0; got < total && idle < 1000; idle++) {
        for (ssize_t n; (n = read(h->fd, block, sizeof block)) > 0; idle = 0)
            got += (size_t)n;
        run_turns(h->loop, 1);
    }
    return got;
}

static void test_conn__drained_comes_once_below_half(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    run_until(&h.e, "opened");
    conn_set_high_water(h.e.c, 100000);
    size_t total = overfill(&h, 2 << 20);
    check_story(&h.e, "opened;");
    assert_int_equal(drink(&h, total), total);
    run_turns(h.loop, 2);
    check_story(&h.e, "opened;drained;");
    assert_int_equal(conn_write(h.e.c, SPAN("small")), ERR_OK);
    run_turns(h.loop, 2);
    check_story(&h.e, "opened;drained;");
    half_done(&h);
}

static void test_conn__finish_sends_everything_and_waits_for_the_peer(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    run_until(&h.e, "opened");
    size_t total = overfill(&h, 1 << 20);
    say(&h, "unread");
    conn_finish(h.e.c, 5000);
    conn_finish(h.e.c, 1);
    assert_int_equal(drink(&h, total), total);
    run_turns(h.loop, 2);
    assert_string_equal(heard(&h), "EOF");
    check_story(&h.e, "opened;");
    hang_up(&h);
    run_until(&h.e, "closed");
    check_story(&h.e, "opened;closed OK;");
    half_done(&h);
}

static void test_conn__finish_gives_up_after_its_timeout(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    run_until(&h.e, "opened");
    (void)overfill(&h, 1 << 20);
    conn_finish(h.e.c, 10);
    run_until(&h.e, "closed");
    check_story(&h.e, "opened;closed TIMEOUT: the peer did not take the output in time;");
    half_done(&h);
}

static void test_conn__finish_does_not_wait_for_a_silent_peer(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    run_until(&h.e, "opened");
    assert_int_equal(conn_write(h.e.c, SPAN("bye")), ERR_OK);
    conn_finish(h.e.c, 10);
    run_until(&h.e, "closed");
    check_story(&h.e, "opened;closed OK;");
    assert_string_equal(heard(&h), "bye");
    half_done(&h);
}

static void test_conn__finish_lingers_briefly_whatever_the_timeout(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    run_until(&h.e, "opened");
    conn_finish(h.e.c, 3600000);
    run_turns(h.loop, 2);
    assert_string_equal(heard(&h), "EOF");
    assert_true(h.e.c->deadline.deadline_ms <= loop_now(h.loop) + 2000);
    check_quiet(h.loop);
    half_done(&h);
}

static void test_conn__a_full_kernel_is_waited_for(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    run_until(&h.e, "opened");
    size_t total = overfill(&h, 2 << 20);
    check_quiet(h.loop);
    assert_int_equal(conn_write(h.e.c, SPAN("x")), ERR_OK);
    check_quiet(h.loop);
    assert_int_equal(drink(&h, total + 1), total + 1);
    check_quiet(h.loop);
    half_done(&h);
}

static void test_conn__deadline_moves_and_passes(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    conn_set_timeout(h.e.c, 1);
    conn_set_timeout(h.e.c, 0);
    run_until(&h.e, "opened");
    conn_set_timeout(h.e.c, 10);
    run_until(&h.e, "closed");
    check_story(&h.e, "opened;closed TIMEOUT: the peer was silent for too long;");
    half_done(&h);
}

/* The peer's last words are read although sending to it has failed. */
static void test_conn__last_words_survive_a_failed_write(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    run_until(&h.e, "opened");
    say(&h, "421 busy\r\n");
    hang_up(&h);
    assert_int_equal(conn_write(h.e.c, SPAN("EHLO x\r\n")), ERR_OK);
    run_until(&h.e, "closed");
    const char *story = buf_cstr(&h.e.story);
    assert_non_null(strstr(story, "opened;got 421 busy\r\n;closed IO: "));
    half_done(&h);
}

static void test_conn__a_callback_may_free_its_connection(void **state)
{
    static const struct {
        const char *story;
        enum act opened, received, drained, closed;
    } cases[] = {
        {"opened;", FREE, NOTHING, NOTHING, NOTHING},
        {"opened;got x;", NOTHING, FREE, NOTHING, NOTHING},
        {"opened;drained;", NOTHING, NOTHING, FREE, NOTHING},
        {"opened;got x;closed OK;", NOTHING, NOTHING, NOTHING, FREE},
        {"opened;got x;closed OK;", NOTHING, FINISH, NOTHING, FREE},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct half h;
        half_init(&h);
        h.e.at_opened = c->opened;
        h.e.at_received = c->received;
        h.e.at_drained = c->drained;
        h.e.at_closed = c->closed;
        h.e.greeting = "hello";
        if (c->drained == FREE) {
            conn_set_high_water(h.e.c, 1);
        } else {
            say(&h, "x");
            if (c->received != FINISH)
                assert_int_equal(shutdown(h.fd, SHUT_WR), 0);
        }
        run_turns(h.loop, 4);
        if (c->received == FINISH) {
            hang_up(&h);
            run_turns(h.loop, 4);
        }
        check_story(&h.e, c->story);
        assert_null(h.e.c);
        half_done(&h);
    }
}

/* --- connecting -------------------------------------------------------------------------------------------
 */

struct server {
    struct loop *loop;
    struct listener *listener;
    struct ip_endpoint at, peer;
    struct end e, client;
};

static void on_accepted(void *arg, int fd, const struct ip_endpoint *peer)
{
    struct server *s = arg;
    s->peer = *peer;
    if (s->e.c == NULL)
        s->e.c = conn_accept(s->loop, fd, NULL, &end_ops, &s->e);
    else
        close(fd);
}

static void server_init(struct server *s, const char *address)
{
    struct errctx ec;
    memset(s, 0, sizeof *s);
    s->loop = loop_new();
    end_init(&s->e, s->loop);
    end_init(&s->client, s->loop);
    assert_int_equal(ip_endpoint_parse(span_cstr(address), 0, &s->at), ERR_OK);
    assert_int_equal(listener_open(s->loop, &s->at, true, on_accepted, s, &s->listener, &ec), ERR_OK);
    assert_true(listener_address(s->listener, &s->at));
    assert_int_not_equal(s->at.port, 0);
}

static void server_done(struct server *s)
{
    end_done(&s->e);
    end_done(&s->client);
    listener_close(s->listener);
    loop_free(s->loop);
}

static enum err dial(struct server *s, const struct conn_target *t)
{
    struct errctx ec;
    return conn_connect(s->loop, t, &end_ops, &s->client, &s->client.c, &ec);
}

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

/* --- listening
 * ---------------------------------------------------------------------------------------------- */

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

static void test_listener__may_be_closed_by_its_callback(void **state)
{
    struct server s;
    struct errctx ec;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    listener_close(s.listener);
    s.at.port = 0;
    assert_int_equal(listener_open(s.loop, &s.at, true, close_listener, &s, &s.listener, &ec), ERR_OK);
    assert_true(listener_address(s.listener, &s.at));
    struct conn_target t = {.endpoint = s.at};
    assert_int_equal(dial(&s, &t), ERR_OK);
    loop_run(s.loop);
    assert_null(s.listener);
    server_done(&s);
}

static void test_listener__says_why_it_cannot_listen(void **state)
{
    struct server s;
    struct listener *second;
    struct errctx ec;
    (void)state;
    server_init(&s, "127.0.0.1:0");
    assert_int_equal(listener_open(s.loop, &s.at, false, on_accepted, &s, &second, &ec), ERR_IO);
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
    return CHECK_RUN(cmocka_unit_test(test_conn__opens_receives_answers_closes),
                     cmocka_unit_test(test_conn__unconsumed_input_comes_first_next_time),
                     cmocka_unit_test(test_conn__pause_keeps_and_resume_offers),
                     cmocka_unit_test(test_conn__input_is_bounded),
                     cmocka_unit_test(test_conn__stops_reading_when_nothing_is_consumed),
                     cmocka_unit_test(test_conn__borrowed_output_is_released_once),
                     cmocka_unit_test(test_conn__drained_comes_once_below_half),
                     cmocka_unit_test(test_conn__finish_sends_everything_and_waits_for_the_peer),
                     cmocka_unit_test(test_conn__finish_gives_up_after_its_timeout),
                     cmocka_unit_test(test_conn__finish_does_not_wait_for_a_silent_peer),
                     cmocka_unit_test(test_conn__finish_lingers_briefly_whatever_the_timeout),
                     cmocka_unit_test(test_conn__a_full_kernel_is_waited_for),
                     cmocka_unit_test(test_conn__deadline_moves_and_passes),
                     cmocka_unit_test(test_conn__last_words_survive_a_failed_write),
                     cmocka_unit_test(test_conn__a_callback_may_free_its_connection),
                     cmocka_unit_test(test_conn__connects_over_tcp),
                     cmocka_unit_test(test_conn__a_refused_connection_is_closed_from_the_loop),
                     cmocka_unit_test(test_conn__connecting_over_unix_sockets),
                     cmocka_unit_test(test_conn__targets_that_cannot_be),
                     cmocka_unit_test(test_conn__finish_and_free_while_connecting),
                     cmocka_unit_test(test_listener__pauses_and_resumes),
                     cmocka_unit_test(test_listener__may_be_closed_by_its_callback),
                     cmocka_unit_test(test_listener__says_why_it_cannot_listen),
                     cmocka_unit_test(test_listener__survives_exhaustion));
}
