/* What each TYPE of settings.def.h accepts, and the normal form that programs read. Declared in
 * common/config/table.h. */
#include "common/address.h"
#include "common/config/durability.h"
#include "common/config/redis_url.h"
#include "common/config/table.h"
#include "common/nearest.h"

#include <string.h>

/* Foreign text in messages is cut: a problem is one line. */
#define SHOWN(s) SPAN_ARG(span_first((s), 80))

static enum err check_name(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    (void)base_dir;
    for (size_t i = 0; i < in.len; i++)
        if (in.ptr[i] == '\0' ||
            strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", in.ptr[i]) == NULL)
            return err_set(ec, ERR_PARSE,
                           "'" SPAN_FMT "' is not a name; use letters, digits, '.', '_' and '-'", SHOWN(in));
    return buf_add(out, in);
}

/* One of a list, whose range is that of the list. */
static enum err check_short_name(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    if (in.len < 1 || in.len > CONF_NAME_MAX)
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' has %zu characters; a name has 1 to %d", SHOWN(in),
                       in.len, CONF_NAME_MAX);
    return check_name(in, base_dir, out, ec);
}

static enum err check_host(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    (void)base_dir;
    if (!domain_valid(in, false))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not a host name; write e.g. mx.example.org",
                       SHOWN(in));
    return buf_add(out, in);
}

static enum err check_domain(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    (void)base_dir;
    if (domain_normalize(in, out) != ERR_OK)
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not a domain; write e.g. example.org", SHOWN(in));
    return ERR_OK;
}

/* "*", "*.domain", "domain" */
static enum err check_space(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    if (span_eq(in, SPAN("*")))
        return buf_add(out, in);
    bool wild = span_has_prefix(in, SPAN("*."));
    size_t before = out->len;
    enum err e = wild ? buf_add(out, SPAN("*.")) : ERR_OK;
    if (e == ERR_OK)
        e = check_domain(wild ? span_from(in, 2) : in, base_dir, out, NULL);
    if (e != ERR_OK) {
        out->len = before;
        return err_set(ec, ERR_PARSE,
                       "'" SPAN_FMT "' is not an address space; write *, *.example.net or example.com",
                       SHOWN(in));
    }
    return ERR_OK;
}

static enum err check_mailbox(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    struct address a;
    (void)base_dir;
    enum err e = address_parse(in, true, &a, ec);
    if (e != ERR_OK)
        return err_wrap(ec, e, "'" SPAN_FMT "' is not a mail address", SHOWN(in));
    return buf_add(out, in);
}

/* "a@b" as a mailbox, "@domain" */
static enum err check_sender(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    size_t at;
    if (!span_rfind(in, '@', &at))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' names no sender; write a@example.org or @example.org",
                       SHOWN(in));
    if (at > 0 && check_mailbox(in, base_dir, out, ec) != ERR_OK)
        return ERR_PARSE;
    out->len -= at > 0 ? in.len : 0; /* the domain follows in its normal form */
    enum err e = buf_add(out, span_first(in, at + 1));
    return e == ERR_OK ? check_domain(span_from(in, at + 1), base_dir, out, ec) : e;
}

static enum err check_endpoint(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    struct ip_endpoint at;
    (void)base_dir;
    if (ip_endpoint_parse(in, 0, &at) != ERR_OK)
        return err_set(ec, ERR_PARSE,
                       "'" SPAN_FMT
                       "' is not address:port; write e.g. 127.0.0.1:9525, 0.0.0.0:9525 or [::]:9525",
                       SHOWN(in));
    return buf_add(out, in);
}

/* "address:port", "tls://address:port" */
static enum err check_listen(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    struct ip_endpoint at;
    bool tls = span_has_prefix(in, SPAN("tls://"));
    (void)base_dir;
    if (ip_endpoint_parse(tls ? span_from(in, 6) : in, 0, &at) != ERR_OK)
        return err_set(ec, ERR_PARSE,
                       "'" SPAN_FMT
                       "' is not address:port; write e.g. 127.0.0.1:2525, 0.0.0.0:25, [::]:25 or "
                       "tls://0.0.0.0:465",
                       SHOWN(in));
    return buf_add(out, in);
}

static bool is_port(struct span s)
{
    uint64_t port;
    return span_to_u64(s, 65535, &port) && port > 0;
}

/* "host", "host:port", "192.0.2.1:25", "[2001:db8::1]:25" */
static bool is_target(struct span in)
{
    struct ip_addr ip;
    struct span host, port, rest;
    if (in.len > 0 && in.ptr[0] == '[')
        return span_cut(span_from(in, 1), ']', &host, &rest) && ip_parse(host, &ip) == ERR_OK &&
               (rest.len == 0 || (rest.ptr[0] == ':' && is_port(span_from(rest, 1))));
    bool has_port = span_cut(in, ':', &host, &port);
    return domain_valid(host, true) && (!has_port || is_port(port));
}

static enum err check_target(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    (void)base_dir;
    if (!is_target(in))
        return err_set(ec, ERR_PARSE,
                       "'" SPAN_FMT
                       "' is not a host; write mail.example.net, 192.0.2.1:2525 or [2001:db8::1]:25",
                       SHOWN(in));
    return buf_add(out, in);
}

static enum err check_ip(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    struct ip_addr ip;
    (void)base_dir;
    if (ip_parse(in, &ip) != ERR_OK)
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not an IP address; write e.g. 192.0.2.1", SHOWN(in));
    return buf_add(out, in);
}

/* "address", "address@port": as the resolver library writes it */
static enum err check_resolver(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    struct ip_addr ip;
    struct span addr, port;
    bool has_port = span_cut(in, '@', &addr, &port);
    (void)base_dir;
    if (ip_parse(addr, &ip) != ERR_OK || (has_port && !is_port(port)))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not a resolver; write 192.0.2.53 or 127.0.0.1@5353",
                       SHOWN(in));
    return buf_add(out, in);
}

static enum err check_word(struct span in, const char *const *words, size_t n, const char *what,
                           struct buf *out, struct errctx *ec)
{
    for (size_t i = 0; i < n; i++)
        if (span_ieq(in, span_cstr(words[i])))
            return buf_add(out, span_cstr(words[i]));
    const char *near = nearest_of(in, words, n);
    if (near != NULL)
        return err_set(ec, ERR_PARSE, "unknown %s '" SPAN_FMT "'; did you mean '%s'?", what, SHOWN(in), near);
    struct buf all;
    buf_init(&all, 256);
    for (size_t i = 0; i < n; i++)
        (void)!buf_addf(&all, "%s%s", i == 0 ? "" : ", ", words[i]); /* for the message alone */
    (void)err_set(ec, ERR_PARSE, "unknown %s '" SPAN_FMT "'; write one of %s", what, SHOWN(in),
                  buf_cstr(&all));
    buf_done(&all);
    return ERR_PARSE;
}

static enum err check_priority(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    static const char *const words[] = {"low", "normal", "high"};
    (void)base_dir;
    return check_word(in, words, ARRAY_LEN(words), "priority", out, ec);
}

static enum err check_keyword(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    /* those of node/extensions.h, which a test there compares */
    static const char *const words[] = {
        "PIPELINING",          "SIZE",     "8BITMIME", "BINARYMIME", "CHUNKING", "DSN",
        "ENHANCEDSTATUSCODES", "SMTPUTF8", "STARTTLS", "LIMITS",     "XVISITED", "HELP"};
    (void)base_dir;
    return check_word(in, words, ARRAY_LEN(words), "extension", out, ec);
}

static enum err check_key(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    static const char digits[] = "0123456789abcdef";
    enum err e = in.len == 64 ? ERR_OK : ERR_PARSE;
    (void)base_dir;
    for (size_t i = 0; i < in.len && e == ERR_OK; i++) {
        char c = in.ptr[i];
        if (c >= 'A' && c <= 'F')
            c = (char)(c + 32);
        e = c == '\0' || strchr(digits, c) == NULL ? ERR_PARSE : buf_addc(out, c);
    }
    return e == ERR_OK
               ? e
               : err_set(ec, ERR_PARSE,
                         "'" SPAN_FMT "' is not a public key; write the 64 digits that `bridgehead keys "
                         "show` prints",
                         SHOWN(in));
}

static enum err resolve(struct span path, const char *base_dir, struct buf *out)
{
    while (span_has_prefix(path, SPAN("./")))
        path = span_from(path, 2);
    if (path.len > 0 && path.ptr[0] == '/')
        return buf_add(out, path);
    bool root = strcmp(base_dir, "/") == 0;
    return buf_addf(out, "%s/" SPAN_FMT, root ? "" : base_dir, SPAN_ARG(path));
}

static enum err check_path(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    (void)ec;
    return resolve(in, base_dir, out);
}

static enum err check_redis_url(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    struct redis_url u;
    (void)base_dir;
    return redis_url_parse(in, "", &u, ec) == ERR_OK ? buf_add(out, in) : ERR_PARSE;
}

static enum err check_durability(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    struct durability d;
    (void)base_dir;
    enum err e = durability_parse(in, &d, ec);
    if (e != ERR_OK)
        return e;
    if (d.kind == DURABILITY_REPLICAS)
        return buf_addf(out, "replicas:%u", d.replicas);
    return buf_add(out, d.kind == DURABILITY_ALL ? SPAN("all") : SPAN("fsync"));
}

/* only %d and %u may follow a percent sign */
static bool placeholders_ok(struct span path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.ptr[i] == '%' && (i + 1 == path.len || (path.ptr[i + 1] != 'd' && path.ptr[i + 1] != 'u')))
            return false;
    return true;
}

static enum err check_deliver(struct span in, const char *base_dir, struct buf *out, struct errctx *ec)
{
    static const struct span maildir = SPAN_INIT("maildir:"), lmtp_unix = SPAN_INIT("lmtp:unix:"),
                             lmtp_tcp = SPAN_INIT("lmtp://");
    enum err e = ERR_OK;
    struct span prefix = SPAN("");
    if (span_has_prefix(in, maildir))
        prefix = maildir;
    else if (span_has_prefix(in, lmtp_unix))
        prefix = lmtp_unix;
    struct span path = span_from(in, prefix.len);
    if (span_has_prefix(in, lmtp_tcp) && is_target(span_from(in, lmtp_tcp.len)))
        return buf_add(out, in);
    if (prefix.len == 0 || path.len == 0)
        return err_set(ec, ERR_PARSE,
                       "'" SPAN_FMT "' is no way to deliver; write maildir:PATH/%%d/%%u, lmtp://host:port or "
                       "lmtp:unix:/path",
                       SHOWN(in));
    if (span_eq(prefix, maildir) && !placeholders_ok(path))
        return err_set(ec, ERR_PARSE, "after '%%' only d (domain) and u (user) may stand");
    e = buf_add(out, prefix);
    return e == ERR_OK ? resolve(path, base_dir, out) : e;
}

/* clang-format off */
#define HOST_PATTERN "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
#define TYPE(id, shape_, check_, what_, pattern_) \
    const struct conf_type conf_type_##id = {#id, SHAPE_##shape_, check_, what_, pattern_};
TYPE(STR,        TEXT,   NULL,             "text", NULL)
TYPE(NAME,       TEXT,   check_name,       "a name of letters, digits, dot, underscore and hyphen", "^[A-Za-z0-9._-]*$")
TYPE(HOST,       TEXT,   check_host,       "a host name", "^(" HOST_PATTERN ")?$")
TYPE(DOMAIN,     TEXT,   check_domain,     "a domain", NULL)
TYPE(SPACE,      TEXT,   check_space,      "*, *.example.net or example.com", NULL)
TYPE(MAILBOX,    TEXT,   check_mailbox,    "a mail address", NULL)
TYPE(ENDPOINT,   TEXT,   check_endpoint,   "address:port", NULL)
TYPE(REDIS_URL,  TEXT,   check_redis_url,  "a Redis URL", "^(embedded|unix://|rediss?(-sentinel|-cluster)?://)")
TYPE(DURABILITY, TEXT,   check_durability, "fsync, replicas:N or all", "^(fsync|all|replicas: *([1-9]|1[0-6]|all))$")
TYPE(DELIVER,    TEXT,   check_deliver,    "a way to deliver", "^(maildir:|lmtp://|lmtp:unix:)")
TYPE(KEY,        TEXT,   check_key,        "a public key, 64 hexadecimal digits", "^([0-9A-Fa-f]{64})?$")
TYPE(PATH,       TEXT,   check_path,       "a path", NULL)
TYPE(SECRET,     TEXT,   check_path,       "the path of a file that holds the value", NULL)
TYPE(SIZE,       SIZE,   NULL,             "a size such as 4096, 64K, 50M or 2G", "^[0-9]+([KkMmGg](i[Bb])?)?$")
TYPE(MS,         MS,     NULL,             "a duration such as 500ms, 60s, 10m, 12h, 2d or 1h30m", "^(0|([0-9]+(d|h|ms|m|s))+)$")
TYPE(UINT,       NUMBER, NULL,             "a number", NULL)
TYPE(BOOL,       BOOL,   NULL,             "true or false", NULL)
TYPE(LISTENS,    TEXTS,  check_listen,     "a list of address:port or tls://address:port", NULL)
TYPE(TARGETS,    TEXTS,  check_target,     "a list of host or host:port", NULL)
TYPE(RESOLVERS,  TEXTS,  check_resolver,   "a list of address or address@port", NULL)
TYPE(IPS,        TEXTS,  check_ip,         "a list of IP addresses", NULL)
TYPE(SENDERS,    TEXTS,  check_sender,     "a list of a@example.org or @example.org", NULL)
TYPE(PRIORITIES, TEXTS,  check_priority,   "a list of low, normal, high", "^(low|normal|high)$")
TYPE(KEYWORDS,   TEXTS,  check_keyword,    "a list of EHLO keywords", NULL)
TYPE(KEYS,       TEXTS,  check_key,        "a list of public keys of 64 hexadecimal digits", "^[0-9A-Fa-f]{64}$")
TYPE(NAMES,      TEXTS,  check_short_name, "a list of names of letters, digits, dot, underscore and hyphen", "^[A-Za-z0-9._-]{1,63}$")
TYPE(NETS,       NETS,   NULL,             "a list of networks such as 192.0.2.0/24 or 2001:db8::/32", NULL)
TYPE(MSLIST,     MSLIST, NULL,             "a list of durations", "^(0|([0-9]+(d|h|ms|m|s))+)$")
/* clang-format on */
