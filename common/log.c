#include "common/log.h"

#include "common/buf.h"
#include "common/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_int log_threshold = LOG_LEVEL_INFO;
enum { LINE_MAX_BYTES = 8192, HELD_MAX = 4096 /* PIPE_BUF: what a pipe takes in one piece */ };

/* Lines of the thread that are not written yet: see log_hold(). */
static _Thread_local struct {
    bool holding;
    size_t len;
    char bytes[HELD_MAX];
} held;

static enum log_format log_format = LOG_FORMAT_TEXT; /* set once before threads start, like the name */
static char log_program[32] = "bridgehead";

void log_setup(enum log_level threshold, enum log_format format, const char *program)
{
    log_set_threshold(threshold);
    log_format = format;
    (void)snprintf(log_program, sizeof log_program, "%s", program);
}

void log_set_threshold(enum log_level threshold)
{
    atomic_store_explicit(&log_threshold, (int)threshold, memory_order_relaxed);
}

bool log_enabled(enum log_level lvl)
{
    return (int)lvl >= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

static const char *level_name(enum log_level lvl)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[lvl];
}

static struct span json_string(struct span s, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len && n + 7 < size; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t utf8 = span_utf8(span_from(s, i));
        if (utf8 > 0) {
            memcpy(out + n, s.ptr + i, utf8);
            n += utf8;
            i += utf8 - 1;
        } else if (c >= 0x80) { /* no character: U+FFFD, as readers of UTF-8 show it */
            memcpy(out + n, "\xef\xbf\xbd", 3);
            n += 3;
        } else if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    return span_of(out, n);
}

/* Takes the next key=value or key='text' off s. */
static bool next_pair(struct span *s, struct span *ret_key, struct span *ret_value)
{
    *s = span_trim(*s);
    if (s->len == 0 || !span_cut(*s, '=', ret_key, s))
        return false;
    if (s->len > 0 && s->ptr[0] == '\'') {
        (void)span_cut(span_from(*s, 1), '\'', ret_value, s);
        return true;
    }
    (void)span_cut(*s, ' ', ret_value, s);
    return true;
}

static void format_json(struct buf *line, enum log_level lvl, const char *event, const char *when,
                        struct span pairs)
{
    char scratch[2048];
    struct span key, value;
    size_t limit = line->max;
    line->max = limit - 2; /* whatever does not fit is left out; the line stays one of JSON */
    (void)!buf_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"event\":\"%s\"", when,
                    level_name(lvl), log_program, event);
    while (next_pair(&pairs, &key, &value)) {
        struct span quoted = json_string(value, scratch, sizeof scratch);
        (void)!buf_addf(line, ",\"" SPAN_FMT "\":\"" SPAN_FMT "\"", SPAN_ARG(key), SPAN_ARG(quoted));
    }
    line->max = limit;
    (void)!buf_add(line, SPAN("}\n"));
}

void log_flush(void)
{
    if (held.len > 0)
        (void)!write(STDERR_FILENO, held.bytes, held.len); /* nowhere left to report a failure to */
    held.len = 0;
}

void log_hold(bool holding)
{
    log_flush();
    held.holding = holding;
}

static void put_line(struct span line, bool at_once)
{
    if (line.len > sizeof held.bytes - held.len)
        log_flush();
    if (line.len > sizeof held.bytes) {
        (void)!write(STDERR_FILENO, line.ptr, line.len);
        return;
    }
    memcpy(held.bytes + held.len, line.ptr, line.len);
    held.len += line.len;
    if (at_once)
        log_flush();
}

void log_write(enum log_level lvl, const char *event, const char *fmt, ...)
{
    char pairs[3072];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(pairs, sizeof pairs, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    for (char *c = pairs; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    char when[32];
    clock_rfc3339(clock_wall(&clock_system), when);
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    if (log_format == LOG_FORMAT_JSON)
        format_json(&line, lvl, event, when, span_cstr(pairs));
    else
        (void)!buf_addf(&line, "%s %s %s %s %s\n", when, level_name(lvl), log_program, event, pairs);
    put_line(buf_span(&line), !held.holding || lvl >= LOG_LEVEL_WARN);
    buf_done(&line);
}

const char *log_text(struct log_scratch *scratch, struct span foreign)
{
    struct buf b;
    buf_init(&b, sizeof scratch->text - 3);
    size_t take = foreign.len;
    while (buf_add_escaped(&b, span_first(foreign, take)) == ERR_TOOBIG)
        take = take / 2;
    (void)snprintf(scratch->text, sizeof scratch->text, "'%s'", buf_cstr(&b));
    buf_done(&b);
    return scratch->text;
}
