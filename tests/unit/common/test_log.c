/* tests/unit/common/test_log.c — mirrors common/log.c; stderr is a file for the time of a line */
#include "tests/unit/check.h"

#include "common/log.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char line[16384];
static int saved, file;

static void capture(void)
{
    char path[] = "/tmp/test_log.XXXXXX";
    file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    saved = dup(STDERR_FILENO);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
}

/* What was written, behind the time stamp, which is checked and cut off. */
static const char *written(void)
{
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    ssize_t n = pread(file, line, sizeof line - 1, 0);
    close(saved);
    close(file);
    line[n < 0 ? 0 : n] = '\0';
    return line;
}

static const char *after_time(const char *text)
{
    /* 2026-11-23T10:20:30.123Z */
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; shape[i] != '\0'; i++)
        assert_true(shape[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == shape[i]);
    return text + sizeof shape - 1;
}

static void test_log__text_lines(void **state)
{
    struct log_scratch t;
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "node");
    capture();
    log_debug("smtp.ignored", "a=1");
    log_info("smtp.accepted", "msg=%s size=%d text=%s", "x7", 42,
             log_text(&t, SPAN("250 it's\r\n2026 forged=1")));
    const char *text = written();
    assert_string_equal(
        after_time(text),
        " info node smtp.accepted msg=x7 size=42 text='250 it\\x27s\\x0d\\x0a2026 forged=1'\n");
}

static size_t in_file(void)
{
    return (size_t)lseek(file, 0, SEEK_END);
}

static void test_log__held_lines(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "node");
    capture();
    log_hold(true);
    log_info("smtp.accepted", "n=1");
    size_t held = in_file();
    log_flush();
    size_t flushed = in_file();
    log_info("smtp.accepted", "n=2");
    log_warn("smtp.refused", "n=3"); /* takes along what waits */
    size_t warned = in_file();
    for (int i = 0; i < 100; i++)
        log_info("smtp.accepted", "n=%d text='%060d'", 4 + i, 0);
    size_t many = in_file();
    log_hold(false);
    size_t released = in_file();
    log_info("smtp.accepted", "n=104");
    size_t last = in_file();
    const char *text = written();
    assert_int_equal(held, 0);
    assert_true(flushed > 0 && warned > flushed && many > warned && released > many && last > released);
    for (int i = 1; i <= 104; i++) { /* all of them, in order, each once */
        char want[32];
        const char *end = strchr(text, '\n');
        (void)snprintf(want, sizeof want, " n=%d", i);
        const char *at = strstr(text, want);
        assert_true(end != NULL && at != NULL && at < end);
        text = end + 1;
    }
    assert_string_equal(text, "");
}

static void test_log__thresholds(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, "node");
    assert_true(log_enabled(LOG_LEVEL_ERROR) && log_enabled(LOG_LEVEL_WARN));
    assert_false(log_enabled(LOG_LEVEL_INFO) || log_enabled(LOG_LEVEL_DEBUG));
    log_set_threshold(LOG_LEVEL_DEBUG);
    assert_true(log_enabled(LOG_LEVEL_DEBUG));
}

static void test_log__unescaped_text_stays_on_its_line(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "node");
    capture();
    log_warn("x", "a=%s", "1\n2\r3\x1b\x7f");
    assert_string_equal(after_time(written()), " warn node x a=1?2?3??\n");
}

static void test_log__json_lines(void **state)
{
    static const struct {
        const char *pairs, *json;
    } cases[] = {
        {"msg=x7 size=42", ",\"msg\":\"x7\",\"size\":\"42\""},
        {"a='b c' d=e", ",\"a\":\"b c\",\"d\":\"e\""},
        {"a='' b=", ",\"a\":\"\",\"b\":\"\""},
        {"a='open", ",\"a\":\"open\""},
        {"", ""},
        {"nonsense", ""},
    };
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON, "node");
    CHECK_EACH (cases, c) {
        char want[256];
        capture();
        log_info("e.v", "%s", c->pairs);
        const char *text = written();
        assert_true(strncmp(text, "{\"time\":\"", 9) == 0);
        (void)snprintf(want, sizeof want, "\",\"level\":\"info\",\"program\":\"node\",\"event\":\"e.v\"%s}\n",
                       c->json);
        assert_string_equal(after_time(text + 9), want);
    }
}

/* Foreign text in a JSON line: the text itself, and nothing that could be taken for anything else. */
static void test_log__foreign_text_in_json(void **state)
{
    static const struct {
        struct span text;
        const char *json;
    } cases[] = {
        {SPAN_INIT("it's \"so\" a=b"), "it's \\\"so\\\" a=b"},
        {SPAN_INIT("a\\b"), "a\\\\b"},
        {SPAN_INIT("\xc3\xa4 \xd0\x96 \xe4\xb8\xad \xf0\x9f\x93\xa7"),
         "\xc3\xa4 \xd0\x96 \xe4\xb8\xad \xf0\x9f\x93\xa7"},
        {SPAN_INIT("\0\t\r\n\x1b[2J\x7f"), "\\u0000\\u0009\\u000d\\u000a\\u001b[2J\\u007f"},
        {SPAN_INIT("\xc2\x9b"), "\\\\xc2\\\\x9b"},                                  /* C1: a terminal's CSI */
        {SPAN_INIT("\xe4\xf6\xfc"), "\\\\xe4\\\\xf6\\\\xfc"},                       /* Latin-1 */
        {SPAN_INIT("\xc3"), "\\\\xc3"},                                             /* cut off */
        {SPAN_INIT("\xc3x\xa4"), "\\\\xc3x\\\\xa4"},                                /* apart */
        {SPAN_INIT("\xc0\xaf\xe0\x80\xaf"), "\\\\xc0\\\\xaf\\\\xe0\\\\x80\\\\xaf"}, /* overlong */
        {SPAN_INIT("\xed\xa0\x80"), "\\\\xed\\\\xa0\\\\x80"},                       /* surrogate */
        {SPAN_INIT("\xf4\x90\x80\x80"), "\\\\xf4\\\\x90\\\\x80\\\\x80"},            /* beyond U+10FFFF */
        {SPAN_INIT("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf"},
        {SPAN_INIT("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9"), "\xe2\x80\xa7\\u2028\\u2029"},
        {SPAN_INIT("\xe2\x80\xaa\xe2\x80\xae\xe2\x80\xaf"), "\\u202a\\u202e\xe2\x80\xaf"},
        {SPAN_INIT("\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa"),
         "\xe2\x81\xa5\\u2066\\u2069\xe2\x81\xaa"},
        {SPAN_INIT("\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90"),
         "\xe2\x80\x8d\\u200e\\u200f\xe2\x80\x90"},
        {SPAN_INIT("\xd8\x9c\xef\xbb\xbf"), "\\u061c\\ufeff"},
        {SPAN_INIT("\\xff \\xg \\x5"), "\\\\x5cxff \\\\xg \\\\x5"}, /* no octet 255 was there */
        {SPAN_INIT("\\\xff"), "\\\\\\\\xff"},
    };
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON, "node");
    CHECK_EACH (cases, c) {
        struct log_scratch t;
        char want[256];
        capture();
        log_info("e.v", "text=%s n=1", log_text(&t, c->text));
        (void)snprintf(want, sizeof want, ",\"text\":\"%s\",\"n\":\"1\"}\n", c->json);
        const char *text = strstr(written(), ",\"text\"");
        assert_non_null(text);
        assert_string_equal(text, want);
    }
}

/* However much is logged, and however much it grows: one line, and in JSON a whole object. The filler
 * makes every remainder of the line's room occur. */
static void test_log__long_lines_stay_whole(void **state)
{
    char value[201], filler[1001];
    (void)state;
    memset(value, (char)0xe4, sizeof value - 1);
    value[sizeof value - 1] = '\0';
    memset(filler, 'f', sizeof filler);
    for (int len = 0; len <= 1000; len++) {
        log_setup(LOG_LEVEL_INFO, len == 0 ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON, "node");
        capture();
        log_info("long", "a=%s b=%s c=%s d=%s e=%s f=%s g=%s h=%.*s", value, value, value, value, value,
                 value, value, len, filler);
        struct span text = span_cstr(written()), head, rest;
        assert_true(span_cut(text, '\n', &head, &rest));
        assert_int_equal(rest.len, 0);
        assert_true(head.len > 1400);
        if (len > 0)
            assert_true(span_has_isuffix(head, SPAN("\"}")));
    }
}

static void test_log__foreign_text_is_cut(void **state)
{
    struct log_scratch t;
    char big[4096];
    (void)state;
    memset(big, '\n', sizeof big);
    const char *text = log_text(&t, span_of(big, sizeof big));
    size_t len = strlen(text);
    assert_true(len > 100 && len < sizeof t.text);
    assert_true(text[0] == '\'' && text[len - 1] == '\'');
    assert_string_equal(log_text(&t, SPAN("")), "''");
    for (size_t i = 0; i + 1 < sizeof big; i += 2)
        memcpy(big + i, "\xd0\x96", 2);
    for (size_t before = 0; before < 8; before++) { /* wherever the end is, it is between two characters */
        memset(big, 'x', before);
        text = log_text(&t, span_of(big + before % 2, sizeof big - 8));
        len = strlen(text);
        assert_true(len > sizeof t.text - 16 && len < sizeof t.text);
        assert_memory_equal(text + len - 5, "\\x96'", 5);
    }
}

int main(void)
{
    return CHECK_RUN(
        cmocka_unit_test(test_log__text_lines), cmocka_unit_test(test_log__held_lines),
        cmocka_unit_test(test_log__thresholds), cmocka_unit_test(test_log__unescaped_text_stays_on_its_line),
        cmocka_unit_test(test_log__json_lines), cmocka_unit_test(test_log__foreign_text_in_json),
        cmocka_unit_test(test_log__long_lines_stay_whole), cmocka_unit_test(test_log__foreign_text_is_cut));
}
