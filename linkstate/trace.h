/* linkstate/trace.h — the routing groups that a message has left, and what each of them knew then.
 *
 * Tables of different groups differ for moments; each router alone then finds a good path, and together they
 * may send a message in a circle. The rule that ends it: a message enters a group that it has left before
 * only when link state has come further than it was at every group that it has left (the generation of a
 * table, linkstate/snapshot.h). Otherwise another path is taken, or the message waits for a newer table. So
 * each round needs a change of link state, and a message never circles among tables that stand still.
 *
 * One entry a group, the newest; at most TRACE_MAX: who has left more is in a loop whatever tables say.
 * Text, for envelopes and for MAIL (docs/protocol.md): "hq:17,branch:18". Spans borrow from it. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

enum { TRACE_MAX = 30, TRACE_TEXT_MAX = TRACE_MAX * (63 + 1 + 20 + 1) };
struct trace {
    size_t n;
    struct {
        struct span group;
        uint64_t generation; /* of the table that the message was sent on by */
    } items[TRACE_MAX];
};
/* "" is an empty one. ERR_PARSE: no such text, or a group twice; ERR_TOOBIG: more than TRACE_MAX groups. */
enum err trace_parse(struct span text, struct trace *ret) MUST_USE;
enum err trace_emit(const struct trace *t, struct buf *out) MUST_USE;
/* The message leaves `group`, last in the list from then on. ERR_TOOBIG. */
enum err trace_leave(struct trace *t, struct span group, uint64_t generation) MUST_USE;
/* Whether it may enter `group` when the table at hand has this generation. */
bool trace_admits(const struct trace *t, struct span group, uint64_t generation);
