/* tests/unit/common/io/test_loop.c — mirrors common/io/loop.c */
#include "common/io/loop.h"

#include "tests/unit/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What happened, in order: one letter each. */
struct story {
    struct loop *loop;
    char text[64];
    struct step {
        struct story *story;
        struct deferred d;
        struct timer *timer;
        char letter;
    } a, b, c;
};

static void note(struct story *s, char letter)
{
    size_t n = strlen(s->text);
    if (n + 1 < sizeof s->text)
        s->text[n] = letter;
}

static void on_step(void *arg)
{
    struct step *st = arg;
    note(st->story, st->letter);
}

static void on_stop(void *arg)
{
    loop_stop(arg);
}

static void story_init(struct story *s)
{
    memset(s, 0, sizeof *s);
    s->loop = loop_new();
    assert_non_null(s->loop);
    s->a = (struct step){.story = s, .letter = 'a'};
    s->b = (struct step){.story = s, .letter = 'b'};
    s->c = (struct step){.story = s, .letter = 'c'};
    deferred_init(&s->a.d, on_step, &s->a);
    deferred_init(&s->b.d, on_step, &s->b);
    deferred_init(&s->c.d, on_step, &s->c);
}

/* Runs until everything that is due now has happened. */
static void run_once(struct story *s)
{
    assert_int_equal(loop_post(s->loop, on_stop, s->loop), ERR_OK);
    loop_run(s->loop);
}

static void story_done(struct story *s)
{
    timer_free(s->a.timer);
    timer_free(s->b.timer);
    loop_free(s->loop);
}

static void test_loop__deferred_runs_once_in_order(void **state)
{
    struct story s;
    (void)state;
    story_init(&s);
    deferred_arm(s.loop, &s.b.d);
    deferred_arm(s.loop, &s.a.d);
    deferred_arm(s.loop, &s.b.d);
    deferred_arm(s.loop, &s.c.d);
    deferred_disarm(&s.a.d);
    deferred_disarm(&s.a.d);
    assert_string_equal(s.text, "");
    run_once(&s);
    assert_string_equal(s.text, "bc");
    story_done(&s);
}

static void arm_b_and_c(void *arg)
{
    struct step *st = arg;
    on_step(st);
    deferred_arm(st->story->loop, &st->story->b.d);
    deferred_arm(st->story->loop, &st->story->c.d);
}

static void disarm_c(void *arg)
{
    struct step *st = arg;
    on_step(st);
    deferred_disarm(&st->story->c.d);
}

static void test_loop__deferred_arms_and_disarms_others(void **state)
{
    struct story s;
    (void)state;
    story_init(&s);
    deferred_init(&s.a.d, arm_b_and_c, &s.a);
    deferred_init(&s.b.d, disarm_c, &s.b);
    deferred_arm(s.loop, &s.a.d);
    run_once(&s);
    assert_string_equal(s.text, "ab");
    story_done(&s);
}

static void arm_self(void *arg)
{
    struct step *st = arg;
    if (strlen(st->story->text) == 40)
        loop_stop(st->story->loop);
    on_step(st);
    deferred_arm(st->story->loop, &st->d);
}

/* Neither blocks the loop nor starves its descriptors: the stop above comes by one. */
static void test_loop__deferred_may_arm_itself_for_ever(void **state)
{
    struct story s;
    (void)state;
    story_init(&s);
    deferred_init(&s.a.d, arm_self, &s.a);
    deferred_arm(s.loop, &s.a.d);
    loop_run(s.loop);
    assert_true(strlen(s.text) > 40);
    deferred_disarm(&s.a.d);
    story_done(&s);
}

static void set_timer_b(void *arg)
{
    struct step *st = arg;
    on_step(st);
    timer_set(st->story->b.timer, 1);
}

static void stop_here(void *arg)
{
    struct step *st = arg;
    on_step(st);
    loop_stop(st->story->loop);
}

static void test_loop__timers_fire_in_order_and_never_early(void **state)
{
    struct story s;
    (void)state;
    story_init(&s);
    s.a.timer = timer_new(s.loop, set_timer_b, &s.a);
    s.b.timer = timer_new(s.loop, stop_here, &s.b);
    ms_t start = clock_mono(&clock_system);
    timer_set(s.b.timer, 100000);
    timer_set(s.a.timer, 30);
    timer_set(s.a.timer, 20); /* earlier */
    loop_run(s.loop);
    assert_string_equal(s.text, "ab");
    assert_true(clock_mono(&clock_system) - start >= 21);
    story_done(&s);
}

static void test_loop__timers_are_moved_and_canceled(void **state)
{
    struct story s;
    (void)state;
    story_init(&s);
    s.a.timer = timer_new(s.loop, on_step, &s.a);
    s.b.timer = timer_new(s.loop, stop_here, &s.b);
    ms_t start = clock_mono(&clock_system);
    timer_set(s.a.timer, 1);
    timer_cancel(s.a.timer);
    timer_set(s.b.timer, 1);
    timer_set(s.b.timer, 30); /* later */
    loop_run(s.loop);
    assert_string_equal(s.text, "b");
    assert_true(clock_mono(&clock_system) - start >= 30);
    timer_set(s.b.timer, UINT64_MAX); /* never, without overflow */
    run_once(&s);
    assert_string_equal(s.text, "b");
    story_done(&s);
}

static void free_timer_a(void *arg)
{
    struct step *st = arg;
    timer_free(st->story->a.timer);
    st->story->a.timer = NULL;
    loop_stop(st->story->loop);
}

static void test_loop__a_timer_may_free_itself(void **state)
{
    struct story s;
    (void)state;
    story_init(&s);
    s.a.timer = timer_new(s.loop, free_timer_a, &s.a);
    timer_set(s.a.timer, 0);
    loop_run(s.loop);
    story_done(&s);
}

static void read_one(void *arg)
{
    struct step *st = arg;
    note(st->story, st->letter);
    loop_stop(st->story->loop);
}

static void test_loop__watches_descriptors_and_signals(void **state)
{
    struct story s;
    int fds[2];
    (void)state;
    story_init(&s);
    assert_int_equal(pipe(fds), 0);
    struct watch *fd = watch_fd(s.loop, fds[0], read_one, &s.a);
    struct watch *sig = watch_signal(s.loop, SIGUSR1, read_one, &s.b);
    assert_non_null(fd);
    assert_non_null(sig);
    assert_int_equal(raise(SIGUSR1), 0);
    loop_run(s.loop);
    assert_string_equal(s.text, "b");
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_run(s.loop);
    assert_string_equal(s.text, "ba");
    watch_free(fd);
    watch_free(sig);
    close(fds[0]);
    close(fds[1]);
    story_done(&s);
}

/* --- other threads --------------------------------------------------------------------------- */

enum { THREADS = 4, POSTS = 2000 };

struct poster {
    struct loop *loop;
    pthread_t thread;
    unsigned next; /* of this thread, counted in the loop's thread: posts keep their order */
    bool disordered;
};
struct posted {
    struct poster *by;
    unsigned number;
};

static unsigned arrived; /* only the loop's thread touches it */

static void on_posted(void *arg)
{
    struct posted *p = arg;
    if (p->number != p->by->next++)
        p->by->disordered = true;
    if (++arrived == THREADS * POSTS)
        loop_stop(p->by->loop);
    free(p);
}

static void *post_many(void *arg)
{
    struct poster *by = arg;
    for (unsigned i = 0; i < POSTS; i++) {
        struct posted *p = malloc(sizeof *p);
        if (p == NULL)
            return NULL;
        *p = (struct posted){by, i};
        if (loop_post(by->loop, on_posted, p) != ERR_OK)
            free(p);
    }
    return NULL;
}

static void test_loop__posts_of_threads_arrive_in_order(void **state)
{
    struct poster by[THREADS];
    struct loop *l = loop_new();
    (void)state;
    arrived = 0;
    for (int i = 0; i < THREADS; i++) {
        by[i] = (struct poster){.loop = l};
        assert_int_equal(pthread_create(&by[i].thread, NULL, post_many, &by[i]), 0);
    }
    loop_run(l);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(by[i].thread, NULL);
        assert_int_equal(by[i].next, POSTS);
        assert_false(by[i].disordered);
    }
    loop_free(l);
}

/* Two loops throw one kept post at each other, until one has had it POSTS times. */
struct player {
    struct loop *loop;
    struct player *other;
    struct post *ball;
    unsigned caught;
};

static void on_ball(void *arg)
{
    struct player *p = arg;
    if (++p->caught < POSTS) {
        loop_post_kept(p->other->loop, p->ball, on_ball, p->other);
        return;
    }
    loop_stop(p->loop);
    loop_stop(p->other->loop);
}

static void *play(void *arg)
{
    loop_run(((struct player *)arg)->loop);
    return NULL;
}

static void test_loop__a_kept_post_goes_to_and_fro(void **state)
{
    struct post ball;
    struct player a = {.loop = loop_new(), .ball = &ball},
                  b = {.loop = loop_new(), .other = &a, .ball = &ball};
    pthread_t thread;
    (void)state;
    a.other = &b;
    loop_post_kept(b.loop, &ball, on_ball, &b);
    assert_int_equal(pthread_create(&thread, NULL, play, &b), 0);
    loop_run(a.loop);
    pthread_join(thread, NULL);
    assert_int_equal(b.caught, POSTS);
    assert_int_equal(a.caught, POSTS - 1);
    loop_post_kept(a.loop, &ball, on_ball, &a); /* never runs, and is not freed */
    loop_free(a.loop);
    loop_free(b.loop);
}

static void *stop_it(void *arg)
{
    loop_stop(arg);
    return NULL;
}

static void test_loop__stop_from_a_thread_is_not_lost_before_run(void **state)
{
    pthread_t thread;
    struct loop *l = loop_new();
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, stop_it, l), 0);
    pthread_join(thread, NULL);
    loop_run(l);
    loop_free(l);
}

static void test_loop__what_never_ran_is_dropped(void **state)
{
    struct story s;
    (void)state;
    story_init(&s);
    assert_int_equal(loop_post(s.loop, on_step, &s.a), ERR_OK);
    story_done(&s);
    assert_string_equal(s.text, "");
    loop_free(NULL);
    timer_free(NULL);
    watch_free(NULL);
}

int main(void)
{
    alarm(60);
    return CHECK_RUN(cmocka_unit_test(test_loop__deferred_runs_once_in_order),
                     cmocka_unit_test(test_loop__deferred_arms_and_disarms_others),
                     cmocka_unit_test(test_loop__deferred_may_arm_itself_for_ever),
                     cmocka_unit_test(test_loop__timers_fire_in_order_and_never_early),
                     cmocka_unit_test(test_loop__timers_are_moved_and_canceled),
                     cmocka_unit_test(test_loop__a_timer_may_free_itself),
                     cmocka_unit_test(test_loop__watches_descriptors_and_signals),
                     cmocka_unit_test(test_loop__posts_of_threads_arrive_in_order),
                     cmocka_unit_test(test_loop__a_kept_post_goes_to_and_fro),
                     cmocka_unit_test(test_loop__stop_from_a_thread_is_not_lost_before_run),
                     cmocka_unit_test(test_loop__what_never_ran_is_dropped));
}
