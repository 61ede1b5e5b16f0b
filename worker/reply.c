/* worker/reply.c — one line at a time; the last one of a reply has a blank, or nothing, after its code. */
#include "worker/reply.h"

void reply_init(struct reply_parser *p)
{
    *p = (struct reply_parser){0};
    buf_init(&p->line, REPLY_LINE_MAX);
    buf_init(&p->text, REPLY_KEPT_MAX);
}

void reply_done(struct reply_parser *p)
{
    buf_done(&p->line);
    buf_done(&p->text);
}

bool reply_partial(const struct reply_parser *p)
{
    return p->line.len > 0 || (p->lines > 0 && !p->done);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool reply_enhanced(struct span s, char ret[REPLY_ENHANCED_MAX], struct span *rest)
{
    /* RFC 3463 2: class "." subject "." detail, the latter of one to three digits. */
    size_t at = 2;
    if (s.len < 5 || (s.ptr[0] != '2' && s.ptr[0] != '4' && s.ptr[0] != '5') || s.ptr[1] != '.')
        return false;
    for (int part = 0; part < 2; part++) {
        size_t digits = 0;
        while (at < s.len && is_digit(s.ptr[at])) {
            at++;
            digits++;
        }
        if (digits == 0 || digits > 3)
            return false;
        if (part == 0 && (at >= s.len || s.ptr[at++] != '.'))
            return false;
    }
    if (at < s.len && s.ptr[at] != ' ')
        return false;
    memcpy(ret, s.ptr, at);
    ret[at] = '\0';
    *rest = at < s.len ? span_from(s, at + 1) : span_from(s, at);
    return true;
}

/* Joins the lines with blanks; the enhanced code that RFC 2034 repeats on every line is kept once. */
static enum err keep_text(struct reply_parser *p, struct span text)
{
    char enhanced[REPLY_ENHANCED_MAX];
    struct span rest;
    bool has = reply_enhanced(text, enhanced, &rest);
    if (p->lines == 0 && has && enhanced[0] == '0' + p->reply.code / 100)
        memcpy(p->reply.enhanced, enhanced, sizeof(enhanced));
    else if (p->lines > 0 && has && strcmp(enhanced, p->reply.enhanced) == 0)
        text = rest;
    if (p->lines > 0 && p->text.len < p->text.max) {
        enum err e = buf_addc(&p->text, ' ');
        if (e != ERR_OK)
            return e;
    }
    return buf_add(&p->text, span_first(text, p->text.max - p->text.len));
}

static enum err take_line(struct reply_parser *p, struct span line, reply_line_fn *on_line, void *arg)
{
    uint64_t code;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    bool last = line.len == 3 || (line.len > 3 && line.ptr[3] == ' ');
    if (!span_to_u64(span_first(line, 3), 599, &code) || code < 200 ||
        (!last && (line.len < 4 || line.ptr[3] != '-')) || (p->lines > 0 && code != p->reply.code))
        return ERR_PARSE;
    if (p->lines == REPLY_LINES_MAX)
        return ERR_TOOBIG;
    p->reply.code = (uint16_t)code;
    struct span text = span_from(line, 4);
    enum err e = keep_text(p, text);
    if (e != ERR_OK)
        return e;
    if (on_line != NULL)
        on_line(arg, p->reply.code, p->lines, text);
    p->lines++;
    p->done = last;
    return ERR_OK;
}

static void start_over(struct reply_parser *p)
{
    buf_clear(&p->text);
    p->reply = (struct reply){0};
    p->lines = 0;
    p->done = false;
}

static enum err feed(struct reply_parser *p, struct span bytes, size_t *taken, reply_line_fn *on_line,
                     void *arg)
{
    while (*taken < bytes.len && !p->done) {
        struct span rest = span_from(bytes, *taken);
        size_t at;
        bool whole = span_find(rest, '\n', &at);
        struct span part = whole ? span_first(rest, at) : rest;
        if (p->line.len + part.len > REPLY_LINE_MAX)
            return ERR_TOOBIG;
        *taken += part.len + (whole ? 1 : 0);
        enum err e = ERR_OK;
        if (!whole || p->line.len > 0)
            e = buf_add(&p->line, part);
        if (e == ERR_OK && whole) {
            e = take_line(p, p->line.len > 0 ? buf_span(&p->line) : part, on_line, arg);
            buf_clear(&p->line);
        }
        if (e != ERR_OK)
            return e;
    }
    return p->done ? ERR_OK : ERR_AGAIN;
}

enum err reply_feed(struct reply_parser *p, struct span bytes, size_t *ret_taken, struct reply *ret,
                    reply_line_fn *on_line, void *arg)
{
    *ret_taken = 0;
    if (p->bad)
        return ERR_PARSE;
    if (p->done)
        start_over(p);
    enum err e = feed(p, bytes, ret_taken, on_line, arg);
    if (e == ERR_OK) {
        p->reply.text = buf_span(&p->text);
        *ret = p->reply;
    } else if (e != ERR_AGAIN) {
        p->bad = true;
    }
    return e;
}
