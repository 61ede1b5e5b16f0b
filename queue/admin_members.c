/* Members and links: rows that are gathered from several places under one name. */
#include "queue/admin_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMBER_FIELDS = 4,
    WORKER_FIELDS = 3,
    ROUTER_FIELDS = 3,
    LINK_FIELDS = 5,
    SLOT_FIELDS = 2,
    MEMBERS_PAGE = 100,
    SLOTS_PAGE = 500,
    PAGE_HEAD = 2,
    SLOTS_HEAD = 3,
    ROUTERS_HEAD = 3,
    ROWS_MAX = 1000000,
    CURSOR_MAX = 32
};

/* --- Rows ---------------------------------------------------------------------------------------- */

struct row {
    struct span name, text;
    uint64_t lease_ms, slots, jobs, failures, until_ms, since_ms;
    bool master;
    char bytes[];
};
struct rows {
    struct row **items;
    size_t count, room;
};
struct gather {
    struct admin_op op;
    union {
        admin_member_fn *member;
        admin_link_fn *link;
    } each;
    admin_done_fn *done;
    void *arg;
    struct rows rows;
    size_t known; /* rows that are sorted: what partitions say is added to these */
    unsigned partition;
    char cursor[CURSOR_MAX];
    ms_t now_ms;
};

/* A new row with a name and a text; NULL: out of memory. */
static struct row *row_add(struct rows *rows, struct span name, struct span text)
{
    if (rows->count == rows->room) {
        size_t room = rows->room == 0 ? 64 : 2 * rows->room;
        struct row **items = room > ROWS_MAX ? NULL : realloc(rows->items, room * sizeof items[0]);
        if (items == NULL)
            return NULL;
        rows->items = items;
        rows->room = room;
    }
    struct row *row = calloc(1, sizeof *row + name.len + text.len);
    if (row == NULL)
        return NULL;
    if (name.len > 0)
        memcpy(row->bytes, name.ptr, name.len);
    if (text.len > 0)
        memcpy(row->bytes + name.len, text.ptr, text.len);
    row->name = span_of(row->bytes, name.len);
    row->text = span_of(row->bytes + name.len, text.len);
    rows->items[rows->count++] = row;
    return row;
}

static int by_name(const void *a, const void *b)
{
    return span_cmp((*(struct row *const *)a)->name, (*(struct row *const *)b)->name);
}

static void larger(uint64_t *into, uint64_t n)
{
    if (n > *into)
        *into = n;
}

static void absorb(struct row *into, const struct row *from)
{
    larger(&into->lease_ms, from->lease_ms);
    larger(&into->slots, from->slots);
    larger(&into->failures, from->failures);
    larger(&into->until_ms, from->until_ms);
    larger(&into->since_ms, from->since_ms);
}

/* Sorts, and makes one row of all with the same name: pages may repeat rows, so the larger value counts. */
static void rows_merge(struct rows *rows)
{
    size_t out = 0;
    if (rows->count > 0)
        qsort(rows->items, rows->count, sizeof rows->items[0], by_name);
    for (size_t i = 0; i < rows->count; i++) {
        struct row *row = rows->items[i], *last = out > 0 ? rows->items[out - 1] : NULL;
        if (last == NULL || !span_eq(last->name, row->name)) {
            rows->items[out++] = row;
            continue;
        }
        struct row *keep = row->text.len > 0 ? row : last, *drop = keep == row ? last : row;
        absorb(keep, drop);
        free(drop);
        rows->items[out - 1] = keep;
    }
    rows->count = out;
}

static struct row *row_find(const struct gather *g, struct span name)
{
    struct row key = {.name = name}, *k = &key;
    struct row **found =
        g->known == 0 ? NULL : bsearch(&k, g->rows.items, g->known, sizeof g->rows.items[0], by_name);
    return found == NULL ? NULL : *found;
}

static void gather_finish(struct admin_op *op, enum err e, const char *why)
{
    struct gather *g = (struct gather *)op;
    g->done(g->arg, e, why);
}

static void gather_release(struct admin_op *op)
{
    struct gather *g = (struct gather *)op;
    for (size_t i = 0; i < g->rows.count; i++)
        free(g->rows.items[i]);
    free(g->rows.items);
}

/* Takes the cursor of a page; false: it was the last. */
static bool next_page(struct gather *g, const struct redisReply *reply)
{
    struct span cursor = reply_text_at(reply, 1);
    g->now_ms = reply_u64_at(reply, 0, 0);
    if (cursor.len == 0 || cursor.len >= sizeof g->cursor || span_eq(cursor, SPAN("0"))) {
        (void)snprintf(g->cursor, sizeof g->cursor, "0");
        return false;
    }
    memcpy(g->cursor, cursor.ptr, cursor.len);
    g->cursor[cursor.len] = '\0';
    return true;
}

static void ask_page(struct admin_op *op, admin_read_fn *read, enum script_id id, unsigned count)
{
    struct gather *g = (struct gather *)op;
    struct redis_request *rq = admin_script(op, read, id, span_cstr(op->a->sem_tag), 2);
    if (rq == NULL)
        return;
    redis_arg_str(rq, g->cursor);
    redis_arg_u64(rq, count);
    admin_send(op, rq);
}

static struct gather *gather_new(struct admin *a, const struct admin_op_kind *kind, admin_done_fn *done,
                                 void *arg)
{
    struct gather *g = (struct gather *)admin_op_new(a, sizeof *g, kind);
    if (g == NULL)
        return NULL;
    g->done = done;
    g->arg = arg;
    (void)snprintf(g->cursor, sizeof g->cursor, "0");
    return g;
}

/* --- Members ------------------------------------------------------------------------------------- */

static void tell_members(struct gather *g)
{
    bool more = true;
    for (size_t i = 0; i < g->rows.count && more; i++) {
        const struct row *row = g->rows.items[i];
        struct admin_member m = {.name = row->name,
                                 .info = row->text,
                                 .lease_ms = row->lease_ms,
                                 .slots = row->slots,
                                 .jobs = row->jobs,
                                 .master = row->master,
                                 .now_ms = g->now_ms};
        more = g->each.member(g->arg, &m);
    }
    admin_end(&g->op, ERR_OK, "");
}

/* Routers are members of their own kind, with leases of their own: none are there when routing was never
 * used. */
static void read_routers(struct admin_op *op, const struct redisReply *reply)
{
    struct gather *g = (struct gather *)op;
    struct span master = reply_text_at(reply, 1);
    if (op->a->partitions == 0)
        g->now_ms = reply_u64_at(reply, 0, 0); /* nobody else has said it */
    for (size_t at = ROUTERS_HEAD; at + ROUTER_FIELDS <= reply_count(reply); at += ROUTER_FIELDS) {
        struct row *row = row_add(&g->rows, reply_text_at(reply, at), reply_text_at(reply, at + 2));
        if (row == NULL) {
            admin_end(op, ERR_NOMEM, "");
            return;
        }
        row->lease_ms = reply_u64_at(reply, at + 1, 0);
        row->master = span_eq(row->name, master);
    }
    if (g->rows.count > g->known)
        qsort(g->rows.items + g->known, g->rows.count - g->known, sizeof g->rows.items[0], by_name);
    tell_members(g);
}

static void ask_routers(struct admin_op *op)
{
    struct redis_request *rq = admin_script(op, read_routers, SCRIPT_ROUTING, span_cstr(op->a->rt_tag), 1);
    if (rq == NULL)
        return;
    rq->flags |= REQUEST_LENIENT;
    redis_arg_str(rq, "routers");
    admin_send(op, rq);
}

static void ask_workers(struct admin_op *op);

static void read_workers(struct admin_op *op, const struct redisReply *reply)
{
    struct gather *g = (struct gather *)op;
    for (size_t at = 1; at + WORKER_FIELDS <= reply_count(reply); at += WORKER_FIELDS) {
        struct row *row = row_find(g, reply_text_at(reply, at));
        if (row != NULL)
            row->jobs += reply_u64_at(reply, at + 2, 0);
    }
    if (++g->partition == op->a->partitions)
        ask_routers(op);
    else
        ask_workers(op);
}

static void ask_workers(struct admin_op *op)
{
    struct gather *g = (struct gather *)op;
    struct redis_request *rq = admin_script(op, read_workers, SCRIPT_WORKERS, op->a->tags[g->partition], 0);
    if (rq != NULL)
        admin_send(op, rq);
}

static void members_begin(struct admin_op *op);

static void read_members(struct admin_op *op, const struct redisReply *reply)
{
    struct gather *g = (struct gather *)op;
    for (size_t at = PAGE_HEAD; at + MEMBER_FIELDS <= reply_count(reply); at += MEMBER_FIELDS) {
        struct row *row = row_add(&g->rows, reply_text_at(reply, at), reply_text_at(reply, at + 3));
        if (row == NULL) {
            admin_end(op, ERR_NOMEM, "");
            return;
        }
        row->lease_ms = reply_u64_at(reply, at + 1, 0);
        row->slots = reply_u64_at(reply, at + 2, 0);
    }
    if (next_page(g, reply)) {
        members_begin(op);
        return;
    }
    rows_merge(&g->rows);
    g->known = g->rows.count;
    ask_workers(op);
}

/* Without a store only routers can be there. */
static void members_begin(struct admin_op *op)
{
    if (op->a->partitions == 0)
        ask_routers(op);
    else
        ask_page(op, read_members, SCRIPT_MEMBERS, MEMBERS_PAGE);
}

enum err admin_members(struct admin *a, admin_member_fn *each, admin_done_fn *done, void *arg)
{
    static const struct admin_op_kind kind = {members_begin, gather_finish, gather_release, true};
    struct gather *g = gather_new(a, &kind, done, arg);
    if (g == NULL)
        return ERR_NOMEM;
    g->each.member = each;
    return ERR_OK;
}

/* --- Links --------------------------------------------------------------------------------------- */

static void tell_links(struct gather *g)
{
    bool more = true;
    rows_merge(&g->rows);
    for (size_t i = 0; i < g->rows.count && more; i++) {
        const struct row *row = g->rows.items[i];
        struct admin_link k = {.link = row->name,
                               .slots = row->slots,
                               .state = {.failures = (uint32_t)row->failures,
                                         .until_ms = row->until_ms,
                                         .last_error = row->text},
                               .since_ms = row->since_ms,
                               .now_ms = g->now_ms};
        more = g->each.link(g->arg, &k);
    }
    admin_end(&g->op, ERR_OK, "");
}

static void ask_failing(struct admin_op *op);

static void read_failing(struct admin_op *op, const struct redisReply *reply)
{
    struct gather *g = (struct gather *)op;
    for (size_t at = PAGE_HEAD; at + LINK_FIELDS <= reply_count(reply); at += LINK_FIELDS) {
        struct row *row = row_add(&g->rows, reply_text_at(reply, at), reply_text_at(reply, at + 3));
        if (row == NULL) {
            admin_end(op, ERR_NOMEM, "");
            return;
        }
        row->failures = reply_u64_at(reply, at + 1, 0);
        row->until_ms = reply_u64_at(reply, at + 2, 0);
        row->since_ms = reply_u64_at(reply, at + 4, 0);
    }
    if (next_page(g, reply))
        ask_failing(op);
    else
        tell_links(g);
}

static void ask_failing(struct admin_op *op)
{
    ask_page(op, read_failing, SCRIPT_LINKS, MEMBERS_PAGE);
}

static void links_begin(struct admin_op *op);

static void read_slots(struct admin_op *op, const struct redisReply *reply)
{
    struct gather *g = (struct gather *)op;
    for (size_t at = SLOTS_HEAD; at + SLOT_FIELDS <= reply_count(reply); at += SLOT_FIELDS) {
        struct row *row = row_add(&g->rows, reply_text_at(reply, at), SPAN(""));
        if (row == NULL) {
            admin_end(op, ERR_NOMEM, "");
            return;
        }
        row->slots = reply_u64_at(reply, at + 1, 0);
    }
    if (next_page(g, reply))
        links_begin(op);
    else
        ask_failing(op);
}

static void links_begin(struct admin_op *op)
{
    ask_page(op, read_slots, SCRIPT_SLOTS, SLOTS_PAGE);
}

enum err admin_links(struct admin *a, admin_link_fn *each, admin_done_fn *done, void *arg)
{
    static const struct admin_op_kind kind = {links_begin, gather_finish, gather_release, false};
    struct gather *g = gather_new(a, &kind, done, arg);
    if (g == NULL)
        return ERR_NOMEM;
    g->each.link = each;
    return ERR_OK;
}

/* --- Forgetting failures ------------------------------------------------------------------------- */

struct reset {
    struct admin_op op;
    admin_count_fn *done;
    void *arg;
    uint64_t forgotten;
    char link[321];
};

static void reset_read(struct admin_op *op, const struct redisReply *reply)
{
    (void)reply_u64(reply, 1, &((struct reset *)op)->forgotten);
    admin_end(op, ERR_OK, "");
}

static void reset_begin(struct admin_op *op)
{
    struct redis_request *rq = admin_script(op, reset_read, SCRIPT_LINK, span_cstr(op->a->sem_tag), 2);
    if (rq == NULL)
        return;
    redis_arg_str(rq, "ok");
    redis_arg_str(rq, ((struct reset *)op)->link);
    admin_send(op, rq);
}

static void reset_finish(struct admin_op *op, enum err e, const char *why)
{
    struct reset *r = (struct reset *)op;
    r->done(r->arg, e, r->forgotten, why);
}

enum err admin_link_reset(struct admin *a, struct span link, admin_count_fn *done, void *arg)
{
    static const struct admin_op_kind kind = {reset_begin, reset_finish, NULL, false};
    if (link.len == 0 || link.len > sizeof((struct reset *)0)->link - 1)
        return ERR_TOOBIG;
    struct reset *r = (struct reset *)admin_op_new(a, sizeof *r, &kind);
    if (r == NULL)
        return ERR_NOMEM;
    memcpy(r->link, link.ptr, link.len);
    r->done = done;
    r->arg = arg;
    return ERR_OK;
}
