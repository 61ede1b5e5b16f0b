/* tests/sim/mx.h — a mail server that does what it is told, or what chance tells it, by the book of RFC 5321.
 *
 * Recipients say what becomes of them: "ok-..." is taken, "no-..." gets 550, "wait-..." 450 until it is calm.
 * Sessions fail in every way a session can, until it is calm. Each domain has its own extensions and
 * two servers; "local.sim" speaks LMTP, "dead.sim" is never up, "sender.sim" always answers well. */
#pragma once
#include "tests/sim/ledger.h"

enum { MX_TARGETS = 2 };
bool mx_up(struct sim *s, struct span domain); /* may be connected to now */
/* Serves side of w until it is closed; frees itself. */
void mx_serve(struct sim *s, struct ledger *l, struct wire *w, int side, struct span domain);
bool mx_lmtp(struct span domain);
