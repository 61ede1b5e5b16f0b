/* linkstate/drawing_dot.c — a drawing for Graphviz. */
#include "linkstate/drawing_int.h"

#include <string.h>

/* Inside quotes, DOT knows \" alone; \n and the like are for labels, and no name may make one. */
static enum err add_quoted(struct buf *out, const char *s)
{
    enum err e = buf_addc(out, '"');
    for (; e == ERR_OK && *s != '\0'; s++) {
        char c = *s < 0x20 || *s > 0x7e ? '?' : *s; /* a char may be signed: both ends are covered */
        if (c == '"' || c == '\\')
            e = buf_addc(out, '\\');
        if (e == ERR_OK)
            e = buf_addc(out, c);
    }
    return e == ERR_OK ? buf_addc(out, '"') : e;
}

static enum err add_group(const struct drawing *d, const struct drawn_group *g, struct buf *out)
{
    enum err e = buf_addf(out, "  ");
    if (e == ERR_OK)
        e = add_quoted(out, g->name);
    if (e == ERR_OK && drawing_is_own(d, g))
        e = buf_addf(out, " [style=\"rounded,filled,bold\", fillcolor=\"#dbeafe\"]");
    else if (e == ERR_OK && !g->known)
        e = buf_addf(out, " [style=\"rounded,dashed\", color=\"#9ca3af\", fontcolor=\"#6b7280\"]");
    return e == ERR_OK ? buf_addf(out, ";\n") : e;
}

static enum err add_link(const struct drawing *d, const struct drawn_link *l, struct buf *out)
{
    enum err e = buf_addf(out, "  ");
    if (e == ERR_OK)
        e = add_quoted(out, d->groups[l->from].name);
    if (e == ERR_OK)
        e = buf_addf(out, " -> ");
    if (e == ERR_OK)
        e = add_quoted(out, d->groups[l->to].name);
    if (e == ERR_OK)
        e = buf_addf(out, l->up ? " [label=\"%u\"" : " [label=\"%u DOWN\"", l->cost);
    if (e == ERR_OK && !l->up)
        e = buf_addf(out, ", color=\"#d21f2b\", fontcolor=\"#d21f2b\", style=dashed, penwidth=2");
    if (e == ERR_OK)
        e = buf_addf(out, ", tooltip=");
    if (e == ERR_OK)
        e = add_quoted(out, l->connector);
    return e == ERR_OK ? buf_addf(out, "];\n") : e;
}

/* Where mail leaves the organization: a plain text beside the group, one for each address space. */
static enum err add_exit(const struct drawing *d, const struct drawn_exit *x, size_t n, struct buf *out)
{
    enum err e = buf_addf(out, "  \"exit %zu\" [shape=plain, label=", n);
    if (e == ERR_OK)
        e = add_quoted(out, x->space);
    if (e == ERR_OK)
        e = buf_addf(out, "];\n  ");
    if (e == ERR_OK)
        e = add_quoted(out, d->groups[x->group].name);
    if (e == ERR_OK)
        e = buf_addf(
            out, " -> \"exit %zu\" [label=\"%u%s\", color=\"%s\", fontcolor=\"%s\", style=%s, tooltip=", n,
            x->cost, x->up ? "" : " DOWN", x->up ? "#9ca3af" : "#d21f2b", x->up ? "#6b7280" : "#d21f2b",
            x->up ? "solid" : "dashed");
    if (e == ERR_OK)
        e = add_quoted(out, x->connector);
    return e == ERR_OK ? buf_addf(out, "];\n") : e;
}

enum err drawing_dot(struct drawing *d, struct buf *out)
{
    enum err e = drawing_arrange(d);
    if (e == ERR_OK)
        e = buf_addf(out, "digraph ");
    if (e == ERR_OK)
        e = add_quoted(out, d->title);
    if (e == ERR_OK)
        e = buf_addf(out,
                     " {\n  graph [layout=neato, overlap=false, splines=true, sep=\"+12\"];\n"
                     "  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=12];\n"
                     "  edge [fontname=\"sans-serif\", fontsize=10, color=\"#4b5563\", arrowsize=0.6];\n");
    for (size_t i = 0; e == ERR_OK && i < d->ngroups; i++)
        e = add_group(d, &d->groups[i], out);
    for (size_t i = 0; e == ERR_OK && i < d->nlinks; i++)
        e = add_link(d, &d->links[i], out);
    for (size_t i = 0; e == ERR_OK && i < d->nexits; i++)
        if (!drawing_is_local(&d->exits[i]))
            e = add_exit(d, &d->exits[i], i, out);
    return e == ERR_OK ? buf_addf(out, "}\n") : e;
}
