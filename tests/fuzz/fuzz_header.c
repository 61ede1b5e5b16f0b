/* links: node */
/* Facts about a header do not depend on how it was cut, agree with a reading that sees all of it, and hold
 * no line end.
 *
 * Input: a byte for the size of the pieces, then the message. */
#include "node/header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void scan(struct header_scan *h, struct span in, size_t piece)
{
    header_init(h);
    for (size_t at = 0; at < in.len; at += piece)
        header_feed(h, span_first(span_from(in, at), piece));
    header_finish(h);
}

/* The length of "Name" and of "Name :" at the head of a line, or false. */
static bool field_name(struct span line, char name[HEADER_NAME_MAX + 1], size_t *ret_len)
{
    size_t i = 0;
    bool ended = false;
    *ret_len = 0;
    for (; i < line.len && line.ptr[i] != ':'; i++) {
        unsigned char c = (unsigned char)line.ptr[i];
        bool blank = i > 0 && (c == ' ' || c == '\t');
        if (!blank && (c <= ' ' || c >= 0x7f || ended))
            return false;
        ended = blank;
        if (!blank && *ret_len <= HEADER_NAME_MAX)
            name[(*ret_len)++] = (char)c;
    }
    return i > 0 && i < line.len;
}

/* The whole input is known: no state but the line. */
static uint32_t count_received(struct span in)
{
    uint32_t n = 0;
    char name[HEADER_NAME_MAX + 1];
    struct span line;
    while (in.len > 0) {
        size_t len;
        (void)span_cut(in, '\n', &line, &in);
        bool folded = line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
        if (!folded && !field_name(line, name, &len))
            break;
        n += !folded && span_ieq(span_of(name, len), SPAN("Received"));
    }
    return n;
}

static void check_kept(struct span kept)
{
    require(kept.len <= HEADER_EXCERPT_MAX);
    for (size_t i = 0; i < kept.len; i++)
        require(kept.ptr[i] != '\r' && kept.ptr[i] != '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct span in = span_of((const char *)data + 1, size - 1);
    struct header_scan whole, cut;
    scan(&whole, in, in.len + 1);
    scan(&cut, in, data[0] % 32 + 1u);
    require(whole.size <= in.len && whole.size == cut.size);
    require(whole.received == cut.received && whole.received == count_received(in));
    require(whole.priority == cut.priority);
    for (int f = 0; f < HEADER__KEPT; f++) {
        struct span kept = header_kept(&whole, (enum header_field)f);
        require(span_eq(kept, header_kept(&cut, (enum header_field)f)));
        check_kept(kept);
    }
    return 0;
}
