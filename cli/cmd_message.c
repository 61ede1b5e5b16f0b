/* cli/cmd_message.c — one message: show, track, export. */
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

static int message_id(struct cli *cli, struct msgid *ret)
{
    if (msgid_parse(span_cstr(cli->args[0]), ret) == ERR_OK)
        return CLI_OK;
    return cli_fail(cli, CLI_USAGE, "'%s' is no message id; they look like 07-01JD0M3V8ZQK4T2A",
                    cli->args[0]);
}

/* --- show ----------------------------------------------------------------------------------------------- */

enum {
    M_ID,
    M_ARRIVED,
    M_AGE,
    M_SENDER,
    M_SUBJECT,
    M_MSGID,
    M_SIZE,
    M_CLIENT,
    M_HELO,
    M_SERVER,
    M_SYSTEM,
    M_LEFT
};
static const struct column message_columns[] = {
    [M_ID] = {"id", "id", COLUMN_TEXT, 0},
    [M_ARRIVED] = {"arrived", "arrived", COLUMN_TIME, 0},
    [M_AGE] = {"age_ms", "age", COLUMN_AGE, 0},
    [M_SENDER] = {"sender", "sender", COLUMN_TEXT, 0},
    [M_SUBJECT] = {"subject", "subject", COLUMN_TEXT, 0},
    [M_MSGID] = {"message_id", "message-id", COLUMN_TEXT, 0},
    [M_SIZE] = {"bytes", "size", COLUMN_BYTES, 0},
    [M_CLIENT] = {"client", "client", COLUMN_TEXT, 0},
    [M_HELO] = {"helo", "helo", COLUMN_TEXT, 0},
    [M_SERVER] = {"virtual_server", "virtual server", COLUMN_TEXT, 0},
    [M_SYSTEM] = {"report", "is a report", COLUMN_BOOL, 0},
    [M_LEFT] = {"jobs_left", "destinations left", COLUMN_COUNT, 0},
};
enum { R_QUEUE, R_RCPT, R_PLACE, R_TRIES, R_NEXT, R_EXPIRES, R_REPLY };
static const struct column rcpt_columns[] = {
    [R_QUEUE] = {"queue", "QUEUE", COLUMN_TEXT, 32},
    [R_RCPT] = {"recipient", "RECIPIENT", COLUMN_TEXT, 40},
    [R_PLACE] = {"place", "PLACE", COLUMN_TEXT, 0},
    [R_TRIES] = {"attempts", "TRIES", COLUMN_COUNT, 0},
    [R_NEXT] = {"next_try", "NEXT TRY", COLUMN_TIME, 0},
    [R_EXPIRES] = {"expires", "EXPIRES", COLUMN_TIME, 0},
    [R_REPLY] = {"last_reply", "LAST REPLY", COLUMN_TEXT, 400},
};
struct showing {
    struct remote r;
    struct table *message, *rcpts;
    bool badmail, nomem; /* badmail: a part of it is */
};

static bool on_message(void *arg, const struct admin_message *m)
{
    struct showing *s = ((struct remote *)arg)->user;
    struct table *t = s->message;
    char id[MSGID_TEXT_MAX];
    msgid_text(&m->id, id);
    s->nomem = table_row(t) != ERR_OK || table_text(t, M_ID, span_cstr(id)) != ERR_OK ||
               table_text(t, M_SENDER, remote_sender(m->env.sender)) != ERR_OK ||
               table_text(t, M_SUBJECT, m->env.subject) != ERR_OK ||
               table_text(t, M_MSGID, m->env.message_id) != ERR_OK ||
               table_text(t, M_CLIENT, m->env.client) != ERR_OK ||
               table_text(t, M_HELO, m->env.helo) != ERR_OK ||
               table_text(t, M_SERVER, m->env.virtual_server) != ERR_OK;
    if (s->nomem)
        return false;
    table_number(t, M_ARRIVED, m->arrival_ms);
    table_number(t, M_AGE, m->now_ms > m->arrival_ms ? m->now_ms - m->arrival_ms : 0);
    table_number(t, M_SIZE, m->body.size_bytes);
    table_number(t, M_SYSTEM, m->env.system);
    table_number(t, M_LEFT, m->jobs_left);
    return true;
}

static bool on_job(void *arg, const struct admin_job *j)
{
    struct showing *s = ((struct remote *)arg)->user;
    struct table *t = s->rcpts;
    struct buf name;
    s->badmail |= j->place == ADMIN_BADMAIL || j->place == ADMIN_QUARANTINE;
    buf_init(&name, 512);
    s->nomem = queue_name(j->job.domain, j->job.klass, &name) != ERR_OK;
    for (size_t i = 0; i < j->job.nrcpts && !s->nomem; i++) {
        const struct recipient *rcpt = &j->job.rcpts[i];
        s->nomem = table_row(t) != ERR_OK || table_text(t, R_QUEUE, buf_span(&name)) != ERR_OK ||
                   table_text(t, R_RCPT, rcpt->address) != ERR_OK ||
                   table_text(t, R_PLACE, span_cstr(remote_place(j))) != ERR_OK ||
                   table_text(t, R_REPLY, rcpt->reply.len > 0 ? rcpt->reply : j->job.last_error) != ERR_OK;
        if (s->nomem)
            break;
        table_number(t, R_TRIES, j->job.attempts);
        table_number(t, R_NEXT, remote_has_next(j) ? j->due_ms : 0);
        table_number(t, R_EXPIRES, j->job.expire_ms);
    }
    buf_done(&name);
    return !s->nomem;
}

static int print_shown(struct cli *cli, struct showing *s)
{
    if (cli->output == CLI_JSON) /* two documents in one: {"message": {...}, "recipients": [...]} */
        (void)printf("{\"message\": ");
    int code = table_print_one(s->message, cli->output);
    (void)printf("%s", cli->output == CLI_JSON ? ", \"recipients\": " : "\n");
    if (code == CLI_OK)
        code = table_print(s->rcpts, cli->output, "Every recipient is settled.");
    if (cli->output == CLI_JSON)
        (void)printf("}\n");
    return code;
}

static int show_message(struct cli *cli, bool badmail)
{
    struct msgid id;
    struct showing s = {.nomem = false};
    int code = message_id(cli, &id);
    if (code != CLI_OK)
        return code;
    code = remote_open(&s.r, cli);
    s.r.user = &s;
    s.message = table_new(message_columns, ARRAY_LEN(message_columns));
    s.rcpts = table_new(rcpt_columns, ARRAY_LEN(rcpt_columns));
    if (code == CLI_OK && (s.message == NULL || s.rcpts == NULL))
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK &&
        remote_asked(&s.r, admin_show(s.r.admin, &id, on_message, on_job, remote_done, &s.r)))
        (void)remote_wait(&s.r);
    if (code == CLI_OK)
        code = s.r.code != CLI_OK || !s.nomem ? s.r.code : cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK && badmail && !s.badmail)
        code =
            cli_fail(cli, CLI_NOTFOUND, "%s is no badmail; `bridgehead message show` shows it", cli->args[0]);
    if (code == CLI_OK)
        code = print_shown(cli, &s);
    table_free(s.message);
    table_free(s.rcpts);
    remote_close(&s.r);
    return code;
}

int cmd_message_show(struct cli *cli)
{
    return show_message(cli, false);
}

int cmd_badmail_show(struct cli *cli)
{
    return show_message(cli, true);
}

/* --- track ------------------------------------------------------------------------------------------------
 * The history, and of one message what is still to come: `accepted` says nothing of recipients, because that
 * would have to be kept twice for every queued message. */

enum { T_AT, T_ID, T_EVENT, T_DOMAIN, T_TEXT };
static const struct column event_columns[] = {
    [T_AT] = {"at", "AT", COLUMN_TIME, 0},          [T_ID] = {"id", "ID", COLUMN_TEXT, 0},
    [T_EVENT] = {"event", "EVENT", COLUMN_TEXT, 0}, [T_DOMAIN] = {"domain", "DOMAIN", COLUMN_TEXT, 32},
    [T_TEXT] = {"text", "TEXT", COLUMN_TEXT, 400},
};

static enum err add_event(struct table *t, ms_t at_ms, struct span id, struct span event, struct span domain,
                          struct span text)
{
    enum err e = table_row(t);
    if (e == ERR_OK)
        e = table_text(t, T_ID, id);
    if (e == ERR_OK)
        e = table_text(t, T_EVENT, event);
    if (e == ERR_OK)
        e = table_text(t, T_DOMAIN, domain);
    if (e == ERR_OK)
        e = table_text(t, T_TEXT, text);
    if (e == ERR_OK)
        table_number(t, T_AT, at_ms);
    return e;
}

static bool on_event(void *arg, const struct admin_event *e)
{
    struct remote *r = arg;
    char id[MSGID_TEXT_MAX];
    msgid_text(&e->id, id);
    return add_event(r->user, e->at_ms, span_cstr(id), e->event, e->domain, e->text) == ERR_OK;
}

/* "queued: <a@x> <b@x>; next try in 4m09s" */
static enum err add_state(const struct admin_job *j, struct buf *out)
{
    char when[24];
    enum err e = buf_addf(out, "%s:", remote_place(j));
    for (size_t i = 0; i < j->job.nrcpts && e == ERR_OK; i++)
        e = buf_addf(out, " <" SPAN_FMT ">", SPAN_ARG(j->job.rcpts[i].address));
    if (e != ERR_OK || !remote_has_next(j) || j->due_ms <= j->now_ms)
        return e;
    age_text(j->due_ms - j->now_ms, when);
    return buf_addf(out, "; next try in %s", when);
}

static bool on_open_job(void *arg, const struct admin_job *j)
{
    struct remote *r = arg;
    char id[MSGID_TEXT_MAX];
    struct buf text;
    buf_init(&text, 1 << 20);
    msgid_text(&j->id, id);
    bool ok = add_state(j, &text) == ERR_OK && add_event(r->user, j->now_ms, span_cstr(id), SPAN("now"),
                                                         j->job.domain, buf_span(&text)) == ERR_OK;
    buf_done(&text);
    return ok;
}

static bool on_open_message(void *arg, const struct admin_message *m)
{
    (void)arg;
    (void)m;
    return true;
}

/* That it is not in the queue is no error as long as there is history. */
static void on_open_done(void *arg, enum err e, const char *why)
{
    struct remote *r = arg;
    bool over = e == ERR_NOTFOUND && table_rows(r->user) > 0;
    remote_ended(r, over ? ERR_OK : e,
                 e == ERR_NOTFOUND ? "neither the queue nor the history has that message; "
                                     "redis.history says how much is kept"
                                   : why);
}

int cmd_message_track(struct cli *cli)
{
    struct msgid id;
    struct remote r;
    int code = cli->nargs > 0 ? message_id(cli, &id) : CLI_OK;
    if (code != CLI_OK)
        return code;
    struct table *t = table_new(event_columns, ARRAY_LEN(event_columns));
    code = remote_open(&r, cli);
    r.user = t;
    if (code == CLI_OK && t == NULL)
        code = cli_fail(cli, CLI_FAILED, "out of memory");
    if (code == CLI_OK &&
        remote_asked(&r, admin_track(r.admin, cli->nargs > 0 ? &id : NULL, on_event, remote_done, &r)))
        (void)remote_wait(&r);
    if (code == CLI_OK && r.code == CLI_OK && cli->nargs > 0 &&
        remote_asked(&r, admin_show(r.admin, &id, on_open_message, on_open_job, on_open_done, &r)))
        (void)remote_wait(&r);
    if (code == CLI_OK)
        code = r.code;
    if (code == CLI_OK)
        code = table_print(t, cli->output, "The history is empty; redis.history says how much is kept.");
    table_free(t);
    remote_close(&r);
    return code;
}

/* --- export
 * ------------------------------------------------------------------------------------------------- */

static bool on_bytes(void *arg, struct span bytes)
{
    struct remote *r = arg;
    if (fwrite(bytes.ptr, 1, bytes.len, stdout) == bytes.len)
        return true;
    r->code = CLI_FAILED; /* cli_main() says so */
    return false;
}

int cmd_message_export(struct cli *cli)
{
    struct msgid id;
    struct remote r;
    int code = message_id(cli, &id);
    if (code != CLI_OK)
        return code;
    code = remote_open(&r, cli);
    if (code == CLI_OK && remote_asked(&r, admin_body(r.admin, &id, on_bytes, remote_done, &r)))
        (void)remote_wait(&r);
    if (code == CLI_OK)
        code = r.code;
    remote_close(&r);
    return code;
}
