/* common/io/dns.h — asynchronous questions through libunbound, with its cache (RFC 5321 5.1, RFC 7505).
 *
 * Callbacks are called exactly once, from the loop, never before the asking function returns;
 * ERR_CANCELED from dns_free(). Answers are borrowed for the call. Domain names may be UTF-8 (IDNA 2008
 * applied) and end with a dot. Everything in an answer is checked: host names consist of letters,
 * digits, "-" and "_", in lower case, without trailing dot. /etc/hosts comes first for addresses. */
#pragma once
#include "common/clock.h"
#include "common/err.h"
#include "common/io/loop.h"
#include "common/ip.h"
#include "common/span.h"

struct dns;
enum { DNS_NAME_MAX = 254, DNS_ANSWERS_MAX = 64, DNS_QUESTIONS_MAX = 20000 };

struct dns_mx {
    uint16_t preference;
    char host[DNS_NAME_MAX]; /* "" : null MX, RFC 7505 */
};
/* ERR_OK with n == 0 and `exists` false: NXDOMAIN. exists true, n == 0: no record of this type.
 * ERR_DNS (also MX records without any usable host name), ERR_TIMEOUT, ERR_NOMEM: temporary.
 * ERR_PARSE: the name cannot be asked for. More than DNS_ANSWERS_MAX records are cut, the most
 * preferred are kept. */
struct dns_answer {
    enum err err;
    bool exists, secure; /* secure: DNSSEC validated */
    size_t n;
    const struct dns_mx *mx;     /* for dns_ask_mx(): sorted by preference */
    const struct ip_addr *addrs; /* for dns_ask_addresses(): IPv6, then IPv4, as found */
    const char *name;            /* for dns_ask_reverse(): one name, or NULL */
    ms_t ttl_ms;                 /* the answer is good for so long; 0: do not keep it */
    char why[128];               /* for people, when err is not ERR_OK */
};
typedef void dns_fn(void *arg, const struct dns_answer *answer);
struct dns_query; /* valid until its callback or dns_cancel() */

/* servers: "address@port" each; none: the system's. ERR_CONFIG says which is wrong; ERR_NOMEM. */
enum err dns_new(struct loop *l, char *const *servers, size_t n, ms_t timeout_ms, uint64_t cache_bytes,
                 struct dns **ret, struct errctx *ec) MUST_USE;
void dns_free(struct dns *d); /* also from a callback; NULL is a no-op */

/* ERR_NOMEM; ERR_AGAIN: DNS_QUESTIONS_MAX are open; ERR_STATE: during dns_free(). ret may be NULL. */
enum err dns_ask_mx(struct dns *d, struct span domain, dns_fn *done, void *arg,
                    struct dns_query **ret) MUST_USE;
enum err dns_ask_addresses(struct dns *d, struct span host, dns_fn *done, void *arg,
                           struct dns_query **ret) MUST_USE;
enum err dns_ask_reverse(struct dns *d, const struct ip_addr *a, dns_fn *done, void *arg,
                         struct dns_query **ret) MUST_USE;
void dns_cancel(struct dns_query *q); /* the callback will not be called; NULL is a no-op */
