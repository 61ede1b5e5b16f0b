/* tests/bench/smtp_load.h — the load generator: options, results and one session. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/bench/histogram.h"
#include "tests/bench/message.h"

enum { BODIES = 32, REPLY_LINE_MAX = 1024, COMMANDS_MAX = 16384 };

struct options {
    struct sockaddr_in to;
    unsigned sessions, per_connection, rcpts, domains, sources, warm, timeout_s;
    uint64_t messages, first_id, seed, rate; /* messages, rate: 0 for no limit */
    double seconds;
    size_t size;
    const char *sender, *domain; /* domain: %u becomes the number of the domain */
    bool pipeline, bdat, idle, retry;
    FILE *acked, *unknown;
};

struct results {
    uint64_t started, acked, tempfail, permfail, unknown, lost_connections, refused_connections, connections,
        timeouts;
    uint64_t bytes;
    struct histogram message, end; /* MAIL to the last reply; end of data to the last reply */
    int64_t first_us, last_us;     /* first MAIL sent, last message acknowledged */
    int last_code;
    char last_refusal[200];
};

/*                                  +---------------------- WAITING <---- refused, cut, nothing to send
 *                                  v                          ^
 *   CONNECTING -> GREETING -> HELLO -> MAIL -> RCPT -> DATA -> BODY -> END -> MAIL ... QUIT
 *                                 \-> IDLE     \______\-> RESET -> MAIL
 * With pipelining MAIL, RCPT and DATA leave together; the states then only tell whose reply is awaited. */
enum state {
    S_WAITING,
    S_CONNECTING,
    S_GREETING,
    S_HELLO,
    S_IDLE,
    S_MAIL,
    S_RCPT,
    S_DATA,
    S_BODY,
    S_END,
    S_RESET,
    S_QUIT,
    S_FINISHED
};

struct session {
    int fd;
    enum state state;
    unsigned number, sent, rcpt,
        accepted;        /* sent: on this connection; rcpt: replies had; accepted: rcpts taken */
    unsigned connection; /* how many it has had; tells an old one's leftovers from the present one */
    bool want_write;
    int refusal;    /* first refusal of the transaction, or 0 */
    int64_t due_us; /* WAITING: when to go on; else: when to give up */
    int64_t mail_us, end_us;
    uint64_t id;
    const struct body *body;
    char header[MESSAGE_HEADER_MAX + 64];
    size_t header_len, header_sent, body_sent, tail_sent;
    char line[REPLY_LINE_MAX];
    size_t line_len;
};

struct load {
    struct options options;
    struct results results;
    struct body bodies[BODIES];
    struct session *sessions;
    int epoll;
    unsigned finished, waiting, connecting, idle;
    int64_t start_us;
    uint64_t run, in_flight;
    bool stopping;
};

/* load_session.c */
void session_tick(struct load *load, struct session *s, int64_t now); /* WAITING and due, or too late */
void session_event(struct load *load, struct session *s, uint32_t events);
