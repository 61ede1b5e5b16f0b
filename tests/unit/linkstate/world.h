/* tests/unit/linkstate/world.h — an organization written as text or drawn by lot: as the configuration of any
 * of its groups, and as the table that their routers publish.
 *
 *   group hq                            the first one is where questions are asked
 *   local a.example
 *   smtp out * 10 [option...]           again with another space: the same connector
 *   edge to-b b 5 [option...]           options: down dns scope relay max=N prio=high content=system
 *   option fall_back=no spread=yes                  accept=W reject=W weight=N source=W dead (the source)
 *                                                                                                          */
#pragma once
#include "linkstate/record.h"
#include "linkstate/route.h"
#include "linkstate/sim.h"
#include "linkstate/snapshot.h"
#include "tests/unit/check.h"

#include <string.h>
#include <strings.h>

enum { GROUPS = 8, CONNECTORS = 12, SPACES = 4, WORD = 40 };
struct w_connector {
    char name[WORD], to[WORD]; /* to: "" : smtp */
    unsigned cost, weight, priorities, content;
    bool down, dns, scope, relay, local, dead;
    uint64_t max_size;
    char accept[WORD], reject[WORD], source[WORD]; /* "" : none */
    char spaces[SPACES][WORD];
    unsigned space_costs[SPACES], nspaces;
};
struct w_group {
    char name[WORD];
    struct w_connector c[CONNECTORS];
    unsigned n;
    unsigned minor;
    bool silent; /* has published no record */
    bool purged; /* its record is held for the time that mail waits */
};
struct world {
    struct w_group g[GROUPS];
    unsigned n;
    bool no_fall_back, spread, scope_at_start;
};

/* --- as a configuration ------------------------------------------------------------------------------ */

struct w_conf {
    struct conf_root root;
    struct conf_connector connectors[CONNECTORS];
    struct conf_address_space spaces[CONNECTORS][SPACES];
    struct conf_local_domain locals[SPACES];
    char *words[CONNECTORS][3][3];
};
static char w_target_1[] = "t1:25", w_target_2[] = "t2:25";
static const char *const w_priorities[] = {"normal", "low", "high"};

static struct conf_strs w_list(char **room, char *word)
{
    room[0] = word;
    return (struct conf_strs){room, word[0] != '\0'};
}

static void w_conf_of(struct world *w, unsigned group, struct w_conf *out)
{
    struct w_group *g = &w->g[group];
    *out = (struct w_conf){.root = {.routing_group = {.name = g->name,
                                                      .fall_back = !w->no_fall_back,
                                                      .spread = w->spread,
                                                      .scope_in_transit = !w->scope_at_start}}};
    size_t n = 0;
    static char deliver[] = "maildir:x";
    for (unsigned i = 0; i < g->n; i++) {
        struct w_connector *c = &g->c[i];
        for (unsigned k = 0; c->local && k < c->nspaces; k++)
            out->locals[k] = (struct conf_local_domain){.domain = c->spaces[k], .deliver = deliver};
        if (c->local) {
            out->root.local_domains.items = out->locals;
            out->root.local_domains.count = c->nspaces;
            continue;
        }
        struct conf_connector *to = &out->connectors[n];
        *to = (struct conf_connector){.name = c->name,
                                      .type = c->to[0] != '\0' ? CONF_CONNECTOR_ROUTING_GROUP
                                                               : CONF_CONNECTOR_SMTP,
                                      .to_group = c->to,
                                      .cost = c->cost,
                                      .weight = c->weight,
                                      .scope = c->scope ? CONF_SCOPE_GROUP : CONF_SCOPE_ORGANIZATION,
                                      .deliver = c->dns ? CONF_DELIVER_DNS : CONF_DELIVER_AUTO,
                                      .allow_relay = c->relay,
                                      .content = (int)c->content,
                                      .max_message_size = c->max_size,
                                      .accept_from = w_list(&out->words[n][0][0], c->accept),
                                      .reject_from = w_list(&out->words[n][0][1], c->reject),
                                      .source_bridgeheads = w_list(&out->words[n][0][2], c->source)};
        for (unsigned p = 0; p < 3 && c->priorities != 0; p++)
            if ((c->priorities >> p & 1) != 0)
                out->words[n][1][to->priorities.count++] = (char *)w_priorities[p];
        to->priorities.items = out->words[n][1];
        out->words[n][2][0] = w_target_1;
        out->words[n][2][1] = w_target_2;
        to->smart_hosts = (struct conf_strs){out->words[n][2], c->dns ? 0 : 2};
        for (unsigned k = 0; k < c->nspaces; k++)
            out->spaces[n][k] = (struct conf_address_space){c->spaces[k], c->space_costs[k]};
        to->address_spaces.items = out->spaces[n];
        to->address_spaces.count = c->nspaces;
        n++;
    }
    out->root.connectors.items = out->connectors;
    out->root.connectors.count = n;
}

/* --- as a published table ------------------------------------------------------------------------------ */

static void w_record(const struct w_group *g, struct buf *out)
{
    struct record_connector list[CONNECTORS];
    struct record_space spaces[CONNECTORS][SPACES];
    struct record_host targets[CONNECTORS][2], sources[CONNECTORS];
    struct span words[CONNECTORS][2];
    for (unsigned i = 0; i < g->n; i++) {
        const struct w_connector *c = &g->c[i];
        bool leads = c->to[0] != '\0';
        words[i][0] = span_cstr(c->accept);
        words[i][1] = span_cstr(c->reject);
        targets[i][0] = (struct record_host){SPAN("t1:25"), false}; /* so t2 is tried first */
        targets[i][1] = (struct record_host){SPAN("t2:25"), !c->down};
        sources[i] = (struct record_host){span_cstr(c->source), !c->dead};
        list[i] = (struct record_connector){
            .name = span_cstr(c->name),
            .type = leads ? RECORD_ROUTING_GROUP : RECORD_SMTP,
            .to_group = span_cstr(c->to),
            .cost = leads ? (uint8_t)c->cost : 1,
            .scope = c->scope ? RECORD_SCOPE_GROUP : RECORD_SCOPE_ORGANIZATION,
            .up = !c->down && (!c->dead || c->dns),
            .weight = (uint8_t)c->weight,
            .dns = c->dns && !leads,
            .relay_open = c->relay,
            .targets = targets[i],
            .ntargets = c->dns || c->local ? 0 : 2,
            .sources = &sources[i],
            .nsources = c->source[0] != '\0',
            .spaces = spaces[i],
            .nspaces = c->nspaces,
            .max_size = c->max_size,
            .priorities = (uint8_t)(c->priorities == 0 ? RECORD_PRIORITY_ALL : c->priorities),
            .content = c->content == CONF_CONTENT_SYSTEM       ? RECORD_CONTENT_SYSTEM
                       : c->content == CONF_CONTENT_NON_SYSTEM ? RECORD_CONTENT_NON_SYSTEM
                                                               : RECORD_CONTENT_ALL,
            .accept_from = &words[i][0],
            .reject_from = &words[i][1],
            .naccept = c->accept[0] != '\0',
            .nreject = c->reject[0] != '\0',
        };
        for (unsigned k = 0; k < c->nspaces; k++)
            spaces[i][k] = (struct record_space){span_cstr(c->spaces[k]), (uint8_t)c->space_costs[k]};
    }
    struct record r = {.master = SPAN("r1"), .connectors = list, .nconnectors = g->n};
    assert_int_equal(record_emit(&r, out), ERR_OK);
}

static int w_by_name(const void *a, const void *b)
{
    return strcmp(((const struct w_connector *)a)->name, ((const struct w_connector *)b)->name);
}

static int w_by_group(const void *a, const void *b)
{
    return strcmp(((const struct w_group *)a)->name, ((const struct w_group *)b)->name);
}

static void w_publish(const struct world *w, struct buf *out)
{
    struct buf barred;
    buf_init(&barred, LS_SNAPSHOT_MAX);
    buf_init(out, LS_SNAPSHOT_MAX);
    struct world sorted = *w;
    qsort(sorted.g, sorted.n, sizeof sorted.g[0], w_by_group);
    for (uint32_t i = 0; i < sorted.n; i++) {
        struct w_group *g = &sorted.g[i];
        struct ls_version version = {.major = 1, .minor = g->minor, .seq = 1};
        struct ls_crypto crypto;
        struct buf body, cert, header;
        if (g->silent)
            continue;
        sim_crypto(&crypto, &i);
        buf_init(&body, RECORD_MAX);
        buf_init(&cert, CERT_MAX);
        buf_init(&header, LSA_HEADER_MAX);
        qsort(g->c, g->n, sizeof g->c[0], w_by_name);
        w_record(g, &body);
        sim_cert(i, span_cstr(g->name), &cert);
        assert_int_equal(
            lsa_seal(span_cstr(g->name), &version, buf_span(&body), buf_span(&cert), &crypto, &header),
            ERR_OK);
        struct ls_advert ad = {1, buf_span(&header), buf_span(&body)};
        struct wr floor = wr_open(&barred);
        if (g->purged) /* seconds left, seconds to wait, then as in an advertisement */
            wr_u32(&floor, 9);
        assert_int_equal(ls_advert_add(g->purged ? &barred : out, &ad), ERR_OK);
        buf_done(&body);
        buf_done(&cert);
        buf_done(&header);
    }
    if (barred.len > 0) {
        struct buf records = *out;
        buf_init(out, LS_SNAPSHOT_MAX);
        struct wr head = wr_open(out);
        wr_u32(&head, 0x4c535402);
        wr_u32(&head, (uint32_t)barred.len);
        wr_bytes(&head, buf_span(&barred));
        wr_bytes(&head, buf_span(&records));
        assert_false(head.bad);
        buf_done(&records);
    }
    buf_done(&barred);
}

/* conf must live as long as the table. */
static struct route_table *w_table(struct world *w, unsigned group, struct w_conf *conf)
{
    struct route_table *t = NULL;
    struct errctx ec = {""};
    struct buf published;
    w_publish(w, &published);
    w_conf_of(w, group, conf);
    if (route_table_build(&conf->root, buf_span(&published), NULL, NULL, &t, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    buf_done(&published);
    return t;
}

/* --- as text -------------------------------------------------------------------------------------------- */

static void w_word(char out[WORD], struct span s)
{
    assert_true(s.len < WORD);
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
}

static unsigned w_number(struct span s)
{
    uint64_t n;
    if (!span_to_u64(s, 1000000, &n))
        fail_msg("'" SPAN_FMT "' is no number", SPAN_ARG(s));
    return (unsigned)n;
}

static bool w_next(struct span *line, struct span *ret)
{
    do {
        if (line->len == 0)
            return false;
        (void)span_cut(*line, ' ', ret, line);
    } while (ret->len == 0);
    return true;
}

static struct w_connector *w_connector_of(struct w_group *g, struct span name)
{
    for (unsigned i = 0; i < g->n; i++)
        if (span_eq(span_cstr(g->c[i].name), name))
            return &g->c[i];
    assert_true(g->n < CONNECTORS);
    struct w_connector *c = &g->c[g->n++];
    *c = (struct w_connector){.cost = 1, .weight = 1};
    w_word(c->name, name);
    return c;
}

static void w_space(struct w_connector *c, struct span space, unsigned cost)
{
    assert_true(c->nspaces < SPACES);
    c->space_costs[c->nspaces] = cost;
    w_word(c->spaces[c->nspaces++], space);
}

static void w_option(struct w_connector *c, struct span word)
{
    struct span value = SPAN("");
    (void)span_cut(word, '=', &word, &value);
    if (span_eq(word, SPAN("down")))
        c->down = true;
    else if (span_eq(word, SPAN("dead")))
        c->dead = true;
    else if (span_eq(word, SPAN("source")))
        w_word(c->source, value);
    else if (span_eq(word, SPAN("dns")))
        c->dns = true;
    else if (span_eq(word, SPAN("scope")))
        c->scope = true;
    else if (span_eq(word, SPAN("relay")))
        c->relay = true;
    else if (span_eq(word, SPAN("max")))
        c->max_size = w_number(value);
    else if (span_eq(word, SPAN("weight")))
        c->weight = w_number(value);
    else if (span_eq(word, SPAN("prio")))
        c->priorities = span_eq(value, SPAN("high")) ? 4 : span_eq(value, SPAN("low")) ? 2 : 1;
    else if (span_eq(word, SPAN("content")))
        c->content = span_eq(value, SPAN("system")) ? CONF_CONTENT_SYSTEM : CONF_CONTENT_NON_SYSTEM;
    else if (span_eq(word, SPAN("accept")))
        w_word(c->accept, value);
    else if (span_eq(word, SPAN("reject")))
        w_word(c->reject, value);
    else
        fail_msg("unknown option '" SPAN_FMT "'", SPAN_ARG(word));
}

static void w_line(struct world *w, struct span verb, struct span line)
{
    struct w_group *g = w->n > 0 ? &w->g[w->n - 1] : NULL;
    struct w_connector *c = NULL;
    struct span word, more;
    assert_true(w_next(&line, &word));
    if (span_eq(verb, SPAN("group"))) {
        assert_true(w->n < GROUPS);
        w_word(w->g[w->n].name, word);
        w->g[w->n++].purged = w_next(&line, &more) && span_eq(more, SPAN("purged"));
    } else if (span_eq(verb, SPAN("local"))) {
        c = w_connector_of(g, SPAN(RECORD_LOCAL_CONNECTOR));
        c->local = true;
        w_space(c, word, 1);
    } else if (span_eq(verb, SPAN("option"))) {
        w->no_fall_back = w->no_fall_back || span_eq(word, SPAN("fall_back=no"));
        w->scope_at_start = w->scope_at_start || span_eq(word, SPAN("scope_in_transit=no"));
        w->spread = w->spread || span_eq(word, SPAN("spread=yes"));
    } else {
        c = w_connector_of(g, word);
        assert_true(w_next(&line, &word) && w_next(&line, &more));
        if (span_eq(verb, SPAN("smtp"))) {
            w_space(c, word, w_number(more));
        } else {
            w_word(c->to, word);
            c->cost = w_number(more);
        }
    }
    while (c != NULL && w_next(&line, &word))
        w_option(c, word);
}
