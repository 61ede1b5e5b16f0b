/* tests/unit/cli/test_cli.c — command lines and what they exit with; the verb table holds together. */
#include "cli/cli.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs a command line with its output thrown away, or written to where. */
static int run_into(const char *line, const char *where)
{
    char text[512];
    char *argv[32] = {text};
    int argc = 0, saved[2] = {dup(1), dup(2)}, null = open("/dev/null", O_WRONLY),
        out = open(where, O_WRONLY);
    (void)snprintf(text, sizeof text, "bridgehead %s", line);
    for (char *p = text; *p != '\0' && argc < 31; argc++) {
        argv[argc] = p;
        p += strcspn(p, " ");
        if (*p == ' ')
            *p++ = '\0';
    }
    (void)fflush(NULL);
    (void)dup2(out, 1);
    (void)dup2(null, 2);
    int code = cli_main(argc, argv);
    (void)fflush(NULL);
    clearerr(stdout);
    for (int i = 0; i < 2; i++) {
        (void)dup2(saved[i], i + 1);
        (void)close(saved[i]);
    }
    (void)close(null);
    (void)close(out);
    return code;
}

static int run(const char *line)
{
    return run_into(line, "/dev/null");
}

static void test_cli__what_is_not_written_is_a_failure(void **state)
{
    static const char *const lines[] = {"version",       "version -o json", "help",
                                        "config schema", "completion bash", "--help"};
    (void)state;
    CHECK_EACH (lines, line) {
        assert_int_equal(run_into(*line, "/dev/full"), CLI_FAILED);
        assert_int_equal(run(*line), CLI_OK);
    }
}

static void test_cli__exit_codes_say_what_was_wrong(void **state)
{
    static const struct {
        const char *line;
        int code;
    } cases[] = {
        {"", CLI_USAGE},
        {"version", CLI_OK},
        {"version --help", CLI_OK},
        {"help", CLI_OK},
        {"help config", CLI_OK},
        {"help config check", CLI_OK},
        {"help nothing", CLI_USAGE},
        {"versoin", CLI_USAGE},
        {"version too many", CLI_USAGE},
        {"version --unknown", CLI_USAGE},
        {"version -o", CLI_USAGE},
        {"version -o xml", CLI_USAGE},
        {"version --output=json", CLI_OK},
        {"-ojson version", CLI_OK},
        {"version -o svg", CLI_USAGE},
        {"link", CLI_USAGE},
        {"link down", CLI_USAGE},
        {"linkstate purge", CLI_USAGE},
        {"linkstate show -o xml", CLI_USAGE},
        {"help linkstate show", CLI_OK},
        {"-c /nonexistent/bridgehead.yaml linkstate show -o svg", CLI_CONFIG},
        {"-c /nonexistent/bridgehead.yaml link list", CLI_CONFIG},
        {"linkstate history --max 0", CLI_USAGE},
        {"route explain", CLI_USAGE},
        {"-c /nonexistent/bridgehead.yaml route explain a@b --offline", CLI_CONFIG},
        {"config", CLI_USAGE},
        {"config chek", CLI_USAGE},
        {"-c /nonexistent/bridgehead.yaml config check", CLI_CONFIG},
        {"config check /nonexistent/bridgehead.yaml", CLI_CONFIG},
        {"completion bash", CLI_OK},
        {"completion tcsh", CLI_USAGE},
        {"docs cli", CLI_OK},
        {"docs metrics", CLI_OK},
        {"docs nothing", CLI_USAGE},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        int code = run(c->line);
        if (code != c->code)
            fail_msg("'%s' exits with %d, not %d", c->line, code, c->code);
    }
}

/* A file that is well-formed but names a certificate that is not there. */
static void test_cli__config_check_looks_at_certificates(void **state)
{
    static const struct {
        const char *yaml;
        int code;
    } cases[] = {
        {"", CLI_OK},
        {"virtual_servers: [{name: a, tls: {certificate: /nonexistent, key: /nonexistent}}]", CLI_CONFIG},
        {"delivery: {ca_file: /nonexistent}", CLI_CONFIG},
        {"delivery: {ca_fil: /nonexistent}", CLI_CONFIG},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        char path[] = "/tmp/bridgehead-test-XXXXXX", line[128];
        int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, c->yaml, strlen(c->yaml)) == (ssize_t)strlen(c->yaml));
        (void)snprintf(line, sizeof line, "config check %s", path);
        assert_int_equal(run(line), c->code);
        (void)snprintf(line, sizeof line, "-o json config check %s", path);
        assert_int_equal(run(line), c->code);
        (void)close(fd);
        (void)unlink(path);
    }
}

static void test_cli__rows_are_complete_and_families_stand_together(void **state)
{
    (void)state;
    for (size_t i = 0; i < cli_verb_count; i++) {
        const struct verb *v = &cli_verbs[i];
        assert_true(v->name[0] != '\0' && v->group[0] != '\0' && v->help[0] != '\0' && v->run != NULL);
        assert_true(v->min_args <= v->max_args && v->max_args <= CLI_ARGS_MAX);
        assert_true((v->max_args == 0) == (v->args[0] == '\0'));
        size_t nopts = 0;
        while (v->opts != NULL && v->opts[nopts].name != NULL)
            nopts++;
        assert_true(nopts <= CLI_OPTS_MAX);
        for (size_t k = i + 1; k < cli_verb_count; k++)
            assert_string_not_equal(v->name, cli_verbs[k].name);
    }
}

/* Whether the option of that name, or letter, takes a value in every command that has it. */
static bool same_everywhere(const struct cli_optdesc *o)
{
    for (size_t i = 0; i < cli_verb_count; i++) {
        const struct cli_optdesc *p = cli_verbs[i].opts;
        for (; p != NULL && p->name != NULL; p++)
            if (((p->letter != 0 && p->letter == o->letter) || strcmp(p->name, o->name) == 0) &&
                (p->value == NULL) != (o->value == NULL))
                return false;
    }
    return true;
}

/* The completion of shells knows what takes a value by name and letter alone. */
static void test_cli__options_take_values_everywhere_or_nowhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < cli_verb_count; i++)
        for (const struct cli_optdesc *o = cli_verbs[i].opts; o != NULL && o->name != NULL; o++)
            if (!same_everywhere(o))
                fail_msg("--%s of %s takes a value in some commands only", o->name, cli_verbs[i].name);
}

static void test_cli__the_reference_names_every_command(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(cli_docs(&out), ERR_OK);
    for (size_t i = 0; i < cli_verb_count; i++) {
        char heading[128];
        (void)snprintf(heading, sizeof heading, "### bridgehead %s", cli_verbs[i].name);
        assert_non_null(strstr(buf_cstr(&out), heading));
    }
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_cli__what_is_not_written_is_a_failure),
                     cmocka_unit_test(test_cli__exit_codes_say_what_was_wrong),
                     cmocka_unit_test(test_cli__config_check_looks_at_certificates),
                     cmocka_unit_test(test_cli__rows_are_complete_and_families_stand_together),
                     cmocka_unit_test(test_cli__options_take_values_everywhere_or_nowhere),
                     cmocka_unit_test(test_cli__the_reference_names_every_command));
}
