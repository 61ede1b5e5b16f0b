#include "queue/dsn_seven.h"

enum { QP_COLUMN_MAX = 75 }; /* RFC 2045 6.7 (5): 76 with the "=" of a soft line break */

void dsn_seven_init(struct dsn_seven *s)
{
    *s = (struct dsn_seven){.state = DSN_SEVEN_TOP};
    buf_init(&s->head, DSN_SEVEN_HEAD_MAX);
}

void dsn_seven_done(struct dsn_seven *s)
{
    buf_done(&s->head);
}

/* --- Writing --------------------------------------------------------------------------------------- */

static enum err put_escaped(struct span s, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < s.len && e == ERR_OK; i++) {
        unsigned char b = (unsigned char)s.ptr[i];
        e = b < 0x80 ? buf_addc(out, s.ptr[i]) : buf_addf(out, "\\x%02x", b);
    }
    return e;
}

static size_t without_end(struct span line)
{
    size_t len = line.len;
    if (len > 0 && line.ptr[len - 1] == '\n')
        len -= len > 1 && line.ptr[len - 2] == '\r' ? 2 : 1;
    return len;
}

/* RFC 2045 6.7. A blank is encoded where it may be the last octet of a line: others would take it away. */
static enum err put_quoted(struct dsn_seven *s, struct span line, struct buf *out)
{
    size_t len = without_end(line);
    enum err e = ERR_OK;
    for (size_t i = 0; i < len && e == ERR_OK; i++) {
        unsigned char b = (unsigned char)line.ptr[i];
        bool blank = b == ' ' || b == '\t';
        bool as_it_is = blank ? i + 1 < len : b > ' ' && b < 0x7f && b != '=';
        size_t width = as_it_is ? 1 : 3;
        if (s->column + width > QP_COLUMN_MAX) {
            e = buf_add(out, SPAN("=\r\n"));
            s->column = 0;
        }
        if (e == ERR_OK)
            e = as_it_is ? buf_addc(out, line.ptr[i]) : buf_addf(out, "=%02X", b);
        s->column += width;
    }
    if (e == ERR_OK && len < line.len) {
        e = buf_add(out, SPAN("\r\n"));
        s->column = 0;
    }
    return e;
}

/* --- Fields ---------------------------------------------------------------------------------------- */

static const struct span type_name = SPAN_INIT("content-type:"),
                         encoding_name = SPAN_INIT("content-transfer-encoding:");

/* The next field of a head, with the lines that go on with it. */
static bool next_field(struct span *rest, struct span *ret)
{
    size_t n = 0, at;
    if (rest->len == 0)
        return false;
    do {
        n += span_find(span_from(*rest, n), '\n', &at) ? at + 1 : rest->len - n;
    } while (n < rest->len && (rest->ptr[n] == ' ' || rest->ptr[n] == '\t'));
    *ret = span_first(*rest, n);
    *rest = span_from(*rest, n);
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = span_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* The value in front of the parameters: "multipart/report". */
static struct span value_of(struct span field)
{
    struct span value = field, rest;
    (void)span_cut(field, ':', &rest, &value);
    (void)span_cut(value, ';', &value, &rest);
    return trim(value);
}

/* The parameter `boundary` (RFC 2046 5.1.1); empty: there is none that can be used. */
static struct span boundary_of(struct span field)
{
    struct span rest = field, name;
    while (span_cut(rest, ';', &name, &rest)) {
        struct span part = trim(rest);
        size_t end;
        if (!span_has_iprefix(part, SPAN("boundary=")))
            continue;
        part = span_from(part, 9);
        if (part.len > 0 && part.ptr[0] == '"') {
            part = span_from(part, 1);
            return span_find(part, '"', &end) ? span_first(part, end) : SPAN("");
        }
        for (end = 0; end < part.len && part.ptr[end] != ';' && !is_blank(part.ptr[end]);)
            end++;
        return span_first(part, end);
    }
    return SPAN("");
}

/* --- Lines ----------------------------------------------------------------------------------------- */

static enum err top_ended(struct dsn_seven *s, struct buf *out)
{
    struct span field = buf_span(&s->head), boundary = boundary_of(field);
    if (!span_ieq(value_of(field), SPAN("multipart/report")) || boundary.len == 0 ||
        boundary.len >= sizeof s->boundary)
        return ERR_PARSE;
    memcpy(s->boundary, boundary.ptr, boundary.len);
    s->boundary[boundary.len] = '\0';
    buf_clear(&s->head);
    s->state = DSN_SEVEN_PLAIN;
    return buf_add(out, SPAN("\r\n"));
}

static enum err top_line(struct dsn_seven *s, struct span line, bool begins, struct buf *out)
{
    enum err e = ERR_OK;
    if (begins && without_end(line) == 0)
        return top_ended(s, out);
    if (begins && line.ptr[0] != ' ' && line.ptr[0] != '\t') {
        s->taken = span_has_iprefix(line, type_name) && s->head.len == 0;
        s->cut = span_has_iprefix(line, encoding_name); /* what comes out is of 7 bits */
    }
    if (s->taken)
        e = buf_add(&s->head, line);
    if (e == ERR_OK && !s->cut)
        e = put_escaped(line, out);
    return e == ERR_TOOBIG ? ERR_PARSE : e;
}

/* The field that replaces the type of a returned message; NULL: it is none. */
static const char *returned_as(struct span type)
{
    if (span_ieq(type, SPAN("message/rfc822")))
        return "text/rfc822-headers";
    return span_ieq(type, SPAN("message/global")) ? "message/global-headers" : NULL;
}

/* What a part is, and so what becomes of it. */
static enum err head_ended(struct dsn_seven *s, struct buf *out)
{
    struct span rest = buf_span(&s->head), field, type = SPAN("text/plain"), encoding = SPAN("7bit");
    while (next_field(&rest, &field)) {
        if (span_has_iprefix(field, type_name))
            type = value_of(field);
        else if (span_has_iprefix(field, encoding_name))
            encoding = value_of(field);
    }
    bool wide = span_ieq(encoding, SPAN("8bit")) || span_ieq(encoding, SPAN("binary"));
    const char *returned = wide || span_ieq(encoding, SPAN("7bit")) ? returned_as(type) : NULL;
    bool changed = wide || returned != NULL;
    if (wide && span_has_iprefix(type, SPAN("multipart/")))
        return ERR_PARSE; /* parts within parts, which RFC 2045 6.4 forbids to encode as a whole */
    s->state = returned != NULL ? DSN_SEVEN_RETURNED : wide ? DSN_SEVEN_ENCODED : DSN_SEVEN_PLAIN;
    s->column = 0;
    enum err e = ERR_OK;
    rest = buf_span(&s->head);
    while (e == ERR_OK && next_field(&rest, &field)) {
        bool is_type = span_has_iprefix(field, type_name);
        if (is_type && returned != NULL)
            e = buf_addf(out, "Content-Type: %s\r\nContent-Description: Headers of the message\r\n",
                         returned);
        else if (returned != NULL && span_has_iprefix(field, SPAN("content-description:")))
            continue;
        else if (!changed || !span_has_iprefix(field, encoding_name))
            e = put_escaped(field, out);
    }
    if (e == ERR_OK && changed)
        e = buf_add(out, SPAN("Content-Transfer-Encoding: quoted-printable\r\n"));
    buf_clear(&s->head);
    return e == ERR_OK ? buf_add(out, SPAN("\r\n")) : e;
}

static enum err head_line(struct dsn_seven *s, struct span line, bool begins, struct buf *out)
{
    if (begins && without_end(line) == 0)
        return head_ended(s, out);
    return buf_add(&s->head, line) == ERR_OK ? ERR_OK : ERR_PARSE;
}

/* A boundary, and whether it is the last one. */
static bool is_boundary(const struct dsn_seven *s, struct span line, bool *ret_last)
{
    struct span rest = trim(line), name = span_cstr(s->boundary);
    if (!span_has_prefix(rest, SPAN("--")) || !span_has_prefix(span_from(rest, 2), name))
        return false;
    rest = span_from(rest, 2 + name.len);
    *ret_last = span_eq(rest, SPAN("--"));
    return rest.len == 0 || *ret_last;
}

static enum err boundary_line(struct dsn_seven *s, bool last, struct buf *out)
{
    if (s->state == DSN_SEVEN_HEAD) /* a part without a blank line */
        return ERR_PARSE;
    s->state = last ? DSN_SEVEN_ENDED : DSN_SEVEN_HEAD;
    return buf_addf(out, "--%s%s\r\n", s->boundary, last ? "--" : "");
}

/* A line, or a piece of a long one; begins: it is where a line begins. */
static enum err take(struct dsn_seven *s, struct span line, bool begins, struct buf *out)
{
    bool last;
    if (s->state != DSN_SEVEN_TOP && s->state != DSN_SEVEN_ENDED && begins && is_boundary(s, line, &last))
        return boundary_line(s, last, out);
    switch (s->state) {
    case DSN_SEVEN_TOP:
        return top_line(s, line, begins, out);
    case DSN_SEVEN_PLAIN:
        return put_escaped(line, out);
    case DSN_SEVEN_HEAD:
        return head_line(s, line, begins, out);
    case DSN_SEVEN_RETURNED:
        if (begins && without_end(line) == 0)
            s->state = DSN_SEVEN_SKIPPED;
        return put_quoted(s, line, out);
    case DSN_SEVEN_ENCODED:
        return put_quoted(s, line, out);
    case DSN_SEVEN_SKIPPED:
    case DSN_SEVEN_ENDED:
        break;
    }
    return ERR_OK;
}

static enum err take_line(struct dsn_seven *s, struct buf *out)
{
    struct span line = span_of(s->line, s->line_len);
    bool begins = !s->inside;
    s->inside = line.ptr[line.len - 1] != '\n';
    s->line_len = 0;
    return take(s, line, begins, out);
}

enum err dsn_seven_feed(struct dsn_seven *s, struct span piece, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < piece.len && e == ERR_OK; i++) {
        s->line[s->line_len++] = piece.ptr[i];
        if (piece.ptr[i] == '\n' || s->line_len == sizeof s->line)
            e = take_line(s, out);
    }
    return e;
}

enum err dsn_seven_end(struct dsn_seven *s, struct buf *out)
{
    enum err e = s->line_len > 0 ? take_line(s, out) : ERR_OK;
    return e == ERR_OK && s->state != DSN_SEVEN_ENDED ? ERR_PARSE : e;
}
