/* linkstate/graphml_int.h — between reading the XML (graphml.c) and making a topology of it
 * (graphml_build.c); nobody else includes it. */
#pragma once
#include "common/buf.h"
#include "linkstate/graphml.h"

enum { GRAPHML_TEXT_MAX = 255, GRAPHML_FIELDS = 12 };
struct graphml_raw_node {
    size_t id, label; /* where in texts; label 0: none */
    int label_field;
    unsigned long line;
};
struct graphml_raw_edge {
    size_t from, to; /* ids, where in texts */
    unsigned long line;
    bool directed;
    float fields[GRAPHML_FIELDS]; /* -1: not there */
};
struct graphml_raw {
    struct buf texts; /* NUL-terminated, the first one empty */
    struct graphml_raw_node *nodes;
    struct graphml_raw_edge *edges;
    size_t nnodes, cap_nodes, nedges, cap_edges;
};
void graphml_raw_init(struct graphml_raw *w);
void graphml_raw_done(struct graphml_raw *w);
/* The number of the field that a key of this attr.name fills; -1: nobody asks for it. */
int graphml_field(bool of_edge, const char *name);
/* A field's text as a number of at least 0. */
bool graphml_number(int field, struct span text, double *ret);
enum err graphml_add_node(struct graphml_raw *w, const char *id, unsigned long line) MUST_USE;
enum err graphml_add_edge(struct graphml_raw *w, const char *from, const char *to, bool directed,
                          unsigned long line) MUST_USE;
/* Of the node, the edge that was added last. */
enum err graphml_set_label(struct graphml_raw *w, int field, struct span label) MUST_USE;
void graphml_set_number(struct graphml_raw *w, int field, double number);
enum err graphml_finish(const struct graphml_raw *w, struct graphml *ret, struct errctx *ec) MUST_USE;
