#include "common/io/health.h"

#include "common/log.h"

void health_init(struct health *h, ms_t now_ms)
{
    *h = (struct health){.since_ms = now_ms};
    buf_init(&h->why, HEALTH_TEXT_MAX);
    buf_init(&h->warnings, HEALTH_TEXT_MAX);
}

void health_done(struct health *h)
{
    buf_done(&h->why);
    buf_done(&h->warnings);
}

static bool has_line(struct span lines, struct span line)
{
    struct span one;
    while (lines.len > 0) {
        (void)span_cut(lines, '\n', &one, &lines);
        if (span_eq(one, line))
            return true;
    }
    return false;
}

/* Every line of `lines` that `known` does not have. */
static void tell_lines(enum log_level level, const char *event, struct span lines, struct span known)
{
    struct log_scratch scratch;
    struct span line;
    while (lines.len > 0) {
        (void)span_cut(lines, '\n', &line, &lines);
        if (line.len > 0 && !has_line(known, line))
            LOG_AT(level, event, "text=%s", log_text(&scratch, line));
    }
}

/* Too long to be kept: told again next time, which is better than never. */
static void keep(struct buf *in, struct span text)
{
    buf_clear(in);
    if (buf_add(in, text) != ERR_OK)
        buf_clear(in);
}

static void tell_not_ready(struct health *h, ms_t now_ms, struct span why)
{
    bool was_ready = h->told && h->ready;
    if (!h->told && now_ms < h->since_ms + HEALTH_START_MS)
        return;
    if (h->told && !was_ready && (span_eq(buf_span(&h->why), why) || now_ms < h->told_ms + HEALTH_REASON_MS))
        return;
    if (why.len == 0)
        why = SPAN("no reason is known");
    tell_lines(LOG_LEVEL_ERROR, "daemon.not_ready", why, was_ready ? SPAN("") : buf_span(&h->why));
    keep(&h->why, why);
    h->told = true;
    h->ready = false;
    h->told_ms = now_ms;
}

void health_look(struct health *h, ms_t now_ms, bool ready, struct span why, struct span warnings)
{
    if (!ready) {
        tell_not_ready(h, now_ms, why);
    } else if (!h->told || !h->ready) {
        log_info("daemon.ready", "text='takes work'");
        buf_clear(&h->why);
        h->told = h->ready = true;
    }
    tell_lines(LOG_LEVEL_WARN, "daemon.warning", warnings, buf_span(&h->warnings));
    keep(&h->warnings, warnings);
}
