#include "worker/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err failed(struct errctx *ec, const char *what, const char *path)
{
    enum err e = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;

    return err_set(ec, e, "%s %s: %s", what, path, strerror(errno));
}

static enum err sync_dir(const char *path, struct errctx *ec)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    int saved = errno;

    if (fd >= 0)
        (void)close(fd);
    errno = saved;
    return rc == 0 ? ERR_OK : failed(ec, "fsync", path);
}

/* Makes one directory; a new name is durable only when its parent is synced. */
static enum err make_dir(char *path, struct errctx *ec)
{
    char *slash;
    enum err e;

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? ERR_OK : failed(ec, "mkdir", path);
    slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return sync_dir(slash == NULL ? "." : "/", ec);
    *slash = '\0';
    e = sync_dir(path, ec);
    *slash = '/';
    if (e != ERR_OK)
        (void)rmdir(path); /* or the next attempt would take it for durable */
    return e;
}

static enum err make_dirs(char *path, struct errctx *ec)
{
    enum err e = ERR_OK;

    for (char *p = path + 1; *p != '\0' && e == ERR_OK; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        e = make_dir(path, ec);
        *p = '/';
    }
    return e == ERR_OK ? make_dir(path, ec) : e;
}

static enum err make_maildir(const char *dir, struct errctx *ec)
{
    static const char *const parts[] = {"cur", "new", "tmp"};
    char path[4096];
    enum err e = ERR_OK;

    for (size_t i = 0; i < ARRAY_LEN(parts) && e == ERR_OK; i++) {
        if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, parts[i]) >= sizeof path)
            return err_set(ec, ERR_TOOBIG, "path too long: %s", dir);
        e = make_dirs(path, ec);
    }
    return e;
}

static enum err path_of(const struct maildir_file *f, bool final, char *out, size_t size)
{
    int n = final ? snprintf(out, size, "%s/new/%s", f->dir, f->name)
                  : snprintf(out, size, "%s/tmp/%s.%s", f->dir, f->name, f->unique);

    return n > 0 && (size_t)n < size ? ERR_OK : ERR_TOOBIG;
}

enum err maildir_begin(struct maildir_file *f, struct span dir, const char *name, uint64_t unique,
                       struct errctx *ec)
{
    char path[4096];
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    enum err e = ERR_OK;

    *f = (struct maildir_file){.fd = -1};
    f->dir = span_dup(dir);
    if (f->dir == NULL)
        return err_set(ec, ERR_NOMEM, "out of memory");
    (void)snprintf(f->name, sizeof f->name, "%s", name);
    (void)snprintf(f->unique, sizeof f->unique, "%" PRIx64, unique);
    if (path_of(f, false, path, sizeof path) != ERR_OK)
        e = err_set(ec, ERR_TOOBIG, "path too long: %s", f->dir);
    if (e == ERR_OK) {
        f->fd = open(path, flags, 0600);
        if (f->fd < 0 && errno == ENOENT) {
            e = make_maildir(f->dir, ec);
            if (e == ERR_OK)
                f->fd = open(path, flags, 0600);
        }
        if (f->fd < 0 && e == ERR_OK)
            e = failed(ec, "create", path);
    }
    f->open = e == ERR_OK;
    if (e != ERR_OK)
        maildir_abort(f);
    return e;
}

enum err maildir_append(struct maildir_file *f, struct span bytes, struct errctx *ec)
{
    while (bytes.len > 0) {
        ssize_t n = write(f->fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(ec, "write below", f->dir);
        bytes = span_from(bytes, (size_t)n);
    }
    return ERR_OK;
}

/* A mailbox may have tmp and lack new: another delivery made one durable and failed at the other, or somebody
 * removed it. */
static enum err move(const char *dir, const char *tmp, const char *final, struct errctx *ec)
{
    enum err e = ERR_OK;
    int rc = rename(tmp, final);

    if (rc != 0 && errno == ENOENT) {
        e = make_maildir(dir, ec);
        if (e == ERR_OK)
            rc = rename(tmp, final);
    }
    return e == ERR_OK && rc != 0 ? failed(ec, "rename", tmp) : e;
}

enum err maildir_commit(struct maildir_file *f, struct errctx *ec)
{
    enum err e;
    char tmp[4096], final[4096], new_dir[4096];

    if (path_of(f, false, tmp, sizeof tmp) != ERR_OK || path_of(f, true, final, sizeof final) != ERR_OK)
        return err_set(ec, ERR_TOOBIG, "path too long: %s", f->dir);
    if (fsync(f->fd) != 0)
        return failed(ec, "fsync", tmp);
    e = move(f->dir, tmp, final, ec);
    if (e != ERR_OK)
        return e;
    /* From here on the message is visible; if the directory cannot be synced it is delivered again,
     * over the same name. */
    (void)close(f->fd);
    f->fd = -1;
    f->open = false;
    (void)snprintf(new_dir, sizeof new_dir, "%s/new", f->dir);
    return sync_dir(new_dir, ec);
}

void maildir_abort(struct maildir_file *f)
{
    char path[4096];

    if (f->open) {
        (void)close(f->fd);
        if (path_of(f, false, path, sizeof path) == ERR_OK)
            (void)unlink(path);
    }
    free(f->dir);
    *f = (struct maildir_file){.fd = -1};
}

static uint64_t hash_address(struct span s) /* FNV-1a: a name, not a secret */
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.ptr[i]) * UINT64_C(0x100000001b3);
    return h;
}

void maildir_name(const struct msgid *id, uint32_t job, ms_t arrival_ms, struct span address,
                  char out[MAILDIR_NAME_MAX])
{
    char text[MSGID_TEXT_MAX];

    msgid_text(id, text);
    (void)snprintf(out, MAILDIR_NAME_MAX, "%" PRIu64 ".%s.%u.%016" PRIx64 ".bridgehead", arrival_ms / 1000,
                   text, (unsigned)job, hash_address(address));
}
