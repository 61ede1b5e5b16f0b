#include "common/config/redis_url.h"

#include <stdio.h>

enum { DB_MAX = 65535, PORT_REDIS = 6379, PORT_SENTINEL = 26379 };

static const struct scheme {
    struct span prefix;
    enum redis_kind kind;
    bool tls;
    uint16_t port;
} schemes[] = {
    {SPAN_INIT("redis://"), REDIS_SINGLE, false, PORT_REDIS},
    {SPAN_INIT("rediss://"), REDIS_SINGLE, true, PORT_REDIS},
    {SPAN_INIT("redis-sentinel://"), REDIS_SENTINEL, false, PORT_SENTINEL},
    {SPAN_INIT("rediss-sentinel://"), REDIS_SENTINEL, true, PORT_SENTINEL},
    {SPAN_INIT("redis-cluster://"), REDIS_CLUSTER, false, PORT_REDIS},
    {SPAN_INIT("rediss-cluster://"), REDIS_CLUSTER, true, PORT_REDIS},
};

/* A URL with a login in it, though refused, is not repeated: messages end up in logs. */
static enum err bad(struct errctx *ec, struct span url, const char *what)
{
    if (span_find(url, '@', &(size_t){0}))
        url = SPAN("...");
    return err_set(ec, ERR_CONFIG, "'" SPAN_FMT "': %s", SPAN_ARG(url), what);
}

static bool copy_text(char *out, size_t size, struct span s)
{
    if (s.len == 0 || s.len >= size)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    }
    (void)snprintf(out, size, SPAN_FMT, SPAN_ARG(s));
    return true;
}

/* "host", "host:port", "[2001:db8::1]", "[2001:db8::1]:port" */
static bool parse_host(struct span s, uint16_t default_port, struct redis_host *ret)
{
    struct span name = s, port = SPAN("");
    bool has_port;
    if (s.len > 0 && s.ptr[0] == '[') {
        struct span rest;
        if (!span_cut(span_from(s, 1), ']', &name, &rest) || (rest.len > 0 && rest.ptr[0] != ':'))
            return false;
        has_port = rest.len > 0;
        port = span_from(rest, 1);
    } else {
        has_port = span_cut(s, ':', &name, &port);
    }
    uint64_t number = default_port;
    if (has_port && (!span_to_u64(port, UINT16_MAX, &number) || number == 0))
        return false;
    ret->port = (uint16_t)number;
    return copy_text(ret->name, sizeof ret->name, name);
}

static bool parse_hosts(struct span list, uint16_t default_port, struct redis_url *u)
{
    struct span host;
    bool more;
    do {
        more = span_cut(list, ',', &host, &list);
        if (u->nhosts == REDIS_HOSTS_MAX || !parse_host(host, default_port, &u->hosts[u->nhosts]))
            return false;
        u->nhosts++;
    } while (more);
    return true;
}

static bool parse_db(struct span s, unsigned *ret)
{
    uint64_t db;
    if (s.len == 0)
        return true;
    if (!span_to_u64(s, DB_MAX, &db))
        return false;
    *ret = (unsigned)db;
    return true;
}

static enum err parse_unix(struct span url, struct redis_url *u, struct errctx *ec)
{
    struct span path, db;
    bool has_db = span_cut(span_from(url, SPAN("unix://").len), '?', &path, &db);
    if (path.len == 0 || path.ptr[0] != '/' || !copy_text(u->unix_path, sizeof u->unix_path, path))
        return bad(ec, url, "want unix:///absolute/path, at most 107 bytes of path");
    if (has_db && (!span_has_prefix(db, SPAN("db=")) || !parse_db(span_from(db, 3), &u->db)))
        return bad(ec, url, "after '?' only db=NUMBER is known");
    return ERR_OK;
}

static enum err parse_hosts_url(struct span url, const struct scheme *sch, struct redis_url *u,
                                struct errctx *ec)
{
    struct span hosts, rest, name, db;
    (void)span_cut(span_from(url, sch->prefix.len), '/', &hosts, &rest);
    u->kind = sch->kind;
    u->tls = sch->tls;
    if (span_find(hosts, '@', &(size_t){0}))
        return bad(ec, url, "holds a user or a password; use redis.username and redis.password_file");
    if (!parse_hosts(hosts, sch->port, u))
        return bad(ec, url, "want host, host:port or [IPv6]:port, up to 16 with commas between them");
    if (sch->kind == REDIS_SINGLE && u->nhosts > 1)
        return bad(ec, url, "one server; for several use redis-sentinel:// or redis-cluster://");
    if (sch->kind == REDIS_SENTINEL) {
        (void)span_cut(rest, '/', &name, &db);
        if (!copy_text(u->master, sizeof u->master, name))
            return bad(ec, url, "the name of the master is missing: redis-sentinel://host,host/NAME");
        rest = db;
    }
    if (sch->kind == REDIS_CLUSTER && rest.len > 0)
        return bad(ec, url, "a cluster has no numbered databases: nothing may follow the hosts");
    if (!parse_db(rest, &u->db))
        return bad(ec, url, "the database is a number, as in redis://host:6379/0");
    return ERR_OK;
}

static enum err parse(struct span url, const char *data_dir, struct redis_url *u, struct errctx *ec)
{
    if (span_eq(url, SPAN("embedded"))) {
        u->embedded = true;
        int n = snprintf(u->unix_path, sizeof u->unix_path, "%s/%s", data_dir, REDIS_EMBEDDED_SOCKET);
        if (n < 0 || (size_t)n >= sizeof u->unix_path)
            return err_set(ec, ERR_CONFIG,
                           "data_dir '%s' is too long for a unix socket in it: choose a shorter one",
                           data_dir);
        return ERR_OK;
    }
    if (span_has_prefix(url, SPAN("unix://")))
        return parse_unix(url, u, ec);
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (span_has_prefix(url, schemes[i].prefix))
            return parse_hosts_url(url, &schemes[i], u, ec);
    }
    return bad(ec, url, "want embedded, unix://, redis://, rediss://, redis-sentinel:// or redis-cluster://");
}

enum err redis_url_parse(struct span url, const char *data_dir, struct redis_url *ret, struct errctx *ec)
{
    struct redis_url u = {0};
    enum err e = parse(url, data_dir, &u, ec);
    if (e == ERR_OK)
        *ret = u;
    return e;
}
