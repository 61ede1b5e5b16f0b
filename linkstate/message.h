/* linkstate/message.h — X-LINK2STATE messages between adjacent routers: parse and emit.
 *
 * Wire format: docs/protocol.md, "Messages". Independent of the carrier: a message is a string of
 * bytes. A message is a fixed head (magic, version, type, length) and parts {tag, length, value}; parts
 * with the MUST bit set in their tag refuse the message when unknown, others are skipped. Lengths must
 * equal what is there. Lifetimes: everything borrows from the bytes that were parsed; lists are walked
 * with the _next functions, so that parsing allocates nothing. */
#pragma once
#include "common/clock.h"
#include "common/wire.h"
#include "linkstate/lsa.h"

enum {
    LS_PROTOCOL_MIN = 1,
    LS_PROTOCOL_MAX = 1,
    LS_MESSAGE_MAX = 1048576,
    LS_BUCKETS = 256,
    LS_ADVERTS_MAX = 256, /* records of an ADVERTISE: each may cost its receiver two signatures */
};

/* clang-format off */
#define LS_MESSAGE_MAP(X) \
    X(HELLO,     "who I am, which versions I speak, the digest of my table") \
    X(DIGEST,    "the digest of my table: are we still equal?") \
    X(BUCKETS,   "digests of the 256 parts of my table: where do we differ?") \
    X(SUMMARY,   "group and version of every record in these parts") \
    X(REQUEST,   "send me these records, and newer ones than those") \
    X(ADVERTISE, "records: headers, with their bodies where needed") \
    X(ACK,       "I hold these versions or newer ones") \
    X(BYE,       "the adjacency ends, and why")
/* clang-format on */
enum ls_message_type {
    LS_MSG_NONE,
#define X(name, help) LS_MSG_##name,
    LS_MESSAGE_MAP(X)
#undef X
        LS_MSG__COUNT
};
const char *ls_message_name(enum ls_message_type t);

struct ls_sum { /* sum of record digests: order does not matter, one record is exchanged in O(1) */
    uint64_t hi, lo;
};

struct ls_message {
    enum ls_message_type type;
    uint8_t version;
    /* HELLO */
    uint8_t min_version, max_version;
    struct span organization, group, router;
    uint64_t instance;
    bool answer; /* this HELLO answers one: do not answer it */
    /* HELLO, DIGEST */
    struct ls_sum sum;
    uint32_t records;
    /* BUCKETS: LS_BUCKETS numbers of 8 bytes */
    struct span buckets;
    /* SUMMARY: which buckets (a bitmap of LS_BUCKETS / 8 bytes) and their entries */
    struct span bitmap;
    /* SUMMARY, REQUEST, ACK, ADVERTISE: walked with the functions below */
    struct span list;
    /* REQUEST: adverts without bodies; records of these groups are wanted beyond these versions */
    struct span beyond;
    /* BYE */
    uint8_t code;
    struct span text;
};
enum err ls_message_parse(struct span bytes, struct ls_message *ret,
                          struct errctx *ec) MUST_USE;                          /* ERR_PARSE, ERR_TOOBIG */
enum err ls_message_emit(const struct ls_message *m, struct buf *out) MUST_USE; /* ERR_TOOBIG */

/* Items of lists; false at the end. ls_message_parse() has checked that every item is whole. */
struct ls_item { /* SUMMARY, ACK: group and version; REQUEST: group alone */
    struct span group;
    struct ls_version version;
    /* SUMMARY: of the record's bytes, so that two records with one version are found; 0: dropped there, and
     * not taken back at or below the version */
    uint64_t check;
};
bool ls_item_next(struct rd *r, struct ls_item *ret);
struct ls_advert {      /* ADVERTISE */
    uint32_t age_s;     /* since the group signed it; every router adds what it kept it for */
    struct span header; /* linkstate/lsa.h */
    struct span body;   /* empty: only a refresh; the receiver has the body or asks */
};
bool ls_advert_next(struct rd *r, struct ls_advert *ret);
enum err ls_item_add(struct buf *list, const struct ls_item *item) MUST_USE;
enum err ls_advert_add(struct buf *list, const struct ls_advert *advert) MUST_USE;
