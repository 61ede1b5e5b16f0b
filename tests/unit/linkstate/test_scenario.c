/* tests/unit/linkstate/test_scenario.c — scripts of a simulation: what they say, and what then happens. */
#include "linkstate/scenario.h"
#include "tests/unit/check.h"

#include <string.h>

/* A ring a - b - c - d - a of costs 1, and a connector from a to e alone. */
static struct sim *ring(unsigned loss)
{
    struct sim_options o = {.seed = 1, .latency_min_ms = 1, .latency_max_ms = 5, .loss_permille = loss};
    struct sim *s = sim_new(&o);
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(sim_group(s, names[i]), i);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(sim_link(s, i, (i + 1) % 4, 1, 1), ERR_OK);
    assert_int_equal(sim_join(s, 0, 4, 1, 0, true), ERR_OK);
    return s;
}

static void test_scenario_parse__what_it_says(void **state)
{
    static const char text[] = "# a plan\r\n"
                               "at 1500ms down a b # why\n"
                               "\n"
                               "\tup\ta  b\n"
                               "at 2s cut c\n"
                               "heal\n"
                               "at 2s cost a b 100\n"
                               "at 1d crash d\n"
                               "restart d";
    static const char want[] = "1500 down a - b\n- up a - b\n2000 cut c\n- heal \n2000 cost a - b 100\n"
                               "86400000 crash d\n- restart d\n";
    struct sim *s = ring(0);
    struct scenario sc;
    struct errctx ec = {""};
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    if (scenario_parse(span_cstr(text), s, &sc, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    for (size_t i = 0; i < sc.n; i++) {
        const struct scenario_event *ev = &sc.events[i];
        assert_int_equal(ev->timed ? buf_addf(&out, "%u", (unsigned)ev->at_ms) : buf_addc(&out, '-'), ERR_OK);
        assert_int_equal(buf_addf(&out, " %s ", scenario_name(ev->kind)), ERR_OK);
        assert_int_equal(scenario_subject(s, ev, &out), ERR_OK);
        assert_int_equal(buf_addc(&out, '\n'), ERR_OK);
    }
    assert_string_equal(buf_cstr(&out), want);
    buf_done(&out);
    scenario_done(&sc);
    sim_free(s);
}

static void test_scenario_parse__refused_with_the_line(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        const char *says;
    } cases[] = {
        {"\n\nexplode a\n", ERR_PARSE,
         "line 3: an event is down, up, cut, heal, crash, restart or cost, not: 'explode'"},
        {"at down a b\n", ERR_PARSE, "line 1: a time is 1500ms, 10s, 2m, 1h or 1d, not: 'down'"},
        {"at 5 down a b\n", ERR_PARSE, "line 1: a time is 1500ms, 10s, 2m, 1h or 1d, not: '5'"},
        {"at -5s down a b\n", ERR_PARSE, "line 1: a time is 1500ms, 10s, 2m, 1h or 1d, not: '-5s'"},
        {"at 5s\n", ERR_PARSE, "line 1: write: at TIME EVENT"},
        {"at 5s up a b\nat 4s down a b\n", ERR_PARSE,
         "line 2: this time is before that of a line above; sort them: '4s'"},
        {"down a\n", ERR_PARSE, "line 1: write: down GROUP GROUP, or GROUP CONNECTOR"},
        {"crash\n", ERR_PARSE, "line 1: write: crash GROUP"},
        {"down a b c d e f\n", ERR_PARSE, "line 1: too many words, from: 'f'"},
        {"down A b\n", ERR_NOTFOUND, "line 1: no group has the name (names count upper and lower case): 'A'"},
        {"down a c\n", ERR_NOTFOUND, "line 1: no link and no connector of the first group leads to: 'c'"},
        {"cost a b 0\n", ERR_PARSE, "line 1: a cost is a number from 1 to 100, not: '0'"},
        {"cost a b 101\n", ERR_PARSE, "line 1: a cost is a number from 1 to 100, not: '101'"},
        {"cost a b\n", ERR_PARSE, "line 1: write: cost GROUP GROUP COST"},
    };
    struct sim *s = ring(0);
    (void)state;
    CHECK_EACH (cases, c) {
        struct scenario sc;
        struct errctx ec = {""};
        enum err e = scenario_parse(span_cstr(c->text), s, &sc, &ec);
        assert_string_equal(ec.msg, c->says);
        assert_int_equal(e, c->e);
    }
    sim_free(s);
}

struct play {
    struct sim *s;
    ms_t start_ms;
    struct scenario_result was;
};

static void begin(struct play *p, unsigned loss)
{
    p->s = ring(loss);
    assert_int_equal(sim_start_converged(p->s), ERR_OK);
    sim_run(p->s, 100);
    p->start_ms = sim_now(p->s);
}

static void happen(struct play *p, const char *text, ms_t until_ms)
{
    struct scenario sc;
    struct errctx ec = {""};
    if (scenario_parse(span_cstr(text), p->s, &sc, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    for (size_t i = 0; i < sc.n; i++)
        assert_int_equal(scenario_run(p->s, &sc.events[i], p->start_ms, until_ms, &p->was), ERR_OK);
    scenario_done(&sc);
}

/* What `who` knows of the connector from one group to another: its cost, 0 when it is DOWN. */
static unsigned known(struct play *p, uint32_t who, const char *from, const char *to)
{
    const struct lsdb_slot *slot = lsdb_find(ls_table(sim_engine(p->s, who)), span_cstr(from));
    struct record r;
    unsigned cost = 0;
    assert_true(slot != NULL && slot->record != NULL);
    assert_int_equal(record_parse(slot->record->body, &r, NULL), ERR_OK);
    for (size_t i = 0; i < r.nconnectors; i++)
        if (span_eq(r.connectors[i].name, span_cstr(to)) && r.connectors[i].up)
            cost = r.connectors[i].cost;
    record_done(&r);
    return cost;
}

static void test_scenario_run__every_kind(void **state)
{
    struct play p;
    (void)state;
    begin(&p, 0);
    happen(&p, "at 10s down a b", 20000);
    assert_true(p.was.converged && p.was.at_ms == 10000 && p.was.took_ms > 0 && p.was.took_ms <= 15);
    assert_int_equal(known(&p, 2, "a", "b"), 0);
    assert_int_equal(known(&p, 3, "b", "a"), 0);
    happen(&p, "up a b", 20000);
    assert_int_equal(known(&p, 2, "a", "b"), 1);
    happen(&p, "cost a b 50\ncost a e 9", 20000);
    assert_int_equal(known(&p, 2, "b", "a"), 50);
    assert_int_equal(known(&p, 2, "a", "e"), 9);
    assert_true(p.was.stats.messages > p.was.stats.keepalives && p.was.full_flood_bytes > p.was.stats.bytes);
    sim_free(p.s);
}

/* The routers over a line that is cut hear each other no more; what happens meanwhile is made up for. */
static void test_scenario_run__cut_and_healed(void **state)
{
    struct play p;
    (void)state;
    begin(&p, 0);
    happen(&p, "cut c", 60000);
    assert_true(p.was.converged);
    assert_int_equal(known(&p, 0, "b", "c"), 0);
    assert_int_equal(known(&p, 2, "b", "c"), 1); /* it cannot have heard of it */
    happen(&p, "at 60s cost a b 7", 61000);
    assert_int_equal(known(&p, 3, "a", "b"), 7);
    assert_int_equal(known(&p, 2, "a", "b"), 1);
    happen(&p, "heal", 120000);
    assert_true(p.was.converged);
    assert_int_equal(known(&p, 2, "a", "b"), 7);
    assert_int_equal(known(&p, 0, "c", "b"), 1);
    sim_free(p.s);
}

static void test_scenario_run__crashed_and_restarted(void **state)
{
    struct play p;
    (void)state;
    begin(&p, 0);
    happen(&p, "crash c\ncost a b 7", 60000);
    assert_null(sim_engine(p.s, 2));
    assert_int_equal(known(&p, 3, "c", "b"), 1); /* for its lifetime */
    happen(&p, "restart c", 120000);
    assert_true(p.was.converged);
    assert_int_equal(known(&p, 2, "a", "b"), 7);
    sim_free(p.s);
}

/* The largest set of groups that all reach one another counts: one that can only be reached is outside of it.
 */
static void test_scenario_run__who_is_cut_off(void **state)
{
    static const struct {
        const char *text;
        size_t cut_off; /* of a, b, c, d in a ring, and e, which nothing leads out of */
    } cases[] = {{"down a b", 1}, {"down c d", 3}, {"up a b", 1}, {"down a e", 1}, {"cut a", 3},
                 {"down b c", 4}, {"heal", 2},     {"up b c", 1}, {"up c d", 1}};
    struct play p;
    (void)state;
    begin(&p, 0);
    CHECK_EACH (cases, c) {
        happen(&p, c->text, 600000);
        assert_int_equal(p.was.cut_off, c->cut_off);
    }
    sim_free(p.s);
}

/* Time that the next event ends: what has not spread by then has not spread. */
static void test_scenario_run__the_next_event_comes_too_soon(void **state)
{
    struct play p;
    (void)state;
    begin(&p, 0);
    happen(&p, "at 1s down a b", 1001);
    assert_false(p.was.converged);
    assert_int_equal(sim_now(p.s) - p.start_ms, 1001);
    sim_free(p.s);
}

static void test_scenario_random__with_loss_all_of_it_spreads(void **state)
{
    struct play p;
    struct rng rng;
    uint64_t lost = 0;
    (void)state;
    begin(&p, 200);
    rng_seed(&rng, 1);
    for (int i = 0; i < 50; i++) {
        struct scenario_event ev;
        assert_int_equal(scenario_random(p.s, &rng, &ev), ERR_OK);
        assert_int_equal(scenario_run(p.s, &ev, p.start_ms, sim_now(p.s) - p.start_ms + 600000, &p.was),
                         ERR_OK);
        assert_true(p.was.converged);
        lost += p.was.stats.lost;
    }
    assert_true(lost > 0);
    sim_free(p.s);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_scenario_parse__what_it_says),
                     cmocka_unit_test(test_scenario_parse__refused_with_the_line),
                     cmocka_unit_test(test_scenario_run__every_kind),
                     cmocka_unit_test(test_scenario_run__cut_and_healed),
                     cmocka_unit_test(test_scenario_run__crashed_and_restarted),
                     cmocka_unit_test(test_scenario_run__who_is_cut_off),
                     cmocka_unit_test(test_scenario_run__the_next_event_comes_too_soon),
                     cmocka_unit_test(test_scenario_random__with_loss_all_of_it_spreads));
}
