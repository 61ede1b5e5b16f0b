/* SMTP smuggling (CVE-2023-51764, -51765, -51766, CVE-2024-27305 and kin): what some server somewhere took
 * for the end of data. Here only CR LF "." CR LF is. Every variant that was published, and their neighbours,
 * in the middle of a message and at its head, in either mode of line_endings, by DATA and by BDAT, cut in
 * three ways. */
#include "tests/scripts/harness.h"

#include "common/log.h"
#include "tests/unit/check.h"

static const struct {
    struct span bytes;
    bool bare;              /* holds a CR or LF alone: refused by default */
    struct span normalized; /* what line_endings: normalize makes of it */
} variants[] = {
    /* the nine of {CR, LF, CR LF} with one another, less the genuine one */
    {SPAN_INIT("\n.\n"), true, SPAN_INIT("\r\n.\r\n")},
    {SPAN_INIT("\n.\r"), true, SPAN_INIT("\r\n.\r\n")},
    {SPAN_INIT("\n.\r\n"), true, SPAN_INIT("\r\n.\r\n")},
    {SPAN_INIT("\r.\n"), true, SPAN_INIT("\r\n.\r\n")},
    {SPAN_INIT("\r.\r"), true, SPAN_INIT("\r\n.\r\n")},
    {SPAN_INIT("\r.\r\n"), true, SPAN_INIT("\r\n.\r\n")},
    {SPAN_INIT("\r\n.\n"), true, SPAN_INIT("\r\n\r\n")}, /* its line began: the dot is a stuffed one */
    {SPAN_INIT("\r\n.\r"), true, SPAN_INIT("\r\n\r\n")},
    /* doubled and mixed */
    {SPAN_INIT("\n\n.\r\n"), true, SPAN_INIT("\r\n\r\n.\r\n")},
    {SPAN_INIT("\n\n.\n\n"), true, SPAN_INIT("\r\n\r\n.\r\n\r\n")},
    {SPAN_INIT("\r\r.\r\r"), true, SPAN_INIT("\r\n\r\n.\r\n\r\n")},
    {SPAN_INIT("\n\r.\r\n"), true, SPAN_INIT("\r\n\r\n.\r\n")},
    {SPAN_INIT("\n\r.\n\r"), true, SPAN_INIT("\r\n\r\n.\r\n\r\n")},
    {SPAN_INIT("\r\n\n.\r\n"), true, SPAN_INIT("\r\n\r\n.\r\n")},
    {SPAN_INIT("\r\n\r.\r\n"), true, SPAN_INIT("\r\n\r\n.\r\n")},
    {SPAN_INIT("\r\n.\n\r\n"), true, SPAN_INIT("\r\n\r\n\r\n")},
    {SPAN_INIT("\r\n.\r\r\n"), true, SPAN_INIT("\r\n\r\n\r\n")},
    {SPAN_INIT("\r\r\n.\r\r\n"), true, SPAN_INIT("\r\n\r\n\r\n\r\n")},
    /* with an octet that is easily overlooked */
    {SPAN_INIT("\r\0\n.\r\0\n"), true, SPAN_INIT("\r\n\0\r\n.\r\n\0\r\n")},
    {SPAN_INIT("\n.\0\r\n"), true, SPAN_INIT("\r\n.\0\r\n")},
    {SPAN_INIT("\r\n\0.\r\n"), false, SPAN_INIT("\r\n\0.\r\n")},
    {SPAN_INIT("\r\n.\0\r\n"), false, SPAN_INIT("\r\n\0\r\n")},
    {SPAN_INIT("\r\n. \r\n"), false, SPAN_INIT("\r\n \r\n")},
    {SPAN_INIT("\r\n.\t\r\n"), false, SPAN_INIT("\r\n\t\r\n")},
    {SPAN_INIT("\r\n .\r\n"), false, SPAN_INIT("\r\n .\r\n")},
    {SPAN_INIT("\r\n..\r\n"), false, SPAN_INIT("\r\n.\r\n")},
    {SPAN_INIT("\r\n\xef\xbb\xbf.\r\n"), false, SPAN_INIT("\r\n\xef\xbb\xbf.\r\n")},
    /* line ends of Unicode and of ASCII, which are none in mail */
    {SPAN_INIT("\x85.\x85"), false, SPAN_INIT("\x85.\x85")},
    {SPAN_INIT("\xc2\x85.\xc2\x85"), false, SPAN_INIT("\xc2\x85.\xc2\x85")},
    {SPAN_INIT("\xe2\x80\xa8.\xe2\x80\xa8"), false, SPAN_INIT("\xe2\x80\xa8.\xe2\x80\xa8")},
    {SPAN_INIT("\v.\v"), false, SPAN_INIT("\v.\v")},
    {SPAN_INIT("\f.\f"), false, SPAN_INIT("\f.\f")},
};
static const size_t pieces[] = {0, 1, 7};
static const char *const heads[] = {"", "Subject: outer\r\n\r\ntext"};
static const char smuggled[] =
    "MAIL FROM:<evil@client.test>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nsmuggled\r\n";

static void say(struct harness *h, struct span bytes)
{
    harness_feed(h, bytes);
    harness_turn(h);
}

static void expect(struct harness *h, const char *reply)
{
    struct span got = buf_span(harness_sent(h));
    if (!span_has_prefix(got, span_cstr(reply)))
        print_error("expected %s, heard '" SPAN_FMT "'\n", reply, SPAN_ARG(got));
    assert_true(span_has_prefix(got, span_cstr(reply)));
    buf_clear(harness_sent(h));
}

static struct harness *begin(const char *settings, size_t piece, const char *mail)
{
    struct harness_options o = {.settings = span_cstr(settings), .client = SPAN(""), .piece = piece};
    struct harness *h = harness_new(&o);
    harness_start(h, SPAN(""));
    harness_turn(h);
    expect(h, "220 ");
    say(h, SPAN("EHLO client.test\r\n"));
    expect(h, "250-");
    say(h, span_cstr(mail));
    expect(h, "250 2.1.0");
    say(h, SPAN("RCPT TO:<b@example.org>\r\n"));
    expect(h, "250 2.1.5");
    return h;
}

/* One message, for the recipient of its envelope, with this text below our Received field. */
static void check_stored(struct harness *h, struct span want)
{
    struct fake_job_view job;
    assert_int_equal(fake_store_jobs(harness_store(h)), 1);
    assert_true(fake_store_job(harness_store(h), 0, &job));
    assert_true(job.body.len > want.len);
    check_span(span_from(job.body, job.body.len - want.len), want);
    struct span trace = span_first(job.body, job.body.len - want.len), line;
    assert_true(span_has_prefix(trace, SPAN("Received: ")));
    for (size_t n = 0; trace.len > 0; n++) {
        assert_true(span_cut(trace, '\n', &line, &trace));
        assert_true(n == 0 || line.ptr[0] == '\t' || line.ptr[0] == ' ');
    }
}

static void finish(struct harness *h, bool refused, struct span want)
{
    expect(h, refused ? "554 5.6.0" : "250 2.6.0");
    if (refused)
        assert_int_equal(fake_store_jobs(harness_store(h)), 0);
    else
        check_stored(h, want);
    say(h, SPAN("NOOP\r\n"));
    expect(h, "250 2.0.0");
    harness_free(h);
}

static struct span joined(struct buf *out, const char *head, struct span middle)
{
    buf_clear(out);
    assert_int_equal(buf_add(out, span_cstr(head)), ERR_OK);
    assert_int_equal(buf_add(out, middle), ERR_OK);
    assert_int_equal(buf_add(out, span_cstr(smuggled)), ERR_OK);
    return buf_span(out);
}

typedef void try_fn(struct span in, struct span normalized, bool bare, size_t piece);

static void try_everything(try_fn *try)
{
    struct buf in, normalized;
    buf_init(&in, 4096);
    buf_init(&normalized, 4096);
    CHECK_EACH (variants, v)
        for (size_t k = 0; k < ARRAY_LEN(heads) * ARRAY_LEN(pieces); k++) {
            const char *head = heads[k / ARRAY_LEN(pieces)];
            try(joined(&in, head, v->bytes), joined(&normalized, head, v->normalized), v->bare,
                pieces[k % ARRAY_LEN(pieces)]);
        }
    buf_done(&in);
    buf_done(&normalized);
}

static void by_data(const char *settings, struct span in, bool refused, struct span want, size_t piece)
{
    struct harness *h = begin(settings, piece, "MAIL FROM:<a@client.test> BODY=8BITMIME\r\n");
    say(h, SPAN("DATA\r\n"));
    expect(h, "354 ");
    say(h, in);
    check_span(buf_span(harness_sent(h)), SPAN("")); /* the message goes on: none of it was a command */
    say(h, SPAN(".\r\n"));
    finish(h, refused, want);
}

static void try_strict(struct span in, struct span normalized, bool bare, size_t piece)
{
    by_data("", in, bare, normalized, piece);
}
static void test_smuggling__strict_refuses_the_whole_message(void **state)
{
    (void)state;
    try_everything(try_strict);
}

static void try_normalize(struct span in, struct span normalized, bool bare, size_t piece)
{
    (void)bare;
    by_data("line_endings: normalize", in, false, normalized, piece);
}
static void test_smuggling__normalize_makes_one_message_of_it(void **state)
{
    (void)state;
    try_everything(try_normalize);
}

/* In chunks nothing but the count ends a message, and no dot is a stuffed one. */
static void by_chunk(struct span in, const char *mail, bool refused, size_t piece)
{
    struct harness *h = begin("", piece, mail);
    char bdat[64];
    (void)snprintf(bdat, sizeof bdat, "BDAT %zu LAST\r\n", in.len);
    harness_feed(h, span_cstr(bdat));
    say(h, in);
    finish(h, refused, in);
}

static void try_chunks(struct span in, struct span normalized, bool bare, size_t piece)
{
    (void)normalized;
    by_chunk(in, "MAIL FROM:<a@client.test> BODY=8BITMIME\r\n", bare, piece);
    by_chunk(in, "MAIL FROM:<a@client.test> BODY=BINARYMIME\r\n", false, piece);
}
static void test_smuggling__chunks_end_by_count_alone(void **state)
{
    struct buf genuine;
    (void)state;
    try_everything(try_chunks);
    buf_init(&genuine, 4096);
    try_chunks(joined(&genuine, heads[1], SPAN("\r\n.\r\n")), SPAN(""), false, 7);
    buf_done(&genuine);
}

int main(void)
{
    log_set_threshold(LOG_LEVEL_ERROR);
    return CHECK_RUN(cmocka_unit_test(test_smuggling__strict_refuses_the_whole_message),
                     cmocka_unit_test(test_smuggling__normalize_makes_one_message_of_it),
                     cmocka_unit_test(test_smuggling__chunks_end_by_count_alone));
}
