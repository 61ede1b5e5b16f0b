/* Runs SMTP conversations written as text (tests/scripts/README.md) against the session, three times:
 * every turn fed at once, octet by octet, and in pieces of seven. Exit code 0: all as written. */
#include "tests/scripts/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRIPT_MAX = 1 << 20, LINE_BYTES_MAX = 1 << 26 };

struct run {
    const char *path;
    unsigned line;
    struct harness *h;
    struct buf settings;
    struct harness_options options;
    char client[64], name[256];
    bool hold_greeting;
    size_t messages; /* seen so far */
    uint64_t lines;  /* sent so far */
    size_t matched;  /* octets of harness_sent() that were expected */
    bool failed;
};

static void fail(struct run *r, const char *what, struct span got)
{
    if (r->failed)
        return;
    r->failed = true;
    struct buf text;
    buf_init(&text, 4096);
    (void)!buf_add_escaped(&text, span_first(got, 900));
    (void)fprintf(stderr, "%s:%u (pieces of %zu): %s '%s'\n", r->path, r->line, r->options.piece, what,
                  buf_cstr(&text));
    buf_done(&text);
}

static void begin(struct run *r)
{
    if (r->h != NULL)
        return;
    r->options.settings = buf_span(&r->settings);
    r->options.client = span_cstr(r->client);
    r->h = harness_new(&r->options);
    if (!r->hold_greeting)
        harness_start(r->h, span_cstr(r->name));
}

/* --- what the client does ---------------------------------------------------------------------------- */

/* "\#" is a number that no line had before. */
static enum err numbered(struct span text, uint64_t number, struct buf *out)
{
    for (size_t i = 0; i + 1 < text.len; i++)
        if (text.ptr[i] == '\\' && text.ptr[++i] == '#') {
            enum err e = script_unescape(span_first(text, i - 1), out);
            if (e == ERR_OK)
                e = buf_addf(out, "%" PRIu64, number);
            return e == ERR_OK ? numbered(span_from(text, i + 1), number, out) : e;
        }
    return script_unescape(text, out);
}

static void feed(struct run *r, struct span text, bool crlf, uint64_t times)
{
    struct buf bytes;
    begin(r);
    buf_init(&bytes, LINE_BYTES_MAX);
    for (uint64_t i = 0; i < times; i++)
        if (numbered(text, ++r->lines, &bytes) != ERR_OK || (crlf && buf_add(&bytes, SPAN("\r\n")) != ERR_OK))
            fail(r, "bad escape in", text);
    harness_feed(r->h, buf_span(&bytes));
    buf_done(&bytes);
}

static void do_client(struct run *r, struct span arg)
{
    feed(r, arg, true, 1);
}

static void do_raw(struct run *r, struct span arg)
{
    feed(r, arg, false, 1);
}

static bool counted(struct run *r, struct span arg, uint64_t *ret_count, struct span *ret_text)
{
    struct span count;
    if (span_cut(arg, ' ', &count, ret_text) && span_to_u64(count, 10000000, ret_count))
        return true;
    fail(r, "count expected:", arg);
    return false;
}

static void do_many(struct run *r, struct span arg)
{
    struct span text;
    uint64_t n;
    if (counted(r, arg, &n, &text))
        feed(r, text, false, n);
}

static void do_greet(struct run *r, struct span arg)
{
    (void)arg;
    begin(r);
    harness_start(r->h, span_cstr(r->name));
}

static void do_handshake(struct run *r, struct span arg)
{
    begin(r);
    harness_turn(r->h);
    if (!harness_secured(r->h))
        fail(r, "no handshake was granted", arg);
}

static void do_disconnect(struct run *r, struct span arg)
{
    (void)arg;
    begin(r);
    harness_hang_up(r->h);
}

static void do_elapse(struct run *r, struct span arg)
{
    static const struct {
        const char *unit;
        ms_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    size_t digits = 0;
    uint64_t n = 0;
    begin(r);
    while (digits < arg.len && arg.ptr[digits] >= '0' && arg.ptr[digits] <= '9')
        digits++;
    if (span_to_u64(span_first(arg, digits), 1000000, &n))
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
            if (span_eq(span_from(arg, digits), span_cstr(units[i].unit))) {
                harness_turn(r->h);
                harness_elapse(r->h, n * units[i].ms);
                return;
            }
    fail(r, "not a duration:", arg);
}

/* --- what the server says ----------------------------------------------------------------------------- */

static struct span unmatched(struct run *r)
{
    return span_from(buf_span(harness_sent(r->h)), r->matched);
}

/* One reply line: text without CRLF, whether more lines of the reply follow. */
static bool reply_line(struct run *r, struct span *ret_line, bool *ret_more)
{
    size_t at;
    struct span rest = unmatched(r);
    if (!span_find(rest, '\n', &at) || at == 0 || rest.ptr[at - 1] != '\r')
        return false;
    *ret_line = span_first(rest, at - 1);
    *ret_more = ret_line->len > 3 && ret_line->ptr[3] == '-';
    r->matched += at + 1;
    return true;
}

static void do_server(struct run *r, struct span want)
{
    struct span line;
    bool more;
    begin(r);
    harness_turn(r->h);
    if (!reply_line(r, &line, &more)) {
        fail(r, "no reply, expected", want);
        return;
    }
    bool open_end = span_has_isuffix(want, SPAN(" ..."));
    want = open_end ? span_first(want, want.len - 4) : want;
    if (!(open_end ? span_has_prefix(line, want) : span_eq(line, want)))
        fail(r, "the server said", line);
    while (open_end && more && reply_line(r, &line, &more))
        continue;
}

static void do_replies(struct run *r, struct span arg)
{
    struct span want;
    uint64_t n;
    if (counted(r, arg, &n, &want))
        for (uint64_t i = 0; i < n && !r->failed; i++)
            do_server(r, want);
}

static void expect_silence(struct run *r)
{
    harness_turn(r->h);
    if (unmatched(r).len > 0)
        fail(r, "unexpected reply", unmatched(r));
}

static void do_closed(struct run *r, struct span arg)
{
    begin(r);
    expect_silence(r);
    if (!harness_closed(r->h))
        fail(r, "the session is still open", arg);
}

static void do_open(struct run *r, struct span arg)
{
    begin(r);
    expect_silence(r);
    if (harness_closed(r->h))
        fail(r, "the session is closed", arg);
}

/* --- the queue ------------------------------------------------------------------------------------------ */

static void do_fail(struct run *r, struct span arg)
{
    static const struct {
        const char *word;
        enum fake_store_op op;
    } ops[] = {{"upload", FAKE_UPLOAD}, {"commit", FAKE_COMMIT}};
    struct span op, name;
    begin(r);
    (void)span_cut(arg, ' ', &op, &name);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        for (int e = ERR_NOMEM; e <= (int)ERR_CANCELED; e++)
            if (span_eq(op, span_cstr(ops[i].word)) && span_eq(name, span_cstr(err_name((enum err)e)))) {
                fake_store_fail(harness_store(r->h), ops[i].op, (enum err)e, "on order", 1);
                return;
            }
    fail(r, "upload or commit and the name of an error expected:", arg);
}

static void do_queue(struct run *r, struct span arg)
{
    struct span word, value;
    uint64_t n = 0;
    begin(r);
    (void)span_cut(arg, ' ', &word, &value);
    struct fake_store *db = harness_store(r->h);
    if (span_eq(word, SPAN("up")))
        fake_store_refuse(db, ERR_OK, "");
    else if (span_eq(word, SPAN("down")) || span_eq(word, SPAN("broken")))
        fake_store_refuse(db, span_eq(word, SPAN("down")) ? ERR_AGAIN : ERR_BACKEND, "on order");
    else if (span_eq(word, SPAN("window")) && span_to_u64(value, SIZE_MAX, &n))
        fake_store_window(db, (size_t)n);
    else if (span_eq(word, SPAN("stall")) || span_eq(word, SPAN("flow")))
        fake_store_stall(db, span_eq(word, SPAN("stall")));
    else if (span_eq(word, SPAN("slow")) && span_to_u64(value, SIZE_MAX, &n))
        fake_store_delay(db, FAKE_COMMIT, n);
    else if (span_eq(word, SPAN("fail")))
        do_fail(r, value);
    else
        fail(r, "unknown word:", arg);
}

static void do_memory(struct run *r, struct span arg)
{
    uint64_t n = 0;
    begin(r);
    if (!span_to_u64(arg, SIZE_MAX, &n))
        fail(r, "octets expected:", arg);
    harness_budget(r->h)->limit = (size_t)n;
}

static void do_store(struct run *r, struct span arg)
{
    struct buf why;
    begin(r);
    harness_turn(r->h);
    buf_init(&why, 65536);
    if (!script_message(harness_store(r->h), r->messages, arg, &why))
        fail(r, "in the store:", buf_span(&why));
    r->messages++;
    buf_done(&why);
}

static void do_drain(struct run *r, struct span arg)
{
    (void)arg;
    begin(r);
    harness_turn(r->h);
    session_drain(harness_session(r->h));
}

/* --- before the session begins -------------------------------------------------------------------------- */

static void do_config(struct run *r, struct span arg)
{
    if (buf_add(&r->settings, arg) != ERR_OK || buf_addc(&r->settings, '\n') != ERR_OK)
        fail(r, "too long:", arg);
}

static void do_from(struct run *r, struct span arg)
{
    (void)snprintf(r->client, sizeof r->client, SPAN_FMT, SPAN_ARG(arg));
}

static void do_name(struct run *r, struct span arg)
{
    (void)snprintf(r->name, sizeof r->name, SPAN_FMT, SPAN_ARG(arg));
}

static void do_hold(struct run *r, struct span arg)
{
    (void)arg;
    r->hold_greeting = true;
}

static void do_tls_first(struct run *r, struct span arg)
{
    (void)arg;
    r->options.tls_first = true;
}

static const struct directive {
    struct span name;
    void (*run)(struct run *r, struct span arg);
    bool setup; /* only before the session begins */
} directives[] = {
    {SPAN_INIT("C"), do_client, false},
    {SPAN_INIT("R"), do_raw, false},
    {SPAN_INIT("many"), do_many, false},
    {SPAN_INIT("S"), do_server, false},
    {SPAN_INIT("replies"), do_replies, false},
    {SPAN_INIT("store"), do_store, false},
    {SPAN_INIT("elapse"), do_elapse, false},
    {SPAN_INIT("closed"), do_closed, false},
    {SPAN_INIT("open"), do_open, false},
    {SPAN_INIT("greet"), do_greet, false},
    {SPAN_INIT("handshake"), do_handshake, false},
    {SPAN_INIT("disconnect"), do_disconnect, false},
    {SPAN_INIT("queue"), do_queue, false},
    {SPAN_INIT("memory"), do_memory, false},
    {SPAN_INIT("drain"), do_drain, false},
    {SPAN_INIT("config"), do_config, true},
    {SPAN_INIT("client"), do_from, true},
    {SPAN_INIT("name"), do_name, true},
    {SPAN_INIT("hold-greeting"), do_hold, true},
    {SPAN_INIT("tls-first"), do_tls_first, true},
};

static void do_line(struct run *r, struct span line)
{
    struct span name, arg;
    if (span_trim(line).len == 0 || line.ptr[0] == '#')
        return;
    (void)span_cut(line, ':', &name, &arg);
    if (arg.len > 0 && arg.ptr[0] == ' ')
        arg = span_from(arg, 1);
    for (size_t i = 0; i < ARRAY_LEN(directives); i++) {
        if (!span_eq(directives[i].name, name))
            continue;
        if (directives[i].setup && r->h != NULL)
            fail(r, "too late for", line);
        else
            directives[i].run(r, arg);
        return;
    }
    fail(r, "unknown directive", line);
}

static void finish(struct run *r)
{
    begin(r);
    expect_silence(r);
    if (!r->failed && fake_store_messages(harness_store(r->h)) != r->messages)
        fail(r, "messages in the store that no line mentions", SPAN(""));
    harness_hang_up(r->h);
    if (fake_store_open_uploads(harness_store(r->h)) != 0)
        fail(r, "an upload was left open", SPAN(""));
    if (harness_budget(r->h)->used != 0)
        fail(r, "memory was not given back", SPAN(""));
    harness_free(r->h);
}

static bool run_script(const char *path, struct span script, size_t piece)
{
    struct run r = {.path = path, .options = {.piece = piece}};
    struct span line;
    buf_init(&r.settings, 65536);
    while (script.len > 0 && !r.failed) {
        (void)span_cut(script, '\n', &line, &script);
        r.line++;
        do_line(&r, line);
    }
    finish(&r);
    buf_done(&r.settings);
    return !r.failed;
}

int main(int argc, char **argv)
{
    static char script[SCRIPT_MAX];
    static const size_t pieces[] = {0, 1, 7};
    bool ok = argc > 1;
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (f == NULL) {
            perror(argv[i]);
            return 2;
        }
        size_t n = fread(script, 1, sizeof script, f);
        (void)fclose(f);
        for (size_t p = 0; p < ARRAY_LEN(pieces) && ok; p++)
            ok = run_script(argv[i], span_of(script, n), pieces[p]);
    }
    return ok ? 0 : 1;
}
