/* queue/member.h — what a node, a worker or a router says of itself in the list of members: words "key=value"
 * with blanks between. Who reads it skips words that it does not know. */
#pragma once
#include "common/buf.h"
#include "common/clock.h"

struct member_facts {
    struct span role; /* "node", "worker", "router" */
    struct span host, version;
    uint64_t pid, since_ms; /* start, wall clock */
    uint64_t total;         /* messages accepted, recipients delivered, or heard of neighbours, since then */
    uint64_t per_minute;    /* of these, lately */
    uint64_t open;          /* sessions, connections, or neighbours in step */
};
enum { MEMBER_TEXT_MAX = 1024, MEMBER_NAME_MAX = 63 };
/* What is no letter, digit or one of "._:-" becomes "_"; long words are cut. */
enum err member_write(const struct member_facts *f, struct buf *out) MUST_USE;
/* The name of a member of the group: as given, or the machine's; letters that a name may not have become
 * hyphens. */
void member_name(const char *given, char out[MEMBER_NAME_MAX + 1]);
void member_read(struct span text, struct member_facts *ret); /* borrows from text */
