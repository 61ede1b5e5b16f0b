/* mirrors worker/worker.c and worker/parcel.c: what a worker says, in its log and when it is asked whether it
 * is ready, of a queue that does not take what it has to tell. log_write() is our own: it keeps the lines. */
#include "tests/unit/check.h"

#include "common/log.h"
#include "tests/unit/worker/bench.h"
#include "tests/unit/worker/sites.h"
#include "worker/core.h"

#include <stdarg.h>

static char lines[65536];
static size_t lines_len;

void __wrap_log_write(enum log_level lvl, const char *event, const char *fmt, ...) PRINTF(3, 4);
void __wrap_log_write(enum log_level lvl, const char *event, const char *fmt, ...)
{
    size_t room = sizeof lines - lines_len;
    va_list ap;
    int n = snprintf(lines + lines_len, room, "%u %s ", (unsigned)lvl, event);

    assert_true(n > 0 && (size_t)n < room);
    lines_len += (size_t)n;
    room -= (size_t)n;
    va_start(ap, fmt);
    n = vsnprintf(lines + lines_len, room, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n + 1 < room);
    lines_len += (size_t)n;
    lines[lines_len++] = '\n';
    lines[lines_len] = '\0';
}

static unsigned said(const char *text)
{
    unsigned n = 0;

    for (const char *at = strstr(lines, text); at != NULL; at = strstr(at + 1, text))
        n++;
    return n;
}

static void forget_lines(void)
{
    lines_len = 0;
    lines[0] = '\0';
}

static bool not_recorded(struct bench *b)
{
    (void)b;
    return said("queue.finish") > 0;
}

/* What became of a message is not in the queue: whoever looks for a duplicate finds the message here. */
static void test_lines__what_is_not_recorded_is_named(void **state)
{
    char id[MSGID_TEXT_MAX], want[128];
    struct bench *b = bench_new(ONE_HOST);
    (void)state;
    forget_lines();
    fake_store_fail(b->db, FAKE_FINISH, ERR_BACKEND, "", 1);
    struct msgid mail = bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
    msgid_text(&mail, id);
    bench_until(b, not_recorded);
    (void)snprintf(want, sizeof want, "%u queue.finish msg=%s link='connector:lab' err=BACKEND",
                   (unsigned)LOG_LEVEL_ERROR, id);
    assert_int_equal(said(want), 1);
    assert_int_equal(said("not recorded, it may be sent again"), 1);
    fake_store_expire(b->store); /* the fake has left it in hand */
    bench_until(b, queue_empty);
    assert_int_equal(said("queue.finish"), 1);
    bench_end(b);
}

static bool finished(struct bench *b)
{
    return fake_store_counts(b->db)->finished > 0;
}

static bool told_answers(struct bench *b)
{
    return worker_drained(b->worker) || b->worker->told_answers;
}

static bool after_the_line(struct bench *b)
{
    return loop_now(b->loop) > b->goal;
}

/* The end waits for the queue alone: said once, with how long, and not at all when the queue answers. */
static void test_lines__the_end_says_what_it_waits_for(void **state)
{
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        struct bench *b = bench_new(ONE_HOST);

        forget_lines();
        if (slow)
            fake_store_delay(b->db, FAKE_FINISH, 4000);
        (void)bench_put(b, &plain, SPAN("Subject: x\r\n\r\nbody\r\n"));
        bench_until(b, finished);
        worker_drain(b->worker);
        bench_until(b, told_answers);
        assert_int_equal(said("worker.answers requests=1 left_ms="), slow);
        if (slow) {
            b->goal = (unsigned)(loop_now(b->loop) + 500); /* two ticks more */
            bench_until(b, after_the_line);
            assert_int_equal(said("worker.answers"), 1);
            fake_store_delay(b->db, FAKE_FINISH, 0);
        }
        bench_end(b);
    }
}

static bool lease_over(struct bench *b)
{
    return !worker_may_claim(b->worker);
}

/* Whoever asks whether it is ready hears why the lease is not renewed. */
static void test_lines__not_ready_says_why_the_lease_is_not_renewed(void **state)
{
    struct buf why;
    struct bench *b = bench_new(ONE_HOST);
    (void)state;
    buf_init(&why, 1024);
    assert_true(worker_ready(b->worker, &why));
    fake_store_freeze(b->store, true);
    fake_store_expire(b->store);
    bench_until(b, lease_over);
    assert_false(worker_ready(b->worker, &why));
    check_span(buf_span(&why), SPAN("the lease of the worker is not renewed: frozen on order"));
    fake_store_freeze(b->store, false);
    bench_end(b);
    buf_done(&why);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_lines__what_is_not_recorded_is_named),
                     cmocka_unit_test(test_lines__the_end_says_what_it_waits_for),
                     cmocka_unit_test(test_lines__not_ready_says_why_the_lease_is_not_renewed));
}
