#include "common/log.h"

#include "common/buf.h"
#include "common/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_int log_threshold = LOG_LEVEL_INFO;
enum {
    VALUE_MAX = 3072, /* of all pairs of a line */
    JSON_CHAR = 8,    /* what a character may become, and a zero */
    LINE_MAX_BYTES = 8192,
    HELD_MAX = 4096 /* PIPE_BUF: what a pipe takes in one piece */
};

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

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\xNN" as log_text() writes it: the octet, or -1 */
static int escaped_octet(struct span s)
{
    if (s.len < 4 || s.ptr[0] != '\\' || s.ptr[1] != 'x')
        return -1;
    int high = hex_digit(s.ptr[2]), low = hex_digit(s.ptr[3]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* What log_text() escaped, as it was. */
static size_t unescape(struct span s, char out[VALUE_MAX])
{
    size_t n = 0;
    while (s.len > 0 && n < VALUE_MAX) {
        int octet = escaped_octet(s);
        out[n++] = octet >= 0 ? (char)octet : s.ptr[0];
        s = span_from(s, octet >= 0 ? 4 : 1);
    }
    return n;
}

/* Characters that nobody sees and that change how others are shown: what is written here is read by people.
 */
static bool is_invisible(uint32_t c)
{
    return (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
           c == 0x061c || c == 0xfeff;
}

static uint32_t code_point(const char *utf8, size_t len)
{
    uint32_t c = (unsigned char)utf8[0] & (0xffU >> (len + 1));
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)utf8[i] & 0x3f);
    return c;
}

/* The character at the start of s, or the octet that begins none. Returns its width there. */
static size_t json_char(struct span s, char out[JSON_CHAR])
{
    size_t width = span_utf8(s);
    unsigned char c = (unsigned char)s.ptr[0];
    uint32_t wide = width > 0 ? code_point(s.ptr, width) : 0;
    if (is_invisible(wide))
        (void)snprintf(out, JSON_CHAR, "\\u%04x", (unsigned)wide);
    else if (width > 0)
        (void)snprintf(out, JSON_CHAR, "%.*s", (int)width, s.ptr);
    else if (c >= 0x80 || escaped_octet(s) >= 0)
        (void)snprintf(out, JSON_CHAR, "\\\\x%02x", c);
    else if (c < 0x20 || c == 0x7f)
        (void)snprintf(out, JSON_CHAR, "\\u%04x", c);
    else
        (void)snprintf(out, JSON_CHAR, "%s%c", c == '"' || c == '\\' ? "\\" : "", c);
    return width > 0 ? width : 1;
}

/* As log.h tells. */
static struct span json_string(struct span s, char *out, size_t size)
{
    char octets[VALUE_MAX];
    size_t n = 0;
    for (struct span rest = span_of(octets, unescape(s, octets)); rest.len > 0 && n + JSON_CHAR <= size;) {
        rest = span_from(rest, json_char(rest, out + n));
        n += strlen(out + n);
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
    char pairs[VALUE_MAX];
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
    bool fits = buf_add_escaped(&b, foreign) == ERR_OK;
    for (bool more = !fits; more;) { /* characters are cut off whole */
        size_t width = span_utf8(foreign);
        struct span next = span_first(foreign, width > 0 ? width : 1);
        more = next.len > 0 && buf_add_escaped(&b, next) == ERR_OK;
        foreign = span_from(foreign, next.len);
    }
    (void)snprintf(scratch->text, sizeof scratch->text, "'%s'", buf_cstr(&b));
    buf_done(&b);
    return scratch->text;
}
