/* worker/maildir.h — one message into one maildir, durably and at most once. Blocks: for worker/filepool.h.
 *
 *   begin ──> tmp/<name>.<unique> ── append* ──> commit: fsync, rename to new/<name>, fsync of new/
 *     any failure: the file in tmp/ is removed
 *
 * The final name is made from message and mailbox alone: a delivery that is repeated because its end could
 * not be recorded replaces the file instead of adding a second one (unless a reader moved it to cur/
 * meanwhile). Directories are made as needed, 0700; files are 0600. The mailbox path comes from
 * deliver_path() and is trusted; the last component of a file is never followed through a link. */
#pragma once
#include "common/buf.h"
#include "queue/msgid.h"

enum { MAILDIR_NAME_MAX = 96 };

struct maildir_file { /* caller-owned; zero-initialize */
    char *dir;        /* of the mailbox */
    char name[MAILDIR_NAME_MAX];
    char unique[24]; /* tells the tries of one name apart */
    int fd;
    bool open;
};
/* name: who and what, see maildir_name(); unique: differs between processes and tries.
 * ERR_FULL: no space or quota; ERR_IO: anything else, ec says what. */
enum err maildir_begin(struct maildir_file *f, struct span dir, const char *name, uint64_t unique,
                       struct errctx *ec) MUST_USE;
enum err maildir_append(struct maildir_file *f, struct span bytes, struct errctx *ec) MUST_USE;
enum err maildir_commit(struct maildir_file *f, struct errctx *ec) MUST_USE;
void maildir_abort(struct maildir_file *f); /* idempotent; also frees what begin allocated */

/* "<arrival seconds>.<message>.<job>.<hash of the address>.bridgehead" */
void maildir_name(const struct msgid *id, uint32_t job, ms_t arrival_ms, struct span address,
                  char out[MAILDIR_NAME_MAX]);
