/* tests/unit/cli/test_table.c — the same rows as a table and as JSON. */
#include "cli/table.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct column columns[] = {
    {"queue", "QUEUE", COLUMN_TEXT, 12}, {"messages", "MESSAGES", COLUMN_COUNT, 0},
    {"bytes", "SIZE", COLUMN_BYTES, 0},  {"oldest_ms", "OLDEST", COLUMN_AGE, 0},
    {"since", NULL, COLUMN_TIME, 0},     {"frozen", "FROZEN", COLUMN_BOOL, 0},
    {"next_ms", "NEXT", COLUMN_WAIT, 0},
};

/* What print() writes to standard output. */
static void captured(const struct table *t, enum cli_output how, char *out, size_t size)
{
    int ends[2], saved = dup(1);
    assert_int_equal(pipe(ends), 0);
    (void)fflush(stdout);
    (void)dup2(ends[1], 1);
    int code = table_print(t, how, "No queues.");
    (void)fflush(stdout);
    (void)dup2(saved, 1);
    (void)close(saved);
    (void)close(ends[1]);
    ssize_t n = read(ends[0], out, size - 1);
    (void)close(ends[0]);
    assert_true(n >= 0);
    out[n] = '\0';
    assert_int_equal(code, CLI_OK);
}

static void test_table__prints_for_people_and_for_programs(void **state)
{
    (void)state;
    char out[4096];
    struct table *t = table_new(columns, ARRAY_LEN(columns));
    captured(t, CLI_TABLE, out, sizeof out);
    assert_string_equal(out, "No queues.\n");
    captured(t, CLI_JSON, out, sizeof out);
    assert_string_equal(out, "[]\n");
    assert_int_equal(table_row(t), ERR_OK);
    assert_int_equal(table_text(t, 0, SPAN("a.example\x1b[2J.much.longer")), ERR_OK);
    table_number(t, 1, 12);
    table_number(t, 2, 4096);
    table_number(t, 3, 192000);
    table_about(t, 3);
    table_number(t, 4, 0);
    table_number(t, 5, 1);
    table_number(t, 6, 0);
    assert_int_equal(table_row(t), ERR_OK);
    assert_int_equal(table_text(t, 0, span_of(NULL, 0)), ERR_OK);
    captured(t, CLI_TABLE, out, sizeof out);
    assert_string_equal(out, "QUEUE        MESSAGES SIZE OLDEST FROZEN NEXT\n"
                             "a.example...       12 4.0K ~3m12s yes     now\n"
                             "                                         \n");
    captured(t, CLI_JSON, out, sizeof out);
    assert_non_null(strstr(out, "\"queue\": \"a.example\\u001B[2J.much.longer\""));
    assert_non_null(strstr(out, "\"oldest_ms\": 192000"));
    assert_non_null(strstr(out, "\"since\": null"));
    assert_non_null(strstr(out, "\"frozen\": true"));
    table_free(t);
}

static void test_table__ages_and_sizes_as_people_say_them(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } ages[] = {{0, "0ms"},
                {850, "850ms"},
                {12000, "12s"},
                {192000, "3m12s"},
                {5u * 3600000 + 120000, "5h02m"},
                {76u * 3600000, "3d04h"}};
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0"}, {1023, "1023"}, {4096, "4.0K"}, {1610612736, "1.5G"}};
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } moments[] = {{0, "0.000s"},
                   {1, "0.001s"},
                   {59999, "59.999s"},
                   {60000, "1m00.000s"},
                   {3599042, "59m59.042s"},
                   {3600000, "1h00m00.000s"},
                   {UINT64_MAX, "5124095576030h25m51.615s"}};
    char out[24], moment[32];
    CHECK_EACH (moments, m) {
        moment_text(m->ms, moment);
        assert_string_equal(moment, m->text);
    }
    CHECK_EACH (ages, a) {
        age_text(a->ms, out);
        assert_string_equal(out, a->text);
    }
    CHECK_EACH (sizes, s) {
        bytes_text(s->bytes, out);
        assert_string_equal(out, s->text);
    }
}

static void test_table__rare_columns_are_left_out_of_tables(void **state)
{
    static const struct column some[] = {{"queue", "QUEUE", COLUMN_TEXT, 0},
                                         {"frozen", "FROZEN", COLUMN_COUNT, COLUMN_RARE},
                                         {"by", "BY", COLUMN_TEXT, 4 | COLUMN_RARE}};
    char out[4096];
    (void)state;
    struct table *t = table_new(some, ARRAY_LEN(some));
    assert_int_equal(table_row(t), ERR_OK);
    assert_int_equal(table_text(t, 0, SPAN("a")), ERR_OK);
    table_number(t, 1, 0);
    captured(t, CLI_TABLE, out, sizeof out);
    assert_string_equal(out, "QUEUE\na\n");
    captured(t, CLI_JSON, out, sizeof out);
    assert_non_null(strstr(out, "\"frozen\": 0"));
    assert_non_null(strstr(out, "\"by\": null"));
    assert_int_equal(table_row(t), ERR_OK);
    assert_int_equal(table_text(t, 2, SPAN("somebody")), ERR_OK);
    captured(t, CLI_TABLE, out, sizeof out);
    assert_string_equal(out, "QUEUE BY\na     \n      s...\n");
    table_free(t);
}

/* Foreign text is escaped once, is never cut within an escape, and is readable where the terminal can show
 * it. */
static void test_table__foreign_text(void **state)
{
    static const struct column one[] = {{"who", "WHO", COLUMN_TEXT, 16}};
    static const struct {
        const char *locale, *text, *shown;
    } cases[] = {
        {"C", "o'neil@a.example", "o'neil@a.example"},
        {"C", "a\\b\x1b[2J\x7f", "a\\x5cb\\x1b[2J..."},
        {"C", "j\xc3\xb6", "j\\xc3\\xb6"},
        {"C", "123456789\x1b\x1b", "123456789\\x1b..."},
        {"C.UTF-8", "j\xc3\xb6", "j\xc3\xb6"},
        {"C.UTF-8", "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6@a.example",
         "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6@a.ex..."},
        {"C.UTF-8",
         "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac!",
         "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac..."}, /* two columns each
                                                                                          */
        {"C.UTF-8",
         "a\xe2\x80\xae"
         "b",
         "a\\xe2\\x80\\xaeb"},                          /* turns the direction */
        {"C.UTF-8", "\xc2\x9b\xc3", "\\xc2\\x9b\\xc3"}, /* a control, and half a character */
    };
    char out[4096], want[256];
    (void)state;
    CHECK_EACH (cases, c) {
        assert_int_equal(setenv("LC_ALL", c->locale, 1), 0);
        struct table *t = table_new(one, ARRAY_LEN(one));
        assert_int_equal(table_row(t), ERR_OK);
        assert_int_equal(table_text(t, 0, span_cstr(c->text)), ERR_OK);
        captured(t, CLI_TABLE, out, sizeof out);
        (void)snprintf(want, sizeof want, "WHO\n%s\n", c->shown);
        char *line = strchr(out, '\n');
        assert_non_null(line);
        assert_string_equal(line, strchr(want, '\n'));
        table_free(t);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_table__foreign_text),
                     cmocka_unit_test(test_table__rare_columns_are_left_out_of_tables),
                     cmocka_unit_test(test_table__prints_for_people_and_for_programs),
                     cmocka_unit_test(test_table__ages_and_sizes_as_people_say_them));
}
