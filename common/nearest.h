/* common/nearest.h — "did you mean": the known word that a mistyped one was probably meant to be. */
#pragma once
#include "common/span.h"

/* Next word of a list, NULL at its end; i counts from 0. */
typedef const char *nearest_word_fn(void *arg, size_t i);
/* The word with the least edit distance (insert, delete, replace, swap of neighbours; case ignored), if
 * it is near enough to be a slip of the finger; else one that lacks or has more parts ("password",
 * "password_file"); else NULL. Words beyond 64 bytes are never near. */
const char *nearest_word(struct span typed, nearest_word_fn *next, void *arg);
/* The same over an array. */
const char *nearest_of(struct span typed, const char *const *words, size_t n);
