/* tests/unit/linkstate/test_route_table.c — routes from the published table: mirrors linkstate/route*.c */
#include "linkstate/trace.h"
#include "tests/unit/linkstate/world.h"

/* --- Golden tables ------------------------------------------------------------------------------------- *
 * "? DOMAIN [from=G] [size=N] [sender=W] [high] [system] [transit] [trace=T] = RESULT": the connector of the
 * asking group and the cost, or local, wait, none. Asked of the table and of its explanation. */

struct question {
    struct route_ask ask;
    struct route_link link;
    struct trace trace;
    struct span domain, want;
};

static void read_question(struct span line, struct question *q)
{
    struct span word, value;
    *q = (struct question){.want = SPAN("")};
    assert_true(w_next(&line, &q->domain));
    while (w_next(&line, &word) && !span_eq(word, SPAN("="))) {
        value = SPAN("");
        (void)span_cut(word, '=', &word, &value);
        if (span_eq(word, SPAN("from")))
            q->ask.from_group = value;
        else if (span_eq(word, SPAN("size")))
            q->ask.message.size_bytes = w_number(value);
        else if (span_eq(word, SPAN("sender")))
            q->ask.message.sender = value;
        else if (span_eq(word, SPAN("high")))
            q->ask.message.priority = PRIORITY_HIGH;
        else if (span_eq(word, SPAN("system")))
            q->ask.message.system = true;
        else if (span_eq(word, SPAN("transit")))
            q->ask.message.in_transit = true;
        else if (span_eq(word, SPAN("trace")))
            assert_int_equal(trace_parse(value, &q->trace), ERR_OK);
        else if (span_eq(word, SPAN("without"))) {
            assert_true(span_cut(value, '/', &q->link.group, &q->link.connector));
            q->ask.down = &q->link;
            q->ask.ndown = 1;
        } else
            fail_msg("unknown word '" SPAN_FMT "'", SPAN_ARG(word));
    }
    q->want = line;
    q->ask.domain = q->domain;
    q->ask.trace = q->trace.n > 0 ? &q->trace : NULL;
}

static void write_result(struct buf *out, enum route_kind kind, struct span connector, uint32_t cost)
{
    static const char *const kinds[] = {"local", "", "wait", "none"};
    out->len = 0;
    if (kind == ROUTE_NEXT_HOP)
        assert_int_equal(buf_addf(out, SPAN_FMT " %u", SPAN_ARG(connector), cost), ERR_OK);
    else
        assert_int_equal(buf_addf(out, "%s", kinds[kind]), ERR_OK);
}

static void ask_table(const struct route_table *t, const struct question *q, struct buf *out)
{
    struct route_explanation x;
    assert_int_equal(route_explain(t, &q->ask, &x), ERR_OK);
    write_result(out, x.kind, x.first.connector, x.cost);
    route_explanation_done(&x);
    if (q->ask.from_group.len > 0 || q->ask.ndown > 0)
        return;
    struct route r;
    struct buf plain;
    buf_init(&plain, 256);
    route_lookup_message(t, q->domain, route_class(t, &q->ask.message), q->ask.trace, 0, &r);
    write_result(&plain, r.kind, span_cstr(r.kind == ROUTE_NEXT_HOP ? r.connector->name : ""), r.cost);
    check_span(buf_span(&plain), buf_span(out));
    buf_done(&plain);
}

static void play(const char *text)
{
    struct world w = {.n = 0};
    struct w_conf conf;
    struct route_table *t = NULL;
    struct span rest = span_cstr(text), line, verb;
    struct buf got;
    buf_init(&got, 256);
    while (rest.len > 0) {
        (void)span_cut(rest, '\n', &line, &rest);
        if (!w_next(&line, &verb))
            continue;
        if (!span_eq(verb, SPAN("?"))) {
            assert_null(t);
            w_line(&w, verb, line);
            continue;
        }
        struct question q;
        read_question(line, &q);
        if (t == NULL)
            t = w_table(&w, 0, &conf);
        ask_table(t, &q, &got);
        if (!span_eq(buf_span(&got), q.want))
            fail_msg("? " SPAN_FMT ": got " SPAN_FMT, SPAN_ARG(line), SPAN_ARG(buf_span(&got)));
    }
    buf_done(&got);
    route_table_unref(t);
}

static void test_route_table__takes_the_cheapest_path_that_is_up(void **state)
{
    (void)state;
    static const char square[] = "group a\n"
                                 "local a.example\n"
                                 "edge to-b b 1\n"
                                 "edge to-c c 5\n"
                                 "group b\n"
                                 "local b.example\n"
                                 "edge to-d d 1\n"
                                 "group c\n"
                                 "edge to-d d 1\n"
                                 "smtp out * 10 dns\n"
                                 "group d\n"
                                 "local d.example\n"
                                 "smtp out * 20 dns\n";
    char text[1000];
    (void)snprintf(text, sizeof text,
                   "%s? a.example = local\n"
                   "? b.example = to-b 2\n"
                   "? d.example = to-b 3\n"
                   "? x.d.example = to-c 15\n"
                   "? d.example without=b/to-d = to-c 7\n"
                   "? d.example without=a/to-b = to-c 7\n"
                   "? b.example without=a/to-b = wait\n"
                   "? d.example from=c = to-d 2\n"
                   "? d.example from=d = local\n"
                   "? a.example from=d = out 20\n" /* no edge leads back, UP or DOWN: not d's organization */
                   "? other.example from=d = out 20\n",
                   square);
    play(text);
    play("group a\n"
         "edge to-b b 1 down\n"
         "edge to-c c 5\n"
         "group b\n"
         "local b.example\n"
         "group c\n"
         "edge to-b b 1\n"
         "? b.example = to-c 7\n");
}

/* What is missing is a record, not a way: that group has just been purged, or has not been heard of yet. */
static void test_route_table__a_way_over_an_unheard_group_is_waited_for(void **state)
{
    (void)state;
    static const char *const wants[] = {"wait", "none"};
    for (int i = 0; i < 2; i++) {
        char text[1000];
        (void)snprintf(text, sizeof text,
                       "group a\n"
                       "smtp out *.net 5\n"
                       "edge to-b b 1%s\n"
                       "group c\n"
                       "local c.example\n"
                       "smtp lab lab.org 1\n"
                       "%s" /* b's record, which leads nowhere */
                       "? c.example = %s\n"
                       "? c.example from=c = local\n"
                       "? b.example = none\n" /* only b's record could tell of it */
                       "? lab.org = %s\n"
                       "? x.net = out 5\n",
                       i == 0 ? " down" : "", i == 0 ? "" : "group b\n", wants[i], wants[i]);
        play(text);
    }
}

/* Mail for what was purged waits as long as the group may come back; other mail takes other ways. */
static void test_route_table__mail_for_a_purged_group_waits(void **state)
{
    (void)state;
    play("group a\nedge to-b b 1\nedge to-c c 9\n"
         "group b purged\nlocal b.example\nsmtp lab lab.org 1 dns\nsmtp both both.net 1\nedge to-d d 1\n"
         "group c\nedge to-d d 1\nsmtp both both.net 1\n"
         "group d\nlocal d.example\n"
         "? b.example = wait\n? lab.org = wait\n? x.net = none\n"
         "? both.net = to-c 10\n? d.example = to-c 11\n");
}

static void test_route_table__falls_back_to_more_general_spaces_or_waits(void **state)
{
    (void)state;
    static const char *const texts[] = {"option fall_back=yes\n", "option fall_back=no\n"};
    static const char *const wants[] = {"to-b 16", "wait"};
    for (int i = 0; i < 2; i++) {
        char text[1000];
        (void)snprintf(text, sizeof text,
                       "group a\n%s"
                       "smtp lab *.net 1 down\n"
                       "edge to-b b 6\n"
                       "group b\n"
                       "smtp out * 10 dns\n"
                       "smtp small mail.net 1 max=1000\n"
                       "? x.net = %s\n"
                       "? x.org = to-b 16\n"
                       "? mail.net size=1000 = to-b 7\n"
                       "? mail.net size=1001 = %s\n" /* what it may not use does not exist for it */
                       "? x.org without=a/to-b = wait\n",
                       texts[i], wants[i], wants[i]);
        play(text);
    }
}

static void test_route_table__ties_go_to_the_local_group_then_to_the_names(void **state)
{
    (void)state;
    play("group m\n"
         "smtp z x.example 7\n"
         "edge to-b b 1\n"
         "edge to-n n 1\n"
         "group b\n"
         "smtp b x.example 6\n"
         "smtp b y.example 6\n"
         "smtp w z.example 6\n"
         "group n\n"
         "smtp a x.example 6\n"
         "smtp a y.example 6\n"
         "smtp w z.example 6\n"
         "? x.example = z 7\n"
         "? y.example = to-n 7\n"   /* connector a before b */
         "? z.example = to-b 7\n"); /* both called w: group b before n */
}

static void test_route_table__restrictions_of_all_edges_count(void **state)
{
    (void)state;
    play("group a\n"
         "edge fast b 1 max=100\n"
         "edge slow c 10\n"
         "group b\n"
         "edge on d 1 reject=@bulk.example\n"
         "group c\n"
         "edge on d 1\n"
         "group d\n"
         "local d.example\n"
         "smtp x25 *.x25.example 1 prio=high\n"
         "smtp rest * 1 content=system\n"
         "? d.example size=100 sender=u@good.example = fast 3\n"
         "? d.example size=101 sender=u@good.example = slow 12\n"
         "? d.example size=100 sender=u@bulk.example = slow 12\n"
         "? u.x25.example high = fast 3\n"
         "? u.x25.example = none\n"
         "? u.x25.example system = fast 3\n"
         "? d.example size=101 without=a/slow = wait\n" /* "fast" is no way for it, "slow" would be */
         "? d.example size=100 sender=u@bulk.example without=c/on = wait\n");
}

static void test_route_table__scope_keeps_others_out_also_in_transit(void **state)
{
    (void)state;
    static const char *const texts[] = {"scope_in_transit=yes", "scope_in_transit=no"};
    static const char *const wants[][4] = {{"none", "to-c 13", "own 2", "to-c 13"},
                                           {"own 2", "own 2", "own 2", "to-b 5"}};
    for (int i = 0; i < 2; i++) {
        char text[1000];
        (void)snprintf(text, sizeof text,
                       "group a\n"
                       "option %s\n"
                       "smtp own lab.example 2 scope\n"
                       "smtp own deep.example 2\n"
                       "edge to-b b 1\n"
                       "edge to-c c 10\n"
                       "group b\n"
                       "smtp theirs secret.example 1 scope\n"
                       "edge short d 3 scope\n"
                       "group c\n"
                       "smtp far deep.example 3\n"
                       "edge long d 2\n"
                       "group d\n"
                       "local d.example\n"
                       "? lab.example = own 2\n"
                       "? lab.example transit = %s\n"
                       "? deep.example transit = %s\n"
                       "? deep.example = %s\n"
                       "? d.example = %s\n"
                       "? secret.example = none\n"
                       "? secret.example from=b = theirs 1\n",
                       texts[i], wants[i][0], wants[i][1], wants[i][2], wants[i][3]);
        play(text);
    }
}

static void test_route_table__a_message_does_not_go_back(void **state)
{
    (void)state;
    play("group a\n"
         "edge to-b b 1\n"
         "edge to-c c 10\n"
         "group b\n"
         "edge to-d d 1\n"
         "group c\n"
         "edge to-d d 1\n"
         "group d\n"
         "local d.example\n" /* four records of version 1.0: generation 4 */
         "? d.example = to-b 3\n"
         "? d.example trace=z:9 = to-b 3\n"
         "? d.example trace=b:4 = to-c 12\n"
         "? d.example trace=b:3,z:4 = to-c 12\n"
         "? d.example trace=b:3 = to-b 3\n" /* link state has changed since */
         "? d.example trace=b:4,c:4 = wait\n"
         "? d.example trace=d:4 = wait\n"
         "? d.example trace=a:9 = to-b 3\n" /* it is here already */
         "? b.example trace=b:4 = none\n");
}

/* --- What is left of it without link state, and with a strange one ---------------------------------------
 */

static void test_route_table__without_link_state_the_configuration_is_all(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    struct route_table *t = NULL;
    struct route r;
    struct route_table_facts facts;
    w_line(&w, SPAN("group"), SPAN("a"));
    w_line(&w, SPAN("edge"), SPAN("to-b b 5"));
    w_space(&w.g[0].c[0], SPAN("*"), 2);
    w_conf_of(&w, 0, &conf);
    assert_int_equal(route_table_build(&conf.root, SPAN(""), NULL, NULL, &t, NULL), ERR_OK);
    route_lookup(t, SPAN("x.example"), 0, &r);
    assert_int_equal(r.kind, ROUTE_NEXT_HOP);
    assert_string_equal(r.connector->name, "to-b");
    assert_int_equal(r.cost, 7);
    assert_int_equal(r.ntargets, 2);
    assert_string_equal(r.targets[0], "t1:25");
    route_table_facts(t, &facts);
    assert_int_equal(facts.generation, 0);
    route_table_unref(t);
}

static void test_route_table__targets_that_are_up_come_first(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    struct route r;
    w_line(&w, SPAN("group"), SPAN("a"));
    w_line(&w, SPAN("smtp"), SPAN("out * 1"));
    struct route_table *t = w_table(&w, 0, &conf);
    route_lookup(t, SPAN("x.example"), 0, &r);
    assert_int_equal(r.ntargets, 2);
    assert_int_equal(r.ntargets_up, 1);
    assert_string_equal(r.targets[0], "t2:25"); /* its record says that t1 is not */
    assert_string_equal(r.targets[1], "t1:25");
    route_table_unref(t);
}

static void test_route_table__damage_costs_the_damaged_record_alone(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    struct route_table *t = NULL;
    struct route_table_facts facts;
    struct errctx ec = {""};
    struct buf b;
    w_line(&w, SPAN("group"), SPAN("a"));
    w_line(&w, SPAN("edge"), SPAN("to-b b 5"));
    w_line(&w, SPAN("group"), SPAN("b"));
    w_line(&w, SPAN("local"), SPAN("b.example"));
    w_publish(&w, &b);
    w_conf_of(&w, 0, &conf);
    b.ptr[b.len - 1] = (char)0xff; /* the last field of b's record */
    assert_int_equal(route_table_build(&conf.root, buf_span(&b), NULL, NULL, &t, &ec), ERR_OK);
    route_table_facts(t, &facts);
    assert_int_equal(facts.damaged, 1);
    assert_int_equal(facts.groups, 2); /* b is known as the end of an edge */
    struct route r;
    route_lookup(t, SPAN("b.example"), 0, &r);
    assert_int_equal(r.kind, ROUTE_NONE);
    route_table_unref(t);
    t = NULL;
    for (size_t n = 1; n < b.len; n++) {
        if (route_table_build(&conf.root, span_first(buf_span(&b), n), NULL, NULL, &t, &ec) == ERR_OK)
            route_table_unref(t);
        t = NULL;
    }
    buf_done(&b);
}

static void test_route_table__anybody_may_send_to_what_configuration_opens(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    static const struct {
        const char *verb, *line;
    } lines[] = {{"group", "a"},          {"smtp", "backup customer.example 1 relay down"},
                 {"smtp", "out * 9 dns"}, {"edge", "to-b b 5"},
                 {"group", "b"},          {"smtp", "open open.example 1 relay"}, /* b's word opens b */
                 {"local", "b.example"}};
    static const struct {
        struct span domain;
        bool open;
    } cases[] = {{SPAN_INIT("customer.example"), true}, /* also while its connector is DOWN */
                 {SPAN_INIT("x.example"), false},
                 {SPAN_INIT("open.example"), false},
                 {SPAN_INIT("b.example"), true}};
    CHECK_EACH (lines, l)
        w_line(&w, span_cstr(l->verb), span_cstr(l->line));
    struct route_table *t = w_table(&w, 0, &conf);
    CHECK_EACH (cases, c) {
        struct route r;
        route_lookup(t, c->domain, 0, &r);
        assert_int_equal(r.kind, ROUTE_NEXT_HOP);
        assert_int_equal(r.relay_open, c->open);
    }
    route_table_unref(t);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_route_table__takes_the_cheapest_path_that_is_up),
                     cmocka_unit_test(test_route_table__mail_for_a_purged_group_waits),
                     cmocka_unit_test(test_route_table__falls_back_to_more_general_spaces_or_waits),
                     cmocka_unit_test(test_route_table__a_way_over_an_unheard_group_is_waited_for),
                     cmocka_unit_test(test_route_table__ties_go_to_the_local_group_then_to_the_names),
                     cmocka_unit_test(test_route_table__restrictions_of_all_edges_count),
                     cmocka_unit_test(test_route_table__scope_keeps_others_out_also_in_transit),
                     cmocka_unit_test(test_route_table__a_message_does_not_go_back),
                     cmocka_unit_test(test_route_table__without_link_state_the_configuration_is_all),
                     cmocka_unit_test(test_route_table__targets_that_are_up_come_first),
                     cmocka_unit_test(test_route_table__damage_costs_the_damaged_record_alone),
                     cmocka_unit_test(test_route_table__anybody_may_send_to_what_configuration_opens));
}
