#include "common/buf.h"
#include "common/io/dns_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct host {
    char *name;
    struct ip_addr addr;
};

struct dns_hosts {
    struct host *items; /* sorted by name, then as in the file */
    size_t n, room;
};

static bool add(struct dns_hosts *h, struct span name, const struct ip_addr *addr)
{
    char prepared[DNS_NAME_MAX];
    if (h->n == DNS_HOSTS_MAX || dns_name_prepare(name, prepared, NULL) != ERR_OK)
        return true;
    if (h->n == h->room) {
        size_t room = h->room == 0 ? 16 : 2 * h->room;
        struct host *items = realloc(h->items, room * sizeof *items);
        if (items == NULL)
            return false;
        h->items = items;
        h->room = room;
    }
    char *copy = span_dup(span_cstr(prepared));
    if (copy == NULL)
        return false;
    h->items[h->n++] = (struct host){copy, *addr};
    return true;
}

static bool next_word(struct span *line, struct span *ret_word)
{
    size_t n = 0;
    *line = span_trim(*line);
    while (n < line->len && line->ptr[n] != ' ' && line->ptr[n] != '\t')
        n++;
    *ret_word = span_first(*line, n);
    *line = span_from(*line, n);
    return n > 0;
}

static bool parse_line(struct dns_hosts *h, struct span line)
{
    struct span word, comment;
    struct ip_addr addr;
    (void)span_cut(line, '#', &line, &comment);
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (!next_word(&line, &word) || ip_parse(word, &addr) != ERR_OK)
        return true;
    while (next_word(&line, &word))
        if (!add(h, word, &addr))
            return false;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct host *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : (int)y->addr.v6 - (int)x->addr.v6;
}

struct dns_hosts *dns_hosts_parse(struct span text)
{
    struct dns_hosts *h = calloc(1, sizeof *h);
    struct span line;
    if (h == NULL)
        return NULL;
    while (text.len > 0) {
        (void)span_cut(text, '\n', &line, &text);
        if (!parse_line(h, line)) {
            dns_hosts_free(h);
            return NULL;
        }
    }
    if (h->n > 0)
        qsort(h->items, h->n, sizeof *h->items, by_name);
    return h;
}

struct dns_hosts *dns_hosts_read(const char *path)
{
    struct buf text;
    buf_init(&text, DNS_HOSTS_FILE_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && buf_reserve(&text, 4096) == ERR_OK) {
        ssize_t n = read(fd, text.ptr + text.len, 4096);
        if (n <= 0)
            break;
        buf_wrote(&text, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    struct dns_hosts *h = dns_hosts_parse(buf_span(&text));
    buf_done(&text);
    return h;
}

void dns_hosts_free(struct dns_hosts *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->n; i++)
        free(h->items[i].name);
    free(h->items);
    free(h);
}

size_t dns_hosts_find(const struct dns_hosts *h, const char *name, struct ip_addr *out, size_t max)
{
    size_t low = 0, high = h->n, found = 0;
    while (low < high) { /* the first that is not less */
        size_t mid = low + (high - low) / 2;
        if (strcmp(h->items[mid].name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < h->n && found < max && strcmp(h->items[low].name, name) == 0; low++)
        out[found++] = h->items[low].addr;
    return found;
}
