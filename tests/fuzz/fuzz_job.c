/* links: queue */
/* What is decoded encodes again, and the second encoding is a fixed point. */
#include "queue/envelope.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job job, back;
    if (job_decode(span_of((const char *)data, size), &job) != ERR_OK)
        return 0;
    struct buf once, twice;
    buf_init(&once, JOB_MAX);
    buf_init(&twice, JOB_MAX);
    if (job_encode(&job, &once) != ERR_OK || job_decode(buf_span(&once), &back) != ERR_OK ||
        job_encode(&back, &twice) != ERR_OK || !span_eq(buf_span(&once), buf_span(&twice)))
        abort();
    job_done(&job);
    job_done(&back);
    buf_done(&once);
    buf_done(&twice);
    return 0;
}
