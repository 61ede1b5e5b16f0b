#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_text(enum err e)
{
    switch (e) {
#define X(id, text)                                                                                          \
    case ERR_##id:                                                                                           \
        return text;
        ERR_MAP(X)
#undef X
    }
    return "unknown error";
}

const char *err_name(enum err e)
{
    switch (e) {
#define X(id, text)                                                                                          \
    case ERR_##id:                                                                                           \
        return #id;
        ERR_MAP(X)
#undef X
    }
    return "?";
}

/* Details end up in logs and replies: a control byte from a peer must not start a new line there. */
static void mask_controls(char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

enum err err_set(struct errctx *ec, enum err e, const char *fmt, ...)
{
    if (ec != NULL) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(ec->msg, sizeof ec->msg, fmt, ap);
        va_end(ap);
        mask_controls(ec->msg);
    }
    return e;
}

enum err err_wrap(struct errctx *ec, enum err e, const char *fmt, ...)
{
    if (ec != NULL) {
        char old[sizeof ec->msg];
        memcpy(old, ec->msg, sizeof old);
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(ec->msg, sizeof ec->msg, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof ec->msg)
            (void)snprintf(ec->msg + n, sizeof ec->msg - (size_t)n, ": %.*s", (int)sizeof old - 1, old);
        mask_controls(ec->msg);
    }
    return e;
}
