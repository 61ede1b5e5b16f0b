/* linkstate/drawing_int.h — what the two ways to print a drawing share. */
#pragma once
#include "linkstate/drawing.h"

struct drawn_group {
    char *name;
    bool known;
};
struct drawn_link { /* a connector between groups */
    char *from_name, *to_name, *connector;
    uint32_t from, to; /* numbers of groups, after drawing_arrange() */
    uint8_t cost;
    bool up;
};
struct drawn_exit {
    char *group_name, *space, *connector;
    uint32_t group;
    uint8_t cost;
    bool up;
};
struct drawing {
    char *title, *own;
    struct drawn_group *groups; /* by name, each once, after drawing_arrange() */
    struct drawn_link *links;   /* by both ends, cost, name */
    struct drawn_exit *exits;   /* by group, space, cost, name */
    size_t ngroups, nlinks, nexits, groups_cap, links_cap, exits_cap;
};
/* Sorts, numbers, and drops what is there twice. Every printing begins with it. */
enum err drawing_arrange(struct drawing *d) MUST_USE;
bool drawing_is_own(const struct drawing *d, const struct drawn_group *g);
bool drawing_is_local(const struct drawn_exit *x);
