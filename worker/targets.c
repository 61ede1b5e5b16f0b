#include "worker/targets.h"

#include "common/buf.h"

#include <stdarg.h>

static void fail(struct targets_plan *plan, enum failure failure, const char *fmt, ...) PRINTF(3, 4);
static void fail(struct targets_plan *plan, enum failure failure, const char *fmt, ...)
{
    va_list ap;

    plan->failure = failure;
    va_start(ap, fmt);
    (void)vsnprintf(plan->why, sizeof plan->why, fmt, ap);
    va_end(ap);
}

/* Names are stored NUL-terminated; one with a NUL inside, or too long, is no name. */
static bool copy_name(char *out, size_t size, struct span s)
{
    size_t at;

    if (s.len == 0 || s.len >= size || span_find(s, '\0', &at))
        return false;
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

static void add_address(struct targets_host *h, const struct ip_addr *a)
{
    if (h->n < ARRAY_LEN(h->addrs))
        h->addrs[h->n++] = *a;
}

static struct targets_host *add_host(struct targets_plan *plan, struct span name, uint16_t preference,
                                     uint16_t port)
{
    struct targets_host *h;

    if (plan->nhosts == ARRAY_LEN(plan->hosts))
        return NULL;
    h = &plan->hosts[plan->nhosts];
    *h = (struct targets_host){.preference = preference, .port = port};
    if (!copy_name(h->name, sizeof h->name, name))
        return NULL;
    plan->nhosts++;
    return h;
}

static struct targets_host *add_literal(struct targets_plan *plan, const struct ip_endpoint *e,
                                        uint16_t preference)
{
    char text[IP_TEXT_MAX];
    struct targets_host *h;

    ip_text(&e->addr, text);
    h = add_host(plan, span_cstr(text), preference, e->port);
    if (h != NULL) {
        h->answered = h->exists = true;
        add_address(h, &e->addr);
    }
    return h;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3) */
static bool domain_literal(struct span domain, struct ip_addr *ret)
{
    struct span inner;
    bool v6;

    if (domain.len < 3 || domain.ptr[0] != '[' || domain.ptr[domain.len - 1] != ']')
        return false;
    inner = span_of(domain.ptr + 1, domain.len - 2);
    v6 = span_has_iprefix(inner, SPAN("ipv6:"));
    if (v6)
        inner = span_from(inner, 5);
    return ip_parse(inner, ret) == ERR_OK && ret->v6 == v6;
}

static enum targets_ask begin_dns(struct targets_plan *plan, const struct targets_spec *spec)
{
    struct ip_endpoint e = {.port = spec->port};

    if (!copy_name(plan->domain, sizeof plan->domain, spec->domain)) {
        fail(plan, FAILURE_NO_DOMAIN, "the domain cannot be looked up");
        return TARGETS_ASK_NOTHING;
    }
    if (spec->domain.ptr[0] != '[')
        return TARGETS_ASK_MX;
    if (!domain_literal(spec->domain, &e.addr))
        fail(plan, FAILURE_NO_DOMAIN, "%s is no address", plan->domain);
    else
        (void)add_literal(plan, &e, 0);
    return TARGETS_ASK_NOTHING;
}

/* "host:port" or "host" */
static bool add_named(struct targets_plan *plan, struct span text, uint16_t preference)
{
    struct ip_endpoint e;
    struct span host = text, digits;
    uint64_t port = plan->port;
    size_t colon;

    if (ip_endpoint_parse(text, plan->port, &e) == ERR_OK)
        return add_literal(plan, &e, preference) != NULL;
    if (span_rfind(text, ':', &colon)) {
        host = span_first(text, colon);
        digits = span_from(text, colon + 1);
        if (!span_to_u64(digits, 65535, &port) || port == 0)
            return false;
    }
    return add_host(plan, host, preference, (uint16_t)port) != NULL;
}

static enum targets_ask begin_named(struct targets_plan *plan, const struct targets_spec *spec)
{
    bool ask = false;

    for (size_t i = 0; i < spec->nnamed && plan->nhosts < TARGETS_HOSTS_MAX; i++)
        (void)add_named(plan, span_cstr(spec->named[i]), i < spec->nequal ? 0 : (uint16_t)i);
    for (size_t i = 0; i < plan->nhosts; i++)
        ask = ask || !plan->hosts[i].answered;
    if (plan->nhosts == 0)
        fail(plan, FAILURE_SMART_HOST_NAME, "no usable host is configured");
    return ask ? TARGETS_ASK_ADDRESSES : TARGETS_ASK_NOTHING;
}

enum targets_ask targets_begin(struct targets_plan *plan, const struct targets_spec *spec)
{
    *plan = (struct targets_plan){.kind = spec->kind, .port = spec->port, .ttl_ms = TARGETS_TTL_MAX_MS};
    switch (spec->kind) {
    case TARGETS_DNS:
        return begin_dns(plan, spec);
    case TARGETS_NAMED:
        return begin_named(plan, spec);
    case TARGETS_UNIX:
        if (!copy_name(plan->unix_path, sizeof plan->unix_path, spec->unix_path))
            fail(plan, FAILURE_SMART_HOST_NAME, "the path of the socket is too long");
        return TARGETS_ASK_NOTHING;
    }
    return TARGETS_ASK_NOTHING;
}

static void keep_ttl(struct targets_plan *plan, ms_t ttl_ms)
{
    if (ttl_ms < plan->ttl_ms)
        plan->ttl_ms = ttl_ms < TARGETS_TTL_MIN_MS ? TARGETS_TTL_MIN_MS : ttl_ms;
}

static bool is_self(const struct targets_spec *spec, struct span host)
{
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    for (size_t i = 0; i < spec->nself; i++)
        if (span_ieq(spec->self[i], host))
            return true;
    return false;
}

static bool temporary(enum err e)
{
    return e != ERR_OK && e != ERR_PARSE;
}

/* Preferences at which the list has to be cut so that mail cannot loop: those of our own name and worse
 * ones (RFC 5321 5.1). UINT32_MAX: we are not in it. */
static uint32_t own_preference(const struct targets_spec *spec, const struct dns_answer *a)
{
    uint32_t own = UINT32_MAX;

    for (size_t i = 0; i < a->n; i++)
        if (is_self(spec, span_cstr(a->mx[i].host)) && a->mx[i].preference < own)
            own = a->mx[i].preference;
    return own;
}

enum targets_ask targets_mx(struct targets_plan *plan, const struct targets_spec *spec,
                            const struct dns_answer *a)
{
    uint32_t own;

    keep_ttl(plan, a->ttl_ms);
    if (temporary(a->err)) {
        fail(plan, FAILURE_DNS, "MX of %s: %s", plan->domain, a->why);
        return TARGETS_ASK_NOTHING;
    }
    if (a->err != ERR_OK || !a->exists) {
        fail(plan, FAILURE_NO_DOMAIN, "domain %s does not exist", plan->domain);
        return TARGETS_ASK_NOTHING;
    }
    if (a->n == 1 && a->mx[0].host[0] == '\0') { /* RFC 7505 3 */
        fail(plan, FAILURE_NULL_MX, "domain %s does not accept mail (null MX)", plan->domain);
        return TARGETS_ASK_NOTHING;
    }
    own = own_preference(spec, a);
    for (size_t i = 0; i < a->n; i++)
        if (a->mx[i].preference < own && a->mx[i].host[0] != '\0')
            (void)add_host(plan, span_cstr(a->mx[i].host), a->mx[i].preference, plan->port);
    if (plan->nhosts == 0 && own != UINT32_MAX) {
        fail(plan, FAILURE_LOOP, "mail for %s loops back to this server", plan->domain);
        return TARGETS_ASK_NOTHING;
    }
    if (a->n == 0) /* the implicit MX (RFC 5321 5.1) */
        (void)add_host(plan, span_cstr(plan->domain), 0, plan->port);
    if (plan->nhosts == 0)
        fail(plan, FAILURE_NO_DOMAIN, "domain %s has no usable mail server", plan->domain);
    return plan->nhosts == 0 ? TARGETS_ASK_NOTHING : TARGETS_ASK_ADDRESSES;
}

void targets_addresses(struct targets_plan *plan, size_t host, const struct dns_answer *a)
{
    struct targets_host *h = &plan->hosts[host];

    h->answered = true;
    h->exists = a->err == ERR_OK && a->exists;
    h->temporary = temporary(a->err);
    if (a->err == ERR_OK) {
        keep_ttl(plan, a->ttl_ms);
        for (size_t i = 0; i < a->n; i++)
            add_address(h, &a->addrs[i]);
    }
    if (h->temporary && plan->why[0] == '\0')
        (void)snprintf(plan->why, sizeof plan->why, "address of %s: %s", h->name, a->why);
}

bool targets_ready(struct targets_plan *plan)
{
    bool usable = plan->kind == TARGETS_UNIX, soft = false;

    if (plan->failure != FAILURE_NONE)
        return true;
    for (size_t i = 0; i < plan->nhosts; i++) {
        if (!plan->hosts[i].answered)
            return false;
        usable = usable || plan->hosts[i].n > 0;
        soft = soft || plan->hosts[i].temporary;
    }
    if (soft) /* a host is missing: soon asked again */
        plan->ttl_ms = TARGETS_TTL_MIN_MS;
    if (usable)
        return true;
    if (soft) { /* why was written with the answer */
        plan->failure = FAILURE_DNS;
    } else if (plan->kind == TARGETS_NAMED) {
        /* A typing error of the operator is mended sooner than the mail expires: it waits. */
        fail(plan, FAILURE_SMART_HOST_NAME, "no smart host has an address (%s)", plan->hosts[0].name);
    } else {
        fail(plan, FAILURE_NO_DOMAIN, "no mail server of %s has an address (%s)", plan->domain,
             plan->hosts[0].name);
    }
    return true;
}

static void add_target(struct targets_list *list, const struct targets_host *h, const struct ip_addr *a)
{
    if (list->n < ARRAY_LEN(list->items))
        list->items[list->n++] = (struct target){.endpoint = {.addr = *a, .port = h->port}, .host = h->name};
}

/* Families in turn: when one of them is not routed at all, half of the tries are still good ones. */
static void add_host_targets(struct targets_list *list, const struct targets_host *h, struct rng *rng)
{
    const struct ip_addr *family[2][TARGETS_PER_HOST_MAX] = {{NULL}};
    size_t n[2] = {0, 0};

    for (size_t i = 0; i < h->n; i++) {
        size_t f = h->addrs[i].v6 ? 0 : 1;
        size_t at = (size_t)rng_below(rng, n[f] + 1);

        family[f][n[f]] = family[f][at]; /* inside-out shuffle */
        family[f][at] = &h->addrs[i];
        n[f]++;
    }
    for (size_t i = 0; i < h->n; i++)
        for (size_t f = 0; f < 2; f++)
            if (i < n[f])
                add_target(list, h, family[f][i]);
}

void targets_list(const struct targets_plan *plan, struct rng *rng, struct targets_list *ret)
{
    const struct targets_host *order[TARGETS_HOSTS_MAX];

    ret->n = 0;
    if (plan->kind == TARGETS_UNIX) {
        ret->items[ret->n++] = (struct target){.host = plan->unix_path, .unix_path = plan->unix_path};
        return;
    }
    for (size_t i = 0; i < plan->nhosts; i++)
        order[i] = &plan->hosts[i];
    for (size_t i = 0, end; i < plan->nhosts; i = end) {
        for (end = i + 1; end < plan->nhosts && order[end]->preference == order[i]->preference; end++)
            continue;
        for (size_t k = end - 1; k > i; k--) {
            size_t at = i + (size_t)rng_below(rng, k - i + 1);
            const struct targets_host *swap = order[k];

            order[k] = order[at];
            order[at] = swap;
        }
    }
    for (size_t i = 0; i < plan->nhosts; i++)
        add_host_targets(ret, order[i], rng);
}

void targets_search_begin(struct targets_search *s, ms_t now_ms)
{
    s->begun = 1;
    s->since_ms = now_ms;
}

enum targets_next targets_search_next(struct targets_search *s, const struct targets_list *list, ms_t now_ms)
{
    if (s->at + 1 >= list->n)
        return TARGETS_ALL_TRIED;
    if (s->begun >= TARGETS_SEARCH_MIN && now_ms - s->since_ms >= TARGETS_SEARCH_MS)
        return TARGETS_OUT_OF_TIME;
    s->at++;
    s->begun++;
    return TARGETS_NEXT;
}

static bool is_of(const struct target *t, const struct targets_host *h)
{
    return t->unix_path == NULL && h->port == t->endpoint.port && strcmp(h->name, t->host) == 0;
}

void targets_note_data_only(struct targets_plan *plan, const struct target *t)
{
    plan->unix_data_only = plan->unix_data_only || t->unix_path != NULL;
    for (size_t i = 0; i < plan->nhosts; i++)
        plan->hosts[i].data_only = plan->hosts[i].data_only || is_of(t, &plan->hosts[i]);
}

bool targets_is_data_only(const struct targets_plan *plan, const struct target *t)
{
    for (size_t i = 0; i < plan->nhosts; i++)
        if (is_of(t, &plan->hosts[i]))
            return plan->hosts[i].data_only;
    return t->unix_path != NULL && plan->unix_data_only;
}
