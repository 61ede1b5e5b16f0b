/* The settings as a JSON schema, draft 2020-12: editors complete and check bridgehead.yaml with it. */
#include "common/config/value.h"

#include <string.h>

/* A JSON writer that knows commas and indentation; after the first error it writes nothing more. */
struct json {
    struct buf *out;
    unsigned depth;
    bool first;
    enum err err;
};

static void put(struct json *j, struct span s)
{
    if (j->err == ERR_OK)
        j->err = buf_add(j->out, s);
}

static void quoted(struct json *j, struct span s)
{
    if (j->err == ERR_OK)
        j->err = conf_quote(s, j->out);
}

/* Begins the next member: comma, newline, indentation, "key": */
static void member(struct json *j, const char *key)
{
    put(j, j->first ? SPAN("\n") : SPAN(",\n"));
    for (unsigned i = 0; i < j->depth; i++)
        put(j, SPAN("  "));
    j->first = false;
    quoted(j, span_cstr(key));
    put(j, SPAN(": "));
}

static void open_object(struct json *j)
{
    put(j, SPAN("{"));
    j->depth++;
    j->first = true;
}

static void close_object(struct json *j)
{
    j->depth--;
    put(j, SPAN("\n"));
    for (unsigned i = 0; i < j->depth; i++)
        put(j, SPAN("  "));
    put(j, SPAN("}"));
    j->first = false;
}

static void text_member(struct json *j, const char *key, const char *value)
{
    member(j, key);
    quoted(j, span_cstr(value));
}

static void raw_member(struct json *j, const char *key, const char *value)
{
    member(j, key);
    put(j, span_cstr(value));
}

static void bound_member(struct json *j, const char *key, uint64_t value)
{
    member(j, key);
    if (j->err == ERR_OK)
        j->err = buf_addf(j->out, "%llu", (unsigned long long)value);
}

/* --- rows ---------------------------------------------------------------------------------------- */

/* An empty text is the way to leave an optional value out, whatever its pattern. */
static void text_schema(struct json *j, const struct conf_row *row)
{
    text_member(j, "type", "string");
    bound_member(j, "minLength", row->lo);
    bound_member(j, "maxLength", row->hi);
    if (row->type->pattern != NULL)
        text_member(j, "pattern", row->type->pattern);
}

static void list_schema(struct json *j, const struct conf_row *row)
{
    raw_member(j, "type", "[\"array\", \"string\"]");
    bound_member(j, "minItems", row->lo);
    bound_member(j, "maxItems", row->hi);
    member(j, "items");
    open_object(j);
    text_member(j, "type", "string");
    if (row->type->pattern != NULL)
        text_member(j, "pattern", row->type->pattern);
    close_object(j);
}

static void number_schema(struct json *j, const struct conf_row *row)
{
    enum conf_shape shape = row->type->shape;
    raw_member(j, "type", shape == SHAPE_NUMBER ? "\"integer\"" : "[\"string\", \"integer\"]");
    if (row->type->pattern != NULL)
        text_member(j, "pattern", row->type->pattern);
    bound_member(j, "minimum", shape == SHAPE_MS ? 0 : row->lo);
    if (shape == SHAPE_MS) /* of numbers without a unit, 0 alone */
        bound_member(j, "maximum", 0);
    else if (row->hi != UINT64_MAX)
        bound_member(j, "maximum", row->hi);
}

/* "1.2" without quotes is a number to YAML: both are listed. */
static void enum_schema(struct json *j, const struct conf_row *row)
{
    struct span word;
    member(j, "enum");
    put(j, SPAN("["));
    for (size_t i = 0; conf_word(row->words, i, &word); i++) {
        if (i > 0)
            put(j, SPAN(", "));
        quoted(j, word);
        if (word.ptr[0] >= '0' && word.ptr[0] <= '9') {
            put(j, SPAN(", "));
            put(j, word);
        }
    }
    put(j, SPAN("]"));
}

static void value_schema(struct json *j, const struct conf_row *row)
{
    switch (row->type->shape) {
    case SHAPE_TEXT:
        text_schema(j, row);
        return;
    case SHAPE_NUMBER:
    case SHAPE_SIZE:
    case SHAPE_MS:
        number_schema(j, row);
        return;
    case SHAPE_BOOL:
        text_member(j, "type", "boolean");
        return;
    case SHAPE_TEXTS:
    case SHAPE_NETS:
    case SHAPE_MSLIST:
        list_schema(j, row);
        return;
    }
}

static void default_member(struct json *j, const struct conf_row *row)
{
    bool bare =
        row->kind == ROW_VALUE && (row->type->shape == SHAPE_NUMBER || row->type->shape == SHAPE_BOOL);
    if (row->def == NULL || row->def[0] == '\0')
        return;
    if (bare)
        raw_member(j, "default", row->def);
    else
        text_member(j, "default", row->def);
}

static void section_schema(struct json *j, const struct conf_section *s);

static void row_schema(struct json *j, const struct conf_row *row)
{
    member(j, row->key);
    open_object(j);
    text_member(j, "description", row->help);
    if (row->kind == ROW_SECTION) {
        section_schema(j, row->sub);
    } else if (row->kind == ROW_LIST) {
        raw_member(j, "type", "[\"array\", \"null\"]");
        bound_member(j, "maxItems", row->hi);
        member(j, "items");
        open_object(j);
        section_schema(j, row->sub);
        close_object(j);
    } else {
        if (row->kind == ROW_ENUM)
            enum_schema(j, row);
        else
            value_schema(j, row);
        default_member(j, row);
        text_member(j, "x-applies-on", row->when == CONF_WHEN_RELOAD ? "reload" : "restart");
    }
    close_object(j);
}

static void section_schema(struct json *j, const struct conf_section *s)
{
    size_t nrows;
    bool any = false;
    const struct conf_row *rows = s->rows(&nrows);
    raw_member(j, "type", "[\"object\", \"null\"]");
    raw_member(j, "additionalProperties", "false");
    member(j, "properties");
    open_object(j);
    for (size_t i = 0; i < nrows; i++)
        row_schema(j, &rows[i]);
    close_object(j);
    for (size_t i = 0; i < nrows; i++) {
        if (rows[i].kind != ROW_VALUE || rows[i].def != NULL)
            continue;
        if (!any)
            member(j, "required");
        put(j, any ? SPAN(", ") : SPAN("["));
        quoted(j, span_cstr(rows[i].key));
        any = true;
    }
    if (any)
        put(j, SPAN("]"));
}

enum err config_schema(struct buf *out)
{
    struct json j = {.out = out};
    open_object(&j);
    text_member(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
    text_member(&j, "title", "bridgehead.yaml");
    section_schema(&j, &conf_section_root);
    close_object(&j);
    put(&j, SPAN("\n"));
    return j.err;
}
