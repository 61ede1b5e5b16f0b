/* linkstate/drawing_svg.c — a drawing as an SVG that needs no other file, script or font. */
#include "common/plural.h"
#include "linkstate/drawing_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MARGIN = 36,
    TOP = 64,
    BOTTOM = 76,
    LEGEND_WIDTH = 700,
    NAME_SHOWN = 20,    /* characters of a group's name; the rest is in its <title> */
    SPACES_SHOWN = 26,  /* of its address spaces */
    SPACES_GROUPS = 60, /* beyond so many groups the spaces are in the <title> alone */
    TITLE_LINES = 30,
    SPOT_TRIES = 8,
};
static const double NAME_EM = 7.6, SMALL_EM = 5.9; /* generous widths of a character, in pixels */

struct pair { /* what is between two groups, in both directions */
    uint32_t a, b;
    size_t there, nthere, back, nback; /* runs in d->links */
};
struct spot { /* taken by a text; x, y: its middle */
    double x, y, w, h;
};
struct picture {
    struct drawing *d;
    struct layout_point *at;
    struct layout_size *size;
    struct buf *spaces; /* of a group, the line below its name */
    struct pair *pairs;
    struct spot *spots; /* two for each pair at most */
    size_t npairs, nspots;
    double width, height;
};
enum state { STATE_UP, STATE_SOME, STATE_DOWN };
static const char *const classes[] = {[STATE_UP] = "up", [STATE_SOME] = "some", [STATE_DOWN] = "down"};

static const char style[] = "<style>\n"
                            "text{font-family:'DejaVu Sans',Verdana,Helvetica,sans-serif;fill:#1f2937}\n"
                            ".up{stroke:#64748b;stroke-width:1.6;fill:none}\n"
                            ".down{stroke:#d21f2b;stroke-width:3;stroke-dasharray:8 6;fill:none}\n"
                            ".some{stroke:#d97706;stroke-width:2.6;stroke-dasharray:14 4 3 4;fill:none}\n"
                            ".group{fill:#ffffff;stroke:#334155;stroke-width:1.4}\n"
                            ".own{fill:#dbeafe;stroke:#1d4ed8;stroke-width:2.4}\n"
                            ".unknown{fill:#f9fafb;stroke:#9ca3af;stroke-width:1.4;stroke-dasharray:4 4}\n"
                            ".back{fill:#ffffff;fill-opacity:.88}\n"
                            ".name{font-size:12.5px;text-anchor:middle}\n"
                            ".cost{font-size:11px;text-anchor:middle}\n"
                            ".small{font-size:9.5px;text-anchor:middle;fill:#64748b}\n"
                            ".alarm{fill:#d21f2b;font-weight:bold}\n"
                            ".head{font-size:17px;font-weight:bold}\n"
                            ".legend{font-size:11px}\n"
                            "</style>\n";

static enum err add_xml(struct buf *out, struct span s)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '&')
            e = buf_add(out, SPAN("&amp;"));
        else if (c == '<')
            e = buf_add(out, SPAN("&lt;"));
        else if (c == '>')
            e = buf_add(out, SPAN("&gt;"));
        else if (c == '"')
            e = buf_add(out, SPAN("&quot;"));
        else
            e = buf_addc(out, c < 0x20 || c > 0x7e ? '?' : (char)c);
    }
    return e;
}

static enum err add_cut(struct buf *out, struct span s, size_t most)
{
    if (s.len <= most)
        return add_xml(out, s);
    enum err e = add_xml(out, span_first(s, most - 1));
    return e == ERR_OK ? buf_addf(out, "&#8230;") : e;
}

/* --- Where things stand --------------------------------------------------------------------------------- */

static enum err list_pairs(struct picture *p)
{
    const struct drawing *d = p->d;
    p->pairs = calloc(d->nlinks + 1, sizeof *p->pairs);
    p->spots = calloc(2 * d->nlinks + 1, sizeof *p->spots);
    if (p->pairs == NULL || p->spots == NULL)
        return ERR_NOMEM;
    for (size_t i = 0, end; i < d->nlinks; i = end) {
        const struct drawn_link *l = &d->links[i];
        for (end = i; end < d->nlinks && d->links[end].from == l->from && d->links[end].to == l->to;)
            end++;
        struct pair *of = NULL;
        if (l->from > l->to) /* links are sorted: the other direction, if there is one, is in the list */
            for (size_t k = 0; k < p->npairs && of == NULL; k++)
                if (p->pairs[k].a == l->to && p->pairs[k].b == l->from)
                    of = &p->pairs[k];
        if (of == NULL) {
            of = &p->pairs[p->npairs++];
            *of = (struct pair){.a = l->from, .b = l->to, .there = i, .nthere = end - i};
        } else {
            of->back = i;
            of->nback = end - i;
        }
    }
    return ERR_OK;
}

/* "*, *.example.net": where mail leaves here. */
static enum err add_spaces(const struct drawing *d, uint32_t group, struct buf *out)
{
    enum err e = ERR_OK;
    const char *last = "";
    for (size_t i = 0; e == ERR_OK && i < d->nexits; i++) {
        const struct drawn_exit *x = &d->exits[i];
        if (x->group != group || drawing_is_local(x) || strcmp(x->space, last) == 0)
            continue;
        e = buf_addf(out, "%s%s", out->len > 0 ? ", " : "", x->space);
        last = x->space;
        if (out->len > SPACES_SHOWN)
            break;
    }
    return e;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

static enum err measure(struct picture *p)
{
    const struct drawing *d = p->d;
    enum err e = ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < d->ngroups; i++) {
        buf_init(&p->spaces[i], 65536);
        if (d->ngroups <= SPACES_GROUPS)
            e = add_spaces(d, i, &p->spaces[i]);
        double name = least((double)strlen(d->groups[i].name), NAME_SHOWN) * NAME_EM;
        double below = least((double)p->spaces[i].len + 2, SPACES_SHOWN + 2) * SMALL_EM;
        p->size[i].w = most(most(name, p->spaces[i].len > 0 ? below : 0) + 20, 44);
        p->size[i].h = p->spaces[i].len > 0 ? 40 : 28;
    }
    return e;
}

static void bounds(const struct picture *p, double box[4]) /* left, top, right, bottom */
{
    for (size_t i = 0; i < p->d->ngroups; i++) {
        double x = p->at[i].x, y = p->at[i].y, w = p->size[i].w / 2, h = p->size[i].h / 2;
        box[0] = i == 0 ? x - w : least(box[0], x - w);
        box[1] = i == 0 ? y - h : least(box[1], y - h);
        box[2] = i == 0 ? x + w : most(box[2], x + w);
        box[3] = i == 0 ? y + h : most(box[3], y + h);
    }
}

/* From the graph's units to pixels: room for names and costs between neighbours, for many lines that cross,
 * and around a group that has many neighbours. */
static enum err enlarge(struct picture *p)
{
    uint32_t n = (uint32_t)p->d->ngroups, *degree = calloc(n + 1, sizeof *degree), top = 0;
    double wide = 0;
    if (degree == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < p->npairs; i++) {
        degree[p->pairs[i].a]++;
        degree[p->pairs[i].b]++;
    }
    for (uint32_t i = 0; i < n; i++) {
        top = degree[i] > top ? degree[i] : top;
        wide += p->size[i].w / n;
    }
    free(degree);
    double x = wide + 120, y = wide / 2 + 110;
    double more = most(top * (wide / 2 + 40) / (3.14 * (x + y)), least(1 + n / 200.0, 3));
    for (uint32_t i = 0; i < n; i++) {
        p->at[i].x *= x * more;
        p->at[i].y *= y * more;
    }
    return ERR_OK;
}

static enum err place(struct picture *p)
{
    uint32_t n = (uint32_t)p->d->ngroups;
    uint32_t(*edges)[2] = calloc(p->npairs + 1, sizeof *edges);
    double box[4] = {0, 0, 0, 0};
    if (edges == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < p->npairs; i++) {
        edges[i][0] = p->pairs[i].a;
        edges[i][1] = p->pairs[i].b;
    }
    enum err e = layout_run(n, (const uint32_t(*)[2])edges, p->npairs, p->at);
    if (e == ERR_OK)
        e = enlarge(p);
    if (e == ERR_OK)
        layout_separate(n, p->size, (const uint32_t(*)[2])edges, p->npairs, 18, p->at);
    free(edges);
    bounds(p, box);
    p->width = ceil(most(box[2] - box[0], LEGEND_WIDTH) + 2 * MARGIN);
    p->height = ceil(box[3] - box[1] + TOP + BOTTOM);
    for (uint32_t i = 0; i < n; i++) {
        p->at[i].x += p->width / 2 - (box[0] + box[2]) / 2;
        p->at[i].y += TOP - box[1];
    }
    return e;
}

/* --- Connectors ----------------------------------------------------------------------------------------- */

static enum state state_of(const struct drawn_link *l, size_t n)
{
    size_t up = 0;
    for (size_t i = 0; i < n; i++)
        up += l[i].up;
    return up == n ? STATE_UP : up == 0 ? STATE_DOWN : STATE_SOME;
}

static bool alike(const struct drawn_link *x, size_t nx, const struct drawn_link *y, size_t ny)
{
    for (size_t i = 0; i < nx && nx == ny; i++)
        if (x[i].cost != y[i].cost || x[i].up != y[i].up)
            return false;
    return nx == ny;
}

/* The part of the line from a to b that no box hides: as shares of it. */
static void visible(const struct picture *p, const struct pair *q, double *from, double *to)
{
    double dx = fabs(p->at[q->b].x - p->at[q->a].x), dy = fabs(p->at[q->b].y - p->at[q->a].y);
    double hide[2];
    for (int side = 0; side < 2; side++) {
        const struct layout_size *s = &p->size[side == 0 ? q->a : q->b];
        hide[side] = least(dx > 1e-9 ? s->w / 2 / dx : 1, dy > 1e-9 ? s->h / 2 / dy : 1);
        hide[side] = least(hide[side], 0.45);
    }
    *from = hide[0];
    *to = 1 - hide[1];
}

static struct layout_point along(const struct picture *p, const struct pair *q, double share)
{
    struct layout_point a = p->at[q->a], b = p->at[q->b];
    return (struct layout_point){a.x + share * (b.x - a.x), a.y + share * (b.y - a.y)};
}

static enum err add_line(const struct picture *p, const struct pair *q, double from, double to,
                         enum state state, const char *end, struct buf *out)
{
    struct layout_point a = along(p, q, from), b = along(p, q, to);
    return buf_addf(out, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"%s/>\n", classes[state], a.x, a.y, b.x,
                    b.y, end);
}

static bool overlap(const struct spot *a, const struct spot *b)
{
    return fabs(a->x - b->x) < (a->w + b->w) / 2 && fabs(a->y - b->y) < (a->h + b->h) / 2;
}

static bool is_free(const struct picture *p, const struct spot *s)
{
    for (size_t i = 0; i < p->d->ngroups; i++)
        if (overlap(s, &(struct spot){p->at[i].x, p->at[i].y, p->size[i].w, p->size[i].h}))
            return false;
    for (size_t i = 0; i < p->nspots; i++)
        if (overlap(s, &p->spots[i]))
            return false;
    return true;
}

/* A place for a text on the line of a pair, where it covers neither a group nor another text: as near to
 * `wish` as possible, and not beyond what belongs to it. */
static struct spot find_spot(struct picture *p, const struct pair *q, double wish, double reach, double w)
{
    struct layout_point at = along(p, q, wish);
    struct spot first = {at.x, at.y, w, 14}, s = first;
    for (int i = 0; i <= 2 * SPOT_TRIES; i++) {
        int steps = (i + 1) / 2;
        double off = steps * reach / SPOT_TRIES * (i % 2 == 0 ? 1 : -1);
        at = along(p, q, wish + off);
        s = (struct spot){at.x, at.y, w, 14};
        if (is_free(p, &s))
            break;
        s = first;
    }
    p->spots[p->nspots++] = s; /* one for each direction of a pair at most */
    return s;
}

static enum err add_cost(struct picture *p, const struct pair *q, double wish, double reach,
                         const struct drawn_link *l, size_t n, struct buf *out)
{
    enum state state = state_of(l, n);
    struct buf text;
    buf_init(&text, 65536);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < n && i < 4; i++)
        e = buf_addf(&text, "%s%u%s", i > 0 ? ", " : "", l[i].cost,
                     !l[i].up && (state == STATE_SOME || i + 1 == n) ? " DOWN" : "");
    if (e == ERR_OK && n > 4)
        e = buf_addf(&text, ", ...");
    struct spot s = find_spot(p, q, wish, reach, (double)text.len * (state == STATE_UP ? 6.8 : 8.2) + 5);
    if (e == ERR_OK)
        e = buf_addf(out,
                     "<rect class=\"back\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"14\" rx=\"3\"/>",
                     s.x - s.w / 2, s.y - 7, s.w);
    if (e == ERR_OK)
        e = buf_addf(out, "<text class=\"cost%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
                     state == STATE_UP ? "" : " alarm", s.x, s.y + 4, buf_cstr(&text));
    buf_done(&text);
    return e;
}

static enum err add_link_titles(const struct drawing *d, const struct drawn_link *l, size_t n,
                                struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < n && i < TITLE_LINES; i++) {
        e = add_xml(out, span_cstr(d->groups[l[i].from].name));
        if (e == ERR_OK)
            e = buf_addf(out, " &#8594; ");
        if (e == ERR_OK)
            e = add_xml(out, span_cstr(d->groups[l[i].to].name));
        if (e == ERR_OK)
            e = buf_addf(out, ": connector ");
        if (e == ERR_OK)
            e = add_xml(out, span_cstr(l[i].connector));
        if (e == ERR_OK)
            e = buf_addf(out, ", cost %u, %s\n", l[i].cost, l[i].up ? "UP" : "DOWN");
    }
    return e;
}

static enum err add_pair_lines(const struct picture *p, const struct pair *q, struct buf *out)
{
    const struct drawn_link *l = p->d->links;
    double from, to;
    visible(p, q, &from, &to);
    enum err e = buf_addf(out, "<g><title>");
    if (e == ERR_OK)
        e = add_link_titles(p->d, &l[q->there], q->nthere, out);
    if (e == ERR_OK && q->nback > 0)
        e = add_link_titles(p->d, &l[q->back], q->nback, out);
    if (e == ERR_OK)
        e = buf_addf(out, "</title>\n");
    if (e == ERR_OK && q->nback == 0)
        e = add_line(p, q, from, to, state_of(&l[q->there], q->nthere), " marker-end=\"url(#end)\"", out);
    else if (e == ERR_OK && alike(&l[q->there], q->nthere, &l[q->back], q->nback))
        e = add_line(p, q, from, to, state_of(&l[q->there], q->nthere), "", out);
    else if (e == ERR_OK) {
        e = add_line(p, q, from, (from + to) / 2, state_of(&l[q->there], q->nthere), "", out);
        if (e == ERR_OK)
            e = add_line(p, q, to, (from + to) / 2, state_of(&l[q->back], q->nback), "", out);
    }
    return e == ERR_OK ? buf_addf(out, "</g>\n") : e;
}

/* What is DOWN first: it gets the best places. */
static enum err add_pair_costs(struct picture *p, const struct pair *q, bool alarms, struct buf *out)
{
    const struct drawn_link *there = &p->d->links[q->there], *back = &p->d->links[q->back];
    double from, to;
    bool one = q->nback == 0 || alike(there, q->nthere, back, q->nback);
    enum err e = ERR_OK;
    visible(p, q, &from, &to);
    double len = to - from;
    if ((state_of(there, q->nthere) != STATE_UP) == alarms)
        e = one ? add_cost(p, q, from + 0.5 * len, 0.4 * len, there, q->nthere, out)
                : add_cost(p, q, from + 0.25 * len, 0.2 * len, there, q->nthere, out);
    if (e == ERR_OK && !one && (state_of(back, q->nback) != STATE_UP) == alarms)
        e = add_cost(p, q, from + 0.75 * len, 0.2 * len, back, q->nback, out);
    return e;
}

/* --- Groups --------------------------------------------------------------------------------------------- */

static enum err add_group_title(const struct drawing *d, uint32_t group, struct buf *out)
{
    size_t lines = 0;
    enum err e = add_xml(out, span_cstr(d->groups[group].name));
    if (e == ERR_OK && !d->groups[group].known)
        e = buf_addf(out, ": no record of it is known");
    for (size_t i = 0; e == ERR_OK && i < d->nexits; i++) {
        const struct drawn_exit *x = &d->exits[i];
        if (x->group != group)
            continue;
        if (++lines > TITLE_LINES)
            return buf_addf(out, "\n...");
        e = buf_addf(out, drawing_is_local(x) ? "\ndelivers " : "\n");
        if (e == ERR_OK)
            e = add_xml(out, span_cstr(x->space));
        if (e == ERR_OK && !drawing_is_local(x))
            e = buf_addf(out, ": cost %u, %s, connector ", x->cost, x->up ? "UP" : "DOWN");
        if (e == ERR_OK && !drawing_is_local(x))
            e = add_xml(out, span_cstr(x->connector));
    }
    return e;
}

static bool exit_down(const struct drawing *d, uint32_t group)
{
    for (size_t i = 0; i < d->nexits; i++)
        if (d->exits[i].group == group && !d->exits[i].up)
            return true;
    return false;
}

static enum err add_group(const struct picture *p, uint32_t i, struct buf *out)
{
    const struct drawn_group *g = &p->d->groups[i];
    double x = p->at[i].x, y = p->at[i].y, w = p->size[i].w, h = p->size[i].h;
    bool alarm = exit_down(p->d, i);
    enum err e = buf_addf(out, "<g><title>");
    if (e == ERR_OK)
        e = add_group_title(p->d, i, out);
    if (e == ERR_OK)
        e = buf_addf(out,
                     "</title><rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                     "rx=\"7\"/><text class=\"name\" x=\"%.1f\" y=\"%.1f\">",
                     drawing_is_own(p->d, g) ? "own"
                     : g->known              ? "group"
                                             : "unknown",
                     x - w / 2, y - h / 2, w, h, x, p->spaces[i].len > 0 ? y - 2 : y + 4.5);
    if (e == ERR_OK)
        e = add_cut(out, span_cstr(g->name), NAME_SHOWN);
    if (e == ERR_OK)
        e = buf_addf(out, "</text>");
    if (e == ERR_OK && p->spaces[i].len > 0) {
        e = buf_addf(out, "<text class=\"small%s\" x=\"%.1f\" y=\"%.1f\">&#8599; ", alarm ? " alarm" : "", x,
                     y + 12);
        if (e == ERR_OK)
            e = add_cut(out, buf_span(&p->spaces[i]), SPACES_SHOWN);
        if (e == ERR_OK)
            e = buf_addf(out, "</text>");
    }
    return e == ERR_OK ? buf_addf(out, "</g>\n") : e;
}

/* --- Around it ------------------------------------------------------------------------------------------ */

static enum err add_head(const struct picture *p, struct buf *out)
{
    const struct drawing *d = p->d;
    size_t down = 0, exits_down = 0;
    for (size_t i = 0; i < d->nlinks; i++)
        down += !d->links[i].up;
    for (size_t i = 0; i < d->nexits; i++)
        exits_down += !d->exits[i].up;
    enum err e =
        buf_addf(out,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
                 "height=\"%.0f\" role=\"img\">\n<title>",
                 p->width, p->height, p->width, p->height);
    if (e == ERR_OK)
        e = add_xml(out, span_cstr(d->title));
    if (e == ERR_OK)
        e = buf_addf(out,
                     "</title>\n%s<defs><marker id=\"end\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" "
                     "markerWidth=\"9\" markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">"
                     "<path d=\"M0 0L10 5L0 10z\" fill=\"#334155\"/></marker></defs>\n"
                     "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
                     "<text class=\"head\" x=\"%d\" y=\"30\">",
                     style, MARGIN);
    if (e == ERR_OK)
        e = add_cut(out, span_cstr(d->title), 60);
    if (e == ERR_OK)
        e = buf_addf(
            out,
            "</text>\n<text class=\"legend%s\" x=\"%d\" y=\"48\">%zu group%s, %zu connector%s between "
            "them, %zu of these DOWN%s</text>\n",
            down > 0 ? " alarm" : "", MARGIN, d->ngroups, plural(d->ngroups), d->nlinks, plural(d->nlinks),
            down, exits_down > 0 ? "; ways out are DOWN too" : "");
    return e;
}

static enum err add_legend(const struct picture *p, struct buf *out)
{
    static const struct {
        const char *shape, *text;
        int x, row;
    } items[] = {
        {"up", "UP; the number is the cost", 0, 0},
        {"down", "DOWN", 230, 0},
        {"some", "some of several are DOWN", 330, 0},
        {"own", "this group", 0, 1},
        {"unknown", "a group whose record is not known", 120, 1},
        {"", "halves of a line: each direction, at its owner", 385, 1},
    };
    double top = p->height - 44;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(items); i++) {
        double x = MARGIN + items[i].x, y = top + 22 * items[i].row;
        if (items[i].row == 0)
            e = buf_addf(out, "<path class=\"%s\" d=\"M%.0f %.0fH%.0f\"/>", items[i].shape, x, y, x + 34);
        else if (items[i].shape[0] != '\0')
            e = buf_addf(out,
                         "<rect class=\"%s\" x=\"%.0f\" y=\"%.0f\" width=\"34\" height=\"14\" rx=\"4\"/>",
                         items[i].shape, x, y - 7);
        if (e == ERR_OK)
            e = buf_addf(out, "<text class=\"legend\" x=\"%.0f\" y=\"%.0f\">%s</text>\n",
                         x + (items[i].shape[0] != '\0' ? 42 : 0), y + 4, items[i].text);
    }
    return e == ERR_OK ? buf_addf(out, "</svg>\n") : e;
}

static enum err print(struct picture *p, struct buf *out)
{
    enum err e = add_head(p, out);
    for (size_t i = 0; e == ERR_OK && i < p->npairs; i++)
        e = add_pair_lines(p, &p->pairs[i], out);
    for (size_t i = 0; e == ERR_OK && i < 2 * p->npairs; i++)
        e = add_pair_costs(p, &p->pairs[i % p->npairs], i < p->npairs, out);
    for (uint32_t i = 0; e == ERR_OK && i < p->d->ngroups; i++)
        e = add_group(p, i, out);
    return e == ERR_OK ? add_legend(p, out) : e;
}

enum err drawing_svg(struct drawing *d, struct buf *out)
{
    enum err e = drawing_arrange(d);
    size_t n = d->ngroups;
    if (e != ERR_OK || n > DRAWING_SVG_GROUPS_MAX)
        return e != ERR_OK ? e : ERR_TOOBIG;
    struct picture p = {.d = d,
                        .at = calloc(n + 1, sizeof *p.at),
                        .size = calloc(n + 1, sizeof *p.size),
                        .spaces = calloc(n + 1, sizeof *p.spaces)};
    if (p.at == NULL || p.size == NULL || p.spaces == NULL)
        e = ERR_NOMEM;
    if (e == ERR_OK)
        e = list_pairs(&p);
    if (e == ERR_OK)
        e = measure(&p);
    if (e == ERR_OK)
        e = place(&p);
    if (e == ERR_OK)
        e = print(&p, out);
    for (size_t i = 0; p.spaces != NULL && i < n; i++)
        buf_done(&p.spaces[i]);
    free(p.at);
    free(p.size);
    free(p.spaces);
    free(p.pairs);
    free(p.spots);
    return e;
}
