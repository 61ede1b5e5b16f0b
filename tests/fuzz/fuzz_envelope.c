/* links: queue */
/* What is decoded encodes again, and the second encoding is a fixed point. */
#include "queue/envelope.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope env, back;
    if (envelope_decode(span_of((const char *)data, size), &env) != ERR_OK)
        return 0;
    struct buf once, twice;
    buf_init(&once, ENVELOPE_MAX);
    buf_init(&twice, ENVELOPE_MAX);
    if (envelope_encode(&env, &once) != ERR_OK || envelope_decode(buf_span(&once), &back) != ERR_OK ||
        envelope_encode(&back, &twice) != ERR_OK || !span_eq(buf_span(&once), buf_span(&twice)))
        abort();
    buf_done(&once);
    buf_done(&twice);
    return 0;
}
