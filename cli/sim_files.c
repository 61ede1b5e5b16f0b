#include "cli/sim_files.h"

#include "common/plural.h"
#include "linkstate/graphml.h"
#include "linkstate/sim_config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20, NOTES_MAX = 1 << 20, CHUNK = 65536 };

void sim_files_done(struct sim_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        config_unref(f->confs[i]);
    free(f->confs);
    *f = (struct sim_files){0};
}

int sim_read_file(struct cli *cli, const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    enum err e = ERR_OK;
    if (file == NULL)
        return cli_fail(cli, CLI_FAILED, "cannot open %s: %s", path, strerror(errno));
    for (size_t n = 1; e == ERR_OK && n > 0;) {
        e = buf_reserve(out, CHUNK);
        n = e == ERR_OK ? fread(out->ptr + out->len, 1, CHUNK, file) : 0;
        buf_wrote(out, n);
    }
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (failed)
        return cli_fail(cli, CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
    return e == ERR_OK ? CLI_OK : cli_fail(cli, CLI_FAILED, "%s: %s", path, err_text(e));
}

/* --- configurations ----------------------------------------------------------------------------------- */

static enum err add_config(struct sim_files *f, struct config *c)
{
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 16 : f->cap * 2;
        struct config **p = realloc(f->confs, cap * sizeof(*p));
        if (p == NULL) {
            config_unref(c);
            return ERR_NOMEM;
        }
        f->confs = p;
        f->cap = cap;
    }
    f->confs[f->n++] = c;
    return ERR_OK;
}

/* A configuration of the file, which begins after `line` lines of it. */
static int read_document(struct cli *cli, const char *path, size_t line, struct span text,
                         struct sim_files *f)
{
    struct config *c;
    struct errctx ec = {""};
    struct buf problems;
    char name[PATH_MAX], dir[PATH_MAX];
    buf_init(&problems, NOTES_MAX);
    if (line == 0)
        (void)snprintf(name, sizeof name, "%s", path);
    else
        (void)snprintf(name, sizeof name, "%s (what begins in line %zu)", path, line + 1);
    if (realpath(path, dir) == NULL)
        return cli_fail(cli, CLI_FAILED, "%s: %s", path, strerror(errno));
    *strrchr(dir, '/') = '\0';
    /* The environment would change all groups alike. */
    enum err e = config_parse(text, name, dir[0] != '\0' ? dir : "/", NULL, &c, &problems, &ec);
    if (e == ERR_OK)
        e = add_config(f, c);
    else
        (void)fprintf(stderr, "%s%s", problems.len > 0 ? buf_cstr(&problems) : ec.msg,
                      problems.len > 0 ? "" : "\n");
    buf_done(&problems);
    return e == ERR_OK ? CLI_OK : CLI_CONFIG;
}

static bool is_separator(struct span line)
{
    return span_has_prefix(line, SPAN("---")) && span_trim(span_from(line, 3)).len == 0;
}

static bool says_something(struct span text)
{
    struct span line;
    while (text.len > 0) {
        (void)span_cut(text, '\n', &line, &text);
        line = span_trim(line);
        if (line.len > 0 && line.ptr[0] != '#' && line.ptr[0] != '\r')
            return true;
    }
    return false;
}

static int read_configs(struct cli *cli, const char *path, struct span text, struct sim_files *f)
{
    struct span rest = text, one;
    const char *begin = text.ptr;
    int code = CLI_OK;
    for (size_t line = 1, first = 0; code == CLI_OK && rest.len > 0; line++) {
        (void)span_cut(rest, '\n', &one, &rest);
        bool separator = is_separator(one);
        if (!separator && rest.len > 0)
            continue;
        const char *end = separator ? one.ptr : text.ptr + text.len;
        struct span document = span_of(begin, (size_t)(end - begin));
        if (says_something(document))
            code = read_document(cli, path, first, document, f);
        begin = rest.ptr;
        first = line;
    }
    return code;
}

static int build_configured(struct cli *cli, struct sim *s, struct sim_files *f)
{
    const struct conf_root **roots = calloc(f->n + 1, sizeof(*roots));
    struct errctx ec = {""};
    struct buf notes;
    buf_init(&notes, NOTES_MAX);
    if (roots == NULL)
        return cli_fail(cli, CLI_FAILED, "%s", err_text(ERR_NOMEM));
    for (size_t i = 0; i < f->n; i++)
        roots[i] = config_root(f->confs[i]);
    enum err e = sim_configured(s, roots, f->n, &notes, &ec);
    for (struct span line, rest = buf_span(&notes); rest.len > 0;) {
        (void)span_cut(rest, '\n', &line, &rest);
        (void)fprintf(stderr, "note: " SPAN_FMT "\n", SPAN_ARG(line));
    }
    free(roots);
    buf_done(&notes);
    return e == ERR_OK ? CLI_OK : cli_fail(cli, CLI_CONFIG, "%s", ec.msg);
}

/* --- GraphML -------------------------------------------------------------------------------------------- */

static bool is_xml(struct span text)
{
    if (span_has_prefix(text, SPAN("\xef\xbb\xbf")))
        text = span_from(text, 3);
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL && text.ptr[0] != '\0')
        text = span_from(text, 1);
    /* UTF-16 begins with a byte order mark, in which no configuration begins */
    return span_has_prefix(text, SPAN("<")) || span_has_prefix(text, SPAN("\xff\xfe")) ||
           span_has_prefix(text, SPAN("\xfe\xff"));
}

static enum err add_graph(struct sim *s, const struct graphml *g)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < g->nnodes; i++)
        e = sim_group(s, g->nodes[i].name) == UINT32_MAX ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < g->nlinks; i++)
        e = sim_join(s, g->links[i].a, g->links[i].b, g->links[i].cost_ab, g->links[i].cost_ba, true);
    return e;
}

static void tell_of_graph(const struct graphml *g)
{
    if (g->measure == NULL && g->nlinks > 0)
        (void)fprintf(stderr, "note: no edge has a cost, weight or speed; all links cost 1\n");
    else if (g->scaled)
        (void)fprintf(stderr, "note: costs are '%s', scaled to 1..100\n", g->measure);
    else if (g->measure != NULL && strcmp(g->measure, "cost") != 0)
        (void)fprintf(stderr, "note: costs come from '%s'\n", g->measure);
    if (g->parallel + g->loops > 0)
        (void)fprintf(stderr, "note: %zu parallel edge%s and %zu loop%s are left out\n", g->parallel,
                      plural(g->parallel), g->loops, plural(g->loops));
}

static int read_graph(struct cli *cli, const char *path, struct span text, struct sim *s)
{
    struct graphml g;
    struct errctx ec = {""};
    if (graphml_parse(text, &g, &ec) != ERR_OK)
        return cli_fail(cli, CLI_CONFIG, "%s: %s", path, ec.msg);
    tell_of_graph(&g);
    enum err e = add_graph(s, &g);
    graphml_done(&g);
    return e == ERR_OK ? CLI_OK : cli_fail(cli, CLI_FAILED, "%s: %s", path, err_text(e));
}

int sim_files_load(struct cli *cli, const char *const *paths, size_t n, struct sim *s, struct sim_files *ret)
{
    int code = CLI_OK;
    *ret = (struct sim_files){0};
    for (size_t i = 0; code == CLI_OK && i < n; i++) {
        struct buf text;
        buf_init(&text, FILE_MAX);
        code = sim_read_file(cli, paths[i], &text);
        bool xml = code == CLI_OK && is_xml(buf_span(&text));
        if (xml && n > 1)
            code = cli_fail(cli, CLI_USAGE, "%s is a whole topology; simulate it alone", paths[i]);
        else if (xml)
            code = read_graph(cli, paths[i], buf_span(&text), s);
        else if (code == CLI_OK)
            code = read_configs(cli, paths[i], buf_span(&text), ret);
        buf_done(&text);
    }
    return code == CLI_OK && ret->n > 0 ? build_configured(cli, s, ret) : code;
}
