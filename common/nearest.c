#include "common/nearest.h"

enum { WORD_MAX = 64 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/* Optimal string alignment distance: three rows of the usual table. */
static unsigned distance(struct span a, struct span b)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *older = rows[0], *old = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *spare = older;
        older = old;
        old = row;
        row = spare;
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            int x = lower(a.ptr[i - 1]), y = lower(b.ptr[j - 1]);
            row[j] = least(least(old[j], row[j - 1]) + 1, old[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b.ptr[j - 2]) && y == lower(a.ptr[i - 2]))
                row[j] = least(row[j], older[j - 2] + 1);
        }
    }
    return row[b.len];
}

/* "password" begins "password_file", and the other way round. */
static bool begins(struct span a, struct span b)
{
    return a.len > 1 && a.len < b.len && b.ptr[a.len] == '_' && span_ieq(a, span_first(b, a.len));
}

const char *nearest_word(struct span typed, nearest_word_fn *next, void *arg)
{
    const char *best = NULL, *longer = NULL, *word;
    /* a third of the letters may be wrong, but at least one */
    unsigned limit = typed.len < 6 ? 1 : (unsigned)typed.len / 3;
    if (typed.len == 0 || typed.len > WORD_MAX)
        return NULL;
    for (size_t i = 0; (word = next(arg, i)) != NULL; i++) {
        struct span w = span_cstr(word);
        if (w.len > WORD_MAX)
            continue;
        unsigned d = distance(typed, w);
        if (d < limit || (d == limit && best == NULL)) {
            best = word;
            limit = d;
        }
        if (longer == NULL && (begins(typed, w) || begins(w, typed)))
            longer = word;
    }
    return best != NULL ? best : longer;
}

struct array {
    const char *const *words;
    size_t n;
};

static const char *array_word(void *arg, size_t i)
{
    const struct array *a = arg;
    return i < a->n ? a->words[i] : NULL;
}

const char *nearest_of(struct span typed, const char *const *words, size_t n)
{
    struct array a = {words, n};
    return nearest_word(typed, array_word, &a);
}
