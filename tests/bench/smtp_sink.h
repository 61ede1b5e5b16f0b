/* tests/bench/smtp_sink.h — an SMTP or LMTP server that counts what it gets and misbehaves on request. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/queue.h>

#include "tests/bench/message.h"
#include "tests/bench/net.h"

enum { COMMAND_MAX = 4096, ENVELOPE_MAX = 65536, HEADER_MAX = 65536, RULES_MAX = 64, REPLY_MAX = 512 };

/* ---- rules: what it does instead of the normal thing (sink_rules.c) ---- */

enum phase { PHASE_CONNECT, PHASE_EHLO, PHASE_MAIL, PHASE_RCPT, PHASE_DATA, PHASE_DOT, PHASE_COUNT };
enum action { ACT_NONE, ACT_REPLY, ACT_DROP, ACT_RESET, ACT_DELAY };

/* PHASE:ACTION[:PROBABILITY[:MATCH]]; ACTION is a reply ("450 4.2.0 busy"; 421 also ends the session),
 * "drop", "reset" or "delay=MS"; MATCH is looked for in the command, at the dot in all commands of the
 * transaction. */
struct rule {
    enum phase phase;
    enum action action;
    double probability;
    int delay_ms;
    char reply[REPLY_MAX], match[128];
};

struct rules {
    struct rule rule[RULES_MAX];
    unsigned count;
    uint64_t random;
};

bool rules_add(struct rules *rules, const char *text); /* false: not a rule, or too many */
/* What happens in this phase: the first reply, drop or reset rule that applies, or NULL. The delays that
 * apply are added up in *ret_delay_ms. */
const struct rule *rules_apply(struct rules *rules, enum phase phase, const char *text, int *ret_delay_ms);

/* ---- ledger: who connected and what arrived (sink_ledger.c) ---- */

/* Sessions at one local address: one of our listeners, or one of the addresses a wildcard listener was
 * reached at. */
struct local {
    struct sockaddr_in address;
    uint64_t connections, messages;
    unsigned current, max;
};

struct ledger {
    uint8_t *delivered, *bounced; /* per message number: times seen, at most 255 */
    size_t ids;                   /* length of both */
    struct local *locals;         /* hash table, open addressing */
    size_t local_slots, local_count;
    uint64_t messages, recipients, bytes, connections, attempts, corrupt, unnumbered, bounces;
    unsigned current, max;
    int64_t first_us, last_us;
};

struct local *ledger_local(struct ledger *ledger,
                           const struct sockaddr_in *address); /* moves when one is added */
void ledger_open(struct ledger *ledger, const struct sockaddr_in *address);
void ledger_close(struct ledger *ledger, const struct sockaddr_in *address);
void ledger_delivered(struct ledger *ledger, uint64_t id, bool intact);
void ledger_bounced(struct ledger *ledger, uint64_t id);
void ledger_forget_messages(struct ledger *ledger);               /* and maxima; open sessions stay counted */
void ledger_print(const struct ledger *ledger, FILE *out);        /* JSON, one line */
void ledger_print_locals(const struct ledger *ledger, FILE *out); /* JSON, one line */
void ledger_print_ids(const struct ledger *ledger, FILE *out);    /* "id delivered bounced" lines */

/* ---- sessions (sink_session.c) ---- */

struct sink {
    struct rules rules;
    struct ledger ledger;
    bool lmtp;
    unsigned hidden;     /* mask of extensions not offered */
    const char *store;   /* directory for messages, or NULL */
    FILE *log;           /* a line per recipient and message, or NULL */
    uint64_t size_limit; /* announced by SIZE and enforced; 0: none */
    uint64_t stored;
    int epoll;
    TAILQ_HEAD(paused, peer) paused; /* by due time */
};

struct peer;
bool sink_hide(struct sink *sink, const char *keyword); /* false: not an extension we have */
void peer_open(struct sink *sink, int fd);
void peer_event(struct sink *sink, struct peer *peer, uint32_t events);
/* Wakes sessions whose delay is over; returns milliseconds until the next one, or -1. */
int sink_wake(struct sink *sink);
