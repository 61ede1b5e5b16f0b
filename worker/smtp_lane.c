/* worker/smtp_lane.c — a lane that speaks SMTP or LMTP: moves bytes between worker/client.h and a connection.
 *
 * Every callback only notes what happened and arms `work`; work() runs at the end of the turn, asks the
 * client what to do until it has to wait, and is the only place where connection and client are replaced. */
#include "worker/core.h"

#include "common/log.h"
#include "worker/client.h"

enum { SMTP_OUTPUT_HIGH = 131072, SMTP_CLOSE_MS = 5000, SMTP_AGAIN_MAX = JOB_RCPTS_MAX };

struct smtp_lane {
    struct lane lane;
    struct conn *conn;
    struct client *client; /* NULL: connecting, or over */
    struct targets_plan plan;
    struct targets_list list;
    size_t at;
    bool no_tls;   /* the handshake with this target failed; the policy is opportunistic */
    bool closed;   /* the connection is closed */
    bool moving;   /* this target is no good for the parcel in hand */
    bool quitting; /* the link wants the lane to end */
    bool over;     /* the session ended in order: only the end of the connection is awaited */
    unsigned session_sent, again;
    enum failure lost; /* of a connection that was never opened */
    char lost_why[128];
    struct body_piece *piece;
    uint8_t index[JOB_RCPTS_MAX]; /* recipient of the transaction -> of the job */
    size_t nindex;
    struct recipient *rcpts; /* of the transaction */
    struct verdict folded;   /* of the targets tried */
    bool have_folded;
    char why[LINK_ERROR_MAX];
    struct deferred work;
};

static struct smtp_lane *self_of(struct lane *lane)
{
    return (struct smtp_lane *)lane;
}

static void arm(struct smtp_lane *s)
{
    deferred_arm(s->lane.link->w->loop, &s->work);
}

static const struct target *target_of(const struct smtp_lane *s)
{
    return &s->list.items[s->at];
}

static void target_text(const struct smtp_lane *s, char *out, size_t size)
{
    const struct target *t = target_of(s);
    char at[ENDPOINT_TEXT_MAX];

    if (t->unix_path != NULL) {
        (void)snprintf(out, size, "%s", t->unix_path);
        return;
    }
    ip_endpoint_text(&t->endpoint, at);
    (void)snprintf(out, size, "%s[%s]", t->host, at);
}

/* --- Connection ------------------------------------------------------------------------------------ */

static void on_opened(void *arg)
{
    struct smtp_lane *s = arg;
    struct link *link = s->lane.link;
    struct client_conf conf = {
        .hostname = span_cstr(link->set->hostname),
        .lmtp = link->kind == LINK_LMTP,
        .tls = s->no_tls ? CONF_TLS_NONE : link->tls,
        .timeouts = &link->set->root->delivery.timeouts,
    };

    s->client = client_new(&conf);
    if (s->client == NULL) {
        s->lost = FAILURE_CANCELED;
        s->closed = true;
    }
    arm(s);
}

static size_t on_received(void *arg, struct span bytes)
{
    struct smtp_lane *s = arg;

    if (s->client != NULL)
        client_received(s->client, bytes);
    arm(s);
    return bytes.len;
}

static void on_progress(void *arg)
{
    arm(arg);
}

static void on_secured(void *arg)
{
    struct smtp_lane *s = arg;

    if (s->client != NULL)
        client_secured(s->client);
    arm(s);
}

static void on_closed(void *arg, enum err e, const char *why)
{
    struct smtp_lane *s = arg;

    s->closed = true;
    (void)snprintf(s->lost_why, sizeof s->lost_why, "%s", why == NULL ? "" : why);
    if (s->client == NULL)
        s->lost = e == ERR_TIMEOUT ? FAILURE_CONNECT_TIMEOUT : FAILURE_REFUSED;
    else if (!s->over)
        client_failed(s->client, e == ERR_TIMEOUT ? FAILURE_TIMEOUT
                                 : e == ERR_TLS   ? FAILURE_TLS_FAILED
                                                  : FAILURE_LOST);
    arm(s);
}

static const struct conn_ops smtp_conn_ops = {
    .opened = on_opened,
    .received = on_received,
    .drained = on_progress,
    .secured = on_secured,
    .closed = on_closed,
};

static const struct ip_addr *source_for(const struct settings *set, const struct target *t)
{
    for (size_t i = 0; i < set->nsources; i++)
        if (set->sources[i].v6 == t->endpoint.addr.v6)
            return &set->sources[i];
    return NULL;
}

static void drop_session(struct smtp_lane *s)
{
    body_piece_free(s->piece);
    s->piece = NULL;
    conn_free(s->conn);
    s->conn = NULL;
    client_free(s->client);
    s->client = NULL;
    s->closed = s->over = s->moving = false;
    s->session_sent = 0;
    s->lost = FAILURE_NONE;
}

static void connect_target(struct smtp_lane *s)
{
    struct link *link = s->lane.link;
    const struct target *t = target_of(s);
    struct conn_target ct = {
        .unix_path = t->unix_path,
        .endpoint = t->endpoint,
        .source = t->unix_path == NULL ? source_for(link->set, t) : NULL,
        .timeout_ms = link->set->root->delivery.timeouts.connect_ms,
    };
    struct errctx ec = {""};

    s->lane.messages = 0;
    metric_inc(&link->w->m.connections);
    if (conn_connect(link->w->loop, &ct, &smtp_conn_ops, s, &s->conn, &ec) == ERR_OK) {
        conn_set_high_water(s->conn, SMTP_OUTPUT_HIGH);
        return;
    }
    s->conn = NULL;
    s->closed = true;
    s->lost = FAILURE_REFUSED;
    (void)snprintf(s->lost_why, sizeof s->lost_why, "%s", ec.msg);
    arm(s);
}

/* --- Targets --------------------------------------------------------------------------------------- */

static void end_lane(struct smtp_lane *s)
{
    drop_session(s);
    lane_ended(&s->lane);
}

static void exhausted(struct smtp_lane *s)
{
    struct verdict last = verdict_last(&s->folded);

    if (s->lane.parcel != NULL) {
        attempt_exhausted(&s->lane.parcel->attempt);
        lane_settled(&s->lane, false);
    }
    if (s->have_folded)
        lane_failed(&s->lane, &last, s->why);
    end_lane(s);
}

static void next_target(struct smtp_lane *s)
{
    drop_session(s);
    s->no_tls = false;
    s->at++;
    if (s->at == s->list.n)
        exhausted(s);
    else
        connect_target(s);
}

static void fold(struct smtp_lane *s, const struct verdict *v, const char *text)
{
    char where[DNS_NAME_MAX + ENDPOINT_TEXT_MAX + 4];
    struct log_scratch scratch;

    target_text(s, where, sizeof where);
    s->folded = s->have_folded ? verdict_softer(&s->folded, v) : *v;
    s->have_folded = true;
    (void)snprintf(s->why, sizeof s->why, "%s: %s", where, text);
    metric_inc(&s->lane.link->w->m.connect_failed);
    log_info("link.target", "link='%s' relay=%s dsn=%s text=%s", s->lane.link->name, where, v->status,
             log_text(&scratch, span_cstr(text)));
}

/* The connection could not be made: there is no session to tell why. */
static void not_connected(struct smtp_lane *s)
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
                                   .remote = span_cstr(target_of(s)->host)};

        attempt_record_all(&s->lane.parcel->attempt, &r);
    }
    next_target(s);
}

/* --- The session ----------------------------------------------------------------------------------- */

static void write_output(struct smtp_lane *s)
{
    struct client_output out;

    while (conn_output(s->conn) < SMTP_OUTPUT_HIGH && client_output(s->client, &out)) {
        enum err e;

        if (out.borrowed && s->piece != NULL && out.bytes.len >= 4096) {
            e = conn_write_ref(s->conn, out.bytes, body_piece_release, body_piece_ref(s->piece));
        } else {
            e = conn_write(s->conn, out.bytes);
        }
        if (e == ERR_NOMEM && !s->closed)
            client_failed(s->client, FAILURE_CANCELED);
    }
}

static void give_back(struct smtp_lane *s)
{
    attempt_exhausted(&s->lane.parcel->attempt);
    lane_settled(&s->lane, false);
}

static enum err begin_transaction(struct smtp_lane *s)
{
    struct parcel *p = s->lane.parcel;
    const struct job *job = &p->claim->job;
    struct client_message m = {.env = &p->claim->env, .size_bytes = p->claim->body.size_bytes};
    enum err e;

    free(s->rcpts);
    s->nindex = 0;
    s->rcpts = calloc(p->attempt.nopen, sizeof *s->rcpts);
    if (s->rcpts == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < job->nrcpts && s->nindex < ARRAY_LEN(s->index); i++) {
        if (!p->attempt.outcomes[i].open)
            continue;
        s->index[s->nindex] = (uint8_t)i;
        s->rcpts[s->nindex++] = job->rcpts[i];
    }
    m.rcpts = s->rcpts;
    m.nrcpts = s->nindex;
    e = parcel_open_body(p, on_progress, s);
    if (e == ERR_OK)
        e = client_send(s->client, &m);
    return e;
}

/* false: nothing to do now. */
static bool on_ready(struct smtp_lane *s)
{
    struct lane *lane = &s->lane;

    lane->was_ready = true;
    if (lane->parcel != NULL && !lane_may_send(lane))
        give_back(s);
    if (s->moving || s->quitting ||
        (lane->parcel == NULL && lane->messages > 0 &&
         lane->messages >= lane->link->messages_per_connection)) {
        if (lane->parcel == NULL)
            lane_enter(lane, LANE_QUITTING);
        client_quit(s->client);
        return true;
    }
    if (lane->parcel == NULL) {
        if (lane->state != LANE_IDLE)
            lane_idle(lane);
        return false;
    }
    lane->sent_at_ms = loop_now(lane->link->w->loop);
    if (begin_transaction(s) != ERR_OK) {
        give_back(s);
        return true;
    }
    metric_inc(&lane->link->w->m.transactions);
    target_text(s, lane->parcel->relay, sizeof lane->parcel->relay);
    s->session_sent++;
    return true;
}

static bool on_body(struct smtp_lane *s)
{
    struct parcel *p = s->lane.parcel;
    struct body_piece *piece;
    enum err e;

    if (!lane_may_end(&s->lane)) {
        client_failed(s->client, FAILURE_CANCELED);
        return true;
    }
    e = body_next(p->body, client_body_offset(s->client), &piece);
    if (e == ERR_AGAIN)
        return false;
    if (e == ERR_OK) {
        body_piece_free(s->piece);
        s->piece = piece;
        e = client_body(s->client, body_piece_span(piece));
    }
    if (e != ERR_OK) {
        p->damaged = e == ERR_NOTFOUND || e == ERR_PARSE;
        client_failed(s->client, FAILURE_BODY_UNREADABLE);
    }
    return true;
}

static void on_finished(struct smtp_lane *s)
{
    struct lane *lane = &s->lane;
    struct parcel *p = lane->parcel;
    size_t n;
    const struct client_result *results = client_results(s->client, &n);
    bool usable = false;

    body_piece_free(s->piece);
    s->piece = NULL;
    lane->messages++;
    for (size_t i = 0; i < n && i < s->nindex; i++) {
        struct attempt_result r = {.verdict = results[i].verdict,
                                   .step = results[i].step,
                                   .failure = results[i].failure,
                                   .code = results[i].code,
                                   .text = results[i].text,
                                   .remote = span_cstr(target_of(s)->host),
                                   .dsn_passed = results[i].dsn_passed};

        usable = usable || (r.failure == FAILURE_NONE && r.verdict.scope != VERDICT_LINK);
        s->moving = s->moving || r.verdict.action == VERDICT_NEXT_TARGET;
        attempt_record(&p->attempt, s->index[i], &r);
    }
    if (p->attempt.nopen == 0 || p->damaged || ++s->again > SMTP_AGAIN_MAX) {
        attempt_exhausted(&p->attempt);
        s->moving = false;
        s->again = 0;
        lane_settled(lane, usable);
    }
}

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
                               .remote = span_cstr(target_of(s)->host)};

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

/* The session is over. What follows depends on who is still waiting for it. */
static void on_end(struct smtp_lane *s)
{
    struct lane *lane = &s->lane;
    struct client_end end;
    char text[400];
    bool in_order;

    client_end(s->client, &end);
    in_order = end.verdict.action == VERDICT_OK || end.verdict.action == VERDICT_DONE;
    end_text(s, &end, text, sizeof text);
    if (tls_fallback(s, &end)) {
        log_info("link.tls", "link='%s' relay=%s fallback=clear", lane->link->name, target_of(s)->host);
        drop_session(s);
        s->no_tls = true;
        connect_target(s);
        return;
    }
    if (end.failure == FAILURE_CANCELED) {
        if (lane->parcel != NULL)
            give_back(s);
        end_lane(s);
        return;
    }
    if (!in_order && (lane->parcel != NULL || !lane->was_ready)) {
        fold(s, &end.verdict, text);
        record_end(s, &end, text);
        if (lane->parcel != NULL && lane->parcel->attempt.nopen == 0) {
            lane_settled(lane, false); /* the answer was final for all of them */
            lane_failed(lane, &end.verdict, s->why);
            end_lane(s);
            return;
        }
        next_target(s);
        return;
    }
    if (lane->parcel != NULL) { /* left over: the rest of 452, or another target is wanted */
        bool move = s->moving;

        drop_session(s);
        if (move)
            next_target(s);
        else
            connect_target(s);
        return;
    }
    if (!in_order && s->session_sent > 0 && end.messages == 0) {
        fold(s, &end.verdict, text);
        lane_failed(lane, &end.verdict, s->why);
    }
    if (s->closed) {
        end_lane(s);
        return;
    }
    lane_enter(lane, LANE_QUITTING);
    s->over = true;
    conn_finish(s->conn, SMTP_CLOSE_MS);
}

static void pump(struct smtp_lane *s)
{
    for (;;) {
        write_output(s);
        if (conn_output(s->conn) >= SMTP_OUTPUT_HIGH)
            break;
        switch (client_event(s->client)) {
        case CLIENT_WAIT:
            goto wait;
        case CLIENT_START_TLS: {
            struct link *link = s->lane.link;
            struct tls_context *tls =
                link->tls == CONF_TLS_VERIFIED ? link->set->tls_verify : link->set->tls_plain;

            if (tls == NULL || conn_start_tls(s->conn, tls, false, target_of(s)->host) != ERR_OK)
                client_failed(s->client, FAILURE_TLS_FAILED);
            break;
        }
        case CLIENT_READY:
            if (!on_ready(s))
                goto wait;
            break;
        case CLIENT_BODY:
            if (!on_body(s))
                goto wait;
            break;
        case CLIENT_FINISHED:
            on_finished(s);
            break;
        case CLIENT_CLOSED:
            on_end(s);
            return;
        }
    }
wait:
    conn_set_timeout(s->conn, client_timeout_ms(s->client));
}

static void work(void *arg)
{
    struct smtp_lane *s = arg;

    if (s->lane.state == LANE_ENDED)
        return;
    if (s->client == NULL && s->closed)
        not_connected(s);
    else if (s->over && s->closed)
        end_lane(s);
    else if (s->client != NULL && !s->over)
        pump(s);
}

/* --- The link's side -------------------------------------------------------------------------------- */

static void smtp_start(struct lane *lane)
{
    struct smtp_lane *s = self_of(lane);

    s->plan = *lane->link->plan;
    targets_list(&s->plan, &lane->link->w->rng, &s->list);
    if (s->list.n == 0)
        end_lane(s);
    else
        connect_target(s);
}

static void smtp_give(struct lane *lane)
{
    struct smtp_lane *s = self_of(lane);

    s->again = 0;
    s->have_folded = false;
    arm(s);
}

static void smtp_quit(struct lane *lane)
{
    self_of(lane)->quitting = true;
    arm(self_of(lane));
}

static void smtp_abort(struct lane *lane)
{
    struct smtp_lane *s = self_of(lane);

    if (lane->state == LANE_ENDED || s->over)
        return;
    s->quitting = true;
    if (s->client != NULL && client_step(s->client) == STEP_END && lane->parcel != NULL)
        return; /* past its final dot: the answer is worth waiting for */
    if (s->client != NULL) {
        client_failed(s->client, FAILURE_CANCELED);
        arm(s);
        return;
    }
    if (lane->parcel != NULL)
        give_back(s);
    end_lane(s);
}

static void smtp_free(struct lane *lane)
{
    struct smtp_lane *s = self_of(lane);

    deferred_disarm(&s->work);
    drop_session(s);
    free(s->rcpts);
    free(s);
}

static const struct lane_ops smtp_ops = {smtp_start, smtp_give, smtp_quit, smtp_abort, smtp_free};

struct lane *smtp_lane_new(struct link *link)
{
    struct smtp_lane *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->lane.ops = &smtp_ops;
    s->lane.link = link;
    deferred_init(&s->work, work, s);
    return &s->lane;
}
