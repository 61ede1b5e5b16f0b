/* tests/sim/back.h — a worker in small: claims, sends with worker/client.h to the scripted servers, settles
 * with worker/settle.h and queue/retry.h, reports with queue/dsn.h, finishes. One claim a session, so that
 * every part of the way is crossed often; the real worker keeps its sessions. */
#pragma once
#include "tests/sim/ledger.h"

struct back;
struct back *back_new(struct sim *s, struct ledger *l, const struct conf_root *conf);
/* Dies with all it has in hand; its lease runs out. */
void back_kill(struct back *b);
/* Cut off from the store: its lease ends, it goes on sending what it may. */
void back_freeze(struct back *b, bool frozen);
