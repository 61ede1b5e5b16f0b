/* tests/bench/sink_session.c — one server session of the sink.
 *
 *   COMMAND --DATA--> DATA --CRLF.CRLF--> COMMAND          a delay of a rule holds back the replies and
 *   COMMAND --BDAT--> CHUNK --octets----> COMMAND          the input that follows (paused) */
#include "tests/bench/smtp_sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum input { INPUT_COMMAND, INPUT_DATA, INPUT_CHUNK };
enum dots { DOTS_LINE_START, DOTS_DOT, DOTS_DOT_CR, DOTS_INSIDE };

struct text {
    char *at;
    size_t len, cap;
};

struct peer {
    int fd;
    uint32_t watched; /* for what epoll looks */
    struct sink *sink;
    struct sockaddr_in local;
    enum input input;
    enum dots dots;
    bool paused, closing, reset, mail, null_sender, last_chunk, after_cr, in_body;
    int64_t due_us;
    uint64_t chunk_left, octets;
    struct body_sum sum;
    unsigned rcpts;
    struct text line, envelope, head, out, held; /* head: start of the message, to find its number in */
    FILE *store;
    TAILQ_ENTRY(peer) link;
};

enum {
    EXT_PIPELINING,
    EXT_SIZE,
    EXT_8BITMIME,
    EXT_ENHANCED,
    EXT_DSN,
    EXT_SMTPUTF8,
    EXT_CHUNKING,
    EXT_BINARYMIME,
    EXT_COUNT
};
static const char *const extensions[EXT_COUNT] = {
    [EXT_PIPELINING] = "PIPELINING",
    [EXT_SIZE] = "SIZE",
    [EXT_8BITMIME] = "8BITMIME",
    [EXT_ENHANCED] = "ENHANCEDSTATUSCODES",
    [EXT_DSN] = "DSN",
    [EXT_SMTPUTF8] = "SMTPUTF8",
    [EXT_CHUNKING] = "CHUNKING",
    [EXT_BINARYMIME] = "BINARYMIME",
};

bool sink_hide(struct sink *sink, const char *keyword)
{
    for (unsigned i = 0; i < EXT_COUNT; i++) {
        if (strcasecmp(keyword, extensions[i]) == 0) {
            sink->hidden |= 1u << i;
            return true;
        }
    }
    return false;
}

/* Adds bytes and a NUL that is not counted; what would go beyond the limit is left out. */
static void text_add(struct text *text, const char *bytes, size_t len, size_t limit)
{
    if (len > limit - text->len)
        len = limit - text->len;
    if (text->len + len + 1 > text->cap) {
        text->cap = (text->len + len + 1) * 2;
        text->at = must_alloc(text->at, text->cap);
    }
    memcpy(text->at + text->len, bytes, len);
    text->len += len;
    text->at[text->len] = '\0';
}

static const char *text_get(const struct text *text)
{
    return text->at != NULL ? text->at : "";
}

static void text_clear(struct text *text)
{
    text->len = 0;
    if (text->at != NULL)
        text->at[0] = '\0';
}

static void say(struct peer *peer, const char *reply)
{
    text_add(&peer->out, reply, strlen(reply), 1 << 20);
}

/* Lets the rules speak; otherwise says `normal`. True if things went their normal way. */
static bool answer(struct peer *peer, enum phase phase, const char *text, const char *normal)
{
    int delay_ms = 0;
    const struct rule *rule = rules_apply(&peer->sink->rules, phase, text, &delay_ms);
    if (delay_ms > 0 && !peer->paused) {
        struct peer *before;
        peer->paused = true;
        peer->due_us = now_us() + (int64_t)delay_ms * 1000;
        TAILQ_FOREACH_REVERSE(before, &peer->sink->paused, paused, link)
        if (before->due_us <= peer->due_us)
            break;
        if (before != NULL)
            TAILQ_INSERT_AFTER(&peer->sink->paused, before, peer, link);
        else
            TAILQ_INSERT_HEAD(&peer->sink->paused, peer, link);
    }
    if (rule == NULL) {
        say(peer, normal);
        return true;
    }
    if (rule->action == ACT_REPLY)
        say(peer, rule->reply);
    peer->reset |= rule->action == ACT_RESET;
    peer->closing |= rule->action != ACT_REPLY || strncmp(rule->reply, "421", 3) == 0;
    return rule->action == ACT_REPLY && rule->reply[0] == '2';
}

/* ---- the message ---- */

static void message_bytes(struct peer *peer, const char *bytes, size_t len)
{
    peer->octets += len;
    if (peer->store != NULL)
        fwrite(bytes, 1, len, peer->store);
    if (peer->in_body) {
        body_sum_add(&peer->sum, bytes, len);
        if (peer->null_sender)
            text_add(&peer->head, bytes, len, HEADER_MAX);
        return;
    }
    size_t before = peer->head.len;
    text_add(&peer->head, bytes, len, HEADER_MAX);
    size_t from = before > 3 ? before - 3 : 0;
    const char *end = memmem(text_get(&peer->head) + from, peer->head.len - from, "\r\n\r\n", 4);
    if (end != NULL) {
        size_t used = (size_t)(end + 4 - peer->head.at) - before; /* of these bytes */
        peer->in_body = true;
        peer->sum = (struct body_sum){0};
        body_sum_add(&peer->sum, bytes + used, len - used);
    }
}

/* The number and sum of a field "X-Load-Id: 17 0123456789abcdef" at or after `from`; NULL when there is none.
 */
static const char *find_id(const char *from, uint64_t *ret_id, uint64_t *ret_sum)
{
    const char *field = strcasestr(from, MESSAGE_ID_FIELD);
    if (field == NULL)
        return NULL;
    char *end;
    *ret_id = strtoull(field + sizeof(MESSAGE_ID_FIELD) - 1, &end, 10);
    *ret_sum = strtoull(end, &end, 16);
    return end;
}

static void account(struct peer *peer, unsigned recipients)
{
    struct ledger *ledger = &peer->sink->ledger;
    uint64_t id = UINT64_MAX, sum = 0;
    const char *found = find_id(text_get(&peer->head), &id, &sum);
    ledger->last_us = now_us();
    if (ledger->first_us == 0)
        ledger->first_us = ledger->last_us;
    ledger->messages++;
    ledger->recipients += recipients;
    ledger->bytes += peer->octets;
    ledger_local(ledger, &peer->local)->messages++;
    if (!peer->null_sender && found != NULL) {
        ledger_delivered(ledger, id, sum == body_sum_get(&peer->sum));
    } else if (!peer->null_sender || found == NULL) {
        ledger->unnumbered++;
    }
    for (; peer->null_sender && found != NULL; found = find_id(found, &id, &sum))
        ledger_bounced(ledger, id);
    if (peer->sink->log == NULL)
        return;
    fprintf(peer->sink->log, "%" PRId64 " %s\n%s", id == UINT64_MAX ? -1 : (int64_t)id,
            net_text(&peer->local), text_get(&peer->envelope));
    fflush(peer->sink->log);
}

/* DIR/N is the message, DIR/N.env its MAIL and RCPT commands; N counts from 1. */
static void store_open(struct peer *peer)
{
    char path[512];
    if (peer->sink->store == NULL)
        return;
    snprintf(path, sizeof(path), "%.480s/%" PRIu64 ".env", peer->sink->store, ++peer->sink->stored);
    FILE *envelope = fopen(path, "w");
    path[strlen(path) - 4] = '\0';
    peer->store = fopen(path, "w");
    if (envelope == NULL || peer->store == NULL)
        die("%s: %s", path, strerror(errno));
    fputs(text_get(&peer->envelope), envelope);
    fclose(envelope);
}

static void store_close(struct peer *peer)
{
    if (peer->store != NULL)
        fclose(peer->store);
    peer->store = NULL;
}

static void transaction_reset(struct peer *peer)
{
    store_close(peer);
    peer->mail = peer->null_sender = peer->in_body = false;
    peer->rcpts = 0;
    peer->octets = 0;
    text_clear(&peer->envelope);
    text_clear(&peer->head);
}

static void message_start(struct peer *peer)
{
    peer->dots = DOTS_LINE_START;
    peer->after_cr = false;
    if (peer->octets == 0 && peer->store == NULL)
        store_open(peer);
}

/* RFC 5321: one reply. LMTP (RFC 2033 4.2): one for each recipient. */
static void message_end(struct peer *peer)
{
    unsigned taken = 0;
    store_close(peer); /* it is complete before anybody is told */
    if (peer->sink->size_limit != 0 && peer->octets > peer->sink->size_limit) {
        say(peer, "552 5.3.4 too big\r\n");
    } else if (!peer->sink->lmtp) {
        taken = answer(peer, PHASE_DOT, text_get(&peer->envelope), "250 2.0.0 taken\r\n") ? peer->rcpts : 0;
    } else {
        char *line = strchr(peer->envelope.at, '\n');
        while (line != NULL && line[1] != '\0') {
            char *next = strchr(line + 1, '\n');
            *next = '\0';
            taken += answer(peer, PHASE_DOT, line + 1, "250 2.0.0 taken\r\n");
            *next = '\n';
            line = next;
        }
    }
    if (taken > 0)
        account(peer, taken);
    transaction_reset(peer);
    peer->input = INPUT_COMMAND;
}

/* Goes on to the next line that begins with a dot, or to the end: lines without one need no look. */
static size_t next_dotted_line(struct peer *peer, const char *data, size_t from, size_t len)
{
    const char *dot = data + from;
    while ((dot = memchr(dot, '.', (size_t)(data + len - dot))) != NULL) {
        size_t at = (size_t)(dot - data);
        if (at > 0 && dot[-1] == '\n' && (at > 1 ? dot[-2] == '\r' : peer->after_cr)) {
            peer->dots = DOTS_LINE_START;
            return at;
        }
        dot++;
    }
    if (data[len - 1] == '\n' && (len > 1 ? data[len - 2] == '\r' : peer->after_cr))
        peer->dots = DOTS_LINE_START;
    return len;
}

/* Takes octets of DATA up to the end of the message; returns how many. RFC 5321 4.5.2: transparency. */
static size_t feed_data(struct peer *peer, const char *data, size_t len)
{
    size_t i = 0, from = 0;
    while (i < len) {
        switch (peer->dots) {
        case DOTS_LINE_START:
            peer->dots = DOTS_INSIDE;
            if (data[i] == '.') {
                message_bytes(peer, data + from, i - from);
                from = ++i;
                peer->dots = DOTS_DOT;
            }
            break;
        case DOTS_DOT:
            peer->dots = data[i] == '\r' ? DOTS_DOT_CR : DOTS_INSIDE;
            if (data[i] == '\r')
                from = ++i;
            break;
        case DOTS_DOT_CR:
            if (data[i] == '\n') {
                message_end(peer);
                return i + 1;
            }
            message_bytes(peer, "\r", 1);
            peer->dots = DOTS_INSIDE;
            break;
        case DOTS_INSIDE:
            i = next_dotted_line(peer, data, i, len);
            break;
        }
    }
    peer->after_cr = data[len - 1] == '\r';
    message_bytes(peer, data + from, len - from);
    return len;
}

static size_t feed_chunk(struct peer *peer, const char *data, size_t len)
{
    size_t take = len < peer->chunk_left ? len : (size_t)peer->chunk_left;
    message_bytes(peer, data, take);
    peer->chunk_left -= take;
    if (peer->chunk_left == 0 && peer->last_chunk) {
        message_end(peer);
    } else if (peer->chunk_left == 0) {
        say(peer, "250 2.0.0 chunk taken\r\n");
        peer->input = INPUT_COMMAND;
    }
    return take;
}

/* ---- commands ---- */

static void do_ehlo(struct peer *peer, const char *line)
{
    char reply[512];
    int len = snprintf(reply, sizeof(reply), "250-sink.example\r\n");
    for (unsigned i = 0; i < EXT_COUNT; i++) {
        if ((peer->sink->hidden & (1u << i)) != 0)
            continue;
        len += snprintf(reply + len, sizeof(reply) - (size_t)len, "250-%s", extensions[i]);
        if (i == EXT_SIZE)
            len += snprintf(reply + len, sizeof(reply) - (size_t)len, " %" PRIu64, peer->sink->size_limit);
        len += snprintf(reply + len, sizeof(reply) - (size_t)len, "\r\n");
    }
    snprintf(reply + len, sizeof(reply) - (size_t)len, "250 HELP\r\n");
    transaction_reset(peer);
    answer(peer, PHASE_EHLO, line, reply);
}

static void do_helo(struct peer *peer, const char *line)
{
    transaction_reset(peer);
    answer(peer, PHASE_EHLO, line, "250 sink.example\r\n");
}

static void remember(struct peer *peer, const char *line)
{
    text_add(&peer->envelope, line, strlen(line), ENVELOPE_MAX - 1);
    text_add(&peer->envelope, "\n", 1, ENVELOPE_MAX);
}

static void do_mail(struct peer *peer, const char *line)
{
    peer->sink->ledger.attempts++;
    if (peer->mail) {
        say(peer, "503 5.5.1 nested MAIL\r\n");
    } else if (answer(peer, PHASE_MAIL, line, "250 2.1.0 sender ok\r\n")) {
        peer->mail = true;
        peer->null_sender = strstr(line, "<>") != NULL;
        remember(peer, line);
    }
}

static void do_rcpt(struct peer *peer, const char *line)
{
    if (!peer->mail) {
        say(peer, "503 5.5.1 MAIL first\r\n");
    } else if (answer(peer, PHASE_RCPT, line, "250 2.1.5 recipient ok\r\n")) {
        peer->rcpts++;
        remember(peer, line);
    }
}

static void do_data(struct peer *peer, const char *line)
{
    if (peer->rcpts == 0) {
        say(peer, "503 5.5.1 RCPT first\r\n");
    } else if (answer(peer, PHASE_DATA, line, "")) {
        say(peer, "354 go ahead\r\n");
        peer->input = INPUT_DATA;
        message_start(peer);
    }
}

/* A refused BDAT is still followed by its octets (RFC 3030 2). */
static void do_bdat(struct peer *peer, const char *line)
{
    char *end;
    peer->chunk_left = strtoull(line + 4, &end, 10);
    peer->last_chunk = strcasestr(end, "LAST") != NULL;
    if (peer->rcpts == 0 || (peer->sink->hidden & (1u << EXT_CHUNKING)) != 0) {
        say(peer, "503 5.5.1 no BDAT now\r\n");
        peer->closing = true; /* our clients do not pipeline chunks behind a refusal */
        return;
    }
    if (!answer(peer, PHASE_DATA, line, "")) {
        peer->closing = true;
        return;
    }
    peer->input = INPUT_CHUNK;
    message_start(peer);
    if (peer->chunk_left == 0)
        feed_chunk(peer, "", 0);
}

static void do_rset(struct peer *peer, const char *line)
{
    (void)line;
    transaction_reset(peer);
    say(peer, "250 2.0.0 ok\r\n");
}

static void do_noop(struct peer *peer, const char *line)
{
    (void)line;
    say(peer, "250 2.0.0 ok\r\n");
}

static void do_quit(struct peer *peer, const char *line)
{
    (void)line;
    say(peer, "221 2.0.0 bye\r\n");
    peer->closing = true;
}

static const struct {
    const char *name;
    void (*run)(struct peer *peer, const char *line);
} verbs[] = {
    {"EHLO", do_ehlo}, {"HELO", do_helo}, {"LHLO", do_ehlo}, {"MAIL", do_mail}, {"RCPT", do_rcpt},
    {"DATA", do_data}, {"BDAT", do_bdat}, {"RSET", do_rset}, {"NOOP", do_noop}, {"QUIT", do_quit},
};

static void command(struct peer *peer, const char *line)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strncasecmp(line, verbs[i].name, 4) == 0) {
            verbs[i].run(peer, line);
            return;
        }
    }
    say(peer, "500 5.5.1 what?\r\n");
}

/* Takes octets up to the end of one command line; returns how many. */
static size_t feed_command(struct peer *peer, const char *data, size_t len)
{
    const char *end = memchr(data, '\n', len);
    size_t take = end != NULL ? (size_t)(end - data) + 1 : len;
    text_add(&peer->line, data, take, COMMAND_MAX);
    if (end == NULL)
        return take;
    while (peer->line.len > 0 && strchr("\r\n", peer->line.at[peer->line.len - 1]) != NULL)
        peer->line.at[--peer->line.len] = '\0';
    command(peer, peer->line.at);
    text_clear(&peer->line);
    return take;
}

/* ---- the connection ---- */

static void peer_close(struct peer *peer)
{
    if (peer->reset) {
        struct linger now = {.l_onoff = 1};
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    if (peer->paused)
        TAILQ_REMOVE(&peer->sink->paused, peer, link);
    ledger_close(&peer->sink->ledger, &peer->local);
    store_close(peer);
    close(peer->fd);
    free(peer->line.at);
    free(peer->envelope.at);
    free(peer->head.at);
    free(peer->out.at);
    free(peer->held.at);
    free(peer);
}

static void feed(struct peer *peer, const char *data, size_t len)
{
    while (len > 0 && !peer->paused && !peer->closing) {
        size_t used = peer->input == INPUT_COMMAND ? feed_command(peer, data, len)
                      : peer->input == INPUT_DATA  ? feed_data(peer, data, len)
                                                   : feed_chunk(peer, data, len);
        data += used;
        len -= used;
    }
    if (peer->paused && len > 0)
        text_add(&peer->held, data, len, 1 << 20);
}

static void watch(struct peer *peer, uint32_t want, int how)
{
    struct epoll_event event = {.events = want, .data.ptr = peer};
    if (how == EPOLL_CTL_ADD || want != peer->watched)
        epoll_ctl(peer->sink->epoll, how, peer->fd, &event);
    peer->watched = want;
}

/* Sends what there is to send and says what to wait for; may free the peer. */
static void settle(struct peer *peer)
{
    uint32_t want = peer->paused ? 0 : EPOLLIN;
    if (!peer->paused && peer->out.len > 0) {
        ssize_t n = send(peer->fd, peer->out.at, peer->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            peer_close(peer);
            return;
        }
        size_t sent = n > 0 ? (size_t)n : 0;
        memmove(peer->out.at, peer->out.at + sent, peer->out.len - sent);
        peer->out.len -= sent;
        if (peer->out.len > 0)
            want = EPOLLOUT; /* a client that does not read is not read from */
    }
    if (peer->closing && !peer->paused && peer->out.len == 0) {
        peer_close(peer);
        return;
    }
    watch(peer, want, EPOLL_CTL_MOD);
}

void peer_open(struct sink *sink, int fd)
{
    struct peer *peer = must_alloc(NULL, sizeof(*peer));
    *peer = (struct peer){.fd = fd, .sink = sink};
    socklen_t len = sizeof(peer->local);
    getsockname(fd, (struct sockaddr *)&peer->local, &len);
    ledger_open(&sink->ledger, &peer->local);
    watch(peer, EPOLLIN, EPOLL_CTL_ADD);
    answer(peer, PHASE_CONNECT, "", "220 sink.example ESMTP\r\n");
    /* A greeting that refuses leaves nothing to talk about (RFC 5321 3.1), though QUIT may still come. */
    settle(peer);
}

void peer_event(struct sink *sink, struct peer *peer, uint32_t events)
{
    static char input[65536];
    (void)sink;
    if ((events & EPOLLIN) != 0) {
        ssize_t n = recv(peer->fd, input, sizeof(input), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            peer_close(peer);
            return;
        }
        if (n > 0)
            feed(peer, input, (size_t)n);
    } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        peer_close(peer);
        return;
    }
    settle(peer);
}

int sink_wake(struct sink *sink)
{
    struct peer *peer;
    int64_t now = now_us();
    while ((peer = TAILQ_FIRST(&sink->paused)) != NULL && peer->due_us <= now) {
        TAILQ_REMOVE(&sink->paused, peer, link);
        peer->paused = false;
        struct text held = peer->held;
        peer->held = (struct text){0};
        feed(peer, text_get(&held), held.len);
        free(held.at);
        settle(peer);
    }
    return peer == NULL ? -1 : (int)((peer->due_us - now + 999) / 1000);
}
