/* common/err.h — the only result type; ERR_OK is zero.
 *
 * Functions that can fail in more than one way return enum err and are MUST_USE; NULL means only
 * "out of memory" or "not found"; bool is for predicates. Detail for people goes into a caller-owned
 * struct errctx, which is written on failure alone. */
#pragma once
#include "common/attr.h"

/* clang-format off */
#define ERR_MAP(X)                                      \
    X(OK,       "success")                              \
    X(NOMEM,    "out of memory")                        \
    X(AGAIN,    "try again later")                      \
    X(PARSE,    "malformed input")                      \
    X(TOOBIG,   "limit exceeded")                       \
    X(STATE,    "not allowed in this state")            \
    X(NOTFOUND, "not found")                            \
    X(EXISTS,   "already there")                        \
    X(STALE,    "held by somebody else by now")         \
    X(IO,       "input/output error")                   \
    X(TIMEOUT,  "timed out")                            \
    X(TLS,      "TLS failed")                           \
    X(DNS,      "name resolution failed")               \
    X(BACKEND,  "store refused")                        \
    X(FULL,     "store is full")                        \
    X(UNKNOWN,  "outcome unknown: the reply was lost")  \
    X(DENIED,   "permission denied")                    \
    X(CONFIG,   "bad configuration")                    \
    X(CANCELED, "canceled")
/* clang-format on */
enum err {
#define X(id, text) ERR_##id,
    ERR_MAP(X)
#undef X
};

struct errctx {
    char msg[512];
}; /* caller-owned; pass NULL to ignore; always NUL-terminated, control bytes escaped */

const char *err_text(enum err e);
const char *err_name(enum err e); /* "NOMEM": label of logs and metrics */
enum err err_set(struct errctx *ec, enum err e, const char *fmt, ...) PRINTF(3, 4); /* returns e */
enum err err_wrap(struct errctx *ec, enum err e, const char *fmt, ...)
    PRINTF(3, 4); /* "what: " + old; returns e */
