/* tests/unit/linkstate/test_route_opinion.c — routes from published tables drawn by lot, beside a second
 * opinion that is computed the slow way, and by several threads at once: mirrors linkstate/route*.c */
#include "linkstate/trace.h"
#include "tests/unit/linkstate/world.h"

#include <pthread.h>

/* --- The second opinion ---------------------------------------------------------------------------------
 * Straight from the words of the rule, over the organization itself: no classes, no hashes, no memory. */

struct asked { /* a message somewhere */
    struct world *w;
    unsigned from;
    struct route_message m;
    const struct trace *trace;
    uint64_t generation;
};

static bool on_list(const char *list, struct span sender)
{
    struct span word = span_cstr(list);
    if (sender.len == 0)
        return span_eq(word, SPAN("<>"));
    return span_ieq(word, sender) || (word.len > 0 && word.ptr[0] == '@' && span_has_isuffix(sender, word));
}

static bool may_use(const struct w_connector *c, const struct route_message *m)
{
    bool content_ok = c->content == CONF_CONTENT_ALL || (c->content == CONF_CONTENT_SYSTEM) == m->system;
    return (c->priorities == 0 || (c->priorities >> m->priority & 1) != 0) && content_ok &&
           (c->max_size == 0 || m->size_bytes <= c->max_size) &&
           (c->accept[0] == '\0' || on_list(c->accept, m->sender)) && !on_list(c->reject, m->sender);
}

static bool own_mail(const struct asked *a)
{
    return !a->m.in_transit || a->w->scope_at_start;
}

static bool edge_open(const struct asked *a, unsigned owner, const struct w_connector *c, bool any_state)
{
    bool scope = !c->scope || (owner == a->from ? own_mail(a) : a->w->scope_at_start);
    bool enter = a->trace == NULL || trace_admits(a->trace, span_cstr(c->to), a->generation);
    return c->to[0] != '\0' && scope && may_use(c, &a->m) && (any_state || (!c->down && enter));
}

static unsigned group_of(const struct world *w, const char *name)
{
    unsigned i = 0;
    while (i < w->n && strcmp(w->g[i].name, name) != 0)
        i++;
    return i;
}

enum { FAR = 1000000 };

/* Bellman and Ford. */
static void distances(const struct asked *a, unsigned source, bool any_state, unsigned dist[GROUPS])
{
    for (unsigned i = 0; i < GROUPS; i++)
        dist[i] = i == source ? 0 : FAR;
    for (unsigned round = 0; round < GROUPS; round++)
        for (unsigned g = 0; g < a->w->n; g++)
            for (unsigned k = 0; k < a->w->g[g].n; k++) {
                const struct w_connector *c = &a->w->g[g].c[k];
                unsigned to = group_of(a->w, c->to);
                if (to < a->w->n && edge_open(a, g, c, any_state) && dist[g] + c->cost < dist[to])
                    dist[to] = dist[g] + c->cost;
            }
}

/* Some connector on the way leads to a group that has no record: what it leads to is anybody's guess. */
static bool open_end(const struct asked *a, const unsigned ever[GROUPS])
{
    for (unsigned g = 0; g < a->w->n; g++)
        for (unsigned k = 0; k < a->w->g[g].n; k++) {
            const struct w_connector *c = &a->w->g[g].c[k];
            if (ever[g] < FAR && c->to[0] != '\0' && group_of(a->w, c->to) == a->w->n &&
                edge_open(a, g, c, true))
                return true;
        }
    return false;
}

static long specificity(const char *space, struct span domain)
{
    struct span s = span_cstr(space);
    if (span_eq(s, SPAN("*")))
        return 0;
    if (s.ptr[0] == '*')
        return domain.len > s.len - 1 && span_has_isuffix(domain, span_from(s, 1)) ? (long)s.len : -1;
    return span_ieq(s, domain) ? 100000 : -1;
}

struct choice {
    enum route_kind kind;
    unsigned group, cost;
    const struct w_connector *connector;
    unsigned nfirsts; /* connectors of the asking group that begin a way of that cost */
    const struct w_connector *firsts[CONNECTORS];
};

static void add_first(struct choice *c, const struct w_connector *k)
{
    for (unsigned i = 0; i < c->nfirsts; i++)
        if (c->firsts[i] == k)
            return;
    c->firsts[c->nfirsts++] = k;
}

static void add_firsts(const struct asked *a, unsigned owner, const struct w_connector *k, unsigned path,
                       struct choice *ret)
{
    if (owner == a->from) {
        add_first(ret, k);
        return;
    }
    const struct w_group *g = &a->w->g[a->from];
    for (unsigned i = 0; i < g->n; i++) {
        unsigned dist[GROUPS], to = group_of(a->w, g->c[i].to);
        if (to >= a->w->n || !edge_open(a, a->from, &g->c[i], false))
            continue;
        distances(a, to, false, dist);
        if (dist[owner] < FAR && g->c[i].cost + dist[owner] == path)
            add_first(ret, &g->c[i]);
    }
}

static bool better(const struct asked *a, unsigned group, const struct w_connector *k, unsigned cost,
                   const struct choice *than)
{
    if (than->connector == NULL || cost != than->cost)
        return than->connector == NULL || cost < than->cost;
    if ((group == a->from) != (than->group == a->from))
        return group == a->from;
    int order = strcmp(k->name, than->connector->name);
    return order != 0 ? order < 0 : strcmp(a->w->g[group].name, a->w->g[than->group].name) < 0;
}

struct found { /* a candidate that exists for the message */
    unsigned group, cost;
    const struct w_connector *connector;
    long specificity;
    bool works;
};

static unsigned find_candidates(const struct asked *a, struct span domain, struct found *out)
{
    unsigned now[GROUPS], ever[GROUPS], n = 0;
    distances(a, a->from, false, now);
    distances(a, a->from, true, ever);
    bool unheard = open_end(a, ever);
    for (unsigned g = 0; g < a->w->n; g++)
        for (unsigned i = 0; i < a->w->g[g].n; i++) {
            const struct w_connector *c = &a->w->g[g].c[i];
            unsigned base = c->to[0] != '\0' ? c->cost : 0;
            bool scope = !c->scope || (g == a->from && own_mail(a));
            bool enter = c->to[0] == '\0' || strcmp(c->to, a->w->g[g].name) == 0 || a->trace == NULL ||
                         trace_admits(a->trace, span_cstr(c->to), a->generation);
            for (unsigned k = 0; k < c->nspaces && scope && may_use(c, &a->m) && (ever[g] < FAR || unheard);
                 k++)
                out[n++] =
                    (struct found){g, now[g] + base + c->space_costs[k], c, specificity(c->spaces[k], domain),
                                   now[g] < FAR && !c->down && enter};
        }
    return n;
}

static void brute_force(const struct asked *a, struct span domain, struct choice *ret)
{
    struct found all[GROUPS * CONNECTORS * SPACES];
    unsigned n = find_candidates(a, domain, all), now[GROUPS];
    *ret = (struct choice){.kind = ROUTE_NONE};
    for (long level = 100000; level >= 0; level--) {
        bool any = false, internal = false;
        for (unsigned i = 0; i < n; i++) {
            if (all[i].specificity != level)
                continue;
            any = true;
            internal = internal || all[i].connector->local;
            if (all[i].works && better(a, all[i].group, all[i].connector, all[i].cost, ret)) {
                ret->group = all[i].group;
                ret->connector = all[i].connector;
                ret->cost = all[i].cost;
            }
        }
        if (any)
            ret->kind = ret->connector == NULL                           ? ROUTE_UNREACHABLE
                        : ret->connector->local && ret->group == a->from ? ROUTE_LOCAL
                                                                         : ROUTE_NEXT_HOP;
        if (ret->connector != NULL) {
            distances(a, a->from, false, now);
            add_firsts(a, ret->group, ret->connector, now[ret->group], ret);
            for (unsigned i = 0; i < n && a->w->spread; i++)
                if (all[i].specificity == level && all[i].works && all[i].cost == ret->cost &&
                    (all[i].group == a->from) == (ret->group == a->from))
                    add_firsts(a, all[i].group, all[i].connector, now[all[i].group], ret);
        }
        if (ret->connector != NULL || (any && (internal || a->w->no_fall_back)))
            return;
        if (level == 100000)
            level = WORD; /* no pattern is longer */
    }
}

static const char *const labels[] = {"a", "b", "net"};
static const struct span senders[] = {SPAN_INIT("u@a.net"), SPAN_INIT("v@a.net"), SPAN_INIT("v@b.net"),
                                      SPAN_INIT("")};

static void random_name(struct rng *rng, char out[WORD], bool pattern)
{
    size_t n = 1 + rng_below(rng, 3), used = 0;
    out[0] = '\0';
    if (pattern && rng_below(rng, 5) == 0) {
        (void)snprintf(out, WORD, "*");
        return;
    }
    if (pattern && rng_below(rng, 2) == 0)
        used += (size_t)snprintf(out, WORD, "*.");
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(out + used, WORD - used, "%s%s", i > 0 ? "." : "",
                                 labels[rng_below(rng, ARRAY_LEN(labels))]);
}

static bool one_in(struct rng *rng, unsigned n)
{
    return rng_below(rng, n) == 0;
}

static void random_connector(struct rng *rng, const struct world *w, unsigned at, struct w_connector *c)
{
    static const char *const words[] = {"", "", "", "", "u@a.net", "@a.net", "<>"};
    *c = (struct w_connector){.cost = 1 + (unsigned)rng_below(rng, 3),
                              .weight = 1 + (unsigned)rng_below(rng, 4),
                              .down = one_in(rng, 4),
                              .scope = one_in(rng, 5),
                              .max_size = one_in(rng, 4) ? 1 + rng_below(rng, 3) : 0,
                              .priorities = one_in(rng, 6) ? 1u << rng_below(rng, 3) : 0,
                              .content = one_in(rng, 6) ? 1 + (unsigned)rng_below(rng, 2) : 0};
    (void)snprintf(c->name, WORD, "%c%u", (char)('a' + rng_below(rng, 4)), at);
    (void)snprintf(c->accept, WORD, "%s", words[rng_below(rng, ARRAY_LEN(words))]);
    (void)snprintf(c->reject, WORD, "%s", words[rng_below(rng, ARRAY_LEN(words))]);
    if (one_in(rng, 2)) /* also to nobody, and to itself */
        (void)snprintf(c->to, WORD, "g%u", (unsigned)rng_below(rng, w->n + 1));
    if (c->to[0] == '\0' || one_in(rng, 6))
        c->nspaces = (unsigned)rng_below(rng, SPACES + 1);
    for (unsigned k = 0; k < c->nspaces; k++) {
        random_name(rng, c->spaces[k], true);
        c->space_costs[k] = 1 + (unsigned)rng_below(rng, 3);
    }
}

static void random_world(struct rng *rng, struct world *w)
{
    *w = (struct world){.n = 1 + (unsigned)rng_below(rng, GROUPS),
                        .no_fall_back = one_in(rng, 3),
                        .spread = one_in(rng, 2),
                        .scope_at_start = one_in(rng, 3)};
    for (unsigned g = 0; g < w->n; g++) {
        (void)snprintf(w->g[g].name, WORD, "g%u", g);
        w->g[g].minor = (unsigned)rng_below(rng, 3);
        w->g[g].n = (unsigned)rng_below(rng, CONNECTORS + 1);
        for (unsigned i = 0; i < w->g[g].n; i++)
            random_connector(rng, w, i, &w->g[g].c[i]);
        for (unsigned k = 0; g > 0 && w->g[g].n > 0 && k < 2 && one_in(rng, 3); k++) {
            struct w_connector *c = &w->g[g].c[0];
            if (k == 0)
                *c = (struct w_connector){.name = RECORD_LOCAL_CONNECTOR, .local = true, .weight = 1};
            random_name(rng, c->spaces[k], false);
            c->space_costs[k] = 1;
            c->nspaces = k + 1;
        }
        qsort(w->g[g].c, w->g[g].n, sizeof w->g[g].c[0], w_by_name);
    }
}

static void random_trace(struct rng *rng, const struct world *w, uint64_t generation, char names[][WORD],
                         struct trace *t)
{
    t->n = 0;
    for (unsigned i = 0; i < 3 && one_in(rng, 2); i++) {
        (void)snprintf(names[i], WORD, "g%u", (unsigned)rng_below(rng, w->n));
        assert_int_equal(trace_leave(t, span_cstr(names[i]), generation - 1 + rng_below(rng, 2)), ERR_OK);
    }
}

static void check_explanation(const struct asked *a, const struct route_table *t, struct span domain,
                              const struct choice *want)
{
    struct route_ask ask = {
        .domain = domain, .message = a->m, .from_group = span_cstr(a->w->g[a->from].name), .trace = a->trace};
    struct route_explanation x;
    assert_int_equal(route_explain(t, &ask, &x), ERR_OK);
    assert_int_equal(x.kind, want->kind);
    if (x.kind == ROUTE_NEXT_HOP) {
        uint32_t cost = x.candidates[x.chosen].space_cost;
        struct span at = ask.from_group;
        for (size_t i = 0; i < x.nsteps; i++) {
            check_span(x.steps[i].from, at);
            at = x.steps[i].to;
            cost += x.steps[i].cost;
        }
        check_span(at, span_cstr(a->w->g[want->group].name));
        check_span(x.candidates[x.chosen].connector, span_cstr(want->connector->name));
        check_span(x.first.connector, span_cstr(want->firsts[0]->name));
        assert_int_equal(cost, want->cost);
        assert_int_equal(x.cost, want->cost);
    }
    route_explanation_done(&x);
}

static void check_lookup(const struct asked *a, const struct route_table *t, struct span domain,
                         const struct choice *want, struct rng *rng)
{
    struct route r;
    uint32_t klass = route_class(t, &a->m);
    for (unsigned i = 0; i < 4; i++) {
        bool among = false;
        route_lookup_message(t, domain, klass, a->trace, i == 0 ? 0 : rng_next(rng), &r);
        assert_int_equal(r.kind, want->kind);
        if (r.kind != ROUTE_NEXT_HOP)
            return;
        assert_int_equal(r.cost, want->cost);
        if (i == 0) /* a tie goes to the first by name */
            check_span(span_cstr(r.connector->name), span_cstr(want->firsts[0]->name));
        for (unsigned k = 0; k < want->nfirsts; k++)
            among = among || strcmp(want->firsts[k]->name, r.connector->name) == 0;
        assert_true(among);
    }
}

static void test_route_opinion__agrees_with_brute_force(void **state)
{
    (void)state;
    struct rng rng;
    static struct world w;
    static struct w_conf conf;
    rng_seed(&rng, check_seed());
    unsigned kinds[4] = {0};
    for (int round = 0; round < 1500; round++) {
        random_world(&rng, &w);
        struct route_table *t = w_table(&w, 0, &conf);
        struct route_table_facts facts;
        route_table_facts(t, &facts);
        for (int i = 0; i < 30; i++) {
            char domain[WORD], names[3][WORD];
            struct trace trace;
            struct choice want;
            random_name(&rng, domain, false);
            random_trace(&rng, &w, facts.generation, names, &trace);
            struct asked a = {&w,
                              one_in(&rng, 2) ? 0 : (unsigned)rng_below(&rng, w.n),
                              {rng_below(&rng, 5), (enum priority)rng_below(&rng, 3), one_in(&rng, 2),
                               senders[rng_below(&rng, ARRAY_LEN(senders))], one_in(&rng, 2)},
                              one_in(&rng, 3) ? &trace : NULL,
                              facts.generation};
            brute_force(&a, span_cstr(domain), &want);
            kinds[want.kind]++;
            check_explanation(&a, t, span_cstr(domain), &want);
            if (a.from == 0)
                check_lookup(&a, t, span_cstr(domain), &want, &rng);
        }
        route_table_unref(t);
    }
    for (int k = ROUTE_NEXT_HOP; k <= ROUTE_NONE; k++)
        assert_true(kinds[k] > 100); /* the lots were worth drawing */
}

/* --- Many at a time --------------------------------------------------------------------------------------
 */

enum { THREADS = 4, LOOKUPS = 20000, CLASSES = 200 };
struct looker {
    const struct route_table *t;
    uint64_t seed, sum;
};

static void *look(void *arg)
{
    struct looker *l = arg;
    struct rng rng;
    rng_seed(&rng, l->seed);
    for (int i = 0; i < LOOKUPS; i++) {
        char domain[WORD];
        struct route r;
        random_name(&rng, domain, false);
        route_lookup(l->t, span_cstr(domain), (uint32_t)rng_below(&rng, CLASSES), &r);
        l->sum = l->sum * 31 + r.cost * 4 + r.kind;
    }
    return NULL;
}

/* All at once on a new table, and one after the other on another one: the same answers. */
static void test_route_opinion__threads_share_what_was_found_out(void **state)
{
    (void)state;
    struct rng rng;
    static struct world w;
    static struct w_conf conf;
    struct looker many[THREADS], one;
    pthread_t threads[THREADS];
    rng_seed(&rng, check_seed());
    for (int round = 0; round < 3; round++) {
        random_world(&rng, &w);
        struct route_table *shared = w_table(&w, 0, &conf), *own = w_table(&w, 0, &conf);
        for (unsigned i = 0; i < THREADS; i++) {
            many[i] = (struct looker){shared, 1 + i / 2, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, look, &many[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            one = (struct looker){own, 1 + i / 2, 0};
            (void)pthread_join(threads[i], NULL);
            (void)look(&one);
            assert_true(one.sum == many[i].sum);
        }
        route_table_unref(shared);
        route_table_unref(own);
    }
}

/* --- Spreading ----------------------------------------------------------------------------------------- */

static void test_route_opinion__equal_ways_get_shares_by_weight(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    static const struct {
        const char *verb, *line;
    } lines[] = {{"group", "a"},
                 {"option", "spread=yes"},
                 {"edge", "b1 b 1 weight=1"},
                 {"edge", "b2 b 1 weight=2"},
                 {"edge", "c1 c 1 weight=5"},
                 {"edge", "d1 d 2 weight=9"},
                 {"group", "b"},
                 {"edge", "x e 1"},
                 {"group", "c"},
                 {"edge", "x e 1"},
                 {"group", "d"},
                 {"edge", "x e 1"},
                 {"group", "e"},
                 {"local", "e.example"}};
    static const struct {
        const char *name;
        unsigned share; /* of 8 */
    } want[] = {{"b1", 1}, {"b2", 2}, {"c1", 5}, {"d1", 0}};
    enum { MESSAGES = 8000 };
    unsigned counts[ARRAY_LEN(want)] = {0};
    CHECK_EACH (lines, l)
        w_line(&w, span_cstr(l->verb), span_cstr(l->line));
    struct route_table *t = w_table(&w, 0, &conf);
    for (uint64_t id = 1; id <= MESSAGES; id++) {
        struct route r, again;
        route_lookup_message(t, SPAN("e.example"), 0, NULL, id, &r);
        route_lookup_message(t, SPAN("e.example"), 0, NULL, id, &again);
        assert_ptr_equal(r.connector, again.connector); /* a message keeps its way */
        for (size_t k = 0; k < ARRAY_LEN(want); k++)
            counts[k] += strcmp(want[k].name, r.connector->name) == 0;
    }
    for (size_t k = 0; k < ARRAY_LEN(want); k++) {
        unsigned fair = MESSAGES / 8 * want[k].share;
        assert_in_range(counts[k], fair - fair / 5, fair + fair / 5);
    }
    route_table_unref(t);
}

/* Beyond the second of two equal ways lies a group that the message has been in. */
static void test_route_opinion__shares_do_not_go_back(void **state)
{
    (void)state;
    struct world w = {.n = 0};
    struct w_conf conf;
    struct route_table_facts facts;
    struct trace trace = {.n = 0};
    static const struct {
        const char *verb, *line;
    } lines[] = {{"group", "a"}, {"option", "spread=yes"}, {"edge", "b1 b 1"}, {"edge", "c1 c 1"},
                 {"group", "b"}, {"edge", "x e 2"},        {"group", "c"},     {"edge", "x d 1"},
                 {"group", "d"}, {"edge", "x e 1"},        {"group", "e"},     {"local", "e.example"}};
    CHECK_EACH (lines, l)
        w_line(&w, span_cstr(l->verb), span_cstr(l->line));
    struct route_table *t = w_table(&w, 0, &conf);
    route_table_facts(t, &facts);
    assert_int_equal(trace_leave(&trace, SPAN("d"), facts.generation), ERR_OK);
    unsigned spread = 0;
    for (uint64_t id = 1; id <= 100; id++) {
        struct route free_to_go, r;
        route_lookup_message(t, SPAN("e.example"), 0, NULL, id, &free_to_go);
        spread += strcmp(free_to_go.connector->name, "c1") == 0;
        route_lookup_message(t, SPAN("e.example"), 0, &trace, id, &r);
        assert_int_equal(r.cost, 4);
        assert_string_equal(r.connector->name, "b1");
    }
    assert_in_range(spread, 1, 99); /* the way was there to be taken */
    route_table_unref(t);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_route_opinion__agrees_with_brute_force),
                     cmocka_unit_test(test_route_opinion__threads_share_what_was_found_out),
                     cmocka_unit_test(test_route_opinion__equal_ways_get_shares_by_weight),
                     cmocka_unit_test(test_route_opinion__shares_do_not_go_back));
}
