/* common/config/json_writer.h — JSON text, a member a line; after the first error nothing more is written. */
#pragma once
#include "common/buf.h"

struct json_writer {
    struct buf *out;
    unsigned depth;
    bool first; /* in its object */
    enum err err;
};
void jw_put(struct json_writer *j, struct span s);
void jw_quoted(struct json_writer *j, struct span s);
/* Begins the next member of the open object: comma, new line, indentation, "key": */
void jw_member(struct json_writer *j, const char *key);
void jw_open(struct json_writer *j); /* { */
void jw_close(struct json_writer *j);
void jw_text(struct json_writer *j, const char *key, const char *value);
void jw_raw(struct json_writer *j, const char *key, const char *value);
void jw_number(struct json_writer *j, const char *key, uint64_t value);
