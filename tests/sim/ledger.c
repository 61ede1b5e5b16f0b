#include "tests/sim/ledger.h"

#include "common/crc32c.h"

/* --- Messages --------------------------------------------------------------------------------------- */

/* What the local part says is what the scripted servers do (mx.c). */
static void invent_rcpt(struct ledger *l, struct ledger_rcpt *r, size_t message, size_t i)
{
    static const char *const kinds[] = {"ok", "ok", "ok", "no", "wait"};
    static const char *const domains[] = {"a.sim", "b.sim", "c.sim", "local.sim", "dead.sim"};
    static const uint8_t notify[] = {0,
                                     0,
                                     0,
                                     NOTIFY_NEVER,
                                     NOTIFY_SUCCESS | NOTIFY_FAILURE,
                                     NOTIFY_FAILURE,
                                     NOTIFY_DELAY,
                                     NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY};
    size_t domain = rng_below(&l->sim->rng, sim_chance(l->sim, 100) ? 5 : 4);
    snprintf(r->address, sizeof(r->address), "%s-%zu-%zu@%s",
             kinds[rng_below(&l->sim->rng, ARRAY_LEN(kinds))], message, i, domains[domain]);
    r->notify = notify[rng_below(&l->sim->rng, ARRAY_LEN(notify))];
}

size_t ledger_invent(struct ledger *l)
{
    size_t number = l->count++;
    SIM_MUST(l->sim, number < LEDGER_MESSAGES);
    struct ledger_message *m = &l->messages[number];
    *m = (struct ledger_message){.null_sender = sim_chance(l->sim, 100)};
    if (!m->null_sender)
        snprintf(m->sender, sizeof(m->sender), "s%u@sender.sim", (unsigned)sim_pick(l->sim, 0, 3));
    m->size = sim_chance(l->sim, 60) ? sim_pick(l->sim, 90000, 160000) : sim_pick(l->sim, 100, 3000);
    m->nrcpts = sim_pick(l->sim, 1, LEDGER_RCPTS);
    for (size_t i = 0; i < m->nrcpts; i++)
        invent_rcpt(l, &m->rcpts[i], number, i);
    return number;
}

void ledger_text(const struct ledger *l, size_t number, struct buf *out)
{
    static const char *const lines[] = {
        "", ".", "..", "...", ".x", "From here", "a line of words that goes on", "end."};
    const struct ledger_message *m = &l->messages[number];
    struct rng rng;
    size_t begin = out->len;
    rng_seed(&rng, number);
    SIM_MUST(l->sim, buf_addf(out, "X-Sim: %zu\r\nSubject: number %zu\r\n\r\n", number, number) == ERR_OK);
    while (out->len - begin < m->size)
        SIM_MUST(l->sim, buf_addf(out, "%s\r\n", lines[rng_below(&rng, ARRAY_LEN(lines))]) == ERR_OK);
}

bool ledger_number(struct span text, size_t *ret_number, size_t *ret_at)
{
    struct span line, rest = text, digits, tail;
    uint64_t number;
    while (rest.len > 0) {
        size_t at = text.len - rest.len;
        (void)span_cut(rest, '\n', &line, &rest);
        if (!span_has_prefix(line, SPAN("X-Sim: ")))
            continue;
        (void)span_cut(span_from(line, 7), '\r', &digits, &tail);
        if (!span_to_u64(digits, LEDGER_MESSAGES - 1, &number))
            return false;
        *ret_number = number;
        *ret_at = at;
        return true;
    }
    return false;
}

struct ledger_rcpt *ledger_rcpt(struct ledger *l, size_t number, struct span address)
{
    struct ledger_message *m = &l->messages[number];
    for (size_t i = 0; number < l->count && i < m->nrcpts; i++) {
        if (span_eq(address, span_cstr(m->rcpts[i].address)))
            return &m->rcpts[i];
    }
    return NULL;
}

/* --- Arrivals --------------------------------------------------------------------------------------- */

static struct ledger_rcpt *known(struct ledger *l, size_t number, struct span address)
{
    struct ledger_rcpt *r = ledger_rcpt(l, number, address);
    if (r == NULL)
        sim_fail(l->sim, "message %zu speaks of '" SPAN_FMT "', who is not its recipient", number,
                 SPAN_ARG(address));
    return r;
}

/* A report can arrive twice for the same reasons as any message (L2); it counts once. */
static bool report_is_new(struct ledger *l, struct span text)
{
    struct span line = SPAN(""), rest = text;
    while (rest.len > 0 && !span_has_prefix(line, SPAN("Message-ID: ")))
        (void)span_cut(rest, '\n', &line, &rest);
    uint32_t sum = crc32c(0, line);
    for (size_t i = 0; i < l->nreports; i++) {
        if (l->reports[i] == sum)
            return false;
    }
    SIM_MUST(l->sim, l->nreports < LEDGER_REPORTS);
    l->reports[l->nreports++] = sum;
    return true;
}

static void read_report(struct ledger *l, struct span text)
{
    size_t number, at;
    struct span line, rest = text, address = SPAN("");
    if (!ledger_number(text, &number, &at))
        sim_fail(l->sim, "a report without the headers of its message:\n" SPAN_FMT, SPAN_ARG(text));
    SIM_MUST(l->sim, number < l->count && !l->messages[number].null_sender);
    while (rest.len > 0) {
        (void)span_cut(rest, '\n', &line, &rest);
        line = span_first(line, line.len > 0 ? line.len - 1 : 0);
        if (span_has_prefix(line, SPAN("Final-Recipient: rfc822; ")))
            address = span_from(line, 25);
        if (!span_has_prefix(line, SPAN("Action: ")))
            continue;
        struct ledger_rcpt *r = known(l, number, address);
        struct span action = span_from(line, 8);
        r->told += span_eq(action, SPAN("failed"));
        r->delayed += span_eq(action, SPAN("delayed"));
        r->success += span_eq(action, SPAN("relayed")) || span_eq(action, SPAN("delivered"));
    }
}

static void check_text(struct ledger *l, size_t number, struct span got)
{
    struct buf want;
    buf_init(&want, SIZE_MAX / 2);
    ledger_text(l, number, &want);
    if (!span_eq(got, buf_span(&want)))
        sim_fail(l->sim, "message %zu arrived with %zu octets instead of %zu, or changed", number, got.len,
                 want.len); /* L3 */
    buf_done(&want);
}

void ledger_arrived(struct ledger *l, struct span text, const struct buf *rcpts, size_t nrcpts)
{
    size_t number, at;
    SIM_MUST(l->sim, nrcpts > 0);
    bool report = span_has_isuffix(buf_span(&rcpts[0]), SPAN("@sender.sim"));
    if (report) {
        if (report_is_new(l, text))
            read_report(l, text);
        return;
    }
    if (!ledger_number(text, &number, &at))
        sim_fail(l->sim, "a message that nobody sent arrived");
    check_text(l, number, span_from(text, at));
    for (size_t i = 0; i < nrcpts; i++)
        known(l, number, buf_span(&rcpts[i]))->delivered++;
}

/* --- The end ---------------------------------------------------------------------------------------- */

static void look_into_queue(struct ledger *l)
{
    struct fake_job_view view;
    for (size_t i = 0; fake_store_job(l->sim->db, i, &view); i++) {
        struct job job;
        struct envelope env;
        size_t number, at;
        SIM_MUST(l->sim, job_decode(view.blob, &job) == ERR_OK);
        SIM_MUST(l->sim, envelope_decode(view.env, &env) == ERR_OK);
        for (size_t k = 0; k < job.nrcpts && !env.system && ledger_number(view.body, &number, &at); k++) {
            struct ledger_rcpt *r = known(l, number, job.rcpts[k].address);
            r->queued |= view.state != FAKE_JOB_BADMAIL;
            r->badmail |= view.state == FAKE_JOB_BADMAIL;
        }
        job_done(&job);
    }
}

static void check_rcpt(struct ledger *l, size_t number, const struct ledger_rcpt *r)
{
    const struct ledger_message *m = &l->messages[number];
    const char *failed = NULL;
    bool wants_failure = r->notify == 0 || (r->notify & NOTIFY_FAILURE) != 0;
    if (r->acknowledged && r->delivered == 0 && r->returned == 0 && !r->badmail && !r->queued)
        failed = "L1: lost";
    else if (r->delivered > 1 && !m->excused)
        failed = "L2: delivered twice";
    else if (r->returned > 0 && !m->null_sender && wants_failure && r->told == 0 && !r->badmail)
        failed = "L4: returned and nobody told";
    else if (r->told > 0 && !wants_failure)
        failed = "L4: told without being asked";
    else if (r->success > 0 && (r->notify & NOTIFY_SUCCESS) == 0)
        failed = "L4: told of success without being asked";
    else if (r->delayed > 1 && !m->excused)
        failed = "L4: told of a delay twice";
    else if (r->queued)
        failed = "still queued after everything has calmed down";
    if (failed != NULL)
        sim_fail(l->sim,
                 "message %zu to %s: %s (acknowledged %d, delivered %u, returned %u, told %u, badmail %d)",
                 number, r->address, failed, r->acknowledged, r->delivered, r->returned, r->told, r->badmail);
}

void ledger_check(struct ledger *l)
{
    look_into_queue(l);
    for (size_t i = 0; i < l->count; i++) {
        for (size_t k = 0; k < l->messages[i].nrcpts; k++)
            check_rcpt(l, i, &l->messages[i].rcpts[k]);
    }
}

void ledger_print(const struct ledger *l)
{
    unsigned acknowledged = 0, delivered = 0, twice = 0, returned = 0, told = 0, badmail = 0, delayed = 0;
    for (size_t i = 0; i < l->count; i++) {
        for (size_t k = 0; k < l->messages[i].nrcpts; k++) {
            const struct ledger_rcpt *r = &l->messages[i].rcpts[k];
            acknowledged += r->acknowledged;
            delivered += r->delivered > 0;
            twice += r->delivered > 1;
            returned += r->returned > 0;
            told += r->told > 0;
            badmail += r->badmail;
            delayed += r->delayed > 0;
        }
    }
    printf(
        "messages %zu, recipients acknowledged %u, delivered %u (more than once %u), returned %u, told %u, "
        "told of a delay %u, badmail %u\n",
        l->count, acknowledged, delivered, twice, returned, told, delayed, badmail);
}
