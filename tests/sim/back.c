#include "tests/sim/back.h"

#include "queue/dsn.h"
#include "queue/retry.h"
#include "tests/sim/mx.h"
#include "worker/client.h"
#include "worker/settle.h"

#include <inttypes.h>

enum { TICK_MS = 5000, CLAIM_MAX = 4, REPORT_AGAIN_MS = 60000 };

struct parcel {
    struct parcel *next;
    struct back *back;
    struct claim *claim;
    struct attempt attempt;
    char domain[32];
    size_t number; /* of the ledger; LEDGER_MESSAGES: a report */
    /* sending */
    unsigned target;
    struct client *client;
    struct wire_end wire;
    uint64_t timer, start;
    struct recipient rcpts[JOB_RCPTS_MAX];
    uint8_t index[JOB_RCPTS_MAX];
    size_t nindex;
    struct buf chunk;
    unsigned session, read_for; /* a chunk that was asked for by an earlier session is of no use */
    bool reading, sent, settle_wanted;
    /* settling */
    struct settle_input input;
    struct settlement settlement;
    bool settling;
    struct upload *upload;
    struct dsn_report report;
    struct dsn_writer writer;
    char boundary[40], message_id[64], queue_id[MSGID_TEXT_MAX];
    uint32_t piece;
    struct ledger_rcpt *returned[JOB_RCPTS_MAX]; /* once the store says so */
    size_t nreturned;
};
struct back {
    struct sim *sim;
    struct ledger *ledger;
    const struct conf_root *conf;
    struct store *store;
    struct parcel *parcels;
    uint64_t tick;
    unsigned failures; /* of links in a row, all of them alike */
    bool dead;
};

static void pump(struct parcel *p);
static void connect_target(struct parcel *p);
static void settle_parcel(struct parcel *p);

/* --- Parcels ---------------------------------------------------------------------------------------- */

static void end_session(struct parcel *p)
{
    sim_cancel(p->back->sim, p->timer);
    sim_cancel(p->back->sim, p->start);
    p->timer = p->start = 0;
    client_free(p->client);
    p->client = NULL;
    wire_close(&p->wire);
    p->sent = false;
}

static void parcel_free(struct parcel *p)
{
    struct parcel **at = &p->back->parcels;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    end_session(p);
    attempt_done(&p->attempt);
    settlement_done(&p->settlement);
    buf_done(&p->chunk);
    free(p);
}

/* What a worker has in hand when it ends: the message may have arrived without anybody knowing. */
static void excuse(struct parcel *p)
{
    if (p->number == LEDGER_MESSAGES)
        return;
    bool done = p->settling || (p->client != NULL && client_step(p->client) == STEP_END);
    for (size_t i = 0; !done && i < p->claim->job.nrcpts; i++)
        done = p->attempt.outcomes[i].tried && p->attempt.outcomes[i].verdict.action == VERDICT_DONE;
    if (done)
        p->back->ledger->messages[p->number].excused = true;
}

static void give_up(struct parcel *p)
{
    end_session(p);
    attempt_exhausted(&p->attempt);
    settle_parcel(p);
}

static void next_target(struct parcel *p)
{
    end_session(p);
    if (++p->target == MX_TARGETS)
        give_up(p);
    else
        connect_target(p);
}

/* --- Sending ---------------------------------------------------------------------------------------- */

static void on_chunk(void *arg, enum err e, struct span bytes)
{
    struct parcel *p = arg;
    if (p->back->dead)
        return;
    p->reading = false;
    if (p->settle_wanted) {
        settle_parcel(p);
        return;
    }
    if (p->client == NULL)
        return; /* between two targets */
    if (p->read_for == p->session) {
        buf_clear(&p->chunk);
        if (e != ERR_OK)
            client_failed(p->client, FAILURE_BODY_UNREADABLE);
        else if (buf_add(&p->chunk, bytes) != ERR_OK)
            sim_fail(p->back->sim, "out of memory");
        else
            (void)!client_body(p->client, buf_span(&p->chunk)); /* ERR_STATE: it has ended meanwhile */
    }
    pump(p);
}

static void read_chunk(struct parcel *p)
{
    if (p->reading)
        return;
    if (store_worker_valid(p->back->store) < FAKE_STORE_LEASE_MS / 6) {
        client_failed(p->client, FAILURE_CANCELED);
        return;
    }
    p->reading = true;
    p->read_for = p->session;
    uint32_t chunk = (uint32_t)(client_body_offset(p->client) / CHUNK_BYTES);
    SIM_MUST(p->back->sim, store_chunk(p->back->store, p->claim, chunk, on_chunk, p) == ERR_OK);
}

static void send_or_leave(struct parcel *p)
{
    if (p->attempt.nopen == 0 || p->sent) {
        client_quit(p->client);
        return;
    }
    if (store_worker_valid(p->back->store) < FAKE_STORE_LEASE_MS / 3) {
        client_failed(p->client, FAILURE_CANCELED);
        return;
    }
    p->nindex = 0;
    for (size_t i = 0; i < p->claim->job.nrcpts; i++) {
        if (!p->attempt.outcomes[i].open)
            continue;
        p->index[p->nindex] = (uint8_t)i;
        p->rcpts[p->nindex++] = p->claim->job.rcpts[i];
    }
    struct client_message m = {&p->claim->env, p->rcpts, p->nindex, p->claim->body.size_bytes, SPAN("")};
    SIM_MUST(p->back->sim, client_send(p->client, &m) == ERR_OK);
}

static void note_results(struct parcel *p)
{
    size_t n;
    const struct client_result *r = client_results(p->client, &n);
    bool again = false;
    SIM_MUST(p->back->sim, n == p->nindex);
    for (size_t i = 0; i < n; i++) {
        struct attempt_result result = {.verdict = r[i].verdict,
                                        .step = r[i].step,
                                        .failure = r[i].failure,
                                        .code = r[i].code,
                                        .text = r[i].text,
                                        .remote = SPAN("mx.sim"),
                                        .dsn_passed = r[i].dsn_passed};
        again |= r[i].verdict.action == VERDICT_AGAIN;
        attempt_record(&p->attempt, p->index[i], &result);
    }
    p->sent = !again;
}

static void session_over(struct parcel *p)
{
    struct client_end end;
    client_end(p->client, &end);
    if (p->attempt.nopen > 0 && end.verdict.action != VERDICT_OK) {
        struct attempt_result r = {.verdict = end.verdict,
                                   .step = end.step,
                                   .failure = end.failure,
                                   .code = end.code,
                                   .text = end.text};
        for (size_t i = 0; i < p->claim->job.nrcpts && end.messages == 0; i++)
            attempt_record(&p->attempt, i, &r);
    }
    if (p->attempt.nopen > 0 && end.failure != FAILURE_CANCELED)
        next_target(p);
    else
        give_up(p);
}

static void on_timeout(void *arg)
{
    struct parcel *p = arg;
    p->timer = 0;
    client_failed(p->client, FAILURE_TIMEOUT);
    pump(p);
}

static void pump(struct parcel *p)
{
    for (;;) {
        struct client_output o;
        while (client_output(p->client, &o))
            wire_send(p->wire, o.bytes);
        switch (client_event(p->client)) {
        case CLIENT_WAIT:
        case CLIENT_START_TLS: {
            ms_t after_ms = client_timeout_ms(p->client);
            sim_cancel(p->back->sim, p->timer);
            p->timer = after_ms > 0 ? sim_after(p->back->sim, after_ms, on_timeout, p) : 0;
            return;
        }
        case CLIENT_READY:
            send_or_leave(p);
            break;
        case CLIENT_BODY:
            read_chunk(p);
            if (p->reading)
                return;
            break;
        case CLIENT_FINISHED:
            note_results(p);
            break;
        case CLIENT_CLOSED:
            session_over(p);
            return;
        }
    }
}

static void on_received(void *arg, struct span bytes)
{
    struct parcel *p = arg;
    client_received(p->client, bytes);
    pump(p);
}
static void on_closed(void *arg)
{
    struct parcel *p = arg;
    client_failed(p->client, FAILURE_LOST);
    pump(p);
}
static const struct wire_ops parcel_ops = {on_received, on_closed};

static void refused(void *arg)
{
    struct parcel *p = arg;
    struct verdict_input in = {.step = STEP_CONNECT, .failure = FAILURE_REFUSED, .enhanced = ""};
    struct attempt_result r = {.verdict = verdict_of(&in), .step = STEP_CONNECT, .failure = FAILURE_REFUSED};
    p->start = 0;
    attempt_record_all(&p->attempt, &r);
    next_target(p);
}

static void connect_target(struct parcel *p)
{
    struct back *b = p->back;
    struct span domain = span_cstr(p->domain);
    if (!mx_up(b->sim, domain)) {
        p->start = sim_after(b->sim, 50, refused, p);
        return;
    }
    struct client_conf conf = {
        .hostname = SPAN("worker.sim"), .lmtp = mx_lmtp(domain), .timeouts = &b->conf->delivery.timeouts};
    p->session++;
    p->client = client_new(&conf);
    SIM_MUST(b->sim, p->client != NULL);
    struct wire *w = wire_new(b->sim);
    p->wire = wire_attach(w, 0, &parcel_ops, p);
    mx_serve(b->sim, b->ledger, w, 1, domain);
    pump(p);
}

/* --- Settling --------------------------------------------------------------------------------------- */

static void note_returned(struct parcel *p)
{
    bool kept = p->settlement.verb == FINISH_BADMAIL || p->claim->env.sender.len == 0;
    p->nreturned = 0;
    for (size_t i = 0; i < p->claim->job.nrcpts && p->number < LEDGER_MESSAGES && !kept; i++) {
        struct span address = p->claim->job.rcpts[i].address;
        bool waits = false;
        for (size_t k = 0; k < p->settlement.job.nrcpts && p->settlement.verb == FINISH_RETRY; k++)
            waits |= span_eq(p->settlement.job.rcpts[k].address, address);
        struct ledger_rcpt *r = ledger_rcpt(p->back->ledger, p->number, address);
        SIM_MUST(p->back->sim, r != NULL);
        if (!waits && p->attempt.outcomes[i].verdict.action != VERDICT_DONE)
            p->returned[p->nreturned++] = r;
    }
}

static void on_finished(void *arg, enum err e)
{
    struct parcel *p = arg;
    if (p->back->dead)
        return;
    if (e != ERR_OK)
        excuse(p); /* somebody else has it, or will have */
    for (size_t i = 0; i < p->nreturned && e == ERR_OK; i++)
        p->returned[i]->returned++;
    parcel_free(p);
}

static void finish(struct parcel *p, struct upload *report)
{
    struct envelope env;
    struct recipient to = {.address = p->claim->env.sender, .notify = NOTIFY_NEVER};
    struct job job = {.domain = SPAN("sender.sim"),
                      .first_ms = p->input.now_ms,
                      .next_ms = p->input.now_ms,
                      .rcpts = &to,
                      .nrcpts = 1};
    struct commit_job commit = {.job = &job};
    if (report != NULL)
        dsn_envelope(&p->report, &env);
    struct finish f = {.claim = p->claim,
                       .verb = p->settlement.verb,
                       .job = &p->settlement.job,
                       .delay_ms = p->settlement.delay_ms,
                       .problem = p->settlement.problem,
                       .reason = p->settlement.reason,
                       .event = span_cstr(p->settlement.event),
                       .delivered = p->settlement.delivered,
                       .bounced = p->settlement.bounced,
                       .report = report,
                       .report_env = &env,
                       .report_jobs = &commit,
                       .nreport_jobs = 1};
    note_returned(p);
    SIM_MUST(p->back->sim, store_finish(p->back->store, &f, on_finished, p) == ERR_OK);
    p->claim = NULL; /* the store's */
}

static void without_report(struct parcel *p)
{
    upload_abort(p->upload);
    p->upload = NULL;
    settle_without_report(&p->input, &p->settlement, REPORT_AGAIN_MS);
    finish(p, NULL);
}

static bool put(struct parcel *p, struct span s)
{
    size_t taken = 0;
    enum err e = s.len > 0 ? upload_write(p->upload, s, &taken) : ERR_OK;
    SIM_MUST(p->back->sim, e != ERR_AGAIN);
    return e == ERR_OK;
}

static void on_original(void *arg, enum err e, struct span bytes);
static void read_original(struct parcel *p)
{
    enum err e = store_chunk(p->back->store, p->claim, p->piece++, on_original, p);
    SIM_MUST(p->back->sim, e == ERR_OK);
}

static void on_original(void *arg, enum err e, struct span bytes)
{
    struct parcel *p = arg;
    bool more = false;
    if (p->back->dead)
        return;
    if (e != ERR_OK || !put(p, dsn_original(&p->writer, bytes, &more))) {
        without_report(p);
        return;
    }
    if (more && p->piece < p->claim->body.chunks) {
        read_original(p);
        return;
    }
    struct buf tail;
    buf_init(&tail, 256);
    SIM_MUST(p->back->sim, dsn_end(&p->writer, &tail) == ERR_OK);
    bool written = put(p, buf_span(&tail));
    buf_done(&tail);
    struct upload *u = p->upload;
    if (!written) {
        without_report(p);
        return;
    }
    p->upload = NULL;
    finish(p, u);
}

static void never_waits(void *arg)
{
    struct parcel *p = arg;
    sim_fail(p->back->sim, "an upload without a window waited");
}

static void report(struct parcel *p)
{
    struct back *b = p->back;
    p->upload = store_upload(b->store, &p->claim->id, never_waits, p);
    SIM_MUST(b->sim, p->upload != NULL);
    msgid_text(&p->claim->id, p->queue_id);
    snprintf(p->boundary, sizeof(p->boundary), "%016" PRIx64 "%016" PRIx64, rng_next(&b->sim->rng),
             rng_next(&b->sim->rng));
    snprintf(p->message_id, sizeof(p->message_id), "%s@worker.sim", upload_id(p->upload)->id);
    p->report = (struct dsn_report){.env = &p->claim->env,
                                    .rcpts = p->settlement.dsn,
                                    .nrcpts = p->settlement.ndsn,
                                    .reporting_mta = SPAN("worker.sim"),
                                    .from = SPAN("postmaster@worker.sim"),
                                    .boundary = span_cstr(p->boundary),
                                    .queue_id = span_cstr(p->queue_id),
                                    .message_id = span_cstr(p->message_id),
                                    .now_ms = p->input.now_ms,
                                    .original_bytes = p->claim->body.size_bytes,
                                    .max_bytes = b->conf->delivery.dsn.max_size};
    struct buf head;
    buf_init(&head, DSN_BEGIN_MAX);
    SIM_MUST(b->sim, dsn_begin(&p->writer, &p->report, &head) == ERR_OK);
    bool written = put(p, buf_span(&head));
    buf_done(&head);
    if (written)
        read_original(p);
    else
        without_report(p);
}

static void settle_parcel(struct parcel *p)
{
    struct back *b = p->back;
    bool link_failed = false;
    if (p->reading) {
        p->settle_wanted = true; /* the claim is needed until the store has answered */
        return;
    }
    for (size_t i = 0; i < p->claim->job.nrcpts; i++)
        link_failed |= p->attempt.outcomes[i].tried && p->attempt.outcomes[i].verdict.scope == VERDICT_LINK;
    b->failures = link_failed ? b->failures + 1 : 0;
    p->input = (struct settle_input){.attempt = &p->attempt,
                                     .retry = &b->conf->delivery.retry,
                                     .local = mx_lmtp(span_cstr(p->domain)),
                                     .link_delay_ms =
                                         retry_delay(&b->conf->delivery.retry, b->failures, &b->sim->rng),
                                     .link_error = SPAN(""),
                                     .now_ms = clock_wall(&b->sim->clock.clock)};
    SIM_MUST(b->sim, settle(&p->input, &b->sim->rng, &p->settlement) == ERR_OK);
    if (p->settlement.untouched) {
        SIM_MUST(b->sim, store_release(b->store, p->claim, p->settlement.delay_ms) == ERR_OK);
        p->claim = NULL;
        parcel_free(p);
        return;
    }
    p->settling = true;
    if (p->settlement.ndsn > 0)
        report(p);
    else
        finish(p, NULL);
}

/* --- Claiming --------------------------------------------------------------------------------------- */

static size_t number_of(const struct claim *c)
{
    struct span kind, number, rest;
    uint64_t n;
    (void)span_cut(c->job.rcpts[0].address, '-', &kind, &rest);
    (void)span_cut(rest, '-', &number, &rest);
    return !c->env.system && span_to_u64(number, LEDGER_MESSAGES - 1, &n) ? (size_t)n : LEDGER_MESSAGES;
}

static void take(struct back *b, struct claim *c)
{
    struct parcel *p = calloc(1, sizeof(*p));
    SIM_MUST(b->sim, p != NULL);
    *p = (struct parcel){.next = b->parcels, .back = b, .claim = c, .number = number_of(c)};
    b->parcels = p;
    buf_init(&p->chunk, SIZE_MAX / 2);
    snprintf(p->domain, sizeof(p->domain), SPAN_FMT, SPAN_ARG(c->job.domain));
    SIM_MUST(b->sim, attempt_init(&p->attempt, c) == ERR_OK);
    connect_target(p);
}

static void on_claimed(void *arg, enum err e, struct claim *const *claims, size_t n)
{
    struct back *b = arg;
    for (size_t i = 0; i < n && e == ERR_OK && !b->dead; i++)
        take(b, claims[i]);
}

struct look { /* at one partition */
    struct back *back;
    unsigned partition;
};

static void on_discovered(void *arg, enum err e, const struct dmq *list, size_t n)
{
    struct look *look = arg;
    struct back *b = look->back;
    for (size_t i = 0; i < n && e == ERR_OK && !b->dead; i++)
        SIM_MUST(b->sim, store_claim(b->store, look->partition, list[i].domain, list[i].klass, CLAIM_MAX,
                                     on_claimed, b) == ERR_OK);
    free(look);
}

static void on_reaped(void *arg, enum err e, uint64_t n)
{
    (void)arg, (void)e, (void)n;
}

static void tick(void *arg)
{
    struct back *b = arg;
    for (unsigned i = 0; i < store_partitions(b->store) && store_worker_valid(b->store) > 0; i++) {
        struct look *look = malloc(sizeof(*look));
        SIM_MUST(b->sim, look != NULL);
        *look = (struct look){b, i};
        SIM_MUST(b->sim, store_discover(b->store, i, 0, 8, on_discovered, look) == ERR_OK);
        SIM_MUST(b->sim, store_reap(b->store, i, on_reaped, b) == ERR_OK);
    }
    b->tick = sim_after(b->sim, TICK_MS, tick, b);
}

static void on_expired(void *arg)
{
    struct back *b = arg;
    struct parcel *next;
    for (struct parcel *p = b->parcels; p != NULL; p = next) {
        next = p->next;
        if (p->settling || (p->client != NULL && client_step(p->client) == STEP_END) || p->settle_wanted)
            continue; /* what is past its final dot ends by itself; its finish will be stale */
        excuse(p);
        if (p->client == NULL) {
            give_up(p);
            continue;
        }
        client_failed(p->client, FAILURE_CANCELED);
        pump(p);
    }
}

struct back *back_new(struct sim *s, struct ledger *l, const struct conf_root *conf)
{
    struct back *b = calloc(1, sizeof(*b));
    static const struct worker_info info = {"worker", "host", "0"};
    SIM_MUST(s, b != NULL);
    *b = (struct back){.sim = s, .ledger = l, .conf = conf, .store = fake_store_open(s->db)};
    SIM_MUST(s, store_worker_open(b->store, &info, on_expired, b) == ERR_OK);
    b->tick = sim_after(s, sim_pick(s, 1, TICK_MS), tick, b);
    return b;
}

void back_freeze(struct back *b, bool frozen)
{
    fake_store_freeze(b->store, frozen);
}

void back_kill(struct back *b)
{
    for (struct parcel *p = b->parcels; p != NULL; p = p->next)
        excuse(p);
    b->dead = true;
    sim_cancel(b->sim, b->tick);
    store_free(b->store); /* calls back what is pending */
    while (b->parcels != NULL)
        parcel_free(b->parcels);
    free(b);
}
