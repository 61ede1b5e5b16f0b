/* worker/smtp_end.c — what follows when a session is over or was never made: who of the targets is next, and
 * what the link learns of it. */
#include "worker/smtp_lane.h"

#include "common/log.h"

enum { SMTP_CLOSE_MS = 5000 };

/* --- Targets --------------------------------------------------------------------------------------- */

void smtp_end_lane(struct smtp_lane *s)
{
    smtp_drop_session(s);
    lane_ended(&s->lane);
}

/* all: every target was asked. Otherwise a refusal of those that were is not the last word. */
static void exhausted(struct smtp_lane *s, bool all)
{
    struct verdict last;

    if (s->lane.parcel != NULL) {
        if (all)
            attempt_exhausted(&s->lane.parcel->attempt);
        else
            attempt_stopped(&s->lane.parcel->attempt);
        lane_settled(&s->lane, false);
    }
    s->folded.permanent = s->folded.permanent && all;
    last = verdict_last(&s->folded);
    if (s->have_folded)
        lane_failed(&s->lane, &last, s->why);
    smtp_end_lane(s);
}

static void next_target(struct smtp_lane *s)
{
    smtp_drop_session(s);
    s->no_tls = false;
    switch (targets_search_next(&s->search, &s->list, loop_now(s->lane.link->w->loop))) {
    case TARGETS_NEXT:
        smtp_connect_target(s);
        return;
    case TARGETS_OUT_OF_TIME:
        log_info("link.search", "link='%s' tried=%u left=%zu text='took too long, the rest is not tried now'",
                 s->lane.link->name, s->search.begun, s->list.n - s->search.at - 1);
        exhausted(s, false);
        return;
    case TARGETS_ALL_TRIED:
        exhausted(s, true);
        return;
    }
}

static void fold(struct smtp_lane *s, const struct verdict *v, const char *text)
{
    char where[DNS_NAME_MAX + ENDPOINT_TEXT_MAX + 4];
    struct log_scratch scratch;

    smtp_target_text(s, where, sizeof where);
    s->folded = s->have_folded ? verdict_softer(&s->folded, v) : *v;
    s->have_folded = true;
    (void)snprintf(s->why, sizeof s->why, "%s: %s", where, text);
    metric_inc(&s->lane.link->w->m.connect_failed);
    smtp_tell(s, false, text);
    log_info("link.target", "link='%s' relay=%s dsn=%s text=%s", s->lane.link->name, where, v->status,
             log_text(&scratch, span_cstr(text)));
}

/* The connection could not be made: there is no session to tell why. */
void smtp_not_connected(struct smtp_lane *s)
{
    struct verdict_input in = {.step = STEP_CONNECT, .failure = s->lost, .enhanced = ""};
    struct verdict v = verdict_of(&in);
    const char *why = s->lost_why[0] != '\0' ? s->lost_why : failure_text(s->lost);

    fold(s, &v, why);
    if (s->lane.parcel != NULL) {
        struct attempt_result r = {.verdict = v,
                                   .step = STEP_CONNECT,
                                   .failure = s->lost,
                                   .text = span_cstr(s->why),
                                   .remote = span_cstr(smtp_target(s)->host)};

        attempt_record_all(&s->lane.parcel->attempt, &r);
    }
    next_target(s);
}
void smtp_give_back(struct smtp_lane *s)
{
    attempt_stopped(&s->lane.parcel->attempt);
    lane_settled(&s->lane, false);
}

/* --- The end of a session --------------------------------------------------------------------------- */

/* Opportunistic: whatever went wrong between STARTTLS and the end of the handshake, the clear is tried. */
static bool tls_fallback(const struct smtp_lane *s, const struct client_end *end)
{
    return (end->failure == FAILURE_TLS_FAILED || end->step == STEP_TLS) &&
           end->failure != FAILURE_CANCELED && s->lane.link->tls == CONF_TLS_OPPORTUNISTIC && !s->no_tls &&
           s->session_sent == 0;
}

static void record_end(struct smtp_lane *s, const struct client_end *end, const char *text)
{
    struct attempt_result r = {.verdict = end->verdict,
                               .step = end->step,
                               .failure = end->failure,
                               .code = end->code,
                               .text = end->code != 0 ? end->text : span_cstr(text),
                               .remote = span_cstr(smtp_target(s)->host)};

    if (s->lane.parcel != NULL && s->session_sent == 0)
        attempt_record_all(&s->lane.parcel->attempt, &r);
}

static void end_text(const struct smtp_lane *s, const struct client_end *end, char *out, size_t size)
{
    if (end->code != 0)
        (void)snprintf(out, size, "%u " SPAN_FMT, (unsigned)end->code, SPAN_ARG(span_first(end->text, 300)));
    else
        (void)snprintf(out, size, "%s at %s%s%s", failure_text(end->failure), step_name(end->step),
                       s->lost_why[0] != '\0' ? ": " : "", s->lost_why);
}

/* The same target once more: in the clear (once), or after a message was answered or a transaction ended in
 * order. What makes no progress goes on with the next target, so this ends. */
static void connect_again(struct smtp_lane *s)
{
    smtp_drop_session(s);
    smtp_connect_target(s);
}

/* The session is over and mail is left: of the parcel in hand, or nothing was ever sent. */
static void on_cut(struct smtp_lane *s, const struct client_end *end, const char *text)
{
    struct lane *lane = &s->lane;

    if (end->messages > 0) { /* it takes so many a session, closes early, was restarted: it works */
        log_debug("link.session",
                  "link='%s' relay=%s messages=%u text='ended by the server, connecting again'",
                  lane->link->name, smtp_target(s)->host, end->messages);
        connect_again(s);
        return;
    }
    fold(s, &end->verdict, text);
    record_end(s, end, text);
    if (lane->parcel != NULL && lane->parcel->attempt.nopen == 0) {
        lane_settled(lane, false); /* the answer was final for all of them */
        lane_failed(lane, &end->verdict, s->why);
        smtp_end_lane(s);
        return;
    }
    if (end->failure == FAILURE_LOOP) /* RFC 5321 5.1: equal and worse ones lead back here */
        s->search.at = s->list.n - 1;
    next_target(s);
}

/* A server that says goodbye before the first transaction of a session does not work, unless nobody wanted
 * anything of it yet. */
static void judge_goodbye(const struct smtp_lane *s, struct client_end *end)
{
    struct verdict_input in = {.step = STEP_MAIL, .failure = FAILURE_LOST, .enhanced = ""};

    if (end->verdict.action != VERDICT_OK || s->session_sent > 0 || s->moving ||
        (s->lane.parcel == NULL && s->lane.was_ready))
        return;
    *end = (struct client_end){.verdict = verdict_of(&in), .step = in.step, .failure = in.failure};
}

/* For the next session with it, of this lane and of others, as long as the plan is good. */
static void note_data_only(struct smtp_lane *s)
{
    struct link *link = s->lane.link;

    if (targets_is_data_only(&s->plan, smtp_target(s)))
        return;
    log_info("link.chunking", "link='%s' relay=%s text='it offers CHUNKING and does not know BDAT'",
             link->name, smtp_target(s)->host);
    targets_note_data_only(&s->plan, smtp_target(s));
    if (link->plan != NULL)
        targets_note_data_only(link->plan, smtp_target(s));
}

/* What follows the end of a session depends on who is still waiting for it. */
void smtp_ended(struct smtp_lane *s)
{
    struct lane *lane = &s->lane;
    struct client_end end;
    char text[400];
    bool in_order;

    client_end(s->client, &end);
    if (end.no_chunking)
        note_data_only(s);
    judge_goodbye(s, &end);
    in_order = end.verdict.action == VERDICT_OK || end.verdict.action == VERDICT_DONE;
    end_text(s, &end, text, sizeof text);
    if (tls_fallback(s, &end)) {
        log_info("link.tls", "link='%s' relay=%s fallback=clear", lane->link->name, smtp_target(s)->host);
        s->no_tls = true;
        connect_again(s);
        return;
    }
    if (end.failure == FAILURE_CANCELED) {
        if (lane->parcel != NULL)
            smtp_give_back(s);
        smtp_end_lane(s);
        return;
    }
    if (!in_order && (lane->parcel != NULL || !lane->was_ready)) {
        on_cut(s, &end, text);
        return;
    }
    if (lane->parcel != NULL) { /* left over: the rest of 452, or another target is wanted */
        if (s->moving)
            next_target(s);
        else
            connect_again(s);
        return;
    }
    if (!in_order && s->session_sent > 0 && end.messages == 0) {
        fold(s, &end.verdict, text);
        lane_failed(lane, &end.verdict, s->why);
    }
    if (s->closed) {
        smtp_end_lane(s);
        return;
    }
    lane_enter(lane, LANE_QUITTING);
    s->over = true;
    conn_finish(s->conn, SMTP_CLOSE_MS);
}
