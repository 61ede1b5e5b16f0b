/* router/program.c — the router as a program: what it stands on, and what a daemon is asked for. */
#include "common/io/daemon.h"
#include "common/log.h"
#include "common/rng.h"
#include "queue/member.h"
#include "router/core.h"
#include "router/router.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 2000 };

bool router_wanted(const struct conf_root *root)
{
    return root->routing_group.key_file[0] != '\0';
}

ms_t router_wall(const struct router *r)
{
    return ms_after(r->wall_base_ms, loop_now(r->loop) - r->wall_base_mono_ms);
}

/* --- Keys and names ----------------------------------------------------------------------------------- */

/* All of it is read before any of it is taken. */
static enum err read_keys(const struct conf_root *root, struct key_file *group, struct key_file *transport,
                          uint8_t org_key[SIGN_KEY_LEN], struct errctx *ec)
{
    const struct conf_routing_group *g = &root->routing_group;
    if (!router_wanted(root))
        return err_set(ec, ERR_CONFIG,
                       "routing_group.key_file names no key: make one with `bridgehead keys make group`");
    if (!key_text_parse(span_cstr(g->organization_key), org_key))
        return err_set(ec, ERR_CONFIG, "routing_group.organization_key is missing");
    enum err e = key_file_read(g->key_file, group, ec);
    if (e != ERR_OK)
        return e;
    if (group->kind != KEY_GROUP || strcmp(group->group, g->name) != 0 ||
        strcmp(group->organization, root->organization) != 0)
        return err_set(ec, ERR_CONFIG, "'%s' is not the key of group '%s' in organization '%s'", g->key_file,
                       g->name, root->organization);
    if (group->cert_len == 0)
        return err_set(ec, ERR_CONFIG,
                       "'%s' has no certificate: `bridgehead keys certify`, then `keys install`",
                       g->key_file);
    e = key_check_certificate(group, span_of((const char *)group->cert_bytes, group->cert_len), org_key, ec);
    if (e != ERR_OK)
        return err_wrap(ec, ERR_CONFIG, "'%s'", g->key_file);
    if (g->neighbours.count == 0)
        return ERR_OK;
    e = key_file_read(g->transport_key_file, transport, ec);
    if (e == ERR_OK && transport->kind != KEY_TRANSPORT)
        e = err_set(ec, ERR_CONFIG, "'%s' is not a transport key", g->transport_key_file);
    return e;
}

enum err router_check(const struct conf_root *root, struct errctx *ec)
{
    struct key_file group = {.kind = KEY_GROUP}, transport = {.kind = KEY_TRANSPORT};
    uint8_t org_key[SIGN_KEY_LEN];
    enum err e = router_wanted(root) ? read_keys(root, &group, &transport, org_key, ec) : ERR_OK;
    key_file_wipe(&group);
    key_file_wipe(&transport);
    return e;
}

static void choose_names(struct router *r)
{
    char host[256] = "";
    member_name(r->root->router.name, r->name);
    (void)gethostname(host, sizeof host - 1);
    const char *own = r->root->delivery.hostname;
    if (own[0] == '\0')
        own = r->root->virtual_servers.items[0].hostname;
    (void)snprintf(r->hostname, sizeof r->hostname, "%s",
                   own[0] != '\0'    ? own
                   : host[0] != '\0' ? host
                                     : r->name);
}

/* --- Life --------------------------------------------------------------------------------------------- */

static void program_stop(void *self)
{
    struct router *r = self;
    master_stop(r);
    routing_free(r->routing);
    dns_free(r->dns);
    key_file_wipe(&r->group_key);
    key_file_wipe(&r->transport_key);
    config_unref(r->conf);
    r->routing = NULL;
    r->dns = NULL;
    r->conf = NULL;
}

static enum err program_start(void *self, struct errctx *ec)
{
    struct router *r = self;
    enum err e = read_keys(r->root, &r->group_key, &r->transport_key, r->org_key, ec);
    if (e == ERR_OK)
        e = dns_new(r->loop, r->root->resolver.servers.items, r->root->resolver.servers.count,
                    r->root->resolver.timeout_ms, r->root->resolver.cache_bytes, &r->dns, ec);
    if (e == ERR_OK)
        e = routing_open(r->loop, r->conf, PATIENCE_MS, &r->routing, ec);
    if (e == ERR_OK) {
        r->instance = rng_system_seed();
        r->started_ms = clock_wall(&clock_system);
        choose_names(r);
        metric_set(&r->m.neighbours, r->root->routing_group.neighbours.count);
        if (master_start(r) != ERR_OK)
            e = err_set(ec, ERR_NOMEM, "out of memory");
    }
    if (e != ERR_OK)
        program_stop(r);
    return e;
}

/* --- Reload ------------------------------------------------------------------------------------------- */

static bool same_strs(const struct conf_strs *a, const struct conf_strs *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->items[i], b->items[i]) == 0;
    return same;
}

static bool same_neighbours(const struct conf_root *a, const struct conf_root *b)
{
    const struct conf_routing_group *x = &a->routing_group, *y = &b->routing_group;
    bool same = x->neighbours.count == y->neighbours.count && a->router.hello_ms == b->router.hello_ms &&
                a->router.refresh_ms == b->router.refresh_ms &&
                a->router.lifetime_ms == b->router.lifetime_ms;
    for (size_t i = 0; same && i < x->neighbours.count; i++) {
        const struct conf_neighbour *n = &x->neighbours.items[i], *m = &y->neighbours.items[i];
        same = strcmp(n->group, m->group) == 0 && same_strs(&n->endpoints, &m->endpoints) &&
               same_strs(&n->keys, &m->keys);
    }
    return same;
}

static bool same_organization(const struct conf_root *a, const struct conf_root *b)
{
    return strcmp(a->organization, b->organization) == 0 &&
           strcmp(a->routing_group.name, b->routing_group.name) == 0;
}

static enum err program_reload(void *self, struct config *next, struct errctx *ec)
{
    struct router *r = self;
    struct key_file group = {.kind = KEY_GROUP}, transport = {.kind = KEY_TRANSPORT};
    const struct conf_root *root = config_root(next);
    uint8_t org_key[SIGN_KEY_LEN];
    enum err e = read_keys(root, &group, &transport, org_key, ec);
    if (e != ERR_OK) {
        metric_inc(&r->m.reloads_refused);
    } else {
        bool rebuild = !same_neighbours(r->root, root) ||
                       memcmp(transport.secret, r->transport_key.secret, sizeof transport.secret) != 0;
        bool anew = !same_organization(r->root, root) || memcmp(org_key, r->org_key, sizeof org_key) != 0;
        table_halt(r);          /* it borrows from the configuration */
        notices_flush(r, true); /* numbers of neighbours may mean others from now on */
        config_unref(r->conf);
        r->conf = config_ref(next);
        r->root = root;
        r->group_key = group;
        r->transport_key = transport;
        metric_set(&r->m.neighbours, root->routing_group.neighbours.count);
        if (anew) {
            memcpy(r->org_key, org_key, sizeof org_key);
            router_step_down(r, "another organization or another group is configured");
            speaker_stop(r); /* at once: nothing of its table is believed any more */
            table_distrust(r);
        } else {
            master_reload(r, rebuild);
        }
    }
    key_file_wipe(&group);
    key_file_wipe(&transport);
    return e;
}

/* --- The rest of what a daemon is asked for ------------------------------------------------------------- */

static void program_drain(void *self)
{
    master_drain(self);
}

static bool program_drained(void *self)
{
    return ((struct router *)self)->drained;
}

/* A standby is as ready as the master: both could be it in a moment. */
static bool program_ready(void *self, struct buf *ret_why)
{
    struct router *r = self;
    if (!routing_ready(r->routing, ret_why))
        return false;
    if (r->why[0] != '\0')
        (void)!buf_add(ret_why, span_cstr(r->why));
    return r->why[0] == '\0';
}

static enum err engine_metrics(const struct router *r, struct buf *out)
{
    enum err e = ERR_OK;
    for (int i = 0; i < LS_C__COUNT && e == ERR_OK; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s", ls_counter_name((enum ls_counter)i));
        for (char *c = name; *c != '\0'; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        uint64_t value = r->counted[i] + (r->ls == NULL ? 0 : ls_counters(r->ls)[i]);
        e = buf_addf(out,
                     "# HELP bridgehead_router_linkstate_%s_total %s\n"
                     "# TYPE bridgehead_router_linkstate_%s_total counter\n"
                     "bridgehead_router_linkstate_%s_total %" PRIu64 "\n",
                     name, ls_counter_help((enum ls_counter)i), name, name, value);
    }
    return e;
}

static enum err program_metrics(void *self, struct buf *out)
{
    struct router *r = self;
    const void *const structs[] = {&r->m};
    enum err e = metrics_write(out, router_metrics_desc, router_metrics_count, structs, 1, "");
    if (e == ERR_OK)
        e = engine_metrics(r, out);
    return e == ERR_OK ? routing_metrics(r->routing, out) : e;
}

static const struct daemon_hooks hooks = {
    .program = "router",
    .start = program_start,
    .reload = program_reload,
    .drain = program_drain,
    .drained = program_drained,
    .ready = program_ready,
    .metrics = program_metrics,
    .stop = program_stop,
};

int router_main(struct config *conf, const char *config_path)
{
    const struct conf_root *root = config_root(conf);
    struct daemon_options opts = {.config_path = config_path, .http = root->router.http, .grace_ms = 3000};
    struct router *r = calloc(1, sizeof *r);
    struct loop *loop = loop_new();
    int rc = 1;
    if (r == NULL || loop == NULL) {
        log_error("router.start", "text='out of memory or descriptors'");
    } else {
        r->loop = loop;
        r->conf = config_ref(conf);
        r->root = root;
        rc = daemon_run(loop, conf, &opts, &hooks, r);
    }
    free(r);
    loop_free(loop);
    return rc;
}
