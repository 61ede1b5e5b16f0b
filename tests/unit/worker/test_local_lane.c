/* mirrors worker/local_lane.c: a disk that is full, by an fsync() of our own that says so */
#include "tests/unit/check.h"

#include "queue/envelope.h"
#include "tests/unit/worker/bench.h"
#include "worker/core.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define LSAN(what) __lsan_##what()
#else
#define LSAN(what) ((void)0)
#endif

static atomic_uint full, spared; /* so many calls find the disk full, after so many that did not */
static atomic_int why = ENOSPC;

static bool take_one(atomic_uint *from)
{
    unsigned n = atomic_load(from);

    while (n > 0)
        if (atomic_compare_exchange_weak(from, &n, n - 1))
            return true;
    return false;
}

/* Below slow.example it hangs while it is told to. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hangs;
static unsigned hanging;

static void hang(int fd)
{
    char link[64], path[512] = "";

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) <= 0 || strstr(path, "/slow.example/") == NULL)
        return;
    (void)pthread_mutex_lock(&lock);
    hanging++;
    while (hangs)
        (void)pthread_cond_wait(&changed, &lock);
    hanging--;
    (void)pthread_mutex_unlock(&lock);
}

int fsync(int fd)
{
    hang(fd);
    if (!take_one(&spared) && take_one(&full)) {
        errno = atomic_load(&why);
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

#define LOCAL_BUT                                                                                            \
    "organization: test\n"                                                                                   \
    "virtual_servers: [{name: default, listen: [\"127.0.0.1:2525\"], hostname: mx.own.example}]\n"           \
    "worker: {poll: 20ms}\n"                                                                                 \
    "delivery:\n"                                                                                            \
    "  retry: {glitch: [50ms, 50ms, 100ms, 150ms], schedule: [60s], jitter_percent: 0}\n"
#define LOCAL LOCAL_BUT "local_domains: [{domain: example.org, deliver: \"maildir:@d@/mail/%d/%u\"}]\n"

static const struct bench_mail two = {
    .from = "s@src.example", .domain = "example.org", .rcpts = {"a@example.org", "b@example.org"}};

static bool queue_empty(struct bench *b)
{
    return fake_store_messages(b->db) == 0;
}

static bool failed_so_often(struct bench *b)
{
    return metric_get(&worker_counters(b->worker)->link_failures) >= b->goal;
}

static uint32_t failures_in_a_row;

static void on_link_state(void *arg, enum err e, const struct link_state *ls, ms_t now_ms)
{
    struct bench *b = arg;
    (void)now_ms;
    assert_int_equal(e, ERR_OK);
    failures_in_a_row = ls->failures;
    b->goal = 0;
}

static bool answered(struct bench *b)
{
    return b->goal == 0;
}

/* Each failure is one more in a row, until something is written; nothing is lost or written twice. */
static void test_local_lane__a_full_disk_keeps_the_link_in_retry(void **state)
{
    struct bench *b = bench_new(LOCAL);
    (void)state;
    atomic_store(&full, 1000000);
    (void)bench_put(b, &two, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 4;
    bench_until(b, failed_so_often);
    assert_int_equal(store_link_get(b->store, SPAN("local:example.org"), on_link_state, b), ERR_OK);
    bench_until(b, answered);
    assert_in_range(failures_in_a_row, 4, 5);
    assert_int_equal(fake_store_counts(b->db)->delivered, 0);
    atomic_store(&full, 0);
    bench_until(b, queue_empty);
    assert_int_equal(fake_store_counts(b->db)->delivered, 2);
    bench_end(b);
}

/* Many lanes that fail at once fail the link, although each of them sees others at work. */
static void test_local_lane__many_lanes_are_one_failure(void **state)
{
    struct bench *b = bench_new(LOCAL);
    (void)state;
    atomic_store(&full, 1000000);
    for (unsigned i = 0; i < 200; i++)
        (void)bench_put(b, &two, SPAN("Subject: x\r\n\r\nbody\r\n"));
    b->goal = 2;
    bench_until(b, failed_so_often);
    assert_true(fake_store_counts(b->db)->retried < 200); /* the others were left where they were */
    atomic_store(&full, 0);
    bench_until(b, queue_empty);
    assert_int_equal(fake_store_counts(b->db)->delivered, 400);
    bench_end(b);
}

/* A quota is a full disk, too. What was written before it was full is delivered, and does not make the link
 * work. */
static void test_local_lane__a_disk_that_fills_up_in_the_middle(void **state)
{
    static const int reasons[] = {ENOSPC, EDQUOT};
    (void)state;
    CHECK_EACH (reasons, reason) {
        struct bench *b = bench_new(LOCAL);

        (void)bench_put(b, &two, SPAN("Subject: x\r\n\r\nthe directories are made\r\n"));
        bench_until(b, queue_empty);
        atomic_store(&why, *reason);
        atomic_store(&spared, 2); /* file and directory of the first recipient */
        atomic_store(&full, 2);   /* the second: now, and with the next try */
        (void)bench_put(b, &two, SPAN("Subject: x\r\n\r\nbody\r\n"));
        b->goal = 2;
        bench_until(b, failed_so_often);
        assert_int_equal(store_link_get(b->store, SPAN("local:example.org"), on_link_state, b), ERR_OK);
        bench_until(b, answered);
        assert_int_equal(failures_in_a_row, 2);
        bench_until(b, queue_empty);
        assert_int_equal(fake_store_counts(b->db)->delivered, 4);
        bench_end(b);
    }
}

static void let_hang(bool on)
{
    (void)pthread_mutex_lock(&lock);
    hangs = on;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static bool all_hang(struct bench *b)
{
    unsigned n;

    (void)pthread_mutex_lock(&lock);
    n = hanging;
    (void)pthread_mutex_unlock(&lock);
    return n >= LOCAL_LANES && b->worker->nlanes >= LOCAL_LANES;
}

static bool both_delivered(struct bench *b)
{
    return fake_store_counts(b->db)->delivered == 2;
}

/* A disk that hangs, under the mailboxes of one domain, keeps no other domain from its own. */
static void test_local_lane__a_disk_that_hangs_delays_no_other_domain(void **state)
{
    static const struct bench_mail slow = {
        .from = "s@src.example", .domain = "slow.example", .rcpts = {"a@slow.example"}};
    struct bench *b =
        bench_new(LOCAL_BUT "local_domains: [{domain: example.org, deliver: \"maildir:@d@/mail/%d/%u\"},\n"
                            "  {domain: slow.example, deliver: \"maildir:@d@/mail/%d/%u\"}]\n");
    (void)state;
    let_hang(true);
    for (unsigned i = 0; i < 400; i++)
        (void)bench_put(b, &slow, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, all_hang);
    (void)bench_put(b, &two, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, both_delivered);
    let_hang(false);
    bench_until(b, queue_empty);
    assert_int_equal(fake_store_counts(b->db)->delivered, 402);
    bench_end(b);
}

static unsigned threads_now(void)
{
    DIR *d = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

/* A worker whose disk is dead ends all the same, and frees nothing that its threads still have, should they
 * wake up before the process is over. What is left to them is no leak. */
static void test_local_lane__a_disk_that_is_dead_does_not_keep_the_worker(void **state)
{
    static const struct bench_mail slow = {
        .from = "s@src.example", .domain = "slow.example", .rcpts = {"a@slow.example"}};
    unsigned threads = threads_now();
    LSAN(disable);
    struct bench *b =
        bench_new(LOCAL_BUT "  grace: 1s\n"
                            "local_domains: [{domain: slow.example, deliver: \"maildir:@d@/mail/%d/%u\"}]\n");
    (void)state;
    let_hang(true);
    for (unsigned i = 0; i < 400; i++)
        (void)bench_put(b, &slow, SPAN("Subject: x\r\n\r\nbody\r\n"));
    bench_until(b, all_hang);
    worker_drain(b->worker);
    bench_free(b);
    LSAN(enable);
    let_hang(false);
    for (unsigned i = 0; threads_now() > threads; i++) {
        assert_true(i < 20000);
        (void)poll(NULL, 0, 1);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_local_lane__a_full_disk_keeps_the_link_in_retry),
                     cmocka_unit_test(test_local_lane__many_lanes_are_one_failure),
                     cmocka_unit_test(test_local_lane__a_disk_that_fills_up_in_the_middle),
                     cmocka_unit_test(test_local_lane__a_disk_that_hangs_delays_no_other_domain),
                     cmocka_unit_test(test_local_lane__a_disk_that_is_dead_does_not_keep_the_worker));
}
