/* tests/unit/router/test_health.c — which connectors are announced UP, told in reports and words. */
#include "router/health.h"
#include "tests/unit/check.h"

#include <string.h>

enum { S = 1000, WALL = 1000000000 };

static const char yaml[] =
    "router:\n  damping: {glitch_attempts: 2, glitch_interval: 10s, probe_interval: 20s}\n"
    "connectors:\n"
    "  - {name: two, address_spaces: [{space: '*'}], smart_hosts: ['a:25', 'b:25', 'a:25']}\n"
    "  - {name: dns, address_spaces: [{space: '*.net'}]}\n"
    "  - {name: one, address_spaces: [{space: '*.org'}], smart_hosts: ['c']}\n";

struct world {
    struct config *conf;
    struct health *h;
    ms_t now;
};

static struct config *parse(const char *text)
{
    struct config *conf;
    struct errctx ec = {""};
    if (config_parse(span_cstr(text), "test", "/", NULL, &conf, NULL, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    return conf;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->conf = parse(yaml);
    w->h = health_new();
    w->now = 100 * S;
    assert_non_null(w->h);
    assert_int_equal(health_configure(w->h, config_root(w->conf), w->now), ERR_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    health_free(w->h);
    config_unref(w->conf);
    free(w);
    return 0;
}

static bool report(struct world *w, const char *connector, const char *target, bool ok)
{
    struct routing_report r = {span_cstr(connector), span_cstr(target), ok, SPAN("refused")};
    return health_report(w->h, &r, w->now, WALL + w->now);
}

static bool link_of(struct world *w, const char *name, struct routing_link *ret,
                    struct routing_target *targets)
{
    while (health_changed(w->h, w->now, WALL + w->now, ret, targets))
        if (span_eq(ret->name, span_cstr(name)))
            return true;
    return false;
}

static void test_health__down_only_when_no_target_answers(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 10; i++, w->now += 10 * S) {
        assert_false(report(w, "two", "a:25", false));
        assert_false(report(w, "two", "b:25", true));
    }
    assert_false(report(w, "two", "a:25", false));
    assert_false(report(w, "two", "b:25", false)); /* GLITCH 1 */
    w->now += 10 * S;
    assert_false(report(w, "two", "a:25", false)); /* 2 */
    assert_false(report(w, "two", "b:25", false)); /* the same round */
    w->now += 10 * S;
    assert_true(report(w, "two", "b:25", false));
    assert_false(health_up(w->h, SPAN("two")));
    assert_int_equal(health_down(w->h), 1);
    assert_true(strstr(health_why(w->h, SPAN("two")), "b:25: refused") != NULL);
    assert_true(report(w, "two", "a:25", true)); /* one is enough */
    assert_true(health_up(w->h, SPAN("two")));
}

static void test_health__a_burst_of_failures_is_one(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 1000; i++)
        assert_false(report(w, "one", "c", false));
    assert_true(health_up(w->h, SPAN("one")));
}

static void test_health__what_is_unknown_changes_nothing(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 100; i++, w->now += 60 * S) {
        assert_false(report(w, "nosuch", "c", false));
        assert_false(report(w, "dns", "c", false));
        assert_false(report(w, "one", "d", false));
    }
    assert_true(health_up(w->h, SPAN("one")));
    assert_true(health_up(w->h, SPAN("dns")));
    assert_null(health_find(w->h, SPAN("dns")));
}

static void fail_one(struct world *w)
{
    for (int i = 0; i < 3; i++, w->now += 10 * S)
        (void)report(w, "one", "c", false);
    assert_false(health_up(w->h, SPAN("one")));
}

static void test_health__probes_are_due_while_it_is_not_up(void **state)
{
    struct world *w = *state;
    struct health_connector *c;
    assert_null(health_probe_due(w->h, w->now + 1000 * S));
    assert_int_equal(health_next(w->h), UINT64_MAX);
    fail_one(w);
    assert_null(health_probe_due(w->h, w->now));
    w->now += 20 * S;
    c = health_probe_due(w->h, w->now);
    assert_non_null(c);
    check_span(health_name(c), SPAN("one"));
    assert_int_equal(health_targets(c), 1);
    check_span(health_target(c, 0), SPAN("c"));
    assert_int_equal(health_port(c), 25);
    health_probing(w->h, c);
    assert_null(health_probe_due(w->h, w->now + 1000 * S));
    assert_false(report(w, "one", "c", false));
    health_probed(w->h, SPAN("one"));
    assert_null(health_probe_due(w->h, w->now + 19 * S));
    assert_non_null(health_probe_due(w->h, w->now + 20 * S));
}

static void test_health__states_of_targets_are_told_now_and_then(void **state)
{
    struct world *w = *state;
    struct health_connector *c;
    assert_false(health_targets_due(w->h, w->now));
    assert_false(report(w, "two", "b:25", true));
    assert_false(health_targets_due(w->h, w->now)); /* nothing new */
    assert_false(report(w, "one", "c", false));     /* its only one: that is the connector's state */
    assert_false(health_targets_due(w->h, w->now));
    assert_false(report(w, "one", "c", true));
    assert_false(health_targets_due(w->h, w->now));
    assert_false(report(w, "two", "a:25", false));
    assert_true(health_up(w->h, SPAN("two")));
    assert_false(health_target_up(w->h, SPAN("two"), SPAN("a:25")));
    assert_true(health_target_up(w->h, SPAN("two"), SPAN("b:25")));
    assert_true(health_target_up(w->h, SPAN("two"), SPAN("nosuch")));
    assert_true(health_target_up(w->h, SPAN("nosuch"), SPAN("a:25")));
    assert_true(health_targets_due(w->h, w->now));
    health_targets_told(w->h, w->now);
    for (int i = 0; i < 9; i++, w->now += S) { /* a target that flaps */
        assert_false(report(w, "two", "a:25", i % 2 == 0));
        assert_false(health_targets_due(w->h, w->now));
    }
    w->now += S;
    assert_true(health_targets_due(w->h, w->now));
    /* Nobody sends there while the other one is UP: it is tried until it answers. */
    assert_false(report(w, "two", "a:25", false));
    assert_null(health_probe_due(w->h, w->now + 9 * S));
    w->now += 20 * S;
    c = health_probe_due(w->h, w->now);
    assert_non_null(c);
    check_span(health_name(c), SPAN("two"));
    assert_null(health_probe_due(w->h, w->now + 19 * S));
    assert_int_equal(health_next(w->h), w->now + 20 * S);
    assert_false(report(w, "two", "a:25", true));
    assert_null(health_probe_due(w->h, w->now + 1000 * S));
}

/* One of two targets flaps for a day, the connector goes DOWN now and then, and a record is made whenever one
 * is due: never more than its number in an hour, and what is true is told in the end. */
static void test_health__a_target_that_flaps_floods_no_more_than_its_number(void **state)
{
    enum { MOST = 14, HOUR = 3600 * S };
    struct world *w = *state;
    ms_t told[1000] = {0};
    size_t n = 0, first = 0;
    uint64_t seed = 7;
    for (ms_t end = w->now + 24u * HOUR; w->now < end; w->now += 5 * S) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bool moved = report(w, "two", "a:25", w->now / (5 * S) % 2 == 0);
        moved = report(w, "two", "b:25", seed >> 33 & 1) || moved;
        if (!health_tick(w->h, w->now, WALL + w->now) && !moved && !health_targets_due(w->h, w->now))
            continue;
        health_targets_told(w->h, w->now);
        assert_true(n < ARRAY_LEN(told));
        told[n++] = w->now;
        while (w->now - told[first] > HOUR)
            first++;
        assert_true(n - first <= MOST);
    }
    assert_true(n > MOST);
    (void)report(w, "two", "b:25", true);
    (void)report(w, "two", "a:25", true);
    w->now += HOUR;
    (void)report(w, "two", "a:25", true);
    assert_true(health_up(w->h, SPAN("two")));
    health_targets_told(w->h, w->now);
    assert_false(report(w, "two", "a:25", false));
    w->now += 10 * S;
    assert_true(health_targets_due(w->h, w->now));
}

static void test_health__an_administrators_word_counts_for_more(void **state)
{
    struct world *w = *state;
    struct routing_target targets[64];
    struct routing_link k;
    (void)health_words_begin(w->h);
    health_word(w->h, SPAN("one"), ROUTING_DOWN, 0, SPAN("me"), SPAN("repairs"));
    assert_true(health_words_end(w->h, WALL));
    assert_false(report(w, "one", "c", true));
    assert_false(health_up(w->h, SPAN("one")));
    assert_string_equal(health_why(w->h, SPAN("one")), "me: repairs");
    assert_true(link_of(w, "one", &k, targets));
    assert_int_equal(k.override, ROUTING_DOWN);
    check_span(k.override_by, SPAN("me"));
    (void)health_words_begin(w->h);
    assert_true(health_words_end(w->h, WALL)); /* taken back */
    assert_true(health_up(w->h, SPAN("one")));
}

static void test_health__a_word_expires(void **state)
{
    struct world *w = *state;
    fail_one(w);
    (void)health_words_begin(w->h);
    health_word(w->h, SPAN("one"), ROUTING_UP, WALL + w->now + 60 * S, SPAN("me"), SPAN(""));
    assert_true(health_words_end(w->h, WALL + w->now));
    assert_true(health_up(w->h, SPAN("one")));
    assert_false(health_tick(w->h, w->now + 59 * S, WALL + w->now + 59 * S));
    assert_true(health_tick(w->h, w->now + 60 * S, WALL + w->now + 60 * S));
    assert_false(health_up(w->h, SPAN("one")));
}

/* The next master goes on where this one was: DOWN stays DOWN, and is probed when it was due. */
static void test_health__is_handed_on(void **state)
{
    struct world *w = *state;
    struct routing_target targets[64];
    struct routing_link k;
    struct health *next = health_new();
    assert_non_null(next);
    fail_one(w);
    ms_t wall = WALL + w->now, other = 7 * S; /* another machine, another monotonic clock */
    assert_int_equal(health_configure(next, config_root(w->conf), other), ERR_OK);
    assert_true(link_of(w, "one", &k, targets));
    check_span(k.state, SPAN("DOWN"));
    assert_int_equal(k.ntargets, 1);
    assert_false(targets[0].up);
    health_restore(next, &k, other, wall);
    assert_false(health_up(next, SPAN("one")));
    assert_true(health_up(next, SPAN("two")));
    assert_null(health_probe_due(next, other));
    assert_non_null(health_probe_due(next, other + 20 * S));
    health_free(next);
}

/* What an administrator said holds from the first record of the next master on, until he takes it back or it
 * runs out. */
static void test_health__a_word_is_handed_on(void **state)
{
    struct world *w = *state;
    struct routing_target targets[64];
    struct routing_link k;
    ms_t other = 7 * S, wall = WALL + w->now, until = wall + 60 * S;
    (void)health_words_begin(w->h);
    health_word(w->h, SPAN("one"), ROUTING_DOWN, until, SPAN("root"), SPAN("works"));
    assert_true(health_words_end(w->h, wall));
    assert_true(link_of(w, "one", &k, targets));
    for (int late = 0; late < 2; late++) {
        struct health *next = health_new();
        assert_non_null(next);
        assert_int_equal(health_configure(next, config_root(w->conf), other), ERR_OK);
        health_restore(next, &k, other, late ? until : wall);
        assert_int_equal(health_up(next, SPAN("one")), late);
        assert_false(health_tick(next, other, late ? until : wall)); /* as announced */
        if (!late) {
            assert_string_equal(health_why(next, SPAN("one")), "root: works");
            (void)health_words_begin(next);
            assert_true(health_words_end(next, wall)); /* taken back while nobody was master */
            assert_true(health_up(next, SPAN("one")));
        }
        health_free(next);
    }
}

/* A hold ends when the master before would have ended it, however late the next one came. */
static void test_health__a_hold_is_not_renewed(void **state)
{
    struct world *w = *state;
    struct routing_target targets[64];
    struct routing_link k;
    for (int i = 0; i < 3; i++) {
        fail_one(w);
        (void)report(w, "one", "c", true);
    }
    assert_true(link_of(w, "one", &k, targets));
    check_span(k.state, SPAN("HELD"));
    ms_t left = k.held_until_ms - (WALL + w->now), late = left / 2, other = 7 * S;
    assert_true(left > 20 * 60 * S);
    struct health *next = health_new();
    assert_non_null(next);
    assert_int_equal(health_configure(next, config_root(w->conf), other), ERR_OK);
    health_restore(next, &k, other, WALL + w->now + late);
    assert_false(health_up(next, SPAN("one")));
    assert_false(health_tick(next, other + left - late - 2 * S, 0));
    assert_true(health_tick(next, other + left - late + 2 * S, 0));
    assert_true(health_up(next, SPAN("one")));
    health_free(next);
}

/* Nor is the room: a target that flapped before flaps no more often after a take-over. */
static void test_health__room_is_handed_on(void **state)
{
    struct world *w = *state;
    struct routing_target targets[64];
    struct routing_link k;
    unsigned n = 0;
    for (bool up = false; n < 20; n++, up = !up, w->now += 10 * S) {
        (void)report(w, "two", "a:25", up);
        if (!health_targets_due(w->h, w->now))
            break;
        health_targets_told(w->h, w->now);
    }
    assert_int_equal(n, 6);
    assert_true(link_of(w, "two", &k, targets));
    struct health *next = health_new();
    ms_t other = 100 * S;
    assert_non_null(next);
    assert_int_equal(health_configure(next, config_root(w->conf), other), ERR_OK);
    health_restore(next, &k, other, WALL + w->now);
    assert_false(health_targets_due(next, other));
    assert_false(health_targets_due(next, other + 60 * S));
    assert_true(health_targets_due(next, other + 600 * S));
    health_free(next);
}

static void test_health__a_reload_keeps_what_is_known(void **state)
{
    struct world *w = *state;
    struct routing_target targets[64];
    struct routing_link k;
    struct config *next = parse("connectors:\n"
                                "  - {name: new, address_spaces: [{space: '*'}], smart_hosts: ['x']}\n"
                                "  - {name: new2, address_spaces: [{space: '*.net'}], smart_hosts: ['y']}\n"
                                "  - {name: one, address_spaces: [{space: '*.org'}], smart_hosts: ['c']}\n");
    fail_one(w);
    while (health_changed(w->h, w->now, WALL, &k, targets))
        ;
    (void)health_words_begin(w->h);
    health_word(w->h, SPAN("new2"), ROUTING_DOWN, 0, SPAN("me"), SPAN("works"));
    assert_false(health_words_end(w->h, WALL));
    assert_int_equal(health_configure(w->h, config_root(next), w->now), ERR_OK);
    assert_false(health_up(w->h, SPAN("one")));
    assert_true(health_up(w->h, SPAN("new")));
    assert_false(health_up(w->h, SPAN("new2"))); /* a word was there before it */
    assert_string_equal(health_why(w->h, SPAN("new2")), "me: works");
    bool gone = false;
    while (health_changed(w->h, w->now, WALL, &k, targets))
        gone = gone || (span_eq(k.name, SPAN("two")) && k.state.len == 0);
    assert_true(gone); /* told once, so that it is shown no more */
    config_unref(next);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    return CHECK_RUN(
        T(test_health__down_only_when_no_target_answers), T(test_health__a_burst_of_failures_is_one),
        T(test_health__what_is_unknown_changes_nothing), T(test_health__probes_are_due_while_it_is_not_up),
        T(test_health__states_of_targets_are_told_now_and_then),
        T(test_health__a_target_that_flaps_floods_no_more_than_its_number),
        T(test_health__a_word_is_handed_on), T(test_health__a_hold_is_not_renewed),
        T(test_health__room_is_handed_on), T(test_health__an_administrators_word_counts_for_more),
        T(test_health__a_word_expires), T(test_health__is_handed_on),
        T(test_health__a_reload_keeps_what_is_known));
}
