#include "common/io/loop_internal.h"

#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Rounds of deferred work in one turn: more than a chain of callers needs, and an end for those that
 * arm each other forever; what is left then runs after a look at the descriptors. */
enum { ROUNDS_MAX = 16 };

/* The only part of a loop that other threads touch. */
struct post_queue {
    pthread_mutex_t lock;
    struct post *head, **tail;
    int wake_fd; /* eventfd */
    struct event wake;
    atomic_bool stop;
};

/* --- turns ----------------------------------------------------------------------------------- */

static ms_t loop_mono(void *self)
{
    return loop_now(self);
}

static ms_t loop_wall(void *self)
{
    (void)self;
    return clock_wall(&clock_system);
}

ms_t loop_now(struct loop *l)
{
    if (!l->now_known) {
        l->now_ms = clock_mono(&clock_system);
        l->now_known = l->running; /* before the first turn nobody would read it anew */
    }
    return l->now_ms;
}

const struct clock *loop_clock(const struct loop *l)
{
    return &l->clock;
}

static void list_init(struct deferred *head)
{
    head->next = head->prev = head;
}

static bool list_empty(const struct deferred *head)
{
    return head->next == head;
}

static void list_append(struct deferred *head, struct deferred *d)
{
    d->prev = head->prev;
    d->next = head;
    head->prev->next = d;
    head->prev = d;
}

void deferred_init(struct deferred *d, loop_fn *fn, void *arg)
{
    *d = (struct deferred){.fn = fn, .arg = arg};
}

void deferred_disarm(struct deferred *d)
{
    if (d->next == NULL)
        return;
    d->prev->next = d->next;
    d->next->prev = d->prev;
    d->next = d->prev = NULL;
}

void deferred_arm(struct loop *l, struct deferred *d)
{
    if (d->next == NULL)
        list_append(&l->work, d);
}

void deferred_arm_flush(struct loop *l, struct deferred *d)
{
    if (d->next == NULL)
        list_append(&l->flush, d);
}

/* Runs what is armed now; what is armed meanwhile stays on the list. */
static void run_list(struct deferred *head)
{
    struct deferred batch;
    if (list_empty(head))
        return;
    batch = *head;
    batch.next->prev = batch.prev->next = &batch;
    list_init(head);
    while (!list_empty(&batch)) {
        struct deferred *d = batch.next;
        deferred_disarm(d);
        d->fn(d->arg);
    }
}

static bool deferred_waiting(const struct loop *l)
{
    return !list_empty(&l->work) || !list_empty(&l->flush);
}

static void run_deferred(struct loop *l)
{
    for (int round = 0; round < ROUNDS_MAX && deferred_waiting(l); round++) {
        if (!list_empty(&l->work)) {
            run_list(&l->work);
        } else {
            log_flush(); /* whoever reads a reply finds what it is about in the log */
            run_list(&l->flush);
        }
    }
    log_flush();
}

void loop_run(struct loop *l)
{
    l->running = true;
    log_hold(true);
    run_deferred(l); /* armed before the first turn */
    while (!atomic_exchange(&l->posts->stop, false)) {
        l->now_known = false;
        l->turns++;
        (void)event_base_loop(l->base, EVLOOP_ONCE | (deferred_waiting(l) ? EVLOOP_NONBLOCK : 0));
        run_deferred(l);
    }
    l->running = l->now_known = false;
    log_hold(false);
}

/* --- calls from other threads ---------------------------------------------------------------- */

static void wake(struct post_queue *q)
{
    uint64_t one = 1;
    while (write(q->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void run_posts(evutil_socket_t fd, short what, void *arg)
{
    struct post_queue *q = arg;
    uint64_t count;
    (void)what;
    (void)!read(fd, &count, sizeof count);
    pthread_mutex_lock(&q->lock);
    struct post *p = q->head;
    q->head = NULL;
    q->tail = &q->head;
    pthread_mutex_unlock(&q->lock);
    while (p != NULL) {
        struct post *next = p->next, *ours = p->kept ? NULL : p;
        p->fn(p->arg);
        free(ours);
        p = next;
    }
}

static void add_post(struct post_queue *q, struct post *p)
{
    pthread_mutex_lock(&q->lock);
    bool first = q->head == NULL;
    *q->tail = p;
    q->tail = &p->next;
    pthread_mutex_unlock(&q->lock);
    if (first)
        wake(q);
}

enum err loop_post(struct loop *l, loop_fn *fn, void *arg)
{
    struct post *p = malloc(sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    *p = (struct post){.fn = fn, .arg = arg};
    add_post(l->posts, p);
    return ERR_OK;
}

void loop_post_kept(struct loop *l, struct post *p, loop_fn *fn, void *arg)
{
    *p = (struct post){.fn = fn, .arg = arg, .kept = true};
    add_post(l->posts, p);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->posts->stop, true);
    wake(l->posts);
}

static void posts_free(struct post_queue *q)
{
    if (q == NULL)
        return;
    while (q->head != NULL) {
        struct post *next = q->head->next;
        free(q->head->kept ? NULL : q->head);
        q->head = next;
    }
    if (q->wake_fd >= 0) {
        (void)event_del(&q->wake);
        close(q->wake_fd);
    }
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static struct post_queue *posts_new(struct event_base *base)
{
    struct post_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return NULL;
    q->tail = &q->head;
    pthread_mutex_init(&q->lock, NULL);
    q->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->wake_fd < 0 || event_assign(&q->wake, base, q->wake_fd, EV_READ | EV_PERSIST, run_posts, q) != 0 ||
        event_add(&q->wake, NULL) != 0) {
        posts_free(q);
        return NULL;
    }
    return q;
}

/* --- life ------------------------------------------------------------------------------------ */

static struct event_base *base_new(void)
{
    struct event_config *cfg = event_config_new();
    if (cfg == NULL)
        return NULL;
    /* One thread, one epoll_ctl a turn and descriptor at most; milliseconds are enough, so that no
     * timerfd is set before each wait. */
    (void)event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    list_init(&l->work);
    list_init(&l->flush);
    l->clock = (struct clock){loop_mono, loop_wall, l};
    l->base = base_new();
    l->posts = l->base == NULL ? NULL : posts_new(l->base);
    l->scratch = malloc(LOOP_SCRATCH);
    l->cipher = malloc(LOOP_CIPHER);
    if (l->posts == NULL || l->scratch == NULL || l->cipher == NULL) {
        loop_free(l);
        return NULL;
    }
    return l;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    posts_free(l->posts);
    if (l->base != NULL)
        event_base_free(l->base);
    free(l->scratch);
    free(l->cipher);
    free(l);
}

/* --- timers ---------------------------------------------------------------------------------
 * deadline_ms is what the owner asked for, armed_ms when libevent will call. Only armed_ms > deadline_ms
 * touches libevent; the other way round the call comes early and arms again. */

static const ms_t NEVER = UINT64_MAX;
static const ms_t LONGEST_MS = (ms_t)24 * 3600 * 1000;

static void timer_arm(struct timer *t)
{
    ms_t now = loop_now(t->loop);
    ms_t delay = t->deadline_ms > now ? t->deadline_ms - now : 0;
    if (delay > LONGEST_MS)
        delay = LONGEST_MS;
    struct timeval tv = {.tv_sec = (time_t)(delay / 1000), .tv_usec = (suseconds_t)(delay % 1000 * 1000)};
    if (event_add(&t->ev, &tv) != 0)
        abort(); /* out of memory: a time-out that never comes would be worse */
    t->armed_ms = ms_after(now, delay);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
    struct timer *t = arg;
    (void)fd;
    (void)what;
    t->armed_ms = NEVER;
    if (t->deadline_ms == NEVER)
        return;
    if (t->deadline_ms > loop_now(t->loop)) {
        timer_arm(t);
        return;
    }
    t->deadline_ms = NEVER;
    t->fn(t->arg);
}

void timer_init(struct timer *t, struct loop *l, loop_fn *fn, void *arg)
{
    *t = (struct timer){.loop = l, .fn = fn, .arg = arg, .deadline_ms = NEVER, .armed_ms = NEVER};
    (void)event_assign(&t->ev, l->base, -1, 0, timer_fired, t);
}

void timer_done(struct timer *t)
{
    (void)event_del(&t->ev);
    t->deadline_ms = t->armed_ms = NEVER;
}

struct timer *timer_new(struct loop *l, loop_fn *fn, void *arg)
{
    struct timer *t = malloc(sizeof *t);
    if (t != NULL)
        timer_init(t, l, fn, arg);
    return t;
}

void timer_free(struct timer *t)
{
    if (t == NULL)
        return;
    timer_done(t);
    free(t);
}

void timer_set(struct timer *t, ms_t delay_ms)
{
    t->deadline_ms = ms_after(loop_now(t->loop), delay_ms);
    if (t->deadline_ms < t->armed_ms)
        timer_arm(t);
}

void timer_cancel(struct timer *t)
{
    t->deadline_ms = NEVER;
}

/* --- signals and descriptors ----------------------------------------------------------------- */

struct watch {
    struct event ev;
    loop_fn *fn;
    void *arg;
};

static void watch_fired(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    (void)fd;
    (void)what;
    w->fn(w->arg);
}

static struct watch *watch_new(struct loop *l, int fd, short what, loop_fn *fn, void *arg)
{
    struct watch *w = malloc(sizeof *w);
    if (w == NULL)
        return NULL;
    w->fn = fn;
    w->arg = arg;
    if (event_assign(&w->ev, l->base, fd, (short)(what | EV_PERSIST), watch_fired, w) != 0 ||
        event_add(&w->ev, NULL) != 0) {
        free(w);
        return NULL;
    }
    return w;
}

struct watch *watch_signal(struct loop *l, int signo, loop_fn *fn, void *arg)
{
    return watch_new(l, signo, EV_SIGNAL, fn, arg);
}

struct watch *watch_fd(struct loop *l, int fd, loop_fn *readable, void *arg)
{
    return watch_new(l, fd, EV_READ, readable, arg);
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    (void)event_del(&w->ev);
    free(w);
}
