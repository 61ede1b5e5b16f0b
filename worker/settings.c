/* worker/settings.c — what links need of a configuration, made once for all of them. */
#include "worker/core.h"

#include <unistd.h>

static void set_names(struct settings *s)
{
    const struct conf_root *root = s->root;
    const char *first = root->virtual_servers.count > 0 ? root->virtual_servers.items[0].hostname : "";
    const char *name = root->delivery.hostname[0] != '\0' ? root->delivery.hostname : first;

    (void)snprintf(s->hostname, sizeof s->hostname, "%s", name);
    if (s->hostname[0] == '\0' && gethostname(s->hostname, sizeof s->hostname - 1) != 0)
        (void)snprintf(s->hostname, sizeof s->hostname, "localhost");
    s->self[s->nself++] = span_cstr(s->hostname);
    for (size_t i = 0; i < root->virtual_servers.count && s->nself < ARRAY_LEN(s->self); i++)
        if (root->virtual_servers.items[i].hostname[0] != '\0')
            s->self[s->nself++] = span_cstr(root->virtual_servers.items[i].hostname);
    if (root->delivery.dsn.postmaster[0] != '\0')
        (void)snprintf(s->postmaster, sizeof s->postmaster, "%s", root->delivery.dsn.postmaster);
    else
        (void)snprintf(s->postmaster, sizeof s->postmaster, "postmaster@%s", s->hostname);
}

static enum err set_sources(struct settings *s, struct errctx *ec)
{
    const struct conf_strs *list = &s->root->delivery.source_addresses;

    for (size_t i = 0; i < list->count && s->nsources < ARRAY_LEN(s->sources); i++) {
        if (ip_parse(span_cstr(list->items[i]), &s->sources[s->nsources]) != ERR_OK)
            return err_set(ec, ERR_CONFIG, "delivery.source_addresses: '%s' is no address", list->items[i]);
        s->nsources++;
    }
    return ERR_OK;
}

static void set_base_dir(struct settings *s, const char *config_path)
{
    const char *slash = config_path == NULL ? NULL : strrchr(config_path, '/');

    if (slash == NULL)
        (void)snprintf(s->base_dir, sizeof s->base_dir, ".");
    else
        (void)snprintf(s->base_dir, sizeof s->base_dir, "%.*s",
                       slash == config_path ? 1 : (int)(slash - config_path), config_path);
}

static enum err set_tls(struct settings *s, struct errctx *ec)
{
    const char *ca = s->root->delivery.ca_file;
    enum err e = tls_client_new(ca, false, &s->tls_plain, ec);

    return e == ERR_OK ? tls_client_new(ca, true, &s->tls_verify, ec) : e;
}

static enum err check_local_domains(const struct settings *s, struct errctx *ec)
{
    const struct conf_root *root = s->root;
    enum err e = ERR_OK;

    for (size_t i = 0; i < root->local_domains.count && e == ERR_OK; i++) {
        struct deliver d;

        if (deliver_parse(span_cstr(root->local_domains.items[i].deliver), &d, ec) != ERR_OK)
            e = err_wrap(ec, ERR_CONFIG, "local domain %s", root->local_domains.items[i].domain);
    }
    return e;
}

enum err settings_new(struct config *conf, struct span published, const char *config_path,
                      struct settings **ret, struct errctx *ec)
{
    struct settings *s = calloc(1, sizeof *s);
    enum err e;

    if (s == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    s->refs = 1;
    s->conf = config_ref(conf);
    s->root = config_root(conf);
    set_names(s);
    set_base_dir(s, config_path);
    e = check_local_domains(s, ec);
    if (e == ERR_OK)
        e = set_sources(s, ec);
    if (e == ERR_OK)
        e = set_tls(s, ec);
    if (e == ERR_OK)
        e = route_table_published(conf, published, &s->routes, ec);
    if (e != ERR_OK) {
        settings_unref(s);
        return e;
    }
    *ret = s;
    return ERR_OK;
}

struct settings *settings_ref(struct settings *s)
{
    s->refs++;
    return s;
}

void settings_unref(struct settings *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    route_table_unref(s->routes);
    tls_unref(s->tls_plain);
    tls_unref(s->tls_verify);
    config_unref(s->conf);
    free(s);
}
