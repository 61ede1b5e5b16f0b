#include "queue/redis_topology.h"

#include "queue/redis_resolve.h"
#include "queue/redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RESOLVE_AGAIN_MS = 1000,
    FORGET_MS = 30000, /* without a usable master: epochs do not count any more */
};

struct redis_topology {
    struct loop *loop;
    const struct redis_settings *settings;
    loop_fn *changed;
    void *arg;
    struct redis_sentinels *sentinels; /* or NULL */
    struct redis_resolve *resolve;
    struct timer *timer;
    struct redis_host host; /* of the master: what is resolved */
    struct ip_endpoint addresses[REDIS_ADDRESSES_MAX];
    size_t naddresses, at; /* addresses[at] is the target */
    bool known;
    uint64_t generation, suspected;
    ms_t trusted_ms;
    char why[320];
};

/* --- Settings ------------------------------------------------------------------------------------ */

enum err redis_settings_init(struct redis_settings *s, const struct conf_root *root, const char *client_name,
                             struct errctx *ec)
{
    const struct conf_redis *r = &root->redis;
    *s = (struct redis_settings){
        .username = r->username,
        .password = r->password_file,
        .connect_timeout_ms = r->connect_timeout_ms,
        .command_timeout_ms = r->command_timeout_ms,
    };
    enum err e = redis_url_parse(span_cstr(r->url), root->data_dir, &s->url, ec);
    if (e == ERR_OK && s->url.tls)
        e = tls_client_new(r->ca_file, true, &s->tls, ec);
    size_t n = 0;
    for (; client_name[n] != '\0' && n < sizeof s->client_name - 1;
         n++) { /* CLIENT SETNAME takes no blanks */
        char c = client_name[n];
        s->client_name[n] = c > ' ' && c < 0x7f ? c : '-';
    }
    s->client_name[n] = '\0';
    return e;
}

void redis_settings_done(struct redis_settings *s)
{
    tls_unref(s->tls);
    s->tls = NULL;
}

/* --- Finding ------------------------------------------------------------------------------------- */

static void announce(struct redis_topology *t, bool known)
{
    t->known = known;
    t->generation++;
    t->changed(t->arg);
}

static void resolve_later(struct redis_topology *t, const char *why)
{
    (void)snprintf(t->why, sizeof t->why, "%s", why);
    timer_set(t->timer, RESOLVE_AGAIN_MS);
}

static void on_resolved(void *arg, const struct ip_endpoint *list, size_t n, const char *why)
{
    struct redis_topology *t = arg;
    t->resolve = NULL;
    if (n == 0) {
        resolve_later(t, why);
        return;
    }
    t->suspected = 0;
    bool same = t->known && t->at == 0 && n == t->naddresses;
    for (size_t i = 0; i < n; i++) {
        same = same && ip_eq(&t->addresses[i].addr, &list[i].addr);
        t->addresses[i] = list[i];
    }
    t->naddresses = n;
    t->at = 0;
    if (!same)
        announce(t, true); /* else healthy links would reconnect for nothing */
}

static void resolve(struct redis_topology *t)
{
    if (t->resolve != NULL)
        return;
    if (redis_resolve_start(t->loop, t->host.name, t->host.port, on_resolved, t, &t->resolve) != ERR_OK)
        resolve_later(t, "out of memory");
}

/* The master is at host from now on. */
static void use_host(struct redis_topology *t, const struct redis_host *host)
{
    redis_resolve_cancel(t->resolve);
    t->resolve = NULL;
    t->host = *host;
    t->addresses[0] = (struct ip_endpoint){.port = host->port};
    t->naddresses = 1;
    t->at = 0;
    if (ip_parse(span_cstr(host->name), &t->addresses[0].addr) == ERR_OK) {
        announce(t, true);
    } else {
        t->naddresses = 0;
        t->known = false;
        resolve(t);
    }
}

static void on_found(void *arg, const struct redis_master *master)
{
    use_host(arg, &master->host);
}

static void on_timer(void *arg)
{
    struct redis_topology *t = arg;
    if (t->sentinels != NULL)
        redis_sentinels_ask(t->sentinels);
    if (t->host.name[0] != '\0' && !t->known)
        use_host(t, &t->host);
}

void redis_topology_suspect(struct redis_topology *t, uint64_t generation)
{
    struct ip_addr ignored;
    ms_t now = loop_now(t->loop);
    if (generation != t->generation || t->settings->url.unix_path[0] != '\0')
        return;
    if (t->sentinels != NULL) {
        redis_sentinels_ask(t->sentinels);
        if (now > t->trusted_ms + FORGET_MS) {
            t->trusted_ms = now;
            redis_sentinels_forget(t->sentinels);
        }
    }
    if (generation != t->generation || t->suspected == generation)
        return;
    t->suspected = generation;
    if (t->at + 1 < t->naddresses) {
        t->at++;
        announce(t, true);
    } else if (ip_parse(span_cstr(t->host.name), &ignored) != ERR_OK) {
        resolve(t); /* the name may point elsewhere by now */
    }
}

void redis_topology_trust(struct redis_topology *t, uint64_t generation)
{
    if (generation == t->generation) {
        t->trusted_ms = loop_now(t->loop);
        t->suspected = 0;
    }
}

/* --- Answering ----------------------------------------------------------------------------------- */

bool redis_topology_target(struct redis_topology *t, struct redis_target *ret)
{
    const struct redis_settings *s = t->settings;
    *ret = (struct redis_target){.conn = {.timeout_ms = s->connect_timeout_ms}, .generation = t->generation};
    if (s->url.unix_path[0] != '\0') {
        ret->conn.unix_path = s->url.unix_path;
        (void)snprintf(ret->text, sizeof ret->text, "unix:%s", s->url.unix_path);
        return true;
    }
    if (!t->known)
        return false;
    char text[ENDPOINT_TEXT_MAX];
    ret->conn.endpoint = t->addresses[t->at];
    ret->conn.tls = s->tls;
    ret->conn.tls_name = s->tls == NULL ? NULL : t->host.name;
    ip_endpoint_text(&ret->conn.endpoint, text);
    (void)snprintf(ret->text, sizeof ret->text, "%s", text);
    return true;
}

const char *redis_topology_why(const struct redis_topology *t)
{
    return t->sentinels != NULL && t->host.name[0] == '\0' ? redis_sentinels_why(t->sentinels) : t->why;
}

bool redis_topology_has_sentinel(const struct redis_topology *t)
{
    return t->sentinels != NULL;
}

bool redis_topology_priorities_equal(const struct redis_topology *t)
{
    return t->sentinels == NULL || redis_sentinels_priorities_equal(t->sentinels);
}

enum err redis_topology_new(struct loop *l, const struct redis_settings *s, loop_fn *changed, void *arg,
                            struct redis_topology **ret, struct errctx *ec)
{
    struct redis_topology *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    *t = (struct redis_topology){.loop = l, .settings = s, .changed = changed, .arg = arg, .generation = 1};
    t->trusted_ms = loop_now(l);
    t->timer = timer_new(l, on_timer, t);
    if (s->url.kind == REDIS_SENTINEL)
        t->sentinels = redis_sentinels_new(l, s, on_found, t);
    if (t->timer == NULL || (s->url.kind == REDIS_SENTINEL && t->sentinels == NULL)) {
        redis_topology_free(t);
        return err_set(ec, ERR_NOMEM, "out of memory");
    }
    (void)snprintf(t->why, sizeof t->why, "the address of Redis is not known yet");
    if (s->url.kind == REDIS_SINGLE && s->url.nhosts > 0) {
        t->host = s->url.hosts[0];
        timer_set(t->timer, 0);
    }
    *ret = t;
    return ERR_OK;
}

void redis_topology_free(struct redis_topology *t)
{
    if (t == NULL)
        return;
    redis_resolve_cancel(t->resolve);
    redis_sentinels_free(t->sentinels);
    timer_free(t->timer);
    free(t);
}
