#include "worker/filepool.h"

#include <pthread.h>

enum { FILEPOOL_THREADS_MAX = 16 };

struct queue { /* singly linked, first in first out */
    struct file_job *head, **tail;
};
struct filepool {
    struct loop *loop;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work;
    struct queue waiting, finished;
    bool stop, posted; /* posted: the loop will come and look at finished */
    pthread_t threads[FILEPOOL_THREADS_MAX];
    unsigned nthreads;
};

static void queue_add(struct queue *q, struct file_job *job)
{
    if (q->head == NULL)
        q->tail = &q->head;
    job->next = NULL;
    *q->tail = job;
    q->tail = &job->next;
}

static struct file_job *queue_take(struct queue *q)
{
    struct file_job *job = q->head;

    if (job != NULL)
        q->head = job->next;
    return job;
}

static void collect(void *arg)
{
    struct filepool *p = arg;
    struct file_job *job;

    (void)pthread_mutex_lock(&p->lock);
    p->posted = false;
    job = p->finished.head;
    p->finished.head = NULL;
    (void)pthread_mutex_unlock(&p->lock);
    while (job != NULL) {
        struct file_job *next = job->next; /* done() may free or submit it again */

        job->done(job);
        job = next;
    }
}

/* With the lock held. A post that finds no memory is made up for by the next job that ends. */
static void announce(struct filepool *p)
{
    if (!p->posted)
        p->posted = loop_post(p->loop, collect, p) == ERR_OK;
}

static void *serve(void *arg)
{
    struct filepool *p = arg;
    struct file_job *job;

    (void)pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        job = queue_take(&p->waiting);
        if (job == NULL) {
            (void)pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&p->lock);
        job->run(job);
        (void)pthread_mutex_lock(&p->lock);
        queue_add(&p->finished, job);
        if (!p->stop)
            announce(p);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct filepool *filepool_new(struct loop *l, unsigned threads)
{
    struct filepool *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->loop = l;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    for (unsigned i = 0; i < threads && i < FILEPOOL_THREADS_MAX; i++) {
        if (pthread_create(&p->threads[p->nthreads], NULL, serve, p) != 0)
            break;
        p->nthreads++;
    }
    if (p->nthreads == 0) {
        (void)filepool_free(p, 0);
        return NULL;
    }
    return p;
}

unsigned filepool_free(struct filepool *p, ms_t patience_ms)
{
    struct timespec until;
    unsigned hanging = 0;

    if (p == NULL)
        return 0;
    ms_t until_ms = ms_after(clock_wall(loop_clock(p->loop)), patience_ms);
    until =
        (struct timespec){.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    (void)pthread_mutex_lock(&p->lock);
    p->stop = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->nthreads; i++)
        hanging += pthread_timedjoin_np(p->threads[i], NULL, &until) != 0 ? 1 : 0;
    if (hanging > 0)
        return hanging; /* in a call that nothing ends: it goes with the process */
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
    return 0;
}

void filepool_submit(struct filepool *p, struct file_job *job)
{
    (void)pthread_mutex_lock(&p->lock);
    queue_add(&p->waiting, job);
    (void)pthread_cond_signal(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
}
