/* tests/unit/linkstate/test_route.c — mirrors linkstate/route.c and linkstate/class.c */
#include "common/rng.h"
#include "linkstate/route.h"
#include "tests/unit/check.h"

/* --- Settings built by hand ------------------------------------------------------------------------ */

/* Settings hold modifiable text. */
#define T(text) ((char[]){text})
#define STRS(...)                                                                                            \
    (struct conf_strs)                                                                                       \
    {                                                                                                        \
        .items = (char *[]){__VA_ARGS__}, .count = sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)          \
    }
#define SPACES(...)                                                                                          \
    {                                                                                                        \
        .items = (struct conf_address_space[]){__VA_ARGS__},                                                 \
        .count = sizeof((struct conf_address_space[]){__VA_ARGS__}) / sizeof(struct conf_address_space)      \
    }

static struct route_table *build(const struct conf_connector *connectors, size_t n,
                                 const struct conf_local_domain *locals, size_t nlocals)
{
    /* The settings of one test live until its end; the table only borrows them. */
    static struct conf_root root;
    struct errctx ec = {""};
    struct route_table *t = NULL;
    root = (struct conf_root){0};
    root.connectors.items = (struct conf_connector *)connectors;
    root.connectors.count = n;
    root.local_domains.items = (struct conf_local_domain *)locals;
    root.local_domains.count = nlocals;
    if (route_table_build(&root, SPAN(""), NULL, NULL, &t, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    return t;
}

static const char *route_name(const struct route *r)
{
    static const char *const kinds[] = {"local", "", "unreachable", "none"};
    return r->kind == ROUTE_NEXT_HOP ? r->connector->name : kinds[r->kind];
}

static void test_route__most_specific_space_wins_then_cost_then_name(void **state)
{
    (void)state;
    struct conf_connector connectors[] = {
        {.name = T("internet"), .address_spaces = SPACES({T("*"), 10}), .deliver = CONF_DELIVER_DNS},
        {.name = T("net"), .address_spaces = SPACES({T("*.net"), 90})},
        {.name = T("example-net"),
         .address_spaces = SPACES({T("*.EXAMPLE.net"), 50}, {T("example.net."), 3})},
        {.name = T("b-twin"), .address_spaces = SPACES({T("twin.example"), 5})},
        {.name = T("a-twin"), .address_spaces = SPACES({T("twin.example"), 5})},
        {.name = T("dear-twin"), .address_spaces = SPACES({T("twin.example"), 6})},
        {.name = T("group"),
         .type = CONF_CONNECTOR_ROUTING_GROUP,
         .cost = 7,
         .address_spaces = SPACES({T("far.example"), 2})},
    };
    struct conf_local_domain locals[] = {{.domain = T("here.example"), .deliver = T("maildir:x")}};
    struct route_table *t = build(connectors, ARRAY_LEN(connectors), locals, 1);
    static const struct {
        struct span domain;
        const char *route;
        uint32_t cost;
    } cases[] = {
        {SPAN_INIT("example.org"), "internet", 10},
        {SPAN_INIT("net"), "internet", 10}, /* "*.net" is below net, not net itself */
        {SPAN_INIT("other.net"), "net", 90},
        {SPAN_INIT("example.net"), "example-net", 3},
        {SPAN_INIT("a.example.net"), "example-net", 50},
        {SPAN_INIT("a.b.c.d.e.f.example.net"), "example-net", 50},
        {SPAN_INIT("badexample.net"), "net", 90},
        {SPAN_INIT("twin.example"), "a-twin", 5},
        {SPAN_INIT("x.twin.example"), "internet", 10},
        {SPAN_INIT("here.example"), "local", 0},
        {SPAN_INIT("x.here.example"), "internet", 10},
        {SPAN_INIT("far.example"), "group", 9},
        {SPAN_INIT("[192.0.2.1]"), "internet", 10},
        {SPAN_INIT(""), "internet", 10},
    };
    CHECK_EACH (cases, c) {
        struct route r;
        route_lookup(t, c->domain, 0, &r);
        assert_string_equal(route_name(&r), c->route);
        assert_int_equal(r.cost, c->cost);
    }
    route_table_unref(t);
}

static void test_route__no_address_space_means_no_route(void **state)
{
    (void)state;
    struct conf_connector connectors[] = {
        {.name = T("lab"), .address_spaces = SPACES({T("*.lab.example"), 1})}};
    struct route_table *t = build(connectors, 1, NULL, 0);
    struct route r;
    route_lookup(t, SPAN("example.org"), 0, &r);
    assert_int_equal(r.kind, ROUTE_NONE);
    route_table_unref(t);
    t = build(NULL, 0, NULL, 0);
    route_lookup(t, SPAN("example.org"), UINT32_MAX, &r);
    assert_int_equal(r.kind, ROUTE_NONE);
    assert_int_equal(route_class(t, &(struct route_message){.size_bytes = UINT64_MAX, .system = true}), 0);
    route_table_unref(t);
}

static void test_route__delivery_is_by_dns_or_smart_hosts(void **state)
{
    (void)state;
    struct conf_connector connectors[] = {
        {.name = T("auto-dns"), .address_spaces = SPACES({T("a.example"), 1}), .allow_relay = true},
        {.name = T("auto-hosts"),
         .address_spaces = SPACES({T("b.example"), 1}),
         .smart_hosts = STRS(T("h:25"))},
        {.name = T("dns"),
         .address_spaces = SPACES({T("c.example"), 1}),
         .smart_hosts = STRS(T("h:25")),
         .deliver = CONF_DELIVER_DNS},
        {.name = T("hosts"),
         .address_spaces = SPACES({T("d.example"), 1}),
         .smart_hosts = STRS(T("h:25")),
         .deliver = CONF_DELIVER_SMART_HOSTS},
    };
    static const struct {
        struct span domain;
        bool dns, relay;
    } cases[] = {
        {SPAN_INIT("a.example"), true, true},
        {SPAN_INIT("b.example"), false, false},
        {SPAN_INIT("c.example"), true, false},
        {SPAN_INIT("d.example"), false, false},
    };
    struct route_table *t = build(connectors, ARRAY_LEN(connectors), NULL, 0);
    CHECK_EACH (cases, c) {
        struct route r;
        route_lookup(t, c->domain, 0, &r);
        assert_int_equal(r.dns, c->dns);
        assert_int_equal(r.relay_open, c->relay);
    }
    route_table_unref(t);
}

/* A connector that a message may not use does not exist for it: the next less specific one takes over. */
static void test_route__restrictions_decide_per_message(void **state)
{
    (void)state;
    struct conf_connector connectors[] = {
        {.name = T("any"), .address_spaces = SPACES({T("*"), 10})},
        {.name = T("small"), .address_spaces = SPACES({T("*.x.example"), 1}), .max_message_size = 1000},
        {.name = T("medium"), .address_spaces = SPACES({T("*.x.example"), 2}), .max_message_size = 5000},
        {.name = T("urgent"),
         .address_spaces = SPACES({T("p.example"), 1}),
         .priorities = STRS(T("high"), T("Normal"))},
        {.name = T("reports"), .address_spaces = SPACES({T("s.example"), 1}), .content = CONF_CONTENT_SYSTEM},
        {.name = T("people"),
         .address_spaces = SPACES({T("n.example"), 1}),
         .content = CONF_CONTENT_NON_SYSTEM},
        {.name = T("staff"),
         .address_spaces = SPACES({T("f.example"), 1}),
         .accept_from = STRS(T("boss@corp.example"), T("@staff.example"), T("@xn--bcher-kva.example"))},
        {.name = T("no-spam"),
         .address_spaces = SPACES({T("r.example"), 1}),
         .reject_from = STRS(T("@spam.example"), T("<>"))},
    };
    static const struct {
        struct span domain, sender;
        uint64_t size;
        enum priority priority;
        bool system;
        const char *route;
    } cases[] = {
        {SPAN_INIT("a.x.example"), SPAN_INIT("u@v"), 1000, PRIORITY_NORMAL, false, "small"},
        {SPAN_INIT("a.x.example"), SPAN_INIT("u@v"), 1001, PRIORITY_NORMAL, false, "medium"},
        {SPAN_INIT("a.x.example"), SPAN_INIT("u@v"), 5001, PRIORITY_NORMAL, false, "any"},
        {SPAN_INIT("p.example"), SPAN_INIT("u@v"), 1, PRIORITY_HIGH, false, "urgent"},
        {SPAN_INIT("p.example"), SPAN_INIT("u@v"), 1, PRIORITY_NORMAL, false, "urgent"},
        {SPAN_INIT("p.example"), SPAN_INIT("u@v"), 1, PRIORITY_LOW, false, "any"},
        {SPAN_INIT("s.example"), SPAN_INIT(""), 1, PRIORITY_NORMAL, true, "reports"},
        {SPAN_INIT("s.example"), SPAN_INIT(""), 1, PRIORITY_NORMAL, false, "any"},
        {SPAN_INIT("n.example"), SPAN_INIT(""), 1, PRIORITY_NORMAL, true, "any"},
        {SPAN_INIT("n.example"), SPAN_INIT(""), 1, PRIORITY_NORMAL, false, "people"},
        {SPAN_INIT("f.example"), SPAN_INIT("BOSS@Corp.example"), 1, PRIORITY_NORMAL, false, "staff"},
        {SPAN_INIT("f.example"), SPAN_INIT("clerk@corp.example"), 1, PRIORITY_NORMAL, false, "any"},
        {SPAN_INIT("f.example"), SPAN_INIT("clerk@STAFF.example"), 1, PRIORITY_NORMAL, false, "staff"},
        {SPAN_INIT("f.example"),
         SPAN_INIT("a@B\xc3\x9c"
                   "cher.example"),
         1, PRIORITY_NORMAL, false, "staff"}, /* as the configuration has it in its normal form */
        {SPAN_INIT("f.example"), SPAN_INIT(""), 1, PRIORITY_NORMAL, false, "any"},
        {SPAN_INIT("r.example"), SPAN_INIT("a@good.example"), 1, PRIORITY_NORMAL, false, "no-spam"},
        {SPAN_INIT("r.example"), SPAN_INIT("a@spam.example"), 1, PRIORITY_NORMAL, false, "any"},
        {SPAN_INIT("r.example"), SPAN_INIT(""), 1, PRIORITY_NORMAL, false, "any"},
    };
    struct route_table *t = build(connectors, ARRAY_LEN(connectors), NULL, 0);
    CHECK_EACH (cases, c) {
        struct route r;
        struct route_message m = {c->size, c->priority, c->system, c->sender, false};
        route_lookup(t, c->domain, route_class(t, &m), &r);
        assert_string_equal(route_name(&r), c->route);
    }
    route_table_unref(t);
}

/* The order of connectors and of the words of a list is not part of a class; what nobody restricts is not
 * either. */
static void test_route__classes_depend_on_the_restrictions_alone(void **state)
{
    (void)state;
    struct conf_connector one[] = {
        {.name = T("a"), .max_message_size = 10, .accept_from = STRS(T("@a.example"), T("@b.example"))},
        {.name = T("b"), .max_message_size = 20, .reject_from = STRS(T("@c.example"))},
        {.name = T("c"), .accept_from = STRS(T("@B.example"), T("@a.example"))},
    };
    struct conf_connector two[] = {one[1], one[2], one[0], one[1]};
    struct route_table *t1 = build(one, ARRAY_LEN(one), NULL, 0);
    static const struct {
        struct route_message m;
        uint32_t klass;
    } cases[] = {
        {{10, PRIORITY_HIGH, true, SPAN_INIT("x@y"), false}, 0},
        {{11, PRIORITY_LOW, false, SPAN_INIT("x@y"), false}, 1 << 3},
        {{21, PRIORITY_LOW, false, SPAN_INIT("x@y"), false}, 2 << 3},
        {{1, PRIORITY_LOW, false, SPAN_INIT("x@a.example"), false}, 1 << 8},
        {{1, PRIORITY_LOW, false, SPAN_INIT("x@b.example"), false}, 1 << 8},
        {{11, PRIORITY_LOW, false, SPAN_INIT("x@c.example"), false}, 1 << 3 | 1 << 9},
    };
    struct route_table *tables[] = {t1, NULL};
    CHECK_EACH (cases, c)
        assert_int_equal(route_class(t1, &c->m), c->klass);
    tables[1] = build(two, ARRAY_LEN(two), NULL, 0);
    CHECK_EACH (cases, c)
        assert_int_equal(route_class(tables[1], &c->m), c->klass);
    route_table_unref(tables[1]);
    route_table_unref(t1);
}

static void test_route__bad_settings_are_refused_by_name(void **state)
{
    (void)state;
    static char sizes_names[40][8];
    struct conf_connector many[40] = {{0}};
    struct conf_connector lists[40] = {{0}};
    static char *words[40];
    static char name[] = "c";
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        snprintf(sizes_names[i], sizeof(sizes_names[i]), "@d%zu", i);
        words[i] = sizes_names[i];
        many[i] = (struct conf_connector){.name = name, .max_message_size = 1 + i};
        lists[i] = (struct conf_connector){.name = name, .accept_from = {&words[i], 1}};
    }
    struct conf_connector space = {.name = T("lab"), .address_spaces = SPACES({T("a.*.example"), 1})};
    struct conf_connector empty = {.name = T("lab"), .address_spaces = SPACES({T("."), 1})};
    struct conf_connector priority = {.name = T("lab"), .priorities = STRS(T("urgent"))};
    const struct {
        struct conf_connector *items;
        size_t n;
        const char *says;
    } cases[] = {
        {many, 40, "max_message_size"}, {lists, 40, "accept_from"}, {&space, 1, "'a.*.example'"},
        {&empty, 1, "connector lab"},   {&priority, 1, "'urgent'"},
    };
    CHECK_EACH (cases, c) {
        struct conf_root root = {0};
        struct errctx ec = {""};
        struct route_table *t = NULL;
        root.connectors.items = c->items;
        root.connectors.count = c->n;
        assert_int_equal(route_table_build(&root, SPAN(""), NULL, NULL, &t, &ec), ERR_CONFIG);
        assert_non_null(strstr(ec.msg, c->says));
        assert_null(t);
    }
}

static int released;
static void count_release(void *owner)
{
    (void)owner;
    released++;
}

static void test_route__the_last_reference_releases_the_settings(void **state)
{
    (void)state;
    struct conf_root root = {0};
    struct route_table *t = NULL;
    released = 0;
    assert_int_equal(route_table_build(&root, SPAN(""), count_release, &root, &t, NULL), ERR_OK);
    assert_ptr_equal(route_table_ref(t), t);
    route_table_unref(t);
    assert_int_equal(released, 0);
    route_table_unref(t);
    assert_int_equal(released, 1);
    route_table_unref(NULL);
}

/* --- Comparison with a second opinion --------------------------------------------------------------- *
 * Straight from the words of the rule, over the settings themselves: no classes, no hashes, no sorting. */

static bool on_list(const struct conf_strs *list, struct span sender)
{
    for (size_t i = 0; i < list->count; i++) {
        struct span word = span_cstr(list->items[i]);
        if (sender.len == 0
                ? span_eq(word, SPAN("<>"))
                : span_ieq(word, sender) || (word.ptr[0] == '@' && span_has_isuffix(sender, word)))
            return true;
    }
    return false;
}

static bool may_use(const struct conf_connector *c, const struct route_message *m)
{
    static const char *const priorities[] = {"normal", "low", "high"};
    bool priority_ok = c->priorities.count == 0;
    for (size_t i = 0; i < c->priorities.count; i++)
        priority_ok |= strcmp(c->priorities.items[i], priorities[m->priority]) == 0;
    bool content_ok = c->content == CONF_CONTENT_ALL || (c->content == CONF_CONTENT_SYSTEM) == m->system;
    bool size_ok = c->max_message_size == 0 || m->size_bytes <= c->max_message_size;
    return priority_ok && content_ok && size_ok &&
           (c->accept_from.count == 0 || on_list(&c->accept_from, m->sender)) &&
           !on_list(&c->reject_from, m->sender);
}

/* Specificity of a matching space; -1: no match. */
static long specificity(const char *space, struct span domain)
{
    struct span s = span_cstr(space);
    if (span_eq(s, SPAN("*")))
        return 0;
    if (s.ptr[0] == '*')
        return domain.len > s.len - 1 && span_has_isuffix(domain, span_from(s, 1)) ? (long)s.len : -1;
    return span_ieq(s, domain) ? 100000 : -1;
}

static const char *brute_force(const struct conf_connector *connectors, size_t n, struct span domain,
                               const struct route_message *m, uint32_t *ret_cost)
{
    const struct conf_connector *best = NULL;
    long best_specificity = -1;
    *ret_cost = 0;
    for (size_t i = 0; i < n; i++) {
        const struct conf_connector *c = &connectors[i];
        for (size_t k = 0; k < c->address_spaces.count && may_use(c, m); k++) {
            long sp = specificity(c->address_spaces.items[k].space, domain);
            uint32_t cost = (uint32_t)(c->address_spaces.items[k].cost +
                                       (c->type == CONF_CONNECTOR_ROUTING_GROUP ? c->cost : 0));
            if (sp < 0 || sp < best_specificity)
                continue;
            if (sp > best_specificity || cost < *ret_cost ||
                (cost == *ret_cost && strcmp(c->name, best->name) < 0)) {
                best = c;
                best_specificity = sp;
                *ret_cost = cost;
            }
        }
    }
    return best != NULL ? best->name : "none";
}

static const char *const labels[] = {"a", "b", "c", "net", "x"};
static const char *const sender_words[] = {"u@a.net", "@a.net", "@b.net", "<>", "w@c.net"};
static const char *const priority_words[] = {"normal", "low", "high"};
static const struct span senders[] = {SPAN_INIT("u@a.net"), SPAN_INIT("v@a.net"), SPAN_INIT("v@b.net"),
                                      SPAN_INIT(""), SPAN_INIT("w@c.net")};

static void random_name(struct rng *rng, char *out, size_t size, bool pattern)
{
    size_t n = 1 + rng_below(rng, 4), used = 0;
    out[0] = '\0';
    if (pattern && rng_below(rng, 12) == 0) {
        snprintf(out, size, "*");
        return;
    }
    if (pattern && rng_below(rng, 2) == 0)
        used += (size_t)snprintf(out, size, "*.");
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? "." : "",
                                 labels[rng_below(rng, ARRAY_LEN(labels))]);
}

static void random_words(struct rng *rng, struct conf_strs *out, char **room, const char *const *from,
                         size_t n)
{
    out->items = room;
    if (rng_below(rng, 3) == 0)
        out->count = rng_below(rng, 3);
    for (size_t i = 0; i < out->count; i++)
        room[i] = (char *)from[rng_below(rng, n)];
}

enum { CONNECTORS = 8, SPACES_EACH = 4 };
struct world {
    struct conf_connector connectors[CONNECTORS];
    struct conf_address_space spaces[CONNECTORS][SPACES_EACH];
    char names[CONNECTORS][16], texts[CONNECTORS][SPACES_EACH][32];
    char *words[CONNECTORS][3][2];
};

static void random_world(struct rng *rng, struct world *w)
{
    memset(w, 0, sizeof(*w));
    for (size_t i = 0; i < CONNECTORS; i++) {
        struct conf_connector *c = &w->connectors[i];
        snprintf(w->names[i], sizeof(w->names[i]), "c%u-%zu", (unsigned)rng_below(rng, 100), i);
        c->name = w->names[i];
        c->type = (int)rng_below(rng, 2);
        c->cost = 1 + rng_below(rng, 3);
        c->content = (int)rng_below(rng, 5);
        if (c->content > CONF_CONTENT_NON_SYSTEM)
            c->content = CONF_CONTENT_ALL;
        c->max_message_size = rng_below(rng, 2) == 0 ? 0 : 1 + rng_below(rng, 4);
        random_words(rng, &c->accept_from, w->words[i][0], sender_words, ARRAY_LEN(sender_words));
        random_words(rng, &c->reject_from, w->words[i][1], sender_words, ARRAY_LEN(sender_words));
        random_words(rng, &c->priorities, w->words[i][2], priority_words, ARRAY_LEN(priority_words));
        c->address_spaces.items = w->spaces[i];
        c->address_spaces.count = rng_below(rng, SPACES_EACH + 1);
        for (size_t k = 0; k < c->address_spaces.count; k++) {
            random_name(rng, w->texts[i][k], sizeof(w->texts[i][k]), true);
            w->spaces[i][k] = (struct conf_address_space){w->texts[i][k], 1 + rng_below(rng, 3)};
        }
    }
}

static void test_route__agrees_with_brute_force(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    struct rng rng;
    static struct world w;
    rng_seed(&rng, seed);
    for (int round = 0; round < 2000; round++) {
        random_world(&rng, &w);
        struct route_table *t = build(w.connectors, CONNECTORS, NULL, 0);
        for (int i = 0; i < 50; i++) {
            char domain[32];
            uint32_t cost;
            struct route r;
            random_name(&rng, domain, sizeof(domain), false);
            struct route_message m = {rng_below(&rng, 6), (enum priority)rng_below(&rng, 3),
                                      rng_below(&rng, 2) == 0, senders[rng_below(&rng, ARRAY_LEN(senders))],
                                      false};
            const char *want = brute_force(w.connectors, CONNECTORS, span_cstr(domain), &m, &cost);
            route_lookup(t, span_cstr(domain), route_class(t, &m), &r);
            if (strcmp(route_name(&r), want) != 0 || r.cost != cost)
                fail_msg("TEST_SEED=%llu round %d: %s from '" SPAN_FMT "': got %s at %u, want %s at %u",
                         (unsigned long long)seed, round, domain, SPAN_ARG(m.sender), route_name(&r), r.cost,
                         want, cost);
        }
        route_table_unref(t);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_route__most_specific_space_wins_then_cost_then_name),
                     cmocka_unit_test(test_route__no_address_space_means_no_route),
                     cmocka_unit_test(test_route__delivery_is_by_dns_or_smart_hosts),
                     cmocka_unit_test(test_route__restrictions_decide_per_message),
                     cmocka_unit_test(test_route__classes_depend_on_the_restrictions_alone),
                     cmocka_unit_test(test_route__bad_settings_are_refused_by_name),
                     cmocka_unit_test(test_route__the_last_reference_releases_the_settings),
                     cmocka_unit_test(test_route__agrees_with_brute_force));
}
