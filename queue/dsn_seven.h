/* queue/dsn_seven.h — makes a report that can go to a server without 8BITMIME or SMTPUTF8. Pure, streaming.
 *
 * A report returns the message that it is about, whose octets may be of 8 bits; message/rfc822 cannot be
 * encoded (RFC 2046 5.2.1). When the next server takes 7 bits only, the sender learns of the failure all the
 * same, from a report that is smaller (RFC 3461 6.2 leaves what is returned to us; RFC 6533 4 for SMTPUTF8):
 *
 * - the returned message: its headers alone, as text/rfc822-headers or message/global-headers,
 * quoted-printable;
 * - other parts of 8 bits: quoted-printable;
 * - the head of the whole: as it is, without its Content-Transfer-Encoding; what is above 0x7f becomes \xNN.
 *
 * Takes any multipart/report, also one that another server made and this one passes on. What comes out has no
 * octet above 0x7f, so this never happens twice. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

enum {
    DSN_SEVEN_LINE_MAX = 1000,  /* longer lines are taken in pieces, and are no header or boundary */
    DSN_SEVEN_HEAD_MAX = 16384, /* of one part; and of the field that says what the whole is */
    DSN_SEVEN_GROWTH = 4,       /* what is written for one octet, at most; and a head's own fields */
};

enum dsn_seven_state {
    DSN_SEVEN_TOP,      /* the head of the whole */
    DSN_SEVEN_PLAIN,    /* copied: what is no part, and parts of 7 bits */
    DSN_SEVEN_HEAD,     /* of a part: kept until its end, which says what it is */
    DSN_SEVEN_ENCODED,  /* a part that becomes quoted-printable */
    DSN_SEVEN_RETURNED, /* the headers of the returned message */
    DSN_SEVEN_SKIPPED,  /* its body */
    DSN_SEVEN_ENDED,    /* behind the last boundary */
};
struct dsn_seven { /* caller-owned */
    enum dsn_seven_state state;
    char line[DSN_SEVEN_LINE_MAX];
    size_t line_len;
    bool inside;     /* line goes on what was taken before */
    bool taken, cut; /* TOP: the field that is being read is the one kept in head; or is left out */
    size_t column;   /* of quoted-printable */
    struct buf head; /* TOP: Content-Type */
    char boundary[72];
};
void dsn_seven_init(struct dsn_seven *s);
void dsn_seven_done(struct dsn_seven *s);
/* Appends what the next piece becomes. ERR_PARSE: no multipart/report, or one that cannot be changed so;
 * ERR_NOMEM, ERR_TOOBIG of out. */
enum err dsn_seven_feed(struct dsn_seven *s, struct span piece, struct buf *out) MUST_USE;
/* ERR_PARSE: it was cut off. */
enum err dsn_seven_end(struct dsn_seven *s, struct buf *out) MUST_USE;
