/* A snapshot as JSON, for programs. */
#include "common/config/json_writer.h"
#include "common/config/load.h"
#include "common/config/value.h"

#include <string.h>

static void put_texts(struct json_writer *j, const void *field, const struct conf_row *row)
{
    char text[IP_TEXT_MAX + 8], ip[IP_TEXT_MAX];
    struct conf_list list;
    memcpy(&list, field, sizeof list);
    jw_put(j, SPAN("["));
    for (size_t i = 0; i < list.count; i++) {
        const char *item = text;
        if (row->type->shape == SHAPE_TEXTS) {
            item = ((char *const *)list.items)[i];
        } else if (row->type->shape == SHAPE_MSLIST) {
            conf_ms_text(((const ms_t *)list.items)[i], text);
        } else {
            const struct ip_net *net = &((const struct ip_net *)list.items)[i];
            ip_text(&net->base, ip);
            (void)snprintf(text, sizeof text, "%s/%u", ip, net->bits);
        }
        if (i > 0)
            jw_put(j, SPAN(", "));
        jw_quoted(j, span_cstr(item));
    }
    jw_put(j, SPAN("]"));
}

static void put_value(struct json_writer *j, const struct config *c, const struct conf_row *row,
                      const void *field)
{
    char text[CONF_NUMBER_TEXT];
    switch (row->type->shape) {
    case SHAPE_TEXT:
        jw_text(j, row->key,
                row->type == &conf_type_SECRET ? conf_secret_path(c, *(char *const *)field)
                                               : *(char *const *)field);
        return;
    case SHAPE_NUMBER:
    case SHAPE_SIZE:
        jw_number(j, row->key, *(const uint64_t *)field);
        return;
    case SHAPE_MS:
        conf_ms_text(*(const ms_t *)field, text);
        jw_text(j, row->key, text);
        return;
    case SHAPE_BOOL:
        jw_raw(j, row->key, *(const bool *)field ? "true" : "false");
        return;
    case SHAPE_TEXTS:
    case SHAPE_NETS:
    case SHAPE_MSLIST:
        jw_member(j, row->key);
        put_texts(j, field, row);
        return;
    }
}

static void put_section(struct json_writer *j, const struct config *c, const struct conf_section *s,
                        const char *base);

static void put_row(struct json_writer *j, const struct config *c, const struct conf_row *row,
                    const char *field)
{
    struct conf_list list;
    struct span word = SPAN("");
    int index;
    switch (row->kind) {
    case ROW_VALUE:
        put_value(j, c, row, field);
        return;
    case ROW_ENUM:
        memcpy(&index, field, sizeof index);
        (void)conf_word(row->words, (size_t)index, &word);
        jw_member(j, row->key);
        jw_quoted(j, word);
        return;
    case ROW_SECTION:
        jw_member(j, row->key);
        put_section(j, c, row->sub, field);
        return;
    case ROW_LIST:
        memcpy(&list, field, sizeof list);
        jw_member(j, row->key);
        jw_put(j, SPAN("["));
        for (size_t i = 0; i < list.count; i++) {
            if (i > 0)
                jw_put(j, SPAN(", "));
            put_section(j, c, row->sub, (const char *)list.items + i * row->sub->size);
        }
        jw_put(j, SPAN("]"));
        j->first = false;
        return;
    }
}

static void put_section(struct json_writer *j, const struct config *c, const struct conf_section *s,
                        const char *base)
{
    size_t nrows;
    const struct conf_row *rows = s->rows(&nrows);
    jw_open(j);
    for (size_t i = 0; i < nrows; i++)
        put_row(j, c, &rows[i], base + rows[i].offset);
    jw_close(j);
}

enum err config_show_json(const struct config *c, struct buf *out)
{
    struct json_writer j = {.out = out};
    put_section(&j, c, &conf_section_root, (const char *)&c->root);
    jw_put(&j, SPAN("\n"));
    return j.err;
}
