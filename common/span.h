/* common/span.h — borrowed bytes, never owned, never NUL-terminated; passed by value.
 *
 * A span never goes into a struct that outlives its buffer: copy into a struct buf instead. */
#pragma once
#include "common/attr.h"
#include "common/err.h"

struct span {
    const char *ptr;
    size_t len;
};
#define SPAN_INIT(lit)                                                                                       \
    {                                                                                                        \
        "" lit, sizeof(lit) - 1                                                                              \
    }                                             /* for static tables: a constant expression */
#define SPAN(lit)   ((struct span)SPAN_INIT(lit)) /* for expressions */
#define SPAN_FMT    "%.*s"
#define SPAN_ARG(s) (int)(s).len, (s).ptr

static inline struct span span_of(const char *ptr, size_t len)
{
    return (struct span){ptr, len};
}
struct span span_cstr(const char *s); /* NULL gives the empty span */

bool span_eq(struct span a, struct span b);
bool span_ieq(struct span a, struct span b); /* ASCII case only */
int span_cmp(struct span a, struct span b);  /* bytewise order, shorter first: usable for sorting */
bool span_has_prefix(struct span s, struct span prefix);
bool span_has_iprefix(struct span s, struct span prefix);
bool span_has_isuffix(struct span s, struct span suffix);
struct span span_from(struct span s, size_t skip);      /* skip > len gives the empty span */
struct span span_first(struct span s, size_t len);      /* at most len bytes */
struct span span_trim(struct span s);                   /* blanks and tabs on both sides */
bool span_find(struct span s, char c, size_t *ret_at);  /* first c */
bool span_rfind(struct span s, char c, size_t *ret_at); /* last c */

/* Splits at the first sep. Without sep: head is all of s, tail is empty, result false. */
bool span_cut(struct span s, char sep, struct span *ret_head, struct span *ret_tail);

/* No sign, no blanks, no overflow, at least one digit, value <= max. */
bool span_to_u64(struct span s, uint64_t max, uint64_t *ret_value);

/* Length of the non-ASCII character at the start of s, 0: there is none. UTF-8 in the shortest form, no
 * surrogate (RFC 3629 4), no C1 control: no address or header needs those, terminals obey them. */
size_t span_utf8(struct span s);
bool span_is_ascii(struct span s);

/* Owned NUL-terminated copy; NULL: out of memory, or s contains a NUL byte. Caller frees. */
char *span_dup(struct span s);
