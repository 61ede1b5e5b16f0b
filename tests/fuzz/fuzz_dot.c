/* links: node */
/* The scanner against a reading of RFC 5321 that looks at one octet at a time, for both modes and any cut. */
#include "node/dot.h"

#include "common/buf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    struct buf body;
    size_t consumed;
    bool end, bare;
};

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void put(struct result *r, struct span s)
{
    require(buf_add(&r->body, s) == ERR_OK);
}

/* The whole input is known: no state but "the line began behind a genuine CR LF". */
static void reference(struct span in, bool strict, struct result *r)
{
    bool bol = true;
    size_t i = 0;
    while (i < in.len) {
        struct span rest = span_from(in, i);
        if (bol && span_has_prefix(rest, SPAN(".\r\n"))) {
            r->end = true;
            r->consumed = i + 3;
            return;
        }
        if (bol && rest.ptr[0] == '.') {
            i++;
            bol = false;
        } else if (span_has_prefix(rest, SPAN("\r\n"))) {
            put(r, SPAN("\r\n"));
            i += 2;
            bol = true;
        } else {
            bool bare = rest.ptr[0] == '\r' || rest.ptr[0] == '\n';
            r->bare = r->bare || bare;
            put(r, !bare ? span_first(rest, 1) : strict ? SPAN("") : SPAN("\r\n"));
            i++;
            bol = false;
        }
    }
    r->consumed = in.len;
}

static void scan(struct span in, size_t piece, bool strict, struct result *r)
{
    struct dot d;
    dot_init(&d, true, strict);
    while (in.len > 0 && !r->end) {
        struct span now = span_first(in, piece);
        while (now.len > 0 && !r->end) {
            struct dot_piece p = dot_next(&d, now);
            put(r, p.body);
            r->bare = r->bare || p.bare;
            r->end = p.end;
            r->consumed += p.consumed;
            now = span_from(now, p.consumed);
            in = span_from(in, p.consumed);
        }
    }
    if (r->end)
        return;
    struct dot_piece p = dot_finish(&d);
    put(r, p.body);
    r->bare = r->bare || p.bare;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct span in = span_of((const char *)data + 1, size - 1);
    for (int strict = 0; strict < 2; strict++) {
        struct result want = {.end = false}, got = {.end = false};
        buf_init(&want.body, 4 * size + 16);
        buf_init(&got.body, 4 * size + 16);
        reference(in, strict == 1, &want);
        scan(in, data[0] % 32 + 1u, strict == 1, &got);
        require(got.end == want.end && got.bare == want.bare && got.consumed == want.consumed);
        require(span_eq(buf_span(&got.body), buf_span(&want.body)));
        buf_done(&want.body);
        buf_done(&got.body);
    }
    return 0;
}
