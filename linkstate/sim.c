#include "linkstate/sim_int.h"

#include "linkstate/message.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TRACE_MAX = 16 << 20 };

struct sim *sim_new(const struct sim_options *opts)
{
    struct sim *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->pool = lsdb_pool_new();
    if (s->pool == NULL) {
        free(s);
        return NULL;
    }
    s->opts = *opts;
    s->opts.engine.pool = s->pool;
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
        if (s->groups[i].conf != NULL)
            free(s->groups[i].conf->connectors.items);
        free(s->groups[i].conf);
        free(s->groups[i].connector_down);
        buf_done(&s->groups[i].cert);
    }
    for (size_t i = 0; i < s->nheap; i++)
        free(s->heap[i].bytes);
    free(s->groups);
    free(s->heap);
    free(s->crossings);
    lsdb_pool_free(s->pool);
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

struct link *sim_link_to(const struct sim *s, uint32_t from, uint32_t to)
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
        bool keepalive = m.type == LS_MSG_HELLO || m.type == LS_MSG_DIGEST;
        s->stats.keepalives += keepalive;
        s->stats.keepalive_bytes += keepalive ? bytes.len : 0;
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

enum err sim_step(struct sim *s, uint32_t n, struct ls_event ev)
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
            e = sim_step(s, p.to, (struct ls_event){.type = LS_TICK});
    } else {
        struct link *back = sim_link_to(s, p.to, p.from);
        if (back != NULL && back->carrier)
            e = sim_step(
                s, p.to,
                (struct ls_event){.type = LS_RECV, .peer = back->peer, .bytes = span_of(p.bytes, p.len)});
    }
    free(p.bytes);
    return e;
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

bool sim_linked(const struct sim *s, uint32_t a, uint32_t b)
{
    return sim_link_to(s, a, b) != NULL;
}

bool sim_is_cut(const struct sim *s, uint32_t a, uint32_t b)
{
    const struct link *l = sim_link_to(s, a, b);
    return l != NULL && l->cut;
}

const struct conf_connector *sim_connector(const struct sim *s, uint32_t group, struct span name)
{
    const struct conf_root *conf = s->groups[group].conf;
    for (size_t i = 0; conf != NULL && i < conf->connectors.count; i++)
        if (span_eq(span_cstr(conf->connectors.items[i].name), name))
            return &conf->connectors.items[i];
    return NULL;
}

uint32_t sim_find(const struct sim *s, struct span group)
{
    for (uint32_t i = 0; i < s->ngroups; i++)
        if (span_eq(span_cstr(s->groups[i].name), group))
            return i;
    return UINT32_MAX;
}

bool sim_failed(const struct sim *s)
{
    return s->nomem;
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
