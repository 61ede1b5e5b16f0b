#include "tests/scripts/harness.h"

#include <stdio.h>
#include <stdlib.h>

struct harness {
    struct fake_clock clock;
    struct fake_store *db;
    struct store *store;
    struct intake_budget budget;
    struct node_metrics metrics;
    struct intake intake;
    struct route_table *routes;
    struct config *config;
    struct session_conf conf;
    struct session *session;
    struct ip_addr client;
    struct buf kept, sent;
    size_t piece;
    bool tls_due, closed;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "harness: %s\n", what);
    abort();
}

/* --- what a node does around a session -------------------------------------------------------------- */

static enum err op_ready(void *arg)
{
    return intake_ready(&((struct harness *)arg)->intake);
}
static enum err op_memory(void *arg, size_t bytes)
{
    return intake_memory(&((struct harness *)arg)->intake, bytes);
}
static enum err op_open(void *arg, struct msgid *ret_id)
{
    return intake_open(&((struct harness *)arg)->intake, ret_id);
}
static enum err op_write(void *arg, struct span bytes, size_t *ret_taken)
{
    return intake_write(&((struct harness *)arg)->intake, bytes, ret_taken);
}
static void op_abort(void *arg)
{
    intake_abort(&((struct harness *)arg)->intake);
}
static enum err op_commit(void *arg, const struct envelope *env, const struct commit_job *jobs, size_t njobs)
{
    return intake_commit(&((struct harness *)arg)->intake, env, jobs, njobs);
}
static enum err op_etrn(void *arg, struct span domain)
{
    (void)arg;
    return span_eq(domain, SPAN("waiting.example")) ? ERR_OK : ERR_NOTFOUND;
}
static void op_event(void *arg, enum session_event ev, enum reply_id reply, struct span text)
{
    (void)arg, (void)ev, (void)reply, (void)text;
}
static const struct session_ops ops = {
    .ready = op_ready,
    .memory = op_memory,
    .open = op_open,
    .write = op_write,
    .abort = op_abort,
    .commit = op_commit,
    .etrn = op_etrn,
    .event = op_event,
};

static void on_unblocked(void *arg)
{
    session_unblock(((struct harness *)arg)->session);
}
static void on_committed(void *arg, enum err e, const struct msgid *id)
{
    session_committed(((struct harness *)arg)->session, e, id);
}
static const struct intake_owner owner = {on_unblocked, on_committed};

static void tell_time(struct harness *h)
{
    session_time(h->session, clock_mono(&h->clock.clock), clock_wall(&h->clock.clock));
}

/* --- construction ------------------------------------------------------------------------------------ */

/* Everybody's settings: example.org is local, *.open.example is open to all, *.lab.example to clients in
 * relay_from; nothing else has a route. */
static const char base[] = "organization: test\n"
                           "local_domains:\n"
                           "  - {domain: example.org, deliver: 'maildir:./%d/%u'}\n"
                           "  - {domain: mx.test, deliver: 'maildir:./%d/%u'}\n"
                           "connectors:\n"
                           "  - {name: open, address_spaces: [{space: '*.open.example'}], deliver: dns, "
                           "allow_relay: true}\n"
                           "  - {name: lab, address_spaces: [{space: '*.lab.example'}], deliver: dns}\n"
                           "  - {name: small, address_spaces: [{space: '*.small.example'}], deliver: dns, "
                           "max_message_size: 1000}\n"
                           "virtual_servers:\n"
                           "  - name: default\n"
                           "    hostname: mx.test\n"
                           "    relay_from: ['127.0.0.0/8', '::1']\n";

/* Settings last used, kept for the next session: a fuzzer begins thousands a second with the same. */
static struct loaded {
    struct buf settings;
    struct config *config;
    struct route_table *routes;
} loaded[4];
static size_t next_loaded;

static bool load_again(struct harness *h, struct span settings)
{
    for (size_t i = 0; i < ARRAY_LEN(loaded); i++) {
        if (loaded[i].config == NULL || !span_eq(buf_span(&loaded[i].settings), settings))
            continue;
        h->config = config_ref(loaded[i].config);
        h->routes = route_table_ref(loaded[i].routes);
        return true;
    }
    return false;
}

static void keep_loaded(const struct harness *h, struct span settings)
{
    struct loaded *l = &loaded[next_loaded++ % ARRAY_LEN(loaded)];
    if (l->config == NULL)
        buf_init(&l->settings, 65536);
    buf_clear(&l->settings);
    must(buf_add(&l->settings, settings) == ERR_OK, "memory");
    config_unref(l->config);
    route_table_unref(l->routes);
    l->config = config_ref(h->config);
    l->routes = route_table_ref(h->routes);
}

static void load(struct harness *h, struct span settings)
{
    struct buf yaml, problems;
    struct errctx ec = {""};
    struct span line, all = settings;
    if (load_again(h, settings))
        return;
    buf_init(&yaml, 65536);
    buf_init(&problems, 65536);
    must(buf_add(&yaml, span_cstr(base)) == ERR_OK, "memory");
    while (settings.len > 0) {
        (void)span_cut(settings, '\n', &line, &settings);
        bool root = span_has_prefix(line, SPAN("/")); /* not of the virtual server; comes last */
        must(buf_addf(&yaml, "%s" SPAN_FMT "\n", root ? "" : "    ", SPAN_ARG(span_from(line, root))) ==
                 ERR_OK,
             "memory");
    }
    enum err e = config_parse(buf_span(&yaml), "script", "/nonexistent", NULL, &h->config, &problems, &ec);
    if (e != ERR_OK)
        (void)fprintf(stderr, "%s\n%s%s\n", buf_cstr(&yaml), buf_cstr(&problems), ec.msg);
    must(e == ERR_OK, "settings");
    e = route_table_new(h->config, &h->routes, &ec);
    must(e == ERR_OK, ec.msg);
    keep_loaded(h, all);
    buf_done(&yaml);
    buf_done(&problems);
}

struct harness *harness_new(const struct harness_options *o)
{
    struct harness *h = calloc(1, sizeof *h);
    must(h != NULL, "memory");
    fake_clock_init(&h->clock);
    buf_init(&h->kept, SIZE_MAX / 2);
    buf_init(&h->sent, SIZE_MAX / 2);
    h->piece = o->piece;
    load(h, o->settings);
    const struct conf_root *root = config_root(h->config);
    const struct conf_virtual_server *vs = &root->virtual_servers.items[0];
    h->conf = (struct session_conf){
        .root = root, .vs = vs, .routes = h->routes, .hostname = vs->hostname, .tls = true};
    h->db = fake_store_new(&h->clock.clock, 4);
    h->store = fake_store_open(h->db);
    h->budget.limit = 64 << 20;
    intake_init(&h->intake, h->store, &h->budget, &h->metrics, &h->clock.clock, &owner, h);
    struct span client = o->client.len == 0 ? SPAN("127.0.0.1") : o->client;
    bool local = span_eq(client, SPAN("local"));
    must(local || ip_parse(client, &h->client) == ERR_OK, "client address");
    struct session_client who = {.addr = local ? NULL : &h->client};
    h->session = session_new(&h->conf, &who, &ops, h);
    must(h->session != NULL, "memory");
    tell_time(h);
    if (o->tls_first)
        session_secured(h->session, SPAN("TLSv1.3"), SPAN("TLS_AES_256_GCM_SHA384"));
    return h;
}

void harness_hang_up(struct harness *h)
{
    session_free(h->session);
    h->session = NULL;
    intake_done(&h->intake);
    h->closed = true;
}

void harness_free(struct harness *h)
{
    harness_hang_up(h);
    store_free(h->store);
    fake_store_free(h->db);
    route_table_unref(h->routes);
    config_unref(h->config);
    buf_done(&h->kept);
    buf_done(&h->sent);
    free(h);
}

/* --- moving bytes ------------------------------------------------------------------------------------ */

static void offer(struct harness *h)
{
    size_t n = session_feed(h->session, buf_span(&h->kept));
    must(n <= h->kept.len, "consumed more than was offered");
    buf_drop_front(&h->kept, n);
}

static void send(struct harness *h)
{
    must(buf_add(&h->sent, session_output(h->session)) == ERR_OK, "memory");
    session_sent(h->session);
    h->closed = session_want(h->session) == SESSION_CLOSE;
    h->tls_due = session_want(h->session) == SESSION_START_TLS;
}

void harness_start(struct harness *h, struct span name)
{
    session_start(h->session, name);
}

void harness_feed(struct harness *h, struct span bytes)
{
    must(h->session != NULL, "the client is gone");
    while (bytes.len > 0) {
        struct span piece = h->piece == 0 ? bytes : span_first(bytes, h->piece);
        must(buf_add(&h->kept, piece) == ERR_OK, "memory");
        offer(h);
        bytes = span_from(bytes, piece.len);
    }
}

void harness_turn(struct harness *h)
{
    bool moved = true;
    while (h->session == NULL && fake_store_run(h->db) > 0)
        continue;
    while (moved && h->session != NULL) {
        struct span out = session_output(h->session);
        size_t before = h->kept.len;
        moved = out.len > 0;
        send(h);
        moved = fake_store_run(h->db) > 0 || moved;
        offer(h);
        moved = moved || h->kept.len != before;
    }
}

void harness_elapse(struct harness *h, ms_t ms)
{
    ms_t end = h->clock.now_ms + ms;
    while (!h->closed) {
        ms_t at = session_deadline(h->session), store = fake_store_next(h->db);
        at = store < at ? store : at;
        if (at > end)
            break;
        h->clock.now_ms = at > h->clock.now_ms ? at : h->clock.now_ms + 1;
        tell_time(h);
        session_tick(h->session);
        harness_turn(h);
    }
    h->clock.now_ms = end;
    tell_time(h);
}

bool harness_secured(struct harness *h)
{
    if (!h->tls_due)
        return false;
    h->tls_due = false;
    /* conn_start_tls() would drop what is kept; the session does not rely on it */
    session_secured(h->session, SPAN("TLSv1.3"), SPAN("TLS_AES_256_GCM_SHA384"));
    return true;
}

struct buf *harness_sent(struct harness *h)
{
    return &h->sent;
}
bool harness_closed(const struct harness *h)
{
    return h->closed;
}
struct session *harness_session(struct harness *h)
{
    return h->session;
}
struct fake_store *harness_store(struct harness *h)
{
    return h->db;
}
struct intake_budget *harness_budget(struct harness *h)
{
    return &h->budget;
}
