/* The settings as a JSON schema, draft 2020-12: editors complete and check bridgehead.yaml with it. */
#include "common/config/json_writer.h"
#include "common/config/value.h"

#include <string.h>

/* --- rows ---------------------------------------------------------------------------------------- */

/* "type", one or more of JSON's. What has a default may be written without a value, which is null to YAML. */
static void put_type(struct json_writer *j, const struct conf_row *row, const char *types)
{
    jw_member(j, "type");
    jw_put(j, SPAN("["));
    jw_put(j, span_cstr(types));
    jw_put(j, row->def == NULL ? SPAN("]") : SPAN(", \"null\"]"));
}

/* An empty text is the way to leave an optional value out, whatever its pattern. */
static void text_schema(struct json_writer *j, const struct conf_row *row)
{
    bool durability = row->type == &conf_type_DURABILITY; /* "replicas: 1" without quotes is a mapping */
    put_type(j, row, durability ? "\"string\", \"object\"" : "\"string\"");
    if (durability) {
        jw_raw(j, "properties", "{\"replicas\": {\"type\": [\"integer\", \"string\"]}}");
        jw_raw(j, "required", "[\"replicas\"]");
        jw_raw(j, "additionalProperties", "false");
    }
    jw_number(j, "minLength", row->lo);
    jw_number(j, "maxLength", row->hi);
    if (row->type->pattern != NULL)
        jw_text(j, "pattern", row->type->pattern);
}

static void list_schema(struct json_writer *j, const struct conf_row *row)
{
    put_type(j, row, "\"array\", \"string\"");
    jw_number(j, "minItems", row->lo);
    jw_number(j, "maxItems", row->hi);
    jw_member(j, "items");
    jw_open(j);
    jw_text(j, "type", "string");
    if (row->type->pattern != NULL)
        jw_text(j, "pattern", row->type->pattern);
    jw_close(j);
}

static void number_schema(struct json_writer *j, const struct conf_row *row)
{
    enum conf_shape shape = row->type->shape;
    put_type(j, row, shape == SHAPE_NUMBER ? "\"integer\"" : "\"string\", \"integer\"");
    if (row->type->pattern != NULL)
        jw_text(j, "pattern", row->type->pattern);
    jw_number(j, "minimum", shape == SHAPE_MS ? 0 : row->lo);
    if (shape == SHAPE_MS) /* of numbers without a unit, 0 alone */
        jw_number(j, "maximum", 0);
    else if (row->hi != UINT64_MAX)
        jw_number(j, "maximum", row->hi);
}

/* "1.2" without quotes is a number to YAML: both are listed. */
static void enum_schema(struct json_writer *j, const struct conf_row *row)
{
    struct span word;
    jw_member(j, "enum");
    jw_put(j, SPAN("["));
    for (size_t i = 0; conf_word(row->words, i, &word); i++) {
        if (i > 0)
            jw_put(j, SPAN(", "));
        jw_quoted(j, word);
        if (word.ptr[0] >= '0' && word.ptr[0] <= '9') {
            jw_put(j, SPAN(", "));
            jw_put(j, word);
        }
    }
    jw_put(j, row->def == NULL ? SPAN("]") : SPAN(", null]"));
}

static void value_schema(struct json_writer *j, const struct conf_row *row)
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
        put_type(j, row, "\"boolean\"");
        return;
    case SHAPE_TEXTS:
    case SHAPE_NETS:
    case SHAPE_MSLIST:
        list_schema(j, row);
        return;
    }
}

static void default_member(struct json_writer *j, const struct conf_row *row)
{
    bool bare =
        row->kind == ROW_VALUE && (row->type->shape == SHAPE_NUMBER || row->type->shape == SHAPE_BOOL);
    if (row->def == NULL || row->def[0] == '\0')
        return;
    if (bare)
        jw_raw(j, "default", row->def);
    else
        jw_text(j, "default", row->def);
}

static void section_schema(struct json_writer *j, const struct conf_section *s);

static void row_schema(struct json_writer *j, const struct conf_row *row)
{
    jw_member(j, row->key);
    jw_open(j);
    jw_text(j, "description", row->help);
    if (row->kind == ROW_SECTION) {
        section_schema(j, row->sub);
    } else if (row->kind == ROW_LIST) {
        jw_raw(j, "type", "[\"array\", \"null\"]");
        jw_number(j, "maxItems", row->hi);
        jw_member(j, "items");
        jw_open(j);
        section_schema(j, row->sub);
        jw_close(j);
    } else {
        if (row->kind == ROW_ENUM)
            enum_schema(j, row);
        else
            value_schema(j, row);
        default_member(j, row);
        jw_text(j, "x-applies-on", conf_when_text(row->when));
    }
    jw_close(j);
}

/* Keys without a default; false: there is none. */
static bool put_required(struct json_writer *j, const struct conf_row *rows, size_t nrows)
{
    bool any = false;
    for (size_t i = 0; i < nrows; i++) {
        if (rows[i].kind != ROW_VALUE || rows[i].def != NULL)
            continue;
        if (!any)
            jw_member(j, "required");
        jw_put(j, any ? SPAN(", ") : SPAN("["));
        jw_quoted(j, span_cstr(rows[i].key));
        any = true;
    }
    if (any)
        jw_put(j, SPAN("]"));
    return any;
}

static void section_schema(struct json_writer *j, const struct conf_section *s)
{
    size_t nrows;
    const struct conf_row *rows = s->rows(&nrows);
    bool required = put_required(j, rows, nrows);
    jw_raw(j, "type", required ? "\"object\"" : "[\"object\", \"null\"]");
    jw_raw(j, "additionalProperties", "false");
    jw_member(j, "properties");
    jw_open(j);
    for (size_t i = 0; i < nrows; i++)
        row_schema(j, &rows[i]);
    jw_close(j);
}

enum err config_schema(struct buf *out)
{
    struct json_writer j = {.out = out};
    jw_open(&j);
    jw_text(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
    jw_text(&j, "title", "bridgehead.yaml");
    section_schema(&j, &conf_section_root);
    jw_close(&j);
    jw_put(&j, SPAN("\n"));
    return j.err;
}
