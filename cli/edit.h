/* cli/edit.h — what the commands that change the queue share. */
#pragma once
#include "cli/cli.h"
#include "queue/admin.h"

/* Does it to every message that the command line describes, in these places (enum admin_place, or'ed), and
 * says how many there were. Returns the exit code. */
int edit_messages(struct cli *cli, enum admin_verb verb, unsigned places);
/* Says what was done; what: "messages", "queues". */
int edit_print(const struct cli *cli, const char *what, const struct admin_result *res);
