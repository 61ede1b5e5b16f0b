#include "tests/sim/mx.h"

enum { MX_RCPTS = 8 };

enum fault {
    FAULT_NONE,
    FAULT_DROP,             /* the connection, instead of answering */
    FAULT_SILENCE,          /* from then on */
    FAULT_421,              /* and the connection */
    FAULT_GARBAGE,          /* instead of a reply */
    FAULT_4XX,              /* as the reply */
    FAULT_5XX,              /* as the reply */
    FAULT_TOO_MANY,         /* 452 to every recipient but the first */
    FAULT_TAKE_AND_DROP,    /* the message is taken, the reply is lost */
    FAULT_TAKE_AND_SILENCE, /* the same, slower */
    FAULT__COUNT
};
enum mode { MODE_COMMAND, MODE_DATA, MODE_CHUNK };

struct mx {
    struct sim *sim;
    struct ledger *ledger;
    struct wire_end wire;
    struct buf domain, in, body;
    struct buf rcpts[MX_RCPTS];
    size_t nrcpts;
    bool lmtp, mail, silent;
    bool garbled; /* the client cannot trust what it hears any more */
    enum mode mode;
    uint64_t chunk_left;
    bool chunk_last, chunk_refused;
    enum fault fault;
    unsigned fault_at, commands; /* the command that meets it */
};

static const struct server {
    const char *domain, *extensions;
    bool lmtp, steady;
} servers[] = {
    {"a.sim", "PIPELINING SIZE CHUNKING 8BITMIME ENHANCEDSTATUSCODES DSN", false, false},
    {"b.sim", "PIPELINING", false, false},
    {"c.sim", "CHUNKING", false, false},
    {"local.sim", "PIPELINING", true, false},
    {"sender.sim", "PIPELINING SIZE", false, true},
    {"dead.sim", "", false, false},
};

static const struct server *server_of(struct span domain)
{
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        if (span_eq(domain, span_cstr(servers[i].domain)))
            return &servers[i];
    }
    return &servers[0];
}

bool mx_up(struct sim *s, struct span domain)
{
    const struct server *server = server_of(domain);
    if (strcmp(server->domain, "dead.sim") == 0)
        return false;
    return server->steady || !sim_fault(s, 150);
}

bool mx_lmtp(struct span domain)
{
    return server_of(domain)->lmtp;
}

/* --- Session ---------------------------------------------------------------------------------------- */

static void mx_free(struct mx *m)
{
    wire_close(&m->wire);
    buf_done(&m->domain);
    buf_done(&m->in);
    buf_done(&m->body);
    for (size_t i = 0; i < MX_RCPTS; i++)
        buf_done(&m->rcpts[i]);
    free(m);
}

static void say(struct mx *m, const char *reply)
{
    if (!m->silent) {
        wire_send(m->wire, span_cstr(reply));
        wire_send(m->wire, SPAN("\r\n"));
    }
}

/* What this command meets; each fault happens once a session. */
static enum fault fault_here(struct mx *m)
{
    if (m->commands++ != m->fault_at || m->sim->calm)
        return FAULT_NONE;
    return m->fault;
}

/* true: the fault has answered in place of the server. */
static bool met_fault(struct mx *m, enum fault f)
{
    static const char *const words[FAULT__COUNT] = {[FAULT_421] = "421 4.3.2 going down",
                                                    [FAULT_GARBAGE] = "??? !!!",
                                                    [FAULT_4XX] = "451 4.3.0 not now",
                                                    [FAULT_5XX] = "554 5.3.0 never"};
    if (words[f] != NULL)
        say(m, words[f]);
    m->garbled |= f == FAULT_GARBAGE;
    if (f == FAULT_SILENCE)
        m->silent = true;
    if (f == FAULT_DROP || f == FAULT_421)
        wire_close(&m->wire);
    return words[f] != NULL || f == FAULT_SILENCE || f == FAULT_DROP;
}

static void reset(struct mx *m)
{
    m->mail = false;
    m->nrcpts = 0;
    m->chunk_refused = false;
    buf_clear(&m->body);
}

/* --- Commands --------------------------------------------------------------------------------------- */

static void greet_back(struct mx *m, struct span line)
{
    struct span words = span_cstr(server_of(buf_span(&m->domain))->extensions), word;
    bool lhlo = span_has_iprefix(line, SPAN("LHLO"));
    if (lhlo != m->lmtp) {
        say(m, "500 5.5.1 what");
        return;
    }
    say(m, "250-mx.sim");
    while (words.len > 0) {
        char text[64];
        (void)span_cut(words, ' ', &word, &words);
        snprintf(text, sizeof(text), "250-" SPAN_FMT, SPAN_ARG(word));
        say(m, text);
    }
    say(m, "250 HELP");
}

static struct span path_of(struct span line)
{
    size_t from, to;
    if (!span_find(line, '<', &from) || !span_find(line, '>', &to) || to < from)
        return SPAN("");
    return span_first(span_from(line, from + 1), to - from - 1);
}

static void take_rcpt(struct mx *m, struct span line, enum fault f)
{
    struct span address = path_of(line);
    if (!m->mail)
        say(m, "503 5.5.1 MAIL first");
    else if (span_has_prefix(address, SPAN("no-")))
        say(m, "550 5.1.1 no such user");
    else if (span_has_prefix(address, SPAN("wait-")) && !m->sim->calm)
        say(m, "450 4.2.0 later");
    else if (m->nrcpts == MX_RCPTS || (f == FAULT_TOO_MANY && m->nrcpts > 0))
        say(m, "452 4.5.3 too many recipients");
    else {
        buf_clear(&m->rcpts[m->nrcpts]);
        SIM_MUST(m->sim, buf_add(&m->rcpts[m->nrcpts++], address) == ERR_OK);
        say(m, "250 2.1.5 fine");
    }
}

static void take_bdat(struct mx *m, struct span line)
{
    struct span size, rest;
    (void)span_cut(span_from(line, 5), ' ', &size, &rest);
    SIM_MUST(m->sim, span_to_u64(size, 1 << 20, &m->chunk_left));
    m->chunk_last = span_ieq(rest, SPAN("LAST"));
    m->mode = MODE_CHUNK;
}

static void command(struct mx *m, struct span line)
{
    bool bdat = span_has_iprefix(line, SPAN("BDAT"));
    enum fault f = bdat ? FAULT_NONE : fault_here(m); /* a chunk is always read to its end */
    if (met_fault(m, f))
        return;
    if (span_has_iprefix(line, SPAN("EHLO")) || span_has_iprefix(line, SPAN("LHLO")))
        greet_back(m, line);
    else if (span_has_iprefix(line, SPAN("HELO")))
        say(m, m->lmtp ? "500 5.5.1 LHLO" : "250 mx.sim");
    else if (span_has_iprefix(line, SPAN("MAIL FROM:<"))) {
        reset(m);
        m->mail = true;
        say(m, "250 2.1.0 fine");
    } else if (span_has_iprefix(line, SPAN("RCPT TO:<")))
        take_rcpt(m, line, f != FAULT_NONE ? f : m->sim->calm ? FAULT_NONE : m->fault);
    else if (span_ieq(line, SPAN("DATA"))) {
        m->mode = m->nrcpts > 0 ? MODE_DATA : MODE_COMMAND;
        say(m, m->nrcpts > 0 ? "354 go" : "554 5.5.1 no valid recipients");
    } else if (bdat)
        take_bdat(m, line);
    else if (span_ieq(line, SPAN("RSET"))) {
        reset(m);
        say(m, "250 2.0.0 forgotten");
    } else if (span_ieq(line, SPAN("QUIT"))) {
        say(m, "221 2.0.0 bye");
        wire_close(&m->wire);
    } else
        sim_fail(m->sim, "the client says '" SPAN_FMT "'", SPAN_ARG(line));
}

/* --- Body ------------------------------------------------------------------------------------------- */

static void excuse(struct mx *m)
{
    size_t number, at;
    if (ledger_number(buf_span(&m->body), &number, &at))
        m->ledger->messages[number].excused = true;
}

static void end_of_data(struct mx *m)
{
    enum fault f = fault_here(m);
    bool lost = f == FAULT_TAKE_AND_DROP || f == FAULT_TAKE_AND_SILENCE;
    if (!met_fault(m, f)) {
        if (lost || m->garbled)
            excuse(m);
        ledger_arrived(m->ledger, buf_span(&m->body), m->rcpts, m->nrcpts);
        if (f == FAULT_TAKE_AND_DROP)
            wire_close(&m->wire);
        m->silent = m->silent || lost;
        for (size_t i = 0; i < (m->lmtp ? m->nrcpts : 1); i++)
            say(m, "250 2.0.0 taken");
    } else if (m->lmtp && (f == FAULT_4XX || f == FAULT_5XX)) {
        for (size_t i = 1; i < m->nrcpts; i++)
            say(m, f == FAULT_4XX ? "451 4.3.0 not now" : "554 5.3.0 never");
    }
    reset(m);
}

/* One line of DATA; RFC 5321 4.5.2. */
static void data_line(struct mx *m, struct span line)
{
    size_t at;
    SIM_MUST(m->sim, !span_find(line, '\r', &at));
    if (span_eq(line, SPAN("."))) {
        m->mode = MODE_COMMAND;
        end_of_data(m);
        return;
    }
    if (line.len > 0 && line.ptr[0] == '.')
        line = span_from(line, 1);
    SIM_MUST(m->sim, buf_add(&m->body, line) == ERR_OK && buf_add(&m->body, SPAN("\r\n")) == ERR_OK);
}

static void end_of_chunk(struct mx *m)
{
    m->mode = MODE_COMMAND;
    if (m->nrcpts == 0) {
        say(m, "503 5.5.1 no recipients");
    } else if (m->chunk_last) {
        end_of_data(m);
    } else {
        enum fault f = fault_here(m);
        if (!met_fault(m, f))
            say(m, "250 2.0.0 octets taken");
        else if (f == FAULT_4XX || f == FAULT_5XX)
            reset(m); /* RFC 3030 4.2: the transaction is over */
    }
}

static bool take_some(struct mx *m)
{
    struct span line, rest, in = buf_span(&m->in);
    if (m->mode == MODE_CHUNK) {
        size_t n = in.len < m->chunk_left ? in.len : (size_t)m->chunk_left;
        SIM_MUST(m->sim, buf_add(&m->body, span_first(in, n)) == ERR_OK);
        buf_drop_front(&m->in, n);
        m->chunk_left -= n;
        if (m->chunk_left == 0)
            end_of_chunk(m);
        return m->mode != MODE_CHUNK;
    }
    if (!span_cut(in, '\n', &line, &rest))
        return false;
    struct buf copy;
    buf_init(&copy, SIZE_MAX / 2);
    SIM_MUST(m->sim, line.len > 0 && line.ptr[line.len - 1] == '\r');
    SIM_MUST(m->sim, buf_add(&copy, span_first(line, line.len - 1)) == ERR_OK);
    buf_drop_front(&m->in, line.len + 1);
    if (m->mode == MODE_DATA)
        data_line(m, buf_span(&copy));
    else
        command(m, buf_span(&copy));
    buf_done(&copy);
    return true;
}

static void on_received(void *arg, struct span bytes)
{
    struct mx *m = arg;
    SIM_MUST(m->sim, buf_add(&m->in, bytes) == ERR_OK);
    while (m->wire.wire != NULL && !m->silent && take_some(m))
        ;
    if (m->wire.wire == NULL)
        mx_free(m);
}

static void on_closed(void *arg)
{
    mx_free(arg);
}

static const struct wire_ops mx_ops = {on_received, on_closed};

void mx_serve(struct sim *s, struct ledger *l, struct wire *w, int side, struct span domain)
{
    struct mx *m = calloc(1, sizeof(*m));
    SIM_MUST(s, m != NULL);
    *m = (struct mx){.sim = s, .ledger = l, .lmtp = mx_lmtp(domain)};
    struct buf *bufs[] = {&m->domain, &m->in, &m->body};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
        buf_init(bufs[i], SIZE_MAX / 2);
    for (size_t i = 0; i < MX_RCPTS; i++)
        buf_init(&m->rcpts[i], 512);
    SIM_MUST(s, buf_add(&m->domain, domain) == ERR_OK);
    m->wire = wire_attach(w, side, &mx_ops, m);
    if (!server_of(domain)->steady && sim_fault(s, 500)) {
        m->fault = (enum fault)sim_pick(s, 1, FAULT__COUNT - 1);
        m->fault_at = (unsigned)sim_pick(s, 0, 12);
    }
    if (met_fault(m, fault_here(m))) { /* the greeting is its first */
        if (m->wire.wire == NULL)
            mx_free(m);
        return;
    }
    say(m, "220 mx.sim ready");
}
