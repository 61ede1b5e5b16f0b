#include "cli/embedded_redis.h"

#include "common/config/redis_url.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What 250 promises rests on these; queue/redis_durability verifies most of them in any Redis. */
static const char *const settings[][2] = {
    {"port", "0"},
    {"unixsocketperm", "700"},
    {"daemonize", "no"},
    {"appendonly", "yes"},
    {"appendfsync", "always"},
    {"no-appendfsync-on-rewrite", "no"},
    {"aof-load-truncated", "yes"},
    {"auto-aof-rewrite-min-size", "256mb"},
    {"save", "\"\""},
    {"rdbcompression", "no"}, /* bodies are compressed already */
    {"maxmemory-policy", "noeviction"},
    {"hash-max-listpack-value", "1024"}, /* an envelope stays in the compact encoding */
    {"lazyfree-lazy-user-del", "yes"},
    {"enable-debug-command", "no"},
    {"loglevel", "notice"},
};

enum err embedded_redis_socket(const struct conf_root *conf, struct buf *ret_path, struct errctx *ec)
{
    struct sockaddr_un un;
    enum err e = buf_addf(ret_path, "%s/%s", conf->data_dir, REDIS_EMBEDDED_SOCKET);
    if (e == ERR_OK && ret_path->len >= sizeof un.sun_path)
        e = ERR_TOOBIG;
    if (e != ERR_OK)
        return err_set(
            ec, e, "data_dir: '%s' is too long for a socket in it (at most %zu bytes); use a shorter path",
            conf->data_dir, sizeof un.sun_path - sizeof "/" REDIS_EMBEDDED_SOCKET);
    return ERR_OK;
}

enum err make_directories(const char *path, unsigned mode, struct errctx *ec)
{
    struct buf b;
    buf_init(&b, 8192);
    enum err e = buf_add(&b, span_cstr(path));
    for (size_t i = 1; e == ERR_OK && i <= b.len; i++) {
        char c = b.ptr[i];
        if (c != '/' && c != '\0')
            continue;
        b.ptr[i] = '\0';
        if (mkdir(b.ptr, i == b.len ? mode : 0755) != 0 && errno != EEXIST)
            e = err_set(ec, ERR_IO, "cannot make directory '%s': %s", b.ptr, strerror(errno));
        b.ptr[i] = c;
    }
    buf_done(&b);
    return e;
}

/* Redis splits its lines at blanks: paths go in quotes, and a quote in one would end them early. */
static enum err add_path(struct buf *out, const char *key, const char *dir, const char *file,
                         struct errctx *ec)
{
    for (const char *p = dir; *p != '\0'; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20)
            return err_set(ec, ERR_CONFIG, "data_dir: '%s' has a quote, backslash or control character in it",
                           dir);
    return buf_addf(out, "%s \"%s/redis%s\"\n", key, dir, file);
}

static uint64_t half_of_the_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages / 2 * (uint64_t)page : 0;
}

enum err embedded_redis_conf(const struct conf_root *conf, struct buf *out, struct errctx *ec)
{
    enum err e = buf_addf(out, "# Written by bridgehead at every start; changes are lost.\n");
    if (e == ERR_OK)
        e = add_path(out, "dir", conf->data_dir, "", ec);
    if (e == ERR_OK)
        e = add_path(out, "unixsocket", conf->data_dir, "/redis.sock", ec);
    if (e == ERR_OK)
        e = add_path(out, "logfile", conf->data_dir, "/redis.log", ec);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(settings); i++)
        e = buf_addf(out, "%s %s\n", settings[i][0], settings[i][1]);
    uint64_t limit = conf->redis.embedded_bytes > 0 ? conf->redis.embedded_bytes : half_of_the_memory();
    if (e == ERR_OK && limit > 0)
        e = buf_addf(out, "maxmemory %llu\n", (unsigned long long)limit);
    return e;
}

static enum err write_file(const char *path, struct span text, struct errctx *ec)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(ec, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    bool ok = write(fd, text.ptr, text.len) == (ssize_t)text.len;
    if (close(fd) != 0 || !ok)
        return err_set(ec, ERR_IO, "cannot write '%s': is the disk full?", path);
    return ERR_OK;
}

enum err embedded_redis_prepare(const struct conf_root *conf, struct buf *ret_conf_path, struct errctx *ec)
{
    struct buf dir, text;
    buf_init(&dir, 8192);
    buf_init(&text, 65536);
    enum err e = buf_addf(&dir, "%s/redis", conf->data_dir);
    if (e == ERR_OK)
        e = make_directories(buf_cstr(&dir), 0700, ec);
    if (e == ERR_OK)
        e = embedded_redis_conf(conf, &text, ec);
    if (e == ERR_OK)
        e = buf_addf(ret_conf_path, "%s/redis.conf", buf_cstr(&dir));
    if (e == ERR_OK)
        e = write_file(buf_cstr(ret_conf_path), buf_span(&text), ec);
    buf_done(&dir);
    buf_done(&text);
    return e;
}
