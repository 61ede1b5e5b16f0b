/* worker/dotstuff.h — transparency of DATA, streaming (RFC 5321 4.5.2), without copying the body.
 *
 * Pieces may be cut anywhere. A bare CR or LF, which cannot be sent after DATA (RFC 5321 2.3.8) and is the
 * raw material of smuggling, becomes CRLF; everything else arrives as it was. */
#pragma once
#include "common/span.h"

struct dotstuff {
    bool line_begun; /* the next byte is not the first of its line */
    bool cr;         /* an end of line is owed: CR was taken, what follows decides */
};
void dotstuff_init(struct dotstuff *d);
/* Takes from the front of *piece what can be sent next: *ret, part of piece or constant. False: the
 * piece is used up. */
bool dotstuff_next(struct dotstuff *d, struct span *piece, struct span *ret);
/* What ends the body: the missing end of line, if any, and the final dot. */
struct span dotstuff_end(const struct dotstuff *d);
