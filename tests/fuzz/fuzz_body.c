/* links: queue */
/* Three ways, by the first octet: a chunk as it lies in the store is read or refused; so are lines of base64
 * as they are packed; and what is packed comes back octet by octet. All in memory of just the size, for the
 * sanitizer. */
#include "queue/base64.h"
#include "queue/body.h"

#include <stdlib.h>
#include <string.h>

enum { OCTETS_MAX = 65535 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *exactly(size_t n)
{
    char *p = malloc(n + (n == 0));
    if (p == NULL)
        abort();
    return p;
}

static void pack(struct span raw)
{
    size_t room = raw.len - raw.len / 10;
    char *out = exactly(room), *back = exactly(raw.len);
    size_t n = base64_pack(raw, out, room);
    if (n > room)
        abort();
    if (n > 0 && (!base64_unpack(span_of(out, n), back, raw.len) || memcmp(back, raw.ptr, raw.len) != 0))
        abort();
    free(back);
    free(out);
}

static void unpack(struct span packed, size_t size)
{
    char *out = exactly(size);
    (void)base64_unpack(packed, out, size);
    free(out);
}

static void read_chunk(struct span stored, size_t size)
{
    struct body_codec *codec = body_codec_new();
    struct buf out;
    buf_init(&out, OCTETS_MAX + 1);
    if (codec == NULL)
        abort();
    if (body_unpack(codec, 0, stored, size, &out) == ERR_OK && buf_span(&out).len != size)
        abort();
    buf_done(&out);
    body_codec_free(codec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t want = (size_t)data[1] << 8 | data[2];
    struct span rest = span_of((const char *)data + 3, size - 3);
    switch (data[0] % 3) {
    case 0:
        pack(rest);
        break;
    case 1:
        unpack(rest, want);
        break;
    default:
        read_chunk(rest, want);
        break;
    }
    return 0;
}
