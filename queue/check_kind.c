#include "queue/check_kind.h"

/* FEW: queues, up to 2,000 jobs of each of which are counted again. */
enum { ALL = CHECK_NAMES_MAX, FEW = 20 };
static const struct check_kind kinds[] = {
    {SPAN_INIT("m:"), true, true, ALL, {"m", "n"}, NULL, NULL},
    {SPAN_INIT("b:"), true, false, ALL, {"b"}, NULL, NULL},
    {SPAN_INIT("c:"), true, false, ALL, {"c"}, NULL, NULL},
    {SPAN_INIT("a:"), true, false, FEW, {"a"}, NULL, NULL},
    {SPAN_INIT("q:"), true, false, FEW, {"q", "a"}, "ZSCAN", "e"},
    {SPAN_INIT("fin:"), true, false, ALL, {"fin"}, NULL, NULL},
    {SPAN_INIT("dom"), false, false, ALL, {NULL}, "ZSCAN", "dom"},
    {SPAN_INIT("bad"), false, false, ALL, {NULL}, "ZSCAN", "bad"},
    {SPAN_INIT("qz"), false, false, ALL, {NULL}, "ZSCAN", "qz"},
    {SPAN_INIT("sp"), false, false, ALL, {NULL}, "ZSCAN", "sp"},
    {SPAN_INIT("fz"), false, false, ALL, {NULL}, "HSCAN", "fz"},
    {SPAN_INIT("hold"), false, false, ALL, {NULL}, "ZSCAN", "hold"},
    {SPAN_INIT("ice"), false, false, ALL, {NULL}, "ZSCAN", "ice"},
    {SPAN_INIT("wk"), false, false, ALL, {NULL}, "ZSCAN", "wk"},
};
const struct check_kind check_kind_other = {SPAN_INIT(""), false, false, ALL, {NULL}, NULL, NULL};

const struct check_kind *check_kind_of(struct span rest)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        bool same = kinds[i].named ? rest.len > kinds[i].prefix.len && span_has_prefix(rest, kinds[i].prefix)
                                   : span_eq(rest, kinds[i].prefix);
        if (same)
            return &kinds[i];
    }
    return &check_kind_other;
}

bool check_key_cut(struct span key, struct span *ret_tag, struct span *ret_rest)
{
    size_t close;
    if (!span_find(key, '}', &close) || close + 1 >= key.len || key.ptr[close + 1] != ':')
        return false;
    *ret_tag = span_first(key, close + 1);
    *ret_rest = span_from(key, close + 2);
    return true;
}
