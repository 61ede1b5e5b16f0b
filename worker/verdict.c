/* worker/verdict.c — the tables of verdict.h: the first row that fits decides. */
#include "worker/verdict.h"

#define AT(step) (1u << STEP_##step)

enum {
    ANY = (1u << STEP__COUNT) - 1,
    SESSION = AT(GREETING) | AT(EHLO) | AT(HELO),
    TRANSACTION = AT(MAIL) | AT(DATA) | AT(BODY),
    BETWEEN = AT(RSET) | AT(QUIT), /* no message is at stake: nobody failed */
};
enum { CLOSE = 1, PERMANENT = 2 };

struct outcome {
    enum verdict_action action;
    enum verdict_scope scope;
    unsigned flags;
};
#define TO(action, scope, flags)                                                                             \
    {                                                                                                        \
        VERDICT_##action, VERDICT_##scope, (flags)                                                           \
    }

/* --- Replies --------------------------------------------------------------------------------------- */

enum enhanced_rule { E_ANY, E_TOO_MANY /* x.5.3 (RFC 3463 3.6), or none */, E_SYNTAX /* x.5.z, or none */ };
enum when_rule { W_ANY, W_ACCEPTED, W_CONFIGURED, W_MENDED /* it may be otherwise soon */, W_BDAT };

/* clang-format off */
static const struct reply_row {
    unsigned steps;
    uint16_t low, high;
    enum enhanced_rule enhanced;
    enum when_rule when;
    struct outcome to;
    const char *status; /* NULL: the server's, or what the code implies */
} reply_rows[] = {
    {BETWEEN,                200, 299, E_ANY,      W_ANY,        TO(OK, LINK, 0),                            NULL},
    {BETWEEN,                300, 599, E_ANY,      W_ANY,        TO(OK, LINK, CLOSE),                        NULL},
    /* RFC 5321 3.8: the server is closing; whatever was not acknowledged was not taken */
    {ANY,                    421, 421, E_ANY,      W_ANY,        TO(NEXT_TARGET, LINK, CLOSE),               NULL},
    {SESSION | AT(STARTTLS), 200, 299, E_ANY,      W_ANY,        TO(OK, LINK, 0),                            NULL},
    {SESSION,                400, 499, E_ANY,      W_ANY,        TO(NEXT_TARGET, LINK, CLOSE),               NULL},
    {SESSION,                500, 599, E_ANY,      W_CONFIGURED, TO(NEXT_TARGET, LINK, CLOSE),               NULL},
    {SESSION,                500, 599, E_ANY,      W_ANY,        TO(NEXT_TARGET, LINK, CLOSE | PERMANENT),   NULL},
    {AT(STARTTLS),           400, 599, E_ANY,      W_ANY,        TO(NEXT_TARGET, LINK, CLOSE),               "4.7.4"},
    {AT(MAIL) | AT(BODY),    200, 299, E_ANY,      W_ANY,        TO(OK, MESSAGE, 0),                         NULL},
    {AT(DATA),               300, 399, E_ANY,      W_ANY,        TO(OK, MESSAGE, 0),                         NULL},
    /* Announced, and not implemented: by a proxy in between, say. DATA carries it as well (RFC 3030 2). */
    {AT(BODY) | AT(END),     500, 504, E_SYNTAX,   W_BDAT,       TO(AGAIN, MESSAGE, CLOSE),                  NULL},
    /* A login or TLS is wanted, by whom this side may yet be configured for. */
    {TRANSACTION | AT(END),  530, 539, E_ANY,      W_MENDED,     TO(RETRY_LATER, MESSAGE, 0),                "4.7.0"},
    {AT(RCPT),               530, 539, E_ANY,      W_MENDED,     TO(RETRY_LATER, RECIPIENT, 0),              "4.7.0"},
    {TRANSACTION,            400, 499, E_ANY,      W_ANY,        TO(RETRY_LATER, MESSAGE, 0),                NULL},
    {TRANSACTION,            500, 599, E_ANY,      W_ANY,        TO(BOUNCE, MESSAGE, 0),                     NULL},
    {AT(RCPT),               200, 299, E_ANY,      W_ANY,        TO(OK, RECIPIENT, 0),                       NULL},
    /* RFC 5321 4.5.3.1.10: too many recipients; the rest goes in the next transaction. Without one that
     * was accepted there is no progress, so that waits. 552 was the code of RFC 821. */
    {AT(RCPT),               452, 452, E_TOO_MANY, W_ACCEPTED,   TO(AGAIN, RECIPIENT, 0),                    "4.5.3"},
    {AT(RCPT),               552, 552, E_TOO_MANY, W_ACCEPTED,   TO(AGAIN, RECIPIENT, 0),                    "4.5.3"},
    {AT(RCPT),               552, 552, E_TOO_MANY, W_ANY,        TO(RETRY_LATER, RECIPIENT, 0),              "4.5.3"},
    {AT(RCPT),               400, 499, E_ANY,      W_ANY,        TO(RETRY_LATER, RECIPIENT, 0),              NULL},
    {AT(RCPT),               500, 599, E_ANY,      W_ANY,        TO(BOUNCE, RECIPIENT, 0),                   NULL},
    {AT(END),                200, 299, E_ANY,      W_ANY,        TO(DONE, MESSAGE, 0),                       NULL},
    {AT(END),                400, 499, E_ANY,      W_ANY,        TO(RETRY_LATER, MESSAGE, 0),                NULL},
    {AT(END),                500, 599, E_ANY,      W_ANY,        TO(BOUNCE, MESSAGE, 0),                     NULL},
};

/* What a code implies when the server gives no enhanced code; the first row that fits. */
static const struct status_row {
    unsigned steps;
    uint16_t code;
    char status[REPLY_ENHANCED_MAX];
} status_rows[] = {
    {ANY,      421, "4.3.2"}, {ANY,      450, "4.2.0"}, {ANY,      451, "4.3.0"}, {ANY,      452, "4.3.1"},
    {ANY,      454, "4.7.0"}, {ANY,      455, "4.5.4"}, {ANY,      500, "5.5.2"}, {ANY,      501, "5.5.4"},
    {ANY,      502, "5.5.1"}, {ANY,      503, "5.5.1"}, {ANY,      504, "5.5.4"}, {ANY,      521, "5.3.2"},
    {ANY,      530, "5.7.0"}, {ANY,      534, "5.7.9"}, {ANY,      535, "5.7.8"}, {ANY,      538, "5.7.11"},
    {ANY,      551, "5.1.6"}, {AT(RCPT), 552, "5.2.2"}, {ANY,      552, "5.3.4"}, {ANY,      553, "5.1.3"},
    {ANY,      555, "5.5.4"}, {ANY,      556, "5.1.10"},
};

/* --- Failures -------------------------------------------------------------------------------------- */

static const struct failure_row {
    enum failure failure;
    unsigned steps;
    struct outcome to;
} failure_rows[] = {
    {FAILURE_DNS,             ANY,      TO(NEXT_TARGET, LINK, 0)},
    {FAILURE_NO_DOMAIN,       ANY,      TO(BOUNCE, LINK, 0)},
    {FAILURE_NULL_MX,         ANY,      TO(BOUNCE, LINK, 0)},
    {FAILURE_SMART_HOST_NAME, ANY,      TO(NEXT_TARGET, LINK, 0)},
    {FAILURE_NO_ROUTE,        ANY,      TO(BOUNCE, LINK, 0)},
    {FAILURE_UNREACHABLE,     ANY,      TO(RETRY_LATER, LINK, 0)},
    {FAILURE_LOOP,            AT(EHLO), TO(NEXT_TARGET, LINK, CLOSE | PERMANENT)}, /* better ones may recover */
    {FAILURE_LOOP,            ANY,      TO(BOUNCE, LINK, 0)},
    {FAILURE_HOPS,            ANY,      TO(BOUNCE, MESSAGE, 0)},
    {FAILURE_REFUSED,         ANY,      TO(NEXT_TARGET, LINK, CLOSE)},
    {FAILURE_CONNECT_TIMEOUT, ANY,      TO(NEXT_TARGET, LINK, CLOSE)},
    {FAILURE_TIMEOUT,         BETWEEN,  TO(OK, LINK, CLOSE)},
    {FAILURE_TIMEOUT,         AT(END),  TO(RETRY_LATER, LINK, CLOSE)}, /* RFC 1047: it may have arrived */
    {FAILURE_TIMEOUT,         ANY,      TO(NEXT_TARGET, LINK, CLOSE)},
    {FAILURE_LOST,            BETWEEN,  TO(OK, LINK, CLOSE)},
    {FAILURE_LOST,            AT(END),  TO(RETRY_LATER, LINK, CLOSE)},
    {FAILURE_LOST,            ANY,      TO(NEXT_TARGET, LINK, CLOSE)},
    {FAILURE_GARBAGE,         BETWEEN,  TO(OK, LINK, CLOSE)},
    {FAILURE_GARBAGE,         AT(END),  TO(RETRY_LATER, LINK, CLOSE)},
    {FAILURE_GARBAGE,         ANY,      TO(NEXT_TARGET, LINK, CLOSE)},
    {FAILURE_TLS_MISSING,     ANY,      TO(NEXT_TARGET, LINK, CLOSE)},
    {FAILURE_TLS_FAILED,      BETWEEN,  TO(OK, LINK, CLOSE)},
    {FAILURE_TLS_FAILED,      AT(END),  TO(RETRY_LATER, LINK, CLOSE)},
    {FAILURE_TLS_FAILED,      ANY,      TO(NEXT_TARGET, LINK, CLOSE)},
    {FAILURE_TOO_BIG,         ANY,      TO(BOUNCE, MESSAGE, 0)},
    {FAILURE_NEEDS_8BIT,      ANY,      TO(BOUNCE, MESSAGE, 0)},
    {FAILURE_NEEDS_BINARY,    ANY,      TO(BOUNCE, MESSAGE, 0)},
    {FAILURE_NEEDS_UTF8,      AT(RCPT), TO(BOUNCE, RECIPIENT, 0)},
    {FAILURE_NEEDS_UTF8,      ANY,      TO(BOUNCE, MESSAGE, 0)},
    {FAILURE_BAD_ADDRESS,     AT(RCPT), TO(BOUNCE, RECIPIENT, 0)},
    {FAILURE_BAD_ADDRESS,     ANY,      TO(BOUNCE, MESSAGE, 0)},
    {FAILURE_EXPIRED,         ANY,      TO(BOUNCE, MESSAGE, 0)},
    {FAILURE_BODY_UNREADABLE, ANY,      TO(RETRY_LATER, MESSAGE, CLOSE)},
    {FAILURE_CANCELED,        BETWEEN,  TO(OK, LINK, CLOSE)},
    {FAILURE_CANCELED,        ANY,      TO(RETRY_LATER, LINK, CLOSE)},
};

static const struct {
    const char *status, *text;
} failures[] = {
#define X(id, status, text) [FAILURE_##id] = {status, text},
    FAILURE_MAP(X)
#undef X
};
static const char *const step_names[] = {
#define X(id, name) [STEP_##id] = name,
    STEP_MAP(X)
#undef X
};
/* clang-format on */

/* --- Decisions ------------------------------------------------------------------------------------- */

static struct verdict make(const struct outcome *to, const char *status)
{
    struct verdict v = {.action = to->action,
                        .scope = to->scope,
                        .close = (to->flags & CLOSE) != 0,
                        .permanent = (to->flags & PERMANENT) != 0};
    snprintf(v.status, sizeof(v.status), "%s", status);
    return v;
}

static struct verdict judge_failure(const struct verdict_input *in, enum failure failure)
{
    static const struct outcome unknown = TO(RETRY_LATER, LINK, CLOSE);
    for (size_t i = 0; i < ARRAY_LEN(failure_rows); i++) {
        const struct failure_row *row = &failure_rows[i];
        if (row->failure == failure && (row->steps & 1u << in->step) != 0)
            return make(&row->to, failure_status(failure));
    }
    return make(&unknown, failure_status(FAILURE_GARBAGE));
}

static bool enhanced_fits(enum enhanced_rule rule, const char *enhanced)
{
    if (rule == E_ANY || enhanced[0] == '\0')
        return true;
    return rule == E_TOO_MANY ? strcmp(enhanced + 1, ".5.3") == 0 : strncmp(enhanced + 1, ".5.", 3) == 0;
}

static bool when_fits(enum when_rule when, const struct verdict_input *in)
{
    switch (when) {
    case W_ACCEPTED:
        return in->accepted;
    case W_CONFIGURED:
        return in->configured;
    case W_MENDED:
        return in->configured || in->fell_back;
    case W_BDAT:
        return in->bdat;
    case W_ANY:
        break;
    }
    return true;
}

static void implied_status(enum step step, uint16_t code, char out[REPLY_ENHANCED_MAX])
{
    for (size_t i = 0; i < ARRAY_LEN(status_rows); i++) {
        if (status_rows[i].code == code && (status_rows[i].steps & 1u << step) != 0) {
            memcpy(out, status_rows[i].status, REPLY_ENHANCED_MAX);
            return;
        }
    }
    snprintf(out, REPLY_ENHANCED_MAX, "%d.0.0", code / 100 == 3 ? 2 : code / 100);
}

struct verdict verdict_of(const struct verdict_input *in)
{
    if (in->failure != FAILURE_NONE)
        return judge_failure(in, in->failure);
    for (size_t i = 0; i < ARRAY_LEN(reply_rows); i++) {
        const struct reply_row *row = &reply_rows[i];
        if ((row->steps & 1u << in->step) == 0 || in->code < row->low || in->code > row->high ||
            !enhanced_fits(row->enhanced, in->enhanced) || !when_fits(row->when, in))
            continue;
        char implied[REPLY_ENHANCED_MAX];
        implied_status(in->step, in->code, implied);
        bool given = in->enhanced[0] == '0' + in->code / 100; /* RFC 2034 4: of the same class */
        const char *status = row->status != NULL ? row->status : given ? in->enhanced : implied;
        struct verdict v = make(&row->to, status);
        if (in->lmtp && in->step == STEP_END)
            v.scope = v.scope == VERDICT_MESSAGE ? VERDICT_RECIPIENT : v.scope; /* RFC 2033 4.2 */
        return v;
    }
    return judge_failure(in, FAILURE_GARBAGE); /* a reply that has no meaning here */
}

/* Softest first: what leaves the message the best chance. */
static int hardness(const struct verdict *v)
{
    switch (v->action) {
    case VERDICT_OK:
    case VERDICT_DONE:
        return 0;
    case VERDICT_AGAIN:
        return 1;
    case VERDICT_NEXT_TARGET:
        return v->permanent ? 3 : 2;
    case VERDICT_RETRY_LATER:
        return 2;
    case VERDICT_BOUNCE:
        return 4;
    }
    return 2;
}

struct verdict verdict_softer(const struct verdict *a, const struct verdict *b)
{
    return hardness(b) < hardness(a) ? *b : *a;
}

struct verdict verdict_last(const struct verdict *v)
{
    struct verdict last = *v;
    if (v->action == VERDICT_NEXT_TARGET)
        last.action = v->permanent ? VERDICT_BOUNCE : VERDICT_RETRY_LATER;
    return last;
}

const char *step_name(enum step s)
{
    return (size_t)s < ARRAY_LEN(step_names) ? step_names[s] : "?";
}

const char *failure_status(enum failure f)
{
    return (size_t)f < ARRAY_LEN(failures) ? failures[f].status : "4.0.0";
}

const char *failure_text(enum failure f)
{
    return (size_t)f < ARRAY_LEN(failures) ? failures[f].text : "?";
}

const char *verdict_action_name(enum verdict_action a)
{
    static const char *const names[] = {
        [VERDICT_OK] = "ok",
        [VERDICT_DONE] = "done",
        [VERDICT_AGAIN] = "again",
        [VERDICT_RETRY_LATER] = "retry-later",
        [VERDICT_NEXT_TARGET] = "next-target",
        [VERDICT_BOUNCE] = "bounce",
    };
    return (size_t)a < ARRAY_LEN(names) ? names[a] : "?";
}
