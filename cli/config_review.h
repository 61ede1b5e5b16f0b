/* cli/config_review.h — what `config check` sees beyond errors: notes about what is allowed but perhaps not
 * meant, and with --live whether the targets of connectors answer. One a line: "file:line: key: what". */
#pragma once
#include "cli/cli.h"

/* Certificates and authorities that are named and cannot be used: problems. */
void config_check_certificates(const struct conf_root *root, const char *file, struct buf *problems);
/* Connectors whose address spaces overlap, groups that nobody is configured to hear of. Changes nothing. */
enum err config_warnings(const struct config *conf, const char *file, struct buf *warnings) MUST_USE;
/* Workers that connectors list as source bridgeheads and of whom none is alive: problems. Asks the queue when
 * there are some. CLI_OK, or reported. */
int config_try_sources(struct cli *cli, struct buf *problems);
/* Resolves and greets every target of every connector, at most timeout_ms for each answer: problems are those
 * that do not answer. *ret_tried: how many were tried. */
enum err config_try_targets(const struct config *conf, const char *file, ms_t timeout_ms,
                            struct buf *problems, size_t *ret_tried, struct errctx *ec) MUST_USE;
