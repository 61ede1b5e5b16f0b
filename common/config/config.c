/* Snapshots: from a file or from memory to one immutable, counted struct. */
#include "common/config/load.h"
#include "common/plural.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SNAPSHOT_MAX = 512 << 20, TREE_MAX = 256 << 20 };

static struct yaml_node *new_node(struct loader *l, enum yaml_kind kind, const char *text)
{
    struct yaml_node *n = arena_alloc(&l->tree, sizeof *n);
    if (n == NULL)
        return NULL;
    n->kind = kind;
    n->text = span_cstr(text);
    return n;
}

/* A file without virtual_servers has one, named default, with the defaults of the table. */
static enum err add_default_server(struct loader *l, struct yaml_node **root)
{
    if (*root == NULL || yaml_is_null(*root))
        *root = new_node(l, YAML_MAPPING, "");
    if (*root == NULL)
        return ERR_NOMEM;
    if ((*root)->kind != YAML_MAPPING)
        return ERR_OK;
    for (size_t i = 0; i + 1 < (*root)->count; i += 2)
        if (span_eq((*root)->items[i]->text, SPAN("virtual_servers")) && !yaml_is_null((*root)->items[i + 1]))
            return ERR_OK;
    struct yaml_node *nodes[] = {new_node(l, YAML_SCALAR, "virtual_servers"), new_node(l, YAML_SEQUENCE, ""),
                                 new_node(l, YAML_MAPPING, ""), new_node(l, YAML_SCALAR, "name"),
                                 new_node(l, YAML_SCALAR, "default")};
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        if (nodes[i] == NULL)
            return ERR_NOMEM;
    if (yaml_append(&l->tree, nodes[2], nodes[3]) != ERR_OK ||
        yaml_append(&l->tree, nodes[2], nodes[4]) != ERR_OK ||
        yaml_append(&l->tree, nodes[1], nodes[2]) != ERR_OK ||
        yaml_append(&l->tree, *root, nodes[0]) != ERR_OK || yaml_append(&l->tree, *root, nodes[1]) != ERR_OK)
        return ERR_NOMEM;
    return ERR_OK;
}

static void load_tree(struct loader *l, struct span yaml, char *const *env)
{
    struct errctx ec = {{0}};
    struct yaml_node *root = NULL;
    struct mark at = {.line = 0};
    enum err e = yaml_parse(yaml, &l->tree, &root, &at.line, &ec);
    if (e != ERR_OK) {
        l->out_of_memory |= e == ERR_NOMEM;
        conf_problem(l, &at, "", "not usable YAML: %s", ec.msg);
        return;
    }
    if (add_default_server(l, &root) != ERR_OK) {
        l->out_of_memory = true;
        return;
    }
    if (env != NULL)
        conf_env_overlay(l, env, &root);
    conf_walk(l, &conf_section_root, (char *)&l->c->root, root, NULL);
    if (!conf_stopped(l))
        conf_cross_check(l);
}

static enum err parse(struct span yaml, const char *name, const char *base_dir, char *const *env, bool marked,
                      struct config **ret, struct buf *problems, struct errctx *ec)
{
    struct config *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    atomic_init(&c->refs, 1);
    c->empty = span_trim(yaml).len == 0;
    arena_init(&c->mem, SNAPSHOT_MAX);
    struct loader l = {.file = name, .base_dir = base_dir, .c = c, .problems = problems, .first = ec};
    arena_init(&l.tree, TREE_MAX);
    load_tree(&l, yaml, env);
    arena_done(&l.tree);
    if (marked) {
        c->marks = l.marks;
        c->nmarks = l.nmarks;
    } else {
        free(l.marks);
    }
    enum err e = l.out_of_memory ? ERR_NOMEM : l.nproblems > 0 ? ERR_CONFIG : ERR_OK;
    if (l.nproblems > PROBLEMS_MAX && problems != NULL)
        (void)!buf_addf(problems, "%s: %zu more problem%s\n", name, l.nproblems - PROBLEMS_MAX,
                        plural(l.nproblems - PROBLEMS_MAX));
    if (e == ERR_OK) {
        *ret = c;
        return ERR_OK;
    }
    config_unref(c);
    return e == ERR_NOMEM ? err_set(ec, e, "%s: %s", name, err_text(e)) : e;
}

enum err config_parse(struct span yaml, const char *name, const char *base_dir, char *const *env,
                      struct config **ret, struct buf *problems, struct errctx *ec)
{
    return parse(yaml, name, base_dir, env, false, ret, problems, ec);
}

static enum err read_file(const char *path, struct buf *out, struct errctx *ec)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(ec, errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND : ERR_CONFIG,
                       "%s: cannot open: %s", path, strerror(errno));
    enum err e = ERR_OK;
    for (;;) {
        e = buf_reserve(out, 65536);
        ssize_t n = e == ERR_OK ? read(fd, out->ptr + out->len, 65536) : 0;
        if (n < 0)
            e = err_set(ec, ERR_CONFIG, "%s: cannot read: %s", path, strerror(errno));
        if (n <= 0)
            break;
        buf_wrote(out, (size_t)n);
    }
    (void)close(fd);
    if (e == ERR_TOOBIG)
        return err_set(ec, ERR_CONFIG, "%s: larger than %d MiB; leave out what is not needed", path,
                       YAML_BYTES_MAX >> 20);
    return e;
}

/* The directory of the name as given: a file that is a symbolic link (as a Kubernetes ConfigMap mounts
 * it) keeps its relative paths beside the link. */
static bool directory_of(const char *path, char out[PATH_MAX])
{
    size_t slash;
    if (!span_rfind(span_cstr(path), '/', &slash))
        return realpath(".", out) != NULL;
    char *dir = span_dup(span_of(path, slash == 0 ? 1 : slash));
    bool ok = dir != NULL && realpath(dir, out) != NULL;
    free(dir);
    return ok;
}

static enum err load(const char *path, char *const *env, bool marked, struct config **ret,
                     struct buf *problems, struct errctx *ec)
{
    struct buf text;
    char dir[PATH_MAX];
    buf_init(&text, YAML_BYTES_MAX + 65536);
    enum err e = read_file(path, &text, ec);
    if (e == ERR_OK && !directory_of(path, dir))
        e = err_set(ec, ERR_CONFIG, "%s: no directory: %s", path, strerror(errno));
    if (e == ERR_OK) {
        e = parse(buf_span(&text), path, dir, env, marked, ret, problems, ec);
    } else if (problems != NULL && ec != NULL) {
        (void)!buf_addf(problems, "%s\n", ec->msg);
    }
    buf_done(&text);
    return e;
}

enum err config_load(const char *path, char *const *env, struct config **ret, struct buf *problems,
                     struct errctx *ec)
{
    return load(path, env, false, ret, problems, ec);
}

enum err config_load_marked(const char *path, char *const *env, struct config **ret, struct buf *problems,
                            struct errctx *ec)
{
    return load(path, env, true, ret, problems, ec);
}

bool config_is_empty(const struct config *c)
{
    return c->empty;
}

unsigned config_line(const struct config *c, const void *field)
{
    for (size_t i = 0; i < c->nmarks; i++)
        if (c->marks[i].field == field)
            return c->marks[i].env == NULL ? c->marks[i].line : 0;
    return 0;
}

/* --- snapshots ----------------------------------------------------------------------------------- */

const struct conf_root *config_root(const struct config *c)
{
    return &c->root;
}

struct config *config_ref(struct config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void config_unref(struct config *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < c->nsecrets; i++)
        explicit_bzero((void *)(uintptr_t)c->secrets[i].value, strlen(c->secrets[i].value));
    arena_done(&c->mem);
    free(c->marks);
    free(c);
}
