/* tests/bench/load_session.c — one client session of the load generator; see smtp_load.h for its states. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/bench/net.h"
#include "tests/bench/smtp_load.h"

enum { PAUSE_US = 50000, CONNECTING_MAX = 200 };

static void enter(struct load *load, struct session *s, enum state next)
{
    load->waiting += (next == S_WAITING) - (unsigned)(s->state == S_WAITING);
    load->connecting += (next == S_CONNECTING) - (unsigned)(s->state == S_CONNECTING);
    load->idle += (next == S_IDLE) - (unsigned)(s->state == S_IDLE);
    load->finished += (next == S_FINISHED) - (unsigned)(s->state == S_FINISHED);
    s->state = next;
    s->due_us = now_us() + (next == S_WAITING ? PAUSE_US : (int64_t)load->options.timeout_s * 1000000);
}

static bool in_transaction(const struct session *s)
{
    return s->state >= S_MAIL && s->state <= S_RESET;
}

/* Ends the connection. A message whose end was sent without a reply is neither acknowledged nor refused. */
static void hang_up(struct load *load, struct session *s, enum state next)
{
    if (s->state == S_END) {
        load->results.unknown++;
        if (load->options.unknown != NULL)
            fprintf(load->options.unknown, "%" PRIu64 "\n", s->id);
    }
    if (in_transaction(s) && s->state != S_RESET)
        load->in_flight--;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->connection++;
    s->sent = 0;
    s->line_len = 0;
    enter(load, s, next);
}

static void lost(struct load *load, struct session *s)
{
    if (s->state == S_CONNECTING)
        load->results.refused_connections++;
    else if (s->state != S_QUIT)
        load->results.lost_connections++;
    bool over = load->stopping && s->state != S_END;
    hang_up(load, s, over || s->state == S_QUIT ? S_FINISHED : S_WAITING);
}

/* Commands are short and the server has read all earlier ones: a socket that cannot take one is an error. */
static bool say(struct load *load, struct session *s, const char *text, size_t len)
{
    if (send(s->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len)
        return true;
    lost(load, s);
    return false;
}

static void watch(struct load *load, struct session *s, bool writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0u), .data.ptr = s};
    if (s->want_write != writing)
        epoll_ctl(load->epoll, EPOLL_CTL_MOD, s->fd, &event);
    s->want_write = writing;
}

static void connect_now(struct load *load, struct session *s)
{
    struct in_addr from = {0};
    if (load->options.sources > 1) /* 127.0.0.2 and up */
        from.s_addr = htonl(INADDR_LOOPBACK + 1 + s->number % load->options.sources);
    s->fd = net_connect(&load->options.to, &from);
    if (s->fd < 0) {
        load->results.refused_connections++;
        enter(load, s, S_WAITING);
        return;
    }
    /* The greeting tells that the connection is there; a failure is reported in any case. */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    s->want_write = false;
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, s->fd, &event);
    load->results.connections++;
    enter(load, s, S_CONNECTING);
}

/* May another message be started now? */
static bool message_left(const struct load *load)
{
    const struct options *o = &load->options;
    uint64_t begun = o->retry ? load->results.acked + load->in_flight : load->results.started;
    return !load->stopping && (o->messages == 0 || begun < o->messages);
}

static bool rate_allows(const struct load *load, int64_t now)
{
    uint64_t elapsed = (uint64_t)(now - load->start_us);
    return load->options.rate == 0 || load->results.started * 1000000 <= load->options.rate * elapsed;
}

static size_t rcpt_command(const struct load *load, const struct session *s, unsigned which, char *out,
                           size_t size)
{
    const struct options *o = &load->options;
    uint64_t domain = (s->id * o->rcpts + which) % o->domains;
    const char *mark = strstr(o->domain, "%u");
    int len = mark == NULL ? snprintf(out, size, "RCPT TO:<u%u@%s>\r\n", which, o->domain)
                           : snprintf(out, size, "RCPT TO:<u%u@%.*s%" PRIu64 "%s>\r\n", which,
                                      (int)(mark - o->domain), o->domain, domain, mark + 2);
    if (len < 0 || (size_t)len >= size)
        die("recipient too long");
    return (size_t)len;
}

static void message_prepare(struct load *load, struct session *s)
{
    s->id = load->options.first_id + load->results.started++;
    load->in_flight++;
    s->body = &load->bodies[s->id % BODIES];
    s->header_len = 0;
    size_t header = 0;
    char text[MESSAGE_HEADER_MAX];
    header = message_header(text, s->id, load->run, s->body);
    if (load->options.bdat)
        s->header_len =
            (size_t)snprintf(s->header, sizeof(s->header), "BDAT %zu LAST\r\n", header + s->body->plain_len);
    memcpy(s->header + s->header_len, text, header);
    s->header_len += header;
    s->header_sent = s->body_sent = s->tail_sent = 0;
    s->rcpt = s->accepted = 0;
    s->refusal = 0;
}

static void start_mail(struct load *load, struct session *s)
{
    char commands[COMMANDS_MAX];
    int64_t now = now_us();
    message_prepare(load, s);
    size_t len = (size_t)snprintf(commands, sizeof(commands), "MAIL FROM:<%s>\r\n", load->options.sender);
    if (load->options.pipeline) {
        for (unsigned i = 0; i < load->options.rcpts; i++)
            len += rcpt_command(load, s, i, commands + len, sizeof(commands) - len - 8);
        if (!load->options.bdat)
            len += (size_t)snprintf(commands + len, sizeof(commands) - len, "DATA\r\n");
    }
    s->mail_us = now;
    if (load->results.first_us == 0)
        load->results.first_us = now;
    enter(load, s, S_MAIL);
    say(load, s, commands, len);
}

/* What a session does when the server is ready for a command. */
static void next_message(struct load *load, struct session *s)
{
    const struct options *o = &load->options;
    if (o->idle && s->sent >= o->warm) {
        enter(load, s, S_IDLE);
    } else if (!message_left(load) || s->sent >= o->per_connection || !rate_allows(load, now_us())) {
        enter(load, s, S_QUIT);
        say(load, s, "QUIT\r\n", 6);
    } else {
        start_mail(load, s);
    }
}

static void send_body(struct load *load, struct session *s)
{
    bool bdat = load->options.bdat;
    const char *body = bdat ? s->body->plain : s->body->stuffed;
    size_t body_len = bdat ? s->body->plain_len : s->body->stuffed_len, tail_len = bdat ? 0 : 3;
    for (;;) {
        struct iovec parts[3] = {
            {s->header + s->header_sent, s->header_len - s->header_sent},
            {(char *)(uintptr_t)body + s->body_sent, body_len - s->body_sent},
            {(char *)(uintptr_t) ".\r\n" + s->tail_sent, tail_len - s->tail_sent},
        };
        size_t left = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;
        if (left == 0)
            break;
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
        ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            watch(load, s, true);
            return;
        }
        if (n < 0) {
            lost(load, s);
            return;
        }
        size_t took = (size_t)n;
        size_t *sent[3] = {&s->header_sent, &s->body_sent, &s->tail_sent};
        for (int i = 0; i < 3; i++) {
            size_t part = took < parts[i].iov_len ? took : parts[i].iov_len;
            *sent[i] += part;
            took -= part;
        }
    }
    watch(load, s, false);
    s->end_us = now_us();
    load->results.bytes += s->header_len + body_len;
    enter(load, s, S_END);
}

static void acknowledged(struct load *load, struct session *s)
{
    int64_t now = now_us();
    load->results.acked++;
    load->results.last_us = now;
    histogram_add(&load->results.message, (uint64_t)(now - s->mail_us));
    histogram_add(&load->results.end, (uint64_t)(now - s->end_us));
    if (load->options.acked != NULL)
        fprintf(load->options.acked, "%" PRIu64 "\n", s->id);
}

static void refused(struct load *load, const struct session *s, int code)
{
    if (code >= 500)
        load->results.permfail++;
    else
        load->results.tempfail++;
    load->results.last_code = code;
    snprintf(load->results.last_refusal, sizeof(load->results.last_refusal), "%.190s", s->line);
}

/* The transaction is over without the message having been sent: start afresh. */
static void abandon(struct load *load, struct session *s, int code)
{
    /* With pipelining DATA fails because of what failed before it. */
    refused(load, s, s->refusal != 0 ? s->refusal : code);
    load->in_flight--;
    enter(load, s, S_RESET);
    say(load, s, "RSET\r\n", 6);
}

static void reply_rcpt(struct load *load, struct session *s, int code)
{
    const struct options *o = &load->options;
    char command[512];
    s->accepted += code < 300;
    if (code >= 300 && s->refusal == 0)
        s->refusal = code;
    s->rcpt++;
    if (s->rcpt < o->rcpts) {
        if (!o->pipeline)
            say(load, s, command, rcpt_command(load, s, s->rcpt, command, sizeof(command)));
    } else if (s->accepted == 0 && (o->bdat || !o->pipeline)) {
        abandon(load, s, code);
    } else if (o->bdat) {
        enter(load, s, S_BODY);
        send_body(load, s);
    } else {
        enter(load, s, S_DATA);
        if (!o->pipeline)
            say(load, s, "DATA\r\n", 6);
    }
}

static void reply_mail(struct load *load, struct session *s, int code)
{
    char command[512];
    if (load->options.pipeline) {
        s->refusal = code >= 300 ? code : 0;
        enter(load, s, S_RCPT);
    } else if (code >= 300) {
        abandon(load, s, code);
    } else {
        enter(load, s, S_RCPT);
        say(load, s, command, rcpt_command(load, s, 0, command, sizeof(command)));
    }
}

static void reply(struct load *load, struct session *s, int code)
{
    switch (s->state) {
    case S_GREETING:
        if (code >= 300) {
            refused(load, s, code);
            hang_up(load, s, S_WAITING);
            return;
        }
        enter(load, s, S_HELLO);
        say(load, s, "EHLO load.example\r\n", 19);
        return;
    case S_MAIL:
        reply_mail(load, s, code);
        return;
    case S_RCPT:
        reply_rcpt(load, s, code);
        return;
    case S_DATA:
        if (code != 354) {
            abandon(load, s, code);
            return;
        }
        enter(load, s, S_BODY);
        send_body(load, s);
        return;
    case S_END:
        load->in_flight--;
        s->sent++;
        if (code < 300)
            acknowledged(load, s);
        else
            refused(load, s, code);
        next_message(load, s);
        return;
    case S_HELLO:
    case S_RESET:
        next_message(load, s);
        return;
    case S_QUIT:
        hang_up(load, s, message_left(load) ? S_WAITING : S_FINISHED);
        if (s->state == S_WAITING && rate_allows(load, now_us()))
            connect_now(load, s);
        return;
    case S_IDLE:
    case S_BODY: /* an answer before the end of data: 421, or an early refusal; the connection will end */
        refused(load, s, code);
        lost(load, s);
        return;
    case S_WAITING:
    case S_CONNECTING:
    case S_FINISHED:
        return;
    }
}

/* Lines of a reply; only its last one ("250 ", not "250-") counts. A state of a session tells what it was
 * for. */
static void read_replies(struct load *load, struct session *s)
{
    unsigned connection = s->connection;
    ssize_t n = recv(s->fd, s->line + s->line_len, sizeof(s->line) - 1 - s->line_len, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lost(load, s);
        return;
    }
    s->line_len += (size_t)n;
    char *end;
    while ((end = memchr(s->line, '\n', s->line_len)) != NULL) {
        size_t used = (size_t)(end - s->line) + 1;
        *end = '\0';
        if (used >= 5 && s->line[3] != '-')
            reply(load, s, (s->line[0] - '0') * 100 + (s->line[1] - '0') * 10 + s->line[2] - '0');
        if (s->connection != connection)
            return;
        memmove(s->line, s->line + used, s->line_len - used);
        s->line_len -= used;
    }
    if (s->line_len == sizeof(s->line) - 1)
        lost(load, s);
}

void session_event(struct load *load, struct session *s, uint32_t events)
{
    if (s->state == S_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof(error);
        if ((events & EPOLLERR) != 0)
            getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0 && error != ECONNRESET) {
            lost(load, s);
            return;
        }
        enter(load, s, S_GREETING);
    }
    if (s->state == S_BODY && (events & EPOLLOUT) != 0)
        send_body(load, s);
    if (s->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        read_replies(load, s);
}

void session_tick(struct load *load, struct session *s, int64_t now)
{
    if (now < s->due_us || s->state == S_IDLE || s->state == S_FINISHED)
        return;
    if (s->state != S_WAITING) {
        load->results.timeouts++;
        lost(load, s);
    } else if (load->options.idle ? load->stopping : !message_left(load)) {
        enter(load, s, S_FINISHED);
    } else if (load->connecting < CONNECTING_MAX && (load->options.idle || rate_allows(load, now))) {
        connect_now(load, s);
    }
}
