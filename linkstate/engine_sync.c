#include "linkstate/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BITMAP_LEN = LS_BUCKETS / 8 };

/* One side only, or every difference would be told twice. */
static bool leads(const struct ls *ls, const struct adjacency *a)
{
    return span_cmp(span_cstr(ls->group), span_cstr(a->group)) < 0;
}

static void say_buckets(struct ls *ls, uint32_t peer)
{
    struct buf b;
    buf_init(&b, (size_t)LS_BUCKETS * 8);
    struct wr w = wr_open(&b);
    for (int i = 0; i < LS_BUCKETS; i++)
        wr_u64(&w, ls->db.buckets[i].lo);
    struct ls_message m = {.type = LS_MSG_BUCKETS, .buckets = buf_span(&b)};
    if (w.bad)
        ls->nomem = true;
    else
        ls_say(ls, peer, &m);
    buf_done(&b);
}

void sync_start(struct ls *ls, uint32_t peer)
{
    struct adjacency *a = &ls->adj[peer];
    if (ls_sum_eq(a->sum, ls->db.sum)) {
        adj_event(ls, peer, AEV_EQUAL);
        return;
    }
    if (leads(ls, a))
        say_buckets(ls, peer);
}

/* Also by the side that does not lead: who is equal says nothing. */
void sync_verify(struct ls *ls, uint32_t peer)
{
    ls->adj[peer].differing[0] = '\0';
    if (adj_open(&ls->adj[peer]))
        say_buckets(ls, peer);
}

static bool is_named(const struct adjacency *a, struct span group)
{
    struct span name, rest = span_cstr(a->differing);
    while (rest.len > 0) {
        (void)span_cut(rest, ' ', &name, &rest);
        if (span_eq(name, group))
            return true;
    }
    return false;
}

/* "a b c ...", each once: tables are compared again and again until they are equal. */
static void name_difference(struct adjacency *a, struct span group)
{
    if (is_named(a, group))
        return;
    size_t n = strlen(a->differing), room = sizeof a->differing - n;
    if (room > group.len + 6)
        (void)snprintf(a->differing + n, room, "%s" SPAN_FMT, n > 0 ? " " : "", SPAN_ARG(group));
    else if (room > 5 && a->differing[n - 1] != '.')
        (void)snprintf(a->differing + n, room, " ...");
}

static bool bit(struct span bitmap, unsigned i)
{
    return ((uint8_t)bitmap.ptr[i / 8] >> (i % 8) & 1) != 0;
}

struct summary {
    char bitmap[BITMAP_LEN];
    struct buf items;
    size_t limit;
    bool any;
};

static void say_summary(struct ls *ls, uint32_t peer, struct summary *s)
{
    struct ls_message m = {
        .type = LS_MSG_SUMMARY, .bitmap = span_of(s->bitmap, BITMAP_LEN), .list = buf_span(&s->items)};
    if (s->any)
        ls_say(ls, peer, &m);
    memset(s->bitmap, 0, sizeof s->bitmap);
    buf_clear(&s->items);
    s->limit = s->limit < BATCH_BYTES_MAX ? 2 * s->limit : BATCH_BYTES_MAX;
    s->any = false;
}

static void summarize(struct ls *ls, struct buf *items, unsigned bucket)
{
    for (size_t i = 0; i < ls->db.nslots; i++) {
        const struct lsdb_slot *slot = lsdb_at(&ls->db, i);
        struct ls_item item = {.group = lsdb_group(slot), .version = lsdb_version(slot)};
        const struct lsdb_record *r = slot->record != NULL    ? slot->record
                                      : slot->dropped != NULL ? slot->dropped->record
                                                              : NULL;
        if (r == NULL || r->bucket != bucket)
            continue;
        item.check = slot->record != NULL ? r->sum.lo : 0; /* 0: not to be sent at or below that version */
        if (ls_item_add(items, &item) != ERR_OK)
            ls->nomem = true;
    }
}

void sync_recv_buckets(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    struct rd r = rd_open(m->buckets);
    struct summary s = {.limit = BATCH_BYTES};
    struct buf one;
    buf_init(&s.items, LS_MESSAGE_MAX);
    buf_init(&one, LS_MESSAGE_MAX);
    for (unsigned i = 0; i < LS_BUCKETS; i++) {
        if (rd_u64(&r) == ls->db.buckets[i].lo)
            continue;
        buf_clear(&one);
        summarize(ls, &one, i);
        if (s.items.len + one.len > s.limit)
            say_summary(ls, peer, &s);
        if (buf_add(&s.items, buf_span(&one)) != ERR_OK)
            ls->nomem = true;
        s.bitmap[i / 8] = (char)(s.bitmap[i / 8] | 1 << (i % 8));
        s.any = true;
    }
    say_summary(ls, peer, &s);
    buf_done(&s.items);
    buf_done(&one);
}

/* Everything of these parts that the neighbour did not name, or named older, is news to it. */
static size_t news_for_peer(const struct ls *ls, const struct ls_message *m, const bool *theirs_enough,
                            struct flood_item *items)
{
    size_t n = 0;
    for (size_t i = 0; i < ls->db.nslots; i++) {
        const struct lsdb_slot *slot = lsdb_at(&ls->db, i);
        if (slot->record != NULL && bit(m->bitmap, slot->record->bucket) && !theirs_enough[i])
            items[n++] = (struct flood_item){(uint32_t)i, true};
    }
    return n;
}

/* What an item of a neighbour's summary says of one group. */
struct comparison {
    bool enough;  /* it has what is held here, or newer */
    bool differs; /* the two tables do */
    bool wanted;  /* its record is to be asked for */
};

static struct comparison compare(const struct lsdb_slot *slot, const struct ls_item *item)
{
    const struct lsdb_record *held = slot != NULL ? slot->record : NULL;
    struct ls_version ours = slot != NULL ? lsdb_version(slot) : (struct ls_version){0, 0, 0, 0};
    int theirs = slot == NULL ? 1 : ls_version_cmp(&item->version, &ours);
    bool enough = slot != NULL && theirs >= 0;
    if (item->check == 0) /* barred there: it has no record */
        return (struct comparison){enough, held != NULL, held != NULL && theirs > 0};
    bool other = theirs == 0 && held != NULL && held->sum.lo != item->check;
    return (struct comparison){enough, theirs > 0 || held == NULL || other, theirs > 0 || other};
}

void sync_recv_summary(struct ls *ls, uint32_t peer, const struct ls_message *m)
{
    struct rd r = rd_open(m->list);
    struct ls_item item;
    bool *theirs_enough = calloc(ls->db.nslots + 1, sizeof *theirs_enough);
    struct flood_item *items = calloc(ls->db.nslots + 1, sizeof *items);
    struct buf requests;
    buf_init(&requests, LS_MESSAGE_MAX);
    if (theirs_enough == NULL || items == NULL) {
        ls->nomem = true;
        goto out;
    }
    while (ls_item_next(&r, &item)) {
        const struct lsdb_slot *slot = lsdb_find(&ls->db, item.group);
        struct comparison c = compare(slot, &item);
        struct ls_item want = {.group = item.group};
        if (c.enough)
            theirs_enough[slot->number] = true;
        if (c.differs)
            name_difference(&ls->adj[peer], item.group);
        if (c.wanted && ls_item_add(&requests, &want) != ERR_OK)
            ls->nomem = true;
    }
    struct ls_message ask = {.type = LS_MSG_REQUEST, .list = buf_span(&requests)};
    if (requests.len > 0)
        ls_say(ls, peer, &ask);
    size_t news = news_for_peer(ls, m, theirs_enough, items);
    for (size_t i = 0; i < news; i++)
        name_difference(&ls->adj[peer], lsdb_group(lsdb_at(&ls->db, items[i].slot)));
    flood_send(ls, peer, items, news);
out:
    free(theirs_enough);
    free(items);
    buf_done(&requests);
}
