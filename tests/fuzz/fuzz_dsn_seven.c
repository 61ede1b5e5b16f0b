/* links: queue */
/* A report as it came from anybody, made one of 7 bits: cut anywhere it becomes the same or is refused the
 * same, no octet is above 7 bits, and it grows no more than the header says. */
#include "queue/dsn_seven.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_MAX = 1 << 20, OWN_FIELDS = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err convert(struct span report, const uint8_t *cuts, size_t ncuts, struct buf *out)
{
    struct dsn_seven s;
    enum err e = ERR_OK;
    dsn_seven_init(&s);
    for (size_t i = 0; report.len > 0 && e == ERR_OK; i++) {
        size_t n = ncuts == 0 ? report.len : 1u + cuts[i % ncuts];
        struct span piece = span_first(report, n < report.len ? n : report.len);
        char *copy = malloc(piece.len); /* of just the size, for the sanitizer */
        if (copy == NULL)
            abort();
        memcpy(copy, piece.ptr, piece.len);
        e = dsn_seven_feed(&s, span_of(copy, piece.len), out);
        free(copy);
        report = span_from(report, piece.len);
    }
    if (e == ERR_OK)
        e = dsn_seven_end(&s, out);
    dsn_seven_done(&s);
    return e;
}

static void check(struct span out, size_t size)
{
    size_t lines = 1;
    for (size_t i = 0; i < out.len; i++) {
        if ((unsigned char)out.ptr[i] > 0x7f)
            abort();
        lines += out.ptr[i] == '\n';
    }
    if (out.len > size * DSN_SEVEN_GROWTH + lines * OWN_FIELDS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { CUTS = 4 };
    struct buf whole, pieces;
    if (size < CUTS || size > 65536)
        return 0;
    struct span report = span_of((const char *)data + CUTS, size - CUTS);
    buf_init(&whole, OUT_MAX);
    buf_init(&pieces, OUT_MAX);
    enum err e = convert(report, NULL, 0, &whole);
    if (convert(report, data, CUTS, &pieces) != e)
        abort();
    if (e == ERR_OK && !span_eq(buf_span(&whole), buf_span(&pieces)))
        abort();
    check(buf_span(&whole), size);
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
