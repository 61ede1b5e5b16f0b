/* tests/unit/common/io/test_conn.c — mirrors common/io/conn.c and conn_io.c, without TLS */
#include "tests/unit/common/io/ends.h"

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

static void test_conn__reads_no_more_than_asked_for(void **state)
{
    struct half h;
    (void)state;
    half_init(&h);
    conn_set_read_size(h.e.c, 3);
    say(&h, "abcdefg");
    run_until(&h.e, "got g;");
    check_story(&h.e, "opened;got abc;got def;got g;");
    half_done(&h);
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

int main(void)
{
    alarm(60);
    return CHECK_RUN(cmocka_unit_test(test_conn__opens_receives_answers_closes),
                     cmocka_unit_test(test_conn__unconsumed_input_comes_first_next_time),
                     cmocka_unit_test(test_conn__pause_keeps_and_resume_offers),
                     cmocka_unit_test(test_conn__input_is_bounded),
                     cmocka_unit_test(test_conn__reads_no_more_than_asked_for),
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
                     cmocka_unit_test(test_conn__a_callback_may_free_its_connection));
}
