#include "node/params.h"

#include "linkstate/trace.h"
#include "node/extensions.h"

struct parsed {
    struct mail_params *mail; /* one of the two */
    struct rcpt_params *rcpt;
    bool smtputf8; /* of the transaction */
    unsigned offered;
};
enum param_verb { PARAM_MAIL, PARAM_RCPT };
struct param {
    enum param_verb verb;
    struct span keyword;
    unsigned extension; /* 0: none needed */
    bool value;         /* takes "=value"; else none allowed */
    bool (*set)(struct parsed *p, struct span value);
    const char *help;
};

/* RFC 3461 4: xtext = *( xchar / hexchar ); xchar: "!".."~" but "+" and "="; hexchar: "+" 2 upper hex. */
static bool is_upper_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

static bool is_xtext(struct span s, bool utf8)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x80 && utf8)
            continue;
        if (c < '!' || c > '~' || c == '=')
            return false;
        if (c != '+')
            continue;
        if (s.len - i < 3 || !is_upper_hex(s.ptr[i + 1]) || !is_upper_hex(s.ptr[i + 2]))
            return false;
        i += 2;
    }
    return true;
}

/* RFC 1870 4: 1*20DIGIT. Twenty digits say more than 64 bits hold: then it is too large, not wrong. */
static bool set_size(struct parsed *p, struct span v)
{
    p->mail->has_size = true;
    p->mail->size = UINT64_MAX;
    for (size_t i = 0; i < v.len; i++)
        if (v.ptr[i] < '0' || v.ptr[i] > '9')
            return false;
    (void)span_to_u64(v, UINT64_MAX, &p->mail->size); /* sets nothing when it is larger */
    return v.len > 0 && v.len <= 20;
}

static bool set_body(struct parsed *p, struct span v)
{
    static const struct {
        struct span word;
        enum body_kind kind;
        unsigned extension;
    } words[] = {
        {SPAN_INIT("7BIT"), BODY_7BIT, EXT_8BITMIME | EXT_BINARYMIME},
        {SPAN_INIT("8BITMIME"), BODY_8BITMIME, EXT_8BITMIME},
        {SPAN_INIT("BINARYMIME"), BODY_BINARYMIME, EXT_BINARYMIME},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!span_ieq(v, words[i].word))
            continue;
        p->mail->body = words[i].kind;
        return (p->offered & words[i].extension) != 0;
    }
    return false;
}

static bool set_ret(struct parsed *p, struct span v)
{
    p->mail->ret = span_ieq(v, SPAN("FULL")) ? DSN_RET_FULL : DSN_RET_HDRS;
    return span_ieq(v, SPAN("FULL")) || span_ieq(v, SPAN("HDRS"));
}

static bool set_envid(struct parsed *p, struct span v)
{
    p->mail->envid = v;
    return v.len > 0 && v.len <= ENVID_MAX && is_xtext(v, false);
}

static bool set_visited(struct parsed *p, struct span v)
{
    struct trace trace;
    p->mail->visited = v;
    return v.len > 0 && trace_parse(v, &trace) == ERR_OK;
}

static bool set_smtputf8(struct parsed *p, struct span v)
{
    (void)v;
    p->mail->smtputf8 = true;
    return true;
}

/* RFC 4954 5: checked, and not believed: nobody authenticated. */
static bool set_auth(struct parsed *p, struct span v)
{
    (void)p;
    return v.len > 0 && (span_eq(v, SPAN("<>")) || is_xtext(v, false));
}

static bool set_notify(struct parsed *p, struct span v)
{
    static const struct {
        struct span word;
        uint8_t bit;
    } words[] = {
        {SPAN_INIT("NEVER"), NOTIFY_NEVER},
        {SPAN_INIT("SUCCESS"), NOTIFY_SUCCESS},
        {SPAN_INIT("FAILURE"), NOTIFY_FAILURE},
        {SPAN_INIT("DELAY"), NOTIFY_DELAY},
    };
    bool more = true;
    while (more) {
        struct span word;
        uint8_t bit = 0;
        more = span_cut(v, ',', &word, &v);
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            if (span_ieq(word, words[i].word))
                bit = words[i].bit;
        if (bit == 0)
            return false;
        p->rcpt->notify = (uint8_t)(p->rcpt->notify | bit);
    }
    /* RFC 3461 4.1: NEVER stands alone */
    return !(p->rcpt->notify & NOTIFY_NEVER) || p->rcpt->notify == NOTIFY_NEVER;
}

static bool set_orcpt(struct parsed *p, struct span v)
{
    struct span type, address;
    p->rcpt->orcpt = v;
    if (v.len > ORCPT_MAX || !span_cut(v, ';', &type, &address) || type.len == 0 || address.len == 0)
        return false;
    for (size_t i = 0; i < type.len; i++) {
        char c = type.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    /* RFC 6533 3: only the type "utf-8" carries raw UTF-8 */
    return is_xtext(address, p->smtputf8 && span_ieq(type, SPAN("utf-8")));
}

/* clang-format off */
static const struct param params[] = {
    {PARAM_MAIL, SPAN_INIT("SIZE"),     EXT_SIZE,                      true,  set_size,     "announced octets (RFC 1870)"},
    {PARAM_MAIL, SPAN_INIT("BODY"),     EXT_8BITMIME | EXT_BINARYMIME, true,  set_body,     "7BIT, 8BITMIME or BINARYMIME (RFC 6152, RFC 3030)"},
    {PARAM_MAIL, SPAN_INIT("RET"),      EXT_DSN,                       true,  set_ret,      "FULL or HDRS: what a report returns (RFC 3461)"},
    {PARAM_MAIL, SPAN_INIT("ENVID"),    EXT_DSN,                       true,  set_envid,    "xtext, at most 100 octets, quoted in reports (RFC 3461)"},
    {PARAM_MAIL, SPAN_INIT("SMTPUTF8"), EXT_SMTPUTF8,                  false, set_smtputf8, "addresses and header may be UTF-8 (RFC 6531)"},
    {PARAM_MAIL, SPAN_INIT("AUTH"),     0,                             true,  set_auth,     "checked and ignored (RFC 4954)"},
    {PARAM_MAIL, SPAN_INIT("XVISITED"), EXT_XVISITED,                  true,  set_visited,  "routing groups that the message has left (docs/protocol.md)"},
    {PARAM_RCPT, SPAN_INIT("NOTIFY"),   EXT_DSN,                       true,  set_notify,   "NEVER, or a list of SUCCESS, FAILURE, DELAY (RFC 3461)"},
    {PARAM_RCPT, SPAN_INIT("ORCPT"),    EXT_DSN,                       true,  set_orcpt,    "original recipient, at most 500 octets (RFC 3461)"},
};
/* clang-format on */

static const struct param *param_find(enum param_verb verb, struct span keyword, unsigned offered)
{
    for (size_t i = 0; i < ARRAY_LEN(params); i++)
        if (params[i].verb == verb && span_ieq(params[i].keyword, keyword) &&
            (params[i].extension == 0 || (offered & params[i].extension) != 0))
            return &params[i];
    return NULL;
}

/* The next blank-separated word. */
static bool next_word(struct span *s, struct span *ret)
{
    *s = span_trim(*s);
    if (s->len == 0)
        return false;
    (void)span_cut(*s, ' ', ret, s);
    return true;
}

static enum err parse(struct span s, enum param_verb verb, struct parsed *p, struct span *ret_name)
{
    struct span word, keyword, value;
    unsigned seen = 0;
    while (next_word(&s, &word)) {
        bool has_value = span_cut(word, '=', &keyword, &value);
        const struct param *row = param_find(verb, keyword, p->offered);
        *ret_name = keyword;
        if (row == NULL)
            return ERR_NOTFOUND;
        unsigned bit = 1u << (row - params);
        if ((seen & bit) != 0 || has_value != row->value || !row->set(p, value))
            return ERR_PARSE;
        seen |= bit;
    }
    return ERR_OK;
}

enum err params_mail(struct span s, unsigned offered, struct mail_params *ret, struct span *ret_name)
{
    struct mail_params m = {.envid = SPAN(""), .visited = SPAN("")};
    struct parsed p = {.mail = &m, .offered = offered};
    enum err e = parse(s, PARAM_MAIL, &p, ret_name);
    if (e == ERR_OK)
        *ret = m;
    return e;
}

enum err params_rcpt(struct span s, unsigned offered, bool smtputf8, struct rcpt_params *ret,
                     struct span *ret_name)
{
    struct rcpt_params r = {.orcpt = SPAN("")};
    struct parsed p = {.rcpt = &r, .smtputf8 = smtputf8, .offered = offered};
    enum err e = parse(s, PARAM_RCPT, &p, ret_name);
    if (e == ERR_OK)
        *ret = r;
    return e;
}

enum err params_docs(struct buf *out)
{
    enum err e = buf_add(out, SPAN("| parameter | of | value |\n|---|---|---|\n"));
    for (size_t i = 0; i < ARRAY_LEN(params) && e == ERR_OK; i++)
        e = buf_addf(out, "| `" SPAN_FMT "%s` | %s | %s |\n", SPAN_ARG(params[i].keyword),
                     params[i].value ? "=" : "", params[i].verb == PARAM_MAIL ? "MAIL" : "RCPT",
                     params[i].help);
    return e;
}
