#include "common/span.h"

#include <stdlib.h>
#include <string.h>

struct span span_cstr(const char *s)
{
    return s == NULL ? SPAN("") : span_of(s, strlen(s));
}

bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

bool span_ieq(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

int span_cmp(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    if (c != 0)
        return c;
    return (a.len > b.len) - (a.len < b.len);
}

bool span_has_prefix(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_eq(span_first(s, prefix.len), prefix);
}

bool span_has_iprefix(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_ieq(span_first(s, prefix.len), prefix);
}

bool span_has_isuffix(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_ieq(span_from(s, s.len - suffix.len), suffix);
}

struct span span_from(struct span s, size_t skip)
{
    if (s.len == 0)
        return s; /* ptr may be NULL, to which nothing may be added, not even 0 */
    return skip >= s.len ? span_of(s.ptr + s.len, 0) : span_of(s.ptr + skip, s.len - skip);
}

struct span span_first(struct span s, size_t len)
{
    return len >= s.len ? s : span_of(s.ptr, len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = span_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool span_find(struct span s, char c, size_t *ret_at)
{
    const char *p = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);
    if (p == NULL)
        return false;
    *ret_at = (size_t)(p - s.ptr);
    return true;
}

bool span_rfind(struct span s, char c, size_t *ret_at)
{
    for (size_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] == c) {
            *ret_at = i - 1;
            return true;
        }
    }
    return false;
}

bool span_cut(struct span s, char sep, struct span *ret_head, struct span *ret_tail)
{
    size_t at;
    if (!span_find(s, sep, &at)) {
        *ret_head = s;
        *ret_tail = span_from(s, s.len);
        return false;
    }
    *ret_head = span_first(s, at);
    *ret_tail = span_from(s, at + 1);
    return true;
}

bool span_to_u64(struct span s, uint64_t max, uint64_t *ret_value)
{
    uint64_t v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        uint64_t d = (uint64_t)(s.ptr[i] - '0');
        if (v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    if (v > max)
        return false;
    *ret_value = v;
    return true;
}

size_t span_utf8(struct span s)
{
    const unsigned char *u = (const unsigned char *)s.ptr;
    if (s.len == 0 || u[0] < 0xc2 || u[0] > 0xf4)
        return 0;
    size_t len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (s.len < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xf0 && u[1] < 0x90);
    bool surrogate = u[0] == 0xed && u[1] >= 0xa0;
    bool beyond = u[0] == 0xf4 && u[1] >= 0x90;
    bool c1 = u[0] == 0xc2 && u[1] < 0xa0;
    return overlong || surrogate || beyond || c1 ? 0 : len;
}

bool span_is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

char *span_dup(struct span s)
{
    if (s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL)
        return NULL;
    char *copy = malloc(s.len + 1);
    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}
