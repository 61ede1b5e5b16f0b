/* queue/msgid.h — the name of a message: sortable by time, made without a round trip.
 *
 * 42 bits of milliseconds since 1970, 14 bits of front, 24 bits of counter, in Crockford's base 32:
 * 16 characters. People see "07-01JD0M3V8ZQK4T2A": the partition, then the id. Ids of one source never
 * repeat; two sources with different fronts never make the same id, whatever their clocks say. */
#pragma once
#include "common/clock.h"
#include "common/err.h"
#include "common/span.h"

enum { MSGID_LEN = 16, MSGID_TEXT_MAX = 24, MSGID_FRONT_BITS = 14, PARTITIONS_MAX = 4096 };

struct msgid {
    char id[MSGID_LEN + 1];
    uint16_t partition;
};
struct msgid_source { /* one per loop */
    uint16_t front;   /* random until the store has handed out a unique one */
    uint32_t counter;
    ms_t last_ms;
};
void msgid_source_init(struct msgid_source *s, uint64_t seed);
void msgid_next(struct msgid_source *s, ms_t wall_ms, struct msgid *ret); /* partition is left 0 */
void msgid_text(const struct msgid *m, char out[MSGID_TEXT_MAX]);
/* "NN-<16>" as people type it: any case, and I, L, O for the digits they look like. ERR_PARSE. */
enum err msgid_parse(struct span s, struct msgid *ret) MUST_USE;
bool msgid_valid(struct span id);          /* exactly the 16 characters msgid_next() makes */
ms_t msgid_time_ms(const struct msgid *m); /* when it was made, by the wall clock of its front */
