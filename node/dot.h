/* node/dot.h — end of data, transparency and line endings of a body (RFC 5321 2.3.8, 4.5.2). Pure.
 *
 * Only CR LF "." CR LF ends data, in every mode: a bare CR or LF neither ends a line nor begins one,
 * so no sequence that another server might take for the end of data is one here. In strict mode a
 * bare CR or LF makes the body bad; otherwise it becomes CR LF, as text: a dot behind it stays.
 *
 * The scanner cuts its input into pieces that can be passed on as they are. It may be fed in pieces of
 * any size with the same result; it keeps two bits of memory, no bytes. */
#pragma once
#include "common/span.h"

enum dot_state {
    DOT_BOL,    /* at the beginning of the body, or behind a genuine CR LF */
    DOT_TEXT,   /* inside a line */
    DOT_CR,     /* behind a CR that was taken and not yet passed on */
    DOT_DOT,    /* behind a dot at DOT_BOL, taken: transparency, or the end */
    DOT_DOT_CR, /* behind such a dot and CR, both taken and not passed on */
};
struct dot {
    uint8_t state; /* enum dot_state */
    bool strict;   /* a bare CR or LF is bad */
    bool stuffed;  /* DATA: dots have a meaning; BDAT text: they have none (RFC 3030 3) */
};
struct dot_piece {
    size_t consumed;  /* of the input; `body` ends there when it is part of the input */
    struct span body; /* part of the input, or a CR LF that is not: see inserted */
    bool inserted;    /* body is a CR LF of its own */
    bool end;         /* the terminator was consumed: nothing behind it belongs to the body */
    bool bare;        /* a bare CR or LF was met; in strict mode no body comes from here on */
};
void dot_init(struct dot *d, bool stuffed, bool strict);

/* The next piece; call again with the rest until everything is consumed or `end`: every call makes
 * progress. */
struct dot_piece dot_next(struct dot *d, struct span in);

/* The end of a BDAT text: what is held comes out. */
struct dot_piece dot_finish(struct dot *d);
