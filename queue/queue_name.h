/* queue/queue_name.h — the name of a destination queue in keys: "<domain>", or "<domain>!<class>" with the
 * class in lower-case hexadecimal digits; cut at the last '!' (queue/lua/README.md). */
#pragma once
#include "common/attr.h"
#include "common/span.h"

enum { QUEUE_NAME_MAX = 320, QUEUE_NAME_BYTES = QUEUE_NAME_MAX + 10 };

/* domain is cut at QUEUE_NAME_MAX bytes, which no normalized domain has. Returns the length. */
size_t queue_name_write(struct span domain, uint32_t klass, char out[QUEUE_NAME_BYTES]);
/* Borrows from name. False: not such a name; then *ret_domain is all of it. */
bool queue_name_read(struct span name, struct span *ret_domain, uint32_t *ret_klass);
