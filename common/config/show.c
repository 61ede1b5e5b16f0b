/* A snapshot back as YAML, and what differs between two. */
#include "common/config/load.h"
#include "common/config/value.h"

#include <string.h>

/* --- config_show --------------------------------------------------------------------------------- */

static enum err add_indent(struct buf *out, unsigned depth)
{
    return buf_addf(out, "%*s", (int)(depth * 2), "");
}

const char *conf_secret_path(const struct config *c, const char *value)
{
    for (size_t i = 0; i < c->nsecrets; i++)
        if (c->secrets[i].value == value)
            return c->secrets[i].path;
    return "";
}

static enum err show_value(const struct config *c, const struct conf_row *row, const char *field,
                           struct buf *out)
{
    struct span word = SPAN("");
    enum err e = buf_addf(out, "%s: ", row->key);
    if (e != ERR_OK)
        return e;
    if (row->kind == ROW_ENUM) {
        int index;
        memcpy(&index, field, sizeof index);
        (void)conf_word(row->words, (size_t)index, &word);
        e = conf_quote(word, out);
    } else if (row->type == &conf_type_SECRET) {
        e = conf_quote(span_cstr(conf_secret_path(c, *(char *const *)(const void *)field)), out);
    } else {
        e = conf_value_show(row, field, out);
    }
    return e == ERR_OK ? buf_addc(out, '\n') : e;
}

static enum err show_section(const struct config *c, const struct conf_section *s, const char *base,
                             unsigned depth, bool item, struct buf *out);

static enum err show_list(const struct config *c, const struct conf_row *row, const char *field,
                          unsigned depth, struct buf *out)
{
    struct conf_list list;
    memcpy(&list, field, sizeof list);
    enum err e = buf_addf(out, "%s:%s\n", row->key, list.count == 0 ? " []" : "");
    for (size_t i = 0; e == ERR_OK && i < list.count; i++)
        e = show_section(c, row->sub, (const char *)list.items + i * row->sub->size, depth + 2, true, out);
    return e;
}

/* item: the first key follows a dash */
static enum err show_section(const struct config *c, const struct conf_section *s, const char *base,
                             unsigned depth, bool item, struct buf *out)
{
    size_t nrows;
    enum err e = ERR_OK;
    const struct conf_row *rows = s->rows(&nrows);
    for (size_t i = 0; e == ERR_OK && i < nrows; i++) {
        const struct conf_row *row = &rows[i];
        bool dash = item && i == 0;
        e = add_indent(out, dash ? depth - 1 : depth);
        if (e == ERR_OK && dash)
            e = buf_add(out, SPAN("- "));
        if (e != ERR_OK)
            return e;
        if (row->kind == ROW_SECTION) {
            e = buf_addf(out, "%s:\n", row->key);
            if (e == ERR_OK)
                e = show_section(c, row->sub, base + row->offset, depth + 1, false, out);
        } else if (row->kind == ROW_LIST) {
            e = show_list(c, row, base + row->offset, depth, out);
        } else {
            e = show_value(c, row, base + row->offset, out);
        }
    }
    return e;
}

enum err config_show(const struct config *c, struct buf *out)
{
    return show_section(c, &conf_section_root, (const char *)&c->root, 0, false, out);
}

/* --- config_restart_needed ----------------------------------------------------------------------- */

struct diff {
    struct buf *keys, a, b; /* a, b: scratch */
};

static enum err diff_key(struct diff *d, const struct conf_path *path)
{
    struct buf text;
    buf_init(&text, 1024);
    enum err e = conf_path_text(path, &text);
    if (e == ERR_OK)
        e = buf_addf(d->keys, "%s\n", buf_cstr(&text));
    buf_done(&text);
    return e;
}

static bool is_empty(const char *field)
{
    return (*(char *const *)(const void *)field)[0] == '\0';
}

static enum err diff_value(struct diff *d, const struct conf_row *row, const char *a, const char *b,
                           const struct conf_path *path)
{
    enum err e;
    if (row->when == CONF_WHEN_RELOAD || (row->when == CONF_WHEN_TOGGLE && is_empty(a) == is_empty(b)))
        return ERR_OK;
    if (row->kind == ROW_ENUM)
        return memcmp(a, b, sizeof(int)) == 0 ? ERR_OK : diff_key(d, path);
    buf_clear(&d->a);
    buf_clear(&d->b);
    e = conf_value_show(row, a, &d->a);
    if (e == ERR_OK)
        e = conf_value_show(row, b, &d->b);
    if (e != ERR_OK || span_eq(buf_span(&d->a), buf_span(&d->b)))
        return e;
    return diff_key(d, path);
}

static bool any_restart(const struct conf_section *s)
{
    size_t nrows;
    const struct conf_row *rows = s->rows(&nrows);
    for (size_t i = 0; i < nrows; i++) {
        bool value = rows[i].kind == ROW_VALUE || rows[i].kind == ROW_ENUM;
        if (value ? rows[i].when != CONF_WHEN_RELOAD : any_restart(rows[i].sub))
            return true;
    }
    return false;
}

static enum err diff_section(struct diff *d, const struct conf_section *s, const char *a, const char *b,
                             const struct conf_path *path);

static enum err diff_list(struct diff *d, const struct conf_row *row, const char *a, const char *b,
                          const struct conf_path *path)
{
    struct conf_list x, y;
    enum err e = ERR_OK;
    if (!any_restart(row->sub))
        return ERR_OK;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x.count != y.count)
        return diff_key(d, path);
    for (size_t i = 0; e == ERR_OK && i < x.count; i++) {
        struct conf_path item = {path, NULL, i};
        size_t at = i * row->sub->size;
        e = diff_section(d, row->sub, (const char *)x.items + at, (const char *)y.items + at, &item);
    }
    return e;
}

static enum err diff_section(struct diff *d, const struct conf_section *s, const char *a, const char *b,
                             const struct conf_path *path)
{
    size_t nrows;
    enum err e = ERR_OK;
    const struct conf_row *rows = s->rows(&nrows);
    for (size_t i = 0; e == ERR_OK && i < nrows; i++) {
        const struct conf_row *row = &rows[i];
        struct conf_path at = {path, row->key, 0};
        const char *x = a + row->offset, *y = b + row->offset;
        if (row->kind == ROW_SECTION)
            e = diff_section(d, row->sub, x, y, &at);
        else if (row->kind == ROW_LIST)
            e = diff_list(d, row, x, y, &at);
        else
            e = diff_value(d, row, x, y, &at);
    }
    return e;
}

enum err config_restart_needed(const struct config *running, const struct config *wanted,
                               struct buf *ret_keys)
{
    struct diff d = {.keys = ret_keys};
    buf_init(&d.a, 1 << 20);
    buf_init(&d.b, 1 << 20);
    enum err e =
        diff_section(&d, &conf_section_root, (const char *)&running->root, (const char *)&wanted->root, NULL);
    buf_done(&d.a);
    buf_done(&d.b);
    return e;
}
