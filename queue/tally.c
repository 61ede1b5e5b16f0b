#include "queue/tally.h"

#include <inttypes.h>
#include <stdio.h>

static void add_sums(struct tally *t, struct span sums)
{
    struct span messages, jobs;
    uint64_t m = 0, j = 0;
    (void)span_cut(sums, ' ', &messages, &jobs);
    if (!span_to_u64(messages, UINT32_MAX, &m) || !span_to_u64(jobs, UINT32_MAX, &j))
        t->state = TALLY_MOVED; /* a message has a number of jobs that is none */
    t->messages += m;
    t->jobs += j;
}

bool tally_read(struct tally *t, struct span text)
{
    if (span_has_prefix(text, SPAN("COUNT "))) {
        add_sums(t, span_from(text, 6));
    } else if (span_eq(text, SPAN("MOVED"))) {
        t->state = TALLY_MOVED;
    } else if (span_has_prefix(text, SPAN("ST "))) {
        (void)snprintf(t->says, sizeof t->says, SPAN_FMT, SPAN_ARG(span_from(text, 3)));
    } else if (span_has_prefix(text, SPAN("DIFFERS "))) {
        (void)snprintf(t->differs, sizeof t->differs, SPAN_FMT, SPAN_ARG(span_from(text, 8)));
        t->state = TALLY_DIFFERS;
    } else {
        return false;
    }
    return true;
}

void tally_question(const struct tally *t, char out[TALLY_QUESTION_MAX])
{
    (void)snprintf(out, TALLY_QUESTION_MAX, "%s %" PRIu64 " %" PRIu64 "%s%s", t->says, t->messages, t->jobs,
                   t->differs[0] == '\0' ? "" : " ", t->differs);
}
