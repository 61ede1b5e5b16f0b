/* links: linkstate config */
/* Any link state under any of some configurations: as it was published, damaged or not, or made of records
 * that the input describes. Questions are answered the same way again, by the explanation as by the look-up,
 * and no answer leads into a group that the message has left. */
#include "linkstate/class.h"
#include "linkstate/route.h"
#include "linkstate/sim.h"
#include "linkstate/snapshot.h"
#include "linkstate/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(cond) require_at((cond), #cond, __LINE__)
static void require_at(bool ok, const char *what, int line)
{
    if (!ok) {
        (void)fprintf(stderr, "line %d: %s\n", line, what);
        abort();
    }
}

/* --- what is configured: this group is "a" ----------------------------------------------------------- */

#define LINKS                                                                                                \
    "connectors:\n"                                                                                          \
    "  - {name: to-b, type: routing_group, to_group: b, cost: 2, smart_hosts: ['b1:25', 'b2:25']}\n"         \
    "  - {name: to-c, type: routing_group, to_group: c, cost: 2, smart_hosts: ['c1:25'], priorities: "       \
    "[high]}\n"                                                                                              \
    "  - {name: to-c2, type: routing_group, to_group: c, cost: 9, smart_hosts: ['c2:25'], scope: group}\n"
static const char *const configs[] = {
    "routing_group: {name: a}\n"
    "local_domains:\n  - {domain: a.example, deliver: 'maildir:/m/%u'}\n" LINKS,
    "routing_group: {name: a, spread: true, fall_back: false}\n" LINKS
    "  - {name: out, address_spaces: [{space: '*', cost: 10}], max_message_size: 1M, content: non_system}\n",
    "routing_group: {name: a, scope_in_transit: false}\n" LINKS
    "  - {name: out, address_spaces: [{space: '*.example', cost: 3}], accept_from: ['@a.example']}\n",
    "routing_group: {name: a}\nlocal_domains:\n  - {domain: a.example, deliver: 'maildir:/m/%u'}\n",
};
enum { CONFIGS = sizeof configs / sizeof configs[0], GROUPS = 5, QUESTIONS = 4 };
static const char *const groups[GROUPS] = {"a", "b", "c", "d", "e"};
static const char *const spaces[] = {"*",         "*.example",   "a.example",
                                     "b.example", "x.b.example", "*.b.example"};
static const char *const senders[] = {"@a.example", "u@b.example", "<>"};

static struct config *config_of(uint8_t n)
{
    static struct config *parsed[CONFIGS]; /* for as long as the process lives */
    struct errctx ec = {""};
    n = (uint8_t)(n % CONFIGS);
    if (parsed[n] == NULL &&
        config_parse(span_cstr(configs[n]), "fuzz.yaml", "/", NULL, &parsed[n], NULL, &ec) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", ec.msg);
        abort();
    }
    return parsed[n];
}

/* --- what is published -------------------------------------------------------------------------------- */

static uint8_t next(struct span *in)
{
    uint8_t b = in->len > 0 ? (uint8_t)in->ptr[0] : 0;
    *in = span_from(*in, 1);
    return b;
}

static void put_record(uint32_t group, struct span *in, struct buf *out)
{
    enum { MOST = 4 };
    static const char *const names[MOST] = {"@local", "p", "q", "r"};
    struct record_connector list[MOST];
    struct record_space space[MOST][2];
    struct record_host target[MOST][2];
    struct span words[MOST];
    size_t n = next(in) % (MOST + 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t bits = next(in), cost = next(in), limits = next(in), where = next(in);
        bool leads = i > 0 && (bits & 1) != 0, dns = !leads && (bits & 2) != 0;
        for (size_t k = 0; k < 2; k++) {
            space[i][k] = (struct record_space){span_cstr(spaces[(where >> 3 * k & 7) % 6]),
                                                (uint8_t)(1 + cost % (k + 7))};
            target[i][k] = (struct record_host){k == 0 ? SPAN("t1:25") : SPAN("t2:25"), (bits >> k & 4) != 0};
        }
        words[i] = span_cstr(senders[cost % 3]);
        list[i] = (struct record_connector){
            .name = span_cstr(names[i]),
            .type = leads ? RECORD_ROUTING_GROUP : RECORD_SMTP,
            .to_group = leads ? span_cstr(groups[where % GROUPS]) : SPAN(""),
            .cost = leads ? (uint8_t)(1 + cost % RECORD_COST_MAX) : 1,
            .scope = (bits & 16) != 0 ? RECORD_SCOPE_GROUP : RECORD_SCOPE_ORGANIZATION,
            .up = i == 0 || (bits & 32) != 0,
            .weight = (uint8_t)(1 + limits % 100),
            .dns = dns,
            .relay_open = (bits & 64) != 0,
            .targets = target[i],
            .ntargets = dns || i == 0 ? 0 : 2,
            .spaces = space[i],
            .nspaces = leads && (bits & 128) != 0 ? 0 : 1 + (where >> 6 & 1),
            .max_size = (limits & 1) != 0 ? limits : 0,
            .priorities = (limits & 2) != 0 ? (uint8_t)(1 + (limits >> 2) % 7) : RECORD_PRIORITY_ALL,
            .content = (enum record_content)((limits >> 5) % 3),
            .accept_from = &words[i],
            .naccept = (cost & 64) != 0,
            .reject_from = &words[i],
            .nreject = (cost & 128) != 0};
    }
    struct record r = {.master = SPAN("m"), .connectors = list, .nconnectors = n};
    struct ls_version version = {.major = 1, .minor = next(in), .seq = 1};
    struct ls_crypto crypto;
    struct buf body, cert, header;
    buf_init(&body, RECORD_MAX);
    buf_init(&cert, CERT_MAX);
    buf_init(&header, LSA_HEADER_MAX);
    sim_crypto(&crypto, &group);
    sim_cert(group, span_cstr(groups[group]), &cert);
    if (record_emit(&r, &body) == ERR_OK && body.len > 0) {
        require(lsa_seal(span_cstr(groups[group]), &version, buf_span(&body), buf_span(&cert), &crypto,
                         &header) == ERR_OK);
        struct ls_advert ad = {next(in), buf_span(&header), buf_span(&body)};
        require(ls_advert_add(out, &ad) == ERR_OK);
    }
    buf_done(&body);
    buf_done(&cert);
    buf_done(&header);
}

/* --- questions ---------------------------------------------------------------------------------------- */

static void same(const struct route *a, const struct route *b)
{
    require(a->kind == b->kind && a->connector == b->connector && a->local == b->local && a->cost == b->cost);
    require(a->ntargets == b->ntargets && a->ntargets_up == b->ntargets_up && a->dns == b->dns);
    for (size_t i = 0; i < a->ntargets; i++)
        require(strcmp(a->targets[i], b->targets[i]) == 0);
}

static void ask(const struct route_table *t, const struct conf_root *root, struct span *in)
{
    static const char *const domains[] = {"a.example", "b.example", "x.b.example",
                                          "example",   "other",     "[192.0.2.1]"};
    struct route first, again, one;
    struct route_explanation x;
    struct trace trace = {0};
    uint8_t bits = next(in), which = next(in);
    struct route_ask q = {.domain = span_cstr(domains[which % 6]),
                          .message = {.size_bytes = (uint64_t)next(in) << (bits & 31),
                                      .priority = (enum priority)(bits % 3),
                                      .system = (bits & 32) != 0,
                                      .sender = span_cstr(senders[1 + (which >> 4) % 2]),
                                      .in_transit = (bits & 64) != 0}};
    uint32_t klass = route_class(t, &q.message);
    route_lookup(t, q.domain, klass, &first);
    route_lookup(t, q.domain, klass, &again);
    route_lookup_message(t, q.domain, klass, NULL, 0, &one);
    same(&first, &again);
    same(&first, &one);
    require(first.ntargets_up <= first.ntargets);
    require((first.kind == ROUTE_NEXT_HOP) == (first.connector != NULL));
    require(route_explain(t, &q, &x) == ERR_OK);
    require(x.kind == first.kind && (x.klass | CLASS_IN_TRANSIT) == (klass | CLASS_IN_TRANSIT));
    if (first.kind == ROUTE_NEXT_HOP)
        require(x.cost == first.cost &&
                (root->routing_group.spread || span_eq(x.first.connector, span_cstr(first.connector->name))));
    route_explanation_done(&x);
    /* Any number is a class; and what was left is not entered again. */
    route_lookup(t, q.domain, (uint32_t)which << 24 | (uint32_t)bits << 3, &one);
    for (size_t i = 1; i < GROUPS; i++)
        if ((bits >> i & 1) != 0)
            require(trace_leave(&trace, span_cstr(groups[i]), route_generation(t) + (which & 1)) == ERR_OK);
    route_lookup_message(t, q.domain, klass, &trace, which, &one);
    if (one.kind == ROUTE_NEXT_HOP && one.connector->type == CONF_CONNECTOR_ROUTING_GROUP)
        require(trace_admits(&trace, span_cstr(one.connector->to_group), route_generation(t)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of((const char *)data, size);
    struct route_table *t = NULL;
    struct route_table_facts facts;
    struct route_entry entry;
    struct errctx ec;
    struct buf made;
    uint8_t what = next(&in);
    struct config *conf = config_of(what >> 1);
    buf_init(&made, LS_SNAPSHOT_MAX);
    for (uint32_t g = 0; (what & 1) != 0 && g < GROUPS; g++)
        if ((next(&in) & 3) != 0)
            put_record(g, &in, &made);
    enum err e = route_table_published(conf, (what & 1) != 0 ? buf_span(&made) : in, &t, &ec);
    require(e == ERR_OK || ((what & 1) == 0 && (e == ERR_PARSE || e == ERR_TOOBIG)));
    if (e == ERR_OK) {
        route_table_facts(t, &facts);
        require((what & 1) == 0 || facts.damaged == 0);
        for (int i = 0; i < QUESTIONS; i++)
            ask(t, config_root(conf), &in);
        for (size_t i = 0; i < route_entries(t); i++)
            require(route_entry_at(t, i, &entry));
        require(!route_entry_at(t, route_entries(t), &entry));
    }
    route_table_unref(t);
    buf_done(&made);
    return 0;
}
