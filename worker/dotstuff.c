/* worker/dotstuff.c — runs of the body go out as they are; only where a byte is added or replaced they
 * are cut. */
#include "worker/dotstuff.h"

void dotstuff_init(struct dotstuff *d)
{
    *d = (struct dotstuff){0};
}

/* Length of the longest run from the start of a line, or from its middle, that needs no change; what
 * comes after it is said in d. *ret_skip: bytes after the run that d stands for. */
static size_t plain_run(struct dotstuff *d, struct span s, size_t *ret_skip)
{
    size_t at = 0;
    *ret_skip = 0;
    while (at < s.len) {
        const char *from = s.ptr + at;
        const char *lf = memchr(from, '\n', s.len - at);
        const char *end = lf != NULL ? lf : s.ptr + s.len;
        const char *cr = memchr(from, '\r', (size_t)(end - from));
        if (cr != NULL && cr + 1 == end && lf != NULL) {
            at = (size_t)(lf - s.ptr) + 1;
            d->line_begun = false;
            if (at < s.len && s.ptr[at] == '.')
                return at;
        } else if (cr != NULL) { /* bare, or the last byte of the piece */
            *ret_skip = 1;
            d->cr = true;
            return (size_t)(cr - s.ptr);
        } else if (lf != NULL) { /* bare: left in place for the CRLF that replaces it */
            d->cr = true;
            return (size_t)(lf - s.ptr);
        } else {
            d->line_begun = true;
            return s.len;
        }
    }
    return at;
}

bool dotstuff_next(struct dotstuff *d, struct span *piece, struct span *ret)
{
    while (piece->len > 0) {
        if (d->cr) {
            *piece = span_from(*piece, piece->ptr[0] == '\n' ? 1 : 0);
            d->cr = d->line_begun = false;
            *ret = SPAN("\r\n");
            return true;
        }
        if (!d->line_begun && piece->ptr[0] == '.') {
            d->line_begun = true;
            *ret = SPAN(".");
            return true;
        }
        size_t skip, run = plain_run(d, *piece, &skip);
        *ret = span_first(*piece, run);
        *piece = span_from(*piece, run + skip);
        if (run > 0)
            return true;
    }
    return false;
}

struct span dotstuff_end(const struct dotstuff *d)
{
    return d->cr || d->line_begun ? SPAN("\r\n.\r\n") : SPAN(".\r\n");
}
