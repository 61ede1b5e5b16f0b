/* node/params.h — ESMTP parameters of MAIL and RCPT, table-driven. Pure; spans borrow from the line. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "queue/envelope.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500 }; /* RFC 3461 4.4, 4.2 */

struct mail_params {
    bool has_size;
    uint64_t size; /* announced octets, RFC 1870 */
    enum body_kind body;
    enum dsn_ret ret;
    bool smtputf8;
    struct span envid;   /* xtext as given */
    struct span visited; /* routing groups that the message has left (linkstate/trace.h) */
};
struct rcpt_params {
    uint8_t notify;    /* NOTIFY_*; 0: not given */
    struct span orcpt; /* "rfc822;xtext" as given */
};
/* s: what follows the path, blanks around allowed. offered: set of EXT_. ret_name: the keyword at
 * fault. ERR_NOTFOUND: a parameter of no offered extension (555). ERR_PARSE: bad value, or twice (501). */
enum err params_mail(struct span s, unsigned offered, struct mail_params *ret,
                     struct span *ret_name) MUST_USE;
enum err params_rcpt(struct span s, unsigned offered, bool smtputf8, struct rcpt_params *ret,
                     struct span *ret_name) MUST_USE;
enum err params_docs(struct buf *out) MUST_USE; /* a table for docs/smtp-verbs.md */
