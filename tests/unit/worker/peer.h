/* tests/unit/worker/peer.h — a destination server inside the test's loop that answers by a script.
 *
 * Without rules it takes everything. A rule says what a command is answered with, for the first `times` times
 * (0: always); "close" closes instead, "hang" never answers, "drip" sends an octet now and then, "drop"
 * closes after having read the mail, "leave" closes after what was said before, "garble" writes beneath TLS
 * what is no record of it. What was accepted is written down. Memory errors fail the test. */
#pragma once
#include "common/buf.h"
#include "common/io/conn.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct peer_rule {
    const char *verb;  /* CONNECT EHLO MAIL RCPT DATA END QUIT */
    const char *match; /* in the command line, or NULL */
    const char *answer;
    unsigned times, used;
};
enum { PEER_RULES_MAX = 8, PEER_MAIL_MAX = 6000, PEER_LINE_MAX = 4096, PEER_DRIP_MS = 20 };

struct peer_mail {
    char from[320], rcpts[1024];
    char taken[1024]; /* of these, by LMTP */
    size_t body_len;
    char *body;
};
struct peer {
    struct loop *loop;
    struct listener *listener;
    struct ip_endpoint at;
    struct ip_addr from; /* who connected last */
    struct peer_rule rules[PEER_RULES_MAX];
    struct peer_session *sessions;
    unsigned open, peak, accepted; /* sessions now, most at once, ever */
    unsigned mails, ends, held;    /* accepted; ends of data answered; those that had to wait for it */
    struct peer_mail mail[PEER_MAIL_MAX];
    bool lmtp;               /* a reply for every recipient after the data */
    struct tls_context *tls; /* STARTTLS is offered */
    bool tls_broken;         /* ... but the handshake is garbage */
    unsigned secured;        /* handshakes that worked */
    ms_t delay_ms;           /* before the answer to the end of data */
    unsigned session_max; /* mails a session; 0: any. A further MAIL gets 421, and the connection is closed */
    bool session_rude;    /* ... or is closed with the answer to the last one already */
    unsigned session_peak; /* most mails of one session */
    unsigned rcpt_max;     /* recipients a mail; 0: any. More get 452 4.5.3 */
};
struct peer_session {
    struct peer *peer;
    struct peer_session *next;
    struct conn *c;
    int fd; /* of c */
    struct timer *later, *drip;
    struct buf line, body;
    struct peer_mail mail;
    unsigned nrcpts, mails;
    bool mail_ok, data, over, hung, tls;
};

static inline struct peer_rule *peer_rule(struct peer *p, const char *verb, struct span line)
{
    for (size_t i = 0; i < PEER_RULES_MAX; i++) {
        struct peer_rule *r = &p->rules[i];
        char text[PEER_LINE_MAX];

        if (r->verb == NULL || strcmp(r->verb, verb) != 0 || (r->times > 0 && r->used >= r->times))
            continue;
        (void)snprintf(text, sizeof text, SPAN_FMT, SPAN_ARG(line));
        if (r->match != NULL && strstr(text, r->match) == NULL)
            continue;
        r->used++;
        return r;
    }
    return NULL;
}

static inline void peer_add_rule(struct peer *p, const char *verb, const char *match, const char *answer,
                                 unsigned times)
{
    for (size_t i = 0; i < PEER_RULES_MAX; i++)
        if (p->rules[i].verb == NULL) {
            p->rules[i] = (struct peer_rule){verb, match, answer, times, 0};
            return;
        }
    fail_msg("too many rules");
}

static inline void peer_forget_rules(struct peer *p)
{
    memset(p->rules, 0, sizeof p->rules);
}

static inline void peer_end(struct peer_session *s)
{
    if (!s->over)
        s->peer->open--;
    s->over = true;
    conn_free(s->c);
    s->c = NULL;
}

/* Ends it after what was written. */
static inline void peer_finish(struct peer_session *s)
{
    if (s->over)
        return;
    s->over = true;
    s->peer->open--;
    conn_finish(s->c, 1000);
}

static inline void peer_drip(void *arg)
{
    struct peer_session *s = arg;

    if (s->over)
        return;
    assert_int_equal(conn_write(s->c, SPAN("2")), ERR_OK);
    timer_set(s->drip, PEER_DRIP_MS);
}

/* Writes the answer of a rule, or the default; false: the session is over. */
static inline bool peer_answer(struct peer_session *s, const char *verb, struct span line, const char *normal)
{
    struct peer_rule *r = peer_rule(s->peer, verb, line);
    const char *answer = r == NULL ? normal : r->answer;

    if (strcmp(answer, "close") == 0 || strcmp(answer, "drop") == 0) {
        peer_end(s);
        return false;
    }
    if (strcmp(answer, "leave") == 0) {
        peer_finish(s);
        return false;
    }
    if (strcmp(answer, "hang") == 0 || strcmp(answer, "drip") == 0) {
        s->hung = true;
        if (answer[0] == 'd')
            peer_drip(s);
        return false;
    }
    if (strcmp(answer, "garble") == 0) {
        assert_int_equal(write(s->fd, "this is no record", 17), 17);
        s->hung = true;
        return false;
    }
    assert_int_equal(conn_write(s->c, span_cstr(answer)), ERR_OK);
    assert_int_equal(conn_write(s->c, SPAN("\r\n")), ERR_OK);
    return true;
}

static inline bool peer_positive(struct peer_session *s, const char *verb, struct span line,
                                 const char *normal, bool *ret_ok)
{
    struct peer_rule *r = NULL;

    for (size_t i = 0; i < PEER_RULES_MAX && r == NULL; i++) {
        struct peer_rule *one = &s->peer->rules[i];
        char text[PEER_LINE_MAX];

        (void)snprintf(text, sizeof text, SPAN_FMT, SPAN_ARG(line));
        if (one->verb != NULL && strcmp(one->verb, verb) == 0 &&
            (one->times == 0 || one->used < one->times) &&
            (one->match == NULL || strstr(text, one->match) != NULL))
            r = one;
    }
    *ret_ok = r == NULL || r->answer[0] == '2' || r->answer[0] == '3';
    return peer_answer(s, verb, line, normal);
}

static inline void peer_keep(struct peer_session *s)
{
    struct peer *p = s->peer;

    assert_true(p->mails < PEER_MAIL_MAX);
    s->mail.body = buf_take(&s->body, &s->mail.body_len);
    p->mail[p->mails++] = s->mail;
    s->mail.body = NULL;
}

/* LMTP: one answer a recipient, by the rules that match him. */
static inline bool peer_answer_each(struct peer_session *s, bool *ret_any)
{
    struct span rest = span_cstr(s->mail.rcpts), one;
    bool more = true, ok;

    *ret_any = false;
    while (more) {
        more = span_cut(rest, ',', &one, &rest);
        if (!peer_positive(s, "END", one, "250 2.0.0 taken", &ok))
            return false;
        if (ok)
            (void)snprintf(s->mail.taken + strlen(s->mail.taken),
                           sizeof s->mail.taken - strlen(s->mail.taken), "%s" SPAN_FMT, *ret_any ? "," : "",
                           SPAN_ARG(one));
        *ret_any |= ok;
    }
    return true;
}

static inline void peer_finish_data(void *arg)
{
    struct peer_session *s = arg;
    bool ok;

    if (s->over)
        return;
    s->peer->ends++;
    if (s->peer->lmtp ? !peer_answer_each(s, &ok)
                      : !peer_positive(s, "END", span_cstr(s->mail.from), "250 2.0.0 taken", &ok))
        return;
    s->mails++;
    s->peer->session_peak = s->mails > s->peer->session_peak ? s->mails : s->peer->session_peak;
    if (ok)
        peer_keep(s);
    buf_clear(&s->body);
    s->data = false;
    if (s->peer->session_rude && s->mails == s->peer->session_max)
        peer_finish(s);
    conn_resume(s->c);
}

static inline void peer_end_of_data(struct peer_session *s)
{
    if (s->peer->delay_ms == 0) {
        peer_finish_data(s);
        return;
    }
    s->peer->held++;
    timer_set(s->later, s->peer->delay_ms);
}

static inline void peer_path(struct span line, char *out, size_t size)
{
    size_t a, b;

    if (span_find(line, '<', &a) && span_find(line, '>', &b) && b > a)
        (void)snprintf(out, size, "%.*s", (int)(b - a - 1), line.ptr + a + 1);
}

static inline void peer_rcpt(struct peer_session *s, struct span line)
{
    char path[320] = "";
    bool ok;

    if (s->peer->rcpt_max > 0 && s->nrcpts == s->peer->rcpt_max) {
        (void)peer_answer(s, "MORE", line, "452 4.5.3 too many recipients");
        return;
    }
    if (!peer_positive(s, "RCPT", line, s->mail_ok ? "250 2.1.5 ok" : "503 no MAIL", &ok) || !ok ||
        !s->mail_ok)
        return;
    peer_path(line, path, sizeof path);
    (void)snprintf(s->mail.rcpts + strlen(s->mail.rcpts), sizeof s->mail.rcpts - strlen(s->mail.rcpts),
                   "%s%s", s->nrcpts == 0 ? "" : ",", path);
    s->nrcpts++;
}

static inline void peer_start_tls(struct peer_session *s)
{
    assert_int_equal(conn_write(s->c, SPAN("220 go\r\n")), ERR_OK);
    if (s->peer->tls_broken) {
        assert_int_equal(conn_write(s->c, SPAN("this is no handshake, whatever you think\r\n")), ERR_OK);
        s->hung = true;
        return;
    }
    s->tls = true;
    assert_int_equal(conn_start_tls(s->c, s->peer->tls, true, NULL), ERR_OK);
}

static inline bool peer_command(struct peer_session *s, struct span line)
{
    bool ok;

    if (span_has_iprefix(line, s->peer->lmtp ? SPAN("LHLO") : SPAN("EHLO")))
        return peer_answer(s, "EHLO", line,
                           s->peer->tls != NULL && !s->tls
                               ? "250-peer\r\n250-STARTTLS\r\n250 PIPELINING"
                               : "250-peer\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE");
    if (span_ieq(line, SPAN("STARTTLS"))) {
        peer_start_tls(s);
        return false;
    }
    if (span_has_iprefix(line, SPAN("MAIL"))) {
        if (s->peer->session_max > 0 && s->mails >= s->peer->session_max) {
            (void)peer_answer(s, "FULL", line, "421 4.7.0 enough for one session");
            peer_finish(s);
            return false;
        }
        s->nrcpts = 0;
        s->mail = (struct peer_mail){.from = ""};
        peer_path(line, s->mail.from, sizeof s->mail.from);
        return peer_positive(s, "MAIL", line, "250 2.1.0 ok", &s->mail_ok);
    }
    if (span_has_iprefix(line, SPAN("RCPT"))) {
        peer_rcpt(s, line);
        return !s->over;
    }
    if (span_has_iprefix(line, SPAN("DATA"))) {
        if (!peer_positive(s, "DATA", line, s->nrcpts > 0 ? "354 go" : "554 no recipients", &ok))
            return false;
        s->data = ok && s->nrcpts > 0;
        return true;
    }
    if (span_has_iprefix(line, SPAN("QUIT"))) {
        (void)peer_answer(s, "QUIT", line, "221 bye");
        peer_finish(s);
        return false;
    }
    return peer_answer(s, "RSET", line, "250 ok");
}

/* One line without its CRLF; false: take no more now. */
static inline bool peer_line(struct peer_session *s, struct span line)
{
    if (!s->data)
        return peer_command(s, line);
    if (span_eq(line, SPAN("."))) {
        peer_end_of_data(s);
        return !s->over && !s->data;
    }
    if (line.len > 0 && line.ptr[0] == '.')
        line = span_from(line, 1);
    assert_int_equal(buf_add(&s->body, line), ERR_OK);
    assert_int_equal(buf_add(&s->body, SPAN("\r\n")), ERR_OK);
    return true;
}

static inline size_t peer_received(void *arg, struct span bytes)
{
    struct peer_session *s = arg;
    size_t taken = 0, at;

    while (!s->over && !s->hung && span_find(span_from(bytes, taken), '\n', &at)) {
        struct span line = span_first(span_from(bytes, taken), at > 0 ? at - 1 : 0);

        taken += at + 1;
        if (!peer_line(s, line))
            break;
    }
    return s->over || s->hung ? bytes.len : taken;
}

static inline void peer_closed(void *arg, enum err e, const char *why)
{
    struct peer_session *s = arg;

    (void)e;
    (void)why;
    peer_end(s);
}

static inline void peer_opened(void *arg)
{
    (void)peer_answer(arg, "CONNECT", SPAN(""), "220 peer ready");
}

static inline void peer_secured(void *arg)
{
    ((struct peer_session *)arg)->peer->secured++;
}

static const struct conn_ops peer_ops = {
    .secured = peer_secured, .opened = peer_opened, .received = peer_received, .closed = peer_closed};

static inline void peer_accept(void *arg, int fd, const struct ip_endpoint *from)
{
    struct peer *p = arg;
    struct peer_session *s = calloc(1, sizeof *s);

    assert_non_null(s);
    if (from != NULL)
        p->from = from->addr;
    s->peer = p;
    s->fd = fd;
    s->next = p->sessions;
    p->sessions = s;
    s->later = timer_new(p->loop, peer_finish_data, s);
    s->drip = timer_new(p->loop, peer_drip, s);
    buf_init(&s->line, PEER_LINE_MAX);
    buf_init(&s->body, 64u << 20);
    p->open++;
    p->accepted++;
    p->peak = p->open > p->peak ? p->open : p->peak;
    s->c = conn_accept(p->loop, fd, NULL, &peer_ops, s);
    assert_non_null(s->c);
}

static inline struct peer *peer_new(struct loop *l)
{
    struct peer *p = calloc(1, sizeof *p);
    struct ip_endpoint any = {.addr = {.bytes = {127, 0, 0, 1}}};

    assert_non_null(p);
    p->loop = l;
    assert_int_equal(listener_open(l, &any, false, peer_accept, p, &p->listener, NULL), ERR_OK);
    assert_true(listener_address(p->listener, &p->at));
    return p;
}

static inline void peer_free(struct peer *p)
{
    listener_close(p->listener);
    while (p->sessions != NULL) {
        struct peer_session *s = p->sessions;

        p->sessions = s->next;
        conn_free(s->c);
        timer_free(s->later);
        timer_free(s->drip);
        buf_done(&s->line);
        buf_done(&s->body);
        free(s->mail.body);
        free(s);
    }
    for (unsigned i = 0; i < p->mails; i++)
        free(p->mail[i].body);
    free(p);
}
