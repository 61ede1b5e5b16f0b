/* common/io/dns_internal.h — the pure parts of the resolver: names, /etc/hosts, answers off the wire. */
#pragma once
#include "common/io/dns.h"

/* --- names (dns_names.c) --- */

/* Host name rules with underscores (RFC 1123 2.1; RFC 2181 11 as far as mail needs it): labels of 1 to
 * 63 letters, digits, "-", "_", 253 octets in all, no trailing dot. */
bool dns_name_valid(struct span name);
/* The form in which a name is asked for: ASCII (IDNA 2008 with UTS 46 mapping), lower case, no trailing
 * dot. ERR_PARSE, ERR_NOMEM. */
enum err dns_name_prepare(struct span name, char out[DNS_NAME_MAX], struct errctx *ec) MUST_USE;
/* "1.2.0.192.in-addr.arpa" (RFC 1035 3.5), "...ip6.arpa" (RFC 3596 2.5). */
void dns_name_reverse(const struct ip_addr *a, char out[DNS_NAME_MAX]);

/* --- hosts(5) (dns_hosts.c) --- */

struct dns_hosts;
enum { DNS_HOSTS_MAX = 8192, DNS_HOSTS_FILE_MAX = 1 << 20 };
/* Lines that are no addresses are skipped, like everybody does. NULL: out of memory. */
struct dns_hosts *dns_hosts_parse(struct span text);
struct dns_hosts *dns_hosts_read(const char *path); /* a file that cannot be read is an empty one */
void dns_hosts_free(struct dns_hosts *h);
/* Returns how many addresses of the prepared name were written, at most max; IPv6 first. */
size_t dns_hosts_find(const struct dns_hosts *h, const char *name, struct ip_addr *out, size_t max);

/* --- answers (dns_packet.c) --- */

enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_MX = 15,
    DNS_TYPE_AAAA = 28
};

/* What was learnt so far; several packets may add to it. */
struct dns_records {
    enum dns_type type;
    bool exists;
    size_t n;
    size_t unusable; /* records whose name is no host name: not counted in n */
    uint32_t ttl_s;  /* the least seen; UINT32_MAX: none */
    union {
        struct dns_mx mx[DNS_ANSWERS_MAX];
        struct ip_addr addrs[DNS_ANSWERS_MAX];
        char name[DNS_NAME_MAX];
    };
};
void dns_records_init(struct dns_records *r);
void dns_records_add_address(struct dns_records *r, const struct ip_addr *a);
/* Follows the CNAMEs from the question and adds the records of this type at their end. ERR_DNS: the
 * server failed (its code is in ec); ERR_PARSE: not an answer to this question, or malformed. */
enum err dns_packet_read(struct span packet, enum dns_type type, struct dns_records *r,
                         struct errctx *ec) MUST_USE;
