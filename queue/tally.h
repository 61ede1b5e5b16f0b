/* queue/tally.h — one partition's counters against what is counted in it (I9 of queue/lua/README.md): what
 * the script `check` said of them, and the question that it judges. No I/O. */
#pragma once
#include "common/span.h"

enum { TALLY_SAYS_MAX = 96, TALLY_QUESTION_MAX = 3 * TALLY_SAYS_MAX };
enum tally_state { TALLY_OPEN, TALLY_DIFFERS, TALLY_JUDGED, TALLY_MOVED };
struct tally { /* zeroed at first */
    enum tally_state state;
    char says[TALLY_SAYS_MAX], differs[TALLY_SAYS_MAX]; /* the script's words, given back to it */
    uint64_t messages, jobs;                            /* counted so far */
};
bool tally_read(struct tally *t, struct span text); /* a line of an answer; false: it is for somebody else */
void tally_question(const struct tally *t, char out[TALLY_QUESTION_MAX]);
