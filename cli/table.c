#include "cli/table.h"

#include <inttypes.h>
#include <jansson.h>
#include <libsmartcols.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct cell {
    char *text; /* COLUMN_TEXT */
    uint64_t number;
    bool set, about;
};
struct table {
    const struct column *columns;
    size_t ncolumns, nrows, cap;
    struct cell *cells;
};

struct table *table_new(const struct column *columns, size_t n)
{
    struct table *t = calloc(1, sizeof *t);
    if (t != NULL) {
        t->columns = columns;
        t->ncolumns = n;
    }
    return t;
}

void table_free(struct table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->nrows * t->ncolumns; i++)
        free(t->cells[i].text);
    free(t->cells);
    free(t);
}

enum err table_row(struct table *t)
{
    if (t->nrows == TABLE_ROWS_MAX)
        return ERR_TOOBIG;
    if (t->nrows == t->cap) {
        size_t cap = t->cap == 0 ? 16 : t->cap * 2;
        struct cell *p = realloc(t->cells, cap * t->ncolumns * sizeof *p);
        if (p == NULL)
            return ERR_NOMEM;
        t->cells = p;
        t->cap = cap;
    }
    for (size_t i = 0; i < t->ncolumns; i++)
        t->cells[t->nrows * t->ncolumns + i] = (struct cell){0};
    t->nrows++;
    return ERR_OK;
}

size_t table_rows(const struct table *t)
{
    return t->nrows;
}

static struct cell *last_cell(struct table *t, size_t column)
{
    return &t->cells[(t->nrows - 1) * t->ncolumns + column];
}

enum err table_text(struct table *t, size_t column, struct span text)
{
    struct cell *c = last_cell(t, column);
    free(c->text);
    c->text = malloc(text.len + 1);
    c->set = c->text != NULL;
    if (c->text == NULL)
        return ERR_NOMEM;
    if (text.len > 0) /* an empty span may have no bytes at all */
        memcpy(c->text, text.ptr, text.len);
    c->text[text.len] = '\0';
    c->number = text.len;
    return ERR_OK;
}

void table_number(struct table *t, size_t column, uint64_t value)
{
    struct cell *c = last_cell(t, column);
    c->number = value;
    c->set = true;
}

void table_about(struct table *t, size_t column)
{
    last_cell(t, column)->about = true;
}

void age_text(uint64_t ms, char out[24])
{
    uint64_t s = ms / 1000;
    if (s == 0)
        (void)snprintf(out, 24, "%" PRIu64 "ms", ms);
    else if (s < 60)
        (void)snprintf(out, 24, "%" PRIu64 "s", s);
    else if (s < 3600)
        (void)snprintf(out, 24, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, 24, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, 24, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

void moment_text(uint64_t ms, char out[32])
{
    uint64_t s = ms / 1000;
    if (s < 60)
        (void)snprintf(out, 32, "%" PRIu64 ".%03us", s, (unsigned)(ms % 1000));
    else if (s < 3600)
        (void)snprintf(out, 32, "%" PRIu64 "m%02u.%03us", s / 60, (unsigned)(s % 60), (unsigned)(ms % 1000));
    else
        (void)snprintf(out, 32, "%" PRIu64 "h%02um%02u.%03us", s / 3600, (unsigned)(s / 60 % 60),
                       (unsigned)(s % 60), (unsigned)(ms % 1000));
}

void bytes_text(uint64_t bytes, char out[24])
{
    static const char units[] = "KMGTPE";
    double v = (double)bytes;
    int u = -1;
    while (v >= 1024 && u < (int)sizeof units - 2) {
        v /= 1024;
        u++;
    }
    if (u < 0)
        (void)snprintf(out, 24, "%" PRIu64, bytes);
    else
        (void)snprintf(out, 24, "%.1f%c", v, units[u]);
}

/* The first character of s, as it is when the terminal knows it and gives it room; else its first octet is
 * escaped: what takes no room (joiners, marks that turn the direction) changes how the rest looks. Returns
 * how much of s that was. */
static size_t add_char(struct buf *out, struct span s, unsigned *columns)
{
    mbstate_t state = {0};
    wchar_t c = 0;
    size_t n = mbrtowc(&c, s.ptr, s.len, &state);
    int width = n > 0 && n <= s.len ? wcwidth(c) : 0; /* beyond s.len: incomplete, or wrong */
    bool plain = width > 0 && c != L'\\';
    *columns += plain ? (unsigned)width : 4;
    (void)!(plain ? buf_add(out, span_first(s, n)) : buf_add_escaped(out, span_first(s, 1)));
    return plain ? n : 1;
}

static void add_text(struct buf *out, struct span s, unsigned width)
{
    unsigned columns = 0;
    size_t cut = 0;
    while (s.len > 0) {
        s = span_from(s, add_char(out, s, &columns));
        if (columns + 3 <= width)
            cut = out->len;
        if (width <= 3 || columns <= width)
            continue;
        out->len = cut;
        buf_wrote(out, 0);
        (void)!buf_add(out, SPAN("..."));
        return;
    }
}

/* What a table shows of a cell; foreign text escaped, and cut to the column's width. */
static void shown(const struct column *col, const struct cell *c, struct buf *out)
{
    unsigned width = col->width & ~(unsigned)COLUMN_RARE;
    char text[32] = "";
    buf_clear(out);
    if (!c->set)
        return;
    switch (col->kind) {
    case COLUMN_TEXT:
        add_text(out, span_of(c->text, c->number), width);
        return;
    case COLUMN_COUNT:
        (void)snprintf(text, sizeof text, "%" PRIu64, c->number);
        break;
    case COLUMN_BYTES:
        bytes_text(c->number, text);
        break;
    case COLUMN_WAIT:
    case COLUMN_AGE:
        if (c->number == 0 && col->kind == COLUMN_WAIT)
            (void)snprintf(text, sizeof text, "now");
        else
            age_text(c->number, text);
        break;
    case COLUMN_MOMENT:
        moment_text(c->number, text);
        break;
    case COLUMN_TIME:
        if (c->number != 0)
            clock_rfc3339(c->number, text);
        break;
    case COLUMN_BOOL:
        (void)snprintf(text, sizeof text, "%s", c->number != 0 ? "yes" : "no");
        break;
    }
    (void)!buf_addf(out, "%s%s", c->about ? "~" : "", text);
}

static json_t *json_cell(const struct column *col, const struct cell *c)
{
    char text[32];
    if (!c->set)
        return json_null();
    switch (col->kind) {
    case COLUMN_TEXT: {
        json_t *s = json_stringn(c->text, c->number);
        if (s != NULL)
            return s;
        struct buf b; /* not UTF-8: escaped rather than lost */
        buf_init(&b, 1 << 20);
        (void)!buf_add_escaped(&b, span_of(c->text, c->number));
        s = json_string(buf_cstr(&b));
        buf_done(&b);
        return s;
    }
    case COLUMN_BOOL:
        return json_boolean(c->number != 0);
    case COLUMN_TIME:
        if (c->number == 0)
            return json_null();
        clock_rfc3339(c->number, text);
        return json_string(text);
    case COLUMN_COUNT:
    case COLUMN_BYTES:
    case COLUMN_AGE:
    case COLUMN_WAIT:
    case COLUMN_MOMENT:
        break;
    }
    return json_integer((json_int_t)c->number);
}

static json_t *json_row(const struct table *t, size_t row)
{
    json_t *o = json_object();
    for (size_t i = 0; o != NULL && i < t->ncolumns; i++)
        (void)json_object_set_new(o, t->columns[i].key,
                                  json_cell(&t->columns[i], &t->cells[row * t->ncolumns + i]));
    return o;
}

int json_print(json_t *j)
{
    char *text = j == NULL ? NULL : json_dumps(j, JSON_INDENT(2));
    int code = text != NULL && printf("%s\n", text) > 0 ? CLI_OK : CLI_FAILED;
    free(text);
    json_decref(j);
    return code;
}

static bool right_aligned(enum column_kind kind)
{
    return kind == COLUMN_COUNT || kind == COLUMN_BYTES || kind == COLUMN_AGE || kind == COLUMN_WAIT ||
           kind == COLUMN_MOMENT;
}

static bool has_column(const struct table *t, size_t column)
{
    if (t->columns[column].title == NULL)
        return false;
    bool has = (t->columns[column].width & COLUMN_RARE) == 0;
    for (size_t row = 0; row < t->nrows && !has; row++)
        has = t->cells[row * t->ncolumns + column].number != 0; /* of texts, the length */
    return has;
}

static struct libscols_table *scols_of(const struct table *t)
{
    struct libscols_table *s = scols_new_table();
    struct buf b;
    size_t shows[COLUMNS_MAX], nshows = 0;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < t->ncolumns && nshows < COLUMNS_MAX; i++)
        if (has_column(t, i))
            shows[nshows++] = i;
    if (s != NULL) /* what must be escaped is escaped by shown() */
        (void)scols_table_enable_noencoding(s, 1);
    for (size_t at = 0; s != NULL && at < nshows; at++)
        (void)scols_table_new_column(s, t->columns[shows[at]].title, 0,
                                     right_aligned(t->columns[shows[at]].kind) ? SCOLS_FL_RIGHT : 0);
    for (size_t row = 0; s != NULL && row < t->nrows; row++) {
        struct libscols_line *line = scols_table_new_line(s, NULL);
        for (size_t at = 0; line != NULL && at < nshows; at++) {
            shown(&t->columns[shows[at]], &t->cells[row * t->ncolumns + shows[at]], &b);
            (void)scols_line_set_data(line, at, buf_cstr(&b));
        }
    }
    buf_done(&b);
    return s;
}

json_t *table_json(const struct table *t)
{
    json_t *list = json_array();
    for (size_t row = 0; list != NULL && row < t->nrows; row++)
        (void)json_array_append_new(list, json_row(t, row));
    return list;
}

int table_print(const struct table *t, enum cli_output how, const char *empty)
{
    if (how == CLI_JSON)
        return json_print(table_json(t));
    if (t->nrows == 0)
        return printf("%s\n", empty) > 0 ? CLI_OK : CLI_FAILED;
    (void)setlocale(LC_CTYPE, ""); /* the terminal's characters */
    struct libscols_table *s = scols_of(t);
    int rc = s == NULL ? -1 : scols_print_table(s);
    scols_unref_table(s);
    return rc == 0 ? CLI_OK : CLI_FAILED;
}

int table_print_one(const struct table *t, enum cli_output how)
{
    if (how == CLI_JSON)
        return json_print(t->nrows > 0 ? json_row(t, 0) : json_object());
    struct buf b;
    buf_init(&b, 1 << 20);
    (void)setlocale(LC_CTYPE, "");
    size_t wide = 0;
    for (size_t i = 0; t->nrows > 0 && i < t->ncolumns; i++) {
        shown(&t->columns[i], &t->cells[i], &b);
        if (t->columns[i].title != NULL && b.len > 0 && strlen(t->columns[i].title) > wide)
            wide = strlen(t->columns[i].title);
    }
    for (size_t i = 0; t->nrows > 0 && i < t->ncolumns; i++) {
        shown(&t->columns[i], &t->cells[i], &b);
        if (t->columns[i].title != NULL && b.len > 0)
            (void)printf("%-*s  %s\n", (int)wide, t->columns[i].title, buf_cstr(&b));
    }
    buf_done(&b);
    return CLI_OK;
}
