/* worker/deliver.h — the words of local_domains[].deliver, and the path of a mailbox. Pure.
 *
 *   maildir:./var/mail/%d/%u      %d the domain, %u the local part of the address
 *   lmtp://127.0.0.1:24           lmtp:unix:/run/dovecot/lmtp
 *
 * A mailbox name comes from whoever sent RCPT: it can name one directory below the template's and
 * nothing else. Each of %d and %u becomes exactly one path component part: lower-cased, every byte but
 * [a-z0-9._+=-] as %XX, a leading dot as %2E; hence no slash, no "..", no hidden name, no NUL. Two
 * addresses share a path only when they differ in ASCII case or in quoting alone. */
#pragma once
#include "common/buf.h"

enum { DELIVER_PATH_MAX = 3072, DELIVER_COMPONENT_MAX = 255 /* NAME_MAX */ };

enum deliver_kind { DELIVER_MAILDIR, DELIVER_LMTP, DELIVER_LMTP_UNIX };
struct deliver {
    enum deliver_kind kind;
    struct span where; /* template, host:port or path: borrows from the text */
};
/* ERR_PARSE with what would be right. */
enum err deliver_parse(struct span text, struct deliver *ret, struct errctx *ec) MUST_USE;
/* Appends the path for "local@domain"; a relative template is below base_dir. ERR_PARSE: the address cannot
 * be a mailbox (no domain, empty local part); ERR_TOOBIG: a component would be longer than a file name. */
enum err deliver_path(struct span template, struct span base_dir, struct span address,
                      struct buf *out) MUST_USE;
