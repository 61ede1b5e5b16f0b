#include "common/io/dns_internal.h"
#include "common/io/loop_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

/* A question as asked here: one or two of libunbound's.
 *
 *            start(), sent to libunbound            answered, failed
 *   (none) -------------------------------> OPEN ----------------------> DECIDED ---> callback, freed
 *      |                                     |  time-out, dns_free()        ^    end of turn
 *      |                                     +--------> callback, freed     |
 *      +-- bad name, /etc/hosts, cache -------------------------------------+
 *
 *   OPEN     on the list; `open` parts are in libunbound's hands.
 *   DECIDED  on the list; `later` is armed.
 * dns_cancel() leads from either to freed, without the callback. */
struct dns_query {
    struct dns *d;
    struct dns_query *next, **prev;
    dns_fn *done;
    void *arg;
    struct deferred later;
    struct timer deadline;
    struct part {
        struct dns_query *q;
        enum dns_type type;
        int id; /* libunbound's */
        bool in_flight;
    } parts[2];
    unsigned open;
    struct dns_records *records; /* NULL until there is something to write down */
    bool insecure;
    enum err err; /* of a part: what the others found counts all the same */
    char why[128], name[DNS_NAME_MAX];
};

struct dns {
    struct loop *loop;
    struct ub_ctx *ub;
    struct dns_hosts *hosts;
    struct dns_query *queries;
    unsigned count;
    ms_t timeout_ms;
    bool closing;
};

/* --- context --------------------------------------------------------------------------------- */

static enum err option(struct dns *d, const char *name, const char *value, struct errctx *ec)
{
    int failure = ub_ctx_set_option(d->ub, name, value);
    if (failure == 0)
        return ERR_OK;
    return err_set(ec, ERR_DNS, "resolver: cannot set %s %s: %s", name, value, ub_strerror(failure));
}

static enum err set_options(struct dns *d, uint64_t cache_bytes, struct errctx *ec)
{
    char messages[24], sets[24];
    (void)snprintf(messages, sizeof messages, "%" PRIu64, cache_bytes / 3);
    (void)snprintf(sets, sizeof sets, "%" PRIu64, cache_bytes - cache_bytes / 3);
    const struct {
        const char *name, *value;
    } options[] = {
        {"msg-cache-size:", messages},
        {"rrset-cache-size:", sets},
        {"do-not-query-localhost:", "no"}, /* a forwarder on the same machine is the usual case */
        {"unblock-lan-zones:", "yes"},     /* private addresses have names in closed networks */
        /* What others' name servers leave unanswered is our forwarder's silence to libunbound: it waits
         * longer and longer for all names, then asks it no more. A second is enough to tell a dead one of
         * several. */
        {"infra-host-ttl:", "1"},
        {"infra-keep-probing:", "yes"},
        {"outgoing-range:", "1024"}, /* questions on their way at a time; the library's own is 16 */
        {"outgoing-num-tcp:", "16"},
    };
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        enum err e = option(d, options[i].name, options[i].value, ec);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static enum err add_server(struct dns *d, const char *server, struct errctx *ec)
{
    struct span addr, port;
    struct ip_addr ignored;
    uint64_t number;
    bool has_port = span_cut(span_cstr(server), '@', &addr, &port);
    if (ip_parse(addr, &ignored) != ERR_OK ||
        (has_port && (!span_to_u64(port, 65535, &number) || number == 0)))
        return err_set(ec, ERR_CONFIG, "resolver.servers: '%s' is not ADDRESS or ADDRESS@PORT", server);
    int failure = ub_ctx_set_fwd(d->ub, server);
    if (failure != 0)
        return err_set(ec, ERR_CONFIG, "resolver.servers: %s: %s", server, ub_strerror(failure));
    return ERR_OK;
}

static enum err set_servers(struct dns *d, char *const *servers, size_t n, struct errctx *ec)
{
    for (size_t i = 0; i < n; i++) {
        enum err e = add_server(d, servers[i], ec);
        if (e != ERR_OK)
            return e;
    }
    if (n == 0 && ub_ctx_resolvconf(d->ub, NULL) != 0)
        return err_set(ec, ERR_CONFIG, "cannot read /etc/resolv.conf; repair it, or set resolver.servers");
    return ERR_OK;
}

enum err dns_new(struct loop *l, char *const *servers, size_t n, ms_t timeout_ms, uint64_t cache_bytes,
                 struct dns **ret, struct errctx *ec)
{
    struct dns *d = calloc(1, sizeof *d);
    if (d == NULL)
        return err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    d->loop = l;
    d->timeout_ms = timeout_ms;
    d->hosts = dns_hosts_read("/etc/hosts");
    d->ub = ub_ctx_create_event(l->base);
    enum err e = d->hosts == NULL || d->ub == NULL
                     ? err_set(ec, ERR_NOMEM, "resolver: %s", err_text(ERR_NOMEM))
                     : ERR_OK;
    if (e == ERR_OK) {
        (void)ub_ctx_debugout(d->ub, NULL); /* libraries are silent */
        e = set_options(d, cache_bytes, ec);
    }
    if (e == ERR_OK)
        e = set_servers(d, servers, n, ec);
    if (e != ERR_OK) {
        dns_free(d);
        return e;
    }
    /* Our servers decide what is below "test": closed networks have their machines there. This ends
     * the configuration. */
    (void)ub_ctx_zone_remove(d->ub, "test.");
    *ret = d;
    return ERR_OK;
}

/* --- end of a question ----------------------------------------------------------------------- */

static void forget(struct dns_query *q)
{
    *q->prev = q->next;
    if (q->next != NULL)
        q->next->prev = q->prev;
    q->d->count--;
    deferred_disarm(&q->later);
    timer_done(&q->deadline);
    for (size_t i = 0; i < ARRAY_LEN(q->parts); i++)
        if (q->parts[i].in_flight)
            (void)ub_cancel(q->d->ub, q->parts[i].id);
}

static void release(struct dns_query *q)
{
    free(q->records);
    free(q);
}

static void fill_answer(const struct dns_query *q, struct dns_answer *a)
{
    const struct dns_records *r = q->records;
    memset(a, 0, sizeof *a);
    a->err = q->err;
    (void)snprintf(a->why, sizeof a->why, "%s", q->why);
    if (r == NULL)
        return;
    if (r->n > 0)
        a->err = ERR_OK; /* half an answer is better than none */
    else if (a->err == ERR_OK && r->unusable > 0 && r->type == DNS_TYPE_MX) {
        a->err = ERR_DNS;
        (void)snprintf(a->why, sizeof a->why, "no MX record holds the name of a host");
    }
    a->exists = r->exists;
    a->secure = !q->insecure;
    a->n = r->n;
    a->ttl_ms = r->ttl_s == UINT32_MAX || q->err != ERR_OK ? 0 : (ms_t)r->ttl_s * 1000;
    if (r->type == DNS_TYPE_MX)
        a->mx = r->mx;
    else if (r->type == DNS_TYPE_PTR)
        a->name = r->n > 0 ? r->name : NULL;
    else
        a->addrs = r->addrs;
}

/* The last thing that happens to q; the resolver may be gone afterwards. */
static void tell(struct dns_query *q)
{
    struct dns_answer a;
    fill_answer(q, &a);
    q->done(q->arg, &a);
    release(q);
}

static void deliver(struct dns_query *q)
{
    forget(q);
    tell(q);
}

static void decided(void *arg)
{
    deliver(arg);
}

static void fail_part(struct dns_query *q, enum err e, const char *why)
{
    q->err = e;
    (void)snprintf(q->why, sizeof q->why, "%s", why);
}

static void timed_out(void *arg)
{
    struct dns_query *q = arg;
    fail_part(q, ERR_TIMEOUT, "no answer in time");
    deliver(q);
}

void dns_cancel(struct dns_query *q)
{
    if (q == NULL)
        return;
    forget(q);
    release(q);
}

void dns_free(struct dns *d)
{
    if (d == NULL)
        return;
    d->closing = true;
    for (struct dns_query *q; (q = d->queries) != NULL;) { /* a callback may cancel any other */
        fail_part(q, ERR_CANCELED, err_text(ERR_CANCELED));
        forget(q);
        d->queries = q->next; /* as forget() left it; here for analyzers that do not see it */
        tell(q);
    }
    if (d->ub != NULL)
        ub_ctx_delete(d->ub);
    dns_hosts_free(d->hosts);
    free(d);
}

/* --- asking ---------------------------------------------------------------------------------- */

static bool make_records(struct dns_query *q)
{
    if (q->records == NULL) {
        q->records = malloc(sizeof *q->records);
        if (q->records == NULL) {
            fail_part(q, ERR_NOMEM, err_text(ERR_NOMEM));
            return false;
        }
        dns_records_init(q->records);
    }
    return true;
}

static void read_part(struct dns_query *q, enum dns_type type, struct span packet)
{
    struct errctx ec;
    enum err e;
    if (!make_records(q))
        return;
    e = dns_packet_read(packet, type, q->records, &ec);
    if (e != ERR_OK) /* a name server's mistake is not the asker's */
        fail_part(q, ERR_DNS, ec.msg);
}

static void answered(void *arg, int rcode, void *packet, int len, int security, char *why_bogus, int limited)
{
    struct part *part = arg;
    struct dns_query *q = part->q;
    (void)limited;
    part->in_flight = false;
    q->open--;
    if (security != 2)
        q->insecure = true;
    if (security == 1)
        fail_part(q, ERR_DNS, why_bogus == NULL ? "DNSSEC validation failed" : why_bogus);
    else if (rcode != 0)
        fail_part(q, ERR_DNS, "no name server could answer");
    else
        read_part(q, part->type, span_of(packet, len < 0 ? 0 : (size_t)len));
    if (q->open == 0)
        deferred_arm(q->d->loop, &q->later);
}

static void start_part(struct dns_query *q, size_t i, enum dns_type type)
{
    struct part *part = &q->parts[i];
    *part = (struct part){.q = q, .type = type, .in_flight = true};
    q->open++;
    /* The callback may come at once, from the cache. */
    int failure = ub_resolve_event(q->d->ub, q->name, (int)type, 1, part, answered, &part->id);
    if (failure == 0)
        return;
    part->in_flight = false;
    q->open--;
    fail_part(q, ERR_DNS, ub_strerror(failure));
}

static bool in_hosts(struct dns_query *q)
{
    struct ip_addr addrs[DNS_ANSWERS_MAX];
    size_t n = dns_hosts_find(q->d->hosts, q->name, addrs, ARRAY_LEN(addrs));
    if (n == 0 || !make_records(q))
        return false;
    q->records->type = DNS_TYPE_AAAA;
    q->insecure = true;
    for (size_t i = 0; i < n; i++)
        dns_records_add_address(q->records, &addrs[i]);
    return true;
}

static enum err query_new(struct dns *d, dns_fn *done, void *arg, struct dns_query **ret)
{
    if (d->closing)
        return ERR_STATE;
    if (d->count >= DNS_QUESTIONS_MAX)
        return ERR_AGAIN;
    struct dns_query *q = calloc(1, sizeof *q);
    if (q == NULL)
        return ERR_NOMEM;
    q->d = d;
    q->done = done;
    q->arg = arg;
    deferred_init(&q->later, decided, q);
    timer_init(&q->deadline, d->loop, timed_out, q);
    q->next = d->queries;
    q->prev = &d->queries;
    if (q->next != NULL)
        q->next->prev = &q->next;
    d->queries = q;
    d->count++;
    *ret = q;
    return ERR_OK;
}

/* name is prepared already when it is NULL */
static enum err ask(struct dns_query *q, const struct span *name, const enum dns_type *types, size_t n,
                    struct dns_query **ret)
{
    struct errctx ec;
    enum err e = name == NULL ? ERR_OK : dns_name_prepare(*name, q->name, &ec);
    if (e == ERR_NOMEM) {
        dns_cancel(q);
        return e;
    }
    if (e != ERR_OK)
        fail_part(q, e, ec.msg);
    else if (n != 2 || !in_hosts(q)) {
        q->open++; /* a part that is answered at once, from the cache, decides nothing before all are asked */
        for (size_t i = 0; i < n; i++)
            start_part(q, i, types[i]);
        q->open--;
    }
    if (q->open == 0)
        deferred_arm(q->d->loop, &q->later);
    else
        timer_set(&q->deadline, q->d->timeout_ms);
    if (ret != NULL)
        *ret = q;
    return ERR_OK;
}

enum err dns_ask_mx(struct dns *d, struct span domain, dns_fn *done, void *arg, struct dns_query **ret)
{
    static const enum dns_type types[] = {DNS_TYPE_MX};
    struct dns_query *q;
    enum err e = query_new(d, done, arg, &q);
    return e != ERR_OK ? e : ask(q, &domain, types, ARRAY_LEN(types), ret);
}

enum err dns_ask_addresses(struct dns *d, struct span host, dns_fn *done, void *arg, struct dns_query **ret)
{
    static const enum dns_type types[] = {DNS_TYPE_AAAA, DNS_TYPE_A};
    struct dns_query *q;
    enum err e = query_new(d, done, arg, &q);
    return e != ERR_OK ? e : ask(q, &host, types, ARRAY_LEN(types), ret);
}

enum err dns_ask_reverse(struct dns *d, const struct ip_addr *a, dns_fn *done, void *arg,
                         struct dns_query **ret)
{
    static const enum dns_type types[] = {DNS_TYPE_PTR};
    struct dns_query *q;
    enum err e = query_new(d, done, arg, &q);
    if (e != ERR_OK)
        return e;
    dns_name_reverse(a, q->name);
    return ask(q, NULL, types, ARRAY_LEN(types), ret);
}
