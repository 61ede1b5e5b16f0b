#include "linkstate/record.h"

#include "common/wire.h"

#include <stdlib.h>

enum { FORMAT = 1 };

/* One walk serves both directions: a field is named once, so parse and emit cannot drift apart. */
struct codec {
    struct rd r;
    struct wr w;
    bool parsing;
    const char *bad; /* first field that was out of range */
    bool nomem;
};

static bool fine(const struct codec *c)
{
    return c->bad == NULL && !c->nomem && !(c->parsing ? c->r.bad : c->w.bad);
}

static void refuse(struct codec *c, const char *field)
{
    if (c->bad == NULL)
        c->bad = field;
}

static void number(struct codec *c, const char *field, uint64_t *v, uint64_t lo, uint64_t hi)
{
    if (c->parsing)
        *v = rd_varint(&c->r);
    else
        wr_varint(&c->w, *v);
    if (fine(c) && (*v < lo || *v > hi))
        refuse(c, field);
}

static void small(struct codec *c, const char *field, uint8_t *v, uint8_t lo, uint8_t hi)
{
    uint64_t n = *v;
    number(c, field, &n, lo, hi);
    *v = (uint8_t)n;
}

static unsigned choice(struct codec *c, const char *field, unsigned v, unsigned last)
{
    uint64_t n = v;
    number(c, field, &n, 0, last);
    return fine(c) ? (unsigned)n : 0;
}

static bool flag(struct codec *c, const char *field, bool v)
{
    return choice(c, field, v, 1) != 0;
}

/* Names reach logs, keys and pictures: printable ASCII without blanks and quotes. */
static bool printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f || s.ptr[i] == '"' || s.ptr[i] == '\'' || s.ptr[i] == '\\')
            return false;
    return true;
}

static void text(struct codec *c, const char *field, struct span *s, size_t lo, size_t hi)
{
    uint64_t len = s->len;
    number(c, field, &len, lo, hi);
    if (!fine(c))
        return;
    if (c->parsing)
        *s = rd_bytes(&c->r, (size_t)len);
    else
        wr_bytes(&c->w, *s);
    if (fine(c) && !printable(*s))
        refuse(c, field);
}

/* The count of a list; when parsing also its memory. Every item takes a byte at least, so what is left
 * of the input bounds what is allocated. */
static void *list(struct codec *c, const char *field, void *items, size_t *n, size_t max, size_t size)
{
    uint64_t count = *n;
    number(c, field, &count, 0, max);
    if (!c->parsing)
        return items;
    *n = 0;
    if (!fine(c) || count == 0)
        return NULL;
    if (count > rd_left(&c->r)) {
        c->r.bad = true;
        return NULL;
    }
    void *mem = calloc((size_t)count, size);
    if (mem == NULL)
        c->nomem = true;
    else
        *n = (size_t)count;
    return mem;
}

static void hosts(struct codec *c, const char *field, struct record_host **items, size_t *n)
{
    *items = list(c, field, *items, n, RECORD_ITEMS_MAX, sizeof **items);
    for (size_t i = 0; i < *n && fine(c); i++) {
        text(c, field, &(*items)[i].name, 1, RECORD_SPACE_MAX);
        (*items)[i].up = flag(c, field, (*items)[i].up);
    }
}

static void spaces(struct codec *c, struct record_connector *k)
{
    k->spaces = list(c, "address spaces", k->spaces, &k->nspaces, RECORD_ITEMS_MAX, sizeof *k->spaces);
    for (size_t i = 0; i < k->nspaces && fine(c); i++) {
        text(c, "address space", &k->spaces[i].space, 1, RECORD_SPACE_MAX);
        small(c, "address space cost", &k->spaces[i].cost, 1, RECORD_COST_MAX);
    }
}

static void senders(struct codec *c, const char *field, struct span **items, size_t *n)
{
    *items = list(c, field, *items, n, RECORD_ITEMS_MAX, sizeof **items);
    for (size_t i = 0; i < *n && fine(c); i++)
        text(c, field, &(*items)[i], 1, 320);
}

static void connector(struct codec *c, struct record_connector *k)
{
    text(c, "connector name", &k->name, 1, RECORD_NAME_MAX);
    k->type = (enum record_connector_type)choice(c, "connector type", k->type, RECORD_ROUTING_GROUP);
    text(c, "connected group", &k->to_group, k->type == RECORD_ROUTING_GROUP,
         k->type == RECORD_ROUTING_GROUP ? RECORD_NAME_MAX : 0);
    small(c, "connector cost", &k->cost, 1, RECORD_COST_MAX);
    k->scope = (enum record_scope)choice(c, "scope", k->scope, RECORD_SCOPE_GROUP);
    k->up = flag(c, "state", k->up);
    small(c, "weight", &k->weight, 1, 100);
    k->dns = flag(c, "dns", k->dns);
    k->relay_open = flag(c, "relay", k->relay_open);
    hosts(c, "source bridgeheads", &k->sources, &k->nsources);
    hosts(c, "target bridgeheads", &k->targets, &k->ntargets);
    spaces(c, k);
    number(c, "largest message", &k->max_size, 0, UINT64_MAX);
    small(c, "priorities", &k->priorities, 1, RECORD_PRIORITY_ALL);
    k->content = (enum record_content)choice(c, "content", k->content, RECORD_CONTENT_NON_SYSTEM);
    senders(c, "accepted senders", &k->accept_from, &k->naccept);
    senders(c, "rejected senders", &k->reject_from, &k->nreject);
}

/* Names in strictly rising order: one encoding for one meaning, and no name twice. */
static void rising(struct codec *c, const char *field, struct span before, struct span name, size_t i)
{
    if (fine(c) && i > 0 && span_cmp(before, name) >= 0)
        refuse(c, field);
}

static void walk(struct codec *c, struct record *r)
{
    uint64_t format = FORMAT;
    number(c, "format", &format, FORMAT, FORMAT);
    text(c, "master", &r->master, 0, RECORD_NAME_MAX);
    r->members = list(c, "members", r->members, &r->nmembers, RECORD_MEMBERS_MAX, sizeof *r->members);
    for (size_t i = 0; i < r->nmembers && fine(c); i++) {
        text(c, "member", &r->members[i].name, 1, RECORD_NAME_MAX);
        r->members[i].connected = flag(c, "member state", r->members[i].connected);
        rising(c, "order of members", i > 0 ? r->members[i - 1].name : SPAN(""), r->members[i].name, i);
    }
    r->connectors =
        list(c, "connectors", r->connectors, &r->nconnectors, RECORD_CONNECTORS_MAX, sizeof *r->connectors);
    for (size_t i = 0; i < r->nconnectors && fine(c); i++) {
        connector(c, &r->connectors[i]);
        rising(c, "order of connectors", i > 0 ? r->connectors[i - 1].name : SPAN(""), r->connectors[i].name,
               i);
    }
}

enum err record_parse(struct span bytes, struct record *ret, struct errctx *ec)
{
    if (bytes.len > RECORD_MAX)
        return err_set(ec, ERR_TOOBIG, "record of %zu bytes; at most %d", bytes.len, RECORD_MAX);
    struct codec c = {.r = rd_open(bytes), .parsing = true};
    struct record r = {0};
    walk(&c, &r);
    if (fine(&c) && rd_left(&c.r) != 0)
        refuse(&c, "bytes after the end");
    if (fine(&c)) {
        *ret = r;
        return ERR_OK;
    }
    record_done(&r);
    if (c.nomem)
        return err_set(ec, ERR_NOMEM, "out of memory");
    return err_set(ec, ERR_PARSE, "record: %s", c.bad != NULL ? c.bad : "cut short");
}

enum err record_emit(const struct record *r, struct buf *out)
{
    struct codec c = {.parsing = false};
    size_t before = out->len;
    struct record copy = *r; /* the walk writes nothing back when emitting */
    c.w = wr_open(out);
    walk(&c, &copy);
    if (!fine(&c) || out->len - before > RECORD_MAX) {
        enum err e = c.bad != NULL ? ERR_PARSE : ERR_TOOBIG;
        out->len = before;
        buf_wrote(out, 0);
        return e;
    }
    return ERR_OK;
}

void record_done(struct record *r)
{
    for (size_t i = 0; i < r->nconnectors; i++) {
        struct record_connector *k = &r->connectors[i];
        free(k->sources);
        free(k->targets);
        free(k->spaces);
        free(k->accept_from);
        free(k->reject_from);
    }
    free(r->connectors);
    free(r->members);
    *r = (struct record){0};
}
