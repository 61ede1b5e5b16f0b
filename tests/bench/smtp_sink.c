/* tests/bench/smtp_sink.c — the sink's listeners, control socket and main loop. See usage_text. */
#include "tests/bench/smtp_sink.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENERS_MAX = 64, EVENTS = 256, BACKLOG = 4096 };

static const char usage_text[] =
    "usage: smtp_sink --listen A.B.C.D:PORT... [options]\n"
    "  --listen ADDRESS   may be repeated; port 0 takes a free one. First output line: the addresses\n"
    "  --device NAME      take connections of this interface only (lo, with --listen 0.0.0.0:0)\n"
    "  --control PATH     unix socket; a line per connection, see below\n"
    "  --rule RULE        PHASE:ACTION[:PROBABILITY[:MATCH]], may be repeated. PHASE: connect ehlo mail\n"
    "                     rcpt data dot. ACTION: CODE [TEXT], drop, reset, delay=MS. MATCH: substring of "
    "the\n"
    "                     command, at the dot of all commands of the transaction\n"
    "  --hide EXTENSION   do not offer it; may be repeated\n"
    "  --size N           announce and enforce SIZE N\n"
    "  --store DIR        keep messages as DIR/N and their commands as DIR/N.env\n"
    "  --log FILE         number, local address and commands of every message\n"
    "  --lmtp             LMTP instead of SMTP: a reply for each recipient\n"
    "  --refuse           start with connections refused\n"
    "  --seed N           of the probabilities (1)\n"
    "control: stats | locals | ids PATH | forget | rule RULE | no-rules | refuse | accept | quit\n"
    "SIGTERM prints the statistics and ends it.\n";

struct listener {
    struct sockaddr_in address;
    int fd;
};

struct server {
    struct sink sink;
    struct listener listeners[LISTENERS_MAX];
    unsigned listener_count;
    int control, signals;
    const char *device;
    bool refusing, quit;
};

static void watch(struct server *server, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(server->sink.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll: %s", strerror(errno));
}

static void accept_connections(struct server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        if (listen(server->listeners[i].fd, BACKLOG) != 0)
            die("listen: %s", strerror(errno));
        watch(server, server->listeners[i].fd, &server->listeners[i]);
    }
    server->refusing = false;
}

/* A bound socket that does not listen refuses connections and keeps the port. */
static void refuse_connections(struct server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        close(server->listeners[i].fd);
        server->listeners[i].fd = net_bind(&server->listeners[i].address, server->device);
    }
    server->refusing = true;
}

static void write_ids(const struct server *server, const char *path, FILE *out)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        fprintf(out, "error: %s: %s\n", path, strerror(errno));
        return;
    }
    ledger_print_ids(&server->sink.ledger, file);
    fputs(fclose(file) == 0 ? "ok\n" : "error: cannot write\n", out);
}

static void control_command(struct server *server, char *line, FILE *out)
{
    struct sink *sink = &server->sink;
    char *argument = line + strcspn(line, " \n");
    argument += *argument == ' ';
    argument[strcspn(argument, "\n")] = '\0';
    line[strcspn(line, " \n")] = '\0';
    if (strcmp(line, "stats") == 0) {
        ledger_print(&sink->ledger, out);
        return;
    }
    if (strcmp(line, "locals") == 0) {
        ledger_print_locals(&sink->ledger, out);
        return;
    }
    if (strcmp(line, "ids") == 0) {
        write_ids(server, argument, out);
        return;
    }
    bool known = true;
    if (strcmp(line, "forget") == 0)
        ledger_forget_messages(&sink->ledger);
    else if (strcmp(line, "rule") == 0)
        known = rules_add(&sink->rules, argument);
    else if (strcmp(line, "no-rules") == 0)
        sink->rules.count = 0;
    else if (strcmp(line, "refuse") == 0 && !server->refusing)
        refuse_connections(server);
    else if (strcmp(line, "accept") == 0 && server->refusing)
        accept_connections(server);
    else if (strcmp(line, "quit") == 0)
        server->quit = true;
    else
        known = strcmp(line, "refuse") == 0 || strcmp(line, "accept") == 0;
    fputs(known ? "ok\n" : "error: what?\n", out);
}

/* The other side is a test on this machine: it sends its line at once. */
static void control_accept(struct server *server)
{
    int fd = accept4(server->control, NULL, NULL, SOCK_CLOEXEC);
    FILE *stream = fd >= 0 ? fdopen(fd, "r+") : NULL;
    char line[1024];
    if (stream == NULL)
        return;
    struct timeval limit = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (fgets(line, sizeof(line), stream) != NULL) {
        fseek(stream, 0, SEEK_CUR);
        control_command(server, line, stream);
    }
    fclose(stream);
}

static void dispatch(struct server *server, const struct epoll_event *event)
{
    void *what = event->data.ptr;
    if (what == &server->control) {
        control_accept(server);
    } else if (what == &server->signals) {
        server->quit = true;
    } else if (what >= (void *)server->listeners && what < (void *)(server->listeners + LISTENERS_MAX)) {
        int fd;
        while ((fd = accept4(((struct listener *)what)->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
            peer_open(&server->sink, fd);
    } else {
        peer_event(&server->sink, what, event->events);
    }
}

static void parse_options(struct server *server, int argc, char **argv)
{
    enum { LISTEN = 256, CONTROL, RULE, HIDE, SIZE, STORE, LOG, LMTP, REFUSE, SEED, DEVICE };
    static const struct option names[] = {
        {"listen", 1, NULL, LISTEN}, {"control", 1, NULL, CONTROL}, {"rule", 1, NULL, RULE},
        {"hide", 1, NULL, HIDE},     {"size", 1, NULL, SIZE},       {"store", 1, NULL, STORE},
        {"log", 1, NULL, LOG},       {"lmtp", 0, NULL, LMTP},       {"refuse", 0, NULL, REFUSE},
        {"seed", 1, NULL, SEED},     {"device", 1, NULL, DEVICE},   {NULL, 0, NULL, 0},
    };
    struct sink *sink = &server->sink;
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        bool good = true;
        switch (option) {
        case LISTEN:
            good = server->listener_count < LISTENERS_MAX;
            if (good)
                server->listeners[server->listener_count++].address = net_address(optarg);
            break;
        case CONTROL:
            server->control = net_unix_listen(optarg);
            break;
        case RULE:
            good = rules_add(&sink->rules, optarg);
            break;
        case HIDE:
            good = sink_hide(sink, optarg);
            break;
        case SIZE:
            sink->size_limit = number("--size", optarg, 0, UINT64_MAX);
            break;
        case STORE:
            sink->store = optarg;
            break;
        case LOG:
            good = (sink->log = fopen(optarg, "a")) != NULL;
            break;
        case LMTP:
            sink->lmtp = true;
            break;
        case REFUSE:
            server->refusing = true;
            break;
        case DEVICE:
            server->device = optarg;
            break;
        case SEED:
            sink->rules.random = number("--seed", optarg, 0, UINT64_MAX) * 2 + 1;
            break;
        default:
            fputs(usage_text, stderr);
            exit(2);
        }
        if (!good)
            die("%s: not usable (see --help)", optarg);
    }
    if (server->listener_count == 0 || optind != argc) {
        fputs(usage_text, stderr);
        exit(2);
    }
}

static void start(struct server *server)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    server->signals = signalfd(-1, &set, SFD_CLOEXEC);
    watch(server, server->signals, &server->signals);
    if (server->control >= 0)
        watch(server, server->control, &server->control);
    for (unsigned i = 0; i < server->listener_count; i++) {
        server->listeners[i].fd = net_bind(&server->listeners[i].address, server->device);
        printf("%s%s", i > 0 ? " " : "", net_text(&server->listeners[i].address));
    }
    printf("\n");
    fflush(stdout);
    if (!server->refusing)
        accept_connections(server);
}

int main(int argc, char **argv)
{
    static struct server server = {.control = -1};
    TAILQ_INIT(&server.sink.paused);
    server.sink.rules.random = 3;
    parse_options(&server, argc, argv);
    net_raise_file_limit();
    server.sink.epoll = epoll_create1(EPOLL_CLOEXEC);
    start(&server);
    while (!server.quit) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(server.sink.epoll, events, EVENTS, sink_wake(&server.sink));
        for (int i = 0; i < n; i++)
            dispatch(&server, &events[i]);
    }
    ledger_print(&server.sink.ledger, stdout);
    return 0;
}
