#include "linkstate/graphml_int.h"

#include "common/room.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { COST_MAX = RECORD_COST_MAX, TEXTS_MAX = 256 << 20 };

/* --- fields --------------------------------------------------------------------------------------------- */

enum kind { COST, SPEED, UNITS };
/* In the order in which they are asked for. */
static const struct {
    const char *name;
    enum kind kind;
} edge_fields[] = {
    {"cost", COST},       {"weight", COST},    {"metric", COST},          {"length", COST},
    {"distance", COST},   {"dist", COST},      {"LinkSpeedRaw", SPEED},   {"LinkSpeed", SPEED},
    {"bandwidth", SPEED}, {"capacity", SPEED}, {"LinkSpeedUnits", UNITS},
};
enum { LINK_SPEED = 7, LINK_SPEED_UNITS = 10 };
_Static_assert(ARRAY_LEN(edge_fields) <= GRAPHML_FIELDS, "an edge has no room for these fields");
static const char *const node_fields[] = {"label", "name"};

int graphml_field(bool of_edge, const char *name)
{
    for (size_t i = 0; of_edge && i < ARRAY_LEN(edge_fields); i++)
        if (strcasecmp(edge_fields[i].name, name) == 0)
            return (int)i;
    for (size_t i = 0; !of_edge && i < ARRAY_LEN(node_fields); i++)
        if (strcasecmp(node_fields[i], name) == 0)
            return (int)i;
    return -1;
}

static bool digits(struct span *s, double *value, double *scale)
{
    size_t n = 0;
    for (; n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++) {
        *value = *value * 10 + (s->ptr[n] - '0');
        *scale *= 10;
    }
    *s = span_from(*s, n);
    return n > 0;
}

/* 12, 12.5, .5, 1e9, 1.0E+9: of the C locale, whatever the user's is. */
static bool plain_number(struct span s, double *ret)
{
    double value = 0, whole = 1, fraction = 1;
    bool some = digits(&s, &value, &whole), negative = false;
    uint64_t exponent = 0;
    if (s.len > 0 && s.ptr[0] == '.') {
        s = span_from(s, 1);
        some = digits(&s, &value, &fraction) || some;
    }
    if (some && s.len > 1 && (s.ptr[0] == 'e' || s.ptr[0] == 'E')) {
        s = span_from(s, 1);
        negative = s.ptr[0] == '-';
        if (s.ptr[0] == '-' || s.ptr[0] == '+')
            s = span_from(s, 1);
        if (!span_to_u64(s, 30, &exponent))
            return false;
        s = SPAN("");
    }
    value /= fraction;
    for (; exponent > 0; exponent--)
        value = negative ? value / 10 : value * 10;
    *ret = value;
    return some && s.len == 0 && value <= 1e30;
}

bool graphml_number(int field, struct span text, double *ret)
{
    static const char prefixes[] = "kmgt";
    if (edge_fields[field].kind != UNITS)
        return plain_number(text, ret);
    double factor = 1;
    *ret = 1;
    for (size_t i = 0; text.len > 0 && prefixes[i] != '\0'; i++) {
        factor *= 1000;
        if ((text.ptr[0] | 0x20) == prefixes[i])
            *ret = factor;
    }
    return true;
}

/* --- what was read ---------------------------------------------------------------------------------------
 */

void graphml_raw_init(struct graphml_raw *w)
{
    *w = (struct graphml_raw){0};
    buf_init(&w->texts, TEXTS_MAX);
}

void graphml_raw_done(struct graphml_raw *w)
{
    buf_done(&w->texts);
    free(w->nodes);
    free(w->edges);
}

static enum err keep(struct graphml_raw *w, struct span text, size_t *ret_at)
{
    enum err e = w->texts.len == 0 ? buf_addc(&w->texts, '\0') : ERR_OK;
    *ret_at = w->texts.len;
    if (e == ERR_OK)
        e = buf_add(&w->texts, text);
    return e == ERR_OK ? buf_addc(&w->texts, '\0') : e;
}

static const char *text_at(const struct graphml_raw *w, size_t at)
{
    return w->texts.ptr + at;
}

enum err graphml_add_node(struct graphml_raw *w, const char *id, unsigned long line)
{
    void *list = w->nodes;
    enum err e = room_for_one(&list, &w->cap_nodes, w->nnodes, sizeof *w->nodes, LSDB_GROUPS_MAX);
    w->nodes = list;
    if (e != ERR_OK)
        return e;
    struct graphml_raw_node *n = &w->nodes[w->nnodes];
    *n = (struct graphml_raw_node){.line = line};
    e = keep(w, span_cstr(id), &n->id);
    w->nnodes += e == ERR_OK;
    return e;
}

enum err graphml_add_edge(struct graphml_raw *w, const char *from, const char *to, bool directed,
                          unsigned long line)
{
    void *list = w->edges;
    enum err e = room_for_one(&list, &w->cap_edges, w->nedges, sizeof *w->edges, LSDB_CONNECTORS_MAX);
    w->edges = list;
    if (e != ERR_OK)
        return e;
    struct graphml_raw_edge *n = &w->edges[w->nedges];
    *n = (struct graphml_raw_edge){.line = line, .directed = directed};
    for (size_t i = 0; i < GRAPHML_FIELDS; i++)
        n->fields[i] = -1;
    e = keep(w, span_cstr(from), &n->from);
    if (e == ERR_OK)
        e = keep(w, span_cstr(to), &n->to);
    w->nedges += e == ERR_OK;
    return e;
}

enum err graphml_set_label(struct graphml_raw *w, int field, struct span label)
{
    struct graphml_raw_node *n = &w->nodes[w->nnodes - 1];
    if (label.len == 0 || (n->label != 0 && n->label_field <= field))
        return ERR_OK;
    n->label_field = field;
    return keep(w, label, &n->label);
}

void graphml_set_number(struct graphml_raw *w, int field, double number)
{
    if (field >= 0)
        w->edges[w->nedges - 1].fields[field] = (float)number;
}

/* --- names ------------------------------------------------------------------------------------------------
 */

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
}

/* Appends what a group's name may have of the text; each run of what it may not, and of hyphens, is one
 * hyphen. False: it is too long. */
static bool add_name(char out[RECORD_NAME_MAX + 1], const char *text)
{
    size_t n = strlen(out);
    bool gap = n > 0;
    for (; *text != '\0'; text++) {
        if (!name_char(*text)) {
            gap = n > 0;
            continue;
        }
        if (n + gap >= RECORD_NAME_MAX)
            return false;
        if (gap)
            out[n++] = '-';
        out[n++] = *text;
        gap = false;
    }
    out[n] = '\0';
    return true;
}

struct numbered { /* to sort texts and know whose they were */
    const char *text;
    uint32_t node;
};

static int by_text(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    int c = strcmp(x->text, y->text);
    return c != 0 ? c : x->node < y->node ? -1 : x->node > y->node;
}

/* Case does not count: names of groups that differ in nothing else are no help to anybody. */
static int by_name(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    int c = strcasecmp(x->text, y->text);
    return c != 0 ? c : x->node < y->node ? -1 : x->node > y->node;
}

static enum err too_long(const struct graphml_raw_node *n, struct errctx *ec)
{
    return err_set(ec, ERR_TOOBIG, "line %lu: a name longer than %d characters; shorten the label", n->line,
                   RECORD_NAME_MAX);
}

static enum err name_nodes(const struct graphml_raw *w, struct graphml *g, struct numbered *sorted,
                           struct errctx *ec)
{
    for (uint32_t i = 0; i < w->nnodes; i++) {
        const struct graphml_raw_node *n = &w->nodes[i];
        bool fits = n->label == 0 || add_name(g->nodes[i].name, text_at(w, n->label));
        if (fits && g->nodes[i].name[0] == '\0')
            fits = add_name(g->nodes[i].name, text_at(w, n->id));
        if (!fits)
            return too_long(n, ec);
        sorted[i] = (struct numbered){g->nodes[i].name, i};
    }
    qsort(sorted, w->nnodes, sizeof *sorted, by_name);
    for (size_t i = 0, end; i < w->nnodes; i = end) {
        for (end = i + 1; end < w->nnodes && strcasecmp(sorted[i].text, sorted[end].text) == 0;)
            end++;
        for (size_t k = i; end - i > 1 && k < end; k++)
            if (!add_name(g->nodes[sorted[k].node].name, text_at(w, w->nodes[sorted[k].node].id)))
                return too_long(&w->nodes[sorted[k].node], ec);
    }
    qsort(sorted, w->nnodes, sizeof *sorted, by_name);
    for (size_t i = 0; i < w->nnodes; i++) {
        const struct graphml_raw_node *n = &w->nodes[sorted[i].node];
        if (sorted[i].text[0] == '\0')
            return err_set(ec, ERR_PARSE, "line %lu: neither label nor id has a letter or digit", n->line);
        if (i > 0 && strcasecmp(sorted[i - 1].text, sorted[i].text) == 0)
            return err_set(ec, ERR_PARSE, "line %lu: the name '%s' is there twice, even with the nodes' ids",
                           n->line, sorted[i].text);
    }
    return ERR_OK;
}

/* --- costs -------------------------------------------------------------------------------------------------
 */

static double value_of(const struct graphml_raw_edge *e, int field)
{
    double v = (double)e->fields[field];
    if (field == LINK_SPEED && v >= 0 && e->fields[LINK_SPEED_UNITS] > 0)
        v *= (double)e->fields[LINK_SPEED_UNITS];
    return v;
}

static int choose(const struct graphml_raw *w)
{
    for (size_t f = 0; f < ARRAY_LEN(edge_fields); f++)
        for (size_t i = 0; edge_fields[f].kind != UNITS && i < w->nedges; i++)
            if (w->edges[i].fields[f] >= 0)
                return (int)f;
    return -1;
}

struct measure {
    int field;
    double least, most; /* of what is there */
    bool scaled;
};

static struct measure measure_of(const struct graphml_raw *w)
{
    struct measure m = {.field = choose(w), .least = HUGE_VAL};
    for (size_t i = 0; m.field >= 0 && i < w->nedges; i++) {
        double v = value_of(&w->edges[i], m.field);
        if (v >= 0 && v < m.least)
            m.least = v;
        if (v > m.most)
            m.most = v;
    }
    m.scaled = m.field >= 0 && edge_fields[m.field].kind == COST && (m.least < 1 || m.most > COST_MAX);
    return m;
}

static uint8_t in_range(double cost)
{
    return cost >= COST_MAX ? COST_MAX : cost < 1 ? 1 : (uint8_t)(cost + 0.5);
}

static uint8_t cost_of(const struct measure *m, const struct graphml_raw_edge *e)
{
    if (m->field < 0)
        return 1;
    bool speed = edge_fields[m->field].kind == SPEED;
    double v = value_of(e, m->field);
    if (v < 0) /* not known: as dear as the dearest */
        v = speed ? m->least : m->most;
    if (speed)
        return v > 0 ? in_range(m->most / v) : COST_MAX;
    return in_range(m->scaled && m->most > 0 ? v * COST_MAX / m->most : v);
}

/* --- links -------------------------------------------------------------------------------------------------
 */

static int by_ends(const void *a, const void *b)
{
    const struct graphml_link *x = a, *y = b;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    return x->b < y->b ? -1 : x->b > y->b;
}

static uint8_t cheaper(uint8_t a, uint8_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void unite(struct graphml *g)
{
    size_t n = 0;
    if (g->nlinks > 0)
        qsort(g->links, g->nlinks, sizeof *g->links, by_ends);
    for (size_t i = 0; i < g->nlinks; i++) {
        const struct graphml_link *x = &g->links[i];
        struct graphml_link *last = n > 0 ? &g->links[n - 1] : NULL;
        if (last == NULL || by_ends(last, x) != 0) {
            g->links[n++] = *x;
            continue;
        }
        g->parallel += (last->cost_ab != 0 && x->cost_ab != 0) || (last->cost_ba != 0 && x->cost_ba != 0);
        last->cost_ab = cheaper(last->cost_ab, x->cost_ab);
        last->cost_ba = cheaper(last->cost_ba, x->cost_ba);
    }
    g->nlinks = n;
}

static enum err find(const struct graphml_raw *w, const struct numbered *ids, size_t at, unsigned long line,
                     uint32_t *ret, struct errctx *ec)
{
    struct span id = span_cstr(text_at(w, at));
    size_t lo = 0, hi = w->nnodes;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(ids[mid].text, id.ptr);
        if (c == 0) {
            *ret = ids[mid].node;
            return ERR_OK;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return err_set(ec, ERR_PARSE, "line %lu: an edge names node '" SPAN_FMT "', which is not there", line,
                   SPAN_ARG(span_first(id, 63)));
}

static enum err link_nodes(const struct graphml_raw *w, struct graphml *g, struct numbered *ids,
                           struct errctx *ec)
{
    struct measure m = measure_of(w);
    for (uint32_t i = 0; i < w->nnodes; i++)
        ids[i] = (struct numbered){text_at(w, w->nodes[i].id), i};
    if (w->nnodes > 0)
        qsort(ids, w->nnodes, sizeof *ids, by_text);
    for (size_t i = 1; i < w->nnodes; i++)
        if (strcmp(ids[i - 1].text, ids[i].text) == 0)
            return err_set(ec, ERR_PARSE, "line %lu: node '" SPAN_FMT "' is there twice",
                           w->nodes[ids[i].node].line, SPAN_ARG(span_first(span_cstr(ids[i].text), 63)));
    for (size_t i = 0; i < w->nedges; i++) {
        const struct graphml_raw_edge *x = &w->edges[i];
        uint32_t a, b;
        uint8_t cost = cost_of(&m, x);
        if (find(w, ids, x->from, x->line, &a, ec) != ERR_OK ||
            find(w, ids, x->to, x->line, &b, ec) != ERR_OK)
            return ERR_PARSE;
        uint8_t back = x->directed ? 0 : cost;
        if (a == b)
            g->loops++;
        else
            g->links[g->nlinks++] =
                a < b ? (struct graphml_link){a, b, cost, back} : (struct graphml_link){b, a, back, cost};
    }
    unite(g);
    g->measure = m.field < 0 ? NULL : edge_fields[m.field].name;
    g->scaled = m.scaled;
    return ERR_OK;
}

enum err graphml_finish(const struct graphml_raw *w, struct graphml *ret, struct errctx *ec)
{
    struct graphml g = {.nodes = calloc(w->nnodes + 1, sizeof *g.nodes),
                        .nnodes = w->nnodes,
                        .links = calloc(w->nedges + 1, sizeof *g.links)};
    struct numbered *sorted = calloc(w->nnodes + 1, sizeof *sorted);
    enum err e = ERR_OK;
    if (g.nodes == NULL || g.links == NULL || sorted == NULL)
        e = err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    if (e == ERR_OK)
        e = link_nodes(w, &g, sorted, ec);
    if (e == ERR_OK)
        e = name_nodes(w, &g, sorted, ec);
    free(sorted);
    if (e == ERR_OK)
        *ret = g;
    else
        graphml_done(&g);
    return e;
}
