/* node/caller.h — one SMTP connection: moves bytes between its socket, its session and the store.
 *
 * Belongs to its shard from caller_start() until it frees itself when the connection is over. */
#pragma once
#include "node/shard.h"

/* Takes the visitor and its socket, also when it fails. early: it spoke before the greeting. ERR_NOMEM. */
enum err caller_start(struct shard *s, struct visitor *v, bool early) MUST_USE;
void caller_drain(struct caller *c); /* may free c */
void caller_free(struct caller *c);  /* at once, whatever is under way */
struct caller *caller_next(const struct caller *c);
