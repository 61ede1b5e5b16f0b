/* worker/smtp_lane.c — a lane that speaks SMTP or LMTP: moves bytes between worker/client.h and a
 * connection.
 *
 * Every callback only notes what happened and arms `work`; work() runs at the end of the turn, asks the
 * client what to do until it has to wait, and is the only place where connection and client are replaced. */
#include "worker/smtp_lane.h"

#include "common/log.h"

enum { SMTP_OUTPUT_HIGH = 131072, SMTP_AGAIN_MAX = JOB_RCPTS_MAX };

static struct smtp_lane *self_of(struct lane *lane)
{
    return (struct smtp_lane *)lane;
}

static void arm(struct smtp_lane *s)
{
    deferred_arm(s->lane.link->w->loop, &s->work);
}

const struct target *smtp_target(const struct smtp_lane *s)
{
    return &s->list.items[s->search.at];
}

void smtp_target_text(const struct smtp_lane *s, char *out, size_t size)
{
    const struct target *t = smtp_target(s);
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
        .configured = link->spec.kind != TARGETS_DNS,
        .fell_back = s->no_tls,
        .self = link->spec.self,
        .nself = link->spec.nself,
        .tls = s->no_tls ? CONF_TLS_NONE : link->tls,
        .no_chunking = targets_is_data_only(&s->plan, smtp_target(s)),
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

void smtp_drop_session(struct smtp_lane *s)
{
    body_piece_free(s->piece);
    s->piece = NULL;
    conn_free(s->conn);
    s->conn = NULL;
    client_free(s->client);
    s->client = NULL;
    s->closed = s->over = s->moving = s->greeted = false;
    s->progress = s->stage = 0;
    s->session_sent = 0;
    s->lost = FAILURE_NONE;
    s->lost_why[0] = '\0';
}

void smtp_connect_target(struct smtp_lane *s)
{
    struct link *link = s->lane.link;
    const struct target *t = smtp_target(s);
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

/* To another routing group: which groups the message has left, this one now among them. Of more than can be
 * told the first ones are: the hop limit ends that journey soon. */
static enum err write_visited(struct smtp_lane *s, const struct envelope *env)
{
    const struct link *link = s->lane.link;
    const struct conf_routing_group *own = &link->set->root->routing_group;
    struct trace trace = {.n = 0};

    buf_clear(&s->visited);
    if (link->connector == NULL || link->connector->type != CONF_CONNECTOR_ROUTING_GROUP)
        return ERR_OK;
    if (trace_parse(env->visited, &trace) != ERR_OK)
        trace.n = 0;
    (void)!trace_leave(&trace, span_cstr(own->name), route_generation(link->w->set->routes));
    return trace_emit(&trace, &s->visited);
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
    e = write_visited(s, &p->claim->env);
    m.visited = buf_span(&s->visited);
    if (e == ERR_OK)
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
    if (!s->greeted)
        smtp_tell(s, true, "");
    s->greeted = true;
    if (lane->parcel != NULL && !lane_may_send(lane))
        smtp_give_back(s);
    if (s->moving || s->quitting || (lane->messages > 0 && lane->messages >= lane->messages_limit)) {
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
        smtp_give_back(s);
        return true;
    }
    metric_inc(&lane->link->w->m.transactions);
    smtp_target_text(s, lane->parcel->relay, sizeof lane->parcel->relay);
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
                                   .remote = span_cstr(smtp_target(s)->host),
                                   .dsn_passed = results[i].dsn_passed};

        usable = usable || (r.failure == FAILURE_NONE && r.verdict.scope != VERDICT_LINK);
        s->moving = s->moving || r.verdict.action == VERDICT_NEXT_TARGET;
        attempt_record(&p->attempt, s->index[i], &r);
    }
    if (p->attempt.nopen == 0 || p->damaged || ++s->again > SMTP_AGAIN_MAX) {
        attempt_stopped(&p->attempt);
        s->moving = false;
        s->again = 0;
        lane_settled(lane, usable);
    }
}

/* A reply has its time as a whole: one that comes octet by octet is no excuse. So has a transaction. */
static void set_timeout(struct smtp_lane *s)
{
    uint64_t progress = client_progress(s->client);
    ms_t now_ms = loop_now(s->lane.link->w->loop), limit_ms, wait_ms = client_timeout_ms(s->client);
    uint64_t stage = client_stage(s->client, &limit_ms);

    if (progress == s->progress)
        return;
    s->progress = progress;
    if (stage != s->stage)
        s->stage_ms = now_ms;
    s->stage = stage;
    if (stage != 0 && now_ms >= s->stage_ms + limit_ms) {
        client_failed(s->client, FAILURE_TIMEOUT);
        arm(s);
        return;
    }
    if (stage != 0 && now_ms + wait_ms > s->stage_ms + limit_ms)
        wait_ms = s->stage_ms + limit_ms - now_ms;
    conn_set_timeout(s->conn, wait_ms);
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

            if (tls == NULL || conn_start_tls(s->conn, tls, false, smtp_target(s)->host) != ERR_OK)
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
            smtp_ended(s);
            return;
        }
    }
wait:
    set_timeout(s);
}

static void work(void *arg)
{
    struct smtp_lane *s = arg;

    if (s->lane.state == LANE_ENDED)
        return;
    if (s->client == NULL && s->closed)
        smtp_not_connected(s);
    else if (s->over && s->closed)
        smtp_end_lane(s);
    else if (s->client != NULL && !s->over)
        pump(s);
}

/* --- The link's side -------------------------------------------------------------------------------- */

static void smtp_start(struct lane *lane)
{
    struct smtp_lane *s = self_of(lane);

    s->plan = *lane->link->plan;
    targets_list(&s->plan, &lane->link->w->rng, &s->list);
    targets_search_begin(&s->search, loop_now(lane->link->w->loop));
    if (s->list.n == 0)
        smtp_end_lane(s);
    else
        smtp_connect_target(s);
}

static void smtp_give(struct lane *lane)
{
    struct smtp_lane *s = self_of(lane);

    s->again = 0;
    s->have_folded = false;
    targets_search_begin(&s->search, loop_now(lane->link->w->loop));
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

    if (lane->state == LANE_ENDED || (s->over && lane->slot))
        return;
    s->quitting = true;
    if (s->over) {
        smtp_end_lane(s);
        return;
    }
    if (s->client != NULL && client_step(s->client) == STEP_END && lane->parcel != NULL && lane->slot)
        return; /* past its final dot: the answer is worth waiting for */
    if (s->client != NULL) {
        client_failed(s->client, FAILURE_CANCELED);
        arm(s);
        return;
    }
    if (lane->parcel != NULL)
        smtp_give_back(s);
    smtp_end_lane(s);
}

static void smtp_free(struct lane *lane)
{
    struct smtp_lane *s = self_of(lane);

    deferred_disarm(&s->work);
    smtp_drop_session(s);
    free(s->rcpts);
    buf_done(&s->visited);
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
    buf_init(&s->visited, TRACE_TEXT_MAX);
    deferred_init(&s->work, work, s);
    return &s->lane;
}
