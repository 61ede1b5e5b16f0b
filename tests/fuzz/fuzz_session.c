/* links: session_harness */
/* Any bytes of a client, cut anywhere: no crash, the same replies, the same mail, bounded output.
 *
 * Input: a byte of options, the size of the pieces, then turns with 0x1e between them; 0x1f at the head of
 * a turn asks for the handshake that a STARTTLS was granted. */
#include "tests/scripts/harness.h"

#include "common/log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_NORMALIZE = 1, OPTION_STRANGER = 2, OPTION_WINDOW = 4, OPTION_TLS = 8, OPTION_SMALL = 16 };

static void require(bool ok)
{
    if (!ok)
        abort();
}

static struct harness *begin(unsigned options, size_t piece)
{
    static const struct span settings[2][2] = {
        {SPAN_INIT(""), SPAN_INIT("max_message_size: 1K\nmax_recipients: 3\nmax_errors: 3\nmax_hops: 10")},
        {SPAN_INIT("line_endings: normalize"),
         SPAN_INIT(
             "line_endings: normalize\nmax_message_size: 1K\nmax_header_size: 1K\nmax_command_line: 512")},
    };
    struct harness_options o = {
        .settings = settings[(options & OPTION_NORMALIZE) != 0][(options & OPTION_SMALL) != 0],
        .client = (options & OPTION_STRANGER) ? SPAN("192.0.2.9") : SPAN(""),
        .tls_first = (options & OPTION_TLS) != 0,
        .piece = piece,
    };
    struct harness *h = harness_new(&o);
    if (options & OPTION_WINDOW)
        fake_store_window(harness_store(h), 5);
    harness_start(h, SPAN(""));
    harness_turn(h);
    return h;
}

static void converse(struct harness *h, struct span in)
{
    struct span turn;
    while (in.len > 0 && !harness_closed(h)) {
        (void)span_cut(in, '\x1e', &turn, &in);
        if (turn.len > 0 && turn.ptr[0] == '\x1f' && harness_secured(h))
            turn = span_from(turn, 1);
        harness_feed(h, turn);
        harness_turn(h);
    }
}

/* Every line ends with CR LF, begins with a code, and is no longer than RFC 5321 4.5.3.1.5 allows. */
static void check_replies(struct span out)
{
    struct span line;
    while (out.len > 0) {
        require(span_cut(out, '\n', &line, &out));
        require(line.len >= 4 && line.len + 1 <= 512 && line.ptr[line.len - 1] == '\r');
        require(line.ptr[0] >= '2' && line.ptr[0] <= '5' && (line.ptr[3] == ' ' || line.ptr[3] == '-'));
    }
}

/* Mail taken as text holds no bare CR or LF. */
static void check_body(const struct fake_job_view *j)
{
    struct envelope env;
    require(envelope_decode(j->env, &env) == ERR_OK);
    for (size_t i = 0; env.body != BODY_BINARYMIME && i < j->body.len; i++) {
        bool cr = j->body.ptr[i] == '\r', lf = j->body.ptr[i] == '\n';
        require(!cr || (i + 1 < j->body.len && j->body.ptr[i + 1] == '\n'));
        require(!lf || (i > 0 && j->body.ptr[i - 1] == '\r'));
    }
}

static void compare(struct harness *a, struct harness *b)
{
    struct fake_job_view ja, jb;
    size_t i = 0;
    require(span_eq(buf_span(harness_sent(a)), buf_span(harness_sent(b))));
    require(harness_closed(a) == harness_closed(b));
    require(fake_store_jobs(harness_store(a)) == fake_store_jobs(harness_store(b)));
    for (; fake_store_job(harness_store(a), i, &ja); i++) {
        require(fake_store_job(harness_store(b), i, &jb));
        require(span_eq(ja.body, jb.body) && span_eq(ja.env, jb.env) && span_eq(ja.blob, jb.blob));
        check_body(&ja);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 8192)
        return 0;
    log_set_threshold(LOG_LEVEL_ERROR); /* a line for each message would cost more than the session */
    struct span in = span_of((const char *)data + 2, size - 2);
    struct harness *whole = begin(data[0], 0), *cut = begin(data[0], data[1] % 64 + 1u);
    converse(whole, in);
    converse(cut, in);
    check_replies(buf_span(harness_sent(whole)));
    compare(whole, cut);
    harness_hang_up(whole);
    harness_hang_up(cut);
    require(fake_store_open_uploads(harness_store(whole)) == 0 && harness_budget(whole)->used == 0);
    harness_free(whole);
    harness_free(cut);
    return 0;
}
