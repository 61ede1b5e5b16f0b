/* common/io/notify.h — tells the service manager what we are doing: the datagrams of sd_notify(3). */
#pragma once
#include "common/clock.h"
#include "common/err.h"

/* state: "READY=1\nSTATUS=..." Silent when $NOTIFY_SOCKET is not set; errors are not ours to mend. */
void notify_send(const char *state);
/* How often the manager wants to hear WATCHDOG=1, or 0. */
ms_t notify_watchdog_ms(void);
