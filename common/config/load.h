/* common/config/load.h — what the loader, the environment overlay and the cross-checks share. */
#pragma once
#include "common/config/table.h"
#include "common/config/yaml.h"

#include <stdatomic.h>

/* A value read from a file: config_show names the file, never the value. */
struct secret {
    const char *value, *path;
};
struct mark;
struct config {
    atomic_uint refs;
    bool empty; /* the file had nothing in it */
    struct arena mem;
    struct conf_root root;
    struct secret secrets[16];
    size_t nsecrets;
    struct mark *marks; /* config_load_marked() */
    size_t nmarks;
};

/* Where a value stands in the configuration: a chain on the stack, outermost last. */
struct conf_path {
    const struct conf_path *up;
    const char *key; /* NULL: an item of a list */
    size_t index;
};
enum err conf_path_text(const struct conf_path *path, struct buf *out) MUST_USE; /* "a.b[0].c" */

/* Where a field got its value from: for cross-checks that fail later. */
struct mark {
    const void *field;
    unsigned line;
    const char *env;
};
enum { PROBLEMS_MAX = 100 };
struct loader {
    const char *file, *base_dir;
    struct config *c;
    struct arena tree;
    struct buf *problems;
    size_t nproblems, nsteps;
    struct mark *marks;
    size_t nmarks, marks_cap;
    const void *bad[PROBLEMS_MAX]; /* fields that failed their own check: cross-checks would only repeat it */
    size_t nbad;
    bool out_of_memory;
    struct errctx *first; /* gets the first problem */
};

/* One problem: "file:line: key: what". at NULL: no line known. */
void conf_problem(struct loader *l, const struct mark *at, const char *key, const char *fmt, ...)
    PRINTF(4, 5);
/* The mark of a field, NULL when it kept its default. */
const struct mark *conf_mark(const struct loader *l, const void *field);
/* Whether any field inside [start, start + size) failed its own check. */
bool conf_bad(const struct loader *l, const void *start, size_t size);

/* The path that a secret was read from: what is shown instead of it; "" for none. */
const char *conf_secret_path(const struct config *c, const char *value);
/* Whether the walk ended early: fields may be unset. */
bool conf_stopped(const struct loader *l);
/* Fills the struct at base from a mapping; n NULL: with defaults alone. path NULL: the top level. */
void conf_walk(struct loader *l, const struct conf_section *s, char *base, const struct yaml_node *n,
               const struct conf_path *path);
/* Puts BRIDGEHEAD_... variables into the tree, in place of what the file says. */
void conf_env_overlay(struct loader *l, char *const *env, struct yaml_node **root);
/* Names in a list, sorted so that equal ones stand together, the first one first. */
struct conf_name {
    const char *text;
    size_t index;
};
void conf_sort_names(struct conf_name *names, size_t n);
/* What no single value can tell. */
void conf_cross_check(struct loader *l);
void conf_check_routing(struct loader *l); /* its part about routing groups */
