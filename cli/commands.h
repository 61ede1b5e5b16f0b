/* cli/commands.h — the functions behind the verbs; what each does stands in its row of verbs.c. */
#pragma once
#include "cli/cli.h"

/* cmd_basic.c */
int cmd_help(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_docs(struct cli *cli);
int cmd_completion(struct cli *cli);
/* cmd_daemons.c */
int cmd_run(struct cli *cli);
int cmd_node(struct cli *cli);
int cmd_worker(struct cli *cli);
int cmd_router(struct cli *cli);
int cmd_reload(struct cli *cli);
/* cmd_send.c */
int cmd_send(struct cli *cli);
/* cmd_keys.c */
int cmd_keys_make(struct cli *cli);
int cmd_keys_show(struct cli *cli);
int cmd_keys_certify(struct cli *cli);
int cmd_keys_install(struct cli *cli);
int cmd_keys_rotate(struct cli *cli);
/* cmd_link.c */
int cmd_link_list(struct cli *cli);
int cmd_link_down(struct cli *cli);
int cmd_link_up(struct cli *cli);
int cmd_link_auto(struct cli *cli);
/* cmd_linkstate.c */
int cmd_group_list(struct cli *cli);
int cmd_linkstate_show(struct cli *cli);
int cmd_linkstate_verify(struct cli *cli);
int cmd_linkstate_purge(struct cli *cli);
int cmd_linkstate_history(struct cli *cli);
/* cmd_route.c */
int cmd_route_explain(struct cli *cli);
int cmd_route_table(struct cli *cli);
/* cmd_simulate.c */
int cmd_simulate(struct cli *cli);
/* cmd_config.c */
int cmd_config_check(struct cli *cli);
int cmd_config_show(struct cli *cli);
int cmd_config_schema(struct cli *cli);
/* cmd_queue.c */
int cmd_queue_list(struct cli *cli);
int cmd_queue_show(struct cli *cli);
int cmd_queue_fsck(struct cli *cli);
int cmd_badmail_show(struct cli *cli);
int cmd_badmail_list(struct cli *cli);
/* cmd_freeze.c */
int cmd_queue_freeze(struct cli *cli);
int cmd_queue_thaw(struct cli *cli);
/* cmd_edit.c */
int cmd_queue_retry(struct cli *cli);
int cmd_queue_bounce(struct cli *cli);
int cmd_queue_delete(struct cli *cli);
int cmd_badmail_requeue(struct cli *cli);
int cmd_badmail_delete(struct cli *cli);
/* cmd_message.c */
int cmd_message_show(struct cli *cli);
int cmd_message_track(struct cli *cli);
int cmd_message_export(struct cli *cli);
/* cmd_status.c */
int cmd_status(struct cli *cli);
int cmd_top(struct cli *cli);
