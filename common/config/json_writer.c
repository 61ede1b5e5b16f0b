#include "common/config/json_writer.h"

#include "common/config/value.h"

void jw_put(struct json_writer *j, struct span s)
{
    if (j->err == ERR_OK)
        j->err = buf_add(j->out, s);
}

void jw_quoted(struct json_writer *j, struct span s)
{
    if (j->err == ERR_OK)
        j->err = conf_quote(s, j->out);
}

/* Begins the next member: comma, newline, indentation, "key": */
void jw_member(struct json_writer *j, const char *key)
{
    jw_put(j, j->first ? SPAN("\n") : SPAN(",\n"));
    for (unsigned i = 0; i < j->depth; i++)
        jw_put(j, SPAN("  "));
    j->first = false;
    jw_quoted(j, span_cstr(key));
    jw_put(j, SPAN(": "));
}

void jw_open(struct json_writer *j)
{
    jw_put(j, SPAN("{"));
    j->depth++;
    j->first = true;
}

void jw_close(struct json_writer *j)
{
    j->depth--;
    jw_put(j, SPAN("\n"));
    for (unsigned i = 0; i < j->depth; i++)
        jw_put(j, SPAN("  "));
    jw_put(j, SPAN("}"));
    j->first = false;
}

void jw_text(struct json_writer *j, const char *key, const char *value)
{
    jw_member(j, key);
    jw_quoted(j, span_cstr(value));
}

void jw_raw(struct json_writer *j, const char *key, const char *value)
{
    jw_member(j, key);
    jw_put(j, span_cstr(value));
}

void jw_number(struct json_writer *j, const char *key, uint64_t value)
{
    jw_member(j, key);
    if (j->err == ERR_OK)
        j->err = buf_addf(j->out, "%llu", (unsigned long long)value);
}
