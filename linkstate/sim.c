#include "linkstate/sim.h"

#include "common/rng.h"
#include "linkstate/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORG = INT32_MAX /* no group has this number */, TRACE_MAX = 16 << 20 };

/* --- imitated signatures --------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

static void sim_hash(void *self, struct span bytes, uint8_t ret[LS_DIGEST_LEN])
{
    (void)self;
    uint64_t lanes[4] = {bytes.len, 0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u, 0x8cb92ba72f3d8dd7u};
    for (size_t i = 0; i < bytes.len; i += 8) {
        uint64_t word = 0;
        size_t n = bytes.len - i < 8 ? bytes.len - i : 8;
        memcpy(&word, bytes.ptr + i, n);
        uint64_t *lane = &lanes[i / 8 % 4];
        *lane = mix(*lane + word) * 3 + i;
    }
    for (int i = 0; i < 4; i++)
        lanes[i] = mix(lanes[i] ^ mix(lanes[(i + 1) % 4]));
    memcpy(ret, lanes, LS_DIGEST_LEN);
}

static void sim_key(uint32_t group, uint8_t ret[LS_KEY_LEN])
{
    char name[32];
    int n = snprintf(name, sizeof name, "key %" PRIu32, group);
    sim_hash(NULL, span_of(name, (size_t)n), ret);
}

static void imitate(const uint8_t key[LS_KEY_LEN], struct span bytes, uint8_t sig[LS_SIG_LEN])
{
    uint8_t both[2 * LS_DIGEST_LEN];
    sim_hash(NULL, bytes, both);
    memcpy(both + LS_DIGEST_LEN, key, LS_KEY_LEN);
    sim_hash(NULL, span_of((const char *)both, sizeof both), sig);
    memcpy(sig + LS_DIGEST_LEN, both, LS_DIGEST_LEN);
}

static bool sim_verify(void *self, const uint8_t key[LS_KEY_LEN], struct span bytes,
                       const uint8_t sig[LS_SIG_LEN])
{
    uint8_t want[LS_SIG_LEN];
    (void)self;
    imitate(key, bytes, want);
    return memcmp(want, sig, sizeof want) == 0;
}

static bool sim_sign(void *self, struct span bytes, uint8_t ret[LS_SIG_LEN])
{
    uint8_t key[LS_KEY_LEN];
    sim_key(*(const uint32_t *)self, key);
    imitate(key, bytes, ret);
    return true;
}

void sim_crypto(struct ls_crypto *ret, uint32_t *group)
{
    *ret = (struct ls_crypto){sim_hash, sim_verify, sim_sign, group};
}

void sim_org_key(uint8_t ret[LS_KEY_LEN])
{
    sim_key(ORG, ret);
}

void sim_cert(uint32_t group, struct span name, struct buf *out)
{
    uint8_t key[LS_KEY_LEN];
    uint32_t org = ORG;
    struct ls_crypto crypto;
    sim_crypto(&crypto, &org);
    sim_key(group, key);
    (void)!cert_seal(SPAN("sim"), name, key, 1, &crypto, out);
}

/* --- the network ------------------------------------------------------------------------------------ */

struct link {
    uint32_t to;
    uint32_t peer; /* number of this adjacency in the engine */
    uint8_t cost;
    bool up, cut, carrier;
    ms_t last_arrival_ms; /* order is kept */
};
struct group {
    char name[RECORD_NAME_MAX + 1];
    uint32_t number;
    struct ls *ls;
    struct link *links;
    size_t nlinks, cap_links;
    struct ls_version persisted;
    struct buf cert;
    ms_t wake_ms;
    uint64_t instance;
};
enum packet_kind { PACKET_TICK, PACKET_MESSAGE };
struct packet {
    ms_t at_ms;
    uint64_t order; /* of creation: ties are deterministic */
    enum packet_kind kind;
    uint32_t to, from;
    size_t len;
    char *bytes;
};
struct crossing { /* how often a version of a record crossed an adjacency: open addressing */
    uint64_t key;
    uint32_t times;
};
struct sim {
    struct sim_options opts;
    struct rng rng;
    struct group *groups;
    size_t ngroups, cap_groups;
    struct packet *heap;
    size_t nheap, cap_heap;
    uint64_t order;
    size_t in_flight;
    ms_t now_ms, changed_ms;
    struct sim_stats stats;
    struct crossing *crossings;
    size_t ncrossings, cap_crossings;
    struct buf trace;
    bool nomem;
};

struct sim *sim_new(const struct sim_options *opts)
{
    struct sim *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->opts = *opts;
    s->now_ms = 1000;
    rng_seed(&s->rng, opts->seed);
    buf_init(&s->trace, TRACE_MAX);
    return s;
}

void sim_free(struct sim *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->ngroups; i++) {
        ls_free(s->groups[i].ls);
        free(s->groups[i].links);
        buf_done(&s->groups[i].cert);
    }
    for (size_t i = 0; i < s->nheap; i++)
        free(s->heap[i].bytes);
    free(s->groups);
    free(s->heap);
    free(s->crossings);
    buf_done(&s->trace);
    free(s);
}

static bool earlier(const struct packet *a, const struct packet *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void heap_push(struct sim *s, struct packet p)
{
    if (s->nheap == s->cap_heap) {
        size_t cap = s->cap_heap == 0 ? 64 : s->cap_heap * 2;
        struct packet *h = realloc(s->heap, cap * sizeof *h);
        if (h == NULL) {
            free(p.bytes);
            s->nomem = true;
            return;
        }
        s->heap = h;
        s->cap_heap = cap;
    }
    p.order = s->order++;
    size_t i = s->nheap++;
    for (; i > 0 && earlier(&p, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = p;
    s->in_flight += p.kind == PACKET_MESSAGE;
}

static struct packet heap_pop(struct sim *s)
{
    struct packet top = s->heap[0], last = s->heap[--s->nheap];
    size_t i = 0;
    for (size_t child = 1; child < s->nheap; child = 2 * i + 1) {
        if (child + 1 < s->nheap && earlier(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!earlier(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    if (s->nheap > 0)
        s->heap[i] = last;
    s->in_flight -= top.kind == PACKET_MESSAGE;
    return top;
}

static struct link *link_to(struct sim *s, uint32_t from, uint32_t to)
{
    struct group *g = &s->groups[from];
    for (size_t i = 0; i < g->nlinks; i++)
        if (g->links[i].to == to)
            return &g->links[i];
    return NULL;
}

static void trace_message(struct sim *s, uint32_t from, uint32_t to, const struct ls_message *m)
{
    (void)!buf_addf(&s->trace, "[%6" PRIu64 "] %s > %s %s", s->now_ms - 1000, s->groups[from].name,
                    s->groups[to].name, ls_message_name(m->type));
    struct rd r = rd_open(m->list);
    struct ls_advert ad;
    struct lsa lsa;
    while (m->type == LS_MSG_ADVERTISE && ls_advert_next(&r, &ad) && lsa_parse(ad.header, &lsa) == ERR_OK)
        (void)!buf_addf(&s->trace, " " SPAN_FMT " %" PRIu32 ".%" PRIu32 ".%" PRIu32 "#%" PRIu64 "%s",
                        SPAN_ARG(lsa.group), lsa.version.major, lsa.version.minor, lsa.version.user,
                        lsa.version.seq, ad.body.len > 0 ? "" : " refresh");
    (void)!buf_addf(&s->trace, "\n");
}

static void cross(struct sim *s, uint64_t key)
{
    if (s->ncrossings * 2 >= s->cap_crossings) {
        size_t cap = s->cap_crossings == 0 ? 1024 : s->cap_crossings * 2;
        struct crossing *t = calloc(cap, sizeof *t);
        if (t == NULL)
            return;
        for (size_t i = 0; i < s->cap_crossings; i++) {
            size_t at = s->crossings[i].key & (cap - 1);
            while (s->crossings[i].times != 0 && t[at].times != 0)
                at = (at + 1) & (cap - 1);
            if (s->crossings[i].times != 0)
                t[at] = s->crossings[i];
        }
        free(s->crossings);
        s->crossings = t;
        s->cap_crossings = cap;
    }
    size_t at = key & (s->cap_crossings - 1);
    while (s->crossings[at].times != 0 && s->crossings[at].key != key)
        at = (at + 1) & (s->cap_crossings - 1);
    s->ncrossings += s->crossings[at].times == 0;
    s->crossings[at].key = key;
    if (++s->crossings[at].times > s->stats.advertised_most)
        s->stats.advertised_most = s->crossings[at].times;
}

static void count_crossings(struct sim *s, uint32_t from, uint32_t to, const struct ls_message *m)
{
    struct rd r = rd_open(m->list);
    struct ls_advert ad;
    while (m->type == LS_MSG_ADVERTISE && ls_advert_next(&r, &ad)) {
        uint64_t parts[6];
        uint8_t digest[LS_DIGEST_LEN];
        sim_hash(NULL, ad.header, digest);
        memcpy(parts, digest, LS_DIGEST_LEN);
        parts[4] = from;
        parts[5] = to;
        sim_hash(NULL, span_of((const char *)parts, sizeof parts), digest);
        memcpy(parts, digest, sizeof parts[0]);
        cross(s, parts[0]);
    }
}

static void post(struct sim *s, uint32_t from, struct link *l, struct span bytes)
{
    struct ls_message m;
    s->stats.messages++;
    s->stats.bytes += bytes.len;
    if (ls_message_parse(bytes, &m, NULL) == ERR_OK) {
        count_crossings(s, from, l->to, &m);
        if (s->opts.trace)
            trace_message(s, from, l->to, &m);
    }
    ms_t wide = s->opts.latency_max_ms - s->opts.latency_min_ms + 1;
    ms_t at = s->now_ms + s->opts.latency_min_ms + rng_below(&s->rng, wide);
    if (l->cut || rng_below(&s->rng, 1000) < s->opts.loss_permille) {
        s->stats.lost++;
        return;
    }
    if (at < l->last_arrival_ms)
        at = l->last_arrival_ms;
    l->last_arrival_ms = at;
    char *copy = malloc(bytes.len);
    if (copy == NULL) {
        s->nomem = true;
        return;
    }
    memcpy(copy, bytes.ptr, bytes.len);
    heap_push(
        s,
        (struct packet){
            .at_ms = at, .kind = PACKET_MESSAGE, .to = l->to, .from = from, .len = bytes.len, .bytes = copy});
}

static struct link *link_of_peer(struct group *g, uint32_t peer)
{
    for (size_t i = 0; i < g->nlinks; i++)
        if (g->links[i].peer == peer)
            return &g->links[i];
    return NULL;
}

static enum err step(struct sim *s, uint32_t n, struct ls_event ev)
{
    struct group *g = &s->groups[n];
    struct ls_output out;
    if (g->ls == NULL)
        return ERR_OK;
    ev.now_ms = s->now_ms;
    enum err e = ls_step(g->ls, &ev, &out);
    if (out.own_changed)
        g->persisted = *ls_own_version(g->ls);
    if (out.table_changed)
        s->changed_ms = s->now_ms;
    for (size_t i = 0; i < out.nsends; i++) {
        struct link *l = link_of_peer(g, out.sends[i].peer);
        if (l != NULL)
            post(s, n, l, out.sends[i].bytes);
    }
    for (size_t i = 0; s->opts.trace && i < out.nnotices; i++)
        (void)!buf_addf(&s->trace, "[%6" PRIu64 "] %s ! %s %s %s\n", s->now_ms - 1000, g->name,
                        ls_counter_name(out.notices[i].counter), out.notices[i].group, out.notices[i].text);
    if (g->wake_ms <= s->now_ms || out.wake_at_ms < g->wake_ms) {
        g->wake_ms = out.wake_at_ms;
        heap_push(s, (struct packet){.at_ms = out.wake_at_ms, .kind = PACKET_TICK, .to = n});
    }
    return e;
}

static enum err deliver(struct sim *s)
{
    struct packet p = heap_pop(s);
    struct group *g = &s->groups[p.to];
    enum err e = ERR_OK;
    s->now_ms = p.at_ms;
    s->stats.delivered_events++;
    if (p.kind == PACKET_TICK) {
        if (g->wake_ms == p.at_ms)
            e = step(s, p.to, (struct ls_event){.type = LS_TICK});
    } else {
        struct link *back = link_to(s, p.to, p.from);
        if (back != NULL && back->carrier)
            e = step(
                s, p.to,
                (struct ls_event){.type = LS_RECV, .peer = back->peer, .bytes = span_of(p.bytes, p.len)});
    }
    free(p.bytes);
    return e;
}

/* --- building and changing ---------------------------------------------------------------------------- */

uint32_t sim_group(struct sim *s, const char *name)
{
    if (s->ngroups == s->cap_groups) {
        size_t cap = s->cap_groups == 0 ? 16 : s->cap_groups * 2;
        struct group *p = realloc(s->groups, cap * sizeof *p);
        if (p == NULL)
            return UINT32_MAX;
        s->groups = p;
        s->cap_groups = cap;
    }
    struct group *g = &s->groups[s->ngroups];
    *g = (struct group){.number = (uint32_t)s->ngroups};
    (void)snprintf(g->name, sizeof g->name, "%s", name);
    buf_init(&g->cert, CERT_MAX);
    sim_cert(g->number, span_cstr(g->name), &g->cert);
    return (uint32_t)s->ngroups++;
}

static enum err link_one(struct sim *s, uint32_t from, uint32_t to, uint8_t cost)
{
    struct group *g = &s->groups[from];
    if (g->nlinks == g->cap_links) {
        size_t cap = g->cap_links == 0 ? 4 : g->cap_links * 2;
        struct link *p = realloc(g->links, cap * sizeof *p);
        if (p == NULL)
            return ERR_NOMEM;
        g->links = p;
        g->cap_links = cap;
    }
    g->links[g->nlinks] =
        (struct link){.to = to, .peer = (uint32_t)g->nlinks, .cost = cost, .up = true, .carrier = true};
    g->nlinks++;
    return ERR_OK;
}

enum err sim_link(struct sim *s, uint32_t a, uint32_t b, uint8_t cost_ab, uint8_t cost_ba)
{
    if (a == b || link_to(s, a, b) != NULL)
        return ERR_EXISTS;
    enum err e = link_one(s, a, b, cost_ab);
    return e == ERR_OK ? link_one(s, b, a, cost_ba) : e;
}

static int by_connector_name(const void *a, const void *b)
{
    return span_cmp(((const struct record_connector *)a)->name, ((const struct record_connector *)b)->name);
}

/* The record of a group: one routing group connector a link, named after its end; one address space. */
static enum err emit_record(const struct sim *s, const struct group *g, struct buf *out)
{
    struct record_connector *list = calloc(g->nlinks + 1, sizeof *list);
    struct record_host *hosts = calloc(g->nlinks + 1, sizeof *hosts);
    char domain[RECORD_NAME_MAX + 16];
    int n = snprintf(domain, sizeof domain, "%s.example", g->name);
    struct record_space own = {span_of(domain, (size_t)n), 1};
    enum err e = list == NULL || hosts == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < g->nlinks; i++) {
        struct span name = span_cstr(s->groups[g->links[i].to].name);
        hosts[i] = (struct record_host){name, g->links[i].up};
        list[i] = (struct record_connector){.name = name,
                                            .type = RECORD_ROUTING_GROUP,
                                            .to_group = name,
                                            .cost = g->links[i].cost,
                                            .up = g->links[i].up,
                                            .weight = 1,
                                            .priorities = RECORD_PRIORITY_ALL,
                                            .targets = &hosts[i],
                                            .ntargets = 1};
    }
    if (e == ERR_OK) {
        list[g->nlinks] = (struct record_connector){.name = SPAN(RECORD_LOCAL_CONNECTOR),
                                                    .type = RECORD_SMTP,
                                                    .cost = 1,
                                                    .up = true,
                                                    .dns = true,
                                                    .weight = 1,
                                                    .priorities = RECORD_PRIORITY_ALL,
                                                    .spaces = &own,
                                                    .nspaces = 1};
        qsort(list, g->nlinks + 1, sizeof *list, by_connector_name);
        struct record r = {.master = SPAN("r1"), .connectors = list, .nconnectors = g->nlinks + 1};
        e = record_emit(&r, out);
    }
    free(list);
    free(hosts);
    return e;
}

static enum err publish(struct sim *s, uint32_t n, enum ls_level level)
{
    struct buf body;
    buf_init(&body, RECORD_MAX);
    enum err e = emit_record(s, &s->groups[n], &body);
    if (e == ERR_OK)
        e = step(s, n,
                 (struct ls_event){.type = LS_ORIGINATE,
                                   .bytes = buf_span(&body),
                                   .level = level,
                                   .floor = s->groups[n].persisted});
    buf_done(&body);
    return e;
}

static enum err engine_new(struct sim *s, uint32_t n)
{
    struct group *g = &s->groups[n];
    struct ls_options o = s->opts.engine;
    struct ls_crypto crypto;
    sim_crypto(&crypto, &g->number);
    sim_org_key(o.org_key);
    o.organization = SPAN("sim");
    o.group = span_cstr(g->name);
    o.router = SPAN("r1");
    o.cert = buf_span(&g->cert);
    o.instance = (uint64_t)n << 32 | ++g->instance;
    g->ls = ls_new(&o, &crypto, s->now_ms);
    enum err e = g->ls == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < g->nlinks; i++)
        e = ls_peer_add(g->ls, span_cstr(s->groups[g->links[i].to].name), &g->links[i].peer);
    return e;
}

static enum err carriers_up(struct sim *s, uint32_t n)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->groups[n].nlinks; i++)
        if (s->groups[n].links[i].carrier)
            e = step(s, n, (struct ls_event){.type = LS_CARRIER_UP, .peer = s->groups[n].links[i].peer});
    return e;
}

enum err sim_start(struct sim *s)
{
    enum err e = ERR_OK;
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = engine_new(s, n); /* after sim_group(): engines point into the array */
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = publish(s, n, LS_LEVEL_MAJOR);
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = carriers_up(s, n);
    return e;
}

enum err sim_start_converged(struct sim *s)
{
    struct lsdb all;
    enum err e = ERR_OK;
    lsdb_init(&all);
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++) {
        e = engine_new(s, n);
        if (e == ERR_OK)
            e = publish(s, n, LS_LEVEL_MAJOR);
        if (e != ERR_OK)
            break;
        const struct lsdb_slot *own = lsdb_find(ls_table(s->groups[n].ls), span_cstr(s->groups[n].name));
        struct lsdb_slot *put;
        struct ls_crypto crypto;
        sim_crypto(&crypto, &s->groups[n].number);
        e = lsdb_put(&all, &own->record->lsa, own->record->body, s->now_ms, &crypto, &put, NULL);
    }
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = ls_adopt(s->groups[n].ls, &all, s->now_ms);
    lsdb_done(&all);
    for (uint32_t n = 0; e == ERR_OK && n < s->ngroups; n++)
        e = carriers_up(s, n);
    return e;
}

enum err sim_link_state(struct sim *s, uint32_t a, uint32_t b, bool up, bool carrier)
{
    uint32_t ends[2][2] = {{a, b}, {b, a}};
    enum err e = ERR_OK;
    for (int i = 0; i < 2 && e == ERR_OK; i++) {
        struct link *l = link_to(s, ends[i][0], ends[i][1]);
        if (l == NULL)
            return ERR_NOTFOUND;
        l->up = up;
        if (l->carrier != carrier) {
            l->carrier = carrier;
            e = step(s, ends[i][0],
                     (struct ls_event){.type = carrier ? LS_CARRIER_UP : LS_CARRIER_DOWN, .peer = l->peer});
        }
        if (e == ERR_OK)
            e = publish(s, ends[i][0], LS_LEVEL_MINOR);
    }
    return e;
}

enum err sim_cut(struct sim *s, uint32_t a, uint32_t b, bool cut)
{
    struct link *l = link_to(s, a, b), *back = link_to(s, b, a);
    if (l == NULL || back == NULL)
        return ERR_NOTFOUND;
    l->cut = back->cut = cut;
    return ERR_OK;
}

enum err sim_stop(struct sim *s, uint32_t group)
{
    ls_free(s->groups[group].ls);
    s->groups[group].ls = NULL;
    return ERR_OK;
}

enum err sim_restart(struct sim *s, uint32_t group)
{
    enum err e = sim_stop(s, group);
    s->groups[group].wake_ms = 0;
    if (e == ERR_OK)
        e = engine_new(s, group);
    if (e == ERR_OK)
        e = publish(s, group, LS_LEVEL_USER);
    return e == ERR_OK ? carriers_up(s, group) : e;
}

void sim_inject(struct sim *s, uint32_t to, uint32_t from, struct span message)
{
    struct link *l = link_to(s, to, from);
    if (l != NULL &&
        step(s, to, (struct ls_event){.type = LS_RECV, .peer = l->peer, .bytes = message}) == ERR_NOMEM)
        s->nomem = true;
}

/* --- running ------------------------------------------------------------------------------------------ */

/* Neighbours over a working link agree; then everybody in a connected part does. */
static bool agreed(struct sim *s)
{
    for (uint32_t n = 0; n < s->ngroups; n++) {
        const struct group *g = &s->groups[n];
        for (size_t i = 0; g->ls != NULL && i < g->nlinks; i++) {
            const struct group *o = &s->groups[g->links[i].to];
            if (g->links[i].carrier && !g->links[i].cut && o->ls != NULL &&
                !ls_sum_eq(ls_table(g->ls)->sum, ls_table(o->ls)->sum))
                return false;
        }
    }
    return true;
}

bool sim_converge(struct sim *s, ms_t budget_ms, ms_t *ret_ms)
{
    ms_t begin = s->now_ms, end = s->now_ms + budget_ms;
    s->changed_ms = begin;
    while (s->nheap > 0 && s->heap[0].at_ms <= end) {
        ms_t at = s->now_ms;
        if (deliver(s) != ERR_OK || s->nomem)
            return false;
        if (s->now_ms != at && s->in_flight == 0 && agreed(s)) {
            *ret_ms = s->changed_ms - begin;
            return true;
        }
    }
    s->now_ms = end;
    *ret_ms = s->changed_ms - begin;
    return agreed(s);
}

void sim_run(struct sim *s, ms_t for_ms)
{
    ms_t end = s->now_ms + for_ms;
    while (s->nheap > 0 && s->heap[0].at_ms <= end && !s->nomem)
        if (deliver(s) != ERR_OK)
            break;
    s->now_ms = end;
}

ms_t sim_now(const struct sim *s)
{
    return s->now_ms;
}

struct ls *sim_engine(struct sim *s, uint32_t group)
{
    return group < s->ngroups ? s->groups[group].ls : NULL;
}

size_t sim_groups(const struct sim *s)
{
    return s->ngroups;
}

/* A link stands with both of its ends; the lower one counts. */
static size_t links_from(const struct sim *s, uint32_t group)
{
    size_t n = 0;
    for (size_t i = 0; i < s->groups[group].nlinks; i++)
        n += s->groups[group].links[i].to > group;
    return n;
}

size_t sim_links(const struct sim *s)
{
    size_t n = 0;
    for (uint32_t g = 0; g < s->ngroups; g++)
        n += links_from(s, g);
    return n;
}

bool sim_link_at(const struct sim *s, size_t n, uint32_t *ret_a, uint32_t *ret_b, bool *ret_up)
{
    for (uint32_t g = 0; g < s->ngroups; g++) {
        size_t here = links_from(s, g);
        if (n >= here) {
            n -= here;
            continue;
        }
        for (size_t i = 0; i < s->groups[g].nlinks; i++) {
            const struct link *l = &s->groups[g].links[i];
            if (l->to < g || n-- != 0)
                continue;
            *ret_a = g;
            *ret_b = l->to;
            *ret_up = l->up;
            return true;
        }
    }
    return false;
}

const char *sim_group_name(const struct sim *s, uint32_t group)
{
    return s->groups[group].name;
}

void sim_stats(const struct sim *s, struct sim_stats *ret)
{
    *ret = s->stats;
}

void sim_stats_reset(struct sim *s)
{
    s->stats = (struct sim_stats){0};
    free(s->crossings);
    s->crossings = NULL;
    s->ncrossings = s->cap_crossings = 0;
}

uint64_t sim_full_flood_bytes(const struct sim *s)
{
    uint64_t table = 0, adjacencies = 0;
    for (uint32_t n = 0; n < s->ngroups; n++) {
        const struct lsdb_slot *own =
            s->groups[n].ls == NULL ? NULL
                                    : lsdb_find(ls_table(s->groups[n].ls), span_cstr(s->groups[n].name));
        if (own != NULL && own->record != NULL)
            table += own->record->nbytes;
        adjacencies += s->groups[n].nlinks;
    }
    return table * adjacencies;
}

const char *sim_trace(const struct sim *s)
{
    return buf_cstr(&s->trace);
}
