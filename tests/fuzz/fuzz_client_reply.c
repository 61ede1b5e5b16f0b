/* links: worker */
/* Whatever a server says, cut anywhere: the client says the same, settles every recipient once, delivers
 * nothing without a reply in the 200s to the end of the data, and ends once.
 *
 * Input: a byte of options, a byte that cuts, then what the server says. */
#include "common/rng.h"
#include "worker/client.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TRANSCRIPT_MAX = 1 << 20, MESSAGES = 3 };

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

struct play {
    struct client *c;
    struct buf transcript;
    struct envelope env;
    struct recipient rcpts[4];
    size_t nrcpts, piece;
    unsigned sent, finished, closed;
};
static const struct span body =
    SPAN_INIT("Subject: x\r\n\r\n.\r\n..\r\nbare\nand\rbare\r\nend without a line end");
static const struct span body_8bit = SPAN_INIT("Subject: x\r\n\r\n\xc3\xbc\r\n.\r\n");
static const struct conf_client_timeouts timeouts = {1, 2, 3, 4, 5, 6, 7, 8};

static struct span body_of(const struct play *p)
{
    return p->env.body == BODY_7BIT ? body : body_8bit;
}

static void check_results(struct play *p)
{
    size_t n;
    const struct client_result *r = client_results(p->c, &n);
    MUST(n == p->nrcpts && ++p->finished == p->sent);
    for (size_t i = 0; i < n; i++) {
        bool done = r[i].verdict.action == VERDICT_DONE;
        MUST(r[i].verdict.action != VERDICT_OK && r[i].verdict.status[0] != '\0');
        MUST(!done || (r[i].step == STEP_END && r[i].code / 100 == 2 && r[i].failure == FAILURE_NONE));
        MUST(buf_addf(&p->transcript, "[%s %s %u %d " SPAN_FMT "]", verdict_action_name(r[i].verdict.action),
                      step_name(r[i].step), r[i].code, r[i].failure, SPAN_ARG(r[i].text)) == ERR_OK);
    }
}

static void next_message(struct play *p)
{
    if (p->sent == MESSAGES) {
        client_quit(p->c);
        return;
    }
    struct client_message m = {
        .env = &p->env, .rcpts = p->rcpts, .nrcpts = p->nrcpts, .size_bytes = body_of(p).len};
    p->sent++;
    MUST(client_send(p->c, &m) == ERR_OK);
}

static void pump(struct play *p)
{
    for (;;) {
        struct client_output o;
        while (client_output(p->c, &o))
            MUST(o.bytes.len > 0 && buf_add(&p->transcript, o.bytes) == ERR_OK);
        switch (client_event(p->c)) {
        case CLIENT_WAIT:
            return;
        case CLIENT_START_TLS:
            client_secured(p->c);
            break;
        case CLIENT_READY:
            next_message(p);
            break;
        case CLIENT_BODY:
            MUST(client_body(p->c, span_first(span_from(body_of(p), client_body_offset(p->c)), p->piece)) ==
                 ERR_OK);
            break;
        case CLIENT_FINISHED:
            check_results(p);
            break;
        case CLIENT_CLOSED:
            MUST(p->closed++ == 0 && p->finished == p->sent);
            break;
        }
    }
}

static void setup(struct play *p, uint8_t options)
{
    static const struct span addresses[] = {SPAN_INIT("a@example.net"), SPAN_INIT("\xc3\xbc@example.net"),
                                            SPAN_INIT("not an address"), SPAN_INIT("b@example.net")};
    struct client_conf conf = {.hostname = SPAN("c.example"),
                               .lmtp = (options & 1) != 0,
                               .tls = (enum conf_delivery_tls)(options >> 1 & 3),
                               .timeouts = &timeouts};
    *p = (struct play){.c = client_new(&conf), .nrcpts = 1 + (options >> 5 & 3), .piece = 20};
    MUST(p->c != NULL);
    buf_init(&p->transcript, TRANSCRIPT_MAX);
    p->env = (struct envelope){.sender = SPAN("s@example.org"),
                               .envid = SPAN("id"),
                               .smtputf8 = (options & 8) != 0,
                               .body = (options & 16) == 0    ? BODY_7BIT
                                       : (options & 128) == 0 ? BODY_8BITMIME
                                                              : BODY_BINARYMIME};
    for (size_t i = 0; i < p->nrcpts; i++)
        p->rcpts[i] = (struct recipient){.address = addresses[i], .notify = NOTIFY_FAILURE};
}

/* Replies arrive line by line, because what the client has said by then depends on it; within a line
 * the cuts are chance's. */
static void play(struct play *p, struct span server, uint8_t options, struct rng *rng)
{
    struct span line, rest = server;
    setup(p, options);
    pump(p);
    while (rest.len > 0) {
        size_t at;
        line = span_find(rest, '\n', &at) ? span_first(rest, at + 1) : rest;
        rest = span_from(rest, line.len);
        while (line.len > 0) {
            size_t n = rng != NULL ? 1 + (size_t)rng_below(rng, line.len) : line.len;
            client_received(p->c, span_first(line, n));
            line = span_from(line, n);
            pump(p);
        }
    }
    client_failed(p->c, FAILURE_LOST);
    pump(p);
    MUST(p->closed == 1);
    client_free(p->c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct play whole, cut;
    struct rng rng;
    if (size < 2 || size > 65536)
        return 0;
    struct span server = span_of((const char *)data + 2, size - 2);
    rng_seed(&rng, data[1]);
    play(&whole, server, data[0], NULL);
    play(&cut, server, data[0], &rng);
    MUST(span_eq(buf_span(&whole.transcript), buf_span(&cut.transcript)));
    buf_done(&whole.transcript);
    buf_done(&cut.transcript);
    return 0;
}
