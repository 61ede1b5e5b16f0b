#include "worker/resolve.h"

struct question {
    struct resolve *r;
    struct dns_query *query; /* NULL: not under way */
    size_t host;
};
struct resolve {
    struct loop *loop;
    struct dns *dns;
    const struct targets_spec *spec;
    struct targets_plan plan;
    struct question mx, hosts[TARGETS_HOSTS_MAX];
    struct deferred finish;
    resolve_fn *done;
    void *arg;
};

static void finish(void *arg)
{
    struct resolve *r = arg;

    r->done(r->arg, &r->plan);
}

static void check(struct resolve *r)
{
    if (targets_ready(&r->plan))
        deferred_arm(r->loop, &r->finish);
}

static struct dns_answer no_answer(enum err e)
{
    struct dns_answer a = {.err = e};

    (void)snprintf(a.why, sizeof a.why, "%s", err_text(e));
    return a;
}

static void on_addresses(void *arg, const struct dns_answer *answer)
{
    struct question *q = arg;

    q->query = NULL;
    targets_addresses(&q->r->plan, q->host, answer);
    check(q->r);
}

static void ask_addresses(struct resolve *r)
{
    for (size_t i = 0; i < r->plan.nhosts; i++) {
        struct question *q = &r->hosts[i];
        struct dns_answer failed;
        enum err e;

        if (r->plan.hosts[i].answered)
            continue;
        *q = (struct question){.r = r, .host = i};
        e = r->dns == NULL
                ? ERR_DNS
                : dns_ask_addresses(r->dns, span_cstr(r->plan.hosts[i].name), on_addresses, q, &q->query);
        if (e == ERR_OK)
            continue;
        failed = no_answer(e);
        targets_addresses(&r->plan, i, &failed);
    }
    check(r);
}

static void take_mx(struct resolve *r, const struct dns_answer *answer)
{
    if (targets_mx(&r->plan, r->spec, answer) == TARGETS_ASK_ADDRESSES)
        ask_addresses(r);
    else
        check(r);
}

static void on_mx(void *arg, const struct dns_answer *answer)
{
    struct question *q = arg;

    q->query = NULL;
    take_mx(q->r, answer);
}

static void ask_mx(struct resolve *r)
{
    struct dns_answer failed;
    enum err e = ERR_DNS;

    r->mx = (struct question){.r = r};
    if (r->dns != NULL)
        e = dns_ask_mx(r->dns, span_cstr(r->plan.domain), on_mx, &r->mx, &r->mx.query);
    if (e == ERR_OK)
        return;
    failed = no_answer(e);
    take_mx(r, &failed);
}

struct resolve *resolve_new(struct loop *l, struct dns *dns, const struct targets_spec *spec,
                            resolve_fn *done, void *arg)
{
    struct resolve *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    r->loop = l;
    r->dns = dns;
    r->spec = spec;
    r->done = done;
    r->arg = arg;
    deferred_init(&r->finish, finish, r);
    switch (targets_begin(&r->plan, spec)) {
    case TARGETS_ASK_MX:
        ask_mx(r);
        break;
    case TARGETS_ASK_ADDRESSES:
        ask_addresses(r);
        break;
    case TARGETS_ASK_NOTHING:
        check(r);
        break;
    }
    return r;
}

void resolve_free(struct resolve *r)
{
    if (r == NULL)
        return;
    deferred_disarm(&r->finish);
    if (r->mx.query != NULL)
        dns_cancel(r->mx.query);
    for (size_t i = 0; i < ARRAY_LEN(r->hosts); i++)
        if (r->hosts[i].query != NULL)
            dns_cancel(r->hosts[i].query);
    free(r);
}
