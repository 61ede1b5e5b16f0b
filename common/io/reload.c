#include "common/io/reload.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum err reload_path(const char *data_dir, const char *program, struct buf *out)
{
    return buf_addf(out, "%s/run/%s.reload", data_dir, program);
}

void reload_read(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return;
    if (buf_reserve(out, RELOAD_TEXT_MAX) == ERR_OK)
        buf_wrote(out, fread(out->ptr, 1, RELOAD_TEXT_MAX, f));
    (void)fclose(f);
}

static bool write_all(const char *path, struct span text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text.ptr, text.len);
    return close(fd) == 0 && n == (ssize_t)text.len;
}

void reload_tell(const char *data_dir, const char *program, bool applied, struct span lines)
{
    struct buf path, unfinished, text;
    buf_init(&path, 8192);
    buf_init(&unfinished, 8192);
    buf_init(&text, RELOAD_TEXT_MAX);
    enum err e = reload_path(data_dir, program, &path);
    if (e == ERR_OK)
        e = buf_addf(&unfinished, "%s.new", buf_cstr(&path));
    if (e == ERR_OK)
        e = buf_add(&text, applied ? SPAN("applied\n") : SPAN("refused\n"));
    if (e == ERR_OK)
        e = buf_add(&text, span_first(lines, RELOAD_TEXT_MAX - 64));
    if (e == ERR_OK && write_all(buf_cstr(&unfinished), buf_span(&text)))
        (void)rename(buf_cstr(&unfinished), buf_cstr(&path));
    buf_done(&path);
    buf_done(&unfinished);
    buf_done(&text);
}
