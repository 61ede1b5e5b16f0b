/* node/header.h — what the server reads of a message's header while the body streams past (RFC 5322).
 *
 * Counts Received fields (loop detection, RFC 5321 6.3) and the size of the header section, and keeps
 * cut-short copies of three fields for search and display. Pure; fed with pieces of any size. */
#pragma once
#include "common/mail.h"
#include "common/span.h"

enum {
    HEADER_EXCERPT_MAX = 200, /* octets kept of a field: enough to search and to show */
    HEADER_NAME_MAX = 16,     /* longest field name that means something here */
};
enum header_field { HEADER_FROM, HEADER_SUBJECT, HEADER_MESSAGE_ID, HEADER__KEPT };

struct header_excerpt {
    char text[HEADER_EXCERPT_MAX];
    uint8_t len;
    bool seen; /* only the first field of a name is kept */
};
struct header_scan {
    uint8_t state; /* private */
    uint8_t name_len, value_len;
    char name[HEADER_NAME_MAX];
    char value[HEADER_NAME_MAX]; /* of a priority field: one word */
    int8_t field;                /* index of the row that the current field is, or -1 */
    bool over;                   /* the empty line, or something that is no field, was met */
    bool gap;                    /* KEEP: a line was folded here; PRIORITY: its word is complete */
    enum priority priority;      /* Importance, X-Priority, Priority (RFC 2156) */
    uint32_t received;
    uint64_t size; /* octets so far, the empty line included */
    struct header_excerpt kept[HEADER__KEPT];
};
void header_init(struct header_scan *h);
void header_feed(struct header_scan *h, struct span body); /* cheap once `over` */
void header_finish(struct header_scan *h); /* the message is over, perhaps within its header */
struct span header_kept(const struct header_scan *h, enum header_field f);
