/* cli/cmd_send.c — injects one message over SMTP, as any client would: greeting, EHLO, MAIL, RCPT..., DATA.
 */
#include "cli/commands.h"
#include "cli/table.h"
#include "common/address.h"
#include "common/io/conn.h"
#include "common/io/loop.h"
#include "common/rng.h"
#include "worker/dotstuff.h"
#include "worker/reply.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 << 20, STEP_TIMEOUT_MS = 60000 };

enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_BODY, STEP_QUIT };
static const struct {
    const char *name;
    unsigned want; /* first digit of a good reply */
} steps[] = {
    [STEP_GREETING] = {"greeting", 2}, [STEP_EHLO] = {"EHLO", 2}, [STEP_MAIL] = {"MAIL", 2},
    [STEP_RCPT] = {"RCPT", 2},         [STEP_DATA] = {"DATA", 3}, [STEP_BODY] = {"end of data", 2},
    [STEP_QUIT] = {"QUIT", 2},
};
struct sending {
    struct cli *cli;
    struct loop *loop;
    struct conn *conn;
    struct reply_parser parser;
    enum step step;
    size_t rcpt; /* arguments that have been asked for */
    const char *from, *server;
    struct buf message, accepted;
    int code;
    bool ended, has_utf8, has_8bit; /* has_: the server takes it */
};

static void end(struct sending *s, int code)
{
    if (!s->ended)
        s->code = code;
    s->ended = true;
    loop_stop(s->loop);
}

static void say(struct sending *s, enum step step, const char *fmt, const char *arg)
{
    struct buf line;
    buf_init(&line, 4096);
    s->step = step;
    bool ok = arg != NULL ? buf_addf(&line, "%s<%s>\r\n", fmt, arg) == ERR_OK
                          : buf_addf(&line, "%s\r\n", fmt) == ERR_OK;
    if (!ok || conn_write(s->conn, buf_span(&line)) != ERR_OK)
        end(s, cli_fail(s->cli, CLI_FAILED, "out of memory"));
    buf_done(&line);
    conn_set_timeout(s->conn, STEP_TIMEOUT_MS);
}

/* What the server need not be told is not said: it may offer less than we do. */
static void say_mail(struct sending *s)
{
    char line[1024];
    bool utf8 = !span_is_ascii(span_cstr(s->from));
    for (size_t i = 0; i < s->cli->nargs; i++)
        utf8 = utf8 || !span_is_ascii(span_cstr(s->cli->args[i]));
    bool wide = !span_is_ascii(buf_span(&s->message));
    (void)snprintf(line, sizeof line, "MAIL FROM:<%s>%s%s", s->from,
                   s->has_8bit && wide ? " BODY=8BITMIME" : "", s->has_utf8 && utf8 ? " SMTPUTF8" : "");
    say(s, STEP_MAIL, line, NULL);
}

static void say_body(struct sending *s)
{
    struct dotstuff d;
    struct span rest = buf_span(&s->message), piece;
    bool ok = true;
    s->step = STEP_BODY;
    dotstuff_init(&d);
    while (ok && dotstuff_next(&d, &rest, &piece))
        ok = conn_write(s->conn, piece) == ERR_OK;
    if (!ok || conn_write(s->conn, dotstuff_end(&d)) != ERR_OK)
        end(s, cli_fail(s->cli, CLI_FAILED, "out of memory"));
    conn_set_timeout(s->conn, STEP_TIMEOUT_MS);
}

static void next_step(struct sending *s)
{
    switch (s->step) {
    case STEP_GREETING:
        say(s, STEP_EHLO, "EHLO localhost", NULL);
        break;
    case STEP_EHLO:
        say_mail(s);
        break;
    case STEP_MAIL:
    case STEP_RCPT:
        if (s->rcpt < s->cli->nargs)
            say(s, STEP_RCPT, "RCPT TO:", s->cli->args[s->rcpt++]);
        else
            say(s, STEP_DATA, "DATA", NULL);
        break;
    case STEP_DATA:
        say_body(s);
        break;
    case STEP_BODY:
        say(s, STEP_QUIT, "QUIT", NULL);
        break;
    case STEP_QUIT:
        end(s, CLI_OK);
        break;
    }
}

static void on_reply(struct sending *s, const struct reply *r)
{
    if (r->code / 100 != steps[s->step].want) {
        struct buf text;
        buf_init(&text, 8192);
        (void)!buf_add_escaped(&text, r->text);
        end(s, cli_fail(s->cli, CLI_FAILED, "refused at %s%s%s: %u %s", steps[s->step].name,
                        s->step == STEP_RCPT ? " of " : "",
                        s->step == STEP_RCPT ? s->cli->args[s->rcpt - 1] : "", r->code, buf_cstr(&text)));
        buf_done(&text);
        return;
    }
    if (s->step == STEP_BODY)
        (void)!buf_add_escaped(&s->accepted, r->text);
    next_step(s);
}

static void on_line(void *arg, uint16_t code, unsigned line, struct span text)
{
    struct sending *s = arg;
    (void)code, (void)line;
    if (s->step != STEP_EHLO)
        return;
    s->has_utf8 = s->has_utf8 || span_ieq(text, SPAN("SMTPUTF8"));
    s->has_8bit = s->has_8bit || span_ieq(text, SPAN("8BITMIME"));
}

static size_t received(void *arg, struct span bytes)
{
    struct sending *s = arg;
    size_t total = 0;
    while (total < bytes.len && !s->ended) {
        struct reply reply;
        size_t taken = 0;
        enum err e = reply_feed(&s->parser, span_from(bytes, total), &taken, &reply, on_line, s);
        total += taken;
        if (e == ERR_OK)
            on_reply(s, &reply);
        else if (e != ERR_AGAIN)
            end(s, cli_fail(s->cli, CLI_FAILED, "the server speaks no SMTP"));
    }
    return total;
}

static void closed(void *arg, enum err e, const char *why)
{
    struct sending *s = arg;
    bool stored = s->step == STEP_QUIT;
    if (stored)
        end(s, CLI_OK);
    else if (s->step == STEP_GREETING && e != ERR_OK)
        end(s, cli_fail(s->cli, CLI_FAILED, "%s: %s; does a node run there? --server names another place",
                        s->server, why));
    else
        end(s, cli_fail(s->cli, CLI_FAILED, "the connection ended at %s: %s", steps[s->step].name,
                        e == ERR_OK ? "closed by the server" : why));
}

static const struct conn_ops ops = {.received = received, .closed = closed};

/* --- the message ------------------------------------------------------------------------------------------
 */

static enum err add_headers(struct sending *s, const char *subject)
{
    struct rng rng;
    char date[32];
    rng_seed(&rng, rng_system_seed());
    clock_rfc5322(clock_wall(&clock_system), date);
    char host[256] = "localhost";
    (void)!gethostname(host, sizeof host - 1);
    enum err e = s->from[0] != '\0' /* the header needs an address even when the envelope has none */
                     ? buf_addf(&s->message, "From: <%s>\r\nTo: ", s->from)
                     : buf_addf(&s->message, "From: <MAILER-DAEMON@%s>\r\nTo: ", host);
    for (size_t i = 0; e == ERR_OK && i < s->cli->nargs; i++)
        e = buf_addf(&s->message, "%s<%s>", i > 0 ? ",\r\n " : "", s->cli->args[i]);
    if (e == ERR_OK)
        e = buf_addf(&s->message,
                     "\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%016" PRIx64
                     "@bridgehead.localhost>\r\n\r\n",
                     subject, date, rng_next(&rng));
    return e;
}

/* Lines end with CRLF on the wire, whatever the file has. */
static enum err add_file(struct sending *s, FILE *f)
{
    enum err e = ERR_OK;
    for (int c = getc(f), before = 0; e == ERR_OK && c != EOF; before = c, c = getc(f))
        e = c == '\n' && before != '\r' ? buf_add(&s->message, SPAN("\r\n")) : buf_addc(&s->message, (char)c);
    return e == ERR_OK && ferror(f) ? ERR_IO : e;
}

static int compose(struct sending *s)
{
    const char *path = cli_opt(s->cli, "file"), *body = cli_opt(s->cli, "body"),
               *subject = cli_opt(s->cli, "subject");
    enum err e = ERR_OK;
    if (subject != NULL && strpbrk(subject, "\r\n") != NULL)
        return cli_fail(s->cli, CLI_USAGE, "--subject takes one line; give headers of your own with --file");
    if (path != NULL) {
        FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
        if (f == NULL)
            return cli_fail(s->cli, CLI_FAILED, "cannot read '%s': %s", path, strerror(errno));
        e = add_file(s, f);
        if (f != stdin)
            (void)fclose(f);
    } else {
        e = add_headers(s, subject != NULL ? subject : "Test message");
        if (e == ERR_OK)
            e = buf_addf(&s->message, "%s\r\n",
                         body != NULL ? body : "This is a test message, sent with `bridgehead send`.");
    }
    if (e == ERR_TOOBIG)
        return cli_fail(s->cli, CLI_FAILED, "the message is larger than %d MiB", MESSAGE_MAX >> 20);
    return e == ERR_OK ? CLI_OK : cli_fail(s->cli, CLI_FAILED, "cannot read the message: %s", err_text(e));
}

/* --- where to
 * ----------------------------------------------------------------------------------------------- */

static bool usable_address(const char *text)
{
    struct address a;
    return address_parse(span_cstr(text), true, &a, NULL) == ERR_OK;
}

/* A listener on any address is reached over loopback. */
static enum err target_of(const char *listen, struct conn_target *ret, bool *ret_tls)
{
    static const uint8_t any[16] = {0};
    struct span at = span_cstr(listen);
    *ret_tls = span_has_prefix(at, SPAN("tls://"));
    if (*ret_tls)
        at = span_from(at, 6);
    enum err e = ip_endpoint_parse(at, 0, &ret->endpoint);
    if (e == ERR_OK && memcmp(ret->endpoint.addr.bytes, any, ret->endpoint.addr.v6 ? 16 : 4) == 0) {
        ret->endpoint.addr.bytes[ret->endpoint.addr.v6 ? 15 : 0] = ret->endpoint.addr.v6 ? 1 : 127;
        if (!ret->endpoint.addr.v6)
            ret->endpoint.addr.bytes[3] = 1;
    }
    return e;
}

static int talk(struct sending *s, struct conn_target *target)
{
    struct errctx ec = {""};
    s->loop = loop_new();
    if (s->loop == NULL)
        return cli_fail(s->cli, CLI_FAILED, "out of memory");
    target->timeout_ms = 10000;
    if (conn_connect(s->loop, target, &ops, s, &s->conn, &ec) != ERR_OK)
        return cli_fail(s->cli, CLI_FAILED, "cannot connect: %s", ec.msg);
    loop_run(s->loop);
    return s->code;
}

static int send_to(struct sending *s, const char *listen)
{
    struct conn_target target = {.unix_path = NULL};
    struct errctx ec = {""};
    bool tls = false;
    if (target_of(listen, &target, &tls) != ERR_OK)
        return cli_fail(s->cli, CLI_USAGE, "'%s' is no address:port", listen);
    if (tls && tls_client_new("", false, &target.tls, &ec) != ERR_OK)
        return cli_fail(s->cli, CLI_FAILED, "%s", ec.msg);
    int code = talk(s, &target);
    tls_unref(target.tls);
    if (code == CLI_OK && s->cli->output == CLI_JSON)
        return json_print(json_pack("{s:s}", "accepted", buf_cstr(&s->accepted)));
    if (code == CLI_OK)
        (void)printf("accepted: %s\n", buf_cstr(&s->accepted));
    return code;
}

int cmd_send(struct cli *cli)
{
    const char *to = cli_opt(cli, "server"), *from = cli_opt(cli, "from");
    struct sending s = {.cli = cli, .from = from != NULL ? from : ""};
    if (cli_opt(cli, "to") != NULL)
        cli->args[cli->nargs++] = cli_opt(cli, "to");
    if (cli->nargs == 0)
        return cli_fail(cli, CLI_USAGE, "to whom? bridgehead send [--from ADDRESS] ADDRESS...");
    if (to == NULL) {
        struct config *conf = cli_config(cli);
        if (conf == NULL)
            return CLI_CONFIG;
        to = config_root(conf)->virtual_servers.items[0].listen.items[0];
    }
    for (size_t i = 0; i < cli->nargs; i++)
        if (!usable_address(cli->args[i]))
            return cli_fail(cli, CLI_USAGE, "'%s' is no mail address", cli->args[i]);
    if (s.from[0] != '\0' && !usable_address(s.from))
        return cli_fail(cli, CLI_USAGE, "'%s' is no mail address", s.from);
    buf_init(&s.message, MESSAGE_MAX);
    buf_init(&s.accepted, 8192);
    reply_init(&s.parser);
    s.server = to;
    int code = compose(&s);
    if (code == CLI_OK)
        code = send_to(&s, to);
    conn_free(s.conn);
    loop_free(s.loop);
    reply_done(&s.parser);
    buf_done(&s.message);
    buf_done(&s.accepted);
    return code;
}
