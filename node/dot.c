#include "node/dot.h"

#include <string.h>

/*                     "."                CR
 *   BOL ------------------------> DOT ----------> DOT_CR -- LF --> end
 *    ^  \                          | other            | other: the dot is dropped, the CR is bare
 *    |   other                     v (dot dropped)    v
 *    |     `---------> TEXT <------+------------------+
 *    |                  | CR                     LF anywhere else: bare
 *    +------ LF ------- CR -- other: bare --> TEXT
 *
 * A CR is passed on together with its LF. Both being in the input is the common case and costs two
 * memchr() a line; only a CR at the very end of an input is held, and put out as an inserted CR LF. */

static const struct span crlf = SPAN_INIT("\r\n");

void dot_init(struct dot *d, bool stuffed, bool strict)
{
    *d = (struct dot){.state = DOT_BOL, .strict = strict, .stuffed = stuffed};
}

/* A bare CR or LF: CR LF in its place. Not a beginning of line: a dot that follows is text. */
static struct dot_piece bare(struct dot *d, size_t consumed)
{
    d->state = DOT_TEXT;
    return (struct dot_piece){
        .consumed = consumed, .body = d->strict ? SPAN("") : crlf, .inserted = !d->strict, .bare = true};
}

/* The states that hold bytes already taken; in is not empty. */
static struct dot_piece next_held(struct dot *d, struct span in)
{
    char c = in.ptr[0];
    if (d->state == DOT_CR) {
        if (c != '\n')
            return bare(d, 0);
        d->state = DOT_BOL;
        return (struct dot_piece){.consumed = 1, .body = crlf, .inserted = true};
    }
    if (d->state == DOT_DOT_CR) {
        if (c != '\n')
            return bare(d, 0);
        return (struct dot_piece){.consumed = 1, .body = SPAN(""), .end = true};
    }
    /* DOT_DOT */
    if (c == '\r') {
        d->state = DOT_DOT_CR;
        return (struct dot_piece){.consumed = 1, .body = SPAN("")};
    }
    if (c == '\n')
        return bare(d, 1);
    d->state = DOT_TEXT; /* 4.5.2: the first dot is removed; a second one is text */
    return (struct dot_piece){.consumed = 0, .body = SPAN("")};
}

/* Whole lines from `at` on that can be passed on as they are; sets the state behind them. */
static size_t scan_text(struct dot *d, struct span in)
{
    const char *p = in.ptr, *end = in.ptr + in.len;
    while (p < end) {
        if (d->state == DOT_BOL && d->stuffed && *p == '.')
            break;
        size_t left = (size_t)(end - p);
        const char *cr = memchr(p, '\r', left);
        const char *lf = memchr(p, '\n', cr == NULL ? left : (size_t)(cr - p));
        const char *stop = lf != NULL ? lf : cr != NULL ? cr : end;
        if (stop > p)
            d->state = DOT_TEXT;
        p = stop;
        if (lf != NULL || cr == NULL || cr + 1 == end || cr[1] != '\n')
            break;
        p = cr + 2;
        d->state = DOT_BOL;
    }
    return (size_t)(p - in.ptr);
}

struct dot_piece dot_next(struct dot *d, struct span in)
{
    struct dot_piece none = {.body = SPAN("")};
    while (in.len > 0) {
        if (d->state > DOT_TEXT) {
            struct dot_piece piece = next_held(d, in);
            piece.consumed += none.consumed;
            if (piece.body.len > 0 || piece.end || piece.bare || d->state > DOT_TEXT)
                return piece;
            continue; /* the dot of transparency is gone, the line follows */
        }
        size_t n = scan_text(d, in);
        if (n > 0)
            return (struct dot_piece){.consumed = none.consumed + n, .body = span_first(in, n)};
        /* something at the first byte: a dot, a CR or a LF that is not part of a plain line */
        char c = in.ptr[0];
        if (c == '\n')
            return bare(d, none.consumed + 1);
        if (c == '\r' && in.len > 1)
            return bare(d, none.consumed + 1); /* scan_text() takes a CR with its LF */
        d->state = c == '\r' ? DOT_CR : DOT_DOT;
        none.consumed++;
        in = span_from(in, 1);
    }
    return none;
}

struct dot_piece dot_finish(struct dot *d)
{
    if (d->state == DOT_CR || d->state == DOT_DOT_CR)
        return bare(d, 0);
    return (struct dot_piece){.body = SPAN("")};
}
