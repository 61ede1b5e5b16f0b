/* store_bench [MESSAGES [BYTES [SESSIONS]]] — what the shared queue costs without SMTP around it: messages
 * through commit, claim, fetch and finish, on one loop against a redis-server of its own (AOF, fsync always).
 * Prints messages per second, processor time per message of both sides, and commands per message. */
#include "common/config/config.h"
#include "queue/store.h"
#include "tests/fakes/redis_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { DOMAINS = 20, SESSIONS_MAX = 1000, CLAIM = 10, BODY_MAX = 64 << 20 };

struct bench {
    struct loop *loop;
    struct store *store;
    uint64_t messages, started, committed, claimed, finished;
    size_t bytes, sessions;
    char *body;
    struct timer *begin, *poll;
    unsigned next_partition, asking;
    struct session {
        struct bench *b;
        struct upload *upload;
        size_t written;
    } session[SESSIONS_MAX];
};
struct parcel {
    struct bench *b;
    struct claim *claim;
    uint32_t chunk;
};

static void start_message(struct session *s);

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* --- In ------------------------------------------------------------------------------------------ */

static void on_committed(void *arg, enum err e, const struct msgid *id, const char *why)
{
    struct session *s = arg;
    (void)id;
    if (e != ERR_OK)
        die("commit", why);
    s->b->committed++;
    start_message(s);
}

static void write_more(void *arg)
{
    struct session *s = arg;
    struct bench *b = s->b;
    size_t taken = 0;
    enum err e = upload_write(s->upload, span_of(b->body + s->written, b->bytes - s->written), &taken);
    s->written += taken;
    if (e == ERR_AGAIN)
        return;
    char domain[32];
    (void)snprintf(domain, sizeof domain, "d%llu.example", (unsigned long long)b->started % DOMAINS);
    struct recipient rcpt = {.address = SPAN("someone@example.net"), .notify = NOTIFY_FAILURE};
    struct job job = {.domain = span_cstr(domain), .expire_ms = 1, .rcpts = &rcpt, .nrcpts = 1};
    struct commit_job one = {&job, 0};
    struct envelope env = {.sender = SPAN("sender@example.org"),
                           .client = SPAN("192.0.2.1"),
                           .helo = SPAN("client.example.org"),
                           .virtual_server = SPAN("default"),
                           .header_from = SPAN("A Sender <sender@example.org>"),
                           .subject = SPAN("a subject of usual length"),
                           .message_id = SPAN("<12345678.123456@client.example.org>")};
    if (e != ERR_OK || upload_commit(s->upload, &env, &one, 1, on_committed, s) != ERR_OK)
        die("upload", err_text(e));
}

static void start_message(struct session *s)
{
    struct bench *b = s->b;
    if (b->started == b->messages)
        return;
    b->started++;
    s->written = 0;
    s->upload = store_upload(b->store, NULL, write_more, s);
    if (s->upload == NULL)
        die("upload", "out of memory");
    write_more(s);
}

/* --- Out ----------------------------------------------------------------------------------------- */

static void poll_again(struct bench *b)
{
    timer_set(b->poll, 1);
}

static void on_finished(void *arg, enum err e)
{
    struct bench *b = arg;
    if (e != ERR_OK)
        die("finish", err_text(e));
    if (++b->finished == b->messages)
        loop_stop(b->loop);
}

static void on_chunk(void *arg, enum err e, struct span bytes)
{
    struct parcel *p = arg;
    struct bench *b = p->b;
    if (e != ERR_OK)
        die("chunk", err_text(e));
    if (memcmp(bytes.ptr, b->body + (size_t)p->chunk * CHUNK_BYTES, bytes.len) != 0)
        die("chunk", "not what was stored");
    if (++p->chunk < p->claim->body.chunks) {
        if (store_chunk(b->store, p->claim, p->chunk, on_chunk, p) != ERR_OK)
            die("chunk", "refused");
        return;
    }
    struct finish f = {.claim = p->claim, .verb = FINISH_DONE, .event = SPAN("delivered"), .delivered = 1};
    if (store_finish(b->store, &f, on_finished, b) != ERR_OK)
        die("finish", "refused");
    free(p);
}

static void on_claims(void *arg, enum err e, struct claim *const *claims, size_t n)
{
    struct bench *b = arg;
    if (e == ERR_CANCELED) /* everything was delivered, and the store is being closed */
        return;
    if (e != ERR_OK)
        die("claim", err_text(e));
    b->asking--;
    b->claimed += n;
    for (size_t i = 0; i < n; i++) {
        struct parcel *p = calloc(1, sizeof *p);
        if (p == NULL)
            die("claim", "out of memory");
        *p = (struct parcel){b, claims[i], 0};
        if (store_chunk(b->store, claims[i], 0, on_chunk, p) != ERR_OK)
            die("chunk", "refused");
    }
    if (b->asking == 0)
        poll_again(b);
}

static void on_queues(void *arg, enum err e, const struct dmq *list, size_t n)
{
    struct bench *b = arg;
    unsigned partition = b->next_partition % store_partitions(b->store);
    b->next_partition++;
    if (e == ERR_CANCELED)
        return;
    if (e != ERR_OK)
        die("discover", err_text(e));
    for (size_t i = 0; i < n; i++) {
        if (store_claim(b->store, partition, list[i].domain, list[i].klass, CLAIM, on_claims, b) != ERR_OK)
            die("claim", "refused");
        b->asking++;
    }
    if (n == 0)
        poll_again(b);
}

static void poll(void *arg)
{
    struct bench *b = arg;
    unsigned partition = b->next_partition % store_partitions(b->store);
    if (b->asking == 0 && store_discover(b->store, partition, 0, 256, on_queues, b) != ERR_OK)
        die("discover", "refused");
}

/* --- Measuring ----------------------------------------------------------------------------------- */

static double cpu_us(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double info(struct redis_server *server, const char *name)
{
    static char text[1 << 16];
    redis_server_ask(server, text, sizeof text, (const char *const[]){"INFO", "everything", NULL});
    const char *at = strstr(text, name);
    return at == NULL ? 0 : atof(at + strlen(name) + 1);
}

static double metric(const struct bench *b, const char *name)
{
    struct buf text;
    char line[128];
    buf_init(&text, 1 << 20);
    if (store_metrics(b->store, &text) != ERR_OK)
        die("metrics", "too long");
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(buf_cstr(&text), line);
    double value = at == NULL ? 0 : atof(at + strlen(line));
    buf_done(&text);
    return value;
}

static void begin(void *arg)
{
    struct bench *b = arg;
    if (!store_ready(b->store, NULL) || store_worker_valid(b->store) == 0) {
        timer_set(b->begin, 5);
        return;
    }
    loop_stop(b->loop);
}

static void expired(void *arg)
{
    (void)arg;
    die("worker", "lease lost");
}

static void measure(struct bench *b, struct redis_server *server)
{
    double commands = metric(b, "bridgehead_redis_commands_total"), own = cpu_us();
    double redis = info(server, "used_cpu_user") + info(server, "used_cpu_sys");
    ms_t start = clock_mono(&clock_system);
    for (size_t i = 0; i < b->sessions; i++) {
        b->session[i].b = b;
        start_message(&b->session[i]);
    }
    poll_again(b);
    loop_run(b->loop);
    double seconds = (double)(clock_mono(&clock_system) - start) / 1000, n = (double)b->messages;
    redis = info(server, "used_cpu_user") + info(server, "used_cpu_sys") - redis;
    (void)printf(
        "messages=%llu bytes=%zu sessions=%zu rate=%.0f/s client_us=%.1f redis_us=%.1f commands=%.2f\n",
        (unsigned long long)b->messages, b->bytes, b->sessions, n / seconds, (cpu_us() - own) / n,
        redis * 1e6 / n, (metric(b, "bridgehead_redis_commands_total") - commands) / n);
}

int main(int argc, char **argv)
{
    static struct bench b;
    static struct redis_server server;
    uint64_t numbers[3] = {20000, 4096, 50};
    static const uint64_t limits[3] = {100000000, BODY_MAX, SESSIONS_MAX};
    struct config *conf;
    struct errctx ec = {""};
    char yaml[512];
    for (int i = 1; i < argc && i <= 3; i++) {
        if (!span_to_u64(span_cstr(argv[i]), limits[i - 1], &numbers[i - 1]))
            die("usage", "store_bench [MESSAGES [BYTES [SESSIONS]]]");
    }
    b.messages = numbers[0];
    b.bytes = (size_t)numbers[1];
    b.sessions = (size_t)numbers[2];
    b.body = malloc(b.bytes + 1);
    for (size_t i = 0; b.body != NULL && i < b.bytes; i++) /* compresses about two to one */
        b.body[i] = (char)('0' + (i * i * 31 + i / 7) % 61);
    redis_server_start(&server, NULL, false);
    (void)snprintf(
        yaml, sizeof yaml,
        "redis: {url: \"unix://%s\"}\n"
        "virtual_servers: [{name: default, listen: [\"127.0.0.1:2525\"], hostname: mx.example.org}]\n",
        server.socket);
    b.loop = loop_new();
    b.begin = timer_new(b.loop, begin, &b);
    b.poll = timer_new(b.loop, poll, &b);
    if (config_parse(span_cstr(yaml), "bench", "/tmp", NULL, &conf, NULL, &ec) != ERR_OK ||
        store_redis_open(b.loop, conf, &b.store, &ec) != ERR_OK ||
        store_worker_open(b.store, &(struct worker_info){"bench", "here", "0"}, expired, &b) != ERR_OK)
        die("open", ec.msg);
    timer_set(b.begin, 1);
    loop_run(b.loop);
    measure(&b, &server);
    store_free(b.store);
    timer_free(b.begin);
    timer_free(b.poll);
    loop_free(b.loop);
    config_unref(conf);
    free(b.body);
    redis_server_stop(&server);
    return 0;
}
