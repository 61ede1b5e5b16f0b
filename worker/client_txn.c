/* worker/client_txn.c — one mail transaction: envelope, body, end, results.
 *
 * I1  every recipient is settled exactly once, before FINISHED.
 * I2  DONE is settled only by a reply to the end of the data.
 * I3  after end_sent nothing but a reply can send the message to another target.
 * I4  the session is used again only when no reply is awaited and no byte of a chunk is owed. */
#include "worker/client_impl.h"

/* --- Results ---------------------------------------------------------------------------------------- */

static struct txn_rcpt keep_text(struct txn *t, struct span text)
{
    struct txn_rcpt kept = {.text_at = (uint32_t)t->texts.len};
    struct span cut = span_first(text, CLIENT_TEXT_MAX);
    if (buf_add(&t->texts, cut) == ERR_OK) /* otherwise only the text for people is lost */
        kept.text_len = (uint32_t)cut.len;
    return kept;
}

static void settle_with(struct client *c, size_t rcpt, const struct outcome *o, struct txn_rcpt kept)
{
    struct txn *t = &c->txn;
    struct txn_rcpt *r = &t->rcpts[rcpt];
    if (r->settled)
        return;
    r->settled = true;
    r->text_at = kept.text_at;
    r->text_len = kept.text_len;
    t->unsettled--;
    t->results[rcpt] = (struct client_result){.verdict = o->verdict,
                                              .step = o->step,
                                              .failure = o->failure,
                                              .code = o->code,
                                              .dsn_passed = (c->caps.bits & CAP_DSN) != 0};
}

void txn_settle(struct client *c, size_t rcpt, const struct outcome *o)
{
    settle_with(c, rcpt, o, keep_text(&c->txn, o->text));
}

void txn_settle_all(struct client *c, const struct outcome *o)
{
    if (!c->txn.active || c->txn.unsettled == 0)
        return;
    struct txn_rcpt kept = keep_text(&c->txn, o->text);
    for (size_t i = 0; i < c->txn.m.nrcpts; i++)
        settle_with(c, i, o, kept);
}

bool txn_may_change_to_data(const struct client *c)
{
    const struct txn *t = &c->txn;
    /* What was refused already is settled. RFC 3030 3: DATA carries no binary. By LMTP others may still get
     * the answer that they have it. */
    return t->active && t->bdat && !t->bdat_taken && t->unsettled > 0 && t->m.env->body != BODY_BINARYMIME &&
           !(c->lmtp && t->accepted > 1);
}

static void settle_failure(struct client *c, size_t rcpt, enum step step, enum failure why)
{
    struct outcome o = client_outcome(c, step, why, NULL);
    txn_settle(c, rcpt, &o);
}

void txn_done(struct txn *t)
{
    struct buf texts = t->texts;
    buf_done(&texts);
    free(t->results);
    free(t->rcpts);
    *t = (struct txn){.texts = texts};
}

void txn_finish(struct client *c)
{
    struct txn *t = &c->txn;
    for (size_t i = 0; i < t->m.nrcpts; i++)
        t->results[i].text =
            span_first(span_from(buf_span(&t->texts), t->rcpts[i].text_at), t->rcpts[i].text_len);
    t->active = false;
    t->piece = SPAN("");
    c->finished = true;
}

/* --- Begin ------------------------------------------------------------------------------------------ */

/* Recipients that this server cannot get, or not in this transaction. */
static void settle_misfits(struct client *c)
{
    struct txn *t = &c->txn;
    size_t fits = 0;
    for (size_t i = 0; i < t->m.nrcpts; i++) {
        enum failure why;
        if (!envelope_recipient_fits(c, &t->m.rcpts[i], &why)) {
            settle_failure(c, i, STEP_RCPT, why);
        } else if (c->caps.rcpt_max > 0 && fits == c->caps.rcpt_max) {
            struct outcome later = {.step = STEP_RCPT,
                                    .verdict = {VERDICT_AGAIN, VERDICT_RECIPIENT, false, false, "4.5.3"}};
            txn_settle(c, i, &later);
        } else {
            fits++;
        }
    }
}

static void begin_envelope(struct client *c)
{
    client_enter(c, PHASE_ENVELOPE);
    txn_advance(c);
}

void txn_begin(struct client *c)
{
    struct txn *t = &c->txn;
    enum failure why;
    bool scan;
    t->active = true;
    t->unsettled = t->m.nrcpts;
    t->bdat = (c->caps.bits & CAP_CHUNKING) != 0;
    if (!envelope_message_fits(c, &why, &scan)) {
        struct outcome o = client_outcome(c, STEP_MAIL, why, NULL);
        txn_settle_all(c, &o);
    } else {
        settle_misfits(c);
    }
    if (t->unsettled == 0)
        txn_finish(c);
    else if (scan)
        client_enter(c, PHASE_SCAN);
    else
        begin_envelope(c);
}

/* --- Envelope --------------------------------------------------------------------------------------- */

/* RFC 2920 3.1: MAIL, RCPT and DATA in one group, DATA last; without PIPELINING one at a time. */
static bool send_next(struct client *c)
{
    struct txn *t = &c->txn;
    bool pipelining = (c->caps.bits & CAP_PIPELINING) != 0;
    if (c->phase != PHASE_ENVELOPE || (!pipelining && c->expects_n > 0) || t->unsettled == 0)
        return false;
    if (t->next == 0) {
        t->next = 1;
        c->transactions++;
        client_command(c, STEP_MAIL, 0);
        return true;
    }
    while (t->next <= t->m.nrcpts && t->rcpts[t->next - 1].settled)
        t->next++;
    if (t->next <= t->m.nrcpts) {
        t->next++;
        client_command(c, STEP_RCPT, t->next - 2);
        return true;
    }
    if (t->next == t->m.nrcpts + 1 && !t->bdat) {
        t->next++;
        client_command(c, STEP_DATA, 0);
        return true;
    }
    return false;
}

/* All is settled and nothing is owed: what next with the session. */
static void end_transaction(struct client *c)
{
    bool reset = c->txn.open;
    txn_finish(c);
    if (c->phase == PHASE_CLOSED)
        return;
    if (c->caps.mail_max > 0 && c->transactions >= c->caps.mail_max) {
        client_enter(c, PHASE_READY);
        client_quit(c);
    } else if (reset) {
        client_enter(c, PHASE_RESET);
        client_command(c, STEP_RSET, 0);
    } else {
        client_enter(c, PHASE_READY);
    }
}

void txn_advance(struct client *c)
{
    struct txn *t = &c->txn;
    while (send_next(c))
        ;
    if (!t->active)
        return;
    if (t->unsettled == 0 && c->phase != PHASE_DRAIN)
        client_enter(c, PHASE_DRAIN);
    bool owed = c->expects_n > 0 || t->piece.len > 0;
    if (c->phase == PHASE_DRAIN && !owed)
        end_transaction(c);
    else if (c->phase == PHASE_ENVELOPE && !owed && t->bdat)
        txn_body_begin(c);
}

/* --- Body ------------------------------------------------------------------------------------------- */

/* The end of the data goes out: from here on the outcome is unknown until the server tells. */
static void expect_end(struct client *c)
{
    struct txn *t = &c->txn;
    t->end_sent = true;
    client_enter(c, PHASE_END);
    for (size_t i = 0; i < (c->lmtp ? t->m.nrcpts : 1); i++) {
        if (!c->lmtp || t->rcpts[i].accepted)
            client_expect(c, STEP_END, i);
    }
}

void txn_body_begin(struct client *c)
{
    struct txn *t = &c->txn;
    t->offset = 0;
    dotstuff_init(&t->dots);
    if (t->accepted == 0 || t->unsettled == 0) {
        /* RFC 2920 3.1: 354 although nobody is left to get the message; a lone dot sends nothing. */
        t->empty = true;
        if (c->lmtp) { /* RFC 2033 4.2: no reply would come, and 354 was wrong */
            client_failed(c, FAILURE_GARBAGE);
            return;
        }
        client_put(c, SPAN(".\r\n"));
        client_expect(c, STEP_END, 0);
        return;
    }
    client_enter(c, PHASE_BODY);
    if (t->m.size_bytes > 0)
        return;
    client_put(c, t->bdat ? SPAN("BDAT 0 LAST\r\n") : SPAN(".\r\n"));
    expect_end(c);
}

static void put_bdat(struct client *c, size_t bytes, bool last)
{
    char text[48];
    int n = snprintf(text, sizeof(text), "BDAT %zu%s\r\n", bytes, last ? " LAST" : "");
    client_put(c, span_of(text, (size_t)n));
}

static void scan_piece(struct client *c, struct span piece, bool last)
{
    for (size_t i = 0; i < piece.len; i++) {
        if ((unsigned char)piece.ptr[i] < 0x80)
            continue;
        /* RFC 6152 3, RFC 6531 3.1.1: not to be sent to a server that does not offer it */
        bool utf8 = c->txn.m.env->smtputf8 && (c->caps.bits & CAP_SMTPUTF8) == 0;
        struct outcome o = client_outcome(c, STEP_MAIL, utf8 ? FAILURE_NEEDS_UTF8 : FAILURE_NEEDS_8BIT, NULL);
        txn_settle_all(c, &o);
        txn_finish(c);
        client_enter(c, PHASE_READY);
        return;
    }
    if (last) {
        c->txn.offset = 0;
        begin_envelope(c);
    }
}

enum err txn_piece(struct client *c, struct span piece)
{
    struct txn *t = &c->txn;
    if (piece.len == 0 || piece.len > t->m.size_bytes - t->offset) {
        client_failed(c, FAILURE_BODY_UNREADABLE);
        return ERR_OK;
    }
    t->offset += piece.len;
    bool last = t->offset == t->m.size_bytes;
    if (c->phase == PHASE_SCAN) {
        scan_piece(c, piece, last);
        return ERR_OK;
    }
    if (t->bdat) {
        put_bdat(c, piece.len, last);
        if (last)
            expect_end(c);
        else
            client_expect(c, STEP_BODY, 0);
    }
    t->piece = piece;
    return ERR_OK;
}

void txn_piece_used(struct client *c)
{
    struct txn *t = &c->txn;
    if (!t->bdat && c->phase == PHASE_BODY && t->offset == t->m.size_bytes) {
        client_put(c, dotstuff_end(&t->dots));
        expect_end(c);
        return;
    }
    txn_advance(c);
}
