/* links: linkstate config */
/* A record that parses is canonical: emitting it gives the same bytes. Headers likewise keep their parts. */
#include "linkstate/lsa.h"
#include "linkstate/record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of((const char *)data, size);
    struct record r;
    struct errctx ec;
    struct lsa lsa;
    if (record_parse(in, &r, &ec) == ERR_OK) {
        struct buf out;
        buf_init(&out, RECORD_MAX);
        if (record_emit(&r, &out) != ERR_OK || !span_eq(buf_span(&out), in))
            abort();
        buf_done(&out);
        record_done(&r);
    }
    if (lsa_parse(in, &lsa) == ERR_OK && (lsa.group.len == 0 || lsa.cert.bytes.len > CERT_MAX ||
                                          lsa.body_len > RECORD_MAX || !span_eq(lsa.header, in)))
        abort();
    return 0;
}
