/* cli/table.h — rows under columns that are declared once: a table for people, JSON for programs.
 *
 * Tables show ages and sizes as people say them ("3m12s", "4.0K"); JSON has numbers, in the unit that the
 * column's kind says. Tables show of foreign text what the terminal's character set (LC_CTYPE) prints, and
 * escape the rest (\x1b); JSON escapes by itself. */
#pragma once
#include "cli/cli.h"
#include "common/clock.h"

enum column_kind {
    COLUMN_TEXT,
    COLUMN_COUNT,
    COLUMN_BYTES,
    COLUMN_AGE,    /* milliseconds */
    COLUMN_WAIT,   /* the same, until something happens; 0: "now" */
    COLUMN_MOMENT, /* the same, since something began: every one of them is shown */
    COLUMN_TIME,   /* milliseconds since 1970; 0: none. JSON: RFC 3339 */
    COLUMN_BOOL,
};
struct column {
    const char *key;   /* JSON */
    const char *title; /* heading; NULL: JSON alone */
    enum column_kind kind;
    unsigned width; /* longest text shown; 0: no limit. COLUMN_RARE is or'ed to it */
};
enum {
    TABLE_ROWS_MAX = 1000000,
    COLUMNS_MAX = 32,
    COLUMN_RARE = 1 << 16, /* left out of a table in which no row has it */
};

struct table;
struct table *table_new(const struct column *columns,
                        size_t n);            /* NULL: out of memory; columns are borrowed */
void table_free(struct table *t);             /* NULL is a no-op */
enum err table_row(struct table *t) MUST_USE; /* begins a row; ERR_TOOBIG, ERR_NOMEM */
size_t table_rows(const struct table *t);
/* Cells of the row that was begun last. A cell that is never set is empty, in JSON null. */
enum err table_text(struct table *t, size_t column, struct span text) MUST_USE;
void table_number(struct table *t, size_t column, uint64_t value); /* counts, bytes, ages, times, bools */
void table_about(struct table *t, size_t column); /* marks its number with a "~", in a table */
/* A table with headings; `empty` (a sentence) when there are no rows; JSON: an array of objects. */
int table_print(const struct table *t, enum cli_output how, const char *empty);
/* One row as an object, or as lines "title  value". */
int table_print_one(const struct table *t, enum cli_output how);

/* For documents made of several tables: the rows as a JSON array, and printing what was made (takes j). */
struct json_t;
struct json_t *table_json(const struct table *t);
int json_print(struct json_t *j);

/* "850ms" "12s" "3m12s" "5h02m" "3d04h"; "512" "4.0K" "1.5G". */
void age_text(uint64_t ms, char out[24]);
void moment_text(uint64_t ms, char out[32]); /* "0.850s" "3m12.007s" "5h02m00.000s" */
void bytes_text(uint64_t bytes, char out[24]);
