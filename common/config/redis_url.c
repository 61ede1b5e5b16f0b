#include "common/config/redis_url.h"

#include "common/address.h"
#include "common/ip.h"

#include <string.h>

#define URL_FORMS                                                                                            \
    "write embedded, unix:///path, redis://host:6379/0, rediss://host, redis-sentinel://h1:26379,h2/master " \
    "or redis-cluster://h1,h2"

/* One row a scheme. */
static const struct scheme {
    struct span prefix;
    enum redis_kind kind;
    bool tls;
    uint16_t port;
} schemes[] = {
    {SPAN_INIT("unix://"), REDIS_UNIX, false, 0},
    {SPAN_INIT("redis://"), REDIS_SINGLE, false, 6379},
    {SPAN_INIT("rediss://"), REDIS_SINGLE, true, 6379},
    {SPAN_INIT("redis-sentinel://"), REDIS_SENTINEL, false, 26379},
    {SPAN_INIT("rediss-sentinel://"), REDIS_SENTINEL, true, 26379},
    {SPAN_INIT("redis-cluster://"), REDIS_CLUSTER, false, 6379},
    {SPAN_INIT("rediss-cluster://"), REDIS_CLUSTER, true, 6379},
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies s with %XX decoded; false: too long, malformed, or a NUL byte. */
static bool decode(struct span s, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++, n++) {
        char c = s.ptr[i];
        if (c == '%') {
            if (s.len - i < 3 || hex_digit(s.ptr[i + 1]) < 0 || hex_digit(s.ptr[i + 2]) < 0)
                return false;
            c = (char)(hex_digit(s.ptr[i + 1]) * 16 + hex_digit(s.ptr[i + 2]));
            i += 2;
        }
        if (n + 1 >= size || c == '\0')
            return false;
        out[n] = c;
    }
    out[n] = '\0';
    return true;
}

static bool copy(struct span s, char *out, size_t size)
{
    if (s.len == 0 || s.len >= size)
        return false;
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

/* "[user][:password]@" off the front of s; the last @ counts, so that a password may hold one */
static enum err take_login(struct span *s, struct redis_url *u, struct errctx *ec)
{
    size_t at;
    struct span user, password;
    if (!span_rfind(*s, '@', &at))
        return ERR_OK;
    (void)span_cut(span_first(*s, at), ':', &user, &password);
    *s = span_from(*s, at + 1);
    if (!decode(user, u->user, sizeof u->user) || !decode(password, u->password, sizeof u->password))
        return err_set(ec, ERR_PARSE,
                       "user or password is malformed; write special characters as %%XX, at "
                       "most 127 and 255 of them");
    return ERR_OK;
}

static enum err take_host(struct span s, uint16_t default_port, struct redis_host *ret, struct errctx *ec)
{
    struct span host = s, port = SPAN("");
    struct ip_addr ip;
    uint64_t number = default_port;
    bool bracket = s.len > 0 && s.ptr[0] == '[', ok = true, has_port;
    if (bracket) {
        struct span rest;
        ok = span_cut(span_from(s, 1), ']', &host, &rest) && (rest.len == 0 || rest.ptr[0] == ':') &&
             ip_parse(host, &ip) == ERR_OK;
        has_port = ok && rest.len > 0;
        port = span_from(rest, 1);
    } else {
        has_port = span_cut(s, ':', &host, &port);
        ok = domain_valid(host, false);
    }
    if (!ok || !copy(host, ret->name, sizeof ret->name))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not a host; write name:port or [IPv6]:port",
                       SPAN_ARG(span_first(s, 100)));
    if (has_port && (!span_to_u64(port, 65535, &number) || number == 0))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not a port; write a number from 1 to 65535",
                       SPAN_ARG(span_first(port, 40)));
    ret->port = (uint16_t)number;
    return ERR_OK;
}

static enum err take_hosts(struct span hosts, uint16_t default_port, struct redis_url *u, struct errctx *ec)
{
    bool more = true;
    while (more) {
        struct span host;
        more = span_cut(hosts, ',', &host, &hosts);
        if (u->nhosts == REDIS_HOSTS_MAX || (u->kind == REDIS_SINGLE && u->nhosts == 1))
            return err_set(ec, ERR_PARSE, "too many hosts; at most %d",
                           u->kind == REDIS_SINGLE ? 1 : REDIS_HOSTS_MAX);
        enum err e = take_host(host, default_port, &u->hosts[u->nhosts], ec);
        if (e != ERR_OK)
            return e;
        u->nhosts++;
    }
    return ERR_OK;
}

/* "/db", or "/master[/db]" of Sentinel */
static enum err take_tail(struct span tail, struct redis_url *u, struct errctx *ec)
{
    uint64_t db = 0;
    if (u->kind == REDIS_SENTINEL) {
        struct span master;
        (void)span_cut(tail, '/', &master, &tail);
        if (!copy(master, u->master, sizeof u->master))
            return err_set(ec, ERR_PARSE,
                           "the name of the master is missing; write redis-sentinel://h1,h2/NAME");
    }
    if (tail.len > 0 && u->kind == REDIS_CLUSTER)
        return err_set(ec, ERR_PARSE, "Redis Cluster has database 0 alone; leave out what follows the hosts");
    if (tail.len > 0 && !span_to_u64(tail, 65535, &db))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not the number of a database",
                       SPAN_ARG(span_first(tail, 40)));
    u->db = (unsigned)db;
    return ERR_OK;
}

enum err redis_url_parse(struct span s, struct redis_url *ret, struct errctx *ec)
{
    struct redis_url u = {.kind = REDIS_EMBEDDED};
    const struct scheme *scheme = NULL;
    if (span_eq(s, SPAN("embedded"))) {
        *ret = u;
        return ERR_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(schemes) && scheme == NULL; i++)
        if (span_has_iprefix(s, schemes[i].prefix))
            scheme = &schemes[i];
    if (scheme == NULL)
        return err_set(ec, ERR_PARSE, "not a Redis URL; " URL_FORMS);
    struct span rest = span_from(s, scheme->prefix.len), hosts;
    u.kind = scheme->kind;
    u.tls = scheme->tls;
    if (u.kind == REDIS_UNIX) {
        if (!copy(rest, u.path, sizeof u.path))
            return err_set(ec, ERR_PARSE, "the path of the socket is empty or longer than %d bytes",
                           REDIS_PATH_MAX - 1);
        *ret = u;
        return ERR_OK;
    }
    /* a password may hold a slash: the path begins behind the last @ */
    enum err e = take_login(&rest, &u, ec);
    (void)span_cut(rest, '/', &hosts, &rest);
    if (e == ERR_OK)
        e = take_hosts(hosts, scheme->port, &u, ec);
    if (e == ERR_OK)
        e = take_tail(rest, &u, ec);
    if (e == ERR_OK)
        *ret = u;
    return e;
}

enum err redis_url_mask(struct span s, struct buf *out)
{
    size_t at, scheme_end = 0;
    struct span user, password;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (span_has_iprefix(s, schemes[i].prefix) && schemes[i].kind != REDIS_UNIX)
            scheme_end = schemes[i].prefix.len;
    if (scheme_end == 0 || !span_rfind(s, '@', &at))
        return buf_add(out, s);
    (void)span_cut(span_from(span_first(s, at), scheme_end), ':', &user, &password);
    return buf_addf(out, SPAN_FMT SPAN_FMT ":***" SPAN_FMT, SPAN_ARG(span_first(s, scheme_end)),
                    SPAN_ARG(user), SPAN_ARG(span_from(s, at)));
}

enum err durability_parse(struct span s, struct durability *ret, struct errctx *ec)
{
    struct span word, number;
    uint64_t n = 0;
    bool colon = span_cut(s, ':', &word, &number);
    number = span_trim(number);
    if (!colon && span_eq(word, SPAN("fsync")))
        *ret = (struct durability){.kind = DURABILITY_FSYNC};
    else if ((!colon && span_eq(word, SPAN("all"))) ||
             (span_eq(word, SPAN("replicas")) && span_eq(number, SPAN("all"))))
        *ret = (struct durability){.kind = DURABILITY_ALL};
    else if (span_eq(word, SPAN("replicas")) && span_to_u64(number, 16, &n) && n > 0)
        *ret = (struct durability){.kind = DURABILITY_REPLICAS, .replicas = (unsigned)n};
    else
        return err_set(ec, ERR_PARSE,
                       "'" SPAN_FMT "' is not a durability; write fsync, replicas:N (1 to 16) or all",
                       SPAN_ARG(span_first(s, 40)));
    return ERR_OK;
}
