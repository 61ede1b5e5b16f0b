#include "cli/alive.h"

#include "queue/member.h"

bool alive_member(struct alive *a, const struct admin_member *m)
{
    struct member_facts facts;
    member_read(m->info, &facts);
    if (m->lease_ms > m->now_ms && span_eq(facts.role, SPAN("worker")))
        a->nomem = names_add(&a->workers, facts.host) != ERR_OK;
    return !a->nomem;
}

static bool on_member(void *arg, const struct admin_member *m)
{
    return alive_member(((struct remote *)arg)->user, m);
}

static bool any_listed(const struct conf_root *root)
{
    bool any = false;
    for (size_t i = 0; i < root->connectors.count; i++)
        any = any || root->connectors.items[i].source_bridgeheads.count > 0;
    return any;
}

void alive_begin(struct alive *a, const struct conf_root *root)
{
    *a = (struct alive){.asked = any_listed(root)};
    names_init(&a->workers);
}

enum err alive_end(struct alive *a)
{
    return a->nomem ? ERR_NOMEM : names_sort(&a->workers);
}

int alive_read(struct alive *a, struct remote *r)
{
    void *user = r->user;
    alive_begin(a, config_root(cli_config(r->cli)));
    int code = a->asked ? remote_need_admin(r) : CLI_OK;
    if (code != CLI_OK || !a->asked)
        return code;
    r->user = a;
    if (remote_asked(r, admin_members(r->admin, on_member, remote_done, r)))
        (void)remote_wait(r);
    r->user = user;
    if (r->code == CLI_OK && alive_end(a) != ERR_OK)
        return cli_fail(r->cli, CLI_FAILED, "out of memory");
    return r->code;
}

void alive_done(struct alive *a)
{
    names_done(&a->workers);
}

bool alive_has(const struct alive *a, const char *worker)
{
    bool has = false;
    for (size_t i = 0; i < a->workers.count && !has; i++)
        has = span_eq(names_at(&a->workers, i), span_cstr(worker));
    return has;
}

bool alive_none(const struct alive *a, const struct conf_connector *c)
{
    const struct conf_strs *list = &c->source_bridgeheads;
    bool none = a->asked && list->count > 0;
    for (size_t i = 0; i < list->count && none; i++)
        none = !alive_has(a, list->items[i]);
    return none;
}

enum err alive_list(const struct conf_connector *c, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < c->source_bridgeheads.count && e == ERR_OK; i++)
        e = buf_addf(out, "%s%s", i > 0 ? ", " : "", c->source_bridgeheads.items[i]);
    return e;
}
