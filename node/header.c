#include "node/header.h"

#include <string.h>

/*          printable            ":"              LF
 *   BOL -------------> NAME ----------> VALUE --------> BOL
 *    |                  | blank           ^
 *    |                  `-----> BLANKS ---' ":" ("Name :" is obsolete, RFC 5322 4.5, but seen)
 *    | blank: VALUE of the field before (folding, RFC 5322 2.2.3)
 *    | CR LF or LF: over
 *
 *   Anything else is no field: over. */
enum state { H_BOL, H_CR, H_NAME, H_BLANKS, H_VALUE };

enum row_kind { ROW_RECEIVED, ROW_KEEP, ROW_PRIORITY };
struct row {
    struct span name;
    enum row_kind kind;
    int index; /* enum header_field */
};
static const struct row rows[] = {
    {SPAN_INIT("Received"), ROW_RECEIVED, 0},         {SPAN_INIT("From"), ROW_KEEP, HEADER_FROM},
    {SPAN_INIT("Subject"), ROW_KEEP, HEADER_SUBJECT}, {SPAN_INIT("Message-ID"), ROW_KEEP, HEADER_MESSAGE_ID},
    {SPAN_INIT("Importance"), ROW_PRIORITY, 0},       {SPAN_INIT("X-Priority"), ROW_PRIORITY, 0},
    {SPAN_INIT("Priority"), ROW_PRIORITY, 0},
};
static const struct {
    struct span word;
    enum priority priority;
} priorities[] = {
    {SPAN_INIT("high"), PRIORITY_HIGH}, {SPAN_INIT("urgent"), PRIORITY_HIGH},
    {SPAN_INIT("1"), PRIORITY_HIGH},    {SPAN_INIT("2"), PRIORITY_HIGH},
    {SPAN_INIT("low"), PRIORITY_LOW},   {SPAN_INIT("non-urgent"), PRIORITY_LOW},
    {SPAN_INIT("4"), PRIORITY_LOW},     {SPAN_INIT("5"), PRIORITY_LOW},
};

void header_init(struct header_scan *h)
{
    memset(h, 0, sizeof *h);
    h->state = H_BOL;
    h->field = -1;
}

struct span header_kept(const struct header_scan *h, enum header_field f)
{
    return span_trim(span_of(h->kept[f].text, h->kept[f].len));
}

static void name_ends(struct header_scan *h)
{
    h->field = -1;
    h->value_len = 0;
    h->gap = false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!span_ieq(rows[i].name, span_of(h->name, h->name_len)))
            continue;
        h->field = (int8_t)i;
        if (rows[i].kind == ROW_RECEIVED)
            h->received++;
        if (rows[i].kind == ROW_KEEP && h->kept[rows[i].index].seen)
            h->field = -1;
        else if (rows[i].kind == ROW_KEEP)
            h->kept[rows[i].index].seen = true;
    }
}

/* The field that was current is complete: the line behind it is no folded one. */
static void field_ends(struct header_scan *h)
{
    if (h->field >= 0 && rows[h->field].kind == ROW_PRIORITY)
        for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
            if (span_ieq(priorities[i].word, span_of(h->value, h->value_len)))
                h->priority = priorities[i].priority;
    h->field = -1;
}

void header_finish(struct header_scan *h)
{
    field_ends(h);
    h->over = true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The first word: "1 (Highest)" is 1. */
static void take_word(struct header_scan *h, struct span part)
{
    for (size_t i = 0; i < part.len; i++) {
        if (is_blank(part.ptr[i]))
            h->gap = h->gap || h->value_len > 0;
        else if (part.ptr[i] != '\r' && !h->gap && h->value_len < HEADER_NAME_MAX)
            h->value[h->value_len++] = part.ptr[i];
    }
}

/* Without leading blanks; a fold and the blanks behind it become one blank. */
static void take_excerpt(struct header_scan *h, struct header_excerpt *x, struct span part)
{
    for (size_t i = 0; i < part.len && x->len < HEADER_EXCERPT_MAX; i++) {
        if (part.ptr[i] == '\r' || (is_blank(part.ptr[i]) && (x->len == 0 || h->gap)))
            continue;
        if (h->gap && x->len > 0)
            x->text[x->len++] = ' ';
        h->gap = false;
        if (x->len < HEADER_EXCERPT_MAX)
            x->text[x->len++] = part.ptr[i];
    }
}

/* A piece of a line of the current field's value, without LF. A CR is not kept: whether it stands before
 * the LF may show only in the next piece. */
static void value_part(struct header_scan *h, struct span part)
{
    if (h->field < 0)
        return;
    const struct row *r = &rows[h->field];
    if (r->kind == ROW_PRIORITY)
        take_word(h, part);
    if (r->kind == ROW_KEEP)
        take_excerpt(h, &h->kept[r->index], part);
}

/* One byte in every state but VALUE. */
static void step(struct header_scan *h, char c)
{
    if (h->state == H_CR || (h->state == H_BOL && c == '\n')) {
        header_finish(h); /* the empty line; or a CR that begins a line: no field */
    } else if (h->state == H_BOL && c == '\r') {
        h->state = H_CR;
    } else if (h->state == H_BOL && is_blank(c)) {
        h->gap = h->gap || h->value_len > 0 || (h->field >= 0 && rows[h->field].kind == ROW_KEEP);
        h->state = H_VALUE;
    } else if ((h->state == H_NAME || h->state == H_BLANKS) && c == ':') {
        name_ends(h);
        h->state = H_VALUE;
    } else if (c > ' ' && c < 0x7f && h->state != H_BLANKS && c != ':') {
        if (h->state == H_BOL) {
            field_ends(h);
            h->name_len = 0;
        }
        h->state = H_NAME;
        if (h->name_len < HEADER_NAME_MAX)
            h->name[h->name_len++] = c;
    } else if ((h->state == H_NAME || h->state == H_BLANKS) && is_blank(c)) {
        h->state = H_BLANKS;
    } else {
        header_finish(h);
    }
}

void header_feed(struct header_scan *h, struct span body)
{
    while (!h->over && body.len > 0) {
        size_t n = 1;
        if (h->state == H_VALUE) {
            size_t at;
            bool eol = span_find(body, '\n', &at);
            n = eol ? at + 1 : body.len;
            value_part(h, span_first(body, eol ? at : n));
            if (eol)
                h->state = H_BOL;
        } else {
            step(h, body.ptr[0]);
        }
        h->size += n;
        body = span_from(body, n);
    }
}
