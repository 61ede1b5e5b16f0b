/* worker/client_steps.c — one row per step: what is sent, how its reply is judged, how long it may take. */
#include "worker/client_impl.h"

/* --- What the server offers ------------------------------------------------------------------------- */

static const struct {
    struct span keyword;
    unsigned bit;
} capabilities[] = {
    {SPAN_INIT("PIPELINING"), CAP_PIPELINING}, /* RFC 2920 */
    {SPAN_INIT("8BITMIME"), CAP_8BITMIME},     /* RFC 6152 */
    {SPAN_INIT("SMTPUTF8"), CAP_SMTPUTF8},     /* RFC 6531 */
    {SPAN_INIT("CHUNKING"), CAP_CHUNKING},     /* RFC 3030 */
    {SPAN_INIT("BINARYMIME"), CAP_BINARYMIME}, /* RFC 3030 */
    {SPAN_INIT("DSN"), CAP_DSN},               /* RFC 3461 */
    {SPAN_INIT("STARTTLS"), CAP_STARTTLS},     /* RFC 3207 */
    {SPAN_INIT("SIZE"), CAP_SIZE},             /* RFC 1870 */
    {SPAN_INIT("XVISITED"), CAP_XVISITED},     /* docs/protocol.md */
};

static void read_limits(struct caps *caps, struct span rest)
{
    struct span word, name, value;
    while (rest.len > 0) {
        uint64_t n;
        (void)span_cut(rest, ' ', &word, &rest);
        if (!span_cut(word, '=', &name, &value) || !span_to_u64(value, 999999, &n) || n == 0)
            continue;
        if (span_ieq(name, SPAN("MAILMAX")))
            caps->mail_max = n;
        else if (span_ieq(name, SPAN("RCPTMAX")))
            caps->rcpt_max = n;
    }
}

/* RFC 5321 4.1.1.1: the first line of the answer begins with the domain of the server. A name of one label,
 * "localhost" say, is that of too many. */
static bool is_self(const struct client *c, struct span name)
{
    size_t at;
    for (size_t i = 0; i < c->nself; i++) {
        if (span_find(c->self[i], '.', &at) && span_ieq(c->self[i], name))
            return true;
    }
    return false;
}

void client_ehlo_line(void *arg, uint16_t code, unsigned line, struct span text)
{
    struct client *c = arg;
    struct span keyword, rest;
    if (line == 0) { /* also a refusal: HELO follows it, which offers nothing */
        c->caps = (struct caps){0};
        (void)span_cut(span_trim(text), ' ', &keyword, &rest);
        c->met_self = is_self(c, keyword);
    }
    if (line == 0 || code / 100 != 2)
        return;
    (void)span_cut(span_trim(text), ' ', &keyword, &rest);
    for (size_t i = 0; i < ARRAY_LEN(capabilities); i++) {
        if (span_ieq(keyword, capabilities[i].keyword))
            c->caps.bits |= capabilities[i].bit;
    }
    if (c->no_chunking)
        c->caps.bits &= ~(unsigned)(CAP_CHUNKING | CAP_BINARYMIME);
    if (span_ieq(keyword, SPAN("SIZE")) && !span_to_u64(span_trim(rest), UINT64_MAX, &c->caps.size_limit))
        c->caps.size_limit = 0;
    if (span_ieq(keyword, SPAN("LIMITS")))
        read_limits(&c->caps, rest);
}

/* --- Session ---------------------------------------------------------------------------------------- */

static void judge_greeting(struct client *c, const struct outcome *o, size_t rcpt)
{
    (void)o;
    (void)rcpt;
    client_command(c, STEP_EHLO, 0);
}

static void send_ehlo(struct client *c, size_t rcpt)
{
    (void)rcpt;
    client_put(c, c->lmtp ? SPAN("LHLO ") : SPAN("EHLO "));
    client_put(c, buf_span(&c->hostname));
    client_put(c, SPAN("\r\n"));
}

static void send_helo(struct client *c, size_t rcpt)
{
    (void)rcpt;
    client_put(c, SPAN("HELO "));
    client_put(c, buf_span(&c->hostname));
    client_put(c, SPAN("\r\n"));
}

static void judge_helo(struct client *c, const struct outcome *o, size_t rcpt)
{
    (void)o;
    (void)rcpt;
    bool wanted = !c->secured && c->tls != CONF_TLS_NONE;
    if (wanted && (c->caps.bits & CAP_STARTTLS) != 0) {
        client_command(c, STEP_STARTTLS, 0);
    } else if (wanted && c->tls != CONF_TLS_OPPORTUNISTIC) {
        struct outcome missing = client_outcome(c, STEP_STARTTLS, FAILURE_TLS_MISSING, NULL);
        client_end_session(c, &missing);
    } else {
        client_enter(c, PHASE_READY);
    }
}

static void judge_ehlo(struct client *c, const struct outcome *o, size_t rcpt)
{
    if (o->verdict.action == VERDICT_OK && c->met_self) {
        struct outcome loop = client_outcome(c, STEP_EHLO, FAILURE_LOOP, NULL);
        client_end_session(c, &loop);
    } else if (o->verdict.action == VERDICT_OK)
        judge_helo(c, o, rcpt);
    else if (o->code >= 500 && !c->lmtp) /* RFC 5321 3.2: an old server */
        client_command(c, STEP_HELO, 0);
    else
        client_end_session(c, o);
}

static void send_starttls(struct client *c, size_t rcpt)
{
    (void)rcpt;
    client_put(c, SPAN("STARTTLS\r\n"));
}

static void judge_starttls(struct client *c, const struct outcome *o, size_t rcpt)
{
    (void)rcpt;
    if (o->verdict.action == VERDICT_OK) {
        client_enter(c, PHASE_TLS);
        c->start_tls = true;
    } else if (c->tls == CONF_TLS_OPPORTUNISTIC && o->code >= 400 && o->code != 421) {
        c->fell_back = true;
        client_enter(c, PHASE_READY);
    } else {
        client_end_session(c, o);
    }
}

static void send_rset(struct client *c, size_t rcpt)
{
    (void)rcpt;
    client_put(c, SPAN("RSET\r\n"));
}

static void judge_rset(struct client *c, const struct outcome *o, size_t rcpt)
{
    (void)o;
    (void)rcpt;
    client_enter(c, PHASE_READY);
}

static void send_quit(struct client *c, size_t rcpt)
{
    (void)rcpt;
    client_put(c, SPAN("QUIT\r\n"));
}

static void judge_quit(struct client *c, const struct outcome *o, size_t rcpt)
{
    (void)rcpt;
    client_end_session(c, o);
}

/* --- Transaction ------------------------------------------------------------------------------------ */

static void send_mail(struct client *c, size_t rcpt)
{
    (void)rcpt;
    envelope_put_mail(c);
}

static void judge_mail(struct client *c, const struct outcome *o, size_t rcpt)
{
    (void)rcpt;
    c->txn.open = o->verdict.action == VERDICT_OK;
    if (!c->txn.open)
        txn_settle_all(c, o); /* answers to what was pipelined behind it say nothing any more */
}

static void send_rcpt(struct client *c, size_t rcpt)
{
    envelope_put_rcpt(c, &c->txn.m.rcpts[rcpt]);
}

static void judge_rcpt(struct client *c, const struct outcome *o, size_t rcpt)
{
    if (c->txn.rcpts[rcpt].settled)
        return;
    if (o->verdict.action == VERDICT_OK) {
        c->txn.rcpts[rcpt].accepted = true;
        c->txn.accepted++;
    } else {
        txn_settle(c, rcpt, o);
    }
}

static void send_data(struct client *c, size_t rcpt)
{
    (void)rcpt;
    client_put(c, SPAN("DATA\r\n"));
}

static void judge_data(struct client *c, const struct outcome *o, size_t rcpt)
{
    (void)rcpt;
    if (o->verdict.action == VERDICT_OK)
        txn_body_begin(c);
    else
        txn_settle_all(c, o); /* those not accepted are settled; without any 503 or 554 says nothing */
}

/* The server does not know BDAT. It takes the octets behind it for commands, so nothing more is said. */
static bool unknown_bdat(struct client *c, const struct outcome *o)
{
    if (o->verdict.action != VERDICT_AGAIN)
        return false;
    c->no_chunking = true;
    client_end_session(c, o);
    return true;
}

static void judge_body(struct client *c, const struct outcome *o, size_t rcpt)
{
    (void)rcpt;
    if (unknown_bdat(c, o))
        return;
    if (o->verdict.action == VERDICT_OK)
        c->txn.bdat_taken = true;
    else
        txn_settle_all(c, o);
}

static void judge_end(struct client *c, const struct outcome *o, size_t rcpt)
{
    struct txn *t = &c->txn;
    if (unknown_bdat(c, o))
        return;
    if (t->piece.len > 0 || (c->out.len > 0 && !c->out_given)) {
        client_failed(c, FAILURE_GARBAGE); /* an answer to what was not sent yet */
        return;
    }
    if (t->open)
        c->messages++;
    t->open = false; /* RFC 5321 4.1.1.4: whatever the reply, the buffers are clear */
    if (t->empty)
        return;
    if (!c->lmtp)
        txn_settle_all(c, o);
    else if (!t->rcpts[rcpt].settled)
        txn_settle(c, rcpt, o);
}

#define TIMEOUT(member) offsetof(struct conf_client_timeouts, member)
/* clang-format off */
const struct client_step_row client_steps[STEP__COUNT] = { /* RFC 5321 4.5.3.2 time-outs */
    [STEP_ROUTE]    = {NULL,          NULL,           false, TIMEOUT(connect_ms)},
    [STEP_CONNECT]  = {NULL,          NULL,           false, TIMEOUT(connect_ms)},
    [STEP_GREETING] = {NULL,          judge_greeting, false, TIMEOUT(greeting_ms)},
    [STEP_EHLO]     = {send_ehlo,     judge_ehlo,     true,  TIMEOUT(helo_ms)},
    [STEP_HELO]     = {send_helo,     judge_helo,     false, TIMEOUT(helo_ms)},
    [STEP_STARTTLS] = {send_starttls, judge_starttls, true,  TIMEOUT(helo_ms)},
    [STEP_TLS]      = {NULL,          NULL,           false, TIMEOUT(helo_ms)},
    [STEP_MAIL]     = {send_mail,     judge_mail,     false, TIMEOUT(mail_ms)},
    [STEP_RCPT]     = {send_rcpt,     judge_rcpt,     false, TIMEOUT(rcpt_ms)},
    [STEP_DATA]     = {send_data,     judge_data,     false, TIMEOUT(data_ms)},
    [STEP_BODY]     = {NULL,          judge_body,     false, TIMEOUT(block_ms)},
    [STEP_END]      = {NULL,          judge_end,      false, TIMEOUT(end_ms)},
    [STEP_RSET]     = {send_rset,     judge_rset,     false, TIMEOUT(helo_ms)},
    [STEP_QUIT]     = {send_quit,     judge_quit,     true,  TIMEOUT(helo_ms)},
};
/* clang-format on */

void client_command(struct client *c, enum step step, size_t rcpt)
{
    client_expect(c, step, rcpt);
    client_steps[step].send(c, rcpt);
}
