#include "common/config/value.h"
#include "common/plural.h"

#include <string.h>

enum { NORMAL_MAX = 8192 };

bool conf_shape_is_list(enum conf_shape shape)
{
    return shape == SHAPE_TEXTS || shape == SHAPE_NETS || shape == SHAPE_MSLIST;
}

enum err conf_split(struct span text, struct span *items, size_t max, size_t *ret_n)
{
    bool more = span_trim(text).len > 0;
    *ret_n = 0;
    while (more) {
        struct span item;
        more = span_cut(text, ',', &item, &text);
        if (*ret_n == max)
            return ERR_TOOBIG;
        items[(*ret_n)++] = span_trim(item);
    }
    return ERR_OK;
}

/* --- ranges -------------------------------------------------------------------------------------- */

static void bound_text(enum conf_shape shape, uint64_t v, char out[CONF_NUMBER_TEXT])
{
    if (shape == SHAPE_MS)
        conf_ms_text(v, out);
    else if (shape == SHAPE_SIZE)
        conf_size_text(v, out);
    else
        (void)snprintf(out, CONF_NUMBER_TEXT, "%llu", (unsigned long long)v);
}

enum err conf_range_text(const struct conf_row *row, struct buf *out)
{
    char lo[CONF_NUMBER_TEXT], hi[CONF_NUMBER_TEXT];
    enum conf_shape shape = row->type->shape;
    const char *unit = conf_shape_is_list(shape) ? " items" : shape == SHAPE_TEXT ? " bytes" : "";
    if (shape == SHAPE_BOOL)
        return ERR_OK;
    bound_text(shape, row->lo, lo);
    bound_text(shape, row->hi, hi);
    if (row->hi == UINT64_MAX)
        return row->lo == 0 ? ERR_OK : buf_addf(out, "at least %s%s", lo, unit);
    if (row->lo == 0 && unit[0] != '\0')
        return buf_addf(out, "at most %s%s", hi, unit);
    return buf_addf(out, "%s to %s%s", lo, hi, unit);
}

static enum err not_a_number(const struct conf_row *row, struct span in, struct errctx *ec)
{
    struct buf range;
    buf_init(&range, 256);
    (void)!conf_range_text(row, &range); /* for the message alone */
    (void)err_set(ec, ERR_CONFIG, "'" SPAN_FMT "' is not %s%s%s", SPAN_ARG(span_first(in, 80)),
                  row->type->what, range.len > 0 ? "; write " : "", buf_cstr(&range));
    buf_done(&range);
    return ERR_CONFIG;
}

static enum err in_range(const struct conf_row *row, uint64_t v, struct span text, struct errctx *ec)
{
    struct buf range;
    if (v >= row->lo && v <= row->hi)
        return ERR_OK;
    buf_init(&range, 256);
    (void)!conf_range_text(row, &range); /* for the message alone */
    (void)err_set(ec, ERR_CONFIG, "'" SPAN_FMT "' is out of range; write %s", SPAN_ARG(span_first(text, 80)),
                  buf_cstr(&range));
    buf_done(&range);
    return ERR_CONFIG;
}

static enum err items_in_range(const struct conf_row *row, size_t n, struct errctx *ec)
{
    struct buf range;
    if (n >= row->lo && n <= row->hi)
        return ERR_OK;
    buf_init(&range, 256);
    (void)!conf_range_text(row, &range);
    (void)err_set(ec, ERR_CONFIG, "%zu item%s; write %s", n, plural(n), buf_cstr(&range));
    buf_done(&range);
    return ERR_CONFIG;
}

/* --- one text ------------------------------------------------------------------------------------ */

static enum err no_controls(struct span s, struct errctx *ec)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return err_set(ec, ERR_CONFIG, "control character 0x%02x in the text; remove it",
                           (unsigned char)s.ptr[i]);
    return ERR_OK;
}

/* ret: in mem, normalized */
static enum err text_value(struct arena *mem, const char *base_dir, const struct conf_type *type,
                           struct span in, char **ret, struct errctx *ec)
{
    struct buf normal;
    enum err e = no_controls(in, ec);
    if (e != ERR_OK)
        return e;
    buf_init(&normal, NORMAL_MAX);
    if (type->check == NULL || in.len == 0)
        e = buf_add(&normal, in);
    else
        e = type->check(in, base_dir, &normal, ec);
    if (e == ERR_PARSE)
        e = ERR_CONFIG;
    else if (e == ERR_TOOBIG)
        e = err_set(ec, ERR_CONFIG, "longer than %d bytes", NORMAL_MAX);
    if (e == ERR_OK) {
        char *copy = arena_dup(mem, buf_span(&normal));
        if (copy == NULL)
            e = ERR_NOMEM;
        else
            *ret = copy;
    }
    buf_done(&normal);
    return e;
}

static enum err set_text(struct arena *mem, const char *base_dir, const struct conf_row *row, struct span in,
                         void *field, struct errctx *ec)
{
    enum err e;
    char *text;
    if (in.len < row->lo || in.len > row->hi) {
        if (in.len == 0)
            return err_set(ec, ERR_CONFIG, "empty; write %s", row->type->what);
        return in_range(row, in.len, in, ec);
    }
    e = text_value(mem, base_dir, row->type, in, &text, ec);
    if (e == ERR_OK)
        *(char **)field = text;
    return e;
}

/* A number beyond 64 bits is a number all the same, and out of any range that has an end. */
static bool to_number(struct span s, uint64_t *ret)
{
    if (span_to_u64(s, UINT64_MAX, ret))
        return true;
    *ret = UINT64_MAX;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

static enum err set_number(const struct conf_row *row, struct span in, void *field, struct errctx *ec)
{
    uint64_t v = 0;
    bool ok = false;
    if (row->type->shape == SHAPE_NUMBER)
        ok = to_number(in, &v);
    else if (row->type->shape == SHAPE_SIZE)
        ok = conf_parse_size(in, &v);
    else
        ok = conf_parse_ms(in, &v);
    if (!ok)
        return not_a_number(row, in, ec);
    enum err e = in_range(row, v, in, ec);
    if (e == ERR_OK)
        *(uint64_t *)field = v;
    return e;
}

static enum err set_bool(const struct conf_row *row, struct span in, void *field, struct errctx *ec)
{
    bool yes = span_eq(in, SPAN("true"));
    if (!yes && !span_eq(in, SPAN("false")))
        return err_set(ec, ERR_CONFIG, "'" SPAN_FMT "' is not %s", SPAN_ARG(span_first(in, 80)),
                       row->type->what);
    *(bool *)field = yes;
    return ERR_OK;
}

/* --- lists --------------------------------------------------------------------------------------- */

static enum err set_texts(struct arena *mem, const char *base_dir, const struct conf_row *row,
                          const struct span *texts, size_t n, void *field, struct errctx *ec)
{
    struct conf_strs list = {arena_alloc(mem, n * sizeof *list.items), n};
    if (list.items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        if (texts[i].len == 0)
            return err_set(ec, ERR_CONFIG, "item %zu is empty; write %s", i + 1, row->type->what);
        enum err e = text_value(mem, base_dir, row->type, texts[i], &list.items[i], ec);
        if (e != ERR_OK)
            return e;
    }
    *(struct conf_strs *)field = list;
    return ERR_OK;
}

static enum err set_nets(struct arena *mem, const struct span *texts, size_t n, void *field,
                         struct errctx *ec)
{
    struct conf_nets list = {arena_alloc(mem, n * sizeof *list.items), n};
    if (list.items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        if (ip_net_parse(texts[i], &list.items[i]) != ERR_OK)
            return err_set(ec, ERR_CONFIG,
                           "'" SPAN_FMT "' is not a network; write e.g. 192.0.2.0/24 (no bits set beyond the "
                           "prefix), 2001:db8::/32 or one address",
                           SPAN_ARG(span_first(texts[i], 80)));
    *(struct conf_nets *)field = list;
    return ERR_OK;
}

static enum err set_mslist(struct arena *mem, const struct span *texts, size_t n, void *field,
                           struct errctx *ec)
{
    struct conf_mslist list = {arena_alloc(mem, n * sizeof *list.items), n};
    if (list.items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        if (!conf_parse_ms(texts[i], &list.items[i]) || list.items[i] < 1 || list.items[i] > 60 * CONF_DAY)
            return err_set(ec, ERR_CONFIG,
                           "'" SPAN_FMT "' is not a duration from 1ms to 60d; write e.g. 60s or 10m",
                           SPAN_ARG(span_first(texts[i], 80)));
    *(struct conf_mslist *)field = list;
    return ERR_OK;
}

enum err conf_value_set(struct arena *mem, const char *base_dir, const struct conf_row *row,
                        const struct span *texts, size_t n, void *field, struct errctx *ec)
{
    enum err e = ERR_OK;
    if (conf_shape_is_list(row->type->shape))
        e = items_in_range(row, n, ec);
    if (e != ERR_OK)
        return e;
    switch (row->type->shape) {
    case SHAPE_TEXT:
        return set_text(mem, base_dir, row, texts[0], field, ec);
    case SHAPE_NUMBER:
    case SHAPE_SIZE:
    case SHAPE_MS:
        return set_number(row, texts[0], field, ec);
    case SHAPE_BOOL:
        return set_bool(row, texts[0], field, ec);
    case SHAPE_TEXTS:
        return set_texts(mem, base_dir, row, texts, n, field, ec);
    case SHAPE_NETS:
        return set_nets(mem, texts, n, field, ec);
    case SHAPE_MSLIST:
        return set_mslist(mem, texts, n, field, ec);
    }
    return ERR_CONFIG;
}

/* --- back to text -------------------------------------------------------------------------------- */

enum err conf_quote(struct span s, struct buf *out)
{
    enum err e = buf_addc(out, '"');
    for (size_t i = 0; e == ERR_OK && i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            e = buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            e = buf_addf(out, "\\u%04x", c);
        else
            e = buf_addc(out, (char)c);
    }
    return e == ERR_OK ? buf_addc(out, '"') : e;
}

static enum err show_item(const struct conf_row *row, const void *field, size_t i, struct buf *out)
{
    char text[IP_TEXT_MAX];
    if (row->type->shape == SHAPE_TEXTS)
        return conf_quote(span_cstr(((const struct conf_strs *)field)->items[i]), out);
    if (row->type->shape == SHAPE_MSLIST) {
        conf_ms_text(((const struct conf_mslist *)field)->items[i], text);
        return buf_add(out, span_cstr(text));
    }
    const struct ip_net *net = &((const struct conf_nets *)field)->items[i];
    ip_text(&net->base, text);
    return buf_addf(out, "\"%s/%u\"", text, net->bits);
}

static enum err show_list(const struct conf_row *row, const void *field, struct buf *out)
{
    struct conf_list list;
    memcpy(&list, field, sizeof list);
    enum err e = buf_addc(out, '[');
    for (size_t i = 0; e == ERR_OK && i < list.count; i++) {
        if (i > 0)
            e = buf_add(out, SPAN(", "));
        if (e == ERR_OK)
            e = show_item(row, field, i, out);
    }
    return e == ERR_OK ? buf_addc(out, ']') : e;
}

enum err conf_value_show(const struct conf_row *row, const void *field, struct buf *out)
{
    char text[CONF_NUMBER_TEXT];
    switch (row->type->shape) {
    case SHAPE_TEXT:
        return conf_quote(span_cstr(*(char *const *)field), out);
    case SHAPE_NUMBER:
    case SHAPE_SIZE:
    case SHAPE_MS:
        bound_text(row->type->shape, *(const uint64_t *)field, text);
        return buf_add(out, span_cstr(text));
    case SHAPE_BOOL:
        return buf_add(out, *(const bool *)field ? SPAN("true") : SPAN("false"));
    case SHAPE_TEXTS:
    case SHAPE_NETS:
    case SHAPE_MSLIST:
        return show_list(row, field, out);
    }
    return ERR_CONFIG;
}
