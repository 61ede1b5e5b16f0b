/* tests/unit/common/io/test_daemon.c — mirrors common/io/daemon.c and notify.c.
 *
 * daemon_run() runs in the main thread; a visitor in a pthread_create() thread sends signals and asks the
 * HTTP port, step by step. The configuration is the test's own: what is tested is what is done with it. */
#include "common/io/daemon.h"

/* clang-format off */
#include "tests/unit/check.h"
/* clang-format on */
#include "common/ip.h"
#include "common/log.h"

#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- a configuration ------------------------------------------------------------------------- */

struct config {
    struct conf_root root;
    int refs;
};
static struct config loaded, emptied;
static char directory[] = "/tmp/daemon-test-XXXXXX";

enum err config_load(const char *path, char *const *env, struct config **ret, struct buf *problems,
                     struct errctx *ec)
{
    (void)env;
    if (strcmp(path, "bad") == 0) {
        assert_int_equal(buf_add(problems, SPAN("bad:1: x\nbad:2: y\n")), ERR_OK);
        return err_set(ec, ERR_CONFIG, "bad:1: x");
    }
    if (strcmp(path, "emptied") == 0) {
        emptied.refs = 1;
        *ret = &emptied;
        return ERR_OK;
    }
    loaded.refs = 1;
    *ret = &loaded;
    return ERR_OK;
}

bool config_is_empty(const struct config *c)
{
    return c == &emptied;
}

const struct conf_root *config_root(const struct config *c)
{
    return &c->root;
}

struct config *config_ref(struct config *c)
{
    c->refs++;
    return c;
}

void config_unref(struct config *c)
{
    c->refs--;
}

enum err config_restart_needed(const struct config *running, const struct config *wanted,
                               struct buf *ret_keys)
{
    (void)running;
    (void)wanted;
    return buf_add(ret_keys, SPAN("data_dir\n"));
}

/* --- a daemon that writes down what it is told ----------------------------------------------- */

struct fake {
    struct loop *loop;
    pthread_t visitor;
    void *(*visit)(void *);
    sem_t event;      /* posted by the loop's thread after each line of the story */
    struct buf story; /* the visitor reads it only after waiting for the event */
    struct daemon_options opts;
    enum err start, reload;
    bool ready, stubborn;
    atomic_bool bad_metrics;
    uint16_t port;
    char page[4096];
    struct rlimit limit; /* of descriptors, when it started */
    int manager;         /* the service manager's socket, or -1 */
};

static void tell(struct fake *f, const char *what)
{
    assert_int_equal(buf_addf(&f->story, "%s;", what), ERR_OK);
    (void)sem_post(&f->event);
}

/* The only listening socket of this process. */
static uint16_t find_port(void)
{
    for (int fd = 3; fd < 64; fd++) {
        struct sockaddr_in at = {.sin_family = AF_UNSPEC};
        int listens = 0;
        socklen_t size = sizeof listens, len = sizeof at;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens &&
            getsockname(fd, (struct sockaddr *)&at, &len) == 0 && at.sin_family == AF_INET)
            return ntohs(at.sin_port);
    }
    return 0;
}

static enum err fake_start(void *self, struct errctx *ec)
{
    struct fake *f = self;
    if (f->start != ERR_OK)
        return err_set(ec, f->start, "no way");
    f->port = find_port();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &f->limit), 0);
    tell(f, "start");
    assert_int_equal(pthread_create(&f->visitor, NULL, f->visit, f), 0);
    return ERR_OK;
}

static enum err fake_reload(void *self, struct config *next, struct errctx *ec)
{
    struct fake *f = self;
    assert_ptr_equal(next, &loaded);
    tell(f, "reload");
    return f->reload == ERR_OK ? ERR_OK : err_set(ec, f->reload, "the address is taken");
}

static void fake_drain(void *self)
{
    tell(self, "drain");
}

static bool fake_drained(void *self)
{
    struct fake *f = self;
    return !f->stubborn;
}

static bool fake_ready(void *self, struct buf *ret_why)
{
    struct fake *f = self;
    if (!f->ready)
        assert_int_equal(buf_add(ret_why, SPAN("no \"Redis\"\n")), ERR_OK);
    return f->ready;
}

static enum err fake_metrics(void *self, struct buf *out)
{
    struct fake *f = self;
    return f->bad_metrics ? ERR_TOOBIG : buf_add(out, SPAN("bridgehead_fake 1\n"));
}

static void fake_stop(void *self)
{
    tell(self, "stop");
}

static const struct daemon_hooks hooks = {.program = "fake",
                                          .start = fake_start,
                                          .reload = fake_reload,
                                          .drain = fake_drain,
                                          .drained = fake_drained,
                                          .ready = fake_ready,
                                          .metrics = fake_metrics,
                                          .stop = fake_stop};

static int run(struct fake *f, void *(*visit)(void *))
{
    buf_init(&f->story, 4096);
    assert_int_equal(sem_init(&f->event, 0, 0), 0);
    f->visit = visit;
    f->loop = loop_new();
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, "fake");
    const bool visited = f->start == ERR_OK; /* the visitor may write to it until it is joined */
    int code = daemon_run(f->loop, &loaded, &f->opts, &hooks, f);
    if (visited)
        pthread_join(f->visitor, NULL);
    loop_free(f->loop);
    (void)sem_destroy(&f->event);
    return code;
}

static void wait_event(struct fake *f)
{
    while (sem_wait(&f->event) != 0)
        ;
}

/* The whole reply to GET path. */
static const char *get(struct fake *f, const char *path)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[128];
    size_t len = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    f->page[0] = '\0';
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) {
        int n = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
        (void)!write(fd, request, (size_t)n);
        for (ssize_t got; (got = read(fd, f->page + len, sizeof f->page - 1 - len)) > 0;)
            len += (size_t)got;
        f->page[len] = '\0';
    }
    close(fd);
    return f->page;
}

static bool page_has(struct fake *f, const char *path, const char *status, const char *text)
{
    const char *page = get(f, path);
    bool ok = strstr(page, status) != NULL && strstr(page, text) != NULL;
    if (!ok)
        print_error("%s:\n%s\n", path, page);
    return ok;
}

/* --- visits ---------------------------------------------------------------------------------- */

static void *visit_pages(void *arg)
{
    struct fake *f = arg;
    bool ok = page_has(f, "/healthz/live", " 200 OK\r\n", "{\"live\":true}\n");
    ok = page_has(f, "/healthz/ready", " 503 ",
                  "{\"ready\":false,\"reason\":\"no \\\"Redis\\\"\\u000a\"}\n") &&
         ok;
    ok = page_has(f, "/metrics", " 200 OK\r\n",
                  "bridgehead_build_info{program=\"fake\",version=\"" BRIDGEHEAD_VERSION "\"} 1\n") &&
         ok;
    ok = page_has(f, "/metrics", " 200 OK\r\n", "bridgehead_http_requests_total{program=\"fake\"} 4\n") && ok;
    ok = page_has(f, "/metrics", " 200 OK\r\n", "bridgehead_fake 1\n") && ok;
    ok = page_has(f, "/", " 404 Not Found\r\n", "404") && ok;
    f->start = ok ? ERR_OK : ERR_STATE;
    (void)kill(getpid(), SIGTERM);
    return NULL;
}

static void test_daemon__pages(void **state)
{
    struct fake f = {.opts = {"good", "127.0.0.1:0", 10000}};
    (void)state;
    assert_int_equal(run(&f, visit_pages), 0);
    assert_int_equal(f.start, ERR_OK);
    assert_string_equal(buf_cstr(&f.story), "start;drain;stop;");
    buf_done(&f.story);
}

static void *visit_nothing(void *arg)
{
    (void)arg;
    (void)kill(getpid(), SIGTERM);
    return NULL;
}

/* A login shell grants fewer than the sessions that the configuration allows. */
static void test_daemon__takes_the_descriptors_there_are(void **state)
{
    struct fake f = {.opts = {"good", "", 10000}};
    struct rlimit before, few;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){64, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(run(&f, visit_nothing), 0);
    assert_int_equal(f.limit.rlim_cur, before.rlim_max < 1 << 20 ? before.rlim_max : 1 << 20);
    assert_int_equal(f.limit.rlim_max, before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    buf_done(&f.story);
}

static void *visit_reload(void *arg)
{
    struct fake *f = arg;
    wait_event(f); /* start */
    (void)kill(getpid(), SIGHUP);
    wait_event(f); /* reload */
    if (!page_has(f, "/metrics", " 200 OK\r\n", "bridgehead_config_reloads_total{program=\"fake\"} 1\n") ||
        !page_has(f, "/healthz/ready", " 200 OK\r\n", "{\"ready\":true}\n"))
        f->start = ERR_STATE;
    (void)kill(getpid(), SIGINT);
    return NULL;
}

/* What it left for `bridgehead reload`. */
static void check_told(const char *text)
{
    char path[sizeof directory + 32], got[256];
    (void)snprintf(path, sizeof path, "%s/run/fake.reload", directory);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t n = fread(got, 1, sizeof got, file);
    (void)fclose(file);
    assert_int_equal(unlink(path), 0);
    check_span(span_of(got, n), span_cstr(text));
}

static void test_daemon__hangup_reloads(void **state)
{
    struct fake f = {.opts = {"good", "127.0.0.1:0", 10000}, .ready = true};
    (void)state;
    loaded.root.log.level = LOG_LEVEL_WARN;
    assert_int_equal(run(&f, visit_reload), 0);
    check_told("applied\ndata_dir\n");
    assert_int_equal(f.start, ERR_OK);
    assert_string_equal(buf_cstr(&f.story), "start;reload;drain;stop;");
    assert_int_equal(loaded.refs, 0); /* given back */
    assert_true(log_enabled(LOG_LEVEL_WARN) && !log_enabled(LOG_LEVEL_INFO));
    buf_done(&f.story);
}

static void *visit_bad_reload(void *arg)
{
    struct fake *f = arg;
    (void)kill(getpid(), SIGHUP);
    while (strstr(get(f, "/metrics"), "bridgehead_config_rejected_total{program=\"fake\"} 1\n") == NULL)
        ;
    f->bad_metrics = true;
    if (!page_has(f, "/metrics", " 500 ", "500 Internal Server Error\n"))
        f->start = ERR_STATE;
    (void)kill(getpid(), SIGTERM);
    return NULL;
}

static void test_daemon__a_bad_configuration_changes_nothing(void **state)
{
    struct fake f = {.opts = {"bad", "127.0.0.1:0", 10000}};
    (void)state;
    assert_int_equal(run(&f, visit_bad_reload), 0);
    check_told("refused\nbad:1: x\nbad:2: y\n");
    assert_int_equal(f.start, ERR_OK);
    assert_string_equal(buf_cstr(&f.story), "start;drain;stop;");
    buf_done(&f.story);
}

/* What needs a restart is no reason: of a file that is refused nothing is in force. */
static void test_daemon__a_refused_reload_tells_why(void **state)
{
    struct fake f = {.opts = {"good", "127.0.0.1:0", 10000}, .reload = ERR_IO};
    (void)state;
    loaded.root.log.level = LOG_LEVEL_DEBUG;
    assert_int_equal(run(&f, visit_bad_reload), 0);
    check_told("refused\nthe address is taken");
    assert_string_equal(buf_cstr(&f.story), "start;reload;drain;stop;");
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    buf_done(&f.story);
}

static void test_daemon__an_emptied_file_changes_nothing(void **state)
{
    struct fake f = {.opts = {"emptied", "127.0.0.1:0", 10000}};
    (void)state;
    assert_int_equal(run(&f, visit_bad_reload), 0);
    check_told("refused\nemptied: is empty: nothing is changed; reload again when it is written\n");
    assert_string_equal(buf_cstr(&f.story), "start;drain;stop;");
    assert_int_equal(emptied.refs, 0);
    buf_done(&f.story);
}

static void *visit_twice(void *arg)
{
    struct fake *f = arg;
    wait_event(f); /* start */
    (void)kill(getpid(), SIGTERM);
    wait_event(f); /* drain */
    if (!page_has(f, "/healthz/ready", " 503 ", "{\"ready\":false,\"reason\":\"draining\"}\n") ||
        !page_has(f, "/healthz/live", " 200 ", "true"))
        f->start = ERR_STATE;
    (void)kill(getpid(), SIGTERM);
    return NULL;
}

static void test_daemon__the_second_signal_stops_at_once(void **state)
{
    struct fake f = {.opts = {"good", "127.0.0.1:0", 10000000}, .ready = true, .stubborn = true};
    (void)state;
    assert_int_equal(run(&f, visit_twice), 0);
    assert_int_equal(f.start, ERR_OK);
    assert_string_equal(buf_cstr(&f.story), "start;drain;stop;");
    buf_done(&f.story);
}

static void *visit_once(void *arg)
{
    (void)arg;
    (void)kill(getpid(), SIGTERM);
    return NULL;
}

static void test_daemon__the_grace_period_ends(void **state)
{
    struct fake f = {.opts = {"good", "", 20}, .stubborn = true};
    (void)state;
    assert_int_equal(run(&f, visit_once), 0);
    assert_string_equal(buf_cstr(&f.story), "start;drain;stop;");
    buf_done(&f.story);
}

static void test_daemon__what_cannot_start_fails(void **state)
{
    static const struct {
        const char *http, *told;
    } cases[] = {
        {"", "refused\nno way"},
        {"nonsense", "refused\nhttp: 'nonsense' is not ADDRESS:PORT"},
        {"192.0.2.1:80", "refused\nhttp: cannot listen on 192.0.2.1:80: Cannot assign requested address"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct fake f = {.opts = {"good", c->http, 20}, .start = ERR_IO};
        assert_int_equal(run(&f, visit_once), DAEMON_CANNOT_START);
        check_told(c->told);
        assert_string_equal(buf_cstr(&f.story), "");
        buf_done(&f.story);
    }
}

/* --- the service manager --------------------------------------------------------------------- */

static void *visit_managed(void *arg)
{
    static const char *const want[] = {"READY=1\nSTATUS=running", "WATCHDOG=1",
                                       "RELOADING=1\nMONOTONIC_USEC=", "READY=1\nSTATUS=running",
                                       "STOPPING=1\n"};
    struct fake *f = arg;
    for (size_t i = 0; i < ARRAY_LEN(want);) {
        char text[256] = "";
        if (recv(f->manager, text, sizeof text - 1, 0) < 0)
            break;
        if (strncmp(text, want[i], strlen(want[i])) != 0)
            continue; /* a watchdog's beat between two others */
        if (++i == 2)
            (void)kill(getpid(), SIGHUP);
        if (i == 4)
            (void)kill(getpid(), SIGTERM);
    }
    return NULL;
}

static void test_daemon__the_service_manager_is_told(void **state)
{
    struct fake f = {.opts = {"good", "", 10000}};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char name[64];
    (void)state;
    f.manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int n = snprintf(name, sizeof name, "@bridgehead-test-%d", (int)getpid());
    memcpy(un.sun_path + 1, name + 1, (size_t)n - 1);
    assert_int_equal(bind(f.manager, (struct sockaddr *)&un,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "20000", 1), 0);
    assert_int_equal(run(&f, visit_managed), 0);
    assert_string_equal(buf_cstr(&f.story), "start;reload;drain;stop;");
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    close(f.manager);
    buf_done(&f.story);
}

int main(void)
{
    char command[sizeof directory + 16];
    alarm(60);
    loaded.root.data_dir = mkdtemp(directory);
    (void)snprintf(command, sizeof command, "mkdir %s/run", directory);
    if (loaded.root.data_dir == NULL || system(command) != 0)
        return 1;
    int code = CHECK_RUN(cmocka_unit_test(test_daemon__pages),
                         cmocka_unit_test(test_daemon__takes_the_descriptors_there_are),
                         cmocka_unit_test(test_daemon__hangup_reloads),
                         cmocka_unit_test(test_daemon__a_refused_reload_tells_why),
                         cmocka_unit_test(test_daemon__an_emptied_file_changes_nothing),
                         cmocka_unit_test(test_daemon__a_bad_configuration_changes_nothing),
                         cmocka_unit_test(test_daemon__the_second_signal_stops_at_once),
                         cmocka_unit_test(test_daemon__the_grace_period_ends),
                         cmocka_unit_test(test_daemon__what_cannot_start_fails),
                         cmocka_unit_test(test_daemon__the_service_manager_is_told));
    (void)snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command) == 0 ? code : 1;
}
