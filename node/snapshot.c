#include "node/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void server_done(struct snapshot_server *sv)
{
    tls_unref(sv->tls);
    config_unref(sv->older);
}

static void free_all(struct snapshot *s)
{
    for (size_t i = 0; i < s->nservers; i++)
        server_done(&s->servers[i]);
    free(s->servers);
    route_table_unref(s->routes);
    config_unref(s->config);
    free(s);
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    (void)__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (s != NULL && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free_all(s);
}

static void name_of(const struct conf_virtual_server *vs, char out[256])
{
    if (vs->hostname[0] != '\0')
        (void)snprintf(out, 256, "%s", vs->hostname);
    else if (gethostname(out, 255) != 0 || out[0] == '\0')
        (void)snprintf(out, 256, "localhost");
    out[255] = '\0';
}

/* Inode, size and time of the file, mixed into h: a replaced or rewritten file changes it. */
static uint64_t look_at(uint64_t h, const char *path)
{
    struct stat st = {.st_ino = 0};
    if (path[0] != '\0' && stat(path, &st) != 0)
        st.st_ino = 0;
    const uint64_t facts[] = {(uint64_t)st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                              (uint64_t)st.st_mtim.tv_nsec};
    for (size_t i = 0; i < ARRAY_LEN(facts); i++)
        h = (h ^ facts[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t files_of(const struct conf_root *root)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < root->virtual_servers.count; i++) {
        h = look_at(h, root->virtual_servers.items[i].tls.certificate);
        h = look_at(h, root->virtual_servers.items[i].tls.key);
    }
    return h;
}

bool snapshot_files_changed(const struct snapshot *s)
{
    return files_of(config_root(s->config)) != s->files;
}

static struct tls_context *tls_of(const struct snapshot *previous, const char *server)
{
    for (size_t i = 0; previous != NULL && i < previous->nservers; i++)
        if (strcmp(previous->servers[i].session.vs->name, server) == 0 && previous->servers[i].tls != NULL)
            return tls_ref(previous->servers[i].tls);
    return NULL;
}

static enum err server_init(struct snapshot_server *sv, const struct conf_root *root,
                            const struct conf_virtual_server *vs, struct route_table *routes,
                            const struct snapshot *previous, struct errctx *ec)
{
    enum err e = ERR_OK;
    name_of(vs, sv->hostname);
    if (vs->tls.certificate[0] != '\0') {
        e = tls_server_new(vs->tls.certificate, vs->tls.key, (enum tls_min)vs->tls.min_version, &sv->tls, ec);
        if (e != ERR_OK) {
            e = err_wrap(ec, ERR_TLS, "virtual server %s", vs->name);
            sv->tls = tls_of(previous, vs->name);
        }
    }
    sv->session = (struct session_conf){
        .root = root, .vs = vs, .routes = routes, .hostname = sv->hostname, .tls = sv->tls != NULL};
    return e == ERR_OK || sv->tls == NULL ? e : ERR_AGAIN;
}

/* What root has for a virtual server, NULL: nothing. */
static const struct conf_virtual_server *settings_of(const struct conf_root *root, const char *server)
{
    for (size_t i = 0; i < root->virtual_servers.count; i++)
        if (strcmp(root->virtual_servers.items[i].name, server) == 0)
            return &root->virtual_servers.items[i];
    return NULL;
}

static enum err begin(struct config *config, size_t nservers, struct span published, uint64_t files,
                      struct snapshot **ret, struct errctx *ec)
{
    struct snapshot *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    s->refs = 1;
    s->config = config_ref(config);
    s->files = files;
    s->servers = calloc(nservers, sizeof *s->servers);
    enum err e = s->servers == NULL ? err_set(ec, ERR_NOMEM, "out of memory")
                                    : route_table_published(config, published, &s->routes, ec);
    if (e == ERR_OK)
        *ret = s;
    else
        free_all(s);
    return e;
}

enum err snapshot_reroute(const struct snapshot *previous, struct span published, struct snapshot **ret,
                          struct errctx *ec)
{
    struct snapshot *s;
    enum err e = begin(previous->config, previous->nservers, published, previous->files, &s, ec);
    if (e != ERR_OK)
        return e;
    for (; s->nservers < previous->nservers; s->nservers++) {
        struct snapshot_server *sv = &s->servers[s->nservers];
        *sv = previous->servers[s->nservers];
        sv->session.routes = s->routes;
        sv->session.hostname = sv->hostname;
        if (sv->tls != NULL)
            (void)tls_ref(sv->tls);
        if (sv->older != NULL)
            (void)config_ref(sv->older);
    }
    s->reverse_dns = previous->reverse_dns;
    *ret = s;
    return ERR_OK;
}

static bool has_place(const struct snapshot *s, const char *name)
{
    for (size_t i = 0; s != NULL && i < s->nservers; i++)
        if (strcmp(s->servers[i].session.vs->name, name) == 0)
            return true;
    return false;
}

static enum err add_server(struct snapshot *s, const struct conf_root *root,
                           const struct conf_virtual_server *vs, const struct snapshot *previous,
                           struct errctx *ec)
{
    s->reverse_dns = s->reverse_dns || vs->reverse_dns_lookup;
    return server_init(&s->servers[s->nservers++], root, vs, s->routes, previous, ec);
}

/* The place of before, with what root has for it; or without, with what it had. */
static enum err keep_server(struct snapshot *s, const struct conf_root *root, const struct snapshot *previous,
                            struct errctx *ec)
{
    const struct snapshot_server *before = &previous->servers[s->nservers];
    struct snapshot_server *now = &s->servers[s->nservers];
    const struct conf_virtual_server *vs = settings_of(root, before->session.vs->name);
    if (vs == NULL) {
        vs = before->session.vs;
        now->older = config_ref(before->older == NULL ? previous->config : before->older);
    }
    return add_server(s, root, vs, previous, ec);
}

enum err snapshot_new(struct config *config, const struct snapshot *previous, struct span published,
                      struct snapshot **ret, struct errctx *ec)
{
    const struct conf_root *root = config_root(config);
    const size_t before = previous == NULL ? 0 : previous->nservers;
    size_t nservers = before;
    struct snapshot *s;
    bool kept = false;
    for (size_t i = 0; i < root->virtual_servers.count; i++)
        nservers += !has_place(previous, root->virtual_servers.items[i].name);
    if (nservers > SNAPSHOT_SERVERS_MAX)
        return err_set(ec, ERR_TOOBIG, "more than %d virtual servers since this node was started; restart it",
                       SNAPSHOT_SERVERS_MAX);
    /* Files are looked at before they are read: a change in between is seen later. */
    enum err e = begin(config, nservers, published, files_of(root), &s, ec);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; e == ERR_OK && i < before + root->virtual_servers.count; i++) {
        const struct conf_virtual_server *vs = i < before ? NULL : &root->virtual_servers.items[i - before];
        if (vs != NULL && has_place(previous, vs->name))
            continue;
        e = vs == NULL ? keep_server(s, root, previous, ec) : add_server(s, root, vs, previous, ec);
        kept = kept || e == ERR_AGAIN;
        e = e == ERR_AGAIN ? ERR_OK : e;
    }
    if (e != ERR_OK) {
        free_all(s);
        return e;
    }
    *ret = s;
    return kept ? ERR_TLS : ERR_OK;
}
