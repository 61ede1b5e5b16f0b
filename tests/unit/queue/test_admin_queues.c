/* tests/unit/queue/test_admin_queues.c — the state of a queue follows from its other fields. */
#include "queue/admin.h"
#include "tests/unit/check.h"

static void test_admin_queues__the_state_follows_from_the_fields(void **state)
{
    enum { NOW = 1000000 };
    static const struct {
        const char *what;
        struct admin_queue q;
        uint64_t deferred;
        enum admin_queue_state state;
    } cases[] = {
        {"empty", {.due_ms = 0}, 0, ADMIN_SCHEDULED},
        {"due", {.waiting = 1, .due_ms = NOW}, 0, ADMIN_READY},
        {"due, tried before", {.waiting = 1, .due_ms = NOW - 5, .last_error_ms = 5}, 1, ADMIN_READY},
        {"due, held", {.waiting = 1, .due_ms = NOW, .hold_ms = NOW + 1}, 0, ADMIN_RETRY},
        {"due, hold is over", {.waiting = 1, .due_ms = NOW, .hold_ms = NOW}, 0, ADMIN_READY},
        {"later, as its sender wants", {.waiting = 1, .due_ms = NOW + 1}, 1, ADMIN_SCHEDULED},
        {"later, after a failure", {.waiting = 1, .due_ms = NOW + 1, .last_error_ms = 5}, 1, ADMIN_RETRY},
        {"later, others failed before",
         {.waiting = 1, .due_ms = NOW + 1, .last_error_ms = 5},
         0,
         ADMIN_SCHEDULED},
        {"in hand", {.in_hand = 1}, 0, ADMIN_ACTIVE},
        {"in hand, held", {.waiting = 1, .in_hand = 1, .hold_ms = NOW + 1}, 0, ADMIN_ACTIVE},
        {"frozen", {.waiting = 1, .in_hand = 1, .due_ms = NOW, .frozen_ms = 1}, 0, ADMIN_FROZEN},
        {"frozen and empty", {.frozen_ms = 1}, 0, ADMIN_FROZEN},
        {"all frozen one by one", {.waiting = 2, .frozen_jobs = 2}, 2, ADMIN_FROZEN},
        {"all that waits frozen, one in hand",
         {.waiting = 2, .in_hand = 1, .frozen_jobs = 2},
         2,
         ADMIN_ACTIVE},
        {"some frozen one by one", {.waiting = 2, .due_ms = NOW, .frozen_jobs = 1}, 1, ADMIN_READY},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct admin_queue q = c->q;
        q.now_ms = NOW;
        if (admin_queue_state_of(&q, c->deferred) != c->state)
            fail_msg("%s: %s, not %s", c->what, admin_queue_state_name(admin_queue_state_of(&q, c->deferred)),
                     admin_queue_state_name(c->state));
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_admin_queues__the_state_follows_from_the_fields));
}
