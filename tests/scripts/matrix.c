/* Every command in every state: the code of the last reply and the state it leads to, compared with
 * golden/smtp_matrix.txt. A changed cell shows up in review as one line. */
#include "tests/scripts/harness.h"
#include "tests/unit/golden.h"

static const struct {
    const char *state, *way; /* what leads there, from GREET on; turns end with LF */
} states[] = {
    {"GREET", ""},
    {"READY", "EHLO c.test\r\n"},
    {"MAIL", "EHLO c.test\r\n\nMAIL FROM:<a@c.test>\r\n"},
    {"RCPT", "EHLO c.test\r\n\nMAIL FROM:<a@c.test>\r\nRCPT TO:<b@example.org>\r\n"},
    {"CHUNKS", "EHLO c.test\r\n\nMAIL FROM:<a@c.test>\r\nRCPT TO:<b@example.org>\r\nBDAT 2\r\n\r\n"},
};
static const struct {
    const char *name, *bytes;
} commands[] = {
    {"EHLO", "EHLO c.test\r\n"},
    {"HELO", "HELO c.test\r\n"},
    {"MAIL", "MAIL FROM:<a@c.test>\r\n"},
    {"RCPT", "RCPT TO:<b@example.org>\r\n"},
    {"RCPT refused", "RCPT TO:<b@elsewhere.test>\r\n"},
    {"DATA", "DATA\r\n"},
    {"BDAT", "BDAT 2\r\n\r\n"},
    {"BDAT LAST", "BDAT 2 LAST\r\n\r\n"},
    {"BDAT bad", "BDAT\r\n"},
    {"RSET", "RSET\r\n"},
    {"NOOP", "NOOP\r\n"},
    {"QUIT", "QUIT\r\n"},
    {"HELP", "HELP\r\n"},
    {"VRFY", "VRFY b\r\n"},
    {"EXPN", "EXPN list\r\n"},
    {"ETRN", "ETRN waiting.example\r\n"},
    {"STARTTLS", "STARTTLS\r\n"},
    {"unknown", "XYZZY\r\n"},
    {"empty", "\r\n"},
    {"too long", NULL},
};

static struct span last_line(struct harness *h)
{
    struct span out = buf_span(harness_sent(h)), line = SPAN(""), head;
    while (out.len > 0) {
        (void)span_cut(out, '\n', &head, &out);
        line = head;
    }
    return line;
}

/* Turns with LF between them that does not follow CR. */
static void walk(struct harness *h, const char *way)
{
    struct span rest = span_cstr(way), turn;
    while (rest.len > 0) {
        size_t at = 0;
        while (at < rest.len && !(rest.ptr[at] == '\n' && (at == 0 || rest.ptr[at - 1] != '\r')))
            at++;
        turn = span_first(rest, at);
        harness_feed(h, turn);
        harness_turn(h);
        rest = span_from(rest, at + 1);
    }
}

static void try(const char *way, const char *bytes, struct buf *out)
{
    struct harness_options o = {.settings = SPAN(""), .client = SPAN("")};
    struct harness *h = harness_new(&o);
    static char line[5000];
    memset(line, 'x', sizeof line);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    harness_start(h, SPAN(""));
    harness_turn(h);
    walk(h, way);
    buf_clear(harness_sent(h));
    harness_feed(h, bytes == NULL ? span_of(line, sizeof line) : span_cstr(bytes));
    harness_turn(h);
    struct span code = span_first(last_line(h), 3);
    assert_int_equal(
        buf_addf(out, " %-3.*s %-7s", SPAN_ARG(code), session_state_name(session_state(harness_session(h)))),
        ERR_OK);
    harness_free(h);
}

static void test_session__every_command_in_every_state(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 65536);
    assert_int_equal(buf_addf(&out, "%-12s", ""), ERR_OK);
    for (size_t s = 0; s < ARRAY_LEN(states); s++)
        assert_int_equal(buf_addf(&out, " %-11s", states[s].state), ERR_OK);
    for (size_t c = 0; c < ARRAY_LEN(commands); c++) {
        assert_int_equal(buf_addf(&out, "\n%-12s", commands[c].name), ERR_OK);
        for (size_t s = 0; s < ARRAY_LEN(states); s++)
            try(states[s].way, commands[c].bytes, &out);
    }
    assert_int_equal(buf_addc(&out, '\n'), ERR_OK);
    check_golden("golden/smtp_matrix.txt", buf_span(&out));
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_session__every_command_in_every_state));
}
