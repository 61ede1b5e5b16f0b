#include "cli/remote.h"

#include "common/address.h"
#include "linkstate/route.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 };

/* clang-format off */
#define FIND_OPTS \
    {"sender", 's', "TEXT", "only mail whose sender contains TEXT"}, \
    {"recipient", 'r', "TEXT", "only mail with a recipient that contains TEXT"}, \
    {"older-than", 0, "AGE", "only mail that arrived longer ago: 90s, 10m, 2h, 3d"}, \
    {"younger-than", 0, "AGE", "only mail that arrived since"}, \
    {"id", 0, "ID", "only this message, or those whose ids begin so"}, \
    {"all", 'a', NULL, "everything"}, \
    {"dry-run", 'n', NULL, "say what would be done, and do nothing"}
#define REASON_OPT {"reason", 0, "TEXT", "kept in the history, and told to the sender of returned mail"}
#define NO_MORE_OPTS {NULL, 0, NULL, NULL}
const struct cli_optdesc find_opts[] = {FIND_OPTS, NO_MORE_OPTS};
const struct cli_optdesc filter_opts[] = {FIND_OPTS, REASON_OPT, NO_MORE_OPTS};
const struct cli_optdesc freeze_opts[] = {
    FIND_OPTS,
    {"messages", 'm', NULL, "the messages that wait now, not their queues"},
    {"reason", 0, "TEXT", "kept with a queue, for whoever wonders later, and in the history of messages"},
    NO_MORE_OPTS,
};
/* clang-format on */

static int open_either(struct remote *r, struct cli *cli, bool routing)
{
    struct errctx ec = {""};
    *r = (struct remote){.cli = cli};
    struct config *conf = cli_config(cli);
    if (conf == NULL)
        return CLI_CONFIG;
    r->loop = loop_new();
    if (r->loop == NULL)
        return cli_fail(cli, CLI_FAILED, "out of memory");
    enum err e = routing ? routing_open(r->loop, conf, PATIENCE_MS, &r->routing, &ec)
                         : admin_open(r->loop, conf, PATIENCE_MS, &r->admin, &ec);
    return e == ERR_OK ? CLI_OK : cli_fail(cli, CLI_REDIS, "%s", ec.msg);
}

int remote_open(struct remote *r, struct cli *cli)
{
    return open_either(r, cli, false);
}

int remote_open_routing(struct remote *r, struct cli *cli)
{
    return open_either(r, cli, true);
}

int remote_need_admin(struct remote *r)
{
    struct errctx ec = {""};
    if (r->admin != NULL || admin_open(r->loop, r->cli->conf, PATIENCE_MS, &r->admin, &ec) == ERR_OK)
        return CLI_OK;
    return cli_fail(r->cli, CLI_REDIS, "%s", ec.msg);
}

void remote_close(struct remote *r)
{
    admin_free(r->admin);
    routing_free(r->routing);
    loop_free(r->loop);
    r->admin = NULL;
    r->routing = NULL;
    r->loop = NULL;
}

static enum cli_exit exit_of(enum err e)
{
    if (e == ERR_NOTFOUND)
        return CLI_NOTFOUND;
    return e == ERR_AGAIN || e == ERR_BACKEND || e == ERR_TIMEOUT || e == ERR_IO ? CLI_REDIS : CLI_FAILED;
}

bool remote_asked(struct remote *r, enum err e)
{
    r->waiting = e == ERR_OK;
    if (e != ERR_OK)
        r->code = cli_fail(r->cli, exit_of(e), "%s", err_text(e));
    return r->waiting;
}

int remote_wait(struct remote *r)
{
    if (r->waiting)
        loop_run(r->loop);
    return r->code;
}

/* When nothing answers where Redis ought to be. */
static const char *advice(const struct cli *cli, const char *why)
{
    if (strstr(why, ": cannot connect: ") == NULL)
        return "";
    return strcmp(config_root(cli->conf)->redis.url, "embedded") == 0
               ? "; does `bridgehead run` run there, with this configuration?"
               : "; that is where redis.url says that Redis is: does it run?";
}

void remote_ended(struct remote *r, enum err e, const char *why)
{
    r->waiting = false;
    if (e == ERR_NOTFOUND)
        r->code = cli_fail(r->cli, CLI_NOTFOUND, "%s", why[0] != '\0' ? why : "there is no such message");
    else if (e != ERR_OK)
        r->code = cli_fail(r->cli, exit_of(e), "%s%s%s%s", err_text(e), why[0] != '\0' ? ": " : "", why,
                           advice(r->cli, why));
    loop_stop(r->loop);
}

struct published {
    struct route_table *routes;
    uint64_t version;
};

static void on_published(void *arg, enum err e, const struct routing_table *t, const char *why)
{
    struct remote *r = arg;
    struct published *p = r->user;
    struct errctx ec = {""};
    if (e == ERR_OK) {
        e = route_table_published(r->cli->conf, t->bytes, &p->routes, &ec);
        p->version = t->version;
        why = ec.msg;
    }
    remote_ended(r, e, e == ERR_OK ? "" : why);
}

int remote_routes(struct remote *r, struct route_table **ret, uint64_t *ret_version)
{
    struct errctx ec = {""};
    struct published p = {.routes = NULL};
    void *user = r->user;
    if (r->routing == NULL && routing_open(r->loop, r->cli->conf, PATIENCE_MS, &r->routing, &ec) != ERR_OK)
        return cli_fail(r->cli, CLI_REDIS, "%s", ec.msg);
    r->user = &p;
    if (remote_asked(r, routing_table_get(r->routing, 0, on_published, r)))
        (void)remote_wait(r);
    r->user = user;
    *ret = p.routes;
    *ret_version = p.version;
    return r->code;
}

void remote_done(void *arg, enum err e, const char *why)
{
    remote_ended(arg, e, why);
}

void remote_count(void *arg, enum err e, uint64_t n, const char *why)
{
    (void)n;
    remote_ended(arg, e, why);
}

enum err queue_name(struct span domain, uint32_t klass, struct buf *out)
{
    enum err e = buf_add(out, domain);
    return e == ERR_OK && klass != 0 ? buf_addf(out, "!%" PRIx32, klass) : e;
}

static bool hex_u32(struct span s, uint32_t *ret)
{
    uint32_t v = 0;
    if (s.len == 0 || s.len > 8)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit > 15)
            return false;
        v = v << 4 | digit;
    }
    *ret = v;
    return true;
}

enum err queue_name_parse(struct span text, struct buf *ret_domain, uint32_t *ret_klass, bool *ret_has_class)
{
    struct span domain, klass;
    *ret_klass = 0;
    *ret_has_class = span_cut(text, '!', &domain, &klass);
    if (*ret_has_class && !hex_u32(klass, ret_klass))
        return ERR_PARSE;
    return domain_normalize(domain, ret_domain);
}

enum err duration_parse(struct span text, ms_t *ret)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    uint64_t n;
    if (text.len < 2 || !span_to_u64(span_first(text, text.len - 1), 1000000, &n))
        return ERR_PARSE;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (text.ptr[text.len - 1] != units[i].unit)
            continue;
        *ret = n * units[i].ms;
        return ERR_OK;
    }
    return ERR_PARSE;
}

static int take_age(struct cli *cli, const char *option, ms_t *ret)
{
    const char *age = cli_opt(cli, option);
    if (age == NULL || (duration_parse(span_cstr(age), ret) == ERR_OK && *ret > 0))
        return CLI_OK;
    return cli_fail(cli, CLI_USAGE, "--%s takes 90s, 10m, 2h or 3d, not '%s'", option, age);
}

static int take_target(struct cli *cli, struct buf *ret_domain, struct admin_filter *f)
{
    bool has_class = false;
    struct msgid id;
    const char *target = cli->nargs > 0 ? cli->args[0] : NULL;
    f->any_class = true;
    if (target == NULL)
        return CLI_OK;
    if (msgid_parse(span_cstr(target), &id) == ERR_OK) {
        if (f->id.len > 0)
            return cli_fail(cli, CLI_USAGE, "one message at a time: '%s', or --id", target);
        f->id = span_cstr(target);
        return CLI_OK;
    }
    if (queue_name_parse(span_cstr(target), ret_domain, &f->klass, &has_class) != ERR_OK)
        return cli_fail(cli, CLI_USAGE,
                        "'%s' is no queue and no message id; `bridgehead queue list` and "
                        "`queue show` show them",
                        target);
    f->domain = buf_span(ret_domain);
    f->any_class = !has_class;
    return CLI_OK;
}

bool remote_finds_messages(const struct admin_filter *f)
{
    return f->sender.len + f->rcpt.len + f->id.len > 0 || f->min_age_ms + f->max_age_ms > 0;
}

int remote_filter(struct cli *cli, bool need_all, struct buf *ret_domain, struct admin_filter *f)
{
    f->sender = span_cstr(cli_opt(cli, "sender"));
    f->rcpt = span_cstr(cli_opt(cli, "recipient"));
    f->id = span_cstr(cli_opt(cli, "id"));
    if (!admin_is_id(f->id))
        return cli_fail(cli, CLI_USAGE, "--id takes a message id or how it begins, not '%s'",
                        cli_opt(cli, "id"));
    int code = take_age(cli, "older-than", &f->min_age_ms);
    if (code == CLI_OK)
        code = take_age(cli, "younger-than", &f->max_age_ms);
    if (code == CLI_OK)
        code = take_target(cli, ret_domain, f);
    if (code == CLI_OK && need_all && f->domain.len == 0 && !remote_finds_messages(f) &&
        cli_opt(cli, "all") == NULL)
        code = cli_fail(cli, CLI_USAGE,
                        "say which: a queue, a message id, --sender, --recipient, --older-than, "
                        "--younger-than, --id, or --all");
    return code;
}

const char *remote_place(const struct admin_job *j)
{
    if (j->returning)
        return "returning";
    switch (j->place) {
    case ADMIN_QUEUED:
        return j->frozen ? "frozen" : j->queue_frozen ? "queue frozen" : j->problem ? "problem" : "queued";
    case ADMIN_IN_HAND:
        return "in hand";
    case ADMIN_BADMAIL:
        return "badmail";
    case ADMIN_QUARANTINE:
        return "quarantine";
    case ADMIN_STAGED:
        return "staged";
    }
    return "?";
}

bool remote_has_next(const struct admin_job *j)
{
    return j->place == ADMIN_QUEUED && !j->frozen && !j->queue_frozen;
}

struct span remote_sender(struct span sender)
{
    return sender.len > 0 ? sender : SPAN("<>");
}

struct span remote_user(void)
{
    const char *name = getenv("USER");
    const struct passwd *pw = name != NULL && name[0] != '\0' ? NULL : getpwuid(geteuid());
    return span_cstr(pw != NULL ? pw->pw_name : name);
}

struct search {
    const struct admin_filter *filter;
    bool found;
};

static bool on_search(void *arg, const struct admin_queue *q)
{
    struct search *s = ((struct remote *)arg)->user;
    s->found =
        span_ieq(q->domain, s->filter->domain) && (s->filter->any_class || q->klass == s->filter->klass);
    return !s->found;
}

int remote_queue_known(struct remote *r, const struct admin_filter *f)
{
    struct search s = {.filter = f};
    r->user = &s;
    bool badmail = f->places != 0 && (f->places & ADMIN_QUEUED) == 0;
    if (f->domain.len > 0 && !badmail && remote_asked(r, admin_queues(r->admin, on_search, remote_done, r)))
        (void)remote_wait(r);
    r->user = NULL;
    if (r->code != CLI_OK || s.found)
        return r->code;
    return cli_fail(r->cli, CLI_NOTFOUND,
                    "nothing of that is in '%s'; `bridgehead %s list` shows what there is", r->cli->args[0],
                    badmail ? "badmail" : "queue");
}
