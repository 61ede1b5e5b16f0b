#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){.max = b->max};
}

enum err buf_reserve(struct buf *b, size_t n)
{
    if (n > b->max - b->len)
        return ERR_TOOBIG;
    size_t need = b->len + n;
    if (b->ptr != NULL && need <= b->cap)
        return ERR_OK;
    size_t cap = b->cap < 64 ? 64 : b->cap + b->cap / 2;
    if (cap < need)
        cap = need;
    if (cap > b->max)
        cap = b->max;
    char *p = realloc(b->ptr, cap + 1);
    if (p == NULL)
        return ERR_NOMEM;
    b->ptr = p;
    b->cap = cap;
    b->ptr[b->len] = '\0';
    return ERR_OK;
}

void buf_wrote(struct buf *b, size_t n)
{
    b->len += n;
    if (b->ptr != NULL)
        b->ptr[b->len] = '\0';
}

enum err buf_add(struct buf *b, struct span s)
{
    enum err e = buf_reserve(b, s.len);
    if (e != ERR_OK)
        return e;
    if (s.len > 0)
        memcpy(b->ptr + b->len, s.ptr, s.len);
    buf_wrote(b, s.len);
    return ERR_OK;
}

enum err buf_addc(struct buf *b, char c)
{
    return buf_add(b, span_of(&c, 1));
}

enum err buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return ERR_PARSE;
    enum err e = buf_reserve(b, (size_t)n);
    if (e != ERR_OK)
        return e;
    va_start(ap, fmt);
    (void)vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf_wrote(b, (size_t)n);
    return ERR_OK;
}

enum err buf_add_escaped(struct buf *b, struct span s)
{
    static const char hex[] = "0123456789abcdef";
    size_t before = b->len;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char esc[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
        bool plain = c >= 0x20 && c < 0x7f && c != '\'' && c != '\\';
        enum err e = plain ? buf_add(b, span_of(s.ptr + i, 1)) : buf_add(b, span_of(esc, 4));
        if (e != ERR_OK) {
            b->len = before;
            buf_wrote(b, 0);
            return e;
        }
    }
    return ERR_OK;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    buf_wrote(b, 0);
}

void buf_drop_front(struct buf *b, size_t n)
{
    if (n >= b->len) {
        buf_clear(b);
        return;
    }
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
    buf_wrote(b, 0);
}

struct span buf_span(const struct buf *b)
{
    return b->ptr == NULL ? SPAN("") : span_of(b->ptr, b->len);
}

char *buf_take(struct buf *b, size_t *ret_len)
{
    char *p = b->ptr;
    if (ret_len != NULL)
        *ret_len = b->len;
    *b = (struct buf){.max = b->max};
    return p;
}

const char *buf_cstr(const struct buf *b)
{
    return b->ptr == NULL ? "" : b->ptr;
}
