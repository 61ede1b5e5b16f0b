/* worker/client.c — the session: bytes in and out, events, time-outs, the end. See client_impl.h for the
 * phases. */
#include "worker/client.h"
#include "worker/client_impl.h"

enum { QUIT_MS_MAX = 10000, EACH_PART = 60 /* of a time-out, for each recipient */ };

void client_enter(struct client *c, enum phase next)
{
    if (c->phase != PHASE_CLOSED) /* for good, whatever its caller was about to do */
        c->phase = next;
}

/* --- Life ------------------------------------------------------------------------------------------ */

struct client *client_new(const struct client_conf *conf)
{
    struct client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    buf_init(&c->hostname, 256);
    buf_init(&c->out, CLIENT_OUT_MAX);
    buf_init(&c->end_text, CLIENT_TEXT_MAX);
    buf_init(&c->txn.texts, CLIENT_TEXTS_MAX);
    reply_init(&c->parser);
    c->lmtp = conf->lmtp;
    c->configured = conf->configured;
    c->fell_back = conf->fell_back;
    c->self = conf->self;
    c->nself = conf->configured ? 0 : conf->nself;
    c->secured = conf->secured;
    c->no_chunking = conf->no_chunking;
    c->tls = conf->tls;
    c->timeouts = *conf->timeouts;
    if (buf_add(&c->hostname, conf->hostname.len > 0 ? conf->hostname : SPAN("localhost")) != ERR_OK) {
        client_free(c);
        return NULL;
    }
    c->progress = 1;
    client_enter(c, PHASE_SETUP);
    client_expect(c, STEP_GREETING, 0);
    return c;
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    txn_done(&c->txn);
    buf_done(&c->hostname);
    buf_done(&c->out);
    buf_done(&c->end_text);
    reply_done(&c->parser);
    free(c);
}

/* --- Expectations ---------------------------------------------------------------------------------- */

void client_expect(struct client *c, enum step step, size_t rcpt)
{
    /* At most MAIL, DATA and a window of BDAT besides one reply for each of JOB_RCPTS_MAX recipients. */
    if (c->expects_n == CLIENT_EXPECT_MAX)
        return;
    unsigned at = (c->expect_at + c->expects_n++) % CLIENT_EXPECT_MAX;
    c->expects[at] = (struct expect){(uint8_t)step, (uint8_t)rcpt};
}

bool client_expects(const struct client *c, enum step step)
{
    for (unsigned i = 0; i < c->expects_n; i++) {
        if (c->expects[(c->expect_at + i) % CLIENT_EXPECT_MAX].step == step)
            return true;
    }
    return false;
}

static struct expect take_expected(struct client *c)
{
    struct expect e = c->expects[c->expect_at];
    c->expect_at = (c->expect_at + 1) % CLIENT_EXPECT_MAX;
    c->expects_n--;
    return e;
}

enum step client_step(const struct client *c)
{
    static const uint8_t idle[] = {
        [PHASE_SETUP] = STEP_GREETING, [PHASE_TLS] = STEP_TLS,       [PHASE_READY] = STEP_RSET,
        [PHASE_SCAN] = STEP_MAIL,      [PHASE_ENVELOPE] = STEP_MAIL, [PHASE_BODY] = STEP_BODY,
        [PHASE_END] = STEP_END,        [PHASE_DRAIN] = STEP_RSET,    [PHASE_RESET] = STEP_RSET,
        [PHASE_QUITTING] = STEP_QUIT,  [PHASE_CLOSED] = STEP_QUIT,
    };
    if (c->txn.active && c->txn.end_sent && c->txn.unsettled > 0)
        return STEP_END; /* whatever is awaited first: the message may have arrived */
    if (c->phase == PHASE_DRAIN || c->expects_n == 0)
        return (enum step)idle[c->phase];
    return (enum step)c->expects[c->expect_at].step;
}

ms_t client_timeout_ms(const struct client *c)
{
    bool owners_turn = c->phase == PHASE_READY || c->phase == PHASE_SCAN || c->phase == PHASE_CLOSED ||
                       (c->phase == PHASE_BODY && c->txn.piece.len == 0 && c->expects_n == 0);
    if (owners_turn)
        return 0;
    const char *base = (const char *)&c->timeouts;
    ms_t timeout_ms;
    memcpy(&timeout_ms, base + client_steps[client_step(c)].timeout, sizeof(timeout_ms));
    if (c->phase == PHASE_QUITTING && timeout_ms > QUIT_MS_MAX)
        timeout_ms = QUIT_MS_MAX; /* no message is at stake, and the connection counts towards the caps */
    return timeout_ms;
}

uint64_t client_stage(const struct client *c, ms_t *ret_limit_ms)
{
    const struct conf_client_timeouts *t = &c->timeouts;
    ms_t each = (ms_t)c->txn.m.nrcpts;
    *ret_limit_ms = 0;
    if (!c->txn.active || c->phase == PHASE_SCAN)
        return 0;
    if (c->txn.end_sent)
        *ret_limit_ms = t->end_ms + (c->lmtp ? (each - 1) * (t->end_ms / EACH_PART) : 0);
    else
        *ret_limit_ms = t->mail_ms + t->rcpt_ms + each * (t->rcpt_ms / EACH_PART) + t->data_ms + t->block_ms +
                        c->txn.m.size_bytes; /* 1 octet a ms */
    return 2 * c->transactions + c->txn.end_sent;
}

uint64_t client_progress(const struct client *c)
{
    return c->progress;
}

bool client_is_secured(const struct client *c)
{
    return c->secured;
}

/* --- Judging --------------------------------------------------------------------------------------- */

struct outcome client_outcome(const struct client *c, enum step step, enum failure failure,
                              const struct reply *reply)
{
    struct verdict_input in = {.step = step,
                               .failure = failure,
                               .code = reply != NULL ? reply->code : 0,
                               .enhanced = reply != NULL ? reply->enhanced : "",
                               .lmtp = c->lmtp,
                               .configured = c->configured,
                               .fell_back = c->fell_back,
                               .bdat = txn_may_change_to_data(c),
                               .accepted = c->txn.active && c->txn.accepted > 0};
    return (struct outcome){.step = step,
                            .failure = failure,
                            .code = in.code,
                            .text = reply != NULL ? reply->text : SPAN(""),
                            .verdict = verdict_of(&in)};
}

void client_end_session(struct client *c, const struct outcome *why)
{
    if (c->phase == PHASE_CLOSED)
        return;
    bool was_setup = c->phase == PHASE_SETUP || c->phase == PHASE_RESET;
    if (c->txn.active) {
        txn_settle_all(c, why);
        txn_finish(c);
    }
    c->end = *why;
    c->end.verdict.close = true;
    if (why->verdict.scope != VERDICT_LINK) { /* the trouble was the message's: the link is fine */
        c->end.verdict.action = VERDICT_OK;
        c->end.verdict.scope = VERDICT_LINK;
    }
    buf_clear(&c->end_text);
    if (buf_add(&c->end_text, span_first(why->text, CLIENT_TEXT_MAX)) != ERR_OK)
        buf_clear(&c->end_text); /* only the text for people is lost */
    /* RFC 5321 4.1.1.10: say goodbye to a server that still listens. */
    if (was_setup && why->code != 0 && why->code != 421)
        client_put(c, SPAN("QUIT\r\n"));
    c->expects_n = 0;
    c->start_tls = false;
    c->closed = true;
    client_enter(c, PHASE_CLOSED);
}

static void fail(struct client *c, enum failure failure)
{
    struct outcome o = client_outcome(c, client_step(c), failure, NULL);
    client_end_session(c, &o);
}

/* A reply that nobody asked for: the server is going away, or has had enough of the body, or is lost. It
 * cannot speak of a message that it has not been offered yet. */
static void unsolicited(struct client *c, const struct reply *reply)
{
    struct outcome o = client_outcome(c, client_step(c), FAILURE_NONE, reply);
    bool not_offered = c->phase == PHASE_SCAN && o.verdict.scope != VERDICT_LINK;
    if (not_offered || (o.verdict.action == VERDICT_OK && c->phase != PHASE_READY)) {
        fail(c, FAILURE_GARBAGE);
        return;
    }
    if (o.verdict.scope != VERDICT_LINK)
        txn_settle_all(c, &o);
    client_end_session(c, &o);
}

static void on_reply(struct client *c, const struct reply *reply)
{
    c->progress++;
    if (c->expects_n == 0) {
        unsolicited(c, reply);
        return;
    }
    struct expect e = take_expected(c);
    struct outcome o = client_outcome(c, (enum step)e.step, FAILURE_NONE, reply);
    const struct client_step_row *row = &client_steps[e.step];
    bool link_failed = o.verdict.scope == VERDICT_LINK && (o.verdict.action != VERDICT_OK || o.verdict.close);
    if (link_failed && !row->keeps_link_verdicts)
        client_end_session(c, &o);
    else
        row->judge(c, &o, e.rcpt);
    if (c->phase != PHASE_CLOSED && c->txn.active)
        txn_advance(c);
}

void client_received(struct client *c, struct span bytes)
{
    while (bytes.len > 0 && c->phase != PHASE_CLOSED) {
        struct reply reply;
        size_t taken;
        if (c->phase == PHASE_TLS) { /* text behind the answer to STARTTLS was injected */
            fail(c, FAILURE_GARBAGE);
            return;
        }
        bool ehlo = c->expects_n > 0 && c->expects[c->expect_at].step == STEP_EHLO;
        enum err e = reply_feed(&c->parser, bytes, &taken, &reply, ehlo ? client_ehlo_line : NULL, c);
        bytes = span_from(bytes, taken);
        if (e == ERR_OK)
            on_reply(c, &reply);
        else if (e == ERR_NOMEM)
            fail(c, FAILURE_CANCELED);
        else if (e != ERR_AGAIN)
            fail(c, FAILURE_GARBAGE);
    }
}

void client_secured(struct client *c)
{
    if (c->phase != PHASE_TLS)
        return;
    c->secured = true;
    c->start_tls = false;
    /* RFC 3207 4.2: what was learnt in the clear is forgotten, with the answer to this. */
    client_enter(c, PHASE_SETUP);
    client_command(c, STEP_EHLO, 0);
}

void client_failed(struct client *c, enum failure why)
{
    if (c->phase != PHASE_CLOSED)
        fail(c, why);
}

void client_quit(struct client *c)
{
    if (c->phase != PHASE_READY)
        return;
    client_enter(c, PHASE_QUITTING);
    client_command(c, STEP_QUIT, 0);
}

/* --- Output ---------------------------------------------------------------------------------------- */

void client_put(struct client *c, struct span bytes)
{
    if (c->out_given)
        buf_clear(&c->out);
    c->out_given = false;
    if (buf_add(&c->out, bytes) != ERR_OK && c->phase != PHASE_CLOSED)
        fail(c, FAILURE_CANCELED);
}

bool client_output(struct client *c, struct client_output *ret)
{
    if (c->out.len > 0 && !c->out_given) {
        c->progress++;
        c->out_given = true;
        *ret = (struct client_output){buf_span(&c->out), false};
        return true;
    }
    struct txn *t = &c->txn;
    if (!t->active || t->piece.len == 0)
        return false;
    struct span part;
    bool some = true;
    if (t->bdat) {
        part = t->piece;
        t->piece = SPAN("");
    } else {
        some = dotstuff_next(&t->dots, &t->piece, &part);
    }
    c->progress++;
    if (some)
        *ret = (struct client_output){part, true};
    if (t->piece.len == 0)
        txn_piece_used(c);
    return some || client_output(c, ret);
}

/* --- Events ---------------------------------------------------------------------------------------- */

static bool wants_body(const struct client *c)
{
    const struct txn *t = &c->txn;
    bool all_handed_out = t->piece.len == 0 && (c->out.len == 0 || c->out_given);
    unsigned window = (c->caps.bits & CAP_PIPELINING) != 0 ? CLIENT_BDAT_WINDOW : 1;
    return c->phase == PHASE_SCAN || (c->phase == PHASE_BODY && all_handed_out && c->expects_n < window);
}

enum client_event client_event(struct client *c)
{
    if (c->finished) {
        c->finished = false;
        return CLIENT_FINISHED;
    }
    if (c->closed) {
        c->closed = false;
        return CLIENT_CLOSED;
    }
    if (c->start_tls) {
        c->start_tls = false;
        return CLIENT_START_TLS;
    }
    if (c->phase == PHASE_READY)
        return CLIENT_READY;
    return wants_body(c) ? CLIENT_BODY : CLIENT_WAIT;
}

uint64_t client_body_offset(const struct client *c)
{
    return c->txn.offset;
}

enum err client_body(struct client *c, struct span piece)
{
    return c->finished || !wants_body(c) ? ERR_STATE : txn_piece(c, piece);
}

enum err client_send(struct client *c, const struct client_message *m)
{
    if (c->phase != PHASE_READY || c->finished)
        return ERR_STATE;
    if (m->nrcpts == 0 || m->nrcpts > JOB_RCPTS_MAX)
        return ERR_TOOBIG;
    struct txn *t = &c->txn;
    txn_done(t);
    t->results = calloc(m->nrcpts, sizeof(*t->results));
    t->rcpts = calloc(m->nrcpts, sizeof(*t->rcpts));
    if (t->results == NULL || t->rcpts == NULL) {
        txn_done(t);
        return ERR_NOMEM;
    }
    t->m = *m;
    txn_begin(c);
    return ERR_OK;
}

const struct client_result *client_results(const struct client *c, size_t *ret_n)
{
    *ret_n = c->txn.results != NULL ? c->txn.m.nrcpts : 0;
    return c->txn.results;
}

void client_end(const struct client *c, struct client_end *ret)
{
    *ret = (struct client_end){.verdict = c->end.verdict,
                               .step = c->end.step,
                               .failure = c->end.failure,
                               .code = c->end.code,
                               .text = buf_span(&c->end_text),
                               .messages = c->messages,
                               .no_chunking = c->no_chunking};
}
