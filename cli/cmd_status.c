/* cli/cmd_status.c — one screen: how the cluster is; and the same live. */
#include "cli/alive.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/status_view.h"
#include "cli/table.h"
#include "common/plural.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { TOP_EVERY_MS = 1000, TOP_COUNT_MAX = 1000000 };

struct look { /* what one round of questions brought */
    struct admin_status status;
    char version[32], mode[32], fsync[16], eviction[32], schema[16];
    struct status_view view;
    struct alive alive;
    bool have, no_store; /* no_store: no node and no worker has ever been there */
};
struct watching {
    struct remote r;
    struct look now, before;
    struct timer *timer;
    struct watch *keys;
    bool live, tty, failed;
    uint64_t left; /* screens until the end; 0: until somebody ends it */
};

static void look_done(struct look *l)
{
    status_view_done(&l->view);
    alive_done(&l->alive);
    *l = (struct look){.have = false};
}

static void keep(char *out, size_t size, struct span s)
{
    (void)snprintf(out, size, SPAN_FMT, (int)(s.len < size ? s.len : size - 1), s.ptr);
}

/* --- the questions, one after the other -------------------------------------------------------------------
 */

static void shown(struct watching *w);

static void finish(struct watching *w, enum err e, const char *why)
{
    if (e == ERR_OK && w->now.no_store && w->now.view.routers.n == 0) {
        e = ERR_NOTFOUND;
        why = "there is no queue in this Redis yet, and no router: start a node, a worker or a router first";
    }
    if (e != ERR_OK) {
        w->failed = true;
        remote_ended(&w->r, e, why);
        return;
    }
    w->now.have = true;
    shown(w);
}

static bool on_link(void *arg, const struct admin_link *k)
{
    return status_view_link(&((struct watching *)arg)->now.view, k) == ERR_OK;
}

static void on_links_done(void *arg, enum err e, const char *why)
{
    finish(arg, e, why);
}

static bool on_member(void *arg, const struct admin_member *m)
{
    struct look *l = &((struct watching *)arg)->now;
    return alive_member(&l->alive, m) && status_view_member(&l->view, m) == ERR_OK;
}

static void on_members_done(void *arg, enum err e, const char *why)
{
    struct watching *w = arg;
    if (e == ERR_OK)
        e = alive_end(&w->now.alive);
    if (e == ERR_OK && w->now.no_store)
        finish(w, ERR_OK, "");
    else if (e == ERR_OK)
        e = admin_links(w->r.admin, on_link, on_links_done, w);
    if (e != ERR_OK)
        finish(w, e, why);
}

static void on_status(void *arg, enum err e, const struct admin_status *s, const char *why)
{
    struct watching *w = arg;
    if (e == ERR_OK) {
        w->now.status = *s;
        keep(w->now.version, sizeof w->now.version, s->redis.version);
        keep(w->now.mode, sizeof w->now.mode, s->redis.mode);
        keep(w->now.fsync, sizeof w->now.fsync, s->redis.fsync);
        keep(w->now.eviction, sizeof w->now.eviction, s->redis.eviction);
        keep(w->now.schema, sizeof w->now.schema, s->schema);
    }
    w->now.no_store = e == ERR_NOTFOUND;
    if (e == ERR_OK || e == ERR_NOTFOUND)
        e = admin_members(w->r.admin, on_member, on_members_done, w);
    if (e != ERR_OK)
        finish(w, e, why);
}

static void ask(void *arg)
{
    struct watching *w = arg;
    look_done(&w->before);
    w->before = w->now;
    w->now = (struct look){.have = false};
    alive_begin(&w->now.alive, config_root(cli_config(w->r.cli)));
    if (status_view_init(&w->now.view) != ERR_OK)
        finish(w, ERR_NOMEM, "");
    else if (!remote_asked(&w->r, admin_status(w->r.admin, on_status, w)))
        loop_stop(w->r.loop);
}

/* --- the screen
 * --------------------------------------------------------------------------------------------- */

/* A second; 0 as long as there is nothing to compare with. */
static double rate(const struct watching *w, uint64_t now, uint64_t before)
{
    if (!w->before.have || w->now.status.now_ms <= w->before.status.now_ms || now < before)
        return 0;
    return (double)(now - before) * 1000.0 / (double)(w->now.status.now_ms - w->before.status.now_ms);
}

static const char *deliveries(uint64_t n)
{
    return n == 1 ? "delivery" : "deliveries";
}

static void print_queue(const struct watching *w)
{
    const struct admin_status *s = &w->now.status;
    const struct admin_counters *c = &s->counters;
    (void)printf("queue      %" PRIu64 " message%s with %" PRIu64 " %s left: %" PRIu64 " in hand, %" PRIu64
                 " badmail, %" PRIu64 " in quarantine\n",
                 s->messages, plural(s->messages), s->waiting_jobs, deliveries(s->waiting_jobs), c->in_hand,
                 c->badmail_now, c->quarantine_now);
    if (c->frozen > 0 || c->frozen_jobs > 0)
        (void)printf("frozen     %" PRIu64 " queue%s, and %" PRIu64 " %s one by one\n", c->frozen,
                     plural(c->frozen), c->frozen_jobs, deliveries(c->frozen_jobs));
    (void)printf("ever       %" PRIu64 " accepted, %" PRIu64 " delivered, %" PRIu64 " bounced, %" PRIu64
                 " deferral%s\n",
                 c->accepted, c->delivered, c->bounced, c->deferred, plural(c->deferred));
}

static void print_parties(const struct watching *w)
{
    uint64_t in = w->now.view.nodes.per_minute, out = w->now.view.workers.per_minute;
    (void)printf("nodes      %u, %" PRIu64 " message%s a minute accepted%s\n", w->now.view.nodes.n, in,
                 plural(in), w->now.view.nodes.n == 0 ? ": NOTHING TAKES MAIL IN" : "");
    (void)printf("workers    %u, %" PRIu64 " recipient%s a minute delivered%s\n", w->now.view.workers.n, out,
                 plural(out), w->now.view.workers.n == 0 ? ": WHAT IS ACCEPTED WAITS" : "");
    if (w->now.view.routers.n > 0)
        (void)printf("routers    %u, %s%s\n", w->now.view.routers.n,
                     w->now.view.master[0] != '\0' ? "master " : "NONE IS MASTER: ROUTES STAY AS THEY ARE",
                     w->now.view.master);
}

/* Connectors over which nobody sends. */
static void print_sources(const struct watching *w)
{
    const struct conf_root *root = config_root(cli_config(w->r.cli));
    for (size_t i = 0; i < root->connectors.count; i++) {
        const struct conf_connector *c = &root->connectors.items[i];
        struct buf list;
        if (!alive_none(&w->now.alive, c))
            continue;
        buf_init(&list, 8192);
        if (alive_list(c, &list) == ERR_OK)
            (void)printf("connector  %s: NONE OF ITS SOURCE BRIDGEHEADS IS ALIVE: %s\n", c->name,
                         buf_cstr(&list));
        buf_done(&list);
    }
}

static json_t *sources_json(const struct watching *w)
{
    const struct conf_root *root = config_root(cli_config(w->r.cli));
    json_t *list = json_array();
    for (size_t i = 0; i < root->connectors.count; i++)
        if (alive_none(&w->now.alive, &root->connectors.items[i]))
            (void)json_array_append_new(list, json_string(root->connectors.items[i].name));
    return list;
}

static void print_redis(const struct watching *w)
{
    const struct admin_status *s = &w->now.status;
    char used[24], most[24], up[24];
    bytes_text(s->redis.used_memory, used);
    bytes_text(s->redis.max_memory, most);
    age_text(s->redis.uptime_s * 1000, up);
    (void)printf("redis      %s %s, up %s, memory %s%s%s, fsync %s, eviction %s%s%s\n", w->now.version,
                 w->now.mode, up, used, s->redis.max_memory != 0 ? " of " : "",
                 s->redis.max_memory != 0 ? most : "", s->redis.aof ? w->now.fsync : "off", w->now.eviction,
                 s->redis.aof && !s->redis.aof_write_ok ? ", WRITE FAILED" : "",
                 s->redis.loading ? ", LOADING" : "");
    (void)printf("store      %u partition%s, schema %s\n", s->partitions, plural(s->partitions),
                 w->now.schema);
}

static void print_screen(const struct watching *w)
{
    const struct admin_status *s = &w->now.status;
    const struct admin_counters *c = &s->counters, *b = &w->before.status.counters;
    const struct conf_root *conf = config_root(cli_config(w->r.cli));
    if (w->now.no_store)
        (void)printf("queue      none: no node and no worker has opened this Redis yet\n");
    else
        print_queue(w);
    print_parties(w);
    print_sources(w);
    if (w->live)
        (void)printf("a second   %.0f accepted, %.0f delivered, %.0f bounced, %.0f deferrals\n",
                     rate(w, c->accepted, b->accepted), rate(w, c->delivered, b->delivered),
                     rate(w, c->bounced, b->bounced), rate(w, c->deferred, b->deferred));
    if (!w->now.no_store) {
        (void)printf("slots      %" PRIu64 " of %" PRIu64 " connections in use (%" PRIu64 " a domain)\n",
                     s->slots, conf->delivery.max_connections, conf->delivery.max_connections_per_domain);
        print_redis(w);
    }
    (void)printf("\n");
    (void)table_print(w->now.view.members, CLI_TABLE,
                      "Neither node nor worker is running: `bridgehead run` starts both.");
    if (table_rows(w->now.view.links) > 0) {
        (void)printf("\n");
        (void)table_print(w->now.view.links, CLI_TABLE, "");
    }
}

static json_t *redis_json(const struct watching *w)
{
    const struct admin_redis *r = &w->now.status.redis;
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:s, s:s, s:b, s:b}", "version", w->now.version, "mode",
                     w->now.mode, "uptime_s", (json_int_t)r->uptime_s, "used_memory",
                     (json_int_t)r->used_memory, "max_memory", (json_int_t)r->max_memory, "aof", r->aof,
                     "fsync", w->now.fsync, "eviction", w->now.eviction, "aof_write_ok", r->aof_write_ok,
                     "loading", r->loading);
}

static int print_json(const struct watching *w)
{
    const struct admin_status *s = &w->now.status;
    json_t *counters = json_object();
#define X(name, kind, meaning)                                                                               \
    (void)json_object_set_new(counters, #name, json_integer((json_int_t)s->counters.name));
    ADMIN_COUNTERS(X)
#undef X
    json_t *j =
        json_pack("{s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "messages", (json_int_t)s->messages,
                  "waiting", (json_int_t)s->waiting_jobs, "slots", (json_int_t)s->slots, "partitions",
                  (json_int_t)s->partitions, "schema", w->now.schema, "counters", counters, "redis",
                  redis_json(w), "members", table_json(w->now.view.members), "links",
                  table_json(w->now.view.links), "connectors_without_source", sources_json(w));
    return json_print(j);
}

static void shown(struct watching *w)
{
    if (w->live && !w->tty && !w->before.have) { /* what happens in a second is known after one */
        timer_set(w->timer, TOP_EVERY_MS);
        return;
    }
    if (w->r.cli->output == CLI_JSON) {
        w->r.code = print_json(w);
    } else {
        if (w->live && w->tty)
            (void)printf("\033[H\033[2J");
        print_screen(w);
        if (w->live && w->tty)
            (void)printf("\nq quits\n");
    }
    bool over = fflush(stdout) != 0 || w->left == 1;
    if (w->left > 0)
        w->left--;
    if (over) {
        loop_stop(w->r.loop);
        return;
    }
    if (!w->tty && w->r.cli->output == CLI_TABLE)
        (void)printf("\n");
    timer_set(w->timer, TOP_EVERY_MS);
}

static void on_key(void *arg)
{
    struct watching *w = arg;
    char c;
    if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 'Q' || c == 3)
        loop_stop(w->r.loop);
}

static int watch_cluster(struct cli *cli, bool live)
{
    struct watching w = {.live = live, .tty = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0};
    const char *count = live ? cli_opt(cli, "count") : NULL;
    w.left = live && w.tty ? 0 : 1;
    if (count != NULL && (!span_to_u64(span_cstr(count), TOP_COUNT_MAX, &w.left) || w.left == 0))
        return cli_fail(cli, CLI_USAGE, "--count takes 1 to %d, not '%s'", TOP_COUNT_MAX, count);
    struct termios saved, raw;
    int code = remote_open(&w.r, cli);
    bool keys = code == CLI_OK && live && w.tty && tcgetattr(STDIN_FILENO, &saved) == 0;
    if (keys) {
        raw = saved;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG); /* Ctrl-C is a key: the terminal is put back */
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        w.keys = watch_fd(w.r.loop, STDIN_FILENO, on_key, &w);
    }
    if (code == CLI_OK && (w.timer = timer_new(w.r.loop, ask, &w)) == NULL)
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK) {
        timer_set(w.timer, 0);
        loop_run(w.r.loop);
        code = w.r.code;
    }
    if (keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    watch_free(w.keys);
    timer_free(w.timer);
    look_done(&w.now);
    look_done(&w.before);
    remote_close(&w.r);
    return code;
}

int cmd_status(struct cli *cli)
{
    return watch_cluster(cli, false);
}

int cmd_top(struct cli *cli)
{
    return watch_cluster(cli, true);
}
