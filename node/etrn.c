#include "node/etrn.h"

#include "common/log.h"
#include "queue/admin.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*          start()                link's failures forgotten      edited
 *   free ----------> FORGIVING ----------------------------> EDITING ------> free
 *                        ^                                      | jobs of a class that takes another link
 *                        `--------------------------------------'
 *
 * First the link: a job that is due is no use while everybody waits for its link to be tried again. Classes
 * of a domain may take different links, which only the jobs tell: then it begins anew with that link. */
enum { PATIENCE_MS = 10000, LINKS_MAX = 8, DOMAIN_MAX = 255 };

struct run {
    struct etrn *owner;
    struct route_table *routes;
    char domain[DOMAIN_MAX + 1]; /* "": free */
    char links[LINKS_MAX][ROUTE_LINK_MAX];
    size_t nlinks, forgiven;
    uint64_t changed;
    ms_t began_ms;
};
struct etrn {
    struct loop *loop;
    struct admin *admin; /* NULL: no request for a while */
    struct timer *timer;
    struct run runs[ETRN_RUNS];
};

static void forgive(struct run *r);

static bool is_free(const struct run *r)
{
    return r->domain[0] == '\0';
}

static void add_link(struct run *r, struct span domain, uint32_t klass)
{
    struct route route;
    char name[ROUTE_LINK_MAX];
    route_lookup(r->routes, domain, klass, &route);
    if (route.kind == ROUTE_NONE || r->nlinks == LINKS_MAX)
        return;
    route_link_name(&route, domain, name);
    for (size_t i = 0; i < r->nlinks; i++)
        if (strcmp(r->links[i], name) == 0)
            return;
    memcpy(r->links[r->nlinks++], name, sizeof name);
}

static void ends(struct run *r, enum err e, const char *why)
{
    struct log_scratch domain, text;
    ms_t took_ms = loop_now(r->owner->loop) - r->began_ms;
    if (e == ERR_OK)
        log_info("smtp.etrn", "domain=%s jobs=%" PRIu64 " ms=%" PRIu64,
                 log_text(&domain, span_cstr(r->domain)), r->changed, took_ms);
    else
        log_warn("smtp.etrn", "domain=%s jobs=%" PRIu64 " ms=%" PRIu64 " err=%s why=%s",
                 log_text(&domain, span_cstr(r->domain)), r->changed, took_ms, err_name(e),
                 log_text(&text, span_cstr(why)));
    route_table_unref(r->routes);
    *r = (struct run){.owner = r->owner};
}

static bool on_job(void *arg, const struct admin_job *j)
{
    struct run *r = arg;
    add_link(r, j->job.domain, j->job.klass);
    return true;
}

static void on_edited(void *arg, enum err e, const struct admin_result *result, const char *why)
{
    struct run *r = arg;
    r->changed += result->changed;
    if (e == ERR_OK && r->forgiven < r->nlinks)
        forgive(r);
    else
        ends(r, e, why);
}

static void edit(struct run *r)
{
    struct admin_filter f = {.domain = span_cstr(r->domain), .any_class = true};
    enum err e = admin_edit(r->owner->admin, ADMIN_RETRY_NOW, &f, SPAN("ETRN"), false, on_job, on_edited, r);
    if (e != ERR_OK)
        ends(r, e, err_text(e));
}

static void on_forgiven(void *arg, enum err e, uint64_t n, const char *why)
{
    struct run *r = arg;
    (void)n;
    r->forgiven++;
    if (e == ERR_OK)
        forgive(r);
    else
        ends(r, e, why);
}

static void forgive(struct run *r)
{
    if (r->forgiven == r->nlinks) {
        edit(r);
        return;
    }
    enum err e = admin_link_reset(r->owner->admin, span_cstr(r->links[r->forgiven]), on_forgiven, r);
    if (e != ERR_OK)
        ends(r, e, err_text(e));
}

/* --- life ----------------------------------------------------------------------------------------------- */

static void stop(struct etrn *t)
{
    admin_free(t->admin); /* what is under way ends with ERR_CANCELED */
    t->admin = NULL;
}

/* When the oldest request has had its time, or when there was none for so long. */
static void on_timer(void *arg)
{
    struct etrn *t = arg;
    ms_t now_ms = loop_now(t->loop), oldest_ms = now_ms;
    bool busy = false;
    for (size_t i = 0; i < ETRN_RUNS; i++) {
        if (is_free(&t->runs[i]))
            continue;
        busy = true;
        oldest_ms = t->runs[i].began_ms < oldest_ms ? t->runs[i].began_ms : oldest_ms;
    }
    if (busy && oldest_ms + ETRN_MS > now_ms)
        timer_set(t->timer, oldest_ms + ETRN_MS - now_ms);
    else
        stop(t);
}

struct etrn *etrn_new(struct loop *l)
{
    struct etrn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->loop = l;
    for (size_t i = 0; i < ETRN_RUNS; i++)
        t->runs[i].owner = t;
    t->timer = timer_new(l, on_timer, t);
    if (t->timer == NULL) {
        free(t);
        return NULL;
    }
    return t;
}

void etrn_free(struct etrn *t)
{
    if (t == NULL)
        return;
    stop(t);
    timer_free(t->timer);
    free(t);
}

static enum err open_admin(struct etrn *t, const struct config *conf)
{
    struct errctx ec = {""};
    struct log_scratch text;
    if (t->admin != NULL)
        return ERR_OK;
    enum err e = admin_open(t->loop, conf, PATIENCE_MS, &t->admin, &ec);
    if (e != ERR_OK)
        log_warn("smtp.etrn", "err=%s why=%s", err_name(e), log_text(&text, span_cstr(ec.msg)));
    else
        timer_set(t->timer, ETRN_MS);
    return e;
}

enum err etrn_start(struct etrn *t, const struct config *conf, struct route_table *routes, struct span domain)
{
    struct run *r = NULL;
    struct route route;
    for (size_t i = 0; i < ETRN_RUNS; i++) {
        if (is_free(&t->runs[i]))
            r = &t->runs[i];
        else if (span_eq(span_cstr(t->runs[i].domain), domain))
            return ERR_OK;
    }
    route_lookup(routes, domain, 0, &route);
    if (domain.len == 0 || domain.len > DOMAIN_MAX || route.kind == ROUTE_NONE)
        return ERR_NOTFOUND;
    if (r == NULL)
        return ERR_FULL;
    enum err e = open_admin(t, conf);
    if (e != ERR_OK)
        return e;
    memcpy(r->domain, domain.ptr, domain.len);
    r->routes = route_table_ref(routes);
    r->began_ms = loop_now(t->loop);
    add_link(r, domain, 0);
    forgive(r);
    return is_free(r) ? ERR_NOMEM : ERR_OK;
}
