/* common/idna.h — the ASCII form of internationalised domain names: IDNA 2008 with the mapping of UTS 46
 * (RFC 5890, RFC 6531 3.2). Pure. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

/* Appends name with its U-labels as A-labels, in lower case; what is ASCII passes unchanged. Whether the
 * result is a host name is for the caller to check. ERR_PARSE: no domain name; ERR_TOOBIG, ERR_NOMEM. On
 * error out is unchanged. */
enum err idna_to_ascii(struct span name, struct buf *out, struct errctx *ec) MUST_USE;
