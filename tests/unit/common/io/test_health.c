/* tests/unit/common/io/test_health.c — mirrors common/io/health.c; stderr is a file meanwhile */
#include "common/io/health.h"

#include "common/log.h"
#include "tests/unit/check.h"

#include <string.h>
#include <unistd.h>

static int file;
static char text[16384];

/* What was written since the last call, without times. */
static const char *written(void)
{
    static char raw[sizeof text];
    ssize_t n = pread(file, raw, sizeof raw - 1, 0);
    raw[n < 0 ? 0 : n] = '\0';
    assert_int_equal(ftruncate(file, 0), 0);
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    struct span rest = span_cstr(raw), line, time, what;
    text[0] = '\0';
    while (rest.len > 0) {
        (void)span_cut(rest, '\n', &line, &rest);
        (void)span_cut(line, ' ', &time, &what);
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), SPAN_FMT "\n", SPAN_ARG(what));
    }
    return text;
}

#define READY      "info test daemon.ready text='takes work'\n"
#define NOT(what)  "error test daemon.not_ready text='" what "'\n"
#define WARN(what) "warn test daemon.warning text='" what "'\n"

static void test_health__facts_are_told_when_they_change(void **state)
{
    static const struct {
        ms_t at;
        const char *why; /* NULL: ready */
        const char *warnings, *told;
    } steps[] = {
        {0, "not connected yet", "", ""}, /* starting */
        {999, "not connected yet", "", ""},
        {1000, "refused", "", NOT("refused")},
        {2000, "refused", "", ""},
        {3000, "timeout", "", ""}, /* another reason, soon after */
        {6000, "timeout", "", NOT("timeout")},
        {6250, NULL, "a\nb", READY WARN("a") WARN("b")},
        {6500, NULL, "a\nb", ""},
        {6750, NULL, "b\nc\n", WARN("c")},
        {7000, "timeout", "b\nc", NOT("timeout")}, /* a change is told at once */
        {7250, NULL, "", READY},
        {7500, NULL, "b", WARN("b")},
        {7750, "one\n\ntwo", "b", NOT("one") NOT("two")},
        {20000, "two\nthree", "b", NOT("three")}, /* one of them is mended, another is new */
        {40000, "", "b", NOT("no reason is known")},
        {60000, "it's\x01", "b", NOT("it\\x27s\\x01")},
    };
    struct health h;
    (void)state;
    health_init(&h, 0);
    CHECK_EACH (steps, s) {
        health_look(&h, s->at, s->why == NULL, span_cstr(s->why == NULL ? "" : s->why),
                    span_cstr(s->warnings));
        assert_string_equal(written(), s->told);
    }
    health_done(&h);
}

static void test_health__ready_at_once(void **state)
{
    struct health h;
    (void)state;
    health_init(&h, 50000);
    health_look(&h, 50000, true, SPAN(""), SPAN(""));
    assert_string_equal(written(), READY);
    health_look(&h, 50001, false, SPAN("x"), SPAN(""));
    assert_string_equal(written(), NOT("x"));
    health_done(&h);
}

int main(void)
{
    char path[] = "/tmp/test_health.XXXXXX";
    file = mkstemp(path);
    (void)unlink(path);
    int saved = dup(STDERR_FILENO);
    (void)dup2(file, STDERR_FILENO);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "test");
    int failed = CHECK_RUN(cmocka_unit_test(test_health__facts_are_told_when_they_change),
                           cmocka_unit_test(test_health__ready_at_once));
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(file);
    return failed;
}
