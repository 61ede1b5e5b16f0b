#include "linkstate/trace.h"

#include "linkstate/record.h"

#include <inttypes.h>
#include <string.h>

/* What a configuration takes as a name; it goes into envelopes, replies and logs. */
static bool is_name(struct span s)
{
    static const char others[] = "._-";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return s.len > 0 && s.len <= RECORD_NAME_MAX;
}

static size_t find(const struct trace *t, struct span group)
{
    size_t i = 0;
    while (i < t->n && !span_ieq(t->items[i].group, group))
        i++;
    return i;
}

enum err trace_parse(struct span text, struct trace *ret)
{
    struct trace t = {.n = 0};
    struct span item, name, digits;
    while (text.len > 0) {
        bool more = span_cut(text, ',', &item, &text);
        if (t.n == TRACE_MAX)
            return ERR_TOOBIG;
        if (!span_cut(item, ':', &name, &digits) || !is_name(name) || find(&t, name) < t.n ||
            !span_to_u64(digits, UINT64_MAX, &t.items[t.n].generation) || (more && text.len == 0))
            return ERR_PARSE;
        t.items[t.n++].group = name;
    }
    *ret = t;
    return ERR_OK;
}

enum err trace_emit(const struct trace *t, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < t->n && e == ERR_OK; i++)
        e = buf_addf(out, "%s" SPAN_FMT ":%" PRIu64, i > 0 ? "," : "", SPAN_ARG(t->items[i].group),
                     t->items[i].generation);
    return e;
}

enum err trace_leave(struct trace *t, struct span group, uint64_t generation)
{
    size_t at = find(t, group);
    if (at == TRACE_MAX)
        return ERR_TOOBIG;
    if (at < t->n) {
        memmove(&t->items[at], &t->items[at + 1], (t->n - at - 1) * sizeof t->items[0]);
        t->n--;
    }
    t->items[t->n].group = group;
    t->items[t->n++].generation = generation;
    return ERR_OK;
}

bool trace_admits(const struct trace *t, struct span group, uint64_t generation)
{
    if (find(t, group) == t->n)
        return true;
    for (size_t i = 0; i < t->n; i++)
        if (t->items[i].generation >= generation)
            return false;
    return true;
}
