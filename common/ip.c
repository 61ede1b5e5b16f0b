#include "common/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct ip_addr from_v6(const uint8_t bytes[16])
{
    struct ip_addr a = {.v6 = true};
    if (memcmp(bytes, mapped, sizeof mapped) == 0) {
        a.v6 = false;
        memcpy(a.bytes, bytes + 12, 4);
    } else {
        memcpy(a.bytes, bytes, 16);
    }
    return a;
}

enum err ip_parse(struct span s, struct ip_addr *ret)
{
    char text[IP_TEXT_MAX];
    uint8_t bytes[16] = {0};
    if (s.len == 0 || s.len >= sizeof text || memchr(s.ptr, '\0', s.len) != NULL)
        return ERR_PARSE;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    if (inet_pton(AF_INET, text, bytes) == 1) {
        *ret = (struct ip_addr){.v6 = false};
        memcpy(ret->bytes, bytes, 4);
        return ERR_OK;
    }
    if (inet_pton(AF_INET6, text, bytes) != 1)
        return ERR_PARSE;
    *ret = from_v6(bytes);
    return ERR_OK;
}

/* a and b agree in their first `bits` bits */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

enum err ip_net_parse(struct span s, struct ip_net *ret)
{
    struct span addr, len;
    struct ip_net net;
    bool has_len = span_cut(s, '/', &addr, &len);
    if (ip_parse(addr, &net.base) != ERR_OK)
        return ERR_PARSE;
    uint64_t width = net.base.v6 ? 128 : 32, bits = width;
    if (has_len && !span_to_u64(len, width, &bits))
        return ERR_PARSE;
    net.bits = (uint8_t)bits;
    for (unsigned i = net.bits; i < width; i++)
        if ((net.base.bytes[i / 8] >> (7 - i % 8) & 1) != 0)
            return ERR_PARSE;
    *ret = net;
    return ERR_OK;
}

enum err ip_endpoint_parse(struct span s, uint16_t default_port, struct ip_endpoint *ret)
{
    struct span host = s, port = SPAN("");
    struct ip_addr bare;
    bool has_port = false;
    if (s.len > 0 && s.ptr[0] == '[') {
        struct span rest;
        if (!span_cut(span_from(s, 1), ']', &host, &rest) || (rest.len > 0 && rest.ptr[0] != ':'))
            return ERR_PARSE;
        has_port = rest.len > 0;
        port = span_from(rest, 1);
    } else if (ip_parse(s, &bare) != ERR_OK) {
        has_port = span_cut(s, ':', &host, &port);
    }
    struct ip_endpoint e = {.port = default_port};
    uint64_t number = default_port;
    if (ip_parse(host, &e.addr) != ERR_OK || (has_port && !span_to_u64(port, 65535, &number)))
        return ERR_PARSE;
    if (!has_port && default_port == 0)
        return ERR_PARSE;
    e.port = (uint16_t)number;
    *ret = e;
    return ERR_OK;
}

bool ip_eq(const struct ip_addr *a, const struct ip_addr *b)
{
    return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4) == 0;
}

static bool is_any(const struct ip_addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->bytes, zero, a->v6 ? 16 : 4) == 0;
}

bool ip_endpoints_overlap(const struct ip_endpoint *a, const struct ip_endpoint *b)
{
    return a->port != 0 && a->port == b->port && a->addr.v6 == b->addr.v6 &&
           (ip_eq(&a->addr, &b->addr) || is_any(&a->addr) || is_any(&b->addr));
}

bool ip_net_has(const struct ip_net *net, const struct ip_addr *a)
{
    return net->base.v6 == a->v6 && same_prefix(net->base.bytes, a->bytes, net->bits);
}

void ip_text(const struct ip_addr *a, char out[IP_TEXT_MAX])
{
    if (inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->bytes, out, IP_TEXT_MAX) == NULL)
        out[0] = '\0';
}

void ip_endpoint_text(const struct ip_endpoint *e, char out[ENDPOINT_TEXT_MAX])
{
    char addr[IP_TEXT_MAX];
    ip_text(&e->addr, addr);
    (void)snprintf(out, ENDPOINT_TEXT_MAX, e->addr.v6 ? "[%s]:%u" : "%s:%u", addr, (unsigned)e->port);
}

size_t ip_to_sockaddr(const struct ip_endpoint *e, struct sockaddr *storage)
{
    if (e->addr.v6) {
        struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};
        memcpy(&sin6.sin6_addr, e->addr.bytes, 16);
        memcpy(storage, &sin6, sizeof sin6);
        return sizeof sin6;
    }
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(e->port)};
    memcpy(&sin.sin_addr, e->addr.bytes, 4);
    memcpy(storage, &sin, sizeof sin);
    return sizeof sin;
}

bool ip_from_sockaddr(const struct sockaddr *sa, struct ip_endpoint *ret)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in sin;
        memcpy(&sin, sa, sizeof sin);
        *ret = (struct ip_endpoint){.port = ntohs(sin.sin_port)};
        memcpy(ret->addr.bytes, &sin.sin_addr, 4);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 sin6;
        memcpy(&sin6, sa, sizeof sin6);
        *ret = (struct ip_endpoint){.addr = from_v6((const uint8_t *)&sin6.sin6_addr),
                                    .port = ntohs(sin6.sin6_port)};
        return true;
    }
    return false;
}
