#include "node/verbs.h"

#include "node/extensions.h"
#include "node/params.h"
#include "node/session_impl.h"

#define IN(st) (1u << ST_##st)
#define TXN    (IN(MAIL) | IN(RCPT) | IN(CHUNKS))
#define ANY    (IN(GREET) | IN(READY) | TXN) /* RFC 5321 4.1.4: without EHLO too */
/* clang-format off */
const struct verb smtp_verbs[] = {
    {SPAN_INIT("EHLO"),     ANY,                   V_PRE_TLS | V_SYNC,             0,            session_ehlo,     NULL,                "EHLO client-name"},
    {SPAN_INIT("HELO"),     ANY,                   V_PRE_TLS | V_SYNC,             0,            session_helo,     NULL,                "HELO client-name"},
    {SPAN_INIT("MAIL"),     IN(READY),             0,                              0,            session_mail,     NULL,                "MAIL FROM:<sender> [parameters]"},
    {SPAN_INIT("RCPT"),     IN(MAIL) | IN(RCPT),   0,                              0,            session_rcpt,     NULL,                "RCPT TO:<recipient> [parameters]"},
    {SPAN_INIT("DATA"),     IN(MAIL) | IN(RCPT),   V_SYNC | V_NO_ARGS,             0,            session_data,     NULL,                "DATA"},
    {SPAN_INIT("BDAT"),     TXN,                   0,                              EXT_CHUNKING, session_bdat,     session_bdat_refuse, "BDAT octets [LAST]"},
    {SPAN_INIT("RSET"),     ANY,                   V_PRE_TLS | V_NO_ARGS,          0,            session_rset,     NULL,                "RSET"},
    {SPAN_INIT("NOOP"),     ANY,                   V_PRE_TLS,                      0,            session_noop,     NULL,                "NOOP [text]"},
    {SPAN_INIT("QUIT"),     ANY,                   V_PRE_TLS | V_NO_ARGS,          0,            session_quit,     NULL,                "QUIT"},
    {SPAN_INIT("HELP"),     ANY,                   V_PRE_TLS,                      EXT_HELP,     session_help,     NULL,                "HELP [command]"},
    {SPAN_INIT("VRFY"),     ANY,                   0,                              0,            session_vrfy,     NULL,                "VRFY mailbox"},
    {SPAN_INIT("EXPN"),     ANY,                   0,                              0,            session_expn,     NULL,                "EXPN list"},
    {SPAN_INIT("ETRN"),     IN(READY),             0,                              0,            session_etrn,     NULL,                "ETRN domain"},
    {SPAN_INIT("STARTTLS"), IN(READY),             V_PRE_TLS | V_SYNC | V_NO_ARGS, 0,            session_starttls, NULL,                "STARTTLS"},
};
/* clang-format on */
const size_t smtp_verbs_count = ARRAY_LEN(smtp_verbs);

const struct verb *verb_find(struct span name)
{
    for (size_t i = 0; i < smtp_verbs_count; i++)
        if (span_ieq(smtp_verbs[i].name, name))
            return &smtp_verbs[i];
    return NULL;
}

static const char *const state_names[ST__COUNT] = {
    [ST_START] = "START",     [ST_GREET] = "GREET", [ST_READY] = "READY",   [ST_MAIL] = "MAIL",
    [ST_RCPT] = "RCPT",       [ST_DATA] = "DATA",   [ST_CHUNK] = "CHUNK",   [ST_CHUNKS] = "CHUNKS",
    [ST_STORING] = "STORING", [ST_TLS] = "TLS",     [ST_CLOSED] = "CLOSED",
};

const char *session_state_name(enum session_state st)
{
    return state_names[st];
}

enum err verbs_help(unsigned offered, struct span topic, struct buf *out)
{
    const struct verb *v = verb_find(topic);
    if (v != NULL)
        return buf_add(out, span_cstr(v->usage));
    enum err e = buf_add(out, SPAN("Commands:"));
    for (size_t i = 0; i < smtp_verbs_count && e == ERR_OK; i++)
        if (smtp_verbs[i].extension == 0 || (smtp_verbs[i].extension & offered) != 0)
            e = buf_addf(out, " " SPAN_FMT, SPAN_ARG(smtp_verbs[i].name));
    if (e == ERR_OK)
        e = buf_add(out, SPAN("\nHELP command tells more"));
    return e;
}

static const enum session_state command_states[] = {ST_GREET, ST_READY, ST_MAIL, ST_RCPT, ST_CHUNKS};

enum err verbs_matrix(struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < smtp_verbs_count && e == ERR_OK; i++) {
        e = buf_addf(out, "%-8s", smtp_verbs[i].name.ptr);
        for (unsigned st = 0; st < ST__COUNT && e == ERR_OK; st++)
            if (smtp_verbs[i].legal_in & 1u << st)
                e = buf_addf(out, " %s", state_names[st]);
        e = e != ERR_OK ? e : buf_addc(out, '\n');
    }
    return e;
}

static enum err docs_row(struct buf *out, const struct verb *v)
{
    enum err e = buf_addf(out, "| `%s` |", v->usage);
    for (size_t st = 0; st < ARRAY_LEN(command_states) && e == ERR_OK; st++)
        e = buf_addf(out, " %s |", v->legal_in & 1u << command_states[st] ? "yes" : "");
    if (e == ERR_OK)
        e = buf_addf(out, " %s | %s | %s |\n", v->flags & V_SYNC ? "yes" : "",
                     v->flags & V_PRE_TLS ? "yes" : "", extension_keyword(v->extension));
    return e;
}

enum err verbs_docs(struct buf *out)
{
    static const char *const keywords[EXT__COUNT] = {
#define X(id, keyword, what) [EXT_INDEX_##id] = keyword,
        EXTENSIONS(X)
#undef X
    };
    enum err e = buf_add(
        out,
        SPAN("# SMTP commands\n\nGenerated from `node/verbs.c`, `node/extensions.h` and `node/params.c`.\n\n"
             "States: GREET before EHLO or HELO, READY between transactions, MAIL behind a sender, RCPT\n"
             "behind the first recipient, CHUNKS between chunks (BDAT). A command in another state gets\n"
             "503 5.5.1. Last in group: what follows in the same packet ends the session with 554 5.5.0.\n"
             "Before TLS: allowed although `tls.required` is set and TLS is not active.\n\n"
             "| command | GREET | READY | MAIL | RCPT | CHUNKS | last in group | before TLS | needs |\n"
             "|---|---|---|---|---|---|---|---|---|\n"));
    for (size_t i = 0; i < smtp_verbs_count && e == ERR_OK; i++)
        e = docs_row(out, &smtp_verbs[i]);
    if (e == ERR_OK)
        e = buf_add(out, SPAN("\n## Extensions\n\n`disable_extensions` of a virtual server switches any of "
                              "them off.\n\n| keyword | |\n|---|---|\n"));
    for (unsigned x = 0; x < EXT__COUNT && e == ERR_OK; x++)
        e = buf_addf(out, "| `%s` | %s |\n", keywords[x], extension_what(x));
    if (e == ERR_OK)
        e = buf_add(out, SPAN("\n## Parameters\n\n"));
    return e == ERR_OK ? params_docs(out) : e;
}
