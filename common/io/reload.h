/* common/io/reload.h — the outcome of a SIGHUP, as a daemon leaves it for `bridgehead reload`: a small file
 * of lines, replaced as a whole.
 *
 *   applied | refused         the first line
 *   KEY | PROBLEM             what needs a restart, or what is wrong, one a line */
#pragma once
#include "common/buf.h"

enum { RELOAD_TEXT_MAX = 64 << 10 };
/* "DATA_DIR/run/PROGRAM.reload" */
enum err reload_path(const char *data_dir, const char *program, struct buf *out) MUST_USE;
/* Silent when there is no such directory: only `bridgehead run` makes it, and only there somebody waits. */
void reload_tell(const char *data_dir, const char *program, bool applied, struct span lines);
