/* links: queue */
/* Whatever envelope, recipient and reply hold, a report has the lines and fields that we gave it: no foreign
 * byte begins a line, and what is returned does not depend on how the original is cut.
 *
 * Input: a byte of options, a byte for the piece, then fields separated by NUL; the last is the original. */
#include "queue/dsn.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static struct span next_field(struct span *rest)
{
    struct span field;
    (void)span_cut(*rest, '\0', &field, rest);
    return span_first(field, 1024);
}

/* A line of the head is blank, a part of a folded one, or begins with one of our words. */
static bool ours(struct span line)
{
    static const struct span starts[] = {
        SPAN_INIT("From: "),
        SPAN_INIT("To: "),
        SPAN_INIT("Subject: "),
        SPAN_INIT("Date: "),
        SPAN_INIT("Message-ID: "),
        SPAN_INIT("References: "),
        SPAN_INIT("Auto-Submitted: "),
        SPAN_INIT("MIME-Version: "),
        SPAN_INIT("Content-"),
        SPAN_INIT("\t"),
        SPAN_INIT("  "),
        SPAN_INIT("This is "),
        SPAN_INIT("Your message "),
        SPAN_INIT("further "),
        SPAN_INIT("being "),
        SPAN_INIT("which "),
        SPAN_INIT("Its "),
        SPAN_INIT("It is "),
        SPAN_INIT("--0123456789abcdef"),
        SPAN_INIT("Original-Envelope-Id: "),
        SPAN_INIT("Reporting-MTA: "),
        SPAN_INIT("Arrival-Date: "),
        SPAN_INIT("Original-Recipient: "),
        SPAN_INIT("Final-Recipient: "),
        SPAN_INIT("Action: "),
        SPAN_INIT("Status: "),
        SPAN_INIT("Remote-MTA: "),
        SPAN_INIT("Diagnostic-Code: "),
        SPAN_INIT("Last-Attempt-Date: "),
        SPAN_INIT("Will-Retry-Until: "),
    };
    if (line.len == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        if (span_has_prefix(line, starts[i]))
            return true;
    }
    return false;
}

static void check_head(struct span head, bool utf8)
{
    unsigned boundaries = 0;
    while (head.len > 0) {
        struct span line;
        MUST(span_cut(head, '\n', &line, &head));
        MUST(line.len > 0 && line.len < 1000 && line.ptr[line.len - 1] == '\r');
        line.len--;
        MUST(ours(line));
        boundaries += span_has_prefix(line, SPAN("--"));
        for (size_t i = 0; i < line.len; i++) {
            unsigned char b = (unsigned char)line.ptr[i];
            MUST((b >= ' ' && b < 0x7f) || (b == '\t' && i == 0) || (utf8 && b >= 0x80));
        }
    }
    MUST(boundaries == 3);
}

static void write_report(const struct dsn_report *r, struct span original, size_t piece, struct buf *out)
{
    struct dsn_writer w;
    bool more = true;
    MUST(dsn_begin(&w, r, out) == ERR_OK);
    check_head(buf_span(out), r->env->smtputf8);
    for (size_t at = 0; at < original.len && more; at += piece)
        MUST(buf_add(out, dsn_original(&w, span_first(span_from(original, at), piece), &more)) == ERR_OK);
    MUST(dsn_end(&w, out) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536)
        return 0;
    struct span rest = span_of((const char *)data + 2, size - 2);
    uint8_t options = data[0];
    struct envelope env = {.sender = next_field(&rest),
                           .envid = next_field(&rest),
                           .subject = next_field(&rest),
                           .message_id = next_field(&rest),
                           .ret = (enum dsn_ret)((options & 3) % 3),
                           .body = (enum body_kind)((options >> 2 & 3) % 3),
                           .smtputf8 = (options & 16) != 0};
    struct dsn_recipient rcpt = {.address = next_field(&rest),
                                 .orcpt = next_field(&rest),
                                 .remote = next_field(&rest),
                                 .diagnostic = next_field(&rest),
                                 .explanation = next_field(&rest),
                                 .status = SPAN("5.0.0"),
                                 .action = (enum dsn_action)(options >> 5 & 3),
                                 .last_attempt_ms = 1,
                                 .will_retry_until_ms = 2};
    struct dsn_report r = {.env = &env,
                           .rcpts = &rcpt,
                           .nrcpts = 1,
                           .reporting_mta = SPAN("mx.example.org"),
                           .from = SPAN("postmaster@example.org"),
                           .boundary = SPAN("0123456789abcdef"),
                           .queue_id = SPAN("00-0"),
                           .message_id = SPAN("1@mx.example.org"),
                           .original_bytes = rest.len,
                           .max_bytes = 1000};
    struct buf whole, cut;
    buf_init(&whole, 1 << 20);
    buf_init(&cut, 1 << 20);
    if (env.sender.len > 0) {
        write_report(&r, rest, rest.len + 1, &whole);
        write_report(&r, rest, (size_t)data[1] + 1, &cut);
        MUST(span_eq(buf_span(&whole), buf_span(&cut)));
    }
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
