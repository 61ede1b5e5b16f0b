/* mirrors worker/filepool.c; jobs come back through loop_post() */
#include "tests/unit/check.h"

#include "worker/filepool.h"

#include <pthread.h>

enum { JOBS = 200, PATIENCE_MS = 60000 };
struct task {
    struct file_job job;
    struct pool_test *t;
    unsigned number, runs, dones;
};
struct pool_test {
    struct loop *loop;
    struct filepool *pool;
    pthread_t loop_thread;
    struct task tasks[JOBS];
    unsigned done, again, order[JOBS];
};

static void run(struct file_job *job)
{
    struct task *task = (struct task *)job;

    assert_false(pthread_equal(pthread_self(), task->t->loop_thread));
    task->runs++;
}

static void finished(struct file_job *job)
{
    struct task *task = (struct task *)job;
    struct pool_test *t = task->t;

    assert_true(pthread_equal(pthread_self(), t->loop_thread));
    task->dones++;
    if (t->again > 0) { /* a job may be submitted again from done() */
        t->again--;
        filepool_submit(t->pool, job);
        return;
    }
    t->order[t->done++] = task->number;
    if (t->done == JOBS)
        loop_stop(t->loop);
}

static void run_all(struct pool_test *t, unsigned threads, unsigned again)
{
    *t = (struct pool_test){.loop = loop_new(), .loop_thread = pthread_self(), .again = again};
    assert_non_null(t->loop);
    t->pool = filepool_new(t->loop, threads);
    assert_non_null(t->pool);
    for (unsigned i = 0; i < JOBS; i++) {
        t->tasks[i] = (struct task){.job = {.run = run, .done = finished}, .t = t, .number = i};
        filepool_submit(t->pool, &t->tasks[i].job);
    }
    loop_run(t->loop);
}

static void test_filepool__runs_every_job_once_and_answers_in_the_loop(void **state)
{
    static struct pool_test t;
    unsigned runs = 0;
    (void)state;
    run_all(&t, 4, 10);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(t.tasks[i].runs, t.tasks[i].dones);
        runs += t.tasks[i].runs;
    }
    assert_int_equal(runs, JOBS + 10);
    assert_int_equal(filepool_free(t.pool, PATIENCE_MS), 0);
    loop_free(t.loop);
}

static void test_filepool__one_thread_keeps_the_order(void **state)
{
    static struct pool_test t;
    (void)state;
    run_all(&t, 1, 0);
    for (unsigned i = 0; i < JOBS; i++)
        assert_int_equal(t.order[i], i);
    assert_int_equal(filepool_free(t.pool, PATIENCE_MS), 0);
    loop_free(t.loop);
}

static void test_filepool__can_be_freed_with_jobs_waiting(void **state)
{
    static struct pool_test t;
    (void)state;
    t = (struct pool_test){.loop = loop_new(), .loop_thread = pthread_self()};
    t.pool = filepool_new(t.loop, 2);
    assert_non_null(t.pool);
    for (unsigned i = 0; i < JOBS; i++) {
        t.tasks[i] = (struct task){.job = {.run = run, .done = finished}, .t = &t};
        filepool_submit(t.pool, &t.tasks[i].job);
    }
    assert_int_equal(filepool_free(t.pool, PATIENCE_MS), 0);
    for (unsigned i = 0; i < JOBS; i++)
        assert_int_equal(t.tasks[i].dones, 0);
    loop_free(t.loop);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned hanging;

/* Until the end of the process. */
static void hang(struct file_job *job)
{
    (void)job;
    (void)pthread_mutex_lock(&lock);
    hanging++;
    (void)pthread_cond_broadcast(&changed);
    while (hanging > 0)
        (void)pthread_cond_wait(&changed, &lock);
    (void)pthread_mutex_unlock(&lock);
}

static void test_filepool__a_thread_that_hangs_is_left_behind(void **state)
{
    static struct pool_test t;
    (void)state;
    t = (struct pool_test){.loop = loop_new(), .loop_thread = pthread_self()};
    t.pool = filepool_new(t.loop, 3);
    assert_non_null(t.pool);
    for (unsigned i = 0; i < 2; i++) {
        t.tasks[i] = (struct task){.job = {.run = hang, .done = finished}, .t = &t};
        filepool_submit(t.pool, &t.tasks[i].job);
    }
    (void)pthread_mutex_lock(&lock);
    while (hanging < 2)
        (void)pthread_cond_wait(&changed, &lock);
    (void)pthread_mutex_unlock(&lock);
    assert_int_equal(filepool_free(t.pool, 50), 2);
    loop_free(t.loop);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_filepool__runs_every_job_once_and_answers_in_the_loop),
                     cmocka_unit_test(test_filepool__one_thread_keeps_the_order),
                     cmocka_unit_test(test_filepool__can_be_freed_with_jobs_waiting),
                     cmocka_unit_test(test_filepool__a_thread_that_hangs_is_left_behind));
}
