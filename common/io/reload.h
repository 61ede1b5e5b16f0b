/* common/io/reload.h — what became of a configuration, as a daemon leaves it for `bridgehead reload` after a
 * SIGHUP, and for `bridgehead run` when it cannot start: a small file of lines, replaced as a whole.
 *
 *   applied | refused         the first line
 *   KEY | PROBLEM             what needs a restart, or what is wrong, one a line */
#pragma once
#include "common/buf.h"

enum { RELOAD_TEXT_MAX = 64 << 10 };
/* "DATA_DIR/run/PROGRAM.reload" */
enum err reload_path(const char *data_dir, const char *program, struct buf *out) MUST_USE;
/* What is there; empty: nothing yet. out has room for RELOAD_TEXT_MAX + 1. */
void reload_read(const char *path, struct buf *out);
/* Silent when there is no such directory: only `bridgehead run` makes it, and only there somebody waits. */
void reload_tell(const char *data_dir, const char *program, bool applied, struct span lines);
