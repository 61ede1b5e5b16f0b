/* common/ip.h — IPv4 and IPv6 addresses and networks as values. IPv4-mapped IPv6 becomes IPv4. */
#pragma once
#include "common/err.h"
#include "common/span.h"

struct sockaddr;

struct ip_addr {
    uint8_t bytes[16]; /* IPv4 in the first four */
    bool v6;
};
struct ip_net {
    struct ip_addr base; /* host bits are zero */
    uint8_t bits;
};
struct ip_endpoint {
    struct ip_addr addr;
    uint16_t port;
};

enum { IP_TEXT_MAX = 48, ENDPOINT_TEXT_MAX = 56 };

enum err ip_parse(struct span s, struct ip_addr *ret) MUST_USE; /* "192.0.2.1", "2001:db8::1"; ERR_PARSE */
enum err ip_net_parse(struct span s,
                      struct ip_net *ret) MUST_USE; /* "10.0.0.0/8", "::1"; ERR_PARSE also for host bits */
enum err ip_endpoint_parse(struct span s, uint16_t default_port, struct ip_endpoint *ret)
    MUST_USE; /* "127.0.0.1:25", "[::1]:25"; default_port 0: the port is required */
bool ip_eq(const struct ip_addr *a, const struct ip_addr *b);
/* One covers the other (a wildcard every address of its family): the kernel would hand connections to either.
 * Port 0 is nobody's. */
bool ip_endpoints_overlap(const struct ip_endpoint *a, const struct ip_endpoint *b);
bool ip_net_has(const struct ip_net *net, const struct ip_addr *a);
void ip_text(const struct ip_addr *a, char out[IP_TEXT_MAX]);
void ip_endpoint_text(const struct ip_endpoint *e, char out[ENDPOINT_TEXT_MAX]); /* "[::1]:25" */

/* storage holds at least sizeof(struct sockaddr_storage); returns the length to hand to the kernel. */
size_t ip_to_sockaddr(const struct ip_endpoint *e, struct sockaddr *storage);
bool ip_from_sockaddr(const struct sockaddr *sa, struct ip_endpoint *ret); /* false: not an IP socket */
