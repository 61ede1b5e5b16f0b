/* BRIDGEHEAD_VIRTUAL_SERVERS_0_LISTEN and its like: the path of a key in upper case, lists by index. */
#include "common/config/load.h"
#include "common/nearest.h"
#include "common/plural.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 8, INDEX_MAX = 100000 };
#define ENV_PREFIX "BRIDGEHEAD_"

struct step {
    const struct conf_row *row;
    size_t index; /* ROW_LIST */
};

static bool key_matches(struct span *name, const char *key)
{
    struct span k = span_cstr(key);
    if (name->len < k.len)
        return false;
    for (size_t i = 0; i < k.len; i++) {
        bool lower = k.ptr[i] >= 'a' && k.ptr[i] <= 'z';
        if (name->ptr[i] != (lower ? k.ptr[i] - 32 : k.ptr[i]))
            return false;
    }
    *name = span_from(*name, k.len);
    return true;
}

/* "_12_" off the front of a list's name */
static bool take_index(struct span *name, size_t *ret)
{
    uint64_t index;
    struct span digits;
    if (!span_has_prefix(*name, SPAN("_")) || !span_cut(span_from(*name, 1), '_', &digits, name) ||
        !span_to_u64(digits, INDEX_MAX, &index))
        return false;
    *ret = (size_t)index;
    return true;
}

/* Keys hold underscores themselves, so every row that fits is tried. Returns the number of steps, 0: none. */
static size_t find_steps(const struct conf_section *s, struct span name, struct step *steps, size_t depth)
{
    size_t nrows, n = 0;
    const struct conf_row *rows = s->rows(&nrows);
    if (depth == STEPS_MAX)
        return 0;
    for (size_t i = 0; i < nrows && n == 0; i++) {
        struct span rest = name;
        const struct conf_row *row = &rows[i];
        if (!key_matches(&rest, row->key))
            continue;
        steps[depth] = (struct step){.row = row};
        if (row->kind == ROW_VALUE || row->kind == ROW_ENUM)
            n = rest.len == 0 ? depth + 1 : 0;
        else if (row->kind == ROW_LIST)
            n = take_index(&rest, &steps[depth].index) ? find_steps(row->sub, rest, steps, depth + 1) : 0;
        else if (span_has_prefix(rest, SPAN("_")))
            n = find_steps(row->sub, span_from(rest, 1), steps, depth + 1);
        if (n > 0) /* deeper calls wrote behind us, not over us */
            steps[depth].row = row;
    }
    return n;
}

/* --- the tree ------------------------------------------------------------------------------------ */

static struct yaml_node *new_node(struct loader *l, enum yaml_kind kind, const char *text, const char *env)
{
    struct yaml_node *n = arena_alloc(&l->tree, sizeof *n);
    if (n == NULL)
        return NULL;
    *n = (struct yaml_node){.kind = kind, .text = span_cstr(text), .env = env};
    return n;
}

/* A container of our own to change: an alias may share the old one with other places. */
static struct yaml_node *own(struct loader *l, const struct yaml_node *old, enum yaml_kind kind,
                             const char *env)
{
    struct yaml_node *n = new_node(l, kind, "", env);
    if (n == NULL || old == NULL || old->kind != kind)
        return n;
    n->line = old->line;
    n->env = old->env;
    for (size_t i = 0; i < old->count; i++)
        if (yaml_append(&l->tree, n, old->items[i]) != ERR_OK)
            return NULL;
    return n;
}

/* Where the value of key stands in map; made when it is missing. NULL: out of memory. */
static struct yaml_node **slot_of(struct loader *l, struct yaml_node *map, const char *key, const char *env)
{
    for (size_t i = 0; i + 1 < map->count; i += 2)
        if (span_eq(map->items[i]->text, span_cstr(key)))
            return &map->items[i + 1];
    struct yaml_node *k = new_node(l, YAML_SCALAR, key, env), *v = new_node(l, YAML_SCALAR, "", env);
    if (k == NULL || v == NULL || yaml_append(&l->tree, map, k) != ERR_OK ||
        yaml_append(&l->tree, map, v) != ERR_OK)
        return NULL;
    return &map->items[map->count - 1];
}

/* *slot becomes a sequence of our own; returns the slot of its item, NULL when out of memory or range. */
static struct yaml_node **item_of(struct loader *l, struct yaml_node **slot, const struct step *step,
                                  const char *env)
{
    struct yaml_node *list = own(l, *slot, YAML_SEQUENCE, env);
    if (list == NULL)
        return NULL;
    *slot = list;
    if (step->index > list->count) {
        struct mark at = {.env = env};
        conf_problem(l, &at, step->row->key, "has %zu item%s, so the next index is %zu", list->count,
                     plural(list->count), list->count);
        return NULL;
    }
    if (step->index == list->count) {
        struct yaml_node *item = new_node(l, YAML_MAPPING, "", env);
        if (item == NULL || yaml_append(&l->tree, list, item) != ERR_OK)
            return NULL;
    }
    return &list->items[step->index];
}

static void put(struct loader *l, struct yaml_node **slot, const struct step *steps, size_t n,
                const char *env, const char *value)
{
    for (size_t i = 0; i < n && slot != NULL; i++) {
        struct yaml_node *map = own(l, *slot, YAML_MAPPING, env);
        l->out_of_memory |= map == NULL;
        if (map == NULL)
            return;
        *slot = map;
        slot = slot_of(l, map, steps[i].row->key, env);
        if (slot != NULL && steps[i].row->kind == ROW_LIST)
            slot = item_of(l, slot, &steps[i], env);
    }
    struct yaml_node *scalar = slot == NULL ? NULL : new_node(l, YAML_SCALAR, value, env);
    if (scalar != NULL)
        *slot = scalar;
    else if (l->nproblems == 0)
        l->out_of_memory = true;
}

/* --- names --------------------------------------------------------------------------------------- */

/* Read by the command line and the tests, not settings. */
static bool is_reserved(struct span name)
{
    return span_eq(name, SPAN("CONFIG")) || span_eq(name, SPAN("BUILD")) ||
           span_has_prefix(name, SPAN("TEST_"));
}

/* Kubernetes tells pods of a Service named bridgehead-x by BRIDGEHEAD_X_SERVICE_HOST, ..._PORT=tcp://..., and
 * so on: not meant for us. */
static bool is_service_link(struct span name, struct span value)
{
    return span_has_isuffix(name, SPAN("SERVICE_HOST")) || span_has_isuffix(name, SPAN("SERVICE_PORT")) ||
           memmem(name.ptr, name.len, "SERVICE_PORT_", 13) != NULL ||
           memmem(name.ptr, name.len, "PORT_", 5) != NULL ||
           (span_has_isuffix(name, SPAN("PORT")) && memmem(value.ptr, value.len, "://", 3) != NULL);
}

/* --- the nearest name ---------------------------------------------------------------------------- */

enum { NAMES_MAX = 1024, NAME_BYTES = 160 };

/* Variables of all settings. Lists have the numbers of the name that was typed, in their order; else 0. */
struct names {
    struct arena mem;
    size_t numbers[STEPS_MAX];
    size_t n;
    const char *words[NAMES_MAX];
};

static void take_numbers(struct span typed, size_t numbers[STEPS_MAX])
{
    struct span part;
    for (size_t n = 0; n < STEPS_MAX && typed.len > 0;) {
        uint64_t number;
        (void)span_cut(typed, '_', &part, &typed);
        if (span_to_u64(part, INDEX_MAX, &number))
            numbers[n++] = (size_t)number;
    }
}

static void add_names(struct names *all, const struct conf_section *s, const char *before, size_t lists,
                      size_t depth)
{
    size_t nrows;
    const struct conf_row *rows = s->rows(&nrows);
    for (size_t i = 0; i < nrows && depth < STEPS_MAX; i++) {
        const struct conf_row *row = &rows[i];
        char name[NAME_BYTES];
        bool list = row->kind == ROW_LIST, leaf = row->kind == ROW_VALUE || row->kind == ROW_ENUM;
        int n = list ? snprintf(name, sizeof name, "%s%s_%zu_", before, row->key, all->numbers[lists])
                     : snprintf(name, sizeof name, "%s%s%s", before, row->key, leaf ? "" : "_");
        if (n < 0 || (size_t)n >= sizeof name)
            continue;
        if (!leaf) {
            add_names(all, row->sub, name, lists + list, depth + 1);
            continue;
        }
        for (char *c = name; *c != '\0'; c++)
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        char *word = all->n < NAMES_MAX ? arena_dup(&all->mem, span_cstr(name)) : NULL;
        if (word != NULL)
            all->words[all->n++] = word;
    }
}

static void unknown_name(struct loader *l, const char *env, struct span name)
{
    struct mark at = {.env = env};
    struct names *all = calloc(1, sizeof *all);
    const char *near = NULL;
    if (all != NULL) {
        arena_init(&all->mem, (size_t)NAMES_MAX * NAME_BYTES);
        take_numbers(name, all->numbers);
        add_names(all, &conf_section_root, "", 0, 0);
        near = nearest_of(name, all->words, all->n);
    }
    if (near != NULL)
        conf_problem(l, &at, "", "names no setting; did you mean " ENV_PREFIX "%s?", near);
    else
        conf_problem(l, &at, "", "names no setting; unset it, or look the name up in docs/settings.md");
    if (all != NULL)
        arena_done(&all->mem);
    free(all);
}

static void apply(struct loader *l, const char *variable, struct yaml_node **root)
{
    struct step steps[STEPS_MAX];
    struct span name, value;
    (void)span_cut(span_cstr(variable), '=', &name, &value);
    char *env = arena_dup(&l->tree, name);
    char *text = arena_dup(&l->tree, value);
    if (env == NULL || text == NULL) {
        l->out_of_memory = true;
        return;
    }
    name = span_from(name, sizeof ENV_PREFIX - 1);
    if (is_reserved(name) || is_service_link(name, value))
        return;
    size_t n = find_steps(&conf_section_root, name, steps, 0);
    if (n == 0)
        unknown_name(l, env, name);
    else
        put(l, root, steps, n, env, text);
}

/* 9 before 10: an item may be appended to a list only behind the last one */
static int by_name(const void *a, const void *b)
{
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

void conf_env_overlay(struct loader *l, char *const *env, struct yaml_node **root)
{
    size_t n = 0, ours = 0;
    while (env[n] != NULL)
        n++;
    const char **names = malloc((n + 1) * sizeof *names);
    if (names == NULL) {
        l->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (span_has_prefix(span_cstr(env[i]), SPAN(ENV_PREFIX)))
            names[ours++] = env[i];
    qsort(names, ours, sizeof *names, by_name);
    for (size_t i = 0; i < ours; i++)
        apply(l, names[i], root);
    free(names);
}
