/* queue/redis_error.h — what an error reply of Redis, or of a script, asks for. */
#pragma once
#include "common/err.h"
#include "common/span.h"

enum redis_action {
    REDIS_FAIL,       /* the request is answered: tell its owner */
    REDIS_RETRY,      /* not executed; the server cannot now: wait, send again */
    REDIS_REDISCOVER, /* not executed; the wrong server: find the master, send again */
    REDIS_RELOAD,     /* not executed; scripts are gone: load them, send again */
    REDIS_FATAL,      /* not executed; nothing will work until an operator mends it */
};
struct redis_error {
    struct span word; /* first word of the reply; "" : the row for all others */
    enum redis_action action;
    enum err err;       /* what the owner gets when it is not sent again */
    const char *remedy; /* for people; "" : the text speaks for itself */
};
const struct redis_error *redis_error_find(struct span text); /* never NULL */
/* What helps against it. request: the commands that it answers, whose keys decide where somebody else's
 * values were found; they name a tag of ours first. */
const char *redis_error_remedy(const struct redis_error *error, struct span request);
