/* From a tree of YAML nodes to a snapshot: one walk over the table, then the cross-checks.
 *
 *   text --yaml_parse--> tree --conf_env_overlay--> tree --walk_section--> structs --conf_cross_check--> ok?
 *
 * Every step reports all the problems it finds; only a file that is no YAML ends at the first. */
#include "common/config/load.h"

#include "common/config/value.h"
#include "common/nearest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS_MAX = 64 };

/* What a required text holds while the load fails: cross-checks read it, programs never do. */
static char empty_text[1];

/* --- problems and where they are ----------------------------------------------------------------- */

enum err conf_path_text(const struct conf_path *path, struct buf *out)
{
    enum err e = path->up == NULL ? ERR_OK : conf_path_text(path->up, out);
    if (e != ERR_OK)
        return e;
    if (path->key == NULL)
        return buf_addf(out, "[%zu]", path->index);
    return buf_addf(out, "%s%s", out->len > 0 ? "." : "", path->key);
}

void conf_problem(struct loader *l, const struct mark *at, const char *key, const char *fmt, ...)
{
    char what[640];
    struct errctx line;
    va_list ap;
    if (++l->nproblems > PROBLEMS_MAX)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const char *sep = key[0] == '\0' ? "" : ": ";
    if (at != NULL && at->env != NULL)
        (void)err_set(&line, ERR_CONFIG, "environment %s: %s%s%s", at->env, key, sep, what);
    else if (at != NULL && at->line > 0)
        (void)err_set(&line, ERR_CONFIG, "%s:%u: %s%s%s", l->file, at->line, key, sep, what);
    else
        (void)err_set(&line, ERR_CONFIG, "%s: %s%s%s", l->file, key, sep, what);
    if (l->nproblems == 1 && l->first != NULL)
        *l->first = line;
    if (l->problems != NULL)
        (void)!buf_addf(l->problems, "%s\n", line.msg); /* a full report is a report all the same */
}

static struct mark mark_of(const struct yaml_node *n)
{
    return (struct mark){.line = n->line, .env = n->env};
}

static void problem_at(struct loader *l, const struct yaml_node *n, const struct conf_path *path,
                       const char *what)
{
    struct buf key;
    struct mark m = mark_of(n);
    buf_init(&key, 1024);
    (void)!conf_path_text(path, &key);
    conf_problem(l, &m, buf_cstr(&key), "%s", what);
    buf_done(&key);
}

static void remember(struct loader *l, const void *field, const struct yaml_node *n, bool bad)
{
    if (bad && l->nbad < PROBLEMS_MAX)
        l->bad[l->nbad++] = field;
    if (l->nmarks == l->marks_cap) {
        size_t cap = l->marks_cap == 0 ? 256 : l->marks_cap * 2;
        struct mark *more = realloc(l->marks, cap * sizeof *more);
        if (more == NULL) {
            l->out_of_memory = true;
            return;
        }
        l->marks = more;
        l->marks_cap = cap;
    }
    l->marks[l->nmarks++] = (struct mark){.field = field, .line = n->line, .env = n->env};
}

const struct mark *conf_mark(const struct loader *l, const void *field)
{
    for (size_t i = 0; i < l->nmarks; i++)
        if (l->marks[i].field == field)
            return &l->marks[i];
    return NULL;
}

bool conf_stopped(const struct loader *l)
{
    return l->out_of_memory || l->nsteps > YAML_NODES_MAX;
}

bool conf_bad(const struct loader *l, const void *start, size_t size)
{
    uintptr_t from = (uintptr_t)start;
    for (size_t i = 0; i < l->nbad; i++)
        if ((uintptr_t)l->bad[i] >= from && (uintptr_t)l->bad[i] - from < size)
            return true;
    return false;
}

/* --- secrets ------------------------------------------------------------------------------------- */

/* Replaces the path in *field by what the file holds, without the newline at its end. Only regular files:
 * a pipe would block the program. */
static enum err read_secret(struct config *c, char **field, struct errctx *ec)
{
    char text[4096 + 1];
    struct stat st;
    const char *path = *field;
    if (path[0] == '\0')
        return ERR_OK;
    if (c->nsecrets == ARRAY_LEN(c->secrets))
        return err_set(ec, ERR_CONFIG, "more than %zu secrets", ARRAY_LEN(c->secrets));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(ec, ERR_CONFIG, "cannot read %s: %s; name a file that this program may read", path,
                       strerror(errno));
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    ssize_t n = regular ? read(fd, text, sizeof text) : -1;
    (void)close(fd);
    if (!regular || n < 0)
        return err_set(ec, ERR_CONFIG, "cannot read %s: %s; name a file that this program may read", path,
                       regular ? strerror(errno) : "it is not a regular file");
    struct span value = span_of(text, (size_t)n);
    while (value.len > 0 && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
        value.len--;
    if (value.len == 0 || value.len > 4096 || memchr(value.ptr, '\0', value.len) != NULL)
        return err_set(ec, ERR_CONFIG, "%s holds no secret; write 1 to 4096 bytes of text into it", path);
    char *copy = arena_dup(&c->mem, value);
    if (copy == NULL)
        return ERR_NOMEM;
    c->secrets[c->nsecrets++] = (struct secret){.value = copy, .path = path};
    *field = copy;
    return ERR_OK;
}

/* --- values -------------------------------------------------------------------------------------- */

static const char *kind_name(const struct yaml_node *n)
{
    static const char *const names[] = {"a text", "a list", "a mapping"};
    return names[n->kind];
}

/* "replicas: 1" under durability is a mapping to YAML and a text to people. */
static bool pair_as_text(struct loader *l, const struct yaml_node *n, struct span *ret)
{
    if (n->kind != YAML_MAPPING || n->count != 2 || n->items[0]->kind != YAML_SCALAR ||
        n->items[1]->kind != YAML_SCALAR)
        return false;
    struct buf joined;
    buf_init(&joined, 256);
    (void)!buf_addf(&joined, SPAN_FMT ":" SPAN_FMT, SPAN_ARG(n->items[0]->text), SPAN_ARG(n->items[1]->text));
    char *copy = arena_dup(&l->tree, buf_span(&joined));
    buf_done(&joined);
    *ret = span_cstr(copy);
    return copy != NULL;
}

/* The texts of a value: one, or those of a list. ret points into the tree's arena. */
static enum err texts_of(struct loader *l, const struct conf_row *row, const struct yaml_node *n,
                         struct span **ret, size_t *ret_n, struct errctx *ec)
{
    bool list = conf_shape_is_list(row->type->shape), sequence = n->kind == YAML_SEQUENCE;
    size_t room = sequence ? n->count : list ? CONF_ITEMS_MAX : 1;
    if (sequence && (!list || n->count > row->hi))
        return list ? err_set(ec, ERR_CONFIG, "%zu items; write at most %llu", n->count,
                              (unsigned long long)row->hi)
                    : err_set(ec, ERR_CONFIG, "is a list; write %s", row->type->what);
    struct span *texts = arena_alloc(&l->tree, room * sizeof *texts);
    if (texts == NULL)
        return ERR_NOMEM;
    *ret = texts;
    *ret_n = 1;
    if (n->kind == YAML_SCALAR && list)
        return conf_split(n->text, texts, room, ret_n) == ERR_OK
                   ? ERR_OK
                   : err_set(ec, ERR_CONFIG, "more than %d items; write fewer", CONF_ITEMS_MAX);
    if (n->kind == YAML_SCALAR)
        texts[0] = n->text;
    else if (n->kind == YAML_MAPPING &&
             (row->type != &conf_type_DURABILITY || !pair_as_text(l, n, &texts[0])))
        return err_set(ec, ERR_CONFIG, "is a mapping; write %s", row->type->what);
    if (!sequence)
        return ERR_OK;
    for (size_t i = 0; i < n->count; i++) {
        if (n->items[i]->kind != YAML_SCALAR)
            return err_set(ec, ERR_CONFIG, "item %zu is %s; write %s", i + 1, kind_name(n->items[i]),
                           row->type->what);
        texts[i] = n->items[i]->text;
    }
    *ret_n = n->count;
    return ERR_OK;
}

static enum err set_enum(const struct conf_row *row, struct span in, int *field, struct errctx *ec)
{
    struct span word;
    for (size_t i = 0; conf_word(row->words, i, &word); i++) {
        if (span_eq(word, in)) {
            *field = (int)i;
            return ERR_OK;
        }
    }
    return err_set(ec, ERR_CONFIG, "'" SPAN_FMT "' is not one of %s", SPAN_ARG(span_first(in, 80)),
                   row->words);
}

static enum err set_default(struct loader *l, const struct conf_row *row, void *field)
{
    struct span texts[16], def = span_cstr(row->def);
    size_t n = 1;
    if (row->kind == ROW_ENUM)
        return set_enum(row, def, field, NULL);
    texts[0] = def;
    if (conf_shape_is_list(row->type->shape) && conf_split(def, texts, ARRAY_LEN(texts), &n) != ERR_OK)
        return ERR_CONFIG;
    return conf_value_set(&l->c->mem, l->base_dir, row, texts, n, field, NULL);
}

static void read_value(struct loader *l, const struct conf_row *row, void *field, const struct yaml_node *n,
                       const struct conf_path *path)
{
    struct errctx ec = {{0}};
    struct span *texts = NULL;
    size_t ntexts = 0;
    enum err e = ERR_CONFIG;
    if (row->kind == ROW_ENUM) {
        if (n->kind == YAML_SCALAR)
            e = set_enum(row, n->text, field, &ec);
        else
            (void)err_set(&ec, e, "is %s; write one of %s", kind_name(n), row->words);
    } else {
        e = texts_of(l, row, n, &texts, &ntexts, &ec);
        if (e == ERR_OK)
            e = conf_value_set(&l->c->mem, l->base_dir, row, texts, ntexts, field, &ec);
        if (e == ERR_OK && row->type == &conf_type_SECRET)
            e = read_secret(l->c, field, &ec);
    }
    l->out_of_memory |= e == ERR_NOMEM;
    if (e != ERR_OK && e != ERR_NOMEM) {
        problem_at(l, n, path, ec.msg);
        if (row->def == NULL)
            *(char **)field = empty_text;
        else if (set_default(l, row, field) == ERR_NOMEM)
            l->out_of_memory = true;
    }
    remember(l, field, n, e != ERR_OK);
}

/* --- sections ------------------------------------------------------------------------------------ */

static bool walk_list(struct loader *l, const struct conf_row *row, char *field, const struct yaml_node *n,
                      const struct conf_path *path)
{
    char what[128];
    struct conf_list list = {.count = n->count};
    if (n->kind != YAML_SEQUENCE || n->count > row->hi) {
        (void)snprintf(what, sizeof what, "%zu items; write at most %llu", n->count,
                       (unsigned long long)row->hi);
        problem_at(l, n, path,
                   n->kind == YAML_SEQUENCE ? what : "must be a list; write each item after '- '");
        return false;
    }
    list.items = arena_alloc(&l->c->mem, list.count * row->sub->size);
    if (list.items == NULL) {
        l->out_of_memory = true;
        return false;
    }
    memcpy(field, &list, sizeof list);
    for (size_t i = 0; i < n->count && !conf_stopped(l); i++) {
        struct conf_path item = {path, NULL, i};
        conf_walk(l, row->sub, (char *)list.items + i * row->sub->size, n->items[i], &item);
    }
    return true;
}

static void read_row(struct loader *l, const struct conf_row *row, char *base, const struct yaml_node *n,
                     const struct conf_path *path)
{
    if (row->kind == ROW_SECTION) {
        conf_walk(l, row->sub, base + row->offset, n, path);
    } else if (row->kind == ROW_LIST) {
        bool ok = walk_list(l, row, base + row->offset, n, path);
        remember(l, base + row->offset, n, !ok);
    } else {
        read_value(l, row, base + row->offset, n, path);
    }
}

/* where NULL: the section is reported already, its required keys need not be. */
static void missing_row(struct loader *l, const struct conf_row *row, char *base,
                        const struct yaml_node *where, const struct conf_path *path)
{
    char *field = base + row->offset;
    if (row->kind == ROW_SECTION) {
        conf_walk(l, row->sub, field, NULL, path);
    } else if (row->kind != ROW_LIST && row->def == NULL) {
        *(char **)(void *)field = empty_text;
        if (where == NULL)
            return;
        problem_at(l, where, path, "missing, and it has no default; write it");
        remember(l, field, where, true);
    } else if (row->kind != ROW_LIST && set_default(l, row, field) != ERR_OK) {
        l->out_of_memory = true;
    }
}

static const char *row_key(void *arg, size_t i)
{
    size_t n;
    const struct conf_row *rows = ((const struct conf_section *)arg)->rows(&n);
    return i < n ? rows[i].key : NULL;
}

static void unknown_key(struct loader *l, const struct conf_section *s, const struct yaml_node *key,
                        const struct conf_path *path)
{
    char what[256];
    struct conf_section copy = *s;
    const char *near = nearest_word(key->text, row_key, &copy);
    struct conf_path top = {.key = "top level"};
    struct buf where;
    buf_init(&where, 1024);
    (void)!conf_path_text(path == NULL ? &top : path, &where);
    struct buf escaped;
    buf_init(&escaped, 512);
    (void)!buf_add_escaped(&escaped, span_first(key->text, 80));
    if (near != NULL)
        (void)snprintf(what, sizeof what, "unknown key '%s'; did you mean '%s'?", buf_cstr(&escaped), near);
    else
        (void)snprintf(what, sizeof what, "unknown key '%s'; docs/settings.md lists what may stand here",
                       buf_cstr(&escaped));
    struct mark m = mark_of(key);
    conf_problem(l, &m, buf_cstr(&where), "%s", what);
    buf_done(&escaped);
    buf_done(&where);
}

/* One "key: value" of a mapping. lines[row]: where the key stood before, 0: nowhere yet. */
static void read_pair(struct loader *l, const struct conf_section *s, char *base, const struct yaml_node *key,
                      const struct yaml_node *value, unsigned *lines, const struct conf_path *path)
{
    size_t nrows, i = 0;
    const struct conf_row *rows = s->rows(&nrows);
    while (i < nrows && !span_eq(key->text, span_cstr(rows[i].key)))
        i++;
    if (i == nrows) {
        unknown_key(l, s, key, path);
        return;
    }
    struct conf_path at = {path, rows[i].key, 0};
    if (lines[i] != 0) {
        char what[64];
        (void)snprintf(what, sizeof what, "given twice, first on line %u; keep one", lines[i]);
        problem_at(l, key, &at, what);
        return;
    }
    lines[i] = key->line == 0 ? UINT_MAX : key->line; /* of the environment: no line */
    if (yaml_is_null(value))
        missing_row(l, &rows[i], base, value, &at);
    else
        read_row(l, &rows[i], base, value, &at);
}

void conf_walk(struct loader *l, const struct conf_section *s, char *base, const struct yaml_node *n,
               const struct conf_path *path)
{
    unsigned lines[ROWS_MAX] = {0};
    size_t nrows;
    const struct conf_row *rows = s->rows(&nrows);
    struct conf_path top = {.key = "top level"};
    const struct yaml_node *where = n;
    if (n != NULL && n->kind != YAML_MAPPING) {
        if (!yaml_is_null(n)) {
            problem_at(l, n, path == NULL ? &top : path, "must be a mapping; write 'key: value' lines");
            remember(l, base, n, true);
            where = NULL;
        }
        n = NULL;
    }
    for (size_t i = 0; n != NULL && i + 1 < n->count && !conf_stopped(l); i += 2) {
        if (++l->nsteps > YAML_NODES_MAX) { /* only aliases can lead here */
            problem_at(l, n, path == NULL ? &top : path, "aliases expand to too many values; write them out");
            return;
        }
        read_pair(l, s, base, n->items[i], n->items[i + 1], lines, path);
    }
    for (size_t i = 0; i < nrows && !conf_stopped(l); i++) {
        struct conf_path at = {path, rows[i].key, 0};
        if (lines[i] == 0)
            missing_row(l, &rows[i], base, where, &at);
    }
}
