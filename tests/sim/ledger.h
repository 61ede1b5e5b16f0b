/* tests/sim/ledger.h — every message that was offered, and what became of each of its recipients.
 *
 *   L1  acknowledged => delivered, returned, kept as badmail, or still queued: none lost.
 *   L2  delivered twice only when the reply to the end of data was lost, or a worker ended with it in hand.
 *   L3  what arrives is what was sent.
 *   L4  returned => the sender was told, if he asked to be (RFC 3461 4.1); told of a delay at most once.
 *   L5  not acknowledged => nothing is promised, but L3 still holds. */
#pragma once
#include "tests/sim/sim.h"

enum { LEDGER_MESSAGES = 400, LEDGER_RCPTS = 6, LEDGER_REPORTS = 20000 };

struct ledger_rcpt {
    char address[48];
    uint8_t notify;
    bool acknowledged;
    unsigned delivered, returned, told, delayed, success;
    bool queued, badmail; /* at the end */
};
struct ledger_message {
    bool null_sender, excused; /* excused: L2 */
    char sender[48];
    size_t size; /* of the body, headers included */
    struct ledger_rcpt rcpts[LEDGER_RCPTS];
    size_t nrcpts;
};
struct ledger {
    struct sim *sim;
    struct ledger_message messages[LEDGER_MESSAGES];
    size_t count;
    uint32_t
        reports[LEDGER_REPORTS]; /* sums of the Message-IDs of reports that arrived: one may come twice */
    size_t nreports;
};
/* A new message with chance's recipients; its number. */
size_t ledger_invent(struct ledger *l);
/* Its text: "X-Sim: N", further headers, lines of any kind. Appends. */
void ledger_text(const struct ledger *l, size_t number, struct buf *out);
/* Finds "X-Sim: N" in the header of a message; false: not one of ours. *ret_at: where it begins. */
bool ledger_number(struct span text, size_t *ret_number, size_t *ret_at);
struct ledger_rcpt *ledger_rcpt(struct ledger *l, size_t number, struct span address); /* NULL: unknown */

/* A server has taken a message for these recipients; checks L3; reports are read for L4. */
void ledger_arrived(struct ledger *l, struct span text, const struct buf *rcpts, size_t nrcpts);
void ledger_check(struct ledger *l); /* everything has come to an end: L1, L2, L4 */
void ledger_print(const struct ledger *l);
