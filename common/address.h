/* common/address.h — mailboxes of RFC 5321 4.1.2 with SMTPUTF8 (RFC 6531). Pure; borrows its input. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

/* RFC 5321 4.5.3.1, RFC 1035 2.3.4; octets */
enum { ADDRESS_LOCAL_MAX = 64, ADDRESS_LABEL_MAX = 63, ADDRESS_DOMAIN_MAX = 255, ADDRESS_PATH_MAX = 320 };

struct address {
    struct span text;   /* "local@domain" as given, without brackets and source route; "" : null */
    struct span local;  /* as given, quotes included */
    struct span domain; /* as given; "[192.0.2.1]" for a literal; "" for <postmaster> and null */
    bool null, literal, utf8, quoted;
};
/* Parses "<...>" at the start of s; a source route is accepted and dropped (RFC 5321 appendix C).
 * rest: what follows ">". ERR_PARSE, ERR_TOOBIG. "<>" and "<postmaster>" (no domain) are returned as
 * such: whether they may stand here is the caller's decision. */
enum err address_parse_path(struct span s, bool allow_utf8, struct address *ret, struct span *rest,
                            struct errctx *ec) MUST_USE;
/* The same for a bare "local@domain" (configuration, CLI). */
enum err address_parse(struct span s, bool allow_utf8, struct address *ret, struct errctx *ec) MUST_USE;
bool domain_valid(struct span s, bool allow_utf8); /* host name rules, 1..255 octets, labels 1..63 */
/* Lower-cased, without trailing dot, U-labels as A-labels (common/idna.h): the form used in keys and
 * look-ups. Takes address literals too. On error out is unchanged. ERR_PARSE, ERR_TOOBIG, ERR_NOMEM. */
enum err domain_normalize(struct span s, struct buf *out) MUST_USE;
/* The local part without quotes and backslashes: "a\b" and ab are one mailbox (RFC 5321 4.1.2).
 * On error out is unchanged. ERR_PARSE, ERR_TOOBIG, ERR_NOMEM. */
enum err address_local_unquote(struct span local, struct buf *out) MUST_USE;
