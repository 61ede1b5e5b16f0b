/* tests/scripts/client/run_client.c — plays a conversation with the SMTP client; no socket, no clock. */
/* clang-format off */
/* A script is read from top to bottom:
 *
 *   option lmtp | secured | configured | no-chunking | self NAME | hostname NAME | piece BYTES | hold
 *   option tls none|opportunistic|required|verified
 *   message sender=A [body=7bit|8bitmime|binarymime] [smtputf8] [ret=full|hdrs] [envid=X] [size=N] [visited=X]
 *   rcpt ADDRESS [notify=never|success,failure,delay] [orcpt=X]       (after its message)
 *   body TEXT            appends to the body of the message; \r \n \0 \xNN \\ are escapes
 *   S: LINE              the server says LINE and CRLF
 *   S* TEXT              exactly TEXT, with escapes
 *   C: LINE              the client must have said LINE and CRLF
 *   C* TEXT              exactly TEXT, with escapes
 *   send                 the client must be READY; hands over the message
 *   tls                  the client must want TLS; the handshake succeeds
 *   quit                 client_quit()
 *   feed                 with option hold: the next piece of the body is there
 *   fail LOST            client_failed() with that failure
 *   timeout MS           what client_timeout_ms() must say
 *   result N ACTION STEP CODE|FAILURE STATUS [dsn] [TEXT]   the message must be FINISHED
 *   end ACTION STEP CODE|FAILURE STATUS [no-chunking]       the client must be CLOSED
 *   ready | busy         whether it must be READY
 *
 * Output that no C line asks for is an error. Every script runs with what the server says in one piece
 * and byte by byte. */
/* clang-format on */
#include "common/buf.h"
#include "worker/client.h"

enum { SCRIPT_MAX = 1 << 20, RCPTS_MAX = 100, TOKENS_MAX = 16 };

struct script {
    const char *name;
    unsigned line;
    bool bytewise, hold, feed; /* hold: a piece of the body comes when it is fed, not when it is asked for */

    struct buf hostname, self_name, out, body, server;
    struct span self;
    struct client_conf conf;
    struct conf_client_timeouts timeouts;
    struct client *c;

    struct envelope env;
    struct recipient rcpts[RCPTS_MAX];
    size_t nrcpts, piece;
    struct span visited;
    uint64_t size; /* claimed; 0: that of the body */

    bool ready, tls_wanted, finished, closed;
};

static void die(const struct script *s, const char *what, struct span got)
{
    struct buf text;
    buf_init(&text, SCRIPT_MAX);
    if (buf_add_escaped(&text, got) != ERR_OK)
        buf_clear(&text);
    fprintf(stderr, "%s:%u: (%s) %s: '%s'\n", s->name, s->line, s->bytewise ? "byte by byte" : "whole", what,
            buf_cstr(&text));
    exit(1);
}

static void need(const struct script *s, bool ok, const char *what)
{
    if (!ok)
        die(s, what, SPAN(""));
}

/* --- Driving the client ----------------------------------------------------------------------------- */

static void feed_body(struct script *s)
{
    uint64_t at = client_body_offset(s->c);
    size_t n = s->piece > 0 ? s->piece : s->body.len;
    struct span piece = span_first(span_from(buf_span(&s->body), at), n);
    need(s, client_body(s->c, piece) == ERR_OK, "client_body() failed");
}

static void pump(struct script *s)
{
    for (;;) {
        struct client_output o;
        while (client_output(s->c, &o)) {
            need(s, o.bytes.len > 0, "empty output");
            need(s, buf_add(&s->out, o.bytes) == ERR_OK, "out of memory");
        }
        s->ready = false;
        switch (client_event(s->c)) {
        case CLIENT_WAIT:
            return;
        case CLIENT_READY:
            s->ready = true;
            return;
        case CLIENT_START_TLS:
            s->tls_wanted = true;
            break;
        case CLIENT_BODY:
            if (s->hold && !s->feed)
                return;
            s->feed = false;
            feed_body(s);
            break;
        case CLIENT_FINISHED:
            need(s, !s->finished, "a second FINISHED");
            s->finished = true;
            break;
        case CLIENT_CLOSED:
            need(s, !s->closed, "a second CLOSED");
            s->closed = true;
            break;
        }
    }
}

static void start(struct script *s)
{
    if (s->c != NULL)
        return;
    s->conf.hostname = buf_span(&s->hostname);
    s->self = buf_span(&s->self_name);
    s->conf.self = &s->self;
    s->conf.nself = s->self.len > 0 ? 1 : 0;
    s->conf.timeouts = &s->timeouts;
    s->c = client_new(&s->conf);
    need(s, s->c != NULL, "out of memory");
    pump(s);
}

static void hear_server(struct script *s)
{
    struct span all = buf_span(&s->server);
    size_t step = s->bytewise ? 1 : all.len;
    for (size_t at = 0; at < all.len; at += step) {
        client_received(s->c, span_first(span_from(all, at), step));
        pump(s);
    }
    buf_clear(&s->server);
}

/* --- Text ------------------------------------------------------------------------------------------- */

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = memchr(digits, c, 16);
    return at != NULL ? (int)(at - digits) : -1;
}

static void unescape(struct script *s, struct span in, struct buf *out)
{
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '\\' && i + 1 < in.len) {
            c = in.ptr[++i];
            if (c == 'x' && i + 2 < in.len) {
                c = (char)(hex(in.ptr[i + 1]) * 16 + hex(in.ptr[i + 2]));
                i += 2;
            } else {
                c = (char)(c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c);
            }
        }
        need(s, buf_addc(out, c) == ERR_OK, "body too long");
    }
}

static size_t split(struct span line, struct span tokens[TOKENS_MAX])
{
    size_t n = 0;
    while (line.len > 0 && n < TOKENS_MAX - 1) {
        (void)span_cut(line, ' ', &tokens[n], &line);
        n += tokens[n].len > 0;
    }
    if (line.len > 0)
        tokens[n++] = line;
    return n;
}

static bool value_of(struct span token, const char *key, struct span *ret)
{
    struct span name;
    return span_cut(token, '=', &name, ret) && span_eq(name, span_cstr(key));
}

/* --- Directives ------------------------------------------------------------------------------------- */

static void do_option(struct script *s, struct span *t, size_t n)
{
    static const char *const tls[] = {"none", "opportunistic", "required", "verified"};
    uint64_t number;
    need(s, s->c == NULL, "options come first");
    if (span_eq(t[1], SPAN("lmtp"))) {
        s->conf.lmtp = true;
    } else if (span_eq(t[1], SPAN("secured"))) {
        s->conf.secured = true;
    } else if (span_eq(t[1], SPAN("no-chunking"))) {
        s->conf.no_chunking = true;
    } else if (span_eq(t[1], SPAN("hold"))) {
        s->hold = true;
    } else if (span_eq(t[1], SPAN("configured"))) {
        s->conf.configured = true;
    } else if (span_eq(t[1], SPAN("self")) && n == 3) {
        need(s, buf_add(&s->self_name, t[2]) == ERR_OK, "name too long");
    } else if (span_eq(t[1], SPAN("hostname")) && n == 3) {
        buf_clear(&s->hostname);
        need(s, buf_add(&s->hostname, t[2]) == ERR_OK, "hostname too long");
    } else if (span_eq(t[1], SPAN("piece")) && n == 3 && span_to_u64(t[2], SCRIPT_MAX, &number)) {
        s->piece = number;
    } else if (span_eq(t[1], SPAN("tls")) && n == 3) {
        for (size_t i = 0; i < ARRAY_LEN(tls); i++) {
            if (span_eq(t[2], span_cstr(tls[i])))
                s->conf.tls = (enum conf_delivery_tls)i;
        }
    } else {
        die(s, "unknown option", t[1]);
    }
}

static void do_message(struct script *s, struct span *t, size_t n)
{
    struct span v;
    s->env = (struct envelope){.sender = SPAN("")};
    s->nrcpts = 0;
    s->size = 0;
    buf_clear(&s->body);
    for (size_t i = 1; i < n; i++) {
        if (value_of(t[i], "sender", &v))
            s->env.sender = v;
        else if (value_of(t[i], "body", &v))
            s->env.body = span_eq(v, SPAN("8bitmime"))     ? BODY_8BITMIME
                          : span_eq(v, SPAN("binarymime")) ? BODY_BINARYMIME
                                                           : BODY_7BIT;
        else if (span_eq(t[i], SPAN("smtputf8")))
            s->env.smtputf8 = true;
        else if (value_of(t[i], "ret", &v))
            s->env.ret = span_eq(v, SPAN("full")) ? DSN_RET_FULL : DSN_RET_HDRS;
        else if (value_of(t[i], "envid", &v))
            s->env.envid = v;
        else if (value_of(t[i], "visited", &v))
            s->visited = v;
        else if (!value_of(t[i], "size", &v) || !span_to_u64(v, UINT64_MAX, &s->size))
            die(s, "unknown property", t[i]);
    }
}

static void do_rcpt(struct script *s, struct span *t, size_t n)
{
    struct span v, word;
    need(s, s->nrcpts < RCPTS_MAX && n >= 2, "too many recipients");
    struct recipient *r = &s->rcpts[s->nrcpts++];
    *r = (struct recipient){.address = t[1]};
    for (size_t i = 2; i < n; i++) {
        if (value_of(t[i], "orcpt", &v))
            r->orcpt = v;
        else if (!value_of(t[i], "notify", &v))
            die(s, "unknown property", t[i]);
        else
            while (v.len > 0) {
                (void)span_cut(v, ',', &word, &v);
                r->notify |= span_eq(word, SPAN("never"))     ? NOTIFY_NEVER
                             : span_eq(word, SPAN("success")) ? NOTIFY_SUCCESS
                             : span_eq(word, SPAN("failure")) ? NOTIFY_FAILURE
                                                              : NOTIFY_DELAY;
            }
    }
}

static void do_send(struct script *s)
{
    need(s, s->ready, "not READY");
    s->finished = false;
    struct client_message m = {.env = &s->env,
                               .rcpts = s->rcpts,
                               .nrcpts = s->nrcpts,
                               .size_bytes = s->size > 0 ? s->size : s->body.len,
                               .visited = s->visited};
    need(s, client_send(s->c, &m) == ERR_OK, "client_send() failed");
    pump(s);
}

static enum failure failure_named(const struct script *s, struct span name)
{
    static const char *const names[] = {
#define X(id, status, text) #id,
        FAILURE_MAP(X)
#undef X
    };
    for (size_t i = 1; i < ARRAY_LEN(names); i++) {
        if (span_eq(name, span_cstr(names[i])))
            return (enum failure)i;
    }
    die(s, "unknown failure", name);
    return FAILURE_NONE;
}

/* ACTION STEP CODE|FAILURE STATUS at t[0]. */
static void check_verdict(const struct script *s, const struct span *t, const struct verdict *v,
                          enum step step, uint16_t code, enum failure failure)
{
    char got[128];
    uint64_t want_code = 0;
    enum failure want_failure = FAILURE_NONE;
    snprintf(got, sizeof(got), "%s %s %u/%s %s", verdict_action_name(v->action), step_name(step), code,
             failure_text(failure), v->status);
    if (!span_to_u64(t[2], 599, &want_code))
        want_failure = failure_named(s, t[2]);
    if (!span_eq(t[0], span_cstr(verdict_action_name(v->action))) ||
        !span_eq(t[1], span_cstr(step_name(step))) || want_code != code || want_failure != failure ||
        !span_eq(t[3], span_cstr(v->status)))
        die(s, "the outcome is", span_cstr(got));
}

static void do_result(struct script *s, struct span *t, size_t n, struct span line)
{
    size_t count;
    uint64_t i = 0;
    const struct client_result *results = client_results(s->c, &count);
    need(s, s->finished && n >= 6 && span_to_u64(t[1], 1000, &i) && i < count, "no such result");
    const struct client_result *r = &results[i];
    check_verdict(s, t + 2, &r->verdict, r->step, r->code, r->failure);
    bool dsn = n > 6 && span_eq(t[6], SPAN("dsn"));
    need(s, !dsn || r->dsn_passed, "DSN was not passed on");
    if (n > (dsn ? 7u : 6u)) {
        struct span text = t[dsn ? 7 : 6];
        text.len = (size_t)(line.ptr + line.len - text.ptr);
        if (!span_eq(text, r->text))
            die(s, "the text is", r->text);
    }
}

static void do_end(struct script *s, struct span *t, size_t n)
{
    struct client_end end;
    bool no_chunking = n == 6 && span_eq(t[5], SPAN("no-chunking"));
    need(s, s->closed && n == (no_chunking ? 6 : 5), "not CLOSED");
    client_end(s->c, &end);
    need(s, end.no_chunking == no_chunking, "it learnt something else about CHUNKING");
    check_verdict(s, t + 1, &end.verdict, end.step, end.code, end.failure);
}

static void expect_output(struct script *s, struct span text, bool raw)
{
    struct buf want;
    buf_init(&want, SCRIPT_MAX);
    if (raw)
        unescape(s, text, &want);
    else
        need(s, buf_add(&want, text) == ERR_OK && buf_add(&want, SPAN("\r\n")) == ERR_OK, "line too long");
    if (!span_has_prefix(buf_span(&s->out), buf_span(&want)))
        die(s, "the client says", buf_span(&s->out));
    buf_drop_front(&s->out, want.len);
    buf_done(&want);
}

static void do_word(struct script *s, struct span line)
{
    struct span t[TOKENS_MAX];
    uint64_t ms;
    size_t n = split(line, t);
    if (span_eq(t[0], SPAN("send"))) {
        do_send(s);
    } else if (span_eq(t[0], SPAN("tls"))) {
        need(s, s->tls_wanted, "no TLS wanted");
        s->tls_wanted = false;
        client_secured(s->c);
    } else if (span_eq(t[0], SPAN("quit"))) {
        client_quit(s->c);
    } else if (span_eq(t[0], SPAN("feed"))) {
        s->feed = true;
    } else if (span_eq(t[0], SPAN("fail")) && n == 2) {
        client_failed(s->c, failure_named(s, t[1]));
    } else if (span_eq(t[0], SPAN("timeout")) && n == 2 && span_to_u64(t[1], UINT64_MAX, &ms)) {
        need(s, client_timeout_ms(s->c) == ms, "another time-out");
    } else if (span_eq(t[0], SPAN("result"))) {
        do_result(s, t, n, line);
    } else if (span_eq(t[0], SPAN("end"))) {
        do_end(s, t, n);
    } else if (span_eq(t[0], SPAN("ready"))) {
        need(s, s->ready, "not READY");
    } else if (span_eq(t[0], SPAN("busy"))) {
        need(s, !s->ready, "READY");
    } else {
        die(s, "unknown directive", line);
    }
    pump(s);
}

static bool is_setup(struct script *s, struct span line)
{
    struct span t[TOKENS_MAX];
    size_t n = split(line, t);
    if (span_eq(t[0], SPAN("option")) && n >= 2)
        do_option(s, t, n);
    else if (span_eq(t[0], SPAN("message")))
        do_message(s, t, n);
    else if (span_eq(t[0], SPAN("rcpt")))
        do_rcpt(s, t, n);
    else if (span_eq(t[0], SPAN("body")))
        unescape(s, span_from(line, 5), &s->body);
    else
        return false;
    return true;
}

static void do_line(struct script *s, struct span line)
{
    if (line.len == 0 || line.ptr[0] == '#' || is_setup(s, line))
        return;
    start(s);
    bool server = span_has_prefix(line, SPAN("S: ")) || span_has_prefix(line, SPAN("S* "));
    struct span text = span_from(line, 3);
    if (!server)
        hear_server(s);
    if (span_has_prefix(line, SPAN("C: ")) || span_has_prefix(line, SPAN("C* "))) {
        expect_output(s, text, line.ptr[1] == '*');
        return;
    }
    if (s->out.len > 0 && !span_has_prefix(line, SPAN("timeout ")))
        die(s, "the client also says", buf_span(&s->out));
    if (!server)
        do_word(s, line);
    else if (line.ptr[1] == '*')
        unescape(s, text, &s->server);
    else
        need(s, buf_add(&s->server, text) == ERR_OK && buf_add(&s->server, SPAN("\r\n")) == ERR_OK,
             "line too long");
}

static void run(const char *name, struct span text, bool bytewise)
{
    struct script s = {.name = name, .bytewise = bytewise};
    struct span line;
    buf_init(&s.hostname, 256);
    buf_init(&s.self_name, 256);
    buf_init(&s.out, SCRIPT_MAX);
    buf_init(&s.body, SCRIPT_MAX);
    buf_init(&s.server, SCRIPT_MAX);
    s.timeouts = (struct conf_client_timeouts){.connect_ms = 1,
                                               .greeting_ms = 2,
                                               .helo_ms = 3,
                                               .mail_ms = 4,
                                               .rcpt_ms = 5,
                                               .data_ms = 6,
                                               .block_ms = 7,
                                               .end_ms = 8};
    need(&s, buf_add(&s.hostname, SPAN("client.example")) == ERR_OK, "out of memory");
    while (text.len > 0) {
        s.line++;
        (void)span_cut(text, '\n', &line, &text);
        do_line(&s, line);
    }
    hear_server(&s);
    if (s.out.len > 0)
        die(&s, "at the end the client also says", buf_span(&s.out));
    client_free(s.c);
    buf_done(&s.hostname);
    buf_done(&s.self_name);
    buf_done(&s.out);
    buf_done(&s.body);
    buf_done(&s.server);
}

int main(int argc, char **argv)
{
    struct buf text;
    char block[4096];
    size_t n;
    if (argc != 2) {
        fprintf(stderr, "usage: run_client SCRIPT\n");
        return 2;
    }
    FILE *f = fopen(argv[1], "rb");
    if (f == NULL) {
        perror(argv[1]);
        return 2;
    }
    buf_init(&text, SCRIPT_MAX);
    while ((n = fread(block, 1, sizeof(block), f)) > 0) {
        if (buf_add(&text, span_of(block, n)) != ERR_OK)
            return 2;
    }
    fclose(f);
    run(argv[1], buf_span(&text), false);
    run(argv[1], buf_span(&text), true);
    buf_done(&text);
    return 0;
}
