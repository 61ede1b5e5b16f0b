/* common/io/dns.h — asynchronous questions through libunbound, with its cache (RFC 5321 5.1, RFC 7505).
 *
 * Callbacks are called exactly once, never before the asking function returns; ERR_CANCELED on
 * dns_free(). Answers are borrowed for the call. Domain names may be UTF-8 (IDNA 2008 applied). */
#pragma once
#include "common/clock.h"
#include "common/err.h"
#include "common/io/loop.h"
#include "common/ip.h"

struct dns;
enum { DNS_NAME_MAX = 254, DNS_ANSWERS_MAX = 64 };

/* ERR_OK with n == 0 and `exists` false: NXDOMAIN. exists true, n == 0: no record of this type.
 * ERR_DNS, ERR_TIMEOUT: temporary. ERR_PARSE: the name cannot be asked for. */
struct dns_mx {
    uint16_t preference;
    char host[DNS_NAME_MAX]; /* "" : null MX, RFC 7505 */
};
struct dns_answer {
    enum err err;
    bool exists, secure; /* secure: DNSSEC validated */
    size_t n;
    const struct dns_mx *mx;     /* for dns_mx(): sorted by preference */
    const struct ip_addr *addrs; /* for dns_addresses(): IPv6 and IPv4 as found */
    const char *name;            /* for dns_reverse(): one name, or NULL */
    ms_t ttl_ms;
    char why[128];
};
typedef void dns_fn(void *arg, const struct dns_answer *answer);
struct dns_query; /* valid until its callback */

/* servers: "address@port" each; none: the system's. */
enum err dns_new(struct loop *l, char *const *servers, size_t n, ms_t timeout_ms, uint64_t cache_bytes,
                 struct dns **ret, struct errctx *ec) MUST_USE;
void dns_free(struct dns *d);
enum err dns_ask_mx(struct dns *d, struct span domain, dns_fn *done, void *arg,
                    struct dns_query **ret) MUST_USE;
enum err dns_ask_addresses(struct dns *d, struct span host, dns_fn *done, void *arg,
                           struct dns_query **ret) MUST_USE;
enum err dns_ask_reverse(struct dns *d, const struct ip_addr *a, dns_fn *done, void *arg,
                         struct dns_query **ret) MUST_USE;
void dns_cancel(struct dns_query *q); /* the callback will not be called */
