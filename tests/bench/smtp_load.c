/* tests/bench/smtp_load.c — opens SMTP sessions and sends numbered messages, keeping book of what was
 * acknowledged. Prints its results as JSON. See usage(). */
#include "tests/bench/smtp_load.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/bench/net.h"

enum { EVENTS = 256, TICK_MS = 5, TICK_IDLE_MS = 200 };

static const char usage_text[] =
    "usage: smtp_load --to A.B.C.D:PORT [options]\n"
    "  --sessions N         sessions at a time (50)\n"
    "  --per-connection N   messages sent before QUIT and a new connection (1)\n"
    "  --messages N         stop after N messages (0: no limit)\n"
    "  --seconds S          stop starting messages after S seconds (0: no limit)\n"
    "  --size N             octets of a message, its header included (4096)\n"
    "  --rcpts N            recipients of a message (1)\n"
    "  --domains N          recipient domains used in turn (1)\n"
    "  --domain TEXT        recipient domain; %u becomes its number (d%u.example)\n"
    "  --sender ADDRESS     reverse-path (load@load.example)\n"
    "  --first-id N         number of the first message (0)\n"
    "  --rate N             messages a second at most (0: no limit)\n"
    "  --sources N          client addresses, 127.0.0.2 and up (1: the default one)\n"
    "  --timeout S          give up waiting for a reply after S seconds (300)\n"
    "  --pipeline           MAIL, RCPT and DATA in one go (RFC 2920)\n"
    "  --bdat               BDAT instead of DATA (RFC 3030)\n"
    "  --retry              count acknowledged messages, not attempts, towards --messages\n"
    "  --idle               open the sessions, print \"idle N\", hold them until SIGTERM\n"
    "  --warm N             with --idle: messages each session sends first (0)\n"
    "  --acked FILE         numbers of acknowledged messages, one a line\n"
    "  --unknown FILE       numbers of messages sent to the end but never answered\n"
    "  --seed N             of bodies and run number (1)\n";

enum {
    OPT_FIRST = 256,
    OPT_TO = OPT_FIRST,
    OPT_SESSIONS,
    OPT_PER,
    OPT_MESSAGES,
    OPT_SECONDS,
    OPT_SIZE,
    OPT_RCPTS,
    OPT_DOMAINS,
    OPT_DOMAIN,
    OPT_SENDER,
    OPT_FIRST_ID,
    OPT_RATE,
    OPT_SOURCES,
    OPT_TIMEOUT,
    OPT_PIPELINE,
    OPT_BDAT,
    OPT_RETRY,
    OPT_IDLE,
    OPT_WARM,
    OPT_ACKED,
    OPT_UNKNOWN,
    OPT_SEED
};

static const struct option option_names[] = {
    {"to", 1, NULL, OPT_TO},
    {"sessions", 1, NULL, OPT_SESSIONS},
    {"per-connection", 1, NULL, OPT_PER},
    {"messages", 1, NULL, OPT_MESSAGES},
    {"seconds", 1, NULL, OPT_SECONDS},
    {"size", 1, NULL, OPT_SIZE},
    {"rcpts", 1, NULL, OPT_RCPTS},
    {"domains", 1, NULL, OPT_DOMAINS},
    {"domain", 1, NULL, OPT_DOMAIN},
    {"sender", 1, NULL, OPT_SENDER},
    {"first-id", 1, NULL, OPT_FIRST_ID},
    {"rate", 1, NULL, OPT_RATE},
    {"sources", 1, NULL, OPT_SOURCES},
    {"timeout", 1, NULL, OPT_TIMEOUT},
    {"pipeline", 0, NULL, OPT_PIPELINE},
    {"bdat", 0, NULL, OPT_BDAT},
    {"retry", 0, NULL, OPT_RETRY},
    {"idle", 0, NULL, OPT_IDLE},
    {"warm", 1, NULL, OPT_WARM},
    {"acked", 1, NULL, OPT_ACKED},
    {"unknown", 1, NULL, OPT_UNKNOWN},
    {"seed", 1, NULL, OPT_SEED},
    {NULL, 0, NULL, 0},
};

static FILE *open_or_die(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        die("%s: cannot be written", path);
    return file;
}

static void parse_option(struct options *o, int option, const char *v)
{
    switch (option) {
    case OPT_TO:
        o->to = net_address(v);
        break;
    case OPT_SESSIONS:
        o->sessions = (unsigned)number("--sessions", v, 1, 60000);
        break;
    case OPT_PER:
        o->per_connection = (unsigned)number("--per-connection", v, 1, UINT32_MAX);
        break;
    case OPT_MESSAGES:
        o->messages = number("--messages", v, 0, UINT32_MAX);
        break;
    case OPT_SECONDS:
        o->seconds = (double)number("--seconds", v, 0, 86400);
        break;
    case OPT_SIZE:
        o->size = number("--size", v, 300, UINT64_C(1) << 30);
        break;
    case OPT_RCPTS:
        o->rcpts = (unsigned)number("--rcpts", v, 1, 100);
        break;
    case OPT_DOMAINS:
        o->domains = (unsigned)number("--domains", v, 1, 1000000);
        break;
    case OPT_DOMAIN:
        o->domain = v;
        break;
    case OPT_SENDER:
        o->sender = v;
        break;
    case OPT_FIRST_ID:
        o->first_id = number("--first-id", v, 0, UINT32_MAX);
        break;
    case OPT_RATE:
        o->rate = number("--rate", v, 0, 1000000);
        break;
    case OPT_SOURCES:
        o->sources = (unsigned)number("--sources", v, 1, 250);
        break;
    case OPT_TIMEOUT:
        o->timeout_s = (unsigned)number("--timeout", v, 1, 3600);
        break;
    case OPT_PIPELINE:
        o->pipeline = true;
        break;
    case OPT_BDAT:
        o->bdat = true;
        break;
    case OPT_RETRY:
        o->retry = true;
        break;
    case OPT_IDLE:
        o->idle = true;
        break;
    case OPT_WARM:
        o->warm = (unsigned)number("--warm", v, 0, 1000);
        break;
    case OPT_ACKED:
        o->acked = open_or_die(v);
        break;
    case OPT_UNKNOWN:
        o->unknown = open_or_die(v);
        break;
    case OPT_SEED:
        o->seed = number("--seed", v, 0, UINT64_MAX);
        break;
    default:
        fputs(usage_text, stderr);
        exit(2);
    }
}

static struct options parse_options(int argc, char **argv)
{
    struct options o = {.sessions = 50,
                        .per_connection = 1,
                        .size = 4096,
                        .rcpts = 1,
                        .domains = 1,
                        .sources = 1,
                        .timeout_s = 300,
                        .seed = 1,
                        .domain = "d%u.example",
                        .sender = "load@load.example"};
    int option;
    while ((option = getopt_long(argc, argv, "", option_names, NULL)) != -1)
        parse_option(&o, option, optarg);
    if (o.to.sin_family == 0 || optind != argc) {
        fputs(usage_text, stderr);
        exit(2);
    }
    if (o.idle && o.per_connection < o.warm)
        o.per_connection = o.warm;
    return o;
}

static int stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void print_histogram(const char *name, const struct histogram *h)
{
    printf(", \"%s\": {\"p50\": %" PRIu64 ", \"p90\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"max\": %" PRIu64
           "}",
           name, histogram_percentile(h, 50), histogram_percentile(h, 90), histogram_percentile(h, 99),
           histogram_percentile(h, 100));
}

/* A remote server's text in JSON: what could end the string is replaced. */
static void print_text(const char *name, const char *text)
{
    printf(", \"%s\": \"", name);
    for (; *text != '\0'; text++)
        putchar(*text < ' ' || *text > '~' || *text == '"' || *text == '\\' ? '?' : *text);
    putchar('"');
}

static void print_results(const struct load *load)
{
    const struct results *r = &load->results;
    double seconds = (double)(r->last_us - r->first_us) / 1e6;
    printf("{\"started\": %" PRIu64 ", \"acked\": %" PRIu64 ", \"tempfail\": %" PRIu64
           ", \"permfail\": %" PRIu64,
           r->started, r->acked, r->tempfail, r->permfail);
    printf(", \"unknown\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"lost_connections\": %" PRIu64,
           r->unknown, r->connections, r->lost_connections);
    printf(", \"refused_connections\": %" PRIu64 ", \"timeouts\": %" PRIu64 ", \"bytes\": %" PRIu64,
           r->refused_connections, r->timeouts, r->bytes);
    printf(", \"seconds\": %.6f, \"rate\": %.1f", seconds, seconds > 0 ? (double)r->acked / seconds : 0.0);
    print_histogram("message_us", &r->message);
    print_histogram("end_us", &r->end);
    printf(", \"last_code\": %d", r->last_code);
    print_text("last_refusal", r->last_refusal);
    printf("}\n");
}

static void tick_all(struct load *load)
{
    int64_t now = now_us();
    for (unsigned i = 0; i < load->options.sessions; i++)
        session_tick(load, &load->sessions[i], now);
}

/* Runs until every session has ended; in idle mode until a signal. */
static void run(struct load *load, int signals)
{
    const struct options *o = &load->options;
    int64_t last_tick = 0, end = o->seconds > 0 ? load->start_us + (int64_t)(o->seconds * 1e6) : INT64_MAX;
    bool told = false;
    while (load->finished < o->sessions) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(load->epoll, events, EVENTS, load->waiting > 0 ? TICK_MS : TICK_IDLE_MS);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL)
                session_event(load, events[i].data.ptr, events[i].events);
            else
                load->stopping = true;
        }
        int64_t now = now_us();
        load->stopping |= now >= end;
        if (now - last_tick >= (load->waiting > 0 ? TICK_MS : TICK_IDLE_MS) * 1000) {
            tick_all(load);
            last_tick = now;
        }
        if (o->idle && !told && load->idle == o->sessions) {
            printf("idle %u\n", load->idle);
            fflush(stdout);
            told = true;
        }
        if (o->idle && load->stopping)
            break;
    }
    close(signals);
}

int main(int argc, char **argv)
{
    static struct load load;
    load.options = parse_options(argc, argv);
    net_raise_file_limit();
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    int signals = stop_signals();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(load.epoll, EPOLL_CTL_ADD, signals, &event);
    uint64_t random = load.options.seed * 2 + 1;
    for (unsigned i = 0; i < BODIES; i++) /* large ones share a few bodies: they are all noise */
        load.bodies[i] =
            i < 4 || load.options.size <= 65536 ? body_make(load.options.size, &random) : load.bodies[i % 4];
    load.run = draw(&random);
    load.sessions = must_alloc(NULL, load.options.sessions * sizeof(*load.sessions));
    memset(load.sessions, 0, load.options.sessions * sizeof(*load.sessions));
    load.waiting = load.options.sessions;
    load.start_us = now_us();
    for (unsigned i = 0; i < load.options.sessions; i++)
        load.sessions[i] = (struct session){.fd = -1, .number = i, .state = S_WAITING};
    run(&load, signals);
    print_results(&load);
    if (load.options.acked != NULL && fclose(load.options.acked) != 0)
        die("--acked: cannot be written");
    if (load.options.unknown != NULL && fclose(load.options.unknown) != 0)
        die("--unknown: cannot be written");
    return 0;
}
