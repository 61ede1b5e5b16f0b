/* common/config/durability.h — redis.durability taken apart: what 250 promises. Pure.
 *
 *   fsync        on the disk of the server that holds it
 *   replicas:N   there, and acknowledged by N replicas
 *   all          by every replica that was there at the start */
#pragma once
#include "common/err.h"
#include "common/span.h"

enum durability_kind { DURABILITY_FSYNC, DURABILITY_REPLICAS, DURABILITY_ALL };
struct durability {
    enum durability_kind kind;
    unsigned replicas; /* DURABILITY_REPLICAS: 1..16 */
};
/* "replicas: 1" with a blank and "replicas:all" are understood too. ERR_PARSE. */
enum err durability_parse(struct span s, struct durability *ret, struct errctx *ec) MUST_USE;
