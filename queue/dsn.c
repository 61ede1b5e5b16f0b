/* queue/dsn.c — the parts of a multipart/report. Whatever came from outside passes through text(), which
 * folds, or exact(), and both let no byte through that could begin a line, end a field or upset an old
 * terminal. */
#include "queue/dsn.h"

bool dsn_wanted(uint8_t notify, enum dsn_action action)
{
    static const uint8_t bits[] = {[DSN_FAILED] = NOTIFY_FAILURE,
                                   [DSN_DELAYED] = NOTIFY_DELAY,
                                   [DSN_DELIVERED] = NOTIFY_SUCCESS,
                                   [DSN_RELAYED] = NOTIFY_SUCCESS};
    if (notify == 0) /* RFC 3461 4.1: the sender left it to us */
        notify = NOTIFY_FAILURE | NOTIFY_DELAY;
    return (notify & NOTIFY_NEVER) == 0 && (notify & bits[action]) != 0;
}

/* --- Writing ---------------------------------------------------------------------------------------- */

enum { FOLD_AT = 72, BREAK_AT = 500 /* RFC 5322 2.1.1: 998 at most */ };

struct pen { /* the first error stays */
    struct buf *out;
    enum err err;
    size_t column;
    bool utf8;          /* bytes above 0x7f are allowed (RFC 6533) */
    struct span indent; /* how a folded line begins */
};

static void put(struct pen *p, struct span s)
{
    if (p->err == ERR_OK)
        p->err = buf_add(p->out, s);
    p->column += s.len;
}

static void line_end(struct pen *p)
{
    put(p, SPAN("\r\n"));
    p->column = 0;
}

static void line(struct pen *p, struct span s)
{
    put(p, s);
    line_end(p);
}

static void fold(struct pen *p)
{
    line_end(p);
    put(p, p->indent);
}

static void escape(struct pen *p, char c)
{
    char escaped[8];
    put(p, span_of(escaped, (size_t)snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned char)c)));
}

/* The first character of foreign text; control bytes, and what is not UTF-8 where that may be, become \xNN.
 * Returns its length. */
static size_t character(struct pen *p, struct span s)
{
    unsigned char b = (unsigned char)s.ptr[0];
    size_t len = b >= ' ' && b < 0x7f ? 1 : p->utf8 ? span_utf8(s) : 0;
    if (len == 0) {
        escape(p, s.ptr[0]);
        return 1;
    }
    put(p, span_first(s, len));
    return len;
}

/* Foreign text for people: blanks are one blank, lines are folded there (no line of blanks alone: RFC 5322
 * 3.2.2). */
static void text(struct pen *p, struct span s)
{
    bool after_blank = false, begun = false;
    while (s.len > 0) {
        bool blank = s.ptr[0] == ' ' || s.ptr[0] == '\t';
        if (!blank && ((after_blank && p->column >= FOLD_AT) || p->column >= BREAK_AT))
            fold(p);
        else if (!blank && after_blank)
            put(p, SPAN(" "));
        begun |= !blank;
        after_blank = blank && begun;
        s = span_from(s, blank ? 1 : character(p, s));
    }
}

/* A foreign name, to be repeated as it is: each blank of a quoted local part counts (RFC 5321 4.1.2), and a
 * line folded at one would change it. */
static void exact(struct pen *p, struct span s)
{
    while (s.len > 0) {
        size_t len = 1;
        bool full = p->column >= BREAK_AT;
        if (full)
            fold(p);
        if (full && s.ptr[0] == ' ')
            escape(p, ' ');
        else
            len = character(p, s);
        s = span_from(s, len);
    }
}

static void field(struct pen *p, struct span name, struct span value)
{
    put(p, name);
    text(p, value);
    line_end(p);
}

static void name_field(struct pen *p, struct span name, struct span value)
{
    put(p, name);
    exact(p, value);
    line_end(p);
}

static void date_field(struct pen *p, struct span name, ms_t wall_ms)
{
    char date[32];
    clock_rfc5322(wall_ms, date);
    put(p, name);
    line(p, span_cstr(date));
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3461 4: xtext; false: not well-formed. Control bytes are left to exact(). */
static bool decode_xtext(struct span s, struct buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '+') {
            int high = i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_digit(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (buf_addc(out, c) != ERR_OK)
            return false;
    }
    return true;
}

static void xtext_field(struct pen *p, struct span name, struct span xtext)
{
    struct buf decoded;
    buf_init(&decoded, 2048);
    if (xtext.len > 0 && decode_xtext(xtext, &decoded))
        name_field(p, name, buf_span(&decoded));
    buf_done(&decoded);
}

/* --- What the report is about ----------------------------------------------------------------------- */

/* What happened, worst first; the first that any recipient met names the report. */
static const struct section {
    enum dsn_action action;
    struct span word;    /* RFC 3464 2.3.3 */
    struct span subject; /* of the report */
    struct span lead;    /* above the list of recipients */
} sections[] = {
    {DSN_FAILED, SPAN_INIT("failed"), SPAN_INIT("Undeliverable: your message was not delivered"),
     SPAN_INIT("Your message could not be delivered to the following recipients, and no\r\n"
               "further attempt will be made:\r\n")},
    {DSN_DELAYED, SPAN_INIT("delayed"), SPAN_INIT("Delayed: your message has not been delivered yet"),
     SPAN_INIT("Your message has not reached the following recipients yet. Delivery goes on\r\n"
               "being attempted; you do not need to send it again:\r\n")},
    {DSN_RELAYED, SPAN_INIT("relayed"), SPAN_INIT("Relayed: your message was passed on"),
     SPAN_INIT("Your message was passed on to the mail server of the following recipients,\r\n"
               "which may not tell you about its delivery:\r\n")},
    {DSN_DELIVERED, SPAN_INIT("delivered"), SPAN_INIT("Delivered: your message has arrived"),
     SPAN_INIT("Your message was delivered to the following recipients:\r\n")},
};

static bool section_used(const struct section *s, const struct dsn_report *r)
{
    for (size_t i = 0; i < r->nrcpts; i++) {
        if (r->rcpts[i].action == s->action)
            return true;
    }
    return false;
}

static const struct section *section_of(enum dsn_action action)
{
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (sections[i].action == action)
            return &sections[i];
    }
    return &sections[0];
}

static struct span subject_of(const struct dsn_report *r)
{
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (section_used(&sections[i], r))
            return sections[i].subject;
    }
    return sections[0].subject;
}

/* RFC 3461 4.3: RET speaks of failures alone; any other report returns headers. A binary message would
 * need BINARYMIME all the way back, so only its headers are returned (RFC 3030 3). */
static bool returns_headers_only(const struct dsn_report *r)
{
    return !section_used(section_of(DSN_FAILED), r) || r->env->ret == DSN_RET_HDRS ||
           r->env->body == BODY_BINARYMIME || r->original_bytes > r->max_bytes;
}

static bool needs_8bit(const struct dsn_report *r)
{
    return r->env->smtputf8 || r->env->body == BODY_8BITMIME;
}

/* --- Parts ------------------------------------------------------------------------------------------ */

static void boundary(struct pen *p, const struct dsn_report *r)
{
    put(p, SPAN("--"));
    line(p, r->boundary);
}

static void write_header(struct pen *p, const struct dsn_report *r)
{
    put(p, SPAN("From: Mail Delivery System <"));
    exact(p, r->from);
    line(p, SPAN(">"));
    put(p, SPAN("To: <"));
    exact(p, r->env->sender);
    line(p, SPAN(">"));
    field(p, SPAN("Subject: "), subject_of(r));
    date_field(p, SPAN("Date: "), r->now_ms);
    put(p, SPAN("Message-ID: <"));
    text(p, r->message_id);
    line(p, SPAN(">"));
    if (r->env->message_id.len > 2 && r->env->message_id.ptr[0] == '<' &&
        r->env->message_id.ptr[r->env->message_id.len - 1] == '>' && span_is_ascii(r->env->message_id))
        field(p, SPAN("References: "), r->env->message_id);
    line(p, SPAN("Auto-Submitted: auto-replied")); /* RFC 3834 5 */
    line(p, SPAN("MIME-Version: 1.0"));
    put(p, SPAN("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\""));
    put(p, r->boundary);
    line(p, SPAN("\""));
    if (needs_8bit(r))
        line(p, SPAN("Content-Transfer-Encoding: 8bit"));
    line_end(p);
    line(p, SPAN("This is a report about a message of yours, in MIME format."));
    line_end(p);
}

static void explain_recipient(struct pen *p, const struct dsn_recipient *rcpt)
{
    line_end(p);
    put(p, SPAN("  <"));
    exact(p, rcpt->address);
    line(p, SPAN(">"));
    p->indent = SPAN("      ");
    if (rcpt->diagnostic.len > 0) {
        put(p, SPAN("    "));
        text(p, rcpt->remote.len > 0 ? rcpt->remote : SPAN("the server"));
        put(p, SPAN(" answered: "));
        text(p, rcpt->diagnostic);
        line_end(p);
    } else if (rcpt->explanation.len > 0) {
        put(p, SPAN("    "));
        text(p, rcpt->explanation);
        if (rcpt->remote.len > 0) {
            put(p, SPAN(" ("));
            text(p, rcpt->remote);
            put(p, SPAN(")"));
        }
        line_end(p);
    }
    if (rcpt->action == DSN_DELAYED && rcpt->will_retry_until_ms > 0)
        date_field(p, SPAN("    Attempts go on until "), rcpt->will_retry_until_ms);
}

static void write_for_people(struct pen *p, const struct dsn_report *r)
{
    boundary(p, r);
    line(p, r->env->smtputf8 ? SPAN("Content-Type: text/plain; charset=utf-8")
                             : SPAN("Content-Type: text/plain; charset=us-ascii"));
    if (r->env->smtputf8)
        line(p, SPAN("Content-Transfer-Encoding: 8bit"));
    line(p, SPAN("Content-Language: en"));
    line(p, SPAN("Content-Description: Notification"));
    line_end(p);
    put(p, SPAN("This is the mail system at "));
    text(p, r->reporting_mta);
    line(p, SPAN("."));
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (!section_used(&sections[i], r))
            continue;
        line_end(p);
        put(p, sections[i].lead);
        p->column = 0;
        for (size_t k = 0; k < r->nrcpts; k++) {
            if (r->rcpts[k].action == sections[i].action)
                explain_recipient(p, &r->rcpts[k]);
        }
    }
    line_end(p);
    p->indent = SPAN("      ");
    date_field(p, SPAN("Your message arrived here on "), r->env->arrival_ms);
    if (r->env->subject.len > 0)
        field(p, SPAN("Its subject: "), r->env->subject);
    field(p, SPAN("Its name here, for questions: "), r->queue_id);
    line(p, returns_headers_only(r) ? SPAN("Its headers are attached.")
            : needs_8bit(r) /* dsn_seven.h */
                ? SPAN("It is attached; or its headers, if a server on the way takes no 8-bit mail.")
                : SPAN("It is attached."));
    line_end(p);
}

static void write_recipient_fields(struct pen *p, const struct dsn_recipient *rcpt)
{
    struct span type, original;
    p->indent = SPAN("\t");
    line_end(p);
    if (span_cut(rcpt->orcpt, ';', &type, &original)) {
        struct buf name;
        buf_init(&name, 128);
        /* the type is an atom; anything else is no ORCPT of ours to repeat */
        bool ok =
            span_ieq(type, SPAN("rfc822")) || span_ieq(type, SPAN("utf-8")) || span_ieq(type, SPAN("x400"));
        if (ok && buf_addf(&name, "Original-Recipient: " SPAN_FMT "; ", SPAN_ARG(type)) == ERR_OK)
            xtext_field(p, buf_span(&name), original);
        buf_done(&name);
    }
    name_field(p,
               span_is_ascii(rcpt->address) ? SPAN("Final-Recipient: rfc822; ")
                                            : SPAN("Final-Recipient: utf-8; "),
               rcpt->address);
    field(p, SPAN("Action: "), section_of(rcpt->action)->word);
    field(p, SPAN("Status: "), rcpt->status);
    if (rcpt->remote.len > 0)
        field(p, SPAN("Remote-MTA: dns; "), rcpt->remote);
    if (rcpt->diagnostic.len > 0)
        field(p, SPAN("Diagnostic-Code: smtp; "), rcpt->diagnostic);
    else if (rcpt->explanation.len > 0)
        field(p, SPAN("Diagnostic-Code: X-Bridgehead; "), rcpt->explanation);
    if (rcpt->last_attempt_ms > 0)
        date_field(p, SPAN("Last-Attempt-Date: "), rcpt->last_attempt_ms);
    if (rcpt->action == DSN_DELAYED && rcpt->will_retry_until_ms > 0)
        date_field(p, SPAN("Will-Retry-Until: "), rcpt->will_retry_until_ms);
}

static void write_status(struct pen *p, const struct dsn_report *r)
{
    boundary(p, r);
    if (r->env->smtputf8) {
        line(p, SPAN("Content-Type: message/global-delivery-status"));
        line(p, SPAN("Content-Transfer-Encoding: 8bit"));
    } else {
        line(p, SPAN("Content-Type: message/delivery-status"));
    }
    line(p, SPAN("Content-Description: Delivery report"));
    line_end(p);
    p->indent = SPAN("\t");
    xtext_field(p, SPAN("Original-Envelope-Id: "), r->env->envid);
    field(p, SPAN("Reporting-MTA: dns; "), r->reporting_mta);
    date_field(p, SPAN("Arrival-Date: "), r->env->arrival_ms);
    for (size_t i = 0; i < r->nrcpts; i++)
        write_recipient_fields(p, &r->rcpts[i]);
    line_end(p);
}

static void write_original_head(struct pen *p, const struct dsn_report *r)
{
    static const struct span types[2][2] = {
        {SPAN_INIT("Content-Type: message/rfc822"), SPAN_INIT("Content-Type: message/global")},
        {SPAN_INIT("Content-Type: text/rfc822-headers"), SPAN_INIT("Content-Type: message/global-headers")},
    };
    bool headers_only = returns_headers_only(r);
    boundary(p, r);
    line(p, types[headers_only][r->env->smtputf8]);
    if (needs_8bit(r))
        line(p, SPAN("Content-Transfer-Encoding: 8bit"));
    line(p, headers_only ? SPAN("Content-Description: Headers of the message")
                         : SPAN("Content-Description: Undelivered message"));
    line_end(p);
}

/* --- The report ------------------------------------------------------------------------------------- */

static bool usable_boundary(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
            return false;
    }
    return s.len >= 16 && s.len <= 60;
}

enum err dsn_begin(struct dsn_writer *w, const struct dsn_report *r, struct buf *out)
{
    if (r->env->sender.len == 0)
        return ERR_STATE;
    if (r->nrcpts == 0 || !usable_boundary(r->boundary))
        return ERR_PARSE;
    struct pen p = {.out = out, .utf8 = r->env->smtputf8, .indent = SPAN("\t")};
    write_header(&p, r);
    write_for_people(&p, r);
    write_status(&p, r);
    write_original_head(&p, r);
    *w = (struct dsn_writer){.boundary = r->boundary, .headers_only = returns_headers_only(r)};
    return p.err;
}

/* Length of what belongs to the header section; w->eol: 0 at the start of a line, 1 inside one, 2 behind a
 * CR at the start of one. */
static size_t header_part(struct dsn_writer *w, struct span piece)
{
    enum { LINE_START, INSIDE, CR_AT_START };
    size_t at = 0;
    while (at < piece.len && !w->ended) {
        char c = piece.ptr[at++];
        if (c == '\n') {
            w->ended = w->eol != INSIDE;
            w->eol = LINE_START;
        } else {
            w->eol = c == '\r' && w->eol == LINE_START ? CR_AT_START : INSIDE;
        }
    }
    return at;
}

struct span dsn_original(struct dsn_writer *w, struct span piece, bool *ret_more)
{
    *ret_more = true;
    if (!w->headers_only)
        return piece;
    uint64_t room = DSN_HEADERS_MAX - w->headers_bytes;
    struct span part = span_first(piece, piece.len < room ? piece.len : (size_t)room);
    part = span_first(part, header_part(w, part));
    w->headers_bytes += part.len;
    if (w->headers_bytes == DSN_HEADERS_MAX)
        w->ended = true;
    *ret_more = !w->ended;
    return part;
}

enum err dsn_end(struct dsn_writer *w, struct buf *out)
{
    struct pen p = {.out = out};
    /* RFC 2046 5.1.1: the CRLF before a boundary belongs to the boundary */
    put(&p, SPAN("\r\n--"));
    put(&p, w->boundary);
    put(&p, SPAN("--\r\n"));
    return p.err;
}

void dsn_envelope(const struct dsn_report *r, struct envelope *ret)
{
    *ret = (struct envelope){.sender = SPAN(""), /* RFC 3461 5.2.10, RFC 5321 4.5.5 */
                             .arrival_ms = r->now_ms,
                             .body = needs_8bit(r) ? BODY_8BITMIME : BODY_7BIT,
                             .smtputf8 = r->env->smtputf8,
                             .system = true,
                             .priority = PRIORITY_NORMAL,
                             .client = SPAN(""),
                             .helo = SPAN(""),
                             .auth = SPAN(""),
                             .virtual_server = r->env->virtual_server,
                             .header_from = r->from,
                             .subject = subject_of(r),
                             .message_id = r->message_id,
                             .envid = SPAN(""),
                             .visited = SPAN(""),
                             .unknown = SPAN("")};
}
