/* common/config/value.h — texts into fields and back, by the type of their row. */
#pragma once
#include "common/config/table.h"

/* Checks n texts (one, unless the shape is a list) against row and stores them at field, which is
 * unchanged on failure. ERR_CONFIG with "what is wrong; what to write"; ERR_NOMEM. */
enum err conf_value_set(struct arena *mem, const char *base_dir, const struct conf_row *row,
                        const struct span *texts, size_t n, void *field, struct errctx *ec) MUST_USE;
/* A text with commas, as defaults and the environment have lists. At most max items. */
enum err conf_split(struct span text, struct span *items, size_t max, size_t *ret_n) MUST_USE;
enum { CONF_ITEMS_MAX = 1024 };

/* Appends the value as YAML that is JSON too: a string in double quotes, [a, b], or a bare number. */
enum err conf_value_show(const struct conf_row *row, const void *field, struct buf *out) MUST_USE;
/* Appends s in double quotes, escaped as JSON asks. */
enum err conf_quote(struct span s, struct buf *out) MUST_USE;
/* "a number from 10 to 256", "50ms to 1m", "1 to 63 bytes", "1 to 64 items"; "" when nothing is bounded. */
enum err conf_range_text(const struct conf_row *row, struct buf *out) MUST_USE;
bool conf_shape_is_list(enum conf_shape shape);
