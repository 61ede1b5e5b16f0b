/* linkstate/drawing.h — the organization as a picture: groups, the connectors between them with their costs,
 * and at a glance what is DOWN. Graphviz DOT, or SVG that needs nothing else. Pure: the same content gives
 * the same bytes, in whatever order it was added.
 *
 * In the SVG a line is two connectors, one in each direction; when they differ in cost or state each has the
 * half at its owner. What a mouse finds out (connector names, address spaces) is in <title> elements.
 * Lifetimes: everything added is copied. Names may be anything: they are escaped. */
#pragma once
#include "common/buf.h"
#include "linkstate/layout.h"
#include "linkstate/lsdb.h"

struct drawing;
enum { DRAWING_MAX = 64 << 20, DRAWING_SVG_GROUPS_MAX = LAYOUT_NODES_MAX };

/* own: the group that looks, drawn differently; empty: none. NULL: out of memory. */
struct drawing *drawing_new(struct span title, struct span own);
void drawing_free(struct drawing *d); /* NULL is a no-op */
/* A group whose record is known; one that is only named by a connector's other end is drawn dashed.
 * All: ERR_TOOBIG (LSDB_GROUPS_MAX, LSDB_CONNECTORS_MAX), ERR_NOMEM, ERR_PARSE: a NUL byte in a name. */
enum err drawing_group(struct drawing *d, struct span name) MUST_USE;
enum err drawing_link(struct drawing *d, struct span from, struct span to, uint8_t cost, bool up,
                      struct span connector) MUST_USE;
/* Mail leaves the organization here (or ends here: the connector is RECORD_LOCAL_CONNECTOR). */
enum err drawing_exit(struct drawing *d, struct span group, struct span space, uint8_t cost, bool up,
                      struct span connector) MUST_USE;
/* All of that for a group's record; for every record of a table. */
enum err drawing_record(struct drawing *d, struct span group, const struct record *r) MUST_USE;
enum err drawing_table(struct drawing *d, const struct lsdb *db) MUST_USE;

enum err drawing_dot(struct drawing *d, struct buf *out) MUST_USE;
/* ERR_TOOBIG: more than DRAWING_SVG_GROUPS_MAX groups. */
enum err drawing_svg(struct drawing *d, struct buf *out) MUST_USE;
