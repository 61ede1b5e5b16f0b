/* tests/scripts/message.h — what a script says of a message in the store, and escapes. */
#pragma once
#include "tests/scripts/harness.h"

/* \r \n \t \\ \" \xNN */
enum err script_unescape(struct span s, struct buf *out) MUST_USE;

/* want: "key=value ..." about message number `index`, the oldest first; values may be in quotes with
 * escapes; has-key=value and no-key=value look for a part of it. false: *why says what differs. Keys: from to
 * jobs body size notify orcpt envid visited ret kind utf8 hops subject message-id header-from priority client
 * helo server trace expire. */
bool script_message(const struct fake_store *db, size_t index, struct span want, struct buf *why);
