/* What no single value can tell: names that occur twice, listeners in each other's way, connectors that
 * lead nowhere. A check is silent about structs whose own values are already reported as wrong. */
#include "common/address.h"
#include "common/config/durability.h"
#include "common/config/load.h"
#include "common/config/redis_url.h"

#include <stdlib.h>
#include <string.h>

/* --- names that must be unique ------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    const struct conf_name *x = a, *y = b;
    int c = strcmp(x->text, y->text);
    return c != 0 ? c : (x->index > y->index) - (x->index < y->index);
}

void conf_sort_names(struct conf_name *names, size_t n)
{
    if (n > 0)
        qsort(names, n, sizeof *names, by_text);
}

/* list: {items, count}; the name is at offset of an item of the given size. */
static void check_unique(struct loader *l, const char *key, const char *word, struct conf_list list,
                         size_t size, size_t offset)
{
    struct conf_name *names = malloc((list.count + 1) * sizeof *names);
    if (names == NULL) {
        l->out_of_memory = true;
        return;
    }
    const char *base = list.items;
    for (size_t i = 0; i < list.count; i++)
        names[i] = (struct conf_name){*(char *const *)(const void *)(base + i * size + offset), i};
    conf_sort_names(names, list.count);
    for (size_t i = 1; i < list.count && l->nproblems <= PROBLEMS_MAX; i++) {
        if (names[i].text[0] == '\0' || strcmp(names[i].text, names[i - 1].text) != 0)
            continue;
        char where[96];
        (void)snprintf(where, sizeof where, "%s[%zu].%s", key, names[i].index, word);
        const struct mark *first = conf_mark(l, base + names[i - 1].index * size + offset);
        conf_problem(l, conf_mark(l, base + names[i].index * size + offset), where,
                     "'%s' is already taken on line %u; names must differ", names[i].text,
                     first == NULL ? 0 : first->line);
    }
    free(names);
}
#define CHECK_UNIQUE(l, root, list, member)                                                                  \
    check_unique((l), #list, #member, (struct conf_list){(root)->list.items, (root)->list.count},            \
                 sizeof *(root)->list.items, offsetof(__typeof__(*(root)->list.items), member))

/* --- listeners ----------------------------------------------------------------------------------- */

enum { LISTENS_MAX = 1024 };
struct bound {
    struct ip_endpoint at;
    const char *text;
    const void *field;
};

static void add_bound(struct loader *l, struct bound *bounds, size_t *n, const char *text, const void *field,
                      const char *key)
{
    struct span s = span_cstr(text);
    struct bound b = {.text = text, .field = field};
    if (span_has_prefix(s, SPAN("tls://")))
        s = span_from(s, 6);
    if (s.len == 0 || ip_endpoint_parse(s, 0, &b.at) != ERR_OK)
        return;
    for (size_t i = 0; i < *n; i++) {
        if (!ip_endpoints_overlap(&bounds[i].at, &b.at))
            continue;
        const struct mark *other = conf_mark(l, bounds[i].field);
        if (other != NULL && other->env != NULL)
            conf_problem(l, conf_mark(l, field), key,
                         "'%s' overlaps '%s' of %s; take another address or port", text, bounds[i].text,
                         other->env);
        else if (other != NULL && other->line > 0)
            conf_problem(l, conf_mark(l, field), key,
                         "'%s' overlaps '%s' of line %u; take another address or port", text, bounds[i].text,
                         other->line);
        else
            conf_problem(l, conf_mark(l, field), key,
                         "'%s' overlaps '%s', a default; take another address or port", text, bounds[i].text);
        return;
    }
    if (*n < LISTENS_MAX)
        bounds[(*n)++] = b;
}

static void check_listens(struct loader *l, const struct conf_root *r)
{
    char key[64];
    size_t n = 0;
    struct bound *bounds = malloc(LISTENS_MAX * sizeof *bounds);
    if (bounds == NULL) {
        l->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < r->virtual_servers.count; i++) {
        const struct conf_virtual_server *v = &r->virtual_servers.items[i];
        (void)snprintf(key, sizeof key, "virtual_servers[%zu].listen", i);
        for (size_t k = 0; k < v->listen.count; k++)
            add_bound(l, bounds, &n, v->listen.items[k], &v->listen, key);
    }
    add_bound(l, bounds, &n, r->node.http, &r->node.http, "node.http");
    add_bound(l, bounds, &n, r->worker.http, &r->worker.http, "worker.http");
    add_bound(l, bounds, &n, r->router.http, &r->router.http, "router.http");
    for (size_t k = 0; r->routing_group.neighbours.count > 0 && k < r->router.listen.count; k++)
        add_bound(l, bounds, &n, r->router.listen.items[k], &r->router.listen, "router.listen");
    free(bounds);
}

/* --- sections ------------------------------------------------------------------------------------ */

static void check_tls(struct loader *l, const struct conf_virtual_server *v, size_t i)
{
    char key[64];
    bool certificate = v->tls.certificate[0] != '\0', implicit = false;
    (void)snprintf(key, sizeof key, "virtual_servers[%zu].tls", i);
    for (size_t k = 0; k < v->listen.count; k++)
        implicit |= span_has_prefix(span_cstr(v->listen.items[k]), SPAN("tls://"));
    if (certificate && v->tls.key[0] == '\0')
        conf_problem(l, conf_mark(l, &v->tls.certificate), key,
                     "a certificate without its key; name the file in key");
    if (!certificate && v->tls.key[0] != '\0')
        conf_problem(l, conf_mark(l, &v->tls.key), key,
                     "a key without a certificate; name the file in certificate");
    if (!certificate && v->tls.required)
        conf_problem(l, conf_mark(l, &v->tls.required), key,
                     "required, but without a certificate nobody could send mail; name one in certificate");
    if (!certificate && implicit)
        conf_problem(l, conf_mark(l, &v->listen), key,
                     "listen has a tls:// address, but there is no certificate; name one in tls.certificate");
}

static void check_retry(struct loader *l, const struct conf_retry *r)
{
    static const char advice[] =
        "%s is not shorter than %s: the sender would never be told; shorten it, or 0 for never";
    if (r->delay_notice_ms >= r->expire_ms)
        conf_problem(l, conf_mark(l, &r->delay_notice_ms), "delivery.retry", advice, "delay_notice",
                     "expire");
    if (r->local_delay_notice_ms >= r->local_expire_ms)
        conf_problem(l, conf_mark(l, &r->local_delay_notice_ms), "delivery.retry", advice,
                     "local_delay_notice", "local_expire");
}

static void check_redis(struct loader *l, const struct conf_root *r)
{
    struct redis_url u;
    struct durability d;
    struct errctx ec;
    if (conf_bad(l, &r->redis, sizeof r->redis) ||
        durability_parse(span_cstr(r->redis.durability), &d, NULL) != ERR_OK)
        return;
    if (redis_url_parse(span_cstr(r->redis.url), r->data_dir, &u, &ec) != ERR_OK) {
        conf_problem(l, conf_mark(l, &r->data_dir), "data_dir", "%s", ec.msg);
        return;
    }
    if (u.kind == REDIS_CLUSTER)
        conf_problem(
            l, conf_mark(l, &r->redis.url), "redis.url",
            "Redis Cluster is not supported yet; name a single Redis, or redis-sentinel://host,host/NAME");
    if (u.embedded && d.kind != DURABILITY_FSYNC)
        conf_problem(l, conf_mark(l, &r->redis.durability), "redis.durability",
                     "'%s' needs replicas, and an embedded Redis has none; write fsync, or name another url",
                     r->redis.durability);
    if (r->redis.ca_file[0] != '\0' && !u.tls)
        conf_problem(l, conf_mark(l, &r->redis.ca_file), "redis.ca_file",
                     "has no use without TLS; write a rediss:// URL or leave it out");
    if (!conf_bad(l, &r->worker, sizeof r->worker) && r->worker.lease_ms < 3 * r->redis.command_timeout_ms)
        conf_problem(
            l, conf_mark(l, &r->worker.lease_ms), "worker.lease",
            "shorter than three times redis.command_timeout: one slow reply would end it; lengthen it");
}

/* --- connectors ---------------------------------------------------------------------------------- */

static void check_spaces(struct loader *l, const struct conf_connector *c, const char *key)
{
    struct conf_list list = {c->address_spaces.items, c->address_spaces.count};
    char where[96];
    (void)snprintf(where, sizeof where, "%s.address_spaces", key);
    if (!conf_bad(l, list.items, list.count * sizeof *c->address_spaces.items))
        check_unique(l, where, "space", list, sizeof *c->address_spaces.items,
                     offsetof(struct conf_address_space, space));
}

static void check_sources(struct loader *l, const struct conf_connector *c, const char *key)
{
    const struct conf_strs *list = &c->source_bridgeheads;
    char where[96];
    (void)snprintf(where, sizeof where, "%s.source_bridgeheads", key);
    for (size_t i = 1; i < list->count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(list->items[i], list->items[k]) == 0)
                conf_problem(l, conf_mark(l, list), where, "'%s' is listed twice; leave one of them out",
                             list->items[i]);
}

static void check_smtp_connector(struct loader *l, const struct conf_connector *c, const char *key)
{
    if (c->address_spaces.count == 0)
        conf_problem(l, conf_mark(l, &c->name), key,
                     "connector '%s' has no address space; write address_spaces: [{space: \"*\"}]", c->name);
    if (c->deliver == CONF_DELIVER_SMART_HOSTS && c->smart_hosts.count == 0)
        conf_problem(
            l, conf_mark(l, &c->deliver), key,
            "connector '%s' delivers to smart hosts but names none; list them in smart_hosts, or write "
            "deliver: dns",
            c->name);
    if (c->deliver == CONF_DELIVER_DNS && c->smart_hosts.count > 0)
        conf_problem(l, conf_mark(l, &c->deliver), key,
                     "connector '%s' delivers by DNS but names smart hosts; leave out one of them", c->name);
    if (c->to_group[0] != '\0')
        conf_problem(l, conf_mark(l, &c->to_group), key,
                     "to_group is for connectors of type routing_group; leave it out, or change the type");
}

static void check_group_connector(struct loader *l, const struct conf_root *r, const struct conf_connector *c,
                                  const char *key)
{
    if (c->to_group[0] == '\0')
        conf_problem(l, conf_mark(l, &c->type), key,
                     "connector '%s' leads to no routing group; name it in to_group", c->name);
    else if (strcmp(c->to_group, r->routing_group.name) == 0)
        conf_problem(l, conf_mark(l, &c->to_group), key,
                     "'%s' is this routing group itself; name another one", c->to_group);
    if (c->smart_hosts.count == 0)
        conf_problem(l, conf_mark(l, &c->type), key,
                     "connector '%s' has no bridgehead to send to; list them in smart_hosts", c->name);
    if (c->deliver == CONF_DELIVER_DNS)
        conf_problem(l, conf_mark(l, &c->deliver), key,
                     "a connector to a routing group sends to its smart_hosts; leave out deliver");
    if (c->address_spaces.count > 0)
        conf_problem(l, conf_mark(l, &c->address_spaces), key,
                     "address spaces are for connectors of type smtp; leave them out, or change the type");
}

static void check_connector(struct loader *l, const struct conf_root *r, size_t i)
{
    const struct conf_connector *c = &r->connectors.items[i];
    char key[48];
    (void)snprintf(key, sizeof key, "connectors[%zu]", i);
    if (conf_bad(l, c, sizeof *c))
        return;
    check_spaces(l, c, key);
    check_sources(l, c, key);
    if (c->type == CONF_CONNECTOR_SMTP)
        check_smtp_connector(l, c, key);
    else
        check_group_connector(l, r, c, key);
}

void conf_cross_check(struct loader *l)
{
    const struct conf_root *r = &l->c->root;
    if (r->virtual_servers.count == 0 && !conf_bad(l, r, 1) && !conf_bad(l, &r->virtual_servers, 1))
        conf_problem(l, conf_mark(l, &r->virtual_servers), "virtual_servers",
                     "empty; list one, or leave the key out for one with the defaults");
    CHECK_UNIQUE(l, r, virtual_servers, name);
    CHECK_UNIQUE(l, r, local_domains, domain);
    CHECK_UNIQUE(l, r, connectors, name);
    CHECK_UNIQUE(l, &r->routing_group, neighbours, group);
    check_listens(l, r);
    for (size_t i = 0; i < r->virtual_servers.count; i++)
        if (!conf_bad(l, &r->virtual_servers.items[i], sizeof r->virtual_servers.items[i]))
            check_tls(l, &r->virtual_servers.items[i], i);
    if (!conf_bad(l, &r->delivery.retry, sizeof r->delivery.retry))
        check_retry(l, &r->delivery.retry);
    check_redis(l, r);
    for (size_t i = 0; i < r->connectors.count && l->nproblems <= PROBLEMS_MAX; i++)
        check_connector(l, r, i);
    conf_check_routing(l);
}
