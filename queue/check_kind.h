/* queue/check_kind.h — the keys of a partition by what they begin with, and what the check does with each. */
#pragma once
#include "common/span.h"

enum { CHECK_PARTS_MAX = 2, CHECK_NAMES_MAX = 100 /* a call of the script takes */ };
/* Parts of the script `check` are asked with the names of the keys, then with what is in them. */
struct check_kind {
    struct span prefix; /* of the key, behind the tag; all of it when nothing may follow */
    bool named;         /* a name follows */
    bool counts;        /* messages: counted for I9, by the last part */
    size_t names;       /* asked with in one call: fewer of those that take long */
    const char *parts[CHECK_PARTS_MAX];
    const char *walk; /* how to list what is in it; NULL: nothing to list */
    const char *entry;
};
extern const struct check_kind check_kind_other;          /* only its type is looked at */
const struct check_kind *check_kind_of(struct span rest); /* rest: of the key, behind "{tag}:" */
/* Cuts "{tag}:rest". False: nothing of ours. */
bool check_key_cut(struct span key, struct span *ret_tag, struct span *ret_rest);
