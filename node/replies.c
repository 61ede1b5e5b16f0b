#include "node/replies.h"

enum { REPLY_LINE_MAX = 510 }; /* RFC 5321 4.5.3.1.5, without CRLF */

static const struct reply replies[REPLY__COUNT] = {
#define X(id, code, enhanced, text, meaning) [REPLY_##id] = {#id, code, enhanced, text, meaning},
#include "node/replies.def"
#undef X
};

const struct reply *reply_get(enum reply_id id)
{
    return &replies[id];
}

static enum err add_printable(struct buf *out, struct span s)
{
    size_t before = out->len;
    enum err e = buf_add(out, s);
    if (e != ERR_OK)
        return e;
    for (size_t i = before; i < out->len; i++) {
        unsigned char c = (unsigned char)out->ptr[i];
        if (c < 0x20 || c >= 0x7f)
            out->ptr[i] = '?';
    }
    return ERR_OK;
}

/* Seven replies to a message: without printf, which took a fortieth of the node's time. */
static enum err add_code(struct buf *out, const struct reply *r, bool enhanced, bool last)
{
    char code[4] = {(char)('0' + r->code / 100), (char)('0' + r->code / 10 % 10), (char)('0' + r->code % 10),
                    last ? ' ' : '-'};
    enum err e = buf_add(out, span_of(code, sizeof code));
    if (e != ERR_OK || !enhanced || r->enhanced[0] == '\0')
        return e;
    e = buf_add(out, span_cstr(r->enhanced));
    return e == ERR_OK ? buf_addc(out, ' ') : e;
}

static enum err add_line(struct buf *out, const struct reply *r, bool enhanced, struct span line, bool last)
{
    size_t before = out->len;
    enum err e = add_code(out, r, enhanced, last);
    if (e == ERR_OK)
        e = add_printable(out, span_first(line, REPLY_LINE_MAX - (out->len - before)));
    if (e == ERR_OK)
        e = buf_add(out, SPAN("\r\n"));
    return e;
}

enum err reply_add(struct buf *out, enum reply_id id, bool enhanced, struct span arg)
{
    const struct reply *r = &replies[id];
    struct span text = span_cstr(r->text), head, tail;
    struct buf filled;
    size_t at, before = out->len;
    buf_init(&filled, 8192);
    enum err e = ERR_OK;
    if (span_find(text, '%', &at)) {
        e = buf_add(&filled, span_first(text, at));
        if (e == ERR_OK)
            e = buf_add(&filled, arg);
        if (e == ERR_OK)
            e = buf_add(&filled, span_from(text, at + 2));
        text = buf_span(&filled);
    }
    bool more = e == ERR_OK;
    while (more) {
        more = span_cut(text, '\n', &head, &tail);
        e = add_line(out, r, enhanced, head, !more);
        more = more && e == ERR_OK;
        text = tail;
    }
    if (e != ERR_OK && out->ptr != NULL) {
        out->len = before;
        buf_wrote(out, 0);
    }
    buf_done(&filled);
    return e;
}

enum err replies_docs(struct buf *out)
{
    enum err e = buf_add(out, SPAN("# SMTP replies\n\nGenerated from `node/replies.def`; every reply of the "
                                   "node is here, with what makes it send it.\n\n"
                                   "| reply | meaning | metric label |\n|---|---|---|\n"));
    for (size_t i = 0; i < REPLY__COUNT && e == ERR_OK; i++) {
        const struct reply *r = &replies[i];
        e = buf_addf(out, "| `%u %s%s%s` | %s | `%s` |\n", r->code, r->enhanced, r->enhanced[0] ? " " : "",
                     r->text, r->meaning, r->name);
    }
    return e;
}
