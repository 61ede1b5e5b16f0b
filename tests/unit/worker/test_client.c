/* tests/unit/worker/test_client.c — mirrors worker/client.c; conversations are in tests/scripts/client */
#include "tests/unit/check.h"
#include "worker/client.h"

static const struct conf_client_timeouts timeouts = {1, 2, 3, 4, 5, 6, 7, 8};

static struct client *new_client(void)
{
    struct client_conf conf = {.hostname = SPAN("c.example"), .timeouts = &timeouts};
    struct client *c = client_new(&conf);
    assert_non_null(c);
    return c;
}

static void take(struct client *c, struct buf *out)
{
    struct client_output o;
    while (client_output(c, &o))
        assert_int_equal(buf_add(out, o.bytes), ERR_OK);
}

static void say(struct client *c, const char *text, struct buf *out)
{
    client_received(c, span_cstr(text));
    take(c, out);
}

static const struct envelope env = {.sender = SPAN_INIT("a@example.org")};
static const struct recipient rcpt = {.address = SPAN_INIT("b@example.net")};
static const struct client_message message = {&env, &rcpt, 1, 3, SPAN_INIT("")};

static void test_client__calls_out_of_turn_are_refused(void **state)
{
    struct buf out;
    size_t n;
    (void)state;
    buf_init(&out, 65536);
    struct client *c = new_client();
    assert_int_equal(client_event(c), CLIENT_WAIT);
    assert_int_equal(client_send(c, &message), ERR_STATE);
    assert_int_equal(client_body(c, SPAN("abc")), ERR_STATE);
    client_quit(c); /* no effect */
    client_secured(c);
    say(c, "220 mx\r\n250-mx\r\n", &out); /* the reply to EHLO may come before EHLO was read out */
    say(c, "250 PIPELINING\r\n", &out);
    check_span(buf_span(&out), SPAN("EHLO c.example\r\n"));
    assert_int_equal(client_event(c), CLIENT_READY);
    assert_int_equal(client_event(c), CLIENT_READY);
    assert_null(client_results(c, &n));
    assert_int_equal(n, 0);
    struct client_message m = message;
    m.nrcpts = 0;
    assert_int_equal(client_send(c, &m), ERR_TOOBIG);
    m.nrcpts = JOB_RCPTS_MAX + 1;
    assert_int_equal(client_send(c, &m), ERR_TOOBIG);
    assert_int_equal(client_send(c, &message), ERR_OK);
    assert_int_equal(client_send(c, &message), ERR_STATE);
    client_free(c);
    client_free(NULL);
    buf_done(&out);
}

/* Until the client has handed out the final dot no reply can mean delivered. */
static void test_client__an_answer_before_the_end_was_sent_delivers_nothing(void **state)
{
    struct buf out;
    size_t n;
    (void)state;
    buf_init(&out, 65536);
    struct client *c = new_client();
    say(c, "220 mx\r\n", &out);
    say(c, "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n", &out);
    assert_int_equal(client_send(c, &message), ERR_OK);
    take(c, &out);
    say(c, "250 ok\r\n250 ok\r\n", &out);
    assert_int_equal(client_event(c), CLIENT_BODY);
    assert_int_equal(client_body(c, SPAN("abc")), ERR_OK);
    client_received(c, SPAN("250 delivered\r\n")); /* nothing was read out since */
    assert_int_equal(client_event(c), CLIENT_FINISHED);
    const struct client_result *r = client_results(c, &n);
    assert_int_equal(n, 1);
    assert_int_equal(r->verdict.action, VERDICT_RETRY_LATER);
    assert_int_equal(r->failure, FAILURE_GARBAGE);
    assert_int_equal(client_event(c), CLIENT_CLOSED);
    assert_int_equal(client_event(c), CLIENT_WAIT);
    client_free(c);
    buf_done(&out);
}

static void test_client__the_body_is_passed_without_copying(void **state)
{
    static const char body[] = "abc";
    struct client_output o;
    struct buf out;
    (void)state;
    buf_init(&out, 65536);
    struct client *c = new_client();
    say(c, "220 mx\r\n", &out);
    say(c, "250 mx\r\n", &out);
    assert_int_equal(client_send(c, &message), ERR_OK);
    take(c, &out);
    say(c, "250 ok\r\n", &out);
    say(c, "250 ok\r\n", &out);
    say(c, "354 ok\r\n", &out);
    assert_int_equal(client_event(c), CLIENT_BODY);
    assert_int_equal(client_body_offset(c), 0);
    assert_int_equal(client_body(c, span_of(body, 3)), ERR_OK);
    assert_int_equal(client_event(c), CLIENT_WAIT); /* not before this piece was taken */
    assert_true(client_output(c, &o));
    assert_true(o.borrowed);
    assert_ptr_equal(o.bytes.ptr, body);
    assert_int_equal(o.bytes.len, 3);
    assert_true(client_output(c, &o));
    assert_false(o.borrowed);
    check_span(o.bytes, SPAN("\r\n.\r\n"));
    assert_false(client_output(c, &o));
    assert_int_equal(client_event(c), CLIENT_WAIT);
    client_free(c);
    buf_done(&out);
}

/* What came from the store cannot end a command or begin a parameter: a parameter is left out, an address
 * comes back. */
static void test_client__nothing_of_an_envelope_speaks_for_itself(void **state)
{
    static const struct span parameters[] = {SPAN_INIT("a b"),  SPAN_INIT("a\r\nRSET"),
                                             SPAN_INIT("a\nb"), SPAN_INIT("\x7f"),
                                             SPAN_INIT("a\0b"), SPAN_INIT("\xc3\xbc")};
    static const struct span addresses[] = {
        SPAN_INIT("b@example.net> NOTIFY=NEVER"),
        SPAN_INIT("b@example.net\r\nRSET"),
        SPAN_INIT("b c@example.net"),
        SPAN_INIT("b\0@example.net"),
        SPAN_INIT("<b@example.net"),
        SPAN_INIT("b"),
    };
    struct buf out;
    size_t n;
    (void)state;
    buf_init(&out, 65536);
    CHECK_EACH (parameters, p) {
        struct client *c = new_client();
        struct envelope e = {.sender = SPAN("a@example.org"), .envid = *p};
        struct recipient r = {.address = SPAN("b@example.net"), .orcpt = *p};
        struct client_message m = {&e, &r, 1, 3, SPAN("")};

        say(c, "220 mx\r\n", &out);
        say(c, "250-mx\r\n250-DSN\r\n250 PIPELINING\r\n", &out);
        buf_clear(&out);
        assert_int_equal(client_send(c, &m), ERR_OK);
        take(c, &out);
        check_span(buf_span(&out), SPAN("MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"));
        client_free(c);
    }
    for (size_t i = 0; i < 2 * ARRAY_LEN(addresses); i++) { /* as a recipient, as the sender */
        struct span bad = addresses[i / 2];
        struct client *c = new_client();
        struct envelope e = {.sender = i % 2 == 0 ? SPAN("a@example.org") : bad};
        struct recipient r = {.address = i % 2 == 0 ? bad : SPAN("b@example.net")};
        struct client_message m = {&e, &r, 1, 3, SPAN("")};

        say(c, "220 mx\r\n", &out);
        say(c, "250 mx\r\n", &out);
        buf_clear(&out);
        assert_int_equal(client_send(c, &m), ERR_OK);
        take(c, &out);
        assert_int_equal(out.len, 0);
        assert_int_equal(client_event(c), CLIENT_FINISHED);
        assert_int_equal(client_results(c, &n)->verdict.action, VERDICT_BOUNCE);
        assert_string_equal(client_results(c, &n)->verdict.status, "5.1.3");
        client_free(c);
    }
    buf_done(&out);
}

/* What restarts the time-out: whole replies, also those of one group, and what is handed out. Bytes do not.
 */
static void test_client__only_whole_replies_are_progress(void **state)
{
    struct client *c = new_client();
    struct buf out;
    uint64_t before = client_progress(c);
    (void)state;
    buf_init(&out, 65536);
    assert_true(before > 0);
    client_received(c, SPAN("220-m"));
    client_received(c, SPAN("x\r\n220 m"));
    assert_int_equal(client_progress(c), before);
    say(c, "x\r\n250-mx\r\n250 PIPELINING\r\n", &out);
    assert_true(client_progress(c) > before);
    assert_int_equal(client_send(c, &message), ERR_OK);
    before = client_progress(c);
    take(c, &out);
    assert_true(client_progress(c) > before);
    for (unsigned i = 0; i < 2; i++) { /* to MAIL, to RCPT: nothing is said in return */
        before = client_progress(c);
        client_received(c, SPAN("250 o"));
        assert_int_equal(client_progress(c), before);
        client_received(c, SPAN("k\r\n"));
        assert_true(client_progress(c) > before);
    }
    say(c, "354 go\r\n", &out);
    assert_int_equal(client_event(c), CLIENT_BODY);
    before = client_progress(c);
    assert_int_equal(client_body(c, SPAN("abc")), ERR_OK);
    take(c, &out);
    assert_true(client_progress(c) > before);
    client_free(c);
    buf_done(&out);
}

static void test_client__a_goodbye_is_not_waited_for_long(void **state)
{
    static const struct conf_client_timeouts patient = {
        .greeting_ms = 300000, .helo_ms = 300000, .mail_ms = 300000};
    struct client_conf conf = {.hostname = SPAN("c.example"), .timeouts = &patient};
    struct client *c = client_new(&conf);
    struct buf out;
    (void)state;
    buf_init(&out, 65536);
    assert_int_equal(client_timeout_ms(c), 300000);
    say(c, "220 mx\r\n", &out);
    assert_int_equal(client_timeout_ms(c), 300000);
    say(c, "250 mx\r\n", &out);
    client_quit(c);
    take(c, &out);
    assert_int_equal(client_timeout_ms(c), 10000);
    client_free(c);
    buf_done(&out);
}

/* All of a transaction has a time, too: it begins at client_send(), and anew when the end was sent. */
static void test_client__a_transaction_has_an_end(void **state)
{
    static const struct conf_client_timeouts t = {
        .mail_ms = 300000, .rcpt_ms = 300000, .data_ms = 120000, .block_ms = 180000, .end_ms = 600000};
    struct client_conf conf = {.hostname = SPAN("c.example"), .timeouts = &t};
    (void)state;
    for (int lmtp = 0; lmtp < 2; lmtp++) {
        struct recipient rcpts[100];
        struct client_message m = {&env, rcpts, 100, 3, SPAN_INIT("")};
        struct buf out;
        ms_t limit_ms;
        buf_init(&out, 65536);
        conf.lmtp = lmtp == 1;
        struct client *c = client_new(&conf);
        for (size_t i = 0; i < 100; i++)
            rcpts[i] = rcpt;
        say(c, "220 mx\r\n250 mx\r\n", &out);
        for (uint64_t n = 1; n <= 2; n++) {
            assert_int_equal(client_event(c), CLIENT_READY);
            assert_int_equal(client_stage(c, &limit_ms), 0);
            assert_int_equal(limit_ms, 0);
            assert_int_equal(client_send(c, &m), ERR_OK);
            take(c, &out);
            assert_int_equal(client_stage(c, &limit_ms), 2 * n);
            assert_int_equal(limit_ms, 900000 + 100 * 5000 + 3);
            say(c, "250 ok\r\n", &out);
            for (int i = 0; i < 100; i++)
                say(c, "250 ok\r\n", &out);
            say(c, "354 go\r\n", &out);
            assert_int_equal(client_event(c), CLIENT_BODY);
            assert_int_equal(client_stage(c, &limit_ms), 2 * n);
            assert_int_equal(client_body(c, SPAN("abc")), ERR_OK);
            take(c, &out);
            assert_int_equal(client_stage(c, &limit_ms), 2 * n + 1);
            assert_int_equal(limit_ms, 600000 + (lmtp == 1 ? 99 * 10000 : 0));
            for (int i = 0; i < (lmtp == 1 ? 100 : 1); i++)
                say(c, "250 ok\r\n", &out);
            assert_int_equal(client_event(c), CLIENT_FINISHED);
        }
        client_free(c);
        buf_done(&out);
    }
}

/* Output may be held back; a chunk that was announced is completed before anything else is said. */
static void test_client__a_refused_chunk_is_still_completed(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 65536);
    struct client *c = new_client();
    say(c, "220 mx\r\n", &out);
    say(c, "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n", &out);
    assert_int_equal(client_send(c, &message), ERR_OK);
    take(c, &out);
    say(c, "250 ok\r\n250 ok\r\n", &out);
    assert_int_equal(client_event(c), CLIENT_BODY);
    assert_int_equal(client_body(c, SPAN("a")), ERR_OK);
    take(c, &out);
    assert_int_equal(client_event(c), CLIENT_BODY);
    assert_int_equal(client_body(c, SPAN("b")), ERR_OK);
    client_received(c, SPAN("552 enough\r\n503 no\r\n"));
    buf_clear(&out);
    take(c, &out);
    check_span(buf_span(&out), SPAN("BDAT 1\r\nbRSET\r\n"));
    assert_int_equal(client_event(c), CLIENT_FINISHED);
    say(c, "250 ok\r\n", &out);
    assert_int_equal(client_event(c), CLIENT_READY);
    client_free(c);
    buf_done(&out);
}

static void test_client__the_most_recipients_in_one_group(void **state)
{
    static struct recipient rcpts[JOB_RCPTS_MAX];
    static char names[JOB_RCPTS_MAX][24];
    struct buf out;
    size_t n;
    (void)state;
    buf_init(&out, 65536);
    for (size_t i = 0; i < JOB_RCPTS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "u%zu@example.net", i);
        rcpts[i].address = span_cstr(names[i]);
    }
    struct client *c = new_client();
    say(c, "220 mx\r\n", &out);
    say(c, "250-mx\r\n250 PIPELINING\r\n", &out);
    struct client_message m = {&env, rcpts, JOB_RCPTS_MAX, 1, SPAN("")};
    assert_int_equal(client_send(c, &m), ERR_OK);
    take(c, &out);
    say(c, "250 ok\r\n", &out);
    for (size_t i = 0; i < JOB_RCPTS_MAX; i++)
        say(c, i % 2 == 0 ? "250 ok\r\n" : "550 5.1.1 no\r\n", &out);
    say(c, "354 ok\r\n", &out);
    assert_int_equal(client_event(c), CLIENT_BODY);
    assert_int_equal(client_body(c, SPAN("x")), ERR_OK);
    take(c, &out);
    say(c, "250 done\r\n", &out);
    assert_int_equal(client_event(c), CLIENT_FINISHED);
    const struct client_result *r = client_results(c, &n);
    assert_int_equal(n, JOB_RCPTS_MAX);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(r[i].verdict.action, i % 2 == 0 ? VERDICT_DONE : VERDICT_BOUNCE);
        check_span(r[i].text, i % 2 == 0 ? SPAN("done") : SPAN("5.1.1 no"));
    }
    struct client_end end;
    client_quit(c);
    take(c, &out);
    say(c, "221 bye\r\n", &out);
    client_end(c, &end);
    assert_int_equal(end.messages, 1);
    client_free(c);
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_client__calls_out_of_turn_are_refused),
                     cmocka_unit_test(test_client__an_answer_before_the_end_was_sent_delivers_nothing),
                     cmocka_unit_test(test_client__nothing_of_an_envelope_speaks_for_itself),
                     cmocka_unit_test(test_client__only_whole_replies_are_progress),
                     cmocka_unit_test(test_client__a_goodbye_is_not_waited_for_long),
                     cmocka_unit_test(test_client__a_transaction_has_an_end),
                     cmocka_unit_test(test_client__the_body_is_passed_without_copying),
                     cmocka_unit_test(test_client__a_refused_chunk_is_still_completed),
                     cmocka_unit_test(test_client__the_most_recipients_in_one_group));
}
