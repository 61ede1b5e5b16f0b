#include "common/config/durability.h"

enum err durability_parse(struct span s, struct durability *ret, struct errctx *ec)
{
    struct span word, number;
    uint64_t n = 0;
    bool colon = span_cut(s, ':', &word, &number);
    number = span_trim(number);
    if (!colon && span_eq(word, SPAN("fsync")))
        *ret = (struct durability){.kind = DURABILITY_FSYNC};
    else if ((!colon && span_eq(word, SPAN("all"))) ||
             (span_eq(word, SPAN("replicas")) && span_eq(number, SPAN("all"))))
        *ret = (struct durability){.kind = DURABILITY_ALL};
    else if (span_eq(word, SPAN("replicas")) && span_to_u64(number, 16, &n) && n > 0)
        *ret = (struct durability){.kind = DURABILITY_REPLICAS, .replicas = (unsigned)n};
    else
        return err_set(ec, ERR_PARSE,
                       "'" SPAN_FMT "' is not a durability; write fsync, replicas:N (1 to 16) or all",
                       SPAN_ARG(span_first(s, 40)));
    return ERR_OK;
}
