/* queue/redis_slot.h — hash slots, and the tags that spread partitions evenly over them
 * (queue/lua/README.md). */
#pragma once
#include "common/span.h"

enum { REDIS_SLOTS = 16384, REDIS_TAG_MAX = 64, NAMESPACE_MAX = 32 };

/* Slot of a key: CRC-16/XMODEM of what stands between the first { and the next }, if anything does. */
unsigned redis_slot(struct span key);
/* "{ns.pNN.s}" of partition n of `partitions`. */
void redis_tag(const char *ns, unsigned n, unsigned partitions, char out[REDIS_TAG_MAX]);
bool redis_tag_valid(struct span tag); /* "{...}", as it may stand in front of a key */
